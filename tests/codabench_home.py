"""A tiny challenge with two phases and its bundle, for the tests of Codabench."""

import datetime
from pathlib import Path

import tiny

from harness.assets import open_store
from harness.codabench.bundle import write_bundle
from harness.codabench.competition import Competition, Wishes, plan_competition

PHASES = """
[phases.final]
label = "final: \\"the end\\" | <b>"
note = "Quality and time: a < b."

[phases.final.scores]
A = "psnr + min(baseline_time/time, 4)"
B = "100*ms_ssim"
"""
START = datetime.date(2030, 1, 1)


def plan(folder: Path, challenge: Path | None = None, **wishes: object) -> Competition:
    """The competition of a tiny challenge on tiny pictures."""
    path = challenge or tiny.write_challenge(folder / "challenge")
    pictures = folder / "pictures"
    if not pictures.is_dir():
        tiny.write_dataset(pictures)
    asked = Wishes(**{"dataset": str(pictures), "start": START, **wishes})
    return plan_competition(str(path), asked, open_store(offline=True), on_progress=tiny.ignore)


def write_phases(folder: Path) -> Path:
    """A challenge with a second phase, in which time counts."""
    path = tiny.write_challenge(folder)
    path.write_text(path.read_text() + PHASES)
    return path


def make_home(folder: Path) -> Path:
    """The challenge, its pictures, and a bundle of both phases."""
    challenge = write_phases(folder / "challenge")
    write_bundle(plan(folder, challenge, phases=("validation", "final"), budget_s=6), folder / "bundle.zip")
    return folder
