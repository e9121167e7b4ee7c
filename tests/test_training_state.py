"""The state of a run: its schedule, its average, its discriminator."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from reference.augmentation import Augmentation
from reference.config import TrainingConfig
from reference.data import Pairs, TrainingData
from reference.losses import LossWeights
from reference.training_state import (
    Run,
    TrainingState,
    compute_schedule,
    set_learning_rates,
    start_training,
    update_average,
)

CONFIG = TrainingConfig(network="srcnn", loss=LossWeights(adversarial=1.0), augmentation=Augmentation(crop_px=32))


def make_run(config: TrainingConfig, *size: int) -> Run:
    photos = torch.zeros(2, 3, *size, dtype=torch.uint8)
    pairs = Pairs(photos, photos, (0, 1))
    return Run(config, TrainingData(pairs, "test"), pairs, pairs.select([]), None, None, Path())


def test_learning_rates_warm_up_and_end_near_zero():
    config = replace(CONFIG, steps=100, warmup_steps=10, learning_rate=2.0, discriminator_learning_rate=0.5)
    assert compute_schedule(config, 0) == pytest.approx(0.1)
    assert compute_schedule(config, 50) == pytest.approx(0.5)
    assert 0 < compute_schedule(config, 99) < 1e-3
    state = start_training(make_run(config, 40, 40))
    state.step = 50
    set_learning_rates(state, config)
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(1.0)
    assert state.discriminator_optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


def test_average_follows_faster_at_the_start_and_copies_buffers():
    model, average = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    state = TrainingState(model, average, torch.optim.SGD(model.parameters(), lr=0.1))
    expected = 1.0
    for step in range(60):
        state.step = step
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.running_mean.fill_(float(step))
        update_average(state, replace(CONFIG, ema_decay=0.75))
        decay = min(0.75, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.running_mean.item() == step


def test_seed_decides_the_weights_whatever_happened_before():
    states = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        states.append(start_training(make_run(CONFIG, 40, 40)))
    for name in ("model", "average", "discriminator"):
        one, other = (getattr(state, name).state_dict() for state in states)
        assert all(torch.equal(one[key], other[key]) for key in one)
    other = start_training(make_run(replace(CONFIG, seed=2), 40, 40)).model.state_dict()
    assert not all(torch.equal(tensor, other[key]) for key, tensor in states[0].model.state_dict().items())


def test_discriminator_is_made_where_its_loss_has_a_weight_and_for_the_patches():
    assert start_training(make_run(CONFIG, 40, 48)).discriminator.patch_px == 32
    whole = replace(CONFIG, augmentation=Augmentation())
    assert start_training(make_run(whole, 40, 40)).discriminator.patch_px == 40
    with pytest.raises(ValueError, match="square patches, these are 48x40 px: set crop_px"):
        start_training(make_run(whole, 40, 48))
    without = start_training(make_run(replace(CONFIG, loss=LossWeights()), 40, 48))
    assert without.discriminator is None
    assert without.discriminator_optimizer is None
