"""Any metric of pyiqa, as `pyiqa:NAME`: values of another library, for what this package does not define itself."""

import contextlib
import functools
import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness.errors import DataError, UsageError, quote
from harness.metrics.checks import check_data_range, check_finite, check_image, check_pair

PREFIX = "pyiqa:"
INSTALL = "pip install 'efficient-enhancement-harness[iqa]'"
PACKAGES = ("pyiqa", "torch")
"""Those whose version can change a value."""
SEED = 0

_computing = threading.Lock()
"""One image at a time: nobody promises that a model of pyiqa can be in two threads, and each one uses all cores."""


@functools.cache
def create_pyiqa_metric(name: str) -> tuple[Callable[..., float], bool, bool]:
    """The function of a pyiqa metric, whether higher is better, and whether it needs a target; made once a process.

    The function takes images as this package's metrics do, HxWx3 in [0, data_range], and returns a Python float. It may
    be called from several threads; random numbers, which some metrics draw, are the same for every image.
    UsageError when pyiqa is not installed or knows no such metric, DataError when what it needs cannot be had.
    """
    model = _create_model(name)

    def compute(output: np.ndarray, target: np.ndarray | None = None, *, data_range: float) -> float:
        scale = check_data_range(data_range)
        images = (check_image(output, "output"),) if target is None else check_pair(output, target)
        for label, image in zip(("output", "target"), images, strict=False):
            check_finite(image, label)
        try:
            with _computing, _drawing_alike():
                return float(model(*(to_tensor(image / scale) for image in images)))
        except Exception as error:  # what it raises for an image that is too small depends on the metric
            raise ValueError(f"pyiqa's {name} cannot be computed ({quote(error)})") from error

    return compute, not model.lower_better, model.metric_mode == "FR"


def _create_model(name: str) -> Any:
    pyiqa = import_pyiqa()
    if name not in pyiqa.list_models():
        raise UsageError(f"pyiqa knows no metric {name!r}; `pyiqa -ls` lists those it knows.")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it says what it downloads
            return pyiqa.create_metric(name, device="cpu")
    except ImportError as error:
        raise DataError(f"pyiqa's {name} needs a package that is missing ({quote(error)}); install it.") from error
    except Exception as error:  # without a network each of its downloaders raises another one
        raise DataError(f"the weights of pyiqa's {name} cannot be had here ({quote(error)}).") from error


@contextlib.contextmanager
def _drawing_alike() -> Iterator[None]:
    """Random numbers of torch start anew, and go on behind as if nothing had been drawn."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def import_pyiqa() -> Any:
    """pyiqa, also beside a torch build whose torchvision has no C++ operators.

    torchvision then fails on import, because it registers fake versions of two operators that nobody declared;
    declaring them is enough, as none of pyiqa's metrics calls them. One that has its operators declares them itself,
    and ends the process where somebody was faster.
    """
    try:
        import torch
    except ImportError:
        raise UsageError(f"metrics of pyiqa need pyiqa: {INSTALL}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not ours to mend
            try:
                import torchvision  # noqa: F401
            except RuntimeError:
                declared = _declare_operators(torch)  # as long as this lives  # noqa: F841
            known = "pyiqa" in sys.modules
            import pyiqa

            if not known:
                gc.collect()  # it leaves a file open, of which Python would warn later and elsewhere
    except ImportError as error:
        raise UsageError(f"metrics of pyiqa need pyiqa ({error}): {INSTALL}") from None
    return pyiqa


def _declare_operators(torch: Any) -> Any:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        del sys.modules[module]  # what of it was imported before it failed
    return library


def to_tensor(image: np.ndarray) -> Any:
    """HxWx3 or HxW in [0, 1] -> float32 tensor (1, C, H, W)."""
    import torch

    channels = image if image.ndim == 3 else image[:, :, np.newaxis]
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1), np.float32)[np.newaxis])
