"""Files to start from: they hold as they are written, name every key, and replace nothing."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.submission import MANIFEST, Manifest, read_submission
from harness.template import FOLDER, list_runtimes, write_submission


@pytest.mark.parametrize("runtime", list_runtimes())
def test_a_new_submission_lacks_its_model_alone(tmp_path: Path, runtime: str) -> None:
    written = write_submission("my_net", tmp_path / "submissions", runtime=runtime)
    assert written.path == tmp_path / "submissions" / "my_net"
    assert read_submission(written.path) == written
    assert (written.name, written.manifest.runtime) == ("my_net", runtime)
    assert [path.name for path in written.path.iterdir()] == [MANIFEST]


def test_each_format_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = {write_submission(name, tmp_path, runtime=name).manifest.model_file for name in list_runtimes()}
    assert len(files) == len(list_runtimes())


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
