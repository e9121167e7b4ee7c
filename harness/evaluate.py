"""One submission on one dataset -> one Record: quality, memory, time and cost, or the reason why there is none."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness import enhancement
from harness.assets import AssetStore, find_pristine_model
from harness.challenge import Challenge, MetricProfile
from harness.dataset import Dataset
from harness.environment import describe_environment
from harness.errors import DataError, ModelError, SubmissionError, UsageError
from harness.isolation import MEMORY_METHOD, ModelProcess
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model
from harness.protocol import Count, Layout
from harness.records import FORMAT_VERSION, Cost, Failure, ImageScore, Memory, Quality, Record, Status, Submission
from harness.submission import Manifest, SubmissionFolder, check_interface, describe_submission, hash_model
from harness.timing import RunLimits, TimedModel, TimingPlan, measure_timing, vary_photos

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class BoundMetric:
    """A challenge's metric, ready to be computed on an output as the model gave it."""

    profile: MetricProfile
    compute: Callable[..., float]

    def measure(self, output: np.ndarray, target: np.ndarray | None) -> float:
        """The value for a float32 output in [0, 1] (and a uint8 target)."""
        images = [prepare_output(output, self.profile)]
        if target is not None:
            images.append(prepare_output(target.astype(np.float32) / np.float32(255), self.profile))
        return self.compute(*images, data_range=self.profile.data_range)


@dataclass(frozen=True)
class Evaluation:
    """All that the evaluation of several submissions has in common."""

    challenge: Challenge
    dataset: Dataset
    metrics: tuple[BoundMetric, ...]
    plan: TimingPlan | None
    threads: int
    limits: RunLimits = field(init=False)

    def __post_init__(self) -> None:
        limits = self.challenge.limits
        run_limits = RunLimits(memory_bytes=limits.memory_bytes, load_s=limits.load_s, run_s=limits.run_s)
        object.__setattr__(self, "limits", run_limits)


def bind_metrics(challenge: Challenge, store: AssetStore) -> tuple[tuple[BoundMetric, ...], str]:
    """The challenge's metrics, and a sentence on what had to be left out (empty where nothing was)."""
    bound, missing = [], ""
    for profile in challenge.metrics:
        metric = get_metric(profile.name)
        compute = metric.compute
        if profile.name == "niqe":
            try:
                compute = functools.partial(compute, pristine=load_pristine_model(find_pristine_model(store)))
            except DataError as error:
                missing = f"{metric.label} is left out: {error}"
                continue
        bound.append(BoundMetric(profile, compute))
    return tuple(bound), missing


def prepare_output(output: np.ndarray, profile: MetricProfile) -> np.ndarray:
    """Clip, scale and round an image in [0, 1] as the metric's profile says."""
    image = np.clip(output, 0, 1) if profile.clip else output
    scaled = image.astype(np.float64) * profile.data_range
    return np.rint(scaled).astype(np.uint8) if profile.quantize else scaled


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
    dataset = evaluation.dataset
    split = choose_split(folder.manifest, dataset, split)
    environment = describe_environment()
    submission = describe_submission(folder, sha256="", layout=folder.manifest.layout or "")
    record = functools.partial(Record, FORMAT_VERSION, evaluation.challenge.name, environment=environment)
    try:
        submission, cost = validate(folder, evaluation.challenge)
        quality, memory = measure_quality(folder, submission, evaluation, split=split, on_progress=on_progress)
        timing = None
        if evaluation.plan is not None:
            timing = measure_timing(
                TimedModel(folder.model_path, submission.runtime, submission.layout),
                TimedModel(evaluation.challenge.baseline.model, "onnx", "NHWC"),
                vary_photos([dataset.load_photo(name) for name in dataset.photos], evaluation.plan.turns),
                expected=None,
                plan=evaluation.plan,
                limits=evaluation.limits,
                on_block=functools.partial(on_progress, "time"),
            )
    except SubmissionError as error:
        failure = Failure(error.stage, error.kind, str(error))
        return record(submission=submission, status=judge_failure(folder, error), failure=failure)
    return record(submission=submission, status="ok", quality=quality, timing=timing, memory=memory, cost=cost)


def judge_failure(folder: SubmissionFolder, error: SubmissionError) -> Status:
    """Whether a failure is a broken limit, missing weights, or something that went wrong."""
    if error.kind == "missing" and folder.manifest.weights:
        return "unavailable"
    return "disqualified" if error.kind in ("out_of_memory", "too_large") else "failed"


def validate(folder: SubmissionFolder, challenge: Challenge) -> tuple[Submission, Cost]:
    """The static checks: size, operators, one float32 input and output, free height and width."""
    sha256, model_bytes = hash_model(folder, limit_bytes=challenge.limits.model_bytes)
    with ModelProcess(memory_limit_bytes=challenge.limits.memory_bytes) as process:
        graph = process.inspect(folder.model_path, runtime=folder.manifest.runtime, deadline_s=challenge.limits.load_s)
        layout = check_interface(folder, graph)
        multiply_adds = count_multiply_adds(folder, challenge, layout=layout, process=process)
    return (
        describe_submission(folder, sha256=sha256, layout=layout),
        Cost(model_bytes=model_bytes, parameters=graph.parameters, multiply_adds=multiply_adds),
    )


def count_multiply_adds(
    folder: SubmissionFolder, challenge: Challenge, *, layout: Layout, process: ModelProcess
) -> int | None:
    """Multiply-adds at the timed size; None also where counting fails, which is no fault of the submission."""
    request = Count(
        runtime=folder.manifest.runtime,
        path=str(folder.model_path.resolve()),
        layout=layout,
        width_px=challenge.speed.width_px,
        height_px=challenge.speed.height_px,
    )
    try:
        return process.count(request, deadline_s=challenge.limits.load_s)
    except ModelError as error:
        if "SIGKILL" in str(error):  # killed from outside: another run would know the count
            raise
        return None


def measure_quality(
    folder: SubmissionFolder, submission: Submission, evaluation: Evaluation, *, split: str, on_progress: Progress
) -> tuple[Quality, Memory | None]:
    """Metric values of the split's pairs and of the photos; photos also show the peak of memory (None without any)."""
    dataset, limits = evaluation.dataset, evaluation.limits
    names = dataset.list_names(split)
    total = len(dataset.photos) + len(names)
    photos: list[ImageScore] = []
    pairs: list[ImageScore] = []
    with ModelProcess(memory_limit_bytes=limits.memory_bytes) as process:
        process.load(
            folder.model_path, runtime=submission.runtime, threads=evaluation.threads, deadline_s=limits.load_s
        )
        loaded_bytes = process.read_peak_bytes()
        process.reset_peak()
        run = functools.partial(enhancement.enhance, process, layout=submission.layout, deadline_s=limits.run_s)
        for name in dataset.photos:
            on_progress("quality", len(photos), total)
            photos.append(score_image(name, run(dataset.load_photo(name)), None, evaluation.metrics))
        # read before the pairs, which are smaller: the rule is about photos of this size
        memory = Memory(loaded_bytes=loaded_bytes, peak_bytes=process.read_peak_bytes(), method=MEMORY_METHOD)
        for name in names:
            on_progress("quality", len(photos) + len(pairs), total)
            pair = dataset.load_pair(name)
            pairs.append(score_image(name, run(pair.source), pair.target, evaluation.metrics))
    on_progress("quality", total, total)
    quality = Quality(dataset.name, dataset.note, dataset.sha256, split, pairs=tuple(pairs), photos=tuple(photos))
    return quality, memory if dataset.photos else None


def score_image(name: str, output: np.ndarray, target: np.ndarray | None, metrics: Sequence[BoundMetric]) -> ImageScore:
    """Every metric that applies to a pair, or to a photo when there is no target."""
    kind = "photos" if target is None else "pairs"
    values: dict[str, float | None] = {}
    for metric in (metric for metric in metrics if metric.profile.images == kind):
        try:
            value = metric.measure(output, target)
        except ValueError as error:
            raise ModelError(f"{metric.profile.name} of {name}: {error}", stage="output", kind="metric") from error
        infinite = metric.profile.name == "psnr" and value == math.inf
        if not math.isfinite(value) and not infinite:
            raise ModelError(
                f"{metric.profile.name} of {name} is {value}: it is not defined for this output.",
                stage="output",
                kind="metric",
            )
        values[metric.profile.name] = None if infinite else value
    return ImageScore(name, values)
