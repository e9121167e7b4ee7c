"""The worker: how it answers, and what becomes of one that ends or talks nonsense."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import models
import msgspec
import pytest
from processes import LIMIT_BYTES, SOURCE, load, run

from harness import isolation, protocol, serving
from harness.errors import HarnessError, ModelError
from harness.isolation import ModelProcess

pytestmark = pytest.mark.usefixtures("scratch")


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
    class Raising(serving.Session):
        def handle(self, request: protocol.Request, payload: bytes) -> protocol.Reply:
            raise error

    assert serving.answer(Raising(), protocol.Run(), b"") == protocol.Failed(kind, message)


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
    request = protocol.Count("onnx", "NCHW", 20, 10)
    assert msgspec.json.decode(msgspec.json.encode(request), type=protocol.Request) == request
    assert json.loads(msgspec.json.encode(request))["type"] == "count"


# --- a child that ends


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_crash_names_its_signal(start: Callable[..., ModelProcess], name: str) -> None:
    process = start(models.endless_loop())
    process.put(SOURCE)
    killer = threading.Timer(0.3, os.kill, (process.pid, signal.Signals[name]))
    killer.start()
    with pytest.raises(ModelError, match=rf"^its process ended with {name} during run;") as caught:
        process.run(deadline_s=60)
    killer.join()
    assert (caught.value.stage, caught.value.kind) == ("run", "killed" if name == "SIGKILL" else "crash")
    with pytest.raises(ModelError, match=name):  # and so says every request after it
        process.put(SOURCE)


def test_a_child_that_gave_up_names_its_exit_code(start: Callable[..., ModelProcess]) -> None:
    process = start(models.identity())
    process._connection.send_bytes(b"no request")
    with pytest.raises(ModelError, match=r"exit code 1 during run;"):
        run(process)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a child in the worker's place that sends these messages, whatever it is asked, and stays."""

    def fake(*messages: bytes) -> None:
        script = tmp_path / "fake.py"
        script.write_text(
            "import sys, time; from multiprocessing.connection import Connection\n"
            "connection = Connection(int(sys.argv[1]))\n"
            f"connection.send_bytes({msgspec.json.encode(protocol.Confined({}))!r})\nconnection.recv_bytes()\n"
            f"for message in {messages!r}:\n    connection.send_bytes(message)\ntime.sleep(60)"
        )

        def start_worker(descriptor: int, limit_bytes: int, scratch: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, script, str(descriptor)]
            return subprocess.Popen(command, pass_fds=(descriptor,), start_new_session=True)

        monkeypatch.setattr(isolation, "start_worker", start_worker)
        monkeypatch.setattr(isolation, "GRACE_S", 0.1)

    return fake


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.save(models.identity(), tmp_path / "model.onnx")


@pytest.mark.parametrize("message", [b"\xff", b"{}", b"0" * (protocol.MAX_MESSAGE_BYTES + 1)])
def test_an_answer_that_is_no_message_breaks_off(fake: Callable[..., None], model: Path, message: bytes) -> None:
    fake(message)
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(ModelError, match=r"^its process broke off the talk during load;") as caught,
    ):
        load(process, model)
    assert caught.value.kind == "crash"


@pytest.mark.parametrize("payload", [b"", b"0" * 11, b"0" * 13])
def test_an_output_of_another_length_breaks_off(fake: Callable[..., None], payload: bytes) -> None:
    fake(msgspec.json.encode(protocol.Done()), payload)
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(ModelError, match="broke off the talk during output"),
    ):
        process.fetch(protocol.Ran(1, 1, "float32", (1, 1, 1, 3)))


def test_an_answer_to_another_question_is_a_fault_of_ours(fake: Callable[..., None], model: Path) -> None:
    fake(msgspec.json.encode(protocol.Ran(1, 1, "float32", (1,))))
    with (
        ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process,
        pytest.raises(HarnessError, match="the worker answered Ran to Load") as caught,
    ):
        load(process, model)
    assert not isinstance(caught.value, ModelError)


def test_a_worker_whose_parent_is_gone_before_it_starts_serves_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Connection(os.dup(ours.fileno())).send_bytes(msgspec.json.encode(protocol.Run()))
        words = [str(theirs.fileno()), str(10**9), str(os.getpid() + 1)]
        command = [sys.executable, "-m", "harness.worker", *words]
        done = subprocess.run(command, pass_fds=(theirs.fileno(),), timeout=60, check=False)
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):  # no answer
            ours.recv(1)
    assert done.returncode == 0


@pytest.mark.parametrize(("code", "wall_ms", "honest"), [(True, 10, False), (True, 290, True), (False, 10, True)])
def test_a_program_that_reports_too_little_time_is_a_failure(
    start: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch, code: bool, wall_ms: int, honest: bool
) -> None:
    process = start(models.identity())
    process._holds_code = code
    reply = protocol.Ran(wall_ms * 1_000_000, 1, "float32", SOURCE.shape)
    monkeypatch.setattr(process, "_ask", lambda *arguments, **options: time.sleep(0.3) or reply)
    if honest:
        assert process.run(deadline_s=60) is reply
    else:
        with pytest.raises(ModelError, match="reports 10 ms for a run that took 3") as caught:
            process.run(deadline_s=60)
        assert caught.value.kind == "false_time"
