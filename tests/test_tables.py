"""Published beside measured: rows, held-out values out of `all`, verdicts that follow from the records, the page."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from stored import PROFILES

from harness.challenge import Challenge, read_challenge
from harness.datasets.pirm2018b import SPLITS as PIRM2018B_SPLITS
from harness.errors import UsageError
from harness.published.ablation import read_ablation
from harness.published.comparison import Comparison, compare_published
from harness.published.paper import read_published
from harness.records import (
    FORMAT_VERSION,
    Environment,
    Failure,
    ImageScore,
    Memory,
    Quality,
    Record,
    Submission,
    Timing,
)
from harness.render.tables import render_tables

COMMITTED = Path(__file__).parent.parent / "reports" / "training" / "ablation.csv"
ENVIRONMENT = Environment("2026-01-01T00:00:00+00:00", "abc", False, "Some CPU", 2, "Linux", "3.11", {})


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def make_record(
    name: str, *, split: str = "all", psnr: float = 22.0, ms: int = 100, niqe: float = 5.0, dataset: str = "pirm2018b"
) -> Record:
    """Pairs whose number is divisible by 4 are 0.5 or 1.5 dB better than psnr, the others worse by a third."""
    offsets = {n: (0.5 if int(n) % 8 else 1.5) if int(n) % 4 == 0 else -1 / 3 for n in PIRM2018B_SPLITS[split]}
    pairs = [
        ImageScore(n, {"psnr": psnr + offset, "ms_ssim": 0.9 + (psnr - 22 + offset) / 100})
        for n, offset in offsets.items()
    ]
    photos = [ImageScore(str(n), {"niqe": niqe + (n - 1.5) / 10}) for n in range(4)]
    quality = Quality(dataset, "note", "0" * 64, split, PROFILES, tuple(pairs), tuple(photos))
    blocks = tuple((ms * 1_000_000 + i, ms * 1_000_000) for i in range(4))
    baseline = tuple((200_000_000 + i, 200_000_000) for i in range(4))
    timing = Timing("cpu", 2, 1280, 720, "SRCNN", (1,) * 4, ((1,),) * 4, blocks, baseline, blocks, baseline)
    submission = Submission(name, "onnx", "model.onnx", name, (), "", "somewhere", "NHWC", "f" * 64)
    return Record(FORMAT_VERSION, "pirm2018b", submission, "ok", ENVIRONMENT, quality=quality, timing=timing)


def compare(challenge: Challenge, *records: Record) -> Comparison:
    return compare_published(records, challenge, read_published())


def test_record_of_all_also_gives_the_held_out_pairs(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn", psnr=21)).methods.set_index("title").loc["SRCNN"]
    assert row["test_psnr"] == pytest.approx(22)
    assert row["all_psnr"] == pytest.approx(21)
    assert row["all_psnr_low"] < 21 < row["all_psnr_high"]
    assert row["psnr_difference"] == pytest.approx(22 - 19.27)
    assert row["test_ms_ssim"] == pytest.approx(0.90)
    assert row["photo_niqe"] == pytest.approx(5.0)


def test_record_of_test_gives_nothing_for_all(challenge: Challenge) -> None:
    row = compare(challenge, make_record("boe_normal", split="test")).methods.set_index("title").loc["ours normal"]
    assert row["test_psnr"] == pytest.approx(23)
    assert np.isnan(row["all_psnr"])


def test_ratios_are_to_srcnn(challenge: Challenge) -> None:
    row = compare(challenge, make_record("boe_normal", ms=100)).methods.set_index("title").loc["ours normal"]
    assert row["own_time_ratio"] == pytest.approx(0.5, rel=1e-6)
    assert row["own_time_ms"] == pytest.approx(100, rel=1e-6)
    assert row["time_ratio"] == pytest.approx(1148 / 2044)


def test_infinite_psnr_counts_as_the_challenge_says(challenge: Challenge) -> None:
    record = make_record("srcnn", split="test", psnr=20)
    pairs = [ImageScore(pair.image, pair.values | {"psnr": None}) for pair in record.quality.pairs]
    record = msgspec.structs.replace(record, quality=msgspec.structs.replace(record.quality, pairs=tuple(pairs)))
    row = compare(challenge, record).methods.set_index("title").loc["SRCNN"]
    assert row["test_psnr"] == pytest.approx(challenge.infinite_psnr_db)


@pytest.mark.parametrize(("score", "formula"), [("D", "4*psnr"), ("A", "4*psnr"), ("A", "mos + time")])
def test_scores_that_the_final_table_does_not_have_are_refused(challenge: Challenge, score: str, formula: str) -> None:
    phase = msgspec.structs.replace(challenge.phases["test"], scores={score: formula})
    other = msgspec.structs.replace(challenge, phases={"test": phase})
    with pytest.raises(
        UsageError, match=r"the scores A, B and C by PSNR, MOS and time, which .* does not have; leave --challenge out"
    ):
        compare(other)


def test_other_dataset_gives_time_but_no_quality(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn", dataset="embedded")).methods.set_index("title").loc["SRCNN"]
    assert np.isnan(row["test_psnr"])
    assert np.isnan(row["photo_niqe"])
    assert row["own_time_ms"] == pytest.approx(100, rel=1e-6)
    assert "not measured on test of pirm2018b, only on all of embedded" in row["quality_with"]
    assert "not measured on pirm2018b, only on embedded" in row["niqe_with"]


def test_record_on_the_challenge_is_preferred_in_any_order(challenge: Challenge) -> None:
    records = [make_record("srcnn", psnr=21), make_record("srcnn", psnr=5, dataset="embedded")]
    for order in (records, records[::-1]):
        row = compare(challenge, *order).methods.set_index("title").loc["SRCNN"]
        assert row["all_psnr"] == pytest.approx(21)


def test_what_was_not_measured_has_a_reason(challenge: Challenge) -> None:
    missing = msgspec.structs.replace(
        make_record("dped"),
        status="unavailable",
        quality=None,
        timing=None,
        failure=Failure("load", "missing", "no file"),
    )
    untimed = msgspec.structs.replace(make_record("resnet_8_32"), timing=None)
    methods = compare(challenge, missing, untimed).methods.set_index("title")
    reason = "closed product (Apple's Photos)"
    assert methods.loc["APE", ["quality_with", "niqe_with", "time_with"]].tolist() == [
        f"published only: {reason}",
        f"not published: {reason}",
        f"not published: {reason}",
    ]
    for text in ("quality_with", "niqe_with", "time_with"):
        assert methods.loc["DPED", text] == "published only: dped is unavailable here (no file)"
        assert methods.loc["SRCNN", text] == "published only: srcnn was not evaluated here"
    assert methods.loc["ResNet-8-32", "time_with"] == "published only: resnet_8_32 is ok here (it was not timed)"
    assert np.isnan(methods.loc["DPED", "own_time_ms"])


def test_rows_name_weights_and_images(challenge: Challenge) -> None:
    methods = compare(challenge, make_record("srcnn"), make_record("boe_normal", split="test")).methods
    rows = methods.set_index("title")
    assert rows.loc["SRCNN", "quality_with"] == "srcnn ffffffff, trained on somewhere; 100 pairs"
    assert rows.loc["SRCNN", "niqe_with"] == "srcnn ffffffff, trained on somewhere; 4 photos"
    assert rows.loc["SRCNN", "time_with"] == "srcnn ffffffff; 4 pairs of processes"
    assert rows.loc["ours normal", "quality_with"] == (
        "boe_normal ffffffff, trained on somewhere and outputs of published networks; 100 pairs"
    )


def test_records_without_the_test_pairs_give_no_difference(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn", split="train")).methods.set_index("title").loc["SRCNN"]
    assert np.isnan(row["psnr_difference"])
    assert "not measured on test of pirm2018b, only on train of pirm2018b" in row["quality_with"]
    assert row["photo_niqe"] == pytest.approx(5.0)


def test_other_weights_give_the_time_of_a_network_and_nothing_else(challenge: Challenge) -> None:
    comparison = compare(challenge, make_record("srcnn"), make_record("resnet_12_64_300", split="test", ms=1300))
    row = comparison.methods.set_index("title").loc["ResNet-12-64"]
    assert row["time_factor"] == pytest.approx(6.5 / (12539 / 2044), rel=1e-6)
    assert row["time_with"] == "resnet_12_64_300 ffffffff, other weights; 4 pairs of processes"
    assert row[["test_psnr", "test_ms_ssim", "photo_niqe"]].isna().all()
    assert row["quality_with"] == (
        "published only: its published weights are DPED's own, see DPED; trained here: see Same data"
    )
    assert "time 1 / 0 / 0" in comparison.judgements["table4"].verdict


def test_the_published_networks_own_time_is_preferred(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn_300", ms=50), make_record("srcnn", ms=200)).methods.iloc[1]
    assert (row["timed"], row["own_time_ratio"]) == ("srcnn", pytest.approx(1, rel=1e-6))


def test_verdicts_follow_from_the_records(challenge: Challenge) -> None:
    ours = make_record("boe_normal", psnr=23, ms=100, niqe=4)
    same = compare(challenge, make_record("srcnn", psnr=20, ms=200), ours)
    for table, tally, first in (
        ("table2", "PSNR 1 / 0 / 0, MS-SSIM 1 / 0 / 0", "PSNR and MS-SSIM is ours normal (as published)"),
        ("table3", "NIQE 1 / 0 / 0", "NIQE is ours normal (as published)"),
        ("table4", "time 1 / 0 / 0", "time is ours normal (as published)"),
    ):
        assert same.judgements[table].verdict.startswith("Order reproduced")
        assert f"too close to tell: {tally})" in same.judgements[table].verdict
        assert f"first by {first}" in same.judgements[table].verdict
    other = compare(challenge, make_record("srcnn", psnr=23), make_record("boe_normal", psnr=20, niqe=7, ms=300))
    for table in ("table2", "table3", "table4"):
        verdict = other.judgements[table].verdict
        assert verdict.startswith("Order not reproduced")
        assert "is SRCNN (published: ours normal)" in verdict
    assert "Reversed by time: ours normal before SRCNN." in other.judgements["table4"].notes


def test_equal_methods_are_undecided(challenge: Challenge) -> None:
    comparison = compare(challenge, make_record("srcnn"), make_record("boe_normal"))
    assert comparison.judgements["table3"].verdict.startswith("Undecided (")
    assert "Too close to tell by NIQE: ours normal before SRCNN." in comparison.judgements["table3"].notes


def test_one_method_or_none_has_no_order(challenge: Challenge) -> None:
    nothing = "No order to compare, as fewer than two of these were measured here"
    for table in ("table2", "table3", "table4", "same_data", "final_columns"):
        assert compare(challenge).judgements[table].verdict == f"{nothing}."
    one = compare(challenge, make_record("srcnn", psnr=18.27)).judgements["table2"].verdict
    assert one.startswith(f"{nothing}; values differ (PSNR +0.00 dB, MS-SSIM -0.0265)")
    assert one.endswith(", since the paper's images (DPED's test set) are not available and others were used.")


def test_differences_and_ratios_in_the_verdicts(challenge: Challenge) -> None:
    comparison = compare(challenge, make_record("srcnn", psnr=18.27), make_record("boe_normal", psnr=20, ms=100))
    # srcnn on test: 19.27 as published, boe_normal 21 for 22.98; its ratio 0.5 for 0.5616
    assert "values differ (PSNR -1.98 to +0.00 dB" in comparison.judgements["table2"].verdict
    assert any("PSNR 1 of 2, MS-SSIM" in note for note in comparison.judgements["table2"].notes)
    assert "the ratios to SRCNN are 0.89 times the published ones" in comparison.judgements["table4"].verdict


def test_scores_are_judged_and_the_papers_places_checked(challenge: Challenge) -> None:
    judgement = compare(challenge).judgements["final_scores"]
    assert judgement.verdict.startswith(
        "9 of 12 rows give their published scores back within 0.05; Rainbow, DPED-Baseline and Geometry do not, since"
    )
    assert judgement.notes == (
        "Places of BOE-SBG by MOS, A, B, C: 3, 4, 4, 5 in the paper's text, 3, 5, 4, 5 by the printed columns.",
    )


def test_teams_are_tied_to_submissions(challenge: Challenge) -> None:
    memory = Memory(10**8, 12 * 10**8, "a method")
    record = msgspec.structs.replace(make_record("boe_normal", split="test"), memory=memory)
    teams = compare(challenge, record).teams.set_index("name")
    assert teams.loc["BOE-SBG", "test_psnr"] == pytest.approx(23)
    assert teams.loc["BOE-SBG", "psnr_difference"] == pytest.approx(23 - 21.99)
    assert teams.loc["BOE-SBG", "time_ratio"] == pytest.approx(1620 / 3274)
    assert teams.loc["BOE-SBG", "time_factor"] == pytest.approx(0.5 / (1620 / 3274), rel=1e-6)
    assert teams.loc["BOE-SBG", "peak_gb"] == 1.2
    assert np.isnan(teams.loc["MIPhoenix", "test_psnr"])
    assert len(teams) == 12


def read_table(page: str, heading: str, number: int = 0) -> list[dict[str, str]]:
    """A table below a heading, its cells by column."""
    section = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    tables = [block.splitlines() for block in section.split("\n\n") if block.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in tables[number]]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_page_has_every_row_and_marks_the_inconsistent_ones(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("boe_normal", split="test")))
    assert "..." not in page  # no text is so long that it is cut
    titles = [method.title for method in read_published().methods]
    for table in ("Table 2", "Table 3", "Table 4"):
        assert [row["method"] for row in read_table(page, table)] == titles
        assert all(row["measured with"] for row in read_table(page, table))
    assert [row["condition"] for row in read_table(page, "Table 5")] == [
        condition.title for condition in read_published().conditions
    ]
    scores = read_table(page, "Final table of the challenge, track B: scores")
    assert [row["team"] for row in scores if row["agrees"] == "**no**"] == ["Rainbow", "DPED-Baseline", "Geometry"]
    assert "2.4411 for the printed 2.4111" in page
    assert "Some CPU, 2 CPUs, 2 threads" in page
    assert "nan" not in page.lower().split()


def test_every_table_ends_with_its_verdict(challenge: Challenge) -> None:
    comparison = compare(challenge, make_record("srcnn"), make_record("boe_normal", psnr=24, ms=100))
    sections = render_tables(comparison).split("\n## ")[1:8]
    for section, judgement in zip(sections, comparison.judgements.values(), strict=True):
        table, _, rest = section.rpartition("|\n\n**")
        assert table
        assert rest.startswith(f"{judgement.verdict}**\n\n- ")


def test_columns_of_the_final_table(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("boe_normal", split="test")))
    heading = "Final table of the challenge, track B: columns"
    printed = {row["team"]: row for row in read_table(page, heading)}
    assert len(printed) == 12
    assert printed["Eds"]["Huawei P20 ms"] == "OOM"
    assert printed["Rainbow"]["Razer Phone ms"] == "-"
    assert printed["MIPhoenix"]["measured with"] == "published only: no network of this team is at hand"
    assert printed["BOE-SBG"]["measured with"].startswith("boe_normal ffffffff, trained on somewhere and outputs")
    assert printed["SRCNN-Baseline"]["measured with"].startswith("published only: srcnn was not")
    measured = read_table(page, heading, 1)
    assert [(row["column"], row["published"], row["difference"]) for row in measured] == [
        ("PSNR", "21.99", "+1.01"),
        ("MS-SSIM", "0.9079", "+0.0021"),
        ("CPU time, times SRCNN's", "0.49", "1.01 ± 0.00 times as much"),
        ("RAM GB", "1.6", "-"),
    ]


def test_page_without_records_says_so(challenge: Challenge) -> None:
    page = render_tables(compare(challenge))
    assert "none yet, there are no records" in page
    assert "Measured here:" not in page
    assert page.count("±") == 1  # in the introduction
    assert page.endswith("## Submissions that were measured\n\nNothing yet.\n")


def test_measured_cell_carries_its_interval(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("srcnn", psnr=21)))
    row = next(row for row in read_table(page, "Table 2") if row["method"] == "SRCNN")
    assert [*row.values()][1:4] == ["19.27", "22.00 ± 0.10", "+2.73"]
    source = read_table(page, "Submissions that were measured")[0]
    assert source["PSNR, all 400 pairs"] == "21.00 ± 0.06"
    assert (source["submission"], source["sha256"]) == ("srcnn", "f" * 16)


def test_no_milliseconds_are_subtracted(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("srcnn", ms=200), make_record("boe_normal", ms=100)))
    row = next(row for row in read_table(page, "Table 4") if row["method"] == "ours normal")
    assert [*row.values()][1:6] == ["1148", "100 ± 0", "0.56", "0.500 ± 0.000", "0.89 ± 0.00"]


def test_ablation_stands_on_the_page(challenge: Challenge) -> None:
    published = read_published()
    rows = read_ablation(COMMITTED, published.conditions)
    page = render_tables(compare_published([], challenge, published, rows))
    values, changes = (read_table(page, "Table 5", number) for number in (0, 1))
    assert [*values[2].values()] == [
        *("no L1 loss", "21.79", "21.30", "-0.49", "0.9121", "0.9047", "-0.0074", "5.08", "3.66", "-1.42")
    ]
    assert [*changes[2].values()][:3] == ["no L1 loss", "-1.19", "-0.30 [-0.49, -0.12]"]
    assert values[-1]["condition"] == changes[-1]["condition"] == "*full losses and noise, another seed*"
    assert values[-1]["PSNR published"] == "-"
    assert "1 of the paper's 10 statements on this table is reproduced (NIQE rises a lot without noise)" in page


def test_table_5_without_the_ablation(challenge: Challenge) -> None:
    page = render_tables(compare(challenge))
    assert "**Measured: not run here; `python -m reference.ablation` does.**" in page
    values, changes = (read_table(page, "Table 5", number) for number in (0, 1))
    assert {row["PSNR measured"] for row in (*values, *changes)} == {"-"}
    assert changes[0]["PSNR published"] == "-0.54"


HOSTILE = "a | b <script>x</script> **c** [d](http://e) `f`"
HARMLESS = r"a \| b &lt;script>x&lt;/script> \*\*c\*\* \[d\](http:\//e) \`f\`"


def test_text_of_records_and_the_ablation_is_harmless(challenge: Challenge) -> None:
    record = make_record("srcnn")
    submission = msgspec.structs.replace(record.submission, title=HOSTILE, trained_on=HOSTILE)
    published = read_published()
    rows = [
        msgspec.structs.replace(row, title=HOSTILE, data=HOSTILE)
        for row in read_ablation(COMMITTED, published.conditions)
    ]
    records = [msgspec.structs.replace(record, submission=submission)]
    page = render_tables(compare_published(records, challenge, published, tuple(rows)))
    assert "<script" not in page
    assert read_table(page, "Table 5")[-1]["condition"] == f"*{HARMLESS}*"
    assert read_table(page, "Submissions that were measured")[0]["network"] == HARMLESS
    assert f"trained on {HARMLESS}; 100 pairs" in page
    assert f"- Trained and measured on parts of: {HARMLESS}." in page


def test_same_data_is_a_table_of_its_own(challenge: Challenge) -> None:
    records = make_record("srcnn_300", split="test", psnr=19), make_record("boe_normal_300", split="test", psnr=21)
    comparison = compare(challenge, *records, make_record("srcnn", psnr=23))
    rows = comparison.same_data.set_index("title")
    assert list(rows.index) == [m.title for m in read_published().methods if m.same_data]
    assert rows.loc[["SRCNN", "ours normal"], "test_psnr"].tolist() == pytest.approx([20, 22])
    assert np.isnan(rows.loc["Johnson et al.", "test_psnr"])
    assert rows.loc["ours normal", "quality_with"] == "boe_normal_300 ffffffff, trained on somewhere; 100 pairs"
    assert "first by PSNR and MS-SSIM is ours normal (as published)" in comparison.judgements["same_data"].verdict
    assert comparison.methods.set_index("title").loc["SRCNN", "test_psnr"] == pytest.approx(24)
    assert not any("difference" in heading for heading in read_table(render_tables(comparison), "Same data")[0])
