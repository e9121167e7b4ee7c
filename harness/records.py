"""Every stored type, frozen. Samples are stored, statistics are derived. A unit is part of the field's name."""

from typing import Literal

import msgspec

FORMAT_VERSION = 1
"""1: first version. A record of another version is refused, never guessed at."""

Status = Literal["ok", "failed", "disqualified", "unavailable"]


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ImageScore(_Stored, frozen=True):
    """Metric values of one image, by metric name; None stands for infinite (the PSNR of identical images)."""

    image: str
    values: dict[str, float | None]


class Quality(_Stored, frozen=True):
    """Values of a split's pairs, and of the dataset's photos for metrics that need no target."""

    dataset: str
    dataset_note: str
    dataset_sha256: str
    split: str
    pairs: tuple[ImageScore, ...]
    photos: tuple[ImageScore, ...]


class Timing(_Stored, frozen=True):
    """Wall times of single runs, a row for each pair of fresh processes (submission and baseline in turn)."""

    device: str
    threads: int
    width_px: int
    height_px: int
    baseline: str
    load_ns: int
    warmup_ns: tuple[tuple[int, ...], ...]
    samples_ns: tuple[tuple[int, ...], ...]
    baseline_samples_ns: tuple[tuple[int, ...], ...]


class Memory(_Stored, frozen=True):
    """Peak resident memory of the child: up to the loaded model, and while it runs at the timed size."""

    loaded_bytes: int
    peak_bytes: int
    method: str


class Cost(_Stored, frozen=True):
    """Static cost; multiply_adds at the timed size (None: an operator is not known to the counter)."""

    model_bytes: int
    parameters: int
    multiply_adds: int | None


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
    """One evaluation of one submission: the only source of every report."""

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


class Score(msgspec.Struct, frozen=True):
    """A score with its 95 % interval; computed, never stored."""

    name: str
    value: float
    low: float
    high: float


class Regression(msgspec.Struct, frozen=True):
    """A quantity that got worse by more than is allowed."""

    submission: str
    quantity: str
    before: float
    after: float
    allowed: float
