"""Structural similarity, and the windowed statistics that the multi-scale version shares."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from harness.metrics.checks import FloatArray, check_data_range, check_pair

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5


def ssim(output: npt.NDArray[Any], target: npt.NDArray[Any], *, data_range: float) -> float:
    """Mean structural similarity, at most 1 (identical images), higher is better; no unit.

    Both images are H x W or H x W x 3, at least 11 x 11 pixels, integer or floating point, on the scale that
    `data_range` states. Gaussian window of 11 pixels with sigma 1.5, only where it lies wholly inside the image,
    K1 0.01, K2 0.03, biased variances; the mean is over all positions and channels. No downsampling beforehand.

    Raises ValueError for a wrong shape, dtype, data range, a smaller image or a value that is not finite.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004, https://doi.org/10.1109/TIP.2003.819861.
    """
    checked_output, checked_target = check_pair(output, target)
    peak = check_data_range(data_range)
    if min(checked_output.shape[:2]) < WINDOW_PX:
        raise ValueError(f"output must be at least {WINDOW_PX} pixels high and wide, got shape {output.shape}")
    window = make_gaussian_window(WINDOW_PX, WINDOW_SIGMA_PX)
    return compare_structure(checked_output, checked_target, window, peak)[0]


def make_gaussian_window(size_px: int, sigma_px: float) -> FloatArray:
    """One axis of a separable Gaussian window: `size_px` weights around the middle, with sum 1."""
    distance_px = np.arange(size_px) - (size_px - 1) / 2
    weights: FloatArray = np.exp(-np.square(distance_px) / (2 * sigma_px**2))
    return weights / np.sum(weights)


def compare_structure(
    output: FloatArray, target: FloatArray, window: FloatArray, data_range: float
) -> tuple[float, float]:
    """Mean SSIM and its mean contrast-structure term, over height, width and channels of the valid area."""
    # Sum and difference hold the same statistics as the two images with four filtered maps in place of five,
    # lose less to cancellation, and make the result symmetric and 1 for identical images to the last bit.
    total, difference = output + target, output - target
    total_mean, difference_mean = filter_valid(total, window), filter_valid(difference, window)
    total_power, difference_power = np.square(total_mean), np.square(difference_mean)
    total_variance = filter_valid(np.square(total), window) - total_power
    difference_variance = filter_valid(np.square(difference), window) - difference_power

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = ((total_power - difference_power) / 2 + c1) / ((total_power + difference_power) / 2 + c1)
    contrast = ((total_variance - difference_variance) / 2 + c2) / ((total_variance + difference_variance) / 2 + c2)
    return float(np.mean(luminance * contrast)), float(np.mean(contrast))


def filter_valid(image: FloatArray, window: FloatArray) -> FloatArray:
    """Filter rows and columns with a symmetric window, keeping the positions where it lies inside the image."""
    for axis in (0, 1):
        before = len(window) // 2
        kept = slice(before, before + image.shape[axis] - len(window) + 1)
        filtered = ndimage.correlate1d(image, window, axis=axis, mode="constant")
        image = filtered[kept] if axis == 0 else filtered[:, kept]
    return image
