"""The paper's two generators: three scales (normal), or straight to the third (high performance).

Liu, Navarrete Michelini, Zhu, "Deep Networks for Image-to-Image Translation with Mux and Demux Layers", section 4.1.
What its text says is kept: Demux and Mux between the scales, a dense block at each, noise channels after every Demux
(in the high-performance generator after the first of its two as well), instance normalisation after every 3x3
convolution. Its figures give the rest and were not at hand, so widths, depths, the activation, the 1x1 convolution that
closes a dense block, the skip from the second scale, and the output as a change of the input are free choices;
`GeneratorConfig` gives a reason for each number.
"""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional

from reference.layers import demux, mux

NOISE_TILE_PX = 64
"""64 kB for four channels, repeated over the image, and far wider than the 9 px that the third scale's layers see."""
NOISE_SEED = 2018
STRIDE_PX = 4
"""Two Demux need height and width to be multiples of four."""
Kind = Literal["normal", "high_performance"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Free choices of a generator. Channel counts in multiples of 16 fill the vector units of a CPU."""

    kind: Kind = "normal"
    """The one that took part in the challenge (section 5.3)."""
    noise_channels: int = 4
    """After each Demux; 12 + 4 = 16 channels after the first. 0 is the ablation's "no noise" (Table 5)."""
    half_width: int = 16
    """Channels that leave the first block, and that Mux brings back: at half size a channel costs four times more."""
    half_growth: int = 16
    """A layer at half size takes 16 channels in and gives as many."""
    half_layers: int = 2
    """Two 3x3 layers each way: enough for colour and edges, most of the work belongs to the third scale."""
    quarter_growth: int = 32
    """Twice the half scale's, at a quarter of its pixels."""
    quarter_layers: int = 4
    """Receptive field at full size about 4 * 9 = 36 px, a third of a training patch."""
    negative_slope: float = 0.2
    """LeakyReLU as in the paper's discriminator."""
    activate_blocks: bool = False
    """LeakyReLU after the 1x1 convolution that closes a block, but the last. See `DenseBlock`."""
    norm_epsilon: float = 1e-3
    """As in the challenge's own networks; it also damps the noise of flat images, whose variance is about 1e-6."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind of generator {self.kind!r} is unknown; known are {', '.join(get_args(Kind))}")
        for name, value in asdict(self).items():
            least = 1 if name.endswith(("width", "growth")) else 0
            if name != "kind" and not value >= least:
                raise ValueError(f"{name} of a generator must be at least {least}, got {value}")


def convolve_parts(conv: nn.Conv2d, parts: list[torch.Tensor], *, training: bool) -> torch.Tensor:
    """A convolution of the channels of all `parts`, each (N, C_i, H, W).

    In use it is a sum over the parts: ONNX Runtime then brings each part into its own layout once, not once a layer,
    and the normal generator runs in 0.31 instead of 0.39 of the baseline's time. In training one large call is faster.
    """
    if training:
        return conv(torch.cat(parts, 1))
    total, first, bias = None, 0, conv.bias
    for part in parts:
        weight = conv.weight[:, first : first + part.shape[1]]
        term = functional.conv2d(part, weight, bias, padding=conv.padding)
        total = term if total is None else total + term
        first, bias = first + part.shape[1], None
    return total


class ConvNorm(nn.Module):
    """3x3 convolution, instance normalisation, LeakyReLU. The normalisation's shift stands in for a bias."""

    def __init__(self, inputs: int, outputs: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))
        self.config = config

    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Parts (N, C_i, H, W) -> (N, outputs, H, W); statistics over the whole image."""
        y = convolve_parts(self.conv, parts, training=self.training)
        # Not functional.instance_norm, which refuses the single pixel that an image of up to 4x4 has at quarter size.
        y = torch.instance_norm(y, self.scale, self.shift, None, None, True, 0.0, self.config.norm_epsilon, True)
        return functional.leaky_relu(y, self.config.negative_slope)


class DenseBlock(nn.Module):
    """Every layer sees the input and all layers before it; a 1x1 convolution closes the block.

    Instance normalisation hides from every layer how bright its input is; what reaches the output past the layers is
    linear in the input. Only an activation of the closing convolution lets a tone curve depend on brightness.
    """

    def __init__(
        self, inputs: int, growth: int, layers: int, outputs: int, config: GeneratorConfig, *, last: bool = False
    ) -> None:
        super().__init__()
        self.slope = config.negative_slope if config.activate_blocks and not last else 1.0
        self.layers = nn.ModuleList(ConvNorm(inputs + i * growth, growth, config) for i in range(layers))
        self.close = nn.Conv2d(inputs + layers * growth, outputs, 1)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Inputs (N, C_i, H, W), taken as one -> (N, outputs, H, W)."""
        parts = list(inputs)
        for layer in self.layers:
            parts.append(layer(parts))
        closed = convolve_parts(self.close, parts, training=self.training)
        return closed if self.slope == 1 else functional.leaky_relu(closed, self.slope)


class Noise(nn.Module):
    """Appends noise channels: fresh ones in training, in use one stored tile, so that outputs repeat."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("tile", torch.randn(1, channels, NOISE_TILE_PX, NOISE_TILE_PX, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C + channels, H, W)."""
        n, _, h, w = x.shape
        if self.training:
            return torch.cat([x, torch.randn(n, self.tile.shape[1], h, w, dtype=x.dtype, device=x.device)], 1)
        tiled = self.tile.repeat(n, 1, h // NOISE_TILE_PX + 1, w // NOISE_TILE_PX + 1)
        return torch.cat([x, tiled[:, :, :h, :w]], 1)


def make_noise(config: GeneratorConfig, place: int) -> nn.Module:
    """The noise after the Demux number `place`; nothing at all where the configuration wants none."""
    return Noise(config.noise_channels, NOISE_SEED + place) if config.noise_channels else nn.Identity()


class NormalBody(nn.Module):
    """Half size, quarter size, half size again (Fig. 2)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width, noise = config.half_width, config.noise_channels
        self.noise_half = make_noise(config, 0)
        self.down = DenseBlock(12 + noise, config.half_growth, config.half_layers, width, config)
        self.noise_quarter = make_noise(config, 1)
        self.quarter = DenseBlock(4 * width + noise, config.quarter_growth, config.quarter_layers, 4 * width, config)
        self.up = DenseBlock(2 * width, config.half_growth, config.half_layers, 12, config, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), H and W multiples of four."""
        half = self.down(self.noise_half(demux(x)))  # (N, width, H/2, W/2)
        quarter = self.quarter(self.noise_quarter(demux(half)))  # (N, 4 width, H/4, W/4)
        return mux(self.up(half, mux(quarter)))


class HighPerformanceBody(nn.Module):
    """Two Demux at once, so that nearly all work is done at quarter size (Fig. 3)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width, noise = config.half_width, config.noise_channels
        self.noise_half, self.noise_quarter = make_noise(config, 0), make_noise(config, 1)
        inputs = 4 * (12 + noise) + noise
        self.quarter = DenseBlock(inputs, config.quarter_growth, config.quarter_layers, 4 * width, config)
        self.up = DenseBlock(width, config.half_growth, config.half_layers, 12, config, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), H and W multiples of four."""
        half = self.noise_half(demux(x))  # (N, 12 + noise, H/2, W/2)
        quarter = self.quarter(self.noise_quarter(demux(half)))  # (N, 4 width, H/4, W/4)
        return mux(self.up(mux(quarter)))


class Generator(nn.Module):
    """A generator for images of any size."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.body = NormalBody(config) if config.kind == "normal" else HighPerformanceBody(config)
        # Training starts from the identity.
        nn.init.zeros_(self.body.up.close.weight)
        nn.init.zeros_(self.body.up.close.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enhance RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, not clipped.

        Borders are repeated up to a multiple of four and cut off again; reflection would fail on tiny images.
        """
        h, w = x.shape[2], x.shape[3]
        padded = functional.pad(x, (0, -w % STRIDE_PX, 0, -h % STRIDE_PX), mode="replicate")
        return (padded + self.body(padded))[:, :, :h, :w]
