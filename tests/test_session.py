"""Several submissions: what is kept of an earlier result, and what a check compares."""

import re
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
from stored import replace_values
from tiny import ignore, run

from harness import session
from harness.archive import locate_record, read_record, write_record
from harness.assets import open_store
from harness.challenge import Challenge
from harness.errors import DataError, RecordError, RegressionError, UsageError
from harness.job import Evaluation
from harness.regression import Tolerances
from harness.submission import SubmissionFolder


def test_photos_of_several_sizes_are_not_timed(challenge: Challenge, tmp_path: Path) -> None:
    folder = tiny.write_dataset(tmp_path / "mixed", photos=1)
    tiny.save_picture(folder / "photos" / "1.png", np.zeros((110, 130, 3), np.uint8))
    prepare = session.prepare_evaluation
    with pytest.raises(DataError, match=r"photos of mixed differ in size \(0 120x110 and 1 130x110\).*--no-timing"):
        prepare(challenge, str(folder), open_store(), session.Options(threads=1), on_progress=ignore)
    options = session.Options(threads=1, timing=False)
    evaluation, _ = prepare(challenge, str(folder), open_store(), options, on_progress=ignore)
    assert (evaluation.plan, evaluation.threads) == (None, 1)


@pytest.mark.parametrize("name", ["threads", "workers"])
def test_more_threads_or_workers_than_cpus_are_refused(challenge: Challenge, tmp_path: Path, name: str) -> None:
    folder = tiny.write_dataset(tmp_path / "pictures", photos=1)
    with pytest.raises(UsageError, match=f"--{name} 9999 is more than the"):
        options = session.Options(**{name: 9999})
        session.prepare_evaluation(challenge, str(folder), open_store(), options, on_progress=ignore)


def check(folder: SubmissionFolder, evaluation: Evaluation, reports: Path) -> session.Outcome:
    outcomes: list[session.Outcome] = []
    session.check_submissions(
        [folder],
        evaluation,
        reports_dir=reports,
        tolerances=Tolerances(),
        on_progress=ignore,
        on_outcome=outcomes.append,
    )
    (outcome,) = outcomes
    return outcome


def test_a_check_tells_what_it_compared(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    folder = submit(models.brighten(0.08))
    assert check(folder, evaluation, tmp_path) == session.Outcome("a: no record on pictures; `harness run` makes one.")
    run(folder, evaluation, tmp_path)
    assert check(folder, evaluation, tmp_path) == session.Outcome("a: as recorded.", compared=True)
    outcome = check(submit(models.brighten(0.02)), evaluation, tmp_path)
    assert outcome.exit_code == RegressionError.exit_code
    assert outcome.sentence.startswith("a: ")
    assert "got worse, from" in outcome.sentence
    assert outcome.compared
    outcome = check(submit(models.brighten(0.080001)), evaluation, tmp_path)
    assert outcome.exit_code == RecordError.exit_code
    assert "its record is of the model" in outcome.sentence


def test_a_value_that_was_changed_by_hand_is_a_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    record = read_record(path)
    first, second = (pair.values["psnr"] for pair in record.quality.pairs[:2])
    names = [pair.image for pair in record.quality.pairs[:2]]
    # the mean stays as it was
    write_record(path, replace_values(record, {names[0]: {"psnr": first - 0.1}, names[1]: {"psnr": second + 0.1}}))
    outcome = check(folder, evaluation, tmp_path)
    assert outcome.exit_code == RecordError.exit_code
    assert re.fullmatch(
        rf"a: PSNR of image ({'|'.join(names)}) differs, from \d+\.\d{{4}} to \d+\.\d{{4}} dB; "
        r"a change of 0\.05 dB is allowed\. Run it again: its record does not follow\.",
        outcome.sentence,
    )


def test_a_check_writes_nothing(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path / "reports")
    before = {path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()}
    check(folder, evaluation, tmp_path / "reports")
    check(submit(models.all_nan()), evaluation, tmp_path / "reports")
    assert before == {path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()}
    assert len(before) == 1


def test_what_fails_now_but_has_a_result_on_record_is_a_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    run(submit(models.brighten()), evaluation, tmp_path)
    outcome = check(submit(models.all_nan()), evaluation, tmp_path)
    assert outcome.exit_code
    assert "NaN" in outcome.sentence
    assert not outcome.compared


def test_what_cannot_be_compared_is_passed_over(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    run(submit(models.all_nan()), evaluation, tmp_path)
    assert check(submit(models.brighten()), evaluation, tmp_path) == session.Outcome(
        "a: its record holds no result to compare."
    )
    run(submit(models.brighten()), evaluation, tmp_path)
    gone = submit(None, weights="elsewhere")
    gone.model_path.unlink()
    outcome = check(gone, evaluation, tmp_path)
    assert "weights are not available here" in outcome.sentence
    assert (outcome.exit_code, outcome.compared) == (0, False)


def test_a_record_of_a_split_that_was_trained_on_since_is_a_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    run(submit(models.brighten()), evaluation, tmp_path)
    outcome = check(submit(models.brighten(), trained_on="pictures/all"), evaluation, tmp_path)
    assert outcome.exit_code == UsageError.exit_code
