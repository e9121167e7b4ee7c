"""Contact sheets: light changes as light does, pictures lie where they belong, and no text covers another."""

import io
import math
from collections import defaultdict
from itertools import combinations

import models
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageDraw
from skimage.color import rgb2xyz

from harness.embedded import read_camera, render_noise
from harness.errors import SubmissionError
from harness.submission import SubmissionFolder
from reference.contact_sheet import (
    NARROWEST_PX,
    SHEETS,
    SOURCE,
    Photo,
    change_exposure,
    draw_sheet,
    encode_sheet,
    expose_photos,
    measure_luma,
    measure_niqe,
    take_pictures,
)

GREYS = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)
"""Every grey, (256, 1, 3)."""


def measure_light(image: np.ndarray) -> np.ndarray:
    """Linear luminance by scikit-image, from 0 to 1."""
    return rgb2xyz(image)[..., 1]


def make_rng() -> np.random.Generator:
    return np.random.default_rng(1)


def paint(height_px: int = 60, width_px: int = 90, seed: int = 2) -> np.ndarray:
    """Coarse patches in colour."""
    coarse = np.random.default_rng(seed).integers(20, 200, (height_px // 10, width_px // 10, 3), dtype=np.uint8)
    return coarse.repeat(10, 0).repeat(10, 1)


@pytest.mark.parametrize("exposure_ev", [1.0, 2.0])
def test_a_stop_more_is_twice_the_light_up_to_white(exposure_ev):
    brighter = change_exposure(GREYS, exposure_ev, rng=make_rng())
    wanted = np.minimum(measure_light(GREYS) * 2**exposure_ev, 1)
    step = np.gradient(measure_light(GREYS)[:, 0])[brighter[..., 0]]  # of 8 bits, at that brightness
    assert (np.abs(measure_light(brighter) - wanted) <= 0.51 * step + 1e-3).all()
    assert (brighter[wanted[:, 0] == 1] == 255).all()
    assert (brighter[:, 0, 0] == brighter[:, 0, 2]).all()


@pytest.mark.parametrize("exposure_ev", [-1.5, -2.5])
def test_less_light_has_the_phones_noise(exposure_ev):
    grey = np.full((200, 300, 3), 180, np.uint8)
    darker = change_exposure(grey, exposure_ev, rng=make_rng())
    light = measure_light(darker).mean() / measure_light(grey).mean()
    assert math.log2(light) == pytest.approx(exposure_ev, abs=0.02)
    noise = render_noise((200, 300), read_camera(), np.random.default_rng(7))
    rounded = math.hypot(noise.std() * 255, 1 / math.sqrt(12))
    assert darker[..., 0].std() == pytest.approx(rounded, rel=0.05)
    assert (darker == darker[..., :1]).all(), "a phone removes the colour of its noise"


def test_light_as_shot_is_not_touched():
    assert change_exposure(GREYS, 0.0, rng=make_rng()) is GREYS


def test_every_exposure_of_a_sheet_is_a_row_and_noise_repeats():
    photos = [Photo("a", paint()), Photo("b", paint(seed=3))]
    first, second = expose_photos(photos), expose_photos(photos)
    low_light = [(shot.photo.name, shot.exposure_ev) for shot in first if shot.sheet.name == "low_light"]
    assert low_light == [("a", -1.5), ("a", -2.5), ("b", -1.5), ("b", -2.5)]
    assert len(first) == 2 * sum(len(sheet.exposures_ev) for sheet in SHEETS)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_luma_is_that_of_pillow():
    photo = paint()
    grey = np.asarray(PillowImage.fromarray(photo).convert("L"), dtype=float)
    assert measure_luma(photo) == pytest.approx(grey.mean() / 255, abs=0.5 / 255)
    assert measure_luma(np.full((4, 4, 3), 255, np.uint8)) == pytest.approx(1)


def test_niqe_is_left_empty_where_there_is_none():
    def refuse(image: np.ndarray) -> float:
        raise ValueError("image must have texture")

    assert math.isnan(measure_niqe(paint(), None))
    assert math.isnan(measure_niqe(paint(), refuse))
    assert measure_niqe(paint(), lambda image: float(image.shape[1])) == 90


@pytest.fixture
def entrants(submit) -> list[SubmissionFolder]:
    return [submit(models.identity(), "same"), submit(models.brighten(0.2), "b" * 64)]


def test_sheets_show_what_the_models_make(entrants):
    window = (slice(0, 60), slice(0, 80))
    photos = [Photo("a_long_name", paint(), window), Photo("b", paint(80, 50, seed=3))]
    pictures = take_pictures(photos, entrants, lambda image: float(image.std()))
    assert len(pictures) == 3 * len(expose_photos(photos))
    for source, same, brighter in (pictures[i : i + 3] for i in range(0, len(pictures), 3)):
        assert [source.submission, same.submission, brighter.submission] == [SOURCE, "same", "b" * 64]
        assert (same.niqe, same.luma) == (source.niqe, source.luma)
        assert brighter.luma > source.luma
    assert pictures[0].niqe == paint().std(), "numbers are of the whole photo"
    as_shot = np.asarray(draw_sheet(SHEETS[0], pictures, width_px=120))
    small = np.asarray(PillowImage.fromarray(paint()[window]).resize((120, 90), PillowImage.Resampling.LANCZOS))
    places = find(as_shot, small)
    assert len(places) == 2, "the source, and what leaves it as it is"
    assert places[0][0] == places[1][0], "in one row"


def find(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """(y, x) of every place where a sheet shows a picture."""
    height, width, _ = picture.shape
    corner = (sheet == picture[0, 0]).all(2)[: 1 - height or None, : 1 - width or None]
    starts = [(int(y), int(x)) for y, x in np.argwhere(corner)]
    return [(y, x) for y, x in starts if (sheet[y : y + height, x : x + width] == picture).all()]


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@pytest.fixture
def boxes(monkeypatch) -> dict[int, list[Box]]:
    """Where texts and pictures are drawn on each sheet, by its id."""
    drawn: dict[int, list[Box]] = defaultdict(list)
    write, paste = ImageDraw.ImageDraw.text, PillowImage.Image.paste

    def record_text(self, xy, text, fill, font, **options):
        drawn[id(self._image)].append(self.textbbox(xy, text, font, **options))
        with monkeypatch.context() as within:  # Pillow may write line by line
            within.setattr(ImageDraw.ImageDraw, "text", write)
            return write(self, xy, text, fill, font, **options)

    def record_picture(self, image, place):
        drawn[id(self)].append((*place, place[0] + image.width, place[1] + image.height))
        return paste(self, image, place)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record_text)
    monkeypatch.setattr(PillowImage.Image, "paste", record_picture)
    return drawn


@pytest.mark.parametrize("width_px", [NARROWEST_PX, 400])
@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_nothing_covers_another_or_leaves_the_sheet(entrants, boxes, sheet, width_px):
    photos = [Photo("motorcycle_left", paint()), Photo("b", paint(120, 50, seed=3))]
    pictures = take_pictures(photos, entrants, lambda image: 12.345)
    canvas = draw_sheet(sheet, pictures, width_px=width_px)
    drawn = boxes[id(canvas)]
    rows = len(photos) * len(sheet.exposures_ev)
    assert len(drawn) == 2 + 3 + rows * (1 + 3 * 2), "title, footnote, headings; labels, pictures with captions"
    assert not [pair for pair in combinations(drawn, 2) if covers(*pair)]
    assert all(0 <= x0 < x1 <= canvas.width and 0 <= y0 < y1 <= canvas.height for x0, y0, x1, y1 in drawn)


def covers(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_sheet_keeps_its_limit():
    noise = np.random.default_rng(4).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    pictures = take_pictures([Photo("noise", noise)], [], None)
    free, narrow, coarse = (
        encode_sheet(SHEETS[0], pictures, width_px=300, limit_bytes=n) for n in (10**6, 50_000, 2**14)
    )
    widths = []
    for content, limit in ((free, 10**6), (narrow, 50_000), (coarse, 2**14)):
        assert len(content) <= limit
        with PillowImage.open(io.BytesIO(content)) as image:
            assert image.format == "JPEG"
            assert not image.getexif(), "no date, no place"
            widths.append(image.width)
    assert widths[0] > widths[1] >= widths[2]
    with pytest.raises(ValueError, match="as_shot does not fit into 1000 bytes"):
        encode_sheet(SHEETS[0], pictures, width_px=300, limit_bytes=1000)


def test_a_model_that_fails_is_named(submit):
    with pytest.raises(SubmissionError, match=r"^smaller: its output has shape"):
        take_pictures([Photo("a", paint())], [submit(models.wrong_size(), "smaller")], None)
    with pytest.raises(SubmissionError, match=r"^none: model\.onnx is not there"):
        take_pictures([Photo("a", paint())], [submit(None, "none")], None)
