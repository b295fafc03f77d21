"""Rounding and minimums of one contract: the only place that rounds, and never in the wrong direction (I16)."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import BUY, GRVT, SELL, D, instrument

POSITIVE = st.decimals("0.0001", "100000", places=4)
STEPS = st.sampled_from(["0.001", "0.01", "0.1", "0.5", "1", "10"])


@given(POSITIVE, STEPS)
def test_a_passive_price_is_on_the_tick_and_never_more_aggressive(price: Decimal, tick: str) -> None:
    made = instrument(GRVT, tick=tick)
    buy, sell = made.price_passive(price, BUY), made.price_passive(price, SELL)
    assert (True, 0, 0) == (buy <= price <= sell, buy % D(tick), sell % D(tick))


@given(POSITIVE, STEPS)
def test_an_aggressive_price_is_on_the_tick_and_never_more_passive(price: Decimal, tick: str) -> None:
    made = instrument(GRVT, tick=tick)
    buy, sell = made.price_aggressive(price, BUY), made.price_aggressive(price, SELL)
    assert (True, 0, 0) == (sell <= price <= buy, buy % D(tick), sell % D(tick))


@given(POSITIVE, STEPS)
def test_no_rounding_moves_a_price_by_a_whole_tick(price: Decimal, tick: str) -> None:
    made = instrument(GRVT, tick=tick)
    rounded = (made.price_passive(price, BUY), made.price_aggressive(price, SELL), made.price_nearest(price))
    assert all(abs(each - price) < D(tick) for each in rounded)


@given(st.decimals("-1000", "1000", places=4), STEPS)
def test_a_quantity_is_rounded_towards_zero(quantity: Decimal, lot: str) -> None:
    rounded = instrument(GRVT, lot=lot).quantity_down(quantity)
    assert (True, 0) == (abs(quantity) - D(lot) < abs(rounded) <= abs(quantity), rounded % D(lot))


@pytest.mark.parametrize(("quantity", "is_tradable"), [("0.01", True), ("0.009", False), ("0", False), ("-0.01", False)])
def test_the_minimum_quantity_counts(quantity: str, is_tradable: bool) -> None:
    assert is_tradable is instrument(GRVT).is_tradable(D(quantity), D("3000"))


@pytest.mark.parametrize(("price", "is_tradable"), [("1000", True), ("999.99", False)])
def test_the_minimum_notional_counts(price: str, is_tradable: bool) -> None:
    assert is_tradable is instrument(GRVT, min_notional="10").is_tradable(D("0.01"), D(price))


@pytest.mark.parametrize(
    ("price", "quantity", "words"),
    [
        ("0", "0.01", "price"),
        ("-1", "0.01", "price"),
        ("NaN", "0.01", "price"),
        ("Infinity", "0.01", "price"),
        ("3000", "0", "quantity"),
        ("3000", "-1", "quantity"),
        ("3000", "NaN", "quantity"),
        ("3000", "-Infinity", "quantity"),
        ("3000.005", "0.01", "off the tick"),
        ("3000", "0.015", "off the lot"),
        ("3000", "0.00", "quantity"),
        ("100", "0.01", "notional"),
    ],
)
def test_each_wrong_number_is_named(price: str, quantity: str, words: str) -> None:
    found = instrument(GRVT, min_notional="10").violations(D(price), D(quantity))
    assert any(words in each for each in found)


def test_a_good_order_has_nothing_to_complain_about() -> None:
    assert () == instrument(GRVT, min_notional="10").violations(D("3000.01"), D("0.01"))


def test_what_has_changed_is_named_with_both_values() -> None:
    """And nothing where everything is as it was."""
    before = instrument(GRVT, lot="0.01")
    changed = msgspec.structs.replace(before, lot_size=D("0.1"), symbol="ETH2")
    assert (f"symbol {before.symbol} is now ETH2, lot_size 0.01 is now 0.1", "") == (
        before.changes(changed),
        before.changes(before),
    )
