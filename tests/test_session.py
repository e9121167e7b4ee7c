"""Several submissions: what is kept of an earlier result, and what a check compares."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
from tiny import ignore

from harness import session
from harness.archive import locate_record, read_record, write_record
from harness.assets import open_store
from harness.challenge import Challenge
from harness.errors import DataError, RecordError, RegressionError, UsageError
from harness.evaluate import Evaluation, evaluate
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


def test_more_threads_than_cpus_are_refused(challenge: Challenge, tmp_path: Path) -> None:
    folder = tiny.write_dataset(tmp_path / "pictures", photos=1)
    with pytest.raises(UsageError, match="--threads 9999 is more than the"):
        options = session.Options(threads=9999)
        session.prepare_evaluation(challenge, str(folder), open_store(), options, on_progress=ignore)


def run(folder: SubmissionFolder, evaluation: Evaluation, reports: Path, split: str | None = None) -> session.Outcome:
    return session.run_submission(folder, evaluation, split=split, reports_dir=reports, on_progress=ignore)


def check(folder: SubmissionFolder, evaluation: Evaluation, reports: Path) -> session.Outcome:
    return session.check_submission(folder, evaluation, reports_dir=reports, on_progress=ignore)


def test_a_failure_never_replaces_a_result(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    assert run(submit(models.brighten()), evaluation, tmp_path).sentence == "a: done."
    before = path.read_bytes()
    outcome = run(submit(models.all_nan()), evaluation, tmp_path)
    assert path.read_bytes() == before
    assert outcome.sentence.endswith(f"Its earlier result in {path} is kept.")
    assert [fault.exit_code for fault in outcome.faults] == [3]
    run(submit(models.brighten(0.1)), evaluation, tmp_path)
    assert path.read_bytes() != before


def test_a_result_replaces_a_failure_and_a_failure_a_failure(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    kinds = []
    for model in (models.all_nan(), models.wrong_size(), models.brighten()):
        run(submit(model), evaluation, tmp_path)
        failure = read_record(path).failure
        kinds.append(failure.kind if failure else None)
    assert kinds == ["not_finite", "wrong_shape", None]


def test_unavailable_weights_are_recorded_but_no_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    outcome = run(submit(None, weights="elsewhere"), evaluation, tmp_path)
    assert outcome.faults == ()
    assert read_record(locate_record(tmp_path / "records", dataset="pictures", name="a")).status == "unavailable"


def test_a_split_that_does_not_fit_one_submission_keeps_no_other_back(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    trained = submit(models.brighten(), trained_on="pictures/all")
    outcome = run(trained, evaluation, tmp_path, split="all")
    assert [type(fault) for fault in outcome.faults] == [UsageError]
    assert outcome.sentence.startswith("a was trained on pictures/all")
    assert not (tmp_path / "records").exists()
    assert run(submit(models.brighten(), "b"), evaluation, tmp_path, split="all").faults == ()


def test_a_check_tells_what_it_compared(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    folder = submit(models.brighten(0.08))
    assert check(folder, evaluation, tmp_path) == session.Outcome("a: no record on pictures; `harness run` makes one.")
    run(folder, evaluation, tmp_path)
    assert check(folder, evaluation, tmp_path) == session.Outcome("a: as recorded.", compared=True)
    outcome = check(submit(models.brighten(0.02)), evaluation, tmp_path)
    assert [type(fault) for fault in outcome.faults] == [RegressionError]
    assert outcome.sentence.startswith("a: ")
    assert "got worse, from" in outcome.sentence
    assert outcome.compared
    outcome = check(submit(models.brighten(0.080001)), evaluation, tmp_path)
    assert [type(fault) for fault in outcome.faults] == [RecordError]
    assert "its record is of the model" in outcome.sentence


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
    assert len(outcome.faults) == 1
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
    assert (outcome.faults, outcome.compared) == ((), False)


def test_a_record_of_a_split_that_was_trained_on_since_is_a_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    run(submit(models.brighten()), evaluation, tmp_path)
    outcome = check(submit(models.brighten(), trained_on="pictures/all"), evaluation, tmp_path)
    assert [type(fault) for fault in outcome.faults] == [UsageError]


def test_a_damaged_record_is_said_and_not_overwritten_by_a_failure(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    record = evaluate(submit(models.brighten()), evaluation, split=None, on_progress=ignore)
    write_record(path, record)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match="is no whole record"):
        run(submit(models.all_nan()), evaluation, tmp_path)
    assert run(submit(models.brighten()), evaluation, tmp_path).faults == ()
    assert read_record(path).quality == record.quality


# --- what was measured already


def rerun(folder: SubmissionFolder, evaluation: Evaluation, reports: Path) -> str:
    outcome = session.run_submission(
        folder, evaluation, split=None, reports_dir=reports, on_progress=ignore, again=False
    )
    return outcome.sentence


def test_what_was_measured_already_stands(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    assert rerun(submit(models.brighten()), evaluation, tmp_path) == "a: done."
    before = path.read_bytes()
    sentence = rerun(submit(models.brighten()), evaluation, tmp_path)
    assert re.fullmatch(
        r"a: as recorded on \d{4}-\d\d-\d\d \d\d:\d\d UTC by the same code on this machine; --again measures anew\.",
        sentence,
    )
    assert path.read_bytes() == before
    assert rerun(submit(models.brighten(0.1)), evaluation, tmp_path) == "a: done."
    assert rerun(submit(models.brighten(0.1), title="Another"), evaluation, tmp_path) == "a: done."
    wider = dataclasses.replace(evaluation, threads=2)
    assert rerun(submit(models.brighten(0.1), title="Another"), wider, tmp_path) == "a: done."
    assert run(submit(models.brighten(0.1), title="Another"), wider, tmp_path).sentence == "a: done."


def test_a_failure_and_a_damaged_record_are_tried_again(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    for _ in range(2):
        assert "NaN" in rerun(submit(models.all_nan()), evaluation, tmp_path)
    assert rerun(submit(models.brighten()), evaluation, tmp_path) == "a: done."
    path.write_bytes(path.read_bytes()[:-100])
    assert rerun(submit(models.brighten()), evaluation, tmp_path) == "a: done."
    submit(models.brighten()).model_path.unlink()
    assert "is kept" in rerun(submit(None), evaluation, tmp_path)
