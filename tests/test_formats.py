"""The table of formats, held against the manifest, the runtimes, the extras and the pages."""

import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import models
import pytest

from harness import protocol, serving
from harness.assessment import judge_failure
from harness.errors import ModelError
from harness.formats import CODE, FORMATS, PACKAGE, describe_missing, find_format, guess_runtime, list_files
from harness.isolation import NEEDED_FOR_CODE, describe_failure
from harness.submission import Manifest, read_submission

ROOT = Path(__file__).parent.parent


def test_a_manifest_takes_the_formats_of_the_table() -> None:
    assert get_args(get_type_hints(Manifest)["runtime"]) == tuple(row.runtime for row in FORMATS)


def test_each_format_has_its_module_and_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == PACKAGE
    for row in FORMATS:
        assert (ROOT / "harness" / "runtimes" / f"{row.module}.py").is_file()
        installed = " ".join(project["optional-dependencies"][row.extra] if row.extra else project["dependencies"])
        assert all(package in installed for package in row.packages), row


def test_programs_are_those_that_can_run_python_or_pickles() -> None:
    assert CODE == ("torchscript", "pt2", "torch")
    assert NEEDED_FOR_CODE == ("Landlock", "seccomp")


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.runtime)
def test_each_format_is_recognised_by_its_file_and_documented(row) -> None:
    assert guess_runtime(row.model_file) == row.runtime
    assert find_format(row.runtime) is row
    assert f"`{row.runtime}`" in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "runtime"), [("NET.TFLITE", "litert"), ("a.b.pb", "tensorflow"), ("model", ""), ("model.h5", "")]
)
def test_the_ending_of_a_file_says_its_runtime(file: str, runtime: str) -> None:
    assert guess_runtime(file) == runtime


def test_a_second_file_lies_beside_the_first() -> None:
    folder = Path("somewhere")
    assert list_files(folder / "net.py", "torch") == (folder / "net.py", folder / "weights.safetensors")
    assert list_files(folder / "a.onnx", "onnx") == (folder / "a.onnx",)


def test_what_is_missing_is_named_with_the_command_that_brings_it() -> None:
    sentence = "the runtime 'litert' needs ai_edge_litert; pip install 'efficient-enhancement-harness[litert]'"
    assert describe_missing("litert", "ai_edge_litert") == sentence


def test_a_format_whose_package_is_missing_says_so_and_fails_no_submission(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="tensorflow")

    monkeypatch.setattr(serving.importlib, "import_module", import_module)
    reply = serving.answer(serving.Session(), protocol.Convert("tensorflow"), [])
    assert reply == protocol.Failed("not_installed", describe_missing("tensorflow", "tensorflow"))
    folder = read_submission(models.write_submission(tmp_path / "a", runtime="tensorflow"))
    error = ModelError(describe_failure("load", reply.message, folder.model_path), stage="load", kind=reply.kind)
    assert judge_failure(folder, error) == "unavailable"
    assert str(error) == (
        "its load failed: model.pb: the runtime 'tensorflow' needs tensorflow; "
        "pip install 'efficient-enhancement-harness[tensorflow]'."
    )
