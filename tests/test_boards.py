"""Boards: which records stand on which, and that every figure follows from the samples."""

from collections.abc import Callable, Hashable
from typing import Any

import msgspec
import numpy as np
import pytest
from stored import ALL, TEST, make_failure, make_pairs, make_record, make_timing, replace_values

from harness.boards import Board, build_boards, restrict_quality
from harness.challenge import Challenge, read_challenge
from harness.errors import RecordError, UsageError
from harness.estimates import average_quality, estimate_mos, estimate_quality
from harness.metrics.mos_proxy import fit_mos, predict_mos
from harness.records import ImageScore, Record

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def get_rows(board: Board) -> dict[Hashable, dict[Hashable, Any]]:
    return {row["submission"]: row for row in board.frame.to_dict("records")}


def collect(record: Record, metric: str, images: tuple[str, ...] = ALL) -> list[float]:
    values = [pair.values[metric] for pair in record.quality.pairs if pair.image in images]
    return [value for value in values if value is not None]


def test_larger_split_also_stands_on_the_smaller_board(challenge: Challenge) -> None:
    small, large = make_record("small", split="test", images=TEST, seed=1), make_record("large", seed=2)
    test, everything = build_boards([large, small], challenge)
    assert (test.split, test.pair_count, everything.split, everything.pair_count) == ("test", 5, "all", 20)
    assert set(get_rows(test)) == {"small", "large"}
    assert set(get_rows(everything)) == {"large"}
    for record in (small, large):
        for metric in ("psnr", "ms_ssim"):
            assert get_rows(test)[record.submission.name][metric] == pytest.approx(
                np.mean(collect(record, metric, TEST)), rel=1e-12
            )
    assert get_rows(everything)["large"]["psnr"] == pytest.approx(np.mean(collect(large, "psnr")), rel=1e-12)
    assert get_rows(test)["large"]["psnr"] != pytest.approx(get_rows(everything)["large"]["psnr"], rel=1e-6)
    assert get_rows(test)["large"]["niqe"] == np.mean([4.0, 5.0, 5.5, 6.5])


def test_order_of_the_records_does_not_matter(challenge: Challenge) -> None:
    records = [make_record("a", seed=1), make_record("b", split="test", images=TEST), make_record("c", seed=3)]
    for board, other in zip(build_boards(records, challenge), build_boards(records[::-1], challenge), strict=True):
        assert (board.split, board.pair_count) == (other.split, other.pair_count)
        assert board.frame.equals(other.frame)


def test_record_of_other_pairs_stays_away(challenge: Challenge) -> None:
    train = make_record("train", split="train", images=tuple(set(ALL) - set(TEST)))
    boards = build_boards([train, make_record("test", split="test", images=TEST)], challenge)
    assert {board.split: set(get_rows(board)) for board in boards} == {"train": {"train"}, "test": {"test"}}


def test_board_with_the_most_submissions_comes_first(challenge: Challenge) -> None:
    train = tuple(set(ALL) - set(TEST))
    records = [make_record(name, split="train", images=train) for name in ("a", "b")]
    boards = build_boards([make_record("c", split="test", images=TEST), *records], challenge)
    assert [(board.split, board.pair_count) for board in boards] == [("train", 15), ("test", 5)]


def test_board_names_its_dataset(challenge: Challenge) -> None:
    (board,) = build_boards([make_record()], challenge)
    assert (board.dataset, board.dataset_note, board.dataset_sha256) == ("pirm2018b", "A note.", "d" * 64)
    assert board.photo_count == 4


@pytest.mark.parametrize("changed", [{"dataset_sha256": "e" * 64}, {"dataset": "other"}])
def test_different_datasets_are_refused(challenge: Challenge, changed: dict[str, str]) -> None:
    record = make_record("beta")
    other = replace(record, quality=replace(record.quality, **changed))
    with pytest.raises(RecordError, match=r"different datasets or versions of one .*alpha on pirm2018b d.*; beta on "):
        build_boards([make_record("alpha"), other], challenge)


def test_split_with_other_images_is_refused(challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="the record of beta has other images of the split test than the others"):
        build_boards(
            [make_record("alpha", split="test", images=TEST), make_record("beta", split="test", images=ALL[:5])],
            challenge,
        )


def test_no_result_gives_no_board(challenge: Challenge) -> None:
    assert build_boards([], challenge) == ()
    assert build_boards([make_failure("beta", "it crashed")], challenge) == ()


def test_failed_submission_is_on_no_board(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("alpha"), make_failure("beta", "it crashed")], challenge)
    assert set(get_rows(board)) == {"alpha"}


def test_infinite_psnr_counts_as_the_challenge_says(challenge: Challenge) -> None:
    record = replace_values(make_record(), {"3": {"psnr": None}, "8": {"psnr": None}})
    (board,) = build_boards([record], challenge)
    row = get_rows(board)["alpha"]
    assert row["infinite"] == 2
    assert row["psnr"] == pytest.approx((sum(collect(record, "psnr")) + 2 * 54.15) / 20, rel=1e-12)
    assert challenge.infinite_psnr_db == 54.15
    test = restrict_quality(record.quality, TEST, "test")  # holds only one of the two
    boards = build_boards([record, replace(make_record("beta"), quality=test)], challenge)
    assert get_rows(boards[0])["alpha"]["infinite"] == 1


def test_scores_are_the_published_formula(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("alpha", ms=100.0, seed=5)], challenge)
    row = get_rows(board)["alpha"]
    speed_up = min(row["baseline_time"] / row["time"], 4)
    assert speed_up == pytest.approx(2, rel=1e-6)
    quality = (row["psnr"] - 21, row["ms_ssim"] - 0.9)
    assert row["A"] == pytest.approx(4 * quality[0] + 100 * quality[1] + 2 * speed_up, rel=1e-12)
    assert row["B"] == pytest.approx(1 * quality[0] + 400 * quality[1] + 2 * speed_up, rel=1e-12)
    assert row["C"] == pytest.approx(2 * quality[0] + 200 * quality[1] + 2.9 * speed_up, rel=1e-12)


def test_speed_up_is_capped_in_scores_only(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("fast", ms=10.0, seed=5), make_record("slower", ms=50.0, seed=5)], challenge)
    rows = get_rows(board)
    assert rows["fast"]["speed_up"] == pytest.approx(20, rel=1e-6)
    assert rows["fast"]["A"] == pytest.approx(rows["slower"]["A"], rel=1e-6)


def test_test_phase_scores_the_estimated_mos(challenge: Challenge) -> None:
    (board,) = build_boards([make_record()], challenge, phase="test")
    row = get_rows(board)["alpha"]
    fit = fit_mos([(6.00, 2.6283), (6.55, 2.296), (6.82, 2.4111)])  # Table 3 and the final table
    assert row["mos"] == pytest.approx(fit.intercept + fit.slope * 5.25, rel=1e-12)
    expected = 4 * (row["psnr"] - 21) + 7.21 * (row["mos"] - 2.296) + 2 * row["speed_up"]
    assert row["A"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(UsageError, match="unknown phase 'tset'"):
        build_boards([make_record()], challenge, phase="tset")


def test_copies_of_one_file_share_their_rank_and_the_first_place(challenge: Challenge) -> None:
    copies = [make_record(name, ms=ms, sha256="c" * 64, seed=1) for name, ms in (("one", 100.0), ("two", 104.0))]
    (board,) = build_boards([*copies, make_record("other", psnr=15.0)], challenge)
    rows = get_rows(board)
    for score in "ABC":
        assert [rows[name][f"{score}_first"] for name in ("one", "two", "other")] == [0.5, 0.5, 0]
        assert rows["one"][score] == rows["two"][score]
    assert [rows[name]["rank"] for name in ("one", "two", "other")] == [1, 1, 3]
    assert rows["one"]["time"] == rows["two"]["time"] == pytest.approx(102, rel=2e-3)
    apart = build_boards([copies[0], replace(copies[1], submission=make_record("two").submission)], challenge)[0]
    assert get_rows(apart)["two"]["time"] == pytest.approx(104, rel=2e-3)


def test_rows_that_the_images_cannot_tell_apart_share_a_rank(challenge: Challenge) -> None:
    sure = make_record("sure", pairs=make_pairs(ALL, seed=1, psnr=22.0))
    images = {pair.image: pair.values for pair in sure.quality.pairs}

    def shift(name: str, by_image: Callable[[int], float]) -> Record:
        shifted = {
            image: {"psnr": values["psnr"] + by_image(number)} for number, (image, values) in enumerate(images.items())
        }
        return replace_values(make_record(name, pairs=sure.quality.pairs), shifted)

    worse, level = shift("worse", lambda _: -0.05), shift("level", lambda number: 0.5 if number % 2 else -0.52)
    (board,) = build_boards([level, worse, sure], challenge)
    rows = get_rows(board)
    # far inside the interval of each, but the same on every image: no doubt about that one
    assert rows["sure"]["A_high"] - rows["sure"]["A_low"] > 10 * (rows["sure"]["A"] - rows["worse"]["A"])
    assert {name: row["rank"] for name, row in rows.items()} == {"sure": 1, "level": 1, "worse": 3}
    assert rows["worse"]["A_first"] < 0.35
    assert rows["sure"]["A_first"] > rows["level"]["A_first"] > 0.2
    assert sum(row["A_first"] for row in rows.values()) == pytest.approx(1)


def test_ranks_follow_the_first_score(challenge: Challenge) -> None:
    records = [
        make_record("worst", psnr=20.0),
        make_record("best", psnr=24.0),
        make_record("tied_b", psnr=22.0),
        make_record("tied_a", psnr=22.0),
    ]
    (board,) = build_boards(records, challenge)
    assert list(board.frame["submission"]) == ["best", "tied_a", "tied_b", "worst"]
    assert list(board.frame["rank"]) == [1, 2, 2, 4]


def test_record_without_time_is_listed_without_rank(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("untimed", psnr=40.0, ms=None), make_record("timed", psnr=20.0)], challenge)
    assert list(board.frame["submission"]) == ["timed", "untimed"]
    row = get_rows(board)["untimed"]
    assert row["psnr"] == pytest.approx(np.mean(collect(make_record(psnr=40.0), "psnr")))
    assert np.isnan([row["rank"], row["A"], row["A_low"], row["time"], row["speed_up"]]).all()
    assert get_rows(board)["timed"]["rank"] == 1


def test_nothing_is_ranked_where_nothing_was_timed(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("b", ms=None), make_record("a", ms=None)], challenge)
    assert list(board.frame["submission"]) == ["a", "b"]
    assert board.frame["rank"].isna().all()


def test_record_without_a_metric_has_none_of_its_figures(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("alpha", photos=()), make_record("beta")], challenge, phase="test")
    row = get_rows(board)["alpha"]
    assert np.isnan([row["niqe"], row["mos"], row["A"], row["rank"]]).all()
    assert np.isfinite([row["psnr"], row["ms_ssim"], row["time"]]).all()
    assert get_rows(board)["beta"]["rank"] == 1


def test_unknown_cost_is_no_figure(challenge: Challenge) -> None:
    record = make_record("alpha")
    unknown = replace(record, cost=replace(record.cost, multiply_adds=None))
    (board,) = build_boards([unknown, make_record("beta")], challenge)
    assert np.isnan(get_rows(board)["alpha"]["multiply_adds"])
    assert get_rows(board)["beta"]["multiply_adds"] == 63_700_000_000
    assert get_rows(board)["alpha"]["peak_bytes"] == 500_000_000


@pytest.mark.parametrize("seed", range(5))
def test_intervals_hold_the_value(challenge: Challenge, seed: int) -> None:
    (board,) = build_boards([make_record(seed=seed)], challenge)
    row = get_rows(board)["alpha"]
    for name in ("psnr", "ms_ssim", "niqe", "mos", "time", "baseline_time", "speed_up", "A", "B", "C"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"], name


def test_psnr_interval_is_that_of_the_standard_error(challenge: Challenge) -> None:
    record = make_record(seed=3)
    (board,) = build_boards([record], challenge)
    row = get_rows(board)["alpha"]
    values = collect(record, "psnr")
    error = np.std(values) / np.sqrt(len(values))  # without Bessel's correction, as a bootstrap has it
    assert row["psnr_high"] - row["psnr_low"] == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_intervals_are_the_same_each_time(challenge: Challenge) -> None:
    first, second = (build_boards([make_record(), make_record("beta", seed=1)], challenge) for _ in range(2))
    assert first[0].frame.equals(second[0].frame)


def test_score_interval_of_constant_samples_is_a_point(challenge: Challenge) -> None:
    pairs = [ImageScore(image, {"psnr": 22.0, "ms_ssim": 0.92}) for image in ALL]
    record = replace(make_record(pairs=pairs, photos=(5.0, 5.0)), timing=make_timing(100.0, spread=0))
    row = get_rows(build_boards([record], challenge)[0])["alpha"]
    assert row["A"] == pytest.approx(4 + 2 + 4, rel=1e-9)
    assert row["A_low"] == pytest.approx(row["A"], rel=1e-12)
    assert row["A_high"] == pytest.approx(row["A"], rel=1e-12)
    assert row["speed_up_low"] == pytest.approx(row["speed_up_high"], rel=1e-12)


def test_score_carries_the_spread_of_images_and_time(challenge: Challenge) -> None:
    record = make_record(seed=4)
    steady = replace(record, timing=make_timing(100.0, spread=0))
    unsteady = replace(record, timing=make_timing(100.0, spread=2.0))
    widths = []
    for changed in (steady, unsteady):
        row = get_rows(build_boards([changed], challenge)[0])["alpha"]
        widths.append(row["A_high"] - row["A_low"])
    assert widths[0] > 1
    assert widths[1] > 1.1 * widths[0]


def test_mos_interval_is_as_wide_as_three_pairs_leave_it(challenge: Challenge) -> None:
    """Constant NIQE: nothing is left but the fit's own prediction interval, Student's t with one degree of freedom."""
    fit = fit_mos([(pair.niqe, pair.mos) for pair in challenge.mos.pairs])
    record = make_record(photos=(5.0, 5.0, 5.0))
    row = get_rows(build_boards([record], challenge)[0])["alpha"]
    value, low, high = predict_mos(fit, 5.0)
    assert row["mos"] == pytest.approx(value, rel=1e-12)
    assert (row["mos_low"], row["mos_high"]) == pytest.approx((low, high), rel=0.02)
    assert row["mos_high"] - row["mos_low"] > 4  # the whole scale of opinion scores is 1 to 5


def test_mos_interval_grows_with_the_spread_of_niqe(challenge: Challenge) -> None:
    fit = fit_mos([(5.0, 3.0), (6.0, 2.5), (7.0, 2.1), (8.0, 1.4), (9.0, 1.0)])
    widths = []
    for photos in ((7.0, 7.0), (3.0, 11.0)):
        niqe = estimate_quality(make_record(photos=photos).quality, challenge)["niqe"]
        fields = estimate_mos(niqe, fit, "alpha").fields("mos")
        widths.append(fields["mos_high"] - fields["mos_low"])
    assert widths[1] > 2 * widths[0]


def test_averages_are_the_estimates_values(challenge: Challenge) -> None:
    quality = make_record(seed=6).quality
    estimates = estimate_quality(quality, challenge)
    assert average_quality(quality, challenge) == {name: estimate.value for name, estimate in estimates.items()}
    assert list(estimates) == ["psnr", "ms_ssim", "psnr_png", "ms_ssim_png", "niqe", "niqe_snapped"]


def test_restricting_keeps_values_and_order() -> None:
    quality = make_record().quality
    restricted = restrict_quality(quality, ("8", "2"), "some")
    assert [pair.image for pair in restricted.pairs] == ["8", "2"]
    assert restricted.pairs[1] == make_pairs(["2"])[0]
    assert (restricted.split, restricted.photos) == ("some", quality.photos)
