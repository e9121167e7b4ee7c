"""The challenge's final table given back, its misprints found, and files that do not hold."""

from pathlib import Path

import pytest

from harness.challenge import Challenge, find_phase, read_challenge
from harness.errors import DataError, UsageError
from harness.score_table import PACKAGED, find_misprints, score_table

HEADER = "team,psnr,mos,cpu_ms"
BASELINE = "SRCNN-Baseline,21.31,2.296,3274"


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_nine_rows_of_the_final_table_come_back(challenge: Challenge) -> None:
    frame = score_table("published:final", challenge, "test").frame
    assert len(frame) == 12
    assert set(frame.loc[~frame["agrees"], "name"]) == {"DPED-Baseline", "Geometry", "Rainbow"}
    agreeing = frame[frame["agrees"]]
    for score in "ABC":
        assert (agreeing[score] - agreeing[f"{score}_published"]).abs().max() <= 0.05


def test_final_table_row_by_hand(challenge: Challenge) -> None:
    # BOE-SBG: 4*0.99 + 7.21*0.3323 + 2*3274/1620 = 3.96 + 2.3959 + 4.0420
    frame = score_table("published:final", challenge, "test").frame.set_index("name")
    assert frame.loc["BOE-SBG", "A"] == pytest.approx(10.3979, abs=1e-4)


def test_inconsistent_rows_and_misprints_are_named(challenge: Challenge) -> None:
    findings = {text.split(":")[0]: text for text in score_table("published:final", challenge, "test").findings}
    assert next(iter(findings)).startswith("9 of 12 rows")
    assert "mos 2.4411 for the printed 2.4111 fits within 0.02, and no other digit does" in findings["DPED-Baseline"]
    assert "C 14.95 for the printed 14.05" in findings["Geometry"]
    assert "leaves only B -0.11" in findings["Geometry"]
    assert "no change of one digit explains it" in findings["Rainbow"]
    assert len(findings) == 4


def test_geometry_needs_a_second_digit(challenge: Challenge) -> None:
    printed = {"psnr": "21.79", "mos": "2.4324", "time": "833", "A": "12.0", "B": "12.59", "C": "14.05"}
    best = find_misprints(printed, {"baseline_time": 3274.0}, find_phase(challenge, "test"))[0]
    assert (best.column, best.read_as, best.open_scores) == ("C", "14.95", [])


def test_packaged_table_is_that_of_the_paper() -> None:
    # Fig. 8 of the paper: twelve teams, best MOS first but for DPED-Baseline (misprinted) above Geometry
    lines = PACKAGED["published:final"].read_text(encoding="utf-8").splitlines()
    assert lines[3] == "BOE-SBG,21.99,0.9079,2.6283,1620,111,1802,2321,1.6,10.39,14.61,12.62"
    assert len(lines) == 13


def test_own_headings_extra_columns_and_bom_are_read(tmp_path: Path, challenge: Challenge) -> None:
    path = tmp_path / "own.csv"
    lines = ["Submission,PSNR dB,MOS (est.),Time ms,peak", f"{BASELINE},x", "mine,21.99,2.6283,1620,y"]
    path.write_text("\n".join(lines).replace("PSNR dB", "PSNR (dB)"), encoding="utf-8-sig")
    table = score_table(path, challenge, "test")
    assert table.frame.set_index("name").loc["mine", "A"] == pytest.approx(10.3979, abs=1e-4)
    assert "agrees" not in table.frame
    assert table.findings == ()
    assert "Column MOS (est.) is taken as mos." in table.notes
    assert "Not used: peak." in table.notes
    assert "baseline_time is the time of the row SRCNN-Baseline." in table.notes
    assert any("recovered" in note for note in table.notes)


def test_baseline_time_can_be_a_column(tmp_path: Path, challenge: Challenge) -> None:
    path = write_table(tmp_path, "psnr,ms_ssim,time,baseline_time", "21,0.9,2,4", "21,0.9,1,2")
    frame = score_table(path, challenge, "validation").frame
    assert frame["name"].tolist() == ["row 1", "row 2"]
    assert frame["A"].tolist() == pytest.approx([4, 4])


def test_some_scores_only_are_compared(tmp_path: Path, challenge: Challenge) -> None:
    path = write_table(tmp_path, f"{HEADER},Score A", f"{BASELINE},3.22", "BOE-SBG,21.99,2.6283,1620,10.39")
    table = score_table(path, challenge, "test")
    assert table.frame["agrees"].tolist() == [True, True]
    assert "B_difference" not in table.frame
    assert table.findings == ("2 of 2 rows give their published A back within 0.05.",)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["team,psnr,cpu_ms", "x,21,3"], r"no column for 'mos' \(accepted: mos, mos_est\); its columns: team, psnr"),
        ([HEADER, "SRCNN,21.3,good,3274"], r"column 'mos', row 1: 'good' is not a finite number"),
        ([HEADER, BASELINE, "x,,2.3,3"], r"column 'psnr', row 2: is empty"),
        ([HEADER, BASELINE, "x,nan,2.3,3"], r"column 'psnr', row 2: 'nan' is not a finite number"),
        ([HEADER, BASELINE, "x,21,2.3"], r"column 'cpu_ms', row 2: is empty"),
        ([HEADER, BASELINE, "x,21,2.3,4,5"], r"is not a CSV file"),
        ([HEADER], r"has no row below its header"),
        ([HEADER, "x,21,2.3,4"], r"no baseline time: add a column baseline_time, or a row named SRCNN-Baseline or"),
        ([f"{HEADER},psnr", f"{BASELINE},1"], r"column 'psnr' is there twice"),
        ([f"{HEADER},time", f"{BASELINE},1"], r"columns cpu_ms and time both stand for 'time'"),
    ],
)
def test_fault_is_one_sentence(tmp_path: Path, challenge: Challenge, lines: list[str], expected: str) -> None:
    path = write_table(tmp_path, *lines)
    with pytest.raises(DataError, match=expected) as caught:
        score_table(path, challenge, "test")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_other_faults(tmp_path: Path, challenge: Challenge) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        score_table(tmp_path / "nowhere.csv", challenge, "test")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="is empty"):
        score_table(tmp_path / "empty.csv", challenge, "test")
    (tmp_path / "binary.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="not a CSV file"):
        score_table(tmp_path / "binary.csv", challenge, "test")
    with pytest.raises(UsageError, match="unknown phase"):
        score_table("published:final", challenge, "final")
    for time in ("0", "-5"):
        with pytest.raises(DataError, match=f"row 2: {time} is not a time; it must be over 0"):
            score_table(write_table(tmp_path, HEADER, BASELINE, f"x,21,2.3,{time}"), challenge, "test")


def test_a_table_of_another_phase_is_not_accused_of_misprints(challenge: Challenge) -> None:
    findings = score_table("published:final", challenge, "validation").findings
    assert findings[-1].startswith("Most rows do not agree: the table was probably not scored by the validation phase")
    assert not any("misprint" in finding for finding in findings)
