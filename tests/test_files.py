"""Temporaries bear their maker's number: what a dead process left is removed, what a living one needs is not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import files
from harness.isolation import ModelProcess

SLEEP = "import time; time.sleep(300)"


@pytest.fixture
def living() -> Iterator[int]:
    """A process that is no harness."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def leave(folder: Path, pid: int | str) -> set[Path]:
    """What a process of that number leaves when it is killed while it writes and measures."""
    partial = folder / "records" / f".good.json.{pid}.a1b2c3.partial"
    scratch = folder / f"harness-{pid}-a1b2c3"
    partial.parent.mkdir(exist_ok=True)
    partial.write_text("half")
    (scratch / "inner").mkdir(parents=True)
    (scratch / "inner" / "file").write_text("")
    return {partial, scratch}


def clean(folder: Path) -> None:
    files.remove_partials(folder)
    files.remove_scratch(folder)


def test_what_a_dead_process_left_is_removed(tmp_path: Path, dead: int) -> None:
    (tmp_path / "other").write_text("")
    leave(tmp_path, dead)
    clean(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["other", "records"]


def test_what_a_living_process_made_stays(tmp_path: Path, living: int) -> None:
    made = leave(tmp_path, living)
    clean(tmp_path)
    assert all(path.exists() for path in made)


def test_a_number_given_out_again_keeps_nothing(tmp_path: Path, living: int) -> None:
    made = leave(tmp_path, living)
    for path in made:
        os.utime(path, (time.time() - 3600,) * 2)  # older than the process that has the number now
    clean(tmp_path)
    assert not any(path.exists() for path in made)


def test_in_doubt_a_harness_that_runs_is_the_maker(tmp_path: Path) -> None:
    """After the clock was set forward, a process can seem younger than what it made."""
    with subprocess.Popen([sys.executable, "-c", SLEEP, "-m", "harness"]) as process:
        made = leave(tmp_path, process.pid)
        for path in made:
            os.utime(path, (time.time() - 3600,) * 2)
        clean(tmp_path)
        process.kill()
    assert all(path.exists() for path in made)


def test_the_own_number_is_that_of_an_earlier_process(tmp_path: Path) -> None:
    """In a container each run can have the same number."""
    made = leave(tmp_path, os.getpid())
    clean(tmp_path)
    assert not any(path.exists() for path in made)


@pytest.mark.parametrize("pid", ["", "x", "-1", "1.5", "²", "9" * 30])
def test_other_names_are_let_alone(tmp_path: Path, pid: str) -> None:
    made = leave(tmp_path, pid)
    clean(tmp_path)
    if pid == "9" * 30:  # no process can have it
        assert not any(path.exists() for path in made)
    else:
        assert (tmp_path / f"harness-{pid}-a1b2c3").exists()


def test_a_link_is_not_followed(tmp_path: Path, dead: int) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("")
    (tmp_path / f"harness-{dead}-x").symlink_to(kept)
    clean(tmp_path)
    assert (kept / "file").exists()


def test_the_names_are_those_that_are_looked_for(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelProcess(memory_limit_bytes=10**9):
        (folder,) = scratch.iterdir()
    assert folder.name.startswith(f"harness-{os.getpid()}-")
    seen = []
    monkeypatch.setattr(Path, "replace", lambda path, _target: seen.append(path))
    files.write_atomically(tmp_path / "a.json", b"content")
    assert seen[0].name.startswith(f".a.json.{os.getpid()}.")
    assert seen[0].exists()
    files.remove_partials(tmp_path)
    assert not seen[0].exists()


def test_a_file_and_then_its_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").resolve(), (tmp_path / "a").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    files.write_atomically(tmp_path / "a", b"content")
    (file, renamed_before), (folder, renamed_after) = synced
    assert (file.parent, folder) == (tmp_path, tmp_path)
    assert (renamed_before, renamed_after) == (False, True)


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    files.probe_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
