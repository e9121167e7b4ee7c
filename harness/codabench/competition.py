"""What a competition is: which data, phases, dates and columns, checked before anything is written."""

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import session
from harness.assets import AssetStore
from harness.challenge import FOLDER, Challenge, Phase, find_phase, read_challenge
from harness.codabench.columns import list_board_columns
from harness.codabench.settings import Column
from harness.dataset import Dataset
from harness.datasets import KNOWN
from harness.errors import DataError, UsageError
from harness.progress import Progress
from harness.scoring import list_names

HELD_OUT = "test"
OF_TIME = {"time", "baseline_time", "speed_up"}
"""What no formula can name without a clock."""
TIME_LIMIT_S = 3600


@dataclass(frozen=True)
class Wishes:
    """What the organiser asks for; everything else can be changed on Codabench's own pages.

    phases: of the challenge, one after the other, each for `days`. start: None for today. image: a Docker image that
    has the packages; None for Python's own, in which they are installed before each scoring. queue: a queue's vhost.
    """

    dataset: str | None = None
    phases: tuple[str, ...] = ()
    split: str | None = None
    start: datetime.date | None = None
    days: int = 60
    image: str | None = None
    queue: str | None = None
    budget_s: float = 90.0
    timing: bool = True
    with_data: bool = True


@dataclass(frozen=True)
class Span:
    """A phase of the challenge and when it is open (UTC)."""

    name: str
    phase: Phase
    start: datetime.datetime
    end: datetime.datetime


@dataclass(frozen=True)
class Competition:
    """Everything that the bundle's parts are made from.

    table: the challenge's file as it stands. folder: where the dataset's files lie, if it is a folder of its own.
    """

    challenge: Challenge
    table: dict[str, Any]
    dataset: Dataset
    folder: Path | None
    store: AssetStore
    split: str
    spans: tuple[Span, ...]
    columns: tuple[Column, ...]
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def timing(self) -> bool:
        """Whether times are measured: they need photos."""
        return self.wishes.timing and bool(self.dataset.photos)

    @property
    def pair_count(self) -> int:
        return len(self.dataset.splits[self.split])


def plan_competition(name: str, wishes: Wishes, store: AssetStore, *, on_progress: Progress) -> Competition:
    """Read the challenge, open its data and check that every score can be computed there.

    Raises UsageError for what does not fit together, DataError for data that is missing.
    """
    challenge = read_challenge(name)
    names = wishes.phases or tuple(challenge.phases)[:1]
    phases = [find_phase(challenge, phase) for phase in names]
    if len(set(names)) < len(names):
        raise UsageError("a phase is named twice; name each once.")
    asked = wishes.dataset or challenge.dataset
    dataset = open_data(challenge, asked, store, on_progress=on_progress)
    dataset.read_all()  # a damaged image would only show when the first participant is scored
    split = choose_split(dataset, wishes.split)
    timing = wishes.timing and bool(dataset.photos)
    for phase in phases:
        check_scores(phase, challenge, dataset, timing=timing)
    return Competition(
        challenge,
        read_table(name),
        dataset,
        None if asked in KNOWN else Path(asked).resolve(),
        store,
        split,
        plan_spans(list(zip(names, phases, strict=True)), wishes),
        list_board_columns(challenge, phases, photos=bool(dataset.photos), timing=timing),
        wishes,
    )


def open_data(challenge: Challenge, asked: str, store: AssetStore, *, on_progress: Progress) -> Dataset:
    """The dataset asked for, never one that stands in for it; every metric of the challenge has to be there too."""
    options = session.Options(timing=False)
    evaluation, notes = session.prepare_evaluation(challenge, asked, store, options, on_progress=on_progress)
    if len(evaluation.metrics) < len(challenge.metrics):
        raise DataError(f"a metric of {challenge.name} cannot be computed: {notes[0]}")
    return evaluation.dataset


def read_table(name: str) -> dict[str, Any]:
    """The file of a challenge that was read already, by its name or path."""
    path = Path(name)
    path = path if path.suffix == ".toml" or len(path.parts) > 1 else FOLDER / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def choose_split(dataset: Dataset, asked: str | None) -> str:
    """One for all participants: that asked for, the one called test, or the largest."""
    if asked is not None:
        dataset.list_names(asked)
        return asked
    if HELD_OUT in dataset.splits:
        return HELD_OUT
    return max(dataset.splits, key=lambda split: len(dataset.splits[split]))


def check_scores(phase: Phase, challenge: Challenge, dataset: Dataset, *, timing: bool) -> None:
    """Raise UsageError for a score that no submission could have here."""
    missing = set() if timing else set(OF_TIME)
    if not dataset.photos:
        missing |= {metric.name for metric in challenge.metrics if metric.images == "photos"} | {"mos"}
    for score, formula in phase.scores.items():
        if lacking := sorted(missing & list_names(formula)):
            why = "needs a clock; leave --no-timing out" if dataset.photos else "needs photos, which the dataset lacks"
            raise UsageError(f"Score {score} is made of {', '.join(lacking)}, which {why}.")


def plan_spans(phases: Sequence[tuple[str, Phase]], wishes: Wishes) -> tuple[Span, ...]:
    """Each phase begins a second after the one before it: Codabench takes no two that touch."""
    first = wishes.start or datetime.datetime.now(datetime.UTC).date()
    midnight = datetime.datetime.combine(first, datetime.time(), datetime.UTC)
    length, second = datetime.timedelta(days=wishes.days), datetime.timedelta(seconds=1)
    return tuple(
        Span(name, phase, midnight + place * length, midnight + (place + 1) * length - second)
        for place, (name, phase) in enumerate(phases)
    )
