"""The audit: what it runs, and what it finds on models that behave differently where they are measured."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.audit import measure_audit
from harness.dataset import ImagePair
from harness.errors import ModelError
from harness.records import Audit

HEIGHT_PX, WIDTH_PX, SIDE_PX = 64, 96, 20
RANDOM = np.random.default_rng(3)
PICTURES = [RANDOM.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8) for _ in range(4)]


def make_pair(name: str, side_px: int = SIDE_PX) -> ImagePair:
    source = RANDOM.integers(0, 200, (side_px, side_px, 3), dtype=np.uint8)
    return ImagePair(name, source, source + np.uint8(20))


PAIRS = [make_pair(str(number)) for number in range(5)]


def scale(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / np.float32(255)


class Recorder:
    """A model that takes 1 ns for each value and remembers what it was shown."""

    def __init__(self, enhance: Callable[[np.ndarray], np.ndarray] = scale) -> None:
        self.enhance = enhance
        self.shown: list[np.ndarray] = []

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        self.shown.append(image)
        return self.enhance(image), image.size


def audit(run: Callable[[np.ndarray], tuple[np.ndarray, int]], **options: object) -> Audit:
    settings = {"control_flow": (), "repeatable": True} | options
    return measure_audit(run, PICTURES, PAIRS, **settings)[0]  # type: ignore[arg-type]


def test_each_picture_is_run_and_at_once_run_again() -> None:
    run = Recorder()
    found, outputs = measure_audit(run, PICTURES, PAIRS, control_flow=("If",), repeatable=True)
    for turn, picture in enumerate(PICTURES):
        assert run.shown[4 * turn] is run.shown[4 * turn + 1] is picture
        np.testing.assert_array_equal(outputs[turn], scale(picture))
    assert found.fresh_ns == found.repeated_ns == (PICTURES[0].size,) * 4
    assert found.control_flow == ("If",)


def test_sizes_beside_and_below_the_timed_one_are_run() -> None:
    found = audit(Recorder())
    assert (found.beside.width_px, found.beside.height_px) == (WIDTH_PX - 16, HEIGHT_PX - 16)
    assert (found.half.width_px, found.half.height_px) == (WIDTH_PX // 2, HEIGHT_PX // 2)
    assert found.beside.samples_ns == ((WIDTH_PX - 16) * (HEIGHT_PX - 16) * 3,) * 4
    assert found.beside_difference == 0


def test_the_sizes_are_run_in_turn_so_that_a_busy_second_disturbs_them_alike() -> None:
    run = Recorder()
    audit(run)
    sizes = [image.shape[1] for image in run.shown[: 4 * len(PICTURES)]]
    assert sizes == [WIDTH_PX, WIDTH_PX, WIDTH_PX // 2, WIDTH_PX - 16] * len(PICTURES)


def test_another_output_beside_the_timed_size_shows() -> None:
    found = audit(Recorder(lambda image: scale(image) + np.float32(0.1 if image.shape[0] == HEIGHT_PX else 0)))
    assert found.beside_difference == pytest.approx(0.1, rel=1e-4)


def test_pairs_are_shown_alone_and_side_by_side() -> None:
    run = Recorder()
    found = audit(run)
    (mosaic,) = [image for image in run.shown if image.shape == PICTURES[0].shape and image is not run.shown[0]][-1:]
    for number, pair in enumerate([*PAIRS, *PAIRS, *PAIRS][:12]):
        row, column = divmod(number, 4)
        tile = mosaic[row * SIDE_PX : (row + 1) * SIDE_PX, column * SIDE_PX : (column + 1) * SIDE_PX]
        np.testing.assert_array_equal(tile, pair.source)
    assert found.alone_psnr_db == found.tiled_psnr_db == pytest.approx(20 * np.log10(255 / 20), abs=1e-4)


def test_what_is_cheap_at_the_timed_size_loses_there() -> None:
    found = audit(Recorder(lambda image: scale(image) + np.float32(15 / 255 if image.shape[0] < HEIGHT_PX else 0)))
    assert found.alone_psnr_db == pytest.approx(20 * np.log10(255 / 5), abs=1e-3)
    assert found.tiled_psnr_db == pytest.approx(20 * np.log10(255 / 20), abs=1e-3)


@pytest.mark.parametrize(
    "pairs", [[make_pair("a", 20), make_pair("b", 24)], [make_pair("a", 100)], [ImagePair("a", *[PAIRS[0].source] * 2)]]
)
def test_pairs_that_do_not_fit_or_have_no_error_are_not_compared(pairs: list[ImagePair]) -> None:
    found, _ = measure_audit(Recorder(), PICTURES, pairs, control_flow=(), repeatable=True)
    assert (found.alone_psnr_db, found.tiled_psnr_db) == (None, None)


def test_photos_that_look_alike_show() -> None:
    assert audit(Recorder()).photo_difference > 0.3
    assert audit(Recorder(lambda image: np.zeros(image.shape, np.float32))).photo_difference == 0


class Growing:
    """Adds more in every run."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, int]:
        self.runs += 1
        return scale(image) + np.float32(0.002 * self.runs), 1


def test_an_output_that_does_not_repeat_is_a_failure() -> None:
    with pytest.raises(ModelError, match=r"a repeated run is up to 0\.002 off .* declare its seed or draws"):
        audit(Growing())
    assert audit(Growing(), repeatable=False).photo_difference > 0.3
