"""The order book: snapshot and deltas against a plain model, gaps seen, and the cost of trading through it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.book import Book, DepthSequence, depth_within, vwap
from core.types import Level
from tests.core.builders import BUY, SELL, D

LEVELS = (Level(D("100"), D("1")), Level(D("101"), D("2")), Level(D("103"), D("4")))
CHANGES = st.lists(st.tuples(st.integers(1, 20).map(Decimal), st.integers(0, 5).map(Decimal)), max_size=30)


def pairs(*levels: tuple[str, str]) -> list[tuple[Decimal, Decimal]]:
    return [(D(price), D(quantity)) for price, quantity in levels]


@given(CHANGES, CHANGES, CHANGES, CHANGES)
def test_a_book_equals_its_snapshot_with_all_deltas_applied(bids: list, asks: list, more_bids: list, more_asks: list) -> None:  # type: ignore[type-arg]
    """Against a dictionary: absolute quantities, zero removes, best first."""
    book = Book()
    book.reset(pairs(("7", "7")), pairs(("8", "8")))
    book.reset(bids, asks)
    book.apply(more_bids, more_asks)
    model_bids = {price: quantity for price, quantity in dict([*bids, *more_bids]).items() if quantity}
    model_asks = {price: quantity for price, quantity in dict([*asks, *more_asks]).items() if quantity}
    assert (tuple(sorted(model_bids.items(), reverse=True)), tuple(sorted(model_asks.items()))) == book.top(100)


def test_the_top_is_at_most_as_deep_as_asked() -> None:
    book = Book()
    book.reset(pairs(("1", "1"), ("2", "1"), ("3", "1")), pairs(("4", "1"), ("5", "1")))
    assert (((D(3), D(1)), (D(2), D(1))), ((D(4), D(1)), (D(5), D(1)))) == book.top(2)


@pytest.mark.parametrize(("bid", "ask", "is_crossed"), [("100", "101", False), ("100", "100", True), ("101", "100", True)])
def test_a_bid_at_or_above_the_ask_is_crossed(bid: str, ask: str, is_crossed: bool) -> None:
    book = Book()
    book.reset(pairs((bid, "1")), pairs((ask, "1")))
    assert is_crossed is book.is_crossed


def test_a_one_sided_book_is_not_crossed() -> None:
    book = Book()
    book.reset(pairs(("100", "1")), [])
    assert not book.is_crossed


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [(11, 11, True), (11, 15, True), (9, 12, True), (5, 10, False), (10, 10, False), (12, 13, None)],
)
def test_a_delta_continues_is_known_or_leaves_a_gap(first: int, last: int, verdict: bool | None) -> None:
    assert verdict is DepthSequence(10).accepts(first, last)


def test_a_gap_is_seen_after_accepted_deltas_too() -> None:
    sequence = DepthSequence(10)
    assert [True, True, None] == [sequence.accepts(11, 12), sequence.accepts(13, 13), sequence.accepts(15, 16)]


def test_an_average_price_weighs_the_levels_by_what_is_taken() -> None:
    assert D("100.5") == vwap(LEVELS, D("2"))


def test_the_average_of_the_best_level_alone_is_its_price() -> None:
    assert D("100") == vwap(LEVELS, D("0.3"))


def test_a_book_that_holds_exactly_enough_has_a_price() -> None:
    assert D("714") / 7 == vwap(LEVELS, D("7"))


def test_a_book_that_holds_too_little_has_none() -> None:
    assert None is vwap(LEVELS, D("7.01"))


def test_a_taker_counts_only_levels_at_its_limit_or_better() -> None:
    bids = tuple(reversed(LEVELS))
    assert (D(3), D(6)) == (depth_within(LEVELS, D("101"), BUY), depth_within(bids, D("101"), SELL))
