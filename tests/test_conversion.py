"""TensorFlow's graphs: what becomes of them, what is refused, and that only the ONNX file is measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
from processes import LIMIT_BYTES, linux, run
from tiny import ignore

from harness import conversion, protocol
from harness.challenge import read_challenge
from harness.conversion import prepare_model
from harness.errors import DataError, ModelError, SubmissionError
from harness.evaluate import evaluate
from harness.isolation import ModelProcess
from harness.job import Evaluation
from harness.records import Record
from harness.submission import SubmissionFolder, read_submission
from harness.timing import TimingPlan

pytestmark = [linux, pytest.mark.slow]

PLAN = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)
IMPORTED_BYTES = 400_000_000
"""Less than a process has that has imported TensorFlow (700 MB), more than one that has not."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of the user's."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def judge(tmp_path: Path, evaluation: Evaluation, cache: Path) -> Callable[..., Record]:
    """Evaluates a submission with the challenge's own limits on a small model."""
    path = tiny.write_challenge(tmp_path / "roomy", memory_bytes=3_500_000_000, run_s=20.0)
    roomy = replace(evaluation, challenge=read_challenge(path))

    def judge(folder: SubmissionFolder, *, plan: TimingPlan | None = None) -> Record:
        return evaluate(folder, replace(roomy, plan=plan), split=None, on_progress=ignore)

    return judge


def submit_graph(folder: Path, graph: Path) -> SubmissionFolder:
    models.write_submission(folder, model_file="model.pb")
    (folder / "model.pb").write_bytes(graph.read_bytes())
    return read_submission(folder)


def list_psnr_db(record: Record) -> list[float]:
    assert record.quality is not None, record.failure
    return [score.values["psnr"] for score in record.quality.pairs]


# --- what becomes of a graph


def test_a_graph_scores_what_its_network_scores_as_onnx(
    judge: Callable[..., Record], tensorflow_models: Path, tmp_path: Path
) -> None:
    graph = judge(submit_graph(tmp_path / "graph", tensorflow_models / "brighten.pb"), plan=PLAN)
    written = read_submission(models.write_submission(tmp_path / "written", models.brighten(0.05)))
    assert list_psnr_db(graph) == pytest.approx(list_psnr_db(judge(written)), abs=1e-5)
    assert (graph.submission.runtime, graph.submission.model_file) == ("tensorflow", "model.pb")
    assert graph.submission.layout == "NHWC"
    assert graph.timing is not None
    assert graph.memory is not None
    assert graph.memory.loaded_bytes < IMPORTED_BYTES
    assert graph.environment.packages["tf2onnx"]


def test_the_cost_is_that_of_the_converted_graph(
    judge: Callable[..., Record], tensorflow_models: Path, tmp_path: Path
) -> None:
    cost = judge(submit_graph(tmp_path / "graph", tensorflow_models / "convolve.pb")).cost
    assert cost is not None
    assert cost.multiply_adds == 110 * 120 * 9 * 3 * 8 * 2
    assert cost.model_bytes == (tensorflow_models / "convolve.pb").stat().st_size


def test_a_graph_may_enlarge_its_input(cache: Path, tensorflow_models: Path) -> None:
    path, runtime = prepare_model(tensorflow_models / "enlarge.pb", "tensorflow")
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        process.load(path, runtime=runtime, threads=1, deadline_s=60)
        source = np.random.default_rng(3).random((1, 8, 9, 3), dtype=np.float32)
        output = process.fetch(run(process, source))
    assert np.array_equal(output, source.repeat(2, axis=1).repeat(2, axis=2))


def test_a_graph_is_converted_once(
    cache: Path, tensorflow_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, runtime = prepare_model(tensorflow_models / "brighten.pb", "tensorflow")
    assert runtime == "onnx"
    assert first.name == "brighten.pb.onnx"
    assert cache in first.parents
    monkeypatch.setattr(conversion, "ModelProcess", None)
    assert prepare_model(tensorflow_models / "brighten.pb", "tensorflow") == (first, "onnx")
    other = tmp_path / "brighten.pb"
    other.write_bytes((tensorflow_models / "brighten.pb").read_bytes() + b"\x00")
    with pytest.raises(TypeError, match="NoneType"):  # of another content, so it would be converted
        prepare_model(other, "tensorflow")
    monkeypatch.setattr(conversion, "find_versions", lambda packages: {"tf2onnx": "another"})
    with pytest.raises(TypeError, match="NoneType"):
        prepare_model(tensorflow_models / "brighten.pb", "tensorflow")


def test_what_needs_no_conversion_is_loaded_as_it_is(tmp_path: Path) -> None:
    assert prepare_model(tmp_path / "model.onnx", "onnx") == (tmp_path / "model.onnx", "onnx")


# --- what is refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "draw",
            "it holds the operator 'RandomUniform', which keeps a state, draws random numbers or calls Python",
        ),
        ("call_python", "it holds the operator 'PyFunc', which keeps a state"),
        ("read", "it holds the operator 'ReadFile', which reads files"),
        ("misnamed", "the graph has no operator named 'output'; give its last one that name."),
    ],
)
def test_a_graph_that_does_more_than_compute_is_refused(
    cache: Path, tensorflow_models: Path, name: str, reason: str
) -> None:
    with pytest.raises(ModelError) as caught:
        prepare_model(tensorflow_models / f"{name}.pb", "tensorflow")
    assert str(caught.value).startswith(f"its load failed: {name}.pb: ")
    assert reason in str(caught.value)
    assert not list(cache.rglob("*.onnx"))


@pytest.mark.parametrize("content", [b"no graph", b"", b"version https://git-lfs"])
def test_a_file_that_is_no_graph_is_one_sentence(
    cache: Path, tensorflow_models: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "model.pb"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"^its load failed: model\.pb: the file is .*; .*\.$"):
        prepare_model(path, "tensorflow")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fixed", "model.pb: its input [1x100x100x3] has a fixed size as NHWC; export it with free height and width."),
        ("two_inputs", "model.pb has 2 inputs and 1 outputs; export it with one of each."),
    ],
)
def test_the_converted_file_is_held_against_the_rules(
    judge: Callable[..., Record], tensorflow_models: Path, tmp_path: Path, name: str, reason: str
) -> None:
    record = judge(submit_graph(tmp_path / "graph", tensorflow_models / f"{name}.pb"))
    assert record.failure is not None
    assert reason in record.failure.message


def test_a_graph_that_is_not_there_is_a_sentence(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"model\.pb cannot be read \(No such file or directory\)"):
        prepare_model(tmp_path / "model.pb", "tensorflow")


def test_a_cache_that_takes_nothing_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the folder's place")
    with pytest.raises(DataError, match=r"cannot store .*; make the folder writable, or room on its disk"):
        conversion.store_converted(tmp_path / "cache" / "model.onnx", b"")


def test_a_conversion_too_large_to_send_is_a_failure(
    cache: Path, tensorflow_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONVERTED_BYTES", 10)  # of this process alone: the child takes its own to hold
    with pytest.raises(ModelError, match="during load"):
        prepare_model(tensorflow_models / "brighten.pb", "tensorflow")
