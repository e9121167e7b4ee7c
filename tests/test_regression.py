"""What counts as worse, in which direction, by how much; and what cannot be compared at all."""

import re
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from stored import ALL, TEST, make_failure, make_record, make_timing, replace_values

from harness.boards import build_boards
from harness.challenge import Challenge, find_phase, read_challenge
from harness.errors import RecordError
from harness.records import ImageScore, Record
from harness.regression import (
    Comparison,
    compare_images,
    compare_means,
    compare_scores,
    compare_speed,
    describe_comparison,
    describe_speed,
    find_difference,
)
from harness.tolerances import IMAGE, MEAN

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def shift(record: Record, **amounts: float) -> Record:
    """The record with every value of some metrics changed by an amount."""

    def change(images: tuple[ImageScore, ...]) -> tuple[ImageScore, ...]:
        return tuple(
            ImageScore(i.image, {name: value + amounts.get(name, 0.0) for name, value in i.values.items()})
            for i in images
        )

    quality = record.quality
    return replace(record, quality=replace(quality, pairs=change(quality.pairs), photos=change(quality.photos)))


def find_losses(
    before: Record, after: Record, challenge: Challenge, tolerances: Mapping[str, float] = MEAN
) -> list[Comparison]:
    """The means that got worse."""
    return [mean for mean in compare_means(before, after, challenge, tolerances=tolerances) if mean.loss > mean.allowed]


def describe_difference(before: Record, after: Record, challenge: Challenge) -> str:
    """A sentence on the image that differs the most; "" for none."""
    found = find_difference(compare_images(before, after, challenge, tolerances=IMAGE))
    return describe_comparison(found, "differs") if found else ""


def test_same_record_is_no_regression(challenge: Challenge) -> None:
    means = compare_means(make_record(), make_record(), challenge, tolerances=MEAN)
    assert [(mean.quantity, mean.loss, mean.allowed) for mean in means] == [
        (name, 0.0, MEAN[name]) for name in ("psnr", "ms_ssim", "niqe")
    ]


@pytest.mark.parametrize(("quantity", "worse"), [("psnr", -1), ("ms_ssim", -1), ("niqe", 1)])
def test_worse_by_more_than_allowed_is_found(challenge: Challenge, quantity: str, worse: int) -> None:
    before, allowed = make_record(), MEAN[quantity]
    (found,) = find_losses(before, shift(before, **{quantity: 1.05 * worse * allowed}), challenge)
    assert (found.submission, found.quantity, found.allowed) == ("alpha", quantity, allowed)
    assert found.after - found.before == pytest.approx(1.05 * worse * allowed)
    assert find_losses(before, shift(before, **{quantity: 0.95 * worse * allowed}), challenge) == []
    assert find_losses(before, shift(before, **{quantity: -100 * worse * allowed}), challenge) == []


def test_every_quantity_is_found(challenge: Challenge) -> None:
    before = make_record()
    found = find_losses(before, shift(before, psnr=-1.0, ms_ssim=-0.1, niqe=1.0), challenge)
    assert [regression.quantity for regression in found] == ["psnr", "ms_ssim", "niqe"]
    assert found[2].before == pytest.approx(5.25)
    assert found[2].after == pytest.approx(6.25)


def test_infinite_psnr_that_became_finite_is_found(challenge: Challenge) -> None:
    after = make_record()
    first = after.quality.pairs[0]
    pairs = (ImageScore(first.image, first.values | {"psnr": None}), *after.quality.pairs[1:])
    before = replace(after, quality=replace(after.quality, pairs=pairs))
    assert [r.quantity for r in find_losses(before, after, challenge)] == ["psnr"]
    assert find_losses(after, before, challenge) == []


def test_time_is_not_compared(challenge: Challenge) -> None:
    assert find_losses(make_record(ms=100.0), make_record(ms=1000.0), challenge) == []


def test_tolerances_can_be_others(challenge: Challenge) -> None:
    before = make_record()
    after = shift(before, psnr=-0.5)
    assert len(find_losses(before, after, challenge)) == 1
    assert find_losses(before, after, challenge, {"psnr": 1.0}) == []


def test_larger_fresh_record_is_compared_on_the_same_images(challenge: Challenge) -> None:
    before = make_record(split="test", images=TEST)
    assert find_losses(before, make_record(), challenge) == []


def test_other_dataset_is_refused(challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="alpha: its record was made on another version of pirm2018b; run it again"):
        find_losses(make_record(), make_record(dataset_sha256="e" * 64), challenge)


def test_missing_images_are_refused(challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="alpha: its record holds images that the split test lacks; run it again"):
        find_losses(make_record(), make_record(split="test", images=ALL[:-1]), challenge)
    with pytest.raises(RecordError, match="alpha: its record was made on other photos"):
        find_losses(make_record(), make_record(photos=(5.0,)), challenge)


def test_missing_metric_is_refused(challenge: Challenge) -> None:
    before = make_record()
    pairs = tuple(ImageScore(pair.image, {"psnr": 22.0}) for pair in before.quality.pairs)
    after = replace(before, quality=replace(before.quality, pairs=pairs))
    with pytest.raises(RecordError, match="alpha: MS-SSIM is in its record but could not be measured here"):
        find_losses(before, after, challenge)
    assert find_losses(after, after, challenge) == []


def test_failure_cannot_be_compared(challenge: Challenge) -> None:
    failed = make_failure("alpha", "it crashed.")
    for before, after in ((make_record(), failed), (failed, make_record())):
        with pytest.raises(RecordError, match=r"alpha has no result to compare\."):
            find_losses(before, after, challenge)


def test_sentence_names_everything() -> None:
    assert describe_comparison(Comparison("srcnn", "psnr", 21.3341, 21.2, 0.01)) == (
        "srcnn: PSNR got worse, from 21.3341 to 21.2000 dB; a change of 0.01 dB is allowed."
    )
    assert describe_comparison(Comparison("srcnn", "niqe", 5.0, 5.5, 0.02)) == (
        "srcnn: NIQE got worse, from 5.0000 to 5.5000; a change of 0.02 is allowed."
    )
    assert describe_comparison(Comparison("srcnn", "Score B", 9.0, 8.5, 0.05)) == (
        "srcnn: Score B got worse, from 9.0000 to 8.5000; a change of 0.05 is allowed."
    )


# --- single images


@pytest.mark.parametrize("change_db", [-0.1, 0.1])
def test_a_value_of_one_image_that_was_changed_is_named(challenge: Challenge, change_db: float) -> None:
    fresh = make_record(seed=3)
    value = next(pair.values["psnr"] for pair in fresh.quality.pairs if pair.image == "7")
    stored = replace_values(fresh, {"7": {"psnr": value + change_db}})
    assert find_losses(stored, fresh, challenge) == []  # the mean hardly moves
    assert describe_difference(stored, fresh, challenge) == (
        f"alpha: PSNR of image 7 differs, from {value + change_db:.4f} to {value:.4f} dB; "
        "a change of 0.05 dB is allowed."
    )


def test_the_image_that_differs_the_most_is_named(challenge: Challenge) -> None:
    fresh = make_record(seed=3)
    values = {pair.image: pair.values for pair in fresh.quality.pairs}
    changes = {"3": ("psnr", 0.2), "5": ("ms_ssim", -0.02), "6": ("psnr", 0.3)}
    stored = replace_values(fresh, {i: {name: values[i][name] + by} for i, (name, by) in changes.items()})
    assert describe_difference(stored, fresh, challenge).startswith("alpha: MS-SSIM of image 5 differs")
    photos = replace(
        fresh, quality=replace(fresh.quality, photos=make_record(photos=(4.0, 5.0, 5.6, 6.5)).quality.photos)
    )
    assert describe_difference(photos, fresh, challenge).startswith(
        "alpha: NIQE of image 2 differs, from 5.6000 to 5.5000;"
    )


def test_what_is_allowed_for_an_image_is_no_difference(challenge: Challenge) -> None:
    fresh = make_record(seed=3)
    for name, sign in (("psnr", 1), ("ms_ssim", -1), ("niqe", 1)):
        allowed = IMAGE[name]
        assert describe_difference(fresh, shift(fresh, **{name: 0.95 * sign * allowed}), challenge) == ""
        assert describe_difference(fresh, shift(fresh, **{name: 1.05 * sign * allowed}), challenge) != ""


def test_psnr_of_nearly_equal_images_owes_itself_to_the_last_digits(challenge: Challenge) -> None:
    fresh = make_record()
    infinite = replace_values(fresh, {"7": {"psnr": None}})
    huge = replace_values(fresh, {"7": {"psnr": 140.0}})
    assert describe_difference(infinite, huge, challenge) == describe_difference(huge, infinite, challenge) == ""
    assert describe_difference(infinite, fresh, challenge).startswith(
        "alpha: PSNR of image 7 differs, from 54.1500 to "
    )


# --- scores


def test_a_score_tells_what_a_change_of_quality_costs(challenge: Challenge) -> None:
    before, phase = make_record(), find_phase(challenge, "validation")
    after = shift(make_record(ms=1000.0), psnr=-0.01, ms_ssim=-0.0005)  # both just allowed; its times do not count
    scores = compare_scores(before, after, challenge, phase, allowed=0.05)
    # by the formulas: 4 x 0.01 + 100 x 0.0005, 1 x 0.01 + 400 x 0.0005, 2 x 0.01 + 200 x 0.0005
    assert {score.quantity: score.loss for score in scores} == {
        "Score A": pytest.approx(0.09),
        "Score B": pytest.approx(0.21),
        "Score C": pytest.approx(0.12),
    }
    board = build_boards([before], challenge)[0].frame
    assert [score.before for score in scores] == pytest.approx([board[name][0] for name in "ABC"])


def test_a_record_without_times_has_no_scores(challenge: Challenge) -> None:
    phase = find_phase(challenge, "validation")
    assert compare_scores(make_record(ms=None), make_record(), challenge, phase, allowed=0.05) == ()


def test_scores_are_of_the_images_on_record(challenge: Challenge) -> None:
    phase = find_phase(challenge, "test")
    scores = compare_scores(make_record(split="test", images=TEST), make_record(), challenge, phase, allowed=0.05)
    assert [score.loss for score in scores] == [0.0, 0.0, 0.0]


# --- speed


@pytest.mark.parametrize(
    ("ms", "spread", "slower"),
    [
        (100.0, 0.002, False),
        (109.0, 0.002, False),  # a loss of 8 %
        (113.0, 0.002, True),  # of 12 %
        (113.0, 0.1, False),  # which its own noise hides
        (80.0, 0.002, False),
    ],
)
def test_a_speed_up_is_slower_where_the_interval_of_the_change_says_so(ms: float, spread: float, slower: bool) -> None:
    before, after = make_timing(100.0), make_timing(ms, spread=spread)
    speed = compare_speed("alpha", before, after, label="SRCNN", allowed=0.1)
    assert speed.is_slower is slower
    assert speed.change.value == pytest.approx(100 / ms, rel=1e-6)
    assert speed.change.low < speed.change.value < speed.change.high
    assert speed.is_unclear is (spread == 0.1)
    assert ("Too noisy to rule out a loss of 10%" in describe_speed(speed)) is speed.is_unclear
    noisy = compare_speed("alpha", make_timing(100.0, spread=0.1), make_timing(ms), label="SRCNN", allowed=0.1)
    assert not noisy.is_slower  # nor does a noisy record prove anything


def test_the_milliseconds_of_two_machines_do_not_count() -> None:
    before, after = make_timing(100.0), make_timing(500.0, baseline_ms=1000.0)
    assert not compare_speed("alpha", before, after, label="SRCNN", allowed=0.0).is_slower


def test_as_many_blocks_on_two_machines_are_no_pairs() -> None:
    """The same times again: their ratio is 1, and as uncertain as both of them."""
    timing = make_timing(100.0, spread=0.02)
    speed = compare_speed("alpha", timing, timing, label="SRCNN", allowed=0.1)
    assert speed.change.value == 1.0
    width, own = (high / low for _, low, high in (speed.change, speed.before))
    assert np.log(width) == pytest.approx(np.sqrt(2) * np.log(own), rel=0.15)


def test_sentences_on_speed_name_everything() -> None:
    same = compare_speed("alpha", make_timing(100.0), make_timing(100.0), label="SRCNN", allowed=0.1)
    number = r"\d\.\d{3}"
    interval = rf"{number} \({number} to {number}\)"
    assert re.fullmatch(
        rf"alpha: speed-up over SRCNN is {interval}, on record {interval}: {interval} times that\.",
        describe_speed(same),
    )
    worse = compare_speed("alpha", make_timing(100.0), make_timing(150.0), label="SRCNN", allowed=0.1)
    assert re.fullmatch(
        rf"alpha: speed-up over SRCNN got worse, from {interval} to {interval}, {interval} times what it was; "
        r"a loss of 10% is allowed\.",
        describe_speed(worse),
    )
