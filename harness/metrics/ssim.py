"""Structural similarity."""

from typing import Any

import numpy.typing as npt

from harness.metrics.checks import check_data_range, check_pair
from harness.metrics.structure import make_gaussian_window, make_windows, measure_structure

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
_WINDOW = make_windows([make_gaussian_window(WINDOW_PX, WINDOW_SIGMA_PX)])


def ssim(output: npt.NDArray[Any], target: npt.NDArray[Any], *, data_range: float) -> float:
    """Mean structural similarity, at most 1 (identical images), higher is better; no unit.

    Both images are H x W or H x W x 3, at least 11 x 11 pixels, integer or floating point, on the scale that
    `data_range` states. Gaussian window of 11 pixels with sigma 1.5, only where it lies wholly inside the image,
    K1 0.01, K2 0.03, biased variances; the mean is over all positions and channels. No downsampling beforehand.

    Raises ValueError for a wrong shape, dtype, data range, a smaller image or a value whose square is not finite.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004, https://doi.org/10.1109/TIP.2003.819861.
    """
    checked_output, checked_target = check_pair(output, target)
    peak = check_data_range(data_range)
    if min(checked_output.shape[:2]) < WINDOW_PX:
        raise ValueError(f"output must be at least {WINDOW_PX} pixels high and wide, got shape {output.shape}")
    return float(measure_structure(checked_output, checked_target, data_range=peak, windows=_WINDOW)[0])
