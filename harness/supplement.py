"""Metrics added to records that have all else: the models enhance the images again, and no time is measured."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from harness.archive import discard_record, locate_unfinished, write_record
from harness.assessment import open_tally, plan_pairs, plan_photos, submit
from harness.environment import find_versions
from harness.errors import SubmissionError
from harness.executor import Crew
from harness.job import Evaluation
from harness.metrics.bridge import PACKAGES
from harness.outcome import Outcome
from harness.progress import Progress, Tally
from harness.quality import BoundMetric, keep_common
from harness.records import Environment, Failure, ImageScore, Quality, Record, find_metric
from harness.results import add_packages, describe_metrics
from harness.submission import SubmissionFolder
from harness.tasks import Chunk, describe_fault, split_scores
from harness.turns import Run, find_stored
from harness.watch import Watch, WatchedParcel


@dataclass(frozen=True)
class Lacking:
    """A record, finished or not, that lacks metrics, and where it lies."""

    folder: SubmissionFolder
    path: Path
    record: Record
    quality: Quality
    metrics: tuple[BoundMetric, ...]

    @property
    def names(self) -> str:
        """Of the metrics."""
        return ", ".join(metric.chosen.name for metric in self.metrics)


@dataclass(frozen=True)
class Begun:
    """The work on one of them that is on its way."""

    tally: Tally
    chunks: tuple[Future[Chunk], ...]


def add_metrics(
    folders: Sequence[SubmissionFolder],
    run: Run,
    asked: Sequence[str],
    *,
    on_progress: Progress,
    on_outcome: Callable[[Outcome], None],
) -> list[SubmissionFolder]:
    """Add the metrics that were asked for to records that only lack these; the submissions that have more to do.

    An unfinished record is added to as well, so that a rerun goes on from it.
    """
    if run.again or not asked:
        return list(folders)
    with run.open_crew(run.evaluation) as crew:
        found = list(find_lacking(folders, run, asked, crew.describe_place()))
        begun = [begin(lacking, run.evaluation, crew, on_progress) for lacking in found]
        for lacking, work in zip(found, begun, strict=True):
            outcome = conclude(lacking, work, run)
            if outcome is not None:
                on_outcome(outcome)
    done = {lacking.folder.name for lacking in found if lacking.path == run.locate(lacking.folder)}
    return [folder for folder in folders if folder.name not in done]


def find_lacking(
    folders: Sequence[SubmissionFolder], run: Run, asked: Sequence[str], here: Environment
) -> Iterator[Lacking]:
    """Records of what a new evaluation could only repeat, but for some of the metrics that were asked for."""
    extras = [metric for metric in run.evaluation.metrics if metric.extra]
    for folder in folders:
        path = run.locate(folder)
        for place in (path, locate_unfinished(path)):
            record = find_stored(folder, run, place, here)
            if record is None or record.quality is None:
                continue
            # one that the record has of older packages is computed again: they are named once for all
            named = [m for m in extras if m.chosen.name in (*asked, *record.quality.profiles)]
            missing = tuple(metric for metric in named if lacks(record, metric))
            if any(metric.chosen.name in asked for metric in missing):
                yield Lacking(folder, place, record, record.quality, missing)
            break


def lacks(record: Record, metric: BoundMetric) -> bool:
    """Whether a record has no value of a metric, or one of other versions of the packages behind it."""
    if record.quality is None or metric.chosen.name not in record.quality.profiles:
        return True
    versions = find_versions(PACKAGES) if metric.is_bridged else {}
    return not versions.items() <= record.environment.packages.items()


def begin(lacking: Lacking, evaluation: Evaluation, crew: Crew, on_progress: Progress) -> Begun:
    """Submit the work: over the pairs, the photos or both, as the metrics need."""
    kinds = {metric.chosen.images for metric in lacking.metrics}
    submission = lacking.record.submission
    photos = plan_photos(evaluation.dataset.photos if "photos" in kinds else (), memory=False)
    pairs = plan_pairs(submission, [pair.image for pair in lacking.quality.pairs] if "pairs" in kinds else ())
    parts = [*photos, *pairs]
    tally = open_tally(submission, parts, lacking.record.cost, on_progress)
    tally.queue()
    narrow = replace(evaluation, metrics=lacking.metrics)  # a cluster computes all of them
    parcel = WatchedParcel(lacking.folder, narrow, crew.scratch, watch=Watch(tally))
    return Begun(tally, tuple(submit(crew, parcel, submission, part) for part in parts))


def collect(work: Begun) -> tuple[list[Chunk], Failure | None]:
    """What came of the work, and the first fault in the order of the images."""
    chunks, failure = [], None
    for future in work.chunks:
        try:
            chunk = future.result()
        except CancelledError:  # a fault lies before it
            continue
        except SubmissionError as error:
            failure = failure or describe_fault(error)
            continue
        failure = failure or chunk.failure
        chunks.append(chunk)
    work.tally.end()
    return chunks, failure


def conclude(lacking: Lacking, work: Begun, run: Run) -> Outcome | None:
    """Keep the record with the values that came of it, and say so; nothing where its time is still to come."""
    chunks, failure = collect(work)
    name, finished = lacking.folder.name, lacking.path == run.locate(lacking.folder)
    if failure is not None:
        sentence = f"{name}: {lacking.names} cannot be added to its record: {failure.message}"
        code = SubmissionError.exit_code
        return Outcome(sentence, code, name, "failed", lacking.record, lacking.path) if finished else None
    photos, pairs = split_scores(chunks)
    record = merge(lacking, keep_common(choose(lacking, pairs)), keep_common(choose(lacking, photos)))
    write_record(lacking.path, record)
    if not finished:
        return None
    discard_record(locate_unfinished(lacking.path))
    return Outcome(describe(lacking, record), 0, name, record.status, record, lacking.path)


def choose(lacking: Lacking, scores: Sequence[ImageScore]) -> list[ImageScore]:
    """The values of the metrics that the record lacks."""
    names = {metric.chosen.name for metric in lacking.metrics}
    return [
        ImageScore(score.image, {name: value for name, value in score.values.items() if find_metric(name) in names})
        for score in scores
    ]


def merge(lacking: Lacking, pairs: Sequence[ImageScore], photos: Sequence[ImageScore]) -> Record:
    """The record with more values."""
    profiles, lower = describe_metrics(lacking.metrics, (*pairs[:1], *photos[:1]))
    quality = msgspec.structs.replace(
        lacking.quality,
        profiles=lacking.quality.profiles | profiles,
        pairs=join(lacking.quality.pairs, pairs),
        photos=join(lacking.quality.photos, photos),
        lower_is_better=tuple(dict.fromkeys((*lacking.quality.lower_is_better, *lower))),
    )
    record = msgspec.structs.replace(lacking.record, quality=quality)
    return add_packages(record) if any(metric.is_bridged for metric in lacking.metrics) else record


def join(known: Sequence[ImageScore], added: Sequence[ImageScore]) -> tuple[ImageScore, ...]:
    """The values of each image, those that were added in front of older ones of the same name."""
    values = {image.image: image.values for image in added}
    return tuple(ImageScore(image.image, image.values | values.get(image.image, {})) for image in known)


def describe(lacking: Lacking, record: Record) -> str:
    """What was added, and what could not be."""
    profiles = record.quality.profiles if record.quality else {}
    added = [m.chosen.name for m in lacking.metrics if m.chosen.name in profiles]
    left = [m.chosen.name for m in lacking.metrics if m.chosen.name not in profiles]
    name, sentences = lacking.folder.name, []
    if added:
        sentences.append(f"{', '.join(added)} is added to what was recorded before.")
    if left:
        sentences.append(f"{', '.join(left)} is left out: it is not defined for all outputs.")
    return f"{name}: {' '.join(sentences)}"
