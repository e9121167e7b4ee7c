"""Datasets under a URL: fetched once, whole, and as they are now."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from harness import remote
from harness.assets import AssetStore
from harness.dataset import open_folder
from harness.datasets import open_dataset
from harness.errors import DataError, UsageError

pytest.importorskip("fsspec")


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    store = AssetStore(None, offline=True)
    store.cache = tmp_path / "cache"
    return store


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return tiny.write_dataset(tmp_path / "there" / "pictures")


@pytest.fixture
def served(pictures: Path) -> Iterator[str]:
    """A web server's URL of the folder above the pictures."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(pictures.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_url_gives_the_very_images_of_its_folder(pictures: Path, store: AssetStore) -> None:
    seen: list[tuple[int, int]] = []
    dataset = open_dataset(pictures.as_uri(), store, lambda done, total: seen.append((done, total)))
    here = open_folder(pictures)
    assert (dataset.name, dataset.sha256, dataset.splits) == ("pictures", here.sha256, here.splits)
    assert seen == [(7, 7)]
    shutil.rmtree(pictures / "photos")
    (pictures / "notes.txt").write_text("not of the dataset")
    assert open_dataset(pictures.as_uri(), store).photos == ()  # another listing, another copy
    assert seen == [(7, 7)]


def test_what_is_there_is_not_fetched_again(pictures: Path, store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = remote.fetch_folder(pictures.as_uri(), store.cache)
    monkeypatch.setattr(remote, "download", lambda *_: pytest.fail("it is there"))
    assert remote.fetch_folder(pictures.as_uri(), store.cache) == first
    assert [path.name for path in store.cache.glob("datasets/*/*")] == ["pictures"]


def test_a_web_server_and_an_archive_serve_as_well(served: str, pictures: Path, store: AssetStore) -> None:
    pytest.importorskip("aiohttp")
    here = open_folder(pictures)
    assert open_dataset(f"{served}/pictures", store).sha256 == here.sha256
    shutil.make_archive(str(pictures.parent / "packed"), "zip", pictures)
    packed = open_dataset(f"zip://::{(pictures.parent / 'packed.zip').as_uri()}", store)
    assert (packed.name, packed.sha256) == ("packed", here.sha256)


def test_a_broken_download_leaves_nothing(pictures: Path, store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object) -> None:
        raise OSError("the line is cut")

    with monkeypatch.context() as patch, pytest.raises(DataError, match="the line is cut"):
        patch.setattr(remote, "get_files", break_off)
        open_dataset(pictures.as_uri(), store)
    assert not [path for path in store.cache.rglob("*") if path.is_file()]
    assert open_dataset(pictures.as_uri(), store).name == "pictures"


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("nowhere://bucket/pictures", DataError, "nowhere://bucket/pictures cannot be opened (Protocol not known"),
        ("zip://::file:///does/not/exist.zip", DataError, "zip://::file:///does/not/exist.zip cannot be opened ("),
        ("file:///does/not/exist", DataError, "file:///does/not/exist "),
        ("memory://empty", DataError, "memory://empty holds no source/ and target/"),
        ("memory://user:secret@host/a?key=secret", DataError, "memory://host/a "),
    ],
)
def test_a_bad_url_is_one_sentence(url: str, kind: type[Exception], words: str, store: AssetStore) -> None:
    with pytest.raises(kind) as caught:
        open_dataset(url, store)
    assert str(caught.value).startswith(words)
    assert "secret" not in str(caught.value)


def test_no_listing_leads_out_of_the_folder() -> None:
    found = {
        "b/source/0.png": {},
        "b/source/../../x": {},
        "b/source/deep/0.png": {},
        "b/other/0.png": {},
        "b/0.png": {},
    }
    assert list(remote.list_images(found, "b")) == ["source/0.png"]


def test_the_name_of_a_known_dataset_is_refused(pictures: Path, store: AssetStore) -> None:
    pictures.rename(pictures.parent / "embedded")
    with pytest.raises(UsageError, match="has the name of another dataset"):
        open_dataset((pictures.parent / "embedded").as_uri(), store)
