"""Kills at random moments and signals: finished records stay whole, a rerun goes on, nothing is left."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import models
import pytest
import tiny
from faults import (
    QUICK,
    THREE,
    finish,
    kill_after,
    list_processes,
    list_temporaries,
    read_one,
    read_results,
    submit_three,
    wait_for_busy_worker,
)
from place import TINY, Place
from processes import linux, wait_for

pytestmark = linux
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def measure_usual_s(place: Place) -> float:
    """How long a whole run takes on this machine, now."""
    start_s = time.monotonic()
    place.succeed(*QUICK, "--again")
    return time.monotonic() - start_s


# --- kill -9


@pytest.mark.slow
def test_a_kill_at_any_moment_harms_nothing_that_is_finished(place: Place) -> None:
    submit_three(place)
    random, usual_s = Random(20), measure_usual_s(place)
    for moment in range(20):
        for name in random.sample(THREE, random.randint(1, 3)):
            (place.records / f"{name}.json").unlink(missing_ok=True)
        before = read_results(place)
        victim = random.choice(["parent", "child"])
        code, errors, killed = kill_after(place, random.uniform(0, usual_s), victim, *QUICK)
        after = read_results(place)
        assert before.items() <= after.items()
        if victim == "child":
            said = errors.count("its process ended with SIGKILL")
            assert code in ((3, 7) if said else (0,))
            assert killed or not said
            assert said <= 2  # two at a time
            if code == 7:  # the one that shows which layers are on
                assert after == before
            else:
                assert len(after) == 3 - said, errors  # the others are done
        if moment % 5 == 4:
            finish(place)
    place.succeed("check", *TINY)


@pytest.mark.slow
def test_a_kill_while_time_is_measured_harms_nothing_either(place: Place) -> None:
    random = Random(1)
    submit_three(place)
    place.succeed(*QUICK)
    for moment in range(6):
        before = read_results(place)
        victim = ("parent", "child")[moment % 2]
        (place.records / "good.json").unlink(missing_ok=True)
        del before["good"]
        arguments = ("run", "submissions/good", "--threads", "1", *TINY)
        code, errors, killed = kill_after(place, random.uniform(1.5, 5), victim, *arguments)
        assert before.items() <= read_results(place).items()
        if code == 0:  # nothing was hit, or what had done its work
            (place.records / "good.json").unlink()
        elif killed:  # a killed baseline is no fault of the submission
            assert "ended with SIGKILL" in errors or "was killed from outside" in errors
            assert code in (3, 7)
        finish(place)


def test_a_killed_model_is_a_failed_record_and_the_others_are_done(place: Place, tiny_options: Sequence[str]) -> None:
    tiny.write_challenge(place.folder / "challenge", run_s=600)
    submit_three(place)
    place.submit("late", models.endless_loop())
    with place.start("run", *tiny_options) as process:
        wait_for_busy_worker(process.pid).kill()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert (
        "error: late: its process ended with SIGKILL during run; "
        "mend the model, or run it again if the process was killed."
    ) in errors.splitlines()
    assert read_one(place, "late").status == "failed"
    assert read_results(place).keys() == {"good", "third"}
    assert list_temporaries(place) == []


# --- signals


@pytest.mark.parametrize("name", CODES)
def test_a_signal_leaves_no_process_and_no_traceback(place: Place, tiny_options: Sequence[str], name: str) -> None:
    tiny.write_challenge(place.folder / "challenge", run_s=600)
    place.submit("good", models.endless_loop())
    before = place.read_reports()
    with place.start("run", *tiny_options) as process:
        try:
            child = wait_for_busy_worker(process.pid)
            process.send_signal(signal.Signals[name])
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == CODES[name]
    assert not child.is_running()
    assert "Traceback" not in output + errors
    assert errors.splitlines()[-1] == (
        f"error: interrupted by {name}; what is finished is kept, and the same command goes on from there."
    )
    assert place.read_reports() == before
    assert list_temporaries(place) == []


@pytest.mark.slow
def test_signals_at_any_moment_are_a_sentence_at_most(place: Place) -> None:
    submit_three(place)
    random, usual_s = Random(10), measure_usual_s(place)
    for _ in range(10):
        (place.records / f"{random.choice(THREE)}.json").unlink(missing_ok=True)
        before = read_results(place)
        first, second = random.choices(list(CODES), k=2)
        with place.start(*QUICK) as process:
            time.sleep(random.uniform(0.2, usual_s))  # Python itself ends with a traceback while it starts
            process.send_signal(signal.Signals[first])
            time.sleep(random.choice([0, 0.001, 0.02]))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.Signals[second])
            output, errors = process.communicate(timeout=60)
        assert "Traceback" not in output + errors, errors
        early = {-signal.Signals[name] for name in (first, second)}
        assert process.returncode in {0, CODES[first], CODES[second], *early}
        assert errors.count("error: ") <= 1
        assert before.items() <= read_results(place).items()
        assert list_temporaries(place) == []
        assert wait_for(lambda: not list_processes(place.folder))
    finish(place)


def test_an_ignored_signal_stays_ignored(place: Place) -> None:
    with place.start(*QUICK, "--again", ignoring=signal.SIGHUP) as process:
        time.sleep(1)
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (0, "good: done.")


# --- streams


def test_a_reader_who_leaves_early_does_no_harm(place: Place) -> None:
    submit_three(place)
    with place.start(*QUICK) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert [line for line in errors.splitlines() if line.endswith(": done.")][-2:] == ["late: done.", "third: done."]
    assert read_results(place).keys() == set(THREE)


def test_a_full_disk_behind_standard_output_is_a_sentence(place: Place) -> None:
    with Path("/dev/full").open("w") as full, place.start(*QUICK, stdout=full) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 5
    assert errors.endswith("error: standard output cannot be written (No space left on device); free some space.\n")
    assert "Traceback" not in errors


def test_temporaries_of_a_killed_run_go_with_the_next_start(place: Place) -> None:
    pid = os.getpid() + 10**7
    (place.folder / "scratch" / f"harness-{pid}-abc").mkdir()
    (place.records / f".good.json.{pid}.abc.partial").write_text("half")
    cached = place.folder / "home" / ".cache" / "efficient-enhancement-harness"
    (cached / "owner" / f"harness-{pid}-abc").mkdir(parents=True)
    submit_three(place)
    finish(place)
    assert [path for path in cached.rglob("*") if path.name != "owner"] == []
