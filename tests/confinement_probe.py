"""Runs as a program of its own: confines itself as the worker does, tries things, and prints what became of each.

Its argument is JSON: what to try (name -> code), how far to be confined, and the names that the code may use.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from harness import confinement

LIMIT_BYTES = 500_000_000


def system(name: str, *arguments: object) -> int:
    """A function of the C library; raises OSError where it returns -1."""
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def attempt(code: str, names: dict[str, object]) -> str:
    """ "done", or the name of what was raised."""
    try:
        exec(code, names)
    except Exception as error:
        return type(error).__name__
    return "done"


def main() -> None:
    task = json.loads(sys.argv[1])
    for code in task["before"]:  # what the system shall seem to lack
        exec(code, {"confinement": confinement, "sys": sys})
    layers, cost_ms = {}, []
    start_s = time.perf_counter()
    if task["stage"] >= 1:
        layers = confinement.confine(limit_bytes=LIMIT_BYTES, parent_pid=os.getppid(), scratch=Path(task["scratch"]))
        cost_ms.append(1e3 * (time.perf_counter() - start_s))
    start_s = time.perf_counter()
    if task["stage"] >= 2:
        confinement.confine_further()
        cost_ms.append(1e3 * (time.perf_counter() - start_s))
    modules = {"ctypes": ctypes, "mmap": mmap, "os": os, "resource": resource, "signal": signal, "socket": socket}
    names = modules | {"system": system, "threading": threading, "Path": Path, "at": SimpleNamespace(**task)}
    results = {name: attempt(code, dict(names)) for name, code in task["attempts"].items()}
    sys.stdout.write(json.dumps({"layers": layers, "results": results, "cost_ms": cost_ms}))
    sys.stdout.flush()
    if task["stage"] >= 2:
        os.abort()


if __name__ == "__main__":
    main()
