"""Paired patches in memory, and their augmentation on the device.

The pairs are those of PIRM 2018, track B, whose number is not divisible by four.
The others are held out for the evaluation and never read here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PATCHES = Path("aiff22/ai-challenge/dped/patches")
PAIR_COUNT = 400


@dataclass(frozen=True)
class Augmentation:
    """Which variations of the pairs a batch holds; all is drawn on the device, no decision is taken by Python."""

    dihedral: bool = True
    """Flips and rotations by 90 degrees: the light of a photo has no preferred corner of a patch."""
    mixup: float = 0.0
    """Share of the batch that is a weighted mean with another pair."""
    cutmix: float = 0.0
    """Share of the batch in which one side of a straight cut comes from another pair."""
    gain: float = 0.0
    """Standard deviation of the logarithm of a gain of each channel, the same for source and target."""
    crop_px: int = 0
    """Side of a random crop, the same in the whole batch; 0 keeps the patch, which MS-SSIM's five scales need."""


@dataclass(frozen=True)
class Pairs:
    """Sources and targets, each (N, 3, H, W) float32 in [0, 1], and their numbers."""

    source: torch.Tensor
    target: torch.Tensor
    numbers: tuple[int, ...]

    def select(self, positions: list[int]) -> "Pairs":
        """The pairs at `positions`."""
        return Pairs(self.source[positions], self.target[positions], tuple(self.numbers[i] for i in positions))


def read_photo(path: Path) -> np.ndarray:
    """A photo as (3, H, W) uint8; ValueError when it is not an RGB image that can be read."""
    try:
        with Image.open(path) as photo:
            array = np.asarray(photo)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot read the training photo {path} ({error}); fetch the dataset again") from error
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"{path} is not an RGB photo but has the shape {array.shape}")
    return array.transpose(2, 0, 1)


def read_pairs(assets: Path, device: torch.device) -> Pairs:
    """The 300 training pairs under `assets`, a mirror laid out as OWNER/REPO/path."""
    numbers = tuple(number for number in range(PAIR_COUNT) if number % 4)
    if not (assets / PATCHES).is_dir():
        raise ValueError(f"{assets / PATCHES} is not there: give the mirror of the upstream files with --assets")
    source, target = (
        torch.from_numpy(np.stack([read_photo(assets / PATCHES / camera / f"{number}.jpg") for number in numbers]))
        for camera in ("iphone", "canon")
    )
    return Pairs(source.to(device).float() / 255, target.to(device).float() / 255, numbers)


def split_pairs(pairs: Pairs, folds: int, fold: int) -> tuple[Pairs, Pairs]:
    """Training and validation pairs: every `folds`-th pair from `fold` on validates; with folds = 0 none does."""
    if folds == 0:
        return pairs, pairs.select([])
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(f"folds must be 0 or at least 2, and fold from 0 to folds - 1; got folds {folds}, fold {fold}")
    positions = range(len(pairs.numbers))
    return (
        pairs.select([i for i in positions if i % folds != fold]),
        pairs.select([i for i in positions if i % folds == fold]),
    )


def draw_batch(pairs: Pairs, batch_size: int, augmentation: Augmentation) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of sources and targets, (N, 3, H, W) each, without repetition, augmented."""
    device = pairs.source.device
    # argsort and not randperm: it can be captured in a CUDA graph.
    chosen = torch.rand(len(pairs.numbers), device=device).argsort()[:batch_size]
    both = torch.cat([pairs.source[chosen], pairs.target[chosen]], 1)  # (N, 6, H, W): what moves, moves together
    if augmentation.crop_px:
        both = crop(both, augmentation.crop_px)
    if augmentation.dihedral:
        both = turn(both)
    if augmentation.mixup:
        both = mix(both, augmentation.mixup)
    if augmentation.cutmix:
        both = cut_and_mix(both, augmentation.cutmix)
    if augmentation.gain:
        both = amplify(both, augmentation.gain)
    return both[:, :3], both[:, 3:]


def flip_coins(images: torch.Tensor, share: float) -> torch.Tensor:
    """True for a random share of the images, (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < share


def draw_unit(images: torch.Tensor) -> torch.Tensor:
    """A number in [0, 1) for each image, (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def crop(images: torch.Tensor, size_px: int) -> torch.Tensor:
    """A random square of each image."""
    n, channels, h, w = images.shape
    span = torch.arange(size_px, device=images.device)
    top = (torch.rand(n, 1, device=images.device) * (h - size_px + 1)).long() + span
    left = (torch.rand(n, 1, device=images.device) * (w - size_px + 1)).long() + span
    rows = images.gather(2, top[:, None, :, None].expand(n, channels, size_px, w))
    return rows.gather(3, left[:, None, None, :].expand(n, channels, size_px, size_px))


def turn(images: torch.Tensor) -> torch.Tensor:
    """One of the eight flips and quarter turns for each image, which must be square."""
    images = torch.where(flip_coins(images, 0.5), images.flip(2), images)
    images = torch.where(flip_coins(images, 0.5), images.flip(3), images)
    return torch.where(flip_coins(images, 0.5), images.transpose(2, 3), images)


def mix(images: torch.Tensor, share: float) -> torch.Tensor:
    """The weighted mean with the next image of the batch, in a share of the images."""
    weight = draw_unit(images)
    return torch.where(flip_coins(images, share), torch.lerp(images, images.roll(1, 0), weight), images)


def cut_and_mix(images: torch.Tensor, share: float) -> torch.Tensor:
    """A random half plane of the next image of the batch, in a share of the images."""
    h, w = images.shape[2:]
    row = torch.arange(h, device=images.device).view(1, 1, h, 1) / h
    column = torch.arange(w, device=images.device).view(1, 1, 1, w) / w
    position = torch.where(flip_coins(images, 0.5), row, column)
    inside = (position < draw_unit(images)) & flip_coins(images, share)
    return torch.where(inside, images.roll(1, 0), images)


def amplify(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """The same random gain of each channel for source and target, clipped to [0, 1]."""
    gain = torch.exp(deviation * torch.randn(len(images), 3, 1, 1, device=images.device))
    return (images * gain.repeat(1, 2, 1, 1)).clamp(0, 1)
