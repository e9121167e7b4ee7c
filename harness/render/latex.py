"""Boards as tables for a paper, in LaTeX with booktabs."""

from collections.abc import Sequence

import pandas as pd

from harness.boards import Board
from harness.render.cells import (
    Row,
    count_digits,
    count_time_digits,
    flatten,
    format_estimate,
    format_number,
    head_metric,
    head_score,
)


def render_latex(boards: Sequence[Board]) -> str:
    r"""A tabular for each board, under a comment that names it; \usepackage{booktabs} sets its rules."""
    return "\n".join(render_tabular(board) for board in boards)


def render_tabular(board: Board) -> str:
    """One board: rank, scores, quality, time and speed-up, with half the width of each 95 % interval."""
    frame = pd.DataFrame([list_cells(row, board) for row in board.frame.to_dict("records")])
    styler = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    table = styler.to_latex(hrules=True, column_format="rl" + "r" * (len(frame.columns) - 2))
    place = f"{board.dataset}, split {board.split}: {board.pair_count} pairs, scores of the {board.phase.label}"
    return f"% {flatten(place)}\n{table}".replace("±", r"$\pm$").replace("↓", r"$\downarrow$")


def list_cells(row: Row, board: Board) -> dict[str, str]:
    """Every cell by column heading."""
    cells = {"Rank": format_number(row["rank"], 0), "Submission": flatten(str(row["submission"]))}
    cells |= {head_score(name, board.phase): format_estimate(row, name, 2) for name in board.phase.scores}
    for metric in board.challenge.metrics:
        heading = head_metric(metric.name, lower_is_better=metric.lower_is_better)
        cells[heading] = format_estimate(row, metric.name, count_digits(metric.name))
    return cells | {
        "Time (ms)": format_estimate(row, "time", count_time_digits(row["time"])),
        "Speed-up": format_estimate(row, "speed_up", 3),
    }
