"""What a check compares, the verdicts that it comes to, and what it leaves behind."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import models
import msgspec
import pytest
from stored import make_timing, replace_values
from tiny import ignore, run

from harness import gate
from harness.archive import locate_record, read_record, write_record
from harness.challenge import find_phase
from harness.errors import (
    DataError,
    DisturbedError,
    ModelError,
    RecordError,
    RegressionError,
    SubmissionError,
    UsageError,
)
from harness.evaluate import Draft
from harness.findings import CHECK, Findings, Verdict
from harness.gate import Gate, check_submissions, publish_findings
from harness.job import Evaluation
from harness.progress import Progress
from harness.records import Failure, Record, Timing
from harness.submission import SubmissionFolder
from harness.timing import TimingPlan, TimingSeries
from harness.tolerances import Tolerances
from harness.turns import Turn

replace = msgspec.structs.replace

Submit = Callable[..., SubmissionFolder]


def check_all(
    folders: Sequence[SubmissionFolder], evaluation: Evaluation, reports: Path, tolerances: Tolerances
) -> list[Verdict]:
    findings = Findings(timed=evaluation.plan is not None)
    check_submissions(
        folders,
        Gate(evaluation, reports, tolerances, find_phase(evaluation.challenge, "validation")),
        on_progress=ignore,
        on_verdict=findings.verdicts.append,
    )
    return list(findings.list_verdicts())


def check(
    folder: SubmissionFolder, evaluation: Evaluation, reports: Path, tolerances: Tolerances | None = None
) -> Verdict:
    (verdict,) = check_all([folder], evaluation, reports, tolerances or Tolerances())
    return verdict


def edit_record(reports: Path, change: Callable[[Record], Record]) -> None:
    """Change the record of the submission `a` by hand."""
    path = locate_record(reports / "records", dataset="pictures", name="a")
    write_record(path, change(read_record(path)))


def test_a_check_tells_what_it_compared(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder = submit(models.brighten(0.08))
    verdict = check(folder, evaluation, tmp_path)
    assert verdict == Verdict("a", "not compared", "a: no record on pictures; `harness run` makes one.")
    run(folder, evaluation, tmp_path)
    verdict = check(folder, evaluation, tmp_path)
    assert (verdict.status, verdict.sentence, verdict.exit_code) == ("as recorded", "a: as recorded.", 0)
    assert [figure.quantity for figure in verdict.figures] == ["Score A", "psnr", "ms_ssim"]
    assert all(figure.loss == 0 for figure in verdict.figures)
    assert verdict.images == 6  # two values of each of three pairs
    verdict = check(submit(models.brighten(0.02)), evaluation, tmp_path)
    assert (verdict.status, verdict.exit_code) == ("got worse", RegressionError.exit_code)
    assert re.search(r"^a: PSNR got worse, from .*\n(a: .*\n)*a: Score A got worse, from ", verdict.sentence)
    verdict = check(submit(models.brighten(0.080001)), evaluation, tmp_path)
    assert (verdict.status, verdict.exit_code) == ("does not follow", RecordError.exit_code)
    assert "its record is of the model" in verdict.sentence


@pytest.mark.parametrize("change_db", [-0.1, 0.1])
def test_a_value_that_was_changed_by_hand_is_a_fault(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, change_db: float
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)
    # the mean over three pairs moves by 0.033 dB
    tolerances = Tolerances(mean=dict.fromkeys(("psnr", "ms_ssim"), 0.04))

    def change(record: Record) -> Record:
        first = record.quality.pairs[0]
        return replace_values(record, {first.image: {"psnr": first.values["psnr"] + change_db}})

    edit_record(tmp_path, change)
    verdict = check(folder, evaluation, tmp_path, tolerances)
    assert (verdict.status, verdict.exit_code) == ("does not follow", RecordError.exit_code)
    assert re.fullmatch(
        r"a: PSNR of image \d differs, from \d+\.\d{4} to \d+\.\d{4} dB; a change of 0\.05 dB is allowed\. "
        r"Run it again: its record does not follow\.",
        verdict.sentence,
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"title": "The winner"}, "title"),
        ({"trained_on": "pictures/all"}, "trained_on"),
        ({"authors": ("Mallory",)}, "authors"),
    ],
)
def test_a_declaration_that_was_changed_by_hand_is_a_fault(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)
    edit_record(tmp_path, lambda record: replace(record, submission=replace(record.submission, **changes)))
    verdict = check(folder, evaluation, tmp_path)
    assert (verdict.status, verdict.exit_code) == ("does not follow", RecordError.exit_code)
    assert verdict.sentence == f"a: its record has another {named} than the folder here; run it again."


def test_a_cost_that_was_changed_by_hand_is_a_fault(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)
    edit_record(tmp_path, lambda record: replace(record, cost=replace(record.cost, multiply_adds=1)))
    verdict = check(folder, evaluation, tmp_path)
    assert verdict.sentence == "a: its record has another number of multiply-adds than the folder here; run it again."


def test_means_that_are_each_allowed_can_make_a_score_worse(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)

    def raise_all(record: Record) -> Record:
        pairs = record.quality.pairs
        return replace_values(record, {p.image: {"ms_ssim": p.values["ms_ssim"] + 0.0004} for p in pairs})

    edit_record(tmp_path, raise_all)
    verdict = check(folder, evaluation, tmp_path, Tolerances(score=0.03))
    assert (verdict.status, verdict.exit_code) == ("got worse", 1)
    assert re.fullmatch(r"a: Score A got worse, from \S+ to \S+; a change of 0\.03 is allowed\.", verdict.sentence)
    assert check(folder, evaluation, tmp_path).status == "as recorded"


def test_a_check_writes_nothing(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path / "reports")
    before = {path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()}
    check(folder, evaluation, tmp_path / "reports")
    check(submit(models.all_nan()), evaluation, tmp_path / "reports")
    assert before == {path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()}
    assert len(before) == 1


def test_what_fails_now_but_has_a_result_on_record_is_a_fault(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    run(submit(models.brighten()), evaluation, tmp_path)
    verdict = check(submit(models.all_nan()), evaluation, tmp_path)
    assert (verdict.status, verdict.exit_code, verdict.figures) == ("failed", SubmissionError.exit_code, ())
    assert verdict.sentence.startswith("a has a result on record, but none here: ")
    assert "NaN" in verdict.sentence


def test_what_cannot_be_compared_is_passed_over(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    run(submit(models.all_nan()), evaluation, tmp_path)
    assert check(submit(models.brighten()), evaluation, tmp_path) == Verdict(
        "a", "not compared", "a: its record holds no result to compare."
    )
    run(submit(models.brighten()), evaluation, tmp_path)
    gone = submit(None, weights="elsewhere")
    gone.model_path.unlink()
    verdict = check(gone, evaluation, tmp_path)
    assert "weights are not available here" in verdict.sentence
    assert (verdict.status, verdict.exit_code) == ("not compared", 0)


def test_a_format_that_cannot_be_run_here_is_passed_over(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit(models.brighten())
    run(folder, evaluation, tmp_path)

    def prepare(path: Path, runtime: str) -> None:
        raise ModelError("it needs a package; pip install it.", stage="load", kind="not_installed")

    monkeypatch.setattr("harness.admission.prepare_model", prepare)
    verdict = check(folder, evaluation, tmp_path)
    assert verdict.sentence == "a: not compared, it needs a package; pip install it."
    assert (verdict.status, verdict.exit_code) == ("not compared", 0)


def test_a_record_of_a_split_that_was_trained_on_since_is_a_fault(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    run(submit(models.brighten()), evaluation, tmp_path)
    verdict = check(submit(models.brighten(), trained_on="pictures/all"), evaluation, tmp_path)
    assert (verdict.status, verdict.exit_code) == ("failed", UsageError.exit_code)


def test_a_damaged_record_keeps_no_other_submission_back(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    folders = [submit(models.brighten(), name) for name in ("a", "b")]
    for folder in folders:
        run(folder, evaluation, tmp_path)
    locate_record(tmp_path / "records", dataset="pictures", name="a").write_text("{")
    damaged, whole = check_all(folders, evaluation, tmp_path, Tolerances())
    assert (damaged.status, damaged.exit_code) == ("failed", RecordError.exit_code)
    assert "a.json is no whole record" in damaged.sentence
    assert whole.status == "as recorded"


# --- speed, of times that are made up


@pytest.fixture
def timed(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, plan=TimingPlan(threads=2))


def check_speed(
    monkeypatch: pytest.MonkeyPatch,
    timed: Evaluation,
    folder: SubmissionFolder,
    reports: Path,
    *,
    stored: Timing | None,
    finish: Callable[[Draft], Turn],
) -> Verdict:
    """Check a submission whose record holds such times; `finish` is what comes of measuring them here."""

    def take_turns(waiting: Sequence[tuple[Draft, TimingSeries]], *, on_progress: Progress) -> Iterator[Turn]:
        for draft, _ in waiting:
            yield Turn(draft, draft.record)  # not finished yet
            yield finish(draft)

    run(folder, dataclasses.replace(timed, plan=None), reports)
    edit_record(reports, lambda record: msgspec.structs.replace(record, timing=stored))
    monkeypatch.setattr(gate, "take_turns", take_turns)
    return check(folder, timed, reports)


def finish_with(timing: Timing | None, failure: Failure | None = None) -> Callable[[Draft], Turn]:
    def finish(draft: Draft) -> Turn:
        record = msgspec.structs.replace(draft.record, timing=timing)
        if failure:
            record = msgspec.structs.replace(record, quality=None, failure=failure, status="failed")
        return Turn(draft, record, finished=True)

    return finish


def tell_timing(ms: float, *, baseline_ms: float = 200.0, **changes: object) -> Timing:
    return msgspec.structs.replace(make_timing(ms, baseline_ms=baseline_ms), **({"baseline": "slow"} | changes))


@pytest.mark.parametrize(
    ("ms", "status", "words"),
    [
        (100.0, "as recorded", "a: speed-up over Slow is 2.00"),
        (130.0, "got worse", "a: speed-up over Slow got worse, from 2.00"),
        (60.0, "as recorded", "a: speed-up over Slow is 3.33"),
    ],
)
def test_a_check_of_speed_compares_ratios(
    monkeypatch: pytest.MonkeyPatch,
    timed: Evaluation,
    submit: Submit,
    tmp_path: Path,
    ms: float,
    status: str,
    words: str,
) -> None:
    verdict = check_speed(
        monkeypatch,
        timed,
        submit(models.brighten()),
        tmp_path,
        stored=tell_timing(100.0),
        finish=finish_with(tell_timing(10 * ms, baseline_ms=2000.0)),  # a machine that is ten times slower
    )
    assert verdict.status == status
    assert verdict.exit_code == (RegressionError.exit_code if status == "got worse" else 0)
    quality, speed = verdict.sentence.splitlines()
    assert quality == "a: as recorded."
    assert speed.startswith(words)
    assert verdict.figures
    assert verdict.speed.after.value == pytest.approx(200 / ms, rel=0.01)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (None, "its record has no times."),
        (tell_timing(100.0, baseline="srcnn"), "its record is timed against srcnn; run it again."),
        (tell_timing(100.0, device="cuda"), "its record is timed on cuda."),
        (tell_timing(100.0, threads=8), "its record is timed with 8 threads; --threads 8 compares it."),
    ],
)
def test_a_speed_up_measured_otherwise_is_not_compared(
    monkeypatch: pytest.MonkeyPatch,
    timed: Evaluation,
    submit: Submit,
    tmp_path: Path,
    stored: Timing | None,
    reason: str,
) -> None:
    verdict = check_speed(
        monkeypatch, timed, submit(models.brighten()), tmp_path, stored=stored, finish=finish_with(None)
    )
    assert (verdict.status, verdict.exit_code, verdict.speed) == ("as recorded", 0, None)
    assert verdict.sentence == f"a: as recorded.\na: speed not compared, {reason}"


def test_what_goes_wrong_while_time_is_measured_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, timed: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    failure = Failure("run", "output", "a timed run gave another output.")
    folder, stored = submit(models.brighten()), tell_timing(100.0)
    verdict = check_speed(monkeypatch, timed, folder, tmp_path, stored=stored, finish=finish_with(None, failure))
    assert (verdict.status, verdict.exit_code) == ("failed", SubmissionError.exit_code)
    assert verdict.sentence.endswith("\na: a timed run gave another output.")
    verdict = check_speed(
        monkeypatch,
        timed,
        folder,
        tmp_path,
        stored=stored,
        finish=lambda draft: Turn(draft, draft.record, disturbed=DisturbedError("the baseline was killed.")),
    )
    assert (verdict.status, verdict.exit_code) == ("failed", DisturbedError.exit_code)
    assert verdict.sentence.endswith("\na: the baseline was killed.")


# --- what is written of a check


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Where a check writes to, on GitHub."""
    step = tmp_path / "step.md"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    return {"summary": tmp_path / "out" / "summary.md", "junit": tmp_path / "out" / "junit.xml", "step": step}


def test_files_are_written_however_a_check_ends(files: dict[str, Path]) -> None:
    summary, junit, step = files.values()
    with publish_findings(summary, junit, timed=False) as findings:
        assert "the check did not come to its end" in summary.read_text()  # all that is left after a kill
        assert "the check did not come to its end" in junit.read_text()
        assert step.read_text() == "before\n"
        findings.verdicts.append(Verdict("a", "as recorded"))
    assert "passed" in summary.read_text()
    assert step.read_text() == "before\n" + summary.read_text()
    with (
        pytest.raises(DataError, match="no pictures"),
        publish_findings(summary, junit, timed=False) as findings,
    ):
        raise DataError("there are no pictures.")
    (verdict,) = findings.verdicts
    assert verdict == Verdict(CHECK, "failed", "there are no pictures.", DataError.exit_code)
    for path in files.values():
        assert "there are no pictures." in path.read_text()


def test_nothing_is_written_where_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    with publish_findings(None, None, timed=True) as findings:
        findings.verdicts.append(Verdict("a", "as recorded"))
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written_are_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for option in ("summary", "junit"):
        paths = {"summary": None, "junit": None} | {option: tmp_path / "file" / "x"}
        with (
            pytest.raises(UsageError, match=rf"file/x cannot be written \(.*\); name another --{option}\."),
            publish_findings(**paths, timed=False),
        ):
            pytest.fail("nothing is begun")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with (
        pytest.raises(UsageError, match=r"GITHUB_STEP_SUMMARY names .*, which cannot be written"),
        publish_findings(None, None, timed=False),
    ):
        pass
