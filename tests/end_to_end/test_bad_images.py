"""Bad pictures, given to a metric and in a dataset: what is said of them, and which odd ones are read all the same."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from bad_input import DATA, RUN, USAGE, Case, accept, check_refusal, write
from PIL import Image
from place import Place

PICTURE = tiny.paint(np.random.default_rng(3), 40, 60)


def encode(path: Path, mode: str = "RGB", **options: object) -> Path:
    Image.fromarray(PICTURE).convert(mode).save(path, **options)
    return path


def cut(path: Path, fraction: float) -> Path:
    return write(path, path.read_bytes()[: int(path.stat().st_size * fraction)])


def flip(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    return write(path, bytes(content))


def claim_size(path: Path, width_px: int, height_px: int) -> Path:
    """A PNG whose header is right but for the size."""
    from zlib import crc32

    content = bytearray(encode(path).read_bytes())
    content[16:24] = struct.pack(">II", width_px, height_px)
    content[29:33] = struct.pack(">I", crc32(content[12:29]))
    return write(path, bytes(content))


def bad_picture(name: str, make: Callable[[Path], object], fault: str, remedy: str, *, file: str = "bad.png") -> Case:
    command = ("metric", "psnr", file, file)
    return Case(name, lambda place: make(place.folder / file), file, fault, remedy, command, DATA)


REPLACE = "replace it with an intact PNG or JPEG"
CONVERT = "convert it to 8-bit RGB"
NO_PICTURE = "not a PNG, JPEG or BMP"

PICTURES = (
    bad_picture("PNG cut", lambda p: cut(encode(p), 0.5), "cannot read the image", REPLACE),
    bad_picture("PNG without its end", lambda p: write(p, encode(p).read_bytes()[:-12]), "truncated", REPLACE),
    bad_picture("JPEG cut", lambda p: cut(encode(p), 0.5), "truncated", REPLACE, file="bad.jpg"),
    bad_picture("BMP cut", lambda p: cut(encode(p), 0.5), "truncated", REPLACE, file="bad.bmp"),
    bad_picture("PNG with a flipped bit", lambda p: flip(encode(p)), "cannot read the image", REPLACE),
    bad_picture("zero bytes", lambda p: write(p, b""), NO_PICTURE, REPLACE),
    bad_picture("text", lambda p: write(p, "no picture\n"), NO_PICTURE, REPLACE),
    bad_picture("WebP", lambda p: encode(p, format="WEBP"), NO_PICTURE, REPLACE),
    bad_picture("GIF", lambda p: encode(p, "P", format="GIF"), NO_PICTURE, REPLACE),
    bad_picture("a Git LFS pointer", lambda p: write(p, "version https://git-lfs\n"), NO_PICTURE, REPLACE),
    bad_picture("bomb", lambda p: Image.new("1", (13_000, 13_000)).save(p), "decompression bomb", REPLACE),
    bad_picture("claims 10^10 pixels", lambda p: claim_size(p, 100_000, 100_000), "decompression bomb", REPLACE),
    bad_picture("claims 0 pixels", lambda p: claim_size(p, 0, 0), "cannot read the image", REPLACE),
    bad_picture(
        "large", lambda p: Image.new("L", (8000, 5001)).save(p), "8000x5001 pixels, more than", "make it small"
    ),
    bad_picture("16 bits", lambda p: Image.fromarray(PICTURE[..., 0] * np.uint16(200)).save(p), "16 bits", CONVERT),
    bad_picture("RGBA", lambda p: encode(p, "RGBA"), "has the mode RGBA", CONVERT),
    bad_picture("grey with alpha", lambda p: encode(p, "LA"), "has the mode LA", CONVERT),
    bad_picture("black and white", lambda p: encode(p, "1"), "has the mode 1", CONVERT),
    bad_picture("CMYK", lambda p: encode(p, "CMYK"), "has the mode CMYK", CONVERT, file="bad.jpg"),
    bad_picture("transparent palette", lambda p: encode(p, "P", transparency=0), "has transparency", CONVERT),
    bad_picture(
        "damaged EXIF", lambda p: encode(p, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09"), "EXIF", REPLACE, file="b.jpg"
    ),
    bad_picture("missing", lambda p: None, "No such file or directory", "restore it, or correct the path"),
    bad_picture("a folder", Path.mkdir, "is not a regular file", "give the path of a PNG or JPEG file"),
    bad_picture("a pipe", os.mkfifo, "is not a regular file", "give the path of a PNG or JPEG file"),
    bad_picture("a link to nothing", lambda p: p.symlink_to("nowhere"), "No such file", "restore it, or correct"),
)


@pytest.mark.parametrize("case", PICTURES, ids=str)
def test_a_bad_picture(place: Place, case: Case) -> None:
    check_refusal(place, case)


# --- datasets


def bad_dataset(name: str, spoil: Callable[[Path], object], file: str, fault: str, remedy: str) -> Case:
    """`spoil` gets the dataset's folder."""

    def spoil_place(place: Place) -> None:
        spoil(place.folder / "pictures")

    return Case(name, spoil_place, file, fault, remedy, RUN, DATA)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def empty(folder: Path) -> None:
    for path in folder.glob("*/*"):
        path.unlink()


DATASETS = (
    bad_dataset("cut", lambda d: cut(d / "target/2.png", 0.5), "target/2.png", "cannot read the image", REPLACE),
    bad_dataset("empty picture", lambda d: write(d / "source/0.png", b""), "source/0.png", NO_PICTURE, REPLACE),
    bad_dataset("photo RGBA", lambda d: encode(d / "photos/0.png", "RGBA"), "photos/0.png", "mode RGBA", CONVERT),
    bad_dataset("two sizes", lambda d: encode(d / "target/2.png"), "target/2.png is 60x40", "is 100x100", "give both"),
    bad_dataset(
        "no target", lambda d: (d / "target/0.png").unlink(), "pictures", "'0' has no partner in target/", "give"
    ),
    bad_dataset(
        "no source", lambda d: (d / "source/0.png").unlink(), "pictures", "'0' has no partner in source/", "give"
    ),
    bad_dataset("stem twice", lambda d: encode(d / "source/0.jpg"), "source/0.png", "have the same stem", "rename one"),
    bad_dataset(
        "other file", lambda d: write(d / "source/a.txt", ""), "a.txt", "is not an image", "move it out of the"
    ),
    bad_dataset(
        "a folder in the place of a picture",
        lambda d: replace(d / "source/1.png", Path.mkdir),
        "source/1.png",
        "is not a regular file",
        "give the path of a PNG or JPEG file",
    ),
    bad_dataset(
        "a pipe", lambda d: replace(d / "source/1.png", os.mkfifo), "source/1.png", "is not a regular file", "give the"
    ),
    bad_dataset(
        "a link to nothing",
        lambda d: replace(d / "source/1.png", lambda path: path.symlink_to("nowhere")),
        "source/1.png",
        "No such file or directory",
        "restore it",
    ),
    bad_dataset(
        "no targets", lambda d: (d / "target").rename(d / "t"), "target", "is missing", "a dataset is a folder"
    ),
    bad_dataset(
        "a name that is not UTF-8",
        lambda d: encode(Path(os.fsdecode(bytes(d / "source") + b"/\xff.png"))),
        "source/?.png",
        "has a name that is not UTF-8",
        "rename it",
    ),
    bad_dataset("nothing in it", empty, "source", "holds no image", "put PNG or JPEG files there"),
)


@pytest.mark.parametrize("name", ["pirm2018b", "embedded"])
def test_a_folder_with_the_name_of_another_dataset(place: Place, name: str) -> None:
    (place.folder / "other").mkdir()
    (place.folder / "pictures").rename(place.folder / "other" / name)
    error = place.refuse(USAGE, *RUN[:4], "--dataset", f"other/{name}")
    assert f"other/{name} has the name of another dataset, whose records it would replace: rename it" in error


@pytest.mark.parametrize("case", DATASETS, ids=str)
def test_a_bad_dataset(place: Place, case: Case) -> None:
    check_refusal(place, case)


# --- what only looks bad


def turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: rotate by 90 degrees clockwise to display
    Image.fromarray(np.rot90(PICTURE)).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (lambda p: encode(p / "a.png", "L"), PICTURE @ np.array([0.299, 0.587, 0.114])),
        (lambda p: encode(p / "a.png", "P", colors=256), PICTURE),
        (lambda p: turned(p / "a.png"), PICTURE),
        (lambda p: encode(p / "a.bmp"), PICTURE),
        (lambda p: encode(p / "a.jpg", quality=95), PICTURE),
        (lambda p: encode(p / "a.png", icc_profile=b"nonsense"), PICTURE),
    ],
    ids=["grey", "palette", "EXIF-rotated", "BMP", "JPEG", "a damaged colour profile"],
)
def test_an_odd_picture_is_read(place: Place, make: Callable[[Path], Path], target: np.ndarray) -> None:
    image = make(place.folder)
    pixels = np.rint(target).astype(np.uint8)
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    tiny.save_picture(place.folder / "target.png", pixels)
    assert float(accept(place, "metric", "psnr", image.name, "target.png").stdout.split()[0]) > 20


@pytest.mark.parametrize("side_px", [(101, 99), (17, 33)])
def test_a_dataset_of_odd_sizes_is_evaluated(place: Place, side_px: tuple[int, int]) -> None:
    for side in ("source", "target"):
        pixels = np.random.default_rng(len(side)).integers(0, 200, (*side_px, 3), dtype=np.uint8)
        tiny.save_picture(place.folder / "pictures" / side / "1.png", pixels)
    (place.records / "good.json").unlink()
    accept(place, *RUN)
    assert '"status": "ok"' in (place.records / "good.json").read_text()
