"""The formats of models: how a manifest names them, what their files are, and what runs them. One row a format."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = "efficient-enhancement-harness"


@dataclass(frozen=True)
class Format:
    """A format of models.

    runtime is its name in a manifest, model_file what its file is called where the manifest leaves that out, module
    what reads it (of `runtimes`), extra what has to be installed for it beside the package itself, and packages those
    whose version can change a digit or a time, beside those that every record names. is_code: it is a program, which
    runs only where the user says so, and only confined. is_converted: it becomes an ONNX file first, and runs as such.
    second_file lies beside the model's.
    """

    runtime: str
    model_file: str
    module: str
    extra: str = ""
    packages: tuple[str, ...] = ()
    is_code: bool = False
    is_converted: bool = False
    second_file: str = ""


FORMATS = (
    Format("onnx", "model.onnx", "onnx"),
    Format(
        "tensorflow", "model.pb", "tensorflow", "tensorflow", ("tensorflow-cpu", "tensorflow", "tf2onnx"),
        is_converted=True,
    ),
    Format("litert", "model.tflite", "litert", "litert", ("ai-edge-litert",)),
    Format("torchscript", "model.pt", "torch", "torch", ("torch",), is_code=True),
    Format("pt2", "model.pt2", "torch", "torch", ("torch",), is_code=True),
    Format(
        "torch", "model.py", "torch_module", "torch", ("torch", "safetensors"),
        is_code=True, second_file="weights.safetensors",
    ),
)  # fmt: skip

CODE = tuple(row.runtime for row in FORMATS if row.is_code)


def find_format(runtime: str) -> Format:
    """The row of a runtime's name; ValueError where there is none."""
    for row in FORMATS:
        if row.runtime == runtime:
            return row
    raise ValueError(f"unknown runtime {runtime!r}")


def guess_runtime(model_file: str) -> str:
    """The runtime that reads files of this ending; "" for an ending of no format."""
    suffix = Path(model_file).suffix.lower()
    return next((row.runtime for row in FORMATS if Path(row.model_file).suffix == suffix), "")


def list_files(path: Path, runtime: str) -> tuple[Path, ...]:
    """The files of a model: the one that its manifest names, and the one that has to lie beside it."""
    second = next((row.second_file for row in FORMATS if row.runtime == runtime), "")
    return (path, path.with_name(second)) if second else (path,)


def describe_missing(runtime: str, package: str | None) -> str:
    """What to install where a format's package is not there."""
    return f"the runtime {runtime!r} needs {package}; pip install '{PACKAGE}[{find_format(runtime).extra}]'"
