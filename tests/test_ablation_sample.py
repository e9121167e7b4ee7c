"""What is measured of a network, and intervals of differences against the classical ones."""

import numpy as np
import pytest
from scipy import stats
from test_validation import Brighten, compute_niqe, make_pairs
from torch import nn

from reference.ablation_sample import (
    GROUPS,
    Sample,
    compare_samples,
    describe_sample,
    estimate_half_width,
    measure_sample,
)
from reference.validation import validate


def make_sample(seed: int, *, shift: float = 0.0) -> Sample:
    random = np.random.default_rng(seed)
    common = np.random.default_rng(0).normal(0, 5, 80)  # pairs are much less alike than networks are
    psnr_db, ms_ssim = 20 + shift + common + random.normal(0, 0.3, 80), 0.9 + 0.01 * random.normal(0, 1, 80)
    return Sample(psnr_db, ms_ssim, 4.0 + shift, 4.0 + shift + random.normal(0, 0.01, GROUPS))


def test_means_are_those_of_the_validation():
    pairs = make_pairs(25)
    found, sample = validate(Brighten(), pairs, compute_niqe), measure_sample(Brighten(), pairs, compute_niqe)
    assert describe_sample(sample) == pytest.approx({"pairs": 25} | vars(found))
    assert sample.niqe_without.shape == (GROUPS,)


def test_niqe_without_a_group_is_that_of_the_others():
    pairs = make_pairs(25)
    others = pairs.select([i for i in range(25) if i not in (3, 23)])
    sample = measure_sample(Brighten(), pairs, compute_niqe)
    assert sample.niqe_without[3] == validate(Brighten(), others, compute_niqe).niqe


def test_few_pairs_are_left_out_one_by_one():
    sample = measure_sample(Brighten(), make_pairs(3), compute_niqe)
    assert sample.niqe_without.shape == (3,)
    assert np.isfinite(sample.niqe_without).all()


@pytest.mark.parametrize(("size", "niqe"), [(96, None), (48, compute_niqe)])
def test_niqe_that_is_not_to_be_had_is_nan(size, niqe):
    pairs = make_pairs(3, size)
    sample, base = measure_sample(Brighten(), pairs, niqe), measure_sample(nn.Identity(), pairs, niqe)
    compared = compare_samples(sample, base)
    assert {name for name, value in compared.items() if np.isnan(value)} == {"niqe_difference", "niqe_low", "niqe_high"}


def test_differences_are_paired():
    sample, base = make_sample(1, shift=0.5), make_sample(2)
    compared = compare_samples(sample, base)
    for name in ("psnr_db", "ms_ssim"):
        values, others = getattr(sample, name), getattr(base, name)
        expected = stats.ttest_rel(values, others).confidence_interval()
        assert compared[f"{name}_difference"] == pytest.approx(values.mean() - others.mean())
        width = expected.high - expected.low
        assert compared[f"{name}_low"] == pytest.approx(expected.low, abs=0.1 * width)
        assert compared[f"{name}_high"] == pytest.approx(expected.high, abs=0.1 * width)
    assert compared["psnr_db_high"] - compared["psnr_db_low"] < 0.3, "of unpaired values it would be above 3"
    assert compared["niqe_low"] < compared["niqe_difference"] == 0.5 < compared["niqe_high"]


def test_jackknife_of_a_mean_is_the_t_interval():
    values = np.random.default_rng(3).normal(5, 2, 100)
    groups = values.reshape(5, GROUPS)
    without = np.array([np.delete(groups, number, axis=1).mean() for number in range(GROUPS)])
    low, high = stats.ttest_1samp(groups.mean(axis=0), 0).confidence_interval()
    assert estimate_half_width(without) == pytest.approx((high - low) / 2)
    assert values.mean() == pytest.approx((high + low) / 2)
