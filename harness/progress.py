"""What is told of work that takes long, while it goes on."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

CHECK, QUALITY, AUDIT, TIME = "checking the models", "quality", "audit", "time"

State = Literal["queued", "running", "ended"]


@dataclass(frozen=True)
class Step:
    """How far a stage is, of one submission, or of all together where none is named.

    spent_s, left_s: the work on it in seconds of one worker, as far as it is done and as it is expected to come; None
    where nothing tells. multiply_adds lets a submission be compared with others before its own work has begun.
    """

    stage: str
    done: int = 0
    total: int = 0
    submission: str = ""
    state: State = "running"
    spent_s: float | None = None
    left_s: float | None = None
    multiply_adds: int | None = None


Progress = Callable[[Step], None]


class Tally:
    """Counts the outputs of one submission's first pass, and learns how long one takes.

    Its places (see `tasks.Chunk`) are worked on side by side: those up to 0 have photos, which take far longer than the
    pairs of all others. The start of a process counts as part of its first output.
    """

    def __init__(
        self, submission: str, *, photos: int, pairs: int, multiply_adds: int | None, on_progress: Progress
    ) -> None:
        self._submission, self._multiply_adds, self._on_progress = submission, multiply_adds, on_progress
        self._totals, self._done, self._spent_s = (photos, pairs), [0, 0], [0.0, 0.0]
        self._counts: dict[int, int] = {}
        self._since_s: dict[int, float] = {}
        self._counting = threading.Lock()

    def queue(self) -> None:
        """All is known but the values."""
        self._tell("queued")

    def begin(self, place: int) -> None:
        """A process for the work at this place is about to start."""
        with self._counting:
            self._since_s[place] = time.monotonic()
            self._tell("running")

    def count(self, place: int) -> None:
        """One output more, from the process at this place."""
        with self._counting:
            kind, now_s = int(place > 0), time.monotonic()
            self._done[kind] += 1
            self._counts[place] = self._counts.get(place, 0) + 1
            self._spent_s[kind] += now_s - self._since_s[place]
            self._since_s[place] = now_s
            self._tell("running")

    def complete(self, place: int, outputs: int, spent_s: float) -> None:
        """All outputs of this place are there, in so many seconds of one worker that nobody could look at."""
        with self._counting:
            missing = outputs - self._counts.get(place, 0)
            if missing > 0:
                self._done[int(place > 0)] += missing
                self._counts[place] = outputs
                self._spent_s[int(place > 0)] += spent_s
                self._tell("running")

    def end(self) -> None:
        """Nothing more comes: the values are there, or a fault."""
        self._tell("ended")

    def _tell(self, state: State) -> None:
        self._on_progress(
            Step(
                QUALITY,
                sum(self._done),
                sum(self._totals),
                self._submission,
                state,
                spent_s=sum(self._spent_s),
                left_s=self._estimate_left_s(),
                multiply_adds=self._multiply_adds,
            )
        )

    def _estimate_left_s(self) -> float | None:
        kinds = [kind for kind in zip(self._totals, self._done, self._spent_s, strict=True) if kind[0]]
        if not all(done for _, done, _ in kinds):
            return None
        return sum((total - done) * spent_s / done for total, done, spent_s in kinds)
