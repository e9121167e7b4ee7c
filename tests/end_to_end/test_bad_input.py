"""Bad input ends in one sentence and the exit code that the README documents; earlier records stay as they are.

Here each kind of input runs as a user has it, through a process of its own; the tables of cases are in test_bad_*.py.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import models
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from PIL import Image
from place import TINY, Place

from harness.files import claim_folder

USAGE, SUBMISSION, DATA, RECORD, CHALLENGE = 2, 3, 4, 5, 6


@pytest.fixture(autouse=True)
def nothing_changes(place: Place) -> object:
    """Every record is, byte for byte, what it was before."""
    before = {name: content for name, content in place.read_reports().items() if name.startswith("records/")}
    assert before.keys() == {"records/pictures/good.json"}
    yield
    assert {name: place.read_reports().get(name) for name in before} == before


# --- submissions


def cut(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()[:-20]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (cut(models.brighten()), "its load failed: model.onnx: the file is not a whole ONNX model"),
        (models.all_nan(), "its output holds 39600 values that are NaN or infinite"),
        (models.allocate(1_000_000_000), "disqualified: out of memory (limit 0.4 GB) during run"),
        (models.endless_loop(), "no end of run within 2 s"),
        (b"x" * 2_000_000, "disqualified: model.onnx has 2.0 MB, 1 MB are allowed"),
    ],
    ids="truncated nan memory endless large".split(),
)
def test_a_model_that_breaks_a_rule(
    place: Place, tiny_options: Sequence[str], model: onnx.ModelProto | bytes, sentence: str
) -> None:
    folder = place.submit("good", model)
    error = place.refuse(SUBMISSION, "run", folder, *tiny_options)
    assert error.startswith(f"error: good: {sentence}")


@pytest.mark.parametrize(
    ("keys", "sentences"),
    [
        ({"title": None}, ("key 'title' is missing", "keys it needs: name, title, trained_on")),
        ({"titel": "T"}, ("unknown key 'titel'", "'title'", "known keys: name, title, trained_on, challenge, authors")),
        ({"model_file": "/etc/hostname"}, ("must be a plain file name",)),
    ],
    ids="missing misspelt path".split(),
)
def test_a_manifest_that_does_not_hold(
    place: Place, tiny_options: Sequence[str], keys: dict[str, str | None], sentences: tuple[str, ...]
) -> None:
    manifest = {"name": "good", "title": "T", "trained_on": "nothing"} | keys
    path = place.folder / "submissions" / "good" / "submission.toml"
    path.write_text("".join(f"{key} = '{value}'\n" for key, value in manifest.items() if value is not None))
    error = place.refuse(SUBMISSION, "run", "submissions/good", *tiny_options)
    assert error.startswith("error: submissions/good/submission.toml: ")
    assert all(sentence in error for sentence in sentences)


def test_a_folder_that_is_not_there(place: Place, tiny_options: Sequence[str]) -> None:
    error = place.refuse(SUBMISSION, "run", "nowhere", *tiny_options)
    assert error.startswith("error: nowhere is no folder; name a folder that holds submission.toml")


def test_a_folder_without_a_manifest(place: Place, tiny_options: Sequence[str]) -> None:
    error = place.refuse(SUBMISSION, "run", "pictures", *tiny_options)
    assert error.startswith("error: pictures has no submission.toml")


def test_a_folder_without_a_model(place: Place, tiny_options: Sequence[str]) -> None:
    (place.folder / "submissions" / "good" / "model.onnx").unlink()
    error = place.refuse(SUBMISSION, "run", *tiny_options)
    assert error.startswith("error: good: model.onnx is not there as a regular file; put the model beside")


def test_two_submissions_of_one_name(place: Place, tiny_options: Sequence[str]) -> None:
    twin = place.submit("twin", models.identity(), name="good")
    error = place.refuse(USAGE, "run", "submissions/good", twin, *tiny_options)
    assert "are both named 'good'; rename one" in error


def test_no_submission_at_all(place: Place, tiny_options: Sequence[str]) -> None:
    shutil.rmtree(place.folder / "submissions")
    assert "name folders that hold a submission.toml" in place.refuse(USAGE, "run", *tiny_options)


def test_a_model_that_was_trained_on_the_only_split(place: Place, tiny_options: Sequence[str]) -> None:
    folder = place.submit("good", models.brighten(), trained_on="pictures/all")
    for options in ((), ("--split", "all")):
        error = place.refuse(USAGE, "run", folder, *tiny_options, *options)
        assert error.startswith("error: good was trained on pictures/all")


@pytest.mark.assets
@pytest.mark.parametrize("split", ["all", "train"])
def test_a_split_of_the_challenge_that_was_trained_on(place: Place, assets_dir: Path, split: str) -> None:
    folder = place.submit("good", models.brighten(), trained_on="pirm2018b/train")
    options = ("--dataset", "pirm2018b", "--assets", assets_dir, "--no-timing", "--split", split)
    error = place.refuse(USAGE, "run", folder, "--challenge", "challenge/tiny.toml", *options)
    assert error == f"error: good was trained on pirm2018b/train, which shares images with the split '{split}'."


# --- pictures


def write_jpeg(path: Path) -> Path:
    Image.fromarray(tiny.paint(np.random.default_rng(1), 100, 100)).save(path, "JPEG")
    return path


def damage(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    return path


def test_a_damaged_jpeg_given_to_a_metric(place: Place) -> None:
    image, target = write_jpeg(place.folder / "a.jpg"), damage(write_jpeg(place.folder / "b.jpg"))
    place.succeed("metric", "psnr", image, image)
    for pictures in ((image, target), (target, image)):
        error = place.refuse(DATA, "metric", "psnr", *pictures)
        assert "cannot read the image" in error
        assert "b.jpg" in error


def test_a_damaged_jpeg_in_a_dataset(place: Place, tiny_options: Sequence[str]) -> None:
    (place.folder / "pictures" / "source" / "1.png").unlink()
    damage(write_jpeg(place.folder / "pictures" / "source" / "1.jpg"))
    error = place.refuse(DATA, "run", *tiny_options)
    assert "cannot read the image" in error
    assert "1.jpg" in error


def test_a_pair_of_two_sizes(place: Place, tiny_options: Sequence[str]) -> None:
    tiny.save_picture(place.folder / "pictures" / "target" / "2.png", np.zeros((100, 110, 3), np.uint8))
    error = place.refuse(DATA, "run", *tiny_options)
    assert "pair '2'" in error
    assert "100x100" in error
    assert "110x100" in error


def test_two_pictures_of_two_sizes_given_to_a_metric(place: Place) -> None:
    small = tiny.save_picture(place.folder / "small.png", np.zeros((20, 30, 3), np.uint8))
    error = place.refuse(DATA, "metric", "psnr", small, "pictures/source/0.png")
    assert error.startswith(f"error: PSNR of {small} and pictures/source/0.png: ")
    assert "must have one shape" in error


def test_a_picture_without_a_partner(place: Place, tiny_options: Sequence[str]) -> None:
    (place.folder / "pictures" / "target" / "0.png").unlink()
    assert "'0' has no partner in target/" in place.refuse(DATA, "run", *tiny_options)


def test_photos_of_several_sizes_cannot_be_timed(place: Place) -> None:
    tiny.save_picture(place.folder / "pictures" / "photos" / "1.png", np.zeros((100, 110, 3), np.uint8))
    error = place.refuse(DATA, "run", "--challenge", "challenge/tiny.toml", "--dataset", "pictures")
    assert "photos of pictures differ in size" in error


# --- names and options


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (("run", "--challenge", "pirm2019", "--dataset", "pictures"), "pirm2018b"),
        (
            ("run", "--challenge", "challenge/tiny.toml", "--dataset", "pirm2018c"),
            "name embedded, ntire_esr, pirm2018a, pirm2018b, or a",
        ),
        (
            ("run", "--challenge", "challenge/tiny.toml", "--dataset", "pictures", "--split", "tset"),
            "known ones are all",
        ),
        (("metric", "psrn", "a.png", "b.png"), "psnr, ssim, ms_ssim, niqe"),
        (("metric", "psnr", "pictures/source/0.png"), "PSNR compares IMAGE with a TARGET"),
        (("metric", "niqe", "pictures/source/0.png", "pictures/target/0.png"), "NIQE takes no TARGET"),
        (("leaderboard", "--challenge", "challenge/tiny.toml", "--phase", "tset"), "phases of tiny: validation"),
        (("fetch", "pirm2018x"), "the known ones are pirm2018b"),
        (("run", "--challenge", "challenge/tiny.toml", "--assets", "nowhere"), "is not a folder: mend --assets"),
    ],
    ids="challenge dataset split metric target no-target phase group assets".split(),
)
def test_an_unknown_name_lists_the_known_ones(place: Place, arguments: tuple[str, ...], known: str) -> None:
    assert known in place.refuse(USAGE, *arguments)


def test_an_unknown_option_is_a_usage_error(place: Place) -> None:
    done = place.harness("run", "--no-such-option")
    assert done.returncode == USAGE
    assert "--no-such-option" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("run", ""), ("run", "--reports", ""), ("run", "--dataset", ""), ("run", "--assets", ""), ("validate", "")],
    ids=["submission", "reports", "dataset", "assets", "validate"],
)
def test_an_empty_argument_is_not_the_working_folder(place: Place, arguments: tuple[str, ...]) -> None:
    done = place.harness(*arguments)
    assert done.returncode == USAGE
    assert "it is empty; give a" in done.stderr


def test_an_unknown_phase_is_refused_without_any_result(place: Place, tiny_options: Sequence[str]) -> None:
    place.submit("good", models.all_nan())
    place.refuse(SUBMISSION, "run", *tiny_options, "--reports", "others")
    options = ("--challenge", "challenge/tiny.toml", "--reports", "others", "--phase", "tset")
    assert "phases of tiny: validation" in place.refuse(USAGE, "leaderboard", *options)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="the device is there")
def test_a_device_that_is_not_there(place: Place, tiny_options: Sequence[str]) -> None:
    error = place.refuse(USAGE, "run", *tiny_options, "--device", "cuda")
    assert error.startswith("error: --device cuda cannot be used here: its load failed")
    assert "install onnxruntime-gpu, or leave out --device cuda" in error


@pytest.mark.parametrize("folder", ["scratch", "reports"])
def test_a_second_run_at_the_same_time(place: Place, tiny_options: Sequence[str], folder: str) -> None:
    timed = [option for option in tiny_options if option != "--no-timing"]
    with claim_folder(place.folder / folder):
        error = place.refuse(USAGE, "run", *timed)
        place.succeed("run", *timed, "--no-timing")
    assert error.startswith("error: another run measures time on this machine")
    assert error.endswith("wait for its end, or leave time out (run --no-timing, check without --speed).")


# --- reports and challenges


def test_a_report_folder_that_cannot_be_written(place: Place, tiny_options: Sequence[str]) -> None:
    (place.folder / "file").write_text("")
    error = place.refuse(RECORD, "run", *tiny_options, "--reports", "file/reports")
    assert "cannot be written" in error
    assert "--reports" in error


def test_a_folder_in_the_place_of_an_unfinished_record(place: Place) -> None:
    (place.records / "unfinished" / "other.json").mkdir(parents=True)
    place.submit("other", models.brighten(0.1))
    error = place.refuse(RECORD, "run", "submissions/other", *TINY)
    assert error.endswith(
        "unfinished/other.json cannot be written (Is a directory); remove the folder that lies there."
    )


def test_a_record_that_is_cut_off(place: Place) -> None:
    other = place.records / "other.json"
    other.write_bytes((place.records / "good.json").read_bytes()[:-50])
    error = place.refuse(RECORD, "leaderboard", "--challenge", "challenge/tiny.toml")
    assert "other.json is no whole record" in error


def test_a_dataset_without_records(place: Place) -> None:
    error = place.refuse(RECORD, "leaderboard", "--challenge", "challenge/tiny.toml", "--dataset", "embedded")
    assert "has no records of embedded" in error


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("run_s", "runs_s"), "unknown key 'runs_s' at [limits]"),
        (lambda text: text.replace("memory_bytes = ", "memory_bytes = -"), "limits.memory_bytes: expected int >= 1"),
        (lambda text: text.replace("psnr + ", "psrn + "), "psrn"),
        (lambda text: text[: len(text) // 2], "tiny.toml: "),
    ],
    ids="misspelt negative formula truncated".split(),
)
def test_a_challenge_that_does_not_hold(
    place: Place, tiny_options: Sequence[str], change: Callable[[str], str], sentence: str
) -> None:
    path = place.folder / "challenge" / "tiny.toml"
    path.write_text(change(path.read_text()))
    assert sentence in place.refuse(CHALLENGE, "run", *tiny_options)


def test_a_challenge_that_is_not_there(place: Place) -> None:
    assert "cannot be read" in place.refuse(CHALLENGE, "run", "--challenge", "nowhere.toml")


def test_a_baseline_that_is_not_there(place: Place) -> None:
    (place.folder / "challenge" / "slow.onnx").unlink()
    error = place.refuse(CHALLENGE, "run", "--challenge", "challenge/tiny.toml", "--dataset", "pictures")
    assert "the baseline" in error
    assert "slow.onnx cannot be timed" in error
