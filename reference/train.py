"""Train a network: python -m reference.train CONFIG.toml --out DIR [--assets DIR | --dped DIR] [--set KEY=VALUE] ...

The training system of the paper's section 4.3 (Fig. 5): generator and discriminator learn in turn, PSNR, MS-SSIM and
NIQE of held-out pairs are measured on the way, and a stated rule selects the weights. By default it trains on the 300
training pairs of pirm2018b. The folder of --out gets log.csv and its plot curves.svg, run.json (what was run, and
where), checkpoint.pt and model.safetensors (the selected weights, with configuration and step). The configuration
fixes what a run does; started again, also after a kill, it goes on, and on a CPU with the same number of threads ends
with the same weights.

Selection rule: `select = "last"`, the averaged weights after the last step, so that nothing is picked by a validation:
choices between configurations are made on folds of the training pairs, and the weights to be published are then
trained on all of them (folds = 0). `select = "niqe"` is the paper's: of the validations whose PSNR is within
`select_margin_db` of the best one, the averaged weights with the lowest NIQE.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from harness.assets import open_store
from reference.command import run_command
from reference.config import TrainingConfig, read_config
from reference.curves import write_curves
from reference.data import TrainingData, check_data, open_dped, read_extra, read_pairs, split_pairs, thin_out
from reference.features import load_features
from reference.run_folder import (
    open_run_folder,
    read_checkpoint,
    write_checkpoint,
    write_log,
    write_run,
    write_weights,
)
from reference.steps import run_step
from reference.training_state import (
    Run,
    TrainingState,
    check_finite,
    pack_state,
    restore_state,
    set_learning_rates,
    start_training,
    take_losses,
    update_average,
)
from reference.validation import Candidate, Niqe, find_niqe, keep_candidates, measure_target_niqe, validate

CURVES = "curves.svg"
DEVICES = ("cpu", "cuda")
MOST_VALIDATED = 1000
"""Pairs: a fifth of DPED's would take longer than the steps between two validations."""
NIQE_PAIRS = "two or more validation pairs with texture, of at least 96x96 px"


def train(
    config: TrainingConfig,
    data: TrainingData,
    out: Path,
    *,
    features: nn.Module | None = None,
    niqe: Niqe | None = None,
) -> Path:
    """Run to the last step, from a checkpoint in `out` if there is one; returns the path of the selected weights.

    `features` is needed where one of its losses has a weight. ValueError where something does not fit together.
    """
    check_data(data, config.augmentation, batch_size=config.batch_size, extra_share=config.extra_share)
    training, validation = split_pairs(data.pairs, config.folds, config.fold)
    validation = thin_out(validation, MOST_VALIDATED)
    target_niqe = measure_target_niqe(validation, niqe)
    check_niqe(config, niqe, target_niqe)
    run = Run(config, data, training, validation, features, niqe if target_niqe else None, out)
    with open_run_folder(out):
        state = start_training(run)
        stored = read_checkpoint(out, run.identity)
        if stored:
            restore_state(state, stored)
            write_log(out, state.rows)  # a kill may have come before the log
        facts = run.identity | {"device": str(state.device), "target_niqe": target_niqe}
        write_run(out, facts)
        run_steps(state, run)
        return write_result(state, run, facts)


def check_niqe(config: TrainingConfig, niqe: Niqe | None, target_niqe: float | None) -> None:
    """Say what NIQE is to be compared with, or that there is none; ValueError where it is to select the weights."""
    if target_niqe is not None:
        print(f"NIQE of the validation's targets: {target_niqe:.3f}", flush=True)
    elif config.select == "niqe":
        raise ValueError(f'select = "niqe" needs NIQE: its model, and {NIQE_PAIRS}')
    elif niqe:
        print(f"NIQE is left out: it needs {NIQE_PAIRS}", file=sys.stderr)


def run_steps(state: TrainingState, run: Run) -> None:
    """The steps that are left, with validations and checkpoints."""
    config, started_s = run.config, time.monotonic() - state.seconds
    with tqdm(total=config.steps, initial=state.step, desc=run.out.name, unit="step", disable=None) as bar:
        while state.step < config.steps:
            set_learning_rates(state, config)
            run_step(state, run)
            update_average(state, config)
            state.step += 1
            state.seconds = time.monotonic() - started_s
            bar.update()
            validates = state.step % config.validate_every == 0 or state.step == config.steps
            if validates or state.step % config.checkpoint_every == 0:
                check_finite(state)
                if validates:
                    add_row(state, run)
                write_checkpoint(run.out, pack_state(state, run.identity))
            if validates:
                report(state, run)


def add_row(state: TrainingState, run: Run) -> None:
    """Validate the averaged weights and add a row to the log; with `select = "niqe"` they become a candidate."""
    row: dict[str, float] = {"step": state.step, "seconds": round(state.seconds, 1)}
    if run.validation.numbers:
        found = validate(state.average, run.validation, run.niqe)
        row |= {name: round_value(value) for name, value in vars(found).items() if value is not None}
        if run.config.select == "niqe" and found.niqe is not None:
            weights = {name: tensor.clone() for name, tensor in state.average.state_dict().items()}
            candidate = Candidate(state.step, found.psnr_db, found.niqe, weights)
            state.candidates = keep_candidates([*state.candidates, candidate], run.config.select_margin_db)
    row |= {name: round_value(mean) for name, mean in take_losses(state).items()}
    state.rows.append(row)


def round_value(value: float) -> float:
    """To six significant digits: the losses' scales differ."""
    return float(f"{value:.6g}")


def report(state: TrainingState, run: Run) -> None:
    """Write the log and print its last row."""
    write_log(run.out, state.rows)
    tqdm.write(f"{run.out.name}: " + " ".join(f"{name} {value}" for name, value in state.rows[-1].items()))
    sys.stdout.flush()


def write_result(state: TrainingState, run: Run, facts: dict[str, Any]) -> Path:
    """Write the selected weights, what there is to know of them, and the plot of the log."""
    step, weights = state.step, state.average.state_dict()
    if run.config.select == "niqe":
        if not state.candidates:
            raise ValueError(f"{run.out}: NIQE could be measured at no validation, so it can select no weights")
        step, weights = state.candidates[0].step, state.candidates[0].weights
    path = write_weights(run.out, weights, run.identity | {"step": str(step), "select": run.config.select})
    write_run(run.out, facts | {"seconds": round(state.seconds, 1), "selected_step": step})
    write_curves([run.out], run.out / CURVES)
    return path


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("config", type=Path, help="a TOML file, such as reference/configs/boe_normal.toml")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder of the run; an unfinished run there goes on")
    add("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    add("--dped", type=Path, metavar="DIR", help="train on DIR/iphone/training_data/{iphone,canon}/N.jpg instead")
    add("--limit", type=int, metavar="N", help="only N pairs of --dped, spread evenly")
    add("--extra", type=Path, metavar="FILE", help="safetensors with pairs to mix in, for extra_share of each batch")
    add("--feature-weights", type=Path, metavar="FILE", help="weights of the network that `features` names")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key, e.g. loss.psnr=0.1")
    return parser.parse_args(arguments)


def read_data(options: argparse.Namespace) -> TrainingData:
    """The pairs that the command line names."""
    if options.limit is not None and not options.dped:
        raise ValueError("--limit counts pairs of --dped: give that too, or leave it out")
    device = open_device(options.device)
    extra = read_extra(options.extra, device) if options.extra else (None, "none")
    if options.dped:
        return TrainingData(open_dped(options.dped, device, limit=options.limit), "dped/iphone", *extra)
    return TrainingData(read_pairs(open_store(options.assets), device), "pirm2018b/train", *extra)


def open_device(name: str) -> torch.device:
    """The device of that name; ValueError where this machine has none."""
    try:
        if name.partition(":")[0] not in DEVICES:
            raise RuntimeError(f"known are {', '.join(DEVICES)}")
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {name!r} ({str(error).splitlines()[0]}); try --device cpu") from error


def warn_of_slow_precision(config: TrainingConfig, device: torch.device) -> None:
    """A line where bfloat16 is emulated: measured on an AVX2 CPU, a convolution then takes 20 times as long."""
    capability = torch.backends.cpu.get_cpu_capability()
    if config.precision == "bfloat16" and device.type == "cpu" and capability == "AVX2":
        print("bfloat16 is slow on this CPU, which has no AVX-512: give --set precision=float32", file=sys.stderr)


def make_features(config: TrainingConfig, options: argparse.Namespace) -> nn.Module | None:
    """The feature network, where one of its losses has a weight."""
    if not (config.loss.perceptual or config.loss.contextual):
        if options.feature_weights:
            raise ValueError(
                f"--feature-weights {options.feature_weights}: no loss compares features, leave it out, "
                "or set loss.perceptual or loss.contextual"
            )
        return None
    return load_features(config.features, options.feature_weights).to(options.device)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    again = "Give the same command again: a run goes on from its last checkpoint, if it has one."
    return run_command(lambda: run_training(options), interrupted=again)


def run_training(options: argparse.Namespace) -> None:
    """What the command line asks for."""
    config = read_config(options.config, options.set)
    data, features = read_data(options), make_features(config, options)
    niqe = find_niqe(open_store(options.assets), data.pairs) if config.folds else None
    warn_of_slow_precision(config, data.pairs.device)
    print(train(config, data, options.out, features=features, niqe=niqe))


if __name__ == "__main__":
    raise SystemExit(main())
