"""Image quality metrics: one pure function a file, and the table of them.

To add one: its file, its test, one line in METRICS.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import UsageError
from harness.metrics.bridge import PREFIX, create_pyiqa_metric
from harness.metrics.ms_ssim import ms_ssim
from harness.metrics.niqe import niqe
from harness.metrics.psnr import psnr
from harness.metrics.ssim import ssim


@dataclass(frozen=True)
class Metric:
    """One line of the table. `unit` is empty for a pure number.

    `compute(output, target, data_range=...)` where a target is needed, else `compute(image, data_range=...)`;
    NIQE also takes `pristine`, its model of pristine photos.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool
    needs_target: bool
    compute: Callable[..., float]
    source_url: str


METRICS = (
    Metric("psnr", "PSNR", "dB", True, True, psnr, "https://github.com/aiff22/ai-challenge"),
    Metric("ssim", "SSIM", "", True, True, ssim, "https://doi.org/10.1109/TIP.2003.819861"),
    Metric("ms_ssim", "MS-SSIM", "", True, True, ms_ssim, "https://doi.org/10.1109/ACSSC.2003.1292216"),
    Metric("niqe", "NIQE", "", False, False, niqe, "https://doi.org/10.1109/LSP.2012.2227726"),
)


def find_metric(name: str) -> Metric | None:
    """The metric of that name, where it is one of this package's."""
    return next((metric for metric in METRICS if metric.name == name), None)


def get_metric(name: str) -> Metric:
    """The metric of that name, also `pyiqa:NAME`; UsageError lists the known names."""
    if name.startswith(PREFIX):
        compute, higher_is_better, needs_target = create_pyiqa_metric(name.removeprefix(PREFIX))
        url = "https://github.com/chaofengc/IQA-PyTorch"
        return Metric(name, name, "", higher_is_better, needs_target, compute, url)
    if (metric := find_metric(name)) is not None:
        return metric
    known = ", ".join(metric.name for metric in METRICS)
    raise UsageError(f"unknown metric {name!r}; known are {known}, and {PREFIX}NAME for those of pyiqa")
