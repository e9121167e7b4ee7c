"""A fresh record against the committed one: what got worse by more than is allowed."""

from collections.abc import Mapping, Sequence

from harness.boards import average_quality, contains, restrict_quality
from harness.challenge import Challenge
from harness.errors import RecordError
from harness.metrics import get_metric
from harness.records import Quality, Record, Regression

TOLERANCES: Mapping[str, float] = {"psnr": 0.01, "ssim": 0.0005, "ms_ssim": 0.0005, "niqe": 0.02}
"""What a mean may get worse by (dB for PSNR): other processors round differently, and saturated pixels amplify it."""


def compare_records(
    before: Record,
    after: Record,
    challenge: Challenge,
    *,
    better: bool = False,
    tolerances: Mapping[str, float] = TOLERANCES,
) -> tuple[Regression, ...]:
    """Every mean that got worse (or better) by more than its absolute tolerance. Times differ between machines.

    Raises RecordError when the two were not made on the same images of the same dataset, or when one has no result.
    """
    name = before.submission.name
    old, new = average_same_images(before, after, challenge)
    regressions = []
    for quantity, allowed in tolerances.items():
        if quantity not in old:
            continue
        if quantity not in new:
            raise RecordError(f"{name}: {get_metric(quantity).label} is in its record but could not be measured here.")
        sign = 1 if get_metric(quantity).higher_is_better is not better else -1
        if sign * (old[quantity] - new[quantity]) > allowed:
            regressions.append(Regression(name, quantity, old[quantity], new[quantity], allowed))
    return tuple(regressions)


def average_same_images(before: Record, after: Record, challenge: Challenge) -> tuple[dict[str, float], ...]:
    """The means of both records over the images of the first, by metric; RecordError as compare_records."""
    name = before.submission.name
    if before.quality is None or after.quality is None:
        failure = before.failure if before.quality is None else after.failure
        raise RecordError(f"{name} has no result to compare: {failure.message if failure else 'it failed'}")
    check_comparable(name, before.quality, after.quality)
    images = [pair.image for pair in before.quality.pairs]
    restricted = restrict_quality(after.quality, images, before.quality.split)
    return average_quality(before.quality, challenge), average_quality(restricted, challenge)


def check_comparable(name: str, before: Quality, after: Quality) -> None:
    """Raise RecordError unless the second was made on the same dataset and has all images of the first."""
    if before.dataset_sha256 != after.dataset_sha256:
        raise RecordError(f"{name}: its record was made on another version of {before.dataset}; run it again.")
    if not contains(after, [pair.image for pair in before.pairs]):
        raise RecordError(f"{name}: its record holds images that the split {after.split} lacks; run it again.")
    if {photo.image for photo in before.photos} != {photo.image for photo in after.photos}:
        raise RecordError(f"{name}: its record was made on other photos; run it again.")


def describe_regressions(regressions: Sequence[Regression], verb: str = "got worse") -> str:
    """One sentence for each."""
    return "\n".join(describe_regression(regression, verb) for regression in regressions)


def describe_regression(regression: Regression, verb: str = "got worse") -> str:
    """Which quantity of which submission changed, from what to what, and what is allowed."""
    metric = get_metric(regression.quantity)
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"{regression.submission}: {metric.label} {verb}, from {regression.before:.4f} to {regression.after:.4f}"
        f"{unit}; a change of {regression.allowed:g}{unit} is allowed."
    )
