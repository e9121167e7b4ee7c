"""The losses against slow and obvious references."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from scipy.special import expit
from scipy.stats import norm

from harness.metrics.ms_ssim import ms_ssim
from harness.metrics.psnr import psnr
from reference.contextual import compute_contextual_loss
from reference.losses import (
    PAPER_WEIGHTS,
    LossWeights,
    compute_adversarial_loss,
    compute_color_loss,
    compute_discriminator_loss,
    compute_losses,
    compute_ms_ssim,
    compute_perceptual_loss,
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


def test_weighted_l1_is_equation_2_as_a_mean():
    output, target = (image.numpy() for image in make_images((6, 5)))
    total = 0.0
    for n, c, row, column in np.ndindex(output.shape):
        total += (0.299, 0.587, 0.114)[c] * abs(output[n, c, row, column] - target[n, c, row, column])
    assert compute_weighted_l1(*map(torch.from_numpy, (output, target))).item() == pytest.approx(total / (2 * 6 * 5))


def test_total_variation_is_dpeds():
    image = make_images((6, 5))[0].numpy()
    down, across, n_down, n_across = 0.0, 0.0, 2 * 3 * 5 * 5, 2 * 3 * 6 * 4
    for n, c, row, column in np.ndindex(image.shape):
        if row:
            down += (image[n, c, row, column] - image[n, c, row - 1, column]) ** 2
        if column:
            across += (image[n, c, row, column] - image[n, c, row, column - 1]) ** 2
    expected = down / n_down + across / n_across
    assert compute_total_variation(torch.from_numpy(image)).item() == pytest.approx(expected)


def test_total_variation_of_a_falling_diagonal_does_not_cancel():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    assert compute_total_variation((3 * rows - 3 * columns).expand(1, 3, 5, 7)).item() == pytest.approx(18)


def test_perceptual_loss_is_equation_3():
    output, target = (image.numpy() for image in make_images((4, 5)))
    total = sum((output[i] - target[i]) ** 2 for i in np.ndindex(output.shape))
    loss = compute_perceptual_loss(*map(torch.from_numpy, (output, target)))
    assert loss.item() == pytest.approx(total / 3 / 4 / 5 / 2)


LOGITS = torch.tensor([-30.0, -2.0, 0.0, 0.5, 30.0], dtype=torch.float64)


def test_adversarial_loss_is_equation_1():
    probabilities = expit(LOGITS.numpy())
    assert compute_adversarial_loss(LOGITS).item() == pytest.approx(np.mean(-np.log(probabilities)))


def test_discriminator_loss_is_its_cross_entropy():
    real, fake = LOGITS, LOGITS.flip(0) / 7 + 1
    labels = torch.cat([torch.ones(5), torch.zeros(5)]).double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(torch.cat([real, fake]), labels)
    torch.testing.assert_close(compute_discriminator_loss(real, fake), expected)
    unsure = torch.zeros(3)
    assert compute_discriminator_loss(unsure, unsure).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_certain_discriminators_leave_losses_and_gradients_finite(logit):
    logits = torch.full((4, 1), logit, requires_grad=True)
    for loss in (compute_adversarial_loss(logits), compute_discriminator_loss(logits, logits)):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()


PAIRED = {
    "l1": compute_weighted_l1,
    "ms_ssim": compute_ms_ssim,
    "psnr": compute_psnr,
    "color": compute_color_loss,
    "perceptual": compute_perceptual_loss,
    "discriminator": compute_discriminator_loss,
}


@pytest.mark.parametrize("name", PAIRED)
def test_gradient_of_a_comparison(name):
    images = [image[:, :, :4, :3].contiguous().requires_grad_() for image in make_images((32, 32), noise=0.02)]
    assert torch.autograd.gradcheck(PAIRED[name], images)


@pytest.mark.parametrize("loss", [compute_total_variation, compute_adversarial_loss])
def test_gradient_of_a_loss_of_the_output_alone(loss):
    assert torch.autograd.gradcheck(loss, make_images((6, 5))[0].requires_grad_())


class Counted:
    """A network that counts its calls, and notes which asked for a gradient."""

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.network, self.needed_gradient = network, []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = self.network(x)
        self.needed_gradient.append(y.requires_grad)
        return y


def map_blocks(x: torch.Tensor) -> torch.Tensor:
    return 10 * torch.nn.functional.avg_pool2d(x, 10).square()


def judge_brightness(x: torch.Tensor) -> torch.Tensor:
    return x.mean((1, 2, 3)) - 0.3


def test_only_weighted_terms_are_computed_and_summed():
    output, target = make_images()
    weights = LossWeights(l1=2.0, ms_ssim=0.0, psnr=0.5, color=0.0, total_variation=0.0)
    losses = compute_losses(output, target, weights)
    assert set(losses) == {"l1", "psnr"}
    expected = 2 * compute_weighted_l1(output, target) - 0.5 * compute_psnr(output, target, mse_floor=1e-4).mean()
    torch.testing.assert_close(sum_losses(losses, weights), expected)


def test_each_weight_names_its_term():
    output, target = make_images()
    weights = LossWeights(**dict.fromkeys(LossWeights.__dataclass_fields__, 1.0))
    losses = compute_losses(output, target, weights, features=map_blocks, discriminator=judge_brightness)
    maps = map_blocks(output), map_blocks(target)
    expected = {
        "l1": compute_weighted_l1(output, target),
        "ms_ssim": 1 - compute_ms_ssim(output, target).mean(),
        "psnr": -compute_psnr(output, target, mse_floor=1e-4).mean(),
        "color": compute_color_loss(output, target),
        "total_variation": compute_total_variation(output),
        "adversarial": compute_adversarial_loss(judge_brightness(output)),
        "perceptual": compute_perceptual_loss(*maps),
        "contextual": compute_contextual_loss(*maps),
    }
    torch.testing.assert_close(losses, expected)
    assert set(losses) == set(LossWeights.__dataclass_fields__)
    assert all(loss.shape == () for loss in losses.values())


def test_features_are_computed_once_and_the_targets_without_a_gradient():
    output, target = make_images()
    features = Counted(map_blocks)
    losses = compute_losses(
        output.requires_grad_(), target.requires_grad_(), LossWeights(perceptual=1.0, contextual=1.0), features=features
    )
    assert sorted(features.needed_gradient) == [False, True]
    (losses["perceptual"] + losses["contextual"]).backward()
    assert output.grad.abs().sum() > 0
    assert target.grad is None


def test_networks_without_a_weight_are_left_alone():
    features, discriminator = Counted(map_blocks), Counted(judge_brightness)
    compute_losses(*make_images(), LossWeights(), features=features, discriminator=discriminator)
    assert features.needed_gradient == discriminator.needed_gradient == []


@pytest.mark.parametrize(
    ("name", "argument"),
    [("adversarial", "discriminator"), ("perceptual", "features"), ("contextual", "features")],
)
def test_a_term_without_its_network_is_refused(name, argument):
    networks = {"features": map_blocks, "discriminator": judge_brightness}
    del networks[argument]
    with pytest.raises(ValueError, match=rf"the {name} loss has the weight 0.5 and no network.*{argument}="):
        compute_losses(*make_images(), LossWeights(**{name: 0.5}), **networks)


def test_the_papers_weights_are_table_1():
    output, target = make_images()
    losses = compute_losses(output, target, PAPER_WEIGHTS, features=map_blocks, discriminator=judge_brightness)
    table = {  # alpha to lambda, and the adversarial loss that equation 10 gives no coefficient
        "l1": 5000,
        "perceptual": 10,
        "contextual": 10,
        "color": 0.5,
        "total_variation": 2000,
        "adversarial": 1,
    }
    assert set(losses) == set(table)
    expected = sum(weight * losses[name] for name, weight in table.items())
    torch.testing.assert_close(sum_losses(losses, PAPER_WEIGHTS), expected)
