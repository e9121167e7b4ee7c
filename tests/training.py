"""A tiny training run, its data, and what two equal runs have in common."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from reference.augmentation import Augmentation
from reference.config import TrainingConfig
from reference.data import Pairs, TrainingData
from reference.generators import GeneratorConfig
from reference.losses import LossWeights

SMALL = TrainingConfig(
    generator=GeneratorConfig(kind="high_performance", quarter_growth=8, quarter_layers=1, half_layers=1),
    augmentation=Augmentation(mixup=0.5, cutmix=0.5, gain=0.1),
    steps=5,
    batch_size=4,
    warmup_steps=1,
    folds=5,
    validate_every=2,
    checkpoint_every=3,
)
EVERY_LOSS = LossWeights(
    l1=1.0, ms_ssim=1.0, psnr=0.04, color=0.001, total_variation=0.1, adversarial=0.1, perceptual=1.0, contextual=0.1
)
TOML = """
steps = 250
batch_size = 4
validate_every = 100
checkpoint_every = 20
[generator]
kind = "high_performance"
quarter_growth = 8
quarter_layers = 1
half_layers = 1
[augmentation]
cutmix = 0.5
"""
"""The same generator, as a file."""


class TinyFeatures(nn.Module):
    """Stands in for a large network; random, and always the same."""

    source = "tiny features"

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(3))
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight.to(x.dtype), stride=4)


def make_data(size: int = 48) -> TrainingData:
    generator = torch.Generator().manual_seed(5)
    source = torch.rand(10, 3, size, size, generator=generator)
    target = (source * 0.8 + 0.1).square()
    pairs = Pairs((source * 255).byte(), (target * 255).byte(), tuple(range(10)))
    extra = Pairs((source[:6] * 200).byte(), target[:6].half(), tuple(range(6)))
    return TrainingData(pairs, "test", extra, "abc")


def write_dped(folder: Path) -> Path:
    random = np.random.default_rng(8)
    for camera in ("iphone", "canon"):
        (folder / "iphone/training_data" / camera).mkdir(parents=True)
        for number in range(12):
            photo = random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(photo).save(folder / f"iphone/training_data/{camera}/{number}.jpg")
    return folder


def read_rows(out: Path) -> list[dict[str, str]]:
    """The log without seconds, which no two runs share."""
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    for row in rows:
        assert float(row.pop("seconds")) >= 0
    return rows


def check_same_run(one: Path, other: Path) -> None:
    assert read_rows(one) == read_rows(other)
    weights, others = (load_file(out / "model.safetensors") for out in (one, other))
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name
