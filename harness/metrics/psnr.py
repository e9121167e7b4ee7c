"""Peak signal-to-noise ratio."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics.checks import check_data_range, check_overflow, check_pair
from harness.metrics.compiled import kernel


def psnr(output: npt.NDArray[Any], target: npt.NDArray[Any], *, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range**2 / mean squared error), higher is better.

    Both images are H x W or H x W x 3, integer or floating point, on the scale that `data_range` states;
    the mean is over all pixels and channels, in float64. Nothing is clipped: clip before, where a protocol asks for it.
    Identical images give `inf`, since no epsilon is added.

    Raises ValueError for a wrong shape, dtype, data range or a value whose square is not finite.
    Source: https://github.com/aiff22/ai-challenge, evaluate_enhancement.py (which clips to [0, 1] first).
    """
    checked_output, checked_target = check_pair(output, target)
    peak = check_data_range(data_range)
    mean_squared_error = _sum_squared_error(checked_output.reshape(-1), checked_target.reshape(-1)) / output.size
    if not math.isfinite(mean_squared_error):
        check_overflow(output, target)
    if mean_squared_error == 0:
        return math.inf
    return 20 * math.log10(peak) - 10 * math.log10(mean_squared_error)


@kernel
def _sum_squared_error(output: npt.NDArray[Any], target: npt.NDArray[Any]) -> float:
    total = 0.0
    for i in range(output.size):
        difference = np.float64(output[i]) - np.float64(target[i])
        total += difference * difference
    return total
