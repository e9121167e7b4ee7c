"""Builds the baselines' ONNX files: `python -m reference.build NAME... [--assets DIR]` for submissions/NAME/model.onnx.

The published weights belong to their authors, so neither they nor the files built from them are in this repository.
NAME `speed-baseline` writes SRCNN with random weights to harness/challenges/srcnn.onnx, which is in the repository:
times are measured against it, also where the published weights cannot be had.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from harness.assets import COMMITS, AssetStore, open_store
from harness.errors import DataError, HarnessError
from reference.baselines import load_resnet, load_srcnn, make_random_srcnn
from reference.checkpoint import read_checkpoint
from reference.export import export_onnx

ROOT = Path(__file__).parent.parent
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
    parser = argparse.ArgumentParser(prog="python -m reference.build", description="Build the baselines' ONNX files.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=[*RECIPES, SPEED_BASELINE], help="%(choices)s")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    parser.add_argument("--if-available", action="store_true", help="exit with 0 where weights cannot be had")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="write below DIR, not this checkout")
    return parser.parse_args(arguments)


def build(name: str, store: AssetStore, root: Path) -> str:
    """Write the ONNX file of `name` below `root`; return a sentence that says what was written.

    UnavailableError when the upstream weights cannot be had; DataError when they are damaged or nothing can be written.
    """
    try:
        return _build_speed_baseline(root) if name == SPEED_BASELINE else _build_submission(name, store, root)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def _build_submission(name: str, store: AssetStore, root: Path) -> str:
    recipe = RECIPES[name]
    module = recipe.load(read_checkpoint(_find_checkpoint(store, recipe.checkpoint)))
    repository = "/".join(recipe.checkpoint.split("/")[:2])
    source = f"github.com/{repository} at {COMMITS[repository]}: {recipe.checkpoint.removeprefix(repository + '/')}"
    path = root / "submissions" / name / "model.onnx"
    difference = export_onnx(
        module, path, doc=f"{recipe.title} with the published weights, from {source}", metadata={"weights": source}
    )
    return f"{path}: {path.stat().st_size / 1e3:.0f} kB, at most {difference:.1e} from PyTorch"


def _build_speed_baseline(root: Path) -> str:
    path = root / SPEED_BASELINE_PATH
    source = f"random, numpy PCG64, seed {SPEED_BASELINE_SEED}"
    doc = "SRCNN with random weights: for its speed alone, its output means nothing"
    difference = export_onnx(make_random_srcnn(SPEED_BASELINE_SEED), path, doc=doc, metadata={"weights": source})
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
