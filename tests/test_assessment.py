"""The first pass: the same values whoever does the work, one failure that keeps no other back, no process left."""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import models
import numpy as np
import psutil
import pytest
import tiny
from processes import wait_for
from tiny import ignore

from harness import assessment
from harness.assessment import Assessed, Chosen, assess
from harness.assets import open_store
from harness.datasets import open_dataset
from harness.executor import NAME, LocalCrew, open_crew
from harness.isolation import ModelProcess
from harness.job import Evaluation, Job
from harness.progress import CHECK, QUALITY, Step
from harness.submission import SubmissionFolder


@pytest.fixture
def several(evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    """A dataset of more pairs than one process gets."""
    monkeypatch.setattr(assessment, "CHUNK", 3)
    monkeypatch.setattr(assessment, "SAMPLE", 2)
    folder = tiny.write_dataset(tmp_path / "several", pairs=10, photos=2)
    return dataclasses.replace(evaluation, dataset=open_dataset(str(folder), open_store()))


def assess_all(folders: Sequence[SubmissionFolder], evaluation: Evaluation, workers: int) -> list[Assessed]:
    with open_crew(dataclasses.replace(evaluation, workers=workers)) as crew:
        chosen = [Chosen(folder, "all") for folder in folders]
        return list(assess(chosen, evaluation, crew=crew, on_progress=ignore))


def test_two_workers_give_the_digits_of_one(several: Evaluation, submit: Callable[..., SubmissionFolder]) -> None:
    folders = [submit(models.brighten(0.02 * n), f"s{n}") for n in range(3)]
    alone, beside = (assess_all(folders, several, workers) for workers in (1, 2))
    assert [found.record.quality for found in alone] == [found.record.quality for found in beside]
    quality = alone[0].record.quality
    assert quality is not None
    assert [pair.image for pair in quality.pairs] == list(several.dataset.splits["all"])
    assert len({pair.values["psnr"] for pair in quality.pairs}) == 10  # or equal values would prove nothing


def test_where_no_memory_is_measured_each_photo_has_a_process_for_the_same_digits(
    several: Evaluation, submit: Callable[..., SubmissionFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, starts = submit(models.brighten()), []
    start = Job.start
    monkeypatch.setattr(Job, "start", lambda *arguments: starts.append(arguments) or start(*arguments))
    (measured,) = assess_all([folder], several, 1)
    usual = len(starts)
    monkeypatch.setattr(LocalCrew, "measures_memory", False)
    (found,) = assess_all([folder], several, 2)
    assert len(starts) == usual + usual + 1  # two photos
    assert found.record.quality == measured.record.quality
    assert measured.record.memory is not None
    assert found.record.memory is None


def test_a_failure_keeps_no_other_back_and_is_the_first_in_the_images_order(
    several: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    folders = [submit(models.all_nan(), "a"), submit(models.brighten(), "b"), submit(models.wrong_size(), "c")]
    for workers in (1, 2):
        found = {one.folder.name: one.record for one in assess_all(folders, several, workers)}
        assert {name: record.status for name, record in found.items()} == {"a": "failed", "b": "ok", "c": "failed"}
        assert [found[name].failure.kind for name in "ac" if found[name].failure] == ["not_finite", "wrong_shape"]


def test_a_second_pass_that_differs_is_a_failure(
    several: Evaluation, submit: Callable[..., SubmissionFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    enhance, passes = Job.enhance, []

    def drift(job: Job, process: object, image: np.ndarray) -> np.ndarray:
        passes.append(image)
        return enhance(job, process, image) + np.float32(0.01 * (len(passes) > 12))  # 2 photos and 10 pairs

    monkeypatch.setattr(Job, "enhance", drift)
    monkeypatch.setattr(assessment, "CHUNK", 10)
    (found,) = assess_all([submit(models.brighten())], several, 1)
    assert found.record.failure is not None
    assert found.record.failure.kind == "not_repeatable"
    assert "a second pass is up to 0.01 off" in found.record.failure.message
    assert len(passes) == 13


def test_a_fault_ends_the_processes_behind_it(
    several: Evaluation, submit: Callable[..., SubmissionFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photos show the fault, while the pairs take for ever."""
    enhance = Job.enhance

    def stop_on_pairs(job: Job, process: ModelProcess, image: np.ndarray) -> np.ndarray:
        if image.shape == several.dataset.load_pair("0").source.shape:
            process.pause()  # whoever waits for it waits for ever
        return enhance(job, process, image)

    monkeypatch.setattr(Job, "enhance", stop_on_pairs)
    start_s = time.monotonic()
    (found,) = assess_all([submit(models.all_nan())], several, 2)
    assert found.record.failure is not None
    assert found.record.failure.kind == "not_finite"
    assert time.monotonic() - start_s < 50  # the process behind it would have had 60 s to take its image


def test_progress_counts_every_output_once(several: Evaluation, submit: Callable[..., SubmissionFolder]) -> None:
    seen: list[Step] = []
    with open_crew(dataclasses.replace(several, workers=2)) as crew:
        chosen = [Chosen(submit(models.brighten(), name), "all") for name in "ab"]
        list(assess(chosen, several, crew=crew, on_progress=seen.append))
    assert [step.done for step in seen if step.stage == CHECK] == [0, 1]
    for name in "ab":
        steps = [step for step in seen if step.submission == name]
        assert {(step.stage, step.total) for step in steps} == {(QUALITY, 10 + 2 + 2)}  # two pairs once more
        assert (steps[0].state, steps[-1].state) == ("queued", "ended")
        assert sorted({step.done for step in steps}) == list(range(15))
        assert steps[0].left_s is None
        assert steps[-1].left_s == 0
        assert steps[0].multiply_adds is not None


def is_busy(child: psutil.Process) -> bool:
    try:
        return child.cpu_percent(0.1) > 20
    except psutil.NoSuchProcess:  # the one that checked the graph ends meanwhile
        return False


def test_an_interruption_leaves_no_process_and_no_thread(
    several: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    folders = [submit(models.endless_loop(), name) for name in "ab"]

    def interrupt() -> None:
        while sum(is_busy(child) for child in psutil.Process().children()) < 2:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        assess_all(folders, several, 2)
    thread.join()
    assert wait_for(lambda: psutil.Process().children() == [])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def test_images_are_decoded_once(tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny.write_dataset(tmp_path / "pictures", pairs=2, photos=1)), open_store())
    assert dataset.load_pair("1") is dataset.load_pair("1")
    assert dataset.load_photo("0") is dataset.load_photo("0")
    with pytest.raises(ValueError, match="read-only"):
        dataset.load_pair("1").source[:] = 0


def test_no_more_is_kept_than_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.write_dataset(tmp_path / "pictures", pairs=3)
    first = open_dataset(str(folder), open_store()).load_pair("0")
    monkeypatch.setattr("harness.dataset.KEPT_BYTES", 2 * (first.source.nbytes + first.target.nbytes))
    dataset = open_dataset(str(folder), open_store())
    kept = {name: dataset.load_pair(name) for name in ("0", "1", "2")}
    assert [dataset.load_pair(name) is pair for name, pair in kept.items()] == [True, True, False]
    np.testing.assert_array_equal(dataset.load_pair("2").source, kept["2"].source)
