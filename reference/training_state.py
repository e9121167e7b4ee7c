"""What stays the same during a training run, what changes, and how that is stored and restored."""

import io
import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reference.config import TrainingConfig
from reference.data import PairFolder, Pairs, TrainingData, format_size
from reference.discriminator import Discriminator
from reference.networks import make_network
from reference.validation import Candidate, Niqe

LEARNERS = ("model", "average", "optimizer", "discriminator", "discriminator_optimizer")
PLAIN = ("rows", "step", "seconds")


@dataclass(frozen=True)
class Run:
    """What stays the same during a run."""

    config: TrainingConfig
    data: TrainingData
    training: Pairs | PairFolder
    validation: Pairs | PairFolder
    features: nn.Module | None
    niqe: Niqe | None
    out: Path

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with, and what is written beside the weights."""
        return {
            "config": asdict(self.config),
            "data": self.data.describe(),
            "extra_sha256": self.data.extra_sha256,
            "features": self.features.source if self.features else "none",
        }


@dataclass
class TrainingState:
    """All that changes during a run."""

    model: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    """Of each loss, over the steps since the last row."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """The log: a part of the state, so that no kill can part it from the weights."""
    candidates: list[Candidate] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    """Of all sessions of the run, without the steps that a kill took back."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def start_training(run: Run) -> TrainingState:
    """A fresh state; the seed decides weights, batches and noise. A discriminator only where its loss has a weight."""
    config, device = run.config, run.data.pairs.device
    torch.manual_seed(config.seed)
    model = make_network(config.network, config.generator).to(device).train()
    average = deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay, betas=(0.9, 0.99))
    state = TrainingState(model, average, optimizer)
    if config.loss.adversarial:
        state.discriminator = make_discriminator(run).to(device).train()
        state.discriminator_optimizer = torch.optim.Adam(state.discriminator.parameters())
    return state


def make_discriminator(run: Run) -> Discriminator:
    """One for the size of the patches in a batch; ValueError where they are not square."""
    crop_px, size_px = run.config.augmentation.crop_px, run.data.pairs.size_px
    if not crop_px and size_px[0] != size_px[1]:
        raise ValueError(f"the discriminator sees square patches, these are {format_size(size_px)} px: set crop_px")
    return Discriminator(crop_px or size_px[0])


def set_learning_rates(state: TrainingState, config: TrainingConfig) -> None:
    """Linear warm-up, then a cosine down to 0 at the last step."""
    share = compute_schedule(config, state.step)
    for optimizer, rate in (
        (state.optimizer, config.learning_rate),
        (state.discriminator_optimizer, config.discriminator_learning_rate),
    ):
        if optimizer:
            optimizer.param_groups[0]["lr"] = rate * share


def compute_schedule(config: TrainingConfig, step: int) -> float:
    """The share of the learning rate at a step."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return warmup * (1 + math.cos(math.pi * step / config.steps)) / 2


def update_average(state: TrainingState, config: TrainingConfig) -> None:
    """Move the averaged weights towards the current ones, faster at the start; buffers are copied."""
    decay = min(config.ema_decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1 - decay)
        for average, current in zip(state.average.buffers(), state.model.buffers(), strict=True):
            average.copy_(current)


def add_losses(state: TrainingState, losses: dict[str, torch.Tensor]) -> None:
    """Add a step's losses to their sums, on the device."""
    for name, loss in losses.items():
        state.sums[name] = state.sums.get(name, 0) + loss.detach().double()


def take_losses(state: TrainingState) -> dict[str, float]:
    """The mean of each loss since the last row; the sums start again from 0."""
    steps = state.step - (int(state.rows[-1]["step"]) if state.rows else 0)
    means = {name: total.item() / steps for name, total in state.sums.items()}
    state.sums.clear()
    return means


def check_finite(state: TrainingState) -> None:
    """ValueError when a loss has become infinite or no number: nothing good comes after it."""
    for name, total in state.sums.items():
        if not math.isfinite(total.item()):
            raise ValueError(
                f"the loss {name} is no finite number any more at step {state.step}: start again in another folder, "
                "with a lower learning_rate or weight of that loss"
            )


def pack_state(state: TrainingState, identity: dict[str, Any]) -> bytes:
    """A checkpoint: the state, the state of the random numbers, and what the run is made of."""
    learners = {name: getattr(state, name) for name in LEARNERS}
    stored = {
        "identity": identity,
        "learners": {name: learner.state_dict() for name, learner in learners.items() if learner is not None},
        "plain": {name: getattr(state, name) for name in PLAIN},
        "sums": state.sums,
        "candidates": [vars(candidate) for candidate in state.candidates],
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(state.device) if state.device.type == "cuda" else None,
    }
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    return buffer.getvalue()


def restore_state(state: TrainingState, stored: dict[str, Any]) -> None:
    """Go on from what `pack_state` stored, read to the CPU."""
    for name, learner in stored["learners"].items():
        getattr(state, name).load_state_dict(learner)
    for name, value in stored["plain"].items():
        setattr(state, name, value)
    state.sums = {name: total.to(state.device) for name, total in stored["sums"].items()}
    state.candidates = [Candidate(**candidate) for candidate in stored["candidates"]]
    torch.set_rng_state(stored["random"])
    if stored["random_cuda"] is not None and state.device.type == "cuda":
        torch.cuda.set_rng_state(stored["random_cuda"], state.device)
