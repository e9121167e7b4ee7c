"""Metrics that a challenge does not list, as records have them."""

from collections.abc import Iterable, Iterator

import msgspec

from harness.challenge import Challenge, ChallengeMetric
from harness.errors import RecordError
from harness.records import Quality, Record


def extend_challenge(challenge: Challenge, qualities: Iterable[Quality]) -> Challenge:
    """The challenge with the metrics that somebody asked for beside its own, in the order in which they are found.

    Which metrics of other libraries are better when lower stands in the records, for those of the challenge too.
    Raises RecordError for a profile that is not known.
    """
    found: dict[str, ChallengeMetric] = {}
    lower = set[str]()
    listed = {metric.name for metric in challenge.metrics}
    for quality in qualities:
        lower.update(quality.lower_is_better)
        for metric in list_metrics(quality):
            if metric.name not in listed:
                found.setdefault(metric.name, metric)
    own = (
        msgspec.structs.replace(metric, lower_is_better=True) if metric.name in lower else metric
        for metric in challenge.metrics
    )
    return msgspec.structs.replace(challenge, metrics=(*own, *found.values()))


def list_metrics(quality: Quality) -> Iterator[ChallengeMetric]:
    """The metrics of which a record has values."""
    for name, profile in quality.profiles.items():
        kinds = ("pairs", quality.pairs), ("photos", quality.photos)
        for kind, images in kinds:
            if images and name in images[0].values:
                table = {"name": name, "images": kind, "profile": profile}
                try:
                    yield msgspec.convert(table | {"lower_is_better": name in quality.lower_is_better}, ChallengeMetric)
                except msgspec.ValidationError as error:
                    raise RecordError(f"a record of {quality.dataset} cannot be used: {error}; run it again.") from None


def list_extras(records: Iterable[Record], challenge: Challenge) -> dict[str, str]:
    """The metrics that a challenge does not list, and that records have: their profiles by name."""
    metrics = extend_challenge(challenge, [record.quality for record in records if record.quality]).metrics
    return {metric.name: metric.profile for metric in metrics[len(challenge.metrics) :]}
