"""MS-SSIM: the challenge's formula, transcribed slowly, and the properties that follow from it."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal
from skimage.data import astronaut

from harness.metrics import ms_ssim

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def compute_officially(target: np.ndarray, output: np.ndarray, max_val: float) -> float:
    """The formula of ssim.py of github.com/aiff22/ai-challenge: 2-D windows, Fourier convolutions, NHWC batches."""
    images = [np.atleast_3d(image)[np.newaxis].astype(np.float64) for image in (target, output)]
    similarities, contrasts = [], []
    for _ in WEIGHTS:
        similarity, contrast = compare_one_scale(*images, max_val)
        similarities.append(similarity)
        contrasts.append(contrast)
        box = np.ones((1, 2, 2, 1)) / 4
        images = [ndimage.convolve(image, box, mode="reflect")[:, ::2, ::2, :] for image in images]
    return float(np.prod(np.array(contrasts[:-1]) ** WEIGHTS[:-1]) * similarities[-1] ** WEIGHTS[-1])


def compare_one_scale(first: np.ndarray, second: np.ndarray, max_val: float) -> tuple[np.float64, np.float64]:
    size = min(11, first.shape[1], first.shape[2])
    x, y = np.mgrid[0:size, 0:size] - (size - 1) / 2
    window = np.exp(-(x**2 + y**2) / (2 * (size * 1.5 / 11) ** 2))
    window = (window / window.sum())[np.newaxis, :, :, np.newaxis]

    def average(image: np.ndarray) -> np.ndarray:
        return signal.fftconvolve(image, window, mode="valid")

    mu1, mu2 = average(first), average(second)
    sigma11 = average(first * first) - mu1 * mu1
    sigma22 = average(second * second) - mu2 * mu2
    sigma12 = average(first * second) - mu1 * mu2
    c1, c2 = (0.01 * max_val) ** 2, (0.03 * max_val) ** 2
    contrast = (2 * sigma12 + c2) / (sigma11 + sigma22 + c2)
    return np.mean((2 * mu1 * mu2 + c1) / (mu1 * mu1 + mu2 * mu2 + c1) * contrast), np.mean(contrast)


def make_pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    target = ndimage.gaussian_filter(random.random(shape), 2, axes=(0, 1)) * 4 - 1.5
    return target * 0.8 + random.normal(0, 0.1, shape), target


@pytest.mark.parametrize(
    "shape", [(100, 100, 3), (176, 176), (101, 67, 3), (33, 50, 3), (16, 16), (7, 90, 3), (5, 5), (2, 3, 3)]
)
def test_follows_the_official_formula(shape: tuple[int, ...]):
    output, target = make_pair(*shape)
    expected = compute_officially(target * 255, output * 255, 255)
    assert math.isfinite(expected)
    assert ms_ssim(output, target, data_range=1) == pytest.approx(expected, abs=1e-9)


def test_follows_the_official_formula_on_a_photo():
    target = astronaut()[:200, 100:400]
    output = np.round(ndimage.gaussian_filter(target.astype(float), (1, 1, 0)) * 0.9).astype(np.uint8)
    expected = compute_officially(target, output, 255)
    assert 0.7 < expected < 0.99
    assert ms_ssim(output, target, data_range=255) == pytest.approx(expected, abs=1e-9)


@pytest.mark.assets
def test_follows_the_official_formula_on_challenge_pairs(assets_dir: Path):
    patches = assets_dir / "aiff22/ai-challenge/dped/patches"
    for number in (0, 5, 103, 399):
        output, target = (
            np.array(Image.open(patches / phone / f"{number}.jpg"), np.float32) / 255 for phone in ("iphone", "canon")
        )
        expected = compute_officially(target * 255, output * 255, 255)
        assert ms_ssim(output, target, data_range=1) == pytest.approx(expected, abs=1e-7), number


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
