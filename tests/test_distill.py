"""Pairs of published networks' making: which sources, which targets, and what is left out."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from harness.assets import AssetStore
from reference import distill
from reference.build import WEIGHTS
from reference.data import Pairs, read_extra, split_pairs
from reference.distill import (
    CROPS_OF_DIV2K,
    CROPS_OF_HALF_HD,
    CROPS_OF_HD,
    DIV2K_PHOTOS,
    HD_PHOTOS,
    PARTS_OF_SOURCE,
    collect_sources,
    cut,
    enhance,
    expose,
    main,
)


class Scale(nn.Module):
    """A teacher that is easily checked."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.fixture(scope="module")
def photos() -> dict[str, Image.Image]:
    random = np.random.default_rng(0)
    return {
        name: Image.fromarray(random.integers(0, 256, (230, 260, 3), dtype=np.uint8))
        for name in HD_PHOTOS + DIV2K_PHOTOS
    }


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    random = torch.Generator().manual_seed(1)
    source, target = (torch.randint(0, 256, (4, 3, 100, 100), dtype=torch.uint8, generator=random) for _ in range(2))
    return Pairs(source, target, (1, 2, 3, 5))


def test_sources_are_as_many_as_said_and_repeat(photos, pairs):
    sources = collect_sources(photos, pairs)
    of_photos = 4 * (CROPS_OF_HD + CROPS_OF_HALF_HD) + 5 * CROPS_OF_DIV2K
    assert sources.shape == (of_photos + 4 * (2 + PARTS_OF_SOURCE), 3, 100, 100)
    assert sources.dtype == torch.uint8
    assert torch.equal(sources, collect_sources(photos, pairs))


def test_nothing_of_a_left_out_fold_is_in_the_sources(photos, pairs):
    training, _ = split_pairs(pairs, 2, 0)
    sources = collect_sources(photos, training)
    found = [any(torch.equal(source, one) for one in sources) for source in pairs.source]
    assert found == [False, True, False, True]


def test_targets_are_the_mean_of_clipped_outputs():
    sources = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(9, 3, 1, 1)
    targets = enhance(sources, [(Scale(0.5), 1.0), (Scale(2.0), 1.0)]).int()
    expected = (sources / 510 + (sources / 127.5).clamp(max=1)) / 2 * 255
    assert (targets - expected).abs().max() < 1


def test_another_exposure_keeps_black_and_the_order_of_tones():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    changed = expose(ramp, np.random.default_rng(4))
    assert (changed[0, 0] == 0).all()
    assert (np.diff(changed.reshape(-1, 3).astype(int), axis=0) >= 0).all()
    assert not np.array_equal(changed, ramp)


def test_cuts_reach_every_corner():
    image = np.arange(16).reshape(4, 4)
    random = np.random.default_rng(0)
    assert {int(cut(image, 2, random)[0, 0]) for _ in range(200)} == {0, 1, 2, 4, 5, 6, 8, 9, 10}


@pytest.mark.assets
def test_the_file_is_one_that_training_takes(assets_dir, tmp_path, monkeypatch):
    for name in ("CROPS_OF_HD", "CROPS_OF_HALF_HD", "CROPS_OF_DIV2K", "PARTS_OF_SOURCE"):
        monkeypatch.setattr(distill, name, 1)
    monkeypatch.setattr(distill, "TEACHERS", {"srcnn": 1.0})
    path = tmp_path / "extra.safetensors"
    student = ["--student", str(WEIGHTS / "student_highperf.safetensors")]
    assert main(["--out", str(path), "--assets", str(assets_dir), *student, "--folds", "100", "--fold", "3"]) == 0
    extra, _ = read_extra(path, torch.device("cpu"))
    assert len(extra.numbers) == 4 * 2 + 5 + 297 * 3
    assert set(load_file(path)) == {"source", "target"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "folds must be"),
        (["--folds", "2", "--student", "gone.safetensors"], "gone.safetensors"),
        ([], "mirror"),
    ],
)
def test_errors_are_one_sentence(assets_dir, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(
        distill, "open_store", lambda _: AssetStore(assets_dir if arguments else tmp_path, offline=True)
    )
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    assert main(["--out", str(tmp_path / "extra"), *arguments]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
