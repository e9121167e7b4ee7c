"""Cells of the Markdown pages: figures with their intervals, and text from elsewhere, made harmless."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from harness.challenge import Phase
from harness.metrics import find_metric
from harness.metrics.bridge import PREFIX

EMPTY = "-"
HUGE = 1e7
MOST_CHARACTERS = 500
LARGE = ("psnr", "psnry", "niqe", "ilniqe", "piqe", "brisque", "mad", "musiq", "paq2piq", "pi", "nrqm", "fid")
DIGITS = {name: 2 for metric in LARGE for name in (metric, f"{PREFIX}{metric}")}
"""Decimals of a metric, as many as its interval deserves: two where values are well above 1, four for the others."""

Row = Mapping[Any, Any]

# Only what would mean something: an underscore inside a word does not, and a < before a space opens no tag.
_MARKUP = re.compile(
    r"[\\`*\[\]|~$]|<(?=\S)|&(?=#?\w+;)|(?<![a-z0-9])_|_(?![a-z0-9])|(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE
)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}  # a backslash would leave <script in the text


def head_metric(name: str, *, lower_is_better: bool = False) -> str:
    """A metric's heading: label, unit, and ↓ where less is better.

    A metric of another library has its name, and the direction that is given: to ask would load the library.
    """
    if (metric := find_metric(name)) is None:
        return f"{name} ↓" if lower_is_better else name
    return f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}{'' if metric.higher_is_better else ' ↓'}"


def head_score(name: str, phase: Phase) -> str:
    """A score's heading, with ↓ where less is better."""
    return f"Score {name}{'' if phase.better == 'higher' else ' ↓'}"


def count_digits(name: str) -> int:
    """Decimals of a metric's values."""
    return DIGITS.get(name, 4)


def count_time_digits(milliseconds: float) -> int:
    """Decimals of a time in ms: three figures at least, as far as microseconds."""
    return next((digits for digits, least in enumerate((100, 10, 1)) if milliseconds >= least), 3)


def escape(text: str) -> str:
    """Plain text as one line of Markdown that shows just that text: no link, picture, HTML or new cell comes of it."""
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), flatten(text))


def flatten(text: str) -> str:
    """The same text on one line of bounded length, without control characters and marks that turn the direction."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}..."


def format_number(value: float | None, digits: int, *, divisor: float = 1, sign: str = "", missing: str = EMPTY) -> str:
    """A figure in a larger unit with so many decimals; sign="+" shows the sign always."""
    return missing if value is None or pd.isna(value) else f"{value / divisor:{sign}.{digits}f}"


def format_estimate(row: Row, name: str, digits: int) -> str:
    """'22.61 ± 0.51': the value and half the width of its interval."""
    if pd.isna(row[name]):
        return EMPTY
    half_width = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{format_value(row[name], digits)} ± {format_value(half_width, digits)}"


def format_value(value: float, digits: int) -> str:
    """A number with so many decimals; a huge one, as a formula may give, as a power of ten."""
    return f"{value:.{digits}f}" if abs(value) < HUGE else f"{value:.3e}"


def render_table(rows: Sequence[Mapping[str, str]], *, texts: Sequence[str]) -> str:
    """A table of cells by heading; columns of figures are set to the right, `texts` to the left."""
    align = ["left" if heading in texts else "right" for heading in rows[0]]
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=align)
