"""Metrics added to records that have all else: the models enhance the images again, and no time is measured."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness.archive import discard_record, locate_unfinished, write_record
from harness.assessment import Model, add_packages, count_sample, describe_metrics, score_photos, submit_pairs
from harness.environment import find_versions
from harness.errors import SubmissionError
from harness.executor import open_executor
from harness.job import Evaluation, Job
from harness.metrics.bridge import PACKAGES
from harness.progress import Progress, Tally
from harness.quality import BoundMetric, keep_common
from harness.records import ImageScore, Memory, Quality, Record
from harness.submission import SubmissionFolder
from harness.turns import Outcome, Run, find_stored


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

    model: Model
    photos: Future[tuple[tuple[ImageScore, ...], Memory | None]] | None
    pairs: tuple[Future[tuple[ImageScore, ...]], ...]


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
    found = [] if run.again or not asked else list(find_lacking(folders, run, asked))
    with open_executor(run.evaluation.workers) as executor:
        begun = [begin(lacking, run.evaluation, executor, on_progress) for lacking in found]
        for lacking, work in zip(found, begun, strict=True):
            outcome = conclude(lacking, work, run)
            if outcome is not None:
                on_outcome(outcome)
    done = {lacking.folder.name for lacking in found if lacking.path == run.locate(lacking.folder)}
    return [folder for folder in folders if folder.name not in done]


def find_lacking(folders: Sequence[SubmissionFolder], run: Run, asked: Sequence[str]) -> Iterator[Lacking]:
    """Records of what a new evaluation could only repeat, but for some of the metrics that were asked for."""
    extras = [metric for metric in run.evaluation.metrics if metric.extra]
    for folder in folders:
        path = run.locate(folder)
        for place in (path, locate_unfinished(path)):
            record = find_stored(folder, run, place)
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


def begin(lacking: Lacking, evaluation: Evaluation, executor: Executor, on_progress: Progress) -> Begun:
    """Submit the work: over the pairs, the photos or both, as the metrics need."""
    kinds = {metric.chosen.images for metric in lacking.metrics}
    submission = lacking.record.submission
    names = [pair.image for pair in lacking.quality.pairs] if "pairs" in kinds else []
    tally = Tally(
        submission.name,
        photos=len(evaluation.dataset.photos) if "photos" in kinds else 0,
        pairs=len(names) + count_sample(submission, len(names)),
        multiply_adds=lacking.record.cost.multiply_adds if lacking.record.cost else None,
        on_progress=on_progress,
    )
    tally.queue()
    job = Job(lacking.folder.model_path, submission, replace(evaluation, metrics=lacking.metrics))
    model = Model(job, tally)
    photos = executor.submit(score_photos, model) if "photos" in kinds else None
    return Begun(model, photos, submit_pairs(model, names, executor))


def conclude(lacking: Lacking, work: Begun, run: Run) -> Outcome | None:
    """Keep the record with the values that came of it, and say so; nothing where its time is still to come."""
    futures: list[Future[Any]] = [*work.pairs, *([work.photos] if work.photos else ())]
    wait(futures)
    work.model.tally.end()
    name, finished = lacking.folder.name, lacking.path == run.locate(lacking.folder)
    if isinstance(fault := work.model.fault, SubmissionError):
        sentence = f"{name}: {lacking.names} cannot be added to its record: {fault}"
        return Outcome(sentence, fault.exit_code, name, "failed", lacking.record, lacking.path) if finished else None
    pairs = [score for chunk in work.pairs for score in chunk.result()]
    photos = work.photos.result()[0] if work.photos else ()
    record = merge(lacking, keep_common(pairs), keep_common(photos))
    write_record(lacking.path, record)
    if not finished:
        return None
    discard_record(locate_unfinished(lacking.path))
    return Outcome(describe(lacking, record), 0, name, record.status, record, lacking.path)


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
