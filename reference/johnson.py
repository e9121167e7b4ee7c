"""The image transformation network of Johnson et al. as an enhancer: 126,144 multiply-adds per pixel.

Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, the network
for style transfer (supplement, Table 1), and its authors' code, github.com/jcjohnson/fast-neural-style at
2cdacb296950ca6afc68593801a820ce5a102620, `models.lua`: c9s1-32, d64, d128, five residual blocks of 128, u64, u32,
c9s1-3, batch normalisation and ReLU after all but the last, a scaled tanh. What does not fit here, or is left open:

- Batch normalisation is the paper's. The code's later default, instance normalisation, serves style transfer by taking
  brightness and contrast out of the photo; here they are half the task. After 250 steps on the training pairs it was
  at 15.9 dB, batch normalisation at 19.6 dB, and the sources themselves are at 17.1 dB.
- Borders. By default the code reflects 40 px around the image, once, and pads no residual block: no image under 41 px,
  and a patch of 100 px would take 3.2 times the work. So it is the code's other mode, a repeated border before each 9x9
  convolution and in each residual block (its "replicate"; its "reflect" fails on a single row). As there, zeros around
  the strided convolutions.
- Up-sampling is learned by fractionally strided convolutions, as in the paper; the code's "U2", nearest neighbours,
  came later.
- Output: the code's 150 * tanh(x) around ImageNet's mean in levels of 255 is +-0.588; here it is `scale_output`, +-0.58
  around 0.5, as in the other baselines. The source goes in as it is: the first normalisation undoes any scaling.
- A convolution before a normalisation has no bias: the normalisation would take it away again.
"""

import torch
from torch import nn
from torch.nn import functional

from reference.baselines import scale_output

STRIDE_PX = 4
BLOCKS = 5


def make_conv(inputs: int, outputs: int, size_px: int, *, bias: bool = False) -> nn.Conv2d:
    """A convolution of stride 1 that repeats the border."""
    return nn.Conv2d(inputs, outputs, size_px, padding=size_px // 2, padding_mode="replicate", bias=bias)


def make_down(inputs: int, outputs: int) -> nn.Conv2d:
    """Half the height and width, which must be even."""
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)


def make_up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Twice the height and width."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)


def add_norm(conv: nn.Module, channels: int, *, relu: bool = True) -> list[nn.Module]:
    """The convolution, its normalisation, and a ReLU unless it closes a residual block."""
    return [conv, nn.BatchNorm2d(channels), *([nn.ReLU()] if relu else [])]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; nothing follows the sum (after Gross and Wilber, as the supplement says)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (make_conv(channels, channels, 3) for _ in range(2))
        self.layers = nn.Sequential(*add_norm(first, channels), *add_norm(second, channels, relu=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        return x + self.layers(x)


class JohnsonNet(nn.Module):
    """The network for images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *add_norm(make_conv(3, 32, 9), 32),  # (N, 32, H, W)
            *add_norm(make_down(32, 64), 64),  # (N, 64, H/2, W/2)
            *add_norm(make_down(64, 128), 128),  # (N, 128, H/4, W/4)
            *(ResidualBlock(128) for _ in range(BLOCKS)),
            *add_norm(make_up(128, 64), 64),
            *add_norm(make_up(64, 32), 32),
            make_conv(32, 3, 9, bias=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enhance RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, within [-0.08, 1.08].

        Borders are repeated up to a multiple of four and cut off again.
        """
        h, w = x.shape[2:]
        padded = functional.pad(x, (0, -w % STRIDE_PX, 0, -h % STRIDE_PX), mode="replicate")
        return scale_output(self.layers(padded))[:, :, :h, :w]
