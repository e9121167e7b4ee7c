"""The pages name tests that are there."""

import re
from pathlib import Path

import pytest

from harness.cli import COMMANDS

TESTS = Path(__file__).parent
PAGES = TESTS.parent / "docs"


@pytest.mark.parametrize(("page", "least"), [("measurement.md", 8), ("codabench.md", 5)])
def test_every_test_that_a_page_names_is_there(page: str, least: int) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)(?:\[[^`]*\])?`", text))
    assert len(names) > least
    assert {name for name in names if f"def {name}(" not in sources} == set()
    files = set(re.findall(r"`(test_\w+\.py)`", text))
    assert {name for name in files if not (TESTS / name).exists()} == set()


def test_every_command_that_the_pages_name_is_there() -> None:
    pages = [TESTS.parent / "README.md", *(TESTS.parent / "docs").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    named = set(re.findall(r"(?:^ {4}|^\$ |`|run: )harness ([a-z][a-z-]+)", text, re.MULTILINE))
    assert len(named) > 10
    assert named - set(COMMANDS) == set()
