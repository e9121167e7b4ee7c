"""Writes models of TensorFlow and TensorFlow Lite: `python tensorflow_models.py DIR`, in a process of its own.

TensorFlow warns of much as it is imported, and holds a lot of memory.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

SHAPE = (1, None, None, 3)
RANDOM = np.random.default_rng(5)
KERNEL = RANDOM.normal(0, 0.1, (3, 3, 3, 8)).astype(np.float32)
BACK = RANDOM.normal(0, 0.1, (3, 3, 8, 3)).astype(np.float32)


def brighten(x: tf.Tensor) -> tf.Tensor:
    return x + 0.05


def convolve(x: tf.Tensor) -> tf.Tensor:
    y = tf.nn.relu(tf.nn.conv2d(x, KERNEL, 1, "SAME"))
    return x + tf.nn.conv2d(y, BACK, 1, "SAME")


def enlarge(x: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def multiply(x: tf.Tensor) -> tf.Tensor:
    """One of each operator that multiplies."""
    y = tf.nn.conv2d(x, KERNEL, 2, "SAME")
    y = tf.nn.depthwise_conv2d(y, RANDOM.normal(0, 0.1, (3, 3, 8, 1)).astype(np.float32), [1, 1, 1, 1], "SAME")
    shape = tf.shape(x)
    y = tf.nn.conv2d_transpose(y, KERNEL, [1, shape[1], shape[2], 3], 2, "SAME")
    flat = tf.reshape(y, [-1, 3])
    y = tf.matmul(flat, RANDOM.normal(0, 0.1, (3, 3)).astype(np.float32))
    gram = tf.matmul(flat, flat, transpose_a=True)
    return x + tf.reshape(tf.matmul(y, gram), tf.shape(x))


def stick(x: tf.Tensor) -> tf.Tensor:
    """What takes one size alone."""
    return x + RANDOM.normal(0, 0.1, (1, 100, 100, 3)).astype(np.float32)


def draw(x: tf.Tensor) -> tf.Tensor:
    return x + tf.random.uniform(tf.shape(x))


def loop(x: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda y: tf.reduce_mean(y) < 1, lambda y: (y + 0.3,), [x])[0]


def read(x: tf.Tensor) -> tf.Tensor:
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def call_python(x: tf.Tensor) -> tf.Tensor:
    y = tf.compat.v1.py_func(lambda y: y, [x], tf.float32)
    y.set_shape(SHAPE)
    return y


def keep(x: tf.Tensor) -> tf.Tensor:
    return x + tf.compat.v1.get_variable("kept", (), tf.float32, use_resource=False)


def save_graph(
    path: Path, build: Callable[..., tf.Tensor], *, output: str = "output", shape: tuple[int | None, ...] = SHAPE
) -> None:
    """A frozen graph as the challenge took it: from `input:0` to `output:0`."""
    with tf.Graph().as_default() as graph:
        source = tf.compat.v1.placeholder(tf.float32, shape, name="input")
        tf.identity(build(source), name=output)
    path.write_bytes(graph.as_graph_def().SerializeToString())


def save_lite(
    path: Path,
    build: Callable[..., tf.Tensor],
    *,
    shape: tuple[int | None, ...] = SHAPE,
    half: bool = False,
    select: bool = False,
) -> None:
    """A TensorFlow Lite model; with weights of half precision, or with operators of TensorFlow."""
    function = tf.function(build, input_signature=[tf.TensorSpec(shape, tf.float32, name="input")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if select:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    path.write_bytes(converter.convert())


class Counter(tf.Module):
    """Adds up what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec(SHAPE, tf.float32, name="input")])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        self.kept.assign_add(tf.reduce_mean(x))
        return x + self.kept


def save_counter(path: Path) -> None:
    """A TensorFlow Lite model with a variable."""
    counter = Counter()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([counter.__call__.get_concrete_function()], counter)
    converter.experimental_enable_resource_variables = True
    path.write_bytes(converter.convert())


def save_graphs(folder: Path) -> None:
    for build in (brighten, convolve, enlarge, draw, loop, read, call_python, keep):
        save_graph(folder / f"{build.__name__}.pb", build)
    save_graph(folder / "misnamed.pb", brighten, output="result")
    save_graph(folder / "fixed.pb", brighten, shape=(1, 100, 100, 3))
    save_graph(folder / "two_inputs.pb", lambda x: x + tf.compat.v1.placeholder(tf.float32, (), name="other"))


def save_lites(folder: Path) -> None:
    for build in (brighten, convolve, enlarge, multiply, draw, loop):
        save_lite(folder / f"{build.__name__}.tflite", build)
    save_lite(folder / "fixed.tflite", convolve, shape=(1, 100, 100, 3))
    save_lite(folder / "stick.tflite", stick, shape=(1, 100, 100, 3))
    save_lite(folder / "half.tflite", convolve, half=True)
    save_lite(folder / "custom.tflite", brighten, select=True)
    save_counter(folder / "counter.tflite")


if __name__ == "__main__":
    save_graphs(Path(sys.argv[1]))
    save_lites(Path(sys.argv[1]))
