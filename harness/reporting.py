"""Writes the reports of one dataset's records, and tells whether the written leaderboard follows from them."""

from collections.abc import Sequence
from pathlib import Path

from harness.archive import list_datasets, read_records, write_bytes, write_text
from harness.boards import Board, build_boards
from harness.challenge import Challenge, find_phase
from harness.dataset import Dataset
from harness.errors import RecordError
from harness.published import compare_published, read_published
from harness.records import Record
from harness.render.figures import render_figures
from harness.render.markdown import render_leaderboard
from harness.render.tables import render_tables


def choose_dataset(reports_dir: Path, dataset: str | None, challenge: Challenge) -> str:
    """The named dataset, or the challenge's own, or the first that has records; RecordError where it has none."""
    known = list_recorded_datasets(reports_dir, challenge)
    if dataset in known:
        return dataset
    if dataset is None and known:
        return challenge.dataset if challenge.dataset in known else known[0]
    raise RecordError(
        f"{reports_dir / 'records'} has no records of {dataset or 'any dataset'} for the challenge {challenge.name}; "
        "`python -m harness run` makes them."
    )


def select_records(records_dir: Path, dataset: str, challenge: Challenge) -> tuple[Record, ...]:
    """The records of one dataset that belong to a challenge."""
    return tuple(r for r in read_records(records_dir / dataset) if r.challenge == challenge.name)


def check_version(records: Sequence[Record], dataset: Dataset, records_dir: Path) -> None:
    """Raise RecordError where a record is of other images under the dataset's name: they never share a table."""
    for record in records:
        if record.quality is not None and record.quality.dataset_sha256 != dataset.sha256:
            dataset.read_all()  # a damaged image is another one too
            raise RecordError(
                f"{records_dir / dataset.name} has records of other images under the name {dataset.name} "
                f"({record.submission.name}: {record.quality.dataset_sha256[:12]}, now {dataset.sha256[:12]}); "
                "remove that folder, or choose another with --reports."
            )


def read_boards(reports_dir: Path, dataset: str, challenge: Challenge, *, phase: str) -> tuple[Board, ...]:
    """The boards of one dataset's records; RecordError where no submission has a result."""
    find_phase(challenge, phase)
    boards = build_boards(select_records(reports_dir / "records", dataset, challenge), challenge, phase=phase)
    if not boards:
        raise RecordError(
            f"no record of {dataset} in {reports_dir / 'records'} holds a result; run a submission first."
        )
    return boards


def write_leaderboard(
    reports_dir: Path, dataset: str, challenge: Challenge, *, phase: str = "validation"
) -> tuple[tuple[Board, ...], list[Path]]:
    """Write leaderboard.md and its figures from the records of one dataset; also the files that were written."""
    find_phase(challenge, phase)
    records = select_records(reports_dir / "records", dataset, challenge)
    boards = build_boards(records, challenge, phase=phase)
    figures = render_figures(boards[0]) if boards else {}
    for place, picture in figures.items():
        write_bytes(reports_dir / place, picture)
    write_text(reports_dir / "leaderboard.md", render_leaderboard(boards, records, challenge))
    return boards, [reports_dir / place for place in ("leaderboard.md", *figures)]


def write_tables(reports_dir: Path, dataset: str, challenge: Challenge) -> Path:
    """Write tables.md, published beside measured, from the records of one dataset."""
    records = select_records(reports_dir / "records", dataset, challenge)
    path = reports_dir / "tables.md"
    write_text(path, render_tables(compare_published(records, challenge, read_published())))
    return path


def list_other_datasets(reports_dir: Path, dataset: str, challenge: Challenge) -> list[str]:
    """Datasets that have records too, but are not on the leaderboard of this one."""
    return [name for name in list_recorded_datasets(reports_dir, challenge) if name != dataset]


def list_recorded_datasets(reports_dir: Path, challenge: Challenge) -> list[str]:
    """Datasets that have records of a challenge."""
    records_dir = reports_dir / "records"
    return [f.name for f in list_datasets(records_dir) if select_records(records_dir, f.name, challenge)]


def check_tables(reports_dir: Path, challenge: Challenge) -> None:
    """Raise RecordError unless tables.md, where there is one, is what the records of some dataset give."""
    path, records_dir = reports_dir / "tables.md", reports_dir / "records"
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for folder in list_datasets(records_dir):
        records = select_records(records_dir, folder.name, challenge)
        if text == render_tables(compare_published(records, challenge, read_published())):
            return
    raise RecordError(f"{path} does not follow from {records_dir}; `python -m harness tables` writes it anew.")


def check_leaderboard(reports_dir: Path, challenge: Challenge) -> None:
    """Raise RecordError unless leaderboard.md is what the records of some dataset give, in some phase."""
    path, records_dir = reports_dir / "leaderboard.md", reports_dir / "records"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); `python -m harness leaderboard` writes it.") from error
    for folder in list_datasets(records_dir):
        records = select_records(records_dir, folder.name, challenge)
        for phase in challenge.phases:
            if text == render_leaderboard(build_boards(records, challenge, phase=phase), records, challenge):
                return
    raise RecordError(f"{path} does not follow from {records_dir}; `python -m harness leaderboard` writes it anew.")
