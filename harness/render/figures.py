"""Figures of the leaderboard, drawn with matplotlib."""

import io
import logging
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.boards import Board

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE = "figures/speed_quality.png"
"""Where the figure lies beside the leaderboard."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart (without yellow, too faint on white)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LONGEST_NAME = 24


def select_points(board: Board) -> pd.DataFrame:
    """The rows that can be drawn, those with both PSNR and speed-up, best PSNR first."""
    if "psnr" not in board.frame:
        return board.frame.head(0)
    return board.frame.dropna(subset=["psnr", "speed_up"]).sort_values(["psnr", "submission"], ascending=[False, True])


def render_speed_quality(board: Board) -> bytes | None:
    """PSNR against speed-up with 95 % intervals, as PNG; None where nothing has both."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it may keep its cache is nobody's concern here
    from matplotlib import style

    if select_points(board).empty:
        return None
    buffer = io.BytesIO()
    with style.context("default"):  # whatever the user's own style is
        figure = draw_speed_quality(board)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_speed_quality(board: Board) -> "Figure":
    """The same as a matplotlib figure; there must be something to draw."""
    from matplotlib.figure import Figure

    points = select_points(board)
    figure = Figure(figsize=(8, max(4.4, 1.2 + 0.24 * len(points))), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    rows = points.to_dict("records")
    handles = [draw_point(axes, row, number) for number, row in enumerate(rows)]
    handles += draw_front(axes, points)
    labels = [*map(label_point, rows), "beaten by none in both\nspeed and PSNR"]
    set_axes(axes, points, board)
    # beside the axes, in the order of the points from top to bottom: names cannot collide there
    legend = figure.legend(handles, labels[: len(handles)], title="rank, submission", loc="outside right center")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a $
    return figure


def draw_point(axes: Any, row: dict[Any, Any], number: int) -> Any:
    """One submission with its intervals, in a colour and shape of its own."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    spread = {
        axis: [[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]]
        for axis, name in (("xerr", "speed_up"), ("yerr", "psnr"))
    }
    style = {"color": colour, "ecolor": (colour, 0.45), "elinewidth": 1.2, "markersize": 8}
    return axes.errorbar(row["speed_up"], row["psnr"], **spread, fmt=marker, **style)


def draw_front(axes: Any, points: pd.DataFrame) -> list[Any]:
    """A line through the submissions that no other beats in both speed and PSNR; none for a single one."""
    ordered = points.sort_values(["speed_up", "psnr"], ascending=False)
    front = ordered[ordered["psnr"] >= ordered["psnr"].cummax()]
    if len(front) < 2:
        return []
    style = {"color": "#777777", "linewidth": 1, "zorder": 1}
    lines: list[Any] = axes.plot(front["speed_up"], front["psnr"], "--", **style)
    return lines


def label_point(row: dict[Any, Any]) -> str:
    """Rank and name, as on the board."""
    name = str(row["submission"])
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
    return f"{'-' if pd.isna(row['rank']) else format(row['rank'], '.0f')}  {short}"


def set_axes(axes: Any, points: pd.DataFrame, board: Board) -> None:
    """Scales, ticks, labels and the title."""
    from matplotlib import ticker

    baseline = board.challenge.baseline.label
    axes.set_xscale("log")
    axes.set_xlim(points["speed_up_low"].min() / 1.5, points["speed_up_high"].max() * 1.5)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel(f"Speed-up: how many times faster than {baseline} (log scale)")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title(f"{board.dataset}, split {board.split}: {board.pair_count} pairs, 95 % intervals", fontsize=10)
    axes.title.set_parse_math(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
