"""What a training run does, read from a TOML file; the reasons for the defaults stand beside them."""

import contextlib
import dataclasses
import json
import math
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reference.augmentation import Augmentation
from reference.generators import GeneratorConfig
from reference.losses import LossWeights
from reference.networks import NETWORKS


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A whole run. The sub-tables of the TOML file are `generator`, `loss` and `augmentation`."""

    network: str = "generator"
    """One of `reference.networks`; the table `generator` is read for "generator" alone."""
    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    loss: LossWeights = dataclasses.field(default_factory=LossWeights)
    features: Literal["auto", "vgg19", "efficientnet_lite0"] = "auto"
    """Of which network the perceptual and the contextual loss compare the features (`reference.features`)."""
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    extra_share: float = 0.0
    """Of each batch, the share that comes from the file of --extra."""
    seed: int = 1
    steps: int = 8000
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Twice Adam's usual rate: normalised layers bear it, and the cosine brings it down to 0."""
    discriminator_learning_rate: float = 5e-4
    """DPED's; on the same schedule."""
    weight_decay: float = 1e-2
    """AdamW's default, of norms and biases too: over 7,500 steps it takes 7 % off a weight that nothing else moves."""
    warmup_steps: int = 200
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    """Averages about 1,000 steps, a tenth of the run."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' layers; weights, losses and validation are float32 in either."""
    folds: int = 5
    """0 trains on all pairs; else every fifth pair, say, validates."""
    fold: int = 0
    validate_every: int = 1000
    checkpoint_every: int = 250
    """Steps that a kill can cost; a checkpoint is written at each validation as well."""
    select: Literal["last", "niqe"] = "last"
    """Which averaged weights are the result: those after the last step, or those with the lowest NIQE among the
    validations whose PSNR is within `select_margin_db` of the best one."""
    select_margin_db: float = 0.1
    """Far below the standard error of a mean over the 60 pairs of a fold, 0.7 dB."""

    def __post_init__(self) -> None:
        least = dict.fromkeys(("steps", "batch_size", "validate_every", "checkpoint_every"), 1)
        least |= dict.fromkeys(("warmup_steps", "weight_decay", "select_margin_db"), 0)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound}, got {getattr(self, name)}")
        for name in ("learning_rate", "discriminator_learning_rate", "gradient_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.fold and not self.folds:
            raise ValueError(f"fold {self.fold} needs pairs to hold out: set folds above it, or fold to 0")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be at least 0 and below 2 ** 63, got {self.seed}")
        for name in ("extra_share", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.network not in NETWORKS:
            raise ValueError(f"unknown network {self.network!r}; known are {', '.join(NETWORKS)}")
        if not any(dataclasses.astuple(self.loss)):
            raise ValueError("every loss has the weight 0: there is nothing to learn")
        if self.select == "niqe" and not self.folds:
            raise ValueError('select = "niqe" needs pairs to validate on: set folds to at least 2')


def read_config(path: Path, changes: list[str]) -> TrainingConfig:
    """The configuration of a TOML file with changes such as `loss.psnr=0.1`; ValueError for a bad one."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: cannot read the configuration ({error})") from error
    for change in changes:
        merge(table, read_change(change))
    return make_config(TrainingConfig, table, str(path))


def read_change(change: str) -> dict[str, Any]:
    """KEY=VALUE as a nested table; a value that is no TOML is a string, as a shell eats the quotes of one."""
    key, _, value = change.partition("=")
    for text in (value, json.dumps(value)):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(f"{key} = {text}")
    raise ValueError(f"cannot read the change {change!r}: write KEY=VALUE, such as loss.psnr=0.1")


def merge(table: dict[str, Any], changes: dict[str, Any]) -> None:
    """Write `changes` into the nested `table`."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            merge(table[key], value)
        else:
            table[key] = value


def make_config(kind: type, table: Any, where: str) -> Any:
    """A frozen configuration from a TOML table; ValueError for an unknown key or a value that does not fit."""
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table, got {table!r}")
    hints = get_type_hints(kind)
    for key in table:
        if key not in hints:
            raise ValueError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(hints))}")
    values = {key: convert_value(value, hints[key], f"{where}: {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def convert_value(value: Any, hint: Any, where: str) -> Any:
    """A TOML value as the type that a field is annotated with; ValueError where it is another."""
    if dataclasses.is_dataclass(hint):
        return make_config(hint, value, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{where} must be one of {', '.join(get_args(hint))}, got {value!r}")
        return value
    if hint is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ValueError(f"{where} must be {hint.__name__}, got {value!r}")
    return value
