"""Looks after the processes of models here in the first pass: counts outputs, and ends what a fault outdates."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass

from harness.errors import ModelError
from harness.isolation import ModelProcess
from harness.job import Parcel
from harness.progress import Tally
from harness.records import Submission


class Watch:
    """The processes of one submission's model, each of which has a place in the order of the work.

    A fault ends all processes behind it; those before it go on, since the first fault in the order counts.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._faults: dict[int, BaseException] = {}
        self._live: dict[int, ModelProcess] = {}
        self._changing = threading.Lock()

    @contextlib.contextmanager
    def note_fault(self, place: int) -> Iterator[None]:
        """The fault that ends the block counts for this place."""
        try:
            yield
        except BaseException as fault:
            with self._changing:
                self._faults[place] = fault
                for other in [other for other in self._live if self._is_over(other)]:
                    self._live[other].kill()
            raise

    @contextlib.contextmanager
    def look_after(self, process: ModelProcess, place: int) -> Iterator[None]:
        """Kill the process as soon as a fault lies before it. Raises CancelledError where one does already."""
        with self._changing:
            if self._is_over(place):
                raise CancelledError
            self._live[place] = process
        try:
            yield
        finally:
            with self._changing:
                del self._live[place]

    def _is_over(self, place: int) -> bool:
        """Whether a fault lies before this place; one that came from outside ends all."""
        killed = any(isinstance(fault, ModelError) and fault.kind == "killed" for fault in self._faults.values())
        return killed or any(other < place for other in self._faults)


@dataclass(frozen=True, kw_only=True)
class WatchedParcel(Parcel):
    """A parcel whose processes are looked after, as far as they run in this process."""

    watch: Watch

    @contextmanager
    def start(self, submission: Submission, place: int, threads: int | None = None) -> Iterator[ModelProcess]:
        with self.watch.note_fault(place):
            self.watch.tally.begin(place)
            with super().start(submission, place, threads) as process, self.watch.look_after(process, place):
                yield process

    def count(self, place: int) -> None:
        self.watch.tally.count(place)
