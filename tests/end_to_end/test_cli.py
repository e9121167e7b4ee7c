"""The commands as a user gives them, from a run to a check, and what a user may do in between."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import models
import msgspec
import numpy as np
import pytest
import tiny
from place import TINY, Place

from harness import __version__
from harness.archive import read_record, write_record

NOT_RANKED = "## Not ranked"


def read_board(place: Place) -> str:
    return (place.folder / "reports" / "leaderboard.md").read_text()


def raise_psnr(path: Path, by_db: float) -> None:
    """Change one stored value, as no run would."""
    record = json.loads(path.read_text())
    record["quality"]["pairs"][0]["values"]["psnr"] += by_db
    path.write_text(json.dumps(record))


# --- run


def test_a_run_makes_a_record_and_a_leaderboard(place: Place) -> None:
    record = read_record(place.records / "good.json")
    assert (record.status, record.submission.name, record.challenge) == ("ok", "good", "tiny")
    assert record.timing is None
    board = read_board(place)
    assert re.search(r"^\| +1 +\| good ", board, re.MULTILINE)
    assert NOT_RANKED not in board


def test_a_run_says_what_it_does(place: Place, tiny_options: Sequence[str]) -> None:
    done = place.succeed("run", "submissions/good", *tiny_options, "--again")
    first, isolation, *stages, last = done.stderr.splitlines()
    assert all(re.match(r"\[0:00:\d\d\] ", line) for line in stages)
    assert (first, last) == ("Dataset pictures: 3 pairs from the folder pictures.", "good: done.")
    assert isolation.startswith("Isolation on: listed environment, new session")
    assert "good" in done.stdout
    assert done.stdout.endswith("Written: reports/leaderboard.md, reports/leaderboard.html\n")


def test_a_repeated_run_gives_the_same_digits(place: Place, tiny_options: Sequence[str]) -> None:
    before = read_record(place.records / "good.json")
    place.succeed("run", *tiny_options, "--again")
    after = read_record(place.records / "good.json")
    assert after.quality == before.quality
    assert after.environment.started_utc > before.environment.started_utc


def test_a_good_submission_is_ranked_beside_a_bad_one(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("bad", models.all_nan())
    place.submit("late", models.brighten(0.06))
    error = place.refuse(3, "run", *tiny_options)
    assert error == "error: bad: its output holds 39600 values that are NaN or infinite; mend the model."
    statuses = {path.stem: read_record(path).status for path in place.records.glob("*.json")}
    assert statuses == {"bad": "failed", "good": "ok", "late": "ok"}
    ranked, _, rest = read_board(place).partition(NOT_RANKED)
    assert re.search(r"^\| +[12] +\| good ", ranked, re.MULTILINE)
    assert re.search(r"^\| +[12] +\| late ", ranked, re.MULTILINE)
    assert not re.search(r"^\|.*\bbad\b", ranked, re.MULTILINE)
    assert re.search(r"^\| bad .*its output holds 39600 values that are NaN or infinite", rest, re.MULTILINE)


def test_a_faulty_manifest_keeps_no_other_back(place: Place, tiny_options: Sequence[str]) -> None:
    (place.submit("bad", models.identity()) / "submission.toml").write_text("name = 3")
    place.submit("late", models.brighten(0.06))
    assert "bad/submission.toml" in place.refuse(3, "run", *tiny_options)
    assert (place.records / "late.json").exists()


def test_several_faults_are_a_sentence_each(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("bad", models.all_nan())
    place.submit("worse", models.wrong_size())
    done = place.harness("run", *tiny_options)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [error.split(": ")[1] for error in errors] == ["bad", "worse"]
    assert done.returncode == 3


def test_a_failing_rerun_keeps_the_earlier_result(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("good", models.wrong_size())
    before = place.read_reports()["records/pictures/good.json"]
    done = place.harness("run", *tiny_options)
    assert done.returncode == 3
    assert "Its earlier result in reports/records/pictures/good.json is kept." in done.stderr
    assert place.read_reports()["records/pictures/good.json"] == before
    assert NOT_RANKED not in read_board(place)


def test_weights_that_are_elsewhere_are_no_fault(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("upstream", weights="run `make weights`")
    done = place.succeed("run", *tiny_options)
    assert "upstream: unavailable: model.onnx is not there as a regular file; run `make weights`" in done.stderr
    assert "weights not available here" in read_board(place)
    assert "run `make weights`" in place.refuse(3, "run", "submissions/upstream", *tiny_options)  # asked for by name


def test_what_to_do_for_a_new_program(place: Place) -> None:
    done = place.succeed("new-submission", "mine", "--runtime", "torch")
    assert "put it beside as model.py and weights.safetensors" in done.stdout
    assert "  harness run submissions/mine --allow-code\n" in done.stdout


def test_a_timed_run_has_scores_times_and_a_figure(place: Place) -> None:
    place.succeed("run", "--threads", "1", "--budget", "6", *TINY)
    timing = read_record(place.records / "good.json").timing
    assert timing is not None
    assert (timing.threads, timing.baseline) == (1, "slow")
    assert len(timing.samples_ns) >= 3
    assert any(name.startswith("figures/") for name in place.read_reports())
    assert "SRCNN" not in read_board(place)  # this challenge has another baseline
    place.succeed("check", *TINY)


def test_a_run_needs_neither_assets_nor_network(place: Place) -> None:
    done = place.succeed("run", "--challenge", "challenge/tiny.toml", "--dataset", "embedded", "--no-timing")
    assert done.stderr.startswith("Dataset embedded: 100 pairs with a simulated phone")
    quality = read_record(place.folder / "reports" / "records" / "embedded" / "good.json").quality
    assert quality is not None
    assert (len(quality.pairs), len(quality.photos)) == (100, 4)
    assert quality.photos[0].values == {}


# --- leaderboard, check, tables


def test_the_leaderboard_follows_from_the_records_alone(place: Place) -> None:
    before = read_board(place)
    (place.folder / "reports" / "leaderboard.md").unlink()
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    assert read_board(place) == before


def test_a_check_of_what_was_just_run_finds_nothing(place: Place) -> None:
    before = place.read_reports()
    done = place.succeed("check", *TINY)
    assert done.stdout == "Nothing got worse (1 of 1 compared), and the reports follow from the records.\n"
    assert place.read_reports() == before


def test_a_check_finds_what_got_worse(place: Place) -> None:
    raise_psnr(place.records / "good.json", 5)
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    error = place.refuse(1, "check", *TINY)
    assert re.search(r"good: PSNR got worse, from \d+\.\d+ to \d+\.\d+ dB", error)


def test_what_got_worse_is_said_even_when_the_leaderboard_does_not_follow(place: Place) -> None:
    raise_psnr(place.records / "good.json", 5)
    done = place.harness("check", *TINY)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1
    assert len(errors) == 2
    assert "got worse" in errors[0]
    assert "leaderboard.md does not follow from" in errors[1]


def test_a_check_finds_a_record_that_is_worse_than_its_model(place: Place) -> None:
    raise_psnr(place.records / "good.json", -5)
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    error = place.refuse(5, "check", *TINY)
    assert re.search(r"good: PSNR of image \S+ differs, from .* Run it again: its record does not follow", error)


def test_a_check_finds_an_edited_leaderboard(place: Place) -> None:
    path = place.folder / "reports" / "leaderboard.md"
    path.write_text(path.read_text().replace("good", "best", 1))
    error = place.refuse(5, "check", *TINY)
    assert "leaderboard.md does not follow from" in error
    path.unlink()
    assert "leaderboard.md" in place.refuse(5, "check", *TINY)


def test_a_check_finds_another_version_of_the_dataset(place: Place) -> None:
    tiny.save_picture(place.folder / "pictures" / "target" / "0.png", np.zeros((100, 100, 3), np.uint8))
    assert "another version of pictures" in place.refuse(5, "check", *TINY)


def test_a_check_that_compared_nothing_fails(place: Place) -> None:
    record = read_record(place.records / "good.json")
    other = msgspec.structs.replace(record.submission, name="other")
    write_record(place.records / "other.json", msgspec.structs.replace(record, submission=other))
    (place.records / "good.json").unlink()
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    assert place.refuse(5, "check", *TINY).endswith(
        "error: no submission here has a model and a record on pictures; `harness run` makes one."
    )


def test_the_tables_are_written(place: Place) -> None:
    record = read_record(place.records / "good.json")
    write_record(place.records / "good.json", msgspec.structs.replace(record, challenge="pirm2018b"))
    done = place.succeed("tables")
    assert done.stdout == "Written: reports/tables.md\n"
    assert (place.folder / "reports" / "tables.md").read_text().startswith("#")


# --- the small commands


def test_validate_tells_what_a_model_is(place: Place) -> None:
    done = place.succeed("validate", "submissions/good", "--challenge", "challenge/tiny.toml")
    assert done.stdout == ("good is valid: NHWC, 0.00 MB, 1 parameters, 0.0 G multiply-adds at 120x110.\n")
    place.submit("loop", models.endless_loop())
    # and it does not run
    assert "unknown multiply-adds" in place.succeed("validate", "submissions/loop", *TINY[:2]).stdout


def test_validate_names_the_folder_of_a_model_that_breaks_a_rule(place: Place) -> None:
    folder = place.submit("fixed", models.fixed_size())
    error = place.refuse(3, "validate", folder, *TINY[:2])
    assert error == (
        f"error: {folder}: model.onnx: its input [1x100x100x3] has a fixed size as NHWC; "
        "export it with free height and width."
    )


def test_metric_prints_a_value(place: Place) -> None:
    dark = tiny.save_picture(place.folder / "dark.png", np.full((64, 64, 3), 100, np.uint8))
    bright = tiny.save_picture(place.folder / "bright.png", np.full((64, 64, 3), 101, np.uint8))
    # an error of one level everywhere: 20 * log10(255)
    value, profile = place.succeed("metric", "psnr", dark, bright).stdout.split()
    assert (float(value), profile) == (pytest.approx(48.1308036), "pirm-b")
    assert place.succeed("metric", "psnr", dark, dark).stdout == "inf pirm-b\n"
    assert place.succeed("metric", "psnr", dark, dark, "--profile", "ntire-rgb4").stdout == "inf ntire-rgb4\n"
    assert float(place.succeed("metric", "ms_ssim", dark, dark).stdout.split()[0]) == pytest.approx(1)


@pytest.mark.assets
def test_metric_prints_niqe(place: Place, assets_dir: Path) -> None:
    photo = tiny.write_dataset(place.folder / "large", pairs=1, width_px=300, height_px=200) / "photos" / "0.png"
    assert float(place.succeed("metric", "niqe", photo, "--assets", assets_dir).stdout.removesuffix(" live\n")) > 0


def test_score_gives_nine_of_the_twelve_published_rows(place: Place) -> None:
    output = place.succeed("score", "published:final", "--phase", "test").stdout
    assert output.startswith("Scores of the test phase (recovered formula):\n")
    assert re.search(r"^\| MIPhoenix ", output, re.MULTILINE)
    assert "9 of 12 rows give their published A, B, C back within 0.05" in output


def test_list_names_what_can_be_given(place: Place) -> None:
    lines = dict(line.split(": ", 1) for line in place.succeed("list").stdout.splitlines())
    assert lines["challenges"] == "ntire_esr, pirm2018a, pirm2018b"
    assert lines["datasets"].startswith("embedded, ntire_esr, pirm2018a, pirm2018b, ")
    assert lines["metrics"] == "psnr, ssim, ms_ssim, niqe"
    assert lines["groups of files"].split(", ")[0] == "pirm2018b"


def test_version_and_help(place: Place) -> None:
    assert place.succeed("--version").stdout == f"harness {__version__}\n"
    help_text = place.succeed("--help").stdout
    assert all(command in help_text for command in ("run", "leaderboard", "check", "validate", "score", "fetch"))


def test_text_is_printed_as_it_is(place: Place, tiny_options: Sequence[str]) -> None:
    """Neither as markup nor as the name of a little picture."""
    error = place.refuse(3, "run", "[bold]:smile:", *tiny_options)
    assert error.startswith("error: [bold]:smile: is no folder")
