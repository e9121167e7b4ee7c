"""Drives the child process in which a model runs: starts it, talks to it, watches it, ends it.

The child gets a fresh interpreter, a listed environment and a process group of its own. A watchdog kills the group
when a request outlasts its deadline or resident memory passes the limit. Peak memory is the kernel's own mark
(VmHWM), read here while the child waits: `ru_maxrss` would carry this process's peak into the child.
"""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np

from harness import files, formats, protocol
from harness.errors import HarnessError, ModelError
from harness.launch import open_files, send_descriptors, start_worker
from harness.signals import hold_signals
from harness.watchdog import POLL_S, Watchdog, kill_group

START_DEADLINE_S = 60.0
GRACE_S = 5.0
MEMORY_METHOD = (
    "VmHWM of the child" if sys.platform == "linux" else f"resident memory polled every {POLL_S * 1e3:.0f} ms"
)

REMEDIES = {
    "load": "; export it again, and load it once in its own runtime",
    "run": "; run it once on such a picture in its own runtime",
}
UNSEEN_NS = 50_000_000
"""So much may pass between a request and a run on a busy machine. Only a program can change its process's clock."""

NEEDED_FOR_CODE = ("Landlock", "seccomp")

R = TypeVar("R", protocol.Converted, protocol.Inspected, protocol.Counted, protocol.Done, protocol.Ran)


class ModelProcess:
    """One child process; use it in a `with` block. Not for several threads at once."""

    def __init__(self, *, memory_limit_bytes: int, allow_code: bool = False) -> None:
        self.memory_limit_bytes = memory_limit_bytes
        self.allow_code = allow_code
        self.isolation: dict[str, str] = {}
        self._holds_code = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # what was begun is undone, wherever the start breaks off
            with hold_signals():
                scratch = stack.enter_context(files.make_scratch())
                ours, theirs = socket.socketpair()
                self._connection = stack.enter_context(Connection(ours.detach()))
                with theirs:
                    self._process = start_worker(theirs.fileno(), self.memory_limit_bytes, scratch)
                stack.callback(kill_group, self._process)
                self._watchdog = Watchdog(self._process, self.memory_limit_bytes)
                stack.callback(self._watchdog.stop)
            self.isolation = self._greet()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with hold_signals():
            self._stack.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def convert(self, path: Path, *, runtime: str, deadline_s: float) -> bytes:
        """The model as an ONNX file."""
        request, files = protocol.Convert(runtime), formats.list_files(path, runtime)
        converted = self._ask(request, protocol.Converted, stage="load", deadline_s=deadline_s, files=files)
        return self._receive_bytes(min(converted.size_bytes, protocol.MAX_CONVERTED_BYTES), stage="load")

    def inspect(self, path: Path, *, runtime: str, deadline_s: float) -> protocol.Inspected:
        """What the model's file declares."""
        self._check_code(runtime)
        request, files = protocol.Inspect(runtime), formats.list_files(path, runtime)
        return self._ask(request, protocol.Inspected, stage="load", deadline_s=deadline_s, files=files)

    def count(self, path: Path, request: protocol.Count, *, deadline_s: float) -> int | None:
        """The model's multiply-adds at one size; None where they are not known."""
        files = formats.list_files(path, request.runtime)
        return self._ask(request, protocol.Counted, stage="count", deadline_s=deadline_s, files=files).multiply_adds

    def load(
        self,
        path: Path,
        *,
        runtime: str,
        threads: int,
        deadline_s: float,
        device: protocol.Device = "cpu",
        seed: int | None = None,
    ) -> int:
        """Load the model; how long that took, in ns."""
        self._check_code(runtime)
        request, files = protocol.Load(runtime, threads, device, seed), formats.list_files(path, runtime)
        return self._ask(request, protocol.Done, stage="load", deadline_s=deadline_s, files=files).wall_ns

    def put(self, source: np.ndarray) -> None:
        """Hand over the input of the coming runs, a float32 array in the model's own layout."""
        request = protocol.Put(source.shape)
        payload = np.ascontiguousarray(source, np.float32)
        self._ask(request, protocol.Done, stage="run", deadline_s=START_DEADLINE_S, payload=payload.tobytes())

    def run(self, *, deadline_s: float) -> protocol.Ran:
        """Run the model once on the input handed over last.

        Raises ModelError also where a program's process says that it took far less time than was waited for it.
        """
        start_ns = time.perf_counter_ns()
        ran = self._ask(protocol.Run(), protocol.Ran, stage="run", deadline_s=deadline_s)
        waited_ns = time.perf_counter_ns() - start_ns
        if self._holds_code and waited_ns - ran.wall_ns > max(UNSEEN_NS, waited_ns // 2):
            raise ModelError(
                f"its process reports {ran.wall_ns / 1e6:.0f} ms for a run that took {waited_ns / 1e6:.0f} ms; "
                "leave the clock alone, or run it again if the machine was busy.",
                stage="run",
                kind="false_time",
            )
        return ran

    def fetch(self, ran: protocol.Ran) -> np.ndarray:
        """The output of the last run."""
        if ran.dtype != "float32":
            raise ModelError(f"its output is {ran.dtype}; it must be float32.", stage="output", kind="wrong_type")
        self._ask(protocol.Fetch(), protocol.Done, stage="output", deadline_s=START_DEADLINE_S)
        payload = self._receive_bytes(4 * math.prod(ran.shape), stage="output")
        try:
            return np.frombuffer(payload, np.float32).reshape(ran.shape)
        except ValueError:
            raise self._describe_end("output") from None

    def read_peak_bytes(self) -> int:
        """Peak resident memory of the child since its start or the last `reset_peak`."""
        return read_peak_bytes(self.pid) or self._watchdog.peak_bytes

    def reset_peak(self) -> None:
        """Start the peak anew from what is resident now."""
        self._watchdog.peak_bytes = 0
        with contextlib.suppress(OSError):  # where the kernel cannot, the peak goes on to include the load
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def kill(self) -> None:
        """End the child now, from whatever thread: a request that waits for it fails."""
        kill_group(self._process)

    def pause(self) -> None:
        """Stop the child, so that nothing of it runs beside another's timed run."""
        self._process.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):  # the signal takes its time to arrive
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused child go on."""
        self._process.send_signal(signal.SIGCONT)

    def _check_code(self, runtime: str) -> None:
        """Raise ModelError for a program that may not run, or for which the isolation is too weak."""
        self._holds_code = runtime in formats.CODE
        if not self._holds_code:
            return
        if not self.allow_code:
            raise ModelError(
                f"its model is a program ({runtime}); if you trust who sent it, run it with --allow-code.",
                stage="load",
                kind="rule",
            )
        for layer in NEEDED_FOR_CODE:
            state = self.isolation.get(layer, "off: the child did not name it")
            if state != "on":
                raise ModelError(
                    f"its model is a program ({runtime}), which runs only behind {layer}, and that is {state}; "
                    "run it on a system that has it.",
                    stage="load",
                    kind="rule",
                )

    def _ask(
        self,
        request: protocol.Request,
        kind: type[R],
        *,
        stage: str,
        deadline_s: float,
        payload: bytes | None = None,
        files: Sequence[Path] = (),
    ) -> R:
        with contextlib.ExitStack() as stack:
            descriptors = stack.enter_context(open_files(files))
            stack.enter_context(self._watchdog.deadline(deadline_s))
            try:
                self._connection.send_bytes(msgspec.json.encode(request))
                if payload is not None:
                    self._connection.send_bytes(payload)
                if descriptors:
                    send_descriptors(self._connection, descriptors)
                reply = self._receive()
            except (EOFError, OSError, msgspec.DecodeError):
                raise self._describe_end(stage) from None
        # the watchdog misses a short peak, the kernel's mark does not
        if self._watchdog.verdict or self.read_peak_bytes() > self.memory_limit_bytes:
            raise self._describe_end(stage, "out_of_memory")
        if isinstance(reply, protocol.Failed):
            if reply.kind == "out_of_memory":
                raise self._describe_end(stage, "out_of_memory")
            raise ModelError(
                describe_failure(stage, reply.message, files[0] if files else None), stage=stage, kind=reply.kind
            )
        if not isinstance(reply, kind):
            raise HarnessError(f"the worker answered {type(reply).__name__} to {type(request).__name__}.")
        return reply

    def _receive(self) -> protocol.Reply:
        message = self._connection.recv_bytes(protocol.MAX_MESSAGE_BYTES)
        reply: protocol.Reply = msgspec.json.decode(message, type=protocol.Reply)
        return reply

    def _receive_bytes(self, most_bytes: int, *, stage: str) -> bytes:
        """What follows a reply: at most so many bytes."""
        with self._watchdog.deadline(START_DEADLINE_S):
            try:
                return self._connection.recv_bytes(most_bytes)
            except (EOFError, OSError, ValueError):
                raise self._describe_end(stage) from None

    def _greet(self) -> dict[str, str]:
        """The layers of isolation that the child has put on, as it says itself before it reads anything."""
        with self._watchdog.deadline(START_DEADLINE_S):
            try:
                reply = self._receive()
            except (EOFError, OSError, msgspec.DecodeError):
                raise self._describe_end("start") from None
        if not isinstance(reply, protocol.Confined):
            raise HarnessError(f"the worker began with {type(reply).__name__}.")
        return reply.layers

    def _describe_end(self, stage: str, cause: str | None = None) -> ModelError:
        """The sentence for a child that is gone, or that has to go for this cause."""
        verdict = self._watchdog.verdict or cause
        if verdict == "out_of_memory":
            limit = f"{self.memory_limit_bytes / 1e9:g} GB"
            return ModelError(
                f"out of memory (limit {limit}) during {stage}; make the model need less.",
                stage=stage,
                kind="out_of_memory",
            )
        if verdict == "timeout":
            return ModelError(
                f"no end of {stage} within {self._watchdog.allowed_s:g} s; make the model faster.",
                stage=stage,
                kind="timeout",
            )
        try:
            code = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return ModelError(
                f"its process broke off the talk during {stage}; mend the model.", stage=stage, kind="crash"
            )
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        mend = "" if stage == "start" else "mend the model, or "  # no model is in it yet
        remedy = f"{mend}run it again if the process was killed"
        kind = "killed" if code == -signal.SIGKILL else "crash"
        return ModelError(f"its process ended with {end} during {stage}; {remedy}.", stage=stage, kind=kind)


def describe_failure(stage: str, reason: str, file: Path | None) -> str:
    """What a model did wrong, as its runtime says it, and what to do, where the runtime does not say that too."""
    where = f"{file.name}: " if file else ""
    remedy = "" if "; " in reason else REMEDIES.get(stage, "; mend the model")
    return f"its {stage} failed: {where}{reason.rstrip('.')}{remedy}."


def read_peak_bytes(pid: int) -> int | None:
    """VmHWM of a process (Linux), or None where the kernel does not keep it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
