"""What only the scoring program sees: the challenge with its baseline, and the pairs and photos."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import tomli_w

from harness.assets import AssetStore, find_pristine_model
from harness.codabench.competition import Competition
from harness.codabench.packing import place_below

CHALLENGE, DATASET, ASSETS, CACHE = "challenge", "dataset", "assets", "cache"
"""Folders of the reference data."""
PARTS = ("source", "target", "photos")


def collect_reference(competition: Competition) -> dict[str, bytes | Path]:
    """All files of the reference data by their place."""
    files = place_below(CHALLENGE, collect_challenge(competition))
    if competition.wishes.with_data:
        files |= place_below(DATASET, dict(list_images(competition)))
        files |= place_below(ASSETS, competition.store.found)
    files |= collect_pristine(competition)
    return files


def collect_challenge(competition: Competition) -> dict[str, bytes | Path]:
    """The challenge's file, with what it names beside it."""
    challenge, table = competition.challenge, dict(competition.table)
    model = challenge.baseline.model
    table["dataset"] = challenge.dataset_name
    table.pop("stand_in", None)  # nothing takes the place of these pictures
    table["baseline"] = table["baseline"] | {"model": model.name}
    files: dict[str, bytes | Path] = {model.name: model}
    if "calibration" in table.get("mos", {}):  # it stood in a file of its own
        table["mos"] = msgspec.to_builtins(challenge.mos)
    files[name_challenge(competition)] = tomli_w.dumps(table).encode()
    return files


def name_challenge(competition: Competition) -> str:
    """What the challenge's file is called in the bundle."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', competition.challenge.name)}.toml"


def list_images(competition: Competition) -> Iterator[tuple[str, Path]]:
    """The files of a dataset that is a folder; one that the package knows has them in the store, or makes them."""
    if competition.folder is None:
        return
    for part in PARTS:
        folder = competition.folder / part
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not path.name.startswith("."):
                yield f"{competition.dataset.name}/{part}/{path.name}", path


def collect_pristine(competition: Competition) -> dict[str, bytes | Path]:
    """NIQE's pristine model, where a metric needs it: it comes from elsewhere, and a worker may have no network."""
    if all(metric.name != "niqe" for metric in competition.challenge.metrics):
        return {}
    path, store = find_pristine_model(competition.store), competition.store
    for name, known in store.found.items():
        if known == path:
            return {f"{ASSETS}/{name}": path}
    return {f"{CACHE}/{locate_in_cache(store, path)}": path}


def locate_in_cache(store: AssetStore, path: Path) -> str:
    """Where a file of the user's cache lies below the folder of all caches."""
    return path.relative_to(store.cache.parent).as_posix()
