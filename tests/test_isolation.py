"""The child process: what it answers, what it gets of its parent, and that it always ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import psutil
import pytest
from onnx import TensorProto
from processes import LIMIT_BYTES, MEGABYTE, PARENT, SOURCE, is_gone, linux, list_files, load, run, wait_for

from harness import isolation, protocol
from harness.errors import ModelError
from harness.isolation import ModelProcess

pytestmark = pytest.mark.usefixtures("scratch")


# --- a model's answers


def test_a_model_answers_with_what_it_computed(start: Callable[..., ModelProcess]) -> None:
    process = start(models.brighten(0.25))
    for source in (SOURCE, SOURCE[:, ::2], np.zeros((1, 300, 200, 3), np.float32)):
        ran = run(process, source)
        assert (ran.shape, ran.dtype) == (source.shape, "float32")
        assert ran.wall_ns > 0
        np.testing.assert_array_equal(process.fetch(ran), source + np.float32(0.25))


def test_a_graph_is_inspected_in_the_child(tmp_path: Path) -> None:
    path = models.save(models.convolve(), tmp_path / "model.onnx")
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        graph = process.inspect(path, runtime="onnx", deadline_s=60)
        count = process.count(path, protocol.Count("onnx", "NCHW", 20, 10), deadline_s=60)
    assert (graph.parameters, count) == (216, 8 * 200 * 27)


def test_an_output_of_another_type_is_not_fetched(start: Callable[..., ModelProcess]) -> None:
    process = start(models.with_output_type(TensorProto.DOUBLE))
    with pytest.raises(ModelError, match="its output is float64; it must be float32") as caught:
        process.fetch(run(process))
    assert (caught.value.stage, caught.value.kind) == ("output", "wrong_type")


def test_what_a_model_throws_is_one_line_and_the_child_lives_on(start: Callable[..., ModelProcess]) -> None:
    process = start(models.brighten())
    with pytest.raises(ModelError, match=r"^its run failed: .*rank") as caught:
        run(process, np.zeros((2, 2), np.float32))
    assert (caught.value.stage, caught.value.kind) == ("run", "error")
    assert "\n" not in str(caught.value)
    assert run(process).shape == SOURCE.shape


def test_a_file_that_does_not_load_is_a_failed_load(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        with pytest.raises(ModelError, match="its load failed") as caught:
            load(process, path)
        with pytest.raises(ModelError, match="unknown runtime 'keras'"):
            process.load(path, runtime="keras", threads=1, deadline_s=60)
        with pytest.raises(ModelError, match="no model is loaded"):
            run(process)
    assert caught.value.stage == "load"


# --- what the child gets


@linux
def test_the_child_knows_nothing_of_the_parents_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "42")
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        lines = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
        folder = str(Path(f"/proc/{process.pid}/cwd").readlink())
    environment = dict(line.split("=", 1) for line in lines if line)
    assert environment.keys() == {
        "PATH", "PYTHONPATH", "HOME", "TMPDIR", "LC_ALL", "ORT_DISABLE_TELEMETRY", "PYTHONDONTWRITEBYTECODE",
        "OPENBLAS_NUM_THREADS",
    }  # fmt: skip
    assert environment["HOME"] == environment["TMPDIR"] == folder
    assert environment["PATH"] == os.defpath


@linux
def test_the_child_gets_no_open_file_of_the_parent(tmp_path: Path, start: Callable[..., ModelProcess]) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        process = start(models.identity())
        opened = list_files(process.pid)
    assert str(tmp_path / "secret") not in opened
    assert sum(target.startswith("socket:") for target in opened) == 1


@linux
def test_the_child_is_limited_from_within_as_well(start: Callable[..., ModelProcess]) -> None:
    child = psutil.Process(start(models.identity()).pid)
    assert child.rlimit(psutil.RLIMIT_DATA) == (650 * MEGABYTE, 650 * MEGABYTE)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)


def test_the_child_leads_a_process_group_and_session_of_its_own(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
    assert os.getpgid(0) != process.pid


# --- nothing is left


def test_nothing_is_left_after_a_failing_block(scratch: Path) -> None:
    children = psutil.Process().children(recursive=True)
    with pytest.raises(KeyError), ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        pid = process.pid
        assert len(list(scratch.iterdir())) == 1
        raise KeyError
    assert is_gone(pid)
    assert psutil.Process().children(recursive=True) == children
    assert not list(scratch.iterdir())


def test_nothing_is_left_when_the_child_cannot_start(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError), ModelProcess(memory_limit_bytes=LIMIT_BYTES):
        pass
    assert not list(scratch.iterdir())


@linux
def test_no_descriptor_and_no_thread_is_left(tmp_path: Path) -> None:
    path = models.save(models.identity(), tmp_path / "model.onnx")
    count, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(3):
        with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
            load(process, path)
            assert len(list(Path("/proc/self/fd").iterdir())) > count
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == (count, threads)


def test_a_stopped_child_is_ended_as_well(start: Callable[..., ModelProcess]) -> None:
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        process.pause()
        assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        pid = process.pid
    assert is_gone(pid)


def test_what_the_child_started_is_killed_with_it() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert not is_gone(grandchild)
        isolation.kill_group(process)
    assert process.returncode == -signal.SIGKILL
    assert wait_for(lambda: is_gone(grandchild))
    isolation.kill_group(process)  # a second time does no harm


@linux
def test_the_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    path = models.save(models.endless_loop(), tmp_path / "model.onnx")
    with subprocess.Popen([sys.executable, "-c", PARENT, path, "1"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert not is_gone(pid)
        parent.kill()
    assert wait_for(lambda: is_gone(pid))


# --- pausing


def test_a_paused_child_stands_still_until_it_is_woken(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    child = psutil.Process(process.pid)
    for _ in range(20):
        process.pause()
        assert child.status() == psutil.STATUS_STOPPED  # at once
        process.resume()
        assert run(process).shape == SOURCE.shape
        assert child.status() != psutil.STATUS_STOPPED


def test_a_child_that_has_ended_can_be_paused(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    os.kill(process.pid, signal.SIGKILL)
    process.pause()
    process.resume()
    with pytest.raises(ModelError, match="ended with SIGKILL"):
        run(process)
