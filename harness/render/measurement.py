"""reports/leaderboard.md, the measurement: times in full, what is odd about a submission, how cost is measured."""

from collections.abc import Iterable, Sequence

from harness.boards import Board, summarise_timing
from harness.flags import find_flags, find_twins
from harness.formats import CODE
from harness.records import Record, Timing
from harness.render.cells import Row, escape, format_estimate, format_number, render_table
from harness.statistics import NOISY


def render_times(records: Sequence[Record]) -> str:
    """Load, first call and steady state of each submission, wall and CPU time."""
    rows = [render_time(record.submission.name, summarise_timing(record.timing)) for record in records if record.timing]
    return f"## Time in full\n\n{render_table(rows, texts=('Submission', 'Device', 'Remark'))}" if rows else ""


def render_time(name: str, row: Row) -> dict[str, str]:
    """Cells of one submission's times."""
    return {
        "Submission": escape(name),
        "Load (ms)": format_number(row["load"], 0),
        "First call (ms)": format_number(row["first"], 1),
        "Steady state (ms)": format_estimate(row, "time", 1),
        "CPU time (ms)": format_number(row["cpu_time"], 1),
        "Speed-up": format_estimate(row, "speed_up", 3),
        "Interval": f"{row['width']:.2%}",
        "Speed-up by CPU time": format_number(row["cpu_speed_up"], 3),
        "Pairs": str(row["blocks"]),
        "Device": f"{escape(row['device'])}, {row['threads']} threads",
        "Remark": f"noisy: interval of {row['width']:.2%}" if row["noisy"] else "",
    }


def render_remarks(records: Sequence[Record]) -> str:
    """What a reader should know of some submissions before trusting their figures."""
    lines = [
        *(f"**{escape(r.submission.name)}** {escape(remark)}." for r in records for remark in list_remarks(r)),
        *(escape(sentence) for sentence in find_twins(records)),
    ]
    return "## Remarks\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def list_remarks(record: Record) -> list[str]:
    """Flags, and what a submission declares of itself."""
    submission = record.submission
    remarks = list(find_flags(record))
    if record.quality is None:
        return remarks
    if submission.seed is not None:
        remarks.append(f"draws random numbers from the seed {submission.seed} that it declares, anew in every run")
    if submission.draws > 1:
        remarks.append(
            f"draws random numbers: each value is the mean over {submission.draws} outputs, and no timed output "
            "could be held against another one"
        )
    if submission.runtime in CODE:
        remarks.append(f"is a program ({submission.runtime}), run with --allow-code")
    return remarks


def describe_cost(board: Board, records: Sequence[Record]) -> Iterable[str]:
    """Time, memory and size."""
    baseline, limits = escape(board.challenge.baseline.label), board.challenge.limits
    timings = [record.timing for record in records if record.timing]
    yield (
        f"**Time**: {describe_setting(timings)}. Submission and {baseline} run in turn in a pair of fresh processes, "
        "several times over: the median in each process, then the geometric mean. "
        f"{describe_blocks(timings)} Every timed output is held against that of an independent run; no process sees a "
        "picture twice."
    )
    yield (
        f"**Speed-up**: {baseline}'s time in the same minutes divided by the submission's; above 1 is faster than "
        f"{baseline}. The {baseline} that runs beside each submission has random weights, which do not change its "
        "speed; a submission of the same network should come out at 1, and how far it does not is the noise of the "
        "measurement. Only this ratio carries over to other machines."
    )
    yield (
        "**Peak RAM**: the most memory that the model's process held while it enhanced the photos, and what it held "
        "once the model was loaded, as the kernel counts it (VmHWM). "
        f"{limits.memory_bytes / 1e9:g} GB are allowed, and {limits.model_bytes / 1e6:g} MB for the model's file."
    )
    size = board.challenge.counted_size
    yield (
        "**Multiply-adds**: of convolutions and matrix products for one photo of "
        f"{size.width_px}x{size.height_px}; unknown where the graph has an "
        "operator that the counter does not know. One multiply-add counts as one."
    )


def describe_blocks(timings: Sequence[Timing]) -> str:
    """On how many pairs of processes the intervals of time rest."""
    counts = sorted({len(timing.samples_ns) for timing in timings})
    if not counts:
        return ""
    pairs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Here there were {pairs} pairs for each: pairs are added until the 95 % interval of the speed-up is narrower "
        f"than {NOISY:.0%} of it, or a time budget ends; the submission is then marked noisy."
    )


def describe_setting(timings: Sequence[Timing]) -> str:
    """What is timed, as the records say it."""
    if not timings:
        return "not measured here"
    sizes, threads = (
        " or ".join(sorted(set(values)))
        for values in ((f"{t.width_px}x{t.height_px}" for t in timings), (str(t.threads) for t in timings))
    )
    return f"one photo of {sizes} on {threads} CPU threads"
