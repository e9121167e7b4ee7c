"""The passes over pixels that NIQE is made of. Images are flat arrays, row after row."""

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.metrics.checks import FloatArray
from harness.metrics.compiled import kernel

PITCH = 128
"""Work goes on in blocks and strips of so many columns: a pitch that the compiler knows lets it use vectors."""

TAPS = 7
CUBIC_TAPS = 8
REACH = 3
"""Pixels that both windows reach beyond their middle."""

SUMS = 5
MAPS = 5


@kernel
def round_grey(
    image: npt.NDArray[np.uint8], width: int, crop_height: int, crop_width: int, grey: npt.NDArray[np.uint8]
) -> None:
    """MATLAB's rgb2gray on uint8, of the upper left of an RGB image: the rounding moves NIQE by up to 0.3."""
    for row in range(crop_height):
        pixels, result = image[3 * row * width :], grey[row * crop_width :]
        for j in range(crop_width):
            red, green, blue = pixels[3 * j], pixels[3 * j + 1], pixels[3 * j + 2]
            mixed = 0.298936021293775 * red + 0.587043074451121 * green + 0.114020904255103 * blue
            result[j] = np.floor(mixed + 0.5)


@kernel
def halve_bicubic(
    image: npt.NDArray[np.uint8], height: int, width: int, weights: FloatArray, halved: FloatArray
) -> None:
    """Filter with 8 symmetric weights around every second gap of pixels, rows first; symmetric borders, even sizes."""
    room = (PITCH - CUBIC_TAPS) // 2 + 1
    strip, filtered = np.zeros((height + 2 * REACH) * PITCH), np.zeros(PITCH)
    even, odd = np.zeros(PITCH // 2), np.zeros(PITCH // 2)  # every second one: vectors need neighbours
    for start in range(0, width // 2, room):
        columns = min(room, width // 2 - start)
        for row in range(-REACH, height + REACH):
            source, line = image[_mirror(row, height) * width :], strip[(row + REACH) * PITCH :]
            inside, pixels = line[REACH:], source[2 * start :]
            for j in range(2 * columns):
                inside[j] = pixels[j]
            for j in range(REACH):
                line[j] = source[_mirror(2 * start - REACH + j, width)]
                line[REACH + 2 * columns + j] = source[_mirror(2 * (start + columns) + j, width)]
        for row in range(height // 2):
            _filter_column(strip[2 * row * PITCH :], 2 * (columns + REACH), weights, filtered)
            halved_row = halved[row * (width // 2) + start :]
            for j in range(columns + REACH):
                even[j], odd[j] = filtered[2 * j], filtered[2 * j + 1]
            for j in range(columns):
                total = 0.0
                for k in range(CUBIC_TAPS // 2):
                    total += weights[2 * k] * even[j + k] + weights[2 * k + 1] * odd[j + k]
                halved_row[j] = total


@kernel
def _filter_column(strip: FloatArray, columns: int, weights: FloatArray, filtered: FloatArray) -> None:
    for j in range(columns):
        total = 0.0
        for k in range(CUBIC_TAPS):
            total += weights[k] * strip[k * PITCH + j]
        filtered[j] = total


@kernel
def _mirror(position: int, length: int) -> int:
    if position < 0:
        return -position - 1
    return position if position < length else 2 * length - position - 1


@kernel
def measure_blocks(
    grey: npt.NDArray[Any], height: int, width: int, block_px: int, weights: FloatArray, noise: float, sums: FloatArray
) -> int:
    """Sums over each block (blocks, MAPS, SUMS) of the normalised image, and how many pixels were snapped.

    Maps: the normalised pixels, then their products with the left, the upper, the upper left and the upper right
    neighbour in the block, which goes around at its edges. Sums: of magnitudes, of squares of negative and of positive
    values, and the counts of negative and of positive values.
    """
    padded = np.zeros((block_px + 2 * REACH) * PITCH)
    filtered = np.zeros(2 * PITCH)
    block = np.zeros((block_px + 1) * PITCH)
    snapped = 0
    number = 0
    for top in range(0, height, block_px):
        for left in range(0, width, block_px):
            _pad_block(grey, height, width, top, left, block_px, padded)
            sums[number] = 0
            snapped += _normalise(padded, block_px, weights, noise, filtered, block, sums[number, 0])
            _sum_products(block, block_px, sums[number, 1:])
            number += 1
    return snapped


@kernel
def _pad_block(
    grey: npt.NDArray[Any], height: int, width: int, top: int, left: int, block_px: int, padded: FloatArray
) -> None:
    """A block with what the window needs around it; the image's border is repeated."""
    for i in range(block_px + 2 * REACH):
        source, line = grey[min(max(top + i - REACH, 0), height - 1) * width :], padded[i * PITCH :]
        inside, pixels = line[REACH:], source[left:]
        for j in range(block_px):
            inside[j] = pixels[j]
        for j in range(REACH):
            line[j] = source[max(left + j - REACH, 0)]
            line[REACH + block_px + j] = source[min(left + block_px + j, width - 1)]


@kernel
def _normalise(
    padded: FloatArray,
    block_px: int,
    weights: FloatArray,
    noise: float,
    filtered: FloatArray,
    block: FloatArray,
    sums: FloatArray,
) -> int:
    """Subtract the local mean and divide by the local deviation plus 1, with sums; how many pixels were snapped.

    Row i of the block is row i + 1 of `block`, columns from 1 on; its last row is row 0 too, and on both sides stands
    the column of the other side.
    """
    snapped = 0
    for i in range(block_px):
        _filter_rows(padded[i * PITCH :], block_px + 2 * REACH, weights, filtered)
        at = (i + 1) * PITCH + 1
        middle = padded[(i + REACH) * PITCH + REACH :]
        snapped += _normalise_row(filtered, middle, block_px, weights, noise, block[at:], sums)
        block[at - 1] = block[at + block_px - 1]
        block[at + block_px] = block[at]
    block[:PITCH] = block[block_px * PITCH :]
    return snapped


@kernel
def _filter_rows(padded: FloatArray, columns: int, weights: FloatArray, filtered: FloatArray) -> None:
    """The vertical half of the window over values and their squares."""
    for j in range(columns):
        mean, power = 0.0, 0.0
        for k in range(TAPS):
            value = padded[k * PITCH + j]
            weighted = weights[k] * value
            mean += weighted
            power += weighted * value
        filtered[j] = mean
        filtered[PITCH + j] = power


@kernel
def _normalise_row(
    filtered: FloatArray,
    middle: FloatArray,
    count: int,
    weights: FloatArray,
    noise: float,
    normalised: FloatArray,
    sums: FloatArray,
) -> int:
    snapped = 0
    magnitude, left, right = 0.0, 0.0, 0.0
    negatives, positives = 0, 0
    for j in range(count):
        mean, power = 0.0, 0.0
        for k in range(TAPS):
            mean += weights[k] * filtered[j + k]
            power += weights[k] * filtered[PITCH + j + k]
        distance = middle[j] - mean
        # where the whole window is black nothing was rounded: the distance is truly 0, as released
        is_noise = (abs(distance) < noise) & (mean != 0)
        snapped += is_noise
        value = (-noise if is_noise else distance) / (np.sqrt(abs(power - mean * mean)) + 1)
        normalised[j] = value
        # the sums stand here since the processor takes them while it divides
        below, above = min(value, 0.0), max(value, 0.0)
        magnitude += above - below
        left += below * below
        right += above * above
        negatives += value < 0
        positives += value > 0
    _add(magnitude, left, right, negatives, positives, sums)
    return snapped


@kernel
def _sum_products(block: FloatArray, block_px: int, sums: FloatArray) -> None:
    for i in range(block_px):
        above, here = block[i * PITCH :], block[(i + 1) * PITCH :]
        _sum_products_of_row(here[1:], here, block_px, sums[0])
        _sum_products_of_row(here[1:], above[1:], block_px, sums[1])
        _sum_products_of_row(here[1:], above, block_px, sums[2])
        _sum_products_of_row(here[1:], above[2:], block_px, sums[3])


@kernel
def _sum_products_of_row(row: FloatArray, neighbours: FloatArray, count: int, sums: FloatArray) -> None:
    magnitude, left, right = 0.0, 0.0, 0.0
    negatives, positives = 0, 0
    for j in range(count):
        value = row[j] * neighbours[j]
        below, above = min(value, 0.0), max(value, 0.0)
        magnitude += above - below
        left += below * below
        right += above * above
        negatives += value < 0
        positives += value > 0
    _add(magnitude, left, right, negatives, positives, sums)


@kernel
def _add(magnitude: float, left: float, right: float, negatives: int, positives: int, sums: FloatArray) -> None:
    sums[0] += magnitude
    sums[1] += left
    sums[2] += right
    sums[3] += negatives
    sums[4] += positives
