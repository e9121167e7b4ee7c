"""reports/leaderboard.md: boards and records as text."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from harness.boards import Board
from harness.challenge import Challenge
from harness.metrics.profiles import find_preparation, find_profile
from harness.records import Environment, Record, list_values
from harness.render.cells import (
    EMPTY,
    Row,
    count_digits,
    count_time_digits,
    escape,
    format_estimate,
    format_number,
    head_metric,
    render_table,
)
from harness.render.figures import MEMORY_TIME, PERCEPTION_DISTORTION, SCORES, SPEED_QUALITY, list_figures
from harness.render.measurement import describe_cost, render_remarks, render_times
from harness.render.order import render_order
from harness.scoring import list_names


def render_leaderboard(boards: Sequence[Board], records: Sequence[Record], challenge: Challenge) -> str:
    """The whole page; the first board is the main one, and the figures are of it."""
    parts = [f"# Leaderboard: {escape(challenge.title)}", render_summary(boards, challenge)]
    for board in boards:
        parts.append(render_board(board))
        if board is boards[0]:
            parts += [*render_figures(board), render_order(board)]
    parts += [
        render_remarks(records),
        render_failures(records),
        *map(render_quality, boards[:1]),
        render_times(records),
    ]
    parts += [*render_method(boards, records), render_runs(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_figures(board: Board) -> Iterable[str]:
    """The two figures that matter most, as far as the board has them, and where the others are."""
    figures = list_figures(board)
    for place, text in ((SCORES, "Scores of every submission"), (SPEED_QUALITY, "Speed-up against PSNR")):
        if place in figures:
            yield f"![{text}, with 95 % intervals]({place}.png)"
    others = {PERCEPTION_DISTORTION: "NIQE against PSNR", MEMORY_TIME: "peak RAM against time"}
    links = [f"[{text}]({place}.png)" for place, text in others.items() if place in figures]
    if links:
        yield f"More figures, each as SVG too: {', '.join(links)}."


def render_summary(boards: Sequence[Board], challenge: Challenge) -> str:
    """What the page shows, in a few lines."""
    if not boards:
        return "No submission has a result yet: `python -m harness run submissions/NAME` makes one."
    board = boards[0]
    first = next(iter(board.phase.scores))
    return (
        f"Ranked by **Score {escape(first)}**, higher is better: one number for quality and speed, by the rules of "
        f"[{escape(challenge.name)}]({challenge.url}), {escape(board.phase.label)}. "
        "[How each number is made](#how-each-number-is-made) stands below; tables.md, which `python -m harness tables` "
        "writes, compares with what was published.\n\n"
        f"- Dataset: **{escape(board.dataset)}**, fingerprint `{board.dataset_sha256[:12]}`. "
        f"{escape(board.dataset_note)}\n"
        "- `22.4 ± 0.5` is a value and half the width of its 95 % interval. ↓ marks a metric of which less is better.\n"
        f"- All figures are measured here, except MOS (est.), a rough estimate from NIQE{describe_scores_kind(board)}."
    )


def describe_scores_kind(board: Board) -> str:
    """What the scores are where they rest on the estimate."""
    estimated = any("mos" in list_names(formula) for formula in board.phase.scores.values())
    return ", **and the scores and ranks, which rest on MOS (est.)**" if estimated else ""


def render_board(board: Board) -> str:
    """One split's table."""
    rows = [render_row(row, board) for row in board.frame.to_dict("records")]
    heading = f"## Split {escape(board.split)}: {board.pair_count} pairs"
    return f"{heading}\n\n{render_table(rows, texts=('Submission', 'Status'))}"


def render_row(row: Row, board: Board) -> dict[str, str]:
    """Every cell by column heading. Scores stand first: a narrow window cuts the table off at its right."""
    cells = {"Rank": format_number(row["rank"], 0), "Submission": escape(str(row["submission"]))}
    cells |= {f"Score {escape(name)}": format_estimate(row, name, 2) for name in board.phase.scores}
    cells[f"P(first) by {', '.join(map(escape, board.phase.scores))} (%)"] = " / ".join(
        format_number(row[f"{name}_first"], 1, divisor=0.01) for name in board.phase.scores
    )
    for metric in board.challenge.metrics:
        name = metric.name
        infinite = f" ({row['infinite']} inf)" if name == "psnr" and row["infinite"] else ""
        heading = head_metric(metric.name, lower_is_better=metric.lower_is_better)
        cells[escape(heading)] = format_estimate(row, name, count_digits(name)) + infinite
    return cells | {
        "MOS (est.)": format_estimate(row, "mos", 1),
        "Time (ms)": format_estimate(row, "time", count_time_digits(row["time"])),
        "Speed-up": format_estimate(row, "speed_up", 3),
        "Peak RAM (MB)": render_memory(row),
        "Model (MB)": format_number(row["model_bytes"], 2, divisor=1e6),
        "Multiply-adds (G)": format_number(row["multiply_adds"], 1, divisor=1e9, missing="unknown"),
        "Status": render_status(row),
    }


def render_status(row: Row) -> str:
    """ok, and what to know before trusting the row; the remarks below the boards have the figures."""
    words = {"not timed": pd.isna(row["time"]), "noisy": row["noisy"], "flagged": row["flagged"]}
    return ", ".join([str(row["status"]), *(word for word, holds in words.items() if holds)])


def render_memory(row: Row) -> str:
    """Peak memory, and how much of it was there once the model was loaded."""
    peak, loaded = (format_number(row[f"{name}_bytes"], 0, divisor=1e6) for name in ("peak", "loaded"))
    return EMPTY if peak == EMPTY else f"{peak} ({loaded} loaded)"


def render_quality(board: Board) -> str:
    """Every metric as the challenge computes it, and as the 8-bit file that would be shipped."""
    rows = []
    for row in board.frame.to_dict("records"):
        cells = {"Submission": escape(str(row["submission"]))}
        for metric in board.challenge.metrics:
            value, companion = list_values(metric.name)
            digits = count_digits(metric.name) + 1
            heading = escape(head_metric(metric.name, lower_is_better=metric.lower_is_better))
            cells[f"{heading}, {escape(metric.profile)}"] = format_estimate(row, value, digits)
            if metric.name == "niqe":
                cells["Flat pixels (%)"] = format_number(row[companion], 2, divisor=0.01)
            elif not find_preparation(metric.profile, metric.name).quantize:
                cells[f"{heading}, as PNG"] = format_estimate(row, companion, digits)
        rows.append(cells)
    return f"## Quality in full\n\n{render_table(rows, texts=('Submission',))}"


def render_failures(records: Sequence[Record]) -> str:
    """Submissions without a result, each with its reason."""
    rows = [
        {
            "Submission": escape(record.submission.name),
            "Status": "weights not available here"
            if record.status == "unavailable"
            else f"{record.status} ({escape(record.failure.stage)}: {escape(record.failure.kind)})",
            "Reason": escape(record.failure.message),
        }
        for record in records
        if record.failure is not None
    ]
    return f"## Not ranked\n\n{render_table(rows, texts=tuple(rows[0]))}" if rows else ""


def render_runs(records: Sequence[Record]) -> str:
    """Where, when and from which commit each record was made."""
    rows = [
        {
            "Submission": escape(record.submission.name),
            "Title": escape(record.submission.title) or EMPTY,
            "Trained on": escape(record.submission.trained_on) or EMPTY,
            "Model sha256": escape(record.submission.sha256[:12]) or EMPTY,
            **render_environment(record.environment),
            "Isolation": escape(name_missing(record.isolation)),
        }
        for record in records
    ]
    return f"## Runs\n\n{render_table(rows, texts=tuple(rows[0]))}" if rows else ""


def name_missing(layers: Mapping[str, str]) -> str:
    """The layers of isolation that were off."""
    off = [name for name, state in layers.items() if state != "on"]
    return f"without {', '.join(off)}" if off else "whole" if layers else EMPTY


def render_environment(environment: Environment) -> dict[str, str]:
    """Cells of a run: time, code and machine."""
    changes = " with changes" if environment.git_dirty else ""
    machine = f"{environment.cpu_model}, {environment.cpu_count} CPUs, {environment.os}"
    return {
        "Started (UTC)": escape(environment.started_utc.removesuffix("+00:00").replace("T", " ")),
        "Commit": f"{escape(environment.git_commit[:9])}{changes}" if environment.git_commit else EMPTY,
        "Machine": escape(machine),
        "Python": escape(environment.python),
        "ONNX Runtime": escape(environment.packages.get("onnxruntime", EMPTY)),
    }


def render_method(boards: Sequence[Board], records: Sequence[Record]) -> Iterable[str]:
    """How each number is made, for the boards' own challenge and phase."""
    if not boards:
        return
    yield "## How each number is made"
    yield "\n".join(
        f"- {item}"
        for item in (describe_scores(boards[0]), *describe_quality(boards[0]), *describe_cost(boards[0], records))
    )


def describe_scores(board: Board) -> str:
    """The formulas, and where they come from."""
    formulas = "\n".join(f"  - Score {escape(name)} = `{formula}`" for name, formula in board.phase.scores.items())
    return (
        f"**Scores**, {escape(board.phase.label)}. {escape(board.phase.note)} `time` is the submission's time and "
        f"`baseline_time` that of {escape(board.challenge.baseline.label)}; a submission that was not timed has no "
        f"score and no rank.\n{formulas}"
    )


def describe_quality(board: Board) -> Iterable[str]:
    """Splits, intervals and the metrics."""
    challenge, fit = board.challenge, board.mos_fit
    yield (
        "**Splits**: a submission is only evaluated on pairs that it was not trained on, as it declares. One that was "
        "evaluated on a larger split also stands on a smaller one inside it, with that one's pairs only."
    )
    yield (
        "**Intervals**: seeded percentile bootstrap over images, and over pairs of processes for times; scores carry "
        "both. They say how much other images could change a value. All submissions see the same images, so a "
        "difference between two is more certain than their intervals suggest. A single image gives no interval: ± 0 "
        "then means that nothing is known."
    )
    first = escape(next(iter(board.phase.scores)))
    yield (
        f"**Ranks**, by Score {first}: a submission shares the rank of the best one of that rank unless the data tell "
        "the two apart: on the same resampled images for both, the better one has the higher score in more than 97.5 % "
        "of the resamples. The last of a rank may be as close to the first of the next one. "
        f"**P(first)** says in how many its Score {first} is the highest of all; ties are shared "
        "equally. Copies of one file are one model, with the times of all of them."
    )
    yield (
        "**PSNR**, **MS-SSIM** and other metrics with a target: the mean over the split's pairs. An infinite PSNR "
        f"(output and target are the same) counts as {challenge.infinite_psnr_db:g} "
        'dB; "(4 inf)" says that this happened four times. "As PNG" is the same metric of the output as it would be '
        "shipped: clipped, and rounded to 8 bits."
    )
    if any(metric.name == "niqe" for metric in challenge.metrics):
        yield (
            f"**NIQE**: the mean over {board.photo_count} photos; it judges the output alone, as an 8-bit photo. "
            "No photo is held out: a submission may have been trained on them. In flat regions its definition rests on "
            "rounding noise, which counts as just below the mean here; the share of such pixels is given."
        )
    for name in dict.fromkeys(metric.profile for metric in challenge.metrics):
        profile = find_profile(name)
        names = " and ".join(metric.name for metric in challenge.metrics if metric.profile == name)
        yield f"Profile **{name}** ({escape(names)}): {profile.note} [Source]({profile.source_url})."
    if board.extras:
        yield describe_extras(board)
    low, high = (choose(pair.niqe for pair in challenge.mos.pairs) for choose in (min, max))
    pairs = ", ".join(f"{escape(pair.label)} {pair.niqe:g} and {pair.mos:g}" for pair in challenge.mos.pairs)
    line = f"{fit.intercept:.2f} {'-' if fit.slope < 0 else '+'} {abs(fit.slope):.3f} x NIQE"
    yield (
        f"**MOS (est.)**: nobody was asked for an opinion on these outputs. MOS = {line} is the straight line through "
        f"the pairs of NIQE and MOS ({pairs}) on {escape(challenge.mos.image_set)}. "
        f"Outside NIQE {low:.2f} to {high:.2f} it is an extrapolation. {escape(challenge.mos.note)}"
    )
