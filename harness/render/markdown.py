"""reports/leaderboard.md: boards and records as text."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from harness.boards import Board
from harness.challenge import Challenge
from harness.metrics.profiles import find_preparation
from harness.records import Environment, Failure, Record, list_values
from harness.render.cells import (
    EMPTY,
    Row,
    count_digits,
    count_time_digits,
    escape,
    format_estimate,
    format_number,
    head_metric,
    head_score,
    render_table,
)
from harness.render.figures import MEMORY_TIME, PERCEPTION_DISTORTION, SCORES, SPEED_QUALITY, list_figures
from harness.render.measurement import render_remarks, render_times
from harness.render.method import render_method
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
        f"Ranked by **Score {escape(first)}**, {board.phase.better} is better: one number for quality and cost, by the "
        f"rules of {link_challenge(challenge)}, {escape(board.phase.label)}.{describe_qualification(board)} "
        "[How each number is made](#how-each-number-is-made) stands below.\n\n"
        f"- Dataset: **{escape(board.dataset)}**, fingerprint `{board.dataset_sha256[:12]}`. "
        f"{escape(board.dataset_note)}\n"
        "- `22.4 ± 0.5` is a value and half the width of its 95 % interval. ↓ marks a metric of which less is better.\n"
        f"- All figures are measured here{describe_estimates(board)}."
    )


def link_challenge(challenge: Challenge) -> str:
    """A challenge's name, which leads to its page where it has one."""
    return f"[{escape(challenge.name)}]({challenge.url})" if challenge.url else escape(challenge.name)


def describe_qualification(board: Board) -> str:
    """What a submission needs for a rank, as a sentence; nothing where all are ranked."""
    rules = [
        f"{head_metric(bound.metric).removesuffix(' ↓')} of {bound.side} {bound.value:g}"
        for bound in board.challenge.list_bounds(board.phase)
    ]
    return f" Ranked is who has {' and '.join(rules)}." if rules else ""


def describe_estimates(board: Board) -> str:
    """Which figures are none of a measurement."""
    if board.mos_fit is None:
        return ""
    return f", except MOS (est.), a rough estimate from NIQE{describe_scores_kind(board)}"


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
    cells |= {escape(head_score(name, board.phase)): format_estimate(row, name, 2) for name in board.phase.scores}
    cells[f"P(first) by {', '.join(map(escape, board.phase.scores))} (%)"] = " / ".join(
        format_number(row[f"{name}_first"], 1, divisor=0.01) for name in board.phase.scores
    )
    for metric in board.challenge.metrics:
        name = metric.name
        infinite = f" ({row['infinite']} inf)" if name == "psnr" and row["infinite"] else ""
        heading = head_metric(metric.name, lower_is_better=metric.lower_is_better)
        cells[escape(heading)] = format_estimate(row, name, count_digits(name)) + infinite
    if board.mos_fit is not None:
        cells["MOS (est.)"] = format_estimate(row, "mos", 1)
    return cells | {
        "Time (ms)": format_estimate(row, "time", count_time_digits(row["time"])),
        "Speed-up": format_estimate(row, "speed_up", 3),
        "Peak RAM (MB)": render_memory(row),
        "Model (MB)": format_number(row["model_bytes"], 2, divisor=1e6),
        "Multiply-adds (G)": format_number(row["multiply_adds"], 1, divisor=1e9, missing="unknown"),
        "Parameters (k)": format_number(row["parameters"], 0, divisor=1e3),
        "Status": render_status(row),
    }


def render_status(row: Row) -> str:
    """ok, and what to know before trusting the row; the remarks below the boards have the figures."""
    words = {
        "not qualified": not row["qualified"],
        "not timed": pd.isna(row["time"]),
        "noisy": row["noisy"],
        "flagged": row["flagged"],
    }
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
            "Status": describe_status(record, record.failure),
            "Reason": escape(record.failure.message),
        }
        for record in records
        if record.failure is not None
    ]
    return f"## Not ranked\n\n{render_table(rows, texts=tuple(rows[0]))}" if rows else ""


def describe_status(record: Record, failure: Failure) -> str:
    """Where a submission without a result stands."""
    if failure.kind == "not_installed":
        return "not run here"
    if record.status == "unavailable":
        return "weights not available here"
    return f"{record.status} ({escape(failure.stage)}: {escape(failure.kind)})"


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
