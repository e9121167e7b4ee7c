"""One submission on one dataset -> one Record: quality, memory, time and cost, or the reason why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from harness import enhancement
from harness.admission import choose_split
from harness.assessment import Assessed, Chosen, assess, judge_failure
from harness.audit import MOST_TILES, measure_audit
from harness.dataset import Dataset
from harness.errors import SubmissionError
from harness.executor import open_executor
from harness.job import Evaluation, Job
from harness.progress import AUDIT, TIME, Progress, State, Step
from harness.records import Audit, Failure, Record
from harness.submission import SubmissionFolder
from harness.timing import TimedModel, TimingPlan, TimingSeries, run_once, vary_photos


@dataclass(frozen=True)
class Draft:
    """All of a submission's record but its time, and what is needed to measure that.

    expected: the outputs for the timed pictures; None where they cannot repeat, where time is not measured, and for a
    failure.
    """

    folder: SubmissionFolder
    record: Record
    expected: list[np.ndarray] | None = None


def evaluate(folder: SubmissionFolder, evaluation: Evaluation, *, split: str | None, on_progress: Progress) -> Record:
    """Evaluate one submission. What its model does wrong ends up in the record, never in an exception."""
    chosen = Chosen(folder, choose_split(folder.manifest, evaluation.dataset, split))
    with open_executor(evaluation.workers) as executor:
        (assessed,) = assess([chosen], evaluation, executor=executor, on_progress=on_progress)
    if assessed.record.failure or evaluation.plan is None:
        return assessed.record
    draft = audit(assessed, evaluation, on_progress=on_progress)
    if draft.record.failure:
        return draft.record
    series = start_series(draft, evaluation, lambda: draft.expected)
    record = draft.record
    while record.failure is None and not series.is_finished():
        on_progress(describe_series(draft, series, "running"))
        record = add_block(draft, series)
    return record


def audit(assessed: Assessed, evaluation: Evaluation, *, on_progress: Progress) -> Draft:
    """How the model behaves where it is timed, on a quiet machine."""
    folder, record = assessed.folder, assessed.record
    if record.quality is None:
        raise ValueError("what has failed is not audited")
    step = Step(AUDIT, submission=folder.name, multiply_adds=record.cost.multiply_adds if record.cost else None)
    on_progress(step)
    job = Job(folder.model_path, record.submission, evaluation)
    try:
        measured, expected = audit_model(job, record.quality.split, control_flow=assessed.control_flow)
    except SubmissionError as error:
        return Draft(folder, fail_record(record, folder, error))
    on_progress(replace(step, state="ended"))
    return Draft(folder, msgspec.structs.replace(record, audit=measured), expected)


def add_block(draft: Draft, series: TimingSeries) -> Record:
    """The record with one block more, or with the failure that ended it."""
    try:
        series.add_block()
    except SubmissionError as error:
        return fail_record(draft.record, draft.folder, error)
    return msgspec.structs.replace(draft.record, timing=series.timing)


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


def fail_record(record: Record, folder: SubmissionFolder, error: SubmissionError) -> Record:
    """The record of a submission that showed a fault after its first pass."""
    return msgspec.structs.replace(
        record,
        status=judge_failure(folder, error),
        failure=Failure(error.stage, error.kind, str(error)),
        **dict.fromkeys(("quality", "timing", "memory", "cost", "audit")),
    )


def start_series(
    draft: Draft, evaluation: Evaluation, load_expected: Callable[[], Sequence[np.ndarray] | None]
) -> TimingSeries:
    """The blocks of a draft, those that its record holds already among them."""
    if evaluation.plan is None:
        raise ValueError("the evaluation measures no time")
    submission = draft.record.submission
    return TimingSeries(
        TimedModel(
            draft.folder.model_path,
            submission.runtime,
            submission.layout,
            submission.seed,
            evaluation.challenge.scale,
        ),
        TimedModel(evaluation.challenge.baseline.model, "onnx", "NHWC"),
        list_pictures(evaluation.dataset, evaluation.plan),
        load_expected=load_expected,
        plan=evaluation.plan,
        limits=evaluation.limits,
        timing=draft.record.timing,
    )


def list_pictures(dataset: Dataset, plan: TimingPlan) -> list[np.ndarray]:
    """The pictures of the timed runs of one process."""
    return vary_photos([dataset.load_photo(name) for name in dataset.photos], plan.turns)


def enhance_pictures(
    folder: SubmissionFolder, record: Record, evaluation: Evaluation, *, on_progress: Progress
) -> list[np.ndarray] | None:
    """The outputs for the timed pictures anew, from a process of their own; None where they cannot repeat."""
    if evaluation.plan is None or record.submission.draws > 1:
        return None
    job = Job(folder.model_path, record.submission, evaluation)
    on_progress(Step("expected outputs", submission=folder.name))
    with job.start() as process:
        return [job.enhance(process, picture) for picture in list_pictures(evaluation.dataset, evaluation.plan)]


def audit_model(job: Job, split: str, *, control_flow: tuple[str, ...]) -> tuple[Audit, list[np.ndarray] | None]:
    """The audit in a fresh process, and the outputs for the timed pictures, to hold those of timed runs against.

    None where they cannot repeat.
    """
    evaluation, layout = job.evaluation, job.submission.layout
    dataset, plan, repeatable = evaluation.dataset, evaluation.plan, job.submission.draws == 1
    if plan is None:
        raise ValueError("the evaluation measures no time")
    with job.start() as process:

        def run(image: np.ndarray) -> tuple[np.ndarray, int]:
            ran = run_once(process, image, layout=layout, run_s=evaluation.limits.run_s)
            # a busy machine disturbs CPU time far less
            spent_ns = ran.cpu_ns if evaluation.device == "cpu" else ran.wall_ns
            output = enhancement.fetch_output(
                process, ran, image.shape, layout=layout, scale=evaluation.challenge.scale
            )
            return output, spent_ns

        audit, outputs = measure_audit(
            run,
            list_pictures(dataset, plan),
            [dataset.load_pair(name) for name in dataset.list_names(split)[:MOST_TILES]],
            control_flow=control_flow,
            repeatable=repeatable,
        )
    return audit, outputs if repeatable else None
