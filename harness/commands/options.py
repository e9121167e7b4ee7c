"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Literal["cpu", "cuda"]
REPORTS = Path("reports")


def read_path(text: str) -> Path:
    """A path as given; an empty one, as an unset variable leaves it, would stand for the working folder."""
    if not text:
        raise typer.BadParameter("it is empty; give a path, or leave it out.")
    return Path(text)


def read_name(text: str) -> str:
    """A name as given."""
    if not text:
        raise typer.BadParameter("it is empty; give a name, or leave it out.")
    return text


SubmissionDirs = Annotated[
    list[Path] | None,
    typer.Argument(help="Submission folders; none: those of ./submissions for it.", parser=read_path, metavar="DIR"),
]
ChallengeName = Annotated[str, typer.Option("--challenge", help="A challenge's name, or the path of its TOML file.")]
OwnChallenge = Annotated[
    str | None,
    typer.Option(
        "--challenge",
        help="A challenge's name, or the path of its TOML file; by default that for which the folders are made.",
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="A dataset's name, a folder, or the URL of one; by default the challenge's own, or what stands in for it.",
        parser=read_name,
        metavar="NAME",
    ),
]
AssetsDir = Annotated[
    Path | None,
    typer.Option(
        "--assets",
        help="A mirror of the upstream files, laid out as OWNER/REPO/path (or HARNESS_ASSETS).",
        parser=read_path,
        metavar="DIR",
    ),
]
ReportsDir = Annotated[
    Path,
    typer.Option("--reports", help="Where records and reports are kept.", parser=read_path, metavar="DIR"),
]
PhaseName = Annotated[str, typer.Option("--phase", help="Whose score formulas to use: validation or test.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; by default the physical cores.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Models at once where only quality is measured; by default the cores."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        help="The Dask scheduler whose workers do the work, as tcp://HOST:8786.",
        parser=read_name,
        metavar="ADDRESS",
    ),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Also run models that are programs (TorchScript, .pt2, Python), as far as isolation is on."
    ),
]
