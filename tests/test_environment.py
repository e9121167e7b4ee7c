"""What a record says of machine and code."""

import datetime
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from harness import environment
from harness.records import Environment


def test_description_is_complete_and_can_be_stored() -> None:
    described = environment.describe_environment()
    assert msgspec.json.decode(msgspec.json.encode(described), type=Environment) == described
    assert described.cpu_count >= 1
    assert described.cpu_model
    assert described.packages["numpy"] == metadata.version("numpy")
    started = datetime.datetime.fromisoformat(described.started_utc)
    assert started.utcoffset() == datetime.timedelta(0)
    assert abs((datetime.datetime.now(datetime.UTC) - started).total_seconds()) < 60


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own in the place of this one."""
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "code.py").write_text("1\n")
    run = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "harness"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*run, *arguments], check=True)
    return tmp_path


def test_commit_and_changes(checkout: Path) -> None:
    clean = environment.describe_environment()
    assert len(clean.git_commit) == 40
    assert not clean.git_dirty
    (checkout / "reports.md").write_text("not code")
    assert not environment.describe_environment().git_dirty
    (checkout / "harness" / "code.py").write_text("2\n")
    dirty = environment.describe_environment()
    assert dirty.git_dirty
    assert dirty.git_commit == clean.git_commit


def test_installed_package_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    described = environment.describe_environment()
    assert described.git_commit == ""
    assert not described.git_dirty


def test_machine_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert environment.run_git("rev-parse", "HEAD") == ""


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\nmodel name\t: Other\n", "Some CPU @ 2 GHz: fast"),
        ("processor\t: 0\n", environment.platform.machine()),
    ],
)
def test_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, model: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
    assert environment.read_cpu_model() == model


def test_processor_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "missing")
    assert environment.read_cpu_model() in (environment.platform.processor(), environment.platform.machine())


def test_package_under_another_name_is_left_out() -> None:
    assert environment.find_versions(("numpy", "no-such-package")) == {"numpy": metadata.version("numpy")}


def test_packages_of_a_format_are_named_beside_the_usual_ones() -> None:
    packages = environment.describe_environment(("pytest",)).packages
    assert packages == environment.describe_environment().packages | {"pytest": metadata.version("pytest")}
