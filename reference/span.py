"""SPAN, the baseline of the NTIRE 2026 challenge on efficient super-resolution, as it is deployed.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPR Workshops 2024, in the slim
form with 28 channels that won the challenge of 2024: 150,688 parameters and 150,053 multiply-adds per pixel of the
input (9.83 G at 256x256), as the challenge's page has them. In training each 3x3 convolution has more branches, which
are one convolution in the end; only that one is here.
"""

import torch
from torch import nn

CHANNELS = 28
BLOCKS = 6
SCALE = 4


class Block(nn.Module):
    """Three 3x3 convolutions; what the last one finds also says how much of each value passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, channels, H, W) -> the block's output and that of its first convolution, both of this shape."""
        silu = nn.functional.silu
        first = self.convs[0](x)
        found = self.convs[2](silu(self.convs[1](silu(first))))
        return (found + x) * (torch.sigmoid(found) - 0.5), first


class SPAN(nn.Module):
    """Six blocks between two convolutions; features of four depths are joined before the sub-pixel convolution."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(BLOCKS))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.join = nn.Conv2d(4 * channels, channels, 1)
        self.enlarge = nn.Conv2d(channels, 3 * SCALE**2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enlarge RGB images in [0, 1]: (N, 3, H, W) float -> (N, 3, 4H, 4W)."""
        features = self.first(x)
        y, firsts, outputs = features, [], []
        for block in self.blocks:
            y, first = block(y)
            outputs.append(y)
            firsts.append(first)
        joined = self.join(torch.cat([features, self.last(y), outputs[0], firsts[-1]], dim=1))
        return nn.functional.pixel_shuffle(self.enlarge(joined), SCALE)
