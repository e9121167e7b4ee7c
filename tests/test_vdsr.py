"""VDSR: structure, the mapping of upstream's variables, and its work per pixel."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reference.vdsr import VDSR, load_vdsr

NUMBERS = [*range(19), 20]


def make_arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {}
    for number in NUMBERS:
        inputs, outputs = (1 if number == 0 else 64), (1 if number == 20 else 64)
        weight = random.standard_normal((3, 3, inputs, outputs), dtype=np.float32)
        arrays[f"shared_model/conv_{number:02}_w"] = weight * np.float32(np.sqrt(2 / (9 * inputs)))
        arrays[f"shared_model/conv_{number:02}_b"] = 0.1 * random.standard_normal(outputs, dtype=np.float32)
    return arrays


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """TensorFlow's conv2d 'SAME' of one H x W x C image, from its definition."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1))
    return np.einsum("yxcij,ijco->yxo", windows, weight.astype(np.float64), optimize=True) + bias


def run(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))[0].numpy().transpose(1, 2, 0)


def test_vdsr_follows_its_definition():
    arrays, image = make_arrays(), np.random.default_rng(1).random((9, 12, 3), dtype=np.float32)
    grey = (image.astype(np.float64) @ [0.2989, 0.5870, 0.1140])[:, :, np.newaxis]
    x = grey
    for number in NUMBERS:
        x = convolve(x, arrays[f"shared_model/conv_{number:02}_w"], arrays[f"shared_model/conv_{number:02}_b"])
        x = np.maximum(x, 0) if number < 20 else x
    expected = image + x
    np.testing.assert_allclose(run(load_vdsr(arrays), image), expected, atol=1e-4)
    assert np.abs(x).max() > 0.1  # or the test would hold for the identity too


def test_work_per_pixel_is_what_the_docstring_says():
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        VDSR()(torch.rand(1, 3, 8, 10))
    assert counter.get_total_flops() / 2 / 80 == 664_704


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2)])
def test_tiny_images_keep_their_size(size):
    output = run(VDSR(), np.random.default_rng(0).random((*size, 3), dtype=np.float32))
    assert output.shape == (*size, 3)
    assert np.isfinite(output).all()


def test_variables_of_another_network_are_refused():
    arrays = make_arrays()
    bias = arrays.pop("shared_model/conv_20_b")
    with pytest.raises(ValueError, match="missing shared_model/conv_20_b, left over shared_model/conv_19_b"):
        load_vdsr(arrays | {"shared_model/conv_19_b": bias})
    with pytest.raises(ValueError, match=r"conv_20_b has shape \(2,\), the network needs \(1,\)"):
        load_vdsr(arrays | {"shared_model/conv_20_b": np.zeros(2, np.float32)})
