"""Where a quote rests and what it is worth: joins and never crosses, values the hedge by its depth, lets the exit filter decay."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import BookUpdated
from core.quote_policy import (
    Market,
    QuoteSettings,
    basis_bps,
    basis_side,
    expected_net_bps,
    hedgeable_quantity,
    is_off_touch,
    join_price,
    market_fault,
    meets_edge,
    required_bps,
)
from core.types import Fees, Level, Side
from tests.core.builders import BACKPACK, BUY, GRVT, NO_FEES, SELL, SYMBOLS, D, book, instrument

SETTINGS = QuoteSettings(
    size=D("0.10"),
    max_position=D("0.50"),
    max_delta=D("0.10"),
    fx=D(1),
    maker_fees=NO_FEES,
    hedge_fees=NO_FEES,
    hedge_cap_bps=D(20),
)
TICKS = st.integers(8, 500).map(lambda ticks: Decimal(ticks) * D("0.5"))
NARROW = st.integers(1, 6).map(lambda ticks: Decimal(ticks) * D("0.5"))


def market(maker: BookUpdated | None = None, hedge: BookUpdated | None = None) -> Market:
    return Market(maker or book(GRVT), hedge or book(BACKPACK))


def bids(*levels: tuple[str, str]) -> BookUpdated:
    found = tuple(Level(D(price), D(quantity)) for price, quantity in levels)
    return BookUpdated(venue=BACKPACK, symbol=SYMBOLS[BACKPACK], bids=found, asks=(Level(D("3001"), D(9)),), received_at=0.0)


# ---- price --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price"), [(BUY, "2999.99"), (SELL, "3000.01")])
def test_a_quote_joins_the_touch_of_its_own_side(side: Side, price: str) -> None:
    assert D(price) == join_price(book(GRVT), side, instrument(GRVT))


@given(TICKS, NARROW, st.sampled_from(["0.5", "0.7", "2"]), st.sampled_from([BUY, SELL]))
def test_a_quote_never_crosses(bid: Decimal, spread: Decimal, tick: str, side: Side) -> None:
    """Even where the book's prices are off our tick: at least a tick away from the other side, on the tick."""
    price = join_price(book(GRVT, bid=str(bid), ask=str(bid + spread)), side, instrument(GRVT, tick=tick))
    assert price is not None
    distance = bid + spread - price if side is BUY else price - bid
    assert (True, 0) == (distance >= D(tick), price % D(tick))


@pytest.mark.parametrize(
    "odd", [book(GRVT, bid=""), book(GRVT, ask=""), book(GRVT, bid="3001", ask="3000"), book(GRVT, bid="3000", ask="3000")]
)
def test_an_odd_book_has_no_price(odd: BookUpdated) -> None:
    """One-sided, crossed or locked (B11)."""
    assert None is join_price(odd, BUY, instrument(GRVT))


@pytest.mark.parametrize(
    ("side", "price", "is_off"),
    [(BUY, "2999.98", True), (BUY, "2999.99", False), (BUY, "3000", False), (SELL, "3000.02", True), (SELL, "3000.01", False)],
)
def test_a_quote_is_off_the_touch_when_others_stand_before_it(side: Side, price: str, is_off: bool) -> None:
    assert is_off is is_off_touch(book(GRVT), side, D(price))


# ---- value --------------------------------------------------------------------------------------------------------------------


def test_a_buy_is_worth_what_the_hedge_sells_for() -> None:
    """Bought at 2997, sold at 3000: 3/2997 = 10.01 bps."""
    net = expected_net_bps(market(hedge=book(BACKPACK, bid="3000")), BUY, D("2997"), D("0.10"), SETTINGS)
    assert D("10.01") == round(net or D(0), 2)


def test_a_sell_is_worth_what_the_hedge_costs_less() -> None:
    net = expected_net_bps(market(hedge=book(BACKPACK, ask="3000")), SELL, D("3003"), D("0.10"), SETTINGS)
    assert D("9.99") == round(net or D(0), 2)


def test_fees_and_rebates_are_signed() -> None:
    """Maker rebate 1 bp earned, taker fee 5 bps paid: 4 bps less (D2)."""
    fees = SETTINGS._replace(maker_fees=Fees(D("-0.0001"), D(0)), hedge_fees=Fees(D(0), D("0.0005")))
    plain = expected_net_bps(market(hedge=book(BACKPACK, bid="3000")), BUY, D("3000"), D("0.10"), SETTINGS)
    assert (D(0), D("-4")) == (plain, expected_net_bps(market(hedge=book(BACKPACK, bid="3000")), BUY, D("3000"), D("0.10"), fees))


def test_the_exchange_rate_enters_the_edge() -> None:
    settings = SETTINGS._replace(fx=D("1.001"))
    assert D(10) == expected_net_bps(market(hedge=book(BACKPACK, bid="3000")), BUY, D("3000"), D("0.10"), settings)


def test_the_hedge_is_valued_through_the_depth_it_needs() -> None:
    """Half at 3000, half at 2990: 2995 on average."""
    net = expected_net_bps(market(hedge=bids(("3000", "0.05"), ("2990", "9"))), BUY, D("2995"), D("0.10"), SETTINGS)
    assert D(0) == net


def test_a_hedge_book_that_cannot_take_it_all_is_worth_nothing() -> None:
    thin = market(hedge=bids(("3000", "0.05")))
    assert (None, False) == (
        expected_net_bps(thin, BUY, D("2000"), D("0.10"), SETTINGS),
        meets_edge(thin, BUY, D("2000"), D("0.10"), D(-1000), SETTINGS),
    )


def test_an_edge_exactly_at_the_threshold_is_enough() -> None:
    flat = market(hedge=book(BACKPACK, bid="3000"))
    assert [True, False] == [meets_edge(flat, BUY, D("3000"), D("0.10"), D(need), SETTINGS) for need in ("0", "0.01")]


def test_size_counts_only_on_a_share_of_what_the_hedge_venue_takes_within_its_cap() -> None:
    """0.35 within 20 bps of the best bid, half of which we count on; what lies deeper does not exist for us."""
    thin = market(hedge=bids(("3000", "0.20"), ("2995", "0.15"), ("2993", "50")))
    assert D("0.175") == hedgeable_quantity(thin, BUY, SETTINGS)


def test_an_empty_hedge_book_takes_nothing() -> None:
    assert D(0) == hedgeable_quantity(market(hedge=book(BACKPACK, bid="")), BUY, SETTINGS)


# ---- filter and direction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held_s", "needed"), [(0.0, D("2")), (300.0, D("-499")), (599.9, None), (600.0, None), (601.0, None)])
def test_the_exit_filter_decays_linearly_and_is_gone_at_max_hold(held_s: float, needed: Decimal | None) -> None:
    settings = SETTINGS._replace(min_unwind_bps=D(2))
    found = required_bps("UNWIND", held_s, settings)
    assert needed == found if needed is not None or held_s >= 600 else found is not None


@given(st.floats(0, 599), st.floats(0, 1))
def test_the_exit_filter_never_rises_with_time(held_s: float, more: float) -> None:
    settings = SETTINGS._replace(min_unwind_bps=D(5))
    first, later = required_bps("UNWIND", held_s, settings), required_bps("UNWIND", held_s + more, settings)
    assert later is None or (first is not None and later <= first)


def test_without_an_exit_filter_any_edge_is_enough() -> None:
    assert D(-1000) == required_bps("UNWIND", 1.0, SETTINGS)


def test_the_filter_for_building_does_not_decay() -> None:
    assert D(3) == required_bps("BUILD", 10_000.0, SETTINGS._replace(min_build_bps=D(3)))


def test_the_basis_is_the_makers_mid_over_the_hedges() -> None:
    rich = market(book(GRVT, bid="3002", ask="3004"), book(BACKPACK, bid="2999", ask="3001"))
    assert D("9.99") == round(basis_bps(rich, D(1)), 2)


@pytest.mark.parametrize(("current", "side"), [("7", SELL), ("3", BUY), ("6.9", None), ("3.1", None)])
def test_a_dear_maker_is_sold_and_a_cheap_one_bought(current: str, side: Side | None) -> None:
    samples = [D(value) for value in ([4] * 500 + [5] * 3 + [6] * 500)]
    assert side is basis_side(samples, D(current))


def test_too_few_samples_decide_nothing() -> None:
    assert None is basis_side([D(0)] * 999, D(100))


# ---- faults -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (market(maker=book(GRVT, at=-2.1)), "stale"),
        (market(hedge=book(BACKPACK, at=-2.1)), "stale"),
        (market(hedge=book(BACKPACK, bid="")), "one-sided"),
        (market(maker=book(GRVT, ask="")), "one-sided"),
        (market(hedge=book(BACKPACK, bid="3001", ask="3000")), "crossed"),
        (market(maker=book(GRVT, bid="3000", ask="3000")), "crossed"),
        (market(hedge=book(BACKPACK, bid="2900", ask="2901")), "too far apart"),
        (market(hedge=book(BACKPACK, bid="30", ask="31")), "too far apart"),
    ],
)
def test_each_fault_of_the_books_is_named(odd: Market, words: str) -> None:
    """Stale, one-sided, crossed, locked, or a scale that cannot be the same asset's (B11, D14)."""
    assert words in (market_fault(odd, SETTINGS, 0.0) or "")


def test_good_books_have_no_fault() -> None:
    assert None is market_fault(market(), SETTINGS, 2.0)
