"""A fresh record against the committed one: what got worse by more than is allowed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.boards import average_quality, contains, restrict_quality
from harness.challenge import Challenge
from harness.errors import RecordError, UsageError, quote
from harness.metrics import METRICS, get_metric
from harness.records import ImageScore, Quality, Record, Regression

TOLERANCES: Mapping[str, float] = {"psnr": 0.01, "ssim": 0.0005, "ms_ssim": 0.0005, "niqe": 0.02}
"""What a mean may get worse by (dB for PSNR): other processors round differently, and saturated pixels amplify it."""

IMAGE_TOLERANCES: Mapping[str, float] = {"psnr": 0.05, "ssim": 0.002, "ms_ssim": 0.002, "niqe": 0.05}
"""What the value of one image may differ by. Between an Intel Xeon and an AMD EPYC none differed by more than 2e-13."""

SETTINGS = Path("pyproject.toml")

Allowed = Annotated[float, msgspec.Meta(ge=0)]


class Tolerances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may differ: of a mean where it gets worse, and of one image's value in either direction; by metric."""

    mean: Mapping[str, Allowed] = msgspec.field(default_factory=lambda: TOLERANCES)
    image: Mapping[str, Allowed] = msgspec.field(default_factory=lambda: IMAGE_TOLERANCES)


def read_tolerances(path: Path = SETTINGS) -> Tolerances:
    """The project's own from [tool.harness.check] of its pyproject.toml; what it does not name is as above.

    Raises UsageError for a file that is no TOML, an unknown key or metric, and a tolerance that is no number from 0 on.
    """
    try:
        settings: Any = msgspec.toml.decode(path.read_bytes())
    except FileNotFoundError:
        return Tolerances()
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {quote(error)}; correct it there.") from None
    for name in ("tool", "harness", "check"):
        settings = settings.get(name, {}) if isinstance(settings, dict) else {}
    try:
        own = msgspec.convert(settings, Tolerances)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [tool.harness.check]: {quote(error)}; correct it there.") from None
    known = [metric.name for metric in METRICS]
    if unknown := sorted({*own.mean, *own.image}.difference(known)):
        raise UsageError(f"{path}: [tool.harness.check]: unknown metric {unknown[0]}; known are {', '.join(known)}.")
    return Tolerances({**TOLERANCES, **own.mean}, {**IMAGE_TOLERANCES, **own.image})


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


def compare_images(
    before: Record, after: Record, challenge: Challenge, *, tolerances: Mapping[str, float] = IMAGE_TOLERANCES
) -> str:
    """A sentence on the value of one image that differs the most from the record's, for its tolerance; "" for none.

    PSNR from the challenge's value of an infinite one on is taken as that: an output so close to its target owes its
    PSNR to the last digits. Both records hold the images of the first.
    """
    found: list[tuple[float, str]] = []
    for kind in ("pairs", "photos"):
        fresh = {image.image: image for image in getattr(after.quality, kind)}
        for image in getattr(before.quality, kind):
            for quantity in tolerances.keys() & image.values.keys() & fresh[image.image].values.keys():
                old, new = (read_value(score, quantity, challenge) for score in (image, fresh[image.image]))
                allowed = tolerances[quantity]
                if abs(new - old) > allowed:
                    change = Regression(before.submission.name, quantity, old, new, allowed)
                    sentence = describe_regression(change, f"of image {image.image} differs")
                    found.append((abs(new - old) / max(allowed, 1e-12), sentence))
    return max(found)[1] if found else ""


def read_value(score: ImageScore, quantity: str, challenge: Challenge) -> float:
    """One value of an image; PSNR is at most that of an infinite one."""
    value = score.values[quantity]
    if quantity != "psnr":
        return float("nan") if value is None else value
    return challenge.infinite_psnr_db if value is None else min(value, challenge.infinite_psnr_db)


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
