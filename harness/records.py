"""Every stored type, frozen. Samples are stored, statistics are derived. A unit is part of the field's name.

What does not hold is refused when a record is read (types, ranges) and what JSON cannot hold already when it is made
(`__post_init__`): NaN and infinity would be written as null.
"""

from typing import Annotated, Literal

import msgspec

FORMAT_VERSION = 3
"""1: first version. 2: key, isolation and audit; CPU times; a load time for each block; seed and draws. 3: profiles;
values of the output as a PNG; the share of pixels that NIQE took for flat.

A record of another version is refused, never guessed at.
"""

Status = Literal["ok", "failed", "disqualified", "unavailable"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Runs = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]
Blocks = Annotated[tuple[Runs, ...], msgspec.Meta(min_length=1)]


LARGEST = 1e100
"""No metric comes near it, and squares and sums of what is below are finite."""

INFINITE = ("psnr", "psnr_png")
"""Values that can be infinite: the PSNR of identical images."""


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ImageScore(_Stored, frozen=True):
    """Values of one image, by name; None stands for infinite.

    A metric's own name is the challenge's value; NAME_png is that of the 8-bit file as which an output would be
    shipped; niqe_snapped is the share of pixels that NIQE took for flat.
    """

    image: str
    values: dict[str, float | None]

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if name not in INFINITE and value is None:
                raise ValueError(f"{name} of image {self.image} is null, only psnr can be infinite")
            if value is not None and not abs(value) < LARGEST:
                raise ValueError(f"{name} of image {self.image} is {value}, it must be finite and below {LARGEST:g}")


class Quality(_Stored, frozen=True, omit_defaults=True):
    """Values of a split's pairs, and of the dataset's photos for metrics that need no target.

    profiles: by which convention each metric was computed, by its name. lower_is_better: of which metrics of other
    libraries less is better, since a report must not need these to know. hosts: the workers of a cluster on which, by
    name; none where it was the machine of the command.
    """

    dataset: str
    dataset_note: str
    dataset_sha256: str
    split: str
    profiles: dict[str, str]
    pairs: Annotated[tuple[ImageScore, ...], msgspec.Meta(min_length=1)]
    photos: tuple[ImageScore, ...]
    lower_is_better: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for images in (self.pairs, self.photos):
            if len({image.image for image in images}) < len(images):
                raise ValueError("an image is listed twice")
            if len({frozenset(image.values) for image in images}) > 1:
                raise ValueError("a metric is missing for some of the images")
            if images and (unnamed := {name for name in images[0].values if find_metric(name) not in self.profiles}):
                raise ValueError(f"{min(unnamed)} has no profile")


def find_metric(name: str) -> str:
    """The metric that a value's name belongs to."""
    return name.removesuffix("_png").removesuffix("_snapped")


def list_values(metric: str) -> tuple[str, ...]:
    """The names of the values that a metric can have."""
    return (metric, f"{metric}_snapped") if metric == "niqe" else (metric, f"{metric}_png")


class Timing(_Stored, frozen=True):
    """Times of single runs, a row for each block: a pair of fresh processes (submission and baseline in turn).

    load_ns and warmup_ns are the submission's; the first warm-up of a row is the first call of its process. cpu_ns is
    the time of all threads together in the same runs as samples_ns.
    """

    device: str
    threads: Positive
    width_px: Positive
    height_px: Positive
    baseline: str
    load_ns: Runs
    warmup_ns: Blocks
    samples_ns: Blocks
    baseline_samples_ns: Blocks
    cpu_ns: Blocks
    baseline_cpu_ns: Blocks

    def __post_init__(self) -> None:
        rows = (self.warmup_ns, self.baseline_samples_ns, self.cpu_ns, self.baseline_cpu_ns)
        if {len(self.samples_ns)} != {len(self.load_ns), *map(len, rows)}:
            raise ValueError("load_ns, warmup_ns, samples_ns, cpu_ns and those of the baseline must have as many rows")


class Memory(_Stored, frozen=True):
    """Peak resident memory of the child: up to the loaded model, and while it runs at the timed size."""

    loaded_bytes: Count
    peak_bytes: Count
    method: str


class Cost(_Stored, frozen=True):
    """Static cost; multiply_adds at the size that the challenge names (None: some operator is not known)."""

    model_bytes: Count
    parameters: Count
    multiply_adds: Count | None


class SizedRuns(_Stored, frozen=True):
    """Times of runs on different photos of one size, as those of the audit."""

    width_px: Positive
    height_px: Positive
    samples_ns: Runs


class Audit(_Stored, frozen=True):
    """How the model behaves where a model made for the measurement behaves differently; `flags` judges it.

    All times are CPU time, wall time where the device is no CPU. fresh_ns, repeated_ns: runs on photos not seen before,
    and at once on the same photo again. beside, half: runs at a size just beside the timed one, and at half of it.
    Differences are mean absolute ones of values in [0, 1]: between the outputs of one scene at the timed size and
    beside it, and between the outputs of two photos. alone_psnr_db, tiled_psnr_db: PSNR of the middles of some pairs,
    each on its own and side by side in one photo of the timed size; None where it was not measured.
    """

    fresh_ns: Runs
    repeated_ns: Runs
    beside: SizedRuns
    half: SizedRuns
    beside_difference: float
    photo_difference: float
    alone_psnr_db: float | None
    tiled_psnr_db: float | None
    control_flow: tuple[str, ...]


class Environment(_Stored, frozen=True, omit_defaults=True):
    """Where and with what a record was made.

    host: the name of the machine, where it is a worker of a cluster; that of the times and the memory, where there are
    any.
    """

    started_utc: str
    git_commit: str
    git_dirty: bool
    cpu_model: str
    cpu_count: int
    os: str
    python: str
    packages: dict[str, str]
    host: str = ""


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
    seed: int | None = None
    draws: Positive = 1


class Record(_Stored, frozen=True):
    """One evaluation of one submission: the only source of every report. It holds either a result or a failure.

    key is a sha256 over all that the result depends on: what has the same key need not be measured again. isolation
    says of each layer around the model's process "on", or why it was off.
    """

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
    audit: Audit | None = None
    key: str = ""
    isolation: dict[str, str] = {}

    def __post_init__(self) -> None:
        has_result = self.quality is not None and self.failure is None
        has_failure = self.quality is None and self.failure is not None
        if not (has_result if self.status == "ok" else has_failure):
            raise ValueError(f"status {self.status!r} does not fit: 'ok' goes with quality, any other with failure")
