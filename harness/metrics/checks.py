"""The input checks that every metric shares. Each failure is a ValueError that names the argument and its value."""

import math
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def check_data_range(data_range: float) -> float:
    """The data range as a float: a finite number above 0 (ValueError otherwise)."""
    is_number = isinstance(data_range, Real) and not isinstance(data_range, bool)
    if not is_number or not math.isfinite(data_range) or data_range <= 0:
        msg = f"data_range must be a finite number above 0 (255 for 8 bits, 1 for [0, 1]), got {data_range!r}"
        raise ValueError(msg)
    return float(data_range)


def check_shape(image: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError unless `image` is a numpy array, H x W or H x W x 3, with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{name} must be a numpy array, got {type(image).__name__}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f"{name} must be H x W or H x W x 3 with at least one pixel, got shape {image.shape}")


def check_image(image: npt.NDArray[Any], name: str) -> FloatArray:
    """The image as float64: H x W or H x W x 3, integer or floating point, all finite (ValueError otherwise)."""
    check_shape(image, name)
    if image.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold integers or floating point numbers, got dtype {image.dtype}")
    converted = image.astype(np.float64)
    finite = np.isfinite(converted)
    if not finite.all():
        position = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} must be finite, got {converted[position]} at {position}")
    return converted


def check_pair(output: npt.NDArray[Any], target: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Both images as float64, of one shape (ValueError otherwise)."""
    checked_output, checked_target = check_image(output, "output"), check_image(target, "target")
    if checked_output.shape != checked_target.shape:
        msg = f"output and target must have one shape, got {checked_output.shape} and {checked_target.shape}"
        raise ValueError(msg)
    return checked_output, checked_target
