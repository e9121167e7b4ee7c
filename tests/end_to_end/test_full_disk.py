"""A full disk, as small file systems of their own: earlier records stay whole, one sentence says what is full."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import QUICK, THREE, list_temporaries, read_results, submit_three
from place import TINY, Place
from processes import linux

pytestmark = linux
PAGE_BYTES = 4096


@pytest.fixture
def mount() -> Iterator[Callable[..., Path]]:
    """Mounts a small file system in memory; only root may."""
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> Path:
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, *, leave_pages: int) -> Path:
    """Use up a file system but for some pages."""
    filler, pages = folder / "filler", 0
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            pages += file.write(bytes(PAGE_BYTES)) // PAGE_BYTES
    filler.write_bytes(bytes((pages - leave_pages) * PAGE_BYTES))
    return filler


@pytest.mark.parametrize("leave_pages", [0, 1, 2])
def test_records_that_no_longer_fit(place: Place, mount: Callable[..., Path], leave_pages: int) -> None:
    submit_three(place)
    reports = mount(place.folder / "small", "size=6m")  # the page's script has 4.8 MB
    place.records = reports / "records" / "pictures"
    options = ("--reports", "small")
    place.succeed("run", "submissions/good", *QUICK[1:], *options)
    before = read_results(place)
    filler = fill(reports, leave_pages=leave_pages)
    error = place.refuse(5, *QUICK, *options)
    assert "cannot be written (No space left on device); choose another folder with --reports." in error
    after = read_results(place)
    assert before.items() <= after.items()
    assert list_temporaries(place) == []
    filler.unlink()
    done = place.succeed(*QUICK, *options)
    assert done.stderr.count(": as recorded on ") == len(after)
    assert read_results(place).keys() == set(THREE)


def test_a_scratch_folder_that_cannot_be_made(place: Place, mount: Callable[..., Path]) -> None:
    scratch = mount(place.folder / "small", "size=1m,nr_inodes=2")  # the root folder and one more
    place.environment["TMPDIR"] = str(scratch)
    before = place.read_reports()
    error = place.refuse(5, "run", "--threads", "1", *TINY)  # time needs two processes at once
    assert error.startswith(f"error: {scratch}/harness-")
    assert error.endswith("cannot be written (No space left on device); free some space.")
    assert place.read_reports() == before
    assert list(scratch.iterdir()) == []


def test_no_scratch_folder_anywhere(place: Place) -> None:
    """Stands for full disks everywhere: tempfile then finds no folder."""
    (place.folder / "sitecustomize.py").write_text(
        "import errno, tempfile\n"
        "def fail():\n"
        "    raise FileNotFoundError(errno.ENOENT, 'No usable temporary directory found in [...]')\n"
        "tempfile.gettempdir = fail\n"
    )
    place.environment["PYTHONPATH"] += f":{place.folder}"
    error = place.refuse(5, *QUICK)
    assert error.startswith("error: no scratch folder can be made: ")
    assert error.endswith("free some space or set TMPDIR.")
