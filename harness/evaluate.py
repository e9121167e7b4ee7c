"""One submission on one dataset -> one Record: quality, memory, time and cost, or the reason why there is none."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from harness import enhancement
from harness.admission import choose_split, validate
from harness.audit import MOST_TILES, SAMPLE, compare_passes, measure_audit
from harness.challenge import Challenge
from harness.dataset import Dataset
from harness.environment import describe_environment
from harness.errors import SubmissionError
from harness.isolation import MEMORY_METHOD, ModelProcess
from harness.protocol import Device
from harness.quality import BoundMetric, score_image
from harness.records import (
    FORMAT_VERSION,
    Audit,
    Failure,
    ImageScore,
    Memory,
    Quality,
    Record,
    Status,
    Submission,
)
from harness.submission import SubmissionFolder, describe_submission
from harness.timing import RunLimits, TimedModel, TimingPlan, TimingSeries, run_once, vary_photos

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Evaluation:
    """All that the evaluation of several submissions has in common."""

    challenge: Challenge
    dataset: Dataset
    metrics: tuple[BoundMetric, ...]
    plan: TimingPlan | None
    threads: int
    device: Device = "cpu"
    allow_code: bool = False
    isolation: dict[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> RunLimits:
        """What each model process may take."""
        limits = self.challenge.limits
        return RunLimits(
            memory_bytes=limits.memory_bytes, load_s=limits.load_s, run_s=limits.run_s, allow_code=self.allow_code
        )


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
    draft = evaluate_untimed(folder, evaluation, split=split, on_progress=on_progress)
    if draft.record.failure or evaluation.plan is None:
        return draft.record
    series = start_series(draft, evaluation, lambda: draft.expected)
    record = draft.record
    while record.failure is None and not series.is_finished():
        on_progress("time", series.count, evaluation.plan.most_blocks)
        record = add_block(draft, series)
    return record


def evaluate_untimed(
    folder: SubmissionFolder, evaluation: Evaluation, *, split: str | None, on_progress: Progress
) -> Draft:
    """Everything but the time of one submission. What its model does wrong ends up in the record."""
    split = choose_split(folder.manifest, evaluation.dataset, split)
    submission = describe_submission(folder, sha256="", layout=folder.manifest.layout or "")
    record = functools.partial(
        Record,
        FORMAT_VERSION,
        evaluation.challenge.name,
        environment=describe_environment(),
        isolation=evaluation.isolation,
    )
    try:
        submission, cost, control_flow = validate(folder, evaluation.challenge, allow_code=evaluation.allow_code)
        job = Job(folder.model_path, submission, evaluation, on_progress)
        quality, memory, sample = measure_quality(job, split)
        audit, expected = audit_model(job, split, sample, control_flow=control_flow)
    except SubmissionError as error:
        failure = Failure(error.stage, error.kind, str(error))
        return Draft(folder, record(submission=submission, status=judge_failure(folder, error), failure=failure))
    return Draft(
        folder,
        record(submission=submission, status="ok", quality=quality, memory=memory, cost=cost, audit=audit),
        expected,
    )


def add_block(draft: Draft, series: TimingSeries) -> Record:
    """The record with one block more, or with the failure that ended it."""
    try:
        series.add_block()
    except SubmissionError as error:
        return msgspec.structs.replace(
            draft.record,
            status=judge_failure(draft.folder, error),
            failure=Failure(error.stage, error.kind, str(error)),
            **dict.fromkeys(("quality", "timing", "memory", "cost", "audit")),
        )
    return msgspec.structs.replace(draft.record, timing=series.timing)


def start_series(
    draft: Draft, evaluation: Evaluation, load_expected: Callable[[], Sequence[np.ndarray] | None]
) -> TimingSeries:
    """The blocks of a draft, those that its record holds already among them."""
    if evaluation.plan is None:
        raise ValueError("the evaluation measures no time")
    submission = draft.record.submission
    return TimingSeries(
        TimedModel(draft.folder.model_path, submission.runtime, submission.layout, submission.seed),
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
    job = Job(folder.model_path, record.submission, evaluation, on_progress)
    on_progress("expected outputs", 0, 1)
    with job.start() as process:
        return [job.enhance(process, picture) for picture in list_pictures(evaluation.dataset, evaluation.plan)]


def judge_failure(folder: SubmissionFolder, error: SubmissionError) -> Status:
    """Whether a failure is a broken limit, missing weights, or something that went wrong."""
    if error.kind == "missing" and folder.manifest.weights:
        return "unavailable"
    return "disqualified" if error.kind in ("out_of_memory", "too_large") else "failed"


@dataclass(frozen=True)
class Job:
    """One submission's model in an evaluation."""

    path: Path
    submission: Submission
    evaluation: Evaluation
    on_progress: Progress

    @contextmanager
    def start(self) -> Iterator[ModelProcess]:
        """A fresh process with the model loaded."""
        evaluation, submission = self.evaluation, self.submission
        limits = evaluation.limits
        with ModelProcess(memory_limit_bytes=limits.memory_bytes, allow_code=limits.allow_code) as process:
            process.load(
                self.path,
                runtime=submission.runtime,
                threads=evaluation.threads,
                device=evaluation.device,
                seed=submission.seed,
                deadline_s=limits.load_s,
            )
            yield process

    def enhance(self, process: ModelProcess, image: np.ndarray) -> np.ndarray:
        """The output for a uint8 HxWx3 image."""
        layout = self.submission.layout
        return enhancement.enhance(process, image, layout=layout, deadline_s=self.evaluation.limits.run_s)

    def draw(self, process: ModelProcess, image: np.ndarray) -> list[np.ndarray]:
        """As many outputs for one image as the submission declares."""
        return [self.enhance(process, image) for _ in range(self.submission.draws)]


def measure_quality(job: Job, split: str) -> tuple[Quality, Memory | None, dict[str, np.ndarray]]:
    """Metric values of the split's pairs and of the photos; photos also show the peak of memory (None without any).

    Also the outputs for the first pairs, to be held against a second pass.
    """
    dataset, metrics = job.evaluation.dataset, job.evaluation.metrics
    names = dataset.list_names(split)
    total = len(dataset.photos) + len(names)
    photos: list[ImageScore] = []
    pairs: list[ImageScore] = []
    sample: dict[str, np.ndarray] = {}
    with job.start() as process:
        loaded_bytes = process.read_peak_bytes()
        process.reset_peak()
        for name in dataset.photos:
            job.on_progress("quality", len(photos), total)
            photos.append(score_image(name, job.draw(process, dataset.load_photo(name)), None, metrics))
        # read before the pairs, which are smaller: the rule is about photos of this size
        memory = Memory(loaded_bytes=loaded_bytes, peak_bytes=process.read_peak_bytes(), method=MEMORY_METHOD)
        for name in names:
            job.on_progress("quality", len(photos) + len(pairs), total)
            pair = dataset.load_pair(name)
            outputs = job.draw(process, pair.source)
            pairs.append(score_image(name, outputs, pair.target, metrics))
            if len(sample) < SAMPLE:
                sample[name] = outputs[0]
    job.on_progress("quality", total, total)
    quality = Quality(
        dataset.name,
        dataset.note,
        dataset.sha256,
        split,
        {metric.chosen.name: metric.chosen.profile for metric in metrics},
        pairs=tuple(pairs),
        photos=tuple(photos),
    )
    return quality, memory if dataset.photos else None, sample


def audit_model(
    job: Job, split: str, sample: dict[str, np.ndarray], *, control_flow: tuple[str, ...]
) -> tuple[Audit | None, list[np.ndarray] | None]:
    """In a fresh process: a second pass over the sample and, where time is measured, the audit.

    Also the outputs for the timed pictures, to hold those of timed runs against; None where they cannot repeat.
    """
    dataset, plan, limits = job.evaluation.dataset, job.evaluation.plan, job.evaluation.limits
    repeatable, layout = job.submission.draws == 1, job.submission.layout
    if plan is None and not repeatable:
        return None, None
    job.on_progress("audit", 0, 1)
    with job.start() as process:

        def run(image: np.ndarray) -> tuple[np.ndarray, int]:
            ran = run_once(process, image, layout=layout, run_s=limits.run_s)
            # a busy machine disturbs CPU time far less
            spent_ns = ran.cpu_ns if job.evaluation.device == "cpu" else ran.wall_ns
            return enhancement.fetch_output(process, ran, image.shape, layout=layout), spent_ns

        if repeatable:
            compare_passes(run, [dataset.load_pair(name) for name in sample], sample)
        if plan is None:
            return None, None
        names = dataset.list_names(split)[:MOST_TILES]
        audit, outputs = measure_audit(
            run,
            list_pictures(dataset, plan),
            [dataset.load_pair(name) for name in names],
            control_flow=control_flow,
            repeatable=repeatable,
        )
    return audit, outputs if repeatable else None
