"""What the scoring program is told of the competition, in settings.json beside it."""

from pathlib import Path

import msgspec

from harness.errors import RecordError

FILE = "settings.json"


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of Codabench's leaderboard, and where its value comes from.

    source: a column of a board's frame, whose value is shown in units of `divisor`. needed: without it there is no
    result.
    """

    key: str
    title: str
    source: str
    digits: int
    divisor: float = 1.0
    rising: bool = False
    needed: bool = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one phase scores; challenge: the file's name below ref/challenge.

    folder: the dataset is a folder of its own rather than one that the package knows. with_data: its files are in the
    reference data.
    """

    challenge: str
    phase: str
    dataset: str
    dataset_sha256: str
    folder: bool
    with_data: bool
    split: str
    timing: bool
    budget_s: float
    columns: tuple[Column, ...]


def encode_settings(settings: Settings) -> bytes:
    """As the file holds them."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=1) + b"\n"


def read_settings(program: Path) -> Settings:
    """Those beside a scoring program. Raises RecordError where they do not hold."""
    try:
        return msgspec.json.decode((program / FILE).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordError(f"{program / FILE} cannot be read ({error}); make the bundle anew.") from None
