"""NIQE, the naturalness image quality evaluator: no target needed."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import io, special

from harness.errors import DataError
from harness.metrics.bicubic import make_cubic_window
from harness.metrics.checks import FloatArray, check_data_range, check_shape
from harness.metrics.compiled import borrow_workspace
from harness.metrics.niqe_kernels import MAPS, SUMS, halve_bicubic, measure_blocks, round_grey
from harness.metrics.structure import make_gaussian_window

BLOCK_PX = 96
FEATURES = 36
# Below this, a pixel's distance to its local mean is rounding noise of the filter (values go up to 255).
NOISE = 1e-10

# Table of the generalised Gaussian's shape against its moment ratio, which rises with the shape.
_SHAPES = np.linspace(0.2, 10, 9801)
_RATIOS = special.gamma(2 / _SHAPES) ** 2 / (special.gamma(1 / _SHAPES) * special.gamma(3 / _SHAPES))
_SPREADS = np.sqrt(special.gamma(1 / _SHAPES) / special.gamma(3 / _SHAPES))
_MEANS = special.gamma(2 / _SHAPES) / special.gamma(1 / _SHAPES)


@dataclass(frozen=True, eq=False)
class PristineModel:
    """The Gaussian that pristine photos follow: mean (36,) and covariance (36, 36) of their block features."""

    mean: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        for name, values, shape in (
            ("mean", self.mean, (FEATURES,)),
            ("covariance", self.covariance, (FEATURES, FEATURES)),
        ):
            if values.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {values.shape}")
            if values.dtype.kind != "f" or not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite floating point numbers, got dtype {values.dtype}: {values}")


def load_pristine_model(path: Path) -> PristineModel:
    """Read the pristine model from LIVE's modelparameters.mat or from a niqe_pris_params.npz (the same figures).

    Raises DataError where the file is missing, damaged or holds no model of 36 features.
    Source: https://github.com/utlive/niqe (.mat); the basicsr package on PyPI (.npz).
    """
    names = ("mu_prisparam", "cov_prisparam") if path.suffix == ".mat" else ("mu_pris_param", "cov_pris_param")
    try:
        if path.suffix == ".mat":
            stored = io.loadmat(path, variable_names=names)
            mean, covariance = (np.asarray(stored[name], dtype=np.float64) for name in names)
        else:
            # An open file, since np.load forgets to close one that it opened and found damaged.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                mean, covariance = (np.asarray(archive[name], dtype=np.float64) for name in names)
        return PristineModel(mean.reshape(-1), covariance)
    except Exception as error:  # on damaged bytes the readers raise a dozen kinds
        msg = f"{path}: cannot read a NIQE model ({names[0]}, {names[1]}) from it: {error}. Fetch the file again."
        raise DataError(msg) from error


def niqe(image: npt.NDArray[np.uint8], *, data_range: float, pristine: PristineModel) -> float:
    """Distance of an image's statistics from those of pristine photos: 0 or more, lower is better; no unit.

    `image` is uint8 RGB H x W x 3 or grey H x W, `data_range` must be 255. The image is cropped to whole blocks of
    96 x 96 pixels; each block gives 18 features at full and 18 at half size. RGB becomes grey as MATLAB's rgb2gray
    does it, rounded to 8 bits.

    In flat regions the distance of a pixel to its local mean is only rounding noise, yet the features count its sign,
    so the released code's value depends on the order of its additions. Here a distance below 1e-10 always counts as
    just below the mean (black stays at 0), which makes the value the same on every machine. Of the three fixed choices
    it has the smallest largest error on the published images with flat regions, image3.bmp and I08.bmp: -0.50 % and
    +0.34 %, where just above gives 0.00 % and +0.97 %, and leaving such pixels uncounted -5.05 % and +0.57 %. MATLAB's
    own signs on I08.bmp are just below for four of its six flat levels, and 0 for two; no order of additions that was
    tried gives all six. Images without flat regions come out within 1e-4.

    Raises ValueError for a wrong shape, dtype or data range, for an image of fewer than two blocks, and where fewer
    than two blocks have texture on both scales: no covariance can be estimated then.
    Source: Mittal, Soundararajan, Bovik 2013, https://doi.org/10.1109/LSP.2012.2227726, and its release,
    https://github.com/utlive/niqe (computequality.m, computefeature.m, estimateaggdparam.m).
    """
    return measure_niqe(image, data_range=data_range, pristine=pristine)[0]


def measure_niqe(image: npt.NDArray[np.uint8], *, data_range: float, pristine: PristineModel) -> tuple[float, float]:
    """NIQE as `niqe` gives it, and the share of the pixels (of both sizes) whose distance counted as noise."""
    _check_niqe_input(image, data_range)
    height, width = (size - size % BLOCK_PX for size in image.shape[:2])
    pixels, halved_pixels = height * width, height * width // 4
    with borrow_workspace(halved_pixels + pixels // 8) as workspace:
        halved, grey = workspace[:halved_pixels], workspace[halved_pixels:].view(np.uint8)
        if image.ndim == 3:
            round_grey(image.reshape(-1), image.shape[1], height, width, grey)
        else:
            grey.reshape(height, width)[:] = image[:height, :width]
        halve_bicubic(grey, height, width, make_cubic_window(2), halved)
        window = make_gaussian_window(7, 7 / 6)
        sums = np.empty((2, (height // BLOCK_PX) * (width // BLOCK_PX), MAPS, SUMS))
        snapped = measure_blocks(grey, height, width, BLOCK_PX, window, NOISE, sums[0])
        snapped += measure_blocks(halved, height // 2, width // 2, BLOCK_PX // 2, window, NOISE, sums[1])
        features = np.hstack([_compute_features(sums[0], BLOCK_PX), _compute_features(sums[1], BLOCK_PX // 2)])
        return _compute_distance(features, pristine), snapped / (pixels + halved_pixels)


def _check_niqe_input(image: npt.NDArray[Any], data_range: float) -> None:
    check_shape(image, "image")
    if image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 (NIQE is defined on 8 bits), got dtype {image.dtype}")
    if check_data_range(data_range) != 255:
        raise ValueError(f"data_range must be 255 (NIQE is defined on 8 bits), got {data_range!r}")
    if (image.shape[0] // BLOCK_PX) * (image.shape[1] // BLOCK_PX) < 2:
        raise ValueError(f"image must hold at least two blocks of {BLOCK_PX} x {BLOCK_PX} pixels, got {image.shape}")


def _compute_features(sums: FloatArray, block_px: int) -> FloatArray:
    """18 features a block, (blocks, 18): the shape and spread of the pixels, and of products of neighbours."""
    place, left, right = _fit_asymmetric_gaussian(sums, block_px)
    shape, mean = _SHAPES[place], (right - left) * _MEANS[place]
    pixels = [shape[:, 0], (left[:, 0] + right[:, 0]) / 2]
    products = [feature[:, number] for number in range(1, MAPS) for feature in (shape, mean, left, right)]
    return np.stack([*pixels, *products], axis=1)


def _fit_asymmetric_gaussian(sums: FloatArray, block_px: int) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
    """Place of the shape in the table, left and right scale of a generalised Gaussian (blocks, MAPS) each.

    A block without negative (or positive) values has no left (or right) scale: NaN, with the first shape, as released.
    """
    magnitude, left, right, negatives, positives = np.moveaxis(sums, 2, 0)
    with np.errstate(invalid="ignore"):
        left_std, right_std = np.sqrt(left / negatives), np.sqrt(right / positives)
        asymmetry = left_std / right_std
        ratio = (magnitude / block_px**2) ** 2 / ((left + right) / block_px**2)
    ratio = ratio * (asymmetry**3 + 1) * (asymmetry + 1) / (asymmetry**2 + 1) ** 2
    place = _look_up_shape(ratio)
    return place, left_std * _SPREADS[place], right_std * _SPREADS[place]


def _look_up_shape(ratio: FloatArray) -> npt.NDArray[np.intp]:
    """The place in the table whose ratio is nearest; the first one for NaN, as MATLAB's min gives it."""
    after = np.clip(np.searchsorted(_RATIOS, ratio), 1, len(_RATIOS) - 1)
    nearest = np.where(ratio - _RATIOS[after - 1] <= _RATIOS[after] - ratio, after - 1, after)
    return np.where(np.isnan(ratio), 0, nearest)


def _compute_distance(features: FloatArray, pristine: PristineModel) -> float:
    complete = features[~np.isnan(features).any(axis=1)]
    if len(complete) < 2:
        msg = f"image must have texture in at least two blocks of {BLOCK_PX} x {BLOCK_PX} pixels, got {len(complete)}"
        raise ValueError(msg)
    # As released: the mean skips single NaN values, the covariance skips the whole block.
    difference = pristine.mean - np.nanmean(features, axis=0)
    covariance = (pristine.covariance + np.cov(complete, rowvar=False)) / 2
    inverse = np.linalg.pinv(covariance, rcond=FEATURES * np.finfo(np.float64).eps)
    return math.sqrt(difference @ inverse @ difference)
