"""Mux and Demux: the paper's reversible up- and down-sampling (section 4.1, Fig. 1).

Both only move pixels, so nothing is lost, unlike pooling or a strided convolution.
The paper's text does not fix the order of the channels. Here it is that of torch's PixelUnshuffle(2), PixelShuffle(2):
channel `4*c + 2*i + j` of a Demux is channel `c` at rows `i::2` and columns `j::2`.

Every dtype will do. Those that torch does not shuffle (float8, complex32, uint16 to uint64) travel as integers of their
width, without a gradient, which they do not have.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

SHUFFLED = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
}
"""What torch's own operators take."""
CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By bytes an element."""


def demux(x: torch.Tensor) -> torch.Tensor:
    """Half the height and width, four times the channels: (N, C, H, W) -> (N, 4C, H/2, W/2), bit for bit.

    ValueError when `x` does not have four dimensions, is empty, or its height or width is odd.
    """
    check_shape(x, "demux", "(N, C, H, W)")
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"demux needs an even height and width, got {tuple(x.shape)}: pad the image first")
    return shuffle(functional.pixel_unshuffle, x)


def mux(x: torch.Tensor) -> torch.Tensor:
    """Twice the height and width, a quarter of the channels: (N, 4C, H, W) -> (N, C, 2H, 2W), the inverse of `demux`.

    ValueError when `x` does not have four dimensions, is empty, or its channels are not a multiple of four.
    """
    check_shape(x, "mux", "(N, 4C, H, W)")
    if x.shape[1] % 4:
        raise ValueError(f"mux needs a multiple of four channels, got {tuple(x.shape)}")
    return shuffle(functional.pixel_shuffle, x)


def shuffle(move: Callable[[torch.Tensor, int], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """`move` by two, of any dtype."""
    if x.dtype in SHUFFLED:
        return move(x, 2)
    return move(x.view(CARRIERS[x.dtype.itemsize]), 2).view(x.dtype)


def check_shape(x: torch.Tensor, layer: str, expected: str) -> None:
    """ValueError unless `x` has four dimensions and is not empty: torch would leave an empty one in its shape."""
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{layer} needs a tensor {expected} that is not empty, got {tuple(x.shape)}")


class Demux(nn.Module):
    """`demux` as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, 4C, H/2, W/2)."""
        return demux(x)


class Mux(nn.Module):
    """`mux` as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 4C, H, W) -> (N, C, 2H, 2W)."""
        return mux(x)
