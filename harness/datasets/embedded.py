"""embedded: 100 pairs of 100x100 and four photos of 1280x720, simulated at run time; it is there everywhere."""

import hashlib

from harness import embedded
from harness.assets import AssetStore, Progress
from harness.dataset import SIDES, Dataset, Image, ImagePair, combine_checksums


def open_dataset(store: AssetStore | None = None, on_progress: Progress | None = None) -> Dataset:
    """The pairs and photos; nothing of it lies in a store."""
    del store, on_progress
    pairs, photos = embedded.build_pairs(), embedded.build_photos()
    parts = [(f"{side}/{name}", image) for name, pair in pairs.items() for side, image in zip(SIDES, pair, strict=True)]
    parts += [(f"photos/{name}", image) for name, image in photos.items()]
    return Dataset(
        name="embedded",
        note="100 pairs with a simulated phone, made from the photographs of scikit-image: not the challenge's data.",
        sha256=combine_checksums((name, hashlib.sha256(image.tobytes()).hexdigest()) for name, image in parts),
        splits={"all": tuple(pairs)},
        photos=tuple(photos),
        load_pair=load_pair,
        load_photo=load_photo,
        crops=tuple(embedded.CROPS),
    )


def load_pair(name: str) -> ImagePair:
    """A pair or a crop; the originals are kept."""
    source, target = embedded.build_crop(name) if name in embedded.CROPS else embedded.build_pairs()[name]
    return ImagePair(name, source.copy(), target.copy())


def load_photo(name: str) -> Image:
    """A photo; the original is kept."""
    return embedded.build_photos()[name].copy()
