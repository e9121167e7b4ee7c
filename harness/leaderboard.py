"""Records -> boards: one table for each split, with means, 95 % intervals, scores and ranks.

Nothing is stored here: every figure follows from the samples in the records. Intervals come from one seeded
bootstrap over images (and over pairs of processes for time), drawn alike for every submission.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from harness.challenge import Challenge, Phase, find_phase
from harness.errors import RecordError
from harness.metrics.mos_proxy import MosFit, fit_mos, predict_mos
from harness.records import ImageScore, Quality, Record, Timing
from harness.scoring import evaluate_scores, list_names
from harness.statistics import (
    RESAMPLES,
    SEED,
    Array,
    percentile_interval,
    resample_means,
    resample_times,
    summarise_times,
)


@dataclass(frozen=True)
class Board:
    """The ranked table of one dataset's split. `frame` has a row a submission, best first; see `build_row`."""

    dataset: str
    dataset_note: str
    split: str
    pair_count: int
    photo_count: int
    phase: Phase
    frame: pd.DataFrame


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap samples (RESAMPLES,)."""

    value: float
    draws: Array

    def fields(self, name: str) -> dict[str, float]:
        """The value and its 95 % interval as columns of a row."""
        low, high = percentile_interval(self.draws)
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}


def build_boards(records: Sequence[Record], challenge: Challenge, *, phase: str = "validation") -> tuple[Board, ...]:
    """A board for each split that some record was made on, the one with the most submissions first.

    A record of a larger split also stands on the board of a smaller one inside it, with the smaller one's images only.
    Records of several datasets, or of two versions of one, are a RecordError: they never share a table.
    """
    measured = [(record, record.quality) for record in records if record.quality is not None]
    if len({quality.dataset_sha256 for _, quality in measured}) > 1:
        names = ", ".join(sorted(record.submission.name for record, _ in measured))
        raise RecordError(f"the records of {names} were made on different versions of their dataset; run them again.")
    splits = {quality.split: tuple(pair.image for pair in quality.pairs) for _, quality in measured}
    boards = []
    for split, images in splits.items():
        entries = [(r, restrict_quality(q, images, split)) for r, q in measured if contains(q, images)]
        boards.append(build_board(entries, challenge, find_phase(challenge, phase)))
    return tuple(sorted(boards, key=lambda board: (-len(board.frame), board.pair_count)))


def contains(quality: Quality, images: Sequence[str]) -> bool:
    """Whether a record's pairs hold all these images."""
    return {pair.image for pair in quality.pairs}.issuperset(images)


def restrict_quality(quality: Quality, images: Sequence[str], split: str) -> Quality:
    """The same values for some of the pairs only, in the order given."""
    pairs = {pair.image: pair for pair in quality.pairs}
    return Quality(
        dataset=quality.dataset,
        dataset_note=quality.dataset_note,
        dataset_sha256=quality.dataset_sha256,
        split=split,
        pairs=tuple(pairs[image] for image in images),
        photos=quality.photos,
    )


def build_board(entries: Sequence[tuple[Record, Quality]], challenge: Challenge, phase: Phase) -> Board:
    """Rank by the phase's first score; rows without scores come last, by name."""
    fit = fit_mos([(pair.niqe, pair.mos) for pair in challenge.mos.pairs])
    frame = pd.DataFrame([build_row(record, quality, challenge, phase, fit) for record, quality in entries])
    first = next(iter(phase.scores))
    frame = frame.sort_values([first, "submission"], ascending=[False, True], na_position="last", ignore_index=True)
    frame.insert(0, "rank", frame[first].rank(method="min", ascending=False))
    quality = entries[0][1]
    return Board(
        quality.dataset, quality.dataset_note, quality.split, len(quality.pairs), len(quality.photos), phase, frame
    )


def build_row(
    record: Record, quality: Quality, challenge: Challenge, phase: Phase, fit: MosFit
) -> dict[str, str | float | int | None]:
    """All figures of one submission; X_low and X_high beside X are its 95 % interval.

    psnr in dB, time and baseline_time in ms, peak, loaded and model in bytes; a figure that was not measured is NaN.
    """
    estimates = estimate_quality(quality, challenge)
    if "niqe" in estimates:
        estimates["mos"] = estimate_mos(estimates["niqe"], fit)
    if record.timing is not None:
        estimates |= estimate_times(record.timing)
    estimates |= estimate_scores(phase, estimates)
    names = [p.name for p in challenge.metrics] + ["mos", "baseline_time", "time", "speed_up", *phase.scores]
    row: dict[str, str | float | int | None] = {
        "submission": record.submission.name,
        "title": record.submission.title,
        "trained_on": record.submission.trained_on,
        "infinite": sum(pair.values.get("psnr", 0.0) is None for pair in quality.pairs),
        "peak_bytes": record.memory.peak_bytes if record.memory else None,
        "loaded_bytes": record.memory.loaded_bytes if record.memory else None,
        "model_bytes": record.cost.model_bytes if record.cost else None,
        "multiply_adds": record.cost.multiply_adds if record.cost else None,
        "status": record.status,
    }
    missing = Estimate(math.nan, np.full(RESAMPLES, math.nan))
    for name in names:
        row |= estimates.get(name, missing).fields(name)
    return row


def estimate_quality(quality: Quality, challenge: Challenge) -> dict[str, Estimate]:
    """Means of the metrics over pairs or photos; those of one kind are resampled together."""
    estimates: dict[str, Estimate] = {}
    for kind, images in (("pairs", quality.pairs), ("photos", quality.photos)):
        present = set.intersection(*(set(image.values) for image in images)) if images else set()
        names = [p.name for p in challenge.metrics if p.images == kind and p.name in present]
        if names:
            values = tabulate_values(images, names, challenge)
            draws = resample_means(values)
            means = values.mean(axis=0)
            estimates |= {name: Estimate(float(means[i]), draws[:, i]) for i, name in enumerate(names)}
    return estimates


def tabulate_values(images: Sequence[ImageScore], names: Sequence[str], challenge: Challenge) -> Array:
    """Values (images, metrics); an infinite PSNR counts as what the challenge says."""
    rows = [[image.values[name] for name in names] for image in images]
    return np.array([[challenge.infinite_psnr_db if value is None else value for value in row] for row in rows])


def estimate_mos(niqe: Estimate, fit: MosFit) -> Estimate:
    """MOS by the fit; its samples carry the spread of NIQE and the fit's own error (Student's t)."""
    freedom = len(fit.pairs) - 2
    value, low, high = predict_mos(fit, niqe.value)
    error = (high - low) / 2 / stats.t.ppf(0.975, freedom)
    noise = stats.t.rvs(freedom, size=RESAMPLES, random_state=np.random.default_rng(SEED))
    return Estimate(value, fit.intercept + fit.slope * niqe.draws + error * noise)


def estimate_times(timing: Timing) -> dict[str, Estimate]:
    """Time, the baseline's time in the same blocks (ms), and how many times faster than it."""
    baseline_ms, time_ms = (t / 1e6 for t in summarise_times(timing.baseline_samples_ns, timing.samples_ns))
    draws = resample_times(timing.baseline_samples_ns, timing.samples_ns) / 1e6
    return {
        "baseline_time": Estimate(baseline_ms, draws[:, 0]),
        "time": Estimate(time_ms, draws[:, 1]),
        "speed_up": Estimate(baseline_ms / time_ms, draws[:, 0] / draws[:, 1]),
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
