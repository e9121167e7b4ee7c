"""Johnson's network: the layers from their definition, any size, its cost, and a file that says the same."""

import numpy as np
import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.runtimes.onnx import count_multiply_adds
from reference.export import export_onnx
from reference.johnson import JohnsonNet

MULTIPLY_ADDS = (
    3 * 32 * 9 * 9  # c9s1-32 at full size
    + 32 * 64 * 3 * 3 / 4  # d64 at half size
    + 64 * 128 * 3 * 3 / 16  # d128 at quarter size
    + 5 * 2 * 128 * 128 * 3 * 3 / 16
    + 128 * 64 * 3 * 3 / 16  # u64: a fractionally strided convolution works at the size that it comes from
    + 64 * 32 * 3 * 3 / 4
    + 32 * 3 * 9 * 9
)


@pytest.fixture
def network() -> JohnsonNet:
    torch.manual_seed(0)
    network = JohnsonNet().train()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0  # the next batch gives the statistics
    with torch.no_grad():
        network(torch.rand(4, 3, 32, 32))
    return network.eval()


def run(network: JohnsonNet, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image[None].copy()))[0].numpy()


def correlate(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C, H, W) with (D, C, k, k), no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
    return np.einsum("cyxij,dcij->dyx", windows, weight, optimize=True)


def convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The border is repeated."""
    border = weight.shape[2] // 2
    return correlate(np.pad(x, ((0, 0), (border, border), (border, border)), mode="edge"), weight)


def shrink(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every second position of the correlation with zeros around."""
    return correlate(np.pad(x, ((0, 0), (1, 1), (1, 1))), weight)[:, ::2, ::2]


def enlarge(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every pixel stamps the kernel, times its value, around twice its position."""
    _, height, width = x.shape
    stamped = np.zeros((weight.shape[1], 2 * height + 1, 2 * width + 1))
    for row in range(height):
        for column in range(width):
            stamp = np.einsum("c,cdij->dij", x[:, row, column], weight)
            stamped[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += stamp
    return stamped[:, 1:, 1:]


def normalise(x: np.ndarray, *values: np.ndarray) -> np.ndarray:
    scale, shift, mean, variance = (value[:, None, None] for value in values)
    return scale * (x - mean) / np.sqrt(variance + 1e-5) + shift


def test_layers_follow_their_definition(network):
    image = np.random.default_rng(1).random((3, 13, 18), dtype=np.float32)
    values = (value.double().numpy() for name, value in network.state_dict().items() if "num_batches" not in name)

    def apply(layer, x):
        return normalise(layer(x, next(values)), *(next(values) for _ in range(4)))

    x = np.pad(image.astype(np.float64), ((0, 0), (0, 3), (0, 2)), mode="edge")
    for layer in (convolve, shrink, shrink):
        x = np.maximum(apply(layer, x), 0)
    for _ in range(5):
        x = x + apply(convolve, np.maximum(apply(convolve, x), 0))
    for _ in range(2):
        x = np.maximum(apply(enlarge, x), 0)
    x = convolve(x, next(values)) + next(values)[:, None, None]
    assert next(values, None) is None
    np.testing.assert_allclose(run(network, image), (np.tanh(x) * 0.58 + 0.5)[:, :13, :18], atol=2e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 5), (37, 53), (64, 64)])
def test_output_has_the_size_of_the_input(network, size):
    output = run(network, np.random.default_rng(0).random((3, *size), dtype=np.float32))
    assert output.shape == (3, *size)
    assert output.min() >= -0.08
    assert output.max() <= 1.08


def test_output_follows_the_brightness_of_the_source(network):
    # with instance normalisation it could not
    image = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
    assert np.abs(run(network, 0.7 * image) - run(network, image)).mean() > 0.02


def test_gradient_reaches_every_weight(network):
    (network.train()(torch.rand(2, 3, 32, 32)) - 0.5).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_multiply_adds_per_pixel(network):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, 3, 64, 96))
    assert MULTIPLY_ADDS == 126_144
    assert counter.get_total_flops() / 2 / (64 * 96) == MULTIPLY_ADDS


def test_file_agrees_with_torch_and_has_the_same_cost(network, tmp_path):
    path = tmp_path / "model.onnx"
    sizes = [(1, 1), (2, 2), (3, 5), (31, 66)]
    assert 0 < export_onnx(network, path, doc="random", metadata={}, sizes=sizes) < 2e-5
    assert (
        count_multiply_adds(path.read_bytes(), layout="NHWC", height_px=720, width_px=1280)
        == MULTIPLY_ADDS * 720 * 1280
    )
    operators = [node.op_type for node in onnx.load(path).graph.node]
    for operator, count in {"Conv": 14, "ConvTranspose": 2, "Transpose": 2}.items():
        assert operators.count(operator) == count, operator
