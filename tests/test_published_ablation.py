"""The ablation's table beside the paper's Table 5: what is read, what is refused, what the verdict says."""

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import RecordError
from harness.published.ablation import MeasuredCondition, read_ablation, tabulate_ablation
from harness.published.claims import METRICS, OTHER_SEED
from harness.published.paper import Notes, read_published
from harness.published.verdicts import judge_ablation

COMMITTED = Path(__file__).parent.parent / "reports" / "training" / "ablation.csv"
CONDITIONS = read_published().conditions
WHY = Notes("the reason")


def make_frame(**changes: dict[str, object]) -> pd.DataFrame:
    """Measured as published, and the seed moves each metric by 1e-4 only; `changes` by condition."""
    rows = []
    for condition in (*CONDITIONS, None):
        published = condition or CONDITIONS[6]
        row: dict[str, object] = {
            "condition": condition.name if condition else OTHER_SEED,
            "title": condition.title if condition else "another seed",
            "data": "some pairs",
            "pairs": 98,
            "steps": 1500,
            "batch_size": 8,
            **dict(zip(METRICS, (published.psnr, published.ssim, published.niqe), strict=True)),
        }
        row |= {f"{metric}_{end}": 1e-4 for metric in METRICS for end in ("difference", "low", "high")}
        rows.append(row | changes.get(str(row["condition"]), {}))
    return pd.DataFrame(rows)


def read(frame: pd.DataFrame, folder: Path) -> tuple[MeasuredCondition, ...]:
    path = folder / "ablation.csv"
    frame.to_csv(path, index=False)
    return read_ablation(path, CONDITIONS)


def judge(frame: pd.DataFrame, folder: Path) -> str:
    measured = read(frame, folder)
    return judge_ablation(tabulate_ablation(CONDITIONS, measured), CONDITIONS, measured, WHY).verdict


def test_the_committed_table_is_read() -> None:
    measured = {row.condition: row for row in read_ablation(COMMITTED, CONDITIONS)}
    assert list(measured) == [*(condition.name for condition in CONDITIONS), OTHER_SEED]
    assert measured["no_l1"].psnr_db == 21.2961
    assert measured["no_l1"].psnr_db_high == -0.122877
    assert measured["full"].pairs == 98


def test_without_the_file_published_values_stand_alone(tmp_path: Path) -> None:
    assert read_ablation(tmp_path / "ablation.csv", CONDITIONS) == ()
    frame = tabulate_ablation(CONDITIONS, ())
    assert frame["published_psnr_db"].tolist() == [condition.psnr for condition in CONDITIONS]
    assert frame[["psnr_db", "niqe_low", "ms_ssim_off"]].isna().all(axis=None)
    judgement = judge_ablation(frame, CONDITIONS, (), WHY)
    assert judgement.verdict == "Measured: not run here; `python -m reference.ablation` does."


def test_measured_stands_beside_published(tmp_path: Path) -> None:
    rows = tabulate_ablation(CONDITIONS, read(make_frame(no_l1={"psnr_db": 21.0}), tmp_path)).set_index("condition")
    assert list(rows.index) == [*(condition.name for condition in CONDITIONS), OTHER_SEED]
    assert rows.loc["no_l1", ["published_psnr_db", "psnr_db"]].tolist() == [21.79, 21.0]
    assert rows.loc["no_l1", "psnr_db_off"] == pytest.approx(-0.79)
    assert math.isnan(rows.loc[OTHER_SEED, "published_niqe"])


def test_conditions_may_be_missing(tmp_path: Path) -> None:
    frame = make_frame()
    measured = read(frame[frame["condition"].isin(["no_l1", "full"])], tmp_path)
    rows = tabulate_ablation(CONDITIONS, measured).set_index("condition")
    assert rows["psnr_db"].notna().sum() == 2
    assert "10 were not measured" in judge_ablation(rows.reset_index(), CONDITIONS, measured, WHY).verdict


def test_niqe_may_be_missing(tmp_path: Path) -> None:
    gone = {f"niqe{end}": math.nan for end in ("", "_difference", "_low", "_high")}
    measured = read(make_frame(**dict.fromkeys([*(c.name for c in CONDITIONS), OTHER_SEED], gone)), tmp_path)
    assert all(math.isnan(row.niqe) for row in measured)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"no_l1": {"psnr_db": math.nan}}, "psnr_db of no_l1 is nan, it must be finite"),
        ({"no_l1": {"ms_ssim_low": math.inf}}, "ms_ssim_low of no_l1 is inf"),
        ({"no_l1": {"niqe": -math.inf}}, "niqe of no_l1 is -inf"),
        ({"no_l1": {"psnr_db": "good"}}, "Expected `float`, got `str`"),
        ({"no_l1": {"condition": "full"}}, "full is there twice"),
        ({"no_l1": {"condition": "no_sleep"}}, "no_sleep is no condition of Table 5"),
        ({"no_l1": {"title": math.nan}}, "Expected `str`, got `float`"),
        ({"full": {"pairs": 0}}, "Expected `int` >= 1"),
        ({"full": {"steps": 1.5}}, "Expected `int`"),
    ],
)
def test_a_value_that_does_not_hold_is_refused(
    changes: dict[str, dict[str, object]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match=r"ablation\.csv cannot be read as the table of an ablation") as error:
        read(make_frame(**changes), tmp_path)
    assert reason in str(error.value)
    assert "`python -m reference.ablation` makes it anew" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"condition,title\nfull,full", b'a,"b\n1,2', b"\x00" * 50, b"a,b\n1,2,3\n4,5,6,7\n", b"{}"],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ablation.csv"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"cannot be read as the table of an ablation") as error:
        read_ablation(path, CONDITIONS)
    assert "\n" not in str(error.value)


def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(RecordError, match="it is not a regular file"):
            read_ablation(path, CONDITIONS)


def test_the_papers_own_values_reproduce_all(tmp_path: Path) -> None:
    verdict = judge(make_frame(), tmp_path)
    assert verdict.startswith("10 of the paper's 10 statements on this table are reproduced (PSNR is highest with")
    assert verdict.endswith("0 are not, 0 lie within what another seed does.")


def test_the_verdict_changes_with_the_values(tmp_path: Path) -> None:
    noisy = {f"niqe_{end}": 5.0 for end in ("difference", "low", "high")}
    verdict = judge(make_frame(no_noise={"ms_ssim": 0.95}, **{OTHER_SEED: noisy}), tmp_path)
    assert verdict.startswith("3 of the paper's 10 statements on this table are reproduced")
    assert "2 are not (SSIM is highest with full losses and noise; SSIM falls a little without noise)" in verdict
    assert verdict.endswith("5 lie within what another seed does, since the reason.")


def test_a_hostile_name_of_the_data_is_no_note(tmp_path: Path) -> None:
    measured = read(make_frame(no_contextual={"data": "<script>"}), tmp_path)
    judgement = judge_ablation(tabulate_ablation(CONDITIONS, measured), CONDITIONS, measured, WHY)
    assert "<script>" not in " ".join((judgement.verdict, *judgement.notes))
    assert judgement.findings == ("Trained and measured on parts of: <script>.",)
