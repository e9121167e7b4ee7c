"""Track A of PIRM 2018: photos, metrics, networks and scores, held against what the software of 2018 makes of them."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from scipy import ndimage

from harness.assets import AssetStore, open_store
from harness.challenge import read_challenge
from harness.dataset import Dataset
from harness.datasets import open_dataset
from harness.datasets.pirm2018a import SPLITS, degrade, find_files
from harness.errors import DataError
from harness.metrics import get_metric
from harness.metrics.profiles import find_preparation, prepare_image
from harness.scoring import evaluate_scores
from harness.session import read_folders
from reference.build import load_published

ROOT = Path(__file__).parent.parent
GOLDEN = tomllib.loads((ROOT / "tests/golden/pirm2018a.toml").read_text(encoding="utf-8"))
BASELINES = ("div2k_srcnn", "div2k_resnet_6_16", "div2k_vgg19_vdsr")


@pytest.fixture(scope="module")
def pirm2018a(assets_dir: Path) -> Dataset:
    return open_dataset("pirm2018a", open_store(assets_dir))


def hash_pixels(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


# --- the dataset


@pytest.mark.assets
def test_sources_are_those_of_the_official_script(pirm2018a: Dataset) -> None:
    pairs = [pirm2018a.load_pair(name) for name in pirm2018a.list_names("all")]
    assert {pair.name: hash_pixels(pair.source) for pair in pairs} == GOLDEN["sources"]
    assert all(pair.source.shape == pair.target.shape for pair in pairs)


@pytest.mark.assets
def test_photos_that_are_timed_are_degraded_too(pirm2018a: Dataset) -> None:
    assert {name: hash_pixels(pirm2018a.load_photo(name)) for name in pirm2018a.photos} == GOLDEN["photos"]


@pytest.mark.assets
def test_fingerprint_is_the_same_everywhere(pirm2018a: Dataset) -> None:
    assert pirm2018a.sha256 == "81510fa50b4048be20d0f50e71be8eec30abce0cad8571234d408fb20cae32d7"


@pytest.mark.assets
def test_progress_counts_the_files(assets_dir: Path) -> None:
    seen = []
    paths = find_files(open_store(assets_dir), lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(1, 10)]
    assert len(paths) == 9
    assert not any("models_pretrained" in name for name in paths)


def test_missing_files_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    with pytest.raises(DataError, match=r"div2k/original/0\.png is neither in the mirror nor in the cache"):
        open_dataset("pirm2018a", AssetStore(None, offline=True))


def test_degrading_is_pillows_bicubic_twice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    small = PillowImage.fromarray(image).resize((16, 12), PillowImage.Resampling.BICUBIC)
    np.testing.assert_array_equal(degrade(image), np.array(small.resize((64, 48), PillowImage.Resampling.BICUBIC)))


def test_degrading_keeps_what_is_flat_and_loses_what_is_fine() -> None:
    flat = np.full((40, 40, 3), (10, 128, 250), np.uint8)
    np.testing.assert_array_equal(degrade(flat), flat)
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(degrade(stripes)[:, 8:-8].astype(int)) <= 2  # the reduction filters: nothing is only left out


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="width and height must be multiples of 4, got 41x40"):
        degrade(np.zeros((40, 41, 3), np.uint8))


# --- the metrics


def measure(name: str, output: np.ndarray, target: np.ndarray) -> float:
    """By pirm-a, but with the border."""
    preparation = find_preparation("pirm-a", name)
    return get_metric(name).compute(output, target, data_range=preparation.data_range, **preparation.options)


@pytest.mark.assets
@pytest.mark.parametrize("name", SPLITS["all"])
def test_metrics_are_tensorflows_but_for_float32(pirm2018a: Dataset, name: str) -> None:
    pair, window = pirm2018a.load_pair(name), (slice(400, 751), slice(600, 1005))
    output, target = (image[window].astype(np.float32) / np.float32(255) for image in (pair.source, pair.target))
    assert measure("psnr", output, target) == pytest.approx(GOLDEN["crops"][name]["psnr"], abs=5e-4)
    assert measure("ms_ssim", output, target) == pytest.approx(GOLDEN["crops"][name]["ms_ssim"], abs=1e-5)


def compute_structure(output: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of SSIM and of its contrast-structure part over an H x W x 3 image, one a channel, by the definition."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        return ndimage.correlate1d(ndimage.correlate1d(x, window, axis=0), window, axis=1)[5:-5, 5:-5]

    x, y = blur(output), blur(target)
    covariance = blur(output * target) - x * y
    variances = blur(output**2) - x**2 + blur(target**2) - y**2
    contrast = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    luminance = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)
    return (luminance * contrast).mean((0, 1)), contrast.mean((0, 1))


def halve(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="symmetric")
    return sum(padded[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


def compute_ms_ssim(output: np.ndarray, target: np.ndarray) -> float:
    """tf.image.ssim_multiscale with max_val 1, in float64: the product for each channel, then the mean of them."""
    product = np.ones(3)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        similarity, contrast = compute_structure(output, target)
        product *= np.maximum(similarity if scale == 4 else contrast, 0) ** weight
        output, target = halve(output), halve(target)
    return float(product.mean())


@pytest.mark.parametrize("shape", [(176, 176, 3), (241, 333, 3)])
def test_ms_ssim_is_tensorflows_formula_in_float64(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(2)
    target = ndimage.gaussian_filter(random.random(shape), (2, 2, 0))
    output = np.clip(target + random.normal(0, 0.1, shape), 0, 1)
    assert measure("ms_ssim", output, target) == pytest.approx(compute_ms_ssim(output, target), abs=1e-12)
    colours = (1 - output)[:, :, ::-1], target[:, :, ::-1]  # negative terms, which count as 0
    assert measure("ms_ssim", *colours) == pytest.approx(compute_ms_ssim(*colours), abs=1e-12)


# --- the networks


def enhance(network: torch.nn.Module, source: np.ndarray) -> np.ndarray:
    image = source.astype(np.float32) / np.float32(255)
    with torch.inference_mode():
        return network(torch.from_numpy(image.transpose(2, 0, 1)[np.newaxis].copy()))[0].numpy().transpose(1, 2, 0)


@pytest.mark.assets
@pytest.mark.parametrize("name", BASELINES)
def test_networks_give_what_tensorflow_gives(pirm2018a: Dataset, assets_dir: Path, name: str) -> None:
    crop = pirm2018a.load_pair("4").source[400:480, 600:721]
    output = enhance(load_published(name, open_store(assets_dir)), crop)
    golden = GOLDEN["networks"][name]
    pixels = [output[row, column] for row, column in GOLDEN["networks"]["places"]]
    np.testing.assert_allclose(pixels, golden["pixels"], rtol=0, atol=1e-5)
    assert output.mean(dtype=np.float64) == pytest.approx(golden["mean"], abs=1e-6)


# --- the challenge


def test_a_run_of_all_submissions_takes_those_of_its_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert {folder.name for folder in read_folders(None, "pirm2018a")[0]} == set(BASELINES)
    assert not {folder.name for folder in read_folders(None, "pirm2018b")[0]} & set(BASELINES)


def score(**columns: float) -> dict[str, float]:
    formulas = read_challenge("pirm2018a").phases["validation"].scores
    values = {"psnr": 26.5, "ms_ssim": 0.94, "time": 50.0, "baseline_time": 50.0} | columns
    return {name: float(value) for name, value in evaluate_scores(formulas, values).items()}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, {"A": 1.0, "B": 1.0, "C": 1.5}),  # alpha, beta, gamma of section 6 of the README of ai-challenge
        ({"psnr": 27.5}, {"A": 5.0, "B": 2.0, "C": 3.5}),
        ({"ms_ssim": 0.95}, {"A": 2.0, "B": 5.0, "C": 3.5}),
        ({"time": 25.0}, {"A": 2.0, "B": 2.0, "C": 3.0}),
        ({"time": 1.0}, {"A": 4.0, "B": 4.0, "C": 6.0}),  # four times the baseline's speed is the most that counts
    ],
)
def test_scores_are_those_of_the_readme(columns: dict[str, float], expected: dict[str, float]) -> None:
    assert score(**columns) == pytest.approx(expected)


def test_input_and_output_have_one_size_and_metrics_are_the_tracks() -> None:
    challenge = read_challenge("pirm2018a")
    assert (challenge.scale, challenge.mos, challenge.stand_in) == (1, None, "")
    assert {m.name: m.profile for m in challenge.metrics} == {"psnr": "pirm-a", "ms_ssim": "pirm-a", "niqe": "live"}
    assert [find_preparation("pirm-a", name).border_px for name in ("psnr", "ms_ssim")] == [16, 16]


# --- the page

PAGE = (ROOT / "docs/pirm2018a.md").read_text(encoding="utf-8")


def read_table(heading: str) -> dict[str, dict[str, str]]:
    """The table below a heading of the page: rows by their first cell, cells by column."""
    section = PAGE.split(f"{heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    columns, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): dict(zip(columns, row, strict=True)) for row in rows}


def read_photo_values(row: str) -> dict[str, tuple[float, float]]:
    cells = read_table("## Each photo")[row]
    return {name: tuple(float(text) for text in cells[name].split(" / ")) for name in SPLITS["all"]}


@pytest.mark.parametrize("row", ["the input itself", *BASELINES])
def test_means_on_the_page_are_those_of_its_photos(row: str) -> None:
    means = np.mean(list(read_photo_values(row).values()), axis=0)
    cells = read_table("## Measured")[row]
    assert means[0] == pytest.approx(float(cells["PSNR (dB)"]), abs=6e-4)
    assert means[1] == pytest.approx(float(cells["MS-SSIM"]), abs=6e-6)


@pytest.mark.parametrize("row", GOLDEN["means"])
def test_figures_of_2018_on_the_page_are_the_golden_ones(row: str) -> None:
    cells = read_table("## Measured")[row]
    psnr_db, ms_ssim = GOLDEN["means"][row]
    assert (cells["PSNR, 2018 (dB)"], cells["MS-SSIM, 2018"]) == (f"{psnr_db:.3f}", f"{ms_ssim:.5f}")


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "photos"),
    [("the input itself", "01468"), ("div2k_srcnn", "1"), ("div2k_resnet_6_16", "1")],
)
def test_values_on_the_page_are_measured(pirm2018a: Dataset, assets_dir: Path, row: str, photos: str) -> None:
    """Not those of VDSR, which takes minutes a photo; its network is held against TensorFlow's on a window."""
    network = load_published(row, open_store(assets_dir)) if row in BASELINES else None
    published = read_photo_values(row)
    for name in photos:
        pair = pirm2018a.load_pair(name)
        output = pair.source if network is None else enhance(network, pair.source)
        values = []
        for metric in ("psnr", "ms_ssim"):
            preparation = find_preparation("pirm-a", metric)
            values.append(measure(metric, *(prepare_image(image, preparation) for image in (output, pair.target))))
        assert values[0] == pytest.approx(published[name][0], abs=6e-3)
        assert values[1] == pytest.approx(published[name][1], abs=2e-5)
