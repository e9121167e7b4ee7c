"""The challenge's baselines in PyTorch: SRCNN and the residual networks, of which ResNet-12-64 is DPED.

Sources: `models.py` of github.com/aiff22/DPED (the residual network) and the graph in `models_pretrained/dped_srcnn.pb`
of github.com/aiff22/ai-challenge (SRCNN); Ignatov et al., "DSLR-Quality Photos on Mobile Devices with Deep
Convolutional Networks", ICCV 2017; Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016.
A number in a network's name counts convolutions and channels: ResNet-8-32 has 8 of 32.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

NORM_EPSILON = 1e-3


class SRCNN(nn.Module):
    """Three convolutions of 9, 5 and 5 pixels: 69,152 multiply-adds per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([make_conv(3, 64, 9), make_conv(64, 32, 5), make_conv(32, 3, 5)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enhance RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, within [-0.08, 1.08]."""
        first, second, last = self.convs
        return scale_output(last(torch.relu(second(torch.relu(first(x))))))


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm of any size. Torch's own module refuses a single pixel, of which only the shift is left."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape; statistics over each whole image."""
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, True)


class ResidualBlock(nn.Module):
    """Two times 3x3 convolution, instance norm, ReLU; the input is added after the last ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(make_conv(channels, channels, 3) for _ in range(2))
        self.norms = nn.ModuleList(InstanceNorm(channels, eps=NORM_EPSILON, affine=True) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape; statistics over the whole image."""
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = torch.relu(norm(conv(y)))
        return x + y


class ResNet(nn.Module):
    """9x9 convolution, `blocks` residual blocks, two 3x3 convolutions, 9x9 convolution.

    ResNet(blocks=2, channels=32) is ResNet-8-32, ResNet(blocks=4, channels=64) is ResNet-12-64 and DPED; the one of the
    track on super-resolution is ResNet(blocks=1, channels=16), ResNet-6-16.
    """

    def __init__(self, *, blocks: int, channels: int) -> None:
        super().__init__()
        self.first = make_conv(3, channels, 9)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.middle = nn.ModuleList(make_conv(channels, channels, 3) for _ in range(2))
        self.last = make_conv(channels, 3, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enhance RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, within [-0.08, 1.08]."""
        x = self.blocks(torch.relu(self.first(x)))
        for conv in self.middle:
            x = torch.relu(conv(x))
        return scale_output(self.last(x))

    def get_convs(self) -> list[nn.Conv2d]:
        """The convolutions in the order in which upstream numbers them: W1, W2, ..."""
        inner = [conv for block in self.blocks for conv in block.convs]
        return [self.first, *inner, *self.middle, self.last]

    def get_norms(self) -> list[InstanceNorm]:
        """The instance norms in the order in which upstream creates them."""
        return [norm for block in self.blocks for norm in block.norms]


def make_conv(inputs: int, outputs: int, size_px: int) -> nn.Conv2d:
    """A convolution with zeros around the image, TensorFlow's 'SAME' for an odd size and stride 1."""
    return nn.Conv2d(inputs, outputs, size_px, padding=size_px // 2)


def scale_output(x: torch.Tensor) -> torch.Tensor:
    """Any value to [-0.08, 1.08], so that black and white need no infinite input."""
    return torch.tanh(x) * 0.58 + 0.5


def load_srcnn(arrays: Mapping[str, np.ndarray]) -> SRCNN:
    """SRCNN with the variables of `dped_srcnn` or `div2k_srcnn`: generator/w1, b1, ...

    ValueError when they do not fit.
    """
    model = SRCNN()
    names = [f"generator/{kind}{i}" for i in (1, 2, 3) for kind in "wb"]
    check_names(arrays, names)
    for i, conv in enumerate(model.convs, start=1):
        set_conv(conv, arrays, f"generator/w{i}", f"generator/b{i}")
    return model.eval()


def load_resnet(arrays: Mapping[str, np.ndarray], *, blocks: int, channels: int) -> ResNet:
    """A ResNet with upstream's variables: generator/W1, b1, ..., and Variable (shift), Variable_1 (scale), ...

    ValueError when a variable is missing, left over, or does not fit.
    """
    model = ResNet(blocks=blocks, channels=channels)
    convs, norms = model.get_convs(), model.get_norms()
    norm_names = ["generator/Variable", *(f"generator/Variable_{i}" for i in range(1, 2 * len(norms)))]
    check_names(arrays, [f"generator/{kind}{i + 1}" for i in range(len(convs)) for kind in "Wb"] + norm_names)
    for i, conv in enumerate(convs, start=1):
        set_conv(conv, arrays, f"generator/W{i}", f"generator/b{i}")
    for i, norm in enumerate(norms):
        _set_parameter(norm.bias, arrays[norm_names[2 * i]], norm_names[2 * i])
        _set_parameter(norm.weight, arrays[norm_names[2 * i + 1]], norm_names[2 * i + 1])
    return model.eval()


def make_random_srcnn(seed: int) -> SRCNN:
    """SRCNN with random weights."""
    model = SRCNN()
    fill_randomly(model, seed)
    return model.eval()


def fill_randomly(model: nn.Module, seed: int) -> None:
    """He-initialise all convolutions from `seed`: the model computes nothing useful, in the time of a trained one."""
    # numpy promises the same stream for the same seed in later versions, torch does not
    random = np.random.Generator(np.random.PCG64(seed))
    for conv in (module for module in model.modules() if isinstance(module, nn.Conv2d)):
        outputs, inputs, height, width = conv.weight.shape
        deviation = np.sqrt(2 / (inputs * height * width))
        weight = random.standard_normal((outputs, inputs, height, width), dtype=np.float32) * np.float32(deviation)
        _set_parameter(conv.weight, weight, "weight")
        nn.init.constant_(conv.bias, 0.01)


def check_names(arrays: Mapping[str, np.ndarray], expected: list[str]) -> None:
    """Raise ValueError where a checkpoint has other variables than the expected ones."""
    missing, unknown = sorted(set(expected) - set(arrays)), sorted(set(arrays) - set(expected))
    if missing or unknown:
        raise ValueError(
            f"The checkpoint belongs to another network: missing {', '.join(missing) or 'nothing'}, "
            f"left over {', '.join(unknown) or 'nothing'}."
        )


def set_conv(conv: nn.Conv2d, arrays: Mapping[str, np.ndarray], weight_name: str, bias_name: str) -> None:
    """Give a convolution the checkpoint's arrays; ValueError where they do not fit."""
    # TensorFlow keeps (height, width, inputs, outputs)
    _set_parameter(conv.weight, arrays[weight_name].transpose(3, 2, 0, 1), weight_name)
    bias = arrays[bias_name]
    # upstream's SRCNN has one last bias for all three colours
    _set_parameter(conv.bias, np.broadcast_to(bias, conv.bias.shape) if bias.shape == (1,) else bias, bias_name)


def _set_parameter(parameter: nn.Parameter, value: np.ndarray, name: str) -> None:
    if tuple(parameter.shape) != value.shape:
        raise ValueError(f"{name} has shape {value.shape}, the network needs {tuple(parameter.shape)}.")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, order="C")))
