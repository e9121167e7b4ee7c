"""From a table of NIQE and MOS to the calibration file that a challenge names."""

from pathlib import Path

import msgspec
import tomli_w

from harness.challenge import MosCalibration, MosPair
from harness.errors import DataError, UsageError
from harness.files import write_atomically
from harness.metrics.mos_proxy import MosFit, fit_mos, measure_error
from harness.score_table import read_cells, read_numbers, read_row_names


def read_pairs(path: Path) -> tuple[MosPair, ...]:
    """The rows of a CSV file with the columns niqe and mos, and perhaps one of names.

    Raises DataError for a file that cannot be read, a missing column and a cell that is no finite number.
    """
    cells = {heading.lower(): texts for heading, texts in read_cells(path).items()}
    if missing := [name for name in ("niqe", "mos") if name not in cells]:
        raise DataError(f"{path}: no column '{missing[0]}'; it needs niqe and mos, and has: {', '.join(cells)}.")
    columns = [read_numbers(path, name, cells[name]).tolist() for name in ("niqe", "mos")]
    return tuple(MosPair(*row) for row in zip(read_row_names(cells), *columns, strict=True))


def calibrate(pairs_path: Path, calibration_path: Path, *, image_set: str) -> list[str]:
    """Fit MOS on the NIQE of a CSV file's pairs, write the calibration, and describe it in lines.

    Raises DataError where the pairs have no line, UsageError where the calibration cannot be written.
    """
    pairs = read_pairs(pairs_path)
    try:
        fit = fit_mos([(pair.niqe, pair.mos) for pair in pairs])
    except ValueError as error:
        raise DataError(f"{pairs_path}: {error}.") from None
    lines = describe_fit(fit, image_set)
    calibration = MosCalibration(image_set, " ".join(lines[1:]), pairs)
    try:
        write_atomically(calibration_path, tomli_w.dumps(msgspec.to_builtins(calibration)).encode())
    except OSError as error:
        raise UsageError(f"{calibration_path} cannot be written ({error.strerror}); name another --out.") from None
    return lines


def describe_fit(fit: MosFit, image_set: str) -> list[str]:
    """The line, how far it is to be trusted, and where it holds."""
    error = measure_error(fit)
    niqe = sorted(niqe for niqe, _ in fit.pairs)
    (low, high), (intercept_low, intercept_high) = error.slope, error.intercept
    return [
        f"MOS = {fit.intercept:.4f} {'-' if fit.slope < 0 else '+'} {abs(fit.slope):.4f} x NIQE",
        f"Least squares through {len(fit.pairs)} pairs of NIQE {niqe[0]:g} to {niqe[-1]:g}, r = {fit.correlation:.2f}.",
        f"95 % intervals (bootstrap over the pairs): slope {low:.4f} to {high:.4f}, intercept {intercept_low:.4f} to "
        f"{intercept_high:.4f}.",
        f"Leave-one-out error {error.leave_one_out:.4f}: the root mean square of what each MOS is off the line through "
        "the other pairs.",
        f"It holds for NIQE on this image set only: {image_set}.",
    ]
