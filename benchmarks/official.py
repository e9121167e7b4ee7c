"""The challenge's own MS-SSIM, transcribed: 2-D windows and Fourier convolutions in float64, as slow as it is.

Source: ssim.py of github.com/aiff22/ai-challenge. Nothing of the package is used here: it is what the package is held
against.
"""

import numpy as np
from scipy import ndimage, signal

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def compute_ms_ssim(target: np.ndarray, output: np.ndarray, max_val: float) -> float:
    """MultiScaleSSIM of two images, H x W or H x W x 3; NaN where a mean is negative."""
    images = [np.atleast_3d(image)[np.newaxis].astype(np.float64) for image in (target, output)]
    similarities, contrasts = [], []
    for _ in WEIGHTS:
        similarity, contrast = compare_one_scale(*images, max_val)
        similarities.append(similarity)
        contrasts.append(contrast)
        box = np.ones((1, 2, 2, 1)) / 4
        images = [ndimage.convolve(image, box, mode="reflect")[:, ::2, ::2, :] for image in images]
    return float(np.prod(np.array(contrasts[:-1]) ** WEIGHTS[:-1]) * similarities[-1] ** WEIGHTS[-1])


def compare_one_scale(first: np.ndarray, second: np.ndarray, max_val: float) -> tuple[np.float64, np.float64]:
    """Mean SSIM and mean contrast term of NHWC batches."""
    size = min(11, first.shape[1], first.shape[2])
    x, y = np.mgrid[0:size, 0:size] - (size - 1) / 2
    window = np.exp(-(x**2 + y**2) / (2 * (size * 1.5 / 11) ** 2))
    window = (window / window.sum())[np.newaxis, :, :, np.newaxis]

    def average(image: np.ndarray) -> np.ndarray:
        return signal.fftconvolve(image, window, mode="valid")

    mu1, mu2 = average(first), average(second)
    sigma11 = average(first * first) - mu1 * mu1
    sigma22 = average(second * second) - mu2 * mu2
    sigma12 = average(first * second) - mu1 * mu2
    c1, c2 = (0.01 * max_val) ** 2, (0.03 * max_val) ** 2
    contrast = (2 * sigma12 + c2) / (sigma11 + sigma22 + c2)
    return np.mean((2 * mu1 * mu2 + c1) / (mu1 * mu1 + mu2 * mu2 + c1) * contrast), np.mean(contrast)
