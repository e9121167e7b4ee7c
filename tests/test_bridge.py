"""The bridge to pyiqa: same values as calling pyiqa, directions, and one sentence where something is missing."""

import sys

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from harness.metrics import get_metric
from harness.metrics.bridge import create_pyiqa_metric, import_pyiqa


@pytest.fixture(autouse=True)
def nothing_made_before():
    create_pyiqa_metric.cache_clear()
    yield
    create_pyiqa_metric.cache_clear()


@pytest.fixture
def pair():
    random = np.random.default_rng(5)
    target = random.integers(0, 256, (120, 130, 3), dtype=np.uint8)
    output = np.clip(target.astype(int) + random.integers(-9, 10, target.shape), 0, 255).astype(np.uint8)
    return output, target


def test_psnr_agrees_with_ours(pair):
    ours = get_metric("psnr").compute(*pair, data_range=255)
    theirs = get_metric("pyiqa:psnr").compute(*pair, data_range=255)
    assert theirs == pytest.approx(ours, abs=1e-3)  # theirs adds an epsilon and computes in float32


def test_direction_and_target_come_from_pyiqa():
    assert get_metric("pyiqa:psnr").higher_is_better
    assert get_metric("pyiqa:psnr").needs_target


def test_range_matters(pair):
    metric = get_metric("pyiqa:psnr")
    output, target = (image.astype(float) / 255 for image in pair)
    assert metric.compute(output, target, data_range=1) == pytest.approx(
        metric.compute(*pair, data_range=255), abs=1e-3
    )


def test_unknown_name_is_named():
    with pytest.raises(UsageError, match="no metric 'psnrr'"):
        get_metric("pyiqa:psnrr")


def test_missing_weights_are_one_sentence(monkeypatch):
    def refuse(name, device):
        raise OSError("no route")

    monkeypatch.setattr(import_pyiqa(), "create_metric", refuse)
    with pytest.raises(DataError, match="weights of pyiqa's lpips cannot be had"):
        get_metric("pyiqa:lpips")


def test_what_pyiqa_cannot_compute_is_a_value_error():
    small = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"pyiqa's ssim cannot be computed \(.*[Kk]ernel size"):
        get_metric("pyiqa:ssim").compute(small, small, data_range=255)


def test_what_pyiqa_says_of_downloads_is_not_output(monkeypatch, capsys):
    create = import_pyiqa().create_metric

    def talk(name, device):
        sys.stdout.write("Downloading\n")
        return create(name, device=device)

    monkeypatch.setattr(import_pyiqa(), "create_metric", talk)
    get_metric("pyiqa:psnr")
    assert capsys.readouterr() == ("", "Downloading\n")


def test_missing_pyiqa_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(UsageError, match="pip install"):
        get_metric("pyiqa:psnr")
