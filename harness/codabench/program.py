"""The scoring program: this package's sources, the versions of what they need, settings, and what starts them."""

import sys
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness
from harness.challenge import Challenge
from harness.codabench.competition import Competition, Span
from harness.codabench.packing import place_below
from harness.codabench.reference import name_challenge
from harness.codabench.settings import FILE, Settings, encode_settings
from harness.errors import UsageError
from harness.formats import PACKAGE
from harness.metrics.bridge import PREFIX

SOURCES = Path(harness.__file__).parent
COMMAND = "python3 /app/program/score.py /app/input /app/output /app/data"
"""As a worker runs it: without a shell, split at each space."""


def collect_program(competition: Competition, span: Span) -> dict[str, bytes | Path]:
    """All files of the scoring program of one phase, by their place."""
    return {
        "metadata.yaml": f"command: {COMMAND}\n".encode(),
        "score.py": SOURCES / "codabench" / "bootstrap.py",
        FILE: encode_settings(describe_settings(competition, span)),
        "requirements.txt": list_requirements(competition.challenge),
        **place_below("harness", collect_package()),
    }


def describe_settings(competition: Competition, span: Span) -> Settings:
    """How this phase scores."""
    wishes, dataset = competition.wishes, competition.dataset
    return Settings(
        challenge=name_challenge(competition),
        phase=span.name,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        folder=competition.folder is not None,
        with_data=wishes.with_data,
        split=competition.split,
        timing=competition.timing,
        budget_s=wishes.budget_s,
        columns=competition.columns,
    )


def collect_package() -> dict[str, bytes | Path]:
    """This package as it runs here, so that it scores there as it does here."""
    paths = (path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(SOURCES).as_posix(): path for path in paths}


def list_requirements(challenge: Challenge) -> bytes:
    """Exact versions of all packages that a scoring needs, as they are installed here."""
    extras = {"iqa"} if any(metric.name.startswith(PREFIX) for metric in challenge.metrics) else set()
    found = sorted(set(walk_requirements(extras)))
    return "".join(f"{name}=={version}\n" for name, version in found).encode()


def walk_requirements(extras: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Name and version of each package that this one needs, itself or by another one; extras: of its own.

    Raises UsageError where this package was not installed.
    """
    waiting = [(PACKAGE, frozenset(extras))]
    seen = set(waiting)
    while waiting:
        name, asked = waiting.pop()
        try:
            needed = metadata.requires(name) or []
            if name != PACKAGE:
                yield name, metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            raise UsageError(
                f"{name} is not installed, so the versions to score with are not known; pip install {PACKAGE}."
            ) from None
        for requirement in map(Requirement, needed):
            found = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if found not in seen and applies(requirement, asked):
                seen.add(found)
                waiting.append(found)


def applies(requirement: Requirement, extras: Collection[str]) -> bool:
    """Whether a package is needed on this system, with these extras of the one that names it."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def name_image() -> str:
    """Python's own image, of the version that runs here."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def write_dockerfile() -> bytes:
    """An image with all packages in it, so that nothing is installed before a scoring."""
    return (
        f"# docker build -t NAME/IMAGE:1 . && docker push NAME/IMAGE:1, beside requirements.txt\n"
        f"FROM {name_image()}\n"
        "# the isolation of models needs it\n"
        "RUN apt-get update && apt-get install --yes --no-install-recommends libseccomp2 "
        "&& rm -rf /var/lib/apt/lists/*\n"
        "COPY requirements.txt /requirements.txt\n"
        "RUN python -m pip install --no-cache-dir --requirement /requirements.txt\n"
    ).encode()
