"""On which machine, from which commit and with which packages a record is made."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from harness.records import Environment

PACKAGES = ("numpy", "scipy", "onnxruntime", "onnx", "pillow", "scikit-image")


def describe_environment() -> Environment:
    """The state of this machine and of the package's checkout, now."""
    commit = run_git("rev-parse", "HEAD")
    return Environment(
        started_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        git_commit=commit,
        git_dirty=bool(commit and run_git("status", "--porcelain", "--", "harness", "submissions")),
        cpu_model=read_cpu_model(),
        cpu_count=count_cpus(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in PACKAGES},
    )


def count_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def run_git(*arguments: str) -> str:
    """One git answer about the package's own checkout; empty where there is no git or no checkout."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
