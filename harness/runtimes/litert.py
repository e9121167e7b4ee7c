"""TensorFlow Lite models: what a file declares, what it costs, and how LiteRT runs it on the CPU."""

import struct
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from harness.protocol import Device, Inspected, Layout, Tensor

IDENTIFIER = b"TFL3"
LFS_POINTER = b"version https://git-lfs"
MOST_OPERATORS = 100_000
NAME_LENGTH = 80  # of a name in a message: a file may hold names of any length

# what is counted: one multiply-add a weight and position, as for ONNX
MULTIPLYING = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"})
# what the convention leaves out; an operator in neither list makes the count unknown
NOT_COUNTED = frozenset(
    """ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CAST CEIL
    CONCATENATION DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FAKE_QUANT FILL FLOOR FLOOR_DIV FLOOR_MOD
    GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
    LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD
    PADV2 POW PRELU QUANTIZE RANGE RANK REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SHAPE SIGN SLICE SOFTMAX
    SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH
    TILE TRANSPOSE UNPACK ZEROS_LIKE""".split()
)
RANDOM = frozenset({"RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR"})
KEEPING = frozenset(
    """VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE CALL_ONCE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE
    HASHTABLE_LOOKUP""".split()
)
CUSTOM = frozenset({"CUSTOM", "DELEGATE", "STABLEHLO_CUSTOM_CALL", "PLACEHOLDER_FOR_GREATER_OP_CODES"})
CONTROL_FLOW = frozenset({"IF", "WHILE", "CALL", "STABLEHLO_CASE", "STABLEHLO_WHILE"})


def list_names(kinds: type) -> dict[int, str]:
    """The names of the numbers of one of the schema's enumerations."""
    return {number: name for name, number in vars(kinds).items() if name.isupper()}


OPERATORS, TYPES = list_names(schema.BuiltinOperator), list_names(schema.TensorType)


def inspect_model(content: bytes, *, kind: str = "litert") -> Inspected:
    """Read the file; only one of fixed size is run, to see whether it takes others. ValueError when it is no model."""
    del kind
    try:
        model = read_model(content)
        graph = model.Subgraphs(0)
        names = {name for name, _ in list_operators(model)}
        inputs = tuple(describe_tensor(graph.Tensors(graph.Inputs(i))) for i in range(graph.InputsLength()))
        outputs = tuple(describe_tensor(graph.Tensors(graph.Outputs(i))) for i in range(graph.OutputsLength()))
        if not any(find_refused(model)) and is_resizable(content, inputs, outputs):
            inputs, outputs = free_size(inputs[0]), free_size(outputs[0])
        return Inspected(
            opset=0,
            inputs=inputs,
            outputs=outputs,
            parameters=count_parameters(model),
            refused=tuple(sorted(set(find_refused(model)))),
            control_flow=tuple(sorted(names & CONTROL_FLOW)),
        )
    except (struct.error, IndexError, TypeError, AttributeError, OverflowError) as error:  # offsets that lead nowhere
        raise ValueError("the file is not a whole TensorFlow Lite model; export it again") from error


def read_model(content: bytes) -> Any:
    """The root of the file. Raises ValueError when it is of another kind, or holds too much to be looked at."""
    if content.startswith(LFS_POINTER):
        raise ValueError("the file is a Git LFS pointer in the model's place; `git lfs pull` fetches the model")
    if content[4:8] != IDENTIFIER:
        raise ValueError("the file is no TensorFlow Lite model; export it again")
    model = schema.Model.GetRootAs(content)
    graphs = [model.Subgraphs(number) for number in range(min(model.SubgraphsLength(), MOST_OPERATORS))]
    if not graphs:
        raise ValueError("the file holds no graph; export it again")
    for what, length in (("operators", "OperatorsLength"), ("tensors", "TensorsLength")):
        count = sum(getattr(graph, length)() for graph in graphs)
        if count > MOST_OPERATORS:
            raise ValueError(f"the file holds {count:,} {what}, {MOST_OPERATORS:,} are allowed; submit a smaller model")
    return model


def list_graphs(model: Any) -> Iterator[Any]:
    """The main graph, and the branches and loop bodies."""
    yield from (model.Subgraphs(number) for number in range(model.SubgraphsLength()))


def list_operators(model: Any) -> Iterator[tuple[str, Any]]:
    """The operators of all graphs, by name."""
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    # the newer field stands beside the one byte that older files have
    names = [OPERATORS.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "CUSTOM") for code in codes]
    for graph in list_graphs(model):
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            yield names[operator.OpcodeIndex()], operator


def list_tensors(model: Any) -> Iterator[Any]:
    """The tensors of all graphs."""
    for graph in list_graphs(model):
        yield from (graph.Tensors(number) for number in range(graph.TensorsLength()))


def describe_tensor(tensor: Any) -> Tensor:
    """Name, type and shape as declared; a dimension that can be set is None."""
    free = [tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())]
    lengths = free or [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
    name = (tensor.Name() or b"").decode(errors="replace")[:NAME_LENGTH]
    shape = tuple(None if length < 0 else int(length) for length in lengths)
    return Tensor(name, TYPES.get(tensor.Type(), "unknown").lower(), shape)


def is_resizable(content: bytes, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bool:
    """Whether a model whose file fixes its size takes another one all the same, as most convolutions do."""
    shapes = [[length for length in tensor.shape if length is not None] for tensor in (*inputs, *outputs)]
    if len(shapes) != 2 or any(len(shape) != 4 for shape in shapes):
        return False
    source, output = shapes
    model = Model(make_plain(content))
    try:
        model.place(np.zeros(enlarge(source), np.float32))
        model.run()
    except (RuntimeError, ValueError):  # an operator that has the size in it
        return False
    return list(model.take().shape) == enlarge(output)


def enlarge(shape: Sequence[int]) -> list[int]:
    """The shape (NHWC) of a larger image of another form."""
    batch, height_px, width_px, channels = shape
    return [batch, 2 * height_px, 3 * width_px, channels]


def free_size(tensor: Tensor) -> tuple[Tensor, ...]:
    """The tensor with free height and width (NHWC)."""
    batch, _, _, channels = tensor.shape
    return (Tensor(tensor.name, tensor.dtype, (batch, None, None, channels)),)


def make_plain(content: bytes) -> Interpreter:
    """An interpreter in which each operator runs by itself, and can be looked at."""
    return Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )


def count_parameters(model: Any) -> int:
    """Constants that are floating or quantised, each buffer once."""
    sizes = {}
    for tensor in list_tensors(model):
        quantization = tensor.Quantization()
        quantized = quantization is not None and quantization.ScaleLength() > 0
        if is_constant(model, tensor) and (quantized or "FLOAT" in TYPES.get(tensor.Type(), "")):
            sizes[tensor.Buffer()] = prod(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))
    return sum(sizes.values())


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether the file holds a tensor's values."""
    buffer = model.Buffers(tensor.Buffer())
    return bool(buffer.DataLength() or buffer.Size() > 1)


def find_refused(model: Any) -> Iterator[str]:
    """What a submission may not hold, each as a phrase."""
    for name, operator in list_operators(model):
        if name in CUSTOM:
            yield "a custom operator"
        if name in RANDOM:
            yield f"the random operator {name}, whose values depend on the runs before"
        if name in KEEPING or operator.MutatingVariableInputsLength():
            yield f"the operator {name}, which keeps something between its runs"
    for tensor in list_tensors(model):
        if tensor.IsVariable():
            yield "a variable, which keeps something between its runs"
    if model.ExternalBuffersLength():
        yield "weights in another file (external buffers)"


def count_multiply_adds(content: bytes, *, layout: Layout, width_px: int, height_px: int) -> int | None:
    """Multiply-adds of convolutions and matrix products for one image (one multiply-add counts as one).

    The model runs once, since only then all shapes are known. None when an operator may hide work.
    """
    if any(name not in MULTIPLYING | NOT_COUNTED for name, _ in list_operators(read_model(content))):
        return None
    interpreter = make_plain(content)
    model = Model(interpreter)
    model.place(np.zeros((1, 3, height_px, width_px) if layout == "NCHW" else (1, height_px, width_px, 3), np.float32))
    model.run()
    shapes = {
        tensor["index"]: [int(length) for length in tensor["shape"]] for tensor in interpreter.get_tensor_details()
    }
    return sum(count_operator(operator, shapes) for operator in interpreter._get_ops_details())


def count_operator(operator: dict[str, Any], shapes: dict[int, list[int]]) -> int:
    """Multiply-adds of one operator that has run."""
    name = operator["op_name"]
    if name not in MULTIPLYING:
        return 0
    first, second = (shapes[index] for index in operator["inputs"][:2])
    output = shapes[operator["outputs"][0]]
    if name == "TRANSPOSE_CONV":  # it multiplies at every input position: the shape, weights (O, h, w, I), the source
        return prod(shapes[operator["inputs"][2]]) * prod(second[:3])
    if (
        name == "BATCH_MATMUL"
    ):  # the first may be transposed: of its two lengths one is the output's, the other is summed
        return prod(output) * (prod(first[-2:]) // output[-2])
    # weights are (O, h, w, I) or (O, I), of a depthwise convolution (1, h, w, O)
    return prod(output) * prod(second[1:3] if name == "DEPTHWISE_CONV_2D" else second[1:])


def load_model(content: bytes, *, kind: str, threads: int, device: Device, seed: int | None) -> "Model":
    """Make an interpreter. Random operators are refused, so that a seed changes nothing."""
    del kind, seed
    if device != "cpu":
        raise ValueError(f"LiteRT runs on the CPU here, not on {device}; leave out --device, or submit it as ONNX")
    return Model(Interpreter(model_content=content, num_threads=threads))


class Model:
    """A loaded model. Setting its size and making room for it belong to `place`, which is not timed."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.source = interpreter.get_input_details()[0]["index"]
        self.result = interpreter.get_output_details()[0]["index"]
        self.shape: tuple[int, ...] = ()

    def place(self, source: np.ndarray) -> None:
        """Keep the input of the coming runs; the model takes on its size where that is new."""
        if source.shape != self.shape:
            self.interpreter.resize_tensor_input(self.source, source.shape, strict=False)
            self.interpreter.allocate_tensors()
            self.shape = source.shape
        self.interpreter.set_tensor(self.source, source)

    def run(self) -> None:
        """Compute the output for the input kept."""
        self.interpreter.invoke()

    def take(self) -> np.ndarray:
        """A copy of the output."""
        output: np.ndarray = self.interpreter.get_tensor(self.result)
        return output
