"""How long a model takes, beside the challenge's baseline in the same minutes on the same machine.

A block is a fresh process for each of the two, loaded, warmed up, then run in turn on changing photos while the
other one is stopped. Fresh processes, because two processes of one model differ by more than two runs of one process.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from harness.conversion import prepare_model
from harness.enhancement import check_agreement, fetch_output, prepare_source
from harness.environment import is_same_machine
from harness.errors import ChallengeError, DisturbedError, ModelError
from harness.isolation import ModelProcess
from harness.protocol import Device, Ran
from harness.records import Environment, Timing
from harness.statistics import is_noisy, predict_count


@dataclass(frozen=True)
class TimedModel:
    """A model as timing needs it; scale: of its outputs."""

    path: Path
    runtime: str
    layout: str
    seed: int | None = None
    scale: int = 1


@dataclass(frozen=True)
class TimingPlan:
    """How much to measure: blocks are added until the ratio is known well enough or the budget is spent.

    An interval of fewer than `judged_blocks` is not trusted to be narrow; `least_blocks` are measured in any case.
    """

    threads: int
    device: Device = "cpu"
    least_blocks: int = 3
    judged_blocks: int = 6
    most_blocks: int = 30
    warmups: int = 2
    runs: int = 3
    budget_s: float = 90.0

    @property
    def turns(self) -> int:
        """Runs of one process."""
        return self.warmups + self.runs


@dataclass(frozen=True)
class RunLimits:
    """What a model may take: resident memory, the time to load and to run once; and whether it may be code."""

    memory_bytes: int
    load_s: float
    run_s: float
    allow_code: bool = False


@dataclass(frozen=True)
class _Block:
    load_ns: int
    runs: tuple[Ran, ...]


@dataclass(frozen=True)
class TimedBlock:
    """One row of times. environment: of the machine, where it is not the one that the command was given on."""

    timing: Timing
    environment: Environment | None = None


def vary_photos(photos: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """So many different pictures: the photos, then mirrored, upside down, both, and all that shifted round.

    No process runs one picture twice, so that nothing can be replayed.
    """
    pictures = []
    for number in range(count):
        turn, photo = divmod(number, len(photos))
        shift, flips = divmod(turn, 4)
        picture = photos[photo][:: -1 if flips & 2 else 1, :: -1 if flips & 1 else 1]
        pictures.append(np.roll(picture, 16 * shift, axis=1))
    return pictures


class TimingSeries:
    """The blocks of one model, added one at a time: several models can then be timed in turn.

    Turns are worth more than patience: what disturbs a machine for minutes disturbs all models alike, and the blocks of
    one model lie far apart. Blocks of two machines are never mixed: on another one the series begins anew.
    """

    def __init__(
        self,
        measure: Callable[[bool], TimedBlock],
        *,
        plan: TimingPlan,
        timing: Timing | None = None,
        environment: Environment | None = None,
    ) -> None:
        """measure: gives one more block, in which the model comes first or not; timing: blocks that were measured
        before, on the machine of `environment`.
        """
        self.timing, self.environment = timing, environment
        self._measure, self._plan = measure, plan
        self._spent_s: list[float] = []

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return 0 if self.timing is None else len(self.timing.samples_ns)

    @property
    def spent_s(self) -> float:
        """On the blocks that were measured here."""
        return sum(self._spent_s)

    @property
    def mean_s(self) -> float:
        """Of one of these blocks."""
        return self.spent_s / len(self._spent_s)

    def estimate_blocks_left(self) -> int | None:
        """About how many blocks are still to come, if they go on as so far; None where fewer than two can tell."""
        plan, timing = self._plan, self.timing
        if timing is None or self.count < 2 or not self._spent_s:
            return None
        needed = predict_count(timing.baseline_samples_ns, timing.samples_ns, most=plan.most_blocks)
        affordable = int((plan.budget_s - self.spent_s) / self.mean_s)
        wanted = min(max(needed, plan.judged_blocks), plan.most_blocks) - self.count
        return max(min(wanted, affordable), plan.least_blocks - self.count, 0)

    def is_finished(self) -> bool:
        """Whether the ratio is known well enough, or the budget is spent."""
        plan, timing = self._plan, self.timing
        if timing is None or self.count < plan.least_blocks:
            return False
        if self.count >= plan.most_blocks:
            return True
        # a block more is begun only when it can be expected to end within the budget
        if self._spent_s and self.spent_s + self.mean_s > plan.budget_s:
            return True
        return self.count >= plan.judged_blocks and not is_noisy(timing.baseline_samples_ns, timing.samples_ns)

    def add_block(self) -> None:
        """Measure one block more. A timed output that is not the expected one is a ModelError."""
        start_s = time.monotonic()
        block = self._measure(self.count % 2 == 1)  # in turn, so that a slow drift of the machine favours neither
        spent_s = time.monotonic() - start_s
        if block.environment is not None:
            if self.environment is None or not is_same_machine(self.environment, block.environment):
                self.timing, self._spent_s = None, []
            self.environment = block.environment
        self._spent_s.append(spent_s)
        self.timing = block.timing if self.timing is None else append_block(self.timing, block.timing)


def append_block(timing: Timing, block: Timing) -> Timing:
    """The rows of both."""
    rows = {
        name: getattr(timing, name) + value
        for name, value in msgspec.structs.asdict(block).items()
        if isinstance(value, tuple)
    }
    return msgspec.structs.replace(timing, **rows)


def time_block(
    model: TimedModel,
    baseline: TimedModel,
    pictures: Sequence[np.ndarray],
    *,
    expected: Sequence[np.ndarray] | None,
    plan: TimingPlan,
    limits: RunLimits,
    model_first: bool,
) -> Timing:
    """One row of times, on `plan.turns` pictures of one size (uint8 HxWx3).

    expected: the model's outputs for them from an independent run, None where they cannot repeat.
    """
    own, other = measure_block(
        model, baseline, pictures, expected=expected, plan=plan, limits=limits, model_first=model_first
    )
    warmups, height_px, width_px = plan.warmups, *pictures[0].shape[:2]
    return Timing(
        device=plan.device,
        threads=plan.threads,
        width_px=width_px,
        height_px=height_px,
        baseline=baseline.path.stem,
        load_ns=(own.load_ns,),
        warmup_ns=(tuple(ran.wall_ns for ran in own.runs[:warmups]),),
        samples_ns=(tuple(ran.wall_ns for ran in own.runs[warmups:]),),
        baseline_samples_ns=(tuple(ran.wall_ns for ran in other.runs[warmups:]),),
        cpu_ns=(tuple(ran.cpu_ns for ran in own.runs[warmups:]),),
        baseline_cpu_ns=(tuple(ran.cpu_ns for ran in other.runs[warmups:]),),
    )


def measure_block(
    model: TimedModel,
    baseline: TimedModel,
    pictures: Sequence[np.ndarray],
    *,
    expected: Sequence[np.ndarray] | None,
    plan: TimingPlan,
    limits: RunLimits,
    model_first: bool,
) -> tuple[_Block, _Block]:
    """Time both in fresh processes, run by run in turn; the model's block comes first in the answer."""
    order = (model, baseline) if model_first else (baseline, model)
    with ExitStack() as stack:
        processes, load_ns = [], []
        for timed in order:
            process = stack.enter_context(
                ModelProcess(memory_limit_bytes=limits.memory_bytes, allow_code=limits.allow_code)
            )
            with excuse_submission(timed, baseline):
                load_ns.append(load_timed(process, timed, plan=plan, load_s=limits.load_s))
            process.pause()
            processes.append(process)
        runs: tuple[list[Ran], list[Ran]] = ([], [])
        for turn, picture in enumerate(pictures):
            for side, (timed, process) in enumerate(zip(order, processes, strict=True)):
                with excuse_submission(timed, baseline), awake(process):
                    runs[side].append(run_once(process, picture, layout=timed.layout, run_s=limits.run_s))
                    if timed is model and expected is not None:
                        output = fetch_output(
                            process, runs[side][-1], picture.shape, layout=timed.layout, scale=timed.scale
                        )
                        check_agreement(output, expected[turn], "a timed run")
    blocks = [_Block(load, tuple(side)) for load, side in zip(load_ns, runs, strict=True)]
    return (blocks[0], blocks[1]) if model_first else (blocks[1], blocks[0])


def load_timed(process: ModelProcess, timed: TimedModel, *, plan: TimingPlan, load_s: float) -> int:
    """Load a model as it is timed; how long that took, in ns."""
    path, runtime = prepare_model(timed.path, timed.runtime)
    return process.load(
        path,
        runtime=runtime,
        threads=plan.threads,
        device=plan.device,
        seed=timed.seed,
        deadline_s=load_s,
    )


@contextmanager
def excuse_submission(timed: TimedModel, baseline: TimedModel) -> Iterator[None]:
    """A failure of the baseline is the challenge's or the machine's: no submission's record may bear it."""
    try:
        yield
    except ModelError as error:
        if timed is not baseline:
            raise
        if error.kind == "killed":
            raise DisturbedError(
                "the baseline's process was killed from outside, or the system ran out of memory; run it again."
            ) from error
        raise ChallengeError(f"the baseline {baseline.path} cannot be timed: {error}") from error


@contextmanager
def awake(process: ModelProcess) -> Iterator[None]:
    """Let a stopped process run for the length of the block."""
    process.resume()
    yield
    process.pause()


def run_once(process: ModelProcess, picture: np.ndarray, *, layout: str, run_s: float) -> Ran:
    """One run on a picture (uint8 HxWx3): its times, and what it says of its output."""
    process.put(prepare_source(picture, layout=layout))
    return process.run(deadline_s=run_s)
