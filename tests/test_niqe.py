"""NIQE: published values, a slow transcription of the released code, and the properties that follow from it."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import io, ndimage, special

from harness.errors import DataError
from harness.metrics import niqe
from harness.metrics.niqe import PristineModel, load_pristine_model, measure_niqe

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "metrics.toml").read_text())
PLAIN_MODEL = PristineModel(mean=np.zeros(36), covariance=np.eye(36))


@pytest.fixture(scope="module")
def pristine(assets_dir: Path) -> PristineModel:
    return load_pristine_model(assets_dir / "utlive/niqe/modelparameters.mat")


def make_image(*shape: int) -> np.ndarray:
    random = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(random.normal(0, 1, shape), 3, axes=(0, 1)) * 300
    return np.clip(128 + smooth + random.normal(0, 6, shape), 0, 255).astype(np.uint8)


# A transcription of the release's four functions, block by block; only flat pixels differ (`snap`).


def compute_as_released(grey: np.ndarray, model: PristineModel, *, snap: bool) -> float:
    height, width = (size // 96 * 96 for size in grey.shape)
    image = grey[:height, :width].astype(float)
    features = []
    for scale in (1, 2):
        normalised = normalise(image, snap=snap)
        block = 96 // scale
        features.append(
            [
                compute_block_features(normalised[row : row + block, column : column + block])
                for column in range(0, normalised.shape[1], block)
                for row in range(0, normalised.shape[0], block)
            ]
        )
        image = halve(halve(image.T).T)
    table = np.hstack(features)
    difference = model.mean - np.nanmean(table, axis=0)
    covariance = np.cov(table[~np.isnan(table).any(axis=1)].T)
    return float(np.sqrt(difference @ np.linalg.pinv((model.covariance + covariance) / 2) @ difference))


def normalise(image: np.ndarray, *, snap: bool) -> np.ndarray:
    x, y = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    mu = ndimage.convolve(image, window, mode="nearest")
    sigma = np.sqrt(abs(ndimage.convolve(image * image, window, mode="nearest") - mu * mu))
    distance = image - mu
    if snap:
        distance[(abs(distance) < 1e-10) & (mu != 0)] = -1e-10
    return distance / (sigma + 1)


def compute_block_features(block: np.ndarray) -> list[float]:
    alpha, left, right = estimate_aggd(block)
    features = [alpha, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        alpha, left, right = estimate_aggd(block * np.roll(block, shift, (0, 1)))
        features += [alpha, (right - left) * special.gamma(2 / alpha) / special.gamma(1 / alpha), left, right]
    return features


def estimate_aggd(block: np.ndarray) -> tuple[float, float, float]:
    gam = np.arange(200, 10001) / 1000
    r_gam = special.gamma(2 / gam) ** 2 / (special.gamma(1 / gam) * special.gamma(3 / gam))
    left, right = (np.sqrt(np.mean(side**2)) if side.size else np.nan for side in (block[block < 0], block[block > 0]))
    g = left / right
    rhat = np.mean(abs(block)) ** 2 / np.mean(block**2)
    alpha = gam[np.argmin((r_gam - rhat * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2) ** 2)]
    beta = np.sqrt(special.gamma(1 / alpha) / special.gamma(3 / alpha))
    return alpha, left * beta, right * beta


def halve(image: np.ndarray) -> np.ndarray:
    """imresize along the first axis, tap by tap: the stretched cubic at its distances, mirrored at the borders."""
    height = len(image)
    halved = np.zeros((height // 2, image.shape[1]))
    for i in range(height // 2):
        centre = 2 * i + 0.5
        taps = np.arange(2 * i - 4, 2 * i + 6)
        d = abs(taps - centre) / 2
        weights = np.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2) * (d <= 2)
        mirrored = np.where(taps < 0, -taps - 1, np.where(taps >= height, 2 * height - taps - 1, taps))
        halved[i] = weights / weights.sum() @ image[mirrored]
    return halved


@pytest.mark.parametrize("shape", [(96, 192), (192, 288), (230, 200)])
def test_follows_the_released_code(shape: tuple[int, int]):
    image = make_image(*shape)
    expected = compute_as_released(image, PLAIN_MODEL, snap=False)
    assert niqe(image, data_range=255, pristine=PLAIN_MODEL) == pytest.approx(expected, abs=1e-9)


def test_flat_regions_do_not_depend_on_the_order_of_additions():
    image = make_image(192, 288)
    image[40:160, 30:200] = 76
    expected = compute_as_released(image, PLAIN_MODEL, snap=True)
    assert niqe(image, data_range=255, pristine=PLAIN_MODEL) == pytest.approx(expected, abs=1e-9)
    assert compute_as_released(image, PLAIN_MODEL, snap=False) != pytest.approx(expected, abs=1e-3)


def test_black_regions_are_exact_without_snapping():
    image = make_image(192, 288)
    image[40:160, 30:200] = 0
    expected = compute_as_released(image, PLAIN_MODEL, snap=False)
    assert niqe(image, data_range=255, pristine=PLAIN_MODEL) == pytest.approx(expected, abs=1e-9)


def test_a_wholly_flat_block_is_left_out_of_the_covariance_only():
    image = make_image(192, 288)
    image[:112, :112] = 77
    expected = compute_as_released(image, PLAIN_MODEL, snap=True)
    assert niqe(image, data_range=255, pristine=PLAIN_MODEL) == pytest.approx(expected, abs=1e-9)


@pytest.mark.assets
@pytest.mark.parametrize("golden", GOLDEN["niqe"], ids=lambda golden: Path(golden["image"]).stem)
def test_agrees_with_published_values(assets_dir: Path, pristine: PristineModel, golden: dict):
    image = np.array(Image.open(assets_dir / golden["image"]))
    value = niqe(image, data_range=255, pristine=pristine)
    assert value == pytest.approx(golden["value"], abs=golden["tolerance"])


@pytest.mark.assets
def test_challenge_photos_average_as_measured_before(assets_dir: Path, pristine: PristineModel):
    # 2.67: an earlier, separate implementation of the release without snapping, 2026-11.
    photos = [np.array(Image.open(assets_dir / f"aiff22/ai-challenge/dped/HD_res/{i}.png")) for i in range(4)]
    values = [niqe(photo, data_range=255, pristine=pristine) for photo in photos]
    assert np.mean(values) == pytest.approx(2.67, abs=0.005)


def test_grey_rgb_equals_grey():
    grey = make_image(100, 200)
    rgb = np.stack([grey, grey, grey], axis=-1)
    assert niqe(rgb, data_range=255, pristine=PLAIN_MODEL) == niqe(grey, data_range=255, pristine=PLAIN_MODEL)


def test_grey_is_rounded_to_8_bits():
    rgb = make_image(96, 192, 3)
    grey = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
    rounded = np.floor(rgb @ grey + 0.5).astype(np.uint8)
    assert niqe(rgb, data_range=255, pristine=PLAIN_MODEL) == niqe(rounded, data_range=255, pristine=PLAIN_MODEL)


def test_pixels_beyond_whole_blocks_do_not_count():
    image = make_image(96 * 2, 96 * 2)
    larger = np.pad(image, ((0, 95), (0, 40)))
    assert niqe(larger, data_range=255, pristine=PLAIN_MODEL) == niqe(image, data_range=255, pristine=PLAIN_MODEL)


def test_is_a_finite_float_that_repeats():
    image = make_image(192, 192, 3)
    before = image.copy()
    value = niqe(image, data_range=255, pristine=PLAIN_MODEL)
    assert type(value) is float
    assert math.isfinite(value)
    assert value > 0
    assert niqe(image, data_range=255, pristine=PLAIN_MODEL) == value
    np.testing.assert_array_equal(image, before)


@pytest.mark.assets
def test_noise_is_worse_than_the_photo(assets_dir: Path, pristine: PristineModel):
    photo = np.array(Image.open(assets_dir / "utlive/niqe/image1.bmp"))
    noise = np.random.default_rng(6).normal(0, 40, photo.shape)
    noisy = np.clip(photo + noise, 0, 255).astype(np.uint8)
    clean_value, noisy_value = (niqe(image, data_range=255, pristine=pristine) for image in (photo, noisy))
    assert noisy_value > clean_value + 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint16, bool, complex, object])
def test_only_8_bits_are_taken(dtype: type):
    image = make_image(96, 192).astype(dtype)
    with pytest.raises(ValueError, match=rf"uint8 .*got dtype {image.dtype}"):
        niqe(image, data_range=255, pristine=PLAIN_MODEL)


@pytest.mark.parametrize("data_range", [1, 256, 0, -255, float("nan"), "255"])
def test_data_range_must_be_255(data_range: object):
    with pytest.raises(ValueError, match=rf"data_range .*{data_range!r}"):
        niqe(make_image(96, 192), data_range=data_range, pristine=PLAIN_MODEL)


@pytest.mark.parametrize("shape", [(96, 191), (100, 100, 3), (95, 960), (1, 1)])
def test_fewer_than_two_blocks_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=rf"at least two blocks .*\({shape[0]}, {shape[1]}"):
        niqe(np.zeros(shape, np.uint8), data_range=255, pristine=PLAIN_MODEL)


@pytest.mark.parametrize("shape", [(192,), (192, 192, 4), (1, 192, 192, 3), (0, 192)])
def test_shape_must_be_an_image(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=rf"image must be H x W .*\({shape[0]},"):
        niqe(np.zeros(shape, np.uint8), data_range=255, pristine=PLAIN_MODEL)


def test_an_image_without_texture_is_refused():
    with pytest.raises(ValueError, match=r"texture in at least two blocks .*got 0"):
        niqe(np.full((192, 192, 3), 255, np.uint8), data_range=255, pristine=PLAIN_MODEL)


@pytest.mark.assets
def test_reads_the_released_model(pristine: PristineModel):
    assert pristine.mean.shape == (36,)
    assert pristine.mean[0] == pytest.approx(2.6, abs=0.5)
    np.testing.assert_array_equal(pristine.covariance, pristine.covariance.T)


def test_reads_both_file_formats(tmp_path: Path):
    random = np.random.default_rng(7)
    mean, covariance = random.random((1, 36)), random.random((36, 36))
    io.savemat(tmp_path / "model.mat", {"mu_prisparam": mean, "cov_prisparam": covariance})
    np.savez(tmp_path / "model.npz", mu_pris_param=mean, cov_pris_param=covariance)
    for name in ("model.mat", "model.npz"):
        model = load_pristine_model(tmp_path / name)
        np.testing.assert_array_equal(model.mean, mean[0])
        np.testing.assert_array_equal(model.covariance, covariance)


@pytest.mark.parametrize("name", ["model.mat", "model.npz"])
def test_a_missing_model_file_is_one_sentence(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=rf"{name}: cannot read a NIQE model"):
        load_pristine_model(tmp_path / name)


@pytest.mark.parametrize("name", ["model.mat", "model.npz"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"PK\x03\x04truncated"])
def test_a_damaged_model_file_is_one_sentence(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: cannot read a NIQE model"):
        load_pristine_model(tmp_path / name)


def test_a_model_file_without_its_names_or_of_another_size_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", something=np.zeros(36))
    with pytest.raises(DataError, match=r"other.npz.*mu_pris_param"):
        load_pristine_model(tmp_path / "other.npz")
    np.savez(tmp_path / "small.npz", mu_pris_param=np.zeros(18), cov_pris_param=np.eye(18))
    with pytest.raises(DataError, match=r"small.npz.*\(18,\)"):
        load_pristine_model(tmp_path / "small.npz")


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (np.zeros(35), np.eye(36), r"mean must have shape \(36,\), got \(35,\)"),
        (np.zeros(36), np.eye(35), r"covariance must have shape \(36, 36\), got \(35, 35\)"),
        (np.full(36, np.nan), np.eye(36), "mean must be finite"),
        (np.zeros(36), np.eye(36, dtype=complex), "covariance must be finite .*complex128"),
    ],
)
def test_a_model_checks_its_figures(mean: np.ndarray, covariance: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        PristineModel(mean=mean, covariance=covariance)


def test_the_share_of_flat_pixels_is_told():
    image = make_image(192, 288)
    assert measure_niqe(image, data_range=255, pristine=PLAIN_MODEL)[1] == 0
    image[40:160, 30:200] = 77
    value, share = measure_niqe(image, data_range=255, pristine=PLAIN_MODEL)
    # windows of 7 pixels lie wholly inside, those of the half size after a cubic that reaches 3 pixels further
    full, half = (120 - 6) * (170 - 6), (60 - 8) * (85 - 8)
    assert share == pytest.approx((full + half) / (192 * 288 * 1.25), rel=0.02)
    assert value == niqe(image, data_range=255, pristine=PLAIN_MODEL)


@pytest.mark.assets
def test_flat_regions_are_where_published_images_are_off(assets_dir: Path, pristine: PristineModel):
    shares = {
        golden["image"]: measure_niqe(
            np.array(Image.open(assets_dir / golden["image"])), data_range=255, pristine=pristine
        )[1]
        for golden in GOLDEN["niqe"]
    }
    assert [share > 0 for share in shares.values()] == [golden["tolerance"] > 0.001 for golden in GOLDEN["niqe"]]
