"""Multi-scale structural similarity, as the challenge computes it."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics.checks import check_data_range, check_pair
from harness.metrics.ssim import WINDOW_PX, WINDOW_SIGMA_PX
from harness.metrics.structure import Windows, make_gaussian_window, make_windows, measure_structure

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_PX = 176
"""A side below this leaves the last scale, a sixteenth, less than a whole window."""


def ms_ssim(
    output: npt.NDArray[Any],
    target: npt.NDArray[Any],
    *,
    data_range: float,
    shrink_window: bool = True,
    per_channel: bool = False,
) -> float:
    """Multi-scale structural similarity over five scales, at most 1 (identical images), higher is better; no unit.

    Both images are H x W or H x W x 3 of any size, integer or floating point, on the scale that `data_range` states;
    values outside that range are used as they are. At each scale the window is min(11, height, width) pixels with
    sigma 1.5 * window / 11, only where it lies inside the image, and the mean is over height, width and channels;
    between scales every 2 x 2 pixels become their mean. The value is the product of the first four contrast terms
    and the last SSIM, each raised to its weight (0.0448, 0.2856, 0.3001, 0.2363, 0.1333).
    A negative term has no real power, so the value is then NaN, as in the source.

    shrink_window=False: the window has 11 pixels at all scales, as in the first publication; both sides must have 176
    pixels at least. per_channel=True, as tf.image.ssim_multiscale: the product of each channel by itself, a negative
    term being 0, and then the mean of the channels.

    Raises ValueError for a wrong shape, dtype, data range, a smaller image or a value whose square is not finite.
    Source: https://github.com/aiff22/ai-challenge, ssim.py, which is msssim.py of the TensorFlow models repository
    after Wang, Simoncelli, Bovik 2003, https://doi.org/10.1109/ACSSC.2003.1292216.
    """
    checked_output, checked_target = check_pair(output, target)
    peak = check_data_range(data_range)
    if not shrink_window and min(output.shape[:2]) < SMALLEST_PX:
        raise ValueError(f"output must be at least {SMALLEST_PX} pixels high and wide, got shape {output.shape}")
    windows = choose_windows(output.shape[0], output.shape[1])
    if per_channel and output.ndim == 3:
        channels = (np.moveaxis(image, 2, 0) for image in (checked_output, checked_target))
        pairs = [(np.ascontiguousarray(x), np.ascontiguousarray(y)) for x, y in zip(*channels, strict=True)]
    else:
        pairs = [(checked_output, checked_target)]
    terms = np.array([measure_structure(x, y, data_range=peak, windows=windows) for x, y in pairs])
    if per_channel:
        terms = np.maximum(terms, 0)
    with np.errstate(invalid="ignore"):
        return float(np.prod(np.power(terms, SCALE_WEIGHTS), axis=1).mean())


@functools.lru_cache(maxsize=64)
def choose_windows(height: int, width: int) -> Windows:
    """The window of each scale: as large as the smaller side where that is below 11 pixels."""
    windows = []
    for _ in SCALE_WEIGHTS:
        size_px = min(WINDOW_PX, height, width)
        windows.append(make_gaussian_window(size_px, WINDOW_SIGMA_PX * size_px / WINDOW_PX))
        height, width = (height + 1) // 2, (width + 1) // 2
    return make_windows(windows)
