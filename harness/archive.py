"""Records on disk: `RECORDS/DATASET/NAME.json`, written whole or not at all."""

import contextlib
from pathlib import Path

import msgspec

from harness.errors import RecordError, quote
from harness.files import probe_folder, write_atomically
from harness.records import FORMAT_VERSION, Record


def locate_record(records_dir: Path, *, dataset: str, name: str) -> Path:
    """Where the record of one submission on one dataset lies."""
    return records_dir / Path(dataset).name / f"{name}.json"


def locate_unfinished(record: Path) -> Path:
    """Where that lies of a record which is not finished: out of the sight of every report."""
    return record.parent / "unfinished" / record.name


def locate_chunks(record: Path) -> Path:
    """The folder of what is done of a record's first pass; no record's name can stand in its way."""
    return record.parent / "unfinished" / "chunks" / record.stem


def discard_chunks(record: Path) -> None:
    """Remove what is kept of a record's first pass, and the folders that are left empty."""
    folder = locate_chunks(record)
    with contextlib.suppress(OSError):  # what stays has keys of its own
        for path in folder.glob("*.json"):
            path.unlink()
        for emptied in (folder, folder.parent, folder.parent.parent):
            emptied.rmdir()


def discard_record(path: Path) -> None:
    """Remove an unfinished record, where there is one, and its folder with the last."""
    with contextlib.suppress(OSError):  # what stays is found again by the next run
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def write_record(path: Path, record: Record) -> None:
    """Replace a record in one step. Raises RecordError where the folder cannot be written."""
    write_bytes(path, encode_record(record))


def encode_record(record: Record) -> bytes:
    """A record as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def write_text(path: Path, text: str) -> None:
    """Replace a report's text in one step. Raises RecordError where the folder cannot be written."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a report's content in one step. Raises RecordError where the folder cannot be written."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise describe_refusal(path, error) from error


def check_writable(folder: Path) -> None:
    """Raise RecordError now rather than after minutes of measuring."""
    try:
        probe_folder(folder)
    except OSError as error:
        raise describe_refusal(folder, error) from error


def describe_refusal(path: Path, error: OSError) -> RecordError:
    """The sentence for a place that cannot be written."""
    reason = error.strerror or error
    if isinstance(error, IsADirectoryError):
        return RecordError(f"{path} cannot be written ({reason}); remove the folder that lies there.")
    return RecordError(f"{path} cannot be written ({reason}); choose another folder with --reports.")


def read_record(path: Path) -> Record:
    """Read one record. Raises RecordError for another format version, a cut-off file or a wrong field."""
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait forever
            raise RecordError(f"{path} is not a regular file; remove it, or restore the record.")
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise RecordError(
                f"{path} has format version {version}, but this harness reads {FORMAT_VERSION}; "
                "delete it and run the submission again."
            )
        return msgspec.json.decode(content, type=Record)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror or error}); restore it.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"{path} is no whole record ({quote(error)}); restore it or run the submission again."
        ) from error


class _Versioned(msgspec.Struct):
    format_version: int


def read_records(folder: Path) -> tuple[Record, ...]:
    """All records of one dataset's folder, by file name.

    Raises RecordError for the first that does not hold, and for one under another submission's name: it is a copy.
    """
    records = []
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if record.submission.name != path.stem:
            raise RecordError(f"{path} is the record of {record.submission.name!r}; remove or rename the file.")
        records.append(record)
    return tuple(records)


def list_datasets(records_dir: Path) -> list[Path]:
    """The folders of the datasets that have records, by name."""
    return sorted({path.parent for path in records_dir.glob("*/*.json")})
