"""What the evaluation of several submissions has in common, one submission's model in it, and both for a task."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from harness import enhancement
from harness.challenge import Challenge
from harness.conversion import prepare_model
from harness.dataset import Dataset
from harness.isolation import ModelProcess
from harness.protocol import Device
from harness.quality import BoundMetric
from harness.records import Environment, Submission
from harness.submission import SubmissionFolder
from harness.timing import RunLimits, TimingPlan


@dataclass(frozen=True)
class Evaluation:
    """All that the evaluation of several submissions has in common. workers: so many models at once in the first pass.

    threads are those of a model where it enhances a photo or is timed; on the pairs, which are small, it has one.
    """

    challenge: Challenge
    dataset: Dataset
    metrics: tuple[BoundMetric, ...]
    plan: TimingPlan | None
    threads: int
    device: Device = "cpu"
    allow_code: bool = False
    isolation: dict[str, str] = field(default_factory=dict)
    workers: int = 1

    @property
    def rules(self) -> Challenge:
        """The challenge with the metrics that were asked for beside its own."""
        extras = tuple(metric.chosen for metric in self.metrics if metric.extra)
        return msgspec.structs.replace(self.challenge, metrics=(*self.challenge.metrics, *extras))

    @property
    def limits(self) -> RunLimits:
        """What each model process may take."""
        limits = self.challenge.limits
        return RunLimits(
            memory_bytes=limits.memory_bytes, load_s=limits.load_s, run_s=limits.run_s, allow_code=self.allow_code
        )


@dataclass(frozen=True)
class Job:
    """One submission's model in an evaluation."""

    path: Path
    submission: Submission
    evaluation: Evaluation

    @contextmanager
    def start(self, threads: int | None = None) -> Iterator[ModelProcess]:
        """A fresh process with the model loaded, by default with the evaluation's threads."""
        evaluation, submission = self.evaluation, self.submission
        limits = evaluation.limits
        path, runtime = prepare_model(self.path, submission.runtime)
        with ModelProcess(memory_limit_bytes=limits.memory_bytes, allow_code=limits.allow_code) as process:
            process.load(
                path,
                runtime=runtime,
                threads=threads or evaluation.threads,
                device=evaluation.device,
                seed=submission.seed,
                deadline_s=limits.load_s,
            )
            yield process

    def enhance(self, process: ModelProcess, image: np.ndarray) -> np.ndarray:
        """The output for a uint8 HxWx3 image."""
        return enhancement.enhance(
            process,
            image,
            layout=self.submission.layout,
            deadline_s=self.evaluation.limits.run_s,
            scale=self.evaluation.challenge.scale,
        )

    def draw(self, process: ModelProcess, image: np.ndarray) -> list[np.ndarray]:
        """As many outputs for one image as the submission declares."""
        return [self.enhance(process, image) for _ in range(self.submission.draws)]


@dataclass(frozen=True)
class Parcel:
    """A submission as it lies where a task works on it, with the evaluation as it is set up there.

    scratch: a folder there for what later tasks on this submission need. environment: that of the machine, where it is
    not the one that the command was given on.
    """

    folder: SubmissionFolder
    evaluation: Evaluation
    scratch: Path
    environment: Environment | None = None

    @contextmanager
    def start(self, submission: Submission, place: int, threads: int | None = None) -> Iterator[ModelProcess]:  # noqa: ARG002
        """A fresh process with the model loaded, for the work at this place (of the first pass)."""
        with self.get_job(submission).start(threads) as process:
            yield process

    def count(self, place: int) -> None:
        """One output more at this place; nobody looks on."""

    def get_job(self, submission: Submission) -> Job:
        """The submission's model here."""
        return Job(self.folder.model_path, submission, self.evaluation)
