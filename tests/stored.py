"""Records for tests of what is made from them: seeded values, any part replaceable."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from harness.records import (
    FORMAT_VERSION,
    Audit,
    Cost,
    Environment,
    Failure,
    ImageScore,
    Memory,
    Quality,
    Record,
    SizedRuns,
    Status,
    Submission,
    Timing,
)

TEST = tuple(str(number) for number in range(0, 20, 4))
ALL = tuple(str(number) for number in range(20))
PROFILES = {"psnr": "pirm-b", "ms_ssim": "pirm-b", "niqe": "live"}
ENVIRONMENT = Environment(
    "2026-01-02T03:04:05+00:00",
    "0123456789abcdef" * 2,
    False,
    "Some CPU",
    2,
    "Linux",
    "3.11.7",
    {"onnxruntime": "1.32.0"},
)


def make_pairs(images: Sequence[str], *, psnr: float = 22.0, ms_ssim: float = 0.92, seed: int = 0) -> list[ImageScore]:
    """Values around a mean; an image has the same ones in whatever list it stands."""
    values = []
    for image in images:
        psnr_noise, ms_ssim_noise = np.random.default_rng([seed, int(image)]).normal(0, 1, 2).tolist()
        plain = {"psnr": psnr + psnr_noise, "ms_ssim": ms_ssim + 0.01 * ms_ssim_noise}
        values.append(ImageScore(image, plain | {"psnr_png": plain["psnr"] - 0.01, "ms_ssim_png": plain["ms_ssim"]}))
    return values


def make_timing(ms: float, *, baseline_ms: float = 200.0, blocks: int = 4, spread: float = 0.002) -> Timing:
    """Blocks of three runs; the blocks differ by up to `spread`."""
    factors = [1 + spread * block / blocks for block in range(blocks)]
    samples, baseline = (tuple((int(1e6 * time * factor),) * 3 for factor in factors) for time in (ms, baseline_ms))
    baseline = tuple(reversed(baseline))
    return Timing(
        "cpu",
        2,
        1280,
        720,
        "srcnn",
        (1,) * blocks,
        ((1, 1),) * blocks,
        samples,
        baseline,
        cpu_ns=samples,
        baseline_cpu_ns=baseline,
    )


def make_audit(**changes: object) -> Audit:
    """What an honest model shows that takes 100 ms."""
    audit = Audit(
        fresh_ns=(110_000_000, 100_000_000),
        repeated_ns=(101_000_000, 99_000_000),
        beside=SizedRuns(1264, 704, (97_000_000, 98_000_000)),
        half=SizedRuns(640, 360, (25_000_000, 26_000_000)),
        beside_difference=0.001,
        photo_difference=0.25,
        alone_psnr_db=22.0,
        tiled_psnr_db=21.5,
        control_flow=(),
    )
    return msgspec.structs.replace(audit, **changes)


def make_record(
    name: str = "alpha",
    *,
    split: str = "all",
    images: Sequence[str] = ALL,
    pairs: Sequence[ImageScore] | None = None,
    photos: Sequence[float] = (4.0, 5.0, 5.5, 6.5),
    ms: float | None = 100.0,
    sha256: str = "",
    dataset_sha256: str = "d" * 64,
    title: str = "A title",
    trained_on: str = "somewhere",
    **quality: float,
) -> Record:
    """A record with a result; `photos` are NIQE values, `ms` None means not timed, a `sha256` makes copies."""
    return Record(
        FORMAT_VERSION,
        "pirm2018b",
        Submission(
            name,
            "onnx",
            "model.onnx",
            title,
            ("Someone",),
            "",
            trained_on,
            "NHWC",
            sha256 or name.encode().hex().ljust(64, "f")[:64],
        ),
        "ok",
        ENVIRONMENT,
        quality=Quality(
            "pirm2018b",
            "A note.",
            dataset_sha256,
            split,
            PROFILES,
            tuple(make_pairs(images, **quality) if pairs is None else pairs),
            tuple(
                ImageScore(str(number), {"niqe": value, "niqe_snapped": 0.01}) for number, value in enumerate(photos)
            ),
        ),
        timing=None if ms is None else make_timing(ms),
        memory=Memory(70_000_000, 500_000_000, "VmHWM"),
        cost=Cost(300_000, 69_253, 63_700_000_000),
    )


def make_failure(name: str, message: str, *, status: Status = "failed", kind: str = "crash", **parts: str) -> Record:
    """A record without a result."""
    record = make_record(name)
    submission = msgspec.structs.replace(record.submission, sha256="", **parts)
    failure = Failure("run", kind, message)
    return Record(FORMAT_VERSION, "pirm2018b", submission, status, ENVIRONMENT, failure=failure)


def replace_values(record: Record, values: Mapping[str, Mapping[str, float | None]]) -> Record:
    """The record with some metric values of some of its pairs replaced."""
    assert record.quality is not None
    pairs = tuple(
        ImageScore(pair.image, pair.values | dict(values.get(pair.image, {}))) for pair in record.quality.pairs
    )
    return msgspec.structs.replace(record, quality=msgspec.structs.replace(record.quality, pairs=pairs))
