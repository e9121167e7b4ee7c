"""The datasets that have a name, a file each: `open_dataset(store, on_progress)`, and SPLITS where they are fixed."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from harness.assets import AssetStore, Progress
from harness.dataset import Dataset, open_folder
from harness.errors import DataError, UsageError
from harness.remote import fetch_folder, is_url
from harness.scoring import suggest_name

KNOWN = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def open_dataset(
    name: str | Path, store: AssetStore, on_progress: Progress | None = None, *, scale: int = 1
) -> Dataset:
    """A dataset by its name, or a folder with source/, target/ and perhaps photos/, or the URL of one.

    Missing upstream files, and those under a URL, are fetched.

    scale: how many times as wide and high as its source a target has to be. UsageError for an unknown name, and where
    the dataset has another scale.
    """
    if str(name) in KNOWN:
        dataset: Dataset = _find_module(str(name)).open_dataset(store, on_progress)
    elif is_url(str(name)):
        dataset = _open_folder(fetch_folder(str(name), store.cache, on_progress), scale)
    elif Path(name).is_dir():
        dataset = _open_folder(Path(name), scale)
    else:
        raise UsageError(
            f"unknown dataset '{name}'{suggest_name(str(name), KNOWN)}: name {', '.join(KNOWN)}, or a folder with "
            "source/ and target/, or its URL"
        )
    if dataset.scale != scale:
        raise UsageError(
            f"the targets of {dataset.name} are {dataset.scale} times as wide and high as its sources, and this "
            f"challenge asks for {scale} times: name another dataset or challenge"
        )
    return dataset


def _open_folder(folder: Path, scale: int) -> Dataset:
    if folder.resolve().name in KNOWN:
        raise UsageError(
            f"the folder {folder} has the name of another dataset, whose records it would replace: rename it"
        )
    return open_folder(folder, scale=scale)


def open_first(
    names: Sequence[str | Path], store: AssetStore, on_progress: Progress | None = None, *, scale: int = 1
) -> Dataset:
    """The first of these that can be had; the note says which it stands in for, and why. DataError where none can."""
    first, *others = names
    try:
        return open_dataset(first, store, on_progress, scale=scale)
    except DataError as error:
        if not others:
            raise
        dataset = open_first(others, store, on_progress, scale=scale)
        return replace(dataset, note=f"{dataset.note} Taken because {Path(first).name} is not available: {error}.")


def find_splits(name: str) -> Mapping[str, tuple[str, ...]]:
    """The names of a known dataset's pairs by split, as far as its file gives them; nothing of an unknown one."""
    return getattr(_find_module(name), "SPLITS", {}) if name in KNOWN else {}


def _find_module(name: str) -> ModuleType:
    return importlib.import_module(f"harness.datasets.{name}")
