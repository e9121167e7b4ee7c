"""The site of the documentation: whole, strict, and of nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from harness.schema import KINDS

pytest.importorskip("material", reason="no mkdocs-material here: pip install '.[docs]'")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(\S+?)[\"\s>]|<link\b[^>]*\shref=\"?(\S+?)[\"\s>]")

pytestmark = pytest.mark.slow


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", *options, "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    pages = [path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")]
    index = (site / "index.html").read_text(encoding="utf-8")
    assert len(pages) > 8
    assert [page for page in pages if not (site / page).is_file()] == []
    assert [page for page in pages if f'href="{page.as_posix()}"' not in index and page.name != "index.html"] == []
    assert not (site / "hooks").exists()


def test_every_command_is_described(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"<code>harness {name}</code>" not in page] == []


def test_the_reference_has_docstrings_and_fields(site: Path) -> None:
    page = (site / "reference" / "records.html").read_text(encoding="utf-8")
    assert 'id="harness.records.Timing.samples_ns"' in page
    assert "Times of single runs" in page


def test_the_schemas_are_published(site: Path) -> None:
    for kind in KINDS:
        assert (site / "schema" / f"{kind}.json").read_bytes() == (DOCS / "schema" / f"{kind}.json").read_bytes()


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    fetched = {
        name
        for page in site.rglob("*.html")
        for found in FETCHED.findall(page.read_text(encoding="utf-8"))
        for name in found
        if name
    }
    assert any(name.endswith(".css") for name in fetched)
    assert {name for name in fetched if "//" in name} == set()


def test_links_to_files_that_the_site_lacks_leave_their_words(site: Path) -> None:
    page = (site / "metrics.html").read_text(encoding="utf-8")
    assert "in harness/metrics/profiles.py." in page
    assert 'href="../' not in page


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    """Checked on a site of one page, with this one's settings."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[b](b.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    strict = settings[settings.index("validation:") : settings.index("# A page that is not named")]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: a\n{strict}")
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode == 1
    assert "b.md" in done.stderr
