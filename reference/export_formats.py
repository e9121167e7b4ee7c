"""The networks of this repository in other formats: `python -m reference.export_formats NAME FORMAT [--out DIR]`.

Writes the folder DIR/NAME_FORMAT, a submission like any other: the network and the weights of submissions/NAME, as a
`.pt2` program (any NAME), for TensorFlow Lite, or as source with weights (both for the generators alone). FORMAT is the
runtime's name in a manifest.
"""

import argparse
import inspect
import io
import sys
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import tomli_w
import torch
from safetensors.torch import load, save
from torch import nn

from harness.assets import open_store
from harness.errors import DataError
from harness.files import write_atomically
from harness.formats import find_format, list_files
from reference import generators, layers
from reference.build import RECIPES, ROOT, TRAINED, WEIGHTS, load_published, load_trained
from reference.command import run_command
from reference.export import EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX, TOLERANCE, compare_outputs
from reference.generators import Generator

CHECKED_SIZES_PX = ((3, 5), (75, 133), (100, 100), (241, 322))
"""Height and width; PyTorch takes no single pixel for a free length."""

Run = Callable[[np.ndarray], np.ndarray]
"""What they compute, (1, 3, H, W) float32 -> the same."""


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    return run_command(lambda: export(options))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reference.export_formats", description="Write other formats.")
    parser.add_argument("name", metavar="NAME", choices=[*TRAINED, *RECIPES], help="%(choices)s")
    parser.add_argument("format", metavar="FORMAT", choices=list(EXPORTS), help="%(choices)s")
    parser.add_argument("--out", type=Path, default=ROOT / "runs", metavar="DIR", help="by default %(default)s")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    return parser.parse_args(arguments)


def export(options: argparse.Namespace) -> int:
    """Write one folder and say so; DataError where that cannot be done."""
    try:
        module = load_network(options.name, options.assets)
        folder = options.out / f"{options.name}_{options.format}"
        difference = write_submission(module, options.format, folder, manifest=read_manifest(options.name))
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error
    sizes = ", ".join(f"{height}x{width}" for height, width in CHECKED_SIZES_PX)
    print(f"{folder}: at most {difference:.1e} from PyTorch at {sizes} px")
    return 0


def load_network(name: str, assets: Path | None) -> nn.Module:
    """The network of submissions/NAME with its weights, on the CPU and in eval mode."""
    if name in TRAINED:
        return load_trained(WEIGHTS / f"{name}.safetensors").module.cpu().eval()
    return load_published(name, open_store(assets)).cpu().eval()


def read_manifest(name: str) -> dict[str, object]:
    """The keys of submissions/NAME/submission.toml that do not speak of its file."""
    keys = tomllib.loads((ROOT / "submissions" / name / "submission.toml").read_text(encoding="utf-8"))
    return {key: value for key, value in keys.items() if key not in ("runtime", "model_file", "layout", "weights")}


def write_submission(module: nn.Module, runtime: str, folder: Path, *, manifest: dict[str, object]) -> float:
    """Write the model and its manifest to `folder`; return its largest difference from PyTorch.

    ValueError when that is over TOLERANCE, or where the format is not for this network; nothing is written then.
    """
    convert, layout, open_files = EXPORTS[runtime]
    contents = convert(module)
    difference = compare_outputs(open_files(*contents), module, CHECKED_SIZES_PX, channels_first=True)
    if difference > TOLERANCE:
        raise ValueError(f"{folder} is not written: it differs from PyTorch by {difference:.1e}, over {TOLERANCE:.0e}")
    model_file = find_format(runtime).model_file
    keys = manifest | {"name": folder.name, "runtime": runtime, "model_file": model_file, "layout": layout}
    for path, content in zip(list_files(folder / model_file, runtime), contents, strict=True):
        write_atomically(path, content)
    write_atomically(folder / "submission.toml", tomli_w.dumps(keys).encode())
    return difference


def convert_to_pt2(module: nn.Module) -> tuple[bytes]:
    """A program by torch.export, (1, 3, H, W) -> the same."""
    example = torch.rand(1, 3, EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX, generator=torch.Generator().manual_seed(0))
    free = {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    with torch.no_grad():
        program = torch.export.export(
            module, (example,), dynamic_shapes=(free,), prefer_deferred_runtime_asserts_over_guards=True
        )
    drop_assertions(program.graph_module)
    content = io.BytesIO()
    torch.export.save(program, content)
    return (content.getvalue(),)


def drop_assertions(graph_module: torch.fx.GraphModule) -> None:
    """Remove what the program would check of its lengths as it runs.

    The padding makes both cases of each, and tracing takes that of the example for granted: whether the operators hold
    for all sizes is seen by running them.
    """
    graph = graph_module.graph
    for node in [node for node in graph.nodes if node.target is torch.ops.aten._assert_scalar.default]:
        graph.erase_node(node)
    graph.eliminate_dead_code()
    graph_module.recompile()


def convert_to_litert(module: nn.Module) -> tuple[bytes]:
    """TensorFlow Lite, (1, H, W, 3) -> the same. ValueError for a network that is no generator."""
    generator = check_generator(module)
    import tensorflow as tf

    from reference.tensorflow_generator import make_function

    enhance = make_function(generator)
    return (tf.lite.TFLiteConverter.from_concrete_functions([enhance.get_concrete_function()]).convert(),)


def convert_to_source(module: nn.Module) -> tuple[bytes, bytes]:
    """The two modules that define a generator as one, with `build()`; and its tensors. ValueError as above."""
    generator = check_generator(module)
    own_import = "from reference.layers import demux, mux\n"
    source = inspect.getsource(layers) + "\n\n" + inspect.getsource(generators).replace(own_import, "")
    build = f"\n\ndef build() -> nn.Module:\n    return Generator(GeneratorConfig(**{asdict(generator.config)!r}))\n"
    return (source + build).encode(), save(generator.state_dict())


def check_generator(module: nn.Module) -> Generator:
    """The network, if it is one of the paper's."""
    if not isinstance(module, Generator):
        raise ValueError("only the generators are written in this format; take pt2 for the other networks.")
    return module


def open_pt2(content: bytes) -> Run:
    """What a program computes."""
    return wrap(torch.export.load(io.BytesIO(content)).module())


def open_source(code: bytes, weights: bytes) -> Run:
    """What the network of a source computes."""
    names: dict[str, object] = {"__name__": "model"}
    sys.modules["model"] = ModuleType("model")  # dataclasses look their module up
    exec(compile(code, "model.py", "exec"), names)  # noqa: S102 - written a moment ago
    network = names["build"]()
    network.load_state_dict(load(weights))
    return wrap(network.eval())


def wrap(network: Callable[[torch.Tensor], torch.Tensor]) -> Run:
    """A network as a function of arrays."""

    def run(source: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(source)).numpy()

    return run


def open_litert(content: bytes) -> Run:
    """What a TensorFlow Lite model computes, with channels moved before and after."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    source_index, output_index = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )

    def run(source: np.ndarray) -> np.ndarray:
        last = np.ascontiguousarray(source.transpose(0, 2, 3, 1))
        interpreter.resize_tensor_input(source_index, last.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source_index, last)
        interpreter.invoke()
        return interpreter.get_tensor(output_index).transpose(0, 3, 1, 2)

    return run


EXPORTS = {
    "pt2": (convert_to_pt2, "NCHW", open_pt2),
    "litert": (convert_to_litert, "NHWC", open_litert),
    "torch": (convert_to_source, "NCHW", open_source),
}
"""By runtime: how a network becomes the model's files, their layout, and how they are opened again."""


if __name__ == "__main__":
    sys.exit(main())
