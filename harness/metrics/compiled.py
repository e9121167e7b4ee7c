"""How the kernels of the metrics are compiled, and the memory that they work in.

numba compiles a kernel when it is first called with a kind of array (seconds), and keeps the machine code beside the
source or in the user's cache; every later process loads it (half a second for all).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache

from harness.metrics.checks import FloatArray

P = ParamSpec("P")
R = TypeVar("R")

FAST_MATH = {"contract", "reassoc"}
"""Sums may be added in another order and fused with products; NaN, infinity and signs of zero keep their meaning."""

_local = threading.local()


class _Cache(FunctionCache):
    """numba's, whose failures (a full disk, a damaged file) are nobody's concern: the kernel is then compiled anew."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on numbers and arrays: without the GIL, and kept on disk where a place for it is found."""
    compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=FAST_MATH)(function)
    with contextlib.suppress(RuntimeError):  # neither the package's folder nor the user's cache can be written
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]  # what njit(cache=True) does, with numba's own class
    return cast(Callable[P, R], compiled)


@contextlib.contextmanager
def borrow_workspace(size: int) -> Iterator[FloatArray]:
    """So many float64 of scratch memory, with any content, kept by each thread: fresh pages cost more than the work."""
    held = _local.__dict__.pop("workspace", None)
    workspace = held if held is not None and len(held) >= size else np.empty(size)
    try:
        yield workspace[:size]
    finally:
        _local.workspace = workspace
