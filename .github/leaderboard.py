"""The tables of a leaderboard page as a short text, printed or posted under the pull request that they belong to.

The page comes from a pull request: whatever it holds, nothing but table rows of plain words gets through. Standard
library only, since it also runs where nothing is installed.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

MARKER = "<!-- leaderboard -->"
MOST_BYTES = 1_000_000  # of the page
MOST_CHARACTERS = 60_000  # GitHub takes 65,536
SECTIONS = ("## Split ", "## Not ranked")

# no link, picture, mention, number of an issue or HTML can be made of these
_OTHERS = re.compile(r"[^\w .,:;()+±%|↓=-]")


def read_page(path: Path) -> str:
    """As much of a page as is looked at."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode("utf-8", errors="replace")


def render_tables(page: str) -> str:
    """The first board and the submissions without a result."""
    sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    chosen = [next((s for s in sections if s.startswith(start)), "") for start in SECTIONS]
    tables = ["\n".join(filter(None, map(clean_line, section.splitlines()))) for section in chosen]
    text = "\n\n".join(table for table in tables if table) or "There is no table."
    return text[:MOST_CHARACTERS].rpartition("\n")[0] if len(text) > MOST_CHARACTERS else text


def clean_line(line: str) -> str:
    """A heading or a row of a table in plain words; "" for anything else."""
    words = _OTHERS.sub(" ", line.replace("\\|", " ").removeprefix("## ")).replace("www.", "www ")
    if line.startswith("## "):
        return f"**{' '.join(words.replace('|', ' ').split())}**\n"
    return words if line.startswith("|") else ""


def post(text: str) -> None:
    """Write the comment under the pull request, or write it anew. Whose it is comes from GitHub, not from the page."""
    run = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))["workflow_run"]
    repository = os.environ["GITHUB_REPOSITORY"]
    number = find_pull_request(repository, run)
    if number is None:
        print(f"No open pull request is at {run['head_sha']}: nothing is posted.")
        return
    body = {"body": f"{MARKER}\nWith the submissions of {run['head_sha']}:\n\n{text}\n\n[Log]({run['html_url']})\n"}
    comments = call("GET", f"repos/{repository}/issues/{number}/comments?per_page=100")
    own = [comment["id"] for comment in comments if is_own(comment)]
    if own:
        call("PATCH", f"repos/{repository}/issues/comments/{own[0]}", body)
    else:
        call("POST", f"repos/{repository}/issues/{number}/comments", body)


def find_pull_request(repository: str, run: dict[str, Any]) -> int | None:
    """The open pull request whose last commit the run was on; the event names none where that is in a fork."""
    owner = ((run.get("head_repository") or {}).get("owner") or {}).get("login", "")
    query = {"state": "open", "head": f"{owner}:{run['head_branch']}"}
    found = call("GET", f"repos/{repository}/pulls", query)
    return next((int(pull["number"]) for pull in found if pull["head"]["sha"] == run["head_sha"]), None)


def is_own(comment: dict[str, Any]) -> bool:
    """Whether an earlier run of this wrote a comment."""
    return comment["user"]["login"] == "github-actions[bot]" and comment["body"].startswith(MARKER)


def call(method: str, path: str, fields: dict[str, str] | None = None) -> Any:
    """Ask GitHub by its own command, which has the token from its environment; a GET has its fields in the address."""
    command, content = ["gh", "api", "--method", method, path], None
    if method == "GET":
        command += [word for name, value in (fields or {}).items() for word in ("--raw-field", f"{name}={value}")]
    else:  # too long for a command line
        command, content = [*command, "--input", "-"], json.dumps(fields).encode()
    return json.loads(subprocess.run(command, check=True, input=content, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    *options, name = sys.argv[1:]
    shown = render_tables(read_page(Path(name)))
    post(shown) if options == ["--post"] else print(shown)
