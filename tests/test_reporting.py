"""Reports are made from the records of one dataset, and a page that does not follow from them is found."""

from pathlib import Path

import msgspec
import pytest
from stored import TEST, make_failure, make_record

from harness.archive import locate_record, write_record
from harness.challenge import Challenge, read_challenge
from harness.errors import RecordError
from harness.records import Record
from harness.render.figures import MEMORY_TIME, PERCEPTION_DISTORTION, SCORES, SPEED_QUALITY
from harness.reporting import (
    check_leaderboard,
    check_tables,
    choose_dataset,
    list_other_datasets,
    select_records,
    write_leaderboard,
    write_tables,
)

COMMITTED = Path(__file__).parent.parent / "reports" / "training" / "ablation.csv"
PLACES = (SCORES, SPEED_QUALITY, PERCEPTION_DISTORTION, MEMORY_TIME)
FIGURES = [f"{place}.{kind}" for place in PLACES for kind in ("png", "svg")]


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    store(tmp_path, "pirm2018b", make_record("srcnn", seed=1), make_record("boe_normal", split="test", images=TEST))
    return tmp_path


def store(reports_dir: Path, dataset: str, *records: Record) -> None:
    for record in records:
        path = locate_record(reports_dir / "records", dataset=dataset, name=record.submission.name)
        write_record(path, record)


def list_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_dataset_is_the_named_one_or_the_challenges(reports: Path, challenge: Challenge) -> None:
    store(reports, "another", make_record("srcnn"))
    assert choose_dataset(reports, "another", challenge) == "another"
    assert choose_dataset(reports, None, challenge) == "pirm2018b"
    with pytest.raises(RecordError, match="records has no records of embedded for the challenge pirm2018b; `python"):
        choose_dataset(reports, "embedded", challenge)


def test_records_of_another_challenge_do_not_count(reports: Path, challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="has no records of any dataset for the challenge mine"):
        choose_dataset(reports, None, msgspec.structs.replace(challenge, name="mine"))


def test_dataset_is_the_only_one_there(tmp_path: Path, challenge: Challenge) -> None:
    with pytest.raises(RecordError, match="has no records of any dataset"):
        choose_dataset(tmp_path, None, challenge)
    store(tmp_path, "embedded", make_record("srcnn"))
    assert choose_dataset(tmp_path, None, challenge) == "embedded"


def test_records_of_other_challenges_and_datasets_stay_away(reports: Path, challenge: Challenge) -> None:
    other = make_record("stranger")
    store(reports, "pirm2018b", Record(**{f: getattr(other, f) for f in other.__struct_fields__} | {"challenge": "c"}))
    store(reports, "embedded", make_record("elsewhere"))
    chosen = select_records(reports / "records", "pirm2018b", challenge)
    assert [record.submission.name for record in chosen] == ["boe_normal", "srcnn"]


def test_leaderboard_and_figure_are_written(reports: Path, challenge: Challenge) -> None:
    before = list_files(reports)
    boards, written = write_leaderboard(reports, "pirm2018b", challenge)
    assert [board.split for board in boards] == ["test", "all"]
    pages = {f"page/submissions/{name}.html" for name in ("boe_normal", "srcnn")}
    pages |= {"page/page.css", "page/page.js", "page/plotly.min.js"}
    told = {"leaderboard.md", "leaderboard.html", *FIGURES}
    assert list_files(reports) - before == told | pages
    assert {str(path.relative_to(reports)) for path in written} == told
    page = (reports / "leaderboard.md").read_text(encoding="utf-8")
    for place in (SCORES, SPEED_QUALITY):
        assert f"]({place}.png)" in page
        assert (reports / f"{place}.png").read_bytes().startswith(b"\x89PNG")


def test_reports_are_the_same_bytes_when_made_again(reports: Path, challenge: Challenge) -> None:
    contents = []
    for _ in range(2):
        write_leaderboard(reports, "pirm2018b", challenge)
        write_tables(reports, "pirm2018b", challenge)
        contents.append({name: (reports / name).read_bytes() for name in ("leaderboard.md", "tables.md", *FIGURES)})
    assert contents[0] == contents[1]


def test_untimed_records_have_no_figure_of_times(tmp_path: Path, challenge: Challenge) -> None:
    store(tmp_path, "pirm2018b", make_record("srcnn", ms=None))
    write_leaderboard(tmp_path, "pirm2018b", challenge)
    drawn = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.glob("figures/*")}
    assert drawn == {PERCEPTION_DISTORTION}
    check_leaderboard(tmp_path, challenge)


def test_failures_alone_make_a_page(tmp_path: Path, challenge: Challenge) -> None:
    store(tmp_path, "pirm2018b", make_failure("srcnn", "it crashed"))
    assert write_leaderboard(tmp_path, "pirm2018b", challenge) == (
        (),
        [tmp_path / "leaderboard.md", tmp_path / "leaderboard.html"],
    )
    assert "it crashed" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    check_leaderboard(tmp_path, challenge)


def test_tables_are_written(tmp_path: Path, challenge: Challenge) -> None:
    store(tmp_path, "pirm2018b", make_failure("srcnn", "weights | <b>missing</b>"))
    path = write_tables(tmp_path, "pirm2018b", challenge)
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "tables.md"
    assert r"published only: srcnn is failed here (weights \| &lt;b>missing&lt;/b>)" in page
    assert "nan" not in page.lower().split()


@pytest.mark.parametrize("phase", ["validation", "test"])
def test_page_that_follows_passes(reports: Path, challenge: Challenge, phase: str) -> None:
    write_leaderboard(reports, "pirm2018b", challenge, phase=phase)
    check_leaderboard(reports, challenge)


def test_page_of_any_dataset_passes(reports: Path, challenge: Challenge) -> None:
    store(reports, "embedded", make_record("alpha"))
    write_leaderboard(reports, "embedded", challenge)
    check_leaderboard(reports, challenge)


def test_page_that_was_edited_is_found(reports: Path, challenge: Challenge) -> None:
    write_leaderboard(reports, "pirm2018b", challenge)
    page = reports / "leaderboard.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| ok ", "| OK "), encoding="utf-8")
    with pytest.raises(RecordError, match=r"does not follow from .*records; `python -m harness leaderboard` writes"):
        check_leaderboard(reports, challenge)


def test_page_older_than_its_records_is_found(reports: Path, challenge: Challenge) -> None:
    write_leaderboard(reports, "pirm2018b", challenge)
    store(reports, "pirm2018b", make_record("srcnn", seed=9))
    with pytest.raises(RecordError, match="does not follow from"):
        check_leaderboard(reports, challenge)


def test_missing_page_is_one_sentence(reports: Path, challenge: Challenge) -> None:
    with pytest.raises(RecordError, match=r"leaderboard.md cannot be read .*`python -m harness leaderboard` writes it"):
        check_leaderboard(reports, challenge)


def test_faulty_record_stops_the_reports_and_leaves_them(reports: Path, challenge: Challenge) -> None:
    write_leaderboard(reports, "pirm2018b", challenge)
    before = (reports / "leaderboard.md").read_bytes()
    (reports / "records" / "pirm2018b" / "dped.json").write_text("{")
    with pytest.raises(RecordError, match=r"dped\.json is no whole record"):
        write_leaderboard(reports, "pirm2018b", challenge)
    assert (reports / "leaderboard.md").read_bytes() == before


def test_tables_follow_from_the_records(reports: Path, challenge: Challenge) -> None:
    check_tables(reports, challenge)  # none yet
    path = write_tables(reports, "pirm2018b", challenge)
    check_tables(reports, challenge)
    path.write_text(path.read_text().replace("SRCNN", "SRCN", 1))
    with pytest.raises(RecordError, match=r"tables\.md does not follow from"):
        check_tables(reports, challenge)


def test_tables_follow_from_the_ablation_too(reports: Path, challenge: Challenge) -> None:
    ablation = reports / "training" / "ablation.csv"
    ablation.parent.mkdir()
    text = COMMITTED.read_text(encoding="utf-8")
    ablation.write_text(text, encoding="utf-8")
    page = write_tables(reports, "pirm2018b", challenge).read_text(encoding="utf-8")
    assert "| no L1 loss                            |            21.79 |           21.30 |" in page
    check_tables(reports, challenge)
    ablation.write_text(text.replace("21.2961", "21.3961"), encoding="utf-8")
    with pytest.raises(RecordError, match=r"tables\.md does not follow from .*records and .*ablation\.csv; `python"):
        check_tables(reports, challenge)
    ablation.unlink()
    with pytest.raises(RecordError, match="does not follow from"):
        check_tables(reports, challenge)


def test_a_damaged_ablation_stops_the_tables_and_leaves_them(reports: Path, challenge: Challenge) -> None:
    before = write_tables(reports, "pirm2018b", challenge).read_bytes()
    (reports / "training").mkdir()
    (reports / "training" / "ablation.csv").write_bytes(COMMITTED.read_bytes()[:700])
    for act in (lambda: write_tables(reports, "pirm2018b", challenge), lambda: check_tables(reports, challenge)):
        with pytest.raises(RecordError, match=r"ablation\.csv cannot be read as the table of an ablation"):
            act()
    assert (reports / "tables.md").read_bytes() == before


def test_other_datasets_with_records_are_named(reports: Path, challenge: Challenge) -> None:
    assert list_other_datasets(reports, "pirm2018b", challenge) == []
    assert list_other_datasets(reports, "embedded", challenge) == ["pirm2018b"]
