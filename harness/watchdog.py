"""A thread that keeps a child process within its memory and its time, and the end of one with all that it started."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import psutil

POLL_S = 0.01
PAUSE_S = 1.0
"""No look of the watchdog comes so late unless it was stopped itself; that takes nothing from a deadline."""


class Watchdog:
    """A thread that kills the child when it holds too much memory or a request takes too long."""

    def __init__(self, process: subprocess.Popen[bytes], limit_bytes: int) -> None:
        self.verdict: str | None = None
        self.peak_bytes = 0
        self.allowed_s = 0.0
        self._process, self._limit_bytes = process, limit_bytes
        self._end_s: float | None = None
        self._changing = threading.Lock()
        self._looked_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def deadline(self, allowed_s: float) -> Iterator[None]:
        """Kill the child unless the block ends in time."""
        self.allowed_s = allowed_s
        with self._changing:
            self._end_s = time.monotonic() + allowed_s
        try:
            yield
        finally:
            with self._changing:
                self._end_s = None

    def stop(self) -> None:
        """End the thread; the child is left to its owner."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):  # the child has ended
            self._watch_child()

    def _watch_child(self) -> None:
        child = psutil.Process(self._process.pid)
        while not self._stopped.wait(POLL_S):
            now_s = time.monotonic()
            if now_s - self._looked_s > PAUSE_S:  # this process stood still, or the machine slept
                self._postpone(now_s - self._looked_s)
            self._looked_s = now_s
            resident_bytes = child.memory_info().rss
            self.peak_bytes = max(self.peak_bytes, resident_bytes)
            end_s = self._end_s
            if resident_bytes > self._limit_bytes:
                self.verdict = "out_of_memory"
            elif end_s is not None and now_s > end_s:  # a pause since then shows at the next look
                self.verdict = "timeout"
            if self.verdict:
                kill_group(self._process)
                return

    def _postpone(self, by_s: float) -> None:
        with self._changing:
            if self._end_s is not None:
                self._end_s += by_s


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child with all that it started, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS does not permit it for one that has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
