"""The tasks that need a quiet machine, one at a time: the audit, and blocks of time.

Timed outputs are held against those of an independent run, which wait in a file where the model is timed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from harness import enhancement, timing
from harness.audit import MOST_TILES, measure_audit
from harness.dataset import Dataset
from harness.errors import RecordError, SubmissionError
from harness.isolation import ModelProcess
from harness.job import Parcel
from harness.records import Audit, Environment, Failure, Submission
from harness.tasks import describe_fault
from harness.timing import TimedBlock, TimedModel, TimingPlan, run_once, vary_photos


@dataclass(frozen=True)
class Audited:
    """How a model behaves where it is timed. environment: of the machine, as that of a chunk."""

    audit: Audit
    environment: Environment | None = None


def audit_model(parcel: Parcel, submission: Submission, split: str, control_flow: tuple[str, ...]) -> Audited | Failure:
    """The audit in a fresh process; it also leaves the outputs for the timed pictures, where they can repeat."""
    try:
        with parcel.get_job(submission).start() as process:
            audit, outputs = run_audit(parcel, submission, process, split=split, control_flow=control_flow)
    except SubmissionError as error:
        return describe_fault(error)
    if submission.draws == 1:
        write_expected(locate_expected(parcel, submission), outputs)
    return Audited(audit, parcel.environment)


def run_audit(
    parcel: Parcel, submission: Submission, process: ModelProcess, *, split: str, control_flow: tuple[str, ...]
) -> tuple[Audit, list[np.ndarray]]:
    """The audit in this process, and the outputs for the timed pictures."""
    evaluation, layout = parcel.evaluation, submission.layout
    dataset = evaluation.dataset

    def run(image: np.ndarray) -> tuple[np.ndarray, int]:
        ran = run_once(process, image, layout=layout, run_s=evaluation.limits.run_s)
        # a busy machine disturbs CPU time far less
        spent_ns = ran.cpu_ns if evaluation.device == "cpu" else ran.wall_ns
        scale = evaluation.challenge.scale
        return enhancement.fetch_output(process, ran, image.shape, layout=layout, scale=scale), spent_ns

    return measure_audit(
        run,
        list_pictures(dataset, find_plan(parcel)),
        [dataset.load_pair(name) for name in dataset.list_names(split)[:MOST_TILES]],
        control_flow=control_flow,
        repeatable=submission.draws == 1,
    )


def time_block(parcel: Parcel, submission: Submission, model_first: bool) -> TimedBlock | Failure:
    """One block of the submission's model and the baseline in turn."""
    evaluation, plan = parcel.evaluation, find_plan(parcel)
    try:
        timed = timing.time_block(
            describe_timed(parcel, submission),
            TimedModel(evaluation.challenge.baseline.model, "onnx", "NHWC"),
            list_pictures(evaluation.dataset, plan),
            expected=load_expected(parcel, submission),
            plan=plan,
            limits=evaluation.limits,
            model_first=model_first,
        )
    except SubmissionError as error:
        return describe_fault(error)
    return TimedBlock(timed, parcel.environment)


def describe_timed(parcel: Parcel, submission: Submission) -> TimedModel:
    """The submission's model as timing needs it."""
    return TimedModel(
        parcel.folder.model_path,
        submission.runtime,
        submission.layout,
        submission.seed,
        parcel.evaluation.challenge.scale,
    )


def find_plan(parcel: Parcel) -> TimingPlan:
    """How time is measured."""
    if parcel.evaluation.plan is None:
        raise ValueError("the evaluation measures no time")
    return parcel.evaluation.plan


def list_pictures(dataset: Dataset, plan: TimingPlan) -> list[np.ndarray]:
    """The pictures of the timed runs of one process."""
    return vary_photos([dataset.load_photo(name) for name in dataset.photos], plan.turns)


# --- the expected outputs


def prepare_expected(parcel: Parcel, submission: Submission) -> Failure | None:
    """Make the outputs for the timed pictures, from a process of their own, where they are not there yet."""
    try:
        load_expected(parcel, submission)
    except SubmissionError as error:
        return describe_fault(error)
    return None


def load_expected(parcel: Parcel, submission: Submission) -> Sequence[np.ndarray] | None:
    """The outputs for the timed pictures; None where they cannot repeat."""
    if submission.draws > 1:
        return None
    path = locate_expected(parcel, submission)
    if not path.exists():
        write_expected(path, enhance_pictures(parcel, submission))
    return list(np.load(path))


def enhance_pictures(parcel: Parcel, submission: Submission) -> list[np.ndarray]:
    """The outputs for the timed pictures, from a process of their own."""
    job = parcel.get_job(submission)
    with job.start() as process:
        return [
            job.enhance(process, picture) for picture in list_pictures(parcel.evaluation.dataset, find_plan(parcel))
        ]


def locate_expected(parcel: Parcel, submission: Submission) -> Path:
    """Where they wait: there may be many submissions, and 55 MB of outputs of each."""
    return parcel.scratch / f"{hashlib.sha256(msgspec.json.encode(submission)).hexdigest()[:32]}.npy"


def write_expected(path: Path, outputs: Sequence[np.ndarray]) -> None:
    """Keep the outputs (float32 HxWx3 each). Raises RecordError where there is no room."""
    try:
        np.save(path, np.stack(outputs))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RecordError(f"{path} cannot be written ({error.strerror}); free some space or set TMPDIR.") from error
