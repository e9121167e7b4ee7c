"""Contact sheets: a crop's pixels are the figure's, in PNG and in SVG, and no text covers another."""

import base64
import io
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from PIL import Image
from stored import make_record
from tiny import paint, save_picture

from harness.archive import locate_record, write_record
from harness.contact_sheet import Sheet, Strip, Tile, place_crop, read_sheet
from harness.metrics.psnr import psnr
from harness.records import Record
from harness.render.contact_sheet import MOST_COLUMNS, count_columns, draw_sheet, render_sheet
from harness.reporting import write_contact_sheets
from harness.showcase import Picture, Showcase, locate_images, write_showcase

NAMES = ("alpha", "beta", "source", "target")
SIZES = {"small": (100, 100), "large": (240, 320)}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Records of four submissions, and a showcase of a small pair, a larger one and a photo."""
    random = np.random.default_rng(4)
    records = [make_record(name, photos=(3.5, 4.5)) for name in NAMES]
    for record in records:
        store(tmp_path, record)
    pictures = [add_picture(tmp_path, random, name, "pair", *size) for name, size in SIZES.items()]
    pictures.append(add_picture(tmp_path, random, "1", "photo", 330, 400))
    models = {record.submission.name: record.submission.sha256 for record in records}
    write_showcase(tmp_path, Showcase("pirm2018b", "d" * 64, tuple(pictures), models))
    return tmp_path


def store(reports_dir: Path, record: Record) -> None:
    write_record(locate_record(reports_dir / "records", dataset="pirm2018b", name=record.submission.name), record)


def add_picture(
    reports_dir: Path, random: np.random.Generator, image: str, kind: str, height_px: int, width_px: int
) -> Picture:
    """A picture of noise with all its files."""
    places = {role: f"{kind}/{image}/{role}.png" for role in ("source", "target", *(f"out/{name}" for name in NAMES))}
    for place in places.values():
        save_picture(locate_images(reports_dir, "pirm2018b") / place, paint(random, height_px, width_px))
    outputs = {name: places[f"out/{name}"] for name in NAMES}
    target = places["target"] if kind == "pair" else None
    return Picture(image, kind, width_px, height_px, places["source"], target, outputs)


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def find_places(figure: np.ndarray, crop: np.ndarray) -> list[tuple[int, int]]:
    """Where (y, x) the crop lies in the figure, pixel by pixel."""
    height, width, _ = crop.shape
    starts = (figure[: figure.shape[0] - height + 1, : figure.shape[1] - width + 1] == crop[0, 0]).all(-1)
    return [(y, x) for y, x in np.argwhere(starts) if (figure[y : y + height, x : x + width] == crop).all()]


def decode_svg(svg: bytes) -> np.ndarray:
    """The picture that all images of an SVG make together; it must be shown at one scale, and in whole points."""
    ((data, x, y, width, height),) = re.findall(
        r'href="data:image/png;base64,([^"]+)"[^>]* x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', svg.decode()
    )
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.width, image.height) == (2 * float(width), 2 * float(height))
        assert float(x) == int(x)
        assert float(y) == int(y)
        return np.asarray(image.convert("RGB"))[::-1]


# --- what is shown


def test_every_crop_is_in_the_figures_pixel_by_pixel(reports: Path) -> None:
    write_contact_sheets(reports, "pirm2018b")
    png = read_pixels(reports / "figures" / "contact_sheet_pirm2018b.png")
    svg = decode_svg((reports / "figures" / "contact_sheet_pirm2018b.svg").read_bytes())
    files = sorted(locate_images(reports, "pirm2018b").rglob("*.png"))
    expected = []
    for path in files:
        pixels = read_pixels(path)
        if "small" in path.parts:
            expected.append(pixels.repeat(2, 0).repeat(2, 1))
        else:
            y, x = (pixels.shape[0] - 150) // 2, (pixels.shape[1] - 200) // 2
            expected.append(pixels[y : y + 150, x : x + 200])
    is_shown = [path.parts[-3:] != ("photo", "1", "target.png") for path in files]
    for figure in (png, svg):
        assert [len(find_places(figure, crop)) for crop in expected] == [int(shown) for shown in is_shown]


def test_source_comes_first_and_target_last(reports: Path) -> None:
    sheet = read_sheet(reports, "pirm2018b")
    assert [[tile.name for tile in strip.tiles] for strip in sheet.strips] == [
        ["source", *NAMES, "target"],
        ["source", *NAMES, "target"],
        ["source", *NAMES],
    ]


def test_values_are_those_of_the_crop_or_of_the_whole_photo(reports: Path) -> None:
    _, large, photo = read_sheet(reports, "pirm2018b").strips
    *others, target = large.tiles
    assert [tile.value for tile in others] == [
        f"{psnr(tile.image, target.image, data_range=255):.1f} dB" for tile in others
    ]
    assert target.value == ""
    assert [tile.value for tile in photo.tiles] == ["", *["NIQE 4.50"] * 4]


def test_an_output_that_is_the_target_has_no_finite_value(reports: Path) -> None:
    folder = locate_images(reports, "pirm2018b") / "pair" / "large"
    (folder / "out" / "beta.png").write_bytes((folder / "target.png").read_bytes())
    assert read_sheet(reports, "pirm2018b").strips[1].tiles[2].value == "\u221e dB"


def test_headings_say_which_part(reports: Path) -> None:
    assert [strip.heading for strip in read_sheet(reports, "pirm2018b").strips] == [
        "pair small: all 100x100 pixels, enlarged \u00d72",
        "pair large: 200x150 of 320x240 pixels, from x = 60, y = 45",
        "photo 1: 200x150 of 400x330 pixels, from x = 100, y = 90",
    ]


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        ((100, 100), (0, 0, 100, 100, 2)),
        ((1280, 720), (540, 285, 200, 150, 1)),
        ((150, 150), (0, 0, 150, 150, 1)),
        ((60, 40), (0, 0, 60, 40, 3)),
        ((90, 1000), (0, 425, 90, 150, 1)),
        ((1, 1), (0, 0, 1, 1, 200)),
    ],
)
def test_a_crop_is_the_middle_of_what_is_too_large(size: tuple[int, int], crop: tuple[int, ...]) -> None:
    placed = place_crop(*size)
    assert (placed.x_px, placed.y_px, placed.width_px, placed.height_px, placed.scale) == crop


def test_models_that_no_record_is_of_are_not_shown(reports: Path) -> None:
    store(reports, make_record("beta", sha256="9" * 64))
    assert [tile.name for tile in read_sheet(reports, "pirm2018b").strips[0].tiles] == [
        *("source", "alpha", "source", "target", "target")
    ]


@pytest.mark.parametrize("damage", [b"", b"no picture", "other"])
def test_a_damaged_image_takes_its_picture_along(reports: Path, damage: bytes | str) -> None:
    folder = locate_images(reports, "pirm2018b") / "pair"
    content = (folder / "large" / "source.png").read_bytes() if damage == "other" else damage
    (folder / "small" / "out" / "alpha.png").write_bytes(content)
    headings = [strip.heading.partition(":")[0] for strip in read_sheet(reports, "pirm2018b").strips]
    assert headings == ["pair large", "photo 1"]


def test_no_pictures_make_no_sheet(tmp_path: Path, reports: Path) -> None:
    assert read_sheet(reports, "embedded") is None
    for path in locate_images(reports, "pirm2018b").rglob("source.png"):
        path.write_bytes(b"")
    assert read_sheet(reports, "pirm2018b") is None
    write_contact_sheets(reports, "pirm2018b")
    assert not (reports / "figures").exists()


# --- how it is drawn


def make_sheet(count: int, name: str = "team_{}") -> Sheet:
    random = np.random.default_rng(1)
    names = ["source", *(name.format(number) for number in range(count)), "target"]
    strips = [
        Strip(f"pair {place}: all of it", tuple(Tile(name, paint(random, height, 200), "22.2 dB") for name in names))
        for place, height in (("one", 150), ("two", 200))
    ]
    return Sheet("pictures", tuple(strips))


def test_the_same_sheet_gives_the_same_bytes() -> None:
    first, second = (render_sheet(make_sheet(3)) for _ in range(2))
    assert first == second
    assert list(first) == ["figures/contact_sheet_pictures.png", "figures/contact_sheet_pictures.svg"]


@pytest.mark.parametrize(
    ("count", "name"), [(1, "team_{}"), (11, "team_{}"), (11, "_$^$_" + "x" * 57 + "{}"), (40, "t{}")]
)
def test_no_text_covers_another_or_an_image(count: int, name: str) -> None:
    sheet = make_sheet(count, name)
    figure = draw_sheet(sheet)
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    for image in figure.images:
        height, width, _ = image.get_array().shape
        boxes.append(Bbox.from_bounds(image.ox, image.oy, width, height))
    assert len(figure.images) == 2 * (count + 2)
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(0 <= box.x0 <= box.x1 <= figure.bbox.width for box in boxes)
    assert all(0 <= box.y0 <= box.y1 <= figure.bbox.height for box in boxes)
    assert figure.bbox.width <= 1600  # a page's


def test_names_are_whole() -> None:
    name = "a_name_as_long_as_a_submission_may_have_which_is_64_letters_long"
    texts = [text.get_text() for text in draw_sheet(make_sheet(1, name)).texts]
    assert name in "".join(texts)


@pytest.mark.parametrize(("tiles", "columns"), [(3, 3), (7, 7), (8, 4), (13, 7), (42, 7)])
def test_rows_are_as_full_as_each_other(tiles: int, columns: int) -> None:
    tile = Tile("a", np.zeros((2, 2, 3), np.uint8), "")
    assert count_columns(Strip("", (tile,) * tiles)) == columns <= MOST_COLUMNS


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    strip = Strip("pair \u5199\u771f\u0007 \u00e9$x$: all of it", make_sheet(1).strips[0].tiles)
    texts = [text.get_text() for text in draw_sheet(Sheet("\u5199", (strip,))).texts]
    assert texts[:2] == ["?: source, outputs and target at full size", "pair ?? \u00e9$x$: all of it"]
    assert len(render_sheet(Sheet("\u5199", (strip,)))) == 2
