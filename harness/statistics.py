"""Intervals of means and time ratios, and the ranks that these leave, by percentile bootstrap.

Seeded: the same samples give the same digits.
"""

import functools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Blocks = Sequence[Sequence[int]]

RESAMPLES = 5000  # another seed moves an interval's ends by about 1 % of its width
SEED = 2018
CONFIDENCE = 0.95
CORRELATION = 0.5  # of a block with the next; docs/measurement.md has what was measured
_BLOCKS_SEED = (SEED, 1)  # not that of the images: four photos would be drawn as four blocks
NOISY = 0.02  # a ratio whose interval is wider than this part of it is not known well enough


def summarise_times(baseline_samples_ns: Blocks, samples_ns: Blocks) -> tuple[float, float]:
    """One time for the baseline and one for the submission, in ns: the geometric mean of the blocks' medians.

    A block is one pair of fresh processes. Their ratio is then the geometric mean of the blocks' ratios, and its
    reciprocal is the ratio the other way round.
    Raises ValueError for no blocks, an empty block, unequal numbers of blocks and times that are not positive.
    """
    _check_blocks(baseline_samples_ns, samples_ns)
    return _average_medians(baseline_samples_ns), _average_medians(samples_ns)


def resample_means(values: npt.ArrayLike) -> Array:
    """Bootstrap means (RESAMPLES, K) of `values` (N, K): rows are drawn whole, so columns stay paired.

    For scores: evaluate the formula on the columns of the result.
    Raises ValueError for no values and for one that is not finite.
    """
    array = _check_values(np.asarray(values, dtype=np.float64))
    centre = array.mean(axis=0)  # equal values then have exactly their own mean
    return np.asarray(centre + _count_draws(len(array), SEED) @ (array - centre) / len(array))


def resample_times(baseline_samples_ns: Blocks, samples_ns: Blocks) -> Array:
    """Bootstrap times (RESAMPLES, 2) in ns: baseline, submission.

    Blocks are resampled, in pairs, because bias between processes is larger than noise within them; of a single block
    its runs are, and the interval is then too narrow. The mean of few blocks varies more than its bootstrap: the
    samples (of the logarithms) are stretched by sqrt(n/(n-1)) and by Student's t with n-1 degrees of freedom over the
    normal distribution's z, after the expanded percentile interval of Hesterberg, "What Teachers Should Know about the
    Bootstrap" (2015); and by sqrt((1+r)/(1-r)), as the mean of a first-order autoregressive series of correlation r
    varies, because what disturbs a machine outlasts a block. Raises ValueError as summarise_times.
    """
    _check_blocks(baseline_samples_ns, samples_ns)
    if len(samples_ns) == 1:
        generator = np.random.default_rng(_BLOCKS_SEED)
        medians = [_resample_median(block[0], generator) for block in (baseline_samples_ns, samples_ns)]
        return np.stack(medians, axis=1)
    logs = np.log([[statistics.median(block) for block in blocks] for blocks in (baseline_samples_ns, samples_ns)])
    count = len(samples_ns)
    centre = logs.mean(axis=1, keepdims=True)
    level = (1 + CONFIDENCE) / 2
    stretch = math.sqrt(count / (count - 1)) * special.stdtrit(count - 1, level) / special.ndtri(level)
    stretch *= math.sqrt((1 + CORRELATION) / (1 - CORRELATION))
    draws = centre + stretch * ((logs - centre) @ _count_draws(count, _BLOCKS_SEED).T / count)
    return np.asarray(np.exp(draws).T, dtype=np.float64)


def measure_width(baseline_samples_ns: Blocks, samples_ns: Blocks) -> float:
    """Width of the 95 % interval of the times' ratio, as a part of the ratio. Raises ValueError as summarise_times."""
    baseline, submission = summarise_times(baseline_samples_ns, samples_ns)
    draws = resample_times(baseline_samples_ns, samples_ns)
    low, high = percentile_interval(draws[:, 0] / draws[:, 1])
    return (high - low) / (baseline / submission)


def is_noisy(baseline_samples_ns: Blocks, samples_ns: Blocks) -> bool:
    """Whether the interval of the ratio is wider than NOISY. Raises ValueError as summarise_times."""
    return measure_width(baseline_samples_ns, samples_ns) > NOISY


def predict_count(baseline_samples_ns: Blocks, samples_ns: Blocks, *, most: int) -> int:
    """How many blocks, at most `most`, until the ratio is no longer noisy, if they vary as these do (two at least).

    The interval narrows as that of a mean does: by Student's t and by the root of the number less one.
    """
    counts = np.arange(2, max(most, len(samples_ns)) + 1)
    shares = special.stdtrit(counts - 1, (1 + CONFIDENCE) / 2) / np.sqrt(counts - 1)
    widths = measure_width(baseline_samples_ns, samples_ns) * shares / shares[len(samples_ns) - 2]
    return int(next(iter(counts[widths <= NOISY]), most))


@functools.lru_cache(maxsize=32)
def _count_draws(count: int, seed: int | tuple[int, ...]) -> Array:
    """How often each of `count` is drawn in each resample, (RESAMPLES, count)."""
    indices = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    draws = np.arange(RESAMPLES)[:, np.newaxis] * count + indices
    return np.bincount(draws.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float64)


def percentile_interval(samples: Array) -> tuple[float, float]:
    """The middle 95 % of bootstrap samples (RESAMPLES,): (low, high)."""
    low, high = percentile_intervals(samples)
    return float(low), float(high)


def percentile_intervals(samples: Array) -> Array:
    """Low and high ends (2, ...) of the middle 95 % of bootstrap samples (..., RESAMPLES)."""
    return np.asarray(np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=-1))


def share_first_place(samples: Array) -> Array:
    """How often each of N is the largest of them (N,), by paired bootstrap samples (N, RESAMPLES); ties are shared."""
    largest = samples == samples.max(axis=0)
    return np.asarray((largest / largest.sum(axis=0)).mean(axis=1))


def share_leads(samples: Array) -> Array:
    """How often each of N but the last is larger than the next (N-1,), by paired bootstrap samples (N, RESAMPLES)."""
    higher, lower = samples[:-1], samples[1:]
    return np.asarray((np.mean(higher > lower, axis=1) + np.mean(higher >= lower, axis=1)) / 2)


def rank_samples(samples: Array) -> list[int]:
    """Ranks from 1, of N by paired bootstrap samples (N, RESAMPLES) in the order of their values, the largest first.

    One that the samples cannot tell from the first of a rank shares it: a difference whose 95 % interval has 0 inside.
    What comes after two that share rank 1 has rank 3.
    """
    ranks, first = [], 0
    for number, row in enumerate(samples):
        if np.mean(samples[first] > row) > (1 + CONFIDENCE) / 2:
            first = number
        ranks.append(first + 1)
    return ranks


def _average_medians(blocks: Blocks) -> float:
    return float(np.exp(np.mean(np.log([statistics.median(block) for block in blocks]))))


def _resample_median(runs_ns: Sequence[int], generator: np.random.Generator) -> Array:
    runs = np.asarray(runs_ns, dtype=np.float64)
    return np.asarray(np.median(runs[generator.integers(0, len(runs), (RESAMPLES, len(runs)))], axis=1))


def _check_values(values: Array) -> Array:
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must be one row an image, at least one, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {values[~np.isfinite(values)][0]}")
    return values


def _check_blocks(baseline_samples_ns: Blocks, samples_ns: Blocks) -> None:
    if not samples_ns or len(baseline_samples_ns) != len(samples_ns):
        raise ValueError(
            f"time samples must come in as many blocks as the baseline's, at least one, "
            f"got {len(samples_ns)} and {len(baseline_samples_ns)}"
        )
    for block in (*baseline_samples_ns, *samples_ns):
        if not block or min(block) <= 0:
            raise ValueError(f"every block must hold positive times in ns, got {tuple(block)}")
