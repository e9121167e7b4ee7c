"""What a check finds: a verdict on each submission, and on whether the reports follow from the records."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from harness.regression import Comparison, SpeedComparison

Status = Literal["not compared", "as recorded", "undecided", "does not follow", "got worse", "failed"]
SEVERITY: tuple[Status, ...] = get_args(Status)
"""Each graver than the one before. undecided: quality is as recorded, and the speed too noisy to rule out a loss."""

REPORTS = "reports follow from the records"
CHECK = "the check itself"
"""What is judged beside the submissions; no submission's name has a space."""


@dataclass(frozen=True)
class Verdict:
    """What came of one thing that was checked, and what was compared for it; a fault has an exit code.

    sentence: "" where there is nothing to say; several lines where several quantities got worse.
    """

    subject: str
    status: Status
    sentence: str = ""
    exit_code: int = 0
    figures: tuple[Comparison, ...] = ()
    images: int = 0
    speed: SpeedComparison | None = None


@dataclass
class Findings:
    """All that a check has found so far. timed: whether it compares the speed-up too."""

    timed: bool
    dataset: str = ""
    phase: str = ""
    verdicts: list[Verdict] = field(default_factory=list)

    def list_verdicts(self) -> tuple[Verdict, ...]:
        """One for each thing that was checked, in order."""
        joined: dict[str, Verdict] = {}
        for verdict in self.verdicts:
            before = joined.get(verdict.subject)
            joined[verdict.subject] = verdict if before is None else join_verdicts(before, verdict)
        return tuple(joined.values())


def join_verdicts(quality: Verdict, speed: Verdict) -> Verdict:
    """The verdict on quality with that on speed: the graver one counts."""
    return replace(
        quality,
        status=max(quality.status, speed.status, key=SEVERITY.index),
        sentence="\n".join(filter(None, (quality.sentence, speed.sentence))),
        exit_code=quality.exit_code or speed.exit_code,
        speed=speed.speed,
    )


def count_compared(verdicts: Iterable[Verdict]) -> int:
    """How many submissions could be compared."""
    return sum(bool(verdict.figures) for verdict in verdicts)
