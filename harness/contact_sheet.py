"""What a contact sheet shows: crops of sources, outputs and targets at full size, and a value of each."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.dataset import Image, read_image
from harness.errors import DataError
from harness.metrics.psnr import psnr
from harness.records import Record
from harness.showcase import (
    Picture,
    Showcase,
    identify_models,
    locate_images,
    read_results,
    read_showcase,
    select_outputs,
)

TILE_WIDTH_PX, TILE_HEIGHT_PX = 200, 150
"""The largest crop; what is smaller is enlarged to this width by a whole number, each pixel to a square."""
MOST_PICTURES = 4


@dataclass(frozen=True)
class Tile:
    """A crop as it is shown, uint8 HxWx3, its name, and what stands below."""

    name: str
    image: Image
    value: str


@dataclass(frozen=True)
class Strip:
    """The tiles of one picture, the source first."""

    heading: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Sheet:
    """A whole contact sheet."""

    dataset: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Crop:
    """The middle of a picture, and by which whole number it is enlarged."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    scale: int

    def cut(self, image: Image) -> Image:
        """The crop's own pixels."""
        return image[self.y_px : self.y_px + self.height_px, self.x_px : self.x_px + self.width_px]

    def enlarge(self, image: Image) -> Image:
        """The crop as it is shown."""
        return self.cut(image).repeat(self.scale, 0).repeat(self.scale, 1)


def read_sheet(reports_dir: Path, dataset: str) -> Sheet | None:
    """The contact sheet of a dataset's showcase; None where that has nothing to show.

    Raises RecordError for a record that cannot be read. An image file that does not hold takes its picture along.
    """
    showcase = read_showcase(reports_dir, dataset)
    if not showcase.pictures:
        return None
    results = read_results(reports_dir / "records", dataset)
    strips = []
    for picture in choose_pictures(select_outputs(showcase, identify_models(results))):
        with contextlib.suppress(DataError):
            niqe = collect_niqe(results, showcase.dataset_sha256, picture)
            strips.append(cut_strip(picture, locate_images(reports_dir, dataset), niqe))
    return Sheet(dataset, tuple(strips)) if strips else None


def collect_niqe(results: Iterable[Record], dataset_sha256: str, picture: Picture) -> dict[str, float]:
    """NIQE of a whole photo by submission, as recorded."""
    return {
        record.submission.name: value
        for record in results
        if record.quality and record.quality.dataset_sha256 == dataset_sha256
        for photo in record.quality.photos
        if photo.image == picture.image and (value := photo.values.get("niqe")) is not None
    }


def choose_pictures(showcase: Showcase) -> list[Picture]:
    """The first pictures of those with the most outputs."""
    most = max((len(picture.outputs) for picture in showcase.pictures), default=0)
    return [picture for picture in showcase.pictures if len(picture.outputs) == most][:MOST_PICTURES]


def cut_strip(picture: Picture, folder: Path, niqe: Mapping[str, float]) -> Strip:
    """The tiles of one picture: source, outputs, target. Raises DataError for a file that is no image of its size."""
    crop = place_crop(picture.width_px, picture.height_px)
    places = [("source", picture.source), *picture.outputs.items()]
    images = [read_sized(folder / place, picture) for _, place in places]
    if picture.target is None:
        values = ["", *(f"NIQE {niqe[name]:.2f}" if name in niqe else "" for name in picture.outputs)]
    else:
        target = read_sized(folder / picture.target, picture)
        values = [*(compare_crops(image, target, crop) for image in images), ""]
        places.append(("target", picture.target))
        images.append(target)
    tiles = [
        Tile(name, crop.enlarge(image), value) for (name, _), image, value in zip(places, images, values, strict=True)
    ]
    return Strip(describe_crop(picture, crop), tuple(tiles))


def place_crop(width_px: int, height_px: int) -> Crop:
    """The middle of a picture of this size: all of it where it fits."""
    width, height = min(width_px, TILE_WIDTH_PX), min(height_px, TILE_HEIGHT_PX)
    scale = TILE_WIDTH_PX // max(width, height)
    return Crop((width_px - width) // 2, (height_px - height) // 2, width, height, scale)


def read_sized(path: Path, picture: Picture) -> Image:
    """An image file of the picture's size. Raises DataError for any other file."""
    image = read_image(path)
    if image.shape != (picture.height_px, picture.width_px, 3):
        raise DataError(f"{path} is {image.shape[1]}x{image.shape[0]}, not {picture.width_px}x{picture.height_px}")
    return image


def compare_crops(image: Image, target: Image, crop: Crop) -> str:
    """PSNR of a crop, as it is shown."""
    value = psnr(crop.cut(image), crop.cut(target), data_range=255)
    return f"{value:.1f} dB" if math.isfinite(value) else "\u221e dB"


def describe_crop(picture: Picture, crop: Crop) -> str:
    """Which image, and which part of it."""
    whole = f"{picture.width_px}x{picture.height_px}"
    scale = f", enlarged \u00d7{crop.scale}" if crop.scale > 1 else ""
    if (crop.width_px, crop.height_px) == (picture.width_px, picture.height_px):
        part = f"all {whole} pixels"
    else:
        part = f"{crop.width_px}x{crop.height_px} of {whole} pixels, from x = {crop.x_px}, y = {crop.y_px}"
    return f"{picture.kind} {picture.image}: {part}{scale}"
