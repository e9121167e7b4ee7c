"""How far a ranking hangs on its rules: what change of a weight, or of the MOS fit, would swap two neighbours."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.metrics.mos_proxy import MosFit
from harness.scoring import evaluate_scores, list_names, split_terms

RESOLUTION = 1e-6
"""Scores that differ by less are level."""


def find_swaps(frame: pd.DataFrame, formula: str, fit: MosFit | None) -> pd.DataFrame:
    """What would put each row behind the next: columns `swap_term`, `swap_change`, `swap_slope`.

    frame: rows with a score by `formula`, best first, with the columns that it names, and niqe where it names mos.
    swap_term: the term of the formula whose weight has to change least, and swap_change by what part of it (-0.2: a
    fifth less); no weight changes its sign. swap_slope: the slope of MOS on NIQE that would do it, the line still going
    through the middle of its pairs, as every least-squares line does. None and NaN where there is no such change, and
    for the last row.
    """
    values = {name: frame[name].to_numpy(float) for name in list_names(formula)}
    terms = {term: evaluate_scores({term: term}, values)[term] for term in split_terms(formula)}
    weights = [find_weight(terms, place) for place in range(len(frame) - 1)] + [(None, math.nan)] * bool(len(frame))
    slopes = [find_slope(frame, formula, fit, place) for place in range(len(frame) - 1)] + [math.nan] * bool(len(frame))
    columns = {
        "swap_term": [term for term, _ in weights],
        "swap_change": [change for _, change in weights],
        "swap_slope": slopes,
    }
    return pd.DataFrame(columns, index=frame.index)


def find_weight(terms: Mapping[str, np.ndarray], place: int) -> tuple[str | None, float]:
    """The term whose weight has to change least for a row to fall level with the next, and the part of it."""
    leads = {term: float(values[place] - values[place + 1]) for term, values in terms.items()}
    lead = sum(leads.values())
    changes = {term: -lead / own for term, own in leads.items() if own and -lead / own >= -1}
    if not changes:
        return None, math.nan
    term = min(changes, key=lambda term: abs(changes[term]))
    return term, changes[term]


def find_slope(frame: pd.DataFrame, formula: str, fit: MosFit | None, place: int) -> float:
    """The slope of MOS on NIQE with which a row falls level with the next, by a straight line; NaN where none does."""
    if fit is None or "mos" not in list_names(formula):
        return math.nan
    rows = frame.iloc[place : place + 2]
    values = {name: rows[name].to_numpy(float) for name in list_names(formula)}
    offsets = rows["niqe"].to_numpy(float) - np.mean([niqe for niqe, _ in fit.pairs])

    def lead(slope: float) -> float:
        mos = values["mos"] + (slope - fit.slope) * offsets
        first, second = evaluate_scores({"score": formula}, values | {"mos": mos})["score"]
        return float(first - second)

    now, change = lead(fit.slope), lead(fit.slope + 1) - lead(fit.slope)
    if abs(change) < RESOLUTION:  # equal NIQE, or MOS without weight
        return math.nan
    slope = fit.slope - now / change
    return slope if abs(lead(slope)) < RESOLUTION * (1 + abs(now)) else math.nan
