"""Manifests, model files and graphs: what is read, and each breach of a rule with its sentence."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import models
import pytest

from harness.errors import SubmissionError
from harness.protocol import Inspected, Tensor
from harness.submission import (
    Manifest,
    SubmissionFolder,
    check_interface,
    describe_submission,
    hash_model,
    read_submission,
)

MANIFEST = 'name = "a"\ntitle = "A"\ntrained_on = "nothing"\n'
IMAGE = Tensor("image", "float32", (None, None, None, 3))


def write_manifest(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "submission.toml").write_text(text)
    return folder


def make_folder(layout: str | None = None, model_file: str = "model.onnx") -> SubmissionFolder:
    manifest = Manifest(name="a", title="A", trained_on="nothing", layout=layout, model_file=model_file)
    return SubmissionFolder(Path("somewhere/a"), manifest)


def make_graph(
    *, inputs: tuple[Tensor, ...] = (IMAGE,), outputs: tuple[Tensor, ...] = (IMAGE,), opset: int = 17, refused: str = ""
) -> Inspected:
    return Inspected(opset, inputs, outputs, 0, (refused,) if refused else ())


def make_image(*shape: int | None, dtype: str = "float32") -> Tensor:
    return Tensor("image", dtype, shape)


def test_a_manifest_is_read_with_its_defaults(tmp_path: Path) -> None:
    folder = read_submission(write_manifest(tmp_path / "a", MANIFEST + 'authors = ["B", "C"]\nlayout = "NCHW"\n'))
    assert folder.manifest == Manifest(name="a", title="A", trained_on="nothing", authors=("B", "C"), layout="NCHW")
    assert folder.name == "a"
    assert folder.model_path == tmp_path / "a" / "model.onnx"
    assert (folder.manifest.runtime, folder.manifest.weights) == ("onnx", "")


@pytest.mark.parametrize(
    ("keys", "runtime", "model_file"),
    [
        ("", "onnx", "model.onnx"),
        ('runtime = "tensorflow"', "tensorflow", "model.pb"),
        ('runtime = "torch"', "torch", "model.py"),
        ('model_file = "net.tflite"', "litert", "net.tflite"),
        ('model_file = "net.bin"', "onnx", "net.bin"),
        ('model_file = "net.bin"\nruntime = "pt2"', "pt2", "net.bin"),
    ],
)
def test_runtime_and_model_file_say_each_other(tmp_path: Path, keys: str, runtime: str, model_file: str) -> None:
    manifest = read_submission(write_manifest(tmp_path / "a", MANIFEST + keys)).manifest
    assert (manifest.runtime, manifest.model_file) == (runtime, model_file)


@pytest.mark.parametrize("key", ["runtime = 3", 'runtime = ["onnx"]', "model_file = 3", "model_file = 1979-05-27"])
def test_a_runtime_or_file_of_another_type_is_one_sentence(tmp_path: Path, key: str) -> None:
    with pytest.raises(SubmissionError, match=r"(runtime|model_file): (expected str|invalid)"):
        read_submission(write_manifest(tmp_path / "a", MANIFEST + key))


def test_a_missing_folder_and_a_missing_manifest_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"nowhere is no folder; name a folder that holds submission\.toml"):
        read_submission(tmp_path / "nowhere")
    with pytest.raises(
        SubmissionError, match=r"has no submission\.toml as a regular file; `harness new-submission` writes one"
    ):
        read_submission(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "a"\ntrained_on = "nothing"\n', r"key 'title' is missing .* keys it needs: name, title, trained_on"),
        (MANIFEST + 'lay_out = "NHWC"\n', r"unknown key 'lay_out' .*'layout'.*known keys: name, title, .*weights"),
        (MANIFEST + 'layout = "HWC"\n', "layout: invalid enum value 'HWC'; correct it, known are NHWC, NCHW"),
        (
            MANIFEST + 'runtime = "keras"\n',
            "runtime: invalid enum value 'keras'; correct it, known are onnx, .*, torch$",
        ),
        (
            MANIFEST + 'runtime = "onnx"\nmodel_file = "a.tflite"\n',
            "model_file 'a.tflite' ends as one of the runtime litert, and runtime is onnx; correct one of them",
        ),
        (MANIFEST.replace('"A"', '" "'), "title is empty"),
        (MANIFEST.replace('"A"', "3"), "title: expected str, got int"),
        (MANIFEST + "authors = [", "is not valid TOML"),
        (MANIFEST + "authors = " + "[" * 5000, "is not valid TOML"),
        ("", "key 'name' is missing"),
    ],
    ids=[
        "missing",
        "misspelt",
        "layout",
        "runtime",
        "conflict",
        "blank",
        "type",
        "cut off",
        "nested",
        "empty",
    ],
)
def test_a_manifest_that_does_not_hold_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SubmissionError, match=sentence) as caught:
        read_submission(write_manifest(tmp_path / "a", text))
    assert str(caught.value).startswith(str(tmp_path / "a" / "submission.toml"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_manifest_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(SubmissionError, match="not valid UTF-8"):
        read_submission(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_a_manifest_that_is_no_file_is_never_opened(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "submission.toml")
    with pytest.raises(SubmissionError, match="as a regular file"):
        read_submission(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a b", "ä", "a" * 65, "a\\nb", "_", "a|b"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SubmissionError, match="must be 1 to 64 letters, digits"):
        read_submission(write_manifest(tmp_path / "a", MANIFEST.replace('name = "a"', f'name = "{name}"')))


@pytest.mark.parametrize("name", ["a", "A-1", "a.b_c", "0", "a" * 64])
def test_a_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    folder = read_submission(write_manifest(tmp_path / "a", MANIFEST.replace('name = "a"', f'name = "{name}"')))
    assert folder.name == name


@pytest.mark.parametrize("file", ["../model.onnx", "/model.onnx", "sub/model.onnx", "", ".", ".."])
def test_a_model_file_outside_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(SubmissionError, match="must be a plain file name"):
        read_submission(write_manifest(tmp_path / "a", MANIFEST + f'model_file = "{file}"\n'))


def test_a_model_is_hashed(tmp_path: Path) -> None:
    folder = read_submission(models.write_submission(tmp_path / "a", b"some bytes"))
    assert hash_model(folder, limit_bytes=10) == (hashlib.sha256(b"some bytes").hexdigest(), 10)


def test_a_model_over_the_limit_is_too_large(tmp_path: Path) -> None:
    folder = read_submission(models.write_submission(tmp_path / "a", b"x" * 1_100_001))
    with pytest.raises(SubmissionError, match=r"model\.onnx has 1\.1 MB, 1 MB are allowed") as caught:
        hash_model(folder, limit_bytes=1_000_000)
    assert caught.value.kind == "too_large"


def test_a_missing_model_says_how_to_get_it(tmp_path: Path) -> None:
    plain = read_submission(models.write_submission(tmp_path / "a"))
    with pytest.raises(SubmissionError, match="put the model beside the manifest") as caught:
        hash_model(plain, limit_bytes=10)
    assert caught.value.kind == "missing"
    upstream = read_submission(models.write_submission(tmp_path / "b", weights="run `make weights`"))
    with pytest.raises(SubmissionError, match="run `make weights`"):
        hash_model(upstream, limit_bytes=10)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: path.symlink_to("/etc/hostname"), lambda path: path.mkdir()],
    ids=["pipe", "link", "folder"],
)
def test_a_model_that_is_no_file_of_its_own_is_missing(tmp_path: Path, make: Callable[[Path], object]) -> None:
    folder = read_submission(models.write_submission(tmp_path / "a"))
    make(folder.model_path)
    with pytest.raises(SubmissionError, match="not there as a regular file"):
        hash_model(folder, limit_bytes=10**6)


def test_a_model_file_that_no_disk_can_hold_is_missing(tmp_path: Path) -> None:
    folder = read_submission(write_manifest(tmp_path / "a", MANIFEST + f'model_file = "{"a" * 300}"\n'))
    with pytest.raises(SubmissionError, match="not there as a regular file"):
        hash_model(folder, limit_bytes=10)


@pytest.mark.parametrize(
    ("shape", "declared", "layout"),
    [
        ((None, None, None, 3), None, "NHWC"),
        ((1, None, None, 3), None, "NHWC"),
        ((1, 3, None, None), None, "NCHW"),
        ((None, None, None, None), None, "NHWC"),
        ((None, None, None, None), "NCHW", "NCHW"),
        ((1, 3, None, None), "NCHW", "NCHW"),
    ],
)
def test_the_layout_is_declared_or_read_off_the_channels(
    shape: tuple[int | None, ...], declared: str | None, layout: str
) -> None:
    assert check_interface(make_folder(declared), make_graph(inputs=(make_image(*shape),))) == layout


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (make_graph(refused="the random operator X"), "holds the random operator X"),
        (make_graph(opset=0), "names no ONNX operator set"),
        (make_graph(inputs=(IMAGE, IMAGE)), "has 2 inputs and 1 outputs"),
        (make_graph(inputs=()), "has 0 inputs and 1 outputs"),
        (make_graph(outputs=(IMAGE, IMAGE)), "has 1 inputs and 2 outputs"),
        (make_graph(inputs=(make_image(None, None, None, 3, dtype="uint8"),)), "its input 'image' is uint8"),
        (make_graph(outputs=(make_image(None, None, None, 3, dtype="float16"),)), "its output 'image' is float16"),
        (make_graph(inputs=(make_image(None, None, 3),)), r"its input has shape \[\?x\?x3\]"),
        (make_graph(inputs=(make_image(None, None, None, 1),)), "has no 3 channels as NHWC"),
        (make_graph(inputs=(make_image(1, None, 720, 3),)), r"\[1x\?x720x3\] has a fixed size as NHWC"),
        (make_graph(inputs=(make_image(1, 3, 720, 1280),)), "fixed size"),
        (make_graph(inputs=(make_image(4, None, None, 3),)), "takes 4 images at once"),
    ],
)
def test_each_breach_of_a_rule_has_its_sentence(graph: Inspected, sentence: str) -> None:
    with pytest.raises(SubmissionError, match=sentence) as caught:
        check_interface(make_folder(), graph)
    assert "model.onnx" in str(caught.value)
    assert "somewhere" not in str(caught.value)  # it goes into the record, where no path belongs
    assert (caught.value.stage, caught.value.kind) == ("validate", "rule")


def test_a_declared_layout_that_the_graph_contradicts_is_refused() -> None:
    with pytest.raises(SubmissionError, match=r"\[\?x\?x\?x3\] has a fixed size as NCHW"):
        check_interface(make_folder("NCHW"), make_graph())


def test_a_record_gets_what_the_manifest_declares_and_no_path(tmp_path: Path) -> None:
    folder = read_submission(models.write_submission(tmp_path / "a", authors=["B"], paper_url="https://example.org"))
    described = describe_submission(folder, sha256="f00", layout="NCHW")
    assert (described.name, described.title, described.authors) == ("a", "Test a", ("B",))
    assert (described.sha256, described.layout, described.model_file) == ("f00", "NCHW", "model.onnx")
    assert str(tmp_path) not in repr(described)
