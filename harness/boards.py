"""Records -> boards: one table for each split, with means, 95 % intervals, scores and ranks.

Nothing is stored here: every figure follows from the samples in the records. Intervals come from one seeded
bootstrap over images (and over pairs of processes for time), drawn alike for every submission.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from harness.additions import extend_challenge
from harness.challenge import Challenge, ChallengeMetric, Phase, find_phase
from harness.errors import RecordError
from harness.estimates import (
    Estimate,
    estimate_figures,
    fit_challenge,
    list_costs,
    list_fields,
    pool_times,
)
from harness.flags import find_flags
from harness.metrics.mos_proxy import MosFit
from harness.metrics.profiles import find_preparation
from harness.records import Quality, Record, list_values
from harness.sensitivity import find_swaps
from harness.statistics import (
    RESAMPLES,
    Array,
    is_noisy,
    rank_samples,
    share_first_place,
    share_leads,
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
        "qualified": all(
            bound.metric in estimates and bound.holds(estimates[bound.metric].value)
            for bound in challenge.list_bounds(phase)
        ),
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
