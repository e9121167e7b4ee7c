"""A challenge's metrics, bound to how their profiles prepare images, and the values of one image."""

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from harness.assets import AssetStore, find_pristine_model
from harness.challenge import Challenge, ChallengeMetric
from harness.dataset import Dataset
from harness.errors import DataError, HarnessError, ModelError, UsageError
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model, measure_niqe
from harness.metrics.profiles import BRIDGED, Preparation, choose_profile, find_preparation, prepare_image
from harness.records import INFINITE, ImageScore, list_values


@dataclass(frozen=True)
class BoundMetric:
    """A challenge's metric, ready to be computed on an output as the model gave it.

    compute returns one value, or for NIQE also the share of snapped pixels. needs_target: whether it takes a target.
    extra: the challenge does not list it, somebody asked for it; then a submission may be without it.
    """

    chosen: ChallengeMetric
    compute: Callable[..., Any]
    needs_target: bool = True
    extra: bool = False

    @property
    def is_bridged(self) -> bool:
        """Whether another library computes it."""
        return self.chosen.profile == BRIDGED

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
            yield key, self._apply(version, output, target if self.needs_target else None)

    def _apply(self, preparation: Preparation, output: np.ndarray, target: np.ndarray | None) -> Any:
        images = [prepare_image(image, preparation) for image in (output, target) if image is not None]
        return self.compute(*images, data_range=preparation.data_range, **preparation.options)


def bind_metrics(challenge: Challenge, store: AssetStore) -> tuple[tuple[BoundMetric, ...], str]:
    """The challenge's metrics, and a sentence on what had to be left out (empty where nothing was)."""
    bound, missing = [], ""
    for chosen in challenge.metrics:
        try:
            bound.append(bind_metric(chosen, store))
        except DataError as error:
            if chosen.name != "niqe":
                raise
            missing = f"NIQE is left out: {error}"
    return tuple(bound), missing


def bind_metric(chosen: ChallengeMetric, store: AssetStore, *, extra: bool = False) -> BoundMetric:
    """One metric with what it needs. Raises UsageError or DataError where that is not there."""
    metric = get_metric(chosen.name)
    compute: Callable[..., Any] = metric.compute
    if chosen.name == "niqe":
        compute = functools.partial(measure_niqe, pristine=load_pristine_model(find_pristine_model(store)))
    known = msgspec.structs.replace(chosen, lower_is_better=not metric.higher_is_better)
    return BoundMetric(known, compute, metric.needs_target, extra)


def bind_extra(name: str, dataset: Dataset, store: AssetStore) -> BoundMetric:
    """A metric that was asked for, by the first profile that has it, tried on an image of the dataset.

    Over the pairs where it needs a target, else over the photos, and over the pairs' outputs where there are no photos.
    Raises UsageError for an unknown name, a missing package and a metric that these images are not fit for, DataError
    where its weights cannot be had.
    """
    images: Literal["pairs", "photos"] = "pairs" if get_metric(name).needs_target or not dataset.photos else "photos"
    metric = bind_metric(ChallengeMetric(name, images, choose_profile(name)), store, extra=True)
    image, target = dataset.load_photo(dataset.photos[0]) if images == "photos" else None, None
    if image is None:
        pair = dataset.load_pair(next(iter(dataset.splits.values()))[0])
        image = target = pair.target
    try:
        dict(metric.measure(image.astype(np.float32) / 255, target))
    except ValueError as error:
        raise UsageError(
            f"{name} cannot be computed on the {images} of {dataset.name}: {error}; leave it out."
        ) from None
    return metric


def bind_extras(
    asked: Sequence[str], remembered: Iterable[str], challenge: Challenge, dataset: Dataset, store: AssetStore
) -> tuple[tuple[BoundMetric, ...], dict[str, str]]:
    """The metrics that the challenge does not list: those that were asked for, and those that records have.

    Of the latter also, by name, why one cannot be had here; of the former that is an error, as in `bind_extra`.
    """
    listed = {metric.name for metric in challenge.metrics}
    wanted = [name for name in dict.fromkeys(asked) if name not in listed]
    bound, missing = [bind_extra(name, dataset, store) for name in wanted], {}
    for name in remembered:
        if name not in (*listed, *wanted):
            try:
                bound.append(bind_extra(name, dataset, store))
            except HarnessError as error:
                missing[name] = str(error)
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
        if any(key not in draw for draw in drawn):
            continue
        finite = [value for draw in drawn if (value := draw[key]) is not None]
        values[key] = sum(finite) / len(finite) if finite else None
    return ImageScore(name, values)


def score_output(
    name: str, output: np.ndarray, target: np.ndarray | None, metrics: Sequence[BoundMetric]
) -> dict[str, float | None]:
    """All values of one output; None for an infinite PSNR.

    Raises ModelError where one of the challenge's metrics is not defined; another metric is left out there.
    """
    values: dict[str, float | None] = {}
    for metric in metrics:
        try:
            values |= measure_output(name, output, target, metric)
        except ModelError:
            if not metric.extra:
                raise
    return values


def measure_output(
    name: str, output: np.ndarray, target: np.ndarray | None, metric: BoundMetric
) -> dict[str, float | None]:
    """One metric's values of one output. Raises ModelError where it is not defined."""
    try:
        measured = dict(metric.measure(output, target))
    except ValueError as error:
        message = f"{metric.chosen.name} of {name}: {error}; look at that output."
        raise ModelError(message, stage="output", kind="metric") from error
    values: dict[str, float | None] = {}
    for key, value in measured.items():
        is_infinite = key in INFINITE and value == math.inf
        if not is_infinite and not math.isfinite(value):
            message = f"{key} of {name} is {value}: it is not defined for this output; look at it."
            raise ModelError(message, stage="output", kind="metric")
        values[key] = None if is_infinite else value
    return values


def keep_common(scores: Sequence[ImageScore]) -> tuple[ImageScore, ...]:
    """The values that all images have: a mean over some of them would compare with no other."""
    common = set[str].intersection(*(set(score.values) for score in scores)) if scores else set[str]()
    return tuple(
        ImageScore(score.image, {name: value for name, value in score.values.items() if name in common})
        for score in scores
    )


def measure_compilation(metrics: Sequence[BoundMetric]) -> float:
    """Seconds to compile the metrics, or to load what was compiled before: those of their first use."""
    # MS-SSIM by pirm-a needs 208 pixels, NIQE two blocks of 96
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    start_s = time.perf_counter()
    for metric in metrics:
        dict(metric.measure(noise.astype(np.float32) / 255, noise if metric.chosen.images == "pairs" else None))
    return time.perf_counter() - start_s
