"""TensorFlow Lite: what a file declares, what it costs, and how it runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
from processes import LIMIT_BYTES, linux, run
from tiny import ignore

from harness import protocol
from harness.challenge import read_challenge
from harness.errors import ModelError, SubmissionError
from harness.evaluate import evaluate
from harness.flags import find_flags
from harness.isolation import ModelProcess
from harness.job import Evaluation
from harness.submission import SubmissionFolder, check_interface, read_submission
from harness.timing import TimingPlan

pytestmark = linux

FREE = protocol.Tensor("input", "float32", (1, None, None, 3))
STATE = "which keeps something between its runs"


@pytest.fixture
def process() -> Iterator[ModelProcess]:
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        yield process


def submit(folder: Path, model: Path) -> SubmissionFolder:
    models.write_submission(folder, model_file="model.tflite")
    (folder / "model.tflite").write_bytes(model.read_bytes())
    return read_submission(folder)


def inspect(process: ModelProcess, path: Path) -> protocol.Inspected:
    return process.inspect(path, runtime="litert", deadline_s=60)


def count(process: ModelProcess, path: Path) -> int | None:
    return process.count(path, protocol.Count("litert", "NHWC", 24, 16), deadline_s=60)


# --- what a file declares


def test_a_file_is_read(process: ModelProcess, tensorflow_models: Path, tmp_path: Path) -> None:
    inspected = inspect(process, tensorflow_models / "convolve.tflite")
    assert inspected.inputs == (FREE,)
    assert inspected.outputs == (replace_name(FREE, "Identity"),)
    assert inspected.parameters == pytest.approx(2 * 9 * 3 * 8, abs=11)  # the converter adds biases of zeros
    assert (inspected.refused, inspected.control_flow) == ((), ())
    assert check_interface(submit(tmp_path / "a", tensorflow_models / "convolve.tflite"), inspected) == "NHWC"


def replace_name(tensor: protocol.Tensor, name: str) -> protocol.Tensor:
    return protocol.Tensor(name, tensor.dtype, tensor.shape)


def test_weights_of_half_precision_count_once(process: ModelProcess, tensorflow_models: Path) -> None:
    names = ("convolve.tflite", "half.tflite")
    whole, half = (inspect(process, tensorflow_models / name).parameters for name in names)
    assert half == whole


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("draw", "the random operator RANDOM_UNIFORM, whose values depend on the runs before"),
        ("counter", f"the operator ASSIGN_VARIABLE, {STATE}"),
        ("custom", "a custom operator"),
    ],
)
def test_what_a_file_may_not_hold_is_found(
    process: ModelProcess, tensorflow_models: Path, tmp_path: Path, name: str, refused: str
) -> None:
    inspected = inspect(process, tensorflow_models / f"{name}.tflite")
    assert refused in inspected.refused
    with pytest.raises(SubmissionError, match=r"^model\.tflite holds .*; export it whole"):
        check_interface(submit(tmp_path / "a", tensorflow_models / f"{name}.tflite"), inspected)


def test_a_loop_is_named(process: ModelProcess, tensorflow_models: Path) -> None:
    assert inspect(process, tensorflow_models / "loop.tflite").control_flow == ("WHILE",)
    assert count(process, tensorflow_models / "loop.tflite") is None


def test_a_fixed_size_that_can_be_set_all_the_same_is_free(process: ModelProcess, tensorflow_models: Path) -> None:
    inspected = inspect(process, tensorflow_models / "fixed.tflite")
    assert inspected.inputs == (FREE,)
    image = np.random.default_rng(4).random((1, 24, 36, 3), dtype=np.float32)
    outputs = []
    for name in ("fixed.tflite", "convolve.tflite"):
        with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as fresh:
            fresh.load(tensorflow_models / name, runtime="litert", threads=1, deadline_s=60)
            outputs.append(fresh.fetch(run(fresh, image)))
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_a_size_that_the_network_needs_is_refused(
    process: ModelProcess, tensorflow_models: Path, tmp_path: Path
) -> None:
    inspected = inspect(process, tensorflow_models / "stick.tflite")
    sentence = r"^model\.tflite: its input \[1x100x100x3\] has a fixed size as NHWC; export it with free height"
    with pytest.raises(SubmissionError, match=sentence):
        check_interface(submit(tmp_path / "a", tensorflow_models / "stick.tflite"), inspected)


@pytest.mark.parametrize("cut", [0, 8, 40, 400, 2000], ids=str)
def test_a_part_of_a_file_is_one_sentence(
    process: ModelProcess, tensorflow_models: Path, tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes((tensorflow_models / "convolve.tflite").read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"^its load failed: model\.tflite: the file .*; export it again\.$"):
        inspect(process, path)


def test_damaged_files_end_in_a_sentence_or_are_read(
    process: ModelProcess, tensorflow_models: Path, tmp_path: Path
) -> None:
    random, content = np.random.default_rng(7), (tensorflow_models / "convolve.tflite").read_bytes()
    path, failed = tmp_path / "model.tflite", 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in random.integers(8, len(content), 4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            inspect(process, path)
        except ModelError as error:
            failed += 1
            assert "\n" not in str(error)
            assert error.kind == "error", error
    assert 0 < failed < 200


# --- what it costs and how it runs


def test_each_operator_that_multiplies_is_counted(process: ModelProcess, tensorflow_models: Path) -> None:
    halved, flat = 12 * 8, 24 * 16
    convolution, depthwise, transposed = halved * 8 * 27, halved * 8 * 9, halved * 8 * 27
    assert count(process, tensorflow_models / "multiply.tflite") == convolution + depthwise + transposed + 3 * flat * 9
    assert count(process, tensorflow_models / "convolve.tflite") == flat * 9 * 3 * 8 * 2
    assert count(process, tensorflow_models / "brighten.tflite") == 0


def test_a_model_takes_each_size(process: ModelProcess, tensorflow_models: Path) -> None:
    process.load(tensorflow_models / "enlarge.tflite", runtime="litert", threads=1, deadline_s=60)
    random = np.random.default_rng(3)
    for height_px, width_px in ((8, 9), (1, 1), (70, 20), (8, 9)):
        source = random.random((1, height_px, width_px, 3), dtype=np.float32)
        output = process.fetch(run(process, source))
        assert np.array_equal(output, source.repeat(2, axis=1).repeat(2, axis=2))


def test_it_runs_on_the_cpu_alone(process: ModelProcess, tensorflow_models: Path) -> None:
    with pytest.raises(ModelError, match="LiteRT runs on the CPU here, not on cuda; leave out --device"):
        process.load(tensorflow_models / "brighten.tflite", runtime="litert", threads=1, deadline_s=60, device="cuda")


def test_a_submission_is_evaluated(evaluation: Evaluation, tensorflow_models: Path, tmp_path: Path) -> None:
    path = tiny.write_challenge(tmp_path / "roomy", width_px=320, height_px=240, run_s=20.0)
    plan = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)
    roomy = replace(evaluation, challenge=read_challenge(path), plan=plan)
    folder = submit(tmp_path / "a", tensorflow_models / "brighten.tflite")
    record = evaluate(folder, roomy, split=None, on_progress=ignore)
    written = read_submission(models.write_submission(tmp_path / "written", models.brighten(0.05)))
    expected = evaluate(written, replace(roomy, plan=None), split=None, on_progress=ignore)
    assert record.quality is not None, record.failure
    assert expected.quality is not None
    assert [score.values for score in record.quality.pairs] == [
        pytest.approx(score.values, abs=1e-5) for score in expected.quality.pairs
    ]
    assert find_flags(record) == ()
    assert record.environment.packages["ai-edge-litert"]
