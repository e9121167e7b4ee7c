"""What a run came to, for scripts: one JSON document, whatever the end. Light, since even an early end needs it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.boards import Board
    from harness.errors import HarnessError
    from harness.outcome import Outcome


@dataclass
class RunReport:
    """Filled while a run goes on; `wanted` where the command was asked for it.

    errors: the faults that belong to no submission. boards and written stay empty where the run ends too early.
    """

    wanted: bool = False
    challenge: str = ""
    dataset: str = ""
    notes: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, "Outcome | None"] = field(default_factory=dict)
    boards: Sequence["Board"] = ()
    written: Sequence[Path] = ()

    def add_error(self, sentence: str, exit_code: int) -> None:
        """A fault that belongs to no submission."""
        self.errors.append({"sentence": sentence, "exit_code": exit_code})

    def add_errors(self, faults: Iterable["HarnessError"]) -> None:
        """The same of several."""
        for fault in faults:
            self.add_error(str(fault), fault.exit_code)

    def encode(self, exit_code: int) -> str:
        """The document, in ASCII: what a submission brings along moves no terminal."""
        document = {
            "challenge": self.challenge,
            "dataset": self.dataset,
            "exit_code": exit_code,
            "errors": self.errors,
            "notes": self.notes,
            "submissions": self._list_submissions(),
            "reports": [str(path) for path in self.written],
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def _list_submissions(self) -> list[dict[str, Any]]:
        rows: dict[str, list[dict[str, Any]]] = {}
        if self.boards:
            from harness.export import list_rows

            for row in list_rows(self.boards):
                rows.setdefault(row["submission"], []).append(row)
        return [describe_outcome(name, outcome, rows.get(name, [])) for name, outcome in self.outcomes.items()]


def describe_outcome(name: str, outcome: "Outcome | None", rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One submission, without an outcome where the run ended before; rows: as `harness export` gives them."""
    return {
        "name": name,
        "status": outcome.status if outcome else "unfinished",
        "exit_code": outcome.exit_code if outcome and (outcome.exit_code or outcome.status != "unfinished") else None,
        "sentence": outcome.sentence if outcome else None,
        "record": str(outcome.path) if outcome and outcome.path else None,
        "boards": rows,
    }
