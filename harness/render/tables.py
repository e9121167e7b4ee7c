"""The paper's tables and the challenge's final table, published beside measured, as Markdown."""

from collections.abc import Iterator, Sequence

from harness.published.claims import BASE, METRICS, OTHER_SEED
from harness.published.comparison import Comparison
from harness.published.verdicts import Judgement
from harness.render.cells import EMPTY, Row, escape, format_estimate, format_number, render_table

TEXTS = ("method", "team", "condition", "column", "submission", "network", "trained on", "sha256", "measured with")
ABLATION = {"psnr_db": ("PSNR", "PSNR", 2), "ms_ssim": ("SSIM", "MS-SSIM", 4), "niqe": ("NIQE", "NIQE", 2)}
"""What a metric of Table 5 is called in the paper and here, and its decimals."""


def render_tables(comparison: Comparison) -> str:
    """The whole page reports/tables.md."""
    methods, same_data, ablation, teams, sources = (
        frame.to_dict("records")
        for frame in (
            comparison.methods,
            comparison.same_data,
            comparison.ablation,
            comparison.teams,
            comparison.sources,
        )
    )
    judgements = comparison.judgements
    sections = [
        "# Published and measured",
        _render_introduction(comparison),
        "## Table 2: PSNR and SSIM",
        _render_table([_format_quality(row) for row in methods]),
        _render_judgement(judgements["table2"]),
        "## Table 3: NIQE (lower is better)",
        _render_table([_format_niqe(row) for row in methods]),
        _render_judgement(judgements["table3"]),
        "## Table 4: time for one photo of 1280x720",
        _render_table([_format_time(row) for row in methods]),
        _render_judgement(judgements["table4"]),
        "## Table 5: ablation of losses and noise",
        _render_table([_format_condition(row) for row in ablation]),
        "The change from full losses and noise, with its 95 % interval:",
        _render_table([*_format_changes(ablation)]),
        _render_judgement(judgements["table5"]),
        "## Same data: every network trained on the same 300 pairs",
        _render_table([_format_same_data(row) for row in same_data]),
        _render_judgement(judgements["same_data"]),
        "## Final table of the challenge, track B: scores",
        _render_table([_format_scores(row, comparison.scores) for row in teams]),
        _render_judgement(judgements["final_scores"]),
        "## Final table of the challenge, track B: columns",
        "As published:",
        _render_table([_format_team(row) for row in teams]),
        *_render_measured_teams(teams),
        _render_judgement(judgements["final_columns"]),
        "## Submissions that were measured",
        _render_sources(sources),
    ]
    return "\n\n".join(sections) + "\n"


def _render_introduction(comparison: Comparison) -> str:
    machines = "; ".join(escape(machine) for machine in comparison.machines)
    return (
        f"The tables are those of *{escape(comparison.published.paper.title)}*. "
        "`python -m harness tables` makes this page from the records.\n\n"
        "- `22.4 ± 0.5` was measured here: a value and half the width of its 95 % interval, by bootstrap over images "
        "or, for time, over pairs of processes. A difference is measured less published.\n"
        "- Quality was measured on the challenge's validation pairs (dataset `pirm2018b`): on the 100 of the split "
        "`test`, on which no submission of this repository was trained. NIQE and time were measured on its photos.\n"
        "- `published only` and `not published` in the last column give the reason where nothing was measured.\n"
        "- The verdict under a table counts pairs of methods. Two are too close to tell where their difference, on the "
        "same images, has 0 in its 95 % interval.\n"
        f"- Machine: {machines or 'none yet, there are no records'}."
    )


def _render_table(rows: Sequence[Row]) -> str:
    return render_table(rows, texts=TEXTS)


def _render_judgement(judgement: Judgement) -> str:
    """The verdict's and notes' words are the package's own; findings can quote other files."""
    notes = [*judgement.notes, *(escape(finding) for finding in judgement.findings)]
    return "\n\n".join([f"**{judgement.verdict}**", *(["\n".join(f"- {note}" for note in notes)] if notes else [])])


def _format_quality(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "PSNR published": format_number(row["psnr"], 2),
        "PSNR measured": format_estimate(row, "test_psnr", 2),
        "PSNR difference": format_number(row["psnr_difference"], 2, sign="+"),
        "SSIM published": format_number(row["ssim"], 4),
        "MS-SSIM measured": format_estimate(row, "test_ms_ssim", 4),
        "SSIM difference": format_number(row["ssim_difference"], 4, sign="+"),
        "measured with": escape(row["quality_with"]),
    }


def _format_niqe(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "NIQE published": format_number(row["niqe"], 2),
        "NIQE measured": format_estimate(row, "photo_niqe", 2),
        "NIQE difference": format_number(row["niqe_difference"], 2, sign="+"),
        "measured with": escape(row["niqe_with"]),
    }


def _format_time(row: Row) -> dict[str, str]:
    return {
        "method": escape(row["title"]),
        "ms published": format_number(row["time_ms"], 0),
        "ms measured": format_estimate(row, "own_time_ms", 0),
        "times SRCNN's published": format_number(row["time_ratio"], 2),
        "times SRCNN's measured": format_estimate(row, "own_time_ratio", 3),
        "measured / published ratio": format_estimate(row, "time_factor", 2),
        "measured with": escape(row["time_with"]),
    }


def _format_condition(row: Row) -> dict[str, str]:
    cells = {"condition": _name_condition(row)}
    for metric, (published, measured, digits) in ABLATION.items():
        cells |= {
            f"{published} published": format_number(row[METRICS[metric]], digits),
            f"{measured} measured": format_number(row[metric], digits),
            f"{published} difference": format_number(row[f"{metric}_off"], digits, sign="+"),
        }
    return cells


def _format_changes(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    base = next(row for row in rows if row["condition"] == BASE)
    for row in rows:
        if row is base:
            continue
        cells = {"condition": _name_condition(row)}
        for metric, (published, measured, digits) in ABLATION.items():
            change = row[METRICS[metric]] - base[METRICS[metric]]
            cells[f"{published} published"] = format_number(change, digits, sign="+")
            cells[f"{measured} measured"] = _format_interval(row, metric, digits)
        yield cells


def _name_condition(row: Row) -> str:
    """The run that is not the paper's stands out by its slanted title."""
    title = escape(row["title"])
    return f"*{title}*" if row["condition"] == OTHER_SEED else title


def _format_interval(row: Row, metric: str, digits: int) -> str:
    """'-0.31 [-0.45, -0.17]': a change and its 95 % interval, which need not lie evenly around it."""
    middle, low, high = (
        format_number(row[f"{metric}_{end}"], digits, sign="+") for end in ("difference", "low", "high")
    )
    return middle if EMPTY in (low, high) else f"{middle} [{low}, {high}]"


def _format_same_data(row: Row) -> dict[str, str]:
    """No differences: nothing was published of the same training."""
    cells = _format_quality(row) | _format_niqe(row)
    kept = {heading: cell for heading, cell in cells.items() if "difference" not in heading}
    del kept["measured with"]  # that of NIQE, in the middle
    return kept | {"measured with": escape(row["quality_with"])}


def _format_team(row: Row) -> dict[str, str]:
    return {
        "team": escape(row["name"]),
        "PSNR": format_number(row["psnr"], 2),
        "MS-SSIM": format_number(row["ms_ssim"], 4),
        "MOS": format_number(row["mos"], 4),
        "CPU ms": format_number(row["time"], 0),
        "GPU ms": format_number(row["gpu_ms"], 0),
        "Razer Phone ms": _format_printed(row["razer_phone_ms"]),
        "Huawei P20 ms": _format_printed(row["huawei_p20_ms"]),
        "RAM GB": format_number(row["ram_gb"], 1),
        "measured with": escape(row["measured_with"]),
    }


def _format_printed(cell: float | str) -> str:
    """Whole ms, or the word that stands in their place."""
    return escape(cell) if isinstance(cell, str) else format_number(cell, 0)


def _render_measured_teams(teams: Sequence[Row]) -> list[str]:
    """The teams that have a submission here, a line a column; nothing where no team has one."""
    rows = [cells for row in teams if row["submission"] for cells in _format_measured_team(row)]
    return ["Measured here:", _render_table(rows)] if rows else []


def _format_measured_team(row: Row) -> Iterator[dict[str, str]]:
    factor = format_estimate(row, "time_factor", 2)
    lines = (
        ("PSNR", format_number(row["psnr"], 2), format_estimate(row, "test_psnr", 2), "psnr_difference", 2),
        ("MS-SSIM", format_number(row["ms_ssim"], 4), format_estimate(row, "test_ms_ssim", 4), "ssim_difference", 4),
    )
    start = {"team": escape(row["name"]), "submission": escape(row["submission"])}
    for column, published, measured, difference, digits in lines:
        cells = {"column": column, "published": published, "measured": measured}
        yield start | cells | {"difference": format_number(row[difference], digits, sign="+")}
    ratio = {
        "column": "CPU time, times SRCNN's",
        "published": format_number(row["time_ratio"], 2),
        "measured": format_estimate(row, "own_time_ratio", 3),
        "difference": factor if factor == EMPTY else f"{factor} times as much",
    }
    memory = {
        "column": "RAM GB",
        "published": format_number(row["ram_gb"], 1),
        "measured": format_number(row["peak_gb"], 1),
        "difference": EMPTY,
    }
    yield from (start | ratio, start | memory)


def _format_scores(row: Row, scores: Sequence[str]) -> dict[str, str]:
    cells = {"team": escape(row["name"])}
    for score in scores:
        cells[f"{escape(score)} published"] = format_number(row[f"{score}_published"], 2)
        cells[f"{escape(score)} recomputed"] = format_number(row[score], 2)
    return cells | {"agrees": "yes" if row["agrees"] else "**no**"}


def _render_sources(sources: Sequence[Row]) -> str:
    """Each file that was measured, and what it scores on all pairs where it was trained on none."""
    if not sources:
        return "Nothing yet."
    rows = [
        {
            "submission": escape(row["submission"]),
            "network": escape(row["title"]),
            "trained on": escape(row["trained_on"]),
            "sha256": row["sha256"][:16],
            "PSNR, all 400 pairs": format_estimate(row, "all_psnr", 2),
            "MS-SSIM, all 400 pairs": format_estimate(row, "all_ms_ssim", 4),
        }
        for row in sources
    ]
    return f"The last two columns are of the submissions that were trained on none of them.\n\n{_render_table(rows)}"
