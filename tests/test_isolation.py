"""The child process: what it gets, what it may take, how it is measured, and that it always ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import msgspec
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto

from harness import isolation, protocol, worker
from harness.errors import HarnessError, ModelError
from harness.isolation import ModelProcess

MEGABYTE = 1_000_000
LIMIT_BYTES = 500 * MEGABYTE
SOURCE = np.random.default_rng(11).random((1, 8, 9, 3), dtype=np.float32)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
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


def load(process: ModelProcess, path: Path, *, deadline_s: float = 60) -> int:
    return process.load(path, runtime="onnx", threads=1, deadline_s=deadline_s)


def run(process: ModelProcess, source: np.ndarray = SOURCE, *, deadline_s: float = 60) -> protocol.Ran:
    process.put(source)
    return process.run(deadline_s=deadline_s)


def wait_for(condition: Callable[[], bool], *, within_s: float = 10) -> bool:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def list_files(pid: int) -> set[str]:
    """What a process has open (Linux)."""
    return {path.readlink().as_posix() for path in Path(f"/proc/{pid}/fd").iterdir()}


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
        count = process.count(protocol.Count("onnx", str(path), "NCHW", 20, 10), deadline_s=60)
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
        with pytest.raises(ModelError, match="unknown runtime 'torch'"):
            process.load(path, runtime="torch", threads=1, deadline_s=60)
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
        "PATH", "PYTHONPATH", "HOME", "TMPDIR", "LC_ALL", "ORT_DISABLE_TELEMETRY", "PYTHONDONTWRITEBYTECODE"
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


PARENT = """
import sys
from pathlib import Path
import numpy as np
from harness.isolation import ModelProcess

held = np.ones(int(sys.argv[2]), np.uint8)
with ModelProcess(memory_limit_bytes=10**9) as process:
    process.load(Path(sys.argv[1]), runtime="onnx", threads=1, deadline_s=60)
    loaded_bytes = process.read_peak_bytes()
    process.reset_peak()
    process.put(np.ones((1, 400, 300, 3), np.float32))
    print(process.pid, flush=True)
    process.run(deadline_s=60)
    print(loaded_bytes, process.read_peak_bytes(), held[-1])
"""


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


# --- memory


def measure_from_parent(path: Path, held_bytes: int) -> list[int]:
    """Loaded and peak bytes of a model's process whose parent holds that much memory."""
    command = [sys.executable, "-c", PARENT, str(path), str(held_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [int(word) for word in done.stdout.splitlines()[1].split()[:2]]


@linux
def test_a_parent_of_a_gigabyte_does_not_change_the_childs_peak(tmp_path: Path) -> None:
    path = models.save(models.allocate(100 * MEGABYTE), tmp_path / "model.onnx")
    small, large = (measure_from_parent(path, held) for held in (1, 1000 * MEGABYTE))
    assert np.abs(np.subtract(small, large)).max() < 5 * MEGABYTE
    assert small[1] - small[0] > 100 * MEGABYTE  # or there was nothing to compare


@linux
def test_memory_that_a_run_takes_is_seen(start: Callable[..., ModelProcess]) -> None:
    """400 MB, beside ONNX Runtime's own book-keeping: 8 bytes for every 256 of a region, here of 2**29 bytes."""
    peaks = []
    for byte_count in (0, 400 * MEGABYTE):
        process = start(models.allocate(byte_count) if byte_count else models.identity(), limit_bytes=10**9)
        process.reset_peak()
        run(process)
        peaks.append(process.read_peak_bytes())
    assert peaks[1] - peaks[0] == pytest.approx(400 * MEGABYTE + 2**29 / 32, rel=0.02)


@linux
def test_a_second_run_takes_no_more_than_the_first(start: Callable[..., ModelProcess]) -> None:
    """With ONNX Runtime's memory pattern on, this model's peak grew from 174 to 272 MB (1.32.0, Linux, 2026-11)."""
    process = start(models.widen(8))
    peaks = []
    for _ in range(3):
        process.reset_peak()
        run(process, np.ones((1, 700, 700, 3), np.float32))
        peaks.append(process.read_peak_bytes())
    assert max(peaks) < peaks[0] + 20 * MEGABYTE


@linux
def test_the_peak_starts_anew_after_loading(tmp_path: Path, start: Callable[..., ModelProcess]) -> None:
    large = models.build_model(
        [models.node("Add", ["source", "by"])], weights={"by": np.ones((1, 1000, 5000, 3), np.float32)}
    )
    process = start(large)
    loaded_bytes = process.read_peak_bytes()
    process.reset_peak()
    assert process.read_peak_bytes() < loaded_bytes - 50 * MEGABYTE
    assert process.read_peak_bytes() > 60 * MEGABYTE


@linux
def test_an_outputs_way_to_the_parent_is_not_counted(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    ran = run(process, np.ones((1, 1000, 2000, 3), np.float32))
    process.reset_peak()
    before = process.read_peak_bytes()
    assert process.fetch(ran).sum() == 6_000_000
    assert process.read_peak_bytes() - before < 4 * MEGABYTE  # the output has 24


@pytest.mark.parametrize("byte_count", [700 * MEGABYTE, 8000 * MEGABYTE], ids=["held", "refused"])
def test_too_much_memory_is_said_with_the_limit(start: Callable[..., ModelProcess], byte_count: int) -> None:
    process = start(models.allocate(byte_count), limit_bytes=350 * MEGABYTE)
    with pytest.raises(ModelError, match=r"^out of memory \(limit 0\.35 GB\) during run\.$") as caught:
        run(process)
    assert (caught.value.stage, caught.value.kind) == ("run", "out_of_memory")


def test_the_watchdog_kills_what_holds_too_much() -> None:
    code = f"import time; held = bytearray({100 * MEGABYTE}); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        watchdog = isolation.Watchdog(process, 50 * MEGABYTE)
        assert process.wait(timeout=30) == -signal.SIGKILL
        watchdog.stop()
    assert watchdog.verdict == "out_of_memory"
    assert watchdog.peak_bytes > 50 * MEGABYTE


@linux
def test_the_last_output_does_not_count_in_the_next_run(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    peaks = []
    process.put(np.ones((1, 1000, 2000, 3), np.float32))
    for _ in range(2):
        process.reset_peak()
        process.run(deadline_s=60)
        peaks.append(process.read_peak_bytes())
    assert peaks[1] - peaks[0] < 4 * MEGABYTE  # the output has 24


@linux
def test_a_peak_between_two_looks_is_seen(start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "POLL_S", 600)
    process = start(models.allocate(300 * MEGABYTE), limit_bytes=350 * MEGABYTE)
    with pytest.raises(ModelError, match="out of memory"):
        run(process)


@linux
def test_a_peak_while_loading_counts_as_well(
    start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "POLL_S", 600)
    large = models.build_model(
        [models.node("Add", ["source", "by"])], weights={"by": np.ones((1, 1000, 4000, 3), np.float32)}
    )
    with pytest.raises(ModelError, match=r"during load\.$") as caught:
        start(large, limit_bytes=110 * MEGABYTE)
    assert (caught.value.stage, caught.value.kind) == ("load", "out_of_memory")


@linux
def test_the_peak_of_a_process_that_is_gone_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert isolation.read_peak_bytes(process.pid) is None
    assert isolation.read_peak_bytes(os.getpid()) > MEGABYTE


# --- time


def test_a_run_that_never_ends_is_killed_at_its_deadline(start: Callable[..., ModelProcess]) -> None:
    process = start(models.endless_loop())
    process.put(SOURCE)
    start_s = time.monotonic()
    with pytest.raises(ModelError, match=r"^no end of run within 1\.5 s\.$") as caught:
        process.run(deadline_s=1.5)
    assert 1.5 <= time.monotonic() - start_s < 3.5
    assert (caught.value.stage, caught.value.kind) == ("run", "timeout")
    assert wait_for(lambda: is_gone(process.pid))


def test_a_load_that_never_ends_is_killed_at_its_deadline(tmp_path: Path) -> None:
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        process.pause()
        with pytest.raises(ModelError, match=r"^no end of load within 0\.3 s\.$") as caught:
            load(process, models.save(models.identity(), tmp_path / "model.onnx"), deadline_s=0.3)
    assert (caught.value.stage, caught.value.kind) == ("load", "timeout")


def test_a_child_that_does_not_listen_is_killed(
    start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "START_DEADLINE_S", 0.3)
    process = start(models.identity())
    process.pause()
    with pytest.raises(ModelError, match="no end of run within"):
        process.put(np.ones((1, 1000, 1000, 3), np.float32))


def test_the_time_between_requests_is_not_limited(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    run(process, deadline_s=1)
    time.sleep(1.2)
    assert run(process).shape == SOURCE.shape


# --- a child that ends


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_crash_names_its_signal(start: Callable[..., ModelProcess], name: str) -> None:
    process = start(models.endless_loop())
    process.put(SOURCE)
    killer = threading.Timer(0.3, os.kill, (process.pid, signal.Signals[name]))
    killer.start()
    with pytest.raises(ModelError, match=rf"^its process ended with {name} during run\.$") as caught:
        process.run(deadline_s=60)
    killer.join()
    assert (caught.value.stage, caught.value.kind) == ("run", "crash")
    with pytest.raises(ModelError, match=name):  # and so says every request after it
        process.put(SOURCE)


def test_a_child_that_gave_up_names_its_exit_code(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    process._connection.send_bytes(b"no request")
    with pytest.raises(ModelError, match=r"exit code 1 during run\.$"):
        run(process)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a child in the worker's place that sends these messages, whatever it is asked, and stays."""

    def fake(*messages: bytes) -> None:
        script = tmp_path / "fake.py"
        script.write_text(
            "import sys, time; from multiprocessing.connection import Connection\n"
            "connection = Connection(int(sys.argv[1]))\nconnection.recv_bytes()\n"
            f"for message in {messages!r}:\n    connection.send_bytes(message)\ntime.sleep(60)"
        )

        def start_worker(descriptor: int, limit_bytes: int, scratch: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, script, str(descriptor)]
            return subprocess.Popen(command, pass_fds=(descriptor,), start_new_session=True)

        monkeypatch.setattr(isolation, "start_worker", start_worker)
        monkeypatch.setattr(isolation, "GRACE_S", 0.1)

    return fake


@pytest.mark.parametrize("message", [b"\xff", b"{}", b"0" * (protocol.MAX_MESSAGE_BYTES + 1)])
def test_an_answer_that_is_no_message_breaks_off(fake: Callable[..., None], message: bytes) -> None:
    fake(message)
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(ModelError, match=r"^its process broke off the talk during load\.$") as caught,
    ):
        load(process, Path("model.onnx"))
    assert caught.value.kind == "crash"


@pytest.mark.parametrize("payload", [b"", b"0" * 11, b"0" * 13])
def test_an_output_of_another_length_breaks_off(fake: Callable[..., None], payload: bytes) -> None:
    fake(msgspec.json.encode(protocol.Done()), payload)
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(ModelError, match="broke off the talk during output"),
    ):
        process.fetch(protocol.Ran(1, 1, "float32", (1, 1, 1, 3)))


def test_an_answer_to_another_question_is_a_fault_of_ours(fake: Callable[..., None]) -> None:
    fake(msgspec.json.encode(protocol.Ran(1, 1, "float32", (1,))))
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(HarnessError, match="the worker answered Ran to Load") as caught,
    ):
        load(process, Path("model.onnx"))
    assert not isinstance(caught.value, ModelError)


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


# --- the worker's own rules


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError("no room"), "out_of_memory", "no room"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (RuntimeError("std::bad_alloc"), "out_of_memory", "std::bad_alloc"),
        (RuntimeError("x" * 900 + "Failed to allocate memory"), "out_of_memory", "x" * 300),
        (RuntimeError("first\nsecond"), "error", "first"),
        (ValueError(""), "error", "ValueError"),
        (RuntimeError("\x1b[2Jred"), "error", "?[2Jred"),
    ],
)
def test_what_is_thrown_becomes_a_reply_of_one_line(error: Exception, kind: str, message: str) -> None:
    class Raising(worker.Session):
        def handle(self, request: protocol.Request, payload: bytes) -> protocol.Reply:
            raise error

    assert worker.answer(Raising(), protocol.Run(), b"") == protocol.Failed(kind, message)


def test_requests_and_replies_come_back_as_they_were_sent() -> None:
    replies = (
        protocol.Inspected(17, (protocol.Tensor("a", "float32", (None, 3)),), (), 1, ("x",)),
        protocol.Counted(None),
        protocol.Done(3),
        protocol.Ran(1, 2, "float32", (1, 2)),
        protocol.Failed("error", "why"),
    )
    for reply in replies:
        assert msgspec.json.decode(msgspec.json.encode(reply), type=protocol.Reply) == reply
    request = protocol.Count("onnx", "/model", "NCHW", 20, 10)
    assert msgspec.json.decode(msgspec.json.encode(request), type=protocol.Request) == request
    assert json.loads(msgspec.json.encode(request))["type"] == "count"
