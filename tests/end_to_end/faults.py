"""What the tests of faults share: who still runs in a place, what lies in it, and how a run is hit at some moment."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import models
import psutil
from place import TINY, Place
from processes import wait_for

from harness.archive import read_record
from harness.records import Record

THREE = ("good", "late", "third")
QUICK = ("run", *TINY, "--no-timing", "--no-images")


def submit_three(place: Place) -> None:
    """Two submissions beside `good`."""
    place.submit("late", models.brighten(0.06))
    place.submit("third", models.brighten(0.04))


def list_processes(folder: Path) -> list[int]:
    """Processes that work in a folder: the commands of a place, and their children by their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(str(folder) in text for text in (process.cwd(), *process.environ().values())):
                found.append(process.pid)
    return found


def list_workers(pid: int) -> Iterator[psutil.Process]:
    """The children of a command in which models run."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if "harness.worker" in child.cmdline():
                    yield child


def wait_for_busy_worker(pid: int) -> psutil.Process:
    """The worker of a command, once it has been busy for a while: the model runs."""
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s:
        for child in list_workers(pid):
            with contextlib.suppress(psutil.Error):
                if child.cpu_times().user > 2:
                    return child
        time.sleep(0.05)
    raise TimeoutError("no model was run")


def kill_after(place: Place, delay_s: float, victim: str, *arguments: str) -> tuple[int, str, bool]:
    """Start a command and kill it or its worker after a while: exit code, stderr, whether a worker was killed."""
    killed = False
    with place.start(*arguments) as process:
        time.sleep(delay_s)
        if victim == "parent":
            process.kill()
        else:
            for worker in list_workers(process.pid):
                with contextlib.suppress(psutil.Error):
                    worker.kill()
                    killed = True
        _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    assert wait_for(lambda: not list_processes(place.folder)), "an orphan process is left"
    return process.returncode, errors, killed


def read_results(place: Place) -> dict[str, bytes]:
    """The bytes of the finished records; every record has to be whole."""
    return {path.stem: path.read_bytes() for path in place.records.glob("*.json") if read_record(path).status == "ok"}


def read_one(place: Place, name: str) -> Record:
    """One submission's record."""
    return read_record(place.records / f"{name}.json")


def list_temporaries(place: Place) -> list[Path]:
    """What no finished command may leave: half-written files, scratch folders, a file that is in no report."""
    below = [path for path in place.folder.rglob("*") if path.name.endswith(".partial")]
    return below + list((place.folder / "scratch").iterdir())


def finish(place: Place) -> None:
    """Run what is missing: what is there stays byte for byte, and nothing temporary is left."""
    before = read_results(place)
    done = place.succeed(*QUICK)
    lines = done.stderr.splitlines()
    for name in THREE:
        sentences = [line for line in lines if line.startswith(f"{name}: ")]
        assert len(sentences) == 1
        assert (
            sentences[0].startswith(f"{name}: as recorded on ") if name in before else sentences == [f"{name}: done."]
        )
        assert read_one(place, name).cost.multiply_adds is not None
    after = read_results(place)
    assert before.items() <= after.items()
    assert after.keys() == set(THREE)
    assert list_temporaries(place) == []
    assert not (place.records / "unfinished").exists()
