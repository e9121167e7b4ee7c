"""A fresh record against the committed one: what got worse by more than is allowed."""

from collections.abc import Mapping, Sequence

from harness.challenge import Challenge
from harness.errors import RecordError
from harness.leaderboard import contains, estimate_quality, restrict_quality
from harness.metrics import get_metric
from harness.records import Record, Regression

TOLERANCES: Mapping[str, float] = {"psnr": 0.01, "ms_ssim": 0.0005, "niqe": 0.02}
"""What a mean may get worse by (dB for PSNR): other processors round differently, and saturated pixels amplify it."""


def compare_records(
    before: Record, after: Record, challenge: Challenge, *, tolerances: Mapping[str, float] = TOLERANCES
) -> tuple[Regression, ...]:
    """Every mean that got worse by more than its absolute tolerance. Times are not compared: machines differ.

    Raises RecordError when the two were not made on the same images of the same dataset, or when one has no result.
    """
    name = before.submission.name
    if before.quality is None or after.quality is None:
        reason = f": {after.failure.message}" if after.failure else ""
        raise RecordError(f"{name} has no quality to compare{reason}")
    if before.quality.dataset_sha256 != after.quality.dataset_sha256:
        raise RecordError(
            f"{name}: its record was made on another version of {before.quality.dataset}; run it again."
        )
    images = tuple(pair.image for pair in before.quality.pairs)
    if not contains(after.quality, images):
        raise RecordError(f"{name}: its record holds images that the split {after.quality.split} lacks; run it again.")
    old = estimate_quality(before.quality, challenge)
    new = estimate_quality(restrict_quality(after.quality, images, before.quality.split), challenge)
    regressions = []
    for quantity, allowed in tolerances.items():
        if quantity not in old:
            continue
        if quantity not in new:
            raise RecordError(f"{name}: {quantity} is in its record but could not be measured here.")
        sign = 1 if get_metric(quantity).higher_is_better else -1
        if sign * (old[quantity].value - new[quantity].value) > allowed:
            regressions.append(Regression(name, quantity, old[quantity].value, new[quantity].value, allowed))
    return tuple(regressions)


def describe_regressions(regressions: Sequence[Regression]) -> str:
    """One sentence for each."""
    return "\n".join(
        f"{r.submission}: {r.quantity} got worse, from {r.before:.4f} to {r.after:.4f}; {r.allowed:g} is allowed."
        for r in regressions
    )
