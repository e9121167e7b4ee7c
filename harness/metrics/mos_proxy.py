"""A mean opinion score estimated from NIQE: a straight line through published pairs, with its uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from scipy import special

from harness.metrics.checks import FloatArray

RESAMPLES = 5000
SEED = 2018
LARGEST = 1e6
"""No NIQE and no scale of opinions comes near it."""
LEAST_RANGE = 1e-6
"""What NIQE of the same photo differs by between machines is not far below."""


@dataclass(frozen=True)
class MosFit:
    """MOS = intercept + slope * NIQE, least squares over `pairs` of (NIQE, MOS).

    It holds only for NIQE values of the image set on which the pairs were made: NIQE's scale depends on the photos.
    """

    slope: float
    intercept: float
    pairs: tuple[tuple[float, float], ...]
    correlation: float
    """Pearson's r of the pairs; NaN where all MOS are equal."""
    residual_std: float
    """Standard deviation of the residuals, with len(pairs) - 2 degrees of freedom."""


def fit_mos(pairs: Sequence[tuple[float, float]]) -> MosFit:
    """Fit the line through pairs of (NIQE, MOS).

    Raises ValueError as `check_pairs` does.
    Source: after the challenge paper, which uses "a linear mapping of the NIQE index" without giving it.
    """
    niqe, mos = check_pairs(pairs)
    niqe_offset, mos_offset = niqe - niqe.mean(), mos - mos.mean()
    niqe_power, mos_power = float(niqe_offset @ niqe_offset), float(mos_offset @ mos_offset)
    slope = float(niqe_offset @ mos_offset) / niqe_power
    intercept = float(mos.mean() - slope * niqe.mean())
    residuals = mos_offset - slope * niqe_offset
    return MosFit(
        slope=slope,
        intercept=intercept,
        pairs=tuple(zip(niqe.tolist(), mos.tolist(), strict=True)),
        correlation=slope * float(np.sqrt(niqe_power / mos_power)) if mos_power > 0 else float("nan"),
        residual_std=float(np.sqrt(residuals @ residuals / (len(niqe) - 2))),
    )


def check_pairs(pairs: Sequence[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    """NIQE and MOS of pairs that have a line.

    Raises ValueError for fewer than three pairs, values that are not finite or beyond LARGEST, a negative NIQE, and
    pairs that share one NIQE.
    """
    if len(pairs) < 3:
        raise ValueError(
            f"pairs must hold at least three (NIQE, MOS), got {len(pairs)}: a line has no error below that"
        )
    values = np.array(pairs, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"pairs must hold (NIQE, MOS), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"pairs must be finite, got {pairs!r}")
    if np.abs(values).max() > LARGEST:
        raise ValueError(f"pairs must lie within {LARGEST:g} of 0, got {values.flat[np.abs(values).argmax()]:g}")
    if values[:, 0].min() < 0:
        raise ValueError(f"pairs must have no NIQE below 0, which is a distance, got {values[:, 0].min():g}")
    if np.ptp(values[:, 0]) < LEAST_RANGE:
        raise ValueError(f"pairs must differ in NIQE, got {values[0, 0]} in all of them")
    return values[:, 0], values[:, 1]


@dataclass(frozen=True)
class MosError:
    """How far a fit is to be trusted."""

    leave_one_out: float
    """Root mean square of what each pair's MOS is off the line through the others; infinite where there is none."""
    slope: tuple[float, float]
    intercept: tuple[float, float]
    """95 % intervals, percentile bootstrap over the pairs, seeded."""


def measure_error(fit: MosFit) -> MosError:
    """The leave-one-out error of a fit and the intervals of its line.

    Resamples that hold one NIQE only have no line and are left out.
    Source: the leave-one-out residual of least squares is e / (1 - h), with the leverage h (Allen 1974).
    """
    niqe, mos = np.array(fit.pairs).T
    offset = niqe - niqe.mean()
    leverage = 1 / len(niqe) + np.square(offset) / np.square(offset).sum()
    residual = mos - fit.intercept - fit.slope * niqe
    left_out = np.full(len(niqe), math.inf)
    np.divide(residual, 1 - leverage, out=left_out, where=leverage < 1 - 1e-12)
    rows = np.random.default_rng(SEED).integers(0, len(niqe), (RESAMPLES, len(niqe)))
    drawn_niqe, drawn_mos = niqe[rows], mos[rows]
    drawn_offset = drawn_niqe - drawn_niqe.mean(axis=1, keepdims=True)
    power = np.square(drawn_offset).sum(axis=1)
    fitted = power > 1e-12 * np.square(offset).sum()
    slopes = (drawn_offset * drawn_mos).sum(axis=1)[fitted] / power[fitted]
    intercepts = drawn_mos.mean(axis=1)[fitted] - slopes * drawn_niqe.mean(axis=1)[fitted]
    ends = np.percentile(np.stack([slopes, intercepts]), (2.5, 97.5), axis=1).T.tolist()
    return MosError(float(np.sqrt(np.mean(np.square(left_out)))), tuple(ends[0]), tuple(ends[1]))


@overload
def predict_mos(fit: MosFit, niqe: float) -> tuple[float, float, float]: ...
@overload
def predict_mos(fit: MosFit, niqe: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]: ...
def predict_mos(
    fit: MosFit, niqe: float | FloatArray
) -> tuple[float, float, float] | tuple[FloatArray, FloatArray, FloatArray]:
    """Estimated MOS with the ends of its 95 % prediction interval (value, low, high); arrays give arrays.

    The interval is that of one new observation, from Student's t with len(pairs) - 2 degrees of freedom. It is not
    cut to the scale of opinion scores: three pairs leave one degree of freedom, and the interval says so.

    Raises ValueError for a NIQE that is not finite.
    """
    x = np.asarray(niqe, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"niqe must be finite, got {niqe!r}")
    known = np.array(fit.pairs)[:, 0]
    offset = x - known.mean()
    error = fit.residual_std * np.sqrt(1 + 1 / len(known) + offset**2 / np.square(known - known.mean()).sum())
    half_width = special.stdtrit(len(known) - 2, 0.975) * error
    value = fit.intercept + fit.slope * x
    low, high = value - half_width, value + half_width
    return (value, low, high) if isinstance(niqe, np.ndarray) else (float(value), float(low), float(high))
