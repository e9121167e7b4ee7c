"""MS-SSIM: the challenge's formula, transcribed slowly, and the properties that follow from it."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.data import astronaut

from benchmarks.official import compute_ms_ssim
from harness.metrics import ms_ssim


def make_pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    target = ndimage.gaussian_filter(random.random(shape), 2, axes=(0, 1)) * 4 - 1.5
    return target * 0.8 + random.normal(0, 0.1, shape), target


@pytest.mark.parametrize(
    "shape", [(100, 100, 3), (176, 176), (101, 67, 3), (33, 50, 3), (16, 16), (7, 90, 3), (5, 5), (2, 3, 3)]
)
def test_follows_the_official_formula(shape: tuple[int, ...]):
    output, target = make_pair(*shape)
    expected = compute_ms_ssim(target * 255, output * 255, 255)
    assert math.isfinite(expected)
    assert ms_ssim(output, target, data_range=1) == pytest.approx(expected, abs=1e-9)


def test_follows_the_official_formula_on_a_photo():
    target = astronaut()[:200, 100:400]
    output = np.round(ndimage.gaussian_filter(target.astype(float), (1, 1, 0)) * 0.9).astype(np.uint8)
    expected = compute_ms_ssim(target, output, 255)
    assert 0.7 < expected < 0.99
    assert ms_ssim(output, target, data_range=255) == pytest.approx(expected, abs=1e-9)


@pytest.mark.assets
@pytest.mark.parametrize("change", ["none", "noise", "inverted", "float"])
def test_follows_the_official_formula_on_all_pairs(assets_dir: Path, change: str):
    """Whatever the output; where the formula has no value, there is none here either."""
    patches = assets_dir / "aiff22/ai-challenge/dped/patches"
    random = np.random.default_rng(0)
    undefined = 0
    for number in range(400):
        output, target = (
            np.array(Image.open(patches / phone / f"{number}.jpg"), np.float64) for phone in ("iphone", "canon")
        )
        if change == "noise":
            output += random.normal(0, 60, output.shape)
        elif change == "inverted":
            output = 255 - target
        elif change == "float":
            output = (output / 255).astype(np.float32).astype(np.float64) * 300 - 20
        with np.errstate(invalid="ignore"):
            expected = compute_ms_ssim(target, output, 255)
        undefined += math.isnan(expected)
        assert ms_ssim(output, target, data_range=255) == pytest.approx(expected, abs=1e-9, nan_ok=True), number
    assert (undefined > 100) == (change == "inverted")


def test_identical_images_give_exactly_one():
    output, _ = make_pair(100, 100, 3)
    assert ms_ssim(output, output.copy(), data_range=1) == 1


def test_is_symmetric():
    output, target = make_pair(100, 60, 3)
    assert ms_ssim(output, target, data_range=1) == ms_ssim(target, output, data_range=1)


def test_stays_below_one():
    output, target = make_pair(100, 100, 3)
    assert 0 < ms_ssim(output, target, data_range=1) < 1


def test_values_outside_the_range_are_not_clipped():
    _, target = make_pair(64, 64, 3)
    target = target - target.min()
    bright = target * 2
    assert ms_ssim(bright, target, data_range=1) != pytest.approx(
        ms_ssim(np.clip(bright, 0, 1), target, data_range=1), abs=1e-4
    )


def test_pools_channels_before_the_product():
    output, target = make_pair(64, 64, 3)
    output[..., 0] = target[..., 0]
    of_channels = [ms_ssim(output[..., c], target[..., c], data_range=1) for c in range(3)]
    assert ms_ssim(output, target, data_range=1) != pytest.approx(np.mean(of_channels), abs=1e-4)


def test_one_pixel_has_contrast_one():
    assert ms_ssim(np.array([[1.0]]), np.array([[0.0]]), data_range=1) == pytest.approx(
        (0.0001 / 1.0001) ** 0.1333, abs=1e-12
    )


def test_a_negative_contrast_gives_nan():
    _, target = make_pair(100, 100, 3)
    value = ms_ssim(-target, target, data_range=1)
    assert type(value) is float
    assert math.isnan(value)
