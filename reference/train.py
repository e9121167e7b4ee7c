"""Train a generator: python -m reference.train CONFIG.toml --assets DIR --out DIR [--device cuda] [--set KEY=VALUE].

Writes into the folder of --out: log.csv (a row a validation), checkpoint.pt (to resume from) and model.safetensors
(the averaged weights, with configuration and step). The configuration fixes what a run does; started again, it goes on.

Selection rule: the averaged weights after the last step. Nothing is picked by the best validation; choices between
configurations are made on folds of the 300 training pairs, and the weights to be published are then trained on all 300
(folds = 0) for the same steps.
"""

import argparse
import csv
import dataclasses
import json
import math
import os
import sys
import time
import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from reference.data import Augmentation, Pairs, draw_batch, read_pairs, split_pairs
from reference.generators import Generator, GeneratorConfig
from reference.losses import LossWeights, compute_losses, compute_ms_ssim, compute_psnr, sum_losses


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A whole run. The sub-tables of the TOML file are `generator`, `loss` and `augmentation`."""

    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    loss: LossWeights = dataclasses.field(default_factory=LossWeights)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    seed: int = 1
    steps: int = 8000
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Twice Adam's usual rate: normalised layers bear it, and the cosine brings it down to 0."""
    weight_decay: float = 1e-2
    warmup_steps: int = 200
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    """Averages about 1,000 steps, a tenth of the run."""
    folds: int = 5
    """0 trains on all 300 pairs; else every fifth pair, say, validates."""
    fold: int = 0
    validate_every: int = 1000


@dataclasses.dataclass
class TrainingState:
    """All that changes during a run."""

    model: Generator
    average: Generator
    optimizer: torch.optim.AdamW
    learning_rate: torch.Tensor
    losses: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    step: int = 0


def make_config(kind: type, table: dict[str, Any], where: str) -> Any:
    """A frozen configuration from a TOML table; ValueError for an unknown key or a value of another type."""
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table, got {table!r}")
    fields = {field.name: getattr(kind(), field.name) for field in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise ValueError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(fields))}")
        default = fields[key]
        if dataclasses.is_dataclass(default):
            value = make_config(type(default), value, f"{where} [{key}]")  # noqa: PLW2901
        elif isinstance(default, float) and type(value) is int:
            value = float(value)  # noqa: PLW2901
        elif type(value) is not type(default):
            raise ValueError(f"{where}: {key} must be {type(default).__name__}, got {value!r}")
        values[key] = value
    return kind(**values)


def read_config(path: Path, changes: list[str]) -> TrainingConfig:
    """The configuration of a TOML file with changes such as `loss.psnr=0.1`; ValueError for a bad one."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        for change in changes:
            merge(table, tomllib.loads(change.replace("=", " = ", 1)))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: cannot read the configuration ({error})") from error
    return make_config(TrainingConfig, table, str(path))


def merge(table: dict[str, Any], changes: dict[str, Any]) -> None:
    """Write `changes` into the nested `table`."""
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(table.setdefault(key, {}), value)
        else:
            table[key] = value


def compute_learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to 0 at the last step."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warmup * (1 + math.cos(math.pi * step / config.steps)) / 2


def start_training(config: TrainingConfig, device: torch.device) -> TrainingState:
    """A fresh state; the seed decides weights, batches and noise."""
    torch.manual_seed(config.seed)
    model = Generator(config.generator).to(device).train()
    average = deepcopy(model).eval().requires_grad_(False)
    cuda = device.type == "cuda"
    # A tensor, so that a captured CUDA graph sees the rate change.
    rate = torch.zeros((), device=device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, weight_decay=config.weight_decay, betas=(0.9, 0.99), capturable=cuda, foreach=cuda
    )
    return TrainingState(model, average, optimizer, rate)


def run_step(state: TrainingState, pairs: Pairs, config: TrainingConfig) -> None:
    """One update of the weights, on the device alone."""
    source, target = draw_batch(pairs, config.batch_size, config.augmentation)
    losses = compute_losses(state.model(source), target, config.loss)
    state.optimizer.zero_grad(set_to_none=True)
    sum_losses(losses, config.loss).backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), config.gradient_norm)
    state.optimizer.step()
    state.losses = {name: loss.detach() for name, loss in losses.items()}


def capture_step(state: TrainingState, pairs: Pairs, config: TrainingConfig) -> Callable[[], None]:
    """The step as a CUDA graph, after a few steps without: small networks otherwise wait for kernels to be launched."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        run_step(state, pairs, config)
    return graph.replay


def update_average(state: TrainingState, config: TrainingConfig) -> None:
    """Move the averaged weights towards the current ones, faster at the start."""
    decay = min(config.ema_decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1 - decay)


def validate(generator: Generator, pairs: Pairs) -> tuple[float, float]:
    """Mean PSNR (clipped output) and MS-SSIM (unclipped) over the pairs.

    Pairs with a target of one colour are left out: white on white has an infinite PSNR, which says nothing.
    """
    textured = pairs.target.flatten(1).std(1) > 1e-3
    target = pairs.target[textured].double()
    with torch.no_grad():
        output = generator(pairs.source[textured]).double()
    return compute_psnr(output.clamp(0, 1), target).mean().item(), compute_ms_ssim(output, target).mean().item()


def collect_state(state: TrainingState, config: TrainingConfig) -> dict[str, Any]:
    """What a checkpoint holds."""
    device = state.learning_rate.device
    return {
        "config": dataclasses.asdict(config),
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict()["state"],
        "step": state.step,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Go on from a checkpoint; ValueError when it belongs to another configuration."""
    device = state.learning_rate.device
    stored = torch.load(path, map_location="cpu", weights_only=True)
    if stored["config"] != dataclasses.asdict(config):
        raise ValueError(f"{path} is of a run with another configuration; give another folder with --out")
    state.model.load_state_dict(stored["model"])
    state.average.load_state_dict(stored["average"])
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": stored["optimizer"], "param_groups": groups})
    state.optimizer.param_groups[0]["lr"] = state.learning_rate  # loading made a copy
    state.step = stored["step"]
    torch.set_rng_state(stored["random"])
    if stored["random_cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(stored["random_cuda"], device)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make the file beside `path`, then put it in place at once."""
    draft = path.with_suffix(path.suffix + ".part")
    write(draft)
    draft.replace(path)


def write_log_row(path: Path, row: dict[str, float]) -> None:
    """Append a row to the CSV log, with a header when it is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def report(state: TrainingState, config: TrainingConfig, validation: Pairs, out: Path, started_s: float) -> None:
    """Validate, log, print a line and store a checkpoint."""
    row: dict[str, float] = {"step": state.step, "seconds": round(time.monotonic() - started_s, 1)}
    if validation.numbers:
        row["psnr_db"], row["ms_ssim"] = (round(value, 5) for value in validate(state.average, validation))
    row |= {f"loss_{name}": round(loss.item(), 5) for name, loss in state.losses.items()}
    write_log_row(out / "log.csv", row)
    print(f"{out.name}: " + " ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    write_atomically(out / "checkpoint.pt", lambda path: torch.save(collect_state(state, config), path))


def write_weights(state: TrainingState, config: TrainingConfig, out: Path) -> Path:
    """The averaged weights as safetensors, with what they are."""
    path = out / "model.safetensors"
    weights = {name: tensor.cpu().contiguous() for name, tensor in state.average.state_dict().items()}
    metadata = {"config": json.dumps(dataclasses.asdict(config)), "step": str(state.step)}
    write_atomically(path, lambda draft: save_file(weights, draft, metadata))
    return path


def train(
    config: TrainingConfig, pairs: Pairs, out: Path, *, cuda_graph: bool = False, stop_after: int | None = None
) -> Path:
    """Run to the last step, or stop early after a step (to be resumed); returns the path of the averaged weights."""
    if cuda_graph:
        torch.cuda.synchronize()
        torch.cuda.set_stream(torch.cuda.Stream())  # nothing can be captured on the default stream
    out.mkdir(parents=True, exist_ok=True)
    training, validation = split_pairs(pairs, config.folds, config.fold)
    state = start_training(config, pairs.source.device)
    if (out / "checkpoint.pt").exists():
        restore_state(state, config, out / "checkpoint.pt")
    started_s, first_step = time.monotonic(), state.step
    step = lambda: run_step(state, training, config)  # noqa: E731
    while state.step < min(config.steps, stop_after or config.steps):
        if cuda_graph and state.step == first_step + 20:
            step = capture_step(state, training, config)
        state.learning_rate.fill_(compute_learning_rate(config, state.step))
        step()
        update_average(state, config)
        state.step += 1
        if state.step % config.validate_every == 0 or state.step in (config.steps, stop_after):
            report(state, config, validation, out, started_s)
    return write_weights(state, config, out)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a TOML file, such as reference/configs/boe_normal.toml")
    parser.add_argument("--assets", type=Path, default=os.environ.get("HARNESS_ASSETS", "../shared/assets"))
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder of the run; an unfinished run there goes on"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key, e.g. loss.psnr=0.1"
    )
    parser.add_argument(
        "--cuda-graph", action="store_true", help="capture the step in a CUDA graph: faster on small networks"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    try:
        config = read_config(options.config, options.set)
        pairs = read_pairs(Path(options.assets), torch.device(options.device))
        print(train(config, pairs, options.out, cuda_graph=options.cuda_graph))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
