"""Thousands of damaged models and pictures: only the harness's own errors come out, and nothing is left behind."""

import io
from collections.abc import Iterator
from pathlib import Path

import broken_models
import models
import numpy as np
import psutil
import pytest
from PIL import Image

from harness.dataset import read_image
from harness.errors import DataError, ModelError, SubmissionError
from harness.isolation import ModelProcess
from harness.submission import Manifest, SubmissionFolder, check_interface

MODEL_MUTANTS = 5_000
IMAGE_MUTANTS = 5_000
SEED = 20_180_914
LIMIT_BYTES = 400_000_000
DEADLINE_S = 2
INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF)  # ends of ranges, and lengths that go on or never end


def mutate(random: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """The content with one to three damages, as a disk, a line or an attacker makes them."""
    for _ in range(random.integers(1, 4)):
        content = bytes(damage(random, bytearray(content or b"\0"), other))
    return content


def damage(random: np.random.Generator, content: bytearray, other: bytes) -> bytearray:
    begin = int(random.integers(len(content)))
    end = begin + int(random.integers(1, 1 + max(1, min(64, len(content) - begin))))
    match random.integers(7):
        case 0:
            content[begin] ^= 1 << int(random.integers(8))
        case 1:  # often the length of a protobuf field or of a PNG chunk
            content[begin] = INTERESTING[random.integers(len(INTERESTING))]
        case 2:
            del content[begin:]
        case 3:
            del content[begin:end]
        case 4:
            content[begin:begin] = content[begin:end] * int(random.integers(1, 5))
        case 5:
            content[begin:end] = random.bytes(end - begin)
        case 6:
            content[begin:] = other[int(random.integers(len(other))) :]
    return content


def list_seeds() -> list[bytes]:
    """Models of various operators; each is small, so that a damage often hits something that matters."""
    whole = [
        models.identity(), models.brighten(), models.identity_nchw(), models.wrong_size(), models.convolve(3),
        models.convolve(3, kind="ConvTranspose"), models.widen(3), models.slow(3), models.allocate(400),
        models.branch(models.node("Neg", ["source"], ["chosen"])), models.in_function("local", "Noise"),
        models.custom_domain(), models.external_data(), models.two_outputs(), models.endless_loop(),
        broken_models.constant_of_shape(400), broken_models.divide_the_least_integer(),
    ]  # fmt: skip
    return [model.SerializeToString() for model in whole]


class Victim:
    """A model process that takes one file after the other, and is replaced when it has died."""

    def __init__(self) -> None:
        self.process: ModelProcess | None = None
        self.deaths = 0

    def take(self, path: Path) -> str:
        """Inspect the file and, where that finds nothing, load and run it; how it ended."""
        if self.process is None:
            self.process = ModelProcess(memory_limit_bytes=LIMIT_BYTES).__enter__()
        try:
            return use_model(self.process, path)
        except ModelError as error:
            assert str(error).isprintable()
            if error.kind in ("crash", "killed", "timeout", "out_of_memory"):
                self.end()
                self.deaths += 1
            return error.kind

    def end(self) -> None:
        if self.process is not None:
            self.process.__exit__(None, None, None)
        self.process = None


def use_model(process: ModelProcess, path: Path) -> str:
    graph = process.inspect(path, runtime="onnx", deadline_s=DEADLINE_S)
    folder = SubmissionFolder(path.parent, Manifest(name="a", title="A", trained_on="nothing"))
    try:
        layout = check_interface(folder, graph)
    except ModelError:
        raise
    except SubmissionError as error:
        assert str(error).isprintable()
        return "refused"
    process.load(path, runtime="onnx", threads=1, deadline_s=DEADLINE_S)
    process.put(np.full((1, 8, 8, 3) if layout == "NHWC" else (1, 3, 8, 8), 0.5, np.float32))
    process.fetch(process.run(deadline_s=DEADLINE_S))
    return "ran"


@pytest.fixture
def nothing_left(scratch: Path, tmp_path: Path) -> Iterator[None]:
    """No process and no file is left, neither here nor where temporary files usually lie."""
    places = (Path.cwd(), Path("/tmp"), Path("/dev/shm"), Path.home())
    children = set(psutil.Process().children(recursive=True))
    before = {place: list_names(place) for place in places if place.is_dir()}
    yield
    assert set(psutil.Process().children(recursive=True)) == children
    assert list(scratch.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert {place: list_names(place) - names for place, names in before.items()} == {place: set() for place in before}


def list_names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


@pytest.mark.alone
@pytest.mark.slow
def test_damaged_models_hurt_no_one(nothing_left: None, tmp_path: Path) -> None:
    random, seeds, victim, path = np.random.default_rng(SEED), list_seeds(), Victim(), tmp_path / "model.onnx"
    ends: dict[str, int] = {}
    try:
        for number in range(MODEL_MUTANTS):
            other = seeds[random.integers(len(seeds))]
            path.write_bytes(mutate(random, seeds[number % len(seeds)], other))
            end = victim.take(path)
            ends[end] = ends.get(end, 0) + 1
    finally:
        victim.end()
        path.unlink(missing_ok=True)
    assert sum(ends.values()) == MODEL_MUTANTS
    assert {"ran", "refused", "error"} <= ends.keys()  # the damages reach every stage
    assert victim.deaths < MODEL_MUTANTS // 10


def list_pictures() -> list[bytes]:
    pixels = np.random.default_rng(SEED).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: list[tuple[str, str, dict[str, object]]] = [
        ("PNG", "RGB", {}), ("PNG", "L", {}), ("PNG", "P", {}), ("PNG", "RGB", {"exif": exif}), ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True, "exif": exif}), ("JPEG", "L", {}), ("BMP", "RGB", {}), ("BMP", "P", {}),
    ]  # fmt: skip
    return [encode_picture(Image.fromarray(pixels).convert(mode), kind, options) for kind, mode, options in ways]


def encode_picture(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.alone
@pytest.mark.slow
def test_damaged_pictures_are_refused_or_read(nothing_left: None, tmp_path: Path) -> None:
    random, seeds, path = np.random.default_rng(SEED), list_pictures(), tmp_path / "picture.png"
    read = 0
    for number in range(IMAGE_MUTANTS):
        path.write_bytes(mutate(random, seeds[number % len(seeds)], seeds[random.integers(len(seeds))]))
        read += try_picture(path)
    path.unlink()
    assert 0 < read < IMAGE_MUTANTS


def try_picture(path: Path) -> bool:
    """Whether it was read; refused, that is one sentence."""
    try:
        image = read_image(path)
    except DataError as error:
        assert str(error).isprintable()
        return False
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    return True
