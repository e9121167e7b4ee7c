"""Several submissions: what is kept of an earlier result, what is measured again, and whose turn it is to be timed."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import models
import msgspec
import pytest
from stored import make_timing
from tiny import ignore, run

from harness import assessment, turns
from harness.archive import locate_record, read_record, read_records, write_record
from harness.errors import UsageError
from harness.evaluate import Draft, evaluate
from harness.job import Evaluation
from harness.records import Record
from harness.submission import SubmissionFolder
from harness.timing import TimingPlan, TimingSeries


def test_a_failure_never_replaces_a_result(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    assert run(submit(models.brighten()), evaluation, tmp_path).sentence == "a: done."
    before = path.read_bytes()
    outcome = run(submit(models.all_nan()), evaluation, tmp_path)
    assert path.read_bytes() == before
    assert outcome.sentence.endswith(f"Its earlier result in {path} is kept.")
    assert outcome.exit_code == 3
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


def test_a_result_without_times_replaces_one_with_times_only_when_asked(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    folder, path = submit(models.brighten()), locate_record(tmp_path / "records", dataset="pictures", name="a")
    run(folder, evaluation, tmp_path)
    record = read_record(path)
    write_record(path, msgspec.structs.replace(record, timing=make_timing(100.0), key="with times"))
    before = path.read_bytes()
    outcome = run(folder, evaluation, tmp_path, again=False)
    assert outcome.sentence.endswith(f"Its earlier result in {path}, which has times, is kept; --again replaces it.")
    assert (outcome.exit_code, path.read_bytes()) == (0, before)
    run(submit(models.brighten(0.1)), evaluation, tmp_path, again=False)  # another model
    assert read_record(path).timing is None
    path.write_bytes(before)
    run(folder, evaluation, tmp_path, again=True)
    assert read_record(path).timing is None


def test_unavailable_weights_are_recorded_but_no_fault(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    outcome = run(submit(None, weights="elsewhere"), evaluation, tmp_path)
    assert outcome.exit_code == 0
    assert read_record(locate_record(tmp_path / "records", dataset="pictures", name="a")).status == "unavailable"


def test_a_split_that_does_not_fit_one_submission_keeps_no_other_back(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    trained = submit(models.brighten(), trained_on="pictures/all")
    outcome = run(trained, evaluation, tmp_path, split="all")
    assert outcome.exit_code == UsageError.exit_code
    assert outcome.sentence.startswith("a was trained on pictures/all")
    assert not (tmp_path / "records").exists()
    assert run(submit(models.brighten(), "b"), evaluation, tmp_path, split="all").exit_code == 0


def test_a_damaged_record_is_said_and_not_overwritten_by_a_failure(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    path = locate_record(tmp_path / "records", dataset="pictures", name="a")
    record = evaluate(submit(models.brighten()), evaluation, split=None, on_progress=ignore)
    write_record(path, record)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match="is no whole record"):
        run(submit(models.all_nan()), evaluation, tmp_path)
    assert run(submit(models.brighten()), evaluation, tmp_path).exit_code == 0
    assert read_record(path).quality == record.quality


# --- what was measured already


def rerun(folder: SubmissionFolder, evaluation: Evaluation, reports: Path) -> str:
    return run(folder, evaluation, reports, again=False).sentence


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
    replaced = rerun(submit(models.brighten(0.1)), evaluation, tmp_path)
    assert re.fullmatch(r"a: done\. It replaces the record of another model of this name \([0-9a-f]{12}\)\.", replaced)
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


# --- time, in turn

PLAN = TimingPlan(threads=1, least_blocks=3, most_blocks=3, warmups=1, runs=2)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture
def timed(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, plan=PLAN)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The submissions whose blocks were measured, in order; a "stop" that is put in front is a kill after so many."""
    measured: list[str] = []
    add_block = turns.add_block

    def watch(draft: Draft, series: TimingSeries) -> Record:
        if "stop" in measured and len(measured) > measured.index("stop") + 4:
            raise Killed
        measured.append(draft.folder.name)
        return add_block(draft, series)

    monkeypatch.setattr(turns, "add_block", watch)
    return measured


def run_all(folders: Sequence[SubmissionFolder], timed: Evaluation, reports: Path, *, again: bool = False) -> list[str]:
    said: list[str] = []
    everything = turns.Run(timed, reports, None, again)
    turns.run_submissions(
        folders, everything, on_progress=ignore, on_outcome=lambda outcome: said.append(outcome.sentence)
    )
    return said


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_submissions_are_timed_block_by_block_in_turn(
    timed: Evaluation, submit: Callable[..., SubmissionFolder], blocks: list[str], tmp_path: Path
) -> None:
    folders = [submit(models.brighten(), "a"), submit(models.all_nan(), "b"), submit(models.brighten(0.1), "c")]
    said = run_all(folders, timed, tmp_path)
    assert blocks == ["a", "c"] * 3
    assert [sentence.partition(":")[0] for sentence in said] == ["a", "b", "c", "a", "c"]
    assert said[0] == "a: quality is measured; time follows."
    assert "NaN" in said[1]
    assert list_files(tmp_path / "records") == [f"pictures/{name}.json" for name in "abc"]
    timing = read_record(tmp_path / "records" / "pictures" / "c.json").timing
    assert timing is not None
    assert len(timing.samples_ns) == 3


def test_what_a_kill_interrupts_goes_on_with_all_that_was_measured(
    timed: Evaluation,
    submit: Callable[..., SubmissionFolder],
    blocks: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = [submit(models.brighten(), "a"), submit(models.brighten(0.1), "b")]
    blocks.append("stop")
    with pytest.raises(Killed):
        run_all(folders, timed, tmp_path)
    assert blocks == ["stop", "a", "b", "a", "b"]
    assert list_files(tmp_path / "records") == ["pictures/unfinished/a.json", "pictures/unfinished/b.json"]
    before = read_record(tmp_path / "records" / "pictures" / "unfinished" / "a.json")
    assert read_records(tmp_path / "records" / "pictures") == ()
    blocks.clear()
    with monkeypatch.context() as patch:
        patch.setattr(assessment, "score_pairs", lambda *_, **__: pytest.fail("quality was measured already"))
        said = run_all(folders, timed, tmp_path)
    assert blocks == ["a", "b"]
    assert len(said) == 4
    after = read_record(tmp_path / "records" / "pictures" / "a.json")
    assert after.quality == before.quality
    assert before.timing is not None
    assert after.timing is not None
    assert after.timing.samples_ns[:2] == before.timing.samples_ns
    assert list_files(tmp_path / "records") == ["pictures/a.json", "pictures/b.json"]
    assert all("as recorded" in sentence for sentence in run_all(folders, timed, tmp_path))


def test_what_a_kill_interrupts_before_the_audit_is_audited_later(
    timed: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Killed

    folders = [submit(models.brighten(), "a"), submit(models.brighten(0.1), "b")]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(turns, "audit", stop)
        run_all(folders, timed, tmp_path)
    assert list_files(tmp_path / "records") == ["pictures/unfinished/a.json", "pictures/unfinished/b.json"]
    with monkeypatch.context() as patch:
        patch.setattr(assessment, "score_pairs", lambda *_, **__: pytest.fail("quality was measured already"))
        said = run_all(folders, timed, tmp_path)
    assert said[:2] == [f"{name}: quality was measured before; time follows." for name in "ab"]
    for name in "ab":
        record = read_record(tmp_path / "records" / "pictures" / f"{name}.json")
        assert record.audit is not None
        assert record.timing is not None


@pytest.mark.parametrize("change", ["again", "model", "damaged"])
def test_what_is_unfinished_and_no_longer_fits_is_measured_anew(
    timed: Evaluation, submit: Callable[..., SubmissionFolder], blocks: list[str], tmp_path: Path, change: str
) -> None:
    blocks.append("stop")
    folders = [submit(models.brighten(), "a"), submit(models.brighten(0.1), "b")]
    with pytest.raises(Killed):
        run_all(folders, timed, tmp_path)
    blocks.clear()
    if change == "model":
        folders[0] = submit(models.brighten(0.2), "a")
    if change == "damaged":
        path = tmp_path / "records" / "pictures" / "unfinished" / "a.json"
        path.write_bytes(path.read_bytes()[:-100])
    run_all(folders[:1], timed, tmp_path, again=change == "again")
    assert blocks == ["a"] * 3
    assert list_files(tmp_path / "records") == ["pictures/a.json", "pictures/unfinished/b.json"]


def test_a_model_that_fails_while_it_is_timed_keeps_no_other_back(
    timed: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_block = turns.add_block

    def swap(draft: Draft, series: TimingSeries) -> Record:
        if draft.folder.name == "a" and series.count == 1:
            models.save(models.brighten(0.3), draft.folder.model_path)
        return add_block(draft, series)

    monkeypatch.setattr(turns, "add_block", swap)
    folders = [submit(models.brighten(), "a"), submit(models.brighten(0.1), "b")]
    said = run_all(folders, timed, tmp_path)
    assert "a timed run is up to 0.25 off that of an independent run" in said[2]
    assert said[3].startswith("b: done.")
    record = read_record(tmp_path / "records" / "pictures" / "a.json")
    assert (record.status, record.quality, record.timing) == ("failed", None, None)
    assert list_files(tmp_path / "records") == ["pictures/a.json", "pictures/b.json"]
