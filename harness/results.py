"""The record that the chunks of a submission's first pass make, or its failure."""

from collections.abc import Iterable, Sequence

import msgspec

from harness.environment import describe_environment, find_versions
from harness.formats import find_format
from harness.job import Evaluation
from harness.metrics.bridge import PACKAGES
from harness.quality import BoundMetric, keep_common
from harness.records import FORMAT_VERSION, Cost, Failure, ImageScore, Memory, Quality, Record, Status, Submission
from harness.submission import SubmissionFolder
from harness.tasks import Chunk, split_scores


def make_result(
    submission: Submission, split: str, evaluation: Evaluation, *, cost: Cost, chunks: Sequence[Chunk]
) -> Record:
    """The record of a submission of which all chunks are there, in order."""
    dataset = evaluation.dataset
    photos, pairs = map(keep_common, split_scores(chunks))
    memory = next((chunk.memory for chunk in chunks if chunk.memory), None)
    profiles, lower = describe_metrics(evaluation.metrics, (*pairs[:1], *photos[:1]))
    hosts = sorted({chunk.environment.host for chunk in chunks if chunk.environment})
    quality = Quality(
        dataset.name,
        dataset.note,
        dataset.sha256,
        split,
        profiles,
        pairs,
        photos,
        lower_is_better=lower,
        hosts=tuple(hosts),
    )
    record = make_record(submission, "ok", evaluation, quality=quality, memory=memory, cost=cost)
    record = place_record(record, chunks)
    return add_packages(record) if any(metric.is_bridged for metric in evaluation.metrics) else record


def describe_metrics(
    metrics: Sequence[BoundMetric], images: Sequence[ImageScore]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The profile of each metric, of an extra one only where an image has it; of which ones of pyiqa less is better."""
    kept = [m for m in metrics if not m.extra or any(m.chosen.name in image.values for image in images)]
    lower = tuple(metric.chosen.name for metric in kept if metric.is_bridged and metric.chosen.lower_is_better)
    return {metric.chosen.name: metric.chosen.profile for metric in kept}, lower


def add_packages(record: Record) -> Record:
    """The record with the versions of the packages behind the metrics of pyiqa."""
    environment = record.environment
    packages = environment.packages | find_versions(PACKAGES)
    return msgspec.structs.replace(record, environment=msgspec.structs.replace(environment, packages=packages))


def place_record(record: Record, chunks: Iterable[Chunk]) -> Record:
    """The record with the machine of the first chunk that was made elsewhere, photos before pairs."""
    places = (chunk.environment for chunk in chunks if chunk.environment is not None)
    return msgspec.structs.replace(record, environment=next(places, record.environment))


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


def judge_failure(folder: SubmissionFolder, failure: Failure) -> Status:
    """Whether a failure is a broken limit, something missing that can be had, or something that went wrong."""
    if failure.kind == "not_installed" or (failure.kind == "missing" and folder.manifest.weights):
        return "unavailable"
    return "disqualified" if failure.kind in ("out_of_memory", "too_large") else "failed"
