"""One training step: who learns from what, and in which precision."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from reference.augmentation import Augmentation
from reference.config import TrainingConfig
from reference.data import Pairs, TrainingData
from reference.losses import LossWeights
from reference.steps import run_step, update_discriminator, update_generator, wrap_network
from reference.training_state import Run, TrainingState

CONFIG = TrainingConfig(
    loss=LossWeights(l1=1.0, ms_ssim=0.0, psnr=0.0, adversarial=0.5, perceptual=0.25),
    augmentation=Augmentation(dihedral=False),
    batch_size=6,
    weight_decay=0.0,
    gradient_norm=1e9,
)


class Brighten(nn.Module):
    """One weight, one bias: gradients that can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        nn.init.dirac_(self.layer.weight)
        nn.init.constant_(self.layer.bias, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.computed = self.layer(x)
        return self.computed


class Judge(nn.Module):
    """A logit from the mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.mean((2, 3)))


class Features(nn.Module):
    """Halves the size; its weight does not learn."""

    source = "means"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 2, stride=2).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def make_run(config: TrainingConfig = CONFIG) -> Run:
    source = torch.rand(6, 3, 16, 16)
    pairs = Pairs(source, (source + 0.2).clamp(0, 1), tuple(range(6)))
    return Run(config, TrainingData(pairs, "test"), pairs, pairs.select([]), Features(), None, Path())


def make_state(rate: float = 0.0) -> TrainingState:
    """With plain gradient descent, so that a step is its gradient."""
    model, judge = Brighten(), Judge()
    optimizers = [torch.optim.SGD(module.parameters(), lr=rate) for module in (model, judge)]
    return TrainingState(model, Brighten(), optimizers[0], judge, optimizers[1])


def list_gradients(module: nn.Module) -> list[torch.Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


def test_generator_steps_down_the_weighted_sum_of_its_losses():
    torch.manual_seed(1)
    run, state = make_run(), make_state()
    source, target = run.training.source, run.training.target
    losses = update_generator(state, run, state.model(source), target)
    output = state.model(source)
    luma = torch.tensor([0.299, 0.587, 0.114])
    expected = {
        "loss_l1": ((output - target).abs().mean((0, 2, 3)) * luma).sum(),
        "loss_adversarial": -torch.log(torch.sigmoid(state.discriminator(output))).mean(),
        "loss_perceptual": (run.features(output) - run.features(target)).square().mean(),
    }
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)
    total = expected["loss_l1"] + 0.5 * expected["loss_adversarial"] + 0.25 * expected["loss_perceptual"]
    gradients = torch.autograd.grad(total, list(state.model.parameters()))
    for found, gradient in zip(list_gradients(state.model), gradients, strict=True):
        torch.testing.assert_close(found, gradient)


def test_generators_step_leaves_the_discriminator_and_the_features_alone():
    run, state = make_run(), make_state(rate=0.1)
    before = [parameter.clone() for module in (state.discriminator, run.features) for parameter in module.parameters()]
    update_generator(state, run, state.model(run.training.source), run.training.target)
    assert list_gradients(state.discriminator) == [None, None]
    assert list_gradients(run.features) == [None, None]
    after = [parameter for module in (state.discriminator, run.features) for parameter in module.parameters()]
    assert all(map(torch.equal, before, after))
    assert all(gradient is not None for gradient in list_gradients(state.model))


def test_discriminators_step_leaves_the_generator_alone():
    run, state = make_run(), make_state(rate=0.1)
    run_step(state, run)
    before = [gradient.clone() for gradient in list_gradients(state.model)]
    weights = [parameter.clone() for parameter in state.model.parameters()]
    output = state.model(run.training.source).detach()
    update_discriminator(state, CONFIG, output, run.training.target)
    assert all(map(torch.equal, before, list_gradients(state.model)))
    assert all(map(torch.equal, weights, state.model.parameters()))


def test_discriminator_learns_to_tell_outputs_from_targets():
    torch.manual_seed(2)
    state = make_state(rate=5.0)
    output, target = torch.rand(8, 3, 4, 4) * 0.5, torch.rand(8, 3, 4, 4) * 0.5 + 0.5
    real, fake = state.discriminator(target), state.discriminator(output)
    first = update_discriminator(state, CONFIG, output, target)
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    expected = functional.binary_cross_entropy_with_logits(torch.cat([real, fake]), torch.cat([ones, zeros]))
    torch.testing.assert_close(first["loss_discriminator"], expected)
    torch.testing.assert_close(
        first["discriminator_accuracy"], torch.cat([real > 0, fake < 0]).float().mean(), rtol=0, atol=1e-6
    )
    for _ in range(100):
        last = update_discriminator(state, CONFIG, output, target)
    assert last["loss_discriminator"] < first["loss_discriminator"] / 4
    assert last["discriminator_accuracy"] == 1


def test_a_step_adds_up_its_losses():
    run, state = make_run(), make_state()
    run_step(state, run)
    once = dict(state.sums)
    run_step(state, run)  # the rate is 0, the batch is all pairs: the same losses again, but for their order
    names = {"loss_l1", "loss_adversarial", "loss_perceptual", "loss_discriminator", "discriminator_accuracy"}
    assert once.keys() == state.sums.keys() == names
    for name, total in state.sums.items():
        torch.testing.assert_close(total, 2 * once[name], rtol=1e-5, atol=1e-6)
        assert not total.requires_grad


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_layers_are_in_the_precision_of_the_run_and_losses_in_float32(precision, dtype):
    model = Brighten()
    output = wrap_network(model, replace(CONFIG, precision=precision))(torch.rand(1, 3, 4, 4))
    assert model.computed.dtype == dtype
    assert output.dtype == torch.float32
    output.sum().backward()
    assert all(gradient.dtype == torch.float32 for gradient in list_gradients(model))


def test_a_loss_without_its_network_is_one_sentence():
    run = replace(make_run(), features=None)
    with pytest.raises(ValueError, match="the perceptual loss has the weight"):
        run_step(make_state(), run)
