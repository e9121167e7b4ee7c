"""The ablation's page: all of it follows from the table, and nothing that is missing is hidden."""

import math
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt  # comes with rich

from harness.published.claims import CLAIMS
from reference.ablation import describe_condition, write_page, write_report
from reference.ablation_conditions import BASE, CONDITIONS, PUBLISHED
from reference.ablation_report import render_report

COMMITTED = Path(__file__).parent.parent / "reports" / "training" / "ablation.csv"
RUN = {
    "steps": 3500, "batch_size": 8, "seed": 1, "precision": "bfloat16", "folds": 3, "fold": 0, "select": "last",
    "loss_l1": 5000.0, "loss_ms_ssim": 0.0, "loss_psnr": 0.0, "loss_color": 0.5, "loss_total_variation": 2000.0,
    "loss_adversarial": 1.0, "loss_perceptual": 0.6, "loss_contextual": 10.0, "noise_channels": 4, "seconds": 1200.0,
    "data": "pirm2018b/train, 300 pairs of 100x100 px", "features": "efficientnet_lite0 block 4", "device": "cpu",
    "cpu": "AMD EPYC", "threads": 1, "torch": "2.13.0+cpu", "python": "3.11.7", "git_commit": "1234567890ab",
    "git_dirty": False, "pairs": 98, "target_niqe": 2.79,
}  # fmt: skip


def make_frame(*, niqe: bool = True, **run: object) -> pd.DataFrame:
    """A row a condition; each is 0.1 dB, 0.001 and 0.2 above the one before it."""
    base = CONDITIONS.index(BASE)
    rows = []
    for number, condition in enumerate(CONDITIONS):
        row: dict[str, object] = {}
        for metric, value, step in (("psnr_db", 21.5, 0.1), ("ms_ssim", 0.9, 0.001), ("niqe", 3.0, 0.2)):
            there = niqe or metric != "niqe"
            row[metric] = value + step * number if there else math.nan
            difference = step * (number - base) if there else math.nan
            ends = {"low": difference - 0.3 * step, "high": difference + 0.3 * step}
            row |= {f"{metric}_difference": difference} | {f"{metric}_{end}": value for end, value in ends.items()}
        rows.append(describe_condition(condition) | row | RUN | run)
    return pd.DataFrame(rows)


def read_table(page: str, heading: str) -> dict[str, dict[str, str]]:
    """The first table below a heading, by condition."""
    lines = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_published_stands_beside_measured():
    rows = read_table(render_report(make_frame()), "Table 5")
    assert list(rows)[:8] == [condition.title for condition in PUBLISHED]
    assert rows["no L1 loss"] == {
        "condition": "no L1 loss",
        "PSNR published": "21.79", "PSNR measured": "21.70",
        "SSIM published": "0.9121", "MS-SSIM measured": "0.9020",
        "NIQE published": "5.08", "NIQE measured": "3.40",
    }  # fmt: skip
    last = rows["*full losses and noise, another seed*"]
    assert (last["PSNR published"], last["PSNR measured"]) == ("-", "22.30")


def test_differences_have_their_intervals():
    rows = read_table(render_report(make_frame()), "Differences")
    assert list(rows) == [
        *(condition.title for condition in PUBLISHED if condition is not BASE),
        "*full losses and noise, another seed*",
    ]
    assert rows["no L1 loss"] == {
        "condition": "no L1 loss",
        "PSNR published": "-1.19", "PSNR measured": "-0.40 [-0.43, -0.37]",
        "SSIM published": "-0.0114", "MS-SSIM measured": "-0.0040 [-0.0043, -0.0037]",
        "NIQE published": "-0.92", "NIQE measured": "-0.80 [-0.86, -0.74]",
    }  # fmt: skip


def test_every_claim_is_a_sentence_with_its_verdict():
    page = render_report(make_frame())
    section = page.split("## What the paper says")[1].split("\n## ")[0]
    assert "2 reproduced, 7 within the scatter, 1 not reproduced. A claim" in section
    assert "PSNR 0.23 dB, MS-SSIM 0.0023, NIQE 0.46" in section
    lines = [line for line in section.splitlines() if line.startswith("- ")]
    assert len(lines) == len(CLAIMS)
    assert lines[0] == (
        "- PSNR is highest with full losses and noise: **within the scatter** "
        "(margin published +0.14 dB, measured -0.10 dB)."
    )
    assert lines[4] == (
        "- NIQE falls without adversarial loss: **reproduced** (margin published +0.36, measured +1.00)."
    )


def test_niqe_that_was_not_measured_is_a_gap():
    page = render_report(make_frame(niqe=False, target_niqe=math.nan))
    assert "nan" not in page
    assert {row["NIQE measured"] for row in read_table(page, "Table 5").values()} == {"-"}
    assert {row["NIQE measured"] for row in read_table(page, "Differences").values()} == {"-"}
    assert "- NIQE falls without L1 loss: **not measured** (margin published +0.92, measured -)." in page


def test_notes_say_how_it_was_made():
    notes = render_report(make_frame()).split("## How this was measured")[1]
    for fact in (
        "pirm2018b/train, 300 pairs of 100x100 px. Of each 3 pairs one is held out (fold 0)",
        "98 held-out pairs",
        "leaderboard",
        "3500 steps of 8 pairs",
        "3.0 hours of one process for all 9",
        "after the last step",
        "l1 5000, color 0.5, total variation 2000, adversarial 1, perceptual 0.6 (paper 10), contextual 10.",
        "efficientnet_lite0 block 4",
        "the targets' own: 2.79",
        "AMD EPYC, threads a run 1, torch 2.13.0+cpu, Python 3.11.7; device cpu; commit 123456789.",
    ):
        assert fact in notes
    others = render_report(make_frame(data="dped/iphone, 12 pairs of 48x48 px", git_dirty=True))
    assert "leaderboard" not in others
    assert "commit 123456789 with changes." in others


def test_page_is_sound_markdown():
    page = render_report(make_frame())
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert html.count("<table>") == 2
    assert "**" not in html
    assert "|" not in html


def test_page_follows_from_the_csv_alone(tmp_path):
    write_report(make_frame(), tmp_path)
    page = (tmp_path / "ablation.md").read_bytes()
    (tmp_path / "ablation.md").unlink()
    write_page(tmp_path)
    assert (tmp_path / "ablation.md").read_bytes() == page
    assert page.decode() == render_report(make_frame())


@pytest.mark.parametrize(
    "content", [None, b"", b"condition\nfull\n", b"condition\nno_l1\n", b"\xff\xfe", b'a,b\n"1,2\n1,2,3\n']
)
def test_a_csv_that_is_no_ablation_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "ablation.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read .*ablation\.csv as the table of an ablation") as caught:
        write_page(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ablation.md").exists()


def test_the_committed_page_is_that_of_the_committed_csv():
    assert COMMITTED.with_suffix(".md").read_text("utf-8") == render_report(pd.read_csv(COMMITTED))
