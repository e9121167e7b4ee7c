"""A challenge's metrics, bound to how it prepares an output for each, and the values of one image."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.assets import AssetStore, find_pristine_model
from harness.challenge import Challenge, MetricProfile
from harness.errors import DataError, ModelError
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model
from harness.records import ImageScore


@dataclass(frozen=True)
class BoundMetric:
    """A challenge's metric, ready to be computed on an output as the model gave it."""

    profile: MetricProfile
    compute: Callable[..., float]

    def measure(self, output: np.ndarray, target: np.ndarray | None) -> float:
        """The value for a float32 output in [0, 1] (and a uint8 target)."""
        images = [prepare_output(output, self.profile)]
        if target is not None:
            images.append(prepare_output(target.astype(np.float32) / np.float32(255), self.profile))
        return self.compute(*images, data_range=self.profile.data_range)


def bind_metrics(challenge: Challenge, store: AssetStore) -> tuple[tuple[BoundMetric, ...], str]:
    """The challenge's metrics, and a sentence on what had to be left out (empty where nothing was)."""
    bound, missing = [], ""
    for profile in challenge.metrics:
        metric = get_metric(profile.name)
        compute = metric.compute
        if profile.name == "niqe":
            try:
                compute = functools.partial(compute, pristine=load_pristine_model(find_pristine_model(store)))
            except DataError as error:
                missing = f"{metric.label} is left out: {error}"
                continue
        bound.append(BoundMetric(profile, compute))
    return tuple(bound), missing


def prepare_output(output: np.ndarray, profile: MetricProfile) -> np.ndarray:
    """Clip, scale and round an image in [0, 1] as the metric's profile says."""
    image = np.clip(output, 0, 1) if profile.clip else output
    scaled = image.astype(np.float64) * profile.data_range
    return np.rint(scaled).astype(np.uint8) if profile.quantize else scaled


def score_image(
    name: str, outputs: Sequence[np.ndarray], target: np.ndarray | None, metrics: Sequence[BoundMetric]
) -> ImageScore:
    """Every metric that applies to a pair, or to a photo when there is no target; the mean over several outputs.

    A mean is infinite (None) where every output's value is; of some infinite ones only the others count.
    """
    kind = "photos" if target is None else "pairs"
    values: dict[str, float | None] = {}
    for metric in (metric for metric in metrics if metric.profile.images == kind):
        drawn = [score_output(name, output, target, metric) for output in outputs]
        finite = [value for value in drawn if value is not None]
        values[metric.profile.name] = sum(finite) / len(finite) if finite else None
    return ImageScore(name, values)


def score_output(name: str, output: np.ndarray, target: np.ndarray | None, metric: BoundMetric) -> float | None:
    """One metric of one output; None for an infinite PSNR. Raises ModelError where it is not defined."""
    try:
        value = metric.measure(output, target)
    except ValueError as error:
        message = f"{metric.profile.name} of {name}: {error}; look at that output."
        raise ModelError(message, stage="output", kind="metric") from error
    if metric.profile.name == "psnr" and value == math.inf:
        return None
    if not math.isfinite(value):
        raise ModelError(
            f"{metric.profile.name} of {name} is {value}: it is not defined for this output; look at it.",
            stage="output",
            kind="metric",
        )
    return value
