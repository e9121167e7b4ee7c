"""SSIM, MS-SSIM and PSNR held against other libraries, as far as they are installed."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from harness.metrics import ms_ssim, psnr, ssim
from harness.metrics.profiles import convert_to_grey, quantize
from harness.peers import LIBRARIES, Images, Library

pytestmark = pytest.mark.filterwarnings("ignore")  # what others warn of is not ours to mend

Image = np.ndarray


def make_pair(height: int = 192, width: int = 208) -> tuple[Image, Image]:
    """Float32 in [0, 1], every channel changed alike. Sizes that halve without a rest: others do borders otherwise."""
    random = np.random.default_rng(6)
    target = ndimage.gaussian_filter(random.random((height, width, 3)), 3, axes=(0, 1))
    target = (target - target.min()) / np.ptp(target)
    output = np.clip(0.9 * target + random.normal(0, 0.03, target.shape), 0, 1)
    return output.astype(np.float32), target.astype(np.float32)


def find_library(name: str) -> Library:
    """The library, where it is installed."""
    library = next(library for library in LIBRARIES if library.name == name)
    if not library.is_installed:
        pytest.skip(f"{name} is not installed")
    return library


def compute_psnr(x: Image, y: Image) -> float:
    return psnr(x, y, data_range=1)


def compute_ssim(x: Image, y: Image) -> float:
    return ssim(x, y, data_range=1)


def compute_channels(x: Image, y: Image) -> float:
    return ms_ssim(x, y, data_range=1, shrink_window=False, per_channel=True)


def compute_grey(x: Image, y: Image) -> float:
    return ssim(convert_to_grey(quantize(x)), convert_to_grey(quantize(y)), data_range=255)


def compute_shipped(x: Image, y: Image) -> float:
    return psnr(quantize(x), quantize(y), data_range=255)


def compute_shipped_ssim(x: Image, y: Image) -> float:
    return ssim(quantize(x), quantize(y), data_range=255)


@pytest.mark.parametrize(
    ("name", "metric", "ours", "tolerance"),
    [
        ("scikit-image", "psnr", compute_psnr, 1e-9),
        ("scikit-image", "ssim", compute_ssim, 1e-9),
        ("opencv-python", "psnr", compute_shipped, 1e-9),
        ("opencv-python", "ssim", compute_ssim, 2e-3),  # its windows reach over the border
        ("pyiqa", "psnr", compute_psnr, 1e-4),
        ("pyiqa", "ssim", compute_grey, 1e-4),  # on 8 bits it gets floats of 8 bits
        ("piq", "psnr", compute_psnr, 1e-4),
        ("piq", "ssim", compute_ssim, 1e-5),
        ("piq", "ms_ssim", compute_channels, 1e-5),
        ("torchmetrics", "psnr", compute_psnr, 1e-4),
        ("torchmetrics", "ssim", compute_ssim, 2e-3),  # its windows reach over the border, which it mirrors
        ("pytorch-msssim", "ssim", compute_ssim, 1e-5),
        ("pytorch-msssim", "ms_ssim", compute_channels, 1e-5),
        ("kornia", "psnr", compute_psnr, 1e-4),
        ("kornia", "ssim", compute_ssim, 1e-5),
        ("basicsr", "psnr", compute_shipped, 1e-9),
        ("basicsr", "ssim", compute_shipped_ssim, 1e-9),
        ("tensorflow", "psnr", compute_psnr, 1e-4),
        ("tensorflow", "ssim", compute_ssim, 2e-5),
        ("tensorflow", "ms_ssim", compute_channels, 2e-5),
    ],
)
def test_values_are_those_of_other_libraries(
    name: str, metric: str, ours: Callable[[Image, Image], float], tolerance: float
) -> None:
    library, pair = find_library(name), make_pair()
    if name == "pyiqa":
        pair = tuple((quantize(image) / np.float32(255)).astype(np.float32) for image in pair)  # type: ignore[assignment]
    (theirs,) = [found.compute() for found in library.bind(Images(*pair)) if found.metric == metric]
    assert theirs == pytest.approx(ours(*pair), abs=tolerance)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_each_library_has_a_metric(library: Library) -> None:
    found = list(find_library(library.name).bind(Images(*make_pair())))
    assert found
    assert len({implementation.metric for implementation in found}) == len(found)
    alone = list(library.bind(Images(make_pair()[0])))
    assert all(implementation.metric == "niqe" for implementation in alone)
