"""Writes the reports of one dataset's records, and tells whether the written leaderboard follows from them."""

from collections.abc import Sequence
from pathlib import Path

from harness.archive import list_datasets, read_record, read_records, write_bytes, write_text
from harness.boards import Board, build_boards
from harness.challenge import Challenge, find_phase
from harness.contact_sheet import read_sheet
from harness.dataset import Dataset
from harness.errors import RecordError, UsageError
from harness.published.ablation import FILE as ABLATION
from harness.published.ablation import read_ablation
from harness.published.comparison import compare_published
from harness.published.paper import read_published
from harness.records import Record
from harness.render.contact_sheet import render_sheet
from harness.render.figures import KINDS, list_figures, render_figures
from harness.render.markdown import render_leaderboard
from harness.render.page import FOLDER, OURS, PAGE, PLOTLY, SUBMISSIONS, read_plotly, render_page
from harness.render.tables import render_tables
from harness.showcase import FREE, Showcase, identify_models, read_showcase, select_outputs


def choose_dataset(reports_dir: Path, dataset: str | None, challenge: Challenge) -> str:
    """The named dataset, or the challenge's own, or the first that has records; RecordError where it has none."""
    known = list_recorded_datasets(reports_dir, challenge)
    if dataset in known:
        return dataset
    if dataset is None and known:
        return challenge.dataset_name if challenge.dataset_name in known else known[0]
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
    """Write leaderboard.md, its figures and the HTML pages from the records of one dataset; also, what was written.

    The pages of single submissions are not named, nor what all pages need.
    """
    find_phase(challenge, phase)
    records = select_records(reports_dir / "records", dataset, challenge)
    boards = build_boards(records, challenge, phase=phase)
    figures = render_figures(boards[0]) if boards else {}
    for place, picture in figures.items():
        write_bytes(reports_dir / place, picture)
    write_text(reports_dir / "leaderboard.md", render_leaderboard(boards, records, challenge))
    write_page(reports_dir, boards, records, challenge)
    sheets = write_contact_sheets(reports_dir, dataset)
    return boards, [reports_dir / place for place in ("leaderboard.md", PAGE, *figures, *sheets)]


def write_page(reports_dir: Path, boards: Sequence[Board], records: Sequence[Record], challenge: Challenge) -> None:
    """Write leaderboard.html and what lies beside it, and remove the pages of submissions that have no record."""
    for place in (FOLDER, SUBMISSIONS):
        if (reports_dir / place).is_symlink():
            raise RecordError(f"{reports_dir / place} is a link, whose files are not ours to replace; remove it.")
    if not is_current(reports_dir / PLOTLY, script := read_plotly()):
        write_bytes(reports_dir / PLOTLY, script)
    written = set()
    for place, text in render_page(boards, records, challenge, read_showcases(reports_dir, boards, records)):
        write_text(reports_dir / place, text)
        written.add(reports_dir / place)
    for page in (reports_dir / SUBMISSIONS).glob("*.html"):
        if page not in written and OURS in page.read_text(encoding="utf-8", errors="replace"):
            page.unlink()


def is_current(path: Path, content: bytes) -> bool:
    """Whether a file has this content already: it is large, and changes only with the package that it is from."""
    return path.is_file() and path.read_bytes() == content


def read_showcases(reports_dir: Path, boards: Sequence[Board], records: Sequence[Record]) -> list[Showcase]:
    """The pictures that are there of the boards' dataset and of the free one, made by the models of these records."""
    models = identify_models(record for record in records if record.status == "ok")
    names = dict.fromkeys((*(board.dataset for board in boards), FREE))
    return [select_outputs(read_showcase(reports_dir, name), models) for name in names]


def write_contact_sheets(reports_dir: Path, dataset: str) -> list[str]:
    """Write the contact sheets of a dataset and of the free one, as far as pictures were kept; their places."""
    sheets = [sheet for name in dict.fromkeys((dataset, FREE)) if (sheet := read_sheet(reports_dir, name))]
    pictures = [picture for sheet in sheets for picture in render_sheet(sheet).items()]
    for place, picture in pictures:
        write_bytes(reports_dir / place, picture)
    return [place for place, _ in pictures]


def write_tables(reports_dir: Path, dataset: str, challenge: Challenge) -> Path:
    """Write tables.md, published beside measured, from the records of one dataset and the ablation's table."""
    path = reports_dir / "tables.md"
    write_text(path, make_tables(reports_dir, dataset, challenge))
    return path


def make_tables(reports_dir: Path, dataset: str, challenge: Challenge) -> str:
    """The text of tables.md.

    Raises RecordError for a record, or an ablation's table, that does not hold, UsageError for another challenge.
    """
    published = read_published()
    if challenge.name != published.challenge:
        raise UsageError(
            f"the tables compare with what was published of {published.challenge}; there are none of {challenge.name}."
        )
    records = select_records(reports_dir / "records", dataset, challenge)
    ablation = read_ablation(reports_dir / ABLATION, published.conditions)
    return render_tables(compare_published(records, challenge, published, ablation))


def list_other_datasets(reports_dir: Path, dataset: str, challenge: Challenge) -> list[str]:
    """Datasets that have records too, but are not on the leaderboard of this one."""
    return [name for name in list_recorded_datasets(reports_dir, challenge) if name != dataset]


def list_recorded_datasets(reports_dir: Path, challenge: Challenge) -> list[str]:
    """Datasets that have records of a challenge."""
    return [
        folder.name
        for folder in list_datasets(reports_dir / "records")
        if any(read_record(path).challenge == challenge.name for path in sorted(folder.glob("*.json")))
    ]


def check_tables(reports_dir: Path, challenge: Challenge) -> None:
    """Raise RecordError unless tables.md, where there is one, is what some dataset's records and the ablation give."""
    path, records_dir = reports_dir / "tables.md", reports_dir / "records"
    if not path.exists() or challenge.name != read_published().challenge:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if any(text == make_tables(reports_dir, folder.name, challenge) for folder in list_datasets(records_dir)):
        return
    raise RecordError(
        f"{path} does not follow from {records_dir} and {reports_dir / ABLATION}; `python -m harness tables` writes it "
        "anew."
    )


def check_leaderboard(reports_dir: Path, challenge: Challenge) -> None:
    """Raise RecordError unless leaderboard.md and the pages are what the records of some dataset give in some phase."""
    path, records_dir = reports_dir / "leaderboard.md", reports_dir / "records"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); `python -m harness leaderboard` writes it.") from error
    for folder in list_datasets(records_dir):
        records = select_records(records_dir, folder.name, challenge)
        for phase in challenge.phases:
            boards = build_boards(records, challenge, phase=phase)
            if text == render_leaderboard(boards, records, challenge):
                check_page(reports_dir, boards, records, challenge)
                return
    raise RecordError(f"{path} does not follow from {records_dir}; `python -m harness leaderboard` writes it anew.")


def check_page(reports_dir: Path, boards: Sequence[Board], records: Sequence[Record], challenge: Challenge) -> None:
    """Raise RecordError unless the HTML pages, where there are some, are what these records and the pictures give.

    Figures only have to be there: their bytes depend on the versions of matplotlib and its fonts.
    """
    if not (reports_dir / PAGE).exists():
        return
    for place in list_figures(boards[0]) if boards else ():
        for kind in KINDS:
            if not (reports_dir / f"{place}.{kind}").is_file():
                raise RecordError(
                    f"{reports_dir / place}.{kind} is missing; `python -m harness leaderboard` draws it anew."
                )
    for place, text in render_page(boards, records, challenge, read_showcases(reports_dir, boards, records)):
        path = reports_dir / place
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            raise RecordError(
                f"{path} does not follow from the records and images beside it; `python -m harness leaderboard` "
                "writes it anew."
            )
