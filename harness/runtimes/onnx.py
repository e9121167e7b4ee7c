"""ONNX models: what a graph declares, what it costs, and how ONNX Runtime runs it."""

import tempfile
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from harness.protocol import Device, Inspected, Layout, Tensor

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
CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
MOST_NODES = 100_000
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
LFS_POINTER = b"version https://git-lfs"
NAME_LENGTH = 80  # of a name in a message: a file may hold names of any length


def load_model(
    content: bytes, *, kind: str = "onnx", threads: int, device: Device = "cpu", seed: int | None = None
) -> "Session | BoundSession":
    """Make an ONNX Runtime session. Random operators are refused, so that a seed changes nothing."""
    del kind, seed
    provider = f"{device.upper()}ExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise ValueError("CUDA is not available to ONNX Runtime; install onnxruntime-gpu, or leave out --device cuda")
    session = onnxruntime.InferenceSession(content, make_options(threads), providers=[provider])
    if provider not in session.get_providers():  # it falls back to the CPU without a word
        raise ValueError("CUDA does not start here; look at its driver and libraries, or leave out --device cuda")
    return Session(session) if device == "cpu" else BoundSession(session, device)


class Session:
    """A model in main memory."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        self.source_name, self.output_name = session.get_inputs()[0].name, session.get_outputs()[0].name

    def place(self, source: np.ndarray) -> None:
        """Keep the input of the coming runs."""
        self.source = source

    def run(self) -> None:
        """Compute the output for the input kept."""
        self.output = self.session.run([self.output_name], {self.source_name: self.source})[0]

    def take(self) -> np.ndarray:
        """The output, which is not kept any longer: it must not count in the next run's peak of memory."""
        output: np.ndarray = self.output
        del self.output
        return output


class BoundSession:
    """A model whose input and output stay on its device while it runs, so that no copy is timed."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        self.session, self.device, self.binding = session, device, session.io_binding()
        self.source_name, self.output_name = session.get_inputs()[0].name, session.get_outputs()[0].name

    def place(self, source: np.ndarray) -> None:
        """Copy the input of the coming runs to the device."""
        self.binding.clear_binding_inputs()
        value = onnxruntime.OrtValue.ortvalue_from_numpy(source, self.device, 0)
        self.binding.bind_ortvalue_input(self.source_name, value)
        self.binding.bind_output(self.output_name, self.device)
        self.binding.synchronize_inputs()

    def run(self) -> None:
        """Compute the output, and wait until the device has done so."""
        self.session.run_with_iobinding(self.binding)
        self.binding.synchronize_outputs()

    def take(self) -> np.ndarray:
        """A copy of the output in main memory."""
        output: np.ndarray = self.binding.copy_outputs_to_cpu()[0]
        return output


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


def inspect_model(content: bytes, *, kind: str = "onnx") -> Inspected:
    """Read the graph without running it. Raises ValueError when the file is no ONNX model."""
    del kind
    model = read_model(content)
    inputs = find_inputs(model)
    refused = tuple(sorted(set(find_refused(model))))
    opset = max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=0)
    if not refused and 0 < opset <= onnx.defs.onnx_opset_version():  # else that is what has to be said
        check_graph(model)
    return Inspected(
        opset=opset,
        inputs=tuple(describe_tensor(value) for value in inputs),
        outputs=tuple(describe_tensor(value) for value in model.graph.output),
        parameters=sum(prod(tensor.dims) for tensor in find_weights(model)),
        refused=refused,
        control_flow=tuple(sorted({part.op_type for part in list_parts(model) if is_control_flow(part)})),
    )


def read_model(content: bytes) -> onnx.ModelProto:
    """Parse a file's content. Raises ValueError when it is no ONNX model."""
    if content.startswith(LFS_POINTER):
        raise ValueError("the file is a Git LFS pointer in the model's place; `git lfs pull` fetches the model")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the parser's own, which comes and goes with its version
        raise ValueError("the file is not a whole ONNX model") from error
    if not model.graph.output:
        raise ValueError("the file is not a whole ONNX model")
    return model


def check_graph(model: onnx.ModelProto) -> None:
    """Raise ValueError for an unknown operator, a value that nothing computes, a cycle and the like."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"the graph does not hold: {str(error).strip().partition(chr(10))[0]}") from error


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

    size = measure_expansion(model)
    if size is None or size > MOST_NODES:
        what = "that call themselves" if size is None else f"of {size:.3g} operators in all"
        yield f"functions {what}, where {MOST_NODES:,} are allowed" if model.functions else f"{size:,} operators"


def measure_expansion(model: onnx.ModelProto) -> int | None:
    """How many nodes a graph has once its functions are put in place of their calls; None for an endless number.

    Counted without expanding: 60 functions that call the next one twice make 2**60 nodes of a small file.
    """
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int | None] = {}

    def measure(nodes: Iterable[Any]) -> int:
        total = 0
        for part in (part for node in nodes for part in list_parts(node) if isinstance(part, onnx.NodeProto)):
            key = (part.domain, part.op_type)
            total += 1 if key not in bodies else measure_function(key)
        return total

    def measure_function(key: tuple[str, str]) -> int:
        if key not in sizes:
            sizes[key] = None  # until it is known: who meets it again meanwhile has called itself
            sizes[key] = measure(bodies[key].node)
        size = sizes[key]
        if size is None:
            raise RecursionError
        return size

    try:
        return measure(model.graph.node)
    except RecursionError:
        return None


def is_control_flow(part: Any) -> bool:
    """Whether a part of the file chooses at run time what is computed."""
    return isinstance(part, onnx.NodeProto) and part.op_type in CONTROL_FLOW


def list_parts(message: Any) -> Iterator[Any]:
    """A message of the file and all within it: branches, loop bodies and functions hold nodes and tensors too."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from list_parts(part)


def count_multiply_adds(content: bytes, *, layout: Layout, width_px: int, height_px: int) -> int | None:
    """Multiply-adds of convolutions and matrix products for one image (one multiply-add counts as one).

    None when a shape cannot be inferred or an operator may hide work: never a figure that is too small.
    """
    model = read_model(content)
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
