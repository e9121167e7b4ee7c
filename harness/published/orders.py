"""Whether what is measured here comes in the published order, pair by pair, and what the samples cannot tell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.estimates import Estimate
from harness.statistics import CONFIDENCE


@dataclass(frozen=True)
class Standing:
    """A method's published value of a quantity, and what was measured of it here."""

    title: str
    published: float
    measured: Estimate


@dataclass(frozen=True)
class Order:
    """Pairs of methods as "first before second" in the published order: as measured, the other way round, or too close.

    first is the method with the best measured value, published_first that with the best published one among the same.
    """

    label: str
    kept: tuple[str, ...]
    turned: tuple[str, ...]
    close: tuple[str, ...]
    first: str
    published_first: str


def compare_order(label: str, standings: Sequence[Standing], *, falling: bool) -> Order | None:
    """Compare each two methods on the same resampled images; None for fewer than two methods.

    falling: the best value is the largest. Two whose difference has 0 in its 95 % interval are too close to tell, and
    two of one published value have no order.
    """
    if len(standings) < 2:
        return None
    sign = 1 if falling else -1
    ordered = sorted(standings, key=lambda standing: -sign * standing.published)
    found: dict[str, list[str]] = {"kept": [], "turned": [], "close": []}
    for better, worse in combinations(ordered, 2):
        if better.published != worse.published:
            found[_judge_pair(better, worse, sign)].append(f"{better.title} before {worse.title}")
    best = max(standings, key=lambda standing: sign * standing.measured.value)
    pairs = {name: tuple(titles) for name, titles in found.items()}
    return Order(label, **pairs, first=best.title, published_first=ordered[0].title)


def _judge_pair(better: Standing, worse: Standing, sign: int) -> str:
    difference = sign * (better.measured.draws - worse.measured.draws)
    for word, side in (("kept", difference > 0), ("turned", difference < 0)):
        if np.mean(side) > (1 + CONFIDENCE) / 2:
            return word
    return "close"


def choose_word(orders: Sequence[Order]) -> str:
    """What the pairs of all these orders amount to, as the start of a sentence."""
    kept, turned, close = (sum(len(getattr(order, name)) for order in orders) for name in ("kept", "turned", "close"))
    if not turned:
        if not kept:
            return "Undecided"
        return "Order reproduced" if not close else "Order reproduced as far as it can be told"
    return "Order partly reproduced" if kept else "Order not reproduced"


def describe_pairs(order: Order) -> Iterator[str]:
    """The pairs that are not as published, by name."""
    for word, pairs in (("Reversed", order.turned), ("Too close to tell", order.close)):
        if pairs:
            yield f"{word} by {order.label}: {'; '.join(pairs).rstrip('.')}."


def tally_pairs(orders: Sequence[Order]) -> str:
    """'PSNR 3 / 0 / 7, MS-SSIM 9 / 0 / 1': the pairs as published, reversed and too close to tell."""
    return ", ".join(f"{o.label} {len(o.kept)} / {len(o.turned)} / {len(o.close)}" for o in orders)


def describe_first(orders: Sequence[Order]) -> str:
    """Which method is first, said once for the quantities of which that is the same one."""
    labels: dict[str, list[str]] = {}
    for order in orders:
        published = "as published" if order.first == order.published_first else f"published: {order.published_first}"
        labels.setdefault(f"{order.first} ({published})", []).append(order.label)
    return ", ".join(f"first by {join_words(names)} is {first}" for first, names in labels.items())


def join_words(words: Sequence[str]) -> str:
    """'A, B and C'."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
