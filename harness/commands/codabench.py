"""Hand a challenge to Codabench."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import AssetsDir, read_name, read_path
from harness.screen import out


def read_day(text: str) -> datetime.date:
    """A day, as 2030-12-31."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2030-12-31.") from None


def codabench(
    challenge: Annotated[str, typer.Argument(help="A challenge's name, or the path of its TOML file.")],
    path: Annotated[
        Path | None,
        typer.Option("--out", help="The bundle; by default CHALLENGE.zip.", parser=read_path, metavar="FILE"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A dataset's name, or a folder; by default the challenge's own.", parser=read_name),
    ] = None,
    phases: Annotated[
        list[str] | None,
        typer.Option("--phase", help="A phase of the challenge; several become phases one after the other."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The split that all are scored on; by default test, where there is one.")
    ] = None,
    start: Annotated[
        datetime.date | None,
        typer.Option(help="The first day; by default today.", parser=read_day, metavar="YYYY-MM-DD"),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long each phase is open.")] = 60,
    image: Annotated[
        str | None,
        typer.Option(help="A Docker image with all packages in it; the bundle has its Dockerfile.", parser=read_name),
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="The vhost of a queue with workers of your own.", parser=read_name)
    ] = None,
    timing: Annotated[bool, typer.Option(help="Measure time.")] = True,
    budget_s: Annotated[
        float, typer.Option("--budget", min=1, max=3000, help="Seconds for the time of one submission.")
    ] = 90.0,
    data: Annotated[bool, typer.Option(help="Put the dataset's files into the bundle.")] = True,
    assets: AssetsDir = None,
) -> None:
    """Write a competition bundle for Codabench: scoring program, reference data, starting kit, pages, leaderboard."""
    from harness.assets import open_store
    from harness.codabench.bundle import write_bundle
    from harness.codabench.competition import Wishes, plan_competition
    from harness.display import show_progress

    wishes = Wishes(
        dataset=dataset,
        phases=tuple(phases or ()),
        split=split,
        start=start,
        days=days,
        image=image,
        queue=queue,
        budget_s=budget_s,
        timing=timing,
        with_data=data,
    )
    with show_progress() as display:
        competition = plan_competition(challenge, wishes, open_store(assets), on_progress=display.take)
        place = path or Path(f"{Path(challenge).stem}.zip")
        notes = write_bundle(competition, place)
    out.print(*notes, f"Written: {place}", sep="\n", markup=False)
