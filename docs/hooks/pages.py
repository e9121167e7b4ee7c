"""What the site needs beside its pages: one on the commands, a place for new pages, links that stay within the site."""

import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

COMMANDS = "reference/commands.md"
REST = "How to"
"""The section that takes the pages which mkdocs.yml does not name."""

LINK = re.compile(r"\[(?P<text>[^\[\]]+)\]\((?P<path>[^)#\s:]+)(?:#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page on the commands, and new pages to the navigation."""
    files.append(File.generated(config, COMMANDS, content=describe_commands()))
    named = set(list_named(config.nav))
    others = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in named)
    next(item[REST] for item in config.nav if REST in item).extend(others)
    return files


def list_named(nav: Any) -> Iterator[str]:
    """The pages that a navigation names, at any depth."""
    if isinstance(nav, str):
        yield nav
        return
    for part in nav.values() if isinstance(nav, dict) else nav:
        yield from list_named(part)


def describe_commands() -> str:
    """Every command with its options, as its help has them."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "harness.cli",
        "utils",
        "docs",
        "--name",
        "harness",
        "--title",
        "Commands",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", done.stdout)  # their first words, cut off


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Leave of a link to a file of the repository that is no part of the site only its words."""

    def keep_inside(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link["path"]))
        return link["text"] if path.startswith("../") else link[0]

    return LINK.sub(keep_inside, markdown)
