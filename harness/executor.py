"""Who does the work: threads here, each of which drives a model's process, or the workers of a cluster.

The work itself is done outside Python's lock: by the models in processes of their own, and by compiled metrics.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil

from harness.environment import describe_environment
from harness.files import make_scratch
from harness.job import Evaluation, Parcel
from harness.records import Environment

NAME = "first-pass"
POLL_S = 0.02

T = TypeVar("T")


class Crew(Protocol):
    """Does tasks: functions of a parcel and plain values. scratch: a folder for what outlasts a task here."""

    scratch: Path

    @property
    def measures_memory(self) -> bool:
        """Whether there is a place for that."""

    @property
    def most_tasks(self) -> int:
        """So many tasks are worth having out; each costs memory where it waits."""

    def submit(self, task: Callable[..., T], parcel: Parcel, *arguments: Any, measures: bool = False) -> Future[T]:
        """Do a task as soon as there is room for it. measures: where memory is measured."""

    def run_quietly(self, task: Callable[..., T], parcel: Parcel, *arguments: Any) -> T:
        """Do a task where time is measured, beside no other one, and wait for its end."""

    def describe_place(self) -> Environment:
        """What of the place of the work a result depends on."""


class LocalCrew:
    """Threads of this process. What needs a quiet machine runs in the thread that asks for it."""

    measures_memory = True
    most_tasks = 4096

    def __init__(self, pool: Executor, scratch: Path) -> None:
        self.scratch = scratch
        self._pool = pool

    def submit(self, task: Callable[..., T], parcel: Parcel, *arguments: Any, measures: bool = False) -> Future[T]:  # noqa: ARG002
        return self._pool.submit(task, parcel, *arguments)

    def run_quietly(self, task: Callable[..., T], parcel: Parcel, *arguments: Any) -> T:
        return task(parcel, *arguments)

    def describe_place(self) -> Environment:
        return describe_environment()


OpenCrew = Callable[[Evaluation], contextlib.AbstractContextManager[Crew]]
"""Gets a crew ready for an evaluation, for the length of a block."""


@contextlib.contextmanager
def open_crew(evaluation: Evaluation) -> Iterator[Crew]:
    """As many threads here as the evaluation has workers."""
    with make_scratch() as scratch, open_executor(evaluation.workers) as pool:
        yield LocalCrew(pool, Path(scratch))


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
