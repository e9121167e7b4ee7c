"""What the harness adds to a run: the worker's own path against a bare loop, in one process, turn by turn.

    python -m benchmarks.overhead [MODEL.onnx] [--turns 40] [--threads 2]

Both call one ONNX Runtime session on the same random 1280x720 photo; what runs first alternates. The bare time is taken
around `session.run`, the harness's is what the worker reports in its reply. Also the time that the whole request takes
in the worker, which no record contains.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from harness import protocol
from harness.runtimes import onnx as runtime
from harness.serving import Session
from harness.statistics import percentile_interval

WIDTH_PX, HEIGHT_PX = 1280, 720


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=Path("submissions/boe_highperf/model.onnx"))
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    bare, harness, whole = measure(options.model, turns=options.turns, threads=options.threads)
    print(f"{options.model}, {WIDTH_PX}x{HEIGHT_PX}, {options.threads} threads, {options.turns} turns")
    print(f"bare session.run        {np.median(bare):9.3f} ms (median)")
    for name, times in (("reported by the harness", harness), ("whole request in worker", whole)):
        ratio, low, high = compare(times, bare)
        print(f"{name} {np.median(times):9.3f} ms, {ratio - 1:+.2%} [{low - 1:+.2%}, {high - 1:+.2%}]")


def measure(path: Path, *, turns: int, threads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in ms of the bare calls, of the worker's runs as it reports them, and of its whole requests."""
    source = np.random.default_rng(0).random((1, HEIGHT_PX, WIDTH_PX, 3), dtype=np.float32)
    model = runtime.load_model(path.read_bytes(), threads=threads)
    session = Session()
    session.model = model
    model.place(source)
    bare_inputs = {model.session.get_inputs()[0].name: source}
    times: dict[str, list[float]] = {"bare": [], "harness": [], "whole": []}
    for turn in range(turns + 3):  # the first three warm up
        for kind in ("bare", "harness") if turn % 2 else ("harness", "bare"):
            start_ns = time.perf_counter_ns()
            if kind == "bare":
                (session.output,) = model.session.run(None, bare_inputs)
            else:
                ran = session.handle(protocol.Run(), b"")
                assert isinstance(ran, protocol.Ran)
                times["whole"].append((time.perf_counter_ns() - start_ns) / 1e6)
            wall_ns = time.perf_counter_ns() - start_ns if kind == "bare" else ran.wall_ns
            session.output = np.empty(0)  # neither pays for the other's memory
            times[kind].append(wall_ns / 1e6)
    bare, harness, whole = (np.array(times[name][3:]) for name in ("bare", "harness", "whole"))
    return bare, harness, whole


def compare(times: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """Median of the ratios turn by turn, which slow drift leaves alone, and its 95 % interval (bootstrap)."""
    ratios = times / others
    indices = np.random.default_rng(1).integers(0, len(ratios), (5000, len(ratios)))
    return float(np.median(ratios)), *percentile_interval(np.median(ratios[indices], axis=1))


if __name__ == "__main__":
    main()
