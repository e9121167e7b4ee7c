"""Draws a contact sheet: one pixel of a crop is one pixel of the figure."""

import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from harness.contact_sheet import TILE_WIDTH_PX, Sheet, Strip, Tile
from harness.dataset import Image
from harness.render.cells import flatten
from harness.render.figures import encode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 144
"""Any number of pixels divided by it and multiplied again is the same; two of them are one point in SVG."""
MOST_COLUMNS, FEWEST_COLUMNS = 7, 4
MARGIN_PX, GAP_PX, LINE_PX, PAD_PX = 24, 12, 26, 4
TITLE_PT, TEXT_PT = 12, 9
NAME_LETTERS = 18
"""So many letters of one width are as wide as a tile."""
TEXT_LETTERS = 20
"""So many letters of a sentence are at most as wide, but for rows of capitals."""
GREY = "#444444"
NOTE = (
    "Full size: one pixel of an image is one pixel of this figure; a larger square where the heading says so. "
    "Each crop is the middle of its picture. Below it: PSNR of the crop against the target, more is better; for a "
    "photo without target NIQE of the whole photo, less is better. Pictures of more than 256x256 pixels are shown as "
    "they are kept, as JPEG of quality 95 (photos: 92)."
)


def locate_sheet(dataset: str) -> str:
    """Where the sheet lies beside the leaderboard, as .png and .svg."""
    return f"figures/contact_sheet_{dataset}"


def render_sheet(sheet: Sheet) -> dict[str, bytes]:
    """The sheet as PNG and SVG, by its place."""
    files = encode(partial(draw_sheet, sheet))
    return {f"{locate_sheet(sheet.dataset)}.{kind}": content for kind, content in files.items()}


def draw_sheet(sheet: Sheet) -> "Figure":
    """The strips below each other, each with as many rows as it needs; the last lines say how to read them."""
    page = Page(max(FEWEST_COLUMNS, *(count_columns(strip) for strip in sheet.strips)))
    page.add_sentence(f"{sheet.dataset}: source, outputs and target at full size", size=TITLE_PT, weight="bold")
    for strip in sheet.strips:
        page.add_gap()
        page.add_sentence(strip.heading, weight="bold")
        columns = count_columns(strip)
        for start in range(0, len(strip.tiles), columns):
            page.add_row(strip.tiles[start : start + columns])
    page.add_gap()
    page.add_sentence(NOTE, color=GREY)
    return page.draw()


def count_columns(strip: Strip) -> int:
    """How many tiles stand side by side, so that the rows are as full as each other."""
    rows = math.ceil(len(strip.tiles) / MOST_COLUMNS)
    return math.ceil(len(strip.tiles) / rows)


class Page:
    """What was added, from top to bottom; its figure is as high as that needs."""

    def __init__(self, columns: int) -> None:
        self._letters = columns * TEXT_LETTERS
        self._width_px = 2 * MARGIN_PX + columns * (TILE_WIDTH_PX + GAP_PX) - GAP_PX
        self._y_px = MARGIN_PX
        self._texts: list[tuple[int, int, str, dict[str, Any]]] = []
        self._images: list[tuple[int, int, Image]] = []

    def add_gap(self) -> None:
        """Some white."""
        self._y_px += GAP_PX

    def add_sentence(self, text: str, **style: Any) -> None:
        """Text over the whole width, in as many lines as it needs."""
        for line in textwrap.wrap(replace_unknown(text), self._letters):
            self._add_line(MARGIN_PX, self._y_px, line, **style)
            self._y_px += LINE_PX

    def add_row(self, tiles: Sequence[Tile]) -> None:
        """Tiles side by side, each with its name and value below it."""
        top_px, bottom_px = self._y_px, self._y_px + max(tile.image.shape[0] for tile in tiles)
        self._y_px = bottom_px
        for number, tile in enumerate(tiles):
            x_px = MARGIN_PX + number * (TILE_WIDTH_PX + GAP_PX)
            self._images.append((x_px, top_px, tile.image))
            name = textwrap.wrap(tile.name, NAME_LETTERS)
            for place, line in enumerate([*name, tile.value]):
                style = {"color": GREY} if place == len(name) else {"family": "monospace"}
                self._add_line(x_px, bottom_px + place * LINE_PX, line, **style)
            self._y_px = max(self._y_px, bottom_px + (len(name) + 1) * LINE_PX)
        self._y_px += GAP_PX

    def _add_line(self, x_px: int, y_px: int, line: str, **style: Any) -> None:
        style = {"size": TEXT_PT, "va": "top", "parse_math": False} | style
        self._texts.append((x_px, y_px + PAD_PX, line, style))

    def draw(self) -> "Figure":
        """The figure."""
        from matplotlib.figure import Figure

        width_px, height_px = self._width_px, self._y_px + MARGIN_PX
        figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)
        for x_px, y_px, line, style in self._texts:
            figure.text(x_px / width_px, 1 - y_px / height_px, line, **style)
        for x_px, y_px, image in self._images:
            figure.figimage(image, x_px, height_px - y_px - image.shape[0])
        return figure


def replace_unknown(text: str) -> str:
    """The text with a question mark for each letter that the font lacks."""
    return "".join(letter if ord(letter) in list_letters() else "?" for letter in flatten(text))


@lru_cache
def list_letters() -> frozenset[int]:
    """The letters of DejaVu Sans, which comes with matplotlib."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
