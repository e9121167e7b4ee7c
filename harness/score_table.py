"""Scores of a table of published columns, beside the scores that the table itself prints."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.challenge import Challenge, Phase, find_phase
from harness.errors import ChallengeError, DataError
from harness.scoring import Array, evaluate_scores, list_names

PACKAGED = {"published:final": Path(__file__).parent / "pirm2018b_final.csv"}
"""Tables that come with the package, by the name to give in place of a file."""
TOLERANCE = 0.05  # scores are printed with two digits, from columns that are rounded themselves
ALIASES = {
    "psnr": ("psnr", "psnr_db"),
    "mos": ("mos", "mos_est"),
    "time": ("time", "time_ms", "cpu_ms"),
    "baseline_time": ("baseline_time", "baseline_time_ms"),
}
"""Headings that are understood for a name in a formula, in lower case; another name stands for itself."""
BASELINE = "baseline_"
ROW_NAMES = ("team", "submission", "method", "name")


class ScoredTable(msgspec.Struct, frozen=True):
    """frame: name, the columns used, each score S and, where the file prints it, S_published and S_difference
    (computed less published) and `agrees`. notes: how the file was read. findings: what does not agree, and why.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]
    findings: tuple[str, ...]


class Misprint(msgspec.Struct, frozen=True):
    """One changed digit of one cell of a row, and the differences (computed less printed) that it leaves by score."""

    column: str
    printed: str
    read_as: str
    differences: dict[str, float]

    @property
    def open_scores(self) -> list[str]:
        """The scores that still do not agree."""
        return [score for score, difference in self.differences.items() if not _agrees(difference)]


def score_table(path: str | Path, challenge: Challenge, phase_name: str) -> ScoredTable:
    """Score each row of a CSV file, or of a packaged table ("published:final"), with a phase's formulas.

    Raises DataError for a file that cannot be read, a missing, doubled or unclear column and a cell that is no finite
    number; UsageError for an unknown phase; ChallengeError where a formula has no finite value.
    """
    phase = find_phase(challenge, phase_name)
    cells = read_cells(PACKAGED.get(str(path), Path(path)))
    needed = sorted(set().union(*(list_names(formula) for formula in phase.scores.values())))
    headings = _match_headings(path, cells, needed, list(phase.scores))
    numbers = pd.DataFrame({name: read_numbers(path, heading, cells[heading]) for name, heading in headings.items()})
    for name in {"time", "baseline_time"}.intersection(numbers):
        _check_positive(path, headings[name], numbers[name].to_numpy())
    numbers.insert(0, "name", read_row_names(cells))
    notes = [phase.note, *_describe_reading(cells, headings)]
    for name in (name for name in needed if name.startswith(BASELINE) and name not in numbers):
        own = name.removeprefix(BASELINE)
        numbers[name], row = _find_baseline(path, numbers, challenge, own)
        notes.append(f"{name} is the {own} of the row {row}.")
    frame = _compare(numbers, evaluate_scores(phase.scores, {name: numbers[name].to_numpy() for name in needed}))
    texts = {name: cells[heading] for name, heading in headings.items() if not name.startswith(BASELINE)}
    return ScoredTable(frame=frame, notes=tuple(notes), findings=tuple(_describe_findings(frame, texts, phase)))


def find_misprints(printed: Mapping[str, str], fixed: Mapping[str, float], phase: Phase) -> list[Misprint]:
    """Changes of one digit in one cell that make all of a row's printed scores agree, or all but one; best first.

    printed: the row's cells as printed, by formula name and score name. fixed: formula names taken as they are.
    """
    changes = [(column, text) for column, cell in printed.items() for text in _change_digits(cell)]
    cells = {column: np.full(len(changes), float(cell)) for column, cell in printed.items()}
    for row, (column, text) in enumerate(changes):
        cells[column][row] = float(text)
    columns: dict[str, npt.ArrayLike] = {
        **fixed,
        **{name: values for name, values in cells.items() if name not in phase.scores},
    }
    try:
        scores = evaluate_scores(phase.scores, columns)
    except ChallengeError:  # a changed digit can leave a formula's domain, say that of a root
        return []
    left = pd.DataFrame({score: scores[score] - cells[score] for score in phase.scores if score in cells})
    open_count = (~_agrees(left)).sum(axis=1)
    order = left.assign(open=open_count, squares=(left**2).sum(axis=1)).sort_values(["open", "squares"]).index
    few = [row for row in order if open_count[row] <= min(1, left.shape[1] - 1)]
    return [
        Misprint(changes[row][0], printed[changes[row][0]], changes[row][1], left.loc[row].to_dict()) for row in few
    ]


def read_cells(path: Path) -> dict[str, list[str]]:
    """Every cell as text by heading; the header is read as a row so that a doubled heading is seen."""
    try:
        rows = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig"
        ).fillna("")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: is empty; a header line and at least one row are needed") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a CSV file: {str(error).strip()}") from None
    if len(rows) < 2:
        raise DataError(f"{path}: has no row below its header")
    headings = [str(heading).strip() for heading in rows.iloc[0]]
    if doubled := sorted({heading for heading in headings if headings.count(heading) > 1}):
        raise DataError(f"{path}: column '{doubled[0]}' is there twice; keep one")
    return {heading: [str(cell) for cell in rows[number][1:]] for number, heading in enumerate(headings)}


def _match_headings(
    path: str | Path, cells: Mapping[str, list[str]], needed: list[str], scores: list[str]
) -> dict[str, str]:
    """Formula and score names to the file's headings."""
    accepted = {name: ALIASES.get(name, (name,)) for name in needed}
    accepted |= {score: (score.lower(), f"score_{score.lower()}") for score in scores}
    found = {name: [heading for heading in cells if _simplify(heading) in accepted[name]] for name in accepted}
    for name, headings in found.items():
        if len(headings) > 1:
            raise DataError(f"{path}: columns {' and '.join(headings)} both stand for '{name}'; keep one")
    missing = [name for name in needed if not found[name] and not name.startswith(BASELINE)]
    if missing:
        wanted = ", ".join(f"'{name}' (accepted: {', '.join(accepted[name])})" for name in missing)
        raise DataError(f"{path}: no column for {wanted}; its columns: {', '.join(cells)}")
    return {name: headings[0] for name, headings in found.items() if headings}


def _simplify(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")


def read_numbers(path: str | Path, heading: str, texts: list[str]) -> Array:
    """A column's cells as finite numbers; DataError names the first other one."""
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        text = texts[row]
        raise DataError(
            f"{path}: column '{heading}', row {row + 1}: {f'{text!r} is not a finite number' if text else 'is empty'}"
        )
    return numbers


def _check_positive(path: str | Path, heading: str, numbers: Array) -> None:
    if not (numbers > 0).all():
        row = int(np.flatnonzero(numbers <= 0)[0])
        raise DataError(f"{path}: column '{heading}', row {row + 1}: {numbers[row]:g} is not a time; it must be over 0")


def read_row_names(cells: Mapping[str, list[str]]) -> list[str]:
    """Row names from the first column that is called so; else their numbers."""
    for heading in cells:
        if _simplify(heading) in ROW_NAMES:
            return cells[heading]
    return [f"row {number}" for number in range(1, 1 + len(next(iter(cells.values()))))]


def _describe_reading(cells: Mapping[str, list[str]], headings: Mapping[str, str]) -> Iterator[str]:
    for name, heading in headings.items():
        if _simplify(heading) not in (name, f"score_{name.lower()}", name.lower()):
            yield f"Column {heading} is taken as {name}."
    unused = [h for h in cells if h not in headings.values() and _simplify(h) not in ROW_NAMES]
    if unused:
        yield f"Not used: {', '.join(unused)}."


def _find_baseline(path: str | Path, numbers: pd.DataFrame, challenge: Challenge, own: str) -> tuple[float, str]:
    for row in challenge.baseline.rows:
        values = numbers.loc[numbers["name"] == row, own] if own in numbers else pd.Series(dtype=float)
        if len(values):
            return float(values.iloc[0]), row
    rows = f", or a row named {' or '.join(challenge.baseline.rows)}" if challenge.baseline.rows else ""
    raise DataError(f"{path}: no baseline {own}: add a column {BASELINE}{own}{rows}")


def _compare(numbers: pd.DataFrame, scores: Mapping[str, Array]) -> pd.DataFrame:
    printed = [score for score in scores if score in numbers]
    frame = numbers.rename(columns={score: f"{score}_published" for score in printed}).assign(**scores)
    for score in printed:
        frame[f"{score}_difference"] = frame[score] - frame[f"{score}_published"]
    if printed:
        differences = frame[[f"{score}_difference" for score in printed]].abs().max(axis=1)
        frame["agrees"] = _agrees(differences.to_numpy(dtype=np.float64))
    return frame


def _agrees(difference: Any) -> Any:
    return np.abs(difference) <= TOLERANCE + 1e-9


def _describe_findings(frame: pd.DataFrame, texts: Mapping[str, list[str]], phase: Phase) -> Iterator[str]:
    printed = [score for score in phase.scores if score in texts]
    if not printed:
        return
    agreeing = int(frame["agrees"].sum())
    yield f"{agreeing} of {len(frame)} rows give their published {', '.join(printed)} back within {TOLERANCE}."
    if agreeing < len(frame) / 2:  # then the formulas are wrong for the table, not the table
        yield f"Most rows do not agree: the table was probably not scored by the {phase.label}; see --phase."
        return
    for number, row in enumerate(frame.to_dict("records")):
        if row["agrees"]:
            continue
        cells = {name: column[number] for name, column in texts.items()}
        fixed = {str(name): float(row[name]) for name in row if str(name).startswith(BASELINE)}
        off = ", ".join(f"{score} {row[f'{score}_difference']:+.2f}" for score in printed)
        reason = _describe_misprint(find_misprints(cells, fixed, phase))
        yield f"{row['name']}: its scores do not follow from its columns ({off}); {reason}."


def _describe_misprint(misprints: list[Misprint]) -> str:
    if not misprints:
        return "no change of one digit explains it"
    best = misprints[0]
    reading = f"{best.column} {best.read_as} for the printed {best.printed}"
    if best.open_scores:
        left = ", ".join(f"{score} {best.differences[score]:+.2f}" for score in best.open_scores)
        return f"a probable misprint: {reading}, the one digit that explains most of it, leaves only {left}"
    worst = max(abs(difference) for difference in best.differences.values())
    others = sum(not misprint.open_scores for misprint in misprints) - 1
    return f"a probable misprint: {reading} fits within {worst:.2f}" + (
        f" ({others} other changes of one digit fit within {TOLERANCE} too)" if others else ", and no other digit does"
    )


def _change_digits(cell: str) -> Iterator[str]:
    """The cell with each of its digits changed to each other one; a change to zero is left out."""
    for position, digit in enumerate(cell):
        for other in "0123456789" if digit.isdecimal() else "":
            changed = cell[:position] + other + cell[position + 1 :]
            if other != digit and float(changed) != 0:
                yield changed
