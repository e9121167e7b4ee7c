"""Contact sheets: photos before and after, in the light that they were taken in, in less and in more of it.

A row is a photo, a column what a submission makes of it, through its ONNX file and the harness's own child process.
Light is changed as an exposure changes it, in linear light (`change_exposure`).
"""

import io
import math
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from tqdm import tqdm

from harness.embedded import read_camera, render_noise
from harness.enhancement import enhance
from harness.errors import SubmissionError
from harness.isolation import ModelProcess
from harness.submission import SubmissionFolder, check_interface, hash_model
from reference.losses import LUMA
from reference.validation import Niqe

Image = NDArray[np.uint8]

SOURCE = "source"
"""Stands among the submissions for the photo itself."""
SEED = 2018
THREADS = 2
DEADLINE_S = 600.0
MEMORY_BYTES, MODEL_BYTES = 3_500_000_000, 100_000_000
"""As the challenge allows."""
WHITE, BLACK, GREY = "#ffffff", "#1a1a1a", "#555555"
MARGIN_PX, GAP_PX, CAPTION_PX, TOP_PX, BOTTOM_PX = 18, 10, 24, 88, 40
TITLE_SIZE, TEXT_SIZE, CAPTION_SIZE = 22, 16, 14
QUALITIES, NARROWEST_PX = (85, 75, 65), 180
FOOTNOTE = "Below each picture: NIQE, of which less is better, and the mean luma, from 0 (black) to 1 (white)."


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: its file's name, what it is called, what its sources are called, and their exposures."""

    name: str
    title: str
    heading: str
    exposures_ev: tuple[float, ...]


SHEETS = (
    Sheet("as_shot", "As shot", "source", (0.0,)),
    Sheet("low_light", "Low light: 1.5 and 2.5 stops less light", "darkened source", (-1.5, -2.5)),
    Sheet("overexposure", "Overexposure: 2 and 3 stops more light", "brightened source", (2.0, 3.0)),
)


@dataclass(frozen=True)
class Photo:
    """A photo, uint8 HxWx3, and the part of it that is shown; numbers are of the whole."""

    name: str
    image: Image
    shown: tuple[slice, slice] = (slice(None), slice(None))


@dataclass(frozen=True)
class Shot:
    """A photo at an exposure."""

    sheet: Sheet
    exposure_ev: float
    photo: Photo
    image: Image


@dataclass(frozen=True)
class Picture:
    """What a submission made of a shot, uint8 HxWx3, with its numbers."""

    shot: Shot
    submission: str
    image: Image
    model_sha256: str
    niqe: float
    luma: float

    @property
    def caption(self) -> str:
        """The numbers as they stand below it."""
        niqe = "\u2013" if math.isnan(self.niqe) else f"{self.niqe:.2f}"
        return f"NIQE {niqe}    luma {self.luma:.2f}"

    @property
    def numbers(self) -> dict[str, str | float]:
        """Which picture it is, with the first digits of the model's sha256, and its numbers."""
        shot = self.shot
        place = {"sheet": shot.sheet.name, "exposure_ev": shot.exposure_ev, "photo": shot.photo.name}
        made_by = {"submission": self.submission, "model_sha256": self.model_sha256[:12]}
        return place | made_by | {"niqe": round(self.niqe, 4), "luma": round(self.luma, 4)}


def expose_photos(photos: list[Photo]) -> list[Shot]:
    """Every photo at every exposure, in the order of the sheets and their rows."""
    rng = np.random.default_rng(SEED)
    return [
        Shot(sheet, exposure_ev, photo, change_exposure(photo.image, exposure_ev, rng=rng))
        for sheet in SHEETS
        for photo in photos
        for exposure_ev in sheet.exposures_ev
    ]


def change_exposure(photo: Image, exposure_ev: float, *, rng: np.random.Generator) -> Image:
    """A photo, uint8 HxWx3, as with `exposure_ev` stops more light: linear light times 2**exposure_ev, cut at white.

    With less light, its own noise sinks with it, so the phone's is added anew: that of the embedded set's camera, which
    was fitted to real pairs. It is the same at each brightness, as photon noise nearly is in values that a gamma curve
    has encoded.
    """
    if not exposure_ev:
        return photo
    light = decode_srgb(photo / 255) * 2**exposure_ev
    encoded = encode_srgb(np.minimum(light, 1))
    if exposure_ev < 0:
        encoded = encoded + render_noise((photo.shape[0], photo.shape[1]), read_camera(), rng)
    return quantize(encoded)


def decode_srgb(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light of sRGB values, both in [0, 1]; source: IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `decode_srgb`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def quantize(image: NDArray[np.floating]) -> Image:
    """An image in [0, 1] as 8 bits, as the harness saves it for NIQE."""
    return np.rint(np.clip(image, 0, 1).astype(np.float64) * 255).astype(np.uint8)


def enhance_shots(folder: SubmissionFolder, shots: list[Shot]) -> tuple[list[Image], str]:
    """What a submission makes of each, and its model's sha256.

    SubmissionError where its model is missing, breaks a rule or fails.
    """
    path, runtime = folder.model_path, folder.manifest.runtime
    try:
        sha256, _ = hash_model(folder, limit_bytes=MODEL_BYTES)
        with ModelProcess(memory_limit_bytes=MEMORY_BYTES) as process:
            layout = check_interface(folder, process.inspect(path, runtime=runtime, deadline_s=DEADLINE_S))
            process.load(path, runtime=runtime, threads=THREADS, deadline_s=DEADLINE_S)
            run = partial(enhance, process, layout=layout, deadline_s=DEADLINE_S)
            bar = tqdm(shots, desc=folder.name, unit="photo", disable=None)
            return [quantize(run(shot.image)) for shot in bar], sha256
    except SubmissionError as error:
        raise SubmissionError(f"{folder.name}: {error}") from error


def measure_luma(image: Image) -> float:
    """Mean luma (Rec. 601, of the encoded values), from 0 to 1."""
    return float((image.mean((0, 1)) / 255) @ LUMA)


def measure_niqe(image: Image, niqe: Niqe | None) -> float:
    """NIQE; NaN without its model, and where it is not defined, as for a photo that is all white."""
    try:
        return niqe(image) if niqe else np.nan
    except ValueError:
        return np.nan


def take_pictures(photos: list[Photo], folders: list[SubmissionFolder], niqe: Niqe | None) -> list[Picture]:
    """All pictures of all sheets, sheet by sheet, row by row: the source, then what each submission makes of it."""
    shots = expose_photos(photos)
    outputs = {SOURCE: ([shot.image for shot in shots], "")}
    outputs |= {folder.name: enhance_shots(folder, shots) for folder in folders}
    return [
        Picture(shot, name, images[i], sha256, measure_niqe(images[i], niqe), measure_luma(images[i]))
        for i, shot in enumerate(tqdm(shots, desc="numbers", unit="photo", disable=None))
        for name, (images, sha256) in outputs.items()
    ]


def encode_sheet(sheet: Sheet, pictures: list[Picture], *, width_px: int, limit_bytes: int) -> bytes:
    """A sheet as a JPEG within the limit, with pictures as near to `width_px` as that allows.

    They become narrower first, as far as their captions let them, then coarser. ValueError where it does not fit then.
    """
    for quality, width in product(QUALITIES, range(width_px, NARROWEST_PX - 1, -10)):
        buffer = io.BytesIO()
        draw_sheet(sheet, pictures, width_px=width).save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit_bytes:
            return buffer.getvalue()
    raise ValueError(f"the contact sheet {sheet.name} does not fit into {limit_bytes} bytes: name fewer submissions")


def draw_sheet(sheet: Sheet, pictures: list[Picture], *, width_px: int) -> PillowImage.Image:
    """The pictures of one sheet: a heading a column, a label a row, and the numbers below each picture."""
    pictures = [one for one in pictures if one.shot.sheet is sheet]
    columns = list(dict.fromkeys(one.submission for one in pictures))
    rows = [pictures[i : i + len(columns)] for i in range(0, len(pictures), len(columns))]
    shown = [[shrink(one, width_px) for one in row] for row in rows]
    left = MARGIN_PX + max(measure_text(line) for row in rows for line in label_row(row[0].shot)) + 2 * GAP_PX
    lefts = [left + number * (width_px + GAP_PX) for number in range(len(columns))]
    heights = [row[0].height + CAPTION_PX + GAP_PX for row in shown]
    canvas = PillowImage.new("RGB", (lefts[-1] + width_px + MARGIN_PX, TOP_PX + sum(heights) + BOTTOM_PX), WHITE)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN_PX, MARGIN_PX), sheet.title, BLACK, load_font(TITLE_SIZE, bold=True))
    for x, name in zip(lefts, columns, strict=True):
        heading = shorten(sheet.heading if name == SOURCE else name, width_px)
        draw.text((x + width_px / 2, TOP_PX - GAP_PX), heading, BLACK, load_font(TEXT_SIZE, bold=True), anchor="ms")
    for number, (row, images) in enumerate(zip(rows, shown, strict=True)):
        top = TOP_PX + sum(heights[:number])
        middle, label = (MARGIN_PX, top + images[0].height / 2), "\n".join(label_row(row[0].shot))
        draw.text(middle, label, BLACK, load_font(TEXT_SIZE), anchor="lm", spacing=6)
        for x, one, image in zip(lefts, row, images, strict=True):
            canvas.paste(image, (x, top))
            below = (x + width_px / 2, top + image.height + CAPTION_PX / 2)
            draw.text(below, one.caption, GREY, load_font(CAPTION_SIZE), anchor="mm")
    draw.text((MARGIN_PX, canvas.height - MARGIN_PX), FOOTNOTE, GREY, load_font(CAPTION_SIZE), anchor="ls")
    return canvas


def shrink(picture: Picture, width_px: int) -> PillowImage.Image:
    """The part of a picture that is shown, `width_px` wide."""
    shown = PillowImage.fromarray(picture.image[picture.shot.photo.shown])
    size = (width_px, round(width_px * shown.height / shown.width))
    return shown.resize(size, PillowImage.Resampling.LANCZOS)


def label_row(shot: Shot) -> list[str]:
    """The photo's name, and its exposure where that was changed, line by line."""
    exposure = [format_exposure(shot.exposure_ev)] if shot.exposure_ev else []
    return [*shot.photo.name.split("_"), *exposure]


def format_exposure(exposure_ev: float) -> str:
    """'+1 EV', with a true minus sign."""
    return f"{exposure_ev:+g} EV".replace("-", "\u2212")


def measure_text(line: str) -> int:
    """Width of a line of a label in pixels."""
    return math.ceil(load_font(TEXT_SIZE).getlength(line))


def shorten(heading: str, width_px: int) -> str:
    """As much of a heading as a column holds."""
    font = load_font(TEXT_SIZE, bold=True)
    if font.getlength(heading) <= width_px:
        return heading
    return next(
        short for end in range(len(heading), 0, -1) if font.getlength(short := f"{heading[:end]}...") <= width_px
    )


@lru_cache
def load_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", name), size, ImageFont.Layout.BASIC)
