"""Mux and Demux lose nothing."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference.export import export_onnx
from reference.layers import Demux, Mux, demux, mux

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
WHOLE = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool]
CARRIED = [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex32, torch.uint16, torch.uint32, torch.uint64]
LAYOUTS = ("contiguous", "channels last", "transposed", "every second", "expanded")

MOVES = {"DepthToSpace", "SpaceToDepth", "Reshape", "Transpose", "Gather"}


def make_bits(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Random bits read as `dtype`: NaN of every kind, infinities and denormals are among them."""
    random = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(2, shape, generator=random, dtype=torch.uint8).bool()
    width = (*shape[:-1], shape[-1] * dtype.itemsize)
    return torch.randint(256, width, generator=random, dtype=torch.uint8).view(dtype)


def make_tensor(shape: tuple[int, int, int, int], dtype: torch.dtype, layout: str, seed: int) -> torch.Tensor:
    n, c, h, w = shape
    if layout == "transposed":
        return make_bits((n, c, w, h), dtype, seed).mT
    if layout == "every second":
        return make_bits((n, c, 2 * h, 2 * w), dtype, seed)[:, :, ::2, 1::2]
    if layout == "expanded":
        return make_bits((n, 1, h, w), dtype, seed).expand(shape)
    x = make_bits(shape, dtype, seed)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x


def read_bits(x: torch.Tensor) -> torch.Tensor:
    """The bytes: as numbers, NaN would not equal itself and -0 would equal 0."""
    return x.clone(memory_format=torch.contiguous_format).view(torch.uint8)


counts = st.integers(1, 5)
shapes = st.tuples(counts, counts, counts, counts)
layouts = st.sampled_from(LAYOUTS)
seeds = st.integers(0, 1000)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", FLOATS + WHOLE + CARRIED, ids=str)
@settings(deadline=None, max_examples=15)
@given(shapes, layouts, seeds)
def test_mux_undoes_demux_bit_for_bit(dtype, shape, layout, seed):
    n, c, h, w = shape
    x = make_tensor((n, c, 2 * h, 2 * w), dtype, layout, seed)
    down = Demux()(x)
    assert (down.shape, down.dtype) == ((n, 4 * c, h, w), dtype)
    assert torch.equal(read_bits(Mux()(down)), read_bits(x))


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", FLOATS + WHOLE + CARRIED, ids=str)
@settings(deadline=None, max_examples=15)
@given(shapes, layouts, seeds)
def test_demux_undoes_mux_bit_for_bit(dtype, shape, layout, seed):
    n, c, h, w = shape
    x = make_tensor((n, 4 * c, h, w), dtype, layout, seed)
    up = Mux()(x)
    assert (up.shape, up.dtype) == ((n, c, 2 * h, 2 * w), dtype)
    assert torch.equal(read_bits(Demux()(up)), read_bits(x))


def test_order_of_channels():
    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    down, up = np.empty((2, 12, 2, 3), np.int64), np.empty((2, 3, 4, 6), np.int64)
    for n, c, row, column in np.ndindex(2, 3, 4, 6):
        down[n, 4 * c + 2 * (row % 2) + column % 2, row // 2, column // 2] = x[n, c, row, column]
        up[n, c, row, column] = down[n, 4 * c + 2 * (row % 2) + column % 2, row // 2, column // 2]
    np.testing.assert_array_equal(demux(x), down)
    np.testing.assert_array_equal(mux(torch.from_numpy(down)), up)
    np.testing.assert_array_equal(demux(x), nn.PixelUnshuffle(2)(x))


@pytest.mark.parametrize("layer", [demux, mux])
def test_gradient_is_the_other_layer(layer):
    x = torch.rand(2, 4, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    y = layer(x)
    incoming = torch.rand_like(y)
    (gradient,) = torch.autograd.grad(y, x, incoming)
    assert torch.equal(gradient, (mux if layer is demux else demux)(incoming))


class MuxOfImage(nn.Module):
    """Mux needs 4C channels, and an exported network is given 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) -> (1, 3, 2H, 2W)."""
        return mux(torch.index_select(x, 1, torch.tensor([0, 1, 2] * 4)))


@pytest.mark.parametrize(
    "network", [Demux(), MuxOfImage(), nn.Sequential(Demux(), Mux())], ids=["demux", "mux", "both"]
)
def test_onnx_export_only_moves_pixels(tmp_path, network):
    difference = export_onnx(network, tmp_path / "m.onnx", doc="", metadata={}, sizes=[(44, 60), (10, 6)])
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert difference == 0
    assert {node.domain for node in graph.node} == {""}
    assert {node.op_type for node in graph.node} <= MOVES


@pytest.mark.parametrize("shape", [(1, 3, 3, 4), (1, 3, 4, 5)])
def test_demux_refuses_odd_sizes(shape):
    with pytest.raises(ValueError, match="even height and width") as caught:
        demux(torch.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_mux_refuses_channels_that_are_no_multiple_of_four(channels):
    with pytest.raises(ValueError, match="multiple of four channels") as caught:
        mux(torch.zeros(5, channels, 2, 2))
    assert str((5, channels, 2, 2)) in str(caught.value)


@pytest.mark.parametrize("layer", [demux, mux])
@pytest.mark.parametrize("shape", [(4, 4, 4), (4,), (1, 1, 4, 4, 4), (0, 4, 4, 4), (1, 0, 4, 4), (1, 4, 0, 4)])
def test_other_dimensions_and_nothing_are_refused(layer, shape):
    with pytest.raises(ValueError, match="needs a tensor") as caught:
        layer(torch.zeros(shape))
    assert str(shape) in str(caught.value)
