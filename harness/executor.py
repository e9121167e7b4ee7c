"""Who does the work of the first pass: threads, each of which drives a model's process.

The work itself is done outside Python's lock: by the models in processes of their own, and by compiled metrics.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import psutil

NAME = "first-pass"
POLL_S = 0.02


@contextlib.contextmanager
def open_executor(workers: int) -> Iterator[Executor]:
    """An executor of so many workers. When the block fails, what has not begun never does, and models are killed."""
    executor = ThreadPoolExecutor(workers, thread_name_prefix=NAME)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        while any(thread.name.startswith(NAME) for thread in threading.enumerate()):
            kill_children()  # again and again: one may just have been started
            threading.Event().wait(POLL_S)
        raise
    executor.shutdown()


def kill_children() -> None:
    """Kill all processes of models with what they started; each is the head of its group."""
    for child in psutil.Process().children():
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
