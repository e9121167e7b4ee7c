"""Records on disk: `RECORDS/DATASET/NAME.json`, written whole or not at all."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from harness.errors import RecordError
from harness.records import FORMAT_VERSION, Record


def locate_record(records_dir: Path, *, dataset: str, name: str) -> Path:
    """Where the record of one submission on one dataset lies."""
    return records_dir / Path(dataset).name / f"{name}.json"


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically. Raises RecordError where the folder cannot be written."""
    write_text(path, msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file's text in one step: a reader or a crash sees the old or the new, never a part."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content in one step. Raises RecordError where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written ({error.strerror}); choose another folder with --reports."
        ) from error


def check_writable(folder: Path) -> None:
    """Raise RecordError now rather than after minutes of measuring."""
    probe = folder / ".writable"
    write_bytes(probe, b"")
    probe.unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """Read one record. Raises RecordError for another format version, a cut-off file or a wrong field."""
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise RecordError(
                f"{path} has format version {version}, this harness reads {FORMAT_VERSION}; run it again."
            )
        return msgspec.json.decode(content, type=Record)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is no whole record ({error}); restore it or run the submission again.") from error


class _Versioned(msgspec.Struct):
    format_version: int


def read_records(folder: Path) -> tuple[Record, ...]:
    """All records of one dataset's folder, by name. Raises RecordError for the first that does not hold."""
    return tuple(read_record(path) for path in sorted(folder.glob("*.json")))


def list_datasets(records_dir: Path) -> Iterable[Path]:
    """The folders of the datasets that have records."""
    return sorted(path.parent for path in {p.parent: p for p in records_dir.glob("*/*.json")}.values())
