"""Holds how a model behaves where it is measured against how it behaves elsewhere: what differs shows.

A model can be written for the measurement: cheap at the timed size, or on a photo that it has seen before, or whatever
it is shown. Each such trick has its own measurement here, in a process of its own; `flags` judges them.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from harness.dataset import ImagePair
from harness.enhancement import check_agreement
from harness.records import Audit, SizedRuns

BESIDE_PX = 16
MARGIN_PX = 64
"""The size beside the timed one has so much less width and height; so much is left out along the cut."""

MOST_TILES = 128
TILE_MARGIN_PX = 16
"""Left out around each pair: there a network sees its neighbours instead of an edge."""

Run = Callable[[np.ndarray], tuple[np.ndarray, int]]
"""Runs the model once on a uint8 HxWx3 image: its output, and the time that it took in ns."""


def measure_audit(
    run: Run,
    pictures: Sequence[np.ndarray],
    pairs: Sequence[ImagePair],
    *,
    control_flow: tuple[str, ...],
    repeatable: bool,
) -> tuple[Audit, list[np.ndarray]]:
    """The audit on different pictures of the timed size (uint8 HxWx3) and on pairs, and the outputs for the pictures.

    Raises ModelError where a repeatable model's output for one picture is not the same twice.
    """
    height_px, width_px = pictures[0].shape[:2]
    half_px = width_px // 2, height_px // 2
    beside_px = width_px - BESIDE_PX, height_px - BESIDE_PX
    outputs, fresh_ns, repeated_ns, half_ns, beside_ns = [], [], [], [], []
    for picture in pictures:  # the sizes in turn: what disturbs the machine for a second disturbs them alike
        output, spent_ns = run(picture)
        again, again_ns = run(picture)
        if repeatable:
            check_agreement(again, output, "a repeated run")
        outputs.append(output)
        fresh_ns.append(spent_ns)
        repeated_ns.append(again_ns)
        half_ns.append(run(crop(picture, half_px))[1])
        beside_ns.append(run(crop(picture, beside_px))[1])
    corner, _ = run(crop(pictures[0], beside_px))
    alone_psnr_db, tiled_psnr_db = compare_tiled(run, pairs, pictures[0].shape)
    audit = Audit(
        fresh_ns=tuple(fresh_ns),
        repeated_ns=tuple(repeated_ns),
        beside=SizedRuns(*beside_px, tuple(beside_ns)),
        half=SizedRuns(*half_px, tuple(half_ns)),
        beside_difference=compare_corners(corner, outputs[0]),
        photo_difference=float(np.abs(outputs[0] - outputs[1]).mean()),
        alone_psnr_db=alone_psnr_db,
        tiled_psnr_db=tiled_psnr_db,
        control_flow=control_flow,
    )
    return audit, outputs


def crop(picture: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """The upper left corner of a picture, of this width and height."""
    width_px, height_px = size_px
    return picture[:height_px, :width_px]


def compare_corners(smaller: np.ndarray, larger: np.ndarray) -> float:
    """Mean absolute difference of two outputs of one scene, as far as both see it and are not near the cut."""
    height_px, width_px = (length - min(MARGIN_PX, length // 4) for length in smaller.shape[:2])
    return float(np.abs(smaller[:height_px, :width_px] - larger[:height_px, :width_px]).mean())


def compare_tiled(run: Run, pairs: Sequence[ImagePair], shape: tuple[int, ...]) -> tuple[float | None, float | None]:
    """PSNR (dB) of the pairs' middles, each enhanced on its own, and all side by side in one photo of this shape.

    From the squared error of all middles together. None where no pair fits, sizes differ, or an error is zero.
    """
    size = pairs[0].source.shape
    scale = pairs[0].target.shape[0] // size[0]
    rows, columns = shape[0] // size[0], shape[1] // size[1]
    margin = min(TILE_MARGIN_PX, size[0] // 4, size[1] // 4)
    if not rows * columns or any(pair.source.shape != size for pair in pairs):
        return None, None
    shown = pairs[: rows * columns]
    tiles = list(itertools.islice(itertools.cycle(pair.source for pair in shown), rows * columns))
    mosaic = np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
    edge = [(0, whole - part) for whole, part in zip(shape, mosaic.shape, strict=True)]
    together, _ = run(np.pad(mosaic, edge, mode="symmetric"))
    middle = tuple(slice(scale * margin, scale * (length - margin)) for length in size[:2])
    alone_errors, tiled_errors = [], []
    for number, pair in enumerate(shown):
        row, column = divmod(number, columns)
        tile = together[cut_part(scale * size[0], row), cut_part(scale * size[1], column)]
        target = pair.target[middle] / np.float32(255)
        alone_errors.append(np.square(np.clip(run(pair.source)[0][middle], 0, 1) - target).mean())
        tiled_errors.append(np.square(np.clip(tile[middle], 0, 1) - target).mean())
    return convert_error(float(np.mean(alone_errors))), convert_error(float(np.mean(tiled_errors)))


def cut_part(length: int, number: int) -> slice:
    """The part of this number, of parts of equal length."""
    return slice(number * length, (number + 1) * length)


def convert_error(mean_squared_error: float) -> float | None:
    """PSNR in dB of values in [0, 1]; None for no error at all."""
    return -10 * math.log10(mean_squared_error) if mean_squared_error else None
