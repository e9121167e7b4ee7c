"""Pictures of outputs: which are chosen, that they are the model's own, and that nothing harms what is there."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import msgspec
import numpy as np
import onnx
import onnxruntime
import psutil
import pytest
import tiny
from PIL import Image, JpegImagePlugin
from stored import make_pairs, make_record
from tiny import ignore

from harness import archive, gallery, showcase
from harness.archive import locate_record, read_record
from harness.assets import open_store
from harness.dataset import read_image
from harness.datasets import embedded, open_dataset
from harness.enhancement import prepare_source
from harness.errors import ModelError, RecordError
from harness.gallery import Motif, Task, encode_image, keep_images, keep_showcase, select_shared
from harness.job import Evaluation
from harness.metrics.profiles import quantize
from harness.metrics.psnr import psnr
from harness.showcase import FREE, Showcase, locate_images, read_showcase
from harness.submission import SubmissionFolder

ALL = [("photo", "0"), ("pair", "0"), ("pair", "1"), ("pair", "2")]


@pytest.fixture
def measured(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> Callable[..., SubmissionFolder]:
    """A submission with its record."""

    def measure(model: onnx.ModelProto, name: str = "a") -> SubmissionFolder:
        folder = submit(model, name)
        assert tiny.run(folder, evaluation, tmp_path / "reports").exit_code == 0
        return folder

    return measure


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def keep(reports: Path, evaluation: Evaluation, *folders: SubmissionFolder) -> Showcase:
    """Keep the pictures of the evaluation's own dataset."""
    assert keep_showcase(folders, evaluation, reports, on_progress=ignore) == []
    return read_showcase(reports, evaluation.dataset.name)


def list_files(folder: Path) -> dict[str, int]:
    """When each file was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def run_apart(folder: SubmissionFolder, image: np.ndarray) -> np.ndarray:
    """The model's output by onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(folder.model_path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: prepare_source(image, layout="NHWC")})
    return quantize(output[0])


# --- which


def test_shared_pairs_lie_at_even_places_of_what_most_records_have() -> None:
    names = tuple(str(number) for number in range(400))
    dataset = dataclasses.replace(embedded.open_dataset(), splits={"all": names}, photos=("x", "y", "z"), crops=())
    narrow = [make_record(name, pairs=make_pairs(names[::4])) for name in "ab"]
    wide = make_record("c", pairs=make_pairs(names))
    shared = [("photo", "x"), ("photo", "y"), ("pair", "64"), ("pair", "200"), ("pair", "332")]
    assert list(select_shared(dataset, [*narrow, wide])) == shared
    assert list(select_shared(dataset, [wide, *reversed(narrow)])) == shared
    assert list(select_shared(dataset, []))[2:] == []


def test_the_free_dataset_shares_its_crops() -> None:
    assert [motif.image for motif in select_shared(embedded.open_dataset(), [make_record()])] == [
        *("astronaut", "coffee", "motorcycle_left")
    ]


def test_the_worst_and_the_best_pairs_of_each_are_added(
    tmp_path: Path, evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path
) -> None:
    dataset = open_dataset(str(tiny.write_dataset(tmp_path / "many", pairs=12)), open_store())
    wider = dataclasses.replace(evaluation, dataset=dataset)
    folder = measured(models.brighten())
    assert tiny.run(folder, wider, reports).exit_code == 0
    kept = keep(reports, wider, folder)
    record = read_record(locate_record(reports / "records", dataset="many", name="a"))
    psnr_db = {pair.image: pair.values["psnr"] for pair in record.quality.pairs}
    ranked = sorted(psnr_db, key=psnr_db.__getitem__)
    assert {picture.image for picture in kept.pictures if picture.kind == "pair"} >= {*ranked[:3], *ranked[-3:]}


# --- what


@pytest.mark.parametrize("model", [models.brighten(0.3), models.brighten(-0.2)])
def test_pictures_hold_what_the_model_gives(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path, model: onnx.ModelProto
) -> None:
    folder = measured(model)
    kept = keep(reports, evaluation, folder)
    assert [(picture.kind, picture.image) for picture in kept.pictures] == ALL
    record = read_record(locate_record(reports / "records", dataset="pictures", name="a"))
    assert kept.models == {"a": record.submission.sha256}
    shipped = {pair.image: pair.values["psnr_png"] for pair in record.quality.pairs}
    for picture in kept.pictures:
        source, output = (
            read_image(locate_images(reports, "pictures") / place) for place in (picture.source, picture.outputs["a"])
        )
        np.testing.assert_array_equal(output, run_apart(folder, source))
        assert source.shape == (picture.height_px, picture.width_px, 3)
        if picture.kind == "pair":
            pair = evaluation.dataset.load_pair(picture.image)
            target = read_image(locate_images(reports, "pictures") / picture.target)
            np.testing.assert_array_equal(source, pair.source)
            np.testing.assert_array_equal(target, pair.target)
            assert psnr(output, target, data_range=255) == pytest.approx(shipped[picture.image])
        else:
            np.testing.assert_array_equal(source, evaluation.dataset.load_photo(picture.image))
            assert picture.target is None


def test_crops_of_the_embedded_photos_are_kept_beside_any_dataset(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path
) -> None:
    folder = measured(models.brighten())
    assert keep_images([folder], evaluation, reports, on_progress=ignore) == []
    kept = read_showcase(reports, FREE, embedded.open_dataset().sha256)
    assert [picture.image for picture in kept.pictures] == ["astronaut", "coffee", "motorcycle_left"]
    for picture in kept.pictures:
        pair = embedded.open_dataset().load_pair(picture.image)
        images = {picture.source: pair.source, picture.target: pair.target}
        images[picture.outputs["a"]] = run_apart(folder, pair.source)
        for place, image in images.items():
            assert (locate_images(reports, FREE) / place).read_bytes() == encode_image(image, "pair")[1]
            shown = read_image(locate_images(reports, FREE) / place)
            assert np.abs(shown.astype(int) - image).mean() < 3  # a JPEG


def test_a_small_image_is_kept_without_loss_and_a_large_one_with_full_colours(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    suffix, content = encode_image(noise[:100, :100], "pair")
    (tmp_path / f"small{suffix}").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "small.png"), noise[:100, :100])
    suffix, content = encode_image(noise, "photo")
    (tmp_path / f"large{suffix}").write_bytes(content)
    with Image.open(tmp_path / "large.jpg") as image:
        assert image.format == "JPEG"
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4


# --- again


def test_a_rerun_writes_nothing(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = measured(models.brighten())
    assert keep_images([folder], evaluation, reports, on_progress=ignore) == []
    before = list_files(reports / "images")
    monkeypatch.setattr(gallery, "enhance_motifs", None)  # no model runs
    assert keep_images([folder], evaluation, reports, on_progress=ignore) == []
    assert list_files(reports / "images") == before


def test_another_model_gets_other_pictures_and_the_others_stay(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path
) -> None:
    folders = [measured(models.brighten(), name) for name in "ab"]
    first = keep(reports, evaluation, *folders)
    before = list_files(reports / "images")
    folder = measured(models.brighten(-0.2), "a")
    second = keep(reports, evaluation, folder)  # b is not named, and stays
    assert second.pictures == first.pictures
    assert (second.models["a"] != first.models["a"], second.models["b"]) == (True, first.models["b"])
    after = list_files(reports / "images")
    assert {name for name in after if after[name] == before[name]} >= {
        name for name in before if name.split("/")[2:4] == ["outputs", "b"]
    }
    place = second.pictures[0].outputs["a"]
    source = evaluation.dataset.load_photo("0")
    np.testing.assert_array_equal(read_image(locate_images(reports, "pictures") / place), run_apart(folder, source))


@pytest.mark.parametrize("damage", ["output", "source", "list"])
def test_what_is_missing_or_damaged_is_made_anew(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path, damage: str
) -> None:
    folder = measured(models.brighten())
    first = keep(reports, evaluation, folder)
    images = locate_images(reports, "pictures")
    if damage == "list":
        (images / "showcase.json").write_text("{")
    else:
        (images / (first.pictures[1].source if damage == "source" else first.pictures[1].outputs["a"])).unlink()
    assert read_showcase(reports, "pictures") != first
    assert keep(reports, evaluation, folder) == first


def test_pictures_go_with_the_record(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path
) -> None:
    a, b = (measured(models.brighten(), name) for name in "ab")
    keep(reports, evaluation, a, b)
    locate_record(reports / "records", dataset="pictures", name="a").unlink()
    kept = keep(reports, evaluation, a, b)
    assert list(kept.models) == ["b"]
    files = list_files(locate_images(reports, "pictures"))
    assert not [name for name in files if "/a/" in name]
    assert len(files) == 1 + sum(len(picture.list_files()) for picture in kept.pictures)
    locate_record(reports / "records", dataset="pictures", name="b").unlink()
    assert keep(reports, evaluation, a, b).pictures == ()
    assert list(list_files(locate_images(reports, "pictures"))) == ["showcase.json"]


def test_a_model_without_a_record_of_its_own_is_not_shown(
    evaluation: Evaluation,
    measured: Callable[..., SubmissionFolder],
    submit: Callable[..., SubmissionFolder],
    reports: Path,
) -> None:
    measured(models.brighten())
    assert keep(reports, evaluation, submit(models.brighten(-0.2), "a"), submit(None, "b")).pictures == ()
    assert not (reports / "images").exists()


def test_names_that_stand_in_paths(
    tmp_path: Path, evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path
) -> None:
    """Such as a submission may have: none of its files takes the place of another's."""
    folders = [measured(models.brighten(0.01 * i), name) for i, name in enumerate(("source", "target", "a..b"), 1)]
    kept = keep(reports, evaluation, *folders)
    places = [place for picture in kept.pictures for place in picture.list_files()]
    assert len(set(places)) == len(places) == 4 * 3 + 4 + 3
    for folder in folders:
        output = read_image(locate_images(reports, "pictures") / kept.pictures[0].outputs[folder.name])
        np.testing.assert_array_equal(output, run_apart(folder, evaluation.dataset.load_photo("0")))


# --- faults


def test_a_model_that_fails_takes_no_other_along(
    evaluation: Evaluation, measured: Callable[..., SubmissionFolder], reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [measured(models.brighten(), name) for name in "abc"]
    records = {path: path.read_bytes() for path in (reports / "records").rglob("*.json")}
    enhance = gallery.enhance_motifs

    def fail(task: Task) -> Iterator[tuple[Motif, np.ndarray]]:
        results = enhance(task)
        yield next(results)
        if task.job.submission.name == "b":
            raise ModelError("it crashed.", stage="run", kind="crash")
        yield from results

    monkeypatch.setattr(gallery, "enhance_motifs", fail)
    assert keep_showcase(folders, evaluation, reports, on_progress=ignore) == [
        "b: no pictures of pictures: it crashed."
    ]
    kept = read_showcase(reports, "pictures")
    assert list(kept.models) == ["a", "c"]
    assert [sorted(picture.outputs) for picture in kept.pictures] == [["a", "c"]] * 4
    assert not (locate_images(reports, "pictures") / "photos" / "outputs" / "b").exists()
    assert {path: path.read_bytes() for path in records} == records


@pytest.mark.parametrize("fault", [RecordError("the disk is full."), OSError(5, "broken")])
def test_what_cannot_be_written_is_one_sentence(
    evaluation: Evaluation,
    measured: Callable[..., SubmissionFolder],
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(gallery, "write_bytes", fail)
    (sentence,) = keep_images([measured(models.brighten())], evaluation, reports, on_progress=ignore)
    assert sentence == f"Pictures are not up to date: {fault}"
    assert psutil.Process().children() == []


def paint(sha256: str) -> np.ndarray:
    """Stands for a model's output."""
    return np.full((2, 2, 3), int(sha256[:2], 16), np.uint8)


class Kill:
    """Writes as long as it may; then the process is as good as killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**6
        monkeypatch.setattr(gallery, "write_bytes", self.write)
        monkeypatch.setattr(showcase, "write_text", lambda path, text: self.write(path, text.encode()))

    def write(self, path: Path, content: bytes) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        archive.write_bytes(path, content)


def test_a_kill_before_any_write_leaves_a_list_that_holds(
    evaluation: Evaluation,
    submit: Callable[..., SubmissionFolder],
    measured: Callable[..., SubmissionFolder],
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def enhance(task: Task) -> Iterator[tuple[Motif, np.ndarray]]:
        yield from ((motif, paint(task.job.submission.sha256)) for motif in task.motifs)

    monkeypatch.setattr(gallery, "enhance_motifs", enhance)
    kill, records, images = Kill(monkeypatch), reports / "records", locate_images(reports, "pictures")
    stages = [models.brighten(), models.brighten(-0.2)]
    for number, model in enumerate(stages):
        for name in "ab":
            measured(model, name)
        shutil.copytree(records, reports / str(number))

    def keep_stage(number: int, writes: int = 10**6) -> Showcase:
        shutil.copytree(reports / str(number), records, dirs_exist_ok=True)
        folders = [submit(stages[number], name) for name in "ab"]
        kill.left = writes
        with contextlib.suppress(KeyboardInterrupt):
            keep_showcase(folders, evaluation, reports, on_progress=ignore)
        kept = read_showcase(reports, "pictures")
        assert kept == msgspec.json.decode((images / "showcase.json").read_bytes(), type=Showcase)  # no file is missing
        for picture in kept.pictures:
            for name, place in picture.outputs.items():
                np.testing.assert_array_equal(read_image(images / place), paint(kept.models[name]))
        return kept

    wanted, last, writes = keep_stage(1), keep_stage(0), 0
    assert wanted.models != last.models
    while last != wanted:
        keep_stage(0)
        last = keep_stage(1, writes)
        writes += 1
    assert writes > 20
    assert keep_stage(1, 0) == wanted
