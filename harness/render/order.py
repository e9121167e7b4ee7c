"""reports/leaderboard.md, the order: how sure it is between neighbours, and what change of the rules swaps them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pandas as pd

from harness.boards import Board
from harness.render.cells import Row, escape, format_number, format_value, render_table
from harness.scoring import list_names

MOST_ROWS = 40


def render_order(board: Board) -> str:
    """The section with a row for each pair of neighbours; nothing where fewer than two have a score."""
    rows = board.frame[board.frame["rank"].notna()].to_dict("records")
    neighbours = list(pairwise(rows))
    if not neighbours:
        return ""
    table = render_table([render_pair(*pair, board) for pair in neighbours[:MOST_ROWS]], texts=("Ahead", "Behind"))
    return "\n\n".join(
        [f"## How firm the order is: split {escape(board.split)}", *describe_order(board, neighbours), table]
    )


def render_pair(row: Row, following: Row, board: Board) -> dict[str, str]:
    """Two neighbours: how far apart, how surely, and what would swap them."""
    first = next(iter(board.phase.scores))
    cells = {
        "Ahead": escape(str(row["submission"])),
        "Behind": escape(str(following["submission"])),
        f"Score {escape(first)} apart": format_value(abs(row[first] - following[first]), 2),
        "Ahead in (%)": format_number(row["ahead"], 1, divisor=0.01),
        "Swapped by": describe_weight(row),
    }
    if "mos" in list_names(board.phase.scores[first]):
        cells["Swapped by a slope of MOS of"] = format_number(row["swap_slope"], 3, missing="none")
    return cells


def describe_weight(row: Row) -> str:
    """How many times itself which term has to count: '0.94 times `100 * (ms_ssim - 0.9)`'."""
    if pd.isna(row["swap_change"]):
        return "none"
    factor = 1 + row["swap_change"]
    times = "more than 100" if factor > 100 else f"{factor:.{2 if abs(factor - 1) >= 0.005 else 5}f}"
    return f"{times} times `{row['swap_term']}`"


def describe_order(board: Board, neighbours: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    """What the table says at its weakest place, and how to read it."""
    first, better = next(iter(board.phase.scores)), board.phase.better
    weakest = find_weakest(neighbours, "swap_change", 0)
    if weakest is None:
        least = "no change of a single weight swaps two neighbours"
    else:
        least = f"the least change of one weight that swaps two neighbours is {describe_weight(weakest[0])} "
        least += f"({name_pair(weakest)})"
    yield f"**Sensitivity**: {least}. {describe_slope(board, neighbours)}".rstrip()
    shown = f" Only the first {MOST_ROWS} pairs are shown." if len(neighbours) > MOST_ROWS else ""
    yield (
        f'"Ahead in" is the part of the resamples in which the first of the two has the {better} Score {escape(first)} '
        f"(`{board.phase.scores[first]}`); about 50 % is a toss-up, and two copies of one file have just that. One "
        f'weight changes at a time, and keeps its sign; "none" says that no such change swaps the two.{shown}'
    )


def describe_slope(board: Board, neighbours: Sequence[tuple[Row, Row]]) -> str:
    """What a change of the fit of MOS on NIQE does to the order by the first score."""
    first, fit = next(iter(board.phase.scores)), board.mos_fit
    if fit is None:
        return ""
    if "mos" not in list_names(board.phase.scores[first]):
        return f"MOS does not enter Score {escape(first)} in this phase, so no slope of its fit swaps any."
    nearest = find_weakest(neighbours, "swap_slope", fit.slope)
    if nearest is None:
        return f"No slope of MOS on NIQE ({fit.slope:.3f} here) swaps two neighbours."
    return (
        f"The slope of MOS on NIQE is {fit.slope:.3f}; the nearest one that swaps two neighbours is "
        f"{nearest[0]['swap_slope']:.3f} ({name_pair(nearest)}), the line still going through the middle of its pairs."
    )


def find_weakest(neighbours: Sequence[tuple[Row, Row]], column: str, now: float) -> tuple[Row, Row] | None:
    """The neighbours that the change nearest to what holds now swaps."""
    able = [pair for pair in neighbours if not pd.isna(pair[0][column])]
    return min(able, key=lambda pair: abs(pair[0][column] - now), default=None)


def name_pair(pair: tuple[Row, Row]) -> str:
    """Two submissions' names."""
    return " and ".join(escape(str(row["submission"])) for row in pair)
