"""The MOS estimate: the published pairs, scipy's regression, and an interval that hides nothing."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.metrics.mos_proxy import fit_mos, measure_error, predict_mos

# Table 3 (NIQE) and Fig. 8 (MOS) of the challenge's report: BOE-SBG, SRCNN, DPED.
PUBLISHED = [(6.00, 2.6283), (6.55, 2.296), (6.82, 2.4111)]
# The same with DPED's MOS as the final table's scores have it.
CORRECTED = [*PUBLISHED[:2], (6.82, 2.4411)]


def make_pairs(count: int) -> list[tuple[float, float]]:
    random = np.random.default_rng(8)
    niqe = random.uniform(3, 9, count)
    return list(zip(niqe.tolist(), (5 - 0.3 * niqe + random.normal(0, 0.2, count)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("pairs", "intercept", "slope", "correlation"),
    [(PUBLISHED, 4.477, -0.3147, -0.78), (CORRECTED, 4.286, -0.2835, -0.71)],
    ids=["published", "corrected"],
)
def test_fits_the_published_pairs(pairs: list, intercept: float, slope: float, correlation: float):
    fit = fit_mos(pairs)
    assert fit.intercept == pytest.approx(intercept, abs=0.0005)
    assert fit.slope == pytest.approx(slope, abs=0.00005)
    assert fit.correlation == pytest.approx(correlation, abs=0.005)
    assert fit.pairs == tuple(pairs)


@pytest.mark.parametrize("pairs", [PUBLISHED, make_pairs(4), make_pairs(50)], ids=["3", "4", "50"])
def test_agrees_with_scipy(pairs: list):
    fit = fit_mos(pairs)
    expected = stats.linregress(*zip(*pairs, strict=True))
    assert fit.slope == pytest.approx(expected.slope, abs=1e-12)
    assert fit.intercept == pytest.approx(expected.intercept, abs=1e-12)
    assert fit.correlation == pytest.approx(expected.rvalue, abs=1e-12)
    niqe = np.array(pairs)[:, 0]
    stderr = fit.residual_std / math.sqrt(np.square(niqe - niqe.mean()).sum())
    assert stderr == pytest.approx(expected.stderr, abs=1e-12)


def test_three_pairs_give_a_huge_interval():
    fit = fit_mos(PUBLISHED)
    value, low, high = predict_mos(fit, 6.4567)
    assert value == pytest.approx(4.477 - 0.3147 * 6.4567, abs=0.001)
    # At the mean NIQE: 12.7062 (t, one degree of freedom) * residual deviation * sqrt(4/3).
    assert high - value == pytest.approx(12.7062 * fit.residual_std * math.sqrt(4 / 3), rel=1e-4)
    assert high - low > 3


def test_interval_widens_away_from_the_pairs():
    fit = fit_mos(make_pairs(20))
    middle = float(np.mean(np.array(fit.pairs)[:, 0]))
    widths = [high - low for _, low, high in (predict_mos(fit, middle + offset) for offset in (0.0, 2.0, 8.0))]
    assert widths[0] < widths[1] < widths[2]


def test_interval_holds_95_percent_of_new_observations():
    random = np.random.default_rng(9)
    niqe = np.array([4.0, 5.0, 5.5, 7.0, 8.0])
    inside = 0
    for _ in range(2000):
        fit = fit_mos(list(zip(niqe, 5 - 0.3 * niqe + random.normal(0, 0.3, 5), strict=True)))
        _, low, high = predict_mos(fit, 6.0)
        inside += low <= 5 - 0.3 * 6 + random.normal(0, 0.3) <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)  # three standard errors


def test_arrays_give_arrays_and_numbers_floats():
    fit = fit_mos(PUBLISHED)
    niqe = np.array([[5.0, 6.0], [7.0, 8.0]])
    arrays = predict_mos(fit, niqe)
    assert all(array.shape == niqe.shape for array in arrays)
    for index, single in np.ndenumerate(niqe):
        floats = predict_mos(fit, float(single))
        assert all(type(number) is float for number in floats)
        assert floats == pytest.approx([array[index] for array in arrays], abs=1e-12)


def test_is_not_cut_to_the_scale_of_opinions():
    fit = fit_mos(PUBLISHED)
    value, low, high = predict_mos(fit, 30.0)
    assert value < 0
    assert low < value < high


def test_equal_opinions_have_no_correlation():
    fit = fit_mos([(4.0, 3.0), (5.0, 3.0), (6.0, 3.0)])
    assert fit.slope == 0
    assert math.isnan(fit.correlation)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "at least three .*got 0"),
        (PUBLISHED[:2], "at least three .*got 2"),
        ([(6.0, 2.0), (6.0, 2.5), (6.0, 3.0)], "differ in NIQE, got 6.0"),
        ([(6.0, 2.0), (math.nan, 2.5), (7.0, 3.0)], "finite.*nan"),
        ([(6.0, 2.0), (6.5, math.inf), (7.0, 3.0)], "finite.*inf"),
        ([(1.0, 2.0, 3.0)] * 3, r"hold \(NIQE, MOS\), got shape \(3, 3\)"),
    ],
)
def test_pairs_that_fit_no_line_are_refused(pairs: list, message: str):
    with pytest.raises(ValueError, match=message):
        fit_mos(pairs)


@pytest.mark.parametrize("niqe", [math.nan, math.inf, np.array([5.0, math.nan])])
def test_niqe_must_be_finite(niqe: object):
    with pytest.raises(ValueError, match="niqe must be finite"):
        predict_mos(fit_mos(PUBLISHED), niqe)


@pytest.mark.parametrize("pairs", [PUBLISHED, make_pairs(4), make_pairs(50)], ids=["3", "4", "50"])
def test_leave_one_out_error_is_that_of_the_lines_without_each_pair(pairs: list):
    errors = []
    for number, (niqe, mos) in enumerate(pairs):
        others = np.array(pairs[:number] + pairs[number + 1 :])
        slope, intercept = np.polyfit(others[:, 0], others[:, 1], 1)
        errors.append(mos - intercept - slope * niqe)
    expected = math.sqrt(np.mean(np.square(errors)))
    assert measure_error(fit_mos(pairs)).leave_one_out == pytest.approx(expected, abs=1e-9)


def test_leave_one_out_error_is_infinite_where_one_pair_makes_the_line():
    assert measure_error(fit_mos([(5.0, 2.0), (5.0, 2.1), (6.0, 3.0)])).leave_one_out == math.inf


def test_intervals_are_those_of_scipys_bootstrap():
    pairs = make_pairs(50)
    niqe, mos = np.array(pairs).T

    def fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        slope, intercept = np.polyfit(x, y, 1)
        return slope, intercept

    theirs = stats.bootstrap(
        (niqe, mos), fit_line, paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=1
    ).confidence_interval
    ours = measure_error(fit_mos(pairs))
    for found, low, high in zip((ours.slope, ours.intercept), theirs.low, theirs.high, strict=True):
        assert found == pytest.approx((low, high), abs=0.08 * (high - low))


def test_intervals_leave_out_what_has_no_line():
    error = measure_error(fit_mos(PUBLISHED))
    assert all(math.isfinite(end) for end in (*error.slope, *error.intercept))
    assert error.slope[0] < -0.3147 < error.slope[1]
    assert measure_error(fit_mos(PUBLISHED)) == error  # seeded
