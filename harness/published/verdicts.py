"""One sentence under each table: what reproduces, what does not, why. All but the why is computed from the records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd

from harness.estimates import Estimate
from harness.published.ablation import MeasuredCondition
from harness.published.claims import WORDS, judge_claims
from harness.published.orders import (
    Order,
    Standing,
    choose_word,
    compare_order,
    describe_first,
    describe_pairs,
    join_words,
    tally_pairs,
)
from harness.published.paper import Condition, FinalTable, Notes
from harness.score_table import TOLERANCE, ScoredTable

Measured = Mapping[str, Mapping[str, Estimate]]
"""What was measured of each submission, by name."""


@dataclass(frozen=True)
class Quantity:
    """A published column, what is measured in its place, and how differences are written."""

    label: str
    measured: str
    difference: str
    falling: bool
    digits: int
    unit: str = ""


QUANTITIES = {
    "psnr": Quantity("PSNR", "test_psnr", "psnr_difference", True, 2, " dB"),
    "ssim": Quantity("MS-SSIM", "test_ms_ssim", "ssim_difference", True, 4),
    "niqe": Quantity("NIQE", "photo_niqe", "niqe_difference", False, 2),
}


@dataclass(frozen=True)
class Judgement:
    """What stands under a table: a verdict and notes, Markdown in the package's own words, and findings, any text."""

    verdict: str
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def judge_methods(frame: pd.DataFrame, measured: Measured, names: Sequence[str], notes: Notes) -> Judgement:
    """The orders by the published columns `names`, and how far the values are off."""
    return _judge([order_methods(frame, measured, name) for name in names], frame, names, notes)


def judge_columns(teams: pd.DataFrame, measured: Measured, notes: Notes) -> Judgement:
    """The teams that have a submission here, by PSNR, MS-SSIM and time."""
    frame, names = teams.rename(columns={"name": "title", "ms_ssim": "ssim"}), ("psnr", "ssim")
    orders = [order_methods(frame, measured, name) for name in names]
    return _judge([*orders, order_times(frame, measured, key="submission")], frame, names, notes)


def judge_times(frame: pd.DataFrame, measured: Measured, baseline: str, notes: Notes) -> Judgement:
    """The order by time, and the ratios' own ratio; no milliseconds of two machines are compared."""
    orders = [order for order in [order_times(frame, measured, key="timed")] if order is not None]
    verdict = join_verdict(orders, describe_factors(frame[frame["title"] != baseline]), notes.why)
    return Judgement(verdict, (*notes.notes, *chain.from_iterable(map(describe_pairs, orders))))


def _judge(found: Sequence[Order | None], frame: pd.DataFrame, names: Sequence[str], notes: Notes) -> Judgement:
    orders = [order for order in found if order is not None]
    verdict = join_verdict(orders, describe_differences(frame, names), notes.why)
    pairs = chain.from_iterable(map(describe_pairs, orders))
    return Judgement(verdict, (*notes.notes, *pairs, *describe_inside(frame, names)))


def judge_scores(teams: pd.DataFrame, scored: ScoredTable, table: FinalTable, notes: Notes) -> Judgement:
    """Which rows follow from their columns, and the places that the paper claims."""
    wrong = list(teams.loc[~teams["agrees"], "name"])
    verdict = f"{len(teams) - len(wrong)} of {len(teams)} rows give their published scores back within {TOLERANCE}"
    if wrong:
        verdict += f"; {join_words(wrong)} {'does' if len(wrong) == 1 else 'do'} not, since {notes.why}"
    printed = ", ".join(str(rank_team(teams, table.team, name)) for name in table.places)
    remark = (
        f"Places of {table.team} by {', '.join(table.places)}: {', '.join(map(str, table.places.values()))} in the "
        f"paper's text, {printed} by the printed columns."
    )
    return Judgement(f"{verdict}.", (*notes.notes, remark), (*scored.notes[:1], *scored.findings[1:]))


def rank_team(teams: pd.DataFrame, team: str, name: str) -> int:
    """A team's place by a printed score, or by MOS."""
    values = teams.set_index("name")[f"{name}_published" if f"{name}_published" in teams else name.lower()]
    return int((values > values[team]).sum()) + 1


def judge_ablation(
    frame: pd.DataFrame, conditions: Sequence[Condition], measured: Sequence[MeasuredCondition], notes: Notes
) -> Judgement:
    """What the paper says of Table 5, against the scatter between trainings."""
    if not measured:
        return Judgement("Measured: not run here; `python -m reference.ablation` does.", notes.notes)
    verdicts = judge_claims(frame, [condition.name for condition in conditions])
    by_word = {word: [v.claim.sentence for v in verdicts if v.word == word] for word in WORDS}
    reproduced, scatter, opposite, missing = by_word.values()
    parts = [
        f"{len(reproduced)} of the paper's {len(verdicts)} statements on this table "
        f"{'is' if len(reproduced) == 1 else 'are'} reproduced{list_claims(reproduced)}",
        f"{len(opposite)} {'is' if len(opposite) == 1 else 'are'} not{list_claims(opposite)}",
        f"{len(scatter)} lie within what another seed does",
        *([f"{len(missing)} were not measured"] if missing else []),
    ]
    why = "" if len(reproduced) == len(verdicts) else f", since {notes.why}"
    findings = (f"Trained and measured on parts of: {measured[0].data}.",)
    return Judgement(f"{', '.join(parts)}{why}.", (*describe_ablation(measured), *notes.notes), findings)


def list_claims(sentences: Sequence[str]) -> str:
    """Claims in brackets, nothing for none."""
    return f" ({'; '.join(sentences)})" if sentences else ""


def describe_ablation(measured: Sequence[MeasuredCondition]) -> Iterator[str]:
    """How much was trained and measured."""
    first = measured[0]
    yield (
        f"Measured: each network was trained for {first.steps} steps of {first.batch_size} pairs, and measured on "
        f"{first.pairs} pairs that none of them had. Intervals (95 %) are of the change on the same pairs; the file "
        "has none of single values. [training/ablation.md](training/ablation.md) has each statement and its margin."
    )


def order_methods(frame: pd.DataFrame, measured: Measured, name: str) -> Order | None:
    """The order by one of QUANTITIES."""
    quantity = QUANTITIES[name]
    standings = list_standings(frame, measured, name, quantity.measured, key="submission")
    return compare_order(quantity.label, standings, falling=quantity.falling)


def order_times(frame: pd.DataFrame, measured: Measured, *, key: str) -> Order | None:
    """The order by the ratio to SRCNN's time; key is the column that names whose time a row has."""
    standings = list_standings(frame, measured, "time_ratio", "own_time_ratio", key=key)
    return compare_order("time", standings, falling=False)


def list_standings(
    frame: pd.DataFrame, measured: Measured, published: str, quantity: str, *, key: str
) -> list[Standing]:
    """The methods of which a quantity was both published and measured."""
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    return [
        Standing(row["title"], row[published], measured[row[key]][quantity])
        for row in rows
        if pd.notna(row[published]) and quantity in measured.get(row[key], {})
    ]


def join_verdict(orders: Sequence[Order], values: Sequence[str], why: str) -> str:
    """One sentence; why, where something was measured."""
    if orders:
        tally = f"pairs of methods as published / reversed / too close to tell: {tally_pairs(orders)}"
        parts = [f"{choose_word(orders)} ({tally})", describe_first(orders), *values]
    else:
        parts = ["No order to compare, as fewer than two of these were measured here", *values]
    return "; ".join(parts) + (f", since {why}." if values else ".")


def describe_differences(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """How far the measured values are from the published ones; nothing without any."""
    spans = []
    for quantity in (QUANTITIES[name] for name in names):
        differences = frame[quantity.difference].dropna()
        if len(differences):
            rounded = (round(end, quantity.digits) + 0.0 for end in (differences.min(), differences.max()))  # no -0.00
            ends = dict.fromkeys(f"{end:+.{quantity.digits}f}" for end in rounded)
            spans.append(f"{quantity.label} {' to '.join(ends)}{quantity.unit}")
    return [f"values differ ({', '.join(spans)})"] if spans else []


def describe_inside(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """How many published values lie in the measured intervals; nothing without any."""
    counts = []
    for name in names:
        quantity = QUANTITIES[name]
        rows = frame.dropna(subset=[quantity.difference])
        low, high = (rows[f"{quantity.measured}_{end}"] for end in ("low", "high"))
        if len(rows):
            counts.append(f"{quantity.label} {rows[name].between(low, high).sum()} of {len(rows)}")
    return [f"Published values that lie in the interval measured here: {', '.join(counts)}."] if counts else []


def describe_factors(frame: pd.DataFrame) -> list[str]:
    """How the measured ratios to the baseline compare with the published ones; nothing without any."""
    factors = frame["time_factor"].dropna()
    if factors.empty:
        return []
    span = " to ".join(dict.fromkeys(f"{end:.2f}" for end in (factors.min(), factors.max())))
    return [f"the ratios to SRCNN are {span} times the published ones"]
