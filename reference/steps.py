"""A training step: a batch, an update of the generator, an update of the discriminator (Fig. 5)."""

import torch
from torch import nn

from reference.config import TrainingConfig
from reference.data import draw_batch
from reference.losses import Network, compute_discriminator_loss, compute_losses, sum_losses
from reference.training_state import Run, TrainingState, add_losses


def run_step(state: TrainingState, run: Run) -> None:
    """One update of the generator, then one of the discriminator, on the same batch."""
    config = run.config
    source, target = draw_batch(
        run.training, config.batch_size, config.augmentation, extra=run.data.extra, extra_share=config.extra_share
    )
    output = wrap_network(state.model, config)(source)
    losses = update_generator(state, run, output, target)
    if state.discriminator:
        losses |= update_discriminator(state, config, output.detach(), target)
    add_losses(state, losses)


def wrap_network(network: nn.Module, config: TrainingConfig) -> Network:
    """The network with its layers in the precision of the run, and its output in float32, as the losses need it.

    bfloat16 has float32's range: unlike float16 it needs no scaling of the gradients.
    """

    def run_network(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            output = network(images)
        return output.float()

    return run_network


def update_generator(
    state: TrainingState, run: Run, output: torch.Tensor, target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Step down the weighted sum of the losses; returns them before their weights."""
    helpers = {"features": run.features, "discriminator": state.discriminator}
    wrapped = {name: wrap_network(network, run.config) for name, network in helpers.items() if network is not None}
    losses = compute_losses(output, target, run.config.loss, **wrapped)
    parameters = list(state.model.parameters())
    state.optimizer.zero_grad()
    sum_losses(losses, run.config.loss).backward(inputs=parameters)  # the discriminator gets no gradient from here
    nn.utils.clip_grad_norm_(parameters, run.config.gradient_norm)
    state.optimizer.step()
    return {f"loss_{name}": loss for name, loss in losses.items()}


def update_discriminator(
    state: TrainingState, config: TrainingConfig, output: torch.Tensor, target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Step down the discriminator's cross entropy; returns it with the share that was told apart rightly."""
    discriminator = wrap_network(state.discriminator, config)
    real, fake = discriminator(target), discriminator(output)
    loss = compute_discriminator_loss(real, fake)
    state.discriminator_optimizer.zero_grad()
    loss.backward()
    state.discriminator_optimizer.step()
    accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
    return {"loss_discriminator": loss, "discriminator_accuracy": accuracy}
