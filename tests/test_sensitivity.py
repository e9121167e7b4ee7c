"""What would swap neighbours: each change found, applied, puts the two level."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.mos_proxy import fit_mos
from harness.scoring import evaluate_scores, split_terms
from harness.sensitivity import find_swaps

FIT = fit_mos([(6.0, 2.63), (6.55, 2.30), (6.82, 2.41)])
FORMULA = "4*(psnr - 21) + 7.21*(mos - 2.296) + 2*min(baseline_time/time, 4)"

value = st.floats(0.5, 30, allow_subnormal=False)


def make_frame(rows: list[dict[str, float]]) -> pd.DataFrame:
    """Rows with a MOS by the fit, best score first."""
    frame = pd.DataFrame(rows)
    frame["mos"] = FIT.intercept + FIT.slope * frame["niqe"]
    frame["score"] = score(frame, FORMULA)
    return frame.sort_values("score", ascending=False, ignore_index=True)


def score(frame: pd.DataFrame, formula: str) -> np.ndarray:
    return evaluate_scores({"x": formula}, {name: frame[name] for name in frame.columns if name != "score"})["x"]


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("psnr", "niqe", "baseline_time", "time"), value)), min_size=2))
def test_the_weight_found_puts_two_level(rows: list[dict[str, float]]) -> None:
    frame = make_frame(rows)
    swaps = find_swaps(frame, FORMULA, FIT)
    assert swaps.iloc[-1].isna().all()
    for place, swap in swaps[swaps["swap_change"].notna()].iterrows():
        assert swap["swap_change"] >= -1
        pair = frame.loc[place : place + 1]
        own = score(pair, swap["swap_term"])
        changed = pair["score"].to_numpy() + swap["swap_change"] * own
        assert changed[0] == pytest.approx(changed[1], abs=1e-9 * (1 + np.abs(own).max() * abs(swap["swap_change"])))


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("psnr", "niqe", "baseline_time", "time"), value)), min_size=2))
def test_the_slope_found_puts_two_level(rows: list[dict[str, float]]) -> None:
    frame = make_frame(rows)
    middle = np.mean([niqe for niqe, _ in FIT.pairs]), np.mean([mos for _, mos in FIT.pairs])
    for place, slope in find_swaps(frame, FORMULA, FIT)["swap_slope"].dropna().items():
        pair = frame.loc[place : place + 1]
        first, second = score(pair.assign(mos=middle[1] + slope * (pair["niqe"] - middle[0])), FORMULA)
        assert first == pytest.approx(second, abs=1e-6 * (1 + abs(slope)))


def test_the_least_change_is_named() -> None:
    frame = pd.DataFrame({"psnr": [23.0, 22.0], "ms_ssim": [0.92, 0.95]})
    (swap, _) = find_swaps(frame, "4*(psnr - 21) + 100*(ms_ssim - 0.9)", FIT).to_dict("records")
    # 4 dB ahead, 3 behind: a quarter less for PSNR, or a third more for MS-SSIM
    assert (swap["swap_term"], swap["swap_change"]) == ("4 * (psnr - 21)", pytest.approx(-0.25))
    assert math.isnan(swap["swap_slope"])


def test_nothing_swaps_what_is_ahead_in_all() -> None:
    frame = pd.DataFrame({"psnr": [23.0, 22.0], "ms_ssim": [0.95, 0.92]})
    assert find_swaps(frame, "4*(psnr - 21) + 100*(ms_ssim - 0.9)", FIT).isna().all(axis=None)


def test_copies_are_level_already() -> None:
    frame = make_frame([{"psnr": 22.0, "niqe": 5.0, "baseline_time": 2.0, "time": 1.0}] * 2)
    assert find_swaps(frame, FORMULA, FIT).isna().all(axis=None)


def test_no_row_gives_none() -> None:
    assert find_swaps(pd.DataFrame({"psnr": [], "ms_ssim": []}), "psnr + ms_ssim", FIT).empty


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("4*(psnr - 21) + 2*time", ("4 * (psnr - 21)", "2 * time")),
        ("psnr - (ms_ssim - 2*time) - 1", ("psnr", "-ms_ssim", "--(2 * time)", "-1")),
        ("psnr", ("psnr",)),
        ("2*(psnr + time)", ("2 * (psnr + time)",)),
    ],
)
def test_terms(formula: str, terms: tuple[str, ...]) -> None:
    assert split_terms(formula) == terms


@given(*[st.floats(-100, 100)] * 3)
def test_terms_add_up(a: float, b: float, c: float) -> None:
    formula, columns = "a - (b - 2*c) + max(a, b) - 3", {"a": a, "b": b, "c": c}
    parts = [evaluate_scores({"x": term}, columns)["x"] for term in split_terms(formula)]
    assert np.sum(parts) == pytest.approx(float(evaluate_scores({"x": formula}, columns)["x"]), abs=1e-9)
