"""The page of the ablation, from its table: Markdown, nothing is measured here."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.published.claims import METRICS, WORDS, Verdict, judge_claims, measure_scatter
from harness.render.cells import EMPTY, escape, format_number, render_table
from reference.ablation_conditions import BASE, OTHER_SEED, PUBLISHED
from reference.losses import PAPER_WEIGHTS

Row = Mapping[Any, Any]

LABELS = {"psnr_db": ("PSNR", "PSNR"), "ms_ssim": ("SSIM", "MS-SSIM"), "niqe": ("NIQE", "NIQE")}
"""What a metric is called in the paper, and here."""
DIGITS = {"psnr_db": 2, "ms_ssim": 4, "niqe": 2}
UNITS = {"psnr_db": " dB", "ms_ssim": "", "niqe": ""}


def render_report(frame: pd.DataFrame) -> str:
    """The whole page, from a table with a row a condition; KeyError where a column is missing."""
    rows = frame.to_dict("records")
    sections = [
        "# Ablation of losses and noise",
        render_introduction(),
        "## Table 5: published and measured",
        render_table([render_values(row) for row in rows], texts=("condition",)),
        f"## Differences from {BASE.title}",
        render_table([*render_differences(rows)] or [{"condition": EMPTY}], texts=("condition",)),
        "## What the paper says of Table 5",
        render_claims(frame),
        "## How this was measured",
        "\n".join(f"- {note}" for note in list_notes(rows)),
    ]
    return "\n\n".join(sections) + "\n"


def render_introduction() -> str:
    """What the page is."""
    return (
        "Table 5 of *Deep Networks for Image-to-Image Translation with Mux and Demux Layers* (Liu, Navarrete "
        "Michelini, Zhu), done again: the normal generator, trained on equal budgets with one thing left out at a "
        "time. `python -m reference.ablation` makes this page. The paper's images are others, and it gives neither the "
        "length of its training nor the widths of its layers, so values cannot be expected to agree; what can be "
        "compared is the differences within a column."
    )


def render_values(row: Row) -> dict[str, str]:
    """A row of Table 5; the run that is not the paper's stands out by its slanted title."""
    title = escape(row["title"])
    cells = {"condition": f"*{title}*" if row["condition"] == OTHER_SEED.name else title}
    for metric, published in METRICS.items():
        names = LABELS[metric]
        cells[f"{names[0]} published"] = format_number(row[published], DIGITS[metric])
        cells[f"{names[1]} measured"] = format_number(row[metric], DIGITS[metric])
    return cells


def render_differences(rows: list[Row]) -> Iterator[dict[str, str]]:
    """Each condition less the full one, with intervals for what is measured."""
    base = find_base(rows)
    for row in rows:
        if row is base:
            continue
        cells = {"condition": render_values(row)["condition"]}
        for metric, published in METRICS.items():
            names = LABELS[metric]
            cells[f"{names[0]} published"] = format_number(row[published] - base[published], DIGITS[metric], sign="+")
            cells[f"{names[1]} measured"] = render_difference(row, metric)
        yield cells


def find_base(rows: list[Row]) -> Row:
    """The row that the others are compared with."""
    return next(row for row in rows if row["condition"] == BASE.name)


def render_difference(row: Row, metric: str) -> str:
    """'-0.31 [-0.45, -0.17]': a difference and its 95 % interval."""
    middle, low, high = (
        format_number(row[f"{metric}_{end}"], DIGITS[metric], sign="+") for end in ("difference", "low", "high")
    )
    return middle if low == EMPTY else f"{middle} [{low}, {high}]"


def render_claims(frame: pd.DataFrame) -> str:
    """The claims with their verdicts, and how these come about."""
    rows, verdicts = frame.set_index("condition"), judge_claims(frame, [c.name for c in PUBLISHED])
    scatter = ", ".join(
        f"{LABELS[metric][1]} {render_margin(measure_scatter(rows, metric), metric, sign='')}" for metric in METRICS
    )
    counts = Counter(verdict.word for verdict in verdicts)
    found = ", ".join(f"{counts[word]} {word}" for word in WORDS if word in counts)
    rule = (
        f"{found}. A claim is **reproduced** where it holds by more than the scatter, **not reproduced** where its "
        "opposite does, and **within the scatter** where the difference is no larger than that. The scatter is what "
        f"the seed alone may do, the far end of the interval in the last row above: {scatter}. Margins say by how much "
        "a claim holds, in the paper and here (below 0: by how much its opposite does). How much is "
        '"a little" or "a lot" is not judged.'
    )
    return "\n\n".join([rule, "\n".join(f"- {render_verdict(verdict)}" for verdict in verdicts)])


def render_verdict(verdict: Verdict) -> str:
    """A claim as a sentence."""
    published, measured = (
        render_margin(margin, verdict.claim.metric) for margin in (verdict.published, verdict.measured)
    )
    return f"{verdict.claim.sentence}: **{verdict.word}** (margin published {published}, measured {measured})."


def render_margin(margin: float, metric: str, *, sign: str = "+") -> str:
    """A difference with its unit."""
    return format_number(margin, DIGITS[metric], sign=sign) + ("" if pd.isna(margin) else UNITS[metric])


def list_notes(rows: list[Row]) -> Iterator[str]:
    """How the numbers came about, in sentences."""
    base = find_base(rows)
    yield from describe_images(rows, base)
    yield from describe_training(rows, base)
    yield (
        f"**Features** of the perceptual and the contextual loss: {join_values(rows, 'features')}. The paper's are "
        "VGG-19's, of a layer that it does not name."
    )
    yield from describe_measures(base)
    machine = ", ".join(
        f"{label}{join_values(rows, name)}"
        for label, name in (("", "cpu"), ("threads a run ", "threads"), ("torch ", "torch"), ("Python ", "python"))
    )
    changes = " with changes" if any(row["git_dirty"] for row in rows) else ""
    commits = join_values(rows, "git_commit", shorten=9)
    yield f"**Machine**: {machine}; device {join_values(rows, 'device')}; commit {commits}{changes}."


def describe_images(rows: list[Row], base: Row) -> Iterator[str]:
    """Which pairs train and which measure."""
    untouched = " The 100 pairs that the leaderboard is about were not touched." if "pirm2018b" in base["data"] else ""
    yield (
        f"**Images**: {join_values(rows, 'data')}. Of each {base['folds']} pairs one is held out (fold {base['fold']}) "
        f"and the others train; {base['pairs']} held-out pairs measure, those with a target of one colour being left "
        f"out.{untouched} The paper measured on DPED's test images, which are not available."
    )


def describe_training(rows: list[Row], base: Row) -> Iterator[str]:
    """Budget and weights of the losses."""
    hours = sum(row["seconds"] for row in rows) / 3600
    yield (
        f"**Budget**: {join_values(rows, 'steps')} steps of {join_values(rows, 'batch_size')} pairs for each, in "
        f"{join_values(rows, 'precision')}; {hours:.1f} hours of one process for all {len(rows)}. The result is the "
        f"averaged weights{' after the last step' if base['select'] == 'last' else ' with the lowest NIQE'}."
    )
    names = [field.name for field in dataclasses.fields(PAPER_WEIGHTS)]
    weights = [describe_weight(name, base[f"loss_{name}"], getattr(PAPER_WEIGHTS, name)) for name in names]
    yield (
        f"**Weights of the losses**: {', '.join(weight for weight in weights if weight)}. Where one is not the paper's "
        "(Table 1), the paper's stands beside it; the perceptual loss depends on the scale of the features. "
        f"Noise channels after each Demux: {base['noise_channels']}."
    )


def describe_weight(name: str, weight: float, published: float) -> str:
    """A weight, and the paper's where that is another; nothing of a loss that neither has."""
    if not weight and not published:
        return ""
    return f"{name.replace('_', ' ')} {weight:g}" + ("" if weight == published else f" (paper {published:g})")


def describe_measures(base: Row) -> Iterator[str]:
    """What the columns are, and their intervals."""
    target = format_number(base["target_niqe"], DIGITS["niqe"])
    yield "**SSIM**: the paper prints only that word; measured is the challenge's MS-SSIM."
    yield (
        "**NIQE** (lower is better) needs many blocks of 96x96 pixels, and a pair has one: it is that of a mosaic of "
        "the outputs' middles, one tile a pair. Compare it within its column only, and with the targets' own: "
        f"{target}."
    )
    yield (
        "**Intervals** are of the difference between two trained networks on the same pairs, and say how much other "
        "pairs could change it: 95 %, by bootstrap over the pairs for PSNR and MS-SSIM, by jackknife over 20 groups of "
        "pairs for NIQE. What another training could change they do not say. The other seed does, but it is one draw: "
        "the scatter is roughly known only."
    )


def join_values(rows: list[Row], name: str, *, shorten: int | None = None) -> str:
    """The different values of a column, usually one."""
    return " or ".join(dict.fromkeys(escape(str(row[name]))[:shorten] for row in rows))
