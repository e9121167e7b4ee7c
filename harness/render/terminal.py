"""A board in the terminal: the columns that fit into 80 characters."""

from rich import box
from rich.table import Table
from rich.text import Text

from harness.boards import Board
from harness.challenge import ChallengeMetric
from harness.metrics import find_metric
from harness.render.cells import count_digits, count_time_digits, flatten, format_number, head_metric


def render_board(board: Board) -> Table:
    """A board without intervals, memory and cost; leaderboard.md has them."""
    # Text everywhere, since a plain string would be read as rich's markup
    title = f"{board.dataset}, split {board.split}: {board.pair_count} pairs, scores of the {board.phase.label}"
    title += "; ~ is noisy" if board.frame["noisy"].any() else ""
    table = Table(title=Text(flatten(title)), title_justify="left", box=box.SIMPLE_HEAD)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    figures = list_figures(board)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("submission", overflow="fold", min_width=8)  # the one that gives way
    for heading in figures:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for row in board.frame.to_dict("records"):
        time_digits = count_time_digits(row["time"])
        cells = [format_number(row[n], time_digits if n == "time" else digits) for n, digits in figures.values()]
        cells[-1] += "~" if row["noisy"] else ""
        table.add_row(format_number(row["rank"], 0), Text(flatten(str(row["submission"]))), *cells)
    return table


def list_figures(board: Board) -> dict[str, tuple[str, int]]:
    """Column of the frame and number of decimals, by heading."""
    return (
        {name: (name, 2) for name in board.phase.scores}
        | {shorten_heading(metric): (metric.name, count_digits(metric.name)) for metric in board.challenge.metrics}
        | {"ms": ("time", 0), "speed-up": ("speed_up", 2)}
    )


def shorten_heading(metric: ChallengeMetric) -> str:
    """A metric's heading in little room: without its unit; one of another library on two lines, with its direction."""
    if find_metric(metric.name) is not None:
        return head_metric(metric.name).partition(" ")[0]
    return head_metric(metric.name, lower_is_better=metric.lower_is_better).replace(":", ":\n")
