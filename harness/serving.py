"""What the child does once it is confined: it answers requests; here a submission's model is read, loaded and run."""

import importlib
import os
import socket
import time
from multiprocessing.connection import Connection
from types import ModuleType
from typing import BinaryIO, Protocol

import msgspec
import numpy as np

from harness import formats, protocol
from harness.confinement import confine_further

SHORT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "not enough memory", "can't allocate memory")
"""What runtimes say where the backstop refuses them memory."""

MOST_FILES = 2
"""Of one model."""
Files = list[BinaryIO]


class MissingError(Exception):
    """A format's package is not installed."""


def serve(connection: Connection) -> None:
    """Answer requests one by one; a failing request is answered with its reason."""
    decoder, encoder = msgspec.json.Decoder(protocol.Request), msgspec.json.Encoder()
    session = Session()
    while True:
        try:
            request = decoder.decode(connection.recv_bytes(protocol.MAX_MESSAGE_BYTES))
        except EOFError:
            return
        payload = receive_payload(connection, request)
        reply = answer(session, request, payload)
        connection.send_bytes(encoder.encode(reply))
        if isinstance(request, protocol.Fetch) and isinstance(reply, protocol.Done):
            # sent as it lies: a copy would count in the model's peak of memory
            connection.send_bytes(np.ascontiguousarray(session.output).reshape(-1).view(np.uint8).data)
        elif isinstance(reply, protocol.Converted):
            connection.send_bytes(session.converted)


def receive_payload(connection: Connection, request: protocol.Request) -> bytes | Files:
    """What follows a request: an array's bytes, or open files."""
    if isinstance(request, protocol.Put):
        return connection.recv_bytes()
    if not isinstance(request, protocol.Convert | protocol.Inspect | protocol.Count | protocol.Load):
        return b""
    channel = socket.socket(fileno=connection.fileno())
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, MOST_FILES)
    finally:
        channel.detach()  # the connection goes on to own it
    return [os.fdopen(descriptor, "rb") for descriptor in descriptors]


def read_files(files: Files) -> list[bytes]:
    """All of each file, in one piece of memory."""
    contents = []
    for file in files:
        with file:
            contents.append(file.read())
    return contents


def answer(session: "Session", request: protocol.Request, payload: bytes | Files) -> protocol.Reply:
    """Carry out one request; an exception becomes a `Failed` reply of one line."""
    try:
        return session.handle(request, payload)
    except MissingError as error:
        return protocol.Failed("not_installed", str(error))
    except MemoryError as error:
        return protocol.Failed("out_of_memory", first_line(error))
    except Exception as error:  # whatever a model throws is the model's failure
        short_of_memory = any(sign in str(error) for sign in SHORT_OF_MEMORY)
        return protocol.Failed("out_of_memory" if short_of_memory else "error", first_line(error))


def first_line(error: Exception) -> str:
    """The error's first line, of a length that fits a table, with nothing that a terminal would obey."""
    lines = str(error).strip().splitlines()
    line = (lines[0] if lines else type(error).__name__)[:300]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


class Model(Protocol):
    """A loaded model of any runtime. Only `run` is timed; `take` hands its output over and forgets it."""

    def place(self, source: np.ndarray) -> None: ...
    def run(self) -> None: ...
    def take(self) -> np.ndarray: ...


class Session:
    """What the child holds between requests: the model, its input and its last output."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.output = np.empty(0, np.float32)
        self.converted = b""

    def handle(self, request: protocol.Request, payload: bytes | Files) -> protocol.Reply:
        if isinstance(payload, list):
            return self.handle_files(request, read_files(payload))
        match request:
            case protocol.Put():
                self.get_model().place(np.frombuffer(payload, np.float32).reshape(request.shape))
                return protocol.Done()
            case protocol.Run():
                return self.run()
            case protocol.Fetch():
                return protocol.Done()
        raise TypeError(f"{type(request).__name__} needs files")

    def handle_files(self, request: protocol.Request, files: list[bytes]) -> protocol.Reply:
        match request:
            case protocol.Convert():
                return self.convert(request, files)
            case protocol.Inspect():
                return self.inspect(request, files)
            case protocol.Count():
                return self.count(request, files)
            case protocol.Load():
                return self.load(request, files)
        raise TypeError(f"no files belong to {type(request).__name__}")

    def convert(self, request: protocol.Convert, files: list[bytes]) -> protocol.Converted:
        runtime = prepare_runtime(request.runtime)
        self.converted = runtime.convert_model(*files)
        if len(self.converted) > protocol.MAX_CONVERTED_BYTES:
            raise ValueError(
                f"it becomes an ONNX file of {len(self.converted) / 1e6:.0f} MB, "
                f"{protocol.MAX_CONVERTED_BYTES / 1e6:.0f} MB are allowed; submit a smaller model"
            )
        return protocol.Converted(len(self.converted))

    def inspect(self, request: protocol.Inspect, files: list[bytes]) -> protocol.Inspected:
        runtime = prepare_runtime(request.runtime)
        inspected: protocol.Inspected = runtime.inspect_model(*files, kind=request.runtime)
        return inspected

    def count(self, request: protocol.Count, files: list[bytes]) -> protocol.Counted:
        runtime = prepare_runtime(request.runtime)
        multiply_adds = runtime.count_multiply_adds(
            *files, layout=request.layout, width_px=request.width_px, height_px=request.height_px
        )
        return protocol.Counted(multiply_adds)

    def load(self, request: protocol.Load, files: list[bytes]) -> protocol.Done:
        runtime = prepare_runtime(request.runtime)
        start_ns = time.perf_counter_ns()
        self.model = runtime.load_model(
            *files, kind=request.runtime, threads=request.threads, device=request.device, seed=request.seed
        )
        return protocol.Done(time.perf_counter_ns() - start_ns)

    def get_model(self) -> "Model":
        if self.model is None:
            raise RuntimeError("no model is loaded")
        return self.model

    def run(self) -> protocol.Ran:
        model = self.get_model()
        self.output = np.empty(0, np.float32)  # the last output must not count in this run's peak
        cpu_ns, start_ns = time.process_time_ns(), time.perf_counter_ns()
        model.run()
        wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
        self.output = model.take()
        return protocol.Ran(wall_ns, cpu_ns, str(self.output.dtype), self.output.shape)


def prepare_runtime(name: str) -> ModuleType:
    """The module for this kind of model; from here on the process is confined to what a model may do."""
    try:
        runtime = importlib.import_module(f"harness.runtimes.{formats.find_format(name).module}")
    except ModuleNotFoundError as error:
        raise MissingError(formats.describe_missing(name, error.name)) from None
    confine_further()
    return runtime
