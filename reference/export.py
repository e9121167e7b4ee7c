"""Writes a PyTorch network as the ONNX file of a submission, and holds the file against PyTorch."""

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxscript import opset20 as op
from torch import nn

from harness.files import write_atomically

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

OPSET = 20
EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX = 44, 60
CHECKED_SIZES_PX = ((1, 1), (3, 5), (75, 133), (100, 100), (241, 322))
"""Height and width: a single pixel, two that are multiples of nothing, the challenge's patches, and a larger one."""

TOLERANCE = 1e-4
"""A fortieth of a grey level: float32 sums in another order differ by about 1e-6."""


class _ChannelsLast(nn.Module):
    """(1, H, W, 3) -> (1, H, W, 3) around a network that keeps the channels before height and width."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    doc: str,
    metadata: Mapping[str, str],
    sizes: Sequence[tuple[int, int]] = CHECKED_SIZES_PX,
) -> float:
    """Write `module` to `path` as an ONNX file; return the file's largest difference from PyTorch.

    `module` takes and returns float32 (1, 3, H, W), RGB in [0, 1]; the file's "input" and "output" are
    [1, height, width, 3] with free height and width. `doc` and `metadata` say where the weights come from, and are kept
    in the file. The file is run at `sizes` (height, width) before it takes its place. ValueError when an output is not
    finite, or differs from PyTorch's by more than TOLERANCE. `module` comes back on the CPU and in eval mode.
    """
    wrapped = _ChannelsLast(module.cpu()).eval()
    model = _convert(wrapped)
    _replace_metadata(model, doc, metadata)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    difference = measure_difference(content, wrapped, sizes)
    if difference > TOLERANCE:
        raise ValueError(f"{path} is not written: it differs from PyTorch by {difference:.1e}, over {TOLERANCE:.0e}")
    write_atomically(path, content)
    return difference


def measure_difference(content: bytes, module: nn.Module, sizes: Sequence[tuple[int, int]]) -> float:
    """The largest absolute difference between an ONNX model and `module`, both (1, H, W, 3), on seeded noise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return compare_outputs(lambda source: session.run(["output"], {"input": source})[0], module, sizes)


def compare_outputs(
    run: Callable[[np.ndarray], np.ndarray],
    module: nn.Module,
    sizes: Sequence[tuple[int, int]],
    *,
    channels_first: bool = False,
) -> float:
    """The largest absolute difference between a file's outputs and those of `module` on seeded noise.

    Both take and return (1, H, W, 3), or (1, 3, H, W). ValueError where a shape differs or an output is not finite.
    """
    random = np.random.default_rng(0)
    largest = 0.0
    for height, width in sizes:
        source = random.random((1, 3, height, width) if channels_first else (1, height, width, 3), dtype=np.float32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(source)).numpy()
        output = run(source)
        if output.shape != expected.shape:
            raise ValueError(f"at {height}x{width} the file gives shape {output.shape}, PyTorch {expected.shape}")
        if not np.isfinite(output).all() or not np.isfinite(expected).all():
            raise ValueError(f"at {height}x{width} the output is not finite")
        largest = max(largest, float(np.abs(output - expected).max()))
    return largest


def _convert(module: nn.Module) -> onnx.ModelProto:
    # it logs a warning for each operator of torchvision when that is not installed
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    example = torch.rand(1, EXAMPLE_HEIGHT_PX, EXAMPLE_WIDTH_PX, 3, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # torch warns of its own code
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=({1: torch.export.Dim("height", min=2), 2: torch.export.Dim("width", min=2)},),
            input_names=["input"],
            output_names=["output"],
            opset_version=OPSET,
            external_data=False,
            optimize=True,
            verbose=False,
            custom_translation_table={torch.ops.aten.pixel_unshuffle.default: _translate_pixel_unshuffle},
        )
    return program.model_proto


def _translate_pixel_unshuffle(x, downscale_factor: int):
    # torch's own is a transposition in six dimensions, which ONNX Runtime does three times slower
    channels, block = x.shape[1], downscale_factor
    order = [place * channels + channel for channel in range(channels) for place in range(block * block)]
    indices = op.Constant(value=onnx.numpy_helper.from_array(np.array(order, np.int64)))
    return op.Gather(op.SpaceToDepth(x, blocksize=block), indices, axis=1)


def _replace_metadata(model: onnx.ModelProto, doc: str, metadata: Mapping[str, str]) -> None:
    # torch leaves a stack trace with this machine's paths at every node
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    graph.ClearField("value_info")  # follows from the rest
    model.doc_string = doc
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))  # safetensors gives no fixed order
