"""From a table of NIQE and MOS to the calibration file that a challenge names."""

import math
from pathlib import Path

import msgspec
import tomli_w

from harness.challenge import MosCalibration, MosPair
from harness.errors import DataError, UsageError, quote
from harness.files import write_named
from harness.metrics.mos_proxy import MosFit, fit_mos, measure_error
from harness.score_table import read_cells, read_numbers, read_row_names


def read_pairs(path: Path) -> tuple[MosPair, ...]:
    """The rows of a CSV file with the columns niqe and mos, and perhaps one of names.

    Raises DataError for a file that cannot be read, a missing column and a cell that is no finite number.
    """
    read = read_cells(path)
    cells = {heading.lower(): texts for heading, texts in read.items()}
    if len(cells) < len(read):
        raise DataError(f"{path}: two columns have one name but for its capitals ({', '.join(read)}); keep one.")
    if missing := [name for name in ("niqe", "mos") if name not in cells]:
        found = ", ".join(cells)
        raise DataError(
            f"{path}: no column '{missing[0]}'; it needs niqe and mos, separated by a comma, and has: {found}."
        )
    columns = [read_numbers(path, name, cells[name]).tolist() for name in ("niqe", "mos")]
    return tuple(MosPair(*row) for row in zip(read_row_names(cells), *columns, strict=True))


def calibrate(pairs_path: Path, calibration_path: Path, *, image_set: str) -> list[str]:
    """Fit MOS on the NIQE of a CSV file's pairs, write the calibration, and say so in lines.

    Raises DataError where the pairs have no line, UsageError where the image set has no name or the calibration cannot
    be written: it replaces a file, but not the table, and nothing that is no file of its own.
    """
    image_set = quote(" ".join(image_set.split()))
    if not image_set:
        raise UsageError("--image-set is blank; name the photos that the NIQE values are of.")
    pairs = read_pairs(pairs_path)
    try:
        fit = fit_mos([(pair.niqe, pair.mos) for pair in pairs])
    except ValueError as error:
        raise DataError(f"{pairs_path}: {error}.") from None
    lines = describe_fit(fit, image_set)
    calibration = MosCalibration(image_set, " ".join(lines[1:]), pairs)
    content = tomli_w.dumps(msgspec.to_builtins(calibration)).encode()
    write_named(calibration_path, content, table=pairs_path)
    named = tomli_w.dumps({"mos": {"calibration": calibration_path.name}}).splitlines()
    written = f"Written: {calibration_path}. A challenge has it in place of its own [mos], by its path from there:"
    return [*lines, written, *named]


def describe_fit(fit: MosFit, image_set: str) -> list[str]:
    """The line, how far it is to be trusted, and where it holds."""
    error = measure_error(fit)
    niqe = sorted(niqe for niqe, _ in fit.pairs)
    (low, high), (intercept_low, intercept_high) = error.slope, error.intercept
    correlation = f"r = {fit.correlation:.2f}" if math.isfinite(fit.correlation) else "no r, as all MOS are equal"
    left_out = (
        f"Leave-one-out error {error.leave_one_out:.4f}: the root mean square of what each MOS is off the line through "
        "the other pairs."
        if math.isfinite(error.leave_one_out)
        else "No leave-one-out error: without one of the pairs the others share one NIQE, and have no line."
    )
    return [
        f"MOS = {fit.intercept:.4f} {'-' if fit.slope < 0 else '+'} {abs(fit.slope):.4f} x NIQE",
        f"Least squares through {len(fit.pairs)} pairs of NIQE {niqe[0]:g} to {niqe[-1]:g}, {correlation}.",
        f"95 % intervals (bootstrap over the pairs): slope {low:.4f} to {high:.4f}, intercept {intercept_low:.4f} to "
        f"{intercept_high:.4f}.",
        left_out,
        f"It holds for NIQE on this image set only: {image_set}.",
    ]
