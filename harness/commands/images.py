"""Metrics of single images, and what is fitted to them."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import AssetsDir, read_name, read_path
from harness.screen import out


def metric(
    name: Annotated[str, typer.Argument(help="psnr, ssim, ms_ssim, niqe, or pyiqa:NAME for a metric of pyiqa.")],
    image: Annotated[Path, typer.Argument(help="The image to judge.")],
    target: Annotated[Path | None, typer.Argument(help="What it should look like, where the metric compares.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="The convention; `harness list` names them. By default the first that has it.")
    ] = None,
    assets: AssetsDir = None,
) -> None:
    """Print one metric's value for 8-bit images, and the profile that made it."""
    from harness.assets import open_store
    from harness.session import measure_files

    value, made_by = measure_files(name, image, target, open_store(assets), profile=profile)
    out.print(f"{value} {made_by}", markup=False)


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
