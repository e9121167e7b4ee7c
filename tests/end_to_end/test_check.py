"""The gate as continuous integration runs it: what it says, writes and ends with."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import models
import msgspec
from place import TINY, Place

from harness.archive import read_record, write_record
from harness.tolerances import Tolerances

FILES = ("--summary", "summary.md", "--junit", "junit.xml")


def lower_psnr(path: Path, by_db: float) -> str:
    """Lower one stored value, as no run would; the image comes back."""
    record = json.loads(path.read_text())
    image = record["quality"]["pairs"][0]
    image["values"]["psnr"] -= by_db
    path.write_text(json.dumps(record))
    return str(image["image"])


def read_verdicts(place: Place) -> dict[str, str]:
    """What JUnit's file says of each thing that was checked."""
    cases = ET.parse(place.folder / "junit.xml").getroot().iter("testcase")
    verdicts = {}
    for case in cases:
        (fault, *_) = [child for child in case if child.tag != "system-out"] or [None]
        verdicts[case.attrib["name"]] = "" if fault is None else f"{fault.tag}: {fault.attrib['message']}"
    return verdicts


def test_a_check_writes_a_summary_and_junit(place: Place) -> None:
    step = place.folder / "step.md"
    place.environment["GITHUB_STEP_SUMMARY"] = str(step)
    done = place.succeed("check", *TINY, *FILES)
    assert done.stdout == "Nothing got worse (1 of 1 compared), and the reports follow from the records.\n"
    summary = (place.folder / "summary.md").read_text()
    assert summary.startswith("## harness check: passed\n")
    assert re.search(r"^\| good +\| as recorded +\|", summary, re.MULTILINE)
    assert step.read_text() == summary
    assert read_verdicts(place) == {"good": "", "reports follow from the records": ""}


def test_a_record_changed_by_hand_makes_the_gate_fail(place: Place) -> None:
    image = lower_psnr(place.records / "good.json", 0.1)
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    error = place.refuse(5, "check", *TINY, *FILES)
    assert re.fullmatch(
        rf"error: good: PSNR of image {image} differs, from \d+\.\d{{4}} to \d+\.\d{{4}} dB; "
        r"a change of 0\.05 dB is allowed\. Run it again: its record does not follow\.",
        error,
    )
    summary = (place.folder / "summary.md").read_text()
    assert summary.startswith("## harness check: failed\n")
    assert f"- {error.removeprefix('error: ')}\n" in summary
    assert read_verdicts(place)["good"] == f"failure: {error.removeprefix('error: ')}"


def test_a_project_that_allows_more_passes(place: Place) -> None:
    lower_psnr(place.records / "good.json", 0.1)
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    (place.folder / "pyproject.toml").write_text(
        "[tool.harness.check]\nmean = { psnr = 0.2 }\nimage = { psnr = 0.2 }\nscore = 0.2\n"
    )
    place.succeed("check", *TINY)


def test_one_faulty_folder_or_record_keeps_nothing_back(place: Place) -> None:
    place.submit("[x](evil)").joinpath("submission.toml").write_text("name = 3")
    place.submit("damaged", models.brighten(0.06))
    (place.records / "damaged.json").write_text("{")
    done = place.harness("check", *TINY, *FILES)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (3, 2)  # that the reports cannot be made of it is not said again
    verdicts = read_verdicts(place)
    assert verdicts["good"] == ""
    assert verdicts["submissions/[x](evil)"].startswith("error: submissions/[x](evil)/submission.toml: ")
    assert "damaged.json is no whole record" in verdicts["damaged"]
    assert "damaged.json is no whole record" in verdicts["reports follow from the records"]
    summary = (place.folder / "summary.md").read_text()
    assert r"submissions/\[x\](evil)" in summary
    assert "[x](evil)" not in summary.replace(r"\[x\](evil)", "")


def test_what_ends_a_check_is_in_its_files(place: Place) -> None:
    error = place.refuse(2, "check", "--challenge", "challenge/tiny.toml", "--dataset", "nowhere", *FILES)
    reason = error.removeprefix("error: ")
    assert read_verdicts(place) == {"the check itself": f"error: {reason}"}
    assert "## harness check: failed" in (place.folder / "summary.md").read_text()


def test_files_that_cannot_be_written_are_refused_before_anything_is_measured(place: Place) -> None:
    done = place.harness("check", *TINY, "--junit", "pictures")
    assert done.returncode == 2
    assert done.stderr == "error: pictures is no file that could be replaced; name another --junit.\n"


def test_speed_needs_photos(place: Place) -> None:
    shutil.rmtree(place.folder / "pictures" / "photos")
    error = place.refuse(2, "check", "--speed", *TINY)
    assert error == "error: --speed needs photos, and pictures has none; leave it out."


def test_a_check_of_speed_measures_it_anew(place: Place) -> None:
    timed = (*TINY, "--threads", "1", "--budget", "6")
    place.succeed("run", *timed)
    before = place.read_reports()
    done = place.succeed("check", "--speed", *timed, *FILES)
    ratio = r"\d+\.\d{3} \(\d+\.\d{3} to \d+\.\d{3}\)"
    sentence = rf"good: speed-up over Slow is {ratio}, on record {ratio}: {ratio} times that\."
    assert re.search(rf"^{sentence}", done.stderr, re.MULTILINE)
    summary = (place.folder / "summary.md").read_text()
    assert re.search(sentence, summary)
    assert place.read_reports() == before
    # a record that claims ten times the speed
    record = read_record(place.records / "good.json")
    quick = tuple(tuple(max(1, run // 10) for run in block) for block in record.timing.samples_ns)
    timing = msgspec.structs.replace(record.timing, samples_ns=quick)
    write_record(place.records / "good.json", msgspec.structs.replace(record, timing=timing))
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    error = place.refuse(1, "check", "--speed", *timed, *FILES)
    allowed = f"{Tolerances().speed:.0%}"
    assert re.fullmatch(
        rf"error: good: speed-up over Slow got worse, from {ratio} to {ratio}, {ratio} times what it was; "
        rf"a loss of {allowed} is allowed\.",
        error,
    )
    place.succeed("check", *TINY)  # nobody asked
