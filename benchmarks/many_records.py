"""What the reports of many submissions cost: `python -m benchmarks.many_records` (1,000 records of 400 pairs).

Makes synthetic records in a folder of its own, runs `harness leaderboard` on them in a process of its own, and prints
its time, its peak memory and the size of what it wrote. Real records are too few to show how the reports grow.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.archive import locate_record, write_record
from harness.records import (
    FORMAT_VERSION,
    Cost,
    Environment,
    ImageScore,
    Memory,
    Quality,
    Record,
    Submission,
    Timing,
)

SPLITS = {"all": 400, "test": 100}


def make_record(number: int, images: int) -> Record:
    """One submission's record: every second one is of the whole set, the others of its last quarter."""
    rng = np.random.default_rng([2018, number])
    name, skill = f"net_{number:04}", rng.normal()
    split = "all" if number % 2 else "test"
    first = 0 if split == "all" else images - images // 4
    difficulty = np.random.default_rng(2018).normal(0, 2, images)[first:]
    psnr = 22 + 0.3 * skill + difficulty + rng.normal(0, 0.4, images - first)
    ms_ssim = np.minimum(0.92 + 0.004 * skill + 0.01 * difficulty + rng.normal(0, 0.003, images - first), 1)
    pairs = tuple(
        ImageScore(f"{first + place:04}.jpg", {"psnr": p, "psnr_png": p - 0.01, "ms_ssim": m, "ms_ssim_png": m - 1e-4})
        for place, (p, m) in enumerate(zip(psnr.tolist(), ms_ssim.tolist(), strict=True))
    )
    photos = tuple(
        ImageScore(f"{photo}.png", {"niqe": value, "niqe_snapped": 0.01})
        for photo, value in enumerate((4 + rng.normal(0, 0.4, 4)).tolist())
    )
    return Record(
        FORMAT_VERSION,
        "pirm2018b",
        Submission(
            name, "onnx", "model.onnx", f"Network {number}", ("Somebody",), "", "elsewhere", "NHWC", f"{number:064x}"
        ),
        "ok",
        Environment(
            "2026-01-02T03:04:05+00:00", "0" * 40, False, "Some CPU", 2, "Linux", "3.11.7", {"onnxruntime": "1"}
        ),
        Quality("pirm2018b", "Synthetic.", "0" * 64, split, PROFILES, pairs, photos),
        make_timing(rng, 10 ** rng.uniform(1, 3.5)),
        Memory(70_000_000, int(rng.uniform(1e8, 3e9)), "VmHWM"),
        Cost(int(rng.uniform(1e5, 1e8)), 100_000, int(rng.uniform(1e9, 1e12))),
    )


PROFILES = {"psnr": "pirm-b", "ms_ssim": "pirm-b", "niqe": "live"}


def make_timing(rng: np.random.Generator, ms: float, blocks: int = 6) -> Timing:
    """Blocks of three runs of a submission that takes so long, and of a baseline of 600 ms."""

    def draw(mean_ms: float) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(row) for row in (1e6 * mean_ms * rng.normal(1, 0.01, (blocks, 3))).astype(int).tolist())

    samples, baseline = draw(ms), draw(600)
    warmup = tuple(row[:2] for row in samples)
    load = tuple(row[0] for row in samples)
    return Timing("cpu", 2, 1280, 720, "srcnn", load, warmup, samples, baseline, samples, baseline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--reports", type=Path, help="keep what is made in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        reports = options.reports or Path(scratch)
        for number in range(options.records):
            record = make_record(number, options.images)
            write_record(locate_record(reports / "records", dataset="pirm2018b", name=record.submission.name), record)
        before = time.perf_counter()
        command = [sys.executable, "-m", "harness", "leaderboard", "--reports", str(reports)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        spent_s = time.perf_counter() - before
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        made = [path for path in reports.rglob("*") if path.is_file() and "records" not in path.parts]
        print(f"{options.records} records of {options.images} pairs: {spent_s:.1f} s, {peak_mb:.0f} MB at the peak,")
        print(f"{len(made)} files of {sum(path.stat().st_size for path in made) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
