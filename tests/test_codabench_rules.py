"""The rules of Codabench that bundles are held against find each breach, and nothing in a bundle that holds."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from codabench_rules import find_breaches
from PIL import Image

TABLE = """
version: 2
title: T
image: logo.png
terms: terms.md
registration_auto_approve: true
pages: [{title: Overview, file: overview.md}]
tasks: [{index: 0, name: Task, scoring_program: program.zip, reference_data: truth}]
solutions: [{index: 0, tasks: [0], path: sample.zip}]
phases:
  - {index: 0, name: First, start: "2030-01-01", end: "2030-01-31 23:59:59", tasks: [0], execution_time_limit: 600}
  - {index: 1, name: Last, start: "2030-02-01", tasks: [0], auto_migrate_to_this_phase: true}
fact_sheet: {m: {key: m, type: text, title: M, selection: "", is_required: "false", is_on_leaderboard: "true"}}
leaderboards:
  - title: Results
    key: main
    submission_rule: Force_Last
    columns:
      - {title: A, key: a, index: 0, sorting: desc, precision: 3}
      - {title: B, key: b, index: 1, sorting: asc}
      - {title: Both, key: both, index: 2, computation: avg, computation_indexes: [0, 1]}
"""


def zip_files(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def draw() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "logo.png": draw(),
    "terms.md": b"Terms",
    "overview.md": b"Overview",
    "program.zip": zip_files({"metadata.yaml": b"command: python3 /app/program/a.py /app/input", "a.py": b"pass"}),
    "truth/a.txt": b"1",
    "sample.zip": zip_files({"a": b""}),
}


def write(folder: Path, table: Any, files: dict[str, bytes]) -> Path:
    path = folder / "bundle.zip"
    path.write_bytes(zip_files({**files, "competition.yaml": yaml.safe_dump(table).encode()}))
    return path


def test_a_bundle_that_holds_has_no_breach(tmp_path: Path) -> None:
    assert find_breaches(write(tmp_path, yaml.safe_load(TABLE), FILES)) == []


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (lambda t: t.update(version=1), "version"),
        (lambda t: t.pop("title"), "title"),
        (lambda t: t.update(title="x" * 257), "title"),
        (lambda t: t.update(image="none.png"), "image"),
        (lambda t: t.update(image="terms.md"), "image"),
        (lambda t: t.update(terms="none.md"), "terms"),
        (lambda t: t.update(registration_auto_approve="yes"), "registration_auto_approve"),
        (lambda t: t.update(leaderboard=[]), "unknown key leaderboard"),
        (lambda t: t["pages"][0].update(file="none.md"), "page"),
        (lambda t: t.pop("tasks"), "no tasks"),
        (lambda t: t["tasks"].append(t["tasks"][0]), "indexes of tasks"),
        (lambda t: t["tasks"][0].pop("scoring_program"), "scoring program"),
        (lambda t: t["tasks"][0].update(reference_data="none"), "reference_data"),
        (lambda t: t["tasks"][0].update(reference_data="not-a-uuid"), "reference_data"),
        (lambda t: t["solutions"][0].update(tasks=[1]), "solution"),
        (lambda t: t["solutions"][0].update(path="none.zip"), "solution"),
        (lambda t: t.pop("phases"), "no phases"),
        (lambda t: t["phases"][0].pop("tasks"), "tasks"),
        (lambda t: t["phases"][0].update(tasks=[7]), "tasks"),
        (lambda t: t["phases"][0].pop("end"), "without an end"),
        (lambda t: t["phases"][0].update(end="2030-02-01"), "before the one before"),
        (lambda t: t["phases"][0].update(end="2029-01-01"), "ends before"),
        (lambda t: t["phases"][0].update(start="soon"), "no date"),
        (lambda t: t["phases"][0].update(auto_migrate_to_this_phase=True), "migrate"),
        (lambda t: t["phases"][0].update(execution_time_limit_ms=1), "unknown key"),
        (lambda t: t["phases"][0].update(starting_kit="none.zip"), "starting_kit"),
        (lambda t: t.pop("leaderboards"), "no leaderboards"),
        (lambda t: t["leaderboards"][0].update(columns=[]), "no columns"),
        (lambda t: t["leaderboards"][0].update(submission_rule="Best"), "submission_rule"),
        (lambda t: t["leaderboards"][0]["columns"][1].update(index=0), "indexes of columns"),
        (lambda t: t["leaderboards"][0]["columns"][1].update(key="a"), "same key"),
        (lambda t: t["leaderboards"][0]["columns"][0].update(key="k" * 37), "key"),
        (lambda t: t["leaderboards"][0]["columns"][0].update(title="k" * 37), "title"),
        (lambda t: t["leaderboards"][0]["columns"][0].update(sorting="up"), "sorting"),
        (lambda t: t["leaderboards"][0]["columns"][0].update(precision="3"), "precision"),
        (lambda t: t["leaderboards"][0]["columns"][2].update(computation_indexes=[2]), "its own column"),
        (lambda t: t["leaderboards"][0]["columns"][2].pop("computation"), "computation"),
        (lambda t: t["fact_sheet"]["m"].pop("title"), "question"),
        (lambda t: t["fact_sheet"]["m"].update(type="number"), "type"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, change: Callable[[Any], object], breach: str) -> None:
    table = yaml.safe_load(TABLE)
    change(table)
    found = find_breaches(write(tmp_path, table, FILES))
    assert any(breach in line for line in found), found


@pytest.mark.parametrize(
    ("files", "breach"),
    [
        ({"terms.md": b""}, "terms"),
        ({"overview.md": b""}, "page"),
        ({"logo.png": b"no picture"}, "image"),
        ({"program.zip": b"no zip"}, "scoring_program"),
        ({"program.zip": zip_files({"a.py": b""})}, "no metadata.yaml"),
        ({"program.zip": zip_files({"metadata.yaml": b"command:"})}, "no command"),
        ({"program.zip": zip_files({"metadata.yaml": b"command: a && b"})}, "shell"),
        ({"program.zip": zip_files({"metadata.yaml": b"command: python3 /app/program/b.py"})}, "program lacks"),
    ],
)
def test_a_faulty_file_is_found(tmp_path: Path, files: dict[str, bytes], breach: str) -> None:
    table = yaml.safe_load(TABLE)
    found = find_breaches(write(tmp_path, table, FILES | files))
    assert any(breach in line for line in found), found


def test_dates_without_quotes_lose_their_time_of_day(tmp_path: Path) -> None:
    table = yaml.safe_load(TABLE.replace('"2030-01-31 23:59:59"', "2030-01-01 23:59:59"))
    assert "a phase ends before it starts" in find_breaches(write(tmp_path, table, FILES))


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"no zip")
    assert find_breaches(path) == ["it is no zip"]
    path.write_bytes(zip_files({"folder/competition.yaml": b"version: 2"}))
    assert find_breaches(path) == ["competition.yaml is not at its top"]
