"""Datasets under a URL (s3://, https:// and all that fsspec opens): fetched once into the cache, by what is listed.

Nothing but source/, target/ and photos/ is fetched, and of these only the files that lie directly in them.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harness.assets import MAKE_ROOM, Progress
from harness.errors import DataError, UsageError, quote
from harness.files import make_scratch

FOLDERS = ("source", "target", "photos")
VERSION_KEYS = ("size", "ETag", "etag", "md5", "mtime", "LastModified", "last_modified", "created", "CRC")
"""What file systems tell of a file that changes with its content, as far as each tells it."""
BATCH = 128


def is_url(name: str) -> bool:
    """Whether a dataset is named by a URL."""
    return "://" in name


def fetch_folder(url: str, cache: Path, on_progress: Progress | None = None) -> Path:
    """The folder of a dataset, in the cache. Raises UsageError where a package for it is missing, and DataError."""
    shown = hide_secrets(url)
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{shown} needs a package that is not installed: {quote(error)}") from None
    except Exception as error:
        raise DataError(f"{shown} cannot be opened ({quote(error)}): correct the URL, or mend access to it") from error
    try:
        listed = list_images(system.find(root, detail=True), root)
    except Exception as error:  # each file system has exceptions of its own
        raise DataError(f"{shown} cannot be listed ({quote(error)}): correct the URL, or mend access to it") from error
    if not listed:
        raise DataError(f"{shown} holds no source/ and target/ with images: correct the URL")
    folder = cache / "datasets" / compute_key(url, listed) / name_folder(url, root)
    if not folder.is_dir():
        try:
            download(system, listed, folder, on_progress)
        except Exception as error:
            raise DataError(f"{shown} cannot be fetched ({quote(error)}): try again, or {MAKE_ROOM}") from error
    return folder


def list_images(found: Mapping[str, Mapping[str, Any]], root: str) -> dict[str, Mapping[str, Any]]:
    """What is told of each file that belongs to a dataset, by its path in the dataset; `name` is where it lies."""
    listed: dict[str, Mapping[str, Any]] = {}
    for path, told in found.items():
        inner = PurePosixPath(path.removeprefix(root).lstrip("/"))
        if len(inner.parts) == 2 and inner.parts[0] in FOLDERS and ".." not in inner.parts:
            listed[str(inner)] = {**told, "name": path}
    return listed


def compute_key(url: str, listed: Mapping[str, Mapping[str, Any]]) -> str:
    """Another one as soon as the listing differs."""
    versions = [[path, [str(told.get(key)) for key in VERSION_KEYS]] for path, told in sorted(listed.items())]
    return hashlib.sha256(json.dumps([url, versions]).encode()).hexdigest()[:32]


def name_folder(url: str, root: str) -> str:
    """What the dataset is called: the last part of the path, or the archive's name."""
    return PurePosixPath(root).name or PurePosixPath(hide_secrets(url)).stem


def download(system: Any, listed: Mapping[str, Mapping[str, Any]], folder: Path, on_progress: Progress | None) -> None:
    """Have the files in a folder that appears complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with make_scratch(folder.parent) as scratch:
        partial, done = Path(scratch) / folder.name, 0
        paths = list(listed)
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            get_files(system, [listed[path]["name"] for path in part], [partial / path for path in part])
            done += len(part)
            if on_progress:
                on_progress(done, len(listed))
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # or another process was faster
                raise


def get_files(system: Any, sources: Sequence[str], targets: Sequence[Path]) -> None:
    """Fetch some files, side by side where the file system can."""
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    system.get(list(sources), [str(target) for target in targets])


def hide_secrets(url: str) -> str:
    """The URL as it may be shown: without a password, and without what follows a question mark."""
    return quote(re.sub(r"//[^/@]*@", "//", url.partition("?")[0]))
