"""PSNR: definition, properties, and an independent implementation."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from harness.metrics import psnr

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "metrics.toml").read_text())
CALIBRATION = Path("chaofengc/IQA-PyTorch/ResultsCalibra")


def make_pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.random(shape), random.random(shape)


def test_identical_images_are_infinitely_good():
    output, _ = make_pair(5, 7, 3)
    assert psnr(output, output.copy(), data_range=1) == math.inf


def test_follows_the_definition():
    target = np.zeros((4, 4, 3))
    assert psnr(target + 0.1, target, data_range=1) == pytest.approx(20, abs=1e-12)
    assert psnr(target + 25.5, target, data_range=255) == pytest.approx(20, abs=1e-12)


def test_has_no_floor_and_no_ceiling():
    target = np.zeros((4, 4))
    assert psnr(target + 10, target, data_range=1) == pytest.approx(-20, abs=1e-12)
    assert psnr(target + 1e-9, target, data_range=1) == pytest.approx(180, abs=1e-9)


def test_does_not_clip():
    target = np.ones((4, 4, 3))
    assert psnr(target + 0.1, target, data_range=1) == pytest.approx(20, abs=1e-9)


def test_pools_channels_before_the_logarithm():
    target = np.zeros((4, 4, 3))
    output = target.copy()
    output[..., 0] = 0.3
    assert psnr(output, target, data_range=1) == pytest.approx(-10 * math.log10(0.03), abs=1e-12)


def test_is_symmetric():
    output, target = make_pair(9, 8, 3)
    assert psnr(output, target, data_range=1) == psnr(target, output, data_range=1)


def test_does_not_wrap_around_in_8_bits():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert psnr(black, white, data_range=255) == 0
    assert psnr(white, black, data_range=255) == 0


def test_one_pixel_is_enough():
    assert psnr(np.array([[0.5]]), np.array([[0.0]]), data_range=1) == pytest.approx(6.0206, abs=1e-4)


@pytest.mark.parametrize("shape", [(16, 16), (100, 100, 3), (7, 31, 3)])
def test_agrees_with_scikit_image(shape: tuple[int, ...]):
    output, target = make_pair(*shape)
    expected = peak_signal_noise_ratio(target, output, data_range=1)
    assert psnr(output, target, data_range=1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.assets
@pytest.mark.parametrize("golden", GOLDEN["full_reference"], ids=lambda golden: golden["image"])
def test_agrees_with_the_published_calibration(assets_dir: Path, golden: dict):
    output, target = (
        np.array(Image.open(assets_dir / CALIBRATION / folder / golden["image"])) for folder in ("dist_dir", "ref_dir")
    )
    assert psnr(output, target, data_range=255) == pytest.approx(golden["psnr_db"], abs=0.005)
