"""What is measured during training, on pairs that are held out; and which weights are kept for it.

NIQE, which the paper selects its weights by, is a statement about many blocks of 96x96 pixels. The patches have about
one each, so it is computed on a mosaic of the outputs. Its values hold for the pairs of one fold: they can be compared
with each other and with the targets' own, not with those of whole photos.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.assets import AssetStore, find_pristine_model
from harness.errors import DataError, HarnessError
from harness.metrics.niqe import BLOCK_PX, load_pristine_model, niqe
from reference.data import PairFolder, Pairs
from reference.losses import compute_ms_ssim, compute_psnr

Niqe = Callable[[np.ndarray], float]
"""NIQE of a uint8 image, (H, W, 3)."""

BATCH_SIZE = 32
MOSAIC_TILES = 400
"""At most: as many as the challenge has patches, so that DPED's held-out pairs fit into memory."""


@dataclass(frozen=True)
class Validation:
    """Means over the pairs, and NIQE of all outputs; None where it is not to be had."""

    psnr_db: float
    ms_ssim: float
    niqe: float | None


@dataclass(frozen=True)
class PairValues:
    """What an enhancement of N pairs is worth, pair by pair: PSNR in dB and MS-SSIM, each (N,).

    `tiles` are the middles of the first MOSAIC_TILES outputs, (n, 96, 96, 3) uint8.
    """

    psnr_db: torch.Tensor
    ms_ssim: torch.Tensor
    tiles: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """Averaged weights that may yet be selected, with what their validation found."""

    step: int
    psnr_db: float
    niqe: float
    weights: dict[str, torch.Tensor]


def find_niqe(store: AssetStore, pairs: Pairs | PairFolder | None = None) -> Niqe | None:
    """NIQE with the pristine model that `store` finds.

    None, and a line that says why, where that cannot be had, or there are pairs too small to need it.
    """
    try:
        if pairs and min(pairs.size_px) < BLOCK_PX:
            raise DataError(f"it needs pairs of at least {BLOCK_PX}x{BLOCK_PX} px")
        pristine = load_pristine_model(find_pristine_model(store))
    except HarnessError as error:
        print(f"NIQE is left out: {error}", file=sys.stderr)
        return None
    return lambda image: niqe(image, data_range=255, pristine=pristine)


def validate(network: nn.Module, pairs: Pairs | PairFolder, niqe: Niqe | None = None) -> Validation:
    """Mean PSNR and MS-SSIM, and NIQE of the mosaic of the outputs; ValueError as `measure_pairs`."""
    values = measure_pairs(network, pairs)
    return Validation(values.psnr_db.mean().item(), values.ms_ssim.mean().item(), measure_niqe(values.tiles, niqe))


def measure_pairs(network: nn.Module, pairs: Pairs | PairFolder) -> PairValues:
    """PSNR (clipped output) and MS-SSIM (unclipped) of each pair, and the outputs' tiles for a mosaic.

    Pairs with a target of one colour are left out: white on white has an infinite PSNR, which says nothing.
    ValueError where no pair is left.
    """
    psnr_db, ms_ssim, tiles = [], [], []
    for source, target in iterate_textured(pairs):
        with torch.no_grad():
            output = network(source)
        exact = output.double()
        psnr_db.append(compute_psnr(exact.clamp(0, 1), target.double()))
        ms_ssim.append(compute_ms_ssim(exact, target.double()))
        tiles.append(cut_tiles(output[: MOSAIC_TILES - sum(map(len, tiles))]))
    if not psnr_db:
        raise ValueError("no validation pair has a target of more than one colour: set another fold")
    return PairValues(torch.cat(psnr_db), torch.cat(ms_ssim), np.concatenate(tiles))


def measure_target_niqe(pairs: Pairs | PairFolder, niqe: Niqe | None) -> float | None:
    """NIQE of the targets, what the outputs' NIQE is to be compared with; None where there can be none."""
    if not niqe:
        return None
    tiles: list[np.ndarray] = []
    for _, target in iterate_textured(pairs):
        tiles.append(cut_tiles(target[: MOSAIC_TILES - sum(map(len, tiles))]))
        if sum(map(len, tiles)) == MOSAIC_TILES:
            break
    return measure_niqe(np.concatenate(tiles), niqe) if tiles else None


def iterate_textured(pairs: Pairs | PairFolder) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Sources and targets in batches (n, 3, H, W), without targets of one colour."""
    for first in range(0, len(pairs.numbers), BATCH_SIZE):
        both = pairs.take(list(range(first, min(first + BATCH_SIZE, len(pairs.numbers)))))
        both = both[both[:, 3:].flatten(1).std(1) > 1e-3]
        if len(both):
            yield both[:, :3], both[:, 3:]


def cut_tiles(images: torch.Tensor) -> np.ndarray:
    """The middle 96x96 pixels of (N, 3, H, W) in [0, 1] as (N, 96, 96, 3) uint8, rounded; less of smaller images."""
    top, left = (max(0, size - BLOCK_PX) // 2 for size in images.shape[2:])
    tiles = images[:, :, top : top + BLOCK_PX, left : left + BLOCK_PX]
    return (tiles.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def measure_niqe(tiles: np.ndarray, niqe: Niqe | None) -> float | None:
    """NIQE of the mosaic of tiles (N, 96, 96, 3); None for smaller tiles, or where NIQE is not defined."""
    if not niqe or tiles.shape[1:3] != (BLOCK_PX, BLOCK_PX):
        return None
    try:
        return niqe(make_mosaic(tiles))
    except ValueError:  # fewer than two tiles with texture
        return None


def make_mosaic(tiles: np.ndarray) -> np.ndarray:
    """(N, h, w, 3) -> one image (rows * h, columns * w, 3), N = rows * columns as near to 4:3 as N's divisors allow."""
    count, height, width, channels = tiles.shape
    divisors = [number for number in range(1, count + 1) if count % number == 0]
    columns = min(divisors, key=lambda number: abs(math.log(number * number / count / (4 / 3))))
    grid = tiles.reshape(count // columns, columns, height, width, channels)
    return grid.swapaxes(1, 2).reshape(-1, columns * width, channels)


def keep_candidates(candidates: list[Candidate], margin_db: float) -> list[Candidate]:
    """Those that are selected now, the first one, or may be once better PSNR has moved the bar; lowest NIQE first.

    Selected is the lowest NIQE among those within `margin_db` of the best PSNR; of equal ones the better PSNR, then the
    earlier one.
    """
    bar_db = max(candidate.psnr_db for candidate in candidates) - margin_db
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (one.niqe, -one.psnr_db, one.step)):
        if candidate.psnr_db >= bar_db and (not kept or candidate.psnr_db > kept[-1].psnr_db):
            kept.append(candidate)
    return kept
