"""Where the CPU time of the quality part of a leaderboard goes.

    python -m benchmarks.quality_profile [SUBMISSION ...] [--workers 2]

Assesses the submissions (default: all that have a model) as `harness run` does, and adds up CPU time: of the models'
runs as their processes report it, of the metrics, of decoding, of the rest of this process (sending, receiving,
waiting), and of the rest of the models' processes (starting, loading, checking graphs, receiving, sending).
"""

import argparse
import collections
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabulate import tabulate

from harness import dataset, session, tasks
from harness.admission import choose_split
from harness.assessment import Chosen, assess
from harness.assets import open_store
from harness.challenge import read_challenge
from harness.executor import open_crew
from harness.isolation import ModelProcess
from harness.submission import is_regular

spent_s: dict[str, float] = collections.defaultdict(float)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("submissions", nargs="*", type=Path)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    folders, _ = session.read_folders(options.submissions)
    evaluation, _ = session.prepare_evaluation(
        read_challenge("pirm2018b"),
        None,
        open_store(None),
        session.Options(workers=options.workers, timing=False),
        on_progress=lambda *_: None,
    )
    chosen = [
        Chosen(folder, choose_split(folder.manifest, evaluation.dataset, None))
        for folder in folders
        if is_regular(folder.model_path)
    ]
    watch()
    start_s, own_s, children_s = time.perf_counter(), time.process_time(), read_children_s()
    with open_crew(evaluation) as crew:
        assessed = list(assess(chosen, evaluation, crew=crew, on_progress=lambda *_: None))
    own_s, children_s = time.process_time() - own_s, read_children_s() - children_s
    parts = {
        "models": spent_s["models"],
        "metrics": spent_s["metrics"],
        "decoding": spent_s["decoding"],
        "rest of this process": own_s - spent_s["metrics"] - spent_s["decoding"],
        "rest of the models' processes": children_s - spent_s["models"],
    }
    total_s = own_s + children_s
    rows = [[name, f"{part_s:.1f}", f"{part_s / total_s:.1%}"] for name, part_s in parts.items()]
    print(
        f"{len(assessed)} submissions, {evaluation.workers} workers, {time.perf_counter() - start_s:.0f} s by the clock"
    )
    print(
        tabulate([*rows, ["all", f"{total_s:.1f}", ""]], headers=("CPU time of", "s", "share"), disable_numparse=True)
    )


def watch() -> None:
    """Add up what the runs report, and the CPU time of the threads inside metrics and decoding."""
    run = ModelProcess.run

    def counted_run(self: ModelProcess, *, deadline_s: float) -> Any:
        ran = run(self, deadline_s=deadline_s)
        spent_s["models"] += ran.cpu_ns / 1e9
        return ran

    ModelProcess.run = counted_run  # type: ignore[method-assign]
    tasks.score_image = count("metrics", tasks.score_image)
    dataset.read_image = count("decoding", dataset.read_image)


def count(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its CPU time added up."""

    def counted(*arguments: Any) -> Any:
        start_s = time.thread_time()
        try:
            return function(*arguments)
        finally:
            spent_s[name] += time.thread_time() - start_s

    return counted


def read_children_s() -> float:
    """CPU time of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
