"""One submission on one dataset -> one Record: quality, memory, time and cost, or the reason why there is none."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import enhancement
from harness.audit import MOST_TILES, SAMPLE, compare_passes, measure_audit
from harness.challenge import Challenge
from harness.dataset import Dataset
from harness.environment import describe_environment
from harness.errors import ModelError, SubmissionError, UsageError
from harness.isolation import MEMORY_METHOD, ModelProcess
from harness.protocol import Count, Device, Layout
from harness.quality import BoundMetric, score_image
from harness.records import (
    FORMAT_VERSION,
    Audit,
    Cost,
    Failure,
    ImageScore,
    Memory,
    Quality,
    Record,
    Status,
    Submission,
    Timing,
)
from harness.submission import Manifest, SubmissionFolder, check_interface, describe_submission, hash_model
from harness.timing import RunLimits, TimedModel, TimingPlan, measure_timing, run_once, vary_photos

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


def choose_split(manifest: Manifest, dataset: Dataset, requested: str | None) -> str:
    """The largest split that the submission has not seen in training, or the requested one if it has not.

    Raises UsageError for a requested split that shares images with the one trained on, and where no one can tell.
    """
    name, trained_on = manifest.name, manifest.trained_on
    trained_dataset, _, trained_split = trained_on.partition("/")
    seen: set[str] = set()
    if trained_dataset == dataset.name:
        if trained_split not in dataset.splits:
            known = ", ".join(f"{dataset.name}/{split}" for split in dataset.splits)
            raise UsageError(f"{name}: trained_on {trained_on!r} names no split of the dataset; it has {known}.")
        seen.update(dataset.splits[trained_split])
    if requested is not None:
        if seen.intersection(dataset.list_names(requested)):
            raise UsageError(f"{name} was trained on {trained_on}, which shares images with the split {requested!r}.")
        return requested
    unseen = [split for split, images in dataset.splits.items() if not seen.intersection(images)]
    if not unseen:
        raise UsageError(f"{name} was trained on {trained_on}: no split of {dataset.name} is left to evaluate it on.")
    return max(unseen, key=lambda split: len(dataset.splits[split]))


def evaluate(folder: SubmissionFolder, evaluation: Evaluation, *, split: str | None, on_progress: Progress) -> Record:
    """Evaluate one submission. What its model does wrong ends up in the record, never in an exception."""
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
        timing = time_model(job, expected)
    except SubmissionError as error:
        failure = Failure(error.stage, error.kind, str(error))
        return record(submission=submission, status=judge_failure(folder, error), failure=failure)
    return record(
        submission=submission, status="ok", quality=quality, timing=timing, memory=memory, cost=cost, audit=audit
    )


def judge_failure(folder: SubmissionFolder, error: SubmissionError) -> Status:
    """Whether a failure is a broken limit, missing weights, or something that went wrong."""
    if error.kind == "missing" and folder.manifest.weights:
        return "unavailable"
    return "disqualified" if error.kind in ("out_of_memory", "too_large") else "failed"


def validate(
    folder: SubmissionFolder, challenge: Challenge, *, allow_code: bool
) -> tuple[Submission, Cost, tuple[str, ...]]:
    """The static checks: size, operators, one float32 input and output, free height and width.

    Also names the operators that make what is computed depend on the input.
    """
    sha256, model_bytes = hash_model(folder, limit_bytes=challenge.limits.model_bytes)
    with ModelProcess(memory_limit_bytes=challenge.limits.memory_bytes, allow_code=allow_code) as process:
        graph = process.inspect(folder.model_path, runtime=folder.manifest.runtime, deadline_s=challenge.limits.load_s)
        layout = check_interface(folder, graph)
        multiply_adds = count_multiply_adds(folder, challenge, layout=layout, process=process)
    return (
        describe_submission(folder, sha256=sha256, layout=layout),
        Cost(model_bytes=model_bytes, parameters=graph.parameters, multiply_adds=multiply_adds),
        graph.control_flow,
    )


def count_multiply_adds(
    folder: SubmissionFolder, challenge: Challenge, *, layout: Layout, process: ModelProcess
) -> int | None:
    """Multiply-adds at the timed size; None also where counting fails, which is no fault of the submission."""
    request = Count(
        runtime=folder.manifest.runtime,
        layout=layout,
        width_px=challenge.speed.width_px,
        height_px=challenge.speed.height_px,
    )
    try:
        return process.count(folder.model_path, request, deadline_s=challenge.limits.load_s)
    except ModelError as error:
        if error.kind == "killed":  # from outside: another run would know the count
            raise
        return None


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
    quality = Quality(dataset.name, dataset.note, dataset.sha256, split, pairs=tuple(pairs), photos=tuple(photos))
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
            vary_photos([dataset.load_photo(name) for name in dataset.photos], plan.turns),
            [dataset.load_pair(name) for name in names],
            control_flow=control_flow,
            repeatable=repeatable,
        )
    return audit, outputs if repeatable else None


def time_model(job: Job, expected: list[np.ndarray] | None) -> Timing | None:
    """Time beside the challenge's baseline; None where the evaluation leaves time out."""
    evaluation, submission = job.evaluation, job.submission
    if evaluation.plan is None:
        return None
    photos = [evaluation.dataset.load_photo(name) for name in evaluation.dataset.photos]
    return measure_timing(
        TimedModel(job.path, submission.runtime, submission.layout, submission.seed),
        TimedModel(evaluation.challenge.baseline.model, "onnx", "NHWC"),
        vary_photos(photos, evaluation.plan.turns),
        expected=expected,
        plan=evaluation.plan,
        limits=evaluation.limits,
        on_block=functools.partial(job.on_progress, "time"),
    )
