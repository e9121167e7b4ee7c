"""The contextual loss against its equations, written as loops, and its memory on large maps."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.contextual import BANDWIDTH, EPSILON, compute_contextual_loss


def make_maps(*shapes: tuple[int, int, int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) + 3 for shape in shapes]


def compute_one(output: np.ndarray, target: np.ndarray, h: float) -> float:
    """Equations 4 to 7 for maps (C, ...), a position and a distance at a time."""
    x, y = (features.reshape(len(features), -1).T for features in (output, target))
    center = y.mean(0)
    similarity = np.empty((len(x), len(y)))
    for i, feature in enumerate(x - center):
        cosines = [feature @ other / np.linalg.norm(feature) / np.linalg.norm(other) for other in y - center]
        distances = 1 - np.array(cosines)
        weights = np.exp((1 - distances / (distances.min() + EPSILON)) / h)
        similarity[i] = weights / weights.sum()
    return -math.log(np.mean([max(similarity[:, j]) for j in range(len(y))]))


@pytest.mark.parametrize("shapes", [((2, 5, 4, 6), (2, 5, 4, 6)), ((3, 2, 1, 7), (3, 2, 3, 3)), ((1, 1, 2, 2),) * 2])
@pytest.mark.parametrize("bandwidth", [BANDWIDTH, 0.1])
def test_value_is_that_of_the_equations(shapes, bandwidth):
    output, target = make_maps(*shapes)
    pairs = zip(output.numpy(), target.numpy(), strict=True)
    expected = np.mean([compute_one(x, y, bandwidth) for x, y in pairs])
    assert compute_contextual_loss(output, target, bandwidth=bandwidth).item() == pytest.approx(expected, rel=1e-9)


def test_gradient_of_both_maps():
    output, target = (features.requires_grad_() for features in make_maps((2, 3, 2, 2), (2, 3, 1, 3)))
    assert torch.autograd.gradcheck(compute_contextual_loss, (output, target))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3 * 36 * 36))
def test_chunks_change_neither_value_nor_gradient(n, h, w, chunk):
    whole, parts = [], []
    for kept, size in ((whole, 10**9), (parts, chunk)):
        output, target = (features.requires_grad_() for features in make_maps((n, 3, h, w), (n, 3, 5, 4)))
        loss = compute_contextual_loss(output, target, chunk=size)
        kept += [loss.detach(), *torch.autograd.grad(loss, (output, target))]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_place_of_the_features_does_not_matter():
    output, target = make_maps((2, 4, 5, 6), (2, 4, 5, 6))
    moved = output.flatten(2)[:, :, torch.randperm(30, generator=torch.Generator().manual_seed(0))].view_as(output)
    torch.testing.assert_close(compute_contextual_loss(moved, target), compute_contextual_loss(output, target))
    assert compute_contextual_loss(target.flip(3), target).item() == pytest.approx(0, abs=1e-6)


def test_bounds():
    (target,) = make_maps((1, 4, 5, 6))
    flat = target.mean((2, 3), keepdim=True).expand_as(target)
    assert compute_contextual_loss(flat, target).item() == pytest.approx(math.log(30))  # no feature is like any
    for seed in range(5):
        output = torch.randn(1, 4, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert 0.1 < compute_contextual_loss(output, target).item() < math.log(30)


def test_loss_of_an_image_does_not_depend_on_its_batch():
    output, target = make_maps((3, 4, 5, 6), (3, 4, 5, 6))
    alone = [compute_contextual_loss(output[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(compute_contextual_loss(output, target), torch.stack(alone).mean())


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_flat_maps_have_a_finite_gradient(value):
    output = torch.full((2, 8, 6, 6), value, requires_grad=True)
    loss = compute_contextual_loss(output, torch.full((2, 8, 6, 6), 7.0))
    loss.backward()
    assert loss.isfinite()
    assert output.grad.isfinite().all()


def test_in_float32_it_is_close_enough_to_train():
    output, target = make_maps((2, 40, 13, 13), (2, 40, 13, 13))
    near = target + 0.05 * (output - target)
    for one in (output, near, target):
        single = compute_contextual_loss(one.float(), target.float()).double()
        torch.testing.assert_close(single, compute_contextual_loss(one, target), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shapes", [((1, 3, 4), (1, 3, 4)), ((1, 3, 4, 4), (2, 3, 4, 4)), ((1, 3, 4, 4), (1, 4, 4, 4))])
def test_maps_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="of equal N and C") as caught:
        compute_contextual_loss(*map(torch.zeros, shapes))
    assert all(str(shape) in str(caught.value) for shape in shapes)


MEASURE = """
import re, sys, torch
from pathlib import Path
from reference.contextual import compute_contextual_loss

def read_mib(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(2)
side = int(sys.argv[1])
output, target = torch.randn(1, 16, side, side, requires_grad=True), torch.randn(1, 16, side, side)
before = read_mib("VmRSS")
compute_contextual_loss(output, target).backward()
assert output.grad.isfinite().all()
print(read_mib("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's counters")
def test_memory_is_bounded_on_large_maps():
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", MEASURE, "96"], cwd=root, capture_output=True, text=True, check=True)
    # without chunks there would be about ten arrays of 324 MiB
    assert 64 < float(done.stdout) < 1024
