"""A board in the terminal: the columns that fit into 80 characters."""

from rich import box
from rich.table import Table
from rich.text import Text

from harness.leaderboard import Board
from harness.metrics import get_metric
from harness.render.cells import DIGITS, format_number

LONGEST_NAME = 20


def render_board(board: Board) -> Table:
    """A board without intervals; leaderboard.md has them, and memory and cost."""
    title = Text(f"{board.dataset}, split {board.split}: {board.pair_count} pairs, {board.phase.label}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    figures = list_figures(board)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("submission", max_width=LONGEST_NAME, overflow="ellipsis", no_wrap=True)
    for heading in figures:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for row in board.frame.to_dict("records"):
        cells = [format_number(row[name], digits) for name, digits in figures.values()]
        # Text, since a plain cell would be read as rich's markup
        table.add_row(format_number(row["rank"], 0), Text(str(row["submission"])), *cells)
    return table


def list_figures(board: Board) -> dict[str, tuple[str, int]]:
    """Column of the frame and number of decimals, by heading."""
    metrics = [get_metric(profile.name) for profile in board.challenge.metrics]
    return (
        {f"score {name}" if name == next(iter(board.phase.scores)) else name: (name, 2) for name in board.phase.scores}
        | {metric.label: (metric.name, DIGITS.get(metric.name, 4)) for metric in metrics}
        | {"ms": ("time", 0), "speed-up": ("speed_up", 2)}
    )
