"""One submission on one dataset -> one Record: quality, memory, time and cost, or the reason why there is none."""

from dataclasses import dataclass, replace

import msgspec

from harness import timed_tasks
from harness.admission import choose_split
from harness.assessment import Assessed, Chosen, assess
from harness.errors import SubmissionError
from harness.executor import Crew, open_crew
from harness.job import Evaluation, Parcel
from harness.progress import AUDIT, TIME, Progress, State, Step
from harness.records import Failure, Record
from harness.results import judge_failure
from harness.submission import SubmissionFolder
from harness.tasks import describe_fault, recall_fault
from harness.timing import TimedBlock, TimingSeries


@dataclass(frozen=True)
class Draft:
    """All of a submission's record but its time."""

    folder: SubmissionFolder
    record: Record


def evaluate(folder: SubmissionFolder, evaluation: Evaluation, *, split: str | None, on_progress: Progress) -> Record:
    """Evaluate one submission. What its model does wrong ends up in the record, never in an exception."""
    chosen = Chosen(folder, choose_split(folder.manifest, evaluation.dataset, split))
    with open_crew(evaluation) as crew:
        (assessed,) = assess([chosen], evaluation, crew=crew, on_progress=on_progress)
        if assessed.record.failure or evaluation.plan is None:
            return assessed.record
        draft = audit(assessed, evaluation, crew, on_progress=on_progress)
        if draft.record.failure:
            return draft.record
        series = start_series(draft, evaluation, crew)
        record = draft.record
        while record.failure is None and not series.is_finished():
            on_progress(describe_series(draft, series, "running"))
            record = add_block(draft, series)
        return record


def audit(assessed: Assessed, evaluation: Evaluation, crew: Crew, *, on_progress: Progress) -> Draft:
    """How the model behaves where it is timed, on a quiet machine."""
    folder, record = assessed.folder, assessed.record
    if record.quality is None:
        raise ValueError("what has failed is not audited")
    step = Step(AUDIT, submission=folder.name, multiply_adds=record.cost.multiply_adds if record.cost else None)
    on_progress(step)
    parcel = Parcel(folder, evaluation, crew.scratch)
    arguments = (record.submission, record.quality.split, assessed.control_flow)
    try:
        audited = crew.run_quietly(timed_tasks.audit_model, parcel, *arguments)
    except SubmissionError as error:  # it kills whoever works on it
        audited = describe_fault(error)
    if isinstance(audited, Failure):
        return Draft(folder, fail_record(record, folder, audited))
    on_progress(replace(step, state="ended"))
    environment = audited.environment or record.environment
    return Draft(folder, msgspec.structs.replace(record, audit=audited.audit, environment=environment))


def add_block(draft: Draft, series: TimingSeries) -> Record:
    """The record with one block more, or with the failure that ended it."""
    try:
        series.add_block()
    except SubmissionError as error:
        return fail_record(draft.record, draft.folder, describe_fault(error))
    environment = series.environment or draft.record.environment
    return msgspec.structs.replace(draft.record, timing=series.timing, environment=environment)


def describe_series(draft: Draft, series: TimingSeries, state: State) -> Step:
    """How far the blocks of a draft are."""
    blocks, cost = series.estimate_blocks_left(), draft.record.cost
    return Step(
        TIME,
        series.count,
        0 if blocks is None else series.count + blocks,
        draft.folder.name,
        state,
        spent_s=series.spent_s,
        left_s=None if blocks is None else blocks * series.mean_s,
        multiply_adds=cost.multiply_adds if cost else None,
    )


def fail_record(record: Record, folder: SubmissionFolder, failure: Failure) -> Record:
    """The record of a submission that showed a fault after its first pass."""
    return msgspec.structs.replace(
        record,
        status=judge_failure(folder, failure),
        failure=failure,
        **dict.fromkeys(("quality", "timing", "memory", "cost", "audit")),
    )


def start_series(draft: Draft, evaluation: Evaluation, crew: Crew) -> TimingSeries:
    """The blocks of a draft, those that its record holds already among them."""
    if evaluation.plan is None:
        raise ValueError("the evaluation measures no time")
    parcel, record = Parcel(draft.folder, evaluation, crew.scratch), draft.record

    def measure(model_first: bool) -> TimedBlock:
        block = crew.run_quietly(timed_tasks.time_block, parcel, record.submission, model_first)
        if isinstance(block, Failure):
            raise recall_fault(block)
        return block

    return TimingSeries(measure, plan=evaluation.plan, timing=record.timing, environment=record.environment)


def prepare_expected(folder: SubmissionFolder, record: Record, evaluation: Evaluation, crew: Crew) -> None:
    """Have the outputs for the timed pictures ready where time is measured. Raises SubmissionError."""
    parcel = Parcel(folder, evaluation, crew.scratch)
    if failure := crew.run_quietly(timed_tasks.prepare_expected, parcel, record.submission):
        raise recall_fault(failure)
