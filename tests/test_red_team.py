"""Every cheat is caught: it fails, it is flagged, or it is timed at its honest speed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from red_team import CHEATS, Cheat, honest
from tiny import ignore

from harness.evaluate import evaluate
from harness.flags import find_flags
from harness.job import Evaluation
from harness.records import Record
from harness.submission import SubmissionFolder
from harness.timing import TimingPlan

PLAN = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)


def judge(evaluation: Evaluation, folder: SubmissionFolder) -> Record:
    timed = replace(evaluation, plan=PLAN)
    return evaluate(folder, timed, split=None, on_progress=ignore)


def time_ms(record: Record) -> float:
    assert record.timing is not None
    return float(np.median(record.timing.samples_ns)) / 1e6


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_is_caught(evaluation: Evaluation, submit: Callable[..., SubmissionFolder], cheat: Cheat) -> None:
    record = judge(evaluation, submit(cheat.build()))
    assert record.status == cheat.status
    if record.failure is not None:
        assert cheat.reason in record.failure.message
        return
    flags = find_flags(record)
    for phrase in cheat.flags:
        assert any(phrase in flag for flag in flags), flags
    if not cheat.pays:
        assert time_ms(record) > 0.5 * time_ms(judge(evaluation, submit(honest(), "honest")))


def test_an_honest_model_is_not_flagged(evaluation: Evaluation, submit: Callable[..., SubmissionFolder]) -> None:
    record = judge(evaluation, submit(honest()))
    assert find_flags(record) == ()
    assert not Path("/tmp/harness_red_team_was_here").exists()


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_every_cheat_is_in_the_documentation(cheat: Cheat) -> None:
    page = Path(__file__).parent.parent / "docs" / "measurement.md"
    assert f"| {cheat.name} |" in page.read_text(encoding="utf-8")
