"""SSIM: properties, and an independent implementation."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from harness.metrics import ssim

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "metrics.toml").read_text())
CALIBRATION = Path("chaofengc/IQA-PyTorch/ResultsCalibra")
RGB_TO_GREY = (0.298936021293775, 0.587043074451121, 0.114020904255103)


def make_pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    target = random.random(shape)
    return target * 0.8 + random.normal(0, 0.1, shape), target


def compute_with_scikit_image(output: np.ndarray, target: np.ndarray, data_range: float) -> float:
    return structural_similarity(
        target,
        output,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1 if target.ndim == 3 else None,
    )


@pytest.mark.parametrize("shape", [(11, 11), (11, 40, 3), (100, 100, 3), (37, 64), (64, 37, 3)])
def test_agrees_with_scikit_image(shape: tuple[int, ...]):
    output, target = make_pair(*shape)
    expected = compute_with_scikit_image(output, target, 1)
    assert ssim(output, target, data_range=1) == pytest.approx(expected, abs=1e-12)


def test_agrees_with_scikit_image_on_a_photo():
    target = astronaut()[100:228, 150:310]
    output = np.clip(target.astype(int) + 20, 0, 255).astype(np.uint8)[:, ::-1]
    expected = compute_with_scikit_image(output, target, 255)
    assert 0.1 < expected < 0.9
    assert ssim(output, target, data_range=255) == pytest.approx(expected, abs=1e-12)


def test_identical_images_give_exactly_one():
    output, _ = make_pair(20, 20, 3)
    assert ssim(output, output.copy(), data_range=1) == 1


def test_identical_flat_images_give_exactly_one():
    white = np.full((16, 16, 3), 255, np.uint8)
    assert ssim(white, white, data_range=255) == 1


def test_is_symmetric():
    output, target = make_pair(20, 25, 3)
    assert ssim(output, target, data_range=1) == ssim(target, output, data_range=1)


def test_stays_within_its_bounds():
    _, target = make_pair(30, 30)
    assert -1 <= ssim(1 - target, target, data_range=1) < 0
    assert 0 < ssim(target * 0.9, target, data_range=1) < 1


def test_more_noise_is_worse():
    _, target = make_pair(40, 40, 3)
    noise = np.random.default_rng(3).normal(0, 1, target.shape)
    values = [ssim(target + amount * noise, target, data_range=1) for amount in (0.01, 0.05, 0.2)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.1


def test_only_the_ratio_to_the_data_range_counts():
    output, target = make_pair(20, 20, 3)
    scaled = ssim(output * 255, target * 255, data_range=255)
    assert ssim(output, target, data_range=1) == pytest.approx(scaled, abs=1e-12)


@pytest.mark.parametrize("shape", [(10, 40), (40, 10, 3), (1, 1)])
def test_smaller_than_the_window_is_refused(shape: tuple[int, ...]):
    image = np.zeros(shape)
    with pytest.raises(ValueError, match=rf"at least 11 pixels .*\({shape[0]}, {shape[1]}"):
        ssim(image, image, data_range=1)


@pytest.mark.assets
@pytest.mark.parametrize("golden", GOLDEN["full_reference"], ids=lambda golden: golden["image"])
def test_agrees_with_the_published_calibration(assets_dir: Path, golden: dict):
    output, target = (
        np.round(np.array(Image.open(assets_dir / CALIBRATION / folder / golden["image"])) @ RGB_TO_GREY)
        for folder in ("dist_dir", "ref_dir")
    )
    assert ssim(output, target, data_range=255) == pytest.approx(golden["ssim"], abs=5e-5)
