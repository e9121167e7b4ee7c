"""The leaderboard as text, in Markdown and in the terminal: complete, no gap hidden, and never an entrant's markup."""

import io
from collections.abc import Sequence

import msgspec
import pytest
from markdown_it import MarkdownIt  # comes with rich
from rich.console import Console
from stored import ALL, TEST, make_failure, make_record, replace_values

from harness.boards import build_boards
from harness.challenge import Challenge, read_challenge
from harness.records import Record
from harness.render.cells import MOST_CHARACTERS, escape, format_estimate, format_number, head_metric
from harness.render.markdown import render_leaderboard
from harness.render.terminal import render_board

replace = msgspec.structs.replace

HOSTILE = (
    "a|b <script>alert(1)</script> `code` **bold** ![pic](http://evil.example/x.png) "
    "[link](http://evil.example)\n\n# head"
)
HOSTILE_SHOWN = (
    r"a\|b &lt;script>alert(1)&lt;/script> \`code\` \*\*bold\*\* !\[pic\](http:\//evil.example/x.png) "
    r"\[link\](http:\//evil.example) # head"
)


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def render(challenge: Challenge, *records: Record, phase: str = "validation") -> str:
    return render_leaderboard(build_boards(records, challenge, phase=phase), records, challenge)


def read_table(page: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading."""
    lines = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines if line.startswith("|")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def print_board(records: Sequence[Record], challenge: Challenge, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, soft_wrap=True).print(render_board(build_boards(records, challenge)[0]))
    return stream.getvalue()


def test_every_column_is_there(challenge: Challenge) -> None:
    (row,) = read_table(render(challenge, make_record(seed=1)), "Split all: 20 pairs")
    assert list(row) == [
        "Rank", "Submission", "Score A", "Score B", "Score C", "P(first) by A, B, C (%)", "PSNR (dB)", "MS-SSIM",
        "NIQE ↓", "MOS (est.)", "Time (ms)", "Speed-up", "Peak RAM (MB)", "Model (MB)", "Multiply-adds (G)",
        "Parameters (k)", "Status",
    ]  # fmt: skip
    assert (row["Rank"], row["Submission"], row["Status"]) == ("1", "alpha", "ok")
    assert (row["Peak RAM (MB)"], row["Model (MB)"], row["Multiply-adds (G)"]) == ("500 (70 loaded)", "0.30", "63.7")


def test_order_says_what_would_swap_neighbours(challenge: Challenge) -> None:
    # 8 of PSNR ahead, 2 * 1 of speed behind: a quarter of PSNR's weight makes them level
    records = [make_record("clear", psnr=24.0, ms=200.0), make_record("fast", psnr=22.0, ms=100.0)]
    page = render(challenge, *records)
    (row,) = read_table(page, "How firm the order is")
    assert (row["Ahead"], row["Behind"], row["Score A apart"]) == ("clear", "fast", "6.00")
    assert row["Swapped by"] == "0.25 times `4 * (psnr - 21)`"
    assert row["Ahead in (%)"] == "100.0"
    assert "swaps two neighbours is 0.25 times `4 * (psnr - 21)` (clear and fast). MOS does not enter Score A" in page


def test_order_says_which_slope_of_mos_would_swap_neighbours(challenge: Challenge) -> None:
    records = [make_record("clear", psnr=24.0), make_record("natural", photos=(3.0, 3.0, 3.5, 3.5))]
    page = render(challenge, *records, phase="test")
    (row,) = read_table(page, "How firm the order is")
    slope = float(row["Swapped by a slope of MOS of"])
    scores = {r["Submission"]: float(r["Score A"].split()[0]) for r in read_table(page, "Split all")}
    # NIQE of 5.25 and 3.25: a slope changed by d moves the two apart by 100 * 0.0721 * 2 * d
    assert slope == pytest.approx(-0.315 + (scores["natural"] - scores["clear"]) / (100 * 0.0721 * 2), abs=0.01)
    assert f"the nearest one that swaps two neighbours is {slope:.3f} ({row['Ahead']} and {row['Behind']})" in page


def test_one_submission_has_no_neighbour(challenge: Challenge) -> None:
    assert "How firm the order is" not in render(challenge, make_record())


def test_cells_are_the_boards_figures(challenge: Challenge) -> None:
    record = make_record(seed=1)
    (row,) = read_table(render(challenge, record), "Split all")
    figures = build_boards([record], challenge)[0].frame.to_dict("records")[0]
    half_width = (figures["psnr_high"] - figures["psnr_low"]) / 2
    assert row["PSNR (dB)"] == f"{figures['psnr']:.2f} ± {half_width:.2f}"
    assert row["Time (ms)"].startswith(f"{figures['time']:.0f} ± ")
    assert row["Speed-up"].startswith("2.000 ± ")
    assert row["NIQE ↓"].startswith("5.25 ± ")


def test_rows_stand_in_order_of_rank(challenge: Challenge) -> None:
    page = render(challenge, make_record("worse", psnr=20.0), make_record("better", psnr=25.0))
    assert [(r["Rank"], r["Submission"]) for r in read_table(page, "Split all")] == [("1", "better"), ("2", "worse")]


def test_infinite_psnr_is_counted(challenge: Challenge) -> None:
    record = replace_values(make_record(), {"3": {"psnr": None}, "7": {"psnr": None}})
    page = render(challenge, record)
    assert read_table(page, "Split all")[0]["PSNR (dB)"].endswith(" (2 inf)")
    assert "counts as 54.15 dB" in page


def test_both_splits_have_a_table(challenge: Challenge) -> None:
    page = render(challenge, make_record("large"), make_record("small", split="test", images=TEST))
    assert page.index("## Split test: 5 pairs") < page.index("## Split all: 20 pairs")
    assert {row["Submission"] for row in read_table(page, "Split test")} == {"large", "small"}
    assert [row["Submission"] for row in read_table(page, "Split all")] == ["large"]


def test_untimed_submission_is_listed_without_rank(challenge: Challenge) -> None:
    page = render(challenge, make_record("untimed", ms=None))
    (row,) = read_table(page, "Split all")
    assert (row["Rank"], row["Score A"], row["Time (ms)"], row["Speed-up"]) == ("-", "-", "-", "-")
    assert row["Status"] == "ok, not timed"
    assert "speed_quality.png" not in page
    assert "speed_quality.png" in render(challenge, make_record("timed"), make_record("untimed", ms=None))


def test_gaps_are_dashes_never_nan(challenge: Challenge) -> None:
    record = make_record("alpha", photos=(), ms=None)
    bare = replace(record, memory=None, cost=replace(record.cost, multiply_adds=None))
    page = render(challenge, bare, make_failure("beta", "it crashed"), phase="test")
    assert "nan" not in page.lower()
    assert "none" not in page.lower()
    (row,) = read_table(page, "Split all")
    assert (row["NIQE ↓"], row["MOS (est.)"], row["Peak RAM (MB)"]) == ("-", "-", "-")
    assert row["Multiply-adds (G)"] == "unknown"


def test_those_without_a_result_are_listed_with_the_reason(challenge: Challenge) -> None:
    page = render(
        challenge,
        make_record("alpha"),
        make_failure("crashed", "it crashed at the second photo"),
        make_failure("greedy", "it needs 4.1 GB", status="disqualified", kind="out_of_memory"),
        make_failure("absent", "no file", status="unavailable", kind="missing"),
        make_failure("foreign", "pip install it", status="unavailable", kind="not_installed"),
    )
    assert read_table(page, "Not ranked") == [
        {"Submission": "crashed", "Status": "failed (run: crash)", "Reason": "it crashed at the second photo"},
        {"Submission": "greedy", "Status": "disqualified (run: out_of_memory)", "Reason": "it needs 4.1 GB"},
        {"Submission": "absent", "Status": "weights not available here", "Reason": "no file"},
        {"Submission": "foreign", "Status": "not run here", "Reason": "pip install it"},
    ]
    assert "## Not ranked" not in render(challenge, make_record("alpha"))


def test_page_of_failures_alone(challenge: Challenge) -> None:
    page = render(challenge, make_failure("crashed", "it crashed"))
    assert "No submission has a result yet" in page
    assert [row["Submission"] for row in read_table(page, "Not ranked")] == ["crashed"]
    assert [row["Submission"] for row in read_table(page, "Runs")] == ["crashed"]


def test_page_without_records(challenge: Challenge) -> None:
    assert render(challenge).splitlines()[2].startswith("No submission has a result yet: `python -m harness run")


def test_dataset_machine_and_commit_are_named(challenge: Challenge) -> None:
    record = make_record("alpha", title="The alpha network", trained_on="pirm2018b/train")
    changed = replace(record, environment=replace(record.environment, git_dirty=True))
    page = render(challenge, changed)
    assert "Dataset: **pirm2018b**, fingerprint `dddddddddddd`. A note." in page
    assert read_table(page, "Runs") == [
        {
            "Submission": "alpha",
            "Title": "The alpha network",
            "Trained on": "pirm2018b/train",
            "Model sha256": "616c706861ff",
            "Started (UTC)": "2026-01-02 03:04:05",
            "Commit": "012345678 with changes",
            "Machine": "Some CPU, 2 CPUs, Linux",
            "Python": "3.11.7",
            "ONNX Runtime": "1.32.0",
            "Isolation": "-",
        }
    ]
    weaker = replace(record, isolation={"seccomp": "on", "Landlock": "off: the kernel has no Landlock"})
    assert read_table(render(challenge, weaker), "Runs")[0]["Isolation"] == "without Landlock"
    assert (
        read_table(render(challenge, replace(record, isolation={"seccomp": "on"})), "Runs")[0]["Isolation"] == "whole"
    )


def test_page_says_how_each_number_is_made(challenge: Challenge) -> None:
    page = render(challenge, make_record())
    for formula in challenge.phases["validation"].scores.values():
        assert f"`{formula}`" in page
    for word in ("PSNR", "MS-SSIM", "NIQE", "MOS (est.)", "Time", "Speed-up", "Peak RAM", "Multiply-adds", "Intervals"):
        assert f"**{word}" in page.split("## How each number is made")[1]
    assert "one photo of 1280x720 on 2 CPU threads" in page
    assert "MOS = 4.48 - 0.315 x NIQE" in page  # computed independently: 4.477 - 0.3147*NIQE
    assert "BOE-SBG 6 and 2.6283" in page
    assert "3.5 GB are allowed" in page


def test_recovered_formula_is_called_so(challenge: Challenge) -> None:
    page = render(challenge, make_record(), phase="test")
    assert "test phase (recovered formula)" in page
    assert "were recovered from its final table" in page
    assert "recovered" not in render(challenge, make_record())


def test_same_records_give_the_same_page(challenge: Challenge) -> None:
    records = [make_record("alpha"), make_record("beta", seed=2), make_failure("gamma", "it crashed")]
    assert render(challenge, *records) == render(challenge, *records)


def test_text_of_a_submission_is_only_text_wherever_it_stands(challenge: Challenge) -> None:
    record = make_record(HOSTILE, title=HOSTILE, trained_on=HOSTILE)
    record = replace(record, quality=replace(record.quality, dataset=HOSTILE, dataset_note=HOSTILE, split=HOSTILE))
    record = replace(record, environment=replace(record.environment, cpu_model=HOSTILE, git_commit="|`<b>"))
    page = render(challenge, record, make_failure(HOSTILE, HOSTILE, kind=HOSTILE, title=HOSTILE))
    assert "<script" not in page.lower()
    assert "](http://evil" not in page
    assert "\n# head" not in page
    assert (
        page.count(HOSTILE_SHOWN) == 4 + 3 + 2 + 3 + 3
    )  # summary and board, not ranked, quality and times, and two rows of runs
    columns = {heading: len(read_table(page, heading)[0]) for heading in ("Split", "Not ranked", "Runs")}
    assert columns == {"Split": 17, "Not ranked": 3, "Runs": 10}  # as without hostile text


def test_markdown_reads_the_same_text(challenge: Challenge) -> None:
    """A renderer gives the letters back and makes nothing of them."""
    renderer = MarkdownIt("commonmark").enable("table")
    (paragraph,) = [token for token in renderer.parse(escape(HOSTILE)) if token.type == "inline"]
    assert {token.type for token in paragraph.children} <= {"text", "text_special"}
    assert "".join(token.content for token in paragraph.children) == " ".join(HOSTILE.split())
    page = renderer.render(render(challenge, make_failure("beta", HOSTILE, title=HOSTILE)))
    assert page.count("<td ") == 3 + 10
    assert page.count("<a ") == 0
    assert page.count("<img") == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("boe_normal", "boe_normal"),
        ("_private_ name", r"\_private\_ name"),
        ("a < b & c > d", "a < b & c > d"),
        ("<b>", "&lt;b>"),
        ("&lt; &#60;", "&amp;lt; &amp;#60;"),
        ("$x$ ~~y~~ back\\slash", r"\$x\$ \~\~y\~\~ back\\slash"),
        ("www.evil.example", r"www\.evil.example"),
        ("tabs\tand\r\nlines\u2028\x1b[31m", r"tabs and lines \[31m"),
        ("left\u202eright", "left right"),
        ("", ""),
    ],
)
def test_escaped_text(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_endless_text_is_cut() -> None:
    assert escape("x" * 10_000) == "x" * MOST_CHARACTERS + "..."


def test_numbers() -> None:
    assert format_number(1234.5678, 2) == "1234.57"
    assert format_number(2_500_000, 1, divisor=1e6) == "2.5"
    assert format_number(0.25, 1, sign="+") == "+0.2"
    assert [format_number(value, 2) for value in (None, float("nan"))] == ["-", "-"]
    assert format_number(None, 2, missing="unknown") == "unknown"
    assert format_estimate({"x": 2.0, "x_low": 1.0, "x_high": 4.0}, "x", 1) == "2.0 ± 1.5"
    assert format_estimate({"x": float("nan")}, "x", 1) == "-"


def test_headings_of_metrics() -> None:
    names = [head_metric(name) for name in ("psnr", "ms_ssim", "niqe", "pyiqa:lpips")]
    assert names == ["PSNR (dB)", "MS-SSIM", "NIQE ↓", "pyiqa:lpips"]


def test_terminal_table_fits_into_80_columns(challenge: Challenge) -> None:
    records = [make_record("x" * 64, psnr=2.0, ms=123_456.0), *(make_record(f"boe_{n}", seed=n) for n in range(11))]
    lines = print_board(records, challenge).splitlines()
    assert max(len(line) for line in lines) <= 80
    headings = next(line for line in lines if "submission" in line).split()
    assert headings == ["#", "submission", "A", "B", "C", "PSNR", "MS-SSIM", "NIQE", "ms", "speed-up"]
    folded = [line for line in lines if " xxx" in line]
    assert "".join(line.split()[1 if line is folded[0] else 0] for line in folded) == "x" * 64
    assert folded[0].split()[-2] == "123549"  # its blocks are 0.075 % above 123456 ms on average
    assert not any("…" in line for line in lines)  # nothing is cut
    assert lines[0].startswith("pirm2018b, split all: 20 pairs, scores of the validation phase")


def test_terminal_shows_dashes_for_gaps(challenge: Challenge) -> None:
    row = next(
        line for line in print_board([make_record("untimed", ms=None)], challenge).splitlines() if "untimed" in line
    )
    assert row.split() == ["-", "untimed", "-", "-", "-", row.split()[5], row.split()[6], "5.25", "-", "-"]
    assert "nan" not in row


def test_terminal_takes_no_orders_from_a_name(challenge: Challenge) -> None:
    text = print_board([make_record("[red]\x1b[31m", images=ALL[:3])], challenge)
    assert "[red]" in text
    assert "\x1b" not in text
