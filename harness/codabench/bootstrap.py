"""The first to run on Codabench's worker: sees that the packages are there, and hands over to the harness beside it.

    python3 score.py INPUT OUTPUT [DATA]

It needs the standard library alone, and an interpreter that is too old still understands it well enough to be told so.
Where the image lacks a package of requirements.txt, all are installed into a folder of their own, which needs a
network and a minute; an image made from the Dockerfile in the bundle has them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST = (3, 11)
HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
REMEDY = (
    "build an image from the Dockerfile in the bundle, push it, and name it as the competition's docker image "
    "(the organiser can do that)."
)


def main(arguments: list[str]) -> int:
    """Go on as `harness.codabench.scoring`; comes back only where that cannot be."""
    if sys.version_info < OLDEST:
        return refuse(
            f"this image has Python {sys.version_info[0]}.{sys.version_info[1]}, and harness needs "
            f"{OLDEST[0]}.{OLDEST[1]} or later; {REMEDY}"
        )
    python, missing = sys.executable, find_missing()
    if missing:
        say(f"This image lacks {', '.join(missing[:3])}{' and others' if len(missing) > 3 else ''}; installing.")
        python, fault = install(tempfile.mkdtemp(prefix="packages-"))
        if fault:
            return refuse(f"the packages that harness needs cannot be installed here ({fault}); {REMEDY}")
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-P", "-m", "harness.codabench.scoring", str(HERE), *arguments]
    return os.execve(python, command, environment)  # noqa: S606


def find_missing() -> list[str]:
    """Requirements that are not installed in just that version: another one gives other digits."""
    from importlib import metadata

    missing = []
    for line in REQUIREMENTS.read_text(encoding="utf-8").split():
        name, _, version = line.partition("==")
        try:
            if metadata.version(name) != version:
                missing.append(line)
        except metadata.PackageNotFoundError:
            missing.append(line)
    return missing


def install(folder: str) -> tuple[str, str]:
    """An interpreter that has the packages; or why there is none."""
    python = str(Path(folder) / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    for command in ([sys.executable, "-m", "venv", folder], [*pip, "--requirement", str(REQUIREMENTS)]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            return "", (done.stdout.strip().splitlines() or ["no reason given"])[-1]
    return python, ""


def say(sentence: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def refuse(sentence: str) -> int:
    """The exit code that goes with a sentence on standard error."""
    sys.stderr.write(f"error: {sentence}\n")
    return 7


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
