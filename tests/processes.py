"""Model processes in tests: what they are given, and how it is told that they are gone."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness import protocol
from harness.isolation import ModelProcess

MEGABYTE = 1_000_000
LIMIT_BYTES = 500 * MEGABYTE
SOURCE = np.random.default_rng(11).random((1, 8, 9, 3), dtype=np.float32)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


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
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def list_files(pid: int) -> set[str]:
    """What a process has open (Linux)."""
    return {path.readlink().as_posix() for path in Path(f"/proc/{pid}/fd").iterdir()}
