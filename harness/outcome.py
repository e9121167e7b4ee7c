"""What is told of a submission that a run looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.flags import find_flags
from harness.job import Evaluation
from harness.records import Record, Status
from harness.statistics import is_noisy, measure_width


@dataclass(frozen=True)
class Outcome:
    """What to say of one submission; a fault has the exit code that the command ends with, all others have 0.

    status is that of the record, which lies at `path`; "unfinished" while its time is missing, "refused" where the
    submission cannot be evaluated as asked.
    """

    sentence: str
    exit_code: int = 0
    submission: str = ""
    status: Status | Literal["unfinished", "refused"] = "unfinished"
    record: Record | None = None
    path: Path | None = None

    @property
    def verdict(self) -> str:
        """In a word; none while there is more to do."""
        if self.status == "unfinished" and not self.exit_code:
            return ""
        return "done" if self.status == "ok" else self.status

    @property
    def reason(self) -> str:
        """The sentence for where name and status stand beside it."""
        return self.sentence.removeprefix(f"{self.submission}: ").removeprefix(f"{self.status}: ")


def describe_oddities(record: Record, evaluation: Evaluation) -> str:
    """What to know at once of a result, as sentences that follow it."""
    profiles = record.quality.profiles if record.quality else {}
    left = [m.chosen.name for m in evaluation.metrics if m.extra and m.chosen.name not in profiles]
    partial = f" Without {', '.join(left)}: not defined for all of its outputs." if left else ""
    noisy = ""
    if record.timing is not None and is_noisy(record.timing.baseline_samples_ns, record.timing.samples_ns):
        width = measure_width(record.timing.baseline_samples_ns, record.timing.samples_ns)
        noisy = f" Noisy: the interval of its speed-up has {width:.2%}; a quieter machine or a larger --budget helps."
    flags = find_flags(record)
    return partial + noisy + (f" Flagged: {'; '.join(flags)}." if flags else "")


def describe_replaced(before: Record | None, record: Record) -> str:
    """What to know where the record of another model is gone: two submissions may have taken the same name."""
    if before is None or before.status != "ok" or before.submission.sha256 == record.submission.sha256:
        return ""
    return f" It replaces the record of another model of this name ({before.submission.sha256[:12]})."


def describe_known(record: Record, path: Path) -> Outcome:
    """Why a submission was not measured."""
    name, when = record.submission.name, record.environment.started_utc[:16].replace("T", " ")
    where = record.environment.host or "this machine"
    sentence = f"{name}: as recorded on {when} UTC by the same code on {where}; --again measures anew."
    return Outcome(sentence, submission=name, status=record.status, record=record, path=path)
