"""Chunks that outlast a kill: what is done is not done again, and nothing else is taken for it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import models
import msgspec
import pytest
import tiny
from stored import ENVIRONMENT
from tiny import ignore

from harness import assessment, turns
from harness.assets import open_store
from harness.datasets import open_dataset
from harness.job import Evaluation, Parcel
from harness.records import ImageScore, Submission
from harness.shelf import Shelf, compute_chunk_key
from harness.submission import SubmissionFolder
from harness.tasks import Chunk, Pairs, Part, Photos, score_pairs

SUBMISSION = Submission("a", "onnx", "model.onnx", "A", (), "", "nothing", "NHWC", "0")
PAIRS = Pairs(1, ("0", "1"), 2)
PHOTOS = Photos(0, ("0",), memory=True)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture
def several(evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    """A dataset of four chunks of pairs."""
    monkeypatch.setattr(assessment, "CHUNK", 3)
    monkeypatch.setattr(assessment, "SAMPLE", 2)
    folder = tiny.write_dataset(tmp_path / "several", pairs=10, photos=1)
    return dataclasses.replace(evaluation, dataset=open_dataset(str(folder), open_store()))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places whose pairs were scored; with a -1 in front, the third such task is a kill."""
    places: list[int] = []

    def watch(parcel: Parcel, submission: Submission, pairs: Pairs) -> Chunk:
        if -1 in places and len(places) == 3:
            raise Killed
        places.append(pairs.place)
        return score_pairs(parcel, submission, pairs)

    monkeypatch.setattr(assessment, "score_pairs", watch)
    return places


def run(folder: SubmissionFolder, evaluation: Evaluation, reports: Path, *, again: bool = False) -> None:
    everything = turns.Run(evaluation, reports, None, again)
    turns.run_submissions([folder], everything, on_progress=ignore, on_outcome=lambda _: None)


def list_chunks(reports: Path) -> list[Path]:
    return sorted(reports.glob("records/several/unfinished/chunks/a/*.json"))


def test_a_killed_run_repeats_no_chunk(
    several: Evaluation, submit: Callable[..., SubmissionFolder], scored: list[int], tmp_path: Path
) -> None:
    folder = submit(models.brighten())
    run(folder, several, tmp_path / "whole")
    scored[:] = [-1]
    with pytest.raises(Killed):
        run(folder, several, tmp_path / "killed")
    assert scored == [-1, 1, 2]
    assert len(list_chunks(tmp_path / "killed")) == 3  # the photos too
    scored.clear()
    run(folder, several, tmp_path / "killed")
    assert scored == [3, 4]
    whole, killed = (
        turns.read_record(tmp_path / name / "records" / "several" / "a.json") for name in ("whole", "killed")
    )
    assert killed.quality == whole.quality
    assert killed.memory is not None
    assert not (tmp_path / "killed" / "records" / "several" / "unfinished").exists()


@pytest.mark.parametrize("change", ["again", "model", "damaged"])
def test_what_does_not_fit_is_done_again(
    several: Evaluation, submit: Callable[..., SubmissionFolder], scored: list[int], tmp_path: Path, change: str
) -> None:
    scored.append(-1)
    with pytest.raises(Killed):
        run(submit(models.brighten()), several, tmp_path)
    scored.clear()
    if change == "damaged":
        for path in list_chunks(tmp_path):
            path.write_bytes(path.read_bytes()[:-3])
    run(submit(models.brighten(0.1 if change == "model" else 0.05)), several, tmp_path, again=change == "again")
    assert scored == [1, 2, 3, 4]


def test_a_fault_is_not_kept(evaluation: Evaluation, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, evaluation, ENVIRONMENT)
    shelf.keep(SUBMISSION, PAIRS, Chunk(1, failure=assessment.Failure("run", "crash", "it fell over")))
    assert shelf.find(SUBMISSION, PAIRS) is None
    chunk = Chunk(1, (ImageScore("0", {"psnr": None, "ms_ssim": 0.1 + 0.2}),))
    shelf.keep(SUBMISSION, PAIRS, chunk)
    assert shelf.find(SUBMISSION, PAIRS) == chunk  # to the last digit
    assert shelf.find(SUBMISSION, PHOTOS) is None


def test_the_key_is_that_of_the_content(evaluation: Evaluation) -> None:
    def key(
        submission: Submission = SUBMISSION,
        part: Part = PAIRS,
        evaluation: Evaluation = evaluation,
        cpu_model: str = "Some CPU",
    ) -> str:
        place = msgspec.structs.replace(ENVIRONMENT, cpu_model=cpu_model)
        return compute_chunk_key(submission, part, evaluation, place)

    titled = msgspec.structs.replace(SUBMISSION, title="Another", authors=("Me",))
    assert key() == key() == key(titled)
    assert key(evaluation=dataclasses.replace(evaluation, threads=7)) == key()  # pairs have one thread
    others = [
        key(msgspec.structs.replace(SUBMISSION, sha256="1")),
        key(msgspec.structs.replace(SUBMISSION, seed=1)),
        key(part=Pairs(1, ("0", "1"), 1)),
        key(part=Pairs(1, ("0", "2"), 2)),
        key(part=PHOTOS),
        key(part=Photos(0, ("0",))),
        key(part=PHOTOS, evaluation=dataclasses.replace(evaluation, threads=7)),
        key(evaluation=dataclasses.replace(evaluation, metrics=evaluation.metrics[:1])),
        key(evaluation=dataclasses.replace(evaluation, dataset=dataclasses.replace(evaluation.dataset, sha256="1"))),
        key(cpu_model="Another"),
    ]
    assert len({key(), *others}) == 1 + len(others)
