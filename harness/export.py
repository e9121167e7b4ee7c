"""The leaderboard's figures for other programs: all of them as CSV, JSON or Parquet, a table for a paper as LaTeX."""

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from harness.boards import Board
from harness.errors import UsageError
from harness.files import write_named
from harness.render.latex import render_latex


def join_boards(boards: Sequence[Board]) -> pd.DataFrame:
    """All boards in one frame: what a row belongs to (challenge, phase, dataset, split), then `Board.frame`'s columns.

    A submission has a row for each split that its record covers.
    """
    return pd.concat([label_rows(board) for board in boards], ignore_index=True)


def label_rows(board: Board) -> pd.DataFrame:
    """A board's frame with its place in front."""
    place: dict[str, Any] = {
        "challenge": board.challenge.name,
        "phase": board.phase.label,
        "dataset": board.dataset,
        "dataset_sha256": board.dataset_sha256,
        "split": board.split,
        "pairs": board.pair_count,
        "photos": board.photo_count,
    }
    frame = board.frame.assign(rank=board.frame["rank"].astype("Int64"), **place)
    return frame[[*place, *board.frame.columns]]


def list_rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """The rows of all boards as JSON can hold them: what was not measured is None."""
    frame = join_boards(boards).astype(object)  # pandas' own JSON cuts floats off
    return [
        {str(name): value for name, value in row.items()} for row in frame.where(frame.notna(), None).to_dict("records")
    ]


def _encode_csv(boards: Sequence[Board]) -> bytes:
    return join_boards(boards).to_csv(index=False).encode()


def _encode_json(boards: Sequence[Board]) -> bytes:
    return (json.dumps(list_rows(boards), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _encode_parquet(boards: Sequence[Board]) -> bytes:
    buffer = BytesIO()
    try:
        join_boards(boards).to_parquet(buffer, index=False)
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'efficient-enhancement-harness[parquet]', or choose another --format."
        ) from None
    return buffer.getvalue()


def _encode_latex(boards: Sequence[Board]) -> bytes:
    return render_latex(boards).encode()


ENCODERS: Mapping[str, Callable[[Sequence[Board]], bytes]] = {
    "csv": _encode_csv,
    "json": _encode_json,
    "latex": _encode_latex,
    "parquet": _encode_parquet,
}
"""By the name of the format."""


def export_boards(boards: Sequence[Board], format_name: str, path: Path | None) -> str:
    """Write boards to a file; without one, return the text. Raises UsageError for a format or file that does not do."""
    if format_name not in ENCODERS:
        raise UsageError(f"unknown format {format_name!r}; known are {', '.join(ENCODERS)}.")
    if path is None and format_name == "parquet":
        raise UsageError("Parquet is no text; name a file with --out.")
    content = ENCODERS[format_name](boards)
    if path is None:
        return content.decode()
    write_named(path, content)
    return ""
