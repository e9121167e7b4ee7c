"""What an ONNX file declares and costs, and that it runs as its operators say."""

from collections.abc import Sequence
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harness.challenge import read_challenge
from harness.protocol import Inspected, Layout, Tensor
from harness.runtimes.onnx import count_multiply_adds, inspect_model, load_model

WIDTH_PX, HEIGHT_PX = 40, 24
PIXELS = WIDTH_PX * HEIGHT_PX


@pytest.fixture
def inspect(tmp_path: Path) -> "Inspector":
    return Inspector(tmp_path)


class Inspector:
    """Writes a model and inspects it, or counts its multiply-adds at 40x24."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.onnx"

    def __call__(self, model: onnx.ModelProto) -> Inspected:
        return inspect_model(models.save(model, self.path))

    def count(self, model: onnx.ModelProto, layout: Layout = "NCHW") -> int | None:
        return count_multiply_adds(models.save(model, self.path), layout=layout, width_px=WIDTH_PX, height_px=HEIGHT_PX)


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


# --- what a graph declares


def test_a_graph_is_described(inspect: Inspector) -> None:
    image = (None, None, None, 3)
    assert inspect(models.brighten()) == Inspected(
        opset=17,
        inputs=(Tensor("source", "float32", image),),
        outputs=(Tensor("output", "float32", image),),
        parameters=1,
        refused=(),
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.UINT8, "uint8"),
        (TensorProto.INT64, "int64"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.DOUBLE, "float64"),
    ],
)
def test_the_types_of_input_and_output_are_told(inspect: Inspector, kind: int, name: str) -> None:
    assert inspect(models.with_type(kind)).inputs[0].dtype == name
    assert inspect(models.with_output_type(kind)).outputs[0].dtype == name
    assert inspect(models.with_output_type(kind)).inputs[0].dtype == "float32"


def test_shapes_and_numbers_of_inputs_are_told(inspect: Inspector) -> None:
    assert inspect(models.fixed_size()).inputs[0].shape == (1, 100, 100, 3)
    assert inspect(models.with_shape(("height", "width", 3))).inputs[0].shape == (None, None, 3)
    assert len(inspect(models.two_outputs()).outputs) == 2
    assert len(inspect(models.two_inputs()).inputs) == 2


def test_an_initialised_input_is_a_weight_and_no_input(inspect: Inspector) -> None:
    model = models.brighten()
    model.graph.input.append(helper.make_tensor_value_info("by", TensorProto.FLOAT, []))
    assert [tensor.name for tensor in inspect(model).inputs] == ["source"]


def test_parameters_are_floating_point_weights_wherever_they_are_kept(inspect: Inspector) -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [7], [0.0] * 7)
    model = chain(
        models.node("Constant", [], ["seven"], value=value),
        models.node("Conv", ["source", "weights"]),
        models.node("Gather", ["output", "index"], ["unused"]),
        weights=ones(5, 3, 3, 3),
        index=models.sizes(0, 0),
    )
    assert inspect(model).parameters == 5 * 3 * 3 * 3 + 7


def test_a_name_of_any_length_is_cut(inspect: Inspector) -> None:
    model = models.build_model(
        [models.node("Identity", ["x" * 10_000])], inputs=[("x" * 10_000, TensorProto.FLOAT, models.NHWC)]
    )
    assert len(inspect(model).inputs[0].name) == 80


@pytest.mark.parametrize(
    "content", [b"", b"no model", models.identity().SerializeToString()[:-20], b"\x00\x00\x00\x00ORTM"]
)
def test_a_file_that_is_no_whole_model_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole ONNX model"):
        inspect_model(path)


def test_the_name_of_the_file_does_not_choose_another_format(tmp_path: Path) -> None:
    path = models.save(models.brighten(), tmp_path / "model.json")
    assert inspect_model(path).parameters == 1
    path.write_text('{"irVersion": "9"}')
    with pytest.raises(ValueError, match="not a whole ONNX model"):
        inspect_model(path)


# --- what a submission may not hold


def in_function(domain: str = "local", name: str = "Noise") -> onnx.ModelProto:
    """A random operator inside a function of the model, which goes before a standard operator of its name."""
    model = models.build_model([models.node(name, ["source"], domain=domain)], domains=[domain] if domain else [])
    body = [models.node("RandomNormalLike", ["x"], ["y"])]
    model.functions.append(helper.make_function(domain, name, ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    return model


def in_constant() -> onnx.ModelProto:
    """External data in a Constant's value."""
    value = models.external_tensor("value", "/etc/hostname")
    return models.build_model([models.node("Constant", [], ["by"], value=value), models.node("Add", ["source", "by"])])


RANDOM = "the random operator RandomNormalLike"
EXTERNAL = "weights in another file"
ADD = models.node("Add", ["source", "by"], ["chosen"])
DROPOUT = models.build_model(
    [models.node("Dropout", ["source", "share", "on"])], weights={"share": models.constant(0.5), "on": np.array(True)}
)


@pytest.mark.parametrize(
    ("model", "phrase"),
    [
        (models.random_operator(), RANDOM),
        (models.branch(models.node("RandomNormalLike", ["source"], ["chosen"])), RANDOM),
        (in_function(), RANDOM),
        (in_function("", "Relu"), RANDOM),
        (DROPOUT, "the random operator Dropout"),
        (models.custom_domain(), "the custom operator 'com.microsoft.Gelu'"),
        (models.branch(models.node("Gelu", ["source"], ["chosen"], domain="com.microsoft")), "the custom operator"),
        (models.external_data(), EXTERNAL),
        (models.branch(ADD, [models.external_tensor("by", "../weights.bin")]), EXTERNAL),
        (in_constant(), EXTERNAL),
    ],
    ids="random nested function relu dropout custom custom-nested external external-nested constant".split(),
)
def test_what_is_refused_is_found_however_deep(inspect: Inspector, model: onnx.ModelProto, phrase: str) -> None:
    assert any(phrase in refused for refused in inspect(model).refused)


def test_a_name_cannot_write_to_the_terminal(inspect: Inspector) -> None:
    model = models.build_model([models.node("A\x1b[2J\nB" + "x" * 500, ["source"], domain="d")], domains=["d"])
    (phrase,) = inspect(model).refused
    assert phrase.isprintable()
    assert len(phrase) < 150


@pytest.mark.parametrize("model", [models.identity(), models.convolve(), models.endless_loop()])
def test_an_ordinary_model_is_not_refused(inspect: Inspector, model: onnx.ModelProto) -> None:
    assert inspect(model).refused == ()


# --- multiply-adds


def test_a_convolution_counts_its_weights_at_every_output_position(inspect: Inspector) -> None:
    assert inspect.count(models.convolve(8, 3)) == 8 * PIXELS * 3 * 9
    # 40x24 in steps of two: 20x12
    assert inspect.count(models.convolve(8, 3, strides=2)) == 8 * (20 * 12) * 3 * 9
    # each of the 8 channels sees 3 of the 12
    assert inspect.count(models.convolve(8, 5, groups=4)) == 8 * PIXELS * 3 * 25


def test_a_transposed_convolution_counts_its_weights_at_every_input_position(inspect: Inspector) -> None:
    assert inspect.count(models.convolve(8, 3, kind="ConvTranspose")) == 3 * PIXELS * 8 * 9
    # strides make the output larger, not the work
    assert inspect.count(models.convolve(8, 3, strides=2, kind="ConvTranspose")) == 3 * PIXELS * 8 * 9
    # two groups of 3 channels, each to 4
    assert inspect.count(models.convolve(8, 3, groups=2, strides=2, kind="ConvTranspose")) == 6 * PIXELS * 4 * 9


def test_a_matrix_product_counts_its_depth_for_every_value(inspect: Inspector) -> None:
    # (1, 3, 24, 40) @ (40, 7)
    assert inspect.count(chain(models.node("MatMul", ["source", "weights"]), weights=ones(40, 7))) == 3 * 24 * 7 * 40
    # every pair of rows: (1, 3, 24, 40) @ (1, 3, 40, 24)
    squared = chain(
        models.node("Transpose", ["source"], ["turned"], perm=[0, 1, 3, 2]),
        models.node("MatMul", ["source", "turned"]),
    )
    assert inspect.count(squared) == 3 * 24 * 24 * 40


@pytest.mark.parametrize(("transposed", "shape"), [(0, (3, -1)), (1, (-1, 3))])
def test_gemm_counts_its_depth_for_every_value(inspect: Inspector, transposed: int, shape: Sequence[int]) -> None:
    """A 3x960 matrix times 960x5, stored either way round."""
    model = chain(
        models.node("Reshape", ["source", "shape"], ["flat"]),
        models.node("Gemm", ["flat", "weights"], transA=transposed),
        shape=models.sizes(*shape),
        weights=ones(PIXELS, 5),
    )
    assert inspect.count(model) == 3 * PIXELS * 5


def test_several_nodes_add_up(inspect: Inspector) -> None:
    model = chain(
        models.node("Conv", ["source", "first"], ["hidden"], pads=[1] * 4),
        models.node("Relu", ["hidden"], ["active"]),
        models.node("Conv", ["active", "second"]),
        first=ones(4, 3, 3, 3),
        second=ones(3, 4, 1, 1),
    )
    assert inspect.count(model) == PIXELS * (4 * 3 * 9 + 3 * 4)


def halve() -> list[onnx.NodeProto]:
    """Keeps the first half of the source along `axes`, which the graph computes from the source's shape."""
    return [
        models.node("Shape", ["source"], ["shape"]),
        models.node("Gather", ["shape", "axes"], ["length"]),
        models.node("Div", ["length", "two"], ["half"]),
        models.node("Sub", ["half", "length"], ["end"]),
        models.node("Slice", ["source", "start", "end", "axes"], ["top"]),
    ]


def test_a_crop_that_the_graph_computes_is_followed(inspect: Inspector) -> None:
    model = chain(
        *halve(),
        models.node("Conv", ["top", "weights"]),
        axes=models.sizes(2),
        two=models.sizes(2),
        start=models.sizes(0),
        weights=ones(8, 3, 1, 1),
    )
    assert inspect.count(model) == 8 * PIXELS // 2 * 3


def test_a_product_of_constants_is_not_taken_for_free(inspect: Inspector) -> None:
    """At one known size it could be computed beforehand; a model of any size has to do it in every run."""
    model = chain(
        models.node("Shape", ["source"], ["shape"]),
        models.node("ConstantOfShape", ["shape"], ["blank"]),
        models.node("Conv", ["blank", "weights"], ["hidden"]),
        models.node("Add", ["source", "hidden"]),
        weights=ones(3, 3, 1, 1),
    )
    assert inspect.count(model) is None


def test_shapes_that_the_file_declares_wrongly_do_not_make_the_count_smaller(inspect: Inspector) -> None:
    model = models.convolve(8, 3)
    model.graph.value_info.append(helper.make_tensor_value_info("tiled", TensorProto.FLOAT, [1, 3, 1, 1]))
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.dim_value = 1
    assert inspect.count(model) == 8 * PIXELS * 3 * 9


def test_a_declared_layout_sets_the_size_that_is_counted(inspect: Inspector) -> None:
    model = chain(models.node("Conv", ["source", "weights"]), weights=ones(8, 3, 1, 1))
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "free"
    assert inspect.count(model, "NCHW") == 8 * PIXELS * 3


@pytest.mark.parametrize(
    "model",
    [
        models.custom_domain(),
        models.endless_loop(),
        models.branch(models.node("Neg", ["source"], ["chosen"])),
        in_function(),
        in_function("", "Relu"),
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
def test_what_cannot_be_counted_is_none_and_never_too_small(inspect: Inspector, model: onnx.ModelProto) -> None:
    assert inspect.count(model) is None


def test_the_speed_baseline_costs_what_its_layers_say() -> None:
    """SRCNN 9-5-5 on three channels: 3*64*81 + 64*32*25 + 32*3*25 = 69,152 weights at every pixel."""
    path = read_challenge("pirm2018b").baseline.model
    assert 3 * 64 * 81 + 64 * 32 * 25 + 32 * 3 * 25 == 69_152
    assert count_multiply_adds(path, layout="NHWC", width_px=1280, height_px=720) == 69_152 * 1280 * 720


# --- running


def run(tmp_path: Path, model: onnx.ModelProto, source: np.ndarray) -> np.ndarray:
    return load_model(models.save(model, tmp_path / "model.onnx"), threads=1)(source)


@pytest.fixture
def source() -> np.ndarray:
    return np.random.default_rng(3).random((1, 6, 5, 3), dtype=np.float32)


def test_a_model_computes_what_its_operators_say(tmp_path: Path, source: np.ndarray) -> None:
    np.testing.assert_array_equal(run(tmp_path, models.brighten(0.25), source), source + np.float32(0.25))
    channels_first = source.transpose(0, 3, 1, 2)
    swapped = run(tmp_path, models.identity_nchw(), np.ascontiguousarray(channels_first))
    np.testing.assert_array_equal(swapped, channels_first[:, ::-1])


def test_the_model_for_memory_is_an_identity(tmp_path: Path, source: np.ndarray) -> None:
    np.testing.assert_array_equal(run(tmp_path, models.allocate(1_000_000), source), source)


def test_a_file_is_run_as_onnx_whatever_else_it_looks_like(tmp_path: Path) -> None:
    """ONNX Runtime takes bytes 4 to 8 of 'ORTM' for its own format, which is not inspected.

    Here they are inside the producer's name (field 2) of a valid ONNX file.
    """
    model = models.brighten()
    name = b"xxORTMxx"
    content = b"\x12" + bytes([len(name)]) + name + model.SerializeToString()
    assert content[4:8] == b"ORTM"
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    source = np.zeros((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(load_model(path, threads=1)(source), source + np.float32(0.05))


def test_external_data_is_not_even_read_when_it_lies_there(tmp_path: Path, source: np.ndarray) -> None:
    (tmp_path / "weights.bin").write_bytes(np.float32(1).tobytes())
    with pytest.raises(Exception, match=r"(?i)external data"):
        run(tmp_path, models.external_data(), source)
