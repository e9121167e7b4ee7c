"""A working folder as a user has it, and the commands run in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import models
import onnx

ROOT = Path(__file__).parent.parent.parent
TINY = ("--challenge", "challenge/tiny.toml", "--dataset", "pictures")

WARNINGS = (
    *("-W", "error::ResourceWarning"),
    *("-W", "ignore::ResourceWarning:importlib._bootstrap_external"),  # Python's own, where a signal ends an import
)


class Place:
    """A working folder, and `python -m harness` in it as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = folder / "reports" / "records" / "pictures"
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "scratch"),
            "PYTHONPATH": str(ROOT),
            "MPLCONFIGDIR": str(folder / "matplotlib"),  # its list of fonts lies in the home's cache otherwise
        }

    def start(
        self,
        *arguments: str | Path,
        stdout: IO[str] | int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        ignoring: int | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command; a resource that is never closed shows as a traceback on stderr."""
        command = [sys.executable, *WARNINGS, "-m", "harness", *map(str, arguments)]

        def handle_signals() -> None:
            # a shell that runs the tests in the background has them ignore it, and their children too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if ignoring is not None:
                signal.signal(ignoring, signal.SIG_IGN)

        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=stdout,
            stderr=stderr,
            text=True,
            preexec_fn=handle_signals,  # noqa: PLW1509
        )

    def harness(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=300)
        done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert not list((self.folder / "scratch").iterdir())
        return done

    def succeed(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        done = self.harness(*arguments)
        assert done.returncode == 0, done.stderr
        assert "error: " not in done.stderr
        return done

    def refuse(self, exit_code: int, *arguments: str | Path) -> str:
        """Run a command that must end with this code and one sentence, which comes back."""
        done = self.harness(*arguments)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert (done.returncode, len(errors)) == (exit_code, 1), done.stderr
        return errors[0]

    def submit(self, folder: str, model: onnx.ModelProto | bytes | None = None, **keys: str) -> Path:
        """A submission's folder below ./submissions, made for the tiny challenge."""
        return models.write_submission(self.folder / "submissions" / folder, model, **({"challenge": "tiny"} | keys))

    def read_reports(self) -> dict[str, bytes]:
        """Every file of the reports."""
        folder = self.folder / "reports"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
