"""What is measured of one network of the ablation, and how two of them are compared, pair by pair."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from harness.statistics import CONFIDENCE, percentile_interval, resample_means
from reference.data import PairFolder, Pairs
from reference.validation import Niqe, measure_niqe, measure_pairs

Array = NDArray[np.float64]

GROUPS = 20
"""Of pairs at most, which NIQE's jackknife leaves out in turn: NIQE has no value for a pair, only for many together."""


@dataclass(frozen=True)
class Sample:
    """A network's PSNR (dB) and MS-SSIM of each pair, (N,); its NIQE, and NIQE without each group of pairs, (G,).

    NIQE is NaN where it is not to be had.
    """

    psnr_db: Array
    ms_ssim: Array
    niqe: float
    niqe_without: Array


def measure_sample(network: nn.Module, pairs: Pairs | PairFolder, niqe: Niqe | None) -> Sample:
    """Measure a network in use; ValueError as `measure_pairs`."""
    values = measure_pairs(network, pairs)
    count = min(GROUPS, len(values.tiles))
    group = np.arange(len(values.tiles)) % count
    mosaics = [values.tiles, *(values.tiles[group != number] for number in range(count))]
    found = np.array([measure_niqe(tiles, niqe) for tiles in mosaics], dtype=np.float64)  # None becomes NaN
    return Sample(values.psnr_db.cpu().numpy(), values.ms_ssim.cpu().numpy(), float(found[0]), found[1:])


def describe_sample(sample: Sample) -> dict[str, float]:
    """The means."""
    means = {"psnr_db": float(sample.psnr_db.mean()), "ms_ssim": float(sample.ms_ssim.mean()), "niqe": sample.niqe}
    return {"pairs": len(sample.psnr_db), **means}


def compare_samples(sample: Sample, base: Sample) -> dict[str, float]:
    """Differences of the means, sample less base, each with the ends of its 95 % interval over pairs."""
    found = {}
    for name in ("psnr_db", "ms_ssim"):
        difference = getattr(sample, name) - getattr(base, name)
        interval = percentile_interval(resample_means(difference[:, np.newaxis])[:, 0])
        found |= name_difference(name, float(difference.mean()), interval)
    difference = sample.niqe - base.niqe
    half_width = estimate_half_width(sample.niqe_without - base.niqe_without)
    return found | name_difference("niqe", difference, (difference - half_width, difference + half_width))


def name_difference(name: str, difference: float, interval: tuple[float, float]) -> dict[str, float]:
    """Columns of the table."""
    return {f"{name}_difference": difference, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def estimate_half_width(without: Array) -> float:
    """Half of the 95 % interval of a value, from its values without each of the groups (the jackknife)."""
    count = len(without)
    standard_error = np.sqrt((count - 1) * without.var())
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * standard_error)
