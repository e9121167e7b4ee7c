"""reports/leaderboard.html: the leaderboard as a page that needs no server, with a page for each record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from harness import __version__
from harness.boards import Board
from harness.challenge import Challenge
from harness.records import Record
from harness.render.cells import flatten
from harness.render.columns import Column, list_columns
from harness.render.figures import SPEED_QUALITY, list_planes
from harness.render.markdown import describe_estimates, render_status
from harness.render.measurement import render_remarks
from harness.render.method import render_method
from harness.render.order import render_order
from harness.render.pictures import describe_picture, list_shared
from harness.render.record_page import describe_record
from harness.showcase import Showcase

PAGE = "leaderboard.html"
FOLDER = "page"
SUBMISSIONS = f"{FOLDER}/submissions"
PLOTLY = f"{FOLDER}/plotly.min.js"
"""Where the pages and their script lie in the reports folder."""

OURS = '<meta name="generator" content="harness">'
"""What tells a page of ours from one that a user put beside it."""

TEMPLATES = "harness.render", "templates"


@dataclass(frozen=True)
class Head:
    """The heading of a column; rising: at first it is sorted from the least on, as the best is there."""

    heading: str
    text: bool = False
    rising: bool = False
    sorted: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell: what it shows, what it is sorted by, and its interval in words and as places of 0 to 100."""

    text: str
    sort: float | str | None
    spread: str = ""
    href: str = ""
    bar: tuple[float, ...] = ()
    kind: str = ""


def render_page(
    boards: Sequence[Board], records: Sequence[Record], challenge: Challenge, showcases: Sequence[Showcase]
) -> Iterator[tuple[str, str]]:
    """The places in the reports folder of all pages and what goes with them, and their text; Plotly's script is none.

    showcases: pictures to compare, those of the first board's dataset first.
    """
    environment = open_templates()
    yield (
        PAGE,
        environment.get_template("leaderboard.html.j2").render(**describe_page(boards, records, challenge, showcases)),
    )
    template = environment.get_template("record.html.j2")
    rows = [(board, {row["submission"]: row for row in board.frame.to_dict("records")}) for board in boards]
    for record in records:
        name = record.submission.name
        standings = [(board, by_name[name]) for board, by_name in rows if name in by_name]
        context = describe_record(record, standings, challenge, showcases)
        yield f"{SUBMISSIONS}/{name}.html", template.render(version=__version__, **context)
    for name in ("page.css", "page.js"):
        yield f"{FOLDER}/{name}", read_template(name)


def open_templates() -> jinja2.Environment:
    """The templates of all pages: what goes into them is text, and a name that is missing is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(*TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=make_harmless,
    )  # fmt: skip


def read_template(name: str) -> str:
    """A file beside the templates, as it stands."""
    return files(TEMPLATES[0]).joinpath(TEMPLATES[1], name).read_text(encoding="utf-8")


def make_harmless(value: object) -> object:
    """Text without control characters and marks that turn the direction; what is HTML already stays."""
    return flatten(value) if type(value) is str else value


def read_plotly() -> bytes:
    """The script of Plotly that comes with its Python package."""
    return files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()


def describe_page(
    boards: Sequence[Board], records: Sequence[Record], challenge: Challenge, showcases: Sequence[Showcase]
) -> dict[str, Any]:
    """What the template of the main page shows."""
    by_name = {record.submission.name: record for record in records}
    return {
        "root": "",
        "version": __version__,
        "challenge": challenge,
        "first": next(iter(boards[0].phase.scores)) if boards else "",
        "estimates": describe_estimates(boards[0]).replace("**", "") if boards else "",
        "boards": [describe_board(board, by_name) for board in boards],
        "charts": [collect_points(board) for board in boards],
        "pictures": [
            describe_picture(picture, showcase) for showcase in showcases for picture in list_shared(showcase)
        ],
        "failures": [
            {"name": r.submission.name, "status": r.status, "message": r.failure.message} for r in records if r.failure
        ],
        "sheets": [showcase.dataset for showcase in showcases if showcase.pictures],
        "notes": render_notes(boards, records),
    }


def describe_board(board: Board, records: Mapping[str, Record]) -> dict[str, Any]:
    """One split's table."""
    columns = list_columns(board)
    front = find_front(board)
    low, high = (board.frame[f"{columns[0].key}_{end}"] for end in ("low", "high"))
    scale = (min(low.min(), 0), max(high.max(), 1))
    heads = [
        Head("#", sorted="ascending", rising=True),
        Head("Submission", text=True, rising=True),
        *(Head(column.heading, note=column.note, rising=column.lower_is_better) for column in columns),
        Head("Status", text=True, rising=True),
    ]
    return {
        "split": board.split,
        "pairs": f"{board.pair_count} pairs",
        "has_front": bool(front),
        "phase": board.phase.label,
        "dataset": board.dataset,
        "sha256": board.dataset_sha256[:12],
        "note": board.dataset_note,
        "columns": heads,
        "rows": [
            {
                "cells": list_cells(row, columns, scale),
                "front": place in front,
                "search": describe_search(records[row["submission"]], row),
            }
            for place, row in enumerate(board.frame.to_dict("records"))
        ],
    }


def list_cells(row: Mapping[Any, Any], columns: Sequence[Column], scale: tuple[float, float]) -> list[Cell]:
    """The cells of a row, each with what it is sorted by; the interval of the first score is drawn too."""
    name = row["submission"]
    rank = "-" if pd.isna(row["rank"]) else f"{row['rank']:.0f}"
    cells = [Cell(rank, sort_key(row["rank"])), Cell(name, name, href=f"{SUBMISSIONS}/{quote(name)}.html")]
    for column in columns:
        infinite = f" ({row['infinite']} inf)" if column.key == "psnr" and row["infinite"] else ""
        text = column.format(row) + infinite
        cells.append(Cell(text, sort_key(row[column.key]), spread=column.format_spread(row)))
    if not pd.isna(row[columns[0].key]):
        ends = (row[f"{columns[0].key}{end}"] for end in ("_low", "", "_high"))
        bar = tuple(round(100 * (place - scale[0]) / (scale[1] - scale[0]), 1) for place in ends)
        cells[2] = replace(cells[2], bar=bar)
    status = render_status(row)
    return [*cells, Cell(status, status, kind="text")]


def sort_key(value: float | None) -> float | None:
    """What a figure is sorted by; None where there is none."""
    return None if value is None or pd.isna(value) else float(f"{value:.9g}")


def describe_search(record: Record, row: Mapping[Any, Any]) -> str:
    """What the filter looks in."""
    submission = record.submission
    texts = (submission.name, submission.title, *submission.authors, submission.trained_on, render_status(row))
    return " ".join(texts).lower()


def find_front(board: Board) -> set[Any]:
    """The rows of the frame that no other beats in both speed and PSNR, as the figure of these has them."""
    if "psnr" not in board.frame:
        return set()
    plane = list_planes(board)[SPEED_QUALITY]
    return set(plane.find_front(board.frame.dropna(subset=[plane.x.column, plane.y.column])).index)


def collect_points(board: Board) -> dict[str, Any]:
    """The figures for the scatter plot, by column, with their intervals."""
    columns = [column for column in list_columns(board) if board.frame[column.key].notna().any()]

    def collect(end: str) -> dict[str, list[float | None]]:
        keys = {column.key: column.divisor for column in columns if f"{column.key}{end}" in board.frame}
        return {
            key: [None if pd.isna(v) else float(f"{v / divisor:.6g}") for v in board.frame[f"{key}{end}"].tolist()]
            for key, divisor in keys.items()
        }

    sides = [{"key": column.key, "label": column.heading, "log": column.log} for column in columns]
    return {
        "names": board.frame["submission"].tolist(), "sides": sides,
        "values": collect(""), "low": collect("_low"), "high": collect("_high"),
    }  # fmt: skip


def render_notes(boards: Sequence[Board], records: Sequence[Record]) -> Markup:
    """The text below the tables, from the Markdown page: HTML in it stays text."""
    parts = [
        render_order(boards[0]) if boards else "",
        render_remarks(records),
        "\n\n".join(render_method(boards, records)),
    ]
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render("\n\n".join(part for part in parts if part))
    opening = '<div class="scroll" role="region" tabindex="0" aria-label="{}"><table>'
    html = html.replace("<table>", opening.format("Neighbours in the ranking")).replace("</table>", "</table></div>")
    return Markup(html)  # noqa: S704, markdown-it escapes what is not Markdown
