"""A mean opinion score estimated from NIQE: a straight line through published pairs, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from scipy import stats

from harness.metrics.checks import FloatArray


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

    Raises ValueError for fewer than three pairs, values that are not finite, and pairs that share one NIQE.
    Source: after the challenge paper, which uses "a linear mapping of the NIQE index" without giving it.
    """
    niqe, mos = _check_pairs(pairs)
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


def _check_pairs(pairs: Sequence[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    if len(pairs) < 3:
        raise ValueError(
            f"pairs must hold at least three (NIQE, MOS), got {len(pairs)}: a line has no error below that"
        )
    values = np.array(pairs, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"pairs must hold (NIQE, MOS), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"pairs must be finite, got {pairs!r}")
    if np.ptp(values[:, 0]) == 0:
        raise ValueError(f"pairs must differ in NIQE, got {values[0, 0]} in all of them")
    return values[:, 0], values[:, 1]


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
    half_width = stats.t.ppf(0.975, len(known) - 2) * error
    value = fit.intercept + fit.slope * x
    low, high = value - half_width, value + half_width
    return (value, low, high) if isinstance(niqe, np.ndarray) else (float(value), float(low), float(high))
