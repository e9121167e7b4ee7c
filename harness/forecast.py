"""Steps -> how far each submission is, and about how long the rest takes, by what was seen and nothing else."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.progress import AUDIT, QUALITY, TIME, Step

Clock = Callable[[], float]
Seen = tuple[int | None, float]
"""Multiply-adds of a submission, and the whole work of a stage on it in seconds."""


@dataclass
class Work:
    """One stage of one submission; began_s and ended_s by the clock, None before."""

    step: Step
    began_s: float | None = None
    ended_s: float | None = None

    def measure_spent_s(self, now_s: float) -> float:
        """The work so far, in seconds of one worker: as told, or by the clock."""
        return self.measure_wall_s(now_s) if self.step.spent_s is None else self.step.spent_s

    def measure_wall_s(self, now_s: float) -> float:
        """The time since it began, or that it took."""
        return 0.0 if self.began_s is None else (now_s if self.ended_s is None else self.ended_s) - self.began_s


@dataclass
class Line:
    """One submission: its stage now ("" before the first), the work in each, and in the end a verdict with a note."""

    name: str
    stage: str = ""
    works: dict[str, Work] = field(default_factory=dict)
    verdict: str = ""
    note: str = ""
    changed_s: float = 0.0

    @property
    def state(self) -> str:
        """In a word: its verdict, the stage that it is in the midst of, or what it waits as."""
        return self.verdict or (self._idle_state if self.work is None else self.stage)

    @property
    def phase(self) -> str:
        """The same without regard to the stage, for counts."""
        return self.verdict or ("running" if self.is_running else self._idle_state)

    @property
    def _idle_state(self) -> str:
        quality = self.works.get(QUALITY)
        return "waiting" if quality is None or quality.ended_s is None else "measured"

    @property
    def work(self) -> Work | None:
        """That which is begun and not over, if only until its next turn."""
        work = self.works.get(self.stage)
        return None if self.verdict or work is None or work.began_s is None or work.ended_s is not None else work

    @property
    def is_running(self) -> bool:
        """Whether it is worked on now."""
        return self.work is not None and self.work.step.state == "running"

    def needs(self, stage: str) -> bool:
        """Whether there is work to do in this stage; those before the one it is in are over."""
        stages = (QUALITY, AUDIT, TIME)
        if self.verdict or (self.stage in stages and stages.index(self.stage) > stages.index(stage)):
            return False
        return stage not in self.works or self.works[stage].ended_s is None

    def find_multiply_adds(self) -> int | None:
        """As some step told them."""
        return next((work.step.multiply_adds for work in self.works.values() if work.step.multiply_adds), None)


class Forecast:
    """All submissions of a command, and what it does beside them. Not for several threads at once."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._start_s = clock()
        self.lines: dict[str, Line] = {}
        self.beside: Work | None = None
        """What is done of no submission in particular."""
        self.budget_s: float | None = None
        """For the time of each; None where no time is measured."""

    @property
    def passed_s(self) -> float:
        """Since the start."""
        return self._clock() - self._start_s

    def expect(self, names: Iterable[str], *, budget_s: float | None) -> None:
        """Say what there will be to do."""
        self.budget_s = budget_s
        for name in names:
            self.lines.setdefault(name, Line(name))

    def take(self, step: Step) -> bool:
        """Take a step in; whether a stage began or ended with it."""
        now_s = self._clock()
        if not step.submission:
            if self.beside is not None and self.beside.step.stage == step.stage:
                self.beside.step = step
                return False
            self.beside = Work(step, now_s)
            return True
        line = self.lines.setdefault(step.submission, Line(step.submission))
        work = line.works.setdefault(step.stage, Work(step))
        if work.ended_s is not None:  # it is done once more
            work.began_s = work.ended_s = None
        line.stage, work.step, line.changed_s = step.stage, step, now_s
        if step.state == "ended":
            work.ended_s = now_s
            return work.began_s is not None
        if step.state == "queued" or work.began_s is not None:
            return False
        work.began_s = now_s
        if self.beside is not None:
            self.beside.ended_s = now_s
        return True

    def conclude(self, name: str, verdict: str, note: str) -> None:
        """What came of a submission; without a verdict, there is more to do than its quality."""
        line = self.lines.setdefault(name, Line(name))
        if line.work is not None:
            line.work.ended_s = self._clock()
        line.verdict, line.note, line.changed_s = verdict, note, self._clock()
        if not verdict and QUALITY not in line.works:  # it was measured before
            line.works[QUALITY] = Work(Step(QUALITY, submission=name, state="ended"), ended_s=line.changed_s)
            line.stage = line.stage or QUALITY

    def count(self) -> Counter[str]:
        """How many submissions are at work, waiting before or after their quality, or over by their verdict."""
        return Counter(line.phase for line in self.lines.values())

    def list_left(self) -> list[tuple[str, float | None, bool]]:
        """The stages that have work left, each with the seconds it takes and whether these are no more than a budget.

        None where nothing tells. Without time to measure, quality is all there is.
        """
        if not self.lines:
            return []
        left = []
        for stage in (QUALITY,) if self.budget_s is None else (QUALITY, AUDIT, TIME):
            if any(line.needs(stage) for line in self.lines.values()):
                left_s = self._estimate_stage_s(stage)
                guessed = stage == TIME and left_s is None
                left.append((stage, self._add_budgets_s() if guessed else left_s, guessed))
        return left

    def estimate_line_s(self, line: Line) -> float | None:
        """How long the stage that a submission is in still takes, by its share of the machine so far."""
        work = line.work
        if work is None or work.step.left_s is None or not work.step.spent_s:
            return None
        return work.step.left_s * work.measure_wall_s(self._clock()) / work.step.spent_s

    def estimate_beside_s(self) -> float | None:
        """How long the rest of what is done beside the submissions takes."""
        if self.beside is None or self.beside.began_s is None or not self.beside.step.done:
            return None
        step = self.beside.step
        return (self._clock() - self.beside.began_s) * (step.total - step.done) / step.done

    def _estimate_stage_s(self, stage: str) -> float | None:
        seen = list(self._list_seen(stage))
        if not seen:
            return None
        expect = predict(seen)
        left_s = 0.0
        for line in self.lines.values():
            if line.needs(stage):
                work = line.works.get(stage)
                if work is not None and work.step.left_s is not None:
                    left_s += work.step.left_s
                else:
                    spent_s = work.measure_spent_s(self._clock()) if work else 0.0
                    left_s += max(0.0, expect(line.find_multiply_adds()) - spent_s)
        return left_s / self._measure_pace() if stage == QUALITY else left_s

    def _list_seen(self, stage: str) -> Iterator[Seen]:
        for line in self.lines.values():
            work = None if line.verdict not in ("", "done") else line.works.get(stage)  # a failure tells nothing
            if work is None or work.began_s is None:
                continue
            if work.ended_s is not None or work.step.left_s is not None:
                yield line.find_multiply_adds(), work.measure_spent_s(self._clock()) + (work.step.left_s or 0.0)

    def _measure_pace(self) -> float:
        """Seconds of work on quality in one second: how many workers there seem to be."""
        works = [line.works[QUALITY] for line in self.lines.values() if QUALITY in line.works]
        began_s = [work.began_s for work in works if work.began_s is not None]
        now_s = self._clock()
        spent_s = sum(work.measure_spent_s(now_s) for work in works)
        return spent_s / (now_s - min(began_s)) if spent_s and now_s > min(began_s) else 1.0

    def _add_budgets_s(self) -> float:
        """What is left of the budgets for time."""
        waiting = [line for line in self.lines.values() if line.needs(TIME)]
        spent_s = [line.works[TIME].step.spent_s or 0.0 if TIME in line.works else 0.0 for line in waiting]
        return sum(max(0.0, (self.budget_s or 0.0) - spent) for spent in spent_s)


def predict(seen: Sequence[Seen]) -> Callable[[int | None], float]:
    """The work on a submission by its multiply-adds, after others: on the line through theirs, or else their mean."""
    mean_s = statistics.fmean(work_s for _, work_s in seen)
    known = [(multiply_adds, work_s) for multiply_adds, work_s in seen if multiply_adds]
    if len({multiply_adds for multiply_adds, _ in known}) < 2:
        return lambda _: mean_s
    slope, intercept = statistics.linear_regression(*zip(*known, strict=True))
    least_s = min(work_s for _, work_s in known)
    if slope <= 0:
        return lambda _: mean_s
    return lambda multiply_adds: max(intercept + slope * multiply_adds, least_s) if multiply_adds else mean_s
