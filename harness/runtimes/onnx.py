"""ONNX models: what a graph declares, what it costs, and how ONNX Runtime runs it."""

import tempfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from harness.protocol import Inspected, Layout, Tensor

# what is counted: one multiply-add a weight and position
MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# what the convention leaves out: at most a few operations a value; an operator in neither list makes the count unknown
NOT_COUNTED = frozenset(
    """Abs Add AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape DepthToSpace Div
    Dropout Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool
    Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax Max MaxPool Min Mish Mod Mul Neg Not Or PRelu Pad Pow Range Reciprocal
    ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu
    Shape Sigmoid Sign Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh
    ThresholdedRelu Tile Transpose Unsqueeze Upsample Where And""".split()
)
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
LFS_POINTER = b"version https://git-lfs"
NAME_LENGTH = 80  # of a name in a message: a file may hold names of any length


def load_model(
    path: Path, *, threads: int, device: str = "cpu", seed: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Make an ONNX Runtime session on the CPU and return it as a function of its one input."""
    options = make_options(threads)
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    source_name, output_name = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(source: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run([output_name], {source_name: source})[0]
        return output

    return run


def make_options(threads: int) -> onnxruntime.SessionOptions:
    """Threads do not spin (idle ones would slow the process beside it), and the memory pattern is off.

    With the pattern the second run of a model takes up to twice the first one's memory.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # or a file that is both would be inspected as ONNX and run as ONNX Runtime's own format
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def inspect_model(path: Path) -> Inspected:
    """Read the graph without running it. Raises ValueError when the file is no ONNX model."""
    model = read_model(path)
    inputs = find_inputs(model)
    return Inspected(
        opset=max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0),
        inputs=tuple(describe_tensor(value) for value in inputs),
        outputs=tuple(describe_tensor(value) for value in model.graph.output),
        parameters=sum(prod(tensor.dims) for tensor in find_weights(model)),
        refused=tuple(sorted(set(find_refused(model)))),
    )


def read_model(path: Path) -> onnx.ModelProto:
    """Parse the file, whatever its name. Raises ValueError when it is no ONNX model."""
    content = path.read_bytes()
    if content.startswith(LFS_POINTER):
        raise ValueError("the file is a Git LFS pointer in the model's place; `git lfs pull` fetches the model")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the parser's own, which comes and goes with its version
        raise ValueError("the file is not a whole ONNX model") from error
    if not model.graph.output:
        raise ValueError("the file is not a whole ONNX model")
    return model


def find_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a run has to be given."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initialised]


def describe_tensor(value: onnx.ValueInfoProto) -> Tensor:
    """Name, type and shape as declared; a symbolic or missing dimension is None."""
    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return Tensor(value.name[:NAME_LENGTH], {"float": "float32", "double": "float64"}.get(dtype, dtype), shape)


def find_weights(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Floating-point constants of the main graph, wherever they are kept."""
    floating = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    constants = (a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value")
    yield from (tensor for tensor in (*model.graph.initializer, *constants) if tensor.data_type in floating)


def find_refused(model: onnx.ModelProto) -> Iterator[str]:
    """What a submission may not hold, each as a phrase."""
    for part in list_parts(model):
        if isinstance(part, onnx.NodeProto):
            if part.domain not in STANDARD_DOMAINS:
                yield f"the custom operator {f'{part.domain}.{part.op_type}'[:NAME_LENGTH]!r}"
            # Dropout's third input makes it drop
            if part.op_type in RANDOM or (part.op_type == "Dropout" and len(part.input) > 2):
                yield f"the random operator {part.op_type}, whose values depend on the runs before"
        elif isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location == part.EXTERNAL):
            yield "weights in another file (external data)"


def list_parts(message: Any) -> Iterator[Any]:
    """A message of the file and all within it: branches, loop bodies and functions hold nodes and tensors too."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from list_parts(part)


def count_multiply_adds(path: Path, *, layout: Layout, width_px: int, height_px: int) -> int | None:
    """Multiply-adds of convolutions and matrix products for one image (one multiply-add counts as one).

    None when a shape cannot be inferred or an operator may hide work: never a figure that is too small.
    """
    model = read_model(path)
    inputs = find_inputs(model)
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4 or not is_countable(model):
        return None
    size = (1, 3, height_px, width_px) if layout == "NCHW" else (1, height_px, width_px, 3)
    try:
        folded = fold_constants(fix_size(model, inputs[0].name, size))
        inferred = onnx.shape_inference.infer_shapes(folded, data_prop=True)
    except Exception:  # on a contradictory graph they raise several kinds; whether the model runs is not judged here
        return None
    # what is folded here, where the size is known, may have to be computed in every run
    if not is_countable(folded) or count_products(folded) < count_products(model):
        return None
    shapes = {v.name: describe_tensor(v).shape for v in (*inferred.graph.value_info, *inferred.graph.output)}
    shapes |= {v.name: describe_tensor(v).shape for v in inferred.graph.input}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer}
    counts = [count_node(node, shapes) for node in inferred.graph.node if node.op_type in MULTIPLYING]
    return None if None in counts else sum(count for count in counts if count is not None)


def is_countable(model: onnx.ModelProto) -> bool:
    """Whether each operator is known to multiply or not to; one with a graph of its own is not."""
    known = MULTIPLYING | NOT_COUNTED
    return not model.functions and all(n.domain in STANDARD_DOMAINS and n.op_type in known for n in model.graph.node)


def count_products(model: onnx.ModelProto) -> int:
    """How many convolutions and matrix products a graph has."""
    return sum(node.op_type in MULTIPLYING for node in model.graph.node)


def fix_size(model: onnx.ModelProto, name: str, size: tuple[int, ...]) -> onnx.ModelProto:
    """A copy of the model whose input has this shape."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (value for value in fixed.graph.input if value.name == name):
        for dim, length in zip(value.type.tensor_type.shape.dim, size, strict=True):
            dim.dim_value = length
    del fixed.graph.value_info[:]  # shapes that the exporter wrote down may carry the old symbols
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return fixed


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as ONNX Runtime simplifies it for its fixed input size.

    Graphs compute their own paddings and crops from the input's shape, which onnx's inference cannot follow.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = make_options(threads=1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def count_node(node: onnx.NodeProto, shapes: dict[str, tuple[int | None, ...]]) -> int | None:
    """Multiply-adds of one node, or None where a shape is not known."""
    # a transposed convolution multiplies at every input position, the others at every output position
    where = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    positions, weights = shapes.get(where), shapes.get(node.input[1])
    if not positions or not weights or None in positions or None in weights:
        return None
    sizes, weight_sizes = [n or 0 for n in positions], [n or 0 for n in weights]
    if node.op_type in ("Conv", "ConvTranspose"):
        return prod(sizes) * prod(weight_sizes[1:])
    depth = shapes.get(node.input[0], (None,))
    transposed = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
    inner = depth[0 if transposed else -1]
    return None if inner is None else prod(sizes) * inner
