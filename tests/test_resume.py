"""Runs that are killed end with the weights and the log of one that was not."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training import EVERY_LOSS, SMALL, TOML, TinyFeatures, check_same_run, make_data, read_rows, write_dped

from reference import discriminator, run_folder
from reference import train as train_module
from reference.data import TrainingData
from reference.train import train

ROOT = Path(__file__).parent.parent


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


pytestmark = pytest.mark.usefixtures("quick_training")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return replace(make_data(), extra=None, extra_sha256="none")


def count_calls(monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, kill_at: int, after: bool) -> list[int]:
    """Let the call number `kill_at` of a function be the process's last deed, or the one before which it ends."""
    original, calls = getattr(module, name), [0]

    def call(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == kill_at and not after:
            raise Killed
        result = original(*arguments)
        if calls[0] == kill_at:
            raise Killed
        return result

    monkeypatch.setattr(module, name, call)
    return calls


@pytest.mark.slow
def test_a_run_with_every_loss_can_be_killed_at_any_write(tmp_path, monkeypatch):
    data = make_data(96)
    augmentation = replace(SMALL.augmentation, crop_px=40)
    config = replace(SMALL, loss=EVERY_LOSS, augmentation=augmentation, extra_share=0.25, select="niqe")
    monkeypatch.setattr(discriminator, "NEURONS", 8)  # 5 MB less a checkpoint

    def run(out: Path) -> None:
        torch.manual_seed(int(time.monotonic_ns() % 1000))  # whatever happened before
        train(config, data, out, features=TinyFeatures(), niqe=lambda image: float(image.mean()))

    run(tmp_path / "whole")
    assert len(read_rows(tmp_path / "whole")) == 3
    with monkeypatch.context() as patch:
        calls = count_calls(patch, run_folder, "write_atomically", kill_at=0, after=False)
        run(tmp_path / "again")
    check_same_run(tmp_path / "whole", tmp_path / "again")
    assert calls[0] == 1 + 4 + 3 + 2, "run.json, checkpoints, logs, weights, run.json"
    for kill_at in range(1, calls[0] + 1):
        for after in (False, True):
            out = tmp_path / f"killed{kill_at}{after}"
            with monkeypatch.context() as patch, pytest.raises(Killed):
                count_calls(patch, run_folder, "write_atomically", kill_at=kill_at, after=after)
                run(out)
            run(out)
            check_same_run(tmp_path / "whole", out)


def test_steps_since_the_last_checkpoint_are_taken_back(data, tmp_path, monkeypatch):
    train(SMALL, data, tmp_path / "whole")
    for kill_at in range(1, SMALL.steps + 1):
        out = tmp_path / f"killed{kill_at}"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            count_calls(patch, train_module, "update_average", kill_at=kill_at, after=True)
            train(SMALL, data, out)
        train(SMALL, data, out)
        check_same_run(tmp_path / "whole", out)


def test_finished_run_stays_as_it_is(data, tmp_path):
    train(SMALL, data, tmp_path)
    shutil.copytree(tmp_path, tmp_path / "before")
    train(SMALL, data, tmp_path)
    check_same_run(tmp_path / "before", tmp_path)
    for name in ("checkpoint.pt", "log.csv", "run.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "before" / name).read_bytes()


def test_seconds_add_up_over_a_kill(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        count_calls(patch, train_module, "update_average", kill_at=4, after=True)
        train(SMALL, data, tmp_path)
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    stored["plain"]["seconds"] += 1000
    torch.save(stored, tmp_path / "checkpoint.pt")
    train(SMALL, data, tmp_path)
    seconds = [float(line.split(",")[1]) for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert seconds[0] < 1000 <= seconds[1] <= seconds[2]
    assert json.loads((tmp_path / "run.json").read_text())["seconds"] == seconds[2]


@pytest.fixture
def start_run(tmp_path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts `python -m reference.train` on a folder in DPED's layout."""
    (tmp_path / "long.toml").write_text(TOML)
    dped = write_dped(tmp_path / "dped")

    with contextlib.ExitStack() as stack:

        def start(out: Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "reference.train", str(tmp_path / "long.toml"), "--out", str(out)]
            options = ["--dped", str(dped), "--limit", "10", "--device", "cpu"]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            pipe = subprocess.PIPE
            process = stack.enter_context(
                subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
            )
            stack.callback(process.kill)
            return process

        yield start


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    """Until a checkpoint is there that was not there before."""
    path = out / "checkpoint.pt"
    before, deadline_s = path.stat().st_mtime_ns if path.exists() else 0, time.monotonic() + 120
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path, start_run):
    output, errors = start_run(tmp_path / "whole").communicate(timeout=300)
    assert output.splitlines()[-1] == str(tmp_path / "whole/model.safetensors"), errors
    assert output.count("step ") == 3, "a line a validation, no bar where there is no terminal"
    out = tmp_path / "killed"
    for delay_s in (0.0, 0.25):
        process = start_run(out)
        wait_for_checkpoint(process, out)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        assert not (out / "model.safetensors").exists(), "it was killed before the end"
    output, errors = start_run(out).communicate(timeout=300)
    assert (out / "model.safetensors").exists(), errors
    check_same_run(tmp_path / "whole", out)
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path, start_run):
    out = tmp_path / "out"
    process = start_run(out)
    wait_for_checkpoint(process, out)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        errors.splitlines()[-1]
        == "Interrupted. Give the same command again: a run goes on from its last checkpoint, if it has one."
    )
    assert "Traceback" not in errors
