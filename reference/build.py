"""Builds ONNX files: `python -m reference.build NAME... [--assets DIR]` for submissions/NAME/model.onnx.

The published weights belong to their authors, so neither they nor the files built from them are in this repository.
Our own generators are built from reference/weights/NAME.safetensors, which `reference.train` wrote.
NAME `speed-baseline` writes SRCNN with random weights to harness/challenges/srcnn.onnx, which is in the repository:
times are measured against it, also where the published weights cannot be had.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import nn

from harness.assets import COMMITS, AssetStore, open_store
from harness.errors import DataError, HarnessError
from reference.baselines import load_resnet, load_srcnn, make_random_srcnn
from reference.checkpoint import read_checkpoint
from reference.export import export_onnx
from reference.generators import Generator, GeneratorConfig

ROOT = Path(__file__).parent.parent
GENERATORS = ("boe_normal", "boe_highperf")
SPEED_BASELINE = "speed-baseline"
SPEED_BASELINE_PATH = Path("harness/challenges/srcnn.onnx")
SPEED_BASELINE_SEED = 2018


class UnavailableError(DataError):
    """The upstream weights cannot be had here."""


@dataclass(frozen=True)
class Recipe:
    """A title, where the weights lie upstream (OWNER/REPO/path without the ending), and how to load them."""

    title: str
    checkpoint: str
    load: Callable[[Mapping[str, np.ndarray]], nn.Module]


RECIPES = {
    "srcnn": Recipe("SRCNN", "aiff22/ai-challenge/models_pretrained/dped_srcnn", load_srcnn),
    "resnet_8_32": Recipe(
        "ResNet-8-32",
        "aiff22/ai-challenge/models_pretrained/dped_resnet_8_32",
        partial(load_resnet, blocks=2, channels=32),
    ),
    "dped": Recipe(
        "DPED (ResNet-12-64)", "aiff22/DPED/models_orig/iphone_orig", partial(load_resnet, blocks=4, channels=64)
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Build every name that can be built; the exit code of the last one that cannot, or 0."""
    options = parse_arguments(arguments)
    try:
        store = open_store(options.assets)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
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
        "names", nargs="+", metavar="NAME", choices=[*GENERATORS, *RECIPES, SPEED_BASELINE], help="%(choices)s"
    )
    parser.add_argument("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    parser.add_argument("--if-available", action="store_true", help="exit with 0 where weights cannot be had")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="write below DIR, not this checkout")
    return parser.parse_args(arguments)


def build(name: str, store: AssetStore, root: Path) -> str:
    """Write the ONNX file of `name` below `root`; return a sentence that says what was written.

    UnavailableError when the upstream weights cannot be had; DataError when they are damaged or nothing can be written.
    """
    try:
        if name == SPEED_BASELINE:
            return _build_speed_baseline(root)
        return _build_generator(name, root) if name in GENERATORS else _build_published(name, store, root)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def load_generator(path: Path) -> tuple[Generator, str]:
    """A generator with the weights of a safetensors file by `reference.train`, and the step they are from.

    ValueError for a file that is not one, OSError for one that cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
        generator = Generator(GeneratorConfig(**json.loads(metadata["config"])["generator"]))
        generator.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the weights of a generator ({error})") from error
    return generator, metadata["step"]


def _build_generator(name: str, root: Path) -> str:
    generator, step = load_generator(ROOT / "reference" / "weights" / f"{name}.safetensors")
    path = root / "submissions" / name / "model.onnx"
    source = f"reference/weights/{name}.safetensors, step {step} of reference/configs/{name}.toml"
    doc = f"The {generator.config.kind} generator, trained here on the 300 training pairs of pirm2018b"
    difference = export_onnx(generator, path, doc=doc, metadata={"weights": source})
    return _describe_file(path, difference)


def _build_published(name: str, store: AssetStore, root: Path) -> str:
    recipe = RECIPES[name]
    module = recipe.load(read_checkpoint(_find_checkpoint(store, recipe.checkpoint)))
    repository = "/".join(recipe.checkpoint.split("/")[:2])
    source = f"github.com/{repository} at {COMMITS[repository]}: {recipe.checkpoint.removeprefix(repository + '/')}"
    path = root / "submissions" / name / "model.onnx"
    difference = export_onnx(
        module, path, doc=f"{recipe.title} with the published weights, from {source}", metadata={"weights": source}
    )
    return _describe_file(path, difference)


def _build_speed_baseline(root: Path) -> str:
    path = root / SPEED_BASELINE_PATH
    source = f"random, numpy PCG64, seed {SPEED_BASELINE_SEED}"
    doc = "SRCNN with random weights: for its speed alone, its output means nothing"
    difference = export_onnx(make_random_srcnn(SPEED_BASELINE_SEED), path, doc=doc, metadata={"weights": source})
    return _describe_file(path, difference)


def _describe_file(path: Path, difference: float) -> str:
    return f"{path}: {path.stat().st_size / 1e3:.0f} kB, at most {difference:.1e} from PyTorch"


def _find_checkpoint(store: AssetStore, prefix: str) -> Path:
    try:
        paths = [store.find(f"{prefix}.{ending}") for ending in ("index", "data-00000-of-00001")]
    except DataError as error:
        raise UnavailableError(str(error)) from error
    if paths[0].parent != paths[1].parent:
        raise DataError(f"{paths[0]} and {paths[1]} belong in one folder: complete the mirror.")
    return paths[0].with_suffix("")


if __name__ == "__main__":
    sys.exit(main())
