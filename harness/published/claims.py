"""What the paper says of its Table 5, judged by numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

BASE = "full"
"""The condition that the others are compared with: all losses and noise."""
OTHER_SEED = "other_seed"
"""Not the paper's: BASE trained from another seed, whose difference from it is the scatter between trainings."""

METRICS = {"psnr_db": "published_psnr_db", "ms_ssim": "published_ssim", "niqe": "published_niqe"}
"""Columns of what is measured, and of what was published in its place."""

WORDS = ("reproduced", "within the scatter", "not reproduced", "not measured")


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what it says of a metric of one condition: against all others, or against BASE."""

    sentence: str
    metric: str
    kind: Literal["highest", "lowest", "rises", "falls"]
    condition: str


CLAIMS = (
    Claim("PSNR is highest with full losses and noise", "psnr_db", "highest", BASE),
    Claim("SSIM is highest with full losses and noise", "ms_ssim", "highest", BASE),
    Claim("NIQE rises obviously without contextual loss", "niqe", "rises", "no_contextual"),
    Claim("PSNR is lowest without L1 loss", "psnr_db", "lowest", "no_l1"),
    Claim("NIQE falls without adversarial loss", "niqe", "falls", "no_adversarial"),
    Claim("NIQE falls without L1 loss", "niqe", "falls", "no_l1"),
    Claim("NIQE falls without perceptual loss", "niqe", "falls", "no_perceptual"),
    Claim("NIQE rises a lot without noise", "niqe", "rises", "no_noise"),
    Claim("PSNR falls a little without noise", "psnr_db", "falls", "no_noise"),
    Claim("SSIM falls a little without noise", "ms_ssim", "falls", "no_noise"),
)


@dataclass(frozen=True)
class Verdict:
    """By how much a claim holds, in the paper and here, and what that is worth; NaN where something is not measured."""

    claim: Claim
    published: float
    measured: float
    word: str


def judge_claims(frame: pd.DataFrame, conditions: Sequence[str]) -> list[Verdict]:
    """A verdict on each claim, from a table with a row a condition; `conditions` are the paper's."""
    rows = frame.set_index("condition")
    return [judge_claim(claim, rows, conditions) for claim in CLAIMS]


def judge_claim(claim: Claim, rows: pd.DataFrame, conditions: Sequence[str]) -> Verdict:
    """Compare what was measured with what may be chance."""
    published, measured = (
        compute_margin(claim, rows[name].reindex(list(conditions))) for name in (METRICS[claim.metric], claim.metric)
    )
    return Verdict(claim, published, measured, choose_word(measured, measure_scatter(rows, claim.metric)))


def compute_margin(claim: Claim, values: pd.Series) -> float:
    """By how much a claim holds for values by condition, below 0 by how much it does not; NaN where one is missing."""
    value, base, others = values[claim.condition], values[BASE], values.drop(claim.condition)
    match claim.kind:
        case "highest":
            return float(value - others.max(skipna=False))
        case "lowest":
            return float(others.min(skipna=False) - value)
        case "rises":
            return float(value - base)
        case "falls":
            return float(base - value)


def measure_scatter(rows: pd.DataFrame, metric: str) -> float:
    """How far two trainings that differ in the seed alone may be apart: the far end of that difference's interval.

    NaN where there is no such training.
    """
    if OTHER_SEED not in rows.index:
        return math.nan
    ends = (float(rows[f"{metric}_{end}"][OTHER_SEED]) for end in ("difference", "low", "high"))
    return max((abs(end) for end in ends if not math.isnan(end)), default=math.nan)


def choose_word(margin: float, scatter: float) -> str:
    """One of WORDS."""
    if math.isnan(margin) or math.isnan(scatter):
        return WORDS[3]
    if abs(margin) <= scatter:
        return WORDS[1]
    return WORDS[0] if margin > 0 else WORDS[2]
