"""Multi-scale structural similarity, as the challenge computes it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics.checks import FloatArray, check_data_range, check_pair
from harness.metrics.ssim import WINDOW_PX, WINDOW_SIGMA_PX, compare_structure, make_gaussian_window

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(output: npt.NDArray[Any], target: npt.NDArray[Any], *, data_range: float) -> float:
    """Multi-scale structural similarity over five scales, at most 1 (identical images), higher is better; no unit.

    Both images are H x W or H x W x 3 of any size, integer or floating point, on the scale that `data_range` states;
    values outside that range are used as they are. At each scale the window is min(11, height, width) pixels with
    sigma 1.5 * window / 11, only where it lies inside the image, and the mean is over height, width and channels;
    between scales every 2 x 2 pixels become their mean. The value is the product of the first four contrast terms
    and the last SSIM, each raised to its weight (0.0448, 0.2856, 0.3001, 0.2363, 0.1333).
    A negative term has no real power, so the value is then NaN, as in the source.

    Raises ValueError for a wrong shape, dtype, data range or a value that is not finite.
    Source: https://github.com/aiff22/ai-challenge, ssim.py, which is msssim.py of the TensorFlow models repository
    after Wang, Simoncelli, Bovik 2003, https://doi.org/10.1109/ACSSC.2003.1292216.
    """
    checked_output, checked_target = check_pair(output, target)
    terms = _compute_terms(checked_output, checked_target, check_data_range(data_range))
    with np.errstate(invalid="ignore"):
        return float(np.prod(np.power(terms, SCALE_WEIGHTS)))


def _compute_terms(output: FloatArray, target: FloatArray, data_range: float) -> list[float]:
    terms = []
    last = len(SCALE_WEIGHTS) - 1
    for scale in range(len(SCALE_WEIGHTS)):
        size_px = min(WINDOW_PX, *output.shape[:2])
        window = make_gaussian_window(size_px, WINDOW_SIGMA_PX * size_px / WINDOW_PX)
        similarity, contrast = compare_structure(output, target, window, data_range)
        terms.append(similarity if scale == last else contrast)
        output, target = _halve(output), _halve(target)
    return terms


def _halve(image: FloatArray) -> FloatArray:
    """The mean of every 2 x 2 pixels; an odd last row or column is repeated (the source's 'reflect' border)."""
    for axis in (0, 1):
        if image.shape[axis] % 2:
            image = np.concatenate([image, image.take([-1], axis=axis)], axis=axis)
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
