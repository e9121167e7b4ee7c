"""What `run` shows where: on a terminal, in a log, and to scripts with --quiet and --json."""

import errno
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import models
import pytest
import tiny
from faults import wait_for_busy_worker
from place import TINY, Place
from processes import linux

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
LOG_LINE = re.compile(r"\[\d+:\d\d:\d\d\] [ -~]+")


def run_on_terminal(
    place: Place, *arguments: str, disturb: Callable[[int], None] | None = None
) -> tuple[int, str, str]:
    """A command whose standard error is a terminal: exit code, standard output, what the terminal received.

    disturb: called with the process's number once it runs.
    """
    place.environment |= {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    master, slave = pty.openpty()
    with place.start(*arguments, stderr=slave) as process:
        os.close(slave)
        if disturb is not None:
            disturb(process.pid)
        shown = read_terminal(master)
        assert process.stdout is not None
        output = process.stdout.read()
    os.close(master)
    return process.returncode, output, shown


def read_terminal(master: int) -> str:
    """All that comes until the other end is closed."""
    chunks = []
    try:
        while chunk := os.read(master, 65536):
            chunks.append(chunk)
    except OSError as error:
        if error.errno != errno.EIO:  # Linux's way to say that no one has it open any more
            raise
    return b"".join(chunks).decode()


def read_document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["exit_code"] == done.returncode
    return document


# --- a terminal


@linux
def test_a_terminal_shows_each_stage_and_is_left_clean(place: Place) -> None:
    place.submit("bad", models.all_nan())
    code, output, shown = run_on_terminal(place, "run", *TINY, "--again", "--threads", "1", "--budget", "1")
    assert code == 3
    for text in ("0/7", "audit", "block 1", "Nothing is drawn while a model is timed.", "1 failed"):
        assert text in shown
    assert shown.count("good: done.") == 1
    assert "time follows" not in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert output.endswith("Written: reports/leaderboard.md, reports/leaderboard.html\n")


@linux
def test_an_interruption_leaves_the_terminal_clean(place: Place, tiny_options: Sequence[str]) -> None:
    tiny.write_challenge(place.folder / "challenge", run_s=600)
    place.submit("good", models.endless_loop())

    def interrupt(pid: int) -> None:
        wait_for_busy_worker(pid)
        os.kill(pid, signal.SIGINT)

    code, output, shown = run_on_terminal(place, "run", *tiny_options, "--json", disturb=interrupt)
    assert code == 130
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert "error: interrupted by SIGINT; what is finished is kept" in shown[shown.rindex(SHOW_CURSOR) :]
    document = json.loads(output)
    assert document["exit_code"] == 130
    assert [error["exit_code"] for error in document["errors"]] == [130]
    (good,) = document["submissions"]
    assert (good["name"], good["status"], good["exit_code"], good["record"]) == ("good", "unfinished", None, None)


@linux
def test_a_dumb_terminal_gets_plain_lines(place: Place, tiny_options: Sequence[str]) -> None:
    place.environment["TERM"] = "dumb"
    master, slave = pty.openpty()
    with place.start("run", *tiny_options, "--again", stderr=slave):
        os.close(slave)
        shown = read_terminal(master)
    os.close(master)
    assert "\x1b" not in shown
    assert "good: quality took" in shown


# --- a log


def test_a_log_has_a_line_for_each_stage(place: Place) -> None:
    done = place.succeed("run", *TINY, "--again", "--threads", "1", "--budget", "1", "--no-images")
    lines = done.stderr.splitlines()
    told = [line.partition("] ")[2] for line in lines if LOG_LINE.fullmatch(line)]
    assert told[:2] == ["checking the models 0/1", "good: quality, 7 outputs"]
    stages = ["good: quality took ", "good: audit", "good: audit took ", "good: time"]
    assert [re.sub(r"\d:.*", "", line) for line in told[2:]] == stages
    assert not any(letter < " " for line in lines for letter in line)
    assert "good: quality is measured; time follows." in lines


# --- scripts


def test_quiet_says_faults_and_what_was_written(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("bad", models.all_nan())
    done = place.harness("run", *tiny_options, "--quiet")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "error: bad: its output holds 39600 values that are NaN or infinite; mend the model."
    ]
    assert done.stdout == "Written: reports/leaderboard.md, reports/leaderboard.html\n"


def test_json_holds_what_came_of_each_submission(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("bad", models.all_nan())
    place.submit("late", models.brighten(0.06))
    (place.submit("broken", models.identity()) / "submission.toml").write_text("name = 3")
    done = place.harness("run", *tiny_options, "--json")
    document = read_document(done)
    assert (document["challenge"], document["dataset"], document["exit_code"]) == ("tiny", "pictures", 3)
    assert document["notes"][0] == "Dataset pictures: 3 pairs from the folder pictures."
    (error,) = document["errors"]
    assert "broken/submission.toml" in error["sentence"]
    bad, good, late = sorted(document["submissions"], key=lambda one: str(one["name"]))
    assert (bad["status"], bad["exit_code"], bad["boards"]) == ("failed", 3, [])
    assert bad["sentence"].startswith("bad: its output holds 39600 values that are NaN")
    assert good["sentence"].startswith("good: as recorded on ")
    assert (late["status"], late["exit_code"], late["sentence"]) == ("ok", 0, "late: done.")
    assert late["record"] == "reports/records/pictures/late.json"
    (row,) = late["boards"]
    assert {row["rank"], good["boards"][0]["rank"]} == {1, 2}
    assert row["A_low"] <= row["A"] <= row["A_high"]
    assert row["time"] is None
    assert "reports/leaderboard.md" in document["reports"]
    assert all((place.folder / path).is_file() for path in document["reports"])
    assert "[0:00:0" in done.stderr


def test_json_and_quiet_go_together(place: Place, tiny_options: Sequence[str]) -> None:
    done = place.succeed("run", *tiny_options, "--json", "--quiet")
    assert done.stderr == ""
    assert read_document(done)["errors"] == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("nowhere",), 3, "nowhere is no folder"),
        (("--dataset", "nowhere"), 2, "nowhere"),
        (("--challenge", "nowhere"), 2, "nowhere"),
        (("--split", "nowhere"), 2, "nowhere"),
    ],
)
def test_json_holds_the_fault_that_ends_a_run(
    place: Place, tiny_options: Sequence[str], arguments: Sequence[str], exit_code: int, sentence: str
) -> None:
    done = place.harness("run", *tiny_options, *arguments, "--json")
    document = read_document(done)
    assert sentence in document["errors"][0]["sentence"]
    assert document["errors"][0]["exit_code"] == exit_code == done.returncode
    assert document["reports"] == []
    assert done.stderr.count("error: ") == 1
