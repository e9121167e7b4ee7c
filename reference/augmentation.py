"""Variations of a batch, drawn and applied on its device.

Images are (N, C, H, W) in [0, 1]; source and target lie in one tensor (C = 6), so that what moves, moves together.
"""

from dataclasses import dataclass

import torch


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

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("gain", "crop_px"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


def augment(images: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
    """All variations but the crop, which must come before batches of several sizes are joined."""
    if augmentation.dihedral:
        images = turn(images)
    if augmentation.mixup:
        images = mix(images, augmentation.mixup)
    if augmentation.cutmix:
        images = cut_and_mix(images, augmentation.cutmix)
    if augmentation.gain:
        images = amplify(images, augmentation.gain)
    return images


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
