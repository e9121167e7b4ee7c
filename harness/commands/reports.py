"""Write reports anew from the records, and hand their figures on."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import REPORTS, ChallengeName, DatasetName, PhaseName, ReportsDir, read_path
from harness.commands.telling import show_leaderboard
from harness.screen import out


def leaderboard(
    challenge: ChallengeName = "pirm2018b",
    dataset: DatasetName = None,
    reports: ReportsDir = REPORTS,
    phase: PhaseName = "validation",
) -> None:
    """Write the leaderboard anew from the stored records."""
    from harness.challenge import read_challenge
    from harness.reporting import choose_dataset, write_leaderboard

    rules = read_challenge(challenge)
    boards, _ = write_leaderboard(reports, choose_dataset(reports, dataset, rules), rules, phase=phase)
    show_leaderboard(boards, reports)


def export(
    format_name: Annotated[str, typer.Option("--format", help="csv, json, latex or parquet.")] = "csv",
    path: Annotated[
        Path | None,
        typer.Option("--out", help="A file; without one, standard output.", parser=read_path, metavar="FILE"),
    ] = None,
    challenge: ChallengeName = "pirm2018b",
    dataset: DatasetName = None,
    reports: ReportsDir = REPORTS,
    phase: PhaseName = "validation",
) -> None:
    """Hand the leaderboard's figures to other programs: all with intervals, or a table for a paper."""
    from harness.challenge import read_challenge
    from harness.export import export_boards
    from harness.reporting import choose_dataset, read_boards

    rules = read_challenge(challenge)
    boards = read_boards(reports, choose_dataset(reports, dataset, rules), rules, phase=phase)
    text = export_boards(boards, format_name, path)
    out.print(text.removesuffix("\n") if path is None else f"Written: {path}", markup=False)


def tables(challenge: ChallengeName = "pirm2018b", dataset: DatasetName = None, reports: ReportsDir = REPORTS) -> None:
    """Write the paper's tables, published beside measured."""
    from harness.challenge import read_challenge
    from harness.reporting import choose_dataset, write_tables

    rules = read_challenge(challenge)
    out.print(f"Written: {write_tables(reports, choose_dataset(reports, dataset, rules), rules)}", markup=False)


def score(
    file: Annotated[str, typer.Argument(help="A CSV file of published columns, or published:final.")],
    challenge: ChallengeName = "pirm2018b",
    phase: PhaseName = "validation",
) -> None:
    """Score a table of published columns, and compare with the scores it prints."""
    from harness.challenge import find_phase, read_challenge
    from harness.score_table import score_table

    rules = read_challenge(challenge)
    scored = score_table(file, rules, phase)
    out.print(f"Scores of the {find_phase(rules, phase).label}:", markup=False)
    out.print(scored.frame.to_markdown(index=False, floatfmt=".4g"), markup=False)
    out.print(*scored.notes, *scored.findings, sep="\n", markup=False)
