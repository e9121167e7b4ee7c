"""TensorFlow's frozen graphs, as PIRM 2018 took them: tf2onnx turns them into ONNX, and that is what is judged and run.

A graph is data. What keeps a state, draws random numbers or reaches outside is refused before TensorFlow simplifies the
graph, which runs what does not depend on the input.
"""

import os
from collections.abc import Iterator
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # no conversion needs a GPU
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
import tf2onnx
from google.protobuf.message import DecodeError
from tensorflow.python.framework import op_def_registry

INPUT, OUTPUT = "input", "output"
"""The operators whose first tensors (input:0, output:0) are the model's, by the challenge's rules."""
OPSET = 18
"""The newest one that tf2onnx writes."""
READS_FILES = frozenset({"ReadFile", "MatchingFiles", "FileSystemSetConfiguration", "RestoreV2", "Restore"})
STATEFUL_BY_NAME_ALONE = frozenset({"Assert", "If", "While", "StatefulPartitionedCall"})
"""TensorFlow calls them stateful for what could be in them, which is looked at by itself."""
LFS_POINTER = b"version https://git-lfs"
NAME_LENGTH = 80  # of a name in a message: a file may hold names of any length


def convert_model(content: bytes) -> bytes:
    """The graph as an ONNX file. Raises ValueError for a file that is no such graph or cannot become one."""
    graph = read_graph(content)
    check_tensors(graph)
    for reason in find_refused(graph):
        raise ValueError(f"it holds {reason}; export it frozen, with deterministic operators only")
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            graph, name="graph", input_names=[f"{INPUT}:0"], output_names=[f"{OUTPUT}:0"], opset=OPSET
        )
    except Exception as error:  # TensorFlow and tf2onnx raise whatever they stumble over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"tf2onnx cannot turn the graph into ONNX ({reason[:200]}); submit it as ONNX") from error
    converted: bytes = model.SerializeToString()
    return converted


def read_graph(content: bytes) -> Any:
    """Parse a GraphDef. Raises ValueError when the file is none."""
    if content.startswith(LFS_POINTER):
        raise ValueError("the file is a Git LFS pointer in the model's place; `git lfs pull` fetches the model")
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(content)
    except DecodeError as error:
        raise ValueError("the file is not a whole TensorFlow graph (GraphDef); freeze and export it again") from error
    if not graph.node:  # other messages parse as one without operators
        raise ValueError("the file is no frozen TensorFlow graph (GraphDef); freeze and export it again")
    return graph


def check_tensors(graph: Any) -> None:
    """Raise ValueError unless the graph has the tensors that the challenge names."""
    operators = {node.name: node.op for node in graph.node}
    if operators.get(INPUT) != "Placeholder":
        raise ValueError(f"the graph has no placeholder named {INPUT!r}; give its input that name")
    if OUTPUT not in operators:
        raise ValueError(f"the graph has no operator named {OUTPUT!r}; give its last one that name")


def find_refused(graph: Any) -> Iterator[str]:
    """What a graph may not hold, each as a phrase."""
    functions = {function.signature.name for function in graph.library.function}
    for node in list_nodes(graph):
        known, shown = op_def_registry.get(node.op), repr(node.op[:NAME_LENGTH])
        if node.op in READS_FILES:
            yield f"the operator {shown}, which reads files"
        elif known is None and node.op not in functions:
            yield f"the custom operator {shown}"
        elif known is not None and known.is_stateful and not is_stateless(node.op):
            yield f"the operator {shown}, which keeps a state, draws random numbers or calls Python"


def is_stateless(operator: str) -> bool:
    """Whether an operator that TensorFlow calls stateful keeps nothing from one run to the next."""
    return operator in STATEFUL_BY_NAME_ALONE or operator.startswith("TensorArray")


def list_nodes(graph: Any) -> Iterator[Any]:
    """The operators of the graph and of its functions."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def
