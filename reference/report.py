"""Writes reports/training: how the weights were trained, and what they do to photos.

    python -m reference.report --add RUN_DIR --name NAME    takes in the log of a finished run, and writes the page
    python -m reference.report [--assets DIR]               makes the contact sheets as well
    python -m reference.report --no-sheets                  the page alone

The page states what lies beside it: logs/NAME.csv with NAME.json (log.csv and run.json of a run), the numbers of the
contact sheets, and ablation.md where there is one. Photos from upstream may not be published, and neither may what is
made of them: their sheets go to hd/, which is not in the repository.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from harness.assets import AssetStore, open_store
from harness.dataset import read_image
from harness.datasets.pirm2018b import PHOTOS
from harness.embedded import PHOTOGRAPHS, build_photos, read_photograph
from harness.errors import DataError
from harness.files import write_atomically
from harness.submission import SubmissionFolder, read_submission
from reference.command import run_command
from reference.config import TrainingConfig, make_config
from reference.contact_sheet import SHEETS, Photo, encode_sheet, take_pictures
from reference.curves import COLOURS, Log, read_log, write_curves
from reference.training_page import GROUPS, LoggedRun, classify_run, render_page
from reference.validation import find_niqe

ROOT = Path(__file__).parent.parent
REPORT = Path("reports/training")
SUBMISSIONS = ("boe_normal", "boe_highperf", "dped", "resnet_8_32")
"""On the sheets unless others are named, where their models are built."""
WIDTHS_PX = {"embedded": 300, "hd": 400}
"""Of the pictures on a set's sheets, at most."""
LIMITS_BYTES = {"embedded": 400_000, "hd": 8_000_000}
"""Of a sheet: those of the embedded set are in the repository."""
FACTS = {"config": dict, "data": str, "features": str, "device": str, "seconds": float | int, "selected_step": int}
"""What run.json states of a finished run, and the page tells."""


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    return run_command(lambda: write_report(options))


def write_report(options: argparse.Namespace) -> None:
    """What the command line asks for."""
    out = options.root / REPORT
    if options.name and not options.add:
        raise ValueError("--name is the name for the log of --add RUN_DIR: give both")
    if options.add:
        print(add_log(options.add, out, options.name))
    elif not options.no_sheets:
        write_sheets(options, out)
    for path in write_page(options.root):
        print(path)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m reference.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--add", type=Path, metavar="RUN_DIR", help="the folder of a finished run of reference.train")
    add("--name", help="the name for its log; by default that of the folder")
    add("--no-sheets", action="store_true", help="leave the contact sheets as they are")
    add("--submissions", nargs="+", metavar="NAME", help=f"on the sheets; by default {', '.join(SUBMISSIONS)}")
    add("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    add("--root", type=Path, default=ROOT, metavar="DIR", help="work below DIR, not in this checkout")
    return parser.parse_args(arguments)


def add_log(folder: Path, out: Path, name: str | None) -> str:
    """Copy the log of a finished run; returns a sentence. ValueError where it is none, or the name does not fit."""
    name = name or folder.resolve().name
    if not (name.isascii() and name.replace("_", "").replace("-", "").isalnum()):
        raise ValueError(f"a log's name has letters, digits, '_' and '-' only, not {name!r}: give another --name")
    run = read_run(folder)
    target = out / "logs" / f"{name}.csv"
    write_atomically(target, (folder / "log.csv").read_bytes())
    write_atomically(target.with_suffix(".json"), (folder / "run.json").read_bytes())
    return f"{target}: {len(run.log.frame)} rows, up to step {run.config.steps}"


def read_run(place: Path) -> LoggedRun:
    """A run's folder, or its copied log; ValueError where that is not the log of a finished run."""
    log = read_log(place)
    if missing := [name for name, kind in FACTS.items() if not isinstance(log.facts.get(name), kind)]:
        raise ValueError(
            f"{place} is no finished run of reference.train, as its run.json does not state {missing[0]}: "
            "give the command of the run again, and it goes on to its end"
        )
    config = make_config(TrainingConfig, log.facts["config"], f"{place}: config")
    check_log(log, config, place)
    return LoggedRun(log, config)


def check_log(log: Log, config: TrainingConfig, place: Path) -> None:
    """ValueError unless the log's steps and columns are those that the configuration leads to."""
    steps = log.frame.index
    if not (pd.api.types.is_integer_dtype(steps) and steps.is_monotonic_increasing and steps.is_unique):
        raise ValueError(f"{place} is no log of reference.train: its steps are not whole numbers that rise")
    if steps[-1] != config.steps or log.facts["selected_step"] not in steps:
        raise ValueError(
            f"{place}: the log ends at step {steps[-1]}, the run at step {config.steps}, with the weights of step "
            f"{log.facts['selected_step']}: log and run.json are not of one run"
        )
    columns = {f"loss_{name}" for name, weight in asdict(config.loss).items() if weight}
    columns |= {"psnr_db", "ms_ssim"} if config.folds else set()
    if missing := sorted(columns - set(log.frame)):
        raise ValueError(f"{place}: the log has no {missing[0]}, which its configuration leads to: add the whole run")


def write_sheets(options: argparse.Namespace, out: Path) -> None:
    """Make the contact sheets of every set of photos that can be had, with a file of their numbers."""
    folders = select_submissions(options.root, options.submissions)
    store = open_store(options.assets)
    judge = find_niqe(store)
    for name, photos in read_sets(store):
        pictures = take_pictures(photos, folders, judge)
        for sheet in SHEETS:
            path = out / name / f"{sheet.name}.jpg"
            content = encode_sheet(sheet, pictures, width_px=WIDTHS_PX[name], limit_bytes=LIMITS_BYTES[name])
            write_atomically(path, content)
            print(path)
        numbers = pd.DataFrame([picture.numbers for picture in pictures])
        write_atomically(out / "numbers" / f"{name}.csv", numbers.to_csv(index=False, lineterminator="\n").encode())


def select_submissions(root: Path, names: list[str] | None) -> list[SubmissionFolder]:
    """The named submissions, or those of SUBMISSIONS whose models are built; ValueError where none is."""
    folders = [read_submission(root / "submissions" / name) for name in names or SUBMISSIONS]
    if names:
        return folders
    built = [folder for folder in folders if folder.model_path.is_file()]
    if not built:
        raise ValueError(
            f"no model is built of {', '.join(SUBMISSIONS)}: `python -m reference.build {SUBMISSIONS[0]}` builds one"
        )
    if len(built) < len(folders):
        missing = ", ".join(folder.name for folder in folders if folder not in built)
        print(f"Not on the sheets, as the model is not built: {missing}.", file=sys.stderr)
    return built


def read_sets(store: AssetStore) -> Iterator[tuple[str, list[Photo]]]:
    """The sets of photos by name; where those from upstream cannot be had, a line says why."""
    yield "embedded", read_embedded_photos()
    try:
        paths = [store.find(f"{PHOTOS}/{number}.png") for number in range(4)]
    except DataError as error:
        print(f"The sheets of the challenge's photos are left out: {error}", file=sys.stderr)
        return
    yield "hd", [Photo(f"photo {path.stem}", read_image(path)) for path in paths]


def read_embedded_photos() -> list[Photo]:
    """The embedded set's, of which the margins, where the photograph is mirrored, are not shown."""
    photographs = {Path(name).stem: read_photograph(name) for name in PHOTOGRAPHS}
    photos = []
    for name, image in build_photos().items():
        height, width, _ = photographs[name].shape
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        photos.append(Photo(name, image, (slice(top, top + height), slice(left, left + width))))
    return photos


def write_page(root: Path) -> list[Path]:
    """Write the figures and README.md from what lies beside them; returns what was written."""
    out = root / REPORT
    runs = [read_run(path) for path in sorted((out / "logs").glob("*.csv"))]
    figures = group_runs(runs)
    for stale in {path.name for path in out.glob("curves_*.svg")} - set(figures):
        (out / stale).unlink()
    out.mkdir(parents=True, exist_ok=True)
    for name, members in figures.items():
        write_curves([out / "logs" / f"{run.log.name}.csv" for run in members], out / name)
    page = render_page(root, out, figures)
    write_atomically(out / "README.md", page.encode())
    return [*(out / name for name in figures), out / "README.md"]


def group_runs(runs: list[LoggedRun]) -> dict[str, list[LoggedRun]]:
    """Runs by the figure that shows them, no more than there are colours."""
    figures = {}
    for name in GROUPS:
        members = [run for run in runs if classify_run(run.config) == name]
        for number, first in enumerate(range(0, len(members), len(COLOURS)), start=1):
            figures[f"curves_{name}{f'_{number}' if number > 1 else ''}.svg"] = members[first : first + len(COLOURS)]
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
