"""Figures of the leaderboard, drawn with matplotlib."""

import io
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from harness.boards import Board
from harness.render.cells import head_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["png", "svg"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SCORES = "figures/scores"
SPEED_QUALITY = "figures/speed_quality"
PERCEPTION_DISTORTION = "figures/perception_distortion"
MEMORY_TIME = "figures/memory_time"
"""Where the figures lie beside the leaderboard, each as .png and .svg."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart (without yellow, too faint on white)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LONGEST_NAME = 24
MOST_SHOWN = 40
"""Of more submissions only the best ones are drawn: their names would not fit, nor their shapes differ."""


@dataclass(frozen=True)
class Side:
    """One axis of a plane: a column of the frame in units of `divisor`."""

    column: str
    label: str
    higher_is_better: bool
    log: bool = False
    divisor: float = 1


@dataclass(frozen=True)
class Plane:
    """Two figures of each submission against each other, with the front of those that none beats in both."""

    x: Side
    y: Side
    front: str

    def select(self, board: Board) -> pd.DataFrame:
        """The best rows that have both, highest first."""
        columns = [self.x.column, self.y.column]
        if not set(columns) <= set(board.frame):
            return board.frame.head(0)
        best = board.frame.dropna(subset=columns).head(MOST_SHOWN)
        return best.sort_values([self.y.column, "submission"], ascending=[False, True])

    def find_front(self, points: pd.DataFrame) -> pd.DataFrame:
        """Those of some rows, which have both figures, that no other beats in both."""
        x, y = self.x, self.y
        ordered = points.sort_values([x.column, y.column], ascending=[not x.higher_is_better, not y.higher_is_better])
        values = ordered[y.column] if y.higher_is_better else -ordered[y.column]
        return ordered[values >= values.cummax()]


def list_planes(board: Board) -> dict[str, Plane]:
    """The planes by the place of their figures; the baseline gives the speed-up its meaning."""
    baseline = board.challenge.baseline.label
    speed_up = Side("speed_up", f"Speed-up: how many times faster than {baseline} (log scale)", True, log=True)
    psnr, niqe = Side("psnr", "PSNR (dB)", True), Side("niqe", "NIQE (lower is better)", False)
    time = Side("time", "Time for one photo (ms, log scale)", False, log=True)
    memory = Side("peak_bytes", "Peak RAM (MB)", False, divisor=1e6)
    return {
        SPEED_QUALITY: Plane(speed_up, psnr, "beaten by none in both\nspeed and PSNR"),
        PERCEPTION_DISTORTION: Plane(psnr, niqe, "beaten by none in both\nPSNR and NIQE"),
        MEMORY_TIME: Plane(time, memory, "beaten by none in both\ntime and RAM"),
    }


def select_scored(board: Board) -> pd.DataFrame:
    """The best rows that have scores, in the board's order."""
    return board.frame.dropna(subset=list(board.phase.scores)).head(MOST_SHOWN)


def list_figures(board: Board) -> "dict[str, Callable[[], Figure]]":
    """How to draw each figure that has something to show, by its place; those of the first page first."""
    figures: dict[str, Callable[[], Figure]] = {}
    if not select_scored(board).empty:
        figures[SCORES] = partial(draw_scores, board)
    for place, plane in list_planes(board).items():
        if not plane.select(board).empty:
            figures[place] = partial(draw_plane, board, plane)
    return figures


def render_figures(board: Board) -> dict[str, bytes]:
    """Every figure that has something to show, as PNG and SVG, by its place beside the leaderboard."""
    drawn = {place: encode(draw) for place, draw in list_figures(board).items()}
    return {f"{place}.{kind}": content for place, files in drawn.items() for kind, content in files.items()}


def encode(draw: "Callable[[], Figure]") -> dict[Kind, bytes]:
    """A figure's files, the same bytes each time."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it may keep its cache is nobody's concern here
    from matplotlib import rc_context, style

    # whatever the user's own style is; names of parts in SVG are random without a salt
    with style.context("default"), rc_context({"svg.hashsalt": "harness"}):
        figure = draw()
        return {kind: save(figure, kind) for kind in KINDS}


def save(figure: "Figure", kind: Kind) -> bytes:
    """One of a figure's files, without the time and the program that made it."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format=kind, metadata={"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    )
    return buffer.getvalue()


def draw_plane(board: Board, plane: Plane) -> "Figure":
    """Submissions in a plane with 95 % intervals; there must be something to draw."""
    from matplotlib.figure import Figure

    points = plane.select(board)
    figure = Figure(figsize=(8, max(4.4, 1.2 + 0.24 * len(points))), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    rows = points.to_dict("records")
    # by their place on the board, so that a submission looks the same in every figure
    handles = [draw_point(axes, row, plane, place) for place, row in zip(points.index, rows, strict=True)]
    handles += draw_front(axes, points, plane)
    labels = [*map(label_point, rows), plane.front]
    set_axes(axes, points, plane)
    axes.set_title(describe_board(board, len(points)), fontsize=10).set_parse_math(False)
    # beside the axes, in the order of the points from top to bottom: names cannot collide there
    legend = figure.legend(handles, labels[: len(handles)], title="rank, submission", loc="outside right center")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a $
    return figure


def describe_board(board: Board, shown: int) -> str:
    """What a figure is of."""
    part = "" if shown == len(board.frame) else f"; {shown} of {len(board.frame):,} submissions"
    return f"{board.dataset}, split {board.split}: {board.pair_count} pairs, 95 % intervals{part}"


def draw_point(axes: Any, row: dict[Any, Any], plane: Plane, place: int) -> Any:
    """One submission with its intervals, as far as it has any, in a colour and shape of its own."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    spread = {}
    for axis, side in (("xerr", plane.x), ("yerr", plane.y)):
        value, low, high = (row.get(f"{side.column}{end}", math.nan) for end in ("", "_low", "_high"))
        if not pd.isna(low):
            spread[axis] = measure_arms([value], [low], [high]) / side.divisor
    style = {"color": colour, "ecolor": (colour, 0.45), "elinewidth": 1.2, "markersize": 8}
    point = (row[side.column] / side.divisor for side in (plane.x, plane.y))
    return axes.errorbar(*point, **spread, fmt=marker, **style)


def measure_arms(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """How far intervals reach down and up (2, N); where all images have one value, rounding makes them no shorter."""
    return np.maximum([np.subtract(values, low), np.subtract(high, values)], 0)


def draw_front(axes: Any, points: pd.DataFrame, plane: Plane) -> list[Any]:
    """A line through the submissions that no other beats in both; none for a single one."""
    x, y, front = plane.x, plane.y, plane.find_front(points)
    if len(front) < 2:
        return []
    style = {"color": "#777777", "linewidth": 1, "zorder": 1}
    lines: list[Any] = axes.plot(front[x.column] / x.divisor, front[y.column] / y.divisor, "--", **style)
    return lines


def label_point(row: dict[Any, Any]) -> str:
    """Rank and name, as on the board."""
    name = str(row["submission"])
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
    return f"{'-' if pd.isna(row['rank']) else format(row['rank'], '.0f')}  {short}"


def set_axes(axes: Any, points: pd.DataFrame, plane: Plane) -> None:
    """Scales, ticks and labels; the better end of an axis is said."""
    from matplotlib import ticker

    if plane.x.log:
        column = plane.x.column
        axes.set_xscale("log")
        axes.set_xlim(points[f"{column}_low"].min() / 1.5, points[f"{column}_high"].max() * 1.5)
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel(plane.x.label).set_parse_math(False)
    axes.set_ylabel(plane.y.label)
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
        spread = measure_arms(*(scored[f"{score}{end}"] for end in ("", "_low", "_high")))
        axes.errorbar(scored[score], places, xerr=spread, fmt="o", color=COLOURS[0], elinewidth=1.4, markersize=5)
        axes.set_xlabel(head_score(score, board.phase)).set_parse_math(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        shade_ranks(axes, rows)
    panels[0].set_yticks(places, [label_point(row) for row in rows])
    for text in panels[0].get_yticklabels():
        text.set_parse_math(False)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(describe_board(board, len(rows)), fontsize=10).set_parse_math(False)
    return figure


def shade_ranks(axes: Any, rows: Sequence[dict[Any, Any]]) -> None:
    """A band behind every second rank, so that those which share one stand together."""
    ranks = list(dict.fromkeys(row["rank"] for row in rows))
    for number, row in enumerate(rows):
        if ranks.index(row["rank"]) % 2 == 0:
            axes.axhspan(number - 0.5, number + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
