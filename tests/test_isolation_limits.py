"""Memory and time of the child process: how they are measured, and what happens beyond the limits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import pytest
from processes import LIMIT_BYTES, MEGABYTE, PARENT, SOURCE, is_gone, linux, load, run, wait_for

from harness import isolation, watchdog
from harness.errors import ModelError
from harness.isolation import ModelProcess

pytestmark = pytest.mark.usefixtures("scratch")


# --- memory


def measure_from_parent(path: Path, held_bytes: int) -> list[int]:
    """Loaded and peak bytes of a model's process whose parent holds that much memory."""
    command = [sys.executable, "-c", PARENT, str(path), str(held_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [int(word) for word in done.stdout.splitlines()[1].split()[:2]]


@linux
def test_a_parent_of_a_gigabyte_does_not_change_the_childs_peak(tmp_path: Path) -> None:
    path = models.save(models.allocate(100 * MEGABYTE), tmp_path / "model.onnx")
    small, large = (measure_from_parent(path, held) for held in (1, 1000 * MEGABYTE))
    assert np.abs(np.subtract(small, large)).max() < 5 * MEGABYTE
    assert small[1] - small[0] > 100 * MEGABYTE  # or there was nothing to compare


@linux
@pytest.mark.parametrize(("megabytes", "region_bytes"), [(100, 2**27), (200, 2**28), (400, 2**29)])
def test_memory_that_a_run_takes_is_seen(start: Callable[..., ModelProcess], megabytes: int, region_bytes: int) -> None:
    """Beside ONNX Runtime's own book-keeping: 8 bytes for every 256 of a region."""
    peaks = []
    for byte_count in (0, megabytes * MEGABYTE):
        process = start(models.allocate(byte_count) if byte_count else models.identity(), limit_bytes=10**9)
        process.reset_peak()
        run(process)
        peaks.append(process.read_peak_bytes())
    assert peaks[1] - peaks[0] == pytest.approx(megabytes * MEGABYTE + region_bytes / 32, rel=0.02)


SPIKE = """
import mmap, time
print(flush=True)
input()
start_ns = time.process_time_ns()
held = mmap.mmap(-1, int({byte_count}), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
held.close()
print(time.process_time_ns() - start_ns, flush=True)
input()
"""


@linux
def test_a_spike_of_a_few_milliseconds_is_seen() -> None:
    """Looking every 100 ms, or every 10, as a rule would miss it: 32 MB take about 5 ms here to be filled and freed."""
    byte_count = 32 * MEGABYTE
    command = [sys.executable, "-c", SPIKE.format(byte_count=byte_count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = isolation.read_peak_bytes(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        length_ns = int(process.stdout.readline())
        assert isolation.read_peak_bytes(process.pid) - before == pytest.approx(byte_count, rel=0.02)
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert length_ns < 80e6


@linux
def test_a_second_run_takes_no_more_than_the_first(start: Callable[..., ModelProcess]) -> None:
    """With ONNX Runtime's memory pattern on, this model's peak grew from 174 to 272 MB (1.32.0, Linux, 2026-11)."""
    process = start(models.widen(8))
    peaks = []
    for _ in range(3):
        process.reset_peak()
        run(process, np.ones((1, 700, 700, 3), np.float32))
        peaks.append(process.read_peak_bytes())
    assert max(peaks) < peaks[0] + 20 * MEGABYTE


@linux
def test_the_peak_starts_anew_after_loading(tmp_path: Path, start: Callable[..., ModelProcess]) -> None:
    large = models.build_model(
        [models.node("Add", ["source", "by"])], weights={"by": np.ones((1, 1000, 5000, 3), np.float32)}
    )
    process = start(large)
    loaded_bytes = process.read_peak_bytes()
    process.reset_peak()
    assert process.read_peak_bytes() < loaded_bytes - 50 * MEGABYTE
    assert process.read_peak_bytes() > 60 * MEGABYTE


@linux
def test_an_outputs_way_to_the_parent_is_not_counted(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    ran = run(process, np.ones((1, 1000, 2000, 3), np.float32))
    process.reset_peak()
    before = process.read_peak_bytes()
    assert process.fetch(ran).sum() == 6_000_000
    assert process.read_peak_bytes() - before < 4 * MEGABYTE  # the output has 24


@pytest.mark.parametrize("byte_count", [700 * MEGABYTE, 8000 * MEGABYTE], ids=["held", "refused"])
def test_too_much_memory_is_said_with_the_limit(start: Callable[..., ModelProcess], byte_count: int) -> None:
    process = start(models.allocate(byte_count), limit_bytes=350 * MEGABYTE)
    with pytest.raises(ModelError, match=r"^out of memory \(limit 0\.35 GB\) during run;") as caught:
        run(process)
    assert (caught.value.stage, caught.value.kind) == ("run", "out_of_memory")


def test_the_watchdog_kills_what_holds_too_much() -> None:
    code = f"import time; held = bytearray({100 * MEGABYTE}); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        dog = watchdog.Watchdog(process, 50 * MEGABYTE)
        assert process.wait(timeout=30) == -signal.SIGKILL
        dog.stop()
    assert dog.verdict == "out_of_memory"
    assert dog.peak_bytes > 50 * MEGABYTE


@linux
def test_the_last_output_does_not_count_in_the_next_run(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    peaks = []
    process.put(np.ones((1, 1000, 2000, 3), np.float32))
    for _ in range(2):
        process.reset_peak()
        process.run(deadline_s=60)
        peaks.append(process.read_peak_bytes())
    assert peaks[1] - peaks[0] < 4 * MEGABYTE  # the output has 24


@linux
def test_a_peak_between_two_looks_is_seen(start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_S", 600)
    process = start(models.allocate(300 * MEGABYTE), limit_bytes=350 * MEGABYTE)
    with pytest.raises(ModelError, match="out of memory"):
        run(process)


@linux
def test_a_peak_while_loading_counts_as_well(
    start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "POLL_S", 600)
    large = models.build_model(
        [models.node("Add", ["source", "by"])], weights={"by": np.ones((1, 1000, 4000, 3), np.float32)}
    )
    with pytest.raises(ModelError, match=r"during load;") as caught:
        start(large, limit_bytes=110 * MEGABYTE)
    assert (caught.value.stage, caught.value.kind) == ("load", "out_of_memory")


@linux
def test_the_peak_of_a_process_that_is_gone_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert isolation.read_peak_bytes(process.pid) is None
    assert isolation.read_peak_bytes(os.getpid()) > MEGABYTE


# --- time


def test_a_run_that_never_ends_is_killed_at_its_deadline(start: Callable[..., ModelProcess]) -> None:
    process = start(models.endless_loop())
    process.put(SOURCE)
    start_s = time.monotonic()
    with pytest.raises(ModelError, match=r"^no end of run within 1\.5 s;") as caught:
        process.run(deadline_s=1.5)
    assert 1.5 <= time.monotonic() - start_s < 3.5
    assert (caught.value.stage, caught.value.kind) == ("run", "timeout")
    assert wait_for(lambda: is_gone(process.pid))


def test_a_load_that_never_ends_is_killed_at_its_deadline(tmp_path: Path) -> None:
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        process.pause()
        with pytest.raises(ModelError, match=r"^no end of load within 0\.3 s;") as caught:
            load(process, models.save(models.identity(), tmp_path / "model.onnx"), deadline_s=0.3)
    assert (caught.value.stage, caught.value.kind) == ("load", "timeout")


def test_a_child_that_does_not_listen_is_killed(
    start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(models.identity())
    monkeypatch.setattr(isolation, "START_DEADLINE_S", 0.3)  # from now on: a start takes longer on a busy machine
    process.pause()
    with pytest.raises(ModelError, match="no end of run within"):
        process.put(np.ones((1, 1000, 1000, 3), np.float32))


def test_the_time_between_requests_is_not_limited(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    run(process, deadline_s=1)
    time.sleep(1.2)
    assert run(process).shape == SOURCE.shape


SLEEPER = """
import subprocess, sys, time
from harness.watchdog import Watchdog

with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
    dog = Watchdog(process, 10**9)
    with dog.deadline(1.2):
        end_s = time.monotonic() + float(sys.argv[1])
        print(process.pid, flush=True)
        time.sleep(max(0, end_s - time.monotonic()))
    print(dog.verdict, flush=True)
    dog.stop()
    process.kill()
"""


@linux
@pytest.mark.parametrize(
    ("stopped_s", "busy_s", "verdict"), [(1.6, 2.1, "None"), (1.6, 3.6, "timeout"), (0, 2, "timeout")]
)
def test_a_machine_that_slept_takes_nothing_from_the_deadline(stopped_s: float, busy_s: float, verdict: str) -> None:
    """Of busy_s, this much less is on the deadline of 1.2 s."""
    command = [sys.executable, "-c", SLEEPER, str(busy_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = (parent.pid, int(parent.stdout.readline()))
        if stopped_s:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert parent.stdout.readline().strip() == verdict
    assert is_gone(pids[1])
