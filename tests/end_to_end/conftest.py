"""Places to run the commands in: a tiny challenge, a tiny dataset and a submission."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import models
import pytest
import tiny
from place import TINY, Place


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place in which the submission `good` has been evaluated, without time."""
    folder = tmp_path_factory.mktemp("finished")
    tiny.write_challenge(folder / "challenge")
    tiny.write_dataset(folder / "pictures")
    (folder / "scratch").mkdir()
    place = Place(folder)
    place.submit("good", models.brighten())
    place.succeed("run", *TINY, "--no-timing", "--no-images")
    return folder


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Place:
    """A copy of it for one test."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


@pytest.fixture
def tiny_options() -> Sequence[str]:
    """Evaluate on the tiny dataset, without time and pictures."""
    return (*TINY, "--no-timing", "--no-images")
