"""What can go wrong, in one sentence each: what, where, and what to do.

Only the command line turns these into exit codes; nothing else catches them by habit.
"""

from typing import ClassVar

SHOWN_LENGTH = 200  # of what a sentence quotes from a file


class HarnessError(Exception):
    """A fault that the user can mend. `exit_code` is documented in the README."""

    exit_code: ClassVar[int] = 1


def quote(text: object) -> str:
    """What a file or a library says, as part of a sentence: one line, not too long, nothing that a terminal obeys."""
    shown = str(text)
    shown = shown if len(shown) <= SHOWN_LENGTH else shown[:SHOWN_LENGTH] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


class RegressionError(HarnessError):
    """A check found something worse than the committed records."""


class UsageError(HarnessError):
    """An unknown name or an option that does not fit."""

    exit_code = 2


class SubmissionError(HarnessError):
    """A submission that breaks a rule before or while it runs.

    `stage` is where ("validate", "load", "run", "output"), `kind` what ("rule", "missing", "too_large", "timeout",
    "out_of_memory", "crash", ...).
    """

    exit_code = 3

    def __init__(self, message: str, *, stage: str = "validate", kind: str = "rule") -> None:
        super().__init__(message)
        self.stage = stage
        self.kind = kind


class ModelError(SubmissionError):
    """The model failed in its process: it crashed, ran out of time or memory, or gave a wrong output."""


class DataError(HarnessError):
    """An asset, dataset or image that is missing, damaged or of the wrong shape."""

    exit_code = 4


class RecordError(HarnessError):
    """A stored record or report that cannot be read or written."""

    exit_code = 5


class DisturbedError(HarnessError):
    """Something outside ended a measurement, through no fault of what was measured."""

    exit_code = 7


class ChallengeError(HarnessError):
    """A challenge file or score formula that does not hold."""

    exit_code = 6
