"""A board in the terminal: the columns that fit."""

from rich.table import Table

from harness.leaderboard import Board
from harness.render.markdown import render_rows

WIDE = ("MOS (est.)", "Peak RAM (MB)", "Model (MB)", "Multiply-adds (G)", "Status")


def render_board(board: Board) -> Table:
    """A board without intervals; leaderboard.md has them."""
    table = Table(title=f"{board.dataset}, split {board.split}: {board.pair_count} pairs", title_justify="left")
    rows = [{name: cell for name, cell in row.items() if name not in WIDE} for row in render_rows(board)]
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "Submission" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.partition(" [")[0] for cell in row.values()))
    return table
