"""The folder of a training run, whose files are whole at every moment.

log.csv             a row a validation
checkpoint.pt       all that the run needs to go on
model.safetensors   the selected weights, with what they are
run.json            what the run is made of, and where it ran
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from harness.environment import read_cpu_model, run_git
from harness.files import write_atomically

CHECKPOINT, LOG, MODEL, RUN = "checkpoint.pt", "log.csv", "model.safetensors", "run.json"


@contextlib.contextmanager
def open_run_folder(out: Path) -> Iterator[None]:
    """Make the folder, keep it to this process, and clear away the drafts of one that was killed.

    ValueError when another process is at work in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {out} ({error.strerror}): give another with --out") from error
    descriptor = os.open(out, os.O_RDONLY)
    try:
        lock_folder(descriptor, out)
        for name in (CHECKPOINT, LOG, MODEL, RUN):
            for draft in out.glob(f".{name}.*"):
                draft.unlink()
        yield
    finally:
        os.close(descriptor)


def lock_folder(descriptor: int, out: Path) -> None:
    """Hold the folder's lock, which the kernel takes back from a process that is killed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"another process is training in {out}: wait for it, or give another folder") from error


def read_checkpoint(out: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What the folder's checkpoint holds, on the CPU; None where there is none.

    ValueError for one that cannot be read, or that belongs to a run of another identity.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(stored["identity"])
    except OSError:
        raise
    except Exception as error:  # a damaged file can make the unpickler raise anything
        raise ValueError(f"{path} is no checkpoint, or a damaged one: delete it to start again") from error
    for name, value in identity.items():
        before = found.get(name)
        if before != value:
            change = list_changes(before, value) if isinstance(value, dict) else f"{before}, now {value}"
            raise ValueError(f"{path} is of a run with other {name} ({change}): give another folder with --out")
    return stored


def list_changes(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """The keys whose values differ."""
    return ", ".join(key for key in now if (before or {}).get(key) != now[key])


def write_checkpoint(out: Path, content: bytes) -> None:
    """Put a checkpoint in place of the last one."""
    write_atomically(out / CHECKPOINT, content)


def write_log(out: Path, rows: list[dict[str, float]]) -> None:
    """Write the whole log, if it has begun; a value that a row does not have is empty."""
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out / LOG, text.getvalue().encode())


def write_weights(out: Path, weights: dict[str, torch.Tensor], metadata: dict[str, Any]) -> Path:
    """Write weights as safetensors; metadata that are no strings are JSON."""
    path = out / MODEL
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, texts))
    return path


def write_run(out: Path, facts: dict[str, Any]) -> None:
    """Write run.json: `facts`, and where they come from."""
    write_atomically(out / RUN, (json.dumps(facts | describe_machine(), indent=2) + "\n").encode())


def describe_machine() -> dict[str, Any]:
    """The machine, the versions and the commit that a run's numbers depend on."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "cpu": read_cpu_model(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "git_commit": run_git("rev-parse", "HEAD"),
        "git_dirty": bool(run_git("status", "--porcelain", "--", "reference")),
    }
