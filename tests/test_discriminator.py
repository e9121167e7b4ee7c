"""The discriminator against its description, computed step by step."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from reference.discriminator import Discriminator
from reference.losses import compute_adversarial_loss, compute_discriminator_loss

DPED = [(48, 11, 4, False), (128, 5, 2, True), (192, 3, 1, True), (192, 3, 1, True), (128, 3, 2, True)]
"""models.py, `adversarial`: channels, kernel, stride, normalised."""


def make_patches(count: int = 2, size_px: int = 100) -> torch.Tensor:
    return torch.rand(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(4))


def make_discriminator(patch_px: int = 100) -> Discriminator:
    """One whose biases, scales and shifts differ from each other."""
    torch.manual_seed(1)
    discriminator = Discriminator(patch_px)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return discriminator.double()


def leak(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.2 * x, x)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """(C, H, W) -> (outputs, ceil(H / stride), ceil(W / stride)), zeros beyond the border."""
    kernel = weight.shape[2]
    padded = np.pad(x, [(0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True) + bias[:, None, None]


def judge_slowly(image: np.ndarray, parameters: list[np.ndarray]) -> float:
    """DPED's layers, one image at a time, from parameters in order of use."""
    left = iter(parameters)
    x = (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2])[None]
    for channels, kernel, stride, normalised in DPED:
        weight, bias = next(left), next(left)
        assert weight.shape[::2] == (channels, kernel)
        x = leak(convolve(x, weight, bias, stride))
        if normalised:
            scale, shift = next(left)[:, None, None], next(left)[:, None, None]
            mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
            x = scale * (x - mean) / np.sqrt(variance + 1e-3) + shift
    x = leak(next(left) @ x.ravel() + next(left))
    assert x.shape == (1024,)
    return (next(left) @ x + next(left)).item()


@pytest.mark.parametrize("patch_px", [100, 37])
def test_logits_are_those_of_dpeds_layers(patch_px):
    discriminator, patches = make_discriminator(patch_px), make_patches(2, patch_px).double()
    parameters = [parameter.detach().numpy() for parameter in discriminator.parameters()]
    expected = [[judge_slowly(patch, parameters)] for patch in patches.numpy()]
    np.testing.assert_allclose(discriminator(patches).detach(), expected, rtol=1e-9)


def test_parameters_of_the_fully_connected_layers_are_dpeds():
    shapes = [tuple(layer.weight.shape) for layer in Discriminator().modules() if isinstance(layer, nn.Linear)]
    assert shapes == [(1024, 128 * 7 * 7), (1, 1024)]


def test_a_logit_depends_on_no_other_image_and_on_no_mode():
    discriminator, patches = make_discriminator(), make_patches(3).double()
    alone = torch.cat([discriminator(patch[None]) for patch in patches])
    torch.testing.assert_close(discriminator(patches), alone)
    torch.testing.assert_close(discriminator.eval()(patches), alone)


def test_colour_of_equal_luma_is_not_seen():
    discriminator, patches = make_discriminator(), make_patches().double()
    tinted = patches + torch.tensor([0.1 / 0.299, -0.1 / 0.587, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(discriminator(tinted), discriminator(patches), rtol=1e-6, atol=1e-6)


def test_gradient_reaches_the_image_and_every_parameter():
    discriminator, patches = make_discriminator(), make_patches().double().requires_grad_()
    compute_adversarial_loss(discriminator(patches)).backward()
    assert all(p.grad.abs().sum() > 0 for p in (patches, *discriminator.parameters()))


def test_flat_patches_have_finite_logits_and_gradients():
    discriminator = Discriminator()
    patches = torch.ones(2, 3, 100, 100, requires_grad=True)
    logits = discriminator(patches)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert patches.grad.isfinite().all()


def test_it_learns_to_tell_sharp_from_blurred():
    torch.manual_seed(0)
    discriminator = Discriminator(32)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-4)
    sharp = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    blurred = torch.from_numpy(gaussian_filter(sharp.numpy(), 2, axes=(2, 3)))
    for step in range(40):
        chosen = slice(8 * (step % 4), 8 * (step % 4) + 8)
        loss = compute_discriminator_loss(discriminator(sharp[chosen]), discriminator(blurred[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert (discriminator(sharp[32:]) > 0).all()
        assert (discriminator(blurred[32:]) < 0).all()


@pytest.mark.parametrize("patch_px", [17, 31, 33, 64])
def test_other_patch_sizes(patch_px):
    logits = Discriminator(patch_px)(make_patches(2, patch_px))
    assert logits.shape == (2, 1)
    assert logits[0] != logits[1]


@pytest.mark.parametrize("patch_px", [16, 1, 0, -100])
def test_patches_too_small_are_refused(patch_px):
    with pytest.raises(ValueError, match=f"more than 16 px, got {patch_px}"):
        Discriminator(patch_px)


@pytest.mark.parametrize("shape", [(3, 100, 100), (1, 1, 100, 100), (2, 3, 100, 96), (2, 3, 64, 64)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"made for images \(N, 3, 100, 100\)") as caught:
        Discriminator()(torch.zeros(shape))
    assert str(shape) in str(caught.value)
