"""Profiles: the named conventions by which an image is prepared and a metric computed, as data.

One network's outputs have ten PSNRs, 2.3 dB apart, by rounding, border and colour alone: a value without the name of
its profile says little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.metrics.bridge import PREFIX
from harness.metrics.niqe_kernels import round_grey

Colour = Literal["rgb", "grey", "luma"]


@dataclass(frozen=True)
class Preparation:
    """What is done to both images before a metric, in this order.

    clip to [0, 1]; multiply by data_range (1 or 255); quantize to uint8 (255 only); colour: rgb as it is, grey as
    MATLAB's rgb2gray, luma as the Y of MATLAB's rgb2ycbcr (16 to 235), both rounded; take border_px off each side.
    `options` are keyword arguments of the metric itself.
    """

    clip: bool = True
    data_range: float = 255.0
    quantize: bool = True
    colour: Colour = "rgb"
    border_px: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def ship(self) -> "Preparation":
        """The same for the 8-bit file that an output would be shipped as."""
        return replace(self, clip=True, data_range=255.0, quantize=True)


@dataclass(frozen=True)
class Profile:
    """A named convention: how each of its metrics is prepared, in a sentence, and where it comes from."""

    name: str
    note: str
    source_url: str
    metrics: Mapping[str, Preparation]


BRIDGED = "pyiqa"
_TEXTBOOK = {"shrink_window": False}
PROFILES = (
    Profile(
        "pirm-b",
        "PIRM 2018, enhancement: RGB floats, clipped for PSNR only; MS-SSIM pools the channels and shrinks its window.",
        "https://github.com/aiff22/ai-challenge/blob/master/evaluate_enhancement.py",
        {
            "psnr": Preparation(data_range=1.0, quantize=False),
            "ms_ssim": Preparation(clip=False, quantize=False),
        },
    ),
    Profile(
        "pirm-a",
        "PIRM 2018, super-resolution: clipped RGB floats without 16 pixels of border; MS-SSIM is the channels' mean.",
        "https://github.com/aiff22/ai-challenge/blob/master/evaluate_super_resolution.py",
        {
            "psnr": Preparation(data_range=1.0, quantize=False, border_px=16),
            "ms_ssim": Preparation(
                data_range=1.0, quantize=False, border_px=16, options={**_TEXTBOOK, "per_channel": True}
            ),
        },
    ),
    Profile(
        "wang",
        "The textbook SSIM and MS-SSIM: grey, rounded to 8 bits.",
        "https://ece.uwaterloo.ca/~z70wang/research/ssim/",
        {"ssim": Preparation(colour="grey"), "ms_ssim": Preparation(colour="grey", options=_TEXTBOOK)},
    ),
    Profile(
        "ntire-rgb4",
        "As super-resolution papers do it in colour: RGB rounded to 8 bits, without 4 pixels of border.",
        "https://github.com/XPixelGroup/BasicSR/blob/master/basicsr/metrics/psnr_ssim.py",
        {"psnr": Preparation(border_px=4), "ssim": Preparation(border_px=4)},
    ),
    Profile(
        "matlab-y4",
        "As super-resolution papers do it on luma: Y of MATLAB's rgb2ycbcr, rounded, without 4 pixels of border.",
        "https://www.mathworks.com/help/images/ref/rgb2ycbcr.html",
        {"psnr": Preparation(colour="luma", border_px=4), "ssim": Preparation(colour="luma", border_px=4)},
    ),
    Profile(
        "live",
        "NIQE as its authors released it: from 8-bit RGB, made grey and rounded.",
        "https://github.com/utlive/niqe",
        {"niqe": Preparation()},
    ),
    Profile(
        BRIDGED,
        "Any metric of pyiqa, from 8-bit RGB.",
        "https://github.com/chaofengc/IQA-PyTorch",
        {},
    ),
)


def find_profile(name: str) -> Profile:
    """The profile of that name; UsageError lists the known ones."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise UsageError(f"unknown profile {name!r}; known are {', '.join(profile.name for profile in PROFILES)}.")


def find_preparation(profile_name: str, metric_name: str) -> Preparation:
    """How a profile prepares images for a metric; UsageError names its metrics."""
    profile = find_profile(profile_name)
    if metric_name in profile.metrics:
        return profile.metrics[metric_name]
    if profile_name == BRIDGED and metric_name.startswith(PREFIX):
        return Preparation()
    known = ", ".join(profile.metrics) or f"{PREFIX}NAME"
    raise UsageError(f"the profile {profile_name} has no {metric_name}; it has {known}.")


def choose_profile(metric_name: str) -> str:
    """The first profile that has a metric."""
    return next((profile.name for profile in PROFILES if metric_name in profile.metrics), BRIDGED)


def prepare_image(image: npt.NDArray[Any], preparation: Preparation) -> npt.NDArray[Any]:
    """A metric's image from floats in [0, 1] or uint8 (which stand for n / 255, in float32), H x W x 3.

    Raises ValueError where the border leaves nothing.
    """
    if preparation.border_px:
        border = preparation.border_px
        if min(image.shape[:2]) <= 2 * border:
            raise ValueError(f"image must be larger than two borders of {border} pixels, got shape {image.shape}")
        image = image[border:-border, border:-border]
    if preparation.quantize:
        image = quantize(image)
        if preparation.colour == "grey":
            return convert_to_grey(image)
        return convert_to_luma(image) if preparation.colour == "luma" else image
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / np.float32(255)
    if preparation.clip:
        image = np.clip(image, 0, 1)
    return image if preparation.data_range == 1 else image.astype(np.float64) * preparation.data_range


def quantize(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Floats in [0, 1] as an 8-bit file holds them: clipped and rounded."""
    if image.dtype == np.uint8:
        return image
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(image, 0, 1).astype(np.float64) * 255).astype(np.uint8)
    return rounded


def convert_to_grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """MATLAB's rgb2gray of uint8 RGB."""
    height, width = image.shape[:2]
    grey = np.empty(height * width)
    round_grey(np.ascontiguousarray(image).reshape(-1), width, height, width, grey)
    rounded: npt.NDArray[np.uint8] = grey.reshape(height, width).astype(np.uint8)
    return rounded


def convert_to_luma(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Y of MATLAB's rgb2ycbcr of uint8 RGB, 16 to 235, in integers: 16 + (65.481 R + 128.553 G + 24.966 B) / 255."""
    mixed = image.astype(np.int64) @ np.array([65481, 128553, 24966])
    luma: npt.NDArray[np.uint8] = ((mixed + 16 * 255_000 + 127_500) // 255_000).astype(np.uint8)
    return luma
