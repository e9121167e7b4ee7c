"""What a Dask scheduler takes for each task that does nothing, by the number of tasks: python -m benchmarks.scale.

The tasks are those of a run on a cluster in all but the work: a submission's bytes are a task of their own, on which
its chunks depend, and each answers with a chunk of 200 pairs. Scheduler and two workers are processes here; two cores
are shared by all of them and the client.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tabulate import tabulate

from harness.records import ImageScore
from harness.tasks import Chunk

CHUNKS = 51
"""Of one submission with 10,000 images: its photos, and 50 times 200 pairs."""
MODEL_BYTES = 300_000
PAIRS = 200
WINDOW = 4096


@dataclass(frozen=True)
class Row:
    """What so many tasks took: wall time, CPU time of the scheduler and the client, memory of the scheduler."""

    tasks: int
    window: int
    wall_s: float
    scheduler_s: float
    client_s: float
    scheduler_bytes: int

    def describe(self) -> list[str]:
        """A line of the table."""
        per_task = [seconds / self.tasks * 1e3 for seconds in (self.wall_s, self.scheduler_s, self.client_s)]
        window = f"{self.window:,}" if self.window < self.tasks else "all"
        memory = f"{self.scheduler_bytes / 1e6:.0f}"
        return [f"{self.tasks:,}", window, f"{self.wall_s:.1f}", *(f"{ms:.2f}" for ms in per_task), memory]


HEADERS = (
    "tasks",
    "at once",
    "wall s",
    "wall ms/task",
    "scheduler CPU ms/task",
    "client CPU ms/task",
    "scheduler MB more",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", type=int, default=[1000, 3000, 10_000, 30_000])
    parser.add_argument("--window", type=int, default=WINDOW, help="tasks that are out at once (%(default)s)")
    options = parser.parse_args()
    rows = []
    for tasks in options.tasks:
        for window in dict.fromkeys((options.window, tasks)):
            if window <= tasks:
                rows.append(measure(tasks, window))
                print(" ".join(rows[-1].describe()), file=sys.stderr, flush=True)
    print(tabulate([row.describe() for row in rows], HEADERS, tablefmt="github", disable_numparse=True))


def measure(tasks: int, window: int) -> Row:
    """Send so many tasks through a fresh cluster, at most `window` of them at once."""
    from distributed import Client

    with start_cluster() as (file, scheduler), Client(scheduler_file=file, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        executor = client.get_executor(pure=False)
        executor.submit(answer, b"", 0).result()
        here, most_bytes = psutil.Process(), 0
        (scheduler_s, scheduler_bytes), (client_s, _) = read(scheduler), read(here)
        start_s = time.perf_counter()
        for _ in send(client, executor.submit, tasks, window):
            most_bytes = max(most_bytes, read(scheduler)[1])
        wall_s = time.perf_counter() - start_s
        spent_s = [read(scheduler)[0] - scheduler_s, read(here)[0] - client_s]
    return Row(tasks, window, wall_s, spent_s[0], spent_s[1], most_bytes - scheduler_bytes)


def send(client: Any, submit: Callable[..., Future[Any]], tasks: int, window: int) -> Iterator[int]:
    """Send the chunks of one submission after the other; tells now and then how many are done."""
    out: deque[Future[Any]] = deque()
    for number in range(tasks):
        if number % CHUNKS == 0:
            model = client.submit(keep, os.urandom(MODEL_BYTES), pure=False)
        if len(out) >= window:
            wait([out[0]])
            out.popleft().result()
        out.append(submit(answer, model, number))
        if number % 500 == 0:
            yield number
    while out:
        out.popleft().result()
    yield tasks


def keep(content: bytes) -> bytes:
    """A model on its way."""
    return content


def answer(_model: bytes, number: int) -> Chunk:
    """A chunk of 200 pairs, at once."""
    values: dict[str, float | None] = dict.fromkeys(("psnr", "psnr_png", "ms_ssim", "ms_ssim_png"), number + 0.1)
    return Chunk(number, tuple(ImageScore(str(pair), values) for pair in range(PAIRS)))


def read(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds and resident bytes."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


@contextmanager
def start_cluster() -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler and two workers; the file with its address, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        file, processes = f"{folder}/scheduler.json", []
        end = ("--scheduler-file", file, "--no-dashboard")
        worker = ("worker", "--nthreads", "1", "--no-nanny", "--local-directory", folder)
        try:
            for arguments in (("scheduler", "--host", "127.0.0.1", "--port", "0"), worker, worker):
                command = [sys.executable, "-m", "dask", *arguments, *end]
                environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
                quiet = subprocess.DEVNULL
                processes.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment))
                while not Path(file).exists():
                    time.sleep(0.1)
            yield file, psutil.Process(processes[0].pid)
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
