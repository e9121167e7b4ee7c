"""A Dask scheduler and workers as processes of their own on this machine, with `dask` as a user starts it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

KILLER = '''
"""Stands for a kernel that is out of memory: a submission of this name takes the worker's process with it."""

import os
import signal

from harness.job import Job


def start_or_die(job, threads=None, start=Job.start):
    if job.submission.name == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return start(job, threads)


Job.start = start_or_die
'''


class Cluster:
    """A scheduler and its workers, whose files all lie in one folder."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._file = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port", "0", "--host", "127.0.0.1")
        # the scheduler makes the file before it has written it
        self._wait(lambda: self._file.exists() and self._file.read_text() != "", "the scheduler")

    @property
    def address(self) -> str:
        return str(json.loads(self._file.read_text())["address"])

    def add_worker(self, *options: str, core: int = 0, code: Path = ROOT) -> subprocess.Popen[bytes]:
        """One more worker, on one core, of one thread; back once it is there."""
        log = self.folder / f"worker{len(list(self.folder.glob('worker*.log')))}.log"
        local = str(self.folder / "local")
        process = self.start(
            *("worker", "--nthreads", "1", "--local-directory", local, "--death-timeout", "60", *options),
            log=log,
            core=core,
            code=code,
        )
        self._wait(lambda: "Registered to" in log.read_text(), "a worker")
        return process

    def start(
        self, *arguments: str, log: Path | None = None, core: int = 0, code: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(self._file), "--no-dashboard"]
        (self.folder / "tmp").mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(code),
        }
        cores = sorted(os.sched_getaffinity(0))
        with (log or self.folder / "scheduler.log").open("wb") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {cores[core % len(cores)]}),  # noqa: PLW1509
            )
        self._stack.callback(end, process)
        return process

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + 90
        while not is_there():
            logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
            assert time.monotonic() < end_s, f"{what} did not start: {logs}"
            time.sleep(0.1)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def start_cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler without workers, for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield Cluster(folder, stack)


def write_killer(folder: Path) -> Path:
    """What a worker has to load first to be killed by the submission `killer`."""
    path = folder / "killer.py"
    path.write_text(KILLER)
    return path
