"""The columns of the HTML page's ranking: what they are called, in which unit, and how many digits they deserve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.boards import Board
from harness.render.cells import EMPTY, count_digits, count_time_digits, format_value, head_metric, head_score


@dataclass(frozen=True)
class Column:
    """A column of a board's frame as it is shown, in units of `divisor`. log: what spreads over powers of ten."""

    key: str
    heading: str
    digits: int
    divisor: float = 1
    log: bool = False
    lower_is_better: bool = False
    note: str = ""

    def format(self, row: Mapping[Any, Any]) -> str:
        """The value of a row."""
        return self.format_value(row, row[self.key])

    def format_spread(self, row: Mapping[Any, Any]) -> str:
        """Half the width of its 95 % interval; nothing where it has none."""
        low, high = row.get(f"{self.key}_low"), row.get(f"{self.key}_high")
        return "" if low is None or pd.isna(low) else self.format_value(row, (high - low) / 2)

    def format_value(self, row: Mapping[Any, Any], value: float | None) -> str:
        """A number with the digits of this column; a time has those of the row's time."""
        if value is None or pd.isna(value):
            return EMPTY
        digits = count_time_digits(row["time"]) if self.key == "time" else self.digits
        return format_value(value / self.divisor, digits)


def list_columns(board: Board) -> tuple[Column, ...]:
    """All figures of a board, the scores first."""
    phase = board.phase
    scores = tuple(
        Column(name, head_score(name, phase), 2, lower_is_better=phase.better == "lower", note=formula)
        for name, formula in phase.scores.items()
    )
    firsts = tuple(
        Column(f"{name}_first", f"First by {name} (%)", 1, 0.01, note=f"In how many resamples its Score {name} is best")
        for name in board.phase.scores
    )
    metrics = tuple(
        Column(
            metric.name,
            head_metric(metric.name, lower_is_better=metric.lower_is_better),
            count_digits(metric.name),
            lower_is_better=metric.lower_is_better,
            note=f"profile {metric.profile}",
        )
        for metric in board.challenge.metrics
    )
    mos = (Column("mos", "MOS (est.)", 1, note="Estimated from NIQE, nobody was asked"),) if board.mos_fit else ()
    return (
        *scores,
        *metrics,
        *mos,
        Column("time", "Time (ms)", 0, log=True, lower_is_better=True, note="For one photo"),
        Column("speed_up", "Speed-up", 3, log=True, note=f"Over {board.challenge.baseline.label}"),
        Column("peak_bytes", "Peak RAM (MB)", 0, 1e6, lower_is_better=True),
        Column("model_bytes", "Model (MB)", 2, 1e6, log=True, lower_is_better=True),
        Column("multiply_adds", "Multiply-adds (G)", 1, 1e9, log=True, lower_is_better=True),
        Column("parameters", "Parameters (k)", 0, 1e3, log=True, lower_is_better=True),
        *firsts,
    )
