"""Multiply-adds of a graph: exact where every operator and shape is known, else none at all."""

from collections.abc import Callable, Sequence
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.challenge import read_challenge
from harness.protocol import Layout
from harness.runtimes.onnx import count_multiply_adds

WIDTH_PX, HEIGHT_PX = 40, 24
PIXELS = WIDTH_PX * HEIGHT_PX

Count = Callable[..., int | None]


@pytest.fixture
def count(tmp_path: Path) -> Count:
    """Writes a model and counts its multiply-adds at 40x24."""

    def count(model: onnx.ModelProto, layout: Layout = "NCHW") -> int | None:
        path = models.save(model, tmp_path / "model.onnx")
        return count_multiply_adds(path.read_bytes(), layout=layout, width_px=WIDTH_PX, height_px=HEIGHT_PX)

    return count


def chain(*nodes: onnx.NodeProto, **weights: np.ndarray) -> onnx.ModelProto:
    """NCHW nodes whose output has a free shape."""
    return models.build_model(
        nodes,
        weights=weights,
        inputs=[("source", TensorProto.FLOAT, models.NCHW)],
        outputs=[("output", TensorProto.FLOAT, None)],
    )


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_a_convolution_counts_its_weights_at_every_output_position(count: Count) -> None:
    assert count(models.convolve(8, 3)) == 8 * PIXELS * 3 * 9
    # 40x24 in steps of two: 20x12
    assert count(models.convolve(8, 3, strides=2)) == 8 * (20 * 12) * 3 * 9
    # each of the 8 channels sees 3 of the 12
    assert count(models.convolve(8, 5, groups=4)) == 8 * PIXELS * 3 * 25


def test_a_transposed_convolution_counts_its_weights_at_every_input_position(count: Count) -> None:
    assert count(models.convolve(8, 3, kind="ConvTranspose")) == 3 * PIXELS * 8 * 9
    # strides make the output larger, not the work
    assert count(models.convolve(8, 3, strides=2, kind="ConvTranspose")) == 3 * PIXELS * 8 * 9
    # two groups of 3 channels, each to 4
    assert count(models.convolve(8, 3, groups=2, strides=2, kind="ConvTranspose")) == 6 * PIXELS * 4 * 9


def test_a_matrix_product_counts_its_depth_for_every_value(count: Count) -> None:
    # (1, 3, 24, 40) @ (40, 7)
    assert count(chain(models.node("MatMul", ["source", "weights"]), weights=ones(40, 7))) == 3 * 24 * 7 * 40
    # every pair of rows: (1, 3, 24, 40) @ (1, 3, 40, 24)
    squared = chain(
        models.node("Transpose", ["source"], ["turned"], perm=[0, 1, 3, 2]),
        models.node("MatMul", ["source", "turned"]),
    )
    assert count(squared) == 3 * 24 * 24 * 40


@pytest.mark.parametrize(("transposed", "shape"), [(0, (3, -1)), (1, (-1, 3))])
def test_gemm_counts_its_depth_for_every_value(count: Count, transposed: int, shape: Sequence[int]) -> None:
    """A 3x960 matrix times 960x5, stored either way round."""
    model = chain(
        models.node("Reshape", ["source", "shape"], ["flat"]),
        models.node("Gemm", ["flat", "weights"], transA=transposed),
        shape=models.sizes(*shape),
        weights=ones(PIXELS, 5),
    )
    assert count(model) == 3 * PIXELS * 5


def test_several_nodes_add_up(count: Count) -> None:
    model = chain(
        models.node("Conv", ["source", "first"], ["hidden"], pads=[1] * 4),
        models.node("Relu", ["hidden"], ["active"]),
        models.node("Conv", ["active", "second"]),
        first=ones(4, 3, 3, 3),
        second=ones(3, 4, 1, 1),
    )
    assert count(model) == PIXELS * (4 * 3 * 9 + 3 * 4)


def halve() -> list[onnx.NodeProto]:
    """Keeps the first half of the source along `axes`, which the graph computes from the source's shape."""
    return [
        models.node("Shape", ["source"], ["shape"]),
        models.node("Gather", ["shape", "axes"], ["length"]),
        models.node("Div", ["length", "two"], ["half"]),
        models.node("Sub", ["half", "length"], ["end"]),
        models.node("Slice", ["source", "start", "end", "axes"], ["top"]),
    ]


def test_a_crop_that_the_graph_computes_is_followed(count: Count) -> None:
    model = chain(
        *halve(),
        models.node("Conv", ["top", "weights"]),
        axes=models.sizes(2),
        two=models.sizes(2),
        start=models.sizes(0),
        weights=ones(8, 3, 1, 1),
    )
    assert count(model) == 8 * PIXELS // 2 * 3


def test_a_product_of_constants_is_not_taken_for_free(count: Count) -> None:
    """At one known size it could be computed beforehand; a model of any size has to do it in every run."""
    model = chain(
        models.node("Shape", ["source"], ["shape"]),
        models.node("ConstantOfShape", ["shape"], ["blank"]),
        models.node("Conv", ["blank", "weights"], ["hidden"]),
        models.node("Add", ["source", "hidden"]),
        weights=ones(3, 3, 1, 1),
    )
    assert count(model) is None


def test_shapes_that_the_file_declares_wrongly_do_not_make_the_count_smaller(count: Count) -> None:
    model = models.convolve(8, 3)
    model.graph.value_info.append(helper.make_tensor_value_info("tiled", TensorProto.FLOAT, [1, 3, 1, 1]))
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.dim_value = 1
    assert count(model) == 8 * PIXELS * 3 * 9


def test_a_declared_layout_sets_the_size_that_is_counted(count: Count) -> None:
    model = chain(models.node("Conv", ["source", "weights"]), weights=ones(8, 3, 1, 1))
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "free"
    assert count(model, "NCHW") == 8 * PIXELS * 3


@pytest.mark.parametrize(
    "model",
    [
        models.custom_domain(),
        models.endless_loop(),
        models.branch(models.node("Neg", ["source"], ["chosen"])),
        models.in_function(),
        models.in_function("", "Relu"),
        models.two_inputs(),
        models.with_shape(("height", "width", 3)),
        models.build_model([models.node("Einsum", ["source", "source"], equation="abcd,abcd->abcd")]),
        models.build_model([models.node("ReduceL2", ["source"])]),
        # its size depends on values, so nothing after it has a known shape
        chain(
            models.node("ReduceMax", ["source"], ["most"], axes=[0, 1, 2, 3], keepdims=0),
            models.node("Cast", ["most"], ["count"], to=TensorProto.INT64),
            models.node("Range", ["zero", "count", "one"], ["many"]),
            models.node("Cast", ["many"], ["row"], to=TensorProto.FLOAT),
            models.node("Unsqueeze", ["row", "axis"], ["column"]),
            models.node("MatMul", ["column", "weights"]),
            zero=np.array(0, np.int64),
            one=np.array(1, np.int64),
            axis=models.sizes(1),
            weights=ones(1, 9),
        ),
        # a convolution of a picture that does not exist
        chain(models.node("Conv", ["nowhere", "weights"]), weights=ones(8, 3, 1, 1)),
    ],
    ids="domain loop if function relu inputs rank einsum unknown dynamic broken".split(),
)
def test_what_cannot_be_counted_is_none_and_never_too_small(count: Count, model: onnx.ModelProto) -> None:
    assert count(model) is None


def test_the_speed_baseline_costs_what_its_layers_say() -> None:
    """SRCNN 9-5-5 on three channels: 3*64*81 + 64*32*25 + 32*3*25 = 69,152 weights at every pixel."""
    path = read_challenge("pirm2018b").baseline.model
    assert 3 * 64 * 81 + 64 * 32 * 25 + 32 * 3 * 25 == 69_152
    assert count_multiply_adds(path.read_bytes(), layout="NHWC", width_px=1280, height_px=720) == 69_152 * 1280 * 720
