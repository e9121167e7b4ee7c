"""The child process: the only place where a submission's model is read, loaded and run.

`python -m harness.worker FD LIMIT_BYTES PARENT_PID` serves requests of `protocol` on the socket FD until it closes.
Standard output belongs to the model; replies have their own descriptor.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np

from harness import protocol

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Confine this process, then serve until the parent hangs up."""
    descriptor, limit_bytes, parent_pid = (int(word) for word in sys.argv[1:4])
    die_with_parent(parent_pid)
    # a backstop only: the parent watches resident memory and its limit is the one that counts
    resource.setrlimit(resource.RLIMIT_DATA, (int(1.3 * limit_bytes),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Connection(descriptor) as connection:
        serve(connection)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process with its parent, where it can (Linux).

    "Parent" is the thread that started this process: start model processes from a thread that outlives them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel was asked, and may have left a request behind
        sys.exit()


def serve(connection: Connection) -> None:
    """Answer requests one by one; a failing request is answered with its reason."""
    decoder, encoder = msgspec.json.Decoder(protocol.Request), msgspec.json.Encoder()
    session = Session()
    while True:
        try:
            request = decoder.decode(connection.recv_bytes(protocol.MAX_MESSAGE_BYTES))
        except EOFError:
            return
        payload = connection.recv_bytes() if isinstance(request, protocol.Put) else b""
        reply = answer(session, request, payload)
        connection.send_bytes(encoder.encode(reply))
        if isinstance(request, protocol.Fetch) and isinstance(reply, protocol.Done):
            # sent as it lies: a copy would count in the model's peak of memory
            connection.send_bytes(np.ascontiguousarray(session.output).reshape(-1).view(np.uint8).data)


def answer(session: "Session", request: protocol.Request, payload: bytes) -> protocol.Reply:
    """Carry out one request; an exception becomes a `Failed` reply of one line."""
    try:
        return session.handle(request, payload)
    except MemoryError as error:
        return protocol.Failed("out_of_memory", first_line(error))
    except Exception as error:  # whatever a model throws is the model's failure
        short_of_memory = any(sign in str(error) for sign in ("bad_alloc", "Failed to allocate memory"))
        return protocol.Failed("out_of_memory" if short_of_memory else "error", first_line(error))


def first_line(error: Exception) -> str:
    """The error's first line, of a length that fits a table, with nothing that a terminal would obey."""
    lines = str(error).strip().splitlines()
    line = (lines[0] if lines else type(error).__name__)[:300]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


class Session:
    """What the child holds between requests: the model, its input and its last output."""

    def __init__(self) -> None:
        self.model: Callable[[np.ndarray], np.ndarray] | None = None
        self.source = np.empty(0, np.float32)
        self.output = np.empty(0, np.float32)

    def handle(self, request: protocol.Request, payload: bytes) -> protocol.Reply:
        match request:
            case protocol.Inspect():
                return self.inspect(request)
            case protocol.Count():
                return self.count(request)
            case protocol.Load():
                return self.load(request)
            case protocol.Put():
                self.source = np.frombuffer(payload, np.float32).reshape(request.shape)
                return protocol.Done()
            case protocol.Run():
                return self.run()
            case protocol.Fetch():
                return protocol.Done()

    def inspect(self, request: protocol.Inspect) -> protocol.Inspected:
        runtime = import_runtime(request.runtime)
        inspected: protocol.Inspected = runtime.inspect_model(Path(request.path))
        return inspected

    def count(self, request: protocol.Count) -> protocol.Counted:
        runtime = import_runtime(request.runtime)
        multiply_adds = runtime.count_multiply_adds(
            Path(request.path), layout=request.layout, width_px=request.width_px, height_px=request.height_px
        )
        return protocol.Counted(multiply_adds)

    def load(self, request: protocol.Load) -> protocol.Done:
        runtime = import_runtime(request.runtime)
        start_ns = time.perf_counter_ns()
        self.model = runtime.load_model(
            Path(request.path), threads=request.threads, device=request.device, seed=request.seed
        )
        return protocol.Done(time.perf_counter_ns() - start_ns)

    def run(self) -> protocol.Ran:
        if self.model is None:
            raise RuntimeError("no model is loaded")
        self.output = np.empty(0, np.float32)  # the last output must not count in this run's peak
        cpu_ns, start_ns = time.process_time_ns(), time.perf_counter_ns()
        output = self.model(self.source)
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
        self.output = np.asarray(output)
        return protocol.Ran(wall_ns, cpu_ns, str(self.output.dtype), self.output.shape)


def import_runtime(name: str) -> ModuleType:
    """The module of `runtimes` that knows this kind of model."""
    match name:
        case "onnx":
            from harness.runtimes import onnx as runtime
        case _:
            raise ValueError(f"unknown runtime {name!r}")
    return runtime


if __name__ == "__main__":
    main()
