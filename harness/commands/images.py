"""Metrics of single images, and what is fitted to them."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import AssetsDir, read_name, read_path
from harness.errors import DataError, UsageError
from harness.screen import out, show_table


def metric(
    files: Annotated[
        list[str],
        typer.Argument(
            help="psnr, ssim, ms_ssim, niqe, or pyiqa:NAME for a metric of pyiqa (none with --compare); the image to "
            "judge; and what it should look like, where the metric compares.",
            metavar="[NAME] IMAGE [TARGET]",
            show_default=False,
        ),
    ],
    profile: Annotated[
        str | None, typer.Option(help="The convention; `harness list` names them. By default the first that has it.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="PSNR, SSIM, MS-SSIM or NIQE by each library that is installed.")
    ] = False,
    assets: AssetsDir = None,
) -> None:
    """Print one metric's value for 8-bit images, and the profile that made it."""
    from harness.assets import open_store
    from harness.session import measure_files

    name, image, target = read_arguments(files, compare=compare)
    if compare:
        if profile is not None:
            raise UsageError("--compare holds each library against what it comes nearest; leave --profile out.")
        show_agreement(image, target, assets)
        return
    value, made_by = measure_files(name, image, target, open_store(assets), profile=profile)
    out.print(f"{value} {made_by}", markup=False)


def read_arguments(files: list[str], *, compare: bool) -> tuple[str, Path, Path | None]:
    """Name (empty with --compare), image and target. Raises UsageError for too few or too many."""
    name, *others = ("", *files) if compare else files
    if len(others) not in (1, 2) or not all(others):
        usage = "--compare IMAGE [TARGET]" if compare else "NAME IMAGE [TARGET]"
        raise UsageError(f"harness metric {usage} takes one image or two, got {len(others)}.")
    image, *target = map(Path, others)
    return name, image, target[0] if target else None


def show_agreement(image: Path, target: Path | None, assets: Path | None) -> None:
    """Each library's values, and those that are not installed."""
    from harness.agreement import compare_files
    from harness.assets import open_store
    from harness.render.agreement import describe_missing, render_agreement

    agreement = compare_files(image, target, open_store(assets))
    show_table(render_agreement(agreement))
    if missing := describe_missing(agreement):
        out.print(missing, markup=False)
    if all(row.value is None for row in agreement.rows):
        raise DataError(f"no library has a value for {image}; the table says why.")


def fit_mos_pairs(
    pairs: Annotated[
        Path, typer.Argument(help="A CSV file with the columns niqe and mos.", parser=read_path, metavar="CSV")
    ],
    image_set: Annotated[
        str, typer.Option(help="Whose photos the NIQE values are of: the fit holds for no others.", parser=read_name)
    ],
    calibration: Annotated[
        Path, typer.Option("--out", help="Where the calibration goes.", parser=read_path, metavar="FILE")
    ] = Path("mos.toml"),
) -> None:
    """Fit the estimate of MOS from NIQE, and write a calibration file that a challenge can name."""
    from harness.calibration import calibrate

    out.print(*calibrate(pairs, calibration, image_set=image_set), sep="\n", markup=False)
