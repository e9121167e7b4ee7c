"""What counts as worse, in which direction, by how much; and what cannot be compared at all."""

from pathlib import Path

import msgspec
import pytest
from stored import ALL, TEST, make_failure, make_record, replace_values

from harness.challenge import Challenge, read_challenge
from harness.errors import RecordError, UsageError
from harness.metrics import METRICS
from harness.records import ImageScore, Record, Regression
from harness.regression import (
    IMAGE_TOLERANCES,
    TOLERANCES,
    Tolerances,
    compare_images,
    compare_records,
    describe_regressions,
    read_tolerances,
)

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


def test_same_record_is_no_regression(challenge: Challenge) -> None:
    assert compare_records(make_record(), make_record(), challenge) == ()


@pytest.mark.parametrize(("quantity", "worse"), [("psnr", -1), ("ms_ssim", -1), ("niqe", 1)])
def test_worse_by_more_than_allowed_is_found(challenge: Challenge, quantity: str, worse: int) -> None:
    before, allowed = make_record(), TOLERANCES[quantity]
    (found,) = compare_records(before, shift(before, **{quantity: 1.05 * worse * allowed}), challenge)
    assert (found.submission, found.quantity, found.allowed) == ("alpha", quantity, allowed)
    assert found.after - found.before == pytest.approx(1.05 * worse * allowed)
    assert compare_records(before, shift(before, **{quantity: 0.95 * worse * allowed}), challenge) == ()
    assert compare_records(before, shift(before, **{quantity: -100 * worse * allowed}), challenge) == ()


def test_every_quantity_is_found(challenge: Challenge) -> None:
    before = make_record()
    found = compare_records(before, shift(before, psnr=-1.0, ms_ssim=-0.1, niqe=1.0), challenge)
    assert [regression.quantity for regression in found] == ["psnr", "ms_ssim", "niqe"]
    assert found[2].before == pytest.approx(5.25)
    assert found[2].after == pytest.approx(6.25)


def test_infinite_psnr_that_became_finite_is_found(challenge: Challenge) -> None:
    after = make_record()
    first = after.quality.pairs[0]
    pairs = (ImageScore(first.image, first.values | {"psnr": None}), *after.quality.pairs[1:])
    before = replace(after, quality=replace(after.quality, pairs=pairs))
    assert [r.quantity for r in compare_records(before, after, challenge)] == ["psnr"]
    assert compare_records(after, before, challenge) == ()


def test_time_is_not_compared(challenge: Challenge) -> None:
    assert compare_records(make_record(ms=100.0), make_record(ms=1000.0), challenge) == ()


def test_tolerances_can_be_others_and_cover_every_metric(challenge: Challenge) -> None:
    before = make_record()
    after = shift(before, psnr=-0.5)
    assert len(compare_records(before, after, challenge)) == 1
    assert compare_records(before, after, challenge, tolerances={"psnr": 1.0}) == ()
    assert set(TOLERANCES) == {metric.name for metric in METRICS}


def test_larger_fresh_record_is_compared_on_the_same_images(challenge: Challenge) -> None:
    before = make_record(split="test", images=TEST)
    assert compare_records(before, make_record(), challenge) == ()


def test_other_dataset_is_refused(challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="alpha: its record was made on another version of pirm2018b; run it again"):
        compare_records(make_record(), make_record(dataset_sha256="e" * 64), challenge)


def test_missing_images_are_refused(challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="alpha: its record holds images that the split test lacks; run it again"):
        compare_records(make_record(), make_record(split="test", images=ALL[:-1]), challenge)
    with pytest.raises(RecordError, match="alpha: its record was made on other photos"):
        compare_records(make_record(), make_record(photos=(5.0,)), challenge)


def test_missing_metric_is_refused(challenge: Challenge) -> None:
    before = make_record()
    pairs = tuple(ImageScore(pair.image, {"psnr": 22.0}) for pair in before.quality.pairs)
    after = replace(before, quality=replace(before.quality, pairs=pairs))
    with pytest.raises(RecordError, match="alpha: MS-SSIM is in its record but could not be measured here"):
        compare_records(before, after, challenge)
    assert compare_records(after, after, challenge) == ()


def test_failure_cannot_be_compared(challenge: Challenge) -> None:
    failed = make_failure("alpha", "it crashed.")
    for before, after in ((make_record(), failed), (failed, make_record())):
        with pytest.raises(RecordError, match=r"alpha has no result to compare: it crashed\."):
            compare_records(before, after, challenge)


def test_sentence_names_everything() -> None:
    found = (Regression("srcnn", "psnr", 21.3341, 21.2, 0.01), Regression("srcnn", "niqe", 5.0, 5.5, 0.02))
    assert describe_regressions(found) == (
        "srcnn: PSNR got worse, from 21.3341 to 21.2000 dB; a change of 0.01 dB is allowed.\n"
        "srcnn: NIQE got worse, from 5.0000 to 5.5000; a change of 0.02 is allowed."
    )
    assert describe_regressions(()) == ""


# --- single images


@pytest.mark.parametrize("change_db", [-0.1, 0.1])
def test_a_value_of_one_image_that_was_changed_is_named(challenge: Challenge, change_db: float) -> None:
    fresh = make_record(seed=3)
    value = next(pair.values["psnr"] for pair in fresh.quality.pairs if pair.image == "7")
    stored = replace_values(fresh, {"7": {"psnr": value + change_db}})
    assert compare_records(stored, fresh, challenge) == ()  # the mean hardly moves
    assert compare_images(stored, fresh, challenge) == (
        f"alpha: PSNR of image 7 differs, from {value + change_db:.4f} to {value:.4f} dB; "
        "a change of 0.05 dB is allowed."
    )


def test_the_image_that_differs_the_most_is_named(challenge: Challenge) -> None:
    fresh = make_record(seed=3)
    values = {pair.image: pair.values for pair in fresh.quality.pairs}
    changes = {"3": ("psnr", 0.2), "5": ("ms_ssim", -0.02), "6": ("psnr", 0.3)}
    stored = replace_values(fresh, {i: {name: values[i][name] + by} for i, (name, by) in changes.items()})
    assert compare_images(stored, fresh, challenge).startswith("alpha: MS-SSIM of image 5 differs")
    photos = replace(
        fresh, quality=replace(fresh.quality, photos=make_record(photos=(4.0, 5.0, 5.6, 6.5)).quality.photos)
    )
    assert compare_images(photos, fresh, challenge).startswith("alpha: NIQE of image 2 differs, from 5.6000 to 5.5000;")


def test_what_is_allowed_for_an_image_is_no_difference(challenge: Challenge) -> None:
    fresh = make_record(seed=3)
    for name, sign in (("psnr", 1), ("ms_ssim", -1), ("niqe", 1)):
        allowed = IMAGE_TOLERANCES[name]
        assert compare_images(fresh, shift(fresh, **{name: 0.95 * sign * allowed}), challenge) == ""
        assert compare_images(fresh, shift(fresh, **{name: 1.05 * sign * allowed}), challenge) != ""


def test_psnr_of_nearly_equal_images_owes_itself_to_the_last_digits(challenge: Challenge) -> None:
    fresh = make_record()
    infinite = replace_values(fresh, {"7": {"psnr": None}})
    huge = replace_values(fresh, {"7": {"psnr": 140.0}})
    assert compare_images(infinite, huge, challenge) == compare_images(huge, infinite, challenge) == ""
    assert compare_images(infinite, fresh, challenge).startswith("alpha: PSNR of image 7 differs, from 54.1500 to ")


# --- a project's own tolerances


def test_a_project_sets_its_own(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    assert read_tolerances(path) == Tolerances()
    path.write_text("[tool.other]\nx = 1\n")
    assert read_tolerances(path) == Tolerances()
    path.write_text("[tool.harness.check]\nmean = { psnr = 0.5 }\nimage = { niqe = 0 }\n")
    own = read_tolerances(path)
    assert own.mean == {**TOLERANCES, "psnr": 0.5}
    assert own.image == {**IMAGE_TOLERANCES, "niqe": 0}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[tool.harness.check", r"cannot be read: .*; correct it there"),
        ("[tool.harness.check]\nmeans = {}", r"\[tool\.harness\.check\]: .*unknown field `means`"),
        ("[tool.harness.check]\nmean = { psnr = -1 }", r"Expected `float` >= 0"),
        ("[tool.harness.check]\nmean = { psnr = 'x' }", r"Expected `float`, got `str`"),
        ("[tool.harness.check]\nimage = { psnrr = 1 }", r"unknown metric psnrr; known are psnr, ssim, ms_ssim, niqe"),
        ("[tool.harness]\ncheck = 3", r"\[tool\.harness\.check\]: Expected `object`, got `int`"),
    ],
)
def test_wrong_tolerances_are_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_tolerances(path)
    assert str(caught.value).startswith(str(path))
