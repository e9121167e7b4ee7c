"""A challenge with small limits and a dataset of small pictures, for tests that evaluate something."""

from pathlib import Path

import models
import numpy as np
from PIL import Image

from harness.job import Evaluation
from harness.outcome import Outcome
from harness.progress import Step
from harness.submission import SubmissionFolder
from harness.turns import Run, run_submissions

SIDE_PX = 100
CHALLENGE = """\
name = "tiny"
title = "A tiny challenge"
url = "https://example.org"
dataset = "pictures"
stand_in = "embedded"
infinite_psnr_db = 54.15

[baseline]
label = "Slow"
model = "slow.onnx"
rows = ["slow"]

[speed]
width_px = {width_px}
height_px = {height_px}

[limits]
memory_bytes = {memory_bytes}
model_bytes = {model_bytes}
load_s = {load_s}
run_s = {run_s}

[[metrics]]
name = "psnr"
images = "pairs"
profile = "pirm-b"

[[metrics]]
name = "ms_ssim"
images = "pairs"
profile = "pirm-b"
{metrics}
[mos]
image_set = "none"
note = "Made up."
pairs = [
  {{ label = "a", niqe = 6.0, mos = 2.6 }},
  {{ label = "b", niqe = 6.5, mos = 2.3 }},
  {{ label = "c", niqe = 6.8, mos = 2.4 }},
]

[phases.validation]
label = "validation phase"
note = "Quality alone."

[phases.validation.scores]
A = "psnr + 100*ms_ssim"
"""
LIMITS = {
    "width_px": 120,
    "height_px": 110,
    "memory_bytes": 400_000_000,
    "model_bytes": 1_000_000,
    "load_s": 60.0,
    "run_s": 2.0,
    "metrics": "",
}


def write_challenge(folder: Path, **changes: object) -> Path:
    """A challenge's TOML file with its baseline beside it; `changes` are those of LIMITS."""
    folder.mkdir(parents=True, exist_ok=True)
    models.save(models.slow(), folder / "slow.onnx")
    path = folder / "tiny.toml"
    path.write_text(CHALLENGE.format(**(LIMITS | changes)))
    return path


def write_dataset(folder: Path, *, pairs: int = 3, photos: int = 1, width_px: int = 120, height_px: int = 110) -> Path:
    """A folder of pairs, whose targets are a bit brighter than their sources, and of photos."""
    random = np.random.default_rng(5)
    for number in range(pairs):
        source = paint(random, SIDE_PX, SIDE_PX)
        save_picture(folder / "source" / f"{number}.png", source)
        save_picture(folder / "target" / f"{number}.png", source + 20)
    for number in range(photos):
        save_picture(folder / "photos" / f"{number}.png", paint(random, height_px, width_px))
    return folder


def paint(random: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Coarse patches with some noise, from 0 to 229."""
    coarse = random.integers(0, 200, (height_px // 10, width_px // 10, 3)).repeat(10, 0).repeat(10, 1)
    return (coarse + random.integers(0, 30, coarse.shape)).astype(np.uint8)


def save_picture(path: Path, pixels: np.ndarray) -> Path:
    """Write a picture of uint8 HxWx3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ignore(step: Step) -> None:
    """No progress is shown."""


def run(
    folder: SubmissionFolder, evaluation: Evaluation, reports: Path, split: str | None = None, *, again: bool = True
) -> Outcome:
    """`harness run` on one submission: the last that it has to say."""
    outcomes: list[Outcome] = []
    run_submissions([folder], Run(evaluation, reports, split, again), on_progress=ignore, on_outcome=outcomes.append)
    return outcomes[-1]
