"""Small ONNX models for tests, and submissions made of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NHWC = ("batch", "height", "width", 3)
NCHW = ("batch", 3, "height", "width")
OPSET = 17
IR_VERSION = 9

Shape = Sequence[int | str]


def build_model(
    nodes: Sequence[onnx.NodeProto],
    *,
    weights: dict[str, np.ndarray] | None = None,
    inputs: Sequence[tuple[str, int, Shape]] = (("source", TensorProto.FLOAT, NHWC),),
    outputs: Sequence[tuple[str, int, Shape | None]] = (("output", TensorProto.FLOAT, NHWC),),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model of these nodes from `source` to `output`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("output",), **attributes: object
) -> onnx.NodeProto:
    """One operator."""
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def constant(value: float) -> np.ndarray:
    """A scalar weight."""
    return np.array(value, np.float32)


def sizes(*values: int) -> np.ndarray:
    """A shape as a weight."""
    return np.array(values, np.int64)


def identity() -> onnx.ModelProto:
    return build_model([node("Identity", ["source"])])


def brighten(by: float = 0.05) -> onnx.ModelProto:
    return build_model([node("Add", ["source", "by"])], weights={"by": constant(by)})


def identity_nchw() -> onnx.ModelProto:
    """Keeps the picture where rows, columns and channels come in the right order; swaps red and blue."""
    return build_model(
        [node("Gather", ["source", "order"], axis=1)],
        weights={"order": sizes(2, 1, 0)},
        inputs=[("source", TensorProto.FLOAT, NCHW)],
        outputs=[("output", TensorProto.FLOAT, NCHW)],
    )


def fixed_size() -> onnx.ModelProto:
    shape = (1, 100, 100, 3)
    return build_model(
        [node("Identity", ["source"])],
        inputs=[("source", TensorProto.FLOAT, shape)],
        outputs=[("output", TensorProto.FLOAT, shape)],
    )


def with_type(kind: int) -> onnx.ModelProto:
    """Takes and returns another type than float32."""
    return build_model(
        [node("Identity", ["source"])], inputs=[("source", kind, NHWC)], outputs=[("output", kind, NHWC)]
    )


def with_output_type(kind: int) -> onnx.ModelProto:
    """Takes float32 and returns another type."""
    return build_model([node("Cast", ["source"], to=kind)], outputs=[("output", kind, NHWC)])


def two_outputs() -> onnx.ModelProto:
    return build_model(
        [node("Identity", ["source"]), node("Neg", ["source"], ["second"])],
        outputs=[("output", TensorProto.FLOAT, NHWC), ("second", TensorProto.FLOAT, NHWC)],
    )


def two_inputs() -> onnx.ModelProto:
    return build_model(
        [node("Add", ["source", "second"])],
        inputs=[("source", TensorProto.FLOAT, NHWC), ("second", TensorProto.FLOAT, NHWC)],
    )


def with_shape(shape: Shape) -> onnx.ModelProto:
    """Identity whose input and output declare this shape."""
    return build_model(
        [node("Identity", ["source"])],
        inputs=[("source", TensorProto.FLOAT, shape)],
        outputs=[("output", TensorProto.FLOAT, shape)],
    )


def with_output_shape(shape: Shape) -> onnx.ModelProto:
    """Its output declares this shape."""
    return build_model([node("Identity", ["source"])], outputs=[("output", TensorProto.FLOAT, shape)])


def not_finite() -> onnx.ModelProto:
    """NaN wherever the source is 0, one elsewhere."""
    return build_model([node("Div", ["source", "source"])])


def all_nan() -> onnx.ModelProto:
    return build_model([node("Mul", ["source", "nan"])], weights={"nan": constant(np.nan)})


def wrong_size() -> onnx.ModelProto:
    """Loses the last row."""
    return build_model(
        [node("Slice", ["source", "start", "end", "axis"])],
        weights={"start": sizes(0), "end": sizes(-1), "axis": sizes(1)},
        outputs=[("output", TensorProto.FLOAT, ("batch", "rows", "width", 3))],
    )


def invert() -> onnx.ModelProto:
    """The negative: what is bright becomes dark, so that structure is compared below zero."""
    return build_model([node("Sub", ["white", "source"])], weights={"white": constant(1)})


def constant_output() -> onnx.ModelProto:
    return build_model([node("Mul", ["source", "zero"])], weights={"zero": constant(0)})


def _allocate(source: str, length: str, result: str) -> list[onnx.NodeProto]:
    """Adds 0 times the first value of a tensor of `length` ones to `source`; made when the model runs."""
    return [
        node("Shape", [source], ["shape"]),
        node("Gather", ["shape", "batch_axis"], ["one"]),  # 1, but not known before the run
        node("Mul", ["one", length], ["count"]),
        node("Reshape", ["count", "one_axis"], ["counts"]),
        node("ConstantOfShape", ["counts"], ["ones"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])),
        node("Gather", ["ones", "first"], ["value"]),
        node("Mul", ["value", "zero"], ["nothing"]),
        node("Add", [source, "nothing"], [result]),
    ]


def allocate(byte_count: int) -> onnx.ModelProto:
    """Identity that holds one tensor of `byte_count` bytes while it runs, every page of it touched."""
    return build_model(
        _allocate("source", "length", "output"),
        weights={
            "length": sizes(byte_count // 4),
            "batch_axis": sizes(0),
            "one_axis": sizes(1),
            "first": np.array(0, np.int64),
            "zero": constant(0),
        },
    )


def endless_loop() -> onnx.ModelProto:
    """A Loop of the largest count whose condition stays true."""
    body = helper.make_graph(
        [
            node("Identity", ["going"], ["goes_on"]),
            node("Identity", ["before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    return build_model(
        [node("Loop", ["count", "true", "source"], body=body)],
        weights={"count": np.array(2**62, np.int64), "true": np.array(True)},
    )


def branch(inner: onnx.NodeProto, weights: Sequence[onnx.TensorProto] = ()) -> onnx.ModelProto:
    """An If whose first branch holds `inner`, from `source` to `chosen`."""
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, NHWC)
    first = helper.make_graph([inner], "first", [], [value], list(weights))
    second = helper.make_graph([node("Identity", ["source"], ["chosen"])], "second", [], [value])
    return build_model([node("If", ["true"], then_branch=first, else_branch=second)], weights={"true": np.array(True)})


def in_function(domain: str = "local", name: str = "Noise") -> onnx.ModelProto:
    """A random operator inside a function of the model, which goes before a standard operator of its name."""
    model = build_model([node(name, ["source"], domain=domain)], domains=[domain] if domain else [])
    body = [node("RandomNormalLike", ["x"], ["y"])]
    model.functions.append(helper.make_function(domain, name, ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    return model


def custom_domain() -> onnx.ModelProto:
    return build_model([node("Gelu", ["source"], domain="com.microsoft")], domains=["com.microsoft"])


def random_operator() -> onnx.ModelProto:
    return build_model([node("RandomNormalLike", ["source"])])


def external_tensor(name: str, location: str) -> onnx.TensorProto:
    """A weight of one value that lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def external_data(location: str = "weights.bin") -> onnx.ModelProto:
    model = build_model([node("Add", ["source", "by"])])
    model.graph.initializer.append(external_tensor("by", location))
    return model


def convolve(
    channels: int = 8, kernel: int = 3, *, groups: int = 1, strides: int = 1, kind: str = "Conv"
) -> onnx.ModelProto:
    """One NCHW convolution of 3 * groups channels (made by tiling the source's) with padding kernel // 2."""
    depth = 3 * groups
    shape = (channels, 3, kernel, kernel) if kind == "Conv" else (depth, channels // groups, kernel, kernel)
    attributes = {"group": groups, "strides": [strides] * 2, "pads": [kernel // 2] * 4}
    return build_model(
        [
            node("Tile", ["source", "repeats"], ["tiled"]),
            node(kind, ["tiled", "weights"], **attributes),
        ],
        weights={"repeats": sizes(1, groups, 1, 1), "weights": np.ones(shape, np.float32)},
        inputs=[("source", TensorProto.FLOAT, NCHW)],
        outputs=[("output", TensorProto.FLOAT, ("batch", channels, "rows", "columns"))],
    )


def burden(count: int) -> onnx.ModelProto:
    """Identity with this many weights, of which nothing is left once it is loaded."""
    return build_model(
        [
            node("Gather", ["weights", "first"], ["value"]),
            node("Mul", ["value", "zero"], ["nothing"]),
            node("Add", ["source", "nothing"]),
        ],
        weights={"weights": np.ones(count, np.float32), "first": np.array(0, np.int64), "zero": constant(0)},
    )


def widen(times: int) -> onnx.ModelProto:
    """Holds several tensors of `times` the source's size one after the other; returns its square root's root."""
    return build_model(
        [
            node("Concat", ["source"] * times, ["first"], axis=3),
            node("Sqrt", ["first"], ["second"]),
            node("Abs", ["second"], ["third"]),
            node("Sqrt", ["third"], ["fourth"]),
            node("Slice", ["fourth", "start", "end", "axis"]),
        ],
        weights={"start": sizes(0), "end": sizes(3), "axis": sizes(3)},
    )


def slow(repeats: int = 20) -> onnx.ModelProto:
    """Identity after some square roots: takes longer than the identity."""
    names = ["source", *(f"value{turn}" for turn in range(repeats))]
    nodes = [node("Sqrt", [before], [after]) for before, after in itertools.pairwise(names)]
    nodes += [node("Mul", [names[-1], "zero"], ["nothing"]), node("Add", ["source", "nothing"])]
    return build_model(nodes, weights={"zero": constant(0)})


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model."""
    path.write_bytes(model.SerializeToString())
    return path


def write_submission(folder: Path, model: onnx.ModelProto | bytes | None = None, **keys: str | list[str]) -> Path:
    """A submission's folder, named after the folder unless `keys` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"name": folder.name, "title": f"Test {folder.name}", "trained_on": "nothing"} | keys
    (folder / "submission.toml").write_text("".join(f"{key} = {value!r}\n" for key, value in manifest.items()))
    if model is not None:
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (folder / "model.onnx").write_bytes(content)
    return folder
