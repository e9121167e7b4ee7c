"""Mux and Demux lose nothing."""

import pytest
import torch

from reference.layers import Demux, Mux, demux, mux


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (2, 3, 6, 10), (1, 16, 50, 4), (3, 1, 8, 2)])
def test_mux_undoes_demux_bit_for_bit(dtype, shape):
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 50).abs().to(dtype)
    down = Demux()(x)
    assert down.shape == (shape[0], 4 * shape[1], shape[2] // 2, shape[3] // 2)
    assert down.dtype == dtype
    assert torch.equal(Mux()(down), x)


def test_demux_undoes_mux():
    x = torch.rand(2, 8, 5, 7)
    assert torch.equal(demux(mux(x)), x)


def test_order_of_channels():
    x = torch.rand(2, 3, 6, 8)
    assert torch.equal(demux(x)[:, 4 * 2 + 2 * 1 + 0], x[:, 2, 1::2, 0::2])


def test_nan_and_infinity_stay_where_they_are():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2], x[0, 0, 3, 3] = float("nan"), float("inf")
    down = demux(x)
    assert down.isnan().sum() == 1
    assert torch.equal(mux(down).nan_to_num(7, 8), x.nan_to_num(7, 8))


@pytest.mark.parametrize("shape", [(1, 3, 3, 4), (1, 3, 4, 5)])
def test_demux_refuses_odd_sizes(shape):
    with pytest.raises(ValueError, match="even height and width"):
        demux(torch.zeros(shape))


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_mux_refuses_channels_that_are_no_multiple_of_four(channels):
    with pytest.raises(ValueError, match=f"multiple of four channels, got {channels}"):
        mux(torch.zeros(1, channels, 2, 2))


@pytest.mark.parametrize("layer", [demux, mux])
def test_three_dimensions_are_refused(layer):
    with pytest.raises(ValueError, match=r"needs a tensor"):
        layer(torch.zeros(4, 4, 4))
