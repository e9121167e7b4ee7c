"""Figures of the leaderboard, drawn with matplotlib."""

import io
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from harness.boards import Board

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPEED_QUALITY, SCORES = "figures/speed_quality", "figures/scores"
"""Where the figures lie beside the leaderboard, each as .png and .svg."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart (without yellow, too faint on white)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LONGEST_NAME = 24


def select_points(board: Board) -> pd.DataFrame:
    """The rows that can be drawn, those with both PSNR and speed-up, best PSNR first."""
    if "psnr" not in board.frame:
        return board.frame.head(0)
    return board.frame.dropna(subset=["psnr", "speed_up"]).sort_values(["psnr", "submission"], ascending=[False, True])


def select_scored(board: Board) -> pd.DataFrame:
    """The rows that have scores, in the board's order."""
    return board.frame.dropna(subset=list(board.phase.scores))


def render_figures(board: Board) -> dict[str, bytes]:
    """Every figure that has something to show, as PNG and SVG, by its place beside the leaderboard."""
    drawn = {}
    if not select_points(board).empty:
        drawn[SPEED_QUALITY] = draw_speed_quality
    if not select_scored(board).empty:
        drawn[SCORES] = draw_scores
    return {f"{place}.{kind}": encode(draw, board, kind) for place, draw in drawn.items() for kind in ("png", "svg")}


def encode(draw: "Callable[[Board], Figure]", board: Board, kind: Literal["png", "svg"]) -> bytes:
    """A figure's file, the same bytes each time."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it may keep its cache is nobody's concern here
    from matplotlib import rc_context, style

    buffer = io.BytesIO()
    # whatever the user's own style is; names of parts in SVG are random without a salt
    with style.context("default"), rc_context({"svg.hashsalt": "harness"}):
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        draw(board).savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def draw_speed_quality(board: Board) -> "Figure":
    """PSNR against speed-up with 95 % intervals; there must be something to draw."""
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


def draw_scores(board: Board) -> "Figure":
    """Each score with its 95 % interval, a row for each submission, best first; there must be something to draw."""
    from matplotlib.figure import Figure

    scored = select_scored(board)
    rows = scored.to_dict("records")
    places = range(len(rows))
    figure = Figure(figsize=(8, 1.3 + 0.26 * len(rows)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(board.phase.scores), sharey=True, squeeze=False)[0]
    for axes, score in zip(panels, board.phase.scores, strict=True):
        spread = [scored[score] - scored[f"{score}_low"], scored[f"{score}_high"] - scored[score]]
        axes.errorbar(scored[score], places, xerr=spread, fmt="o", color=COLOURS[0], elinewidth=1.4, markersize=5)
        axes.set_xlabel(f"Score {score}").set_parse_math(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        shade_ranks(axes, rows)
    panels[0].set_yticks(places, [label_point(row) for row in rows])
    for text in panels[0].get_yticklabels():
        text.set_parse_math(False)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    title = f"{board.dataset}, split {board.split}: rank, submission, and 95 % intervals over images and times"
    figure.suptitle(title, fontsize=10).set_parse_math(False)
    return figure


def shade_ranks(axes: Any, rows: Sequence[dict[Any, Any]]) -> None:
    """A band behind every second rank, so that those which share one stand together."""
    ranks = list(dict.fromkeys(row["rank"] for row in rows))
    for number, row in enumerate(rows):
        if ranks.index(row["rank"]) % 2 == 0:
            axes.axhspan(number - 0.5, number + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
