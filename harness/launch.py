"""Starts the child process with nothing of this one, and hands it open files."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import harness
from harness.errors import ModelError


@contextlib.contextmanager
def open_files(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Descriptors of a model's files for the child; nothing of them is read here. Raises ModelError."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_file(path)) for path in paths]


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[int]:
    """A descriptor of one of them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"{path.name} cannot be opened ({error.strerror}); put the model there as a file."
        raise ModelError(message, stage="load", kind="missing") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = f"{path.name} is no regular file; put the model itself there."
            raise ModelError(message, stage="load", kind="missing")
        yield descriptor
    finally:
        os.close(descriptor)


def send_descriptors(connection: Connection, descriptors: Sequence[int]) -> None:
    """Give the child open files: no path has to be opened to it, and what lies under the path later cannot matter."""
    channel = socket.socket(fileno=connection.fileno())
    try:
        socket.send_fds(channel, [b"f"], descriptors)
    finally:
        channel.detach()  # the connection goes on to own it


def start_worker(descriptor: int, limit_bytes: int, scratch: str) -> subprocess.Popen[bytes]:
    """A fresh interpreter at the other end of `descriptor`, with nothing else of this process."""
    words = [descriptor, limit_bytes, os.getpid()]
    return subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "harness.worker", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=list_environment(scratch),
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def list_environment(scratch: str) -> dict[str, str]:
    """All that a child may know of this machine: where the package lies, and a folder of its own."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(harness.__file__).parent.parent),
        "HOME": scratch,
        "TMPDIR": scratch,
        "LC_ALL": "C.UTF-8",
        "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.32 otherwise writes to the user's cache and calls home
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",  # numpy's threads, which nobody here needs, are half of the time of an import
    }
