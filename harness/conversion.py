"""What a model's process is given to load: the model's own file, or the ONNX file that it becomes.

A conversion runs in a confined process of its own, once: time and memory are those of the ONNX file. It lies in the
cache under the content of the model and the versions of what converted it, and is looked at and run like any other.
"""

import hashlib
from pathlib import Path

import platformdirs

from harness.environment import find_versions
from harness.errors import DataError, SubmissionError
from harness.files import write_atomically
from harness.formats import PACKAGE, Format, find_format
from harness.isolation import ModelProcess

DEADLINE_S = 180.0
"""For one conversion, of which the import of TensorFlow takes five to ten seconds."""
MEMORY_BYTES = 4_000_000_000
"""For one conversion; no limit of a challenge, since no submission's memory is measured by it."""


def prepare_model(path: Path, runtime: str) -> tuple[Path, str]:
    """The file to load and its runtime, converted where that has not been done yet.

    Raises ModelError where the file cannot be converted, DataError where nothing can be stored.
    """
    model_format = find_format(runtime)
    if not model_format.is_converted:
        return path, runtime
    converted = locate_converted(path, model_format)
    if not converted.is_file():
        with ModelProcess(memory_limit_bytes=MEMORY_BYTES) as process:
            content = process.convert(path, runtime=runtime, deadline_s=DEADLINE_S)
        store_converted(converted, content)
    return converted, "onnx"


def locate_converted(path: Path, model_format: Format) -> Path:
    """Where the ONNX file of a model lies, once there is one. Raises SubmissionError for a file that cannot be read."""
    key = hashlib.sha256(repr(find_versions(model_format.packages)).encode())
    try:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read ({error.strerror}); mend its permissions.") from None
    return platformdirs.user_cache_path(PACKAGE) / "converted" / key.hexdigest() / f"{path.name}.onnx"


def store_converted(path: Path, content: bytes) -> None:
    """Keep an ONNX file for the processes to come. Raises DataError."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DataError(
            f"cannot store {path} ({error.strerror or error}); make the folder writable, or room on its disk."
        ) from error
