"""Samples -> estimates: each mean, time, cost and score of a submission, with its bootstrap samples."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from harness.challenge import Challenge, Phase
from harness.metrics.mos_proxy import MosFit, fit_mos, predict_mos
from harness.records import ImageScore, Quality, Record, Timing, find_metric
from harness.scoring import evaluate_scores, list_names
from harness.statistics import (
    NOISY,
    RESAMPLES,
    SEED,
    Array,
    Blocks,
    percentile_intervals,
    resample_means,
    resample_times,
    summarise_times,
)


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap samples (RESAMPLES,)."""

    value: float
    draws: Array

    def fields(self, name: str) -> dict[str, float]:
        """The value and its 95 % interval as columns of a row."""
        return list_fields({name: self})


def list_fields(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Values and their 95 % intervals as columns of a row: X, X_low, X_high."""
    lows, highs = percentile_intervals(np.stack([estimate.draws for estimate in estimates.values()]))
    return {
        f"{name}{end}": float(value)
        for name, low, high in zip(estimates, lows, highs, strict=True)
        for end, value in (("", estimates[name].value), ("_low", low), ("_high", high))
    }


def fit_challenge(challenge: Challenge) -> MosFit | None:
    """The challenge's line from NIQE to MOS, where it has one."""
    return fit_mos([(pair.niqe, pair.mos) for pair in challenge.mos.pairs]) if challenge.mos else None


def pool_times(records: Sequence[Record]) -> dict[str, dict[str, Estimate]]:
    """Times by submission, as `estimate_times` has them.

    Copies of one file are one model: each has the blocks of all, so that noise tells none of them apart.
    """
    groups: dict[tuple[str, str, int], dict[str, Timing]] = {}
    for record in sorted(records, key=lambda record: record.submission.name):
        if (timing := record.timing) is not None:
            name = record.submission.name
            group = groups.setdefault((record.submission.sha256 or name, timing.device, timing.threads), {})
            group[name] = timing
    pooled: dict[str, dict[str, Estimate]] = {}
    for group in groups.values():
        baseline = [block for timing in group.values() for block in timing.baseline_samples_ns]
        own = [block for timing in group.values() for block in timing.samples_ns]
        pooled |= dict.fromkeys(group, estimate_times(baseline, own))
    return pooled


def estimate_figures(
    record: Record,
    quality: Quality,
    challenge: Challenge,
    phase: Phase,
    fit: MosFit | None,
    times: Mapping[str, Estimate],
) -> dict[str, Estimate]:
    """Quality, MOS, times, costs and scores of one submission, as far as they were measured."""
    estimates = estimate_quality(quality, challenge)
    if "niqe" in estimates and fit is not None:
        estimates["mos"] = estimate_mos(estimates["niqe"], fit, record.submission.name)
    estimates |= times
    costs = list_costs(record) | challenge.baseline.list_costs()
    estimates |= {n: Estimate(v, np.full(RESAMPLES, float(v))) for n, v in costs.items() if v is not None}
    return estimates | estimate_scores(phase, estimates)


def list_costs(record: Record) -> dict[str, float | None]:
    """What a submission costs beside time, by the names that formulas have for it; None where it is not known."""
    memory, cost = record.memory, record.cost
    return {
        "parameters": cost.parameters if cost else None,
        "multiply_adds": cost.multiply_adds if cost else None,
        "model_bytes": cost.model_bytes if cost else None,
        "peak_bytes": memory.peak_bytes if memory else None,
    }


def average_quality(quality: Quality, challenge: Challenge) -> dict[str, float]:
    """Means of the challenge's metrics and what goes with them over pairs or photos, as far as they were measured."""
    return {
        name: float(mean)
        for names, values in tabulate_quality(quality, challenge)
        for name, mean in zip(names, values.mean(axis=0), strict=True)
    }


def estimate_quality(quality: Quality, challenge: Challenge) -> dict[str, Estimate]:
    """The means with their bootstrap samples; metrics over the same images are resampled together."""
    means = average_quality(quality, challenge)
    return {
        name: Estimate(means[name], draws)
        for names, values in tabulate_quality(quality, challenge)
        for name, draws in zip(names, resample_means(values).T, strict=True)
    }


def tabulate_quality(quality: Quality, challenge: Challenge) -> Iterator[tuple[list[str], Array]]:
    """Metric names and values (images, metrics), once for the pairs and once for the photos."""
    for kind, images in (("pairs", quality.pairs), ("photos", quality.photos)):
        measured = images[0].values.keys() if images else ()
        metrics = {metric.name for metric in challenge.metrics if metric.images == kind}
        names = [name for name in measured if find_metric(name) in metrics]
        if names:
            yield names, tabulate_values(images, names, challenge)


def tabulate_values(images: Sequence[ImageScore], names: Sequence[str], challenge: Challenge) -> Array:
    """Values (images, metrics); an infinite PSNR, stored as None, counts as what the challenge says."""
    rows = [[image.values[name] for name in names] for image in images]
    return np.array([[challenge.infinite_psnr_db if value is None else value for value in row] for row in rows])


def estimate_mos(niqe: Estimate, fit: MosFit, name: str) -> Estimate:
    """MOS by the fit; its samples carry the spread of NIQE and the fit's own error (Student's t).

    name, the submission's, seeds the order of the latter: the errors of two submissions count as independent, though
    the line, which is the smaller part of them, is the same.
    """
    freedom = len(fit.pairs) - 2
    value, low, high = predict_mos(fit, niqe.value)
    error = (high - low) / 2 / special.stdtrit(freedom, 0.975)
    # evenly spaced quantiles in random order: the tails of few pairs are too heavy to leave to chance
    levels = (np.random.default_rng([SEED, *name.encode()]).permutation(RESAMPLES) + 0.5) / RESAMPLES
    return Estimate(value, fit.intercept + fit.slope * niqe.draws + error * special.stdtrit(freedom, levels))


def estimate_times(baseline_samples_ns: Blocks, samples_ns: Blocks) -> dict[str, Estimate]:
    """Time, the baseline's time in the same blocks (ms), and how many times faster than it."""
    baseline_ms, time_ms = (t / 1e6 for t in summarise_times(baseline_samples_ns, samples_ns))
    draws = resample_times(baseline_samples_ns, samples_ns) / 1e6
    return {
        "baseline_time": Estimate(baseline_ms, draws[:, 0]),
        "time": Estimate(time_ms, draws[:, 1]),
        "speed_up": Estimate(baseline_ms / time_ms, draws[:, 0] / draws[:, 1]),
    }


def summarise_timing(timing: Timing) -> dict[str, Any]:
    """All figures of one submission's time in ms: the medians over the pairs of processes, and those of estimate_times.

    width is that of the speed-up's interval as a part of it. CPU times are those of all threads together, NaN where
    the device is no CPU.
    """
    estimates = estimate_times(timing.baseline_samples_ns, timing.samples_ns)
    row: dict[str, Any] = {"cpu_time": math.nan, "cpu_speed_up": math.nan}
    if timing.device == "cpu":
        baseline_ms, cpu_ms = (t / 1e6 for t in summarise_times(timing.baseline_cpu_ns, timing.cpu_ns))
        row = {"cpu_time": cpu_ms, "cpu_speed_up": baseline_ms / cpu_ms}
    row |= list_fields(estimates)
    width = (row["speed_up_high"] - row["speed_up_low"]) / row["speed_up"]
    return row | {
        "load": float(np.median(timing.load_ns)) / 1e6,
        "first": float(np.median([runs[0] for runs in timing.warmup_ns])) / 1e6,
        "width": width,
        "noisy": width > NOISY,
        "blocks": len(timing.samples_ns),
        "device": timing.device,
        "threads": timing.threads,
    }


def estimate_scores(phase: Phase, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """The phase's scores, evaluated on the means and on every bootstrap sample; none where a column is missing."""
    columns = {name: np.append(estimate.value, estimate.draws) for name, estimate in estimates.items()}
    scores = {}
    for name, formula in phase.scores.items():
        if list_names(formula) <= columns.keys():
            values = evaluate_scores({name: formula}, columns)[name]
            scores[name] = Estimate(float(values[0]), values[1:])
    return scores
