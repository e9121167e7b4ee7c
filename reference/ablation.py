"""The paper's ablation of losses and noise (Table 5): python -m reference.ablation [--out DIR] [--report DIR] ...

Trains the normal generator nine times on an equal budget: with full losses and noise, without each of the six losses,
without noise, and with full losses and noise from another seed, whose difference from the first is the scatter between
trainings. Then measures PSNR, MS-SSIM and NIQE on the pairs of the fold that none of them has seen, and writes
ablation.csv and ablation.md, where published and measured stand side by side.

Each run has a folder in --out. Given again, also after a kill, the command goes on; what is trained stays as it is.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from harness.assets import open_store
from harness.environment import count_cpus
from harness.files import write_atomically
from reference import train
from reference.ablation_conditions import BASE, CONDITIONS, Condition
from reference.ablation_report import render_report
from reference.ablation_sample import compare_samples, describe_sample, measure_sample
from reference.build import load_trained
from reference.command import FAILED, run_command
from reference.config import TrainingConfig, read_config
from reference.curves import read_facts
from reference.data import PairFolder, Pairs, TrainingData, split_pairs
from reference.run_folder import MODEL, RUN
from reference.run_queue import QueuedRun, train_all
from reference.validation import Niqe, find_niqe, measure_target_niqe

CONFIG = Path(__file__).parent / "configs" / "ablation.toml"
TABLE, REPORT = "ablation.csv", "ablation.md"


@dataclass(frozen=True)
class Trial:
    """A condition, the arguments of `reference.train` that make it, and what these amount to."""

    condition: Condition
    arguments: tuple[str, ...]
    options: argparse.Namespace
    config: TrainingConfig

    @property
    def out(self) -> Path:
        """The folder of the run."""
        return Path(self.options.out)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m reference.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = [condition.name for condition in CONDITIONS if condition is not BASE]
    add("--out", type=Path, default=Path("runs/ablation"), metavar="DIR", help="folder of the runs (%(default)s)")
    add("--report", type=Path, default=Path("reports/training"), metavar="DIR", help="of the report (%(default)s)")
    add("--jobs", type=int, default=count_cpus(), metavar="N", help="runs at a time, one thread each (%(default)s)")
    add("--steps", type=int, metavar="N", help="of each run, where the configuration's are too many")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key for all runs, as of train")
    add("--only", nargs="+", choices=names, default=names, metavar="NAME", help="full and only these of %(choices)s")
    add("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    add("--dped", type=Path, metavar="DIR", help="train on DIR/iphone/training_data/{iphone,canon}/N.jpg instead")
    add("--limit", type=int, metavar="N", help="only N pairs of --dped, spread evenly")
    add("--feature-weights", type=Path, metavar="FILE", help="of VGG-19, with --set features=vgg19")
    add("--render-only", action="store_true", help="only write ablation.md anew from ablation.csv")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    return options


def plan_trial(condition: Condition, options: argparse.Namespace) -> Trial:
    """What a condition is trained with; ValueError for a bad change, or no pairs to measure on."""
    changes = [*options.set, *([f"steps={options.steps}"] if options.steps is not None else []), condition.change]
    arguments = [str(CONFIG), "--out", str((options.out / condition.name).resolve())]
    paths = {"assets": options.assets, "dped": options.dped, "feature-weights": options.feature_weights}
    for name, path in paths.items():
        arguments += [f"--{name}", str(path.resolve())] if path else []
    arguments += ["--limit", str(options.limit)] if options.limit is not None else []
    arguments += [f"--set={change}" for change in changes if change]
    parsed = train.parse_arguments(arguments)
    config = read_config(parsed.config, parsed.set)
    if not config.folds:
        raise ValueError("the ablation is measured on pairs that are held out: set folds to at least 2")
    return Trial(condition, tuple(arguments), parsed, config)


def run_ablation(options: argparse.Namespace) -> int:
    """Train what is not trained yet, measure all and write the report; returns the exit status."""
    chosen = [condition for condition in CONDITIONS if condition is BASE or condition.name in options.only]
    trials = [plan_trial(condition, options) for condition in chosen]
    # what would stop every run stops here, before the first of them
    data = train.read_data(trials[0].options)
    train.make_features(trials[0].config, trials[0].options)
    _, held_out = split_pairs(data.pairs, trials[0].config.folds, trials[0].config.fold)
    niqe = find_niqe(open_store(options.assets), data.pairs)
    left = [trial for trial in trials if not read_finished(trial, data)]
    if len(left) < len(trials):
        print(f"{len(trials) - len(left)} of {len(trials)} runs are trained already", flush=True)
    if failed := train_all([queue_trial(trial) for trial in left], jobs=options.jobs):
        kept = "What is trained is kept: mend the cause, then give the same command."
        print(f"No report, {failed} of {len(left)} failed. {kept}", file=sys.stderr)
        return FAILED
    write_report(measure_trials(trials, data, held_out, niqe), options.report)
    print(options.report / REPORT)
    return 0


def queue_trial(trial: Trial) -> QueuedRun:
    """For the queue."""
    return QueuedRun(trial.condition.title, trial.out, trial.arguments, trial.config.steps)


def read_finished(trial: Trial, data: TrainingData) -> dict[str, Any] | None:
    """What run.json says of the run, where just this one has come to its end."""
    facts = read_facts(trial.out / RUN)
    same = facts.get("config") == asdict(trial.config) and facts.get("data") == data.describe()
    return facts if same and "selected_step" in facts and (trial.out / MODEL).is_file() else None


def measure_trials(
    trials: Sequence[Trial], data: TrainingData, held_out: Pairs | PairFolder, niqe: Niqe | None
) -> pd.DataFrame:
    """A row a condition: what it is, what was published, what was measured, and how it was trained."""
    samples = {trial.condition: measure_sample(load_network(trial, data), held_out, niqe) for trial in trials}
    target, rows = {"target_niqe": measure_target_niqe(held_out, niqe)}, []
    for trial in trials:
        facts = read_finished(trial, data)
        if facts is None:
            raise ValueError(f"{trial.out} has changed meanwhile: give the same command again")
        sample = samples[trial.condition]
        measured = describe_sample(sample) | compare_samples(sample, samples[BASE])
        rows.append(describe_condition(trial.condition) | measured | target | describe_run(facts))
    return pd.DataFrame(rows)


def load_network(trial: Trial, data: TrainingData) -> nn.Module:
    """The trained network, ready for use."""
    return load_trained(trial.out / MODEL).module.to(data.pairs.device).eval()


def describe_condition(condition: Condition) -> dict[str, Any]:
    """What a condition is, and its published values."""
    names = {"condition": condition.name, "title": condition.title, "change": condition.change}
    return names | {f"published_{name}": getattr(condition, name) for name in ("psnr_db", "ssim", "niqe")}


def describe_run(facts: dict[str, Any]) -> dict[str, Any]:
    """What a report says of how a network was trained, from run.json."""
    config = facts["config"]
    chosen = {name: config[name] for name in ("steps", "batch_size", "seed", "precision", "folds", "fold", "select")}
    losses = {f"loss_{name}": weight for name, weight in config["loss"].items()}
    names = ("seconds", "data", "features", "device", "cpu", "threads", "torch", "python", "git_commit", "git_dirty")
    machine = {name: facts[name] for name in names}
    return chosen | losses | {"noise_channels": config["generator"]["noise_channels"]} | machine


def write_report(frame: pd.DataFrame, folder: Path) -> None:
    """The table as CSV, and the page that follows from it."""
    rounded = frame.map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value)
    write_atomically(folder / TABLE, rounded.to_csv(index=False, lineterminator="\n").encode())
    write_page(folder)


def write_page(folder: Path) -> None:
    """The page from the CSV alone; ValueError where that cannot be read."""
    try:
        frame = pd.read_csv(folder / TABLE)
        page = render_report(frame)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"cannot read {folder / TABLE} as the table of an ablation ({error})") from error
    write_atomically(folder / REPORT, page.encode())


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    return run_command(
        lambda: write_page(options.report) if options.render_only else run_ablation(options),
        interrupted="Give the same command to go on from the last checkpoints.",
    )


if __name__ == "__main__":
    raise SystemExit(main())
