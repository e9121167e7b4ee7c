"""Fixtures that more than one test module needs."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ROOT = Path(__file__).parent.parent


def find_mirror() -> Path | None:
    """The mirror of upstream files, where there is one."""
    for candidate in (os.environ.get("HARNESS_ASSETS"), ROOT.parent / "shared" / "assets"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    return None


@pytest.fixture(scope="session")
def assets_dir() -> Path:
    mirror = find_mirror()
    if mirror is None:
        pytest.skip("no mirror of the upstream files (HARNESS_ASSETS or ../shared/assets)")
    return mirror
