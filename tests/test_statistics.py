"""Bootstrap intervals: coverage, pairing, what a block is, and faults."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.statistics import (
    RESAMPLES,
    is_noisy,
    measure_width,
    percentile_interval,
    predict_count,
    rank_samples,
    resample_means,
    resample_times,
    share_first_place,
    summarise_times,
)

BASELINE = [[200, 210, 190], [220, 240, 230], [205, 205, 205], [200, 199, 198]]
FAST = [[100, 105, 95], [115, 110, 120], [100, 104, 103], [100, 100, 99]]


def mean_interval(values) -> tuple[float, float]:
    return percentile_interval(resample_means(np.asarray(values)[:, np.newaxis])[:, 0])


def ratio_interval(baseline_samples_ns, samples_ns) -> tuple[float, float, float]:
    baseline_ns, own_ns = summarise_times(baseline_samples_ns, samples_ns)
    times = resample_times(baseline_samples_ns, samples_ns)
    return baseline_ns / own_ns, *percentile_interval(times[:, 0] / times[:, 1])


def test_mean_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).normal(21, 5, 400)
    low, high = mean_interval(values)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=3).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.05)


def test_mean_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    intervals = [mean_interval(generator.normal(0, 1, 100)) for _ in range(200)]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.90 <= covered <= 0.99


def test_same_values_same_digits() -> None:
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
    assert ratio_interval(BASELINE, FAST) == ratio_interval(BASELINE, FAST)


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(3).normal(size=50)
    means = resample_means(np.stack([values, 2 * values + 1], axis=1))
    assert means.shape == (RESAMPLES, 2)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1, atol=1e-12)
    assert means[:, 0].std() > 0


def test_ratio_is_the_geometric_mean_of_ratios_of_medians() -> None:
    ratio, low, high = ratio_interval(BASELINE, FAST)
    assert ratio == pytest.approx((200 / 100 * 230 / 115 * 205 / 103 * 199 / 100) ** 0.25)
    assert low <= ratio <= high
    assert low < high


def test_ratio_turned_round_is_the_reciprocal() -> None:
    ratio, low, high = ratio_interval(BASELINE, FAST)
    other, other_low, other_high = ratio_interval(FAST, BASELINE)
    assert (1 / other, 1 / other_high, 1 / other_low) == pytest.approx((ratio, low, high), rel=1e-4)


def test_a_bias_shared_by_a_block_leaves_the_ratio_alone() -> None:
    factors = (1, 3, 2, 5)
    biased = [
        [[run * f for run in block] for block, f in zip(blocks, factors, strict=True)] for blocks in (BASELINE, FAST)
    ]
    assert ratio_interval(*biased) == pytest.approx(ratio_interval(BASELINE, FAST))


@pytest.mark.parametrize("count", [3, 4, 6, 10, 20])
def test_ratio_interval_covers_as_often_as_it_says_where_blocks_are_correlated(count: int) -> None:
    """As on the machines measured: a plain percentile interval would cover in 62 to 78 of 100 cases."""
    generator = np.random.default_rng(count)
    covered = []
    for _ in range(300):
        drift = generator.normal(0, 0.01, 60 + count)
        for number in range(1, len(drift)):  # an autoregressive series, from its steady state on
            drift[number] += 0.4 * drift[number - 1]
        times = 1e6 * np.exp(generator.normal(0, 0.005, (2, count, 3)))
        times[1] *= np.exp(drift[60:, np.newaxis])
        _, low, high = ratio_interval(times[0].tolist(), times[1].tolist())
        covered.append(low <= 1 <= high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_one_disturbed_run_turns_no_rank_over() -> None:
    """By its mean the first would be the slower one; by the median of each process it is the faster one."""
    disturbed, steady = [[100, 101, 900]] * 4, [[200, 201, 202]] * 4
    assert np.mean(disturbed) > np.mean(steady)
    assert summarise_times(BASELINE, disturbed)[1] < summarise_times(BASELINE, steady)[1]


def test_width_is_that_of_the_interval_and_noisy_beyond_two_percent() -> None:
    ratio, low, high = ratio_interval(BASELINE, FAST)
    assert measure_width(BASELINE, FAST) == pytest.approx((high - low) / ratio)
    assert is_noisy([[200]] * 4, [[100], [104], [100], [104]])
    assert not is_noisy([[200]] * 4, [[100]] * 4)


def test_the_number_of_blocks_that_makes_a_ratio_known_is_foretold() -> None:
    own = [[100], [102], [101], [99], [100], [101]]
    baseline = [[200]] * 6
    needed = predict_count(baseline, own, most=500)
    assert 6 < needed < 500
    repeats = needed // 6 + 1  # as many blocks again that vary as these
    assert not is_noisy(baseline * repeats, own * repeats)
    assert is_noisy(baseline * (repeats // 2), own * (repeats // 2))
    assert predict_count(baseline, own, most=7) == 7
    assert predict_count([[200]] * 4, [[100]] * 4, most=30) == 2


def test_one_block_resamples_its_runs() -> None:
    ratio, low, high = ratio_interval(BASELINE[:1], FAST[:1])
    assert ratio == pytest.approx(2)
    assert low == pytest.approx(190 / 105)
    assert high == pytest.approx(210 / 95)


@pytest.mark.parametrize(
    ("baseline", "own", "expected"),
    [
        ([], [], "as many blocks as the baseline's, at least one, got 0 and 0"),
        (BASELINE, FAST[:2], "got 2 and 4"),
        ([[1]], [[]], "positive times"),
        ([[1]], [[3, 0]], r"positive times in ns, got \(3, 0\)"),
    ],
)
def test_faulty_blocks(baseline: list[list[int]], own: list[list[int]], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        ratio_interval(baseline, own)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf]])
def test_faulty_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values must be"):
        mean_interval(values)


# --- ranks


def test_first_place_is_shared_by_how_often_it_is_held() -> None:
    samples = np.array([[3.0, 1.0, 2.0, 5.0], [1.0, 3.0, 2.0, 1.0], [0.0, 0.0, 2.0, 0.0]])
    np.testing.assert_allclose(share_first_place(samples), [(2 + 1 / 3) / 4, (1 + 1 / 3) / 4, 1 / 12], rtol=1e-15)


def test_a_rank_is_shared_until_the_difference_is_sure() -> None:
    noise = np.random.default_rng(1).normal(size=(3, 100_000))
    # the first two differ by 1.5, the first and the third by 4 standard deviations of the difference, the next two by 1
    values = np.array([0.0, -1.5, -4.0, -5.0]) * math.sqrt(2)
    samples = values[:, np.newaxis] + np.vstack([noise, noise[:1]])
    assert rank_samples(samples[:3]) == [1, 1, 3]
    assert rank_samples(samples[[0, 3]]) == [1, 2]
    assert rank_samples(samples[[0, 0, 1]]) == [1, 1, 1]


def test_the_bound_is_that_of_a_95_percent_interval() -> None:
    difference = np.random.default_rng(2).normal(size=100_000)
    for mean, ranks in ((1.90, [1, 1]), (2.02, [1, 2])):  # 1.96 standard deviations
        assert rank_samples(np.stack([difference + mean, np.zeros(100_000)])) == ranks
