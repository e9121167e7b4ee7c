"""Profiles: what each does to an image, held against the formulas of their sources and against other libraries."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from harness.errors import UsageError
from harness.metrics import get_metric
from harness.metrics.profiles import (
    PROFILES,
    Preparation,
    choose_profile,
    convert_to_grey,
    convert_to_luma,
    find_preparation,
    find_profile,
    prepare_image,
)


def make_pair(height: int = 60, width: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Float32 output, a little outside [0, 1] here and there, and uint8 target."""
    random = np.random.default_rng(3)
    target = ndimage.gaussian_filter(random.uniform(-0.3, 1.3, (height, width, 3)), 2, axes=(0, 1))
    target = (target - target.min()) / np.ptp(target)
    output = (target + random.normal(0, 0.05, target.shape)).astype(np.float32)
    return output, np.rint(target * 255).astype(np.uint8)


def measure(profile: str, metric: str, output: np.ndarray, target: np.ndarray) -> float:
    preparation = find_preparation(profile, metric)
    images = [prepare_image(image, preparation) for image in (output, target)]
    return get_metric(metric).compute(*images, data_range=preparation.data_range, **preparation.options)


def ship(output: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(output.astype(np.float64), 0, 1) * 255).astype(np.uint8)


# --- the steps


def test_an_image_is_clipped_scaled_and_rounded() -> None:
    output = np.array([[[-0.5, 0.5, 1.5]]], np.float32)
    raw = Preparation(clip=False, data_range=255.0, quantize=False)
    np.testing.assert_array_equal(prepare_image(output, raw), [[[-127.5, 127.5, 382.5]]])
    clipped = Preparation(clip=True, data_range=1.0, quantize=False)
    np.testing.assert_array_equal(prepare_image(output, clipped), [[[0, 0.5, 1]]])
    shipped = prepare_image(output, raw.ship())
    assert shipped.dtype == np.uint8
    np.testing.assert_array_equal(shipped, [[[0, 128, 255]]])  # 127.5 goes to the even neighbour


def test_a_target_is_n_over_255_in_float32() -> None:
    target = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    prepared = prepare_image(target, Preparation(data_range=1.0, quantize=False))
    np.testing.assert_array_equal(prepared, target.astype(np.float32) / np.float32(255))
    assert prepare_image(target, Preparation()) is target


def test_a_border_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image must be larger than two borders of 4 pixels, got shape \(8, 20, 3\)"):
        prepare_image(np.zeros((8, 20, 3), np.uint8), Preparation(border_px=4))


def list_colours() -> np.ndarray:
    """A million colours, with all greys among them."""
    colours = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    colours[0, :256] = np.arange(256)[:, np.newaxis]
    return colours


def test_luma_is_scikit_images_rounded() -> None:
    colours = list_colours()
    exact = rgb2ycbcr(colours)[:, :, 0]
    near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-9  # rounding may go either way there
    ours = convert_to_luma(colours)
    np.testing.assert_array_equal(ours[~near_half], np.rint(exact[~near_half]))
    assert (ours.min(), ours.max()) >= (16, 17)
    assert ours.max() <= 235


def test_grey_is_the_weighted_sum_rounded() -> None:
    colours = list_colours()
    exact = colours @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
    np.testing.assert_array_equal(convert_to_grey(colours), np.floor(exact + 0.5))
    np.testing.assert_array_equal(convert_to_grey(colours)[0, :256], np.arange(256))


# --- whole profiles, each against another library or formula


def test_ntire_rgb4_is_scikit_image_on_the_cropped_file() -> None:
    output, target = make_pair()
    ours, theirs = (image[4:-4, 4:-4] for image in (ship(output), target))
    assert measure("ntire-rgb4", "psnr", output, target) == pytest.approx(
        peak_signal_noise_ratio(theirs, ours, data_range=255), abs=1e-9
    )
    expected = structural_similarity(
        theirs.astype(np.float64), ours.astype(np.float64), data_range=255, channel_axis=2, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )[1]  # fmt: skip
    assert measure("ntire-rgb4", "ssim", output, target) == pytest.approx(expected[5:-5, 5:-5].mean(), abs=1e-9)


def test_matlab_y4_is_scikit_image_on_the_luma() -> None:
    output, target = make_pair()
    ours, theirs = (np.rint(rgb2ycbcr(image)[4:-4, 4:-4, 0]) for image in (ship(output), target))
    expected = peak_signal_noise_ratio(theirs, ours, data_range=255)
    assert measure("matlab-y4", "psnr", output, target) == pytest.approx(expected, abs=1e-9)


def test_wang_is_scikit_image_on_rounded_grey() -> None:
    output, target = make_pair()
    ours, theirs = (convert_to_grey(image).astype(np.float64) for image in (ship(output), target))
    full = structural_similarity(
        theirs, ours, data_range=255, full=True, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )[1]
    assert measure("wang", "ssim", output, target) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)


def test_pirm_a_takes_the_mean_of_the_channels_inside_the_border() -> None:
    output, target = make_pair(220, 230)
    ours, theirs = (
        np.clip(image, 0, 1)[16:-16, 16:-16] for image in (output, target.astype(np.float32) / np.float32(255))
    )
    channels = [
        get_metric("ms_ssim").compute(ours[:, :, c], theirs[:, :, c], data_range=1, shrink_window=False)
        for c in range(3)
    ]
    assert measure("pirm-a", "ms_ssim", output, target) == pytest.approx(np.mean(channels), abs=1e-12)
    error = np.mean((ours.astype(np.float64) - theirs) ** 2)
    assert measure("pirm-a", "psnr", output, target) == pytest.approx(-10 * np.log10(error), abs=1e-9)


def test_the_textbook_refuses_what_its_last_scale_cannot_hold() -> None:
    output, target = make_pair(175, 200)
    with pytest.raises(ValueError, match="output must be at least 176 pixels high and wide"):
        measure("wang", "ms_ssim", output, target)


def test_conventions_differ_by_more_than_they_are_quoted_to() -> None:
    output, target = make_pair()
    values = [measure(name, "psnr", output, target) for name in ("pirm-b", "ntire-rgb4", "matlab-y4")]
    assert min(np.diff(sorted(values))) > 0.01


# --- the table


def test_every_profile_has_metrics_that_exist_and_a_source() -> None:
    for profile in PROFILES:
        assert find_profile(profile.name) is profile
        assert profile.source_url.startswith("https://")
        assert all(get_metric(name).name == name for name in profile.metrics)


def test_a_metric_goes_by_the_challenges_profile_first() -> None:
    names = ("psnr", "ssim", "ms_ssim", "niqe", "pyiqa:lpips")
    assert [choose_profile(name) for name in names] == ["pirm-b", "wang", "pirm-b", "live", "pyiqa"]
    assert find_preparation("pyiqa", "pyiqa:lpips") == Preparation()


@pytest.mark.parametrize(
    ("profile", "metric", "sentence"),
    [
        ("pirm", "psnr", "unknown profile 'pirm'; known are pirm-b, pirm-a, wang, ntire-rgb4, matlab-y4, live, pyiqa"),
        ("wang", "psnr", "the profile wang has no psnr; it has ssim, ms_ssim"),
        ("pyiqa", "psnr", "the profile pyiqa has no psnr; it has pyiqa:NAME"),
    ],
)
def test_what_is_not_known_is_one_sentence(profile: str, metric: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        find_preparation(profile, metric)
