"""Reads and validates a submission's folder; never runs anything of it."""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from harness.challenge import DEFAULT_CHALLENGE, explain_error
from harness.errors import SubmissionError, quote
from harness.formats import CODE, FORMATS, find_format, guess_runtime, list_files
from harness.protocol import Inspected, Layout, Tensor
from harness.records import Submission

MANIFEST = "submission.toml"
MANIFEST_BYTES = 32_000  # its parser takes minutes over a megabyte of `a.a.a`
TEXT_LENGTH = 500
SOME_TEXT = {"pattern": r"\S"}
RUNTIMES = tuple(row.runtime for row in FORMATS)
UNSHOWABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control and format characters, separators of lines and paragraphs
NEWEST_OPSET = 28  # that ONNX Runtime 1.32 runs; older ones refuse the newest as they load them


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of submission.toml. Each says what it means where an editor shows it (`harness schema submission`)."""

    name: Annotated[
        str,
        msgspec.Meta(
            description="Names the record: letters, digits, '_', '-' and '.', not first a dot.",
            extra_json_schema={"pattern": r"^(?!\.)(?=.*[A-Za-z0-9])[A-Za-z0-9_.-]{1,64}$"},
        ),
    ]
    title: Annotated[str, msgspec.Meta(description="As leaderboards show it.", extra_json_schema=SOME_TEXT)]
    trained_on: Annotated[
        str,
        msgspec.Meta(
            description="What the model has seen, in words, or a dataset's split ('pirm2018b/train'): it is never "
            "ranked on pairs of that split.",
            extra_json_schema=SOME_TEXT,
        ),
    ]
    challenge: Annotated[
        str,
        msgspec.Meta(description="The one that takes it where no folder is named; it may be run in any other."),
    ] = DEFAULT_CHALLENGE
    authors: Annotated[tuple[str, ...], msgspec.Meta(description="Who made the model.")] = ()
    paper_url: Annotated[str, msgspec.Meta(description="Where the model is described.")] = ""
    runtime: Annotated[
        Literal["onnx", "tensorflow", "litert", "torchscript", "pt2", "torch"],
        msgspec.Meta(
            description="The model's format; model_file says it where it is left out. torchscript, pt2 and torch are "
            "programs: they need --allow-code."
        ),
    ] = "onnx"
    model_file: Annotated[
        str, msgspec.Meta(description="The model, a file beside this one; runtime says it where it is left out.")
    ] = "model.onnx"
    layout: Annotated[
        Layout | None, msgspec.Meta(description="The order of axes; read off the graph when left out.")
    ] = None
    weights: Annotated[
        str, msgspec.Meta(description="How to get the model file, where the folder comes without it.")
    ] = ""
    seed: Annotated[
        Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None,
        msgspec.Meta(description="Random numbers start anew from it in every run, so that outputs repeat."),
    ] = None
    draws: Annotated[
        int,
        msgspec.Meta(ge=1, le=100, description="So many outputs of each image are made, and their values averaged."),
    ] = 1


@dataclass(frozen=True)
class SubmissionFolder:
    """A submission as it lies on this machine."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def model_path(self) -> Path:
        return self.path / self.manifest.model_file

    @property
    def model_paths(self) -> tuple[Path, ...]:
        """All files of the model, that of `model_path` first."""
        return list_files(self.model_path, self.manifest.runtime)


def read_submission(path: Path) -> SubmissionFolder:
    """Read a folder's manifest. Raises SubmissionError for a missing folder or a manifest that does not hold."""
    if not path.is_dir():
        raise SubmissionError(f"{path} is no folder; name a folder that holds {MANIFEST} and the model.")
    manifest_path = path / MANIFEST
    if not is_regular(manifest_path):
        raise SubmissionError(
            f"{path} has no {MANIFEST} as a regular file; `harness new-submission` writes one to start from."
        )
    try:
        text = read_text(manifest_path)
    except OSError as error:
        raise SubmissionError(f"{manifest_path} cannot be read ({error.strerror}); mend its permissions.") from None
    except UnicodeDecodeError:
        raise SubmissionError(f"{manifest_path} is not valid UTF-8; save it again as text.") from None
    return SubmissionFolder(path, decode_manifest(text, manifest_path))


def read_text(manifest_path: Path) -> str:
    """The text of a manifest of a sensible size, without the byte-order mark that some editors put first."""
    with manifest_path.open("rb") as file:
        content = file.read(MANIFEST_BYTES + 1)
    if len(content) > MANIFEST_BYTES:
        raise SubmissionError(f"{manifest_path} has more than {MANIFEST_BYTES / 1e3:g} kB; shorten it.")
    return content.decode("utf-8-sig")


def decode_manifest(text: str, manifest_path: Path) -> Manifest:
    """Check the text of a manifest against the known keys and their types."""
    try:
        keys = complete_keys(msgspec.toml.decode(text))
        manifest = msgspec.convert(keys, Manifest)
    except msgspec.ValidationError as error:
        raise SubmissionError(f"{manifest_path}: {explain_error(str(error), Manifest)}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise SubmissionError(f"{manifest_path} is not valid TOML: {quote(error)}; correct it there.") from None
    check_names(manifest, manifest_path)
    check_texts(manifest, manifest_path)
    if manifest.seed is not None and manifest.draws > 1:
        raise SubmissionError(
            f"{manifest_path}: a seed makes all draws alike; keep seed, for outputs that repeat, or draws, for a mean."
        )
    return manifest


def complete_keys(keys: dict[str, Any]) -> dict[str, Any]:
    """The keys of a manifest with runtime and model_file, of which one or both may be left out."""
    model_file, runtime = keys.get("model_file"), keys.get("runtime")
    if runtime is None:
        runtime = guess_runtime(str(model_file)) or FORMATS[0].runtime
    if model_file is None and runtime in RUNTIMES:
        model_file = find_format(runtime).model_file
    return keys | {"runtime": runtime, "model_file": model_file}


def check_names(manifest: Manifest, manifest_path: Path) -> None:
    """The name becomes a file's name and the model must lie in the folder: neither may lead elsewhere."""
    safe = manifest.name.replace("_", "").replace("-", "").replace(".", "")
    if not (safe.isascii() and safe.isalnum()) or manifest.name.startswith(".") or len(manifest.name) > 64:
        raise SubmissionError(
            f"{manifest_path}: name {quote(manifest.name)!r} must be 1 to 64 letters, digits, '_', '-' or '.', "
            "and not start with a dot; rename it."
        )
    if Path(manifest.model_file).name != manifest.model_file or manifest.model_file in ("", ".", ".."):
        raise SubmissionError(
            f"{manifest_path}: model_file {quote(manifest.model_file)!r} must be a plain file name; correct it."
        )
    other = guess_runtime(manifest.model_file) or manifest.runtime
    if other != manifest.runtime and not {other, manifest.runtime} <= set(CODE):
        raise SubmissionError(
            f"{manifest_path}: model_file {quote(manifest.model_file)!r} ends as one of the runtime {other}, "
            f"and runtime is {manifest.runtime}; correct one of them."
        )


def check_texts(manifest: Manifest, manifest_path: Path) -> None:
    """Reports and sentences show these texts, each on one line: no line breaks, nothing that a terminal obeys."""
    texts = [("authors", author) for author in manifest.authors]
    texts += [
        (key, getattr(manifest, key))
        for key in ("title", "trained_on", "challenge", "paper_url", "model_file", "weights")
    ]
    for key, text in texts:
        if any(unicodedata.category(letter) in UNSHOWABLE for letter in text):
            raise SubmissionError(f"{manifest_path}: {key} {quote(text)!r} holds a control character; remove it.")
        if key in ("title", "trained_on") and not text.strip():
            raise SubmissionError(f"{manifest_path}: {key} is empty; say there what the model is and has seen.")
        if len(text) > TEXT_LENGTH:
            raise SubmissionError(f"{manifest_path}: {key} has more than {TEXT_LENGTH} characters; shorten it.")


def hash_model(folder: SubmissionFolder, *, limit_bytes: int) -> tuple[str, int]:
    """The model's sha256 and size; of several files, the sha256 of their names and contents, and the sum of sizes.

    Raises SubmissionError when a file is missing or all are larger than the limit.
    """
    sizes = [measure_file(path, folder.manifest) for path in folder.model_paths]
    if sum(sizes) > limit_bytes:
        names = [path.name for path in folder.model_paths]
        raise SubmissionError(
            f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} {sum(sizes) / 1e6:.1f} MB, "
            f"{limit_bytes / 1e6:g} MB are allowed; submit a smaller model.",
            kind="too_large",
        )
    hashes = {path.name: hash_file(path) for path in folder.model_paths}
    if len(hashes) == 1:
        return hashes[folder.model_path.name], sum(sizes)
    listed = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items())
    return hashlib.sha256(listed.encode()).hexdigest(), sum(sizes)


def measure_file(path: Path, manifest: Manifest) -> int:
    """The size of a model's file in bytes. Raises SubmissionError when it is missing."""
    if not is_regular(path):
        remedy = manifest.weights or (
            "put the model beside the manifest, or correct model_file."
            if path.name == manifest.model_file
            else f"put it beside {manifest.model_file}."
        )
        raise SubmissionError(f"{path.name} is not there as a regular file; {remedy}", kind="missing")
    return path.stat().st_size


def hash_file(path: Path) -> str:
    """sha256 of a model's file. Raises SubmissionError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read ({error.strerror}); mend its permissions.") from None


def is_regular(path: Path) -> bool:
    """Whether a file of its own lies there: a link may lead out of the folder, and a pipe never ends."""
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:  # a name that no file can have
        return False


def check_interface(folder: SubmissionFolder, graph: Inspected) -> Layout:
    """Hold a graph against the challenge's rules and return its layout. Raises SubmissionError for the first breach."""
    file = folder.manifest.model_file
    if graph.refused:
        raise SubmissionError(
            f"{file} holds {graph.refused[0]}; export it whole, with standard, deterministic operators only."
        )
    if folder.manifest.runtime in CODE:  # nothing that it says of itself can be trusted; what it returns is checked
        return folder.manifest.layout or "NCHW"
    if folder.manifest.runtime != "litert":
        check_opset(file, graph.opset)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise SubmissionError(
            f"{file} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; export it with one of each."
        )
    for role, tensor in (("input", graph.inputs[0]), ("output", graph.outputs[0])):
        if tensor.dtype != "float32":
            raise SubmissionError(
                f"{file}: its {role} {tensor.name!r} is {tensor.dtype}; it must be float32 in [0, 1], export it so."
            )
    layout = check_shape(folder, graph.inputs[0])
    check_output(folder, graph.outputs[0], layout)
    return layout


def check_opset(file: str, opset: int) -> None:
    """Raise SubmissionError for a set of ONNX operators that cannot be run here."""
    if not opset:
        raise SubmissionError(f"{file} names no ONNX operator set; export it again with opset 13 or later.")
    if opset > NEWEST_OPSET:
        raise SubmissionError(f"{file} uses operator set {opset}; export it again with opset {NEWEST_OPSET} or older.")


def check_output(folder: SubmissionFolder, output: Tensor, layout: Layout) -> None:
    """Hold what a graph declares of its output's shape against its layout; an exporter may leave the shape out."""
    shape = output.shape
    if shape and (len(shape) != 4 or shape[1 if layout == "NCHW" else 3] not in (3, None)):
        raise SubmissionError(
            f"{folder.manifest.model_file}: its output has shape [{show_shape(shape)}]; "
            f"it must be that of its input as {layout}, with 3 channels, export it so."
        )


def show_shape(shape: Sequence[int | None]) -> str:
    """A declared shape, as 1x?x?x3."""
    return "x".join("?" if length is None else str(length) for length in shape)


def check_shape(folder: SubmissionFolder, source: Tensor) -> Layout:
    """Which axis holds the channels; height and width must be free."""
    file, shape, shown = folder.manifest.model_file, source.shape, show_shape(source.shape)
    if len(shape) != 4:
        raise SubmissionError(
            f"{file}: its input has shape [{shown}]; it must be [batch, height, width, 3], export it so."
        )
    layout = folder.manifest.layout or ("NCHW" if shape[1] == 3 and shape[3] != 3 else "NHWC")
    batch, channels, *size = (shape[0], shape[1], *shape[2:]) if layout == "NCHW" else (shape[0], shape[3], *shape[1:3])
    if channels not in (3, None):
        raise SubmissionError(
            f"{file}: its input [{shown}] has no 3 channels as {layout}; correct the model or layout."
        )
    if any(length is not None for length in size):
        raise SubmissionError(
            f"{file}: its input [{shown}] has a fixed size as {layout}; export it with free height and width."
        )
    if batch not in (1, None):
        raise SubmissionError(f"{file}: its input [{shown}] takes {batch} images at once; export it for one.")
    return layout


def describe_submission(folder: SubmissionFolder, *, sha256: str, layout: str) -> Submission:
    """What of a submission goes into its record."""
    fields = {
        name: getattr(folder.manifest, name)
        for name in Submission.__struct_fields__
        if name not in ("sha256", "layout")
    }
    return Submission(**fields, sha256=sha256, layout=layout)
