"""Datasets: pairs of source and target, splits of their names, photos without a target.

Here is what all have in common, and folders of one's own; `datasets` has those with a name.
"""

import hashlib
import stat
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from harness.assets import compute_sha256
from harness.errors import DataError, UsageError, quote

Image = NDArray[np.uint8]

MAX_PIXELS = 40_000_000
READABLE_MODES = ("RGB", "L", "P")  # grey and opaque palettes hold RGB colours; the others would lose something
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
KEPT_BYTES = 256_000_000
SIDES = ("source", "target")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ImagePair:
    """Two pictures of one scene, uint8 RGB: what a model gets, HxWx3, and what its output should be, sHxsWx3.

    s is the dataset's scale. In a challenge of enhancement it is 1, the source is a phone's and the target a DSLR's.
    """

    name: str
    source: Image
    target: Image


_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class Dataset:
    """Names, and how to load what they stand for; `note` is a sentence for reports, `sha256` is equal everywhere.

    crops: larger pairs, in no split, that are only looked at. scale: a target is so many times as wide and high as its
    source.
    """

    name: str
    note: str
    sha256: str
    splits: Mapping[str, tuple[str, ...]]
    photos: tuple[str, ...]
    load_pair: Callable[[str], ImagePair]
    load_photo: Callable[[str], Image]
    crops: tuple[str, ...] = ()
    scale: int = 1

    def read_all(self) -> None:
        """Load every image once: DataError for the first that is damaged."""
        for name in dict.fromkeys(name for names in self.splits.values() for name in names):
            self.load_pair(name)
        for name in self.photos:
            self.load_photo(name)

    def list_names(self, split: str) -> tuple[str, ...]:
        """Names of a split's pairs; UsageError lists the known splits."""
        if split not in self.splits:
            message = f"dataset '{self.name}' has no split '{split}': the known ones are {', '.join(self.splits)}"
            raise UsageError(message)
        return self.splits[split]


def open_folder(folder: Path, *, scale: int = 1) -> Dataset:
    """A folder with source/ and target/ (same file stems) and perhaps photos/; one split, `all`."""
    _check_name(folder.resolve())
    sources, targets = _list_images(folder / "source"), _list_images(folder / "target")
    if lonely := sorted(sources.keys() ^ targets.keys()):
        side = "source" if lonely[0] in targets else "target"
        message = f"{folder}: '{lonely[0]}' has no partner in {side}/: give each image one, or remove it"
        raise DataError(message)
    if not sources:
        message = f"{folder / 'source'} holds no image: put PNG or JPEG files there"
        raise DataError(message)
    photos = _list_images(folder / "photos") if (folder / "photos").is_dir() else {}
    pairs = {name: (sources[name], targets[name]) for name in sources}
    note = f"{len(pairs)} pairs from the folder {folder.resolve().name}."
    return open_files(folder.resolve().name, note, {"all": tuple(pairs)}, pairs, photos, scale=scale)


def open_files(
    name: str,
    note: str,
    splits: Mapping[str, tuple[str, ...]],
    pairs: Mapping[str, tuple[Path, Path]],
    photos: Mapping[str, Path],
    *,
    scale: int = 1,
) -> Dataset:
    """A dataset of files: source and target of each pair by its name, photos by theirs."""
    files = [(f"{side}/{key}", path) for key, pair in pairs.items() for side, path in zip(SIDES, pair, strict=True)]
    files += [(f"photos/{key}", path) for key, path in photos.items()]
    sha256 = combine_checksums((key, compute_sha256(path)) for key, path in files)
    load_pair, load_photo = Keeper(partial(_load_pair, pairs, scale)), Keeper(partial(_load_photo, photos))
    return Dataset(name, note, sha256, splits, tuple(photos), load_pair, load_photo, scale=scale)


class Keeper(Generic[_Loaded]):
    """Loads by name, and keeps what was decoded, to be read only, as far as it fits into KEPT_BYTES.

    What no longer fits is decoded each time: to let go of the oldest would keep nothing of a set that is read in turn.
    """

    def __init__(self, load: Callable[[str], _Loaded]) -> None:
        self._load = load
        self._kept: dict[str, _Loaded] = {}
        self._kept_bytes = 0

    def __call__(self, name: str) -> _Loaded:
        if name in self._kept:
            return self._kept[name]
        loaded = self._load(name)
        images: tuple[Any, ...] = (loaded.source, loaded.target) if isinstance(loaded, ImagePair) else (loaded,)
        for image in images:
            image.flags.writeable = False
        size = sum(image.nbytes for image in images)
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept_bytes += size
            self._kept[name] = loaded
        return loaded


def _load_pair(pairs: Mapping[str, tuple[Path, Path]], scale: int, name: str) -> ImagePair:
    source_path, target_path = pairs[name]
    source, target = read_image(source_path), read_image(target_path)
    if target.shape[:2] != (scale * source.shape[0], scale * source.shape[1]):
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (source, target)]
        remedy = "give both one size" if scale == 1 else f"a target has to be {scale} times as wide and high"
        message = f"pair '{name}': {source_path} is {sizes[0]}, {target_path} is {sizes[1]}: {remedy}"
        raise DataError(message)
    return ImagePair(name, source, target)


def _load_photo(photos: Mapping[str, Path], name: str) -> Image:
    return read_image(photos[name])


def _list_images(folder: Path) -> dict[str, Path]:
    """Paths by stem, in order of name; hidden files are passed over."""
    if not folder.is_dir():
        message = f"{folder} is missing: a dataset is a folder with source/ and target/"
        raise DataError(message)
    images: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        _check_name(path)
        if path.suffix.lower() not in SUFFIXES:
            message = f"{path} is not an image ({', '.join(SUFFIXES)}): move it out of the dataset"
            raise DataError(message)
        _check_regular_file(path)
        if path.stem in images:
            message = f"{path} and {images[path.stem]} have the same stem: rename one"
            raise DataError(message)
        images[path.stem] = path
    return images


def _check_name(path: Path) -> None:
    """Names stand in records and sentences."""
    if not path.name.isprintable():
        message = f"{quote(path)} has a name that is not UTF-8 or holds control characters: rename it"
        raise DataError(message)


def combine_checksums(parts: Iterable[tuple[str, str]]) -> str:
    """One sha256 over names and the sha256 of their contents."""
    return hashlib.sha256("".join(f"{name} {checksum}\n" for name, checksum in parts).encode()).hexdigest()


def read_image(path: Path) -> Image:
    """Reads a PNG, JPEG or BMP as uint8 HxWx3 RGB; DataError for whatever would not be read faithfully.

    Grey and palette images become RGB; alpha, CMYK and 16 bits are refused; the camera's orientation (EXIF) is applied;
    colour profiles are left aside, as upstream does.
    """
    path = Path(path)
    try:
        _check_regular_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", PillowImage.DecompressionBombWarning)
            warnings.simplefilter("error", UserWarning)  # a damaged EXIF block, say: the photo may lie on its side
            return _decode_image(path)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever they stumble over
        message = f"cannot read the image {path} ({_describe(error)}): replace it with an intact PNG or JPEG"
        raise DataError(message) from error


def _check_regular_file(path: Path) -> None:
    if not path.exists():
        message = f"cannot read the image {path} (No such file or directory): restore it, or correct the path"
        raise DataError(message)
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait forever
        message = f"{path} is not a regular file: give the path of a PNG or JPEG file"
        raise DataError(message)


def _decode_image(path: Path) -> Image:
    _check_png(path)
    with PillowImage.open(path, formats=("PNG", "JPEG", "BMP")) as image:
        if image.width * image.height > MAX_PIXELS:
            message = f"{path} has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}: make it smaller"
            raise DataError(message)
        if image.mode not in READABLE_MODES or "transparency" in image.info:
            kind = "has transparency" if "transparency" in image.info else f"has the mode {image.mode}"
            message = f"{path} {kind}, which is not read without loss: convert it to 8-bit RGB"
            raise DataError(message)
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _check_png(path: Path) -> None:
    """What Pillow lets pass: 16 bits a channel (clipped), a wrong CRC, a file without its end."""
    with path.open("rb") as stream:
        header = stream.read(25)
    if not header.startswith(PNG_SIGNATURE):
        return
    if header[24:] == b"\x10":
        message = f"{path} has 16 bits a channel, which would be cut to 8: convert it to 8-bit RGB"
        raise DataError(message)
    with PillowImage.open(path, formats=("PNG",)) as image:
        image.verify()


def _describe(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a PNG, JPEG or BMP"
    return quote(getattr(error, "strerror", None) or error or type(error).__name__)
