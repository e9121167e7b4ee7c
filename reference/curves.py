"""Plot the logs of training runs: python -m reference.curves DIR... --out FILE.svg (or .png, .pdf).

DIR is the folder of a run; a log that was copied from one, NAME.csv with its run.json as NAME.json, does as well.
A panel for each quantity that a run has logged, against steps; a colour for each run. Losses are as the log has them:
means over the training batches since the row before, without their weights.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from reference.command import run_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {
    "psnr_db": "Validation: PSNR (dB)",
    "ms_ssim": "Validation: MS-SSIM",
    "niqe": "Validation: NIQE of the mosaic",
    "loss_l1": "Loss: L1 (luma weights)",
    "loss_ms_ssim": "Loss: 1 - MS-SSIM",
    "loss_psnr": "Loss: -PSNR (dB)",
    "loss_color": "Loss: colour",
    "loss_total_variation": "Loss: total variation",
    "loss_adversarial": "Loss: adversarial",
    "loss_perceptual": "Loss: perceptual",
    "loss_contextual": "Loss: contextual",
    "loss_discriminator": "Discriminator: loss",
    "discriminator_accuracy": "Discriminator: accuracy",
}
"""Panels in this order; a quantity that is not here comes after them."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart (without yellow, too faint on white)."""
MEASURED = ("psnr_db", "ms_ssim", "niqe")
"""Quantities of the validated weights, where those that were selected are marked."""
DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Where a format would write down the time."""
COLUMNS = 3
GREY = "#777777"


@dataclass(frozen=True)
class Log:
    """A run's log, with a column for each quantity, by step; and what its run.json states."""

    name: str
    frame: pd.DataFrame
    facts: dict[str, Any]


def read_log(place: Path) -> Log:
    """The log of a run's folder, or NAME.csv; ValueError where there is none, or it is damaged."""
    copied = place.suffix == ".csv"
    path, facts = (place, place.with_suffix(".json")) if copied else (place / "log.csv", place / "run.json")
    try:
        frame = pd.read_csv(path, index_col="step").drop(columns="seconds", errors="ignore").astype(float)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path} as the log of a training run ({error})") from error
    if frame.dropna(axis="columns", how="all").empty:
        raise ValueError(f"{path} holds nothing to plot")
    name = place.stem if copied else place.resolve().name
    return Log(name, frame.dropna(axis="columns", how="all"), read_facts(facts))


def read_facts(path: Path) -> dict[str, Any]:
    """What run.json states; nothing where there is none."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_curves(places: list[Path], path: Path) -> None:
    """Plot the logs of runs into a file, whose ending says its format; ValueError where that cannot be done.

    The same logs give the same bytes.
    """
    from matplotlib import rc_context, rcdefaults, rcParams

    logs = [read_log(place) for place in places]
    with rc_context():
        rcdefaults()  # whatever the user's own style is
        rcParams["svg.hashsalt"] = path.name  # instead of random names within the file
        try:
            draw_curves(logs).savefig(path, metadata=DATES.get(path.suffix))
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot write {path} ({error})") from error


def draw_curves(logs: list[Log]) -> "Figure":
    """The panels as a matplotlib figure."""
    from matplotlib.figure import Figure

    names = list_quantities(logs)
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(0.6 + 3.6 * columns, 0.6 + 2.4 * rows), dpi=150, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, name in zip(panels, names, strict=False):
        draw_panel(axes, name, logs)
        axes.set_xlim(0, 1.03 * max(log.frame.index.max() for log in logs))  # the same everywhere
    for axes in panels[len(names) :]:
        axes.remove()
    figure.supxlabel("Steps", fontsize=10)
    add_legend(figure, logs)
    return figure


def list_quantities(logs: list[Log]) -> list[str]:
    """What any of the runs has logged, in the order of LABELS."""
    logged = {name for log in logs for name in log.frame}
    return [name for name in LABELS if name in logged] + sorted(logged - set(LABELS))


def draw_panel(axes: "Axes", name: str, logs: list[Log]) -> None:
    """One quantity of all runs; dotted, what the targets themselves have of it."""
    for number, log in enumerate(logs):
        if name not in log.frame:
            continue
        values, selected = log.frame[name].dropna(), log.facts.get("selected_step")
        axes.plot(values.index, values, marker="." if len(values) <= 40 else "", **style_run(number))
        if name in MEASURED and selected in values.index:
            axes.plot(selected, values[selected], **style_selected(number))
        target = log.facts.get(f"target_{name}")
        if target is not None:
            axes.axhline(target, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
    axes.set_title(LABELS.get(name, name), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def style_run(number: int) -> dict[str, Any]:
    """A colour of its own for each of the first seven runs, then dashed ones."""
    linestyle = ("-", "--", "-.")[number // len(COLOURS) % 3]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": linestyle, "linewidth": 1.5, "markersize": 5}


def style_selected(number: int) -> dict[str, Any]:
    """A ring."""
    colour = COLOURS[number % len(COLOURS)]
    return {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": colour, "linestyle": ""}


def add_legend(figure: "Figure", logs: list[Log]) -> None:
    """The runs, and what rings and dotted lines mean where there are some."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=log.name, **style_run(number)) for number, log in enumerate(logs)]
    if any(log.facts.get("selected_step") is not None and set(MEASURED) & set(log.frame) for log in logs):
        handles.append(Line2D([], [], **style_selected(6), label="selected weights"))
    if any(log.facts.get("target_niqe") is not None for log in logs):
        handles.append(Line2D([], [], color=GREY, linestyle=":", label="the targets themselves"))
    legend = figure.legend(
        handles=handles, loc="outside upper center", ncols=min(6, len(handles)), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a $


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reference.curves", description="Plot the logs of training runs.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="the folder of a run, or a copied log")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the figure: .svg, .png or .pdf")
    options = parser.parse_args(arguments)

    def draw() -> None:
        write_curves(options.folders, options.out)
        print(options.out)

    return run_command(draw)


if __name__ == "__main__":
    raise SystemExit(main())
