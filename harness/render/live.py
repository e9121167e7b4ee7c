"""Progress on a terminal: a line a submission, as many as there is room for, then counts and the time left."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.additions import extend_challenge
from harness.challenge import Challenge
from harness.estimates import average_quality
from harness.forecast import Forecast, Line
from harness.progress import AUDIT, TIME, Step
from harness.records import Record
from harness.render.cells import count_digits, count_time_digits, flatten, format_number, head_metric
from harness.statistics import summarise_times

BAR_FROM = 70
"""In a narrower window there is no room for bars."""

TIMED = (AUDIT, TIME)
"""The stages that time models, beside which nothing may be busy."""

LEFT_FREE = 7
"""So many lines of the window are for the counts, the time and what is said meanwhile."""

FINISHED = 3
"""So many of the last finished ones are shown, where there is no room for all."""

COLOURS = {"done": "green", "unavailable": "yellow", "failed": "red", "disqualified": "red", "refused": "red"}


def render_progress(forecast: Forecast, *, width: int, height: int) -> RenderableType:
    """All that is known, for a window of this size (in characters)."""
    parts: list[RenderableType] = []
    if forecast.lines:
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(8, width // 3))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for line in choose_lines(list(forecast.lines.values()), max(FINISHED + 1, height - LEFT_FREE)):
            style = COLOURS.get(line.verdict, "bold" if line.is_running else "dim")
            state = Text(flatten(line.state), style)
            grid.add_row(Text(flatten(line.name), style), state, render_detail(forecast, line, width))
        parts.append(grid)
        parts.append(render_line(", ".join(f"{count} {state}" for state, count in sorted(forecast.count().items()))))
    if beside := describe_beside(forecast):
        parts.append(render_line(beside))
    passed, left = f"{format_clock(forecast.passed_s)} passed", describe_left(forecast)
    parts.append(render_line(f"{passed}, {left}" if left else passed))
    if any(line.is_running and line.stage in TIMED for line in forecast.lines.values()):
        parts.append(Text("Nothing is drawn while a model is timed.", "dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def render_line(text: str) -> Text:
    """A line that gives way where the window is narrow."""
    return Text(flatten(text), no_wrap=True, overflow="ellipsis")


def choose_lines(lines: Sequence[Line], room: int) -> list[Line]:
    """All where there is room, else the last finished, those at work, and others as far as there is room; in order."""
    if len(lines) <= room:
        return list(lines)
    latest = sorted(lines, key=lambda line: -line.changed_s)
    over = [line for line in latest if line.verdict][:FINISHED]
    at_work = [line for line in latest if line.is_running]
    waiting = [line for line in lines if not line.verdict and not line.is_running]
    chosen = {line.name for line in (*over, *at_work, *waiting)[:room]}
    return [line for line in lines if line.name in chosen]


def render_detail(forecast: Forecast, line: Line, width: int) -> RenderableType:
    """What goes on with a submission, or what came of it."""
    if line.work is None:
        return render_line(line.note)
    step, left_s = line.work.step, forecast.estimate_line_s(line)
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, min_width=min(16, width // 4))
    if width >= BAR_FROM:
        grid.add_column(ratio=1, max_width=30)
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=14)
    cells: list[RenderableType] = [Text(describe_count(step))]
    if width >= BAR_FROM:
        cells.append(ProgressBar(total=step.total, completed=step.done) if step.total else "")
    grid.add_row(*cells, Text("" if left_s is None else describe_about(left_s)))
    return grid


def describe_count(step: Step) -> str:
    """How much of a stage is done: outputs, or blocks, of whose number only a guess is known."""
    if step.stage != TIME:
        return f"{step.done}/{step.total}" if step.total else ""
    number = step.done + (step.state == "running")
    return f"block {number} of about {max(step.total, number)}" if step.total else f"block {number}"


def describe_beside(forecast: Forecast) -> str:
    """What is done of no submission in particular, if anything."""
    if forecast.beside is None or forecast.beside.ended_s is not None:
        return ""
    step, left_s = forecast.beside.step, forecast.estimate_beside_s()
    counted = f" {step.done}/{step.total}" if step.total else ""
    return f"{step.stage}{counted}" + ("" if left_s is None else f", {describe_about(left_s)} left")


def describe_left(forecast: Forecast) -> str:
    """What is known of the time that all takes which is still to do; nothing without evidence."""
    left = forecast.list_left()
    known_s = [left_s for _, left_s, is_budget in left if left_s is not None and not is_budget]
    if len(known_s) == len(left):
        return f"{describe_about(sum(known_s))} left" if left else ""
    parts = []
    for stage, left_s, is_budget in left:
        if not left_s:
            parts.append(stage)
        elif is_budget:
            parts.append(f"{stage} (budget {describe_duration(left_s)})")
        else:
            parts.append(f"{stage} {describe_about(left_s)}")
    return f"left: {', '.join(parts)}"


def format_clock(seconds: float) -> str:
    """'0:01:05'."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def describe_about(seconds: float) -> str:
    """No more exact than an estimate is: 'about 4 min'."""
    return f"about {describe_duration(seconds)}"


def describe_duration(seconds: float) -> str:
    """Rounded, in one or two units."""
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def describe_figures(record: Record | None, challenge: Challenge) -> str:
    """What was measured, in the challenge's order: means, time, and how many times faster than the baseline."""
    if record is None or record.quality is None:
        return ""
    rules = extend_challenge(challenge, [record.quality])
    means = average_quality(record.quality, rules)
    figures = [
        f"{head_metric(metric.name).partition(' ')[0]} {format_number(means[metric.name], count_digits(metric.name))}"
        for metric in rules.metrics
        if metric.name in means
    ]
    if record.timing is not None:
        baseline_ms, time_ms = (
            t / 1e6 for t in summarise_times(record.timing.baseline_samples_ns, record.timing.samples_ns)
        )
        figures += [f"{time_ms:.{count_time_digits(time_ms)}f} ms", f"{baseline_ms / time_ms:.2f}x"]
    return ", ".join(figures)
