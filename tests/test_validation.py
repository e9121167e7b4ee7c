"""Validation: the metrics against the harness's own, image by image; the mosaic; the choice of weights."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from harness.assets import AssetStore
from harness.metrics import ms_ssim, niqe, psnr
from harness.metrics.niqe import PristineModel
from reference import validation
from reference.data import Pairs
from reference.validation import (
    Candidate,
    cut_tiles,
    find_niqe,
    keep_candidates,
    make_mosaic,
    measure_pairs,
    measure_target_niqe,
    validate,
)

PLAIN_MODEL = PristineModel(mean=np.zeros(36), covariance=np.eye(36))


class Brighten(nn.Module):
    """Leaves [0, 1] on both sides, so that clipping shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.4 * x - 0.15


def compute_niqe(image: np.ndarray) -> float:
    return niqe(image, data_range=255, pristine=PLAIN_MODEL)


def make_pairs(count: int = 6, size: int = 100) -> Pairs:
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    target = (source.double() * 0.9 + 20 * torch.rand(source.shape, generator=generator)).byte()
    return Pairs(source, target, tuple(range(count)))


@pytest.mark.parametrize("batch_size", [32, 4])
def test_metrics_are_the_harnesss(monkeypatch, batch_size):
    monkeypatch.setattr(validation, "BATCH_SIZE", batch_size)
    pairs = make_pairs()
    found, values = validate(Brighten(), pairs), measure_pairs(Brighten(), pairs)
    images = [
        ((1.4 * (s / np.float32(255)) - 0.15).transpose(1, 2, 0), (t / np.float32(255)).transpose(1, 2, 0))
        for s, t in zip(pairs.source.numpy(), pairs.target.numpy(), strict=True)
    ]
    expected_db = [psnr(np.clip(output, 0, 1), target, data_range=1.0) for output, target in images]
    assert values.psnr_db.tolist() == pytest.approx(expected_db, abs=1e-5)
    assert found.psnr_db == pytest.approx(np.mean(expected_db), abs=1e-5)
    expected = [ms_ssim(output, target, data_range=1.0) for output, target in images]
    assert values.ms_ssim.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.ms_ssim == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.niqe is None


def test_targets_of_one_colour_are_left_out():
    pairs = make_pairs(5)
    white = Pairs(pairs.source, pairs.target.clone(), pairs.numbers)
    white.target[2] = 255
    kept = white.select([0, 1, 3, 4])
    assert vars(validate(Brighten(), white, compute_niqe)) == pytest.approx(
        vars(validate(Brighten(), kept, compute_niqe))
    )
    assert measure_target_niqe(white, compute_niqe) == measure_target_niqe(kept, compute_niqe)
    white.target[:] = 255
    with pytest.raises(ValueError, match="more than one colour"):
        validate(Brighten(), white)


def test_niqe_is_that_of_a_mosaic_of_the_middles():
    pairs = make_pairs(6)
    middles = []
    for image in pairs.source.numpy():
        output = np.clip(1.4 * (image / np.float32(255)) - np.float32(0.15), 0, 1)[:, 2:98, 2:98]
        middles.append(np.round(output * 255).astype(np.uint8).transpose(1, 2, 0))
    mosaic = np.vstack([np.hstack(middles[:3]), np.hstack(middles[3:])])
    seen = []
    found = validate(Brighten(), pairs, lambda image: seen.append(image) or compute_niqe(image))
    assert seen[0].dtype == np.uint8
    np.testing.assert_allclose(seen[0].astype(int), mosaic, atol=1)  # a value at the edge of rounding
    assert (seen[0] != mosaic).mean() < 1e-4
    assert found.niqe == compute_niqe(seen[0])
    targets = [image[:, 2:98, 2:98].transpose(1, 2, 0) for image in pairs.target.numpy()]
    expected = compute_niqe(np.vstack([np.hstack(targets[:3]), np.hstack(targets[3:])]))
    assert measure_target_niqe(pairs, compute_niqe) == expected


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (12, 3, 4), (48, 6, 8), (60, 6, 10), (100, 10, 10), (400, 16, 25), (7, 1, 7)],
)
def test_mosaic_is_as_near_to_4_to_3_as_its_divisors_allow(count, rows, columns):
    tiles = np.random.default_rng(0).integers(0, 256, (count, 2, 3, 3), dtype=np.uint8)
    mosaic = make_mosaic(tiles)
    assert mosaic.shape == (2 * rows, 3 * columns, 3)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        np.testing.assert_array_equal(mosaic[2 * row : 2 * row + 2, 3 * column : 3 * column + 3], tile)


@pytest.mark.parametrize("batch_size", [32, 3, 2])
def test_mosaic_has_at_most_so_many_tiles(monkeypatch, batch_size):
    monkeypatch.setattr(validation, "MOSAIC_TILES", 4)
    monkeypatch.setattr(validation, "BATCH_SIZE", batch_size)
    seen, taken = [], []
    take = Pairs.take
    monkeypatch.setattr(Pairs, "take", lambda self, positions: taken.extend(positions) or take(self, positions))
    measure_target_niqe(make_pairs(6), lambda image: seen.append(image.shape) or 1.0)
    assert len(taken) == {32: 6, 3: 6, 2: 4}[batch_size], "nothing is read once there are enough"
    validate(Brighten(), make_pairs(6), lambda image: seen.append(image.shape) or 1.0)
    assert seen == [(192, 192, 3)] * 2
    first = measure_pairs(Brighten(), make_pairs(6).select([0, 1, 2, 3])).tiles
    np.testing.assert_array_equal(measure_pairs(Brighten(), make_pairs(6)).tiles, first)


@pytest.mark.parametrize(("count", "size"), [(1, 100), (6, 95)])
def test_niqe_that_is_not_defined_is_none(count, size):
    pairs = make_pairs(count, size)
    assert measure_target_niqe(pairs, compute_niqe) is None
    assert validate(Brighten(), pairs, compute_niqe).niqe is None


def test_tiles_are_rounded_not_cut_off():
    images = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 2.0]).view(6, 1, 1, 1)
    tiles = cut_tiles(images.expand(6, 3, 96, 96))
    assert tiles.shape == (6, 96, 96, 3)
    assert tiles[:, 0, 0, 0].tolist() == [0, 0, 1, 254, 255, 255]


@pytest.mark.assets
def test_niqe_has_the_pristine_model(assets_dir):
    image = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    pristine = validation.load_pristine_model(assets_dir / "utlive/niqe/modelparameters.mat")
    assert find_niqe(AssetStore(assets_dir), make_pairs())(image) == niqe(image, data_range=255, pristine=pristine)


def test_missing_pristine_model_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    assert find_niqe(AssetStore(tmp_path, offline=True), make_pairs()) is None
    notice = capsys.readouterr().err
    assert notice.startswith("NIQE is left out: ")
    assert "harness fetch" in notice
    assert notice.count("\n") == 1


def test_no_model_is_looked_for_where_pairs_are_too_small(monkeypatch, capsys):
    monkeypatch.setattr(validation, "find_pristine_model", None)
    assert find_niqe(AssetStore(None, offline=True), make_pairs(2, 95)) is None
    assert capsys.readouterr().err == "NIQE is left out: it needs pairs of at least 96x96 px\n"


def select_slowly(measured: list[tuple[float, float]], margin_db: float) -> int:
    """The rule as it is stated: the position of the selected one."""
    best_db = max(psnr_db for psnr_db, _ in measured)
    near = [i for i, (psnr_db, _) in enumerate(measured) if psnr_db >= best_db - margin_db]
    return min(near, key=lambda i: (measured[i][1], -measured[i][0], i))


def test_selection_keeps_what_the_rule_may_need():
    random = np.random.default_rng(4)
    for _ in range(200):
        measured = [(random.integers(0, 8) / 20, random.integers(0, 6) / 2) for _ in range(12)]
        kept: list[Candidate] = []
        for step, (psnr_db, value) in enumerate(measured):
            kept = keep_candidates([*kept, Candidate(step, psnr_db, value, {})], 0.15)
            assert kept[0].step == select_slowly(measured[: step + 1], 0.15)
        assert all(a.niqe < b.niqe and a.psnr_db < b.psnr_db for a, b in itertools.pairwise(kept))
