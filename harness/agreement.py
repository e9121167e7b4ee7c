"""One image pair by this package and by every other library that is installed: values, differences and their causes."""

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.assets import AssetStore, find_pristine_model
from harness.dataset import read_image
from harness.errors import DataError, quote
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model
from harness.metrics.profiles import Preparation, prepare_image
from harness.peers import LIBRARIES, Images, Implementation, Library

SAME = 1e-9
ROUNDED: Mapping[str, float] = {"psnr": 4e-6, "ssim": 2e-5, "ms_ssim": 2e-5, "niqe": 1e-6}
"""As far as float32 alone took a value from that in float64, of all libraries on photographs."""

_WHOLE = {"shrink_window": False}
CONVENTIONS: Mapping[str, Mapping[str, Preparation]] = {
    "psnr": {"RGB": Preparation()},
    "ssim": {"RGB": Preparation(), "grey": Preparation(colour="grey")},
    "ms_ssim": {
        "pirm-b": Preparation(),
        "a channel each": Preparation(options={**_WHOLE, "per_channel": True}),
        "grey": Preparation(colour="grey", options=_WHOLE),
    },
    "niqe": {"8 bits": Preparation()},
}
"""The ways in which this package computes each metric of 8-bit images: every library has one to be held against."""


@dataclass(frozen=True)
class Row:
    """One implementation's value (None: it has none here, and `reason` says why) and its difference from ours.

    against: the convention of ours that the difference is from; empty for our own rows.
    """

    metric: str
    name: str
    value: float | None
    against: str = ""
    difference: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """All rows, ours first within a metric, and the libraries that are not installed."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def compare_files(image: Path, target: Path | None, store: AssetStore) -> Agreement:
    """PSNR, SSIM and MS-SSIM of a pair, NIQE of a single image, as 8-bit files.

    Raises DataError for files that cannot be read, differ in size, or where NIQE's model cannot be had.
    """
    pixels = [read_image(path) for path in (image, target) if path is not None]
    if len({picture.shape for picture in pixels}) > 1:
        sizes = " and ".join(f"{picture.shape[1]}x{picture.shape[0]}" for picture in pixels)
        raise DataError(f"{image} and {target} differ in size ({sizes}); give two of one size.")
    if target is None:
        pristine = find_pristine_model(store)
        return compare_images(pixels[0], None, pristine=pristine)
    return compare_images(pixels[0], pixels[1], pristine=None)


def compare_images(output: np.ndarray, target: np.ndarray | None, *, pristine: Path | None) -> Agreement:
    """The same of uint8 HxWx3; pristine: NIQE's model, where there is no target."""
    ours = list(measure_ours(output, target, pristine))
    images = Images(to_floats(output), None if target is None else to_floats(target), pristine)
    installed = [library for library in LIBRARIES if library.is_installed]
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):  # what others say is not our output
        warnings.simplefilter("ignore")
        theirs = [row for library in installed for row in measure_library(library, images, ours)]
    metrics = dict.fromkeys(row.metric for row in ours)
    rows = [row for metric in metrics for row in (*ours, *theirs) if row.metric == metric]
    return Agreement(tuple(rows), tuple(library.name for library in LIBRARIES if not library.is_installed))


def to_floats(image: np.ndarray) -> np.ndarray:
    """Float32 in [0, 1] of 8 bits."""
    return image.astype(np.float32) / np.float32(255)


def measure_ours(output: np.ndarray, target: np.ndarray | None, pristine: Path | None) -> Iterator[Row]:
    """This package's value by each convention; none with its reason where the images are too small for one."""
    for name, conventions in CONVENTIONS.items():
        metric = get_metric(name)
        if metric.needs_target != (target is not None):
            continue
        compute: Callable[..., Any] = metric.compute
        if name == "niqe" and pristine is not None:
            compute = functools.partial(compute, pristine=load_pristine_model(pristine))
        for convention, preparation in conventions.items():
            images = [prepare_image(image, preparation) for image in (output, target) if image is not None]
            try:
                value = compute(*images, data_range=preparation.data_range, **preparation.options)
            except ValueError as error:
                yield Row(name, f"harness, {convention}", None, reason=quote(error))
            else:
                yield Row(name, f"harness, {convention}", value)


def measure_library(library: Library, images: Images, ours: list[Row]) -> Iterator[Row]:
    """One library's values beside ours; a row says what it stumbled over."""
    wanted = {row.metric for row in ours}
    found = library.bind(images)
    while True:
        try:
            implementation = next(found, None)
        except Exception as error:  # whatever a library raises as it is loaded
            yield from (Row(metric, library.name, None, reason=quote(error)) for metric in sorted(wanted)[:1])
            return
        if implementation is None:
            return
        if implementation.metric in wanted:
            yield measure_implementation(implementation, ours)


def measure_implementation(implementation: Implementation, ours: list[Row]) -> Row:
    """One value, its difference from ours by the same convention, and why there is one."""
    metric, name, convention = implementation.metric, implementation.name, implementation.convention
    try:
        value = implementation.compute()
    except Exception as error:  # what a library raises for images that do not do depends on it
        return Row(metric, name, None, convention, reason=quote(error))
    own = next(row.value for row in ours if (row.metric, row.name) == (metric, f"harness, {convention}"))
    if own is None:
        return Row(metric, name, value, convention)
    difference = 0.0 if value == own else value - own
    return Row(metric, name, value, convention, difference, explain(metric, difference, implementation.note))


def explain(metric: str, difference: float, note: str) -> str:
    """Why a value differs, in a few words."""
    if abs(difference) < SAME:
        return "the same"
    if abs(difference) < ROUNDED[metric]:
        return "float32 rounds"
    return note or "not explained"
