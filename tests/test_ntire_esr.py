"""Efficient super-resolution: its low-resolution photos, its baseline, its scores, and a run of it."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import models
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from stored import make_record, make_timing

from harness.admission import validate
from harness.assets import AssetStore
from harness.boards import build_boards
from harness.challenge import Challenge, read_challenge
from harness.datasets.ntire_esr import SCALE, open_dataset, reduce_axis, reduce_bicubic
from harness.evaluate import evaluate
from harness.job import Evaluation
from harness.metrics.bridge import import_pyiqa
from harness.metrics.psnr import psnr
from harness.quality import bind_metrics
from harness.records import Cost, ImageScore, Record
from harness.render.markdown import render_leaderboard
from harness.submission import read_submission
from reference.span import SPAN

ROOT = Path(__file__).parent.parent
# valid_psnr of 00_SPAN in results.json of github.com/Amazingren/NTIRE2026_ESR at f839501
SPAN_PSNR_DB = (28.148818885677155, 25.926555135482197, 33.07065463291407, 34.04665907794793, 34.23647806012141)


@pytest.fixture(scope="module")
def rules() -> Challenge:
    return read_challenge("ntire_esr")


def make_entry(
    name: str, rules: Challenge, *, ms: float, multiply_adds: int, parameters: int, psnr_db: float
) -> Record:
    """A record of this challenge; the baseline takes 200 ms."""
    record = make_record(name, photos=())
    quality = msgspec.structs.replace(
        record.quality,
        dataset="ntire_esr",
        profiles={"psnr": "ntire-rgb4"},
        pairs=tuple(ImageScore(str(n), {"psnr": psnr_db + n - 2}) for n in range(5)),
        photos=(),
    )
    cost = Cost(300_000, parameters, multiply_adds)
    return msgspec.structs.replace(
        record, challenge=rules.name, quality=quality, cost=cost, timing=make_timing(ms, spread=0)
    )


def paint(height_px: int, width_px: int) -> np.ndarray:
    random = np.random.default_rng(3)
    return random.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def test_the_inside_is_what_pillow_gives() -> None:
    """Pillow's bicubic is antialiased, has a = -0.5 and rounds between the axes too; only its edges are others."""
    image = paint(120, 200)
    turned = Image.fromarray(np.ascontiguousarray(image.transpose(1, 0, 2)))  # Pillow takes the width first
    theirs = np.asarray(turned.resize((120 // SCALE, 200 // SCALE), Image.Resampling.BICUBIC)).transpose(1, 0, 2)
    np.testing.assert_array_equal(reduce_bicubic(image)[2:-2, 2:-2], theirs[2:-2, 2:-2])


@pytest.mark.parametrize("axis", [0, 1])
def test_one_axis_with_its_edges_is_what_pyiqa_gives(axis: int) -> None:
    """pyiqa's imresize follows MATLAB's, mirrored edges included, in floats; ours is that, rounded half up."""
    import_pyiqa()
    from pyiqa.matlab_utils import imresize

    line = paint(1, 64)[0, :, 0]
    image = np.broadcast_to(line[:, None, None] if axis == 0 else line[None, :, None], (64, 64, 3))
    tensor = torch.from_numpy(image.astype(np.float64).transpose(2, 0, 1)[None].copy())
    theirs = imresize(tensor, scale=1 / SCALE).numpy()[0, 0]
    expected = np.clip(np.floor(theirs + 0.5), 0, 255)
    near_half = np.abs(theirs % 1 - 0.5) < 1e-9
    ours = reduce_bicubic(np.ascontiguousarray(image))[:, :, 0]
    np.testing.assert_array_equal(ours[~near_half], expected[~near_half])
    assert near_half.mean() < 0.1


def test_halves_are_rounded_upwards_after_each_axis() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = 1  # the mean of mirrored halves is 0.5
    assert (reduce_axis(image, 0) == 1).all()
    assert (reduce_bicubic(np.full((8, 8, 3), 77, np.uint8)) == 77).all()


def test_a_size_that_cannot_be_quartered_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 4, got shape \(10, 8, 3\)"):
        reduce_bicubic(np.zeros((10, 8, 3), np.uint8))


def test_the_baseline_has_the_published_cost(rules: Challenge, tmp_path: Path) -> None:
    assert sum(parameter.numel() for parameter in SPAN().parameters()) == rules.baseline.parameters == 150_688
    (tmp_path / "model.onnx").write_bytes(rules.baseline.model.read_bytes())
    (tmp_path / "submission.toml").write_text('name = "span"\ntitle = "SPAN"\ntrained_on = "nothing"\n')
    _, cost, _ = validate(read_submission(tmp_path), rules, allow_code=False)
    assert cost.multiply_adds == rules.baseline.multiply_adds == 9_833_807_872  # "flops" of results.json, in units


def test_the_baseline_scores_what_the_challenge_says(rules: Challenge) -> None:
    entry = make_entry("span", rules, ms=200, multiply_adds=9_833_807_872, parameters=150_688, psnr_db=31.09)
    (board,) = build_boards([entry], rules)
    row = board.frame.iloc[0]
    for score in rules.phases["validation"].scores:
        assert row[score] == pytest.approx(7.3891, abs=5e-5)  # its README


def test_less_is_better_and_only_who_qualifies_is_ranked(rules: Challenge) -> None:
    cheap = {"multiply_adds": 5_000_000_000, "parameters": 100_000}
    entries = [
        make_entry("slow", rules, ms=300, psnr_db=31.2, **cheap),
        make_entry("fast", rules, ms=100, psnr_db=31.1, **cheap),
        make_entry("faint", rules, ms=10, psnr_db=31.0, **cheap),
        make_entry("endless", rules, ms=200_000, psnr_db=31.2, **cheap),
    ]
    (board,) = build_boards(entries, rules)
    frame = board.frame.set_index("submission")
    assert list(frame.index) == ["fast", "slow", "endless", "faint"]
    assert frame["rank"].tolist()[:3] == [1, 2, 3]
    assert math.isnan(frame["rank"]["faint"])
    assert frame["Final_first"]["fast"] == 1
    assert math.isfinite(frame["Final"]["endless"])
    page = render_leaderboard([board], entries, rules)
    assert "**Score Final**, lower is better" in page
    assert "Ranked is who has PSNR (dB) of at least 31.05." in page
    assert "ok, not qualified" in page
    assert "MOS" not in page


@pytest.mark.assets
def test_pairs_are_five_of_div2k(assets_dir: Path, rules: Challenge) -> None:
    opened = open_dataset(AssetStore(assets_dir, offline=True))
    assert (opened.scale, opened.list_names("all")) == (rules.scale, ("0814", "0823", "0862", "0882", "0898"))
    for name, published_db in zip(opened.list_names("all"), SPAN_PSNR_DB, strict=True):
        pair = opened.load_pair(name)
        assert pair.target.shape == (4 * pair.source.shape[0], 4 * pair.source.shape[1], 3)
        size = pair.target.shape[1], pair.target.shape[0]
        bicubic = np.asarray(Image.fromarray(pair.source).resize(size, Image.Resampling.BICUBIC))
        # SPAN is 1 to 3 dB better on each, so that the photos are those, in this order
        gain_db = published_db - psnr(bicubic[4:-4, 4:-4], pair.target[4:-4, 4:-4], data_range=255)
        assert 0.6 < gain_db < 3
    shape = (rules.speed.height_px, rules.speed.width_px, 3)
    assert {opened.load_photo(name).shape for name in opened.photos} == {shape}


@pytest.mark.assets
def test_bicubic_enlargement_is_evaluated(assets_dir: Path, rules: Challenge) -> None:
    metrics, _ = bind_metrics(rules, AssetStore(assets_dir, offline=True))
    evaluation = Evaluation(rules, open_dataset(AssetStore(assets_dir, offline=True)), metrics, plan=None, threads=1)
    folder = read_submission(ROOT / "submissions" / "bicubic_x4")
    record = evaluate(folder, evaluation, split=None, on_progress=lambda step: None)
    assert record.quality is not None
    for score in record.quality.pairs:
        pair = evaluation.dataset.load_pair(score.image)
        size = pair.target.shape[1], pair.target.shape[0]
        theirs = np.asarray(Image.fromarray(pair.source).resize(size, Image.Resampling.BICUBIC))
        expected_db = psnr(theirs[4:-4, 4:-4], pair.target[4:-4, 4:-4], data_range=255)
        assert score.values["psnr"] == pytest.approx(expected_db, abs=0.02)  # Pillow rounds between the axes


def test_an_output_of_another_size_is_refused(
    evaluation: Evaluation, submit: Callable[..., object], rules: Challenge
) -> None:
    enlarging = dataclasses.replace(evaluation, challenge=msgspec.structs.replace(evaluation.challenge, scale=4))
    record = evaluate(submit(models.identity()), enlarging, split=None, on_progress=lambda step: None)
    assert record.failure is not None
    assert record.failure.kind == "wrong_shape"
    assert "(1, 440, 480, 3), 4 times as high and wide" in record.failure.message
