"""Formulas over columns: values, names, and everything that a formula may not do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.challenge import read_challenge
from harness.errors import ChallengeError
from harness.scoring import check_formula, evaluate_scores, list_names

SRCNN = {"psnr": 21.31, "ms_ssim": 0.8929, "time": 3274.0, "baseline_time": 3274.0}


def evaluate(formula: str, **columns: object) -> np.ndarray:
    return evaluate_scores({"S": formula}, columns)["S"]


def test_validation_scores_by_hand() -> None:
    # 4*0.31 - 100*0.0071 + 2 = 2.53; 0.31 - 400*0.0071 + 2 = -0.53; 0.62 - 200*0.0071 + 2.9 = 2.1
    scores = evaluate_scores(read_challenge("pirm2018b").phases["validation"].scores, SRCNN)
    assert {name: round(float(value), 9) for name, value in scores.items()} == {"A": 2.53, "B": -0.53, "C": 2.1}


def test_speed_counts_at_most_fourfold() -> None:
    formulas = read_challenge("pirm2018b").phases["validation"].scores
    fast, faster = (evaluate_scores(formulas, SRCNN | {"time": 3274.0 / factor})["A"] for factor in (4, 40))
    assert fast == faster == pytest.approx(2.53 + 6)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("-x + 2*x**2 - x/4", 2 * 9 - 3 - 0.75),
        ("max(x, 5, 1) + min(x, 1)", 6),
        ("exp(log(x)) + sqrt(x*x) + abs(-x)", 9),
        ("  +7 ", 7),
    ],
)
def test_arithmetic(formula: str, expected: float) -> None:
    assert evaluate(formula, x=3.0) == pytest.approx(expected)


def test_arrays_and_numbers_broadcast_to_the_columns() -> None:
    assert evaluate("min(x, y)", x=np.array([1.0, 5.0, 3.0]), y=2).tolist() == [1.0, 2.0, 2.0]
    assert evaluate("5", x=np.zeros(3)).tolist() == [5.0, 5.0, 5.0]


@given(
    st.lists(st.tuples(*[st.floats(min_value=0.1, max_value=100)] * 2), min_size=1, max_size=20),
    st.floats(min_value=0.1, max_value=100),
)
def test_rows_are_scored_as_alone(rows: list[tuple[float, float]], baseline_time: float) -> None:
    formulas = {"A": "4*(psnr - 21) + 2*min(baseline_time/time, 4)"}
    columns = {"psnr": np.array([r[0] for r in rows]), "time": np.array([r[1] for r in rows])}
    together = evaluate_scores(formulas, {**columns, "baseline_time": baseline_time})["A"]
    alone = [4 * (psnr - 21) + 2 * min(baseline_time / time, 4) for psnr, time in rows]
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-9)


def test_columns_are_left_as_they_were() -> None:
    column = np.array([1.0, 2.0])
    result = evaluate("x", x=column)
    result[0] = 9
    assert column.tolist() == [1.0, 2.0]


def test_misspelt_name_lists_the_known_ones() -> None:
    with pytest.raises(ChallengeError, match=r"unknown name 'pnsr' \(did you mean 'psnr'\?\); known names: psnr, time"):
        check_formula("A", "pnsr + time", ["time", "psnr"])
    with pytest.raises(ChallengeError, match=r"unknown function 'mni' \(did you mean 'min'\?\)"):
        check_formula("A", "mni(psnr, 4)", ["psnr"])


@pytest.mark.parametrize(
    "formula",
    [
        "x.real",
        "x[0]",
        "x > 1",
        "x if x else 1",
        "x and 1",
        "not x",
        "~x",
        "x % 2",
        "x // 2",
        "x << 2",
        "[x]",
        "'text'",
        "True",
        "1j",
        "lambda: x",
        "(x := 2)",
        "__import__('os')",
        "min",
        "min + 1",
        "min(x, 1, key=x)",
        "min(*x)",
        "min(x)",
        "exp(x, x)",
        "exp()",
        "min(x, 1)(2)",
        "x = 1",
        "x; x",
        "x +",
        "",
        "+".join(["x"] * 200),
        "-" * 250 + "x",
        "(" * 300 + "x" + ")" * 300,
        "x" + " " * 1000 + "+ x",
        "x\x00",
    ],
)
def test_formula_is_arithmetic_and_nothing_else(formula: str) -> None:
    with pytest.raises(ChallengeError, match=r"^score A: "):
        check_formula("A", formula, ["x"])


@pytest.mark.parametrize(
    "formula", ["min(1/x, 4)", "log(x)", "sqrt(x - 1)", "9**9**9", "exp(1000)", "x/x", "(x - 8)**0.5", "1" + "0" * 400]
)
def test_no_finite_value_is_an_error_and_never_hidden(formula: str) -> None:
    with pytest.raises(ChallengeError, match=r"score S: .* has no finite value"):
        evaluate(formula, x=np.array([0.0, 0.0]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_column_that_is_not_finite_is_named_with_its_row(value: float) -> None:
    with pytest.raises(ChallengeError, match="column 'psnr': row 2 is"):
        evaluate("psnr", psnr=np.array([1.0, value]))


def test_list_names_leaves_functions_out() -> None:
    assert list_names("2*min(baseline_time/time, 4) + exp(time)") == {"baseline_time", "time"}
