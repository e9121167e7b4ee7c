"""Upstream files that arrive damaged or cannot be kept: one sentence, and nothing half-done in the cache."""

import errno
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
import pytest
import requests
from bad_input import DATA, Case, check_refusal, write
from place import Place

from harness import assets

NAME = "aiff22/ai-challenge/dped/patches/iphone/0.jpg"
CONTENT = bytes(range(256)) * 400
FETCH = ("fetch", "pirm2018b")
FETCH_FROM_MIRROR = (*FETCH, "--assets", "mirror")
WHAT_TO_DO = "run `harness fetch` with a network, or point --assets"


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers every request alike."""

    status, body, length = 200, CONTENT, len(CONTENT)

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Upstream]]:
    """A server in GitHub's place, and a manifest of one file."""
    handler = type("Handler", (Upstream,), {})
    monkeypatch.setattr(assets, "read_manifest", lambda: {NAME: hashlib.sha256(CONTENT).hexdigest()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        real_get, address = requests.get, f"http://127.0.0.1:{server.server_port}"

        def get(url: str, **options: object) -> requests.Response:
            return real_get(url.replace("https://raw.githubusercontent.com", address), **options)

        monkeypatch.setattr(requests, "get", get)
        yield handler
        server.shutdown()


def list_cache(place: Place) -> list[str]:
    """Files in the user's cache."""
    home = place.folder / "home"
    return [path.name for path in home.rglob("*") if path.is_file()] if home.is_dir() else []


def find_cache(place: Place) -> Path:
    return place.folder / "home" / ".cache" / "efficient-enhancement-harness"


def put_in_mirror(content: bytes) -> Callable[[Place], object]:
    return lambda place: write(place.folder / "mirror" / NAME, content)


def do_nothing(place: Place) -> None:
    """The server alone is at fault."""


@pytest.mark.parametrize(
    ("answer", "fault", "remedy"),
    [
        ({"body": CONTENT[: len(CONTENT) // 2]}, "cannot download", WHAT_TO_DO),
        ({"body": b""}, "cannot download", WHAT_TO_DO),
        ({"body": CONTENT[:-1], "length": len(CONTENT) - 1}, "has a wrong checksum", "try again, or run"),
        ({"body": CONTENT[:-1] + b"x"}, "has a wrong checksum", "try again, or run"),
        ({"status": 404}, "404", WHAT_TO_DO),
        ({"status": 429}, "429", WHAT_TO_DO),
        ({"status": 503}, "503", WHAT_TO_DO),
    ],
    ids=["half", "nothing", "a byte too few", "a wrong byte", "404", "429", "503"],
)
def test_a_bad_download(
    place: Place, upstream: type[Upstream], answer: dict[str, object], fault: str, remedy: str
) -> None:
    for name, value in answer.items():
        setattr(upstream, name, value)
    check_refusal(place, Case("", do_nothing, NAME, fault, remedy, FETCH, DATA))
    assert list_cache(place) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], b"", CONTENT + b"x", b"version https://git-lfs.github.com/spec/v1"])
def test_a_wrong_sum_in_the_mirror(place: Place, content: bytes) -> None:
    case = Case("", put_in_mirror(content), f"mirror/{NAME}", "wrong checksum", "replace it", FETCH_FROM_MIRROR, DATA)
    check_refusal(place, case)
    assert list_cache(place) == []


def test_a_wrong_sum_in_a_process_of_its_own(place: Place) -> None:
    write(place.folder / "mirror" / assets.PRISTINE_MAT, b"something else")
    error = place.refuse(DATA, "fetch", "niqe", "--assets", "mirror")
    assert f"mirror/{assets.PRISTINE_MAT} is not the upstream file (wrong checksum): replace it" in error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    fault, remedy = f"({os.strerror(code)})", "make the folder writable, or room on its disk"
    check_refusal(place, Case("", do_nothing, f"cannot store {NAME} in", fault, remedy, FETCH, DATA))
    assert list_cache(place) == []


@pytest.fixture
def small_disk(place: Place) -> Iterator[None]:
    """A file system of 16 kB where the cache is."""
    folder = find_cache(place)
    folder.mkdir(parents=True)
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if not mount or not unmount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield
    subprocess.run([unmount, str(folder)], check=True)


def test_a_full_disk(place: Place, small_disk: None) -> None:
    fault, remedy = "(No space left on device)", "make the folder writable, or room on its disk"
    check_refusal(place, Case("", do_nothing, NAME, fault, remedy, FETCH, DATA))
    assert list_cache(place) == []


def test_a_cache_that_cannot_be_a_folder(place: Place) -> None:
    def spoil(place: Place) -> None:
        write(place.folder / "home" / ".cache", b"in the way")

    check_refusal(place, Case("", spoil, f"cannot store {NAME}", "Not a directory", "make the folder", FETCH, DATA))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_cache(place: Place) -> None:
    def spoil(place: Place) -> None:
        find_cache(place).mkdir(parents=True)
        find_cache(place).chmod(0o500)

    check_refusal(place, Case("", spoil, f"cannot store {NAME}", "", "make the folder writable", FETCH, DATA))
    find_cache(place).chmod(0o700)


def test_a_cached_file_that_cannot_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    case = Case(
        "", put_in_mirror(CONTENT), f"mirror/{NAME}", "Input/output error", "replace it", FETCH_FROM_MIRROR, DATA
    )
    check_refusal(place, case)
