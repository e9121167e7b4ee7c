"""Training runs as child processes, a few at a time; they end with this process, however it ends.

A child is `python -m reference.run_queue ARGUMENTS`, which is `python -m reference.train ARGUMENTS` with an eye on its
standard input: that is a pipe from the parent, and when it closes the parent is gone. A run that ends so goes on from
its last checkpoint when it is started again. What a child prints is added to output.txt in the folder of its run.
"""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "reference.run_queue")
LOG, OUTPUT = "log.csv", "output.txt"
POLL_S = 0.2
CHILD_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",  # the last line is what came last
    # glibc keeps freed memory, in huge pages: on a virtual machine, where new pages are dear, a step of the normal
    # generator took 0.42 s instead of 0.69 s
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 28),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "THP_MEM_ALLOC_ENABLE": "1",
}


@dataclass(frozen=True)
class QueuedRun:
    """A run of `reference.train`: its name for people, its folder and its arguments, all paths absolute."""

    name: str
    out: Path
    arguments: tuple[str, ...]
    steps: int


def train_all(runs: Sequence[QueuedRun], *, jobs: int) -> int:
    """Train all, `jobs` at a time, each on one thread; returns how many failed, which does not stop the others.

    A line is printed for each that ends, with the reason where it failed.
    """
    running: dict[QueuedRun, subprocess.Popen[bytes]] = {}
    waiting, failed, progress = list(runs), 0, Progress(runs)
    with contextlib.closing(progress.bar):
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    run = waiting.pop(0)
                    running[run] = start_child(run)
                time.sleep(POLL_S)
                progress.update()
                for run in [run for run, child in running.items() if child.poll() is not None]:
                    child = running.pop(run)
                    end_child(child)
                    failed += child.returncode != 0
                    progress.report(run, child.returncode)
        finally:
            for child in running.values():
                end_child(child)
    return failed


def start_child(run: QueuedRun) -> subprocess.Popen[bytes]:
    """A child at work on the run."""
    run.out.mkdir(parents=True, exist_ok=True)
    with (run.out / OUTPUT).open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, *run.arguments],
            cwd=ROOT,
            env=os.environ | CHILD_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def end_child(child: subprocess.Popen[bytes]) -> None:
    """Kill the child if it is still there; its files are whole at every moment."""
    with child:  # waits, and closes the pipe
        child.kill()


def describe_failure(run: QueuedRun, exit_code: int) -> str:
    """One sentence with the last line that the child printed, or the signal that ended it."""
    if exit_code < 0:
        return f"{run.name}: failed (its process was ended by {signal.Signals(-exit_code).name})"
    lines = (run.out / OUTPUT).read_text("utf-8", "replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{run.name}: failed ({last.strip()})"


class Progress:
    """A bar over the steps of all runs, where there is a terminal, and lines with the time that is left."""

    def __init__(self, runs: Sequence[QueuedRun]) -> None:
        self.runs, self.ended, self.started_s = runs, 0, time.monotonic()
        self.first_step = self.count_steps()
        total = sum(run.steps for run in runs)
        self.bar = tqdm(total=total, initial=self.first_step, desc="all runs", unit="step", disable=None, smoothing=0)

    def count_steps(self) -> int:
        """Of all runs, as far as their logs have come."""
        return sum(read_step(run.out) for run in self.runs)

    def update(self) -> None:
        """Draw the bar anew."""
        if not self.bar.disable:
            self.bar.update(self.count_steps() - self.bar.n)

    def report(self, run: QueuedRun, exit_code: int) -> None:
        """A line for a run that has ended, with the time since the start and an estimate of what is left."""
        self.ended += 1
        elapsed_min, steps = (time.monotonic() - self.started_s) / 60, self.count_steps()
        state = f"{self.ended} of {len(self.runs)} ended after {elapsed_min:.1f} min"
        if self.ended < len(self.runs) and steps > self.first_step:
            left_min = elapsed_min * (self.bar.total - steps) / (steps - self.first_step)
            state += f", about {left_min:.0f} min left"
        news = describe_failure(run, exit_code) if exit_code else f"{run.name}: trained"
        tqdm.write(f"{news}; {state}", file=sys.stderr if exit_code else sys.stdout)
        sys.stdout.flush()


def read_step(out: Path) -> int:
    """The step of the last row of a run's log; 0 where there is none yet."""
    try:
        rows = list(csv.DictReader((out / LOG).read_text("utf-8").splitlines()))
        return int(rows[-1]["step"])
    except (OSError, LookupError, ValueError):
        return 0


def end_with_parent() -> None:
    """Wait until standard input closes, and end this process at once."""
    os.read(0, 1)
    os._exit(1)


def main() -> int:
    """The child."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    from reference.train import main as train  # torch takes seconds to load

    return train(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
