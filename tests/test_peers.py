"""SSIM, MS-SSIM and PSNR held against other libraries, as far as they are installed."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from harness.metrics import ms_ssim, psnr, ssim
from harness.metrics.bridge import import_pyiqa
from harness.metrics.profiles import convert_to_grey

torch = pytest.importorskip("torch")


def make_pair(height: int = 190, width: int = 203) -> tuple[np.ndarray, np.ndarray]:
    """Float32 in [0, 1], every channel changed alike."""
    random = np.random.default_rng(6)
    target = ndimage.gaussian_filter(random.random((height, width, 3)), 3, axes=(0, 1))
    target = (target - target.min()) / np.ptp(target)
    output = np.clip(0.9 * target + random.normal(0, 0.03, target.shape), 0, 1)
    return output.astype(np.float32), target.astype(np.float32)


def to_tensors(pair: tuple[np.ndarray, np.ndarray]) -> list[Any]:
    return [torch.from_numpy(image.transpose(2, 0, 1)[np.newaxis].copy()) for image in pair]


@pytest.fixture(scope="module")
def piq() -> Any:
    import_pyiqa()  # makes torchvision loadable
    return pytest.importorskip("piq")


@pytest.fixture(scope="module")
def torchmetrics() -> Any:
    import_pyiqa()
    return pytest.importorskip("torchmetrics.functional.image")


def test_psnr_is_that_of_piq_and_torchmetrics(piq: Any, torchmetrics: Any) -> None:
    pair = make_pair()
    value = psnr(*pair, data_range=1)
    assert float(piq.psnr(*to_tensors(pair))) == pytest.approx(value, abs=1e-4)
    theirs = torchmetrics.peak_signal_noise_ratio(*to_tensors(pair), data_range=1.0)
    assert float(theirs) == pytest.approx(value, abs=1e-4)


def test_ssim_is_that_of_piq_and_torchmetrics(piq: Any, torchmetrics: Any) -> None:
    pair = make_pair()
    value = ssim(*pair, data_range=1)
    assert float(piq.ssim(*to_tensors(pair), downsample=False)) == pytest.approx(value, abs=1e-5)
    theirs = torchmetrics.structural_similarity_index_measure(*to_tensors(pair), data_range=1.0)
    assert float(theirs) == pytest.approx(value, abs=2e-3)  # its windows reach over the border, which it mirrors


def test_ms_ssim_of_channels_is_that_of_piq(piq: Any) -> None:
    pair = make_pair(192, 208)  # sizes that halve without a rest: borders are treated otherwise there
    value = ms_ssim(*pair, data_range=1, shrink_window=False, per_channel=True)
    assert float(piq.multi_scale_ssim(*to_tensors(pair))) == pytest.approx(value, abs=1e-5)


def test_ssim_of_pyiqa_is_that_of_the_profile_wang() -> None:
    output, target = (np.rint(image * 255).astype(np.uint8) for image in make_pair())
    theirs = import_pyiqa().create_metric("ssim", device="cpu")
    tensors = to_tensors((output.astype(np.float32) / 255, target.astype(np.float32) / 255))
    ours = ssim(convert_to_grey(output), convert_to_grey(target), data_range=255)
    assert float(theirs(*tensors)) == pytest.approx(ours, abs=1e-4)
