"""The paper's tables and the challenge's final table, published beside measured, as markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from harness.published import Comparison

EMPTY = "-"
Row = Mapping[Any, Any]


def render_tables(comparison: Comparison) -> str:
    """The whole page reports/tables.md."""
    methods, teams = comparison.methods.to_dict("records"), comparison.teams.to_dict("records")
    remarks = comparison.remarks
    sections = [
        "# Published and measured",
        _render_introduction(comparison),
        "## Table 2: PSNR and SSIM",
        _render_table(QUALITY_HEADER, [_format_quality(row) for row in methods]),
        _render_list(remarks["table2"]),
        "## Table 3: NIQE (lower is better)",
        _render_table(NIQE_HEADER, [_format_niqe(row) for row in methods]),
        _render_list(remarks["table3"]),
        "## Table 4: time for one photo of 1280x720",
        _render_table(TIME_HEADER, [_format_time(row) for row in methods]),
        _render_list(remarks["table4"]),
        "## Final table of the challenge, track B: columns",
        _render_table(TEAM_HEADER, [_format_team(row) for row in teams]),
        "## Final table of the challenge, track B: scores",
        _render_table(
            _list_score_headings(comparison.scores), [_format_scores(row, comparison.scores) for row in teams]
        ),
        _render_list(remarks["final_table"]),
    ]
    return "\n\n".join(sections) + "\n"


QUALITY_HEADER = [
    "method", "PSNR published", "test (100)", "all (400)", "difference",
    "SSIM published", "MS-SSIM test (100)", "all (400)", "difference", "measured with",
]  # fmt: skip
NIQE_HEADER = ["method", "NIQE published", "measured", "difference", "measured with"]
TIME_HEADER = ["method", "ms published", "ms measured", "ratio to SRCNN published", "measured", "measured with"]
TEAM_HEADER = [
    "team", "PSNR", "test (100)", "all (400)", "MS-SSIM", "test (100)", "all (400)", "MOS", "CPU ms",
    "ratio to SRCNN", "measured", "RAM GB", "submission here",
]  # fmt: skip


def _render_introduction(comparison: Comparison) -> str:
    return (
        f"Tables 2 to 4 are those of *{comparison.published.paper.title}*. Made from the records by `harness tables`. "
        "A measured value stands with its 95 % interval: [low, high], a bootstrap over images for quality and over "
        "pairs of processes for time. `test` is the 100 pairs on which no submission of this repository was trained, "
        "`all` the 400 pairs; a difference is measured less published, on `test`. "
        f"`{EMPTY}`: not published or not measured.\n\n"
        f"Measured on: {'; '.join(comparison.machines) or 'nothing yet, there are no records'}."
    )


def _format_quality(row: Row) -> list[str]:
    return [
        row["title"],
        _format(row["psnr"], 2),
        _format_interval(row, "test_psnr", 2),
        _format_interval(row, "all_psnr", 2),
        _format(row["psnr_difference"], 2, sign="+"),
        _format(row["ssim"], 4),
        _format_interval(row, "test_ms_ssim", 4),
        _format_interval(row, "all_ms_ssim", 4),
        _format(row["ssim_difference"], 4, sign="+"),
        row["measured_by"],
    ]


def _format_niqe(row: Row) -> list[str]:
    measured = _format_interval(row, "photo_niqe", 2)
    return [
        row["title"],
        _format(row["niqe"], 2),
        measured,
        _format(row["niqe_difference"], 2, sign="+"),
        row["measured_by"],
    ]


def _format_time(row: Row) -> list[str]:
    return [
        row["title"],
        _format(row["time_ms"], 0),
        _format_interval(row, "own_time_ms", 0),
        _format(row["time_ratio"], 2),
        _format_interval(row, "own_time_ratio", 2),
        row["measured_by"],
    ]


def _format_team(row: Row) -> list[str]:
    return [
        row["name"],
        _format(row["psnr"], 2),
        _format_interval(row, "test_psnr", 2),
        _format_interval(row, "all_psnr", 2),
        _format(row["ms_ssim"], 4),
        _format_interval(row, "test_ms_ssim", 4),
        _format_interval(row, "all_ms_ssim", 4),
        _format(row["mos"], 4),
        _format(row["time"], 0),
        _format(row["time_ratio"], 2),
        _format_interval(row, "own_time_ratio", 2),
        _format(row["ram_gb"], 1),
        EMPTY if pd.isna(row["submission"]) else row["submission"],
    ]


def _list_score_headings(scores: Sequence[str]) -> list[str]:
    return ["team", *(f"{score} {kind}" for score in scores for kind in ("published", "recomputed")), "agrees"]


def _format_scores(row: Row, scores: Sequence[str]) -> list[str]:
    cells = [_format(row[name], 2) for score in scores for name in (f"{score}_published", score)]
    return [row["name"], *cells, "yes" if row["agrees"] else "**no**"]


def _format(value: float, digits: int, sign: str = "") -> str:
    return EMPTY if math.isnan(value) else f"{value:{sign}.{digits}f}"


def _format_interval(row: Row, name: str, digits: int) -> str:
    if math.isnan(row[name]):
        return EMPTY
    low, high = (_format(row[f"{name}_{end}"], digits) for end in ("low", "high"))
    return f"{_format(row[name], digits)} [{low}, {high}]"


def _render_table(header: list[str], rows: list[list[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(escaped, headers=header, tablefmt="github", disable_numparse=True)


def _render_list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
