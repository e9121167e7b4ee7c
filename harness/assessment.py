"""The first pass over submissions: static checks, metric values and memory, several models side by side.

The work is cut into tasks. Whoever does them, what a model runs in one process is always the same: so are the values.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from harness.errors import SubmissionError
from harness.executor import Crew
from harness.job import Evaluation, Parcel
from harness.progress import CHECK, Progress, Step, Tally
from harness.records import Cost, Failure, Record, Submission
from harness.results import judge_failure, make_record, make_result, place_record
from harness.shelf import Shelf
from harness.submission import SubmissionFolder, describe_submission
from harness.tasks import Checked, Chunk, Pairs, Part, Photos, check_model, describe_fault, score_pairs, score_photos
from harness.watch import Watch, WatchedParcel

CHUNK = 200
"""So many pairs in one process: fewer would leave much of the time to starts."""

SAMPLE = 8
"""So many pairs are enhanced a second time, in another process."""


@dataclass(frozen=True)
class Chosen:
    """A submission and the split to evaluate it on."""

    folder: SubmissionFolder
    split: str


@dataclass(frozen=True)
class Assessed:
    """A submission's record as far as the first pass makes it, and its operators that depend on the input."""

    folder: SubmissionFolder
    record: Record
    control_flow: tuple[str, ...] = ()


@dataclass(eq=False)
class Work:
    """One submission's way through the first pass. An outcome is a chunk, a fault, or None for what was called off."""

    chosen: Chosen
    checked: Checked | None = None
    tally: Tally | None = None
    parts: dict[int, Part] = field(default_factory=dict)
    futures: dict[int, Future[Chunk]] = field(default_factory=dict)
    outcomes: dict[int, Chunk | Exception | None] = field(default_factory=dict)
    end: Assessed | Exception | None = None


def assess(
    submissions: Sequence[Chosen],
    evaluation: Evaluation,
    *,
    crew: Crew,
    on_progress: Progress,
    shelf: Shelf | None = None,
) -> Iterator[Assessed]:
    """The first pass over each submission, in order. What a model does wrong ends up in its record.

    shelf: where what is done is kept until its submission is through, and looked for first.
    """
    yield from FirstPass(evaluation, crew, on_progress, shelf).go_through(submissions)


class FirstPass:
    """Hands out tasks and takes in what comes of them, all in the thread that asks for the next submission."""

    def __init__(self, evaluation: Evaluation, crew: Crew, on_progress: Progress, shelf: Shelf | None) -> None:
        self._evaluation, self._crew, self._on_progress, self._shelf = evaluation, crew, on_progress, shelf
        self._events: SimpleQueue[tuple[Work, int | None, Future[Any]]] = SimpleQueue()
        self._open: dict[Work, int] = {}  # the tasks of each submission that is begun and not through
        self._photos = plan_photos(evaluation.dataset.photos, memory=crew.measures_memory)
        self._checks = self._total = 0

    def go_through(self, submissions: Sequence[Chosen]) -> Iterator[Assessed]:
        """What comes of each submission, in order."""
        works = deque(Work(chosen) for chosen in submissions)
        waiting = deque(works)
        self._total = len(works)
        if works:
            self._on_progress(Step(CHECK, 0, self._total))
        while works:
            work = works.popleft()
            while work.end is None:
                while waiting and sum(self._open.values()) < self._crew.most_tasks:
                    self._begin(waiting.popleft())
                self._take(*self._events.get())
            if isinstance(work.end, Exception):
                raise work.end
            yield work.end

    def _begin(self, work: Work) -> None:
        pairs = len(self._evaluation.dataset.list_names(work.chosen.split))
        self._open[work] = len(self._photos) + 1 + pairs // CHUNK
        parcel = Parcel(work.chosen.folder, self._evaluation, self._crew.scratch)
        self._await(work, None, self._crew.submit(check_model, parcel))

    def _await(self, work: Work, place: int | None, future: Future[Any]) -> None:
        future.add_done_callback(lambda ended: self._events.put((work, place, ended)))

    def _take(self, work: Work, place: int | None, future: Future[Any]) -> None:
        try:
            if place is None:
                self._take_check(work, future)
            else:
                self._take_chunk(work, place, future)
        except Exception as fault:  # it is told in the submission's turn: those before it are not lost
            work.end = fault
        if work.end is not None:
            self._open.pop(work, None)

    def _take_check(self, work: Work, future: Future[Checked | Failure]) -> None:
        self._checks += 1
        if self._checks < self._total:
            self._on_progress(Step(CHECK, self._checks, self._total))
        try:
            checked = future.result()
        except SubmissionError as error:  # it kills whoever looks at it
            checked = describe_fault(error)
        if isinstance(checked, Failure):
            work.end = fail(work.chosen.folder, checked, self._evaluation)
            return
        work.checked = checked
        pairs = plan_pairs(checked.submission, self._evaluation.dataset.list_names(work.chosen.split))
        work.parts = {part.place: part for part in (*self._photos, *pairs)}
        work.tally = open_tally(checked.submission, [*work.parts.values()], checked.cost, self._on_progress)
        work.tally.queue()
        parcel = WatchedParcel(work.chosen.folder, self._evaluation, self._crew.scratch, watch=Watch(work.tally))
        for place in work.parts:
            self._begin_chunk(work, place, parcel)
        self._finish(work)

    def _begin_chunk(self, work: Work, place: int, parcel: Parcel) -> None:
        checked, part = work.checked, work.parts[place]
        assert checked is not None
        submission = checked.submission
        if self._shelf and (chunk := self._shelf.find(submission, part)):
            self._count(work, place, chunk)
            work.outcomes[place] = chunk
            return
        work.futures[place] = future = submit(self._crew, parcel, submission, part)
        self._await(work, place, future)

    def _take_chunk(self, work: Work, place: int, future: Future[Chunk]) -> None:
        del work.futures[place]
        outcome: Chunk | Exception | None
        try:
            outcome = future.result()
        except CancelledError:
            outcome = None
        except SubmissionError as error:
            outcome = Chunk(place, failure=describe_fault(error))
        except Exception as fault:
            outcome = fault
        if isinstance(outcome, Chunk) and outcome.failure is None:
            if self._shelf and work.checked:
                self._shelf.keep(work.checked.submission, work.parts[place], outcome)
            self._count(work, place, outcome)
        elif outcome is not None:
            for other, later in [*work.futures.items()]:
                if other > place:
                    later.cancel()
        work.outcomes[place] = outcome
        self._finish(work)

    def _count(self, work: Work, place: int, chunk: Chunk) -> None:
        assert work.tally is not None
        work.tally.complete(place, work.parts[place].outputs, chunk.spent_s)

    def _finish(self, work: Work) -> None:
        if len(work.outcomes) == len(work.parts):
            assert work.tally is not None
            work.tally.end()
            work.end = conclude(work, self._evaluation)


def conclude(work: Work, evaluation: Evaluation) -> Assessed:
    """The record of a submission; of several faults the first counts, in the order of the images."""
    assert work.checked is not None
    submission, folder = work.checked.submission, work.chosen.folder
    chunks = []
    for _, outcome in sorted(work.outcomes.items()):
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None and outcome.failure is not None:
            failed = fail(folder, outcome.failure, evaluation, submission)
            return replace(failed, record=place_record(failed.record, [outcome]))
        if outcome is not None:
            chunks.append(outcome)
    if len(chunks) < len(work.outcomes):
        raise CancelledError(f"the work on {submission.name} was called off")
    record = make_result(submission, work.chosen.split, evaluation, cost=work.checked.cost, chunks=chunks)
    return Assessed(folder, record, work.checked.control_flow)


def open_tally(submission: Submission, parts: Sequence[Part], cost: Cost | None, on_progress: Progress) -> Tally:
    """What counts the outputs of all places."""
    return Tally(
        submission.name,
        photos=sum(part.outputs for part in parts if isinstance(part, Photos)),
        pairs=sum(part.outputs for part in parts if isinstance(part, Pairs)),
        multiply_adds=cost.multiply_adds if cost else None,
        on_progress=on_progress,
    )


def submit(crew: Crew, parcel: Parcel, submission: Submission, part: Part) -> Future[Chunk]:
    """Have the work at one place done."""
    if isinstance(part, Photos):
        return crew.submit(score_photos, parcel, submission, part, measures=part.memory)
    return crew.submit(score_pairs, parcel, submission, part)


def plan_photos(names: Sequence[str], *, memory: bool) -> list[Part]:
    """The photos at each place: all in one process where memory is measured, since it grows; else one each."""
    if memory:
        return [Photos(0, tuple(names), memory=True)] if names else []
    return [Photos(place, (name,)) for place, name in enumerate(names, start=1 - len(names))]


def plan_pairs(submission: Submission, names: Sequence[str]) -> list[Part]:
    """The pairs at each place behind the photos; the very first ones are enhanced a second time."""
    starts = enumerate(range(0, len(names), CHUNK), start=1)
    parts = [(place, tuple(names[start : start + CHUNK])) for place, start in starts]
    return [Pairs(place, part, count_sample(submission, len(part)) if place == 1 else 0) for place, part in parts]


def count_sample(submission: Submission, pairs: int) -> int:
    """So many of a first process's pairs are enhanced again; none where outputs need not repeat."""
    return min(SAMPLE, pairs) if submission.draws == 1 else 0


def fail(
    folder: SubmissionFolder, failure: Failure, evaluation: Evaluation, submission: Submission | None = None
) -> Assessed:
    """The record of a submission that has no result."""
    known = submission or describe_submission(folder, sha256="", layout=folder.manifest.layout or "")
    return Assessed(folder, make_record(known, judge_failure(folder, failure), evaluation, failure=failure))
