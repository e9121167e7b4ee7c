"""The columns of Codabench's leaderboard: scores first, since its first column decides the order."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from harness.challenge import Challenge, Phase
from harness.codabench.settings import Column
from harness.errors import UsageError
from harness.metrics import get_metric
from harness.render.cells import count_digits, head_metric

LONGEST = 36
"""Characters of a column's title and key, as Codabench's database has them."""
RISING = "↓"
MOS = "mos"


def list_board_columns(
    challenge: Challenge, phases: Sequence[Phase], *, photos: bool, timing: bool
) -> tuple[Column, ...]:
    """Every figure that a result has; photos: the dataset has some, timing: times are measured on them."""
    columns = [*list_scores(phases), *list_metrics(challenge, photos=photos), *list_costs(photos=photos, timing=timing)]
    return name_apart(columns)


def list_scores(phases: Sequence[Phase]) -> Iterator[Column]:
    """Those of all phases, which share one leaderboard. Raises UsageError where they disagree on what is better."""
    for name in dict.fromkeys(name for phase in phases for name in phase.scores):
        better = {phase.better for phase in phases if name in phase.scores}
        if len(better) > 1:
            raise UsageError(f"of Score {name} more is better in one phase and less in another; make a bundle of each.")
        needed = all(name in phase.scores for phase in phases)
        yield Column(key=name, title=f"Score {name}", source=name, digits=3, rising=better == {"lower"}, needed=needed)


def list_metrics(challenge: Challenge, *, photos: bool) -> Iterator[Column]:
    """The challenge's metrics, as far as the dataset has the images, and what is estimated from them."""
    for metric in challenge.metrics:
        if metric.images == "pairs" or photos:
            yield Column(
                key=metric.name,
                title=head_metric(metric.name).removesuffix(RISING).strip(),
                source=metric.name,
                digits=count_digits(metric.name) + 1,
                rising=not get_metric(metric.name).higher_is_better,
                needed=True,
            )
    if photos and challenge.mos is not None and any(metric.name == "niqe" for metric in challenge.metrics):
        yield Column(key=MOS, title="MOS (est.)", source=MOS, digits=2)


def list_costs(*, photos: bool, timing: bool) -> Iterator[Column]:
    """Time, memory and size; time and memory are measured on photos."""
    if photos and timing:
        yield Column(key="time", title="Time (ms)", source="time", digits=2, rising=True)
        yield Column(key="speed_up", title="Speed-up", source="speed_up", digits=3)
    if photos:
        yield Column(key="peak_mb", title="Peak RAM (MB)", source="peak_bytes", digits=0, divisor=1e6, rising=True)
    yield Column(key="model_mb", title="Model (MB)", source="model_bytes", digits=2, divisor=1e6, rising=True)
    yield Column(
        key="multiply_adds_g", title="Multiply-adds (G)", source="multiply_adds", digits=1, divisor=1e9, rising=True
    )
    yield Column(key="parameters_k", title="Parameters (k)", source="parameters", digits=1, divisor=1e3, rising=True)


def name_apart(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Keys of letters, digits and '_', and titles, both cut to what Codabench takes.

    Raises UsageError where two keys are then the same.
    """
    named: dict[str, Column] = {}
    for column in columns:
        key = re.sub(r"[^A-Za-z0-9]+", "_", column.key).strip("_")[:LONGEST] or "column"
        if key in named:
            raise UsageError(
                f"{named[key].title!r} and {column.title!r} would both be the column {key!r}; rename one in the "
                "challenge."
            )
        named[key] = msgspec.structs.replace(column, key=key, title=column.title[:LONGEST])
    return tuple(named.values())
