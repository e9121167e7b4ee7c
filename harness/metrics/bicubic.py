"""The weights of MATLAB's imresize, bicubic and antialiased."""

import numpy as np

from harness.metrics.checks import FloatArray


def make_cubic_window(factor: int) -> FloatArray:
    """Of imresize(image, 1 / factor) along one axis, for sizes that are multiples of an even factor: (4 * factor,).

    The cubic with a = -0.5, stretched to `factor` times its width, at the pixels around a new one; the sum is 1.
    """
    distance = np.abs(np.arange(4 * factor) - (4 * factor - 1) / 2) / factor
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights: FloatArray = np.where(distance <= 1, near, far)
    weights /= weights.sum()
    return weights
