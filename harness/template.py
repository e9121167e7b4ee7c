"""Commented files to start from: a submission's manifest."""

import typing
from pathlib import Path
from string import Template

from harness.errors import SubmissionError, UsageError
from harness.files import write_new
from harness.protocol import CODE
from harness.scoring import suggest_name
from harness.submission import MANIFEST, Manifest, SubmissionFolder, check_names, decode_manifest, read_submission

FOLDER = Path(__file__).parent / "templates"
MODEL_FILES = {"onnx": "model.onnx", "torchscript": "model.pt", "pt2": "model.pt2"}


def write_submission(name: str, folder: Path, *, runtime: str) -> SubmissionFolder:
    """Write the manifest of a new submission into folder/name, which comes back; the model is all that it lacks.

    Raises UsageError for a name or runtime that cannot be, and where a manifest is there already.
    """
    path = folder / name / MANIFEST
    try:
        check_names(Manifest(name=name, title=name, trained_on=""), path)
    except SubmissionError as error:
        raise UsageError(str(error)) from None
    write_template(path, render_submission(name, runtime))
    return read_submission(path.parent)


def render_submission(name: str, runtime: str) -> str:
    """The text of a manifest: it holds, with what the entrant alone knows left to be said."""
    known = list_runtimes()
    if runtime not in known:
        raise UsageError(f"unknown runtime '{runtime}'{suggest_name(runtime, known)}; known are {', '.join(known)}.")
    text = fill_template(
        MANIFEST,
        name=name,
        runtime=runtime,
        runtimes=", ".join(known),
        programs=", ".join(CODE),
        model_file=MODEL_FILES.get(runtime, "model"),
    )
    decode_manifest(text, Path(MANIFEST))
    return text


def list_runtimes() -> tuple[str, ...]:
    """The formats of models that a manifest may name."""
    hint = typing.get_type_hints(Manifest)["runtime"]
    return typing.get_args(hint)


def fill_template(file: str, **words: str) -> str:
    """The packaged template of that name with its words in place."""
    return Template((FOLDER / file).read_text(encoding="utf-8")).substitute(words)


def write_template(path: Path, text: str) -> None:
    """Write a file to start from, never over one that is there. Raises UsageError."""
    try:
        write_new(path, text.encode())
    except FileExistsError as error:  # the file, or one in the place of its folder
        raise UsageError(f"{error.filename} is there already, and stays as it is; choose another name.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another folder.") from None
