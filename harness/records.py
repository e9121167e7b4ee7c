"""Every stored type, frozen. Samples are stored, statistics are derived. A unit is part of the field's name.

What does not hold is refused when a record is read (types, ranges) and what JSON cannot hold already when it is made
(`__post_init__`): NaN and infinity would be written as null.
"""

import math
from typing import Annotated, Literal

import msgspec

FORMAT_VERSION = 1
"""1: first version. A record of another version is refused, never guessed at."""

Status = Literal["ok", "failed", "disqualified", "unavailable"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Runs = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
Blocks = Annotated[tuple[Runs, ...], msgspec.Meta(min_length=1)]


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ImageScore(_Stored, frozen=True):
    """Metric values of one image, by metric name; None stands for infinite: the PSNR of identical images."""

    image: str
    values: dict[str, float | None]

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if name != "psnr" and value is None:
                raise ValueError(f"{name} of image {self.image} is null, only psnr can be infinite")
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of image {self.image} is {value}, it must be finite")


class Quality(_Stored, frozen=True):
    """Values of a split's pairs, and of the dataset's photos for metrics that need no target."""

    dataset: str
    dataset_note: str
    dataset_sha256: str
    split: str
    pairs: Annotated[tuple[ImageScore, ...], msgspec.Meta(min_length=1)]
    photos: tuple[ImageScore, ...]

    def __post_init__(self) -> None:
        for images in (self.pairs, self.photos):
            if len({image.image for image in images}) < len(images):
                raise ValueError("an image is listed twice")
            if len({frozenset(image.values) for image in images}) > 1:
                raise ValueError("a metric is missing for some of the images")


class Timing(_Stored, frozen=True):
    """Wall times of single runs, a row for each pair of fresh processes (submission and baseline in turn)."""

    device: str
    threads: Positive
    width_px: Positive
    height_px: Positive
    baseline: str
    load_ns: Count
    warmup_ns: tuple[tuple[Count, ...], ...]
    samples_ns: Blocks
    baseline_samples_ns: Blocks

    def __post_init__(self) -> None:
        if len(self.samples_ns) != len(self.baseline_samples_ns):
            raise ValueError("samples_ns and baseline_samples_ns must have as many rows")


class Memory(_Stored, frozen=True):
    """Peak resident memory of the child: up to the loaded model, and while it runs at the timed size."""

    loaded_bytes: Count
    peak_bytes: Count
    method: str


class Cost(_Stored, frozen=True):
    """Static cost; multiply_adds at the timed size (None: an operator is not known to the counter)."""

    model_bytes: Count
    parameters: Count
    multiply_adds: Count | None


class Environment(_Stored, frozen=True):
    """Where and with what a record was made."""

    started_utc: str
    git_commit: str
    git_dirty: bool
    cpu_model: str
    cpu_count: int
    os: str
    python: str
    packages: dict[str, str]


class Failure(_Stored, frozen=True):
    """Why there is no result: the stage that failed, the kind of failure, one sentence."""

    stage: str
    kind: str
    message: str


class Submission(_Stored, frozen=True):
    """What submission.toml declares. Paths are left out of records: they belong to one machine."""

    name: str
    runtime: str
    model_file: str
    title: str
    authors: tuple[str, ...]
    paper_url: str
    trained_on: str
    layout: str
    sha256: str


class Record(_Stored, frozen=True):
    """One evaluation of one submission: the only source of every report. It holds either a result or a failure."""

    format_version: int
    challenge: str
    submission: Submission
    status: Status
    environment: Environment
    quality: Quality | None = None
    timing: Timing | None = None
    memory: Memory | None = None
    cost: Cost | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        has_result = self.quality is not None and self.failure is None
        has_failure = self.quality is None and self.failure is not None
        if not (has_result if self.status == "ok" else has_failure):
            raise ValueError(f"status {self.status!r} does not fit: 'ok' goes with quality, any other with failure")


class Regression(msgspec.Struct, frozen=True):
    """A quantity that got worse by more than is allowed; computed, never stored."""

    submission: str
    quantity: str
    before: float
    after: float
    allowed: float
