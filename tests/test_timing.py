"""Time beside the baseline: what runs when, how much of it, and who is to blame for a failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import models
import numpy as np
import psutil
import pytest

from harness import timing
from harness.errors import ChallengeError, DisturbedError, ModelError
from harness.isolation import ModelProcess
from harness.protocol import Ran
from harness.records import Timing
from harness.statistics import is_noisy
from harness.timing import (
    RunLimits,
    TimedBlock,
    TimedModel,
    TimingPlan,
    TimingSeries,
    load_timed,
    time_block,
    vary_photos,
)

PHOTOS = [np.full((20, 30, 3), value, np.uint8) for value in (0, 50, 100)]
LIMITS = RunLimits(memory_bytes=500_000_000, load_s=60, run_s=20)
PLAN = TimingPlan(threads=1, least_blocks=2, most_blocks=2, warmups=2, runs=3, budget_s=1000)
PICTURES = vary_photos(PHOTOS, PLAN.turns)


@pytest.fixture
def model(tmp_path: Path) -> TimedModel:
    return TimedModel(models.save(models.brighten(), tmp_path / "model.onnx"), "onnx", "NHWC")


@pytest.fixture
def baseline(tmp_path: Path) -> TimedModel:
    return TimedModel(models.save(models.slow(), tmp_path / "srcnn.onnx"), "onnx", "NHWC")


def start(
    model: TimedModel,
    baseline: TimedModel,
    plan: TimingPlan = PLAN,
    *,
    expected: Sequence[np.ndarray] | None = None,
    limits: RunLimits = LIMITS,
    before: Timing | None = None,
) -> TimingSeries:
    def measure(model_first: bool) -> TimedBlock:
        return TimedBlock(
            time_block(model, baseline, PICTURES, expected=expected, plan=plan, limits=limits, model_first=model_first)
        )

    return TimingSeries(measure, plan=plan, timing=before)


def measure(
    model: TimedModel,
    baseline: TimedModel,
    plan: TimingPlan = PLAN,
    *,
    expected: Sequence[np.ndarray] | None = None,
    limits: RunLimits = LIMITS,
) -> Timing:
    series = start(model, baseline, plan, expected=expected, limits=limits)
    while not series.is_finished():
        series.add_block()
    assert series.timing is not None
    return series.timing


@dataclass(frozen=True)
class Turn:
    """One timed run: in which process, on which photo, and whether all others stood still."""

    pid: int
    photo: int
    others_stopped: bool


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """Every run, in the order in which they come."""
    seen: list[Turn] = []
    photo_of_turn = [0]
    run = ModelProcess.run

    def watch(self: ModelProcess, *, deadline_s: float) -> object:
        others = [child for child in psutil.Process().children() if child.pid != self.pid]
        stopped = bool(others) and all(child.status() == psutil.STATUS_STOPPED for child in others)
        seen.append(Turn(self.pid, photo_of_turn[0], stopped))
        return run(self, deadline_s=deadline_s)

    prepare = timing.prepare_source

    def remember(photo: np.ndarray, *, layout: str) -> np.ndarray:
        photo_of_turn[0] = int(photo[0, 0, 0])
        return prepare(photo, layout=layout)

    monkeypatch.setattr(ModelProcess, "run", watch)
    monkeypatch.setattr(timing, "prepare_source", remember)
    return seen


def test_a_row_of_samples_comes_of_each_block(model: TimedModel, baseline: TimedModel) -> None:
    measured = measure(model, baseline)
    assert [len(block) for block in measured.warmup_ns] == [2, 2]
    assert [len(block) for block in measured.samples_ns] == [3, 3]
    assert [len(block) for block in measured.baseline_samples_ns] == [3, 3]
    assert (measured.width_px, measured.height_px, measured.threads) == (30, 20, 1)
    assert (measured.device, measured.baseline) == ("cpu", "srcnn")
    assert len(measured.load_ns) == 2
    assert min(measured.load_ns) > 0


def test_a_slower_model_takes_longer(tmp_path: Path, model: TimedModel) -> None:
    heavy = TimedModel(models.save(models.slow(2000), tmp_path / "heavy.onnx"), "onnx", "NHWC")
    measured = measure(model, heavy)
    assert np.median(measured.baseline_samples_ns) > 5 * np.median(measured.samples_ns)
    turned = measure(heavy, model)
    assert np.median(turned.samples_ns) > 5 * np.median(turned.baseline_samples_ns)


def test_the_two_take_turns_on_changing_photos_while_the_other_stands_still(
    model: TimedModel, baseline: TimedModel, turns: list[Turn]
) -> None:
    measure(model, baseline)
    assert len(turns) == 2 * 2 * 5  # blocks, models, warm-ups and runs
    assert all(turn.others_stopped for turn in turns)
    for block in (turns[:10], turns[10:]):
        first, second = block[0].pid, block[1].pid
        assert [turn.pid for turn in block] == [first, second] * 5
        assert first != second
        assert [turn.photo for turn in block] == [0, 0, 50, 50, 100, 100, 0, 0, 50, 50]
    assert not {turn.pid for turn in turns[:10]} & {turn.pid for turn in turns[10:]}  # fresh processes


def test_who_starts_alternates(model: TimedModel, baseline: TimedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = ModelProcess.load

    def watch(self: ModelProcess, path: Path, **options: object) -> int:
        loaded.append(path.name)
        return load(self, path, **options)

    monkeypatch.setattr(ModelProcess, "load", watch)
    measure(model, baseline)
    assert loaded == ["srcnn.onnx", "model.onnx", "model.onnx", "srcnn.onnx"]


def test_the_layout_of_each_is_kept(tmp_path: Path, baseline: TimedModel) -> None:
    model = TimedModel(models.save(models.convolve(), tmp_path / "model.onnx"), "onnx", "NCHW")
    assert len(measure(model, baseline).samples_ns) == 2  # a convolution refuses any other layout


def test_no_process_is_left(model: TimedModel, baseline: TimedModel) -> None:
    before = psutil.Process().children()
    measure(model, baseline)
    assert psutil.Process().children() == before


class Clock:
    """Stands still but for the blocks, each of which takes `block_s`."""

    def __init__(self, block_s: float) -> None:
        self.now_s, self.block_s = 0.0, block_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def measure_blocks(
    model: TimedModel, baseline: TimedModel, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Timing, list[bool]]]:
    """Measures with blocks of one warm-up and one run that take no time but the clock's: the baseline 300 ns, the
    model by turns these `times_ns`. Tells also which blocks the model began.
    """

    def measure_blocks(block_s: float, times_ns: Sequence[int], **plan: object) -> tuple[Timing, list[bool]]:
        clock, order = Clock(block_s), []

        def measure_block(*arguments: object, model_first: bool, **options: object) -> tuple[object, object]:
            clock.now_s += clock.block_s
            order.append(model_first)
            warm, own, other = (
                Ran(time_ns, 2 * time_ns, "float32", ()) for time_ns in (1, times_ns[len(order) % len(times_ns)], 300)
            )
            return timing._Block(len(order), (warm, own)), timing._Block(1, (warm, other))

        monkeypatch.setattr(timing, "time", clock)
        monkeypatch.setattr(timing, "measure_block", measure_block)
        measured = measure(model, baseline, TimingPlan(threads=1, warmups=1, runs=1, **plan))
        return measured, order

    return measure_blocks


@pytest.mark.parametrize(
    ("block_s", "blocks"),
    [
        (1.0, 8),  # eight fit
        (10.0, 4),  # the fifth would end at 50
        (11.25, 4),  # the fourth ends on the second
        (12.0, 3),
        (100.0, 3),  # the least, whatever it takes
    ],
)
def test_blocks_are_added_while_the_next_fits_the_budget(
    measure_blocks: Callable[..., tuple[Timing, list[bool]]], block_s: float, blocks: int
) -> None:
    measured, order = measure_blocks(block_s, (200, 260), least_blocks=3, most_blocks=8, budget_s=45)
    assert measured.samples_ns == ((260,), (200,)) * (blocks // 2) + ((260,),) * (blocks % 2)
    assert measured.baseline_samples_ns == ((300,),) * blocks
    assert measured.load_ns == tuple(range(1, blocks + 1))
    assert measured.cpu_ns == tuple((2 * time_ns,) for (time_ns,) in measured.samples_ns)
    assert measured.baseline_cpu_ns == ((600,),) * blocks
    assert order == [block % 2 == 1 for block in range(blocks)]
    assert is_noisy(measured.baseline_samples_ns, measured.samples_ns)


@pytest.mark.parametrize(("times_ns", "blocks"), [((2000, 2001), 6), ((2000, 2029), 10), ((2000, 2500), 12)])
def test_blocks_are_added_until_the_ratio_is_known(
    measure_blocks: Callable[..., tuple[Timing, list[bool]]], times_ns: Sequence[int], blocks: int
) -> None:
    measured, _ = measure_blocks(1.0, times_ns, most_blocks=12, budget_s=1000)
    assert len(measured.samples_ns) == blocks
    assert is_noisy(measured.baseline_samples_ns, measured.samples_ns) == (blocks == 12)


@pytest.mark.parametrize(
    ("times_ns", "block_s", "left"),
    [
        ((2000,), 1.0, [None, 4, 3, 2, 1, 0]),  # as many as it takes to be judged
        ((2000, 2500), 10.0, [None, 2, 1, 0]),  # as many as the budget has room for
        ((2000, 2500), 100.0, [None, 1, 0]),  # the least
        ((2000, 2500), 0.1, [None, *range(10, -1, -1)]),  # the most
    ],
)
def test_the_blocks_left_are_foretold(
    measure_blocks: Callable[..., tuple[Timing, list[bool]]],
    monkeypatch: pytest.MonkeyPatch,
    times_ns: Sequence[int],
    block_s: float,
    left: Sequence[int | None],
) -> None:
    told: list[int | None] = []
    add_block = TimingSeries.add_block

    def watch(series: TimingSeries) -> None:
        add_block(series)
        told.append(series.estimate_blocks_left())
        assert series.spent_s == pytest.approx(len(told) * block_s)

    monkeypatch.setattr(TimingSeries, "add_block", watch)
    measure_blocks(block_s, times_ns, most_blocks=12, budget_s=45)
    assert told == left


def test_blocks_measured_before_are_gone_on_from(model: TimedModel, baseline: TimedModel) -> None:
    def go_on(timing: Timing | None) -> TimingSeries:
        return start(model, baseline, before=timing)

    first = go_on(None)
    first.add_block()
    assert not first.is_finished()
    second = go_on(first.timing)
    assert (second.count, second.is_finished()) == (1, False)
    assert second.estimate_blocks_left() is None
    second.add_block()
    assert second.is_finished()
    assert first.timing is not None
    assert second.timing is not None
    assert second.timing.samples_ns[:1] == first.timing.samples_ns
    assert go_on(second.timing).is_finished()


# --- outputs


def test_no_process_sees_a_picture_twice() -> None:
    random = np.random.default_rng(0)
    photos = [random.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(2)]
    pictures = vary_photos(photos, 17)
    assert len({picture.tobytes() for picture in pictures}) == 17
    assert {picture.shape for picture in pictures} == {(20, 30, 3)}
    assert {np.sort(picture, axis=None).tobytes() for picture in pictures} == {
        np.sort(photo, axis=None).tobytes() for photo in photos
    }


def test_every_timed_output_is_held_against_an_independent_one(model: TimedModel, baseline: TimedModel) -> None:
    outputs = [picture.astype(np.float32) / np.float32(255) + np.float32(0.05) for picture in PICTURES]
    assert len(measure(model, baseline, expected=outputs).samples_ns) == 2
    for turn in range(PLAN.turns):
        other = [output + (0.01 if number == turn else 0) for number, output in enumerate(outputs)]
        with pytest.raises(ModelError, match=r"a timed run is up to 0\.01 off that of an independent run") as caught:
            measure(model, baseline, expected=other)
        assert (caught.value.stage, caught.value.kind) == ("output", "not_repeatable")


def test_times_are_finer_than_a_millisecond(model: TimedModel, baseline: TimedModel) -> None:
    samples = [time_ns for block in measure(model, baseline).samples_ns for time_ns in block]
    assert len(set(samples)) > 1
    assert any(time_ns % 1_000_000 for time_ns in samples)
    assert max(samples) < 1_000_000_000


# --- faults


def fails_as(model: TimedModel, baseline: TimedModel, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        measure(model, baseline)
    assert not psutil.Process().children()


@pytest.mark.parametrize("broken", [models.with_shape((1, 4, 4, 3)), None], ids=["run", "load"])
def test_a_model_that_fails_is_to_blame(
    model: TimedModel, baseline: TimedModel, broken: object, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(broken.SerializeToString() if broken else b"no model")  # type: ignore[attr-defined]
    fails_as(TimedModel(path, "onnx", "NHWC"), baseline, ModelError, "failed: ")


@pytest.mark.parametrize("broken", [models.with_shape((1, 4, 4, 3)), None], ids=["run", "load"])
def test_a_baseline_that_fails_is_no_fault_of_the_model(
    model: TimedModel, baseline: TimedModel, broken: object, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(broken.SerializeToString() if broken else b"no model")  # type: ignore[attr-defined]
    sentence = r"the baseline .*broken\.onnx cannot be timed: its (load|run) failed"
    fails_as(model, TimedModel(path, "onnx", "NHWC"), ChallengeError, sentence)


def test_a_missing_baseline_is_said(model: TimedModel, tmp_path: Path) -> None:
    gone = TimedModel(tmp_path / "gone.onnx", "onnx", "NHWC")
    fails_as(model, gone, ChallengeError, r"the baseline .*gone\.onnx cannot be timed")


def test_a_killed_baseline_is_the_fault_of_neither(
    model: TimedModel, baseline: TimedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_first(process: ModelProcess, timed: TimedModel, **options: object) -> int:
        if timed is baseline:
            psutil.Process(process.pid).kill()
        return load_timed(process, timed, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "load_timed", kill_first)
    fails_as(model, baseline, DisturbedError, r"^the baseline's process was killed from outside")


def test_an_endless_run_ends_the_measurement(
    tmp_path: Path, baseline: TimedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = TimedModel(models.save(models.endless_loop(), tmp_path / "endless.onnx"), "onnx", "NHWC")
    limits = RunLimits(memory_bytes=500_000_000, load_s=60, run_s=0.5)
    with pytest.raises(ModelError, match=r"no end of run within 0\.5 s"):
        measure(endless, baseline, limits=limits)
