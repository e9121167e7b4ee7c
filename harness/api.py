"""What the package offers to Python programs: `from harness import leaderboard, load_records`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.archive import read_records
from harness.boards import build_boards
from harness.challenge import read_challenge
from harness.errors import RecordError
from harness.export import join_boards
from harness.records import Record


def load_records(folder: str | Path = "reports/records/pirm2018b") -> tuple[Record, ...]:
    """The records of one dataset, by name: every sample that was measured (`harness.records` has the types).

    Raises RecordError for a folder without records and for a record that does not hold.
    """
    records = read_records(Path(folder))
    if not records:
        raise RecordError(f"{folder} holds no records; `harness run` makes them.")
    return records


def leaderboard(
    records: Sequence[Record], challenge: str | Path = "pirm2018b", *, phase: str = "validation"
) -> pd.DataFrame:
    """The leaderboard's figures, a row for each submission and split, best first within a split.

    X_low and X_high beside a value X are its 95 % interval; S_first is the probability that a submission's score S is
    the highest, ahead that it is better than the next row by the first score; swap_term, swap_change and swap_slope say
    what would put it behind that one (`harness.sensitivity.find_swaps`); psnr in dB, time in ms, peak_bytes,
    loaded_bytes and model_bytes in bytes; NaN: not measured.

    Raises UsageError for an unknown challenge or phase, ChallengeError for a challenge that does not hold, RecordError
    for records that cannot share a table, or none that has a result.
    """
    boards = build_boards(records, read_challenge(challenge), phase=phase)
    if not boards:
        raise RecordError("no record holds a result; run a submission first.")
    return join_boards(boards)
