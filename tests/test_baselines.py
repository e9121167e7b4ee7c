"""The baselines: structure, the mapping of upstream's variables, and the scores of the published weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from harness.metrics import ms_ssim, psnr
from reference.baselines import InstanceNorm, ResNet, load_resnet, load_srcnn, make_random_srcnn
from reference.checkpoint import read_checkpoint

WEIGHTS = "aiff22/ai-challenge/models_pretrained"


def make_arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"generator/{name}": 0.1 * random.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}


def make_srcnn_arrays() -> dict[str, np.ndarray]:
    sizes = {"w1": (9, 9, 3, 64), "w2": (5, 5, 64, 32), "w3": (5, 5, 32, 3), "b1": (64,), "b2": (32,), "b3": (1,)}
    return make_arrays(sizes)


def make_resnet_arrays(blocks: int, channels: int) -> dict[str, np.ndarray]:
    last = 2 * blocks + 4
    shapes = {f"W{i}": (3, 3, channels, channels) for i in range(2, last)}
    shapes |= {"W1": (9, 9, 3, channels), f"W{last}": (9, 9, channels, 3)}
    shapes |= {f"b{i}": (channels,) for i in range(1, last)} | {f"b{last}": (3,)}
    shapes |= {f"Variable_{i}" if i else "Variable": (channels,) for i in range(4 * blocks)}
    return make_arrays(shapes)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """TensorFlow's conv2d 'SAME' of one H x W x C image, from its definition."""
    size = weight.shape[0]
    padded = np.pad(x.astype(np.float64), ((size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    return np.einsum("yxcij,ijco->yxo", windows, weight, optimize=True) + bias


def normalise(x: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    return scale * (x - mean) / np.sqrt(variance + 1e-3) + shift


def run(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))[0].numpy().transpose(1, 2, 0)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).random((13, 17, 3), dtype=np.float32)


def test_srcnn_follows_its_definition(image):
    arrays = make_srcnn_arrays()
    x = image
    for i in (1, 2, 3):
        x = convolve(x, arrays[f"generator/w{i}"], arrays[f"generator/b{i}"])
        x = np.maximum(x, 0) if i < 3 else np.tanh(x) * 0.58 + 0.5
    np.testing.assert_allclose(run(load_srcnn(arrays), image), x, atol=1e-5)


def test_resnet_follows_its_definition(image):
    arrays = make_resnet_arrays(2, 5)
    weight, bias = (lambda i: arrays[f"generator/W{i}"]), (lambda i: arrays[f"generator/b{i}"])
    norms = [(arrays[f"generator/Variable{a}"], arrays[f"generator/Variable{b}"]) for a, b in
             (("", "_1"), ("_2", "_3"), ("_4", "_5"), ("_6", "_7"))]  # fmt: skip
    x = np.maximum(convolve(image, weight(1), bias(1)), 0)
    for block in range(2):
        y = x
        for i in (2 * block, 2 * block + 1):
            y = np.maximum(normalise(convolve(y, weight(i + 2), bias(i + 2)), *norms[i]), 0)
        x = x + y
    for i in (6, 7):
        x = np.maximum(convolve(x, weight(i), bias(i)), 0)
    expected = np.tanh(convolve(x, weight(8), bias(8))) * 0.58 + 0.5
    np.testing.assert_allclose(run(load_resnet(arrays, blocks=2, channels=5), image), expected, atol=1e-5)


def test_multiply_adds_per_pixel_are_the_published_ones():
    # per pixel each weight of a convolution with stride 1 is one multiply-add
    def count(model):
        return sum(p.numel() for p in model.parameters() if p.ndim == 4)

    assert count(make_random_srcnn(0)) == 69_152
    assert count(ResNet(blocks=2, channels=32)) == 70_848
    assert count(ResNet(blocks=4, channels=64)) == 399_744


def test_multiply_adds_are_those_of_pytorch():
    for model, per_pixel in ((make_random_srcnn(0), 69_152), (ResNet(blocks=2, channels=32), 70_848)):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.rand(1, 3, 24, 40))
        assert counter.get_total_flops() / 2 / (24 * 40) == per_pixel


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2)])
def test_tiny_images_keep_their_size(size):
    for model in (make_random_srcnn(0), ResNet(blocks=2, channels=8)):
        output = run(model, np.random.default_rng(0).random((*size, 3), dtype=np.float32))
        assert output.shape == (*size, 3)
        assert np.isfinite(output).all()


def test_normalisation_is_that_of_torch():
    torch.manual_seed(0)
    ours, torchs = (make(6, eps=1e-3, affine=True) for make in (InstanceNorm, torch.nn.InstanceNorm2d))
    torch.nn.init.normal_(ours.weight)
    torch.nn.init.normal_(ours.bias)
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 7, 9)
    assert torch.equal(ours(x), torchs(x))
    torch.testing.assert_close(ours(x[:, :, :1, :1]), ours.bias.expand(2, 6)[:, :, None, None], rtol=0, atol=1e-6)


def test_variables_of_another_network_are_refused():
    arrays = make_resnet_arrays(2, 4)
    with pytest.raises(ValueError, match=r"another network: missing .*generator/W10.*left over nothing"):
        load_resnet(arrays, blocks=4, channels=4)
    with pytest.raises(ValueError, match=r"missing nothing, left over generator/Variable_8"):
        load_resnet(arrays | make_arrays({"Variable_8": (4,)}), blocks=2, channels=4)
    with pytest.raises(ValueError, match=r"generator/W1 has shape \(8, 3, 9, 9\), the network needs \(4, 3, 9, 9\)"):
        load_resnet(make_resnet_arrays(2, 8), blocks=2, channels=4)
    with pytest.raises(ValueError, match="missing generator/b3"):
        load_srcnn({name: array for name, array in make_srcnn_arrays().items() if name != "generator/b3"})


def test_random_srcnn_depends_on_its_seed_alone(image):
    first = run(make_random_srcnn(1), image)
    torch.manual_seed(99)
    np.testing.assert_array_equal(first, run(make_random_srcnn(1), image))
    assert np.abs(first - run(make_random_srcnn(2), image)).max() > 0.01


def test_random_srcnn_has_activations_of_ordinary_size(image):
    # denormal or zero activations would make it faster or slower than a trained network
    x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    for conv in list(make_random_srcnn(2018).convs)[:2]:
        with torch.inference_mode():
            x = torch.relu(conv(x))
        assert 0.3 < float((x > 0).float().mean()) < 0.7
        assert 0.1 < float(x.std()) < 10


def read_pairs(assets_dir):
    folder = assets_dir / "aiff22/ai-challenge/dped/patches"
    for number in range(0, 400, 4):
        paths = (folder / camera / f"{number}.jpg" for camera in ("iphone", "canon"))
        yield tuple(np.asarray(Image.open(path), np.float32) / 255 for path in paths)


def compute_mean_scores(model, assets_dir):
    values = []
    for source, target in read_pairs(assets_dir):
        output = run(model, source)
        values.append(
            (psnr(np.clip(output, 0, 1), target, data_range=1), ms_ssim(output * 255, target * 255, data_range=255))
        )
    return np.mean(values, 0)


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.parametrize(
    ("checkpoint", "load", "psnr_db", "ms_ssim_value"),
    [
        # on the 100 pairs whose number is divisible by 4; measured independently of this code with the challenge's own
        # formulas and Pillow. On all 400: 21.334 and 0.9040, 22.404 and 0.9166, 22.190 and 0.9214
        (f"{WEIGHTS}/dped_srcnn", load_srcnn, 21.592, 0.9098),
        (f"{WEIGHTS}/dped_resnet_8_32", lambda arrays: load_resnet(arrays, blocks=2, channels=32), 22.463, 0.9187),
        (
            "aiff22/DPED/models_orig/iphone_orig",
            lambda arrays: load_resnet(arrays, blocks=4, channels=64),
            22.083,
            0.9239,
        ),
    ],
    ids=["srcnn", "resnet_8_32", "dped"],
)
def test_published_weights_score_what_they_should(assets_dir, checkpoint, load, psnr_db, ms_ssim_value):
    model = load(read_checkpoint(assets_dir / checkpoint))
    scores = compute_mean_scores(model, assets_dir)
    assert scores[0] == pytest.approx(psnr_db, abs=0.005)
    assert scores[1] == pytest.approx(ms_ssim_value, abs=0.0003)
