"""Records -> boards: one table for each split, with means, 95 % intervals, scores and ranks.

Nothing is stored here: every figure follows from the samples in the records. Intervals come from one seeded
bootstrap over images (and over pairs of processes for time), drawn alike for every submission.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from scipy import special

from harness.additions import extend_challenge
from harness.challenge import Challenge, ChallengeMetric, Phase, find_phase
from harness.errors import RecordError
from harness.flags import find_flags
from harness.metrics import get_metric
from harness.metrics.mos_proxy import MosFit, fit_mos, predict_mos
from harness.metrics.profiles import find_preparation
from harness.records import ImageScore, Quality, Record, Timing, find_metric, list_values
from harness.scoring import evaluate_scores, list_names
from harness.sensitivity import find_swaps
from harness.statistics import (
    NOISY,
    RESAMPLES,
    SEED,
    Array,
    Blocks,
    is_noisy,
    percentile_intervals,
    rank_samples,
    resample_means,
    resample_times,
    share_first_place,
    share_leads,
    summarise_times,
)


@dataclass(frozen=True)
class Board:
    """The ranked table of one dataset's split. `frame` has a row a submission, best first; see `build_row`.

    Beside those columns it has `rank`, NaN without a score and where the phase's rules for a rank are not met
    (`qualified`); for each score S the probability `S_first` that the submission's is the highest; by the first score,
    `ahead`, the probability of being better than the next row; and what would put it behind that one, as `find_swaps`
    says. Images are drawn alike for all submissions, so what is hard for all sets none apart. extras: the metrics that
    the challenge itself does not list.
    """

    dataset: str
    dataset_note: str
    dataset_sha256: str
    split: str
    pair_count: int
    photo_count: int
    challenge: Challenge
    phase: Phase
    mos_fit: MosFit | None
    frame: pd.DataFrame
    extras: tuple[ChallengeMetric, ...] = ()


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


def build_boards(records: Sequence[Record], challenge: Challenge, *, phase: str = "validation") -> tuple[Board, ...]:
    """A board for each split that some record was made on, the one with the most submissions first.

    A record of a larger split also stands on the board of a smaller one inside it, with the smaller one's images only.
    The challenge of a board also lists the metrics that its records have beside the challenge's own. Records of several
    datasets, of two versions of one, or by other profiles are a RecordError: they never share a table.
    """
    measured = [(record, record.quality) for record in records if record.quality is not None]
    qualities = {record.submission.name: quality for record, quality in measured}
    check_same_dataset(qualities)
    check_profiles(qualities, extend_challenge(challenge, qualities.values()))
    times = pool_times([record for record, _ in measured])
    boards = []
    for split, images in collect_splits(qualities).items():
        entries = [(r, restrict_quality(q, images, split)) for r, q in measured if contains(q, images)]
        boards.append(build_board(entries, challenge, find_phase(challenge, phase), times))
    return tuple(sorted(boards, key=lambda board: (-len(board.frame), board.pair_count, board.split)))


def check_same_dataset(qualities: Mapping[str, Quality]) -> None:
    """Raise RecordError unless all submissions' values are of one version of one dataset."""
    versions: dict[tuple[str, str], str] = {}
    for name, quality in qualities.items():
        versions.setdefault((quality.dataset, quality.dataset_sha256), name)
    if len(versions) > 1:
        examples = "; ".join(f"{name} on {dataset} {sha256[:12]}" for (dataset, sha256), name in versions.items())
        raise RecordError(f"records were made on different datasets or versions of one ({examples}); run them again.")


def check_profiles(qualities: Mapping[str, Quality], challenge: Challenge) -> None:
    """Raise RecordError unless all values were computed by the challenge's profiles: others are other metrics."""
    asked = {metric.name: metric.profile for metric in challenge.metrics}
    for name, quality in qualities.items():
        for metric, profile in quality.profiles.items():
            if asked.get(metric, profile) != profile:
                raise RecordError(
                    f"{metric} of the record of {name} is by the profile {profile}, where {challenge.name} asks for "
                    f"{asked[metric]}; run it again."
                )


def collect_splits(qualities: Mapping[str, Quality]) -> dict[str, tuple[str, ...]]:
    """The images of each split; RecordError where two submissions' records disagree about a split's images."""
    splits: dict[str, tuple[str, ...]] = {}
    for name, quality in qualities.items():
        images = tuple(pair.image for pair in quality.pairs)
        if set(splits.setdefault(quality.split, images)) != set(images):
            raise RecordError(
                f"the record of {name} has other images of the split {quality.split} than the others; run it again."
            )
    return splits


def contains(quality: Quality, images: Sequence[str]) -> bool:
    """Whether a record's pairs hold all these images."""
    return {pair.image for pair in quality.pairs}.issuperset(images)


def restrict_quality(quality: Quality, images: Sequence[str], split: str) -> Quality:
    """The same values for some of the pairs only, in the order given."""
    pairs = {pair.image: pair for pair in quality.pairs}
    return msgspec.structs.replace(quality, split=split, pairs=tuple(pairs[image] for image in images))


def build_board(
    entries: Sequence[tuple[Record, Quality]],
    challenge: Challenge,
    phase: Phase,
    times: Mapping[str, Mapping[str, Estimate]],
) -> Board:
    """Rank by the phase's first score; rows without scores come last, by name."""
    fit, listed = fit_challenge(challenge), len(challenge.metrics)
    challenge = extend_challenge(challenge, [quality for _, quality in entries])
    rows, scores = [], {}
    for record, quality in entries:
        name = record.submission.name
        estimates = estimate_figures(record, quality, challenge, phase, fit, times.get(name, {}))
        rows.append(build_row(record, quality, challenge, phase, estimates))
        scores[name] = {score: estimates[score].draws for score in phase.scores if score in estimates}
    quality = entries[0][1]
    return Board(
        dataset=quality.dataset,
        dataset_note=quality.dataset_note,
        dataset_sha256=quality.dataset_sha256,
        split=quality.split,
        pair_count=len(quality.pairs),
        photo_count=len(quality.photos),
        challenge=challenge,
        phase=phase,
        mos_fit=fit,
        frame=rank_rows(rows, scores, phase, fit),
        extras=challenge.metrics[listed:],
    )


def fit_challenge(challenge: Challenge) -> MosFit | None:
    """The challenge's line from NIQE to MOS, where it has one."""
    return fit_mos([(pair.niqe, pair.mos) for pair in challenge.mos.pairs]) if challenge.mos else None


def rank_rows(
    rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Array]], phase: Phase, fit: MosFit | None
) -> pd.DataFrame:
    """The frame of `Board`, from its rows and the bootstrap samples of the scores that each submission has."""
    first = next(iter(phase.scores))
    frame = pd.DataFrame(rows).sort_values(
        ["qualified", first, "submission"],
        ascending=[False, phase.better == "lower", True],
        na_position="last",
        ignore_index=True,
    )
    frame.insert(0, "rank", math.nan)
    frame["ahead"] = math.nan
    for score in phase.scores:
        frame[f"{score}_first"] = math.nan
        scored = np.array([score in scores[name] for name in frame["submission"]])
        ranked = frame.index[frame["qualified"].to_numpy() & scored]
        if ranked.empty:
            continue
        draws = phase.sign * np.array([scores[name][score] for name in frame["submission"][ranked]])
        frame.loc[ranked, f"{score}_first"] = share_first_place(draws)
        if score == first:
            frame.loc[ranked, "rank"] = rank_samples(draws)
            frame.loc[ranked[:-1], "ahead"] = share_leads(draws)
    return frame.join(find_swaps(frame[frame["rank"].notna()], phase.scores[first], fit))


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


def qualifies(phase: Phase, estimates: Mapping[str, Estimate]) -> bool:
    """Whether a submission meets the phase's rules for a rank."""
    for name, bound in phase.qualify.items():
        value = estimates[name].value if name in estimates else math.nan
        if not (value >= bound if get_metric(name).higher_is_better else value <= bound):
            return False
    return True


def build_row(
    record: Record, quality: Quality, challenge: Challenge, phase: Phase, estimates: Mapping[str, Estimate]
) -> dict[str, Any]:
    """All figures of one submission; X_low and X_high beside X are its 95 % interval.

    psnr in dB, time and baseline_time in ms, peak, loaded and model in bytes; what was not measured is NaN or None.
    """
    quality_names = [name for metric in challenge.metrics for name in list_columns(metric)]
    mos = ["mos"] if challenge.mos else []
    names = [*quality_names, *mos, "baseline_time", "time", "speed_up", *phase.scores]
    row: dict[str, Any] = {
        "submission": record.submission.name,
        "infinite": sum(pair.values.get("psnr", 0.0) is None for pair in quality.pairs),
        **list_costs(record),
        **challenge.baseline.list_costs(),
        "loaded_bytes": record.memory.loaded_bytes if record.memory else None,
        "qualified": qualifies(phase, estimates),
        "status": record.status,
        "noisy": record.timing is not None and is_noisy(record.timing.baseline_samples_ns, record.timing.samples_ns),
        "flagged": bool(find_flags(record)),
    }
    missing = Estimate(math.nan, np.full(RESAMPLES, math.nan))
    return row | list_fields({name: estimates.get(name, missing) for name in names})


def list_columns(metric: ChallengeMetric) -> tuple[str, ...]:
    """The names of the values that a metric has by its profile: what is an 8-bit file already has no other as one."""
    values = list_values(metric.name)
    quantized = metric.name != "niqe" and find_preparation(metric.profile, metric.name).quantize
    return values[:1] if quantized else values


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
