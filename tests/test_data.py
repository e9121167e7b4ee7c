"""The pairs: PIRM's training pairs, DPED's folder read as it is drawn from, pairs to mix in; and the batches."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from harness.assets import AssetStore
from harness.errors import DataError
from reference import data
from reference.augmentation import Augmentation
from reference.data import (
    Pairs,
    TrainingData,
    check_data,
    draw_batch,
    open_dped,
    read_extra,
    read_pairs,
    split_pairs,
    thin_out,
)
from reference.train import main

CPU = torch.device("cpu")
PLAIN = Augmentation(dihedral=False)


def make_pairs(count: int = 10, size: tuple[int, int] = (8, 8), first: int = 0) -> Pairs:
    """Every pixel of pair N is first + N in the source, and 255 less that in the target."""
    source = torch.arange(first, first + count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, *size)
    return Pairs(source, 255 - source, tuple(range(count)))


@pytest.fixture
def dped(tmp_path: Path) -> Path:
    """Pairs 0 to 9 and 20 in DPED's layout."""
    random = np.random.default_rng(2)
    for camera in ("iphone", "canon"):
        folder = tmp_path / "dped/iphone/training_data" / camera
        folder.mkdir(parents=True)
        for number in (*range(10), 20):
            photo = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(photo).save(folder / f"{number}.jpg", quality=95)
        (folder / "Thumbs.db").write_bytes(b"")
    return tmp_path / "dped"


def read_number(image: torch.Tensor) -> int:
    return round(image[0, 0, 0].item() * 255)


@pytest.mark.assets
def test_only_the_training_pairs_are_read(assets_dir):
    pairs = read_pairs(AssetStore(assets_dir, offline=True), CPU)
    assert len(pairs.numbers) == 300
    assert all(number % 4 for number in pairs.numbers)
    assert pairs.source.shape == pairs.target.shape == (300, 3, 100, 100)
    folder = assets_dir / "aiff22/ai-challenge/dped/patches"
    for position in (0, 299):
        both = pairs.take([position])[0].numpy()
        for camera, image in (("iphone", both[:3]), ("canon", both[3:])):
            photo = np.asarray(Image.open(folder / camera / f"{pairs.numbers[position]}.jpg"))
            np.testing.assert_array_equal(image, photo.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_eight_bits_become_the_quotient_in_float32():
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    both = Pairs(values, values, (0,)).take([0])
    assert both.dtype == torch.float32
    np.testing.assert_array_equal(both[0, 0].flatten(), np.arange(256, dtype=np.float32) / np.float32(255))


def test_missing_assets_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    with pytest.raises(DataError, match="--assets"):
        read_pairs(AssetStore(tmp_path, offline=True), CPU)


def test_dped_is_read_as_it_is_drawn(dped, monkeypatch):
    read = []
    original = data.read_photo
    monkeypatch.setattr(data, "read_photo", lambda path: read.append(path.name) or original(path))
    pairs = open_dped(dped, CPU)
    assert pairs.numbers == (*range(10), 20)
    assert read == ["0.jpg"], "only the first photo is opened, for its size"
    both = pairs.take(torch.tensor([10, 3]))
    assert read[1:] == ["20.jpg", "20.jpg", "3.jpg", "3.jpg"]
    for image, number in zip(both, (20, 3), strict=True):
        for camera, part in (("iphone", image[:3]), ("canon", image[3:])):
            photo = np.asarray(Image.open(dped / f"iphone/training_data/{camera}/{number}.jpg"))
            np.testing.assert_array_equal(part, photo.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_dped_can_be_split_and_limited(dped):
    pairs = open_dped(dped, CPU, limit=4)
    assert pairs.numbers == (0, 2, 5, 8), "spread evenly"
    training, validation = split_pairs(pairs, 2, 1)
    assert (training.numbers, validation.numbers) == ((0, 5), (2, 8))
    assert torch.equal(training.take([1]), pairs.take([2]))


def remove(dped: Path, name: str) -> None:
    (dped / "iphone/training_data" / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "limit", "message"),
    [
        (lambda dped: remove(dped, "canon/3.jpg"), None, r"iphone/3\.jpg is there, canon/3\.jpg is missing"),
        (lambda dped: remove(dped, "iphone/20.jpg"), None, r"canon/20\.jpg is there, iphone/20\.jpg is missing"),
        (lambda dped: [remove(dped, f"canon/{n}.jpg") for n in (*range(10), 20)], None, "canon holds no photos"),
        (lambda dped: (dped / "iphone").rename(dped / "sony"), None, "cannot list .*--dped"),
        (lambda dped: (dped / "iphone/training_data/iphone/0.jpg").write_bytes(b"no"), None, "cannot read"),
        (lambda dped: None, 0, "--limit must be from 1 to the number of pairs, 11; got 0"),
        (lambda dped: None, 12, "--limit must be from 1"),
    ],
)
def test_what_dped_lacks_is_one_sentence(dped, spoil, limit, message):
    spoil(dped)
    with pytest.raises(ValueError, match=message):
        open_dped(dped, CPU, limit=limit)


@pytest.mark.parametrize("camera", ["iphone", "canon"])
def test_photo_of_another_size_is_one_sentence(dped, camera):
    path = dped / f"iphone/training_data/{camera}/5.jpg"
    Image.new("RGB", (14, 12)).save(path)
    with pytest.raises(ValueError, match=rf"{camera}/5\.jpg is 14x12 px, others are 12x12 px"):
        open_dped(dped, CPU).take([5])


def test_grey_photo_is_one_sentence(dped):
    Image.new("L", (12, 12)).save(dped / "iphone/training_data/canon/5.jpg")
    with pytest.raises(ValueError, match=r"5\.jpg is not an RGB photo"):
        open_dped(dped, CPU).take([5])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16])
def test_extra_pairs_are_read_with_their_checksum(tmp_path, dtype):
    source = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    target = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8) if dtype == torch.uint8 else torch.rand(4, 3, 8, 8)
    path = tmp_path / "extra.safetensors"
    save_file({"source": source, "target": target.to(dtype)}, path)
    extra, sha256 = read_extra(path, CPU)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    both = extra.take([2])
    assert both.dtype == torch.float32
    assert torch.equal(both[0, :3], source[2] / 255)
    torch.testing.assert_close(both[0, 3:], target[2] / 255 if dtype == torch.uint8 else target[2], rtol=0, atol=5e-4)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"source": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, "cannot be read .*target"),
        ({"source": torch.zeros(2, 3, 8, 8), "target": torch.zeros(2, 3, 8, 8)}, "source must be uint8"),
        (
            {"source": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "target": torch.zeros(2, 3, 8, 8)},
            "target uint8 or float16, got",
        ),
        (
            {
                "source": torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
                "target": torch.zeros(2, 3, 8, 9, dtype=torch.uint8),
            },
            r"must both be \(N, 3, H, W\)",
        ),
        ({name: torch.zeros(0, 3, 8, 8, dtype=torch.uint8) for name in ("source", "target")}, "must both be"),
    ],
)
def test_extra_pairs_that_do_not_fit_are_one_sentence(tmp_path, tensors, message):
    path = tmp_path / "extra.safetensors"
    save_file(tensors, path)
    with pytest.raises(ValueError, match=message):
        read_extra(path, CPU)


def test_extra_file_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "bad").write_bytes(b"not safetensors")
    for name in ("bad", "missing"):
        with pytest.raises(ValueError, match="cannot be read as extra pairs"):
            read_extra(tmp_path / name, CPU)


def test_folds_are_disjoint_and_cover_all():
    pairs = make_pairs()
    held_out = []
    for fold in range(5):
        training, validation = split_pairs(pairs, 5, fold)
        assert sorted(training.numbers + validation.numbers) == list(range(10))
        assert [read_number(image) for image in validation.take(range(2))] == list(validation.numbers)
        held_out += validation.numbers
    assert sorted(held_out) == list(range(10))
    assert split_pairs(pairs, 0, 0)[0].numbers == pairs.numbers
    assert split_pairs(pairs, 0, 0)[1].numbers == ()


@pytest.mark.parametrize(("folds", "fold", "count"), [(50, 40, 10), (5, 0, 1), (2, 1, 1)])
def test_folds_without_a_pair_on_each_side_are_refused(folds, fold, count):
    with pytest.raises(ValueError, match="leaves no pairs on one side"):
        split_pairs(make_pairs().select(list(range(count))), folds, fold)


def test_pairs_are_thinned_out_evenly():
    pairs = make_pairs()
    assert thin_out(pairs, 10) is pairs
    assert [pairs.numbers.index(number) for number in thin_out(pairs, 4).numbers] == [0, 2, 5, 7]


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1), (-1, 0)])
def test_folds_that_do_not_exist_are_refused(folds, fold):
    with pytest.raises(ValueError, match="folds must be"):
        split_pairs(make_pairs(), folds, fold)


def test_batch_holds_pairs_without_repetition():
    pairs, seen = make_pairs(), set()
    for _ in range(60):
        source, target = draw_batch(pairs, 4, PLAIN)
        numbers = [read_number(image) for image in source]
        assert [255 - read_number(image) for image in target] == numbers
        assert len(set(numbers)) == 4
        seen |= set(numbers)
    assert seen == set(range(10))
    assert len(draw_batch(pairs, 16, PLAIN)[0]) == 10, "there are no more"


def test_extra_pairs_are_their_share_of_a_batch():
    source, target = draw_batch(make_pairs(), 8, PLAIN, extra=make_pairs(20, first=100), extra_share=0.25)
    numbers = [read_number(image) for image in source]
    assert sum(number >= 100 for number in numbers) == 2
    assert len(set(numbers)) == 8
    assert [255 - read_number(image) for image in target] == numbers


def test_crop_makes_one_batch_of_two_sizes():
    augmentation = Augmentation(crop_px=6)
    extra = make_pairs(size=(16, 20), first=100)
    source, target = draw_batch(make_pairs(), 4, augmentation, extra=extra, extra_share=0.5)
    assert source.shape == target.shape == (4, 3, 6, 6)


@pytest.mark.parametrize(
    ("pairs", "extra", "share", "augmentation", "message"),
    [
        (make_pairs(), None, 0.5, PLAIN, "need both --extra FILE and a share"),
        (make_pairs(), make_pairs(), 0.0, PLAIN, "need both --extra FILE and a share"),
        (make_pairs(), make_pairs(), 0.05, PLAIN, "extra_share 0.05 of a batch of 8 is 0"),
        (make_pairs(), make_pairs(), 0.99, PLAIN, "extra_share 0.99 of a batch of 8 is 8"),
        (make_pairs(), make_pairs(size=(8, 9)), 0.5, PLAIN, "are 8x8 px, those of --extra 9x8 px"),
        (make_pairs(size=(8, 9)), None, 0.0, Augmentation(), "pairs of 9x8 px cannot be turned"),
        (make_pairs(size=(8, 9)), None, 0.0, Augmentation(crop_px=9), "crop_px 9 is more"),
    ],
)
def test_pairs_that_give_no_batch_are_one_sentence(pairs, extra, share, augmentation, message):
    with pytest.raises(ValueError, match=message):
        check_data(TrainingData(pairs, "test", extra), augmentation, batch_size=8, extra_share=share)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--assets", "{tmp}"], 4, "--assets"),
        (["--dped", "{tmp}"], 2, "--dped"),
        (["--limit", "3"], 2, "--limit counts pairs of --dped"),
        (["--extra", "{tmp}/none"], 2, "cannot be read as extra pairs"),
        (["--device", "abacus"], 2, "cannot use the device 'abacus'"),
        (["--device", "meta"], 2, "cannot use the device 'meta' (known are cpu, cuda)"),
    ],
)
def test_data_that_cannot_be_had_is_one_sentence(tmp_path, capsys, arguments, code, message):
    config = tmp_path / "config.toml"
    config.write_text("")
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    assert main([str(config), "--out", str(tmp_path / "out"), "--device", "cpu", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
