"""The pieces that the work on a submission is cut into: top-level functions of a parcel and plain values.

Each can run on any machine that has the package, in a thread here or on a worker of a cluster. What a model does wrong
comes back as a value.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from harness.admission import validate
from harness.enhancement import check_agreement
from harness.errors import SubmissionError
from harness.isolation import MEMORY_METHOD
from harness.job import Parcel
from harness.quality import score_image
from harness.records import Cost, Environment, Failure, ImageScore, Memory, Submission


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of the work at one place of the first pass: up to 0 it is about photos, behind that about pairs.

    spent_s: seconds of one worker. environment: of the machine, where it is not the one that the command was given on.
    """

    place: int
    scores: tuple[ImageScore, ...] = ()
    memory: Memory | None = None
    failure: Failure | None = None
    spent_s: float = 0.0
    environment: Environment | None = None


def split_scores(chunks: Sequence[Chunk]) -> tuple[list[ImageScore], list[ImageScore]]:
    """The scores of the photos, and those of the pairs."""
    photos = [score for chunk in chunks if chunk.place <= 0 for score in chunk.scores]
    return photos, [score for chunk in chunks if chunk.place > 0 for score in chunk.scores]


@dataclass(frozen=True)
class Checked:
    """What the static checks tell of a submission that holds."""

    submission: Submission
    cost: Cost
    control_flow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Photos:
    """The work at one place up to 0: photos by name, which show the peak of memory too where that is asked."""

    place: int
    names: tuple[str, ...]
    memory: bool = False

    @property
    def outputs(self) -> int:
        """How many outputs there will be."""
        return len(self.names)


@dataclass(frozen=True)
class Pairs:
    """The work at one place from 1 on: pairs by name, of which the first `sample` are enhanced once more."""

    place: int
    names: tuple[str, ...]
    sample: int = 0

    @property
    def outputs(self) -> int:
        """How many outputs there will be."""
        return len(self.names) + self.sample


Part = Photos | Pairs


def describe_fault(error: SubmissionError) -> Failure:
    """A fault as a record has it."""
    return Failure(error.stage, error.kind, str(error))


def recall_fault(failure: Failure) -> SubmissionError:
    """The fault again that became a value."""
    return SubmissionError(failure.message, stage=failure.stage, kind=failure.kind)


def check_model(parcel: Parcel) -> Checked | Failure:
    """The static checks."""
    evaluation = parcel.evaluation
    try:
        return Checked(*validate(parcel.folder, evaluation.challenge, allow_code=evaluation.allow_code))
    except SubmissionError as error:
        return describe_fault(error)


def score_photos(parcel: Parcel, submission: Submission, photos: Photos) -> Chunk:
    """The values of some photos, and the peak of memory: the rule about that is about photos of this size."""
    start_s = time.monotonic()
    try:
        scores, memory = measure_photos(parcel, submission, photos)
    except SubmissionError as error:
        return Chunk(photos.place, failure=describe_fault(error), environment=parcel.environment)
    return Chunk(photos.place, scores, memory, spent_s=time.monotonic() - start_s, environment=parcel.environment)


def measure_photos(
    parcel: Parcel, submission: Submission, photos: Photos
) -> tuple[tuple[ImageScore, ...], Memory | None]:
    """The work at a place of photos."""
    dataset, job, scores = parcel.evaluation.dataset, parcel.get_job(submission), []
    with parcel.start(submission, photos.place) as process:
        loaded_bytes = process.read_peak_bytes()
        process.reset_peak()
        for name in photos.names:
            outputs = job.draw(process, dataset.load_photo(name))
            scores.append(score_image(name, outputs, None, parcel.evaluation.metrics))
            parcel.count(photos.place)
        memory = Memory(loaded_bytes=loaded_bytes, peak_bytes=process.read_peak_bytes(), method=MEMORY_METHOD)
    return tuple(scores), memory if photos.memory else None


def score_pairs(parcel: Parcel, submission: Submission, pairs: Pairs) -> Chunk:
    """The values of some pairs. The outputs for the very first ones have to be those of a second pass."""
    start_s = time.monotonic()
    try:
        scores = measure_pairs(parcel, submission, pairs)
    except SubmissionError as error:
        return Chunk(pairs.place, failure=describe_fault(error), environment=parcel.environment)
    return Chunk(pairs.place, scores, spent_s=time.monotonic() - start_s, environment=parcel.environment)


def measure_pairs(parcel: Parcel, submission: Submission, pairs: Pairs) -> tuple[ImageScore, ...]:
    """The work at a place of pairs."""
    evaluation, job, place = parcel.evaluation, parcel.get_job(submission), pairs.place
    scores, first = [], dict[str, np.ndarray]()
    with parcel.start(submission, place, 1) as process:
        for name in pairs.names:
            pair = evaluation.dataset.load_pair(name)
            outputs = job.draw(process, pair.source)
            scores.append(score_image(name, outputs, pair.target, evaluation.metrics))
            if len(first) < pairs.sample:
                first[name] = outputs[0]
            parcel.count(place)
    if first:
        with parcel.start(submission, place, 1) as process:
            for name, output in first.items():
                again = job.enhance(process, evaluation.dataset.load_pair(name).source)
                check_agreement(again, output, "a second pass")
                parcel.count(place)
    return tuple(scores)
