"""What the package knows, and the upstream files that it takes from elsewhere."""

from typing import Annotated

import typer

from harness.commands.options import AssetsDir
from harness.screen import out


def fetch(
    groups: Annotated[list[str] | None, typer.Argument(help="Groups of files; `harness list` names them.")] = None,
    assets: AssetsDir = None,
) -> None:
    """Download the upstream files that are missing, each checked by its sha256."""
    from harness.assets import find_pristine_model, open_store
    from harness.display import show_progress
    from harness.progress import Step

    store = open_store(assets)
    for group in groups or ["pirm2018b", "weights", "niqe"]:
        with show_progress() as display:
            if group == "niqe":
                find_pristine_model(store)
            else:
                store.fetch(group, lambda done, total: display.take(Step(group, done, total)))  # noqa: B023
        out.print(f"{group}: all files are there.", markup=False)


def list_known() -> None:
    """Name the challenges, datasets, groups of files, metrics and profiles that can be given to other commands."""
    from harness.assets import GROUPS
    from harness.challenge import list_challenges
    from harness.datasets import KNOWN
    from harness.metrics import METRICS
    from harness.metrics.profiles import PROFILES

    known = {
        "challenges": list_challenges(),
        "datasets": (*KNOWN, "or a folder with source/, target/ and photos/"),
        "groups of files": GROUPS,
        "metrics": (metric.name for metric in METRICS),
    }
    for kind, names in known.items():
        out.print(f"{kind}: {', '.join(names)}", markup=False)
    for profile in PROFILES:
        out.print(
            f"profile {profile.name} ({', '.join(profile.metrics) or 'pyiqa:NAME'}): {profile.note}", markup=False
        )
