"""Content keys: a sha256 over all that a result depends on. What has the same key need not be measured again."""

import dataclasses
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from harness.environment import find_versions
from harness.job import Evaluation
from harness.metrics.bridge import PACKAGES
from harness.records import Environment
from harness.submission import Manifest

SOURCES = Path(__file__).parent
ONLY_SHOWS = (
    *("render", "published", "boards.py", "estimates.py", "sensitivity.py", "cli.py", "commands", "codabench"),
    *("api.py", "export.py", "additions.py", "agreement.py", "peers.py"),
    *("findings.py", "gate.py", "regression.py", "tolerances.py", "gallery.py", "showcase.py", "contact_sheet.py"),
    *("schema.py", "template.py", "outcome.py"),
)
"""What of the package cannot change a result."""
NOT_OF_THE_RESULT = {"started_utc", "git_commit", "git_dirty"}
"""What of the environment cannot: the sources themselves are part of the key."""
NAMED_APART = {"challenge", "dataset", "metrics", "limits", "workers", "allow_code"}
"""Fields of an evaluation that `compute_key` names itself, or that change no value: leave to run programs, workers."""


def compute_key(
    manifest: Manifest, evaluation: Evaluation, *, model_sha256: str, split: str, environment: Environment
) -> str:
    """The key of one submission's result. Any field that Evaluation gets in future becomes part of it by itself."""
    options = {
        field.name: getattr(evaluation, field.name)
        for field in dataclasses.fields(evaluation)
        if field.name not in NAMED_APART
    }
    baseline = evaluation.challenge.baseline.model
    own = [metric for metric in evaluation.metrics if not metric.extra]
    return hash_content(
        {
            "model": model_sha256,
            "manifest": manifest,
            "dataset": [evaluation.dataset.name, evaluation.dataset.sha256, split],
            "challenge": msgspec.structs.replace(evaluation.challenge, dataset=evaluation.challenge.dataset_name),
            # some can be missing; those that were asked for add to a result, and change none
            "metrics": [metric.chosen.name for metric in own],
            "libraries": find_versions(PACKAGES) if any(metric.is_bridged for metric in own) else {},
            "baseline": hash_file(baseline) if evaluation.plan else "",
            "options": options,
            "code": hash_sources(),
            "machine": {
                name: value
                for name, value in msgspec.structs.asdict(environment).items()
                if name not in NOT_OF_THE_RESULT
            },
        }
    )


def hash_content(content: Any) -> str:
    """sha256 of plain values, structs and dataclasses; the order of keys does not count, of a path only the name."""
    encoded = msgspec.json.encode(content, order="sorted", enc_hook=_encode_path)
    return hashlib.sha256(encoded).hexdigest()


def _encode_path(value: Any) -> str:
    if not isinstance(value, Path):
        raise TypeError(f"no part of a key: {value!r}")
    return value.name  # the folders above belong to one machine


def hash_file(path: Path) -> str:
    """sha256 of a file's content, empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


@lru_cache
def hash_sources(folder: Path = SOURCES) -> str:
    """sha256 over the package's modules, but for those that only show results; read once, as they are imported."""
    names = [path.relative_to(folder) for path in folder.rglob("*.py")]
    return hash_content(
        {name.as_posix(): hash_file(folder / name) for name in names if name.parts[0] not in ONLY_SHOWS}
    )
