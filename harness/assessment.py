"""The first pass over submissions: static checks, metric values and memory, several models side by side.

What a model runs in one process is always the same, however many work at once: so are the values.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.admission import validate
from harness.enhancement import check_agreement
from harness.environment import describe_environment
from harness.errors import ModelError, SubmissionError
from harness.formats import find_format
from harness.isolation import MEMORY_METHOD, ModelProcess
from harness.job import Evaluation, Job
from harness.progress import CHECK, Progress, Step, Tally
from harness.quality import score_image
from harness.records import (
    FORMAT_VERSION,
    Cost,
    Failure,
    ImageScore,
    Memory,
    Quality,
    Record,
    Status,
    Submission,
)
from harness.submission import SubmissionFolder, describe_submission

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


class Model:
    """One submission's model in the first pass, and its processes, each of which has a place in the order of the work.

    A fault ends all processes behind it; those before it go on, since the first fault in the order counts.
    """

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job = job
        self.tally = tally
        self._faults: dict[int, BaseException] = {}
        self._live: dict[int, ModelProcess] = {}
        self._changing = threading.Lock()

    @property
    def fault(self) -> BaseException | None:
        """The first fault, once all work has ended."""
        return self._faults[min(self._faults)] if self._faults else None

    @contextlib.contextmanager
    def start(self, place: int, threads: int | None = None) -> Iterator[ModelProcess]:
        """A fresh process for the work at this place."""
        try:
            self.tally.begin(place)
            with self.job.start(threads) as process:
                with self._changing:
                    self._live[place] = process
                    if self._is_over(place):
                        raise CancelledError
                try:
                    yield process
                finally:
                    with self._changing:
                        del self._live[place]
        except BaseException as fault:
            with self._changing:
                self._faults[place] = fault
                for other in [other for other in self._live if self._is_over(other)]:
                    self._live[other].kill()
            raise

    def _is_over(self, place: int) -> bool:
        """Whether a fault lies before this place; one that came from outside ends all."""
        killed = any(isinstance(fault, ModelError) and fault.kind == "killed" for fault in self._faults.values())
        return killed or any(other < place for other in self._faults)


@dataclass(frozen=True)
class Begun:
    """The work on one submission that is on its way."""

    chosen: Chosen
    model: Model
    cost: Cost
    control_flow: tuple[str, ...]
    photos: Future[tuple[tuple[ImageScore, ...], Memory | None]]
    pairs: tuple[Future[tuple[ImageScore, ...]], ...]


def assess(
    submissions: Sequence[Chosen], evaluation: Evaluation, *, executor: Executor, on_progress: Progress
) -> Iterator[Assessed]:
    """The first pass over each submission, in order. What a model does wrong ends up in its record."""
    begin = functools.partial(validate, challenge=evaluation.challenge, allow_code=evaluation.allow_code)
    checks = [executor.submit(begin, chosen.folder) for chosen in submissions]
    begun = []
    for number, (chosen, check) in enumerate(zip(submissions, checks, strict=True)):
        on_progress(Step(CHECK, number, len(checks)))
        begun.append(begin_scoring(chosen, check, evaluation, executor, on_progress))
    for work in begun:
        yield work if isinstance(work, Assessed) else finish_scoring(work, evaluation)


def begin_scoring(
    chosen: Chosen,
    check: Future[tuple[Submission, Cost, tuple[str, ...]]],
    evaluation: Evaluation,
    executor: Executor,
    on_progress: Progress,
) -> Begun | Assessed:
    """Submit the work on a submission that holds."""
    try:
        submission, cost, control_flow = check.result()
    except SubmissionError as error:
        return fail(chosen.folder, error, evaluation)
    names = evaluation.dataset.list_names(chosen.split)
    tally = Tally(
        submission.name,
        photos=len(evaluation.dataset.photos),
        pairs=len(names) + count_sample(submission, min(CHUNK, len(names))),
        multiply_adds=cost.multiply_adds,
        on_progress=on_progress,
    )
    tally.queue()
    model = Model(Job(chosen.folder.model_path, submission, evaluation), tally)
    photos = executor.submit(score_photos, model)
    pairs = [
        executor.submit(score_pairs, model, place, names[start : start + CHUNK])
        for place, start in enumerate(range(0, len(names), CHUNK), start=1)
    ]
    return Begun(chosen, model, cost, control_flow, photos, tuple(pairs))


def finish_scoring(begun: Begun, evaluation: Evaluation) -> Assessed:
    """The record of a submission; of several faults the first counts, in the order of the images."""
    dataset, folder, model = evaluation.dataset, begun.chosen.folder, begun.model
    futures: list[Future[Any]] = [begun.photos, *begun.pairs]
    wait(futures)
    model.tally.end()
    submission = model.job.submission
    if isinstance(model.fault, SubmissionError):
        return fail(folder, model.fault, evaluation, submission)
    photos, memory = begun.photos.result()
    quality = Quality(
        dataset.name,
        dataset.note,
        dataset.sha256,
        begun.chosen.split,
        {metric.chosen.name: metric.chosen.profile for metric in evaluation.metrics},
        pairs=tuple(score for chunk in begun.pairs for score in chunk.result()),
        photos=photos,
    )
    record = make_record(submission, "ok", evaluation, quality=quality, memory=memory, cost=begun.cost)
    return Assessed(folder, record, begun.control_flow)


def score_photos(model: Model) -> tuple[tuple[ImageScore, ...], Memory | None]:
    """The values of the photos, which also show the peak of memory: the rule is about photos of this size."""
    evaluation, job = model.job.evaluation, model.job
    dataset = evaluation.dataset
    if not dataset.photos:
        return (), None
    scores = []
    with model.start(0) as process:
        loaded_bytes = process.read_peak_bytes()
        process.reset_peak()
        for name in dataset.photos:
            scores.append(score_image(name, job.draw(process, dataset.load_photo(name)), None, evaluation.metrics))
            model.tally.count(0)
        memory = Memory(loaded_bytes=loaded_bytes, peak_bytes=process.read_peak_bytes(), method=MEMORY_METHOD)
    return tuple(scores), memory


def score_pairs(model: Model, place: int, names: Sequence[str]) -> tuple[ImageScore, ...]:
    """The values of some pairs. The outputs for the very first ones have to be those of a second pass."""
    evaluation, job = model.job.evaluation, model.job
    scores, first = [], dict[str, np.ndarray]()
    sample = count_sample(job.submission, len(names)) if place == 1 else 0
    with model.start(place, threads=1) as process:
        for name in names:
            pair = evaluation.dataset.load_pair(name)
            outputs = job.draw(process, pair.source)
            scores.append(score_image(name, outputs, pair.target, evaluation.metrics))
            if len(first) < sample:
                first[name] = outputs[0]
            model.tally.count(place)
    if first:
        with model.start(place, threads=1) as process:
            for name, output in first.items():
                again = job.enhance(process, evaluation.dataset.load_pair(name).source)
                check_agreement(again, output, "a second pass")
                model.tally.count(place)
    return tuple(scores)


def count_sample(submission: Submission, pairs: int) -> int:
    """So many of a first process's pairs are enhanced again; none where outputs need not repeat."""
    return min(SAMPLE, pairs) if submission.draws == 1 else 0


def fail(
    folder: SubmissionFolder, error: SubmissionError, evaluation: Evaluation, submission: Submission | None = None
) -> Assessed:
    """The record of a submission that has no result."""
    known = submission or describe_submission(folder, sha256="", layout=folder.manifest.layout or "")
    failure = Failure(error.stage, error.kind, str(error))
    return Assessed(folder, make_record(known, judge_failure(folder, error), evaluation, failure=failure))


def make_record(
    submission: Submission,
    status: Status,
    evaluation: Evaluation,
    *,
    quality: Quality | None = None,
    memory: Memory | None = None,
    cost: Cost | None = None,
    failure: Failure | None = None,
) -> Record:
    """A record made here and now."""
    return Record(
        FORMAT_VERSION,
        evaluation.challenge.name,
        submission,
        status,
        describe_environment(find_format(submission.runtime).packages),
        quality=quality,
        memory=memory,
        cost=cost,
        failure=failure,
        isolation=evaluation.isolation,
    )


def judge_failure(folder: SubmissionFolder, error: SubmissionError) -> Status:
    """Whether a failure is a broken limit, something missing that can be had, or something that went wrong."""
    if error.kind == "not_installed" or (error.kind == "missing" and folder.manifest.weights):
        return "unavailable"
    return "disqualified" if error.kind in ("out_of_memory", "too_large") else "failed"
