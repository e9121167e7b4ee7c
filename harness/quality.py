"""A challenge's metrics, bound to how their profiles prepare images, and the values of one image."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.assets import AssetStore, find_pristine_model
from harness.challenge import Challenge, ChallengeMetric
from harness.errors import DataError, ModelError
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model, measure_niqe
from harness.metrics.profiles import Preparation, find_preparation, prepare_image
from harness.records import INFINITE, ImageScore, list_values


@dataclass(frozen=True)
class BoundMetric:
    """A challenge's metric, ready to be computed on an output as the model gave it.

    compute returns one value, or for NIQE also the share of snapped pixels.
    """

    chosen: ChallengeMetric
    compute: Callable[..., Any]

    def measure(self, output: np.ndarray, target: np.ndarray | None) -> Iterator[tuple[str, float]]:
        """Values by name, for a float32 output in [0, 1] (and a uint8 target).

        Beside the challenge's value, `NAME_png` is that of the 8-bit file as which the output would be shipped, and
        `niqe_snapped` the share of pixels that NIQE took for flat.
        """
        name = self.chosen.name
        preparation = find_preparation(self.chosen.profile, name)
        if name == "niqe":
            value, snapped = self._apply(preparation, output, None)
            yield from zip(list_values(name), (value, snapped), strict=True)
            return
        versions = [preparation] if preparation.quantize else [preparation, preparation.ship()]
        for key, version in zip(list_values(name), versions, strict=False):
            yield key, self._apply(version, output, target)

    def _apply(self, preparation: Preparation, output: np.ndarray, target: np.ndarray | None) -> Any:
        images = [prepare_image(image, preparation) for image in (output, target) if image is not None]
        return self.compute(*images, data_range=preparation.data_range, **preparation.options)


def bind_metrics(challenge: Challenge, store: AssetStore) -> tuple[tuple[BoundMetric, ...], str]:
    """The challenge's metrics, and a sentence on what had to be left out (empty where nothing was)."""
    bound, missing = [], ""
    for chosen in challenge.metrics:
        metric = get_metric(chosen.name)
        compute: Callable[..., Any] = metric.compute
        if chosen.name == "niqe":
            try:
                compute = functools.partial(measure_niqe, pristine=load_pristine_model(find_pristine_model(store)))
            except DataError as error:
                missing = f"{metric.label} is left out: {error}"
                continue
        bound.append(BoundMetric(chosen, compute))
    return tuple(bound), missing


def score_image(
    name: str, outputs: Sequence[np.ndarray], target: np.ndarray | None, metrics: Sequence[BoundMetric]
) -> ImageScore:
    """Every metric that applies to a pair, or to a photo when there is no target; the mean over several outputs.

    A mean is infinite (None) where every output's value is; of some infinite ones only the others count.
    """
    kind = "photos" if target is None else "pairs"
    applicable = [metric for metric in metrics if metric.chosen.images == kind]
    drawn = [score_output(name, output, target, applicable) for output in outputs]
    values: dict[str, float | None] = {}
    for key in drawn[0]:
        finite = [value for draw in drawn if (value := draw[key]) is not None]
        values[key] = sum(finite) / len(finite) if finite else None
    return ImageScore(name, values)


def score_output(
    name: str, output: np.ndarray, target: np.ndarray | None, metrics: Sequence[BoundMetric]
) -> dict[str, float | None]:
    """All values of one output; None for an infinite PSNR. Raises ModelError where one is not defined."""
    values: dict[str, float | None] = {}
    for metric in metrics:
        try:
            measured = dict(metric.measure(output, target))
        except ValueError as error:
            message = f"{metric.chosen.name} of {name}: {error}; look at that output."
            raise ModelError(message, stage="output", kind="metric") from error
        for key, value in measured.items():
            is_infinite = key in INFINITE and value == math.inf
            if not is_infinite and not math.isfinite(value):
                message = f"{key} of {name} is {value}: it is not defined for this output; look at it."
                raise ModelError(message, stage="output", kind="metric")
            values[key] = None if is_infinite else value
    return values


def measure_compilation(metrics: Sequence[BoundMetric]) -> float:
    """Seconds to compile the metrics, or to load what was compiled before: those of their first use."""
    # MS-SSIM by pirm-a needs 208 pixels, NIQE two blocks of 96
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    start_s = time.perf_counter()
    for metric in metrics:
        dict(metric.measure(noise.astype(np.float32) / 255, noise if metric.chosen.images == "pairs" else None))
    return time.perf_counter() - start_s
