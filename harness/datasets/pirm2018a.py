"""pirm2018a: the photos that PIRM 2018, track A (super-resolution by 4), gives for validation: five pairs, four photos.

A source is its target reduced to a quarter and enlarged again: a network gets, and gives, pictures of the full size.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from harness.assets import AssetStore, Progress, compute_sha256
from harness.dataset import Dataset, Image, ImagePair, Keeper, combine_checksums, read_image

TARGETS = "aiff22/ai-challenge/div2k/original"
PHOTOS = "aiff22/ai-challenge/div2k/HD_res"
SPLITS: Mapping[str, tuple[str, ...]] = {"all": ("0", "1", "4", "6", "8")}
PHOTO_NAMES = ("0", "1", "2", "3")
FACTOR = 4


def open_dataset(store: AssetStore, on_progress: Progress | None = None) -> Dataset:
    """The pairs of about 2040x1356 and photos of 1280x720, fetched where they are missing.

    Its sha256 holds the sources' pixels, so that another resampling would be seen.
    """
    paths = find_files(store, on_progress)
    targets = {name: paths[f"{TARGETS}/{name}.png"] for name in SPLITS["all"]}
    photos = {name: paths[f"{PHOTOS}/{name}.png"] for name in PHOTO_NAMES}
    load_pair = Keeper[ImagePair](partial(_load_pair, targets))
    load_photo = Keeper[Image](partial(_load_photo, photos))
    return Dataset(
        name="pirm2018a",
        note="The five photos (DIV2K) that PIRM 2018 gives for its track on super-resolution, reduced by 4 and "
        "enlarged again by bicubic interpolation, and four that are timed, treated likewise.",
        sha256=_compute_checksum(targets, load_pair, load_photo),
        splits=SPLITS,
        photos=PHOTO_NAMES,
        load_pair=load_pair,
        load_photo=load_photo,
    )


def find_files(store: AssetStore, on_progress: Progress | None = None) -> dict[str, Path]:
    """The upstream files by name, without the weights, which lie in the same group of assets."""
    names = [f"{TARGETS}/{name}.png" for name in SPLITS["all"]] + [f"{PHOTOS}/{name}.png" for name in PHOTO_NAMES]
    return store.find_all(names, on_progress)


def degrade(image: Image) -> Image:
    """A photo reduced to a quarter of its width and height and enlarged again, 8 bits each time; uint8 HxWx3.

    Both sides have to be multiples of 4. It is what evaluate_super_resolution.py of github.com/aiff22/ai-challenge does
    with scipy.misc.imresize(image, 0.25, "bicubic") and imresize(image, 4.0, "bicubic"), which called Pillow.
    """
    height, width = image.shape[:2]
    if height % FACTOR or width % FACTOR:
        raise ValueError(f"width and height must be multiples of {FACTOR}, got {width}x{height}")
    small = PillowImage.fromarray(image).resize((width // FACTOR, height // FACTOR), PillowImage.Resampling.BICUBIC)
    return np.array(small.resize((width, height), PillowImage.Resampling.BICUBIC))


def _load_pair(targets: Mapping[str, Path], name: str) -> ImagePair:
    target = read_image(targets[name])
    return ImagePair(name, degrade(target), target)


def _load_photo(photos: Mapping[str, Path], name: str) -> Image:
    return degrade(read_image(photos[name]))


def _compute_checksum(
    targets: Mapping[str, Path], load_pair: Callable[[str], ImagePair], load_photo: Callable[[str], Image]
) -> str:
    parts = [(f"target/{name}", compute_sha256(path)) for name, path in targets.items()]
    parts += [(f"source/{name}", _hash_pixels(load_pair(name).source)) for name in targets]
    parts += [(f"photos/{name}", _hash_pixels(load_photo(name))) for name in PHOTO_NAMES]
    return combine_checksums(parts)


def _hash_pixels(image: Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
