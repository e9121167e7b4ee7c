"""reports/leaderboard.md: boards and records as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.challenge import Challenge
from harness.leaderboard import Board
from harness.records import Record

FIGURE = "figures/speed_quality.png"

Row = Mapping[Any, Any]


def render_leaderboard(
    boards: Sequence[Board], records: Sequence[Record], challenge: Challenge, *, with_figure: bool
) -> str:
    """The whole page; the first board is the main one."""
    parts = [f"# Leaderboard: {challenge.title}", render_summary(boards, challenge)]
    if with_figure:
        parts.append(f"![Speed against PSNR of every submission]({FIGURE})")
    parts += [render_board(board) for board in boards]
    parts += [render_failures(records), render_runs(records), render_method(boards, records, challenge)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_summary(boards: Sequence[Board], challenge: Challenge) -> str:
    """What the page shows, in a paragraph."""
    if not boards:
        return "No submission has a result yet: `python -m harness run submissions/NAME` makes one."
    board = boards[0]
    first = next(iter(board.phase.scores))
    return (
        f"Ranked by Score {first} of the {board.phase.label} of [{challenge.name}]({challenge.url}), on the dataset "
        f"**{board.dataset}**. {board.dataset_note}\n\nAll figures are measured here, except MOS (est.), which is "
        "estimated from NIQE. Brackets hold 95 % intervals. The published figures stand in [tables.md](tables.md)."
    )


def render_board(board: Board) -> str:
    """One split's table."""
    trained = "pairs that no submission here was trained on" if board.split == "test" else "pairs"
    heading = f"## Split `{board.split}`: {board.pair_count} {trained}"
    table: str = pd.DataFrame(render_rows(board)).to_markdown(index=False, disable_numparse=True)
    return f"{heading}\n\n{table}"


def render_rows(board: Board) -> list[dict[str, str]]:
    """Every row's cells by column heading."""
    rows = board.frame.itertuples(index=False)
    return [render_row(dict(zip(board.frame, row, strict=True)), board) for row in rows]


def render_row(row: Row, board: Board) -> dict[str, str]:
    """A row's figures with the digits that their intervals deserve."""
    cells = {
        "Rank": "-" if is_missing(row["rank"]) else f"{row['rank']:.0f}",
        "Submission": f"{row['submission']}",
        "PSNR (dB)": show(row, "psnr", "{:.2f}") + (f" ({row['infinite']} inf)" if row["infinite"] else ""),
        "MS-SSIM": show(row, "ms_ssim", "{:.4f}"),
        "NIQE": show(row, "niqe", "{:.2f}"),
        "MOS (est.)": show(row, "mos", "{:.1f}"),
        "Time (ms)": show(row, "time", "{:.0f}"),
        "Speed-up": show(row, "speed_up", "{:.2f}"),
        "Peak RAM (MB)": scale(row["peak_bytes"], 1e6, "{:.0f}"),
        "Model (MB)": scale(row["model_bytes"], 1e6, "{:.2f}"),
        "Multiply-adds (G)": scale(row["multiply_adds"], 1e9, "{:.1f}", missing="unknown"),
    }
    cells |= {f"Score {name}": show(row, name, "{:.2f}") for name in board.phase.scores}
    return cells | {"Status": str(row["status"])}


def show(row: Row, name: str, pattern: str) -> str:
    """'22.61 [22.10, 23.12]', or a dash for what was not measured."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if is_missing(value):
        return "-"
    return f"{pattern.format(value)} [{pattern.format(low)}, {pattern.format(high)}]"


def scale(value: object, unit: float, pattern: str, missing: str = "-") -> str:
    """A count in a larger unit."""
    return missing if is_missing(value) or not isinstance(value, int | float) else pattern.format(value / unit)


def is_missing(value: object) -> bool:
    """Whether a cell holds no figure."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def render_failures(records: Sequence[Record]) -> str:
    """Submissions without a result, each with its reason."""
    rows = [
        {
            "Submission": r.submission.name,
            "Status": r.status,
            "Stage": r.failure.stage,
            "Reason": escape(r.failure.message),
        }
        for r in records
        if r.failure is not None
    ]
    if not rows:
        return ""
    table: str = pd.DataFrame(rows).replace("unavailable", "weights not available here").to_markdown(index=False)
    return f"## Not ranked\n\n{table}"


def escape(text: str) -> str:
    """Text of a submission's making, harmless in a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def render_runs(records: Sequence[Record]) -> str:
    """Where and when each record was made."""
    rows = [
        {
            "Submission": r.submission.name,
            "Trained on": escape(r.submission.trained_on),
            "Model sha256": r.submission.sha256[:12] or "-",
            "Started (UTC)": r.environment.started_utc.replace("+00:00", ""),
            "Commit": (r.environment.git_commit[:9] + (" + changes" if r.environment.git_dirty else "")) or "-",
            "Machine": f"{r.environment.cpu_model}, {r.environment.cpu_count} CPUs, {r.environment.os}",
            "ONNX Runtime": r.environment.packages.get("onnxruntime", "-"),
        }
        for r in records
    ]
    return f"## Runs\n\n{pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)}" if rows else ""


def render_method(boards: Sequence[Board], records: Sequence[Record], challenge: Challenge) -> str:
    """How each number is made."""
    if not boards:
        return ""
    board, speed = boards[0], challenge.speed
    threads = sorted({record.timing.threads for record in records if record.timing})
    formulas = "\n".join(f"  - Score {name} = `{formula}`" for name, formula in board.phase.scores.items())
    pairs = ", ".join(f"{pair.label} {pair.niqe:g} -> {pair.mos:g}" for pair in challenge.mos.pairs)
    size = f"{speed.width_px}x{speed.height_px}"
    return f"""## How each number is made

- **PSNR, MS-SSIM**: mean over the split's pairs, by the challenge's own formulas. An infinite PSNR (output and target
  are the same) counts as {challenge.infinite_psnr_db:g} dB; "(n inf)" says how often that happened.
- **NIQE**: mean over {board.photo_count} photos of {size}, of the output as an 8-bit photo; lower is better.
  With so few photos its interval is rough.
- **MOS (est.)**: a straight line through published pairs of NIQE and MOS ({pairs}),
  made on {challenge.mos.image_set}. {challenge.mos.note}
- **Time**: one {size} photo on {"/".join(map(str, threads)) or "?"} CPU threads; the median of each pair of fresh
  processes, averaged geometrically. **Speed-up**: {challenge.baseline.label}'s time in the same blocks over it;
  only this ratio carries over to other machines.
- **Peak RAM**: the kernel's mark (VmHWM) of the model's process while it enhances photos of {size};
  the limit is {challenge.limits.memory_bytes / 1e9:g} GB.
- **Multiply-adds** at {size}: convolutions and matrix products, one multiply-add counted as one; "unknown" where an
  operator is not known to the counter.
- **Scores**, {board.phase.label}. {board.phase.note} `time` and `baseline_time` are the times above.
{formulas}
- **Intervals**: 95 %, percentile bootstrap (seeded) over images, and over pairs of processes for time; scores carry
  both. A record made on a larger split stands on a smaller board with the smaller board's images only."""
