"""Mux and Demux: the paper's reversible up- and down-sampling (section 4.1, Fig. 1).

Both only move pixels, so nothing is lost, unlike pooling or a strided convolution.
The paper's text does not fix the order of the channels. Here it is that of torch's PixelUnshuffle(2), PixelShuffle(2):
channel `4*c + 2*i + j` of a Demux is channel `c` at rows `i::2` and columns `j::2`.
"""

import torch
from torch import nn
from torch.nn import functional


def demux(x: torch.Tensor) -> torch.Tensor:
    """Half the height and width, four times the channels: (N, C, H, W) -> (N, 4C, H/2, W/2), bit for bit.

    ValueError when `x` does not have four dimensions, or its height or width is odd.
    """
    if x.ndim != 4:
        raise ValueError(f"demux needs a tensor (N, C, H, W), got {tuple(x.shape)}")
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"demux needs an even height and width, got {x.shape[2]}x{x.shape[3]}: pad the image first")
    return functional.pixel_unshuffle(x, 2)


def mux(x: torch.Tensor) -> torch.Tensor:
    """Twice the height and width, a quarter of the channels: (N, 4C, H, W) -> (N, C, 2H, 2W), the inverse of `demux`.

    ValueError when `x` does not have four dimensions, or its channels are not a multiple of four.
    """
    if x.ndim != 4:
        raise ValueError(f"mux needs a tensor (N, 4C, H, W), got {tuple(x.shape)}")
    if x.shape[1] % 4:
        raise ValueError(f"mux needs a multiple of four channels, got {x.shape[1]}")
    return functional.pixel_shuffle(x, 2)


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
