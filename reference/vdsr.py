"""VDSR for four times the resolution, as the challenge gives it: 664,704 multiply-adds per pixel.

Kim, Lee, Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016, and `vgg_19` of
`models.py` of github.com/aiff22/ai-challenge, which calls it VGG-19: 20 convolutions of 3x3 pixels, 64 channels, ReLU
after all but the last. It sees the photo in grey, and adds what it finds to all three colours. The output is not
bounded.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from reference.baselines import check_names, make_conv, set_conv

CHANNELS = 64
LAYERS = 20
GREY_WEIGHTS = (0.2989, 0.5870, 0.1140)
"""Of TensorFlow's rgb_to_grayscale. Their sum is 0.9999, which the colours around the grey make up for."""


class VDSR(nn.Module):
    """The grey photo through the convolutions; the colours are left as they are."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [1, *[CHANNELS] * (LAYERS - 1), 1]
        self.convs = nn.ModuleList(make_conv(inputs, outputs, 3) for inputs, outputs in pairwise(sizes))
        self.register_buffer("grey", torch.tensor(GREY_WEIGHTS).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sharpen RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, not clipped."""
        grey = y = (x * self.grey).sum(1, keepdim=True)
        for conv in self.convs[:-1]:
            y = torch.relu(conv(y))
        return (x - grey) + (self.convs[-1](y) + grey)


def load_vdsr(arrays: Mapping[str, np.ndarray]) -> VDSR:
    """VDSR with the variables of `div2k_vgg19_vdsr.ckpt`: shared_model/conv_00_w to conv_18_w, and conv_20_w.

    ValueError when a variable is missing, left over, or does not fit.
    """
    model = VDSR()
    names = [f"shared_model/conv_{number:02}" for number in (*range(LAYERS - 1), LAYERS)]  # upstream has no 19
    check_names(arrays, [f"{name}_{kind}" for name in names for kind in "wb"])
    for conv, name in zip(model.convs, names, strict=True):
        set_conv(conv, arrays, f"{name}_w", f"{name}_b")
    return model.eval()
