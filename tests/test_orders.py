"""Pairs of methods in the published order, reversed, or too close to tell on the same images."""

import numpy as np
import pytest

from harness.estimates import Estimate
from harness.published.orders import (
    Order,
    Standing,
    choose_word,
    compare_order,
    describe_first,
    describe_pairs,
    join_words,
    tally_pairs,
)

NOISE = np.random.default_rng(1).normal(0, 1, 2000)


def stand(title: str, published: float, measured: float, *, own: float = 0.0) -> Standing:
    """All draws have the same noise, but for `own`, what is a method's alone."""
    draws = measured + NOISE + own * np.random.default_rng(len(title)).normal(0, 1, len(NOISE))
    return Standing(title, published, Estimate(measured, draws))


def compare(*standings: Standing, falling: bool = True) -> Order:
    order = compare_order("PSNR", standings, falling=falling)
    assert order is not None
    return order


def test_what_is_hard_for_all_sets_no_two_apart() -> None:
    order = compare(stand("a", 23, 22.02), stand("bb", 22, 22.01), stand("ccc", 21, 22.0))
    assert order.kept == ("a before bb", "a before ccc", "bb before ccc")
    assert (order.turned, order.close) == ((), ())


def test_a_difference_within_its_interval_is_too_close() -> None:
    order = compare(stand("a", 23, 22.1, own=1), stand("bb", 22, 22.0, own=1), stand("ccc", 21, 12))
    assert order.close == ("a before bb",)
    assert order.kept == ("a before ccc", "bb before ccc")


def test_the_opposite_is_reversed() -> None:
    order = compare(stand("a", 23, 21), stand("bb", 22, 22))
    assert (order.kept, order.turned, order.close) == ((), ("a before bb",), ())
    assert (order.first, order.published_first) == ("bb", "a")


def test_the_smallest_is_first_where_less_is_better() -> None:
    order = compare(stand("a", 6, 3), stand("bb", 7, 4), falling=False)
    assert (order.kept, order.first) == (("a before bb",), "a")


def test_equal_published_values_have_no_order() -> None:
    order = compare(stand("a", 22, 21), stand("bb", 22, 25), stand("ccc", 20, 19))
    assert order.kept == ("a before ccc", "bb before ccc")
    assert not order.turned


def test_equal_measured_values_are_too_close() -> None:
    assert compare(stand("a", 23, 22), stand("bb", 22, 22)).close == ("a before bb",)


@pytest.mark.parametrize("standings", [[], [stand("a", 22, 21)]])
def test_one_method_has_no_order(standings: list[Standing]) -> None:
    assert compare_order("PSNR", standings, falling=True) is None


def make_order(kept: int, turned: int, close: int, first: str = "a", label: str = "PSNR") -> Order:
    pairs = (tuple(f"{word}{number} before b." for number in range(count)) for word, count in
             (("k", kept), ("t", turned), ("c", close)))  # fmt: skip
    return Order(label, *pairs, first=first, published_first="a")


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        ((3, 0, 0), "Order reproduced"),
        ((2, 0, 1), "Order reproduced as far as it can be told"),
        ((2, 1, 0), "Order partly reproduced"),
        ((0, 1, 2), "Order not reproduced"),
        ((0, 0, 3), "Undecided"),
    ],
)
def test_words(counts: tuple[int, int, int], word: str) -> None:
    assert choose_word([make_order(*counts)]) == word


def test_orders_are_judged_together() -> None:
    assert choose_word([make_order(3, 0, 0), make_order(0, 3, 0)]) == "Order partly reproduced"


def test_tally_and_first() -> None:
    orders = [make_order(3, 0, 7), make_order(1, 2, 0, label="MS-SSIM"), make_order(1, 0, 0, "b", label="NIQE")]
    assert tally_pairs(orders) == "PSNR 3 / 0 / 7, MS-SSIM 1 / 2 / 0, NIQE 1 / 0 / 0"
    assert describe_first(orders) == (
        "first by PSNR and MS-SSIM is a (as published), first by NIQE is b (published: a)"
    )


def test_pairs_that_are_not_as_published_are_named() -> None:
    assert [*describe_pairs(make_order(5, 1, 2))] == [
        "Reversed by PSNR: t0 before b.",
        "Too close to tell by PSNR: c0 before b.; c1 before b.",
    ]
    assert [*describe_pairs(make_order(5, 0, 0))] == []


@pytest.mark.parametrize(("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_words_are_joined(words: list[str], text: str) -> None:
    assert join_words(words) == text
