"""Files to start from: they hold as they are written, name every key, and replace nothing."""

import json
import typing
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
import tiny

from harness.assets import open_store
from harness.calibration import calibrate
from harness.challenge import FOLDER as PACKAGED
from harness.challenge import Challenge, read_challenge
from harness.datasets import KNOWN, open_dataset
from harness.errors import DataError, UsageError
from harness.formats import FORMATS
from harness.schema import render_schema
from harness.submission import MANIFEST, Manifest, read_submission
from harness.template import CHALLENGE, FOLDER, write_challenge, write_submission

# --- a submission

RUNTIMES = tuple(row.runtime for row in FORMATS)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_new_submission_lacks_its_model_alone(tmp_path: Path, runtime: str) -> None:
    written = write_submission("my_net", tmp_path / "submissions", runtime=runtime)
    assert written.path == tmp_path / "submissions" / "my_net"
    assert read_submission(written.path) == written
    assert (written.name, written.manifest.runtime, written.manifest.challenge) == ("my_net", runtime, "pirm2018b")
    assert [path.name for path in written.path.iterdir()] == [MANIFEST]


def test_a_new_submission_is_made_for_its_challenge(tmp_path: Path) -> None:
    written = write_submission("my_net", tmp_path, runtime="onnx", challenge='a "challenge"')
    assert written.manifest.challenge == 'a "challenge"'


def test_each_format_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = {write_submission(name, tmp_path, runtime=name).manifest.model_file for name in RUNTIMES}
    assert len(files) == len(RUNTIMES)


def test_every_key_of_the_manifest_is_shown() -> None:
    lines = (FOLDER / MANIFEST).read_text(encoding="utf-8").splitlines()
    shown = {line.removeprefix("# ").partition(" = ")[0] for line in lines if " = " in line}
    assert shown == set(Manifest.__struct_fields__)


def test_what_the_template_leaves_out_holds_too(tmp_path: Path) -> None:
    """An entrant takes the comment sign away."""
    path = write_submission("a", tmp_path, runtime="onnx").path
    lines = (path / MANIFEST).read_text(encoding="utf-8").splitlines()
    bare = [line.removeprefix("# ") if " = " in line and "draws" not in line else line for line in lines]
    (path / MANIFEST).write_text("\n".join(bare), encoding="utf-8")
    manifest = read_submission(path).manifest
    assert (manifest.seed, manifest.layout, len(manifest.authors)) == (1, "NHWC", 2)


def test_a_model_that_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.onnx").write_bytes(b"model")
    written = write_submission("a", tmp_path, runtime="onnx")
    assert written.model_path.read_bytes() == b"model"


def test_a_manifest_is_never_replaced(tmp_path: Path) -> None:
    path = write_submission("a", tmp_path, runtime="onnx").path / MANIFEST
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"submission\.toml is there already"):
        write_submission("a", tmp_path, runtime="onnx")
    assert path.read_text(encoding="utf-8") == "mine"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / MANIFEST).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        write_submission("a", tmp_path, runtime="onnx")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["../a", "a/b", 'a"', ".a", "", "a b", "-", "a" * 65])
def test_a_name_that_no_submission_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="must be 1 to 64 letters"):
        write_submission(name, tmp_path / "submissions", runtime="onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written \(.+\); choose another folder"):
        write_submission("a", tmp_path / ("x" * 300), runtime="onnx")


def test_an_unknown_format_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'onn' \(did you mean 'onnx'\?\); known are onnx, "):
        write_submission("a", tmp_path, runtime="onn")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match=r"/a is there already"):
        write_submission("a", tmp_path, runtime="onnx")


# --- a challenge


@pytest.mark.parametrize("dataset", KNOWN)
def test_a_new_challenge_holds_as_it_is(tmp_path: Path, dataset: str) -> None:
    path, pictures = write_challenge("my", tmp_path / "challenges", dataset=dataset, scale=1)
    read = read_challenge(path)
    assert path == tmp_path / "challenges" / "my.toml"
    assert (read.name, read.dataset, read.scale) == ("my", dataset, 1)
    assert (read.speed.width_px, read.speed.height_px) == pictures.photo_size == (1280, 720)
    assert "time" in next(iter(read.phases["validation"].scores.values()))


@pytest.mark.parametrize("folder", [Path(), Path("challenges/deep")], ids=["beside", "elsewhere"])
def test_a_folder_of_pairs_is_named_by_its_path_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_dataset(tmp_path / 'my "pairs" 1')
    path, pictures = write_challenge("my", folder, dataset='my "pairs" 1', scale=1)
    read = read_challenge(path)
    assert Path(read.dataset) == tmp_path / 'my "pairs" 1'
    assert not Path(pictures.dataset).is_absolute()
    assert (read.speed.width_px, read.speed.height_px) == (120, 110)
    assert open_dataset(read.dataset, open_store(), scale=read.scale).photos


def test_without_photos_no_formula_names_time(tmp_path: Path) -> None:
    tiny.write_dataset(tmp_path / "pairs", photos=0)
    path, pictures = write_challenge("my", tmp_path, dataset=str(tmp_path / "pairs"), scale=1)
    assert pictures.photo_size is None
    assert not any("time" in formula for formula in read_challenge(path).phases["validation"].scores.values())
    assert "has no photos/ yet" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("scale", "baseline"), [(1, "srcnn.onnx"), (2, "srcnn.onnx"), (4, "span.onnx")])
def test_the_baseline_of_a_new_challenge_is_the_package_s(tmp_path: Path, scale: int, baseline: str) -> None:
    random = np.random.default_rng(1)
    for side, pixels in (("source", 10), ("target", 10 * scale)):
        tiny.save_picture(tmp_path / "pairs" / side / "a.png", tiny.paint(random, pixels, pixels))
    path, _ = write_challenge("my", tmp_path, dataset=str(tmp_path / "pairs"), scale=scale)
    assert read_challenge(path).baseline.model == PACKAGED / baseline
    assert (PACKAGED / baseline).is_file()


def test_larger_targets_have_a_scale(tmp_path: Path) -> None:
    for side, pixels in (("source", 20), ("target", 40)):
        tiny.save_picture(tmp_path / "pairs" / side / "a.png", tiny.paint(np.random.default_rng(1), pixels, pixels))
    path, _ = write_challenge("my", tmp_path, dataset=str(tmp_path / "pairs"), scale=2)
    assert read_challenge(path).scale == 2
    with pytest.raises(DataError, match="a target has to be 3 times as wide and high"):
        write_challenge("other", tmp_path, dataset=str(tmp_path / "pairs"), scale=3)
    with pytest.raises(UsageError, match=r"embedded are no 2 times as large; name a folder with --dataset"):
        write_challenge("other", tmp_path, dataset="embedded", scale=2)
    assert not (tmp_path / "other.toml").exists()


def list_keys(kind: object) -> Iterator[str]:
    """The keys of a table and of those in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, hint in typing.get_type_hints(kind).items():
            yield name
            yield from list_keys(hint)
    for part in typing.get_args(kind):
        yield from list_keys(part)


def uncomment(text: str) -> str:
    """The template with everything in it that may be left out."""
    optional = ("# [", *(f"# {key} = " for key in list_keys(Challenge)), "# calibration = ", "# B = ", "# C = ")
    return "\n".join(line.removeprefix("# ") if line.startswith(optional) else line for line in text.splitlines())


def test_every_key_of_a_challenge_is_shown() -> None:
    lines = [line.removeprefix("# ") for line in (FOLDER / CHALLENGE).read_text(encoding="utf-8").splitlines()]
    shown = {line.partition(" = ")[0] for line in lines if " = " in line}
    shown |= {part for line in lines if line.startswith("[") for part in line.strip("[]").split(".")}
    of_calibrations = {"image_set", "note", "pairs", "label", "niqe", "mos"}
    assert set(list_keys(Challenge)) - of_calibrations <= shown


def test_all_that_may_be_left_out_holds_too(tmp_path: Path) -> None:
    path, _ = write_challenge("my", tmp_path, dataset="pirm2018b", scale=1)
    (tmp_path / "pairs.csv").write_text("niqe,mos\n6.0,2.6\n6.5,2.3\n6.8,2.4\n7.0,2.2\n")
    calibrate(tmp_path / "pairs.csv", tmp_path / "mos.toml", image_set="ours")
    whole = uncomment(path.read_text(encoding="utf-8"))
    path.write_text(whole, encoding="utf-8")
    read = read_challenge(path)
    assert read.mos is not None
    assert (read.stand_in, len(read.metrics), len(read.phases["validation"].scores)) == ("embedded", 4, 3)
    assert (read.phases["validation"].qualify, read.baseline.rows) == ({"psnr": 20.0}, ("SRCNN",))
    assert read.cost is not None
    jsonschema.validate(msgspec.toml.decode(whole), json.loads(render_schema("challenge")))


def test_a_challenge_is_never_replaced(tmp_path: Path) -> None:
    path, _ = write_challenge("my", tmp_path, dataset="embedded", scale=1)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"my\.toml is there already"):
        write_challenge("my", tmp_path, dataset="embedded", scale=1)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("name", "dataset", "message"),
    [
        ("a/b", "embedded", "must be 1 to 64 letters"),
        ("pirm2018b", "embedded", "the package has a challenge named pirm2018b"),
        ("my", "nowhere", r"nowhere is no folder; name one with source/ and target/, or "),
    ],
)
def test_a_challenge_that_cannot_be(tmp_path: Path, name: str, dataset: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_challenge(name, tmp_path, dataset=dataset, scale=1)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "pairs" / "source").mkdir(parents=True)
    with pytest.raises(DataError, match="a dataset is a folder with source/ and target/"):
        write_challenge("my", tmp_path, dataset=str(tmp_path / "pairs"), scale=1)
    assert not (tmp_path / "my.toml").exists()
