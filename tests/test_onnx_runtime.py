"""What an ONNX file declares, what it may not hold, and that it runs as its operators say."""

from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from harness.protocol import Inspected, Tensor
from harness.runtimes.onnx import BoundSession, inspect_model, load_model

Inspect = Callable[[onnx.ModelProto], Inspected]


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    """Writes a model and inspects it."""
    return lambda model: inspect_model(model.SerializeToString())


# --- what a graph declares


def test_a_graph_is_described(inspect: Inspect) -> None:
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
def test_the_types_of_input_and_output_are_told(inspect: Inspect, kind: int, name: str) -> None:
    assert inspect(models.with_type(kind)).inputs[0].dtype == name
    assert inspect(models.with_output_type(kind)).outputs[0].dtype == name
    assert inspect(models.with_output_type(kind)).inputs[0].dtype == "float32"


def test_shapes_and_numbers_of_inputs_are_told(inspect: Inspect) -> None:
    assert inspect(models.fixed_size()).inputs[0].shape == (1, 100, 100, 3)
    assert inspect(models.with_shape(("height", "width", 3))).inputs[0].shape == (None, None, 3)
    assert len(inspect(models.two_outputs()).outputs) == 2
    assert len(inspect(models.two_inputs()).inputs) == 2


def test_an_initialised_input_is_a_weight_and_no_input(inspect: Inspect) -> None:
    model = models.brighten()
    model.graph.input.append(helper.make_tensor_value_info("by", TensorProto.FLOAT, []))
    assert [tensor.name for tensor in inspect(model).inputs] == ["source"]


def test_parameters_are_floating_point_weights_wherever_they_are_kept(inspect: Inspect) -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [7], [0.0] * 7)
    model = models.build_model(
        [
            models.node("Constant", [], ["seven"], value=value),
            models.node("Gather", ["seven", "index"], ["one"]),
            models.node("Conv", ["source", "weights"]),
        ],
        weights={"weights": np.ones((5, 3, 3, 3), np.float32), "index": models.sizes(0, 0)},
    )
    assert inspect(model).parameters == 5 * 3 * 3 * 3 + 7


def test_a_name_of_any_length_is_cut(inspect: Inspect) -> None:
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
        inspect_model(path.read_bytes())


def test_the_name_of_the_file_does_not_choose_another_format(tmp_path: Path) -> None:
    path = models.save(models.brighten(), tmp_path / "model.json")
    assert inspect_model(path.read_bytes()).parameters == 1
    path.write_text('{"irVersion": "9"}')
    with pytest.raises(ValueError, match="not a whole ONNX model"):
        inspect_model(path.read_bytes())


# --- what a submission may not hold


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
        (models.in_function(), RANDOM),
        (models.in_function("", "Relu"), RANDOM),
        (DROPOUT, "the random operator Dropout"),
        (models.custom_domain(), "the custom operator 'com.microsoft.Gelu'"),
        (models.branch(models.node("Gelu", ["source"], ["chosen"], domain="com.microsoft")), "the custom operator"),
        (models.external_data(), EXTERNAL),
        (models.branch(ADD, [models.external_tensor("by", "../weights.bin")]), EXTERNAL),
        (in_constant(), EXTERNAL),
    ],
    ids="random nested function relu dropout custom custom-nested external external-nested constant".split(),
)
def test_what_is_refused_is_found_however_deep(inspect: Inspect, model: onnx.ModelProto, phrase: str) -> None:
    assert any(phrase in refused for refused in inspect(model).refused)


def test_a_name_cannot_write_to_the_terminal(inspect: Inspect) -> None:
    model = models.build_model([models.node("A\x1b[2J\nB" + "x" * 500, ["source"], domain="d")], domains=["d"])
    (phrase,) = inspect(model).refused
    assert phrase.isprintable()
    assert len(phrase) < 150


@pytest.mark.parametrize("model", [models.identity(), models.convolve(), models.endless_loop()])
def test_an_ordinary_model_is_not_refused(inspect: Inspect, model: onnx.ModelProto) -> None:
    assert inspect(model).refused == ()


# --- running


def run_content(content: bytes, source: np.ndarray, *, bound: bool = False) -> np.ndarray:
    session = load_model(content, threads=1)
    model = BoundSession(session.session, "cpu") if bound else session
    model.place(source)
    model.run()
    return model.take()


def run(tmp_path: Path, model: onnx.ModelProto, source: np.ndarray) -> np.ndarray:
    output = run_content(model.SerializeToString(), source)
    # the way of a GPU, on the CPU
    np.testing.assert_array_equal(run_content(model.SerializeToString(), source, bound=True), output)
    return output


HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.skipif(not HAS_CUDA, reason="ONNX Runtime has no CUDA provider here")
def test_cuda_computes_what_the_cpu_does(tmp_path: Path, source: np.ndarray) -> None:
    content = models.convolve().SerializeToString()
    planes = np.ascontiguousarray(source.transpose(0, 3, 1, 2))
    model = load_model(content, threads=1, device="cuda")
    assert isinstance(model, BoundSession)
    model.place(planes)
    model.run()
    np.testing.assert_allclose(model.take(), run_content(content, planes), atol=1e-2)  # sums of up to 27, TF32 allowed


@pytest.mark.skipif(HAS_CUDA, reason="ONNX Runtime has a CUDA provider here")
def test_cuda_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="CUDA is not available to ONNX Runtime; install onnxruntime-gpu"):
        load_model(models.brighten().SerializeToString(), threads=1, device="cuda")


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
    np.testing.assert_array_equal(run_content(path.read_bytes(), source), source + np.float32(0.05))


def test_external_data_is_not_even_read_when_it_lies_there(tmp_path: Path, source: np.ndarray) -> None:
    (tmp_path / "weights.bin").write_bytes(np.float32(1).tobytes())
    with pytest.raises(Exception, match=r"(?i)external data"):
        run(tmp_path, models.external_data(), source)
