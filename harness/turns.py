"""What `harness run` does: all but the time of each submission, then the times of all, block by block in turn."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from harness.admission import choose_split, validate
from harness.archive import discard_record, locate_record, locate_unfinished, read_record, write_record
from harness.assessment import Assessed, Chosen, assess
from harness.environment import describe_environment
from harness.errors import DisturbedError, RecordError, SubmissionError, UsageError
from harness.evaluate import Draft, add_block, audit, describe_series, enhance_pictures, start_series
from harness.executor import open_executor
from harness.files import make_scratch
from harness.fingerprint import compute_key
from harness.flags import find_flags
from harness.formats import find_format
from harness.job import Evaluation
from harness.progress import Progress
from harness.records import Record, Status
from harness.statistics import is_noisy, measure_width
from harness.submission import SubmissionFolder, hash_model
from harness.timing import TimingSeries


@dataclass(frozen=True)
class Outcome:
    """What to say of one submission; a fault has the exit code that the command ends with, all others have 0.

    status is that of the record, which lies at `path`; "unfinished" while its time is missing, "refused" where the
    submission cannot be evaluated as asked.
    """

    sentence: str
    exit_code: int = 0
    submission: str = ""
    status: Status | Literal["unfinished", "refused"] = "unfinished"
    record: Record | None = None
    path: Path | None = None

    @property
    def verdict(self) -> str:
        """In a word; none while there is more to do."""
        if self.status == "unfinished" and not self.exit_code:
            return ""
        return "done" if self.status == "ok" else self.status

    @property
    def reason(self) -> str:
        """The sentence for where name and status stand beside it."""
        return self.sentence.removeprefix(f"{self.submission}: ").removeprefix(f"{self.status}: ")


@dataclass(frozen=True)
class Run:
    """What the submissions of one command have in common.

    again=False: a result that was measured already, with all that it depends on unchanged, stands.
    """

    evaluation: Evaluation
    reports_dir: Path
    split: str | None = None
    again: bool = True

    def locate(self, folder: SubmissionFolder) -> Path:
        """Where the submission's record lies."""
        return locate_record(self.reports_dir / "records", dataset=self.evaluation.dataset.name, name=folder.name)

    def compute_key(self, folder: SubmissionFolder, model_sha256: str) -> str:
        """The key of the submission's result here and now."""
        evaluation = self.evaluation
        environment = describe_environment(find_format(folder.manifest.runtime).packages)
        split = choose_split(folder.manifest, evaluation.dataset, self.split)
        return compute_key(folder.manifest, evaluation, model_sha256=model_sha256, split=split, environment=environment)


def run_submissions(
    folders: Sequence[SubmissionFolder], run: Run, *, on_progress: Progress, on_outcome: Callable[[Outcome], None]
) -> None:
    """Evaluate submissions and keep their records. A failure never replaces a result.

    First the quality of all, several side by side; then the rest, which needs a quiet machine. What is known of an
    unfinished one is stored at once, apart from the records: a rerun goes on from it.
    """
    with make_scratch() as name:
        chosen, waiting = find_work(folders, run, Path(name), on_progress=on_progress, on_outcome=on_outcome)
        assessed = []
        with open_executor(run.evaluation.workers) as executor:
            for found in assess(chosen, run.evaluation, executor=executor, on_progress=on_progress):
                key = run.compute_key(found.folder, found.record.submission.sha256)
                keyed = replace(found, record=msgspec.structs.replace(found.record, key=key))
                if found.record.failure or run.evaluation.plan is None:
                    on_outcome(settle(found.folder, keyed.record, run))
                else:
                    write_record(locate_unfinished(run.locate(found.folder)), keyed.record)
                    on_outcome(put_off(keyed.record, run, "quality is measured; time follows."))
                    assessed.append(keyed)
        for found in assessed:
            draft = audit(found, run.evaluation, on_progress=on_progress)
            if draft.record.failure:
                on_outcome(settle(draft.folder, draft.record, run))
            else:
                write_record(locate_unfinished(run.locate(draft.folder)), draft.record)
                waiting.append(lay_aside(draft, run.evaluation, Path(name)))
        time_in_turn(waiting, run, on_progress=on_progress, on_outcome=on_outcome)


def find_work(
    folders: Sequence[SubmissionFolder],
    run: Run,
    scratch: Path,
    *,
    on_progress: Progress,
    on_outcome: Callable[[Outcome], None],
) -> tuple[list[Chosen], list[tuple[Draft, TimingSeries]]]:
    """What is to be assessed, and what an earlier run left unfinished; a stored result stands."""
    chosen, waiting = [], []
    for folder in folders:
        path = run.locate(folder)
        try:
            split = choose_split(folder.manifest, run.evaluation.dataset, run.split)
        except UsageError as error:  # the split does not fit this submission; it may fit the others
            on_outcome(Outcome(str(error), error.exit_code, submission=folder.name, status="refused"))
            continue
        if not run.again:
            if known := find_stored(folder, run, path):
                discard_record(locate_unfinished(path))
                on_outcome(describe_known(known, path))
                continue
            if draft := find_draft(folder, run, on_progress=on_progress):
                on_outcome(put_off(draft.record, run, "quality was measured before; time follows."))
                waiting.append(lay_aside(draft, run.evaluation, scratch))
                continue
        chosen.append(Chosen(folder, split))
    return chosen, waiting


def find_draft(folder: SubmissionFolder, run: Run, *, on_progress: Progress) -> Draft | None:
    """What an earlier run left unfinished, where it still fits and is known as far as its time."""
    record = find_stored(folder, run, locate_unfinished(run.locate(folder)))
    if record is None or run.evaluation.plan is None:
        return None
    try:
        if record.audit is None:
            _, _, control_flow = validate(folder, run.evaluation.challenge, allow_code=run.evaluation.allow_code)
            draft = audit(Assessed(folder, record, control_flow), run.evaluation, on_progress=on_progress)
            return None if draft.record.failure else draft
        return Draft(folder, record, enhance_pictures(folder, record, run.evaluation, on_progress=on_progress))
    except SubmissionError:  # the whole evaluation says what is wrong
        return None


def lay_aside(draft: Draft, evaluation: Evaluation, scratch: Path) -> tuple[Draft, TimingSeries]:
    """A draft and its blocks to come; the expected outputs wait on disk, since there may be many submissions."""
    path = scratch / f"{draft.folder.name}.npy"
    if draft.expected is None:
        return draft, start_series(draft, evaluation, lambda: None)
    try:
        np.save(path, np.stack(draft.expected))
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error.strerror}); free some space or set TMPDIR.") from error
    return replace(draft, expected=None), start_series(draft, evaluation, functools.partial(np.load, path))


@dataclass(frozen=True)
class Turn:
    """What came of a submission's turn: its record with one block more, or what disturbed the measurement."""

    draft: Draft
    record: Record
    finished: bool = False
    disturbed: DisturbedError | None = None


def time_in_turn(
    waiting: Sequence[tuple[Draft, TimingSeries]],
    run: Run,
    *,
    on_progress: Progress,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Time submissions in turn, and keep what is measured after every block."""
    for turn in take_turns(waiting, on_progress=on_progress):
        folder = turn.draft.folder
        if turn.disturbed is not None:
            on_outcome(put_off(turn.record, run, str(turn.disturbed), turn.disturbed.exit_code))
        elif turn.finished:
            on_outcome(settle(folder, turn.record, run))
        else:
            write_record(locate_unfinished(run.locate(folder)), turn.record)


def take_turns(waiting: Sequence[tuple[Draft, TimingSeries]], *, on_progress: Progress) -> Iterator[Turn]:
    """One block of each submission after the other, until the time of all is known or their budgets are spent."""
    left = list(waiting)
    while left:
        for draft, series in tuple(left):
            on_progress(describe_series(draft, series, "running"))
            try:
                record = draft.record if series.is_finished() else add_block(draft, series)
            except DisturbedError as error:  # the others may still be measured
                left.remove((draft, series))
                yield Turn(draft, draft.record, disturbed=error)
                continue
            finished = record.failure is not None or series.is_finished()
            if finished:
                left.remove((draft, series))
            yield Turn(draft, record, finished)
            if not finished:
                on_progress(describe_series(draft, series, "queued"))


def settle(folder: SubmissionFolder, record: Record, run: Run) -> Outcome:
    """Keep a finished record, unless it is a failure and a result is there."""
    path = run.locate(folder)
    before = None
    if path.exists():
        try:
            before = read_record(path)
        except RecordError:  # it may have been a result: only another one may take its place
            if record.failure:
                raise
    kept = (
        before is not None
        and before.status == "ok"
        and (record.failure is not None or loses_times(before, record, run))
    )
    if not kept:
        write_record(path, record)
    discard_record(locate_unfinished(path))
    exit_code = 0
    if record.failure is None:
        sentence = f"{folder.name}: done.{describe_oddities(record)}{describe_replaced(before, record)}"
        if kept:
            sentence += f" Its earlier result in {path}, which has times, is kept; --again replaces it."
    else:
        exit_code = 0 if record.status == "unavailable" else SubmissionError.exit_code
        verdict = "" if record.status == "failed" else f"{record.status}: "
        sentence = f"{folder.name}: {verdict}{record.failure.message}"
        if kept:
            sentence += f" Its earlier result in {path} is kept."
    return Outcome(sentence, exit_code, submission=folder.name, status=record.status, record=record, path=path)


def loses_times(before: Record, record: Record, run: Run) -> bool:
    """Whether a result without times would take the place of one with times, of the same model, without being asked."""
    same = before.submission.sha256 == record.submission.sha256
    return same and before.timing is not None and record.timing is None and not run.again


def describe_oddities(record: Record) -> str:
    """What to know at once of a result, as sentences that follow it."""
    noisy = ""
    if record.timing is not None and is_noisy(record.timing.baseline_samples_ns, record.timing.samples_ns):
        width = measure_width(record.timing.baseline_samples_ns, record.timing.samples_ns)
        noisy = f" Noisy: the interval of its speed-up has {width:.2%}; a quieter machine or a larger --budget helps."
    flags = find_flags(record)
    return noisy + (f" Flagged: {'; '.join(flags)}." if flags else "")


def describe_replaced(before: Record | None, record: Record) -> str:
    """What to know where the record of another model is gone: two submissions may have taken the same name."""
    if before is None or before.status != "ok" or before.submission.sha256 == record.submission.sha256:
        return ""
    return f" It replaces the record of another model of this name ({before.submission.sha256[:12]})."


def find_stored(folder: SubmissionFolder, run: Run, path: Path) -> Record | None:
    """The stored record of what a new evaluation could only repeat; a failure is no such record."""
    try:
        record = read_record(path)
    except RecordError:
        return None
    try:
        sha256, _ = hash_model(folder, limit_bytes=run.evaluation.challenge.limits.model_bytes)
    except SubmissionError:
        return None
    return record if record.status == "ok" and record.key == run.compute_key(folder, sha256) else None


def describe_known(record: Record, path: Path) -> Outcome:
    """Why a submission was not measured."""
    name, when = record.submission.name, record.environment.started_utc[:16].replace("T", " ")
    sentence = f"{name}: as recorded on {when} UTC by the same code on this machine; --again measures anew."
    return Outcome(sentence, submission=name, status=record.status, record=record, path=path)


def put_off(record: Record, run: Run, sentence: str, exit_code: int = 0) -> Outcome:
    """What to say of a submission that stays unfinished for now; its record so far is stored."""
    name = record.submission.name
    path = locate_record(run.reports_dir / "records", dataset=run.evaluation.dataset.name, name=name)
    return Outcome(f"{name}: {sentence}", exit_code, submission=name, record=record, path=locate_unfinished(path))
