"""Records that were cut off, edited or moved: what the commands that read them say, and that none is mended or lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_input import BOARD, CHECK, RECORD, RUN, Case, accept, check_refusal, write
from place import Place

RESTORE = "restore it or run the submission again"
NO_RECORD = "is no whole record"
FINGERPRINT = "0" * 64


def edit(change: Callable[[Any], object], name: str = "good") -> Callable[[Place], object]:
    """The record of `good`, edited as a hand would, as that of `name`."""

    def spoil(place: Place) -> None:
        record = json.loads((place.records / "good.json").read_text())
        record["submission"]["name"] = name
        change(record)
        write(place.records / f"{name}.json", json.dumps(record))

    return spoil


def edit_both(change: Callable[[Any], object]) -> Callable[[Place], object]:
    """The record edited, and a leaderboard that follows from it."""

    def spoil(place: Place) -> None:
        edit(change)(place)
        accept(place, *BOARD)

    return spoil


def retype(change: Callable[[bytes], bytes]) -> Callable[[Place], object]:
    """The record of `good` as changed text."""

    def spoil(place: Place) -> None:
        path = place.records / "good.json"
        write(path, change(path.read_bytes()))

    return spoil


def bad_edit(name: str, change: Callable[[Any], object], fault: str) -> Case:
    return Case(name, edit(change), "good.json", f"{NO_RECORD} ({fault}", RESTORE, BOARD, RECORD)


def bad_text(name: str, change: Callable[[bytes], bytes]) -> Case:
    return Case(name, retype(change), "good.json", NO_RECORD, RESTORE, BOARD, RECORD)


def values(record: Any) -> dict[str, Any]:
    first: dict[str, Any] = record["quality"]["pairs"][0]["values"]
    return first


def add_timing(record: Any, **changes: object) -> None:
    rows = [[5], [5]]
    record["timing"] = {
        "device": "cpu", "threads": 1, "width_px": 9, "height_px": 9, "baseline": "b", "load_ns": [1, 1],
        "warmup_ns": rows, "samples_ns": rows, "baseline_samples_ns": rows, "cpu_ns": rows, "baseline_cpu_ns": rows,
    } | changes  # fmt: skip


def instead(make: Callable[[Path], object]) -> Callable[[Place], object]:
    return lambda place: make(place.records / "other.json")


TEXTS = (
    bad_text("empty", lambda text: b""),
    bad_text("cut to a byte", lambda text: text[:1]),
    bad_text("cut in the middle", lambda text: text[: len(text) // 2]),
    bad_text("cut before the end", lambda text: text[:-3]),
    bad_text("written twice", lambda text: text + text),
    bad_text("not UTF-8", lambda text: text.replace(b"Test good", b"Test \xff\xfe")),
    bad_text("not JSON", lambda text: b"good: 22 dB\n"),
    bad_text("deep", lambda text: b'{"format_version": ' + b"[" * 100_000),
    bad_text("NaN", lambda text: text.replace(b'"psnr": ', b'"psnr": NaN, "old": ')),
    bad_text("too large a number", lambda text: text.replace(b'"psnr": ', b'"psnr": 1e999, "old": ')),
    bad_text("a merge conflict", lambda text: b"<<<<<<< HEAD\n" + text),
)
EDITS = (
    bad_edit("unknown field", lambda r: r.update(colour="red"), "Object contains unknown field `colour`)"),
    bad_edit("unprintable field", lambda r: r.update({"a\nb\x1b[31m": 1}), "Object contains unknown field `a?b?[31m`)"),
    bad_edit("long field", lambda r: r.update({"k" * 9000: 1}), "Object contains unknown field `kkkkk"),
    bad_edit("missing field", lambda r: r.pop("environment"), "Object missing required field `environment`"),
    bad_edit("no version", lambda r: r.pop("format_version"), "Object missing required field `format_version`"),
    bad_edit("text for a number", lambda r: values(r).update(psnr="22"), "Expected `float | null`, got `str`"),
    bad_edit("null", lambda r: values(r).update(ms_ssim=None), "ms_ssim of image 0 is null, only psnr can be infinite"),
    bad_edit(
        "image twice", lambda r: r["quality"]["pairs"].append(r["quality"]["pairs"][0]), "an image is listed twice"
    ),
    bad_edit("metric missing", lambda r: values(r).pop("psnr"), "a metric is missing for some of the images"),
    bad_edit("no images", lambda r: r["quality"].update(pairs=[]), "Expected `array` of length >= 1"),
    bad_edit("negative memory", lambda r: r["memory"].update(peak_bytes=-1), "Expected `int` >= 0"),
    bad_edit("negative time", lambda r: add_timing(r, samples_ns=[[5], [-5]]), "Expected `int` >= 1"),
    bad_edit("time of zero", lambda r: add_timing(r, load_ns=[0, 1]), "Expected `int` >= 1"),
    bad_edit("times of one block lost", lambda r: add_timing(r, samples_ns=[[5]]), "load_ns, warmup_ns, samples_ns"),
    bad_edit("a block without runs", lambda r: add_timing(r, cpu_ns=[[], [5]]), "Expected `array` of length >= 1"),
    bad_edit("unknown status", lambda r: r.update(status="gr\neat"), r"Invalid enum value 'gr\neat'"),
    bad_edit("status without its result", lambda r: r.update(quality=None), "status 'ok' does not fit"),
    Case(
        "another version",
        edit(lambda r: r.update(format_version=99, new=1)),
        "good.json",
        "has format version 99, but this harness reads",
        "run the submission again",
        BOARD,
        RECORD,
    ),
)
PLACES = (
    Case(
        "renamed",
        lambda place: (place.records / "good.json").rename(place.records / "better.json"),
        "better.json",
        "is the record of 'good'",
        "remove or rename the file",
        BOARD,
        RECORD,
    ),
    Case(
        "copied",
        lambda place: shutil.copy(place.records / "good.json", place.records / "other.json"),
        "other.json",
        "is the record of 'good'",
        "remove or rename the file",
        BOARD,
        RECORD,
    ),
    Case(
        "of another dataset",
        edit(lambda r: r["quality"].update(dataset_sha256=FINGERPRINT), "other"),
        f"other on pictures {FINGERPRINT[:12]}",
        "records were made on different datasets or versions of one",
        "run them again",
        BOARD,
        RECORD,
    ),
    Case(
        "of other images",
        edit(lambda r: r["quality"]["pairs"].pop(), "other"),
        "the record of other",
        "has other images of the split all than the others",
        "run it again",
        BOARD,
        RECORD,
    ),
    Case("a folder", instead(Path.mkdir), "other.json", "is not a regular file", "remove it", BOARD, RECORD),
    Case("a pipe", instead(os.mkfifo), "other.json", "is not a regular file", "remove it", BOARD, RECORD),
    Case(
        "a link to nothing",
        instead(lambda path: path.symlink_to("nowhere")),
        "other.json",
        "cannot be read (No such file or directory)",
        "restore it",
        BOARD,
        RECORD,
    ),
    Case(
        "no records",
        lambda place: shutil.rmtree(place.records),
        "records",
        "has no records of pictures",
        "`python -m harness run` makes them",
        BOARD,
        RECORD,
    ),
)
CHECKED = (
    Case(
        "of other images, run",
        edit(lambda r: r["quality"].update(dataset_sha256=FINGERPRINT)),
        "reports/records/pictures has records of other images under the name pictures",
        f"(good: {FINGERPRINT[:12]}, now ",
        "remove that folder, or choose another with --reports",
        RUN,
        RECORD,
    ),
    Case("cut off", retype(lambda t: t[:99]), "good.json", NO_RECORD, RESTORE, CHECK, RECORD),
    Case(
        "of another dataset, checked",
        edit_both(lambda r: r["quality"].update(dataset_sha256=FINGERPRINT)),
        "good: ",
        "its record was made on another version of pictures",
        "run it again",
        CHECK,
        RECORD,
    ),
    Case(
        "of another model, checked",
        edit_both(lambda r: r["submission"].update(sha256=FINGERPRINT)),
        "good: its record is of the model 000000000000",
        "the model here is",
        "run it again",
        CHECK,
        RECORD,
    ),
)


@pytest.mark.parametrize("case", (*TEXTS, *EDITS, *PLACES), ids=str)
def test_a_bad_record(place: Place, case: Case) -> None:
    check_refusal(place, case)


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_a_bad_record_that_is_checked(place: Place, case: Case) -> None:
    check_refusal(place, case)


def test_a_run_says_that_a_record_is_damaged_before_it_measures(place: Place) -> None:
    place.submit("other")
    write(place.records / "other.json", b"{")
    error = place.refuse(RECORD, "run", "submissions/good", *CHECK[1:], "--no-timing")
    assert "other.json is no whole record" in error
