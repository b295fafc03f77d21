"""The account's own bookkeeping: average entry, realized profit, and their agreement with the cash that moved."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from core.types import Side
from simulator.grvt_account import PositionBook


def book_of(*fills: tuple[Side, int, int]) -> PositionBook:
    book = PositionBook()
    for side, quantity, price in fills:
        book.apply(side, Decimal(quantity), Decimal(price), Decimal("0.01"))
    return book


def test_entry_is_the_average_of_what_was_added() -> None:
    """One at 100 and three at 200 stand at 175."""
    assert Decimal(175) == book_of((Side.BUY, 1, 100), (Side.BUY, 3, 200)).entry


def test_closing_leaves_the_entry_and_realizes_the_difference() -> None:
    """Two of four sold fifty up: a hundred realized, the rest still at 100."""
    book = book_of((Side.BUY, 4, 100), (Side.SELL, 2, 150))
    assert (Decimal(100), Decimal(100)) == (book.realized, book.entry)


def test_a_flip_starts_anew_at_its_price() -> None:
    """Six sold against four: the four are realized, two stand short at the price of the sale."""
    book = book_of((Side.BUY, 4, 175), (Side.SELL, 6, 150))
    assert (Decimal(-2), Decimal(150), Decimal(-100)) == (book.size, book.entry, book.realized)


@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 50), st.integers(1, 5000)), max_size=30))
def test_profit_is_the_cash_that_moved(fills: list[tuple[Side, int, int]]) -> None:
    """Realized and unrealized profit together are the money received, less the money paid, plus the position at mark."""
    book = book_of(*fills)
    cash = sum((-side.sign * quantity * price for side, quantity, price in fills), 0)
    mark = Decimal(1000)
    assert Decimal(cash) + book.size * mark == (book.realized + book.unrealized(mark)).quantize(Decimal("0.000001"))
