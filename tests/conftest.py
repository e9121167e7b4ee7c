"""Fixtures that more than one test module needs."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import onnx
import pytest
import tiny
from processes import LIMIT_BYTES, load

from harness.assets import open_store
from harness.challenge import Challenge, read_challenge
from harness.dataset import Dataset
from harness.datasets import open_dataset
from harness.isolation import ModelProcess
from harness.job import Evaluation
from harness.quality import bind_metrics
from harness.signals import ENDING
from harness.submission import SubmissionFolder, read_submission

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads would wait for the cores of other tests

ROOT = Path(__file__).parent.parent


def find_mirror() -> Path | None:
    """The mirror of upstream files, where there is one."""
    for candidate in (os.environ.get("HARNESS_ASSETS"), ROOT.parent / "shared" / "assets"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    return None


@pytest.fixture(scope="session")
def assets_dir() -> Path:
    mirror = find_mirror()
    if mirror is None:
        pytest.skip("no mirror of the upstream files (HARNESS_ASSETS or ../shared/assets)")
    return mirror


@pytest.fixture(scope="session")
def tensorflow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graphs and TensorFlow Lite models, written in a process of its own."""
    for package in ("tensorflow", "tf2onnx", "ai_edge_litert"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (the extras tensorflow and litert)")
    folder = tmp_path_factory.mktemp("tensorflow")
    subprocess.run(
        [sys.executable, Path(__file__).with_name("tensorflow_models.py"), folder], check=True, capture_output=True
    )
    return folder


@pytest.fixture(autouse=True)
def usual_signals() -> None:
    """As in a shell: pytest-xdist ignores SIGINT, a command that ended in this process all of them."""
    for number in ENDING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the children's own folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ModelProcess]]:
    """Starts a process with a model loaded; ends it with the test."""
    with contextlib.ExitStack() as stack:

        def start(model: onnx.ModelProto, *, limit_bytes: int = LIMIT_BYTES) -> ModelProcess:
            process = stack.enter_context(ModelProcess(memory_limit_bytes=limit_bytes))
            load(process, models.save(model, tmp_path / "model.onnx"))
            return process

        yield start


@pytest.fixture
def challenge(tmp_path: Path) -> Challenge:
    """The challenge with small limits."""
    return read_challenge(tiny.write_challenge(tmp_path / "challenge"))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three small pairs and a photo."""
    return open_dataset(str(tiny.write_dataset(tmp_path / "pictures")), open_store())


@pytest.fixture
def evaluation(challenge: Challenge, dataset: Dataset) -> Evaluation:
    """An evaluation of quality alone."""
    metrics, missing = bind_metrics(challenge, open_store())
    assert not missing
    return Evaluation(challenge, dataset, metrics, plan=None, threads=1)


@pytest.fixture
def submit(tmp_path: Path) -> Callable[..., SubmissionFolder]:
    """Writes a submission's folder and reads it."""

    def submit(model: onnx.ModelProto | bytes | None, name: str = "a", **keys: str) -> SubmissionFolder:
        return read_submission(models.write_submission(tmp_path / name, model, **keys))

    return submit


@pytest.fixture
def quick_training(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread and no figure: waiting for another thread, or drawing, takes longer than such a run."""
    import torch

    from reference import train

    if "figure" not in request.node.name:
        monkeypatch.setattr(train, "write_curves", lambda *_: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def torch_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch's threads as before; the number of those between operators can be set but once in a process."""
    import torch

    monkeypatch.setattr(torch, "set_num_interop_threads", lambda count: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
