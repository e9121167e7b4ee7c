"""Records on disk: what is written comes back, what does not hold is one sentence, a failed write changes nothing."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stored import make_failure, make_record, replace_values

from harness import archive, files
from harness.archive import check_writable, list_datasets, locate_record, read_record, read_records, write_record
from harness.errors import RecordError
from harness.records import FORMAT_VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return locate_record(tmp_path / "records", dataset="pirm2018b", name="alpha")


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Write a record and change it as a hand would."""
    write_record(path, make_record())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_location(tmp_path: Path) -> None:
    assert locate_record(tmp_path, dataset="embedded", name="srcnn") == tmp_path / "embedded" / "srcnn.json"
    assert locate_record(tmp_path, dataset="../../elsewhere", name="srcnn") == tmp_path / "elsewhere" / "srcnn.json"


def test_records_come_back_as_they_were(path: Path) -> None:
    result = replace_values(make_record(), {"4": {"psnr": None}, "5": {"psnr": 0.1 + 0.2}})
    for record in (result, make_record(ms=None), make_failure("alpha", 'a "quoted" message\n')):
        write_record(path, record)
        assert read_record(path) == record
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_same_record_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_record(path, make_record())
    write_record(tmp_path / "again.json", read_record(path))
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("version", [0, FORMAT_VERSION - 1, FORMAT_VERSION + 1])
def test_other_version_is_refused_whatever_else_it_holds(path: Path, version: int) -> None:
    edit(path, lambda record: record.update(format_version=version, something_new=1))
    complaint = rf"alpha.json has format version {version}, but this harness reads {FORMAT_VERSION}; delete it"
    with pytest.raises(RecordError, match=complaint):
        read_record(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.update(colour="red"), "unknown field `colour`"),
        (lambda r: r["timing"].update(jitter=1), r"unknown field `jitter`.*\$\.timing"),
        (lambda r: r.pop("status"), "missing required field `status`"),
        (lambda r: r.pop("format_version"), "missing required field `format_version`"),
        (lambda r: r["timing"].update(threads="two"), r"Expected `int`, got `str`.*\$\.timing\.threads"),
        (lambda r: r["timing"].update(samples_ns=[[1, 0]] * 4), r"`int` >= 1.*\$\.timing\.samples_ns"),
        (lambda r: r["timing"].update(samples_ns=[]), r"length >= 1.*\$\.timing\.samples_ns"),
        (lambda r: r["timing"]["samples_ns"].pop(), "as many rows"),
        (lambda r: r.update(status="great"), r"Invalid enum value 'great'"),
        (lambda r: r["quality"].update(pairs=[]), r"length >= 1.*\$\.quality\.pairs"),
        (lambda r: r["quality"]["pairs"][3]["values"].update(psnr="22"), r"Expected `float \| null`, got `str`"),
        (lambda r: r["quality"]["photos"][0]["values"].update(niqe=None), "niqe of image 0 is null"),
        (lambda r: r["quality"]["pairs"].append(r["quality"]["pairs"][0]), "an image is listed twice"),
        (lambda r: r.update(quality=None), "'ok' goes with quality"),
    ],
)
def test_edited_record_is_one_sentence(path: Path, change: Callable[[Any], object], complaint: str) -> None:
    edit(path, change)
    with pytest.raises(RecordError, match=complaint) as raised:
        read_record(path)
    assert str(raised.value).startswith(f"{path} is no whole record (")
    assert str(raised.value).endswith("restore it or run the submission again.")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[]", b"\xff\xfe", b'{"x":' + b"[" * 100_000, b'{"format_version": 1e999}']
)
def test_other_content_is_one_sentence(path: Path, content: bytes) -> None:
    files.write_atomically(path, content)
    with pytest.raises(RecordError, match=r"alpha.json is no whole record"):
        read_record(path)


def test_record_cut_off_anywhere_is_refused(path: Path) -> None:
    write_record(path, make_record())
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 97):
        path.write_bytes(content[:length])
        with pytest.raises(RecordError, match="is no whole record"):
            read_record(path)


def test_nan_in_a_file_is_refused(path: Path) -> None:
    edit(path, lambda record: record["quality"]["pairs"][0]["values"].update(psnr=float("nan")))
    assert "NaN" in path.read_text()
    with pytest.raises(RecordError, match="is no whole record"):
        read_record(path)


def test_missing_record_is_one_sentence(path: Path) -> None:
    with pytest.raises(RecordError, match=r"alpha.json cannot be read \(No such file or directory\)"):
        read_record(path)


@pytest.mark.parametrize("step", ["replace", "chmod"])
def test_failed_write_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    write_record(path, make_record())
    before = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, step, fail)
        with pytest.raises(RecordError, match=r"cannot be written \(No space left on device\); choose another folder"):
            write_record(path, make_record(psnr=30.0))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_interrupted_write_leaves_no_other_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_record(path, make_record())
    assert list(path.parent.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordError, match=r"cannot be written .*choose another folder with --reports"):
        write_record(tmp_path / "file" / "alpha.json", make_record())


def test_atomic_writer_raises_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_atomically(tmp_path / "folder", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_writable_is_known_before_measuring(tmp_path: Path) -> None:
    check_writable(tmp_path / "reports")
    assert list((tmp_path / "reports").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordError, match="cannot be written"):
        check_writable(tmp_path / "file")


def test_all_records_of_a_dataset(tmp_path: Path) -> None:
    for name in ("beta", "alpha"):
        write_record(locate_record(tmp_path, dataset="pirm2018b", name=name), make_record(name))
    write_record(locate_record(tmp_path, dataset="embedded", name="gamma"), make_record("gamma"))
    (tmp_path / "empty").mkdir()
    assert [folder.name for folder in list_datasets(tmp_path)] == ["embedded", "pirm2018b"]
    assert [record.submission.name for record in read_records(tmp_path / "pirm2018b")] == ["alpha", "beta"]
    assert read_records(tmp_path / "empty") == ()
    assert list_datasets(tmp_path / "missing") == []


def test_copied_record_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "copy.json", make_record("alpha"))
    with pytest.raises(RecordError, match=r"copy.json is the record of 'alpha'; remove or rename the file"):
        read_records(tmp_path)


def test_written_text_is_utf8(tmp_path: Path) -> None:
    archive.write_text(tmp_path / "page.md", "22 ± 1 ↓")
    assert (tmp_path / "page.md").read_bytes() == "22 ± 1 ↓".encode()


def test_fields_of_the_format() -> None:
    """A change of these breaks stored records: raise FORMAT_VERSION with it."""
    names = {field.name for field in msgspec.structs.fields(type(make_record()))}
    assert names == {
        "format_version", "challenge", "submission", "status", "environment",
        "quality", "timing", "memory", "cost", "failure", "audit", "key", "isolation",
    }  # fmt: skip
