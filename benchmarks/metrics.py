"""The metrics beside every peer that is installed: agreement and CPU time, on one thread, in one alternating run.

    python -m benchmarks.metrics [--seconds 240] [--niqe-model modelparameters.mat]

Images are made from the photographs of scikit-image: one 1280x720 RGB pair ("HD") and 400 pairs of 100x100 ("patches"),
float32 in [0, 1] (uint8 for NIQE), already in the form that each library wants. A round runs everything once, in
another order each time; a slow peer sits out rounds. benchmarks/peers.txt says what to install.

Difference: from the textbook formula in float64 (of MS-SSIM: the challenge's), which scipy or this package computes.
times ours: the peer's CPU time over ours of the same rounds, median and 5 to 95 % of the rounds.
"""

import argparse
import contextlib
import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
from tabulate import tabulate  # noqa: E402

from benchmarks.official import compute_ms_ssim  # noqa: E402
from harness import embedded  # noqa: E402
from harness.metrics import get_metric, ms_ssim, psnr, ssim  # noqa: E402
from harness.metrics.niqe import load_pristine_model, niqe  # noqa: E402
from harness.metrics.profiles import quantize  # noqa: E402
from harness.peers import LIBRARIES, Images, Library, compute_cv2_ssim, compute_scikit_ssim  # noqa: E402

Pair = tuple[np.ndarray, np.ndarray]
Compute = Callable[[], float]
LEAST_ROUNDS = 3


@dataclass
class Entry:
    """One implementation of a metric on one set of images."""

    metric: str
    size: str
    name: str
    compute: Compute
    value: float = float("nan")
    times_ms: dict[int, float] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.name == "harness"


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--niqe-model", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    hd, patches = make_pairs()
    memory = measure_memory(hd)  # before the peers leave free memory behind that would serve
    entries, missing = collect(options.niqe_model)
    measure(entries, options.seconds)
    print(render(entries))
    print(*missing, sep="\n")
    print(f"harness, MS-SSIM at HD, two threads: {compare_threads([hd] * 16)} times the speed of one")
    print(f"harness, MS-SSIM of the patches, two threads: {compare_threads(patches * 4)} times the speed of one")
    print(f"harness, MS-SSIM at HD: {memory / 1e6:.0f} MB of memory above the images")
    print(f"the limit of PSNR at HD, to read both images once: {time_reading(hd):.2f} ms")


def make_pairs() -> tuple[Pair, list[Pair]]:
    """The HD pair and the patches: a photograph, and the same darker, softer and noisier."""
    photo = next(iter(embedded.build_photos().values())).astype(np.float32) / 255
    random = np.random.default_rng(0)
    soft = (photo + np.roll(photo, 1, axis=0) + np.roll(photo, 1, axis=1)) / 3
    output = np.clip(0.9 * soft + random.normal(0, 0.02, photo.shape), 0, 1).astype(np.float32)
    corners = [(y, x) for y in range(0, 620, 31) for x in range(0, 1180, 59)][:400]
    crops = [tuple(image[y : y + 100, x : x + 100].copy() for image in (output, photo)) for y, x in corners]
    return (output, photo), crops  # type: ignore[return-value]


def collect(niqe_model: Path | None) -> tuple[list[Entry], list[str]]:
    """Everything that can be measured here, and sentences on what cannot."""
    hd, patches = make_pairs()
    entries, missing = [], []
    peers: list[tuple[str, Callable[[], Rows]]] = [
        ("harness", lambda: list_ours(hd, patches, niqe_model)),
        ("official", lambda: list_official(hd, patches)),
        ("float32", lambda: list_single(hd)),
        *((library.name, partial(list_library, library, hd, patches, niqe_model)) for library in LIBRARIES),
        ("tensorflow", lambda: list_batches(patches)),
    ]
    limit_threads()
    for name, rows in peers:
        try:
            entries += [Entry(*row) for row in rows()]
        except Exception as error:  # whatever a library stumbles over is a line of the report
            missing.append(f"{name}: not measured ({type(error).__name__}: {error})")
    return entries, missing


Rows = Iterator[tuple[str, str, str, Compute]]
PATCHED = {("scikit-image", "ssim"), ("opencv-python", "ssim"), ("kornia", "psnr")}
"""What is measured on the patches as well."""


def over(patches: list[Pair], compute: Callable[[Any, Any], float]) -> Compute:
    """The mean over the patches."""
    return lambda: float(np.mean([compute(x, y) for x, y in patches]))


def limit_threads() -> None:
    """One thread for the libraries that do not read the environment."""
    with contextlib.suppress(ImportError):
        importlib.import_module("cv2").setNumThreads(1)
    with contextlib.suppress(ImportError):
        importlib.import_module("torch").set_num_threads(1)


def list_ours(hd: Pair, patches: list[Pair], niqe_model: Path | None) -> Rows:
    x, y = hd
    for metric, compute in (("PSNR", psnr), ("SSIM", ssim), ("MS-SSIM", ms_ssim)):
        yield metric, "HD", "harness", lambda compute=compute: compute(x, y, data_range=1)  # type: ignore[misc]
        yield (
            metric,
            "patches",
            "harness",
            over(patches, lambda x, y, compute=compute: compute(x, y, data_range=1)),  # type: ignore[misc]
        )
    if niqe_model:
        pristine, image = load_pristine_model(niqe_model), quantize(x)
        yield "NIQE", "HD", "harness", lambda: niqe(image, data_range=255, pristine=pristine)


def list_official(hd: Pair, patches: list[Pair]) -> Rows:
    x, y = hd
    yield "MS-SSIM", "HD", "official formula (scipy)", lambda: compute_ms_ssim(y, x, 1)
    yield "MS-SSIM", "patches", "official formula (scipy)", over(patches, lambda x, y: compute_ms_ssim(y, x, 1))


def list_library(library: Library, hd: Pair, patches: list[Pair], niqe_model: Path | None) -> Rows:
    """What a library has, on the images as it wants them."""
    for found in library.bind(Images(*hd, niqe_model)):
        if found.metric != "niqe" or niqe_model:
            yield get_metric(found.metric).label, "HD", found.name, found.compute
        if (library.name, found.metric) in PATCHED:
            bound = [bind_one(library, found.metric, pair) for pair in patches]
            mean = lambda bound=bound: float(np.mean([compute() for compute in bound]))  # noqa: E731
            yield get_metric(found.metric).label, "patches", found.name, mean


def bind_one(library: Library, metric: str, pair: Pair) -> Compute:
    """One metric of a library on one pair."""
    return next(found.compute for found in library.bind(Images(*pair)) if found.metric == metric)


def list_single(hd: Pair) -> Rows:
    """Two that can do with float32."""
    yield "SSIM", "HD", "scikit-image (float32)", lambda: compute_scikit_ssim(*hd)
    yield "SSIM", "HD", "cv2 (its filters, float32)", lambda: compute_cv2_ssim(*hd)


def list_batches(patches: list[Pair]) -> Rows:
    """All patches in one call."""
    tf = importlib.import_module("tensorflow")
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    batch = [tf.constant(np.stack(images)) for images in zip(*patches, strict=True)]
    yield "SSIM", "patches", "TensorFlow (one batch)", lambda: float(np.mean(tf.image.ssim(*batch, 1.0)))


def measure(entries: list[Entry], seconds: float) -> None:
    """Time the entries in rounds, ours in each; what takes long sits out, but for LEAST_ROUNDS of them."""
    random = np.random.default_rng(0)
    for entry in entries:
        entry.value = entry.compute()
    end_s, number = time.monotonic() + seconds, 0
    while number < LEAST_ROUNDS or time.monotonic() < end_s:
        for position in random.permutation(len(entries)):
            entry = entries[position]
            slow = np.median(list(entry.times_ms.values())) > 400 if entry.times_ms else False
            if slow and number >= LEAST_ROUNDS and number % 10:
                continue
            start_ns = time.process_time_ns()
            entry.compute()
            entry.times_ms[number] = (time.process_time_ns() - start_ns) / 1e6
        number += 1


def compare_threads(pairs: list[Pair]) -> str:
    """How many times as fast two threads with half of the pairs each are, by the clock, in alternating rounds."""

    def compute(pairs: list[Pair]) -> None:
        for x, y in pairs:
            ms_ssim(x, y, data_range=1)

    ratios = []
    with ThreadPoolExecutor(2) as threads:
        for _ in range(30):
            start_s = time.perf_counter()
            compute(pairs)
            middle_s = time.perf_counter()
            list(threads.map(compute, (pairs[::2], pairs[1::2])))
            ratios.append((middle_s - start_s) / (time.perf_counter() - middle_s))
    low, middle, high = np.percentile(ratios, (5, 50, 95))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def measure_memory(hd: Pair) -> int:
    """How much the peak of resident memory of a fresh thread's computation is above what was there before (Linux)."""
    ms_ssim(*(image[:200, :200] for image in hd), data_range=1)
    Path("/proc/self/clear_refs").write_text("5")
    before = read_status("VmHWM")
    with ThreadPoolExecutor(1) as thread:  # whose workspace is new
        thread.submit(ms_ssim, *hd, data_range=1).result()
    return read_status("VmHWM") - before


def read_status(name: str) -> int:
    """A figure of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def time_reading(hd: Pair) -> float:
    """CPU time in ms of adding up both images, the least of many."""
    times = []
    for _ in range(50):
        start_ns = time.process_time_ns()
        for image in hd:
            np.add.reduce(image.reshape(-1).view(np.uint64))
        times.append((time.process_time_ns() - start_ns) / 1e6)
    return min(times)


def render(entries: list[Entry]) -> str:
    """One table: within a metric and size ours first, then the peers by time."""
    rows = []
    for metric, size in dict.fromkeys((entry.metric, entry.size) for entry in entries):
        group = [entry for entry in entries if (entry.metric, entry.size) == (metric, size)]
        ours = next(entry for entry in group if entry.is_ours)
        truth = next((entry.value for entry in group if "official" in entry.name), ours.value)
        for entry in sorted(group, key=lambda entry: (not entry.is_ours, np.median(list(entry.times_ms.values())))):
            times = list(entry.times_ms.values())
            ratios = [entry.times_ms[n] / ours.times_ms[n] for n in entry.times_ms.keys() & ours.times_ms.keys()]
            low, middle, high = np.percentile(ratios, (5, 50, 95))
            rows.append(
                {
                    "metric": metric,
                    "images": size,
                    "implementation": entry.name,
                    "value": f"{entry.value:.6f}",
                    "difference": f"{entry.value - truth:+.1e}",
                    "CPU ms": f"{np.median(times):.2f}",
                    "least": f"{min(times):.2f}",
                    "times ours": "" if entry.is_ours else f"{middle:.1f} ({low:.1f} to {high:.1f})",
                    "rounds": len(times),
                }
            )
    return tabulate(rows, headers="keys", disable_numparse=True, colalign=["left"] * 3 + ["right"] * 6)


if __name__ == "__main__":
    main()
