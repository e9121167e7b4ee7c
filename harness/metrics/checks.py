"""The input checks that every metric shares. Each failure is a ValueError that names the argument and its value."""

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | FloatArray
"""What the kernels are compiled for; every other kind of number becomes float64."""


def check_data_range(data_range: float) -> float:
    """The data range as a float: a number above 0 whose square is one too (ValueError otherwise)."""
    is_number = isinstance(data_range, Real) and not isinstance(data_range, bool)
    if not is_number or not 1e-100 < data_range < 1e100:
        msg = f"data_range must be a finite number above 0 (255 for 8 bits, 1 for [0, 1]), got {data_range!r}"
        raise ValueError(msg)
    return float(data_range)


def check_shape(image: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError unless `image` is a numpy array, H x W or H x W x 3, with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{name} must be a numpy array, got {type(image).__name__}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f"{name} must be H x W or H x W x 3 with at least one pixel, got shape {image.shape}")


def check_image(image: npt.NDArray[Any], name: str) -> Pixels:
    """The image, contiguous, as one of the kinds of `Pixels`; ValueError for another shape or dtype."""
    check_shape(image, name)
    if image.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold integers or floating point numbers, got dtype {image.dtype}")
    kept = image.dtype in (np.uint8, np.float32, np.float64)
    pixels: Pixels = np.ascontiguousarray(image) if kept else np.ascontiguousarray(image, dtype=np.float64)
    return pixels


def check_pair(output: npt.NDArray[Any], target: npt.NDArray[Any]) -> tuple[Pixels, Pixels]:
    """Both images, of one shape and one kind of `Pixels` (ValueError otherwise)."""
    checked_output, checked_target = check_image(output, "output"), check_image(target, "target")
    if checked_output.shape != checked_target.shape:
        msg = f"output and target must have one shape, got {checked_output.shape} and {checked_target.shape}"
        raise ValueError(msg)
    if checked_output.dtype != checked_target.dtype:
        return checked_output.astype(np.float64), checked_target.astype(np.float64)
    return checked_output, checked_target


def check_finite(image: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError for a value that is not finite.

    Where a metric's value shows that there is one, it is looked for then only: it takes longer than to compute a PSNR.
    """
    finite = np.isfinite(image)
    if not finite.all():
        position = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} must be finite, got {image[position]} at {position}")


def check_overflow(output: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:
    """Raise ValueError for what made sums overflow: a value that is not finite, or else one whose square is not."""
    check_finite(output, "output")
    check_finite(target, "target")
    largest = max(float(np.abs(image).max()) for image in (output, target))
    raise ValueError(f"output and target must hold values with finite squares, got {largest:g}")
