"""The embedded set: pairs and photos made at run time from the photographs inside the scikit-image wheel.

The target is the photograph; the source is what a simulated phone camera makes of it. The camera's numbers
(phone_camera.toml) were fitted to real pairs by `python -m reference.fit_camera`.

The same on every machine: crops and JPEG are integer arithmetic (libjpeg-turbo, quality 100 as in the real
patches), the noise comes from a seeded generator, and what floats differ in is far below a step of 8 bits.
"""

import io
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from harness.errors import DataError

Image = NDArray[np.uint8]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
PHOTO_SIZE_PX = (1280, 720)
PATCH_PX = 100
PAIR_COUNT = 100
SEED = 2018
CROPS = {"astronaut": (104, 460), "coffee": (170, 470), "motorcycle_left": (270, 540)}
"""(y, x) in the photo of that name of a crop that is worth looking at, and all photograph, nothing mirrored."""
CROP_SIZE_PX = (320, 240)


class PhoneCamera(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a phone camera does to the DSLR's picture, on encoded RGB values in [0, 1].

    Order: exposure (a gain), vignetting, colour_matrix (rows sum to 1), tone_curve (one row a channel, at tone_knots),
    blur, noise (the same in the three channels; noise_sigma before its own blur), 8 bits, JPEG with halved chroma.
    """

    colour_matrix: tuple[tuple[float, float, float], ...]
    tone_knots: tuple[float, ...]
    tone_curve: tuple[tuple[float, ...], ...]
    exposure_quantiles: tuple[float, ...]
    blur_sigma_px: float
    noise_sigma: float
    noise_blur_px: float
    corner_light_loss: float
    jpeg_quality: int


class _CameraFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """phone_camera.toml: the camera, with where its numbers come from."""

    provenance: dict[str, str | int]
    residuals: dict[str, float]
    camera: PhoneCamera


@lru_cache
def read_camera() -> PhoneCamera:
    """The fitted camera that the package carries."""
    content = Path(__file__).with_name("phone_camera.toml").read_bytes()
    return msgspec.toml.decode(content, type=_CameraFile).camera


def list_exposures(camera: PhoneCamera, count: int) -> NDArray[np.float64]:
    """`count` gains spread evenly over the fitted distribution, darkest first."""
    positions = (np.arange(count) + 0.5) / count
    levels = np.linspace(0, 1, len(camera.exposure_quantiles))
    return np.interp(positions, levels, camera.exposure_quantiles)


def render_vignette(height_px: int, width_px: int, camera: PhoneCamera) -> NDArray[np.float64]:
    """Gain of each pixel, HxWx1, 1 in the middle; the light falls with the squared distance."""
    y = np.linspace(-1, 1, height_px)[:, None]
    x = np.linspace(-1, 1, width_px)[None, :]
    light = 1 - camera.corner_light_loss * (x**2 + y**2) / 2
    encoded: NDArray[np.float64] = light[..., None] ** (1 / 2.2)
    return encoded


def apply_colour(image: NDArray[np.float64], camera: PhoneCamera) -> NDArray[np.float64]:
    """Colour matrix and tone curves on HxWx3 encoded values (above 1 where the exposure is high)."""
    mixed = image @ np.array(camera.colour_matrix).T
    channels = [np.interp(mixed[..., k], camera.tone_knots, curve) for k, curve in enumerate(camera.tone_curve)]
    return np.stack(channels, axis=-1)


def render_noise(shape: tuple[int, int], camera: PhoneCamera, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise HxWx1: a phone removes the colour of its noise and leaves it soft."""
    return gaussian_filter(rng.normal(0, camera.noise_sigma, shape), camera.noise_blur_px)[..., None]


def simulate_phone(
    target: Image, gain: float | NDArray[np.float64], camera: PhoneCamera, rng: np.random.Generator
) -> Image:
    """The phone's picture of `target` (uint8 HxWx3), same shape; `gain` is a number or HxWx1."""
    image = apply_colour(target / 255 * gain, camera)
    image = gaussian_filter(image, (camera.blur_sigma_px, camera.blur_sigma_px, 0))
    image = image + render_noise(target.shape[:2], camera, rng)
    return compress_jpeg(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), camera.jpeg_quality)


def compress_jpeg(image: Image, quality: int) -> Image:
    """What is left of uint8 HxWx3 after JPEG with chroma at half the resolution."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    with PillowImage.open(buffer, formats=("JPEG",)) as decoded:
        return np.asarray(decoded)


@lru_cache
def read_photograph(name: str) -> Image:
    """A photograph of the scikit-image wheel, uint8 HxWx3; nothing is downloaded."""
    try:
        with (files("skimage") / "data" / name).open("rb") as stream, PillowImage.open(stream) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        message = f"the installed scikit-image has no readable data/{name}: reinstall scikit-image from its wheel"
        raise DataError(message) from error


@lru_cache
def build_pairs() -> dict[str, tuple[Image, Image]]:
    """100 pairs (source, target) of uint8 100x100x3 by name, from places that do not overlap."""
    camera = read_camera()
    rng = np.random.default_rng(SEED)
    places = _list_places()
    chosen = [places[i * len(places) // PAIR_COUNT] for i in range(PAIR_COUNT)]
    exposures = rng.permutation(list_exposures(camera, PAIR_COUNT))
    pairs = {}
    for (name, y, x), exposure in zip(chosen, exposures, strict=True):
        photograph = read_photograph(name)
        window = np.s_[y : y + PATCH_PX, x : x + PATCH_PX]
        vignette = render_vignette(photograph.shape[0], photograph.shape[1], camera)
        target = photograph[window]
        source = simulate_phone(target, exposure * vignette[window], camera, rng)
        pairs[f"{Path(name).stem}_{y:03}_{x:03}"] = (source, target)
    return pairs


def _list_places() -> list[tuple[str, int, int]]:
    """(photograph, y, x) of every whole 100x100 patch."""
    places = []
    for name in PHOTOGRAPHS:
        height, width, _ = read_photograph(name).shape
        rows, columns = range(height // PATCH_PX), range(width // PATCH_PX)
        places += [(name, y * PATCH_PX, x * PATCH_PX) for y in rows for x in columns]
    return places


@lru_cache
def build_photos() -> dict[str, Image]:
    """Four phone photos of uint8 720x1280x3 by name.

    They stand for phone photos shrunk to that size, which are sharp: the blur of the patches is left out.
    """
    camera = read_camera()
    sharp_camera = msgspec.structs.replace(camera, blur_sigma_px=0.0)
    rng = np.random.default_rng(SEED + 1)
    width_px, height_px = PHOTO_SIZE_PX
    vignette = render_vignette(height_px, width_px, camera)
    names = [name for name in PHOTOGRAPHS if name != "chelsea.png"]  # the smallest
    photos = {}
    for name, exposure in zip(names, list_exposures(camera, len(names)), strict=True):
        extended = extend_by_mirror(read_photograph(name), width_px, height_px)
        photos[Path(name).stem] = simulate_phone(extended, exposure * vignette, sharp_camera, rng)
    return photos


def build_crop(name: str) -> tuple[Image, Image]:
    """The crop (source, target) of the phone photo of that name, uint8 240x320x3."""
    (y, x), (width_px, height_px) = CROPS[name], CROP_SIZE_PX
    photograph = next(read_photograph(file) for file in PHOTOGRAPHS if Path(file).stem == name)
    window = np.s_[y : y + height_px, x : x + width_px]
    return build_photos()[name][window], extend_by_mirror(photograph, *PHOTO_SIZE_PX)[window]


def extend_by_mirror(photograph: Image, width_px: int, height_px: int) -> Image:
    """The photograph in the middle of a larger canvas, mirrored at its edges.

    Enlarging would cost the fine structure that NIQE looks for (measured: about 2 more).
    """
    rows, columns = height_px - photograph.shape[0], width_px - photograph.shape[1]
    margins = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
    return np.pad(photograph, margins, mode="symmetric")
