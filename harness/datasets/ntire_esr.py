"""ntire_esr: five photos of DIV2K as targets, and their quarters as sources, made as DIV2K's own were.

The published low-resolution files are MATLAB's `imresize(photo, 1/4)` of the uint8 photo. They are made again here, so
that the photos of PIRM 2018's track A, which are five of DIV2K's, are all that has to be fetched.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from harness.assets import AssetStore, Progress, compute_sha256
from harness.dataset import Dataset, Image, ImagePair, Keeper, combine_checksums, read_image
from harness.metrics.bicubic import make_cubic_window

SCALE = 4
FILES: Mapping[str, str] = {"0814": "0", "0823": "1", "0862": "4", "0882": "6", "0898": "8"}
"""Upstream's number of each of DIV2K's photos."""
SPLITS: Mapping[str, tuple[str, ...]] = {"all": tuple(FILES)}
PHOTOS = ("0814", "0862", "0882", "0898")
"""Those whose quarters have one size, 510x339: time is measured on them."""
ORIGINALS = "aiff22/ai-challenge/div2k/original"


def open_dataset(store: AssetStore, on_progress: Progress | None = None) -> Dataset:
    """The photos, fetched where they are missing, and their quarters."""
    files = {name: f"{ORIGINALS}/{number}.png" for name, number in FILES.items()}
    found = store.find_all(files.values(), on_progress)
    paths = {name: found[file] for name, file in files.items()}

    def load_pair(name: str) -> ImagePair:
        target = read_image(paths[name])
        return ImagePair(name, reduce_bicubic(target), target)

    keep_pair = Keeper(load_pair)
    recipe = hashlib.sha256(make_cubic_window(SCALE).tobytes()).hexdigest()
    return Dataset(
        name="ntire_esr",
        note="Five of the 100 validation photos of DIV2K, and their quarters by MATLAB's imresize.",
        sha256=combine_checksums([*((name, compute_sha256(path)) for name, path in paths.items()), ("recipe", recipe)]),
        splits=SPLITS,
        photos=PHOTOS,
        load_pair=keep_pair,
        load_photo=lambda name: keep_pair(name).source,
        scale=SCALE,
    )


def reduce_bicubic(image: Image) -> Image:
    """MATLAB's imresize(image, 1/4): uint8 HxWx3 to a quarter of its height and width, which must be multiples of 4.

    Bicubic, antialiased, mirrored at the edges; first along the height, then along the width, and rounded to uint8
    after each, halves upwards.
    """
    for axis in (0, 1):
        image = reduce_axis(image, axis)
    return image


def reduce_axis(image: Image, axis: int) -> Image:
    """The same along one axis."""
    if image.shape[axis] % SCALE:
        raise ValueError(f"image must have a height and width that are multiples of {SCALE}, got shape {image.shape}")
    before = (4 * SCALE - SCALE) // 2
    margins = [(before, before) if axis == other else (0, 0) for other in range(image.ndim)]
    padded = np.pad(image, margins, mode="symmetric").astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 4 * SCALE, axis=axis)
    chosen = windows[::SCALE] if axis == 0 else windows[:, ::SCALE]
    reduced: Image = np.floor(np.clip(chosen @ make_cubic_window(SCALE), 0, 255) + 0.5).astype(np.uint8)
    return reduced
