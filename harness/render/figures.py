"""Figures of the leaderboard, drawn with matplotlib."""

import io
from typing import Any

import pandas as pd

from harness.challenge import Challenge
from harness.leaderboard import Board

AXES = {"x": "speed_up", "y": "psnr"}
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def render_speed_quality(board: Board, challenge: Challenge) -> bytes | None:
    """PSNR against speed-up with 95 % intervals, as PNG; None where nothing has both."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    frame = board.frame.dropna(subset=["psnr", "speed_up"])
    if frame.empty:
        return None
    figure, axes = plt.subplots(figsize=(8, 4.6), dpi=150, layout="constrained")
    spread = {axis: [frame[n] - frame[f"{n}_low"], frame[f"{n}_high"] - frame[n]] for axis, n in AXES.items()}
    axes.errorbar(
        frame["speed_up"], frame["psnr"], xerr=spread["x"], yerr=spread["y"], fmt="o", color="#0072b2", ecolor="#9cc4de"
    )
    for row in frame.itertuples():
        axes.annotate(str(row.submission), (row.speed_up, row.psnr), xytext=(7, 6), textcoords="offset points")
    draw_front(axes, frame)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    low, high = frame["speed_up"].min(), frame["speed_up"].max()
    axes.set_xticks([tick for tick in TICKS if 0.6 * low < tick < 1.7 * high])
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(f"Speed relative to {challenge.baseline.label} in the same run (right is faster)")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title(
        f"{board.dataset}, split {board.split}: {board.pair_count} pairs; bars are 95 % intervals", fontsize=10
    )
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def draw_front(axes: Any, frame: pd.DataFrame) -> None:
    """A line through the submissions that no other beats in both speed and PSNR."""
    ordered = frame.sort_values("speed_up", ascending=False)
    front = ordered[ordered["psnr"] >= ordered["psnr"].cummax()]
    style = {"color": "#d55e00", "linewidth": 1, "zorder": 1}
    axes.plot(front["speed_up"], front["psnr"], "--", label="not beaten in both", **style)
