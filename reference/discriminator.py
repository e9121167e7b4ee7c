"""The paper's discriminator (Fig. 4): "the same as in DPED", so the code of DPED decides (github.com/aiff22/DPED).

Five convolutions, each with LeakyReLU and then a normalisation, a layer of 1024 neurons, a logit: the sigmoid is left
to the loss, where it is exact. Where the paper's text and DPED's `models.py`, `adversarial`, part ways, the code is
followed, for it is what was trained:

- The text says batch normalisation after each convolution. The code normalises by mean and variance of each image
  alone (epsilon 1e-3), and not after the first. A logit then depends on no other image of the batch, and training and
  use are the same.
- The text does not say that the images are grey. In the code they are; colour is left to the colour loss.
- The text ends in a sigmoid, the code in a softmax of two logits, which is the sigmoid of their difference.

Not DPED's: the weights start as torch starts them (in 100 steps on phone and DSLR patches neither start was ahead), and
the padding is half the kernel on each side. Sizes stay the same, the windows of the first layer begin 2 px earlier.
"""

import torch
from torch import nn

from reference.losses import LUMA

LAYERS = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
"""Channels, kernel and stride of each convolution."""
STRIDE_PX = 16
NEURONS = 1024
NEGATIVE_SLOPE = 0.2
NORM_EPSILON = 1e-3


class Discriminator(nn.Module):
    """How much square patches look like targets: (N, 3, patch_px, patch_px), RGB in [0, 1] -> logits (N, 1).

    The fully connected layer is made for one size. ValueError for one of 16 px or less, which would leave a single
    pixel at the end, normalised to nothing.
    """

    def __init__(self, patch_px: int = 100) -> None:
        super().__init__()
        if patch_px <= STRIDE_PX:
            raise ValueError(f"a discriminator needs patches of more than {STRIDE_PX} px, got {patch_px}")
        self.patch_px = patch_px
        side = -(-patch_px // STRIDE_PX)
        self.convolutions = nn.Sequential(*make_convolutions())
        self.judge = nn.Sequential(
            nn.Flatten(),
            nn.Linear(LAYERS[-1][0] * side * side, NEURONS),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(NEURONS, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, patch_px, patch_px) -> logits (N, 1); ValueError for another shape."""
        if x.ndim != 4 or x.shape[1:] != (3, self.patch_px, self.patch_px):
            expected = f"(N, 3, {self.patch_px}, {self.patch_px})"
            raise ValueError(f"this discriminator was made for images {expected}, got {tuple(x.shape)}")
        red, green, blue = x.split(1, 1)
        grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue  # (N, 1, patch_px, patch_px)
        return self.judge(self.convolutions(grey))


def make_convolutions() -> list[nn.Module]:
    """The layers from grey images (N, 1, H, W) to (N, 128, H/16, W/16), rounded up."""
    layers: list[nn.Module] = []
    inputs = 1
    for channels, kernel, stride in LAYERS:
        layers += [nn.Conv2d(inputs, channels, kernel, stride, kernel // 2), nn.LeakyReLU(NEGATIVE_SLOPE)]
        if inputs > 1:
            layers.append(nn.InstanceNorm2d(channels, NORM_EPSILON, affine=True))
        inputs = channels
    return layers
