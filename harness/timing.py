"""How long a model takes, beside the challenge's baseline in the same minutes on the same machine.

A block is a fresh process for each of the two, loaded, warmed up, then run in turn on changing photos while the
other one is stopped. Fresh processes, because two processes of one model differ by more than two runs of one process.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.enhancement import prepare_source
from harness.errors import ChallengeError, ModelError
from harness.isolation import ModelProcess
from harness.records import Timing


@dataclass(frozen=True)
class TimedModel:
    """A model as timing needs it."""

    path: Path
    runtime: str
    layout: str


@dataclass(frozen=True)
class TimingPlan:
    """How much to measure: blocks are added until the most are done or the budget is spent."""

    threads: int
    least_blocks: int = 4
    most_blocks: int = 8
    warmups: int = 2
    runs: int = 3
    budget_s: float = 50.0


@dataclass(frozen=True)
class RunLimits:
    """What a model may take: resident memory, and the time to load and to run once."""

    memory_bytes: int
    load_s: float
    run_s: float


@dataclass(frozen=True)
class _Block:
    load_ns: int
    warmup_ns: tuple[int, ...]
    samples_ns: tuple[int, ...]


def measure_timing(
    model: TimedModel,
    baseline: TimedModel,
    photos: Sequence[np.ndarray],
    *,
    plan: TimingPlan,
    limits: RunLimits,
    on_block: Callable[[int, int], None],
) -> Timing:
    """Time a model and the baseline on photos of one size (uint8 HxWx3)."""
    blocks: list[tuple[_Block, _Block]] = []
    start_s = time.monotonic()
    while len(blocks) < plan.most_blocks:
        on_block(len(blocks), plan.most_blocks)
        spent_s = time.monotonic() - start_s
        # a block more is begun only when it can be expected to end within the budget
        if len(blocks) >= plan.least_blocks and spent_s * (1 + 1 / len(blocks)) > plan.budget_s:
            break
        # who starts alternates, so that a slow drift of the machine favours neither
        blocks.append(
            measure_block(model, baseline, photos, plan=plan, limits=limits, model_first=len(blocks) % 2 == 1)
        )
    height_px, width_px = photos[0].shape[:2]
    return Timing(
        device="cpu",
        threads=plan.threads,
        width_px=width_px,
        height_px=height_px,
        baseline=baseline.path.stem,
        load_ns=blocks[0][0].load_ns,
        warmup_ns=tuple(block.warmup_ns for block, _ in blocks),
        samples_ns=tuple(block.samples_ns for block, _ in blocks),
        baseline_samples_ns=tuple(block.samples_ns for _, block in blocks),
    )


def measure_block(
    model: TimedModel,
    baseline: TimedModel,
    photos: Sequence[np.ndarray],
    *,
    plan: TimingPlan,
    limits: RunLimits,
    model_first: bool,
) -> tuple[_Block, _Block]:
    """Time both in fresh processes, run by run in turn; the model's block comes first in the answer."""
    order = (model, baseline) if model_first else (baseline, model)
    with ExitStack() as stack:
        processes, load_ns = [], []
        for timed in order:
            process = stack.enter_context(ModelProcess(memory_limit_bytes=limits.memory_bytes))
            with excuse_submission(timed, baseline):
                load_ns.append(
                    process.load(timed.path, runtime=timed.runtime, threads=plan.threads, deadline_s=limits.load_s)
                )
            process.pause()
            processes.append(process)
        samples_ns: tuple[list[int], list[int]] = ([], [])
        for turn in range(plan.warmups + plan.runs):
            photo = photos[turn % len(photos)]
            for side, (timed, process) in enumerate(zip(order, processes, strict=True)):
                with excuse_submission(timed, baseline):
                    samples_ns[side].append(run_once(process, photo, layout=timed.layout, run_s=limits.run_s))
    blocks = [
        _Block(load, tuple(samples[: plan.warmups]), tuple(samples[plan.warmups :]))
        for load, samples in zip(load_ns, samples_ns, strict=True)
    ]
    return (blocks[0], blocks[1]) if model_first else (blocks[1], blocks[0])


@contextmanager
def excuse_submission(timed: TimedModel, baseline: TimedModel) -> Iterator[None]:
    """A failure of the baseline is the challenge's: no submission's record may bear it."""
    try:
        yield
    except ModelError as error:
        if timed is not baseline:
            raise
        raise ChallengeError(f"the baseline {baseline.path} cannot be timed: {error}") from error


def run_once(process: ModelProcess, photo: np.ndarray, *, layout: str, run_s: float) -> int:
    """Wake a stopped process for one run; its wall time in ns."""
    process.resume()
    process.put(prepare_source(photo, layout=layout))
    ran = process.run(deadline_s=run_s)
    process.pause()
    return ran.wall_ns
