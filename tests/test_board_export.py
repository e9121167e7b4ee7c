"""`harness export`: the same figures as the board's frame, in formats that other programs read back."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored import TEST, make_record

from harness.boards import Board, build_boards
from harness.challenge import read_challenge
from harness.errors import UsageError
from harness.export import export_boards, join_boards
from harness.render.latex import render_latex


@pytest.fixture(scope="module")
def boards() -> tuple[Board, ...]:
    records = [
        make_record("fast_net", psnr=24.0, ms=50.0),
        make_record("50%_net", split="test", images=TEST),
        make_record("untimed", ms=None),
    ]
    return build_boards(records, read_challenge("pirm2018b"))


def export(boards: tuple[Board, ...], format_name: str) -> str:
    return export_boards(boards, format_name, None)


def check_frame(read: pd.DataFrame, boards: tuple[Board, ...]) -> None:
    """The same rows, columns and figures to the last bit."""
    expected = join_boards(boards)
    assert list(read.columns) == list(expected.columns)
    assert len(read) == sum(len(board.frame) for board in boards) == 5
    for name in expected:
        if pd.api.types.is_numeric_dtype(expected[name]):
            np.testing.assert_array_equal(
                read[name].to_numpy(float, na_value=np.nan), expected[name].to_numpy(float, na_value=np.nan)
            )
        else:
            texts, wanted = (frame[name].astype(object).fillna("").tolist() for frame in (read, expected))
            assert texts == wanted


def test_rows_say_what_they_belong_to(boards: tuple[Board, ...]) -> None:
    frame = join_boards(boards)
    assert list(frame.columns[:8]) == [
        *("challenge", "phase", "dataset", "dataset_sha256", "split", "pairs", "photos", "rank"),
    ]
    assert frame.groupby("split", sort=False)["pairs"].unique().map(list).to_dict() == {"test": [5], "all": [20]}
    assert frame["rank"].isna().sum() == 2  # the one without a time, on both boards
    assert {"A_low", "A_high", "A_first", "psnr_png", "peak_bytes"} <= set(frame.columns)


def test_csv_holds_every_figure(boards: tuple[Board, ...]) -> None:
    check_frame(pd.read_csv(io.StringIO(export(boards, "csv"))), boards)


def test_json_holds_every_figure(boards: tuple[Board, ...]) -> None:
    rows = json.loads(export(boards, "json"))
    assert rows[0]["rank"] == 1
    assert [row["A"] is None for row in rows] == [row["submission"] == "untimed" for row in rows]
    check_frame(pd.DataFrame(rows), boards)


def test_parquet_holds_every_figure(boards: tuple[Board, ...], tmp_path: Path) -> None:
    export_boards(boards, "parquet", tmp_path / "board.parquet")
    check_frame(pd.read_parquet(tmp_path / "board.parquet"), boards)


def test_parquet_without_pyarrow_says_how_to_install(
    boards: tuple[Board, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'efficient-enhancement-harness\[parquet\]'"):
        export_boards(boards, "parquet", tmp_path / "board.parquet")


def test_parquet_is_no_text(boards: tuple[Board, ...]) -> None:
    with pytest.raises(UsageError, match="Parquet is no text; name a file with --out"):
        export(boards, "parquet")


def test_latex_is_a_table_for_each_board(boards: tuple[Board, ...]) -> None:
    tables = render_latex(boards).split("% pirm2018b")[1:]
    assert [table.splitlines()[0] for table in tables] == [
        ", split test: 5 pairs, scores of the validation phase",
        ", split all: 20 pairs, scores of the validation phase",
    ]
    lines = tables[0].splitlines()
    header, *rows = (line for line in lines if line.endswith(r"\\"))
    assert header.startswith(
        r"Rank & Submission & Score A & Score B & Score C & PSNR (dB) & MS-SSIM & NIQE $\downarrow$"
    )
    assert len(rows) == 3
    assert {line.count(" & ") for line in (header, *rows)} == {9}
    assert rows[0].startswith(r"1 & fast\_net & ")
    assert any(row.startswith(r"2 & 50\%\_net & ") for row in rows)
    assert r" $\pm$ " in rows[0]
    assert [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")] == [
        *(r"\toprule", r"\midrule", r"\bottomrule")
    ]


def test_a_file_is_written_and_only_a_file_is_replaced(boards: tuple[Board, ...], tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    assert export_boards(boards, "csv", path) == ""
    assert path.read_text() == export(boards, "csv")
    with pytest.raises(UsageError, match="is no file that could be replaced"):
        export_boards(boards, "csv", tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        export_boards(boards, "csv", path / "below")


def test_an_unknown_format_is_named(boards: tuple[Board, ...]) -> None:
    with pytest.raises(UsageError, match="unknown format 'xlsx'; known are csv, json, latex, parquet"):
        export(boards, "xlsx")
