"""PyTorch source with weights: what is said of faulty files, who may run it, and that it is caught where it cheats."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
import torch
from processes import linux
from safetensors.torch import save
from tiny import ignore

from harness.challenge import read_challenge
from harness.errors import ModelError, SubmissionError
from harness.evaluate import evaluate
from harness.isolation import NEEDED_FOR_CODE, ModelProcess
from harness.job import Evaluation
from harness.records import Record
from harness.runtimes import torch_module as runtime
from harness.submission import hash_model, read_submission
from harness.timing import TimingPlan

SOURCE = np.random.default_rng(3).random((1, 3, 8, 9), dtype=np.float32)
CODE = """\
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    channels: int = 3


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(config.channels, 1, 1))
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return x + self.drop(self.shift)


def build():
    return Network(Config())
"""
pytestmark = pytest.mark.usefixtures("torch_threads")
WEIGHTS = {"shift": torch.full((3, 1, 1), 0.05)}
PLAN = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)


@pytest.fixture
def judge(tmp_path: Path, evaluation: Evaluation) -> Callable[..., Record]:
    """Evaluates a source, with leave and with memory for its runtime."""
    path = tiny.write_challenge(tmp_path / "roomy", memory_bytes=3_500_000_000, run_s=20.0)
    roomy = replace(evaluation, challenge=read_challenge(path), plan=PLAN)

    def judge(code: str, *, allow_code: bool = True) -> Record:
        folder = read_submission(write_source(tmp_path / "source", code))
        return evaluate(folder, replace(roomy, allow_code=allow_code), split=None, on_progress=ignore)

    return judge


def write_source(folder: Path, code: str = CODE, weights: bytes | None = None) -> Path:
    models.write_submission(folder, runtime="torch")
    (folder / "model.py").write_text(code)
    (folder / "weights.safetensors").write_bytes(save(WEIGHTS) if weights is None else weights)
    return folder


# --- what it computes


def test_the_network_gets_its_weights_and_no_dropout() -> None:
    program = runtime.load_model(CODE.encode(), save(WEIGHTS), kind="torch", threads=1, device="cpu", seed=None)
    program.place(SOURCE)
    program.run()
    assert np.array_equal(program.take(), SOURCE + np.float32(0.05))
    inspected = runtime.inspect_model(CODE.encode(), save(WEIGHTS), kind="torch")
    assert (inspected.parameters, inspected.refused) == (3, ())


@linux
def test_a_source_scores_what_its_network_scores_as_onnx(
    judge: Callable[..., Record], evaluation: Evaluation, tmp_path: Path
) -> None:
    record = judge(CODE)
    written = read_submission(models.write_submission(tmp_path / "written", models.brighten(0.05)))
    expected = evaluate(written, evaluation, split=None, on_progress=ignore)
    assert record.quality is not None, record.failure
    assert expected.quality is not None
    assert [score.values for score in record.quality.pairs] == [
        pytest.approx(score.values, abs=1e-5) for score in expected.quality.pairs
    ]
    assert record.timing is not None
    assert {"torch", "safetensors"} <= set(record.environment.packages)


# --- what is said of faulty files


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def build(:", r"it is no valid Python \(.*line 1\); correct it"),
        ("import nowhere", r"it fails as it is imported \(ModuleNotFoundError: .*nowhere.*\); mend it"),
        ("build = 3", r"it has no function build\(\); write one that takes nothing"),
        ("def build(x): ...", r"its build\(\) fails \(TypeError: .*\); mend it"),
        ("def build(): return 3", r"its build\(\) returns int; it must return a torch\.nn\.Module"),
        ("from torch import nn\ndef build(): return nn.Conv2d(3, 3, 1)", r"weights are not those of its network"),
    ],
)
def test_a_source_that_gives_no_network_is_one_sentence(code: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        runtime.build_network(code.encode(), save(WEIGHTS))
    assert "\n" not in str(caught.value)


def test_weights_are_no_pickle() -> None:
    with pytest.raises(ValueError, match=r"the weights are no whole safetensors file \(.*\); save them again"):
        runtime.build_network(CODE.encode(), b"\x80\x04.")


def test_both_files_belong_to_the_model(tmp_path: Path) -> None:
    folder = read_submission(write_source(tmp_path / "a"))
    whole, size = hash_model(folder, limit_bytes=10_000)
    assert size == len(CODE) + len(save(WEIGHTS))
    with pytest.raises(
        SubmissionError, match=r"model\.py and weights\.safetensors have 0\.0 MB, 0\.0001 MB are allowed"
    ):
        hash_model(folder, limit_bytes=100)
    write_source(tmp_path / "a", weights=save({"shift": torch.zeros(3, 1, 1)}))
    assert hash_model(folder, limit_bytes=10_000)[0] != whole
    (tmp_path / "a" / "weights.safetensors").unlink()
    with pytest.raises(SubmissionError, match=r"^weights\.safetensors is not there as a regular file") as caught:
        hash_model(folder, limit_bytes=10_000)
    assert caught.value.kind == "missing"


# --- who may run it


@linux
def test_a_source_runs_only_with_leave(judge: Callable[..., Record]) -> None:
    record = judge(CODE, allow_code=False)
    assert record.failure is not None
    assert record.failure.message == (
        "its model is a program (torch); if you trust who sent it, run it with --allow-code."
    )


@linux
@pytest.mark.parametrize("layer", NEEDED_FOR_CODE)
def test_a_source_runs_only_behind_the_layers_for_code(tmp_path: Path, layer: str) -> None:
    folder = write_source(tmp_path / "a")
    with ModelProcess(memory_limit_bytes=3_500_000_000, allow_code=True) as process:
        process.isolation[layer] = "off: not here"
        with pytest.raises(ModelError, match=f"which runs only behind {layer}, and that is off: not here"):
            process.load(folder / "model.py", runtime="torch", threads=1, deadline_s=60)


REACHES = """
import os, socket, subprocess
from pathlib import Path

def attempt(name, action):
    try:
        action()
    except OSError:
        return
    raise SystemError(name)

def build():
    attempt("reads", lambda: Path("/etc/passwd").read_text())
    attempt("finds itself", lambda: Path({folder!r}).joinpath("submission.toml").read_text())
    attempt("writes", lambda: Path({folder!r}).joinpath("written").write_text("x"))
    attempt("starts", lambda: subprocess.run(["/bin/true"]))
    attempt("connects", lambda: socket.socket())
    return Network(Config())
"""


@linux
def test_a_source_reaches_nothing(judge: Callable[..., Record], tmp_path: Path) -> None:
    record = judge(CODE.partition("def build")[0] + REACHES.format(folder=str(tmp_path / "source")))
    assert record.quality is not None, record.failure


STOPS_THE_CLOCK = """
import time
frozen = time.perf_counter_ns()
time.perf_counter_ns = lambda: frozen + 1
"""


@linux
def test_a_source_that_stops_the_clock_is_caught(judge: Callable[..., Record]) -> None:
    slow = CODE.replace("        return x", "        torch.ones(600, 600).matrix_power(400)\n        return x")
    record = judge(slow + STOPS_THE_CLOCK)
    assert record.failure is not None
    assert record.failure.kind in ("false_time", "crash")
