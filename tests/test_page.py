"""The HTML pages: complete, every link leads somewhere, and text from elsewhere stays text."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np
import pytest
from shown import HOSTILE, make_records, make_reports
from stored import make_failure, make_record

from harness.archive import locate_record, write_record
from harness.boards import build_boards
from harness.challenge import Challenge, read_challenge
from harness.errors import RecordError
from harness.render.columns import list_columns
from harness.render.page import PAGE, SUBMISSIONS, find_front, render_page
from harness.reporting import check_leaderboard, write_leaderboard

replace = msgspec.structs.replace


class Reader(HTMLParser):
    """Tags with their attributes, the text, and the JSON of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: list[Any] = []
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_data = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_data and data.strip():
            self.data.append(json.loads(data))
        self.text += data

    def list_links(self) -> Iterator[str]:
        """All that the page refers to."""
        for _, attributes in self.tags:
            yield from (str(attributes[name]) for name in ("href", "src") if attributes.get(name))


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reports(tmp_path_factory.mktemp("reports"))


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def list_pages(reports: Path) -> list[Path]:
    return [reports / PAGE, *sorted((reports / SUBMISSIONS).glob("*.html"))]


def test_every_record_has_its_page(reports: Path) -> None:
    names = {record.submission.name for record in make_records()}
    assert {page.stem for page in list_pages(reports)[1:]} == names


def test_every_link_leads_to_a_file_or_to_the_web(reports: Path) -> None:
    (reports / "tables.md").touch()  # `harness tables` makes it
    for page in list_pages(reports):
        links = list(read(page).list_links())
        assert len(links) > 5
        for link in links:
            if not link.startswith(("https://", "#", "data:")):
                assert (page.parent / unquote(link)).is_file(), f"{page.name}: {link}"


def test_the_page_loads_nothing_from_the_web(reports: Path) -> None:
    for page in list_pages(reports):
        for tag, attributes in read(page).tags:
            for name in ("src", *(("href",) if tag == "link" else ())):
                assert not (attributes.get(name) or "").startswith(("http", "//"))
    assert "@import" not in (reports / "page" / "page.css").read_text()
    assert "url(" not in (reports / "page" / "page.css").read_text()


def test_all_that_the_pictures_refer_to_is_there(reports: Path) -> None:
    counts = {}
    for page in list_pages(reports):
        for data in read(page).data:
            if "pictures" in data:
                counts[page.stem] = len(data["pictures"])
                for picture in data["pictures"]:
                    paths = [picture["source"], *filter(None, [picture["target"]]), *picture["outputs"].values()]
                    assert all((page.parent / data["root"] / unquote(path)).is_file() for path in paths)
    assert counts == {"leaderboard": 21, "fast_net": 21, "slow_net": 21, "test_net": 6}


def test_text_from_elsewhere_stays_text(reports: Path) -> None:
    for page in (reports / PAGE, reports / SUBMISSIONS / "fast_net.html", reports / SUBMISSIONS / "broken_net.html"):
        reader = read(page)
        scripts = [attributes for tag, attributes in reader.tags if tag == "script"]
        assert all(attributes.get("src") or attributes.get("type") == "application/json" for attributes in scripts)
        assert not [1 for tag, attributes in reader.tags if tag == "img" and attributes.get("src") == "x"]
        assert not [1 for _, attributes in reader.tags if any(name.startswith("on") for name in attributes)]
    for name in ("fast_net", "broken_net"):
        assert " ".join(HOSTILE.split()) in " ".join(read(reports / SUBMISSIONS / f"{name}.html").text.split())
    assert "it crashed: <script>" in read(reports / PAGE).text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "no address"])
def test_a_paper_is_linked_only_on_the_web(tmp_path: Path, challenge: Challenge, url: str) -> None:
    for name, address in (("bad_net", url), ("good_net", "https://example.org/paper")):
        record = make_record(name)
        record = replace(record, submission=replace(record.submission, paper_url=address))
        write_record(locate_record(tmp_path / "records", dataset="pirm2018b", name=name), record)
    write_leaderboard(tmp_path, "pirm2018b", challenge)
    assert url not in (tmp_path / SUBMISSIONS / "bad_net.html").read_text(encoding="utf-8")
    assert "https://example.org/paper" in read(tmp_path / SUBMISSIONS / "good_net.html").list_links()


def test_the_table_has_the_boards_figures(reports: Path, challenge: Challenge) -> None:
    boards = build_boards(make_records(), challenge)
    page = (reports / PAGE).read_text(encoding="utf-8")
    for board in boards:
        for row in board.frame.to_dict("records"):
            for column in list_columns(board):
                assert column.format(row) in page
                assert column.format_spread(row) in page
    row = boards[0].frame.set_index("submission").loc["fast_net"]
    assert f"{row['psnr']:.2f}" in page
    assert f"{(row['A_high'] - row['A_low']) / 2:.2f}" in page


def test_points_are_the_frames_figures(reports: Path, challenge: Challenge) -> None:
    charts = next(data for data in read(reports / PAGE).data if isinstance(data, list) and "sides" in data[0])
    for chart, board in zip(charts, build_boards(make_records(), challenge), strict=True):
        assert chart["names"] == board.frame["submission"].tolist()
        peak = [value / 1e6 for value in board.frame["peak_bytes"]]
        assert chart["values"]["peak_bytes"] == pytest.approx(peak)
        for end, suffix in (("values", ""), ("low", "_low"), ("high", "_high")):
            figures = np.array(chart[end]["speed_up"], dtype=float)
            np.testing.assert_allclose(figures, board.frame[f"speed_up{suffix}"], rtol=1e-5)


def test_a_records_page_has_every_value(reports: Path) -> None:
    record = make_records()[0]
    data = read(reports / SUBMISSIONS / "fast_net.html").data
    pairs, photos = next(kinds for kinds in data if isinstance(kinds, list) and "heading" in kinds[0])
    assert [row[0] for row in pairs["rows"]] == [pair.image for pair in record.quality.pairs]
    for row, pair in zip(pairs["rows"], record.quality.pairs, strict=True):
        values = zip(pair.values.values(), pairs["digits"], strict=True)
        assert row[1:] == [round(value, digits) for value, digits in values]
    assert [row[1] for row in photos["rows"]] == [4.0, 5.0, 5.5, 6.5]


def test_worst_and_best_are_those_of_the_record(reports: Path) -> None:
    record = make_records()[0]
    ranked = sorted(record.quality.pairs, key=lambda pair: pair.values["psnr"])
    shown = re.findall(r"<b>(Worst|Best)</b> (\d+):", (reports / SUBMISSIONS / "fast_net.html").read_text())
    assert shown == [
        *(("Worst", pair.image) for pair in ranked[:3]),
        *(("Best", pair.image) for pair in reversed(ranked[-3:])),
    ]


def test_a_failure_says_why(reports: Path) -> None:
    page = read(reports / SUBMISSIONS / "broken_net.html")
    assert "Not ranked: failed" in page.text
    assert "Stage run, crash" in page.text
    assert "Values of every image" not in page.text


def test_pages_of_records_that_are_gone_go_too(tmp_path: Path, challenge: Challenge) -> None:
    for name in ("stays", "goes"):
        write_record(locate_record(tmp_path / "records", dataset="pirm2018b", name=name), make_record(name))
    write_leaderboard(tmp_path, "pirm2018b", challenge)
    locate_record(tmp_path / "records", dataset="pirm2018b", name="goes").unlink()
    write_leaderboard(tmp_path, "pirm2018b", challenge)
    assert [page.name for page in (tmp_path / SUBMISSIONS).iterdir()] == ["stays.html"]


def test_a_page_that_a_user_put_there_stays(tmp_path: Path, challenge: Challenge) -> None:
    write_record(locate_record(tmp_path / "records", dataset="pirm2018b", name="a"), make_record("a"))
    notes = tmp_path / SUBMISSIONS / "my_notes.html"
    notes.parent.mkdir(parents=True)
    notes.write_text("<p>mine</p>", encoding="utf-8")
    write_leaderboard(tmp_path, "pirm2018b", challenge)
    assert {page.name for page in notes.parent.iterdir()} == {"a.html", "my_notes.html"}


@pytest.mark.parametrize("place", ["page", SUBMISSIONS])
def test_nothing_is_written_through_a_link(tmp_path: Path, challenge: Challenge, place: str) -> None:
    reports, elsewhere = tmp_path / "reports", tmp_path / "elsewhere"
    write_record(locate_record(reports / "records", dataset="pirm2018b", name="a"), make_record("a"))
    elsewhere.mkdir()
    (reports / place).parent.mkdir(parents=True, exist_ok=True)
    (reports / place).symlink_to(elsewhere)
    with pytest.raises(RecordError, match=r"is a link, whose files are not ours to replace; remove it"):
        write_leaderboard(reports, "pirm2018b", challenge)
    assert list(elsewhere.iterdir()) == []


def test_a_missing_figure_is_found(tmp_path: Path, challenge: Challenge) -> None:
    reports = make_reports(tmp_path)
    (reports / "figures" / "memory_time.svg").unlink()
    with pytest.raises(RecordError, match=r"memory_time\.svg is missing; `python -m harness leaderboard` draws it"):
        check_leaderboard(reports, challenge)


def test_marks_that_turn_the_direction_are_gone(challenge: Challenge) -> None:
    record = make_record("a", title="be\u202ekcats")
    pages = dict(render_page(build_boards([record], challenge), [record], challenge, ()))
    assert "\u202e" not in pages[f"{SUBMISSIONS}/a.html"]
    assert "be kcats" in pages[f"{SUBMISSIONS}/a.html"]


def test_check_holds_the_pages_against_the_records(tmp_path: Path, challenge: Challenge) -> None:
    reports = make_reports(tmp_path)
    check_leaderboard(reports, challenge)
    page = reports / SUBMISSIONS / "fast_net.html"
    page.write_text(page.read_text(encoding="utf-8").replace("21.", "29."), encoding="utf-8")
    with pytest.raises(RecordError, match=r"fast_net\.html does not follow from the records and images beside it"):
        check_leaderboard(reports, challenge)
    page.unlink()
    with pytest.raises(RecordError, match=r"fast_net\.html does not follow"):
        check_leaderboard(reports, challenge)
    (reports / PAGE).unlink()  # reports without pages are whole too
    check_leaderboard(reports, challenge)


def test_failures_alone_make_a_page(challenge: Challenge) -> None:
    record = make_failure("broken", "it crashed")
    pages = dict(render_page((), [record], challenge, ()))
    assert "No submission has a result yet" in pages[PAGE]
    assert "it crashed" in pages[PAGE]
    assert "it crashed" in pages[f"{SUBMISSIONS}/broken.html"]


def test_same_records_give_the_same_page(challenge: Challenge) -> None:
    first, second = (
        dict(render_page(build_boards(make_records(), challenge), make_records(), challenge, ())) for _ in range(2)
    )
    assert first == second


def test_front_is_of_those_that_none_beats_in_both(challenge: Challenge) -> None:
    records = [
        make_record("fast", psnr=20.0, ms=50.0),
        make_record("good", psnr=24.0, ms=400.0),
        make_record("beaten", psnr=21.0, ms=500.0),
    ]
    (board,) = build_boards(records, challenge)
    assert {board.frame["submission"][place] for place in find_front(board)} == {"fast", "good"}
