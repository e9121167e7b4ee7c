"""Published beside measured: rows, held-out values out of `all`, remarks that follow from the records, the page."""

import msgspec
import numpy as np
import pytest
from stored import PROFILES

from harness.challenge import Challenge, read_challenge
from harness.dataset import PIRM2018B_SPLITS
from harness.published import Comparison, compare_published, read_published
from harness.records import FORMAT_VERSION, Environment, Failure, ImageScore, Quality, Record, Submission, Timing
from harness.render.tables import render_tables

ENVIRONMENT = Environment("2026-01-01T00:00:00+00:00", "abc", False, "Some CPU", 2, "Linux", "3.11", {})


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def make_record(
    name: str, *, split: str = "all", psnr: float = 22.0, ms: int = 100, niqe: float = 5.0, dataset: str = "pirm2018b"
) -> Record:
    """Pairs whose number is divisible by 4 are 0.5 or 1.5 dB better than psnr, the others worse by a third."""
    offsets = {n: (0.5 if int(n) % 8 else 1.5) if int(n) % 4 == 0 else -1 / 3 for n in PIRM2018B_SPLITS[split]}
    pairs = [ImageScore(n, {"psnr": psnr + offset, "ms_ssim": 0.9 + offset / 100}) for n, offset in offsets.items()]
    photos = [ImageScore(str(n), {"niqe": niqe + (n - 1.5) / 10}) for n in range(4)]
    quality = Quality(dataset, "note", "0" * 64, split, PROFILES, tuple(pairs), tuple(photos))
    blocks = tuple((ms * 1_000_000 + i, ms * 1_000_000) for i in range(4))
    baseline = tuple((200_000_000 + i, 200_000_000) for i in range(4))
    timing = Timing("cpu", 2, 1280, 720, "SRCNN", (1,) * 4, ((1,),) * 4, blocks, baseline, blocks, baseline)
    submission = Submission(name, "onnx", "model.onnx", name, (), "", "somewhere", "NHWC", "f" * 64)
    return Record(FORMAT_VERSION, "pirm2018b", submission, "ok", ENVIRONMENT, quality=quality, timing=timing)


def compare(challenge: Challenge, *records: Record) -> Comparison:
    return compare_published(records, challenge, read_published())


def remark(comparison: Comparison, table: str, start: str) -> str:
    return next(text for text in comparison.remarks[table] if text.startswith(start))


def test_published_values_are_those_of_the_paper() -> None:
    # Tables 2, 3 and 4 of the paper, first and last columns and those without a value
    methods = {m.title: (m.psnr, m.ssim, m.niqe, m.time_ms) for m in read_published().methods}
    assert len(methods) == 8
    assert methods["APE"] == (17.28, 0.8631, None, None)
    assert methods["SRCNN"] == (19.27, 0.8992, 6.55, 2044)
    assert methods["ours high-performance"] == (22.73, 0.9206, 5.90, 806)


def test_every_method_has_a_submission_or_a_reason() -> None:
    assert all(bool(method.submission) != bool(method.not_run) for method in read_published().methods)


def test_record_of_all_also_gives_the_held_out_pairs(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn", psnr=21)).methods.set_index("title").loc["SRCNN"]
    assert row["test_psnr"] == pytest.approx(22)
    assert row["all_psnr"] == pytest.approx(21)
    assert row["all_psnr_low"] < 21 < row["all_psnr_high"]
    assert row["psnr_difference"] == pytest.approx(22 - 19.27)
    assert row["test_ms_ssim"] == pytest.approx(0.91)
    assert row["photo_niqe"] == pytest.approx(5.0)


def test_record_of_test_gives_nothing_for_all(challenge: Challenge) -> None:
    row = compare(challenge, make_record("boe_normal", split="test")).methods.set_index("title").loc["ours normal"]
    assert row["test_psnr"] == pytest.approx(23)
    assert np.isnan(row["all_psnr"])
    assert "split test of pirm2018b" in row["measured_by"]


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


def test_other_dataset_gives_time_but_no_quality(challenge: Challenge) -> None:
    row = compare(challenge, make_record("srcnn", dataset="embedded")).methods.set_index("title").loc["SRCNN"]
    assert np.isnan(row["test_psnr"])
    assert np.isnan(row["photo_niqe"])
    assert row["own_time_ms"] == pytest.approx(100, rel=1e-6)
    assert "only on embedded" in row["measured_by"]


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
    methods = compare(challenge, missing).methods.set_index("title")
    assert methods.loc["APE", "measured_by"] == "published only: closed product (Apple's Photos)"
    assert methods.loc["DPED", "measured_by"] == "published only: dped is unavailable here (no file)"
    assert methods.loc["SRCNN", "measured_by"] == "published only: srcnn was not evaluated here"
    assert np.isnan(methods.loc["DPED", "own_time_ms"])


def test_order_remarks_follow_from_the_records(challenge: Challenge) -> None:
    same = compare(challenge, make_record("srcnn", psnr=20), make_record("boe_normal", psnr=23, ms=100, niqe=4))
    assert "reproduced (ours normal > SRCNN)" in remark(same, "table2", "Order by PSNR")
    assert "reproduced (ours normal < SRCNN)" in remark(same, "table3", "Order by NIQE")
    other = compare(challenge, make_record("srcnn", psnr=23), make_record("boe_normal", psnr=20, niqe=7, ms=300))
    assert "not reproduced (published ours normal > SRCNN; measured SRCNN > ours normal)" in remark(
        other, "table2", "Order by PSNR"
    )
    assert "not reproduced" in remark(other, "table3", "Order by NIQE")
    assert "not reproduced" in remark(other, "table4", "Order by time")
    assert "nothing to compare, 0 of" in remark(compare(challenge), "table4", "Order by time")


def test_difference_and_ratio_remarks(challenge: Challenge) -> None:
    comparison = compare(challenge, make_record("srcnn", psnr=18.27), make_record("boe_normal", psnr=20, ms=100))
    # srcnn on test: 19.27 as published, boe_normal 21 for 22.98; its ratio 0.5 for 0.5616
    assert "for 1 of 2 methods; the largest difference is ours normal's, -1.98 dB" in remark(
        comparison, "table2", "The published PSNR"
    )
    assert "are 0.89 to 0.89 times" in remark(comparison, "table4", "The ratios")


def test_teams_are_tied_to_submissions(challenge: Challenge) -> None:
    teams = compare(challenge, make_record("boe_normal", split="test")).teams.set_index("name")
    assert teams.loc["BOE-SBG", "test_psnr"] == pytest.approx(23)
    assert teams.loc["BOE-SBG", "time_ratio"] == pytest.approx(1620 / 3274)
    assert np.isnan(teams.loc["MIPhoenix", "test_psnr"])
    assert len(teams) == 12


def test_page_has_every_row_and_marks_the_inconsistent_ones(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("boe_normal", split="test")))
    assert "..." not in page  # no note is so long that it is cut
    lines = page.splitlines()
    for method in read_published().methods:
        tables = 6 if method.same_data else 4  # with those of what it was measured with
        assert sum(line.startswith(f"| {method.title} ") for line in lines) == tables
    assert [line.split("|")[1].strip() for line in lines if "**no**" in line] == [
        "Rainbow",
        "DPED-Baseline",
        "Geometry",
    ]
    assert "2.4411 for the printed 2.4111" in page
    assert "Some CPU, 2 CPUs, 2 threads" in page
    assert "nan" not in page.lower().split()


def test_page_without_records_says_so(challenge: Challenge) -> None:
    page = render_tables(compare(challenge))
    assert "none yet, there are no records" in page
    assert "±" not in next(line for line in page.splitlines() if line.startswith("| ours normal"))


def test_measured_cell_carries_its_interval(challenge: Challenge) -> None:
    page = render_tables(compare(challenge, make_record("srcnn", psnr=21)))
    row = next(line for line in page.splitlines() if line.startswith("| SRCNN "))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2:6] == ["19.27", "22.00 ± 0.10", "21.00 ± 0.06", "+2.73"]


def test_same_data_is_a_table_of_its_own(challenge: Challenge) -> None:
    records = make_record("srcnn_300", split="test", psnr=19), make_record("boe_normal_300", split="test", psnr=21)
    comparison = compare(challenge, *records, make_record("srcnn", psnr=23))
    rows = comparison.same_data.set_index("title")
    assert list(rows.index) == [m.title for m in read_published().methods if m.same_data]
    assert rows.loc[["SRCNN", "ours normal"], "test_psnr"].tolist() == pytest.approx([20, 22])
    assert np.isnan(rows.loc["Johnson et al.", "test_psnr"])
    assert "reproduced (ours normal > SRCNN)" in remark(comparison, "same_data", "Order by PSNR")
    assert comparison.methods.set_index("title").loc["SRCNN", "test_psnr"] == pytest.approx(24)
