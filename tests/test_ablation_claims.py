"""The paper's claims: they hold in its own table, and are judged against the scatter between trainings."""

import math

import pandas as pd
import pytest

from harness.published.claims import CLAIMS, METRICS, choose_word, judge_claims, measure_scatter
from reference.ablation_conditions import CONDITIONS, OTHER_SEED, PUBLISHED

PAPER = [condition.name for condition in PUBLISHED]


def make_table(**changes: dict[str, float]) -> pd.DataFrame:
    """Measured as published, where `changes` has nothing else; the seed moves PSNR by 0.1, NIQE by 0.2."""
    rows = []
    for condition in CONDITIONS:
        published = {"psnr_db": condition.psnr_db, "ms_ssim": condition.ssim, "niqe": condition.niqe}
        row = {"condition": condition.name} | {METRICS[name]: value for name, value in published.items()} | published
        rows.append(row | changes.get(condition.name, {}))
    rows[-1] |= {"psnr_db_difference": 0.05, "psnr_db_low": -0.01, "psnr_db_high": 0.1}
    rows[-1] |= {"ms_ssim_difference": 0.0, "ms_ssim_low": -0.001, "ms_ssim_high": 0.0005}
    rows[-1] |= {"niqe_difference": 0.2, "niqe_low": math.nan, "niqe_high": math.nan}
    return pd.DataFrame(rows)


def judge(frame: pd.DataFrame) -> dict[str, str]:
    return {verdict.claim.sentence: verdict.word for verdict in judge_claims(frame, PAPER)}


def test_the_papers_claims_hold_in_its_own_table():
    verdicts = judge_claims(make_table(), PAPER)
    assert len(verdicts) == 10
    assert {verdict.word for verdict in verdicts} == {"reproduced"}
    assert all(verdict.published == verdict.measured for verdict in verdicts)
    margins = {verdict.claim.sentence: verdict.published for verdict in verdicts}
    assert margins["PSNR is highest with full losses and noise"] == pytest.approx(22.98 - 22.84)
    assert margins["PSNR is lowest without L1 loss"] == pytest.approx(22.17 - 21.79)
    assert margins["NIQE rises a lot without noise"] == pytest.approx(6.87 - 6.00)
    assert margins["NIQE falls without L1 loss"] == pytest.approx(6.00 - 5.08)


@pytest.mark.parametrize(
    ("condition", "values", "lost"),
    [
        ("no_color", {"psnr_db": 23.2}, ["PSNR is highest with full losses and noise"]),
        ("no_color", {"psnr_db": 21.5}, ["PSNR is lowest without L1 loss"]),
        ("no_l1", {"psnr_db": 22.5}, ["PSNR is lowest without L1 loss"]),
        ("no_contextual", {"niqe": 5.5}, ["NIQE rises obviously without contextual loss"]),
        ("no_perceptual", {"niqe": 6.5}, ["NIQE falls without perceptual loss"]),
        ("no_noise", {"niqe": 5.0}, ["NIQE rises a lot without noise"]),
        (
            "no_noise",
            {"ms_ssim": 0.93},
            ["SSIM is highest with full losses and noise", "SSIM falls a little without noise"],
        ),
    ],
)
def test_the_opposite_is_not_reproduced(condition, values, lost):
    words = judge(make_table(**{condition: values}))
    assert {sentence for sentence, word in words.items() if word == "not reproduced"} == set(lost)
    assert set(words.values()) == {"reproduced", "not reproduced"}


@pytest.mark.parametrize(("psnr_db", "word"), [(22.87, "reproduced"), (22.89, "within"), (23.07, "within")])
def test_what_the_seed_may_do_is_no_finding(psnr_db, word):
    words = judge(make_table(no_noise={"psnr_db": psnr_db}))
    assert words["PSNR is highest with full losses and noise"].startswith(word)
    assert words["PSNR falls a little without noise"].startswith(word)


def test_scatter_is_the_far_end_of_the_interval_or_the_difference_alone():
    rows = make_table().set_index("condition")
    assert [measure_scatter(rows, metric) for metric in METRICS] == [0.1, 0.001, 0.2]
    assert math.isnan(measure_scatter(rows.drop(OTHER_SEED.name), "niqe"))


def test_a_claim_on_all_needs_all():
    frame = make_table()
    words = judge(frame[frame["condition"] != "no_color"])
    measured = {sentence: word != "not measured" for sentence, word in words.items()}
    assert measured == {claim.sentence: claim.kind in ("rises", "falls") for claim in CLAIMS}
    assert set(judge(frame[frame["condition"] != OTHER_SEED.name]).values()) == {"not measured"}


def test_without_niqe_nothing_is_said_of_it():
    nothing = {condition.name: {"niqe": math.nan} for condition in PUBLISHED}
    verdicts = judge_claims(make_table(**nothing), PAPER)
    assert {verdict.claim.metric for verdict in verdicts if verdict.word == "not measured"} == {"niqe"}


@pytest.mark.parametrize(
    ("margin", "word"),
    [(0.2, "reproduced"), (0.1, "within the scatter"), (-0.1, "within the scatter"), (-0.2, "not reproduced")],
)
def test_words(margin, word):
    assert choose_word(margin, 0.1) == word
