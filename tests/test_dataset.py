"""Datasets and how images are read: what is refused, what a folder must hold, and that the embedded set repeats."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import dataset
from harness.assets import AssetStore
from harness.dataset import read_image
from harness.datasets import open_dataset, open_first
from harness.embedded import PHOTOGRAPHS, read_camera, read_photograph, simulate_phone
from harness.errors import DataError, UsageError

PICTURE = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray = PICTURE, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def cut(path: Path, byte_count: int) -> Path:
    path.write_bytes(path.read_bytes()[:-byte_count])
    return path


def flip_byte(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    return path


def make_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def make_bomb(path: Path) -> Path:
    Image.new("1", (13_000, 13_000)).save(path)
    return path


def make_large(path: Path) -> Path:
    Image.new("L", (8_000, 5_001)).save(path)
    return path


def make_transparent_palette(path: Path) -> Path:
    Image.new("P", (8, 8)).save(path, transparency=0)
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, name: str) -> None:
    image = read_image(save(tmp_path / name))
    np.testing.assert_array_equal(image, PICTURE)
    assert image.dtype == np.uint8
    assert image.flags.writeable


def test_jpeg_is_read_as_pillow_decodes_it(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))


def test_grey_and_palette_become_rgb(tmp_path: Path) -> None:
    grey = read_image(save(tmp_path / "grey.png", mode="L"))
    np.testing.assert_array_equal(grey, np.repeat(grey[..., :1], 3, axis=2))
    np.testing.assert_array_equal(grey[..., 0], np.asarray(Image.fromarray(PICTURE).convert("L")))
    flat = np.full((8, 8, 3), (10, 200, 30), np.uint8)
    np.testing.assert_array_equal(read_image(save(tmp_path / "palette.png", flat, "P")).shape, flat.shape)


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF tag Orientation, "rotate 90 degrees clockwise to display"
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", exif=exif)), np.rot90(PICTURE, -1))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda p: cut(save(p / "a.jpg"), 2), "cannot read the image .*truncated"),
        (lambda p: cut(save(p / "a.png"), 100), "cannot read the image .*"),
        (lambda p: cut(save(p / "a.png"), 12), "cannot read the image .*truncated"),
        (lambda p: cut(save(p / "a.bmp"), 10), "cannot read the image .*truncated"),
        (lambda p: flip_byte(save(p / "a.png")), "cannot read the image "),
        (lambda p: write(p / "a.png", b""), "not a PNG, JPEG or BMP"),
        (lambda p: write(p / "a.jpg", b"P6 1 1 255 abc"), "not a PNG, JPEG or BMP"),
        (lambda p: save(p / "a.webp"), "not a PNG, JPEG or BMP"),
        (lambda p: p / "absent.png", "cannot read the image .*No such file"),
        (lambda p: p, "is not a regular file"),
        (lambda p: make_pipe(p / "a.png"), "is not a regular file"),
        (lambda p: make_bomb(p / "a.png"), "cannot read the image .*decompression bomb"),
        (lambda p: make_large(p / "a.png"), r"8000x5001 pixels, more than 40,000,000"),
        (lambda p: save(p / "a.png", np.full((8, 8), 500, np.uint16), "I;16"), "16 bits a channel"),
        (lambda p: save(p / "a.png", mode="RGBA"), "has the mode RGBA"),
        (lambda p: save(p / "a.png", mode="LA"), "has the mode LA"),
        (lambda p: make_transparent_palette(p / "a.png"), "has transparency"),
        (lambda p: save(p / "a.jpg", mode="CMYK"), "has the mode CMYK"),
        (lambda p: save(p / "a.png", mode="1"), "has the mode 1"),
    ],
)
def test_unfaithful_images_are_refused(tmp_path: Path, make: Callable[[Path], Path], complaint: str) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError, match=complaint) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def make_folder(folder: Path, names: tuple[str, ...] = ("1", "2")) -> Path:
    for name in names:
        save(folder / "source" / f"{name}.jpg")
        save(folder / "target" / f"{name}.png")
    return folder


def open_offline(name: str | Path | None) -> dataset.Dataset:
    store = AssetStore(None, offline=True)
    return open_first(("pirm2018b", "embedded"), store) if name is None else open_dataset(str(name), store)


def test_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    save(folder / "photos" / "street.png", PICTURE[:20])
    write(folder / "source" / ".DS_Store", b"")
    opened = open_offline(folder)
    assert (opened.name, opened.splits, opened.photos) == ("mine", {"all": ("1", "2")}, ("street",))
    pair = opened.load_pair("2")
    assert pair.name == "2"
    np.testing.assert_array_equal(pair.source, read_image(folder / "source" / "2.jpg"))
    np.testing.assert_array_equal(pair.target, PICTURE)
    np.testing.assert_array_equal(opened.load_photo("street"), PICTURE[:20])
    sent = pickle.loads(pickle.dumps(opened))  # as to another process
    np.testing.assert_array_equal(sent.load_pair("2").target, PICTURE)


def test_fingerprint_follows_names_and_contents_not_places(tmp_path: Path) -> None:
    first = open_offline(make_folder(tmp_path / "a"))
    assert open_offline(make_folder(tmp_path / "elsewhere")).sha256 == first.sha256
    assert open_offline(make_folder(tmp_path / "b", ("1", "3"))).sha256 != first.sha256
    save(tmp_path / "a" / "target" / "2.png", PICTURE[::-1])
    assert open_offline(tmp_path / "a").sha256 != first.sha256


def test_sides_are_told_apart_in_the_fingerprint(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", ("1",))
    first = open_offline(folder).sha256
    (folder / "source").rename(folder / "x")
    (folder / "target").rename(folder / "source")
    (folder / "x").rename(folder / "target")
    assert open_offline(folder).sha256 != first


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "target" / "2.png").unlink(), "'2' has no partner in target/"),
        (lambda f: (f / "source" / "1.jpg").unlink(), "'1' has no partner in source/"),
        (lambda f: save(f / "source" / "1.png"), "have the same stem: rename one"),
        (lambda f: write(f / "source" / "notes.txt", b"x"), "notes.txt is not an image"),
        (lambda f: (f / "target").rename(f / "targets"), "target is missing: a dataset is a folder"),
        (lambda f: [path.unlink() for path in f.glob("*/*")], "holds no image"),
    ],
)
def test_malformed_folders(tmp_path: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    spoil(make_folder(tmp_path))
    with pytest.raises(DataError, match=complaint):
        open_offline(tmp_path)


def test_pair_of_different_sizes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    save(folder / "target" / "2.png", PICTURE[:30])
    opened = open_offline(folder)
    with pytest.raises(DataError, match=r"pair '2': .*2\.jpg is 60x40, .*2\.png is 60x30"):
        opened.load_pair("2")


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown dataset 'pirm2019' \(did you mean '.*'\?\): name .*, or a folder"):
        open_offline("pirm2019")
    opened = open_offline(make_folder(tmp_path))
    assert opened.list_names("all") == ("1", "2")
    with pytest.raises(UsageError, match="has no split 'test': the known ones are all"):
        opened.list_names("test")


def test_embedded_names_and_sizes() -> None:
    opened = open_offline("embedded")
    names = opened.list_names("all")
    assert (len(names), len(set(names)), list(opened.splits)) == (100, 100, ["all"])
    for name in names:
        pair = opened.load_pair(name)
        assert pair.source.shape == pair.target.shape == (100, 100, 3)
        assert pair.source.dtype == pair.target.dtype == np.uint8
        assert (pair.source != pair.target).any()
    assert [opened.load_photo(name).shape for name in opened.photos] == [(720, 1280, 3)] * 4


def test_embedded_targets_are_the_photographs() -> None:
    opened = open_offline("embedded")
    target = opened.load_pair("astronaut_100_300").target
    np.testing.assert_array_equal(target, read_photograph("astronaut.png")[100:200, 300:400])
    assert set(opened.photos) < {Path(name).stem for name in PHOTOGRAPHS}


def test_embedded_crops_show_the_photographs_and_nothing_mirrored() -> None:
    opened = open_offline("embedded")
    assert not {*opened.crops} & {*opened.list_names("all")}
    for name in opened.crops:
        pair, photo = opened.load_pair(name), opened.load_photo(name)
        assert pair.source.shape == pair.target.shape == (240, 320, 3)
        photograph = next(read_photograph(file) for file in PHOTOGRAPHS if file.startswith(name))
        (place,) = find_crops(photograph, pair.target)
        offset = [(whole - part) // 2 for whole, part in zip(photo.shape[:2], photograph.shape[:2], strict=True)]
        assert find_crops(photo, pair.source) == [(place[0] + offset[0], place[1] + offset[1])]


def find_crops(image: np.ndarray, crop: np.ndarray) -> list[tuple[int, int]]:
    """Where (y, x) the crop lies in the image."""
    height, width, _ = crop.shape
    starts = np.argwhere((image[: -height + 1, : -width + 1] == crop[0, 0]).all(-1)).tolist()
    return [(y, x) for y, x in starts if (image[y : y + height, x : x + width] == crop).all()]


def test_embedded_images_cannot_be_spoilt() -> None:
    opened = open_offline("embedded")
    name = opened.splits["all"][0]
    before = opened.load_pair(name).source.copy()
    opened.load_pair(name).source[:] = 0
    np.testing.assert_array_equal(opened.load_pair(name).source, before)


def test_embedded_repeats_in_a_fresh_process() -> None:
    code = "from harness.datasets.embedded import open_dataset; print(open_dataset().sha256)"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == open_offline("embedded").sha256


def test_embedded_is_as_hard_as_the_real_pairs() -> None:
    opened = open_offline("embedded")
    pairs = [opened.load_pair(name) for name in opened.splits["all"]]
    psnr_db = [-10 * np.log10(np.square(pair.source / 255 - pair.target / 255).mean()) for pair in pairs]
    # 17.264 dB: mean over the 297 training pairs of pirm2018b that differ at all (numpy, see phone_camera.toml)
    assert np.mean(psnr_db) == pytest.approx(17.264, abs=1.0)


def test_phone_darkens_softens_and_repeats() -> None:
    target = read_photograph("coffee.png")
    first, second = (simulate_phone(target, 0.7, read_camera(), np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.mean() < 0.8 * target.mean()
    edges = [np.abs(np.diff(image.astype(float), axis=1)).mean() / image.mean() for image in (first, target)]
    assert edges[0] < edges[1]


def test_missing_photograph_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"no readable data/absent\.png: reinstall scikit-image"):
        read_photograph("absent.png")


def test_default_falls_back_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path)
    opened = open_offline(None)
    assert opened.name == "embedded"
    assert "pirm2018b is not available" in opened.note
    assert "downloads are off" in opened.note
    assert "pirm2018b" not in open_offline("embedded").note
    with pytest.raises(DataError, match="downloads are off"):
        open_offline("pirm2018b")


@pytest.mark.assets
def test_pirm2018b(assets_dir: Path) -> None:
    opened = open_first(("pirm2018b", "embedded"), AssetStore(assets_dir, offline=True))
    everything, test, train = (opened.list_names(split) for split in ("all", "test", "train"))
    assert opened.name == "pirm2018b"
    assert (len(everything), len(test), len(train)) == (400, 100, 300)
    assert set(test) | set(train) == set(everything)
    assert not set(test) & set(train)
    assert test[:3] == ("0", "4", "8")
    assert [opened.load_photo(name).shape for name in opened.photos] == [(720, 1280, 3)] * 4
    pair = opened.load_pair("103")
    assert pair.source.shape == (100, 100, 3)
    assert (pair.source == 255).all()  # one of the four white pairs
    assert (pair.target == 255).all()


@pytest.mark.assets
def test_damaged_mirror_is_not_passed_over(assets_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = assets_dir / "aiff22" / "ai-challenge" / "dped"
    mirror = tmp_path / "aiff22" / "ai-challenge" / "dped"
    for path in upstream.rglob("*.*"):
        link = mirror / path.relative_to(upstream)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    damaged = mirror / "patches" / "canon" / "7.jpg"
    damaged.unlink()
    damaged.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"7\.jpg is not the upstream file"):
        open_dataset("pirm2018b", AssetStore(tmp_path, offline=True))
