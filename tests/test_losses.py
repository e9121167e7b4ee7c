"""The losses against slow and obvious references."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from scipy.stats import norm

from harness.metrics.ms_ssim import ms_ssim
from harness.metrics.psnr import psnr
from reference.losses import (
    LossWeights,
    compute_color_loss,
    compute_losses,
    compute_ms_ssim,
    compute_psnr,
    compute_total_variation,
    compute_weighted_l1,
    sum_losses,
)


def make_images(size: tuple[int, int] = (100, 100), noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(2, 3, 12, 12, generator=generator, dtype=torch.float64)
    target = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    return target + noise * torch.randn(target.shape, generator=generator, dtype=torch.float64), target


def to_numpy(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(100, 100), (176, 203)])
@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_ms_ssim_is_the_challenges(size, noise):
    output, target = make_images(size, noise)
    expected = [ms_ssim(to_numpy(o), to_numpy(t), data_range=1.0) for o, t in zip(output, target, strict=True)]
    np.testing.assert_allclose(compute_ms_ssim(output, target), expected, rtol=0, atol=1e-9)


def test_ms_ssim_in_float32_is_close_enough_to_train():
    output, target = make_images()
    single = compute_ms_ssim(output.float(), target.float())
    torch.testing.assert_close(single.double(), compute_ms_ssim(output, target), rtol=0, atol=1e-4)


def test_ms_ssim_of_a_negative_image_is_finite_and_has_a_gradient():
    _, target = make_images()
    output = (1 - target).requires_grad_()
    value = compute_ms_ssim(output, target).sum()
    value.backward()
    assert value.isfinite()
    assert output.grad.isfinite().all()


def test_psnr_is_the_harness_metric():
    output, target = make_images()
    expected = [psnr(to_numpy(o), to_numpy(t), data_range=1.0) for o, t in zip(output, target, strict=True)]
    np.testing.assert_allclose(compute_psnr(output, target), expected, rtol=1e-12)


def test_psnr_with_a_floor_stays_finite_on_equal_images():
    image = torch.ones(1, 3, 8, 8, requires_grad=True)
    value = compute_psnr(image, torch.ones(1, 3, 8, 8), mse_floor=1e-4)
    value.sum().backward()
    assert value.item() == pytest.approx(40)
    assert image.grad.isfinite().all()


def test_weighted_l1_of_one_channel_is_its_luma_weight():
    target = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        output = target.clone()
        output[:, channel] = -0.5
        assert compute_weighted_l1(output, target).item() == pytest.approx(0.5 * weight)


def test_color_loss_blurs_as_dped_does():
    output, target = make_images((30, 26))
    edges = np.linspace(-3 - 1 / 6, 3 + 1 / 6, 22)  # DPED, utils.py, gauss_kernel(21, 3, 3)
    kernel = np.sqrt(np.outer(np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges))))
    kernel /= kernel.sum()
    difference = (output - target).numpy()
    blurred = [[convolve2d(channel, kernel, mode="same") for channel in image] for image in difference]
    assert compute_color_loss(output, target).item() == pytest.approx(np.square(blurred).sum() / 2, rel=1e-9)


def test_total_variation_of_a_ramp_is_its_slopes():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    assert compute_total_variation((2 * rows - 3 * columns).expand(1, 3, 5, 7)).item() == pytest.approx(5)


def test_only_weighted_terms_are_computed_and_summed():
    output, target = make_images()
    weights = LossWeights(l1=2.0, ms_ssim=0.0, psnr=0.5, color=0.0, total_variation=0.0)
    losses = compute_losses(output, target, weights)
    assert set(losses) == {"l1", "psnr"}
    expected = 2 * compute_weighted_l1(output, target) - 0.5 * compute_psnr(output, target, mse_floor=1e-4).mean()
    torch.testing.assert_close(sum_losses(losses, weights), expected)


def test_every_weight_names_a_term():
    output, target = make_images()
    weights = LossWeights(1.0, 1.0, 1.0, 1.0, 1.0)
    assert set(compute_losses(output, target, weights)) == set(LossWeights.__dataclass_fields__)
