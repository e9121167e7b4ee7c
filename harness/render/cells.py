"""Cells of the Markdown pages: figures with their intervals, and text from elsewhere, made harmless."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

EMPTY = "-"
MOST_CHARACTERS = 500
DIGITS = {"psnr": 2, "ssim": 4, "ms_ssim": 4, "niqe": 2}
"""Decimals of each metric, as many as its interval deserves."""

Row = Mapping[Any, Any]

# Only what would mean something: an underscore inside a word does not, and a < before a space opens no tag.
_MARKUP = re.compile(
    r"[\\`*\[\]|~$]|<(?=\S)|&(?=#?\w+;)|(?<![a-z0-9])_|_(?![a-z0-9])|(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE
)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}  # a backslash would leave <script in the text


def escape(text: str) -> str:
    """Plain text as one line of Markdown that shows just that text: no link, picture, HTML or new cell comes of it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > MOST_CHARACTERS:
        line = f"{line[:MOST_CHARACTERS]}..."
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)


def format_number(value: float | None, digits: int, *, divisor: float = 1, sign: str = "", missing: str = EMPTY) -> str:
    """A figure in a larger unit with so many decimals; sign="+" shows the sign always."""
    return missing if value is None or pd.isna(value) else f"{value / divisor:{sign}.{digits}f}"


def format_estimate(row: Row, name: str, digits: int) -> str:
    """'22.61 ± 0.51': the value and half the width of its interval."""
    if pd.isna(row[name]):
        return EMPTY
    half_width = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{row[name]:.{digits}f} ± {half_width:.{digits}f}"


def render_table(rows: Sequence[Mapping[str, str]], *, texts: Sequence[str]) -> str:
    """A table of cells by heading; columns of figures are set to the right, `texts` to the left."""
    align = ["left" if heading in texts else "right" for heading in rows[0]]
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=align)
