"""What commands say, of faults above all, and the exit code that follows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.run_report import RunReport
from harness.screen import log, out, show_table

if TYPE_CHECKING:
    from harness.boards import Board
    from harness.submission import SubmissionFolder


def say_error(sentence: object) -> None:
    """One fault, on standard error."""
    log.print(f"error: {sentence}", style="bold red", markup=False)


def tell(sentence: str, exit_code: int) -> int:
    """Say at once what came of something; it is a fault where it has an exit code, which comes back."""
    say_error(sentence) if exit_code else log.print(sentence, markup=False)
    return exit_code


def end(codes: Iterable[int]) -> None:
    """End with the first fault, where there was one. All were told when they were found."""
    if code := next(filter(None, codes), 0):
        raise typer.Exit(code)


def read_folders(
    paths: Sequence[Path] | None, challenge: str, report: RunReport
) -> tuple[list["SubmissionFolder"], list[int]]:
    """The submissions, and an exit code for each folder that is faulty; no more is done where all are."""
    from harness import session

    folders, faults = session.read_folders(paths, challenge)
    codes = [tell(str(fault), fault.exit_code) for fault in faults.values()]
    report.add_errors(faults.values())
    if not folders:
        end(codes)
    return folders, codes


def show_leaderboard(boards: Iterable["Board"], reports: Path) -> None:
    """The tables, and where they were written."""
    from harness.render.terminal import render_board

    for board in boards:
        show_table(render_board(board))
    out.print(f"Written: {reports / 'leaderboard.md'}, {reports / 'leaderboard.html'}", markup=False)
