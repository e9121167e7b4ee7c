"""On which machine, from which commit and with which packages a record is made."""

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from harness.formats import PACKAGE
from harness.records import Environment

PACKAGES = (PACKAGE, "numpy", "scipy", "numba", "onnxruntime", "onnx", "pillow", "scikit-image")
"""Those whose version can change a digit or a time; an installed harness has no commit, but a version."""
CHECKOUT = Path(__file__).parent.parent
CPUINFO = Path("/proc/cpuinfo")


def describe_environment(packages: Sequence[str] = (), host: str = "") -> Environment:
    """The state of this machine and of the package's checkout, now.

    packages: those to name beside the usual ones. host: the machine's name, where it is to be told.
    """
    commit = run_git("rev-parse", "HEAD")
    return Environment(
        started_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        git_commit=commit,
        git_dirty=bool(commit and run_git("status", "--porcelain", "--", "harness", "submissions")),
        cpu_model=read_cpu_model(),
        cpu_count=count_cpus(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=find_versions([*PACKAGES, *packages]),
        host=host,
    )


def is_same_machine(one: Environment, other: Environment) -> bool:
    """Whether both name one host, with one kind of processor and system."""
    return all(getattr(one, name) == getattr(other, name) for name in ("host", "cpu_model", "cpu_count", "os"))


def count_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_cores() -> int:
    """Physical cores, as far as this process may use them."""
    return max(1, min(psutil.cpu_count(logical=False) or count_cpus(), count_cpus()))


def read_cpu_model() -> str:
    """The processor's name as the kernel gives it, else its architecture."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def find_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of packages; one that is installed under another name (onnxruntime-gpu, say) is left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def run_git(*arguments: str) -> str:
    """One git answer about the package's own checkout; empty where there is no git or no checkout."""
    if not (CHECKOUT / ".git").exists():
        return ""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
