"""The windowed statistics of two images that SSIM and MS-SSIM are made of, in one fused kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics.checks import FloatArray, Pixels, check_overflow
from harness.metrics.compiled import borrow_workspace, kernel

TAPS = 11
"""Pixels of the largest window; a smaller one is filled up with weights of 0."""

PITCH = 384
ROWS = 64
KEPT = ROWS - TAPS + 1
"""Work goes on in strips of PITCH values, ROWS of them at once: a pitch that the compiler knows lets it use vectors,
and what lies under a window stays in the near caches. KEPT rows are done with before the next ones come.
"""

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def make_gaussian_window(size_px: int, sigma_px: float) -> FloatArray:
    """One axis of a separable Gaussian window: `size_px` weights around the middle, with sum 1."""
    distance_px = np.arange(size_px) - (size_px - 1) / 2
    weights: FloatArray = np.exp(-np.square(distance_px) / (2 * sigma_px**2))
    return weights / np.sum(weights)


@dataclass(frozen=True, eq=False)
class Windows:
    """One axis of the window of each scale: weights (scales, TAPS), filled up with 0, and sizes (scales,) in pixels."""

    weights: FloatArray
    sizes: npt.NDArray[np.int64]


def make_windows(windows: Sequence[FloatArray]) -> Windows:
    """Windows of at most TAPS pixels, as `measure_structure` takes them."""
    weights = np.array([np.pad(window, (0, TAPS - len(window))) for window in windows])
    return Windows(weights, np.array([len(window) for window in windows]))


def measure_structure(output: Pixels, target: Pixels, *, data_range: float, windows: Windows) -> FloatArray:
    """Mean terms of SSIM over all pixels (and channels) of H x W (x 3) images, one for each window: the scales.

    Contrast-structure at all scales but the last, which has the whole SSIM. Windows are used where they lie wholly
    inside; between scales every 2 x 2 pixels become their mean, an odd last row or column being repeated.

    Sum and difference of the images hold the same statistics as the two with four filtered maps in place of five, lose
    less to cancellation, and make the result symmetric and 1 for identical images to the last bit.

    Raises ValueError for a value whose square is not finite.
    """
    height, width = output.shape[:2]
    channels = output.size // (height * width)
    terms = np.empty(len(windows.sizes))
    half, quarter = (((height + part - 1) // part) * ((width + part - 1) // part) for part in (2, 4))
    room = 8 * PITCH + 2 * (ROWS * PITCH + channels * (half + quarter))
    constants = 2 * (0.01 * data_range) ** 2, 2 * (0.03 * data_range) ** 2
    with borrow_workspace(room) as workspace:
        images, shape = (output.reshape(-1), target.reshape(-1)), (height, width, channels)
        _measure(images, shape, (windows.weights, windows.sizes), constants, workspace, terms)
    if not np.isfinite(terms).all():
        check_overflow(output, target)
    return terms


@kernel
def _measure(
    images: Pair,
    shape: tuple[int, int, int],
    windows: tuple[FloatArray, npt.NDArray[np.int64]],
    constants: tuple[float, float],
    workspace: FloatArray,
    terms: FloatArray,
) -> None:
    height, width, channels = shape
    weights, sizes = windows
    room = (PITCH // channels - TAPS + 1) // 2 * 2  # pixels of a strip; even, so that strips halve
    filtered, workspace = workspace[: 8 * PITCH], workspace[8 * PITCH :]
    strips, workspace = workspace[: 2 * ROWS * PITCH], workspace[2 * ROWS * PITCH :]
    # sums and differences at this scale and at the next, in turn
    here, there = workspace[2 * channels * ((height + 1) // 2) * ((width + 1) // 2) :], workspace
    for scale in range(len(terms)):
        is_last = scale == len(terms) - 1
        rows, columns = height - sizes[scale] + 1, width - sizes[scale] + 1
        half = channels * ((height + 1) // 2) * ((width + 1) // 2)
        pair = strips[: ROWS * PITCH], strips[ROWS * PITCH :]
        terms[scale] = 0
        for start in range(0, width, room):
            for top in range(0, height, KEPT):
                size, corner = (height, width * channels), (top, start * channels)
                if scale == 0:
                    _add_subtract(images, size, corner, pair)
                else:
                    plane = channels * height * width
                    _copy(here[:plane], size, corner, pair[0])
                    _copy(here[plane:], size, corner, pair[1])
                span = min(KEPT, rows - top), channels * min(room, columns - start)
                if channels == 3:
                    terms[scale] += _sum_strip(pair, span, 3, weights[scale], constants, is_last, filtered)
                else:
                    terms[scale] += _sum_strip(pair, span, 1, weights[scale], constants, is_last, filtered)
                if not is_last:
                    span = min(KEPT, height - top), min(room, width - start)
                    place = (top // 2 * ((width + 1) // 2) + start // 2) * channels
                    _halve(pair[0], span, channels, (width + 1) // 2 * channels, there[place:half])
                    _halve(pair[1], span, channels, (width + 1) // 2 * channels, there[half + place :])
        terms[scale] /= channels * rows * columns
        height, width = (height + 1) // 2, (width + 1) // 2
        here, there = there, here


@kernel
def _advance(strip: FloatArray, size: tuple[int, int], corner: tuple[int, int]) -> tuple[int, int, int]:
    """Take what is still needed of a strip to its top: the first row to fill, the end of the rows, the columns.

    Beside and under the image stand zeros, where windows reach with weights of 0.
    """
    top, start = corner
    last, columns = min(ROWS, size[0] - top), min(PITCH, size[1] - start)
    first = ROWS - KEPT if top > 0 else 0
    strip[: first * PITCH] = strip[(ROWS - first) * PITCH : ROWS * PITCH]
    if columns < PITCH:
        for row in range(first, last):
            strip[row * PITCH + columns : row * PITCH + min(PITCH, columns + 3 * TAPS)] = 0
    strip[max(first, last) * PITCH : min(ROWS, max(first, last) + TAPS) * PITCH] = 0
    return first, last, columns


@kernel
def _add_subtract(images: Pair, size: tuple[int, int], corner: tuple[int, int], strips: Pair) -> None:
    """The next rows of the sum and the difference of two images."""
    _advance(strips[0], size, corner)
    first, last, columns = _advance(strips[1], size, corner)
    for row in range(first, last):
        at = (corner[0] + row) * size[1] + corner[1]
        output, target = images[0][at:], images[1][at:]
        sums, differences = strips[0][row * PITCH :], strips[1][row * PITCH :]
        for j in range(columns):
            x, y = np.float64(output[j]), np.float64(target[j])
            sums[j] = x + y
            differences[j] = x - y


@kernel
def _copy(plane: FloatArray, size: tuple[int, int], corner: tuple[int, int], strip: FloatArray) -> None:
    """The next rows of a plane."""
    first, last, columns = _advance(strip, size, corner)
    for row in range(first, last):
        at = (corner[0] + row) * size[1] + corner[1]
        strip[row * PITCH : row * PITCH + columns] = plane[at : at + columns]


@kernel
def _halve(strip: FloatArray, span: tuple[int, int], channels: int, pitch: int, halved: FloatArray) -> None:
    """The mean of every 2 x 2 of so many pixels of a strip."""
    rows, columns = span
    for row in range(0, rows, 2):
        upper, lower = strip[row * PITCH :], strip[min(row + 1, rows - 1) * PITCH :]
        line = halved[row // 2 * pitch :]
        if channels == 3:
            _halve_row(upper, lower, columns // 2, 3, line)
        else:
            _halve_row(upper, lower, columns // 2, 1, line)
        for j in range((columns - 1) * channels, columns % 2 * columns * channels):
            line[j - columns // 2 * channels] = (upper[j] + lower[j]) / 2


@kernel
def _halve_row(upper: FloatArray, lower: FloatArray, count: int, channels: int, halved: FloatArray) -> None:
    for i in range(count):
        for channel in range(channels):
            j = 2 * channels * i + channel
            halved[channels * i + channel] = (upper[j] + lower[j] + (upper[j + channels] + lower[j + channels])) / 4


@kernel
def _sum_strip(
    strips: Pair,
    span: tuple[int, int],
    channels: int,
    weights: FloatArray,
    constants: tuple[float, float],
    whole: bool,
    filtered: FloatArray,
) -> float:
    """Sum over the first rows and columns of a strip: of SSIM, or of its contrast-structure term alone."""
    rows, columns = span
    total = 0.0
    if columns <= 0:
        return total
    # slices, since an index that may be negative, as far as the compiler knows, keeps it from using vectors
    for row in range(0, rows, 2):
        reach = columns + channels * (TAPS - 1)
        _filter_two_rows(strips[0][row * PITCH :], reach, weights, filtered)
        _filter_two_rows(strips[1][row * PITCH :], reach, weights, filtered[2 * PITCH :])
        for at in range(0, 4 * PITCH * min(2, rows - row), 4 * PITCH):
            if whole:
                total += _sum_similarity(filtered[at : at + 4 * PITCH], columns, channels, weights, constants)
            else:
                total += _sum_contrast(filtered[at : at + 4 * PITCH], columns, channels, weights, constants[1])
    return total


@kernel
def _filter_two_rows(strip: FloatArray, columns: int, weights: FloatArray, filtered: FloatArray) -> None:
    """The vertical half of the window over values and their squares, for the first row of a strip and the next."""
    for j in range(columns):
        value = strip[j]
        upper = weights[0] * value
        upper_power = upper * value
        lower, lower_power = 0.0, 0.0
        for k in range(1, TAPS):
            value = strip[k * PITCH + j]
            power = value * value
            upper += weights[k] * value
            upper_power += weights[k] * power
            lower += weights[k - 1] * value
            lower_power += weights[k - 1] * power
        value = strip[TAPS * PITCH + j]
        last = weights[TAPS - 1] * value
        filtered[j] = upper
        filtered[PITCH + j] = upper_power
        filtered[4 * PITCH + j] = lower + last
        filtered[5 * PITCH + j] = lower_power + last * value


@kernel
def _sum_contrast(filtered: FloatArray, columns: int, channels: int, weights: FloatArray, c2: float) -> float:
    """The horizontal half of the window, and the sum of the contrast-structure terms of a row."""
    total = 0.0
    for j in range(columns):
        s, ss, d, dd = 0.0, 0.0, 0.0, 0.0
        for k in range(TAPS):
            s += weights[k] * filtered[j + channels * k]
            ss += weights[k] * filtered[PITCH + j + channels * k]
            d += weights[k] * filtered[2 * PITCH + j + channels * k]
            dd += weights[k] * filtered[3 * PITCH + j + channels * k]
        sum_variance, difference_variance = ss - s * s, dd - d * d
        total += (sum_variance - difference_variance + c2) / (sum_variance + difference_variance + c2)
    return total


@kernel
def _sum_similarity(
    filtered: FloatArray, columns: int, channels: int, weights: FloatArray, constants: tuple[float, float]
) -> float:
    """The horizontal half of the window, and the sum of the SSIM of a row."""
    c1, c2 = constants
    total = 0.0
    for j in range(columns):
        s, ss, d, dd = 0.0, 0.0, 0.0, 0.0
        for k in range(TAPS):
            s += weights[k] * filtered[j + channels * k]
            ss += weights[k] * filtered[PITCH + j + channels * k]
            d += weights[k] * filtered[2 * PITCH + j + channels * k]
            dd += weights[k] * filtered[3 * PITCH + j + channels * k]
        sum_power, difference_power = s * s, d * d
        sum_variance, difference_variance = ss - sum_power, dd - difference_power
        above = (sum_variance - difference_variance + c2) * (sum_power - difference_power + c1)
        total += above / ((sum_variance + difference_variance + c2) * (sum_power + difference_power + c1))
    return total
