"""Table 5 as measured here: ablation.csv, which `python -m reference.ablation` writes."""

import math
from pathlib import Path
from typing import Annotated

import msgspec
import pandas as pd

from harness.errors import RecordError, quote
from harness.published.claims import METRICS, OTHER_SEED
from harness.published.paper import Condition

FILE = Path("training") / "ablation.csv"
"""Where it lies, from the folder of the reports."""
TEXTS = ("condition", "title", "data")
NAMES = [f"{metric}{end}" for metric in METRICS for end in ("", "_difference", "_low", "_high")]
"""What is measured of a condition: each metric, and its difference from all losses and noise with the 95 % interval."""

Count = Annotated[int, msgspec.Meta(gt=0)]


class MeasuredCondition(msgspec.Struct, frozen=True):
    """A row of the file, as far as the page shows it; NaN where NIQE is not to be had."""

    condition: str
    title: str
    data: str
    pairs: Count
    steps: Count
    batch_size: Count
    psnr_db: float
    ms_ssim: float
    niqe: float
    psnr_db_difference: float
    psnr_db_low: float
    psnr_db_high: float
    ms_ssim_difference: float
    ms_ssim_low: float
    ms_ssim_high: float
    niqe_difference: float
    niqe_low: float
    niqe_high: float

    def __post_init__(self) -> None:
        for name in NAMES:
            value = getattr(self, name)
            if not math.isfinite(value) and not (name.startswith("niqe") and math.isnan(value)):
                raise ValueError(f"{name} of {self.condition} is {value}, it must be finite")


def read_ablation(path: Path, conditions: tuple[Condition, ...]) -> tuple[MeasuredCondition, ...]:
    """The measured conditions, none where there is no such file; RecordError for one that does not hold."""
    if not path.exists():
        return ()
    try:
        if not path.is_file():  # to open a pipe would wait forever
            raise ValueError("it is not a regular file")
        rows = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str)).to_dict("records")
        measured = msgspec.convert(rows, tuple[MeasuredCondition, ...])
        _check_names([row.condition for row in measured], {condition.name for condition in conditions})
    except (OSError, ValueError) as error:  # msgspec's and pandas' errors are ValueErrors too
        raise RecordError(
            f"{path} cannot be read as the table of an ablation ({quote(error)}); restore it, or remove it and "
            "`python -m reference.ablation` makes it anew."
        ) from error
    return measured


def _check_names(names: list[str], known: set[str]) -> None:
    if not names:
        raise ValueError("it has no rows")
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{min(doubled)} is there twice")
    if unknown := set(names) - known - {OTHER_SEED}:
        raise ValueError(f"{min(unknown)} is no condition of Table 5")


def tabulate_ablation(conditions: tuple[Condition, ...], measured: tuple[MeasuredCondition, ...]) -> pd.DataFrame:
    """A row a condition of the paper, then that of another seed where it was measured.

    Columns: condition, title, and of each metric M published, M, M_difference, M_low, M_high (see NAMES) and M_off,
    measured less published. NaN is "not published" or "not measured".
    """
    found = {row.condition: {name: getattr(row, name) for name in NAMES} for row in measured}
    rows = [
        {"condition": c.name, "title": c.title, **dict(zip(METRICS.values(), (c.psnr, c.ssim, c.niqe), strict=True))}
        | found.get(c.name, {})
        for c in conditions
    ]
    rows += [
        {"condition": row.condition, "title": row.title, **found[OTHER_SEED]}
        for row in measured
        if row.condition == OTHER_SEED
    ]
    frame = pd.DataFrame(rows, columns=["condition", "title", *METRICS.values(), *NAMES])
    frame[[*METRICS.values(), *NAMES]] = frame[[*METRICS.values(), *NAMES]].astype(float)
    for metric, published in METRICS.items():
        frame[f"{metric}_off"] = frame[metric] - frame[published]
    return frame
