"""What `harness run` does: all but the time of each submission, then the times of all, block by block in turn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from harness.additions import list_extras
from harness.admission import choose_split
from harness.archive import (
    discard_chunks,
    discard_record,
    locate_record,
    locate_unfinished,
    read_record,
    write_record,
)
from harness.assessment import Assessed, Chosen, assess
from harness.environment import find_versions
from harness.errors import DisturbedError, RecordError, SubmissionError, UsageError
from harness.evaluate import Draft, add_block, audit, describe_series, prepare_expected, start_series
from harness.executor import Crew, OpenCrew, open_crew
from harness.fingerprint import compute_key
from harness.formats import find_format
from harness.job import Evaluation, Parcel
from harness.outcome import Outcome, describe_known, describe_oddities, describe_replaced
from harness.progress import Progress, Step
from harness.records import Environment, Failure, Record
from harness.shelf import Shelf
from harness.submission import SubmissionFolder, hash_model
from harness.tasks import check_model
from harness.timing import TimingSeries


@dataclass(frozen=True)
class Run:
    """What the submissions of one command have in common.

    again=False: a result that was measured already, with all that it depends on unchanged, stands. open_crew: who does
    the work.
    """

    evaluation: Evaluation
    reports_dir: Path
    split: str | None = None
    again: bool = True
    open_crew: OpenCrew = open_crew

    def locate(self, folder: SubmissionFolder) -> Path:
        """Where the submission's record lies."""
        return locate_record(self.reports_dir / "records", dataset=self.evaluation.dataset.name, name=folder.name)

    def compute_key(self, folder: SubmissionFolder, model_sha256: str, place: Environment) -> str:
        """The key of the submission's result, at this place of the work and now."""
        own = find_versions(find_format(folder.manifest.runtime).packages)
        place = msgspec.structs.replace(place, packages=place.packages | own)
        split = choose_split(folder.manifest, self.evaluation.dataset, self.split)
        return compute_key(folder.manifest, self.evaluation, model_sha256=model_sha256, split=split, environment=place)


def run_submissions(
    folders: Sequence[SubmissionFolder], run: Run, *, on_progress: Progress, on_outcome: Callable[[Outcome], None]
) -> None:
    """Evaluate submissions and keep their records. A failure never replaces a result.

    First the quality of all, several side by side; then the rest, which needs a quiet machine. What is known of an
    unfinished one is stored at once, apart from the records: a rerun goes on from it.
    """
    with run.open_crew(run.evaluation) as crew:
        chosen, waiting = find_work(folders, run, crew, on_progress=on_progress, on_outcome=on_outcome)
        assessed = assess_all(chosen, run, crew, on_progress=on_progress, on_outcome=on_outcome)
        for found in assessed:
            try:
                draft = audit(found, run.evaluation, crew, on_progress=on_progress)
            except DisturbedError as error:
                on_outcome(put_off(found.record, run, str(error), error.exit_code))
                continue
            if draft.record.failure:
                on_outcome(settle(draft.folder, draft.record, run))
            else:
                write_record(locate_unfinished(run.locate(draft.folder)), draft.record)
                waiting.append((draft, start_series(draft, run.evaluation, crew)))
        time_in_turn(waiting, run, on_progress=on_progress, on_outcome=on_outcome)


def assess_all(
    chosen: Sequence[Chosen],
    run: Run,
    crew: Crew,
    *,
    on_progress: Progress,
    on_outcome: Callable[[Outcome], None],
) -> list[Assessed]:
    """The first pass; what comes back has its time to come."""
    place, assessed = crew.describe_place(), []
    if run.again:
        for one in chosen:
            discard_chunks(run.locate(one.folder))
    shelf = Shelf(run.reports_dir / "records" / Path(run.evaluation.dataset.name).name, run.evaluation, place)
    for found in assess(chosen, run.evaluation, crew=crew, on_progress=on_progress, shelf=shelf):
        key = run.compute_key(found.folder, found.record.submission.sha256, place)
        keyed = replace(found, record=msgspec.structs.replace(found.record, key=key))
        if found.record.failure or run.evaluation.plan is None:
            on_outcome(settle(found.folder, keyed.record, run))
        else:
            write_record(locate_unfinished(run.locate(found.folder)), keyed.record)
            discard_chunks(run.locate(found.folder))
            on_outcome(put_off(keyed.record, run, "quality is measured; time follows."))
            assessed.append(keyed)
    return assessed


def find_work(
    folders: Sequence[SubmissionFolder],
    run: Run,
    crew: Crew,
    *,
    on_progress: Progress,
    on_outcome: Callable[[Outcome], None],
) -> tuple[list[Chosen], list[tuple[Draft, TimingSeries]]]:
    """What is to be assessed, and what an earlier run left unfinished; a stored result stands."""
    chosen, waiting, place = [], [], crew.describe_place()
    for folder in folders:
        path = run.locate(folder)
        try:
            split = choose_split(folder.manifest, run.evaluation.dataset, run.split)
        except UsageError as error:  # the split does not fit this submission; it may fit the others
            on_outcome(Outcome(str(error), error.exit_code, submission=folder.name, status="refused"))
            continue
        if not run.again:
            if known := find_stored(folder, run, path, place):
                discard_record(locate_unfinished(path))
                on_outcome(describe_known(known, path))
                continue
            if draft := find_draft(folder, run, crew, on_progress=on_progress):
                on_outcome(put_off(draft.record, run, "quality was measured before; time follows."))
                waiting.append((draft, start_series(draft, run.evaluation, crew)))
                continue
        chosen.append(Chosen(folder, split))
    return chosen, waiting


def find_draft(folder: SubmissionFolder, run: Run, crew: Crew, *, on_progress: Progress) -> Draft | None:
    """What an earlier run left unfinished, where it still fits and is known as far as its time."""
    record = find_stored(folder, run, locate_unfinished(run.locate(folder)), crew.describe_place())
    if record is None or run.evaluation.plan is None:
        return None
    try:
        if record.audit is None:
            checked = crew.submit(check_model, Parcel(folder, run.evaluation, crew.scratch)).result()
            if isinstance(checked, Failure):
                return None
            found = Assessed(folder, record, checked.control_flow)
            draft = audit(found, run.evaluation, crew, on_progress=on_progress)
            return None if draft.record.failure else draft
        on_progress(Step("expected outputs", submission=folder.name))
        prepare_expected(folder, record, run.evaluation, crew)
        return Draft(folder, record)
    except SubmissionError:  # the whole evaluation says what is wrong
        return None


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
    result = before if before is not None and before.status == "ok" else None
    losses = find_losses(result, record, run) if result else ""
    kept = result is not None and bool(record.failure or losses)
    if not kept:
        write_record(path, record)
    discard_chunks(path)
    discard_record(locate_unfinished(path))
    exit_code = 0
    if record.failure is None:
        sentence = f"{folder.name}: done.{describe_oddities(record, run.evaluation)}{describe_replaced(before, record)}"
        if kept:
            sentence += f" Its earlier result in {path}, which has {losses}, is kept; --again replaces it."
    else:
        exit_code = 0 if record.status == "unavailable" else SubmissionError.exit_code
        verdict = "" if record.status == "failed" else f"{record.status}: "
        sentence = f"{folder.name}: {verdict}{record.failure.message}"
        if kept:
            sentence += f" Its earlier result in {path} is kept."
    return Outcome(sentence, exit_code, submission=folder.name, status=record.status, record=record, path=path)


def find_losses(before: Record, record: Record, run: Run) -> str:
    """What of an earlier result of the same model would be gone without being asked: times, metrics of one's own."""
    if run.again or record.quality is None or before.submission.sha256 != record.submission.sha256:
        return ""
    times = ["times"] if before.timing is not None and record.timing is None else []
    extras = list_extras([before], run.evaluation.challenge)
    return " and ".join([*times, *(name for name in extras if name not in record.quality.profiles)])


def find_stored(folder: SubmissionFolder, run: Run, path: Path, place: Environment) -> Record | None:
    """The stored record of what a new evaluation could only repeat; a failure is no such record."""
    try:
        record = read_record(path)
    except RecordError:
        return None
    try:
        sha256, _ = hash_model(folder, limit_bytes=run.evaluation.challenge.limits.model_bytes)
    except SubmissionError:
        return None
    return record if record.status == "ok" and record.key == run.compute_key(folder, sha256, place) else None


def put_off(record: Record, run: Run, sentence: str, exit_code: int = 0) -> Outcome:
    """What to say of a submission that stays unfinished for now; its record so far is stored."""
    name = record.submission.name
    path = locate_record(run.reports_dir / "records", dataset=run.evaluation.dataset.name, name=name)
    return Outcome(f"{name}: {sentence}", exit_code, submission=name, record=record, path=locate_unfinished(path))
