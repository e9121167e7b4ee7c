"""A fresh record against the committed one: each quantity of the one beside that of the other.

Times of two machines are never compared, only the speed-up over the baseline, where it was measured on both.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.boards import contains, restrict_quality
from harness.challenge import Challenge, Phase
from harness.errors import RecordError
from harness.estimates import average_quality, estimate_figures, estimate_times, fit_challenge, pool_times
from harness.metrics import METRICS, get_metric
from harness.records import ImageScore, Quality, Record, Timing
from harness.statistics import SEED, Array, percentile_interval


@dataclass(frozen=True)
class Comparison:
    """A quantity of a submission on record and here, and by how much it may differ.

    quantity: a metric's name, or "Score A"; image: the only one that it is of, "" for a mean over all. sign: -1 for a
    score, or a metric of another library, of which less is better.
    """

    submission: str
    quantity: str
    before: float
    after: float
    allowed: float
    image: str = ""
    sign: int = 1

    @property
    def loss(self) -> float:
        """By how much it is worse here; negative where it is better."""
        lost = self.sign * (self.before - self.after)
        return lost if self.quantity not in LABELS or get_metric(self.quantity).higher_is_better else -lost


LABELS = {metric.name: metric.label for metric in METRICS}


class Ratio(NamedTuple):
    """A ratio and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class SpeedComparison:
    """How many times faster than the baseline a submission is on record and here, and the latter over the former.

    allowed: the part of the speed-up that may be lost.
    """

    submission: str
    baseline: str
    before: Ratio
    after: Ratio
    change: Ratio
    allowed: float

    @property
    def is_slower(self) -> bool:
        """Whether more is lost than allowed, for certain: both intervals count, so a noisy time proves nothing."""
        return self.change.high < 1 - self.allowed

    @property
    def is_unclear(self) -> bool:
        """Whether more than allowed may be lost, or not."""
        return not self.is_slower and self.change.low < 1 - self.allowed


def compare_means(
    before: Record, after: Record, challenge: Challenge, *, tolerances: Mapping[str, float]
) -> tuple[Comparison, ...]:
    """The means of both records over the images of the first.

    Raises RecordError when the two were not made on the same images of the same dataset.
    """
    name, old = before.submission.name, average_quality(check_quality(before), challenge)
    new = average_quality(restrict_to(before, after), challenge)
    for quantity in tolerances:
        if quantity in old and quantity not in new:
            label = LABELS.get(quantity, quantity)
            raise RecordError(f"{name}: {label} is in its record but could not be measured here.")
    signs = {m.name: -1 for m in challenge.metrics if m.lower_is_better and m.name not in LABELS}
    return tuple(
        Comparison(name, quantity, old[quantity], new[quantity], allowed, sign=signs.get(quantity, 1))
        for quantity, allowed in tolerances.items()
        if quantity in old
    )


def compare_images(
    before: Record, after: Record, challenge: Challenge, *, tolerances: Mapping[str, float]
) -> Iterator[Comparison]:
    """Every value of every image. Both records hold the images of the first.

    PSNR from the challenge's value of an infinite one on is taken as that: an output so close to its target owes its
    PSNR to the last digits.
    """
    for kind in ("pairs", "photos"):
        fresh = {image.image: image for image in getattr(after.quality, kind)}
        for image in getattr(before.quality, kind):
            for quantity in tolerances.keys() & image.values.keys() & fresh[image.image].values.keys():
                old, new = (read_value(score, quantity, challenge) for score in (image, fresh[image.image]))
                yield Comparison(before.submission.name, quantity, old, new, tolerances[quantity], image.image)


def find_difference(images: Iterable[Comparison]) -> Comparison | None:
    """The value that differs the most, for what is allowed; None where none differs by more."""
    found = [image for image in images if abs(image.loss) > image.allowed]
    return max(found, key=lambda image: abs(image.loss) / max(image.allowed, 1e-12), default=None)


def read_value(score: ImageScore, quantity: str, challenge: Challenge) -> float:
    """One value of an image; PSNR is at most that of an infinite one."""
    value = score.values[quantity]
    if quantity != "psnr":
        return float("nan") if value is None else value
    return challenge.infinite_psnr_db if value is None else min(value, challenge.infinite_psnr_db)


def compare_scores(
    before: Record, after: Record, challenge: Challenge, phase: Phase, *, allowed: float
) -> tuple[Comparison, ...]:
    """The phase's scores on record, and with the quality measured here: all times are the record's."""
    old, new = (
        evaluate_record(before, quality, challenge, phase)
        for quality in (check_quality(before), restrict_to(before, after))
    )
    name = before.submission.name
    return tuple(
        Comparison(name, f"Score {score}", value, new[score], allowed, sign=phase.sign)
        for score, value in old.items()
        if score in new
    )


def evaluate_record(record: Record, quality: Quality, challenge: Challenge, phase: Phase) -> dict[str, float]:
    """The scores that a record's times leave a quality, as a leaderboard computes them; none where it has no times."""
    times = pool_times([record]).get(record.submission.name, {})
    figures = estimate_figures(record, quality, challenge, phase, fit_challenge(challenge), times)
    return {score: figures[score].value for score in phase.scores if score in figures}


def compare_speed(name: str, before: Timing, after: Timing, *, label: str, allowed: float) -> SpeedComparison:
    """The speed-ups over the baseline, which is called `label`, with the interval of their ratio."""
    old, new = (estimate_times(timing.baseline_samples_ns, timing.samples_ns)["speed_up"] for timing in (before, after))
    # as many blocks are resampled by the same draws, as if those of one machine were paired with those of the other
    draws = np.random.default_rng([SEED, 2]).permutation(old.draws)
    change = measure_ratio(new.value / old.value, new.draws / draws)
    return SpeedComparison(
        name, label, measure_ratio(old.value, old.draws), measure_ratio(new.value, new.draws), change, allowed
    )


def measure_ratio(value: float, draws: Array) -> Ratio:
    """A ratio with the interval of its bootstrap samples."""
    return Ratio(value, *percentile_interval(draws))


def restrict_to(before: Record, after: Record) -> Quality:
    """The second record's values of the first one's images; RecordError where it has others."""
    old, new, name = check_quality(before), check_quality(after), before.submission.name
    if old.dataset_sha256 != new.dataset_sha256:
        raise RecordError(f"{name}: its record was made on another version of {old.dataset}; run it again.")
    images = [pair.image for pair in old.pairs]
    if not contains(new, images):
        raise RecordError(f"{name}: its record holds images that the split {new.split} lacks; run it again.")
    if {photo.image for photo in old.photos} != {photo.image for photo in new.photos}:
        raise RecordError(f"{name}: its record was made on other photos; run it again.")
    return restrict_quality(new, images, old.split)


def check_quality(record: Record) -> Quality:
    """What a record holds; RecordError for a failure."""
    if record.quality is None:
        raise RecordError(f"{record.submission.name} has no result to compare.")
    return record.quality


def describe_comparison(comparison: Comparison, verb: str = "got worse") -> str:
    """Which quantity of which submission changed, from what to what, and what is allowed."""
    quantity, image = comparison.quantity, comparison.image
    unit = f" {get_metric(quantity).unit}" if quantity in LABELS and get_metric(quantity).unit else ""
    label = LABELS.get(quantity, quantity) + (f" of image {image}" if image else "")
    return (
        f"{comparison.submission}: {label} {verb}, from {comparison.before:.4f} to {comparison.after:.4f}{unit}; "
        f"a change of {comparison.allowed:g}{unit} is allowed."
    )


def describe_speed(speed: SpeedComparison) -> str:
    """How fast a submission is here and on record, with 95 % intervals, and what is allowed."""
    subject = f"{speed.submission}: speed-up over {speed.baseline}"
    if speed.is_slower:
        return (
            f"{subject} got worse, from {speed.before} to {speed.after}, {speed.change} times what it was; "
            f"a loss of {speed.allowed:.0%} is allowed."
        )
    noisy = (
        f" Too noisy to rule out a loss of {speed.allowed:.0%}: a larger --budget helps." if speed.is_unclear else ""
    )
    return f"{subject} is {speed.after}, on record {speed.before}: {speed.change} times that.{noisy}"
