"""What each case of bad input must come to, and the commands run within the test's process, which is fast."""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from place import TINY, Place

from harness import cli

USAGE, SUBMISSION, DATA, RECORD, CHALLENGE = 2, 3, 4, 5, 6  # the README's table of exit codes

VALIDATE = ("validate", "submissions/good", "--challenge", "challenge/tiny.toml")
RUN = ("run", "submissions/good", *TINY, "--no-timing")
BOARD = ("leaderboard", "--challenge", "challenge/tiny.toml", "--dataset", "pictures")
CHECK = ("check", *TINY)


@dataclass(frozen=True)
class Case:
    """How to make the bad thing, and what the one sentence says: which file, what is wrong, what to do."""

    name: str
    spoil: Callable[[Place], object]
    file: str
    fault: str
    remedy: str
    command: Sequence[str]
    exit_code: int

    def __str__(self) -> str:
        return self.name


def check_refusal(place: Place, case: Case) -> str:
    """Spoil the place, run the command, and hold its end against the case. The sentence comes back."""
    case.spoil(place)
    before = list_contents(place)
    done = run_here(place, *case.command)
    errors = [line for line in done.stderr.split("\n") if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (case.exit_code, 1), done.stderr
    assert done.stderr.endswith(errors[0] + "\n")  # it is the last line: nothing goes on behind it
    assert errors[0].isprintable()
    assert len(errors[0]) < 1000
    for part in (case.file, case.fault, case.remedy):
        assert part in errors[0]
    assert list_contents(place) == before
    return errors[0]


def accept(place: Place, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on input that only looks bad."""
    done = run_here(place, *command)
    assert done.returncode == 0, done.stderr
    assert "error: " not in done.stderr
    return done


def run_here(place: Place, *command: str) -> subprocess.CompletedProcess[str]:
    """A command as its own process would see it: its folder, environment and streams. An exception is not caught."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(place.folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr("tempfile.tempdir", place.environment["TMPDIR"])
        patch.setattr(sys, "argv", ["harness", *command])
        for name in ("HARNESS_ASSETS", "XDG_CACHE_HOME", "GITHUB_STEP_SUMMARY"):
            patch.delenv(name, raising=False)
        for name in ("HOME", "TMPDIR"):
            patch.setenv(name, place.environment[name])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not list((place.folder / "scratch").iterdir())
    return subprocess.CompletedProcess(command, ended.value.code or 0, output.getvalue(), errors.getvalue())


def list_contents(place: Place) -> dict[str, bytes | None]:
    """The records with their content, and the names of all other files but reports and the cache."""
    contents: dict[str, bytes | None] = {}
    for path in place.folder.rglob("*"):
        name = path.relative_to(place.folder)
        if name.parts[0] not in ("reports", "home"):
            contents[str(name)] = None
        elif name.parts[:2] == ("reports", "records"):
            contents[str(name)] = path.read_bytes() if path.is_file() else None
    return contents


def write(path: Path, content: bytes | str) -> Path:
    """Put a file there, whatever lay there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
