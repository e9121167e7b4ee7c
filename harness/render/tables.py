"""The paper's tables and the challenge's final table, published beside measured, as Markdown."""

from collections.abc import Sequence

import pandas as pd

from harness.published import Comparison
from harness.render.cells import EMPTY, Row, escape, format_estimate, format_number, render_table


def render_tables(comparison: Comparison) -> str:
    """The whole page reports/tables.md."""
    methods, same_data, teams = (
        frame.to_dict("records") for frame in (comparison.methods, comparison.same_data, comparison.teams)
    )
    remarks, texts = comparison.remarks, ("method", "team", "submission here")
    sections = [
        "# Published and measured",
        _render_introduction(comparison),
        "## Table 2: PSNR and SSIM",
        render_table([_format_quality(row) for row in methods], texts=texts),
        _render_list(remarks["table2"]),
        "## Table 3: NIQE (lower is better)",
        render_table([_format_niqe(row) for row in methods], texts=texts),
        _render_list(remarks["table3"]),
        "## Table 4: time for one photo of 1280x720",
        render_table([_format_time(row) for row in methods], texts=texts),
        _render_list(remarks["table4"]),
        "## Same data: every network trained on the same 300 pairs",
        render_table([_format_same_data(row) for row in same_data], texts=texts),
        _render_list(remarks["same_data"]),
        "## Final table of the challenge, track B: columns",
        render_table([_format_team(row) for row in teams], texts=texts),
        "## Final table of the challenge, track B: scores",
        render_table([_format_scores(row, comparison.scores) for row in teams], texts=texts),
        _render_list(remarks["final_table"]),
        "## What each method was measured with",
        _render_sources(methods),
        "For the table of the same data:",
        _render_sources(same_data),
    ]
    return "\n\n".join(sections) + "\n"


def _render_introduction(comparison: Comparison) -> str:
    machines = "; ".join(escape(machine) for machine in comparison.machines)
    return (
        f"Tables 2 to 4 are those of *{escape(comparison.published.paper.title)}*. "
        "`python -m harness tables` makes this page from the records.\n\n"
        "- `22.4 ± 0.5` was measured here: a value and half the width of its 95 % interval, by bootstrap over images "
        "or, for time, over pairs of processes.\n"
        "- **test** is the 100 pairs on which no submission of this repository was trained, **all** the 400 pairs. "
        "A difference is measured less published, on test.\n"
        f"- `{EMPTY}` was not published or not measured; [the last section](#what-each-method-was-measured-with) says "
        "why.\n"
        f"- Machine: {machines or 'none yet, there are no records'}."
    )


def _format_quality(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "PSNR published": format_number(row["psnr"], 2),
        "PSNR test (100)": format_estimate(row, "test_psnr", 2),
        "PSNR all (400)": format_estimate(row, "all_psnr", 2),
        "PSNR difference": format_number(row["psnr_difference"], 2, sign="+"),
        "SSIM published": format_number(row["ssim"], 4),
        "MS-SSIM test (100)": format_estimate(row, "test_ms_ssim", 4),
        "MS-SSIM all (400)": format_estimate(row, "all_ms_ssim", 4),
        "SSIM difference": format_number(row["ssim_difference"], 4, sign="+"),
    }


def _format_niqe(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "NIQE published": format_number(row["niqe"], 2),
        "NIQE measured": format_estimate(row, "photo_niqe", 2),
        "difference": format_number(row["niqe_difference"], 2, sign="+"),
    }


def _format_time(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "ms published": format_number(row["time_ms"], 0),
        "ms measured": format_estimate(row, "own_time_ms", 0),
        "times SRCNN's published": format_number(row["time_ratio"], 2),
        "times SRCNN's measured": format_estimate(row, "own_time_ratio", 3),
    }


def _format_same_data(row: Row) -> dict[str, str]:
    """The cells of Tables 2 to 4 that mean something here: nothing was published of the same training."""
    cells = _format_quality(row) | _format_niqe(row) | _format_time(row)
    left_out = (
        "PSNR all (400)",
        "PSNR difference",
        "MS-SSIM all (400)",
        "SSIM difference",
        "difference",
        "ms published",
    )
    kept = {heading: cell for heading, cell in cells.items() if heading not in left_out}
    return kept | {"submission here": escape(row["submission"])}


def _format_team(row: Row) -> dict[str, str]:
    return {
        "team": escape(row["name"]),
        "PSNR": format_number(row["psnr"], 2),
        "PSNR test (100)": format_estimate(row, "test_psnr", 2),
        "PSNR all (400)": format_estimate(row, "all_psnr", 2),
        "MS-SSIM": format_number(row["ms_ssim"], 4),
        "MS-SSIM test (100)": format_estimate(row, "test_ms_ssim", 4),
        "MS-SSIM all (400)": format_estimate(row, "all_ms_ssim", 4),
        "MOS": format_number(row["mos"], 4),
        "CPU ms": format_number(row["time"], 0),
        "times SRCNN's": format_number(row["time_ratio"], 2),
        "times SRCNN's measured": format_estimate(row, "own_time_ratio", 3),
        "RAM GB": format_number(row["ram_gb"], 1),
        "submission here": EMPTY if pd.isna(row["submission"]) else escape(row["submission"]),
    }


def _format_scores(row: Row, scores: Sequence[str]) -> dict[str, str]:
    cells = {"team": escape(row["name"])}
    for score in scores:
        cells[f"{score} published"] = format_number(row[f"{score}_published"], 2)
        cells[f"{score} recomputed"] = format_number(row[score], 2)
    return cells | {"agrees": "yes" if row["agrees"] else "**no**"}


def _render_sources(methods: Sequence[Row]) -> str:
    rows = [{"method": escape(row["title"]), "measured with": escape(row["measured_by"])} for row in methods]
    return render_table(rows, texts=("method", "measured with"))


def _render_list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)
