"""Builds ONNX files: `python -m reference.build NAME... [--assets DIR]` for submissions/NAME/model.onnx.

The published weights belong to their authors, so neither they nor the files built from them are in this repository.
What was trained here is built from reference/weights/NAME.safetensors, which `reference.train` wrote.
NAME `speed-srcnn` and `speed-span` write these networks with random weights to harness/challenges, where they are in
the repository: times are measured against them, also where the published weights cannot be had.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import nn

from harness.assets import COMMITS, AssetStore, open_store
from harness.errors import DataError
from harness.files import write_atomically
from reference.baselines import SRCNN, fill_randomly, load_resnet, load_srcnn
from reference.bicubic import make_bicubic
from reference.checkpoint import read_checkpoint
from reference.command import run_command
from reference.export import CHECKED_SIZES_PX, export_onnx
from reference.generators import GeneratorConfig
from reference.networks import describe_network, make_network
from reference.span import SCALE, SPAN
from reference.vdsr import load_vdsr

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "reference" / "weights"
TRAINED = {
    "boe_normal": "normal generator",
    "boe_highperf": "high_performance generator",
    "boe_normal_300": "normal generator",
    "boe_highperf_300": "high_performance generator",
    "srcnn_300": "srcnn",
    "resnet_8_32_300": "resnet_8_32",
    "resnet_12_64_300": "resnet_12_64",
    "johnson_300": "johnson",
}
"""What was trained here, NAME_300 on 300 pairs alone, and which network it must be, as `describe_network` says it."""

BICUBIC = "bicubic_x4"
SPEED_BASELINES: dict[str, type[nn.Module]] = {"speed-srcnn": SRCNN, "speed-span": SPAN}
SPEED_BASELINES_DIR = Path("harness/challenges")
SPEED_BASELINE_SEED = 2018


class UnavailableError(DataError):
    """The upstream weights cannot be had here."""


@dataclass(frozen=True)
class Trained:
    """A network with the weights of a run of `reference.train`, what it is, and the metadata of the file.

    That is "config" (the TrainingConfig as JSON), "step", and in all but the first files "data", "extra_sha256" and
    "features", the source of the feature network.
    """

    module: nn.Module
    description: str
    metadata: dict[str, str]

    def describe_pairs(self) -> str:
        """Which pairs it has seen."""
        config = json.loads(self.metadata["config"])
        fold = f", without fold {config['fold']} of {config['folds']}" if config.get("folds") else ""
        extra = ", and on further pairs" if self.metadata.get("extra_sha256", "none") != "none" else ""
        return self.metadata.get("data", "pirm2018b/train, 300 pairs") + fold + extra

    def describe_source(self, name: str) -> dict[str, str]:
        """What a file built from it tells of the weights."""
        source = f"reference/weights/{name}.safetensors, step {self.metadata['step']} of reference/configs/{name}.toml"
        return {key: text for key, text in self.metadata.items() if key != "step"} | {"weights": source}


@dataclass(frozen=True)
class Recipe:
    """A title, where the weights lie upstream (OWNER/REPO/path without `endings`), and how to load them."""

    title: str
    checkpoint: str
    load: Callable[[Mapping[str, np.ndarray]], nn.Module]
    endings: tuple[str, ...] = (".index", ".data-00000-of-00001")


PIRM = "aiff22/ai-challenge/models_pretrained"


RECIPES = {
    "srcnn": Recipe("SRCNN", f"{PIRM}/dped_srcnn", load_srcnn),
    "resnet_8_32": Recipe(
        "ResNet-8-32",
        f"{PIRM}/dped_resnet_8_32",
        partial(load_resnet, blocks=2, channels=32),
    ),
    "dped": Recipe(
        "DPED (ResNet-12-64)", "aiff22/DPED/models_orig/iphone_orig", partial(load_resnet, blocks=4, channels=64)
    ),
    "div2k_srcnn": Recipe("SRCNN", f"{PIRM}/div2k_srcnn", load_srcnn),
    "div2k_resnet_6_16": Recipe(
        "ResNet-6-16",
        f"{PIRM}/div2k_resnet_6_16",
        partial(load_resnet, blocks=1, channels=16),
    ),
    "div2k_vgg19_vdsr": Recipe("VDSR", f"{PIRM}/div2k_vgg19_vdsr.ckpt", load_vdsr, endings=("",)),
}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    return run_command(lambda: build_all(options))


def build_all(options: argparse.Namespace) -> int:
    """Build every name that can be built; the exit code of the last one that cannot, or 0."""
    store = open_store(options.assets)
    exit_code = 0
    for name in options.names:
        try:
            print(build(name, store, options.root))
        except DataError as error:
            print(f"{name} was not built: {error}", file=sys.stderr)
            if not (options.if_available and isinstance(error, UnavailableError)):
                exit_code = error.exit_code
    return exit_code


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reference.build", description="Build the submissions' ONNX files.")
    parser.add_argument(
        "names", nargs="+", metavar="NAME", choices=[*TRAINED, *RECIPES, BICUBIC, *SPEED_BASELINES], help="%(choices)s"
    )
    parser.add_argument("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    parser.add_argument("--if-available", action="store_true", help="exit with 0 where weights cannot be had")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="write below DIR, not this checkout")
    return parser.parse_args(arguments)


def build(name: str, store: AssetStore, root: Path) -> str:
    """Write the ONNX file of `name` below `root`; return a sentence that says what was written.

    UnavailableError when the weights cannot be had; DataError when they are damaged or nothing can be written.
    """
    try:
        if name == BICUBIC:
            return _build_bicubic(root)
        if name in SPEED_BASELINES:
            return _build_speed_baseline(SPEED_BASELINES[name](), root)
        return _build_trained(name, root) if name in TRAINED else _build_published(name, store, root)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def load_trained(path: Path) -> Trained:
    """The network in a safetensors file by `reference.train`.

    ValueError for a file that is not one, OSError for one that cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
        config, _ = json.loads(metadata["config"]), metadata["step"]
        # the first files were all generators and do not say so
        name, generator = config.get("network", "generator"), GeneratorConfig(**config["generator"])
        module = make_network(name, generator)
        module.load_state_dict(weights)
        return Trained(module, describe_network(name, generator), metadata)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = textwrap.shorten(str(error), 300)
        raise ValueError(f"{path} does not hold the weights of a network trained here ({reason}).") from error


def _build_trained(name: str, root: Path) -> str:
    weights, run = WEIGHTS / f"{name}.safetensors", f"runs/{name}"
    if not weights.is_file():
        raise UnavailableError(
            f"{weights} is not there: train it with `python -m reference.train reference/configs/{name}.toml "
            f"--out {run}`, and copy {run}/model.safetensors to that place."
        )
    trained = load_trained(weights)
    if trained.description != TRAINED[name]:
        raise ValueError(f"{weights} holds the network {trained.description}, not {TRAINED[name]}: copy the right run.")
    path = root / "submissions" / name / "model.onnx"
    doc = f"The network {trained.description}, trained here on {trained.describe_pairs()}"
    difference = export_onnx(trained.module, path, doc=doc, metadata=trained.describe_source(name))
    return _describe_file(path, difference)


def load_published(name: str, store: AssetStore) -> nn.Module:
    """A network of RECIPES with its published weights; UnavailableError where they cannot be had."""
    recipe = RECIPES[name]
    return recipe.load(read_checkpoint(_find_checkpoint(store, recipe)))


def _build_published(name: str, store: AssetStore, root: Path) -> str:
    recipe, module = RECIPES[name], load_published(name, store)
    repository = "/".join(recipe.checkpoint.split("/")[:2])
    source = f"github.com/{repository} at {COMMITS[repository]}: {recipe.checkpoint.removeprefix(repository + '/')}"
    path = root / "submissions" / name / "model.onnx"
    difference = export_onnx(
        module, path, doc=f"{recipe.title} with the published weights, from {source}", metadata={"weights": source}
    )
    return _describe_file(path, difference)


def _build_bicubic(root: Path) -> str:
    path = root / "submissions" / BICUBIC / "model.onnx"
    write_atomically(path, make_bicubic(SCALE).SerializeToString(deterministic=True))
    return f"{path}: {path.stat().st_size / 1e3:.1f} kB"


def _build_speed_baseline(module: nn.Module, root: Path) -> str:
    name = type(module).__name__
    path = root / SPEED_BASELINES_DIR / f"{name.lower()}.onnx"
    fill_randomly(module, SPEED_BASELINE_SEED)
    source = f"random, numpy PCG64, seed {SPEED_BASELINE_SEED}"
    doc = f"{name} with random weights: for its speed alone, its output means nothing"
    difference = export_onnx(module, path, doc=doc, metadata={"weights": source})
    return _describe_file(path, difference)


def _describe_file(path: Path, difference: float) -> str:
    sizes = ", ".join(f"{height}x{width}" for height, width in CHECKED_SIZES_PX)
    return f"{path}: {path.stat().st_size / 1e3:.0f} kB, at most {difference:.1e} from PyTorch at {sizes} px"


def _find_checkpoint(store: AssetStore, recipe: Recipe) -> Path:
    try:
        paths = [store.find(recipe.checkpoint + ending) for ending in recipe.endings]
    except DataError as error:
        raise UnavailableError(str(error)) from error
    if len({path.parent for path in paths}) > 1:
        raise DataError(f"{' and '.join(map(str, paths))} belong in one folder: complete the mirror.")
    return paths[0].with_name(Path(recipe.checkpoint).name)


if __name__ == "__main__":
    sys.exit(main())
