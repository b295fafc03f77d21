"""The matching engine: priorities, order kinds, refusals, accounts, and the events that tell of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.instrument import Instrument
from core.types import Fees, Side, VenueId
from simulator.exchange import (
    AccountFill,
    BookEvent,
    Event,
    Exchange,
    ExchangeRefused,
    FillEvent,
    OrderEvent,
    PositionEvent,
    SimOrder,
    TradeEvent,
)

ETH = "ETH_USDT_Perp"
BUY, SELL = Side.BUY, Side.SELL
INSTRUMENT = Instrument(
    venue=VenueId("grvt"),
    symbol=ETH,
    base="ETH",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.01"),
    min_quantity=Decimal("0.02"),
    min_notional=Decimal("100"),
)
SMALL = msgspec.structs.replace(INSTRUMENT, min_quantity=Decimal("0.01"), min_notional=Decimal("0"))
"""Without minimums every step of a random run is a valid order."""
FEES = Fees(Decimal("-0.0001"), Decimal("0.0005"))
D = Decimal


def new_exchange(fees: Any = FEES) -> Exchange:
    exchange = Exchange("grvt", [INSTRUMENT], fees, first_order_id=100)
    exchange.advance(1000.0)
    return exchange


def put(exchange: Exchange, account: str, side: Side, quantity: str, price: str | None, **rest: Any) -> SimOrder:
    return exchange.place(account, ETH, side, D(quantity), None if price is None else D(price), **rest)


def told(exchange: Exchange) -> list[Event]:
    events: list[Event] = []
    exchange.subscribe(events.append)
    return events


def prices_of(fills: list[AccountFill]) -> list[tuple[str, str]]:
    return [(str(fill.price), str(fill.quantity)) for fill in fills]


# -- matching -------------------------------------------------------------------------------------------------------------


def test_better_prices_fill_first() -> None:
    """A taker meets the best price first, whenever it was quoted."""
    exchange = new_exchange()
    put(exchange, "a", SELL, "1", "3000.02")
    put(exchange, "b", SELL, "1", "3000.01")
    put(exchange, "taker", BUY, "1.5", "3000.05")
    assert [("3000.01", "1"), ("3000.02", "0.5")] == prices_of(exchange.fills("taker"))


def test_earlier_orders_of_one_price_fill_first() -> None:
    """Within a price the queue is served in the order of arrival."""
    exchange = new_exchange()
    for account in ("first", "second"):
        put(exchange, account, BUY, "1", "2999.00")
    put(exchange, "taker", SELL, "1.2", "2999.00")
    assert (D("1"), D("0.2")) == (exchange.position("first", ETH), exchange.position("second", ETH))


def test_a_partially_filled_order_keeps_its_place() -> None:
    """The rest of a partially filled maker still stands before later arrivals."""
    exchange = new_exchange()
    put(exchange, "first", BUY, "1", "2999.00")
    put(exchange, "second", BUY, "1", "2999.00")
    put(exchange, "taker", SELL, "0.4", "2999.00")
    put(exchange, "taker", SELL, "0.4", "2999.00")
    assert (D("0.8"), D("0")) == (exchange.position("first", ETH), exchange.position("second", ETH))


def test_a_limit_order_trades_at_the_makers_price_and_rests_with_what_is_left() -> None:
    """A crossing GTC order takes what its limit allows; its remainder becomes the touch."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "0.3", "3000.00")
    put(exchange, "maker", SELL, "1", "3000.10")
    order = put(exchange, "taker", BUY, "1", "3000.05")
    assert (("OPEN", D("0.3"), D("900")), ([(D("3000.05"), D("0.7"))], [(D("3000.10"), D("1"))])) == (
        (order.status, order.filled, order.notional),
        exchange.book(ETH, 5),
    )


def test_what_an_ioc_order_cannot_fill_expires() -> None:
    """An IOC order never rests."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "0.3", "3000.00")
    order = put(exchange, "taker", BUY, "1", "3000.00", tif="IOC")
    assert ("EXPIRED", "IOC", D("0.3"), ([], [])) == (order.status, order.reason, order.filled, exchange.book(ETH, 5))


def test_a_market_order_takes_every_price() -> None:
    """price None walks the whole book."""
    exchange = new_exchange()
    put(exchange, "maker", BUY, "1", "2999.00")
    put(exchange, "maker", BUY, "1", "100.00")
    order = put(exchange, "taker", SELL, "3", None)
    assert ("EXPIRED", D("2"), D("3099")) == (order.status, order.filled, order.notional)


@pytest.mark.parametrize(("price", "status", "reason"), [("3000.00", "REJECTED", "POST_ONLY"), ("2999.99", "OPEN", "")])
def test_post_only_orders_never_take(price: str, status: str, reason: str) -> None:
    """One that would cross is rejected without a trade; one that would not rests."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "1", "3000.00")
    order = put(exchange, "quoter", BUY, "1", price, post_only=True)
    assert (status, reason, []) == (order.status, order.reason, exchange.fills("quoter"))


@pytest.mark.parametrize(
    ("own_price", "status", "filled"),
    [("3000.00", "REJECTED", "0"), ("3000.01", "CANCELLED", "1")],
    ids=["at the touch", "behind it"],
)
def test_nobody_trades_with_himself(own_price: str, status: str, filled: str) -> None:
    """The taker's order ends where it meets its own account's; what it filled before stands."""
    exchange = new_exchange()
    put(exchange, "me", SELL, "1", own_price)
    put(exchange, "other", SELL, "1", "3000.00")
    order = put(exchange, "me", BUY, "3", "3000.05")
    assert (status, "SELF_TRADE", D(filled)) == (order.status, order.reason, order.filled)


# -- reduce-only ----------------------------------------------------------------------------------------------------------


def long_one() -> Exchange:
    """ "me" is long 1 ETH; the other side of it is "maker"."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "1", "3000.00")
    put(exchange, "me", BUY, "1", "3000.00")
    return exchange


@pytest.mark.parametrize("side", [BUY, SELL])
def test_reduce_only_is_rejected_without_a_position(side: Side) -> None:
    """There is nothing to reduce, on either side."""
    order = put(new_exchange(), "me", side, "1", "3000.00", reduce_only=True)
    assert ("REJECTED", "REDUCE_ONLY") == (order.status, order.reason)


def test_reduce_only_is_rejected_where_it_would_add() -> None:
    """A long is not reduced by buying."""
    order = put(long_one(), "me", BUY, "1", "2999.00", reduce_only=True)
    assert ("REJECTED", "REDUCE_ONLY") == (order.status, order.reason)


def test_reduce_only_is_clamped_to_the_position() -> None:
    """It cannot turn the position round, however large it was asked."""
    exchange = long_one()
    put(exchange, "maker", BUY, "5", "2999.00")
    order = put(exchange, "me", SELL, "3", "2999.00", reduce_only=True)
    assert ("FILLED", D("1"), D("0")) == (order.status, order.quantity, exchange.position("me", ETH))


def test_a_resting_reduce_only_order_shrinks_with_the_position() -> None:
    """After half of the position is gone, half of the order is, in the book too."""
    exchange = long_one()
    resting = put(exchange, "me", SELL, "1", "3100.00", reduce_only=True)
    put(exchange, "maker", BUY, "0.6", "2999.00")
    put(exchange, "me", SELL, "0.6", "2999.00")
    after = exchange.order(resting.order_id)
    assert after is not None
    assert (D("0.4"), [(D("3100.00"), D("0.4"))]) == (after.quantity, exchange.book(ETH, 5)[1])


def test_a_resting_reduce_only_order_goes_with_the_position() -> None:
    """Of two exits one may win: the fill that flattens the account cancels the other before it can trade."""
    exchange = long_one()
    for price in ("3100.00", "3100.01"):
        put(exchange, "me", SELL, "1", price, reduce_only=True)
    taker = put(exchange, "taker", BUY, "2", "3100.05", tif="IOC")
    assert (D("1"), D("0"), []) == (taker.filled, exchange.position("me", ETH), exchange.open_orders("me"))


# -- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "price", "rest", "reason", "field"),
    [
        ("1", "3000.001", {}, "TICK", "price"),
        ("1", "0", {}, "BAD_PRICE", "price"),
        ("1", "NaN", {}, "BAD_PRICE", "price"),
        ("1.001", "3000", {}, "LOT", "quantity"),
        ("-1", "3000", {}, "BAD_QUANTITY", "quantity"),
        ("Infinity", "3000", {}, "BAD_QUANTITY", "quantity"),
        ("0.01", "30000", {}, "MIN_QUANTITY", "quantity"),
        ("0.03", "3000", {}, "MIN_NOTIONAL", "quantity"),
        ("1", "3000", {"post_only": True, "tif": "IOC"}, "BAD_TIF", "post_only"),
    ],
)
def test_bad_numbers_are_refused_by_name(quantity: str, price: str, rest: dict[str, Any], reason: str, field: str) -> None:
    """Such an order never comes to be; the refusal names the rule and the field."""
    with pytest.raises(ExchangeRefused) as refusal:
        put(new_exchange(), "me", BUY, quantity, price, **rest)
    assert (reason, field) == (refusal.value.reason, refusal.value.field)


def test_a_refused_order_leaves_no_trace() -> None:
    """Not even an order number is used up."""
    exchange = new_exchange()
    with pytest.raises(ExchangeRefused):
        put(exchange, "me", BUY, "0.001", "3000", client_id="7")
    assert (None, 100) == (exchange.by_client_id("me", "7"), put(exchange, "me", BUY, "1", "3000").order_id)


def test_an_unknown_symbol_is_refused() -> None:
    """The refusal names the symbol field."""
    with pytest.raises(ExchangeRefused, match="UNKNOWN_SYMBOL: symbol"):
        new_exchange().place("me", "DOGE", BUY, D("1"), D("1"))


def test_an_order_that_reduces_is_no_smaller_than_another() -> None:
    """GRVT's 2067: a remainder below the minimum notional cannot be closed alone."""
    with pytest.raises(ExchangeRefused, match="MIN_NOTIONAL"):
        put(long_one(), "me", SELL, "0.03", "3000.00", reduce_only=True)


# -- ends and look-ups ----------------------------------------------------------------------------------------------------


def test_a_cancelled_order_leaves_the_book_once() -> None:
    """The first cancel tells what became of the order, the second finds nothing."""
    exchange = new_exchange()
    order = put(exchange, "me", BUY, "1", "2999.00")
    first, second = exchange.cancel(order.order_id, "USER"), exchange.cancel(order.order_id, "USER")
    assert first is not None
    assert ("CANCELLED", "USER", None, ([], [])) == (first.status, first.reason, second, exchange.book(ETH, 5))


def test_cancel_all_keeps_to_its_account() -> None:
    """Everybody else's orders stay."""
    exchange = new_exchange()
    mine = [put(exchange, "me", BUY, "1", "2999.00").order_id, put(exchange, "me", SELL, "1", "3001.00").order_id]
    put(exchange, "other", BUY, "1", "2998.00")
    cancelled = exchange.cancel_all("me", ETH, "USER")
    assert (mine, 1) == ([order.order_id for order in cancelled], len(exchange.open_orders("other")))


def test_an_order_expires_at_its_time_and_not_before() -> None:
    """advance() ends exactly those whose time has come."""
    exchange = new_exchange()
    order = put(exchange, "me", BUY, "1", "2999.00", expires_at=1010.0)
    exchange.advance(1009.9)
    before = exchange.order(order.order_id)
    exchange.advance(1010.0)
    after = exchange.order(order.order_id)
    assert before is not None
    assert after is not None
    assert ("OPEN", "EXPIRED") == (before.status, after.status)


def test_an_order_that_has_expired_already_never_trades() -> None:
    """A request that arrives after its own expiry is rejected."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "1", "3000.00")
    order = put(exchange, "me", BUY, "1", "3000.00", expires_at=999.0)
    assert ("REJECTED", "EXPIRED", D("0")) == (order.status, order.reason, order.filled)


def test_time_does_not_go_back() -> None:
    """An earlier moment changes nothing."""
    exchange = new_exchange()
    exchange.advance(5.0)
    assert 1000.0 == exchange.now


def test_what_is_handed_out_does_not_change() -> None:
    """An order is a copy: later fills show in a new look-up only."""
    exchange = new_exchange()
    order = put(exchange, "me", BUY, "1", "2999.00", client_id="7")
    put(exchange, "taker", SELL, "1", "2999.00")
    latest = exchange.by_client_id("me", "7")
    assert latest is not None
    assert ("OPEN", "FILLED") == (order.status, latest.status)


def test_fills_are_found_by_time() -> None:
    """``since`` is inclusive."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "3", "3000.00")
    for moment in (1001.0, 1002.0, 1003.0):
        exchange.advance(moment)
        put(exchange, "me", BUY, "1", "3000.00")
    assert [1002.0, 1003.0] == [fill.time for fill in exchange.fills("me", ETH, since=1002.0)]


# -- money ----------------------------------------------------------------------------------------------------------------


def test_fees_are_signed() -> None:
    """The maker is paid its rebate, the taker pays; both in quote currency."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "2", "3000.00")
    put(exchange, "taker", BUY, "2", "3000.00")
    (maker,), (taker,) = exchange.fills("maker"), exchange.fills("taker")
    assert ((D("-0.6"), True, "USDT"), (D("3"), False, "USDT")) == (
        (maker.fee, maker.is_maker, maker.fee_currency),
        (taker.fee, taker.is_maker, taker.fee_currency),
    )


def test_fees_may_differ_by_account() -> None:
    """An account without a schedule of its own pays nothing."""
    exchange = new_exchange({"taker": FEES})
    put(exchange, "maker", SELL, "2", "3000.00")
    put(exchange, "taker", BUY, "2", "3000.00")
    assert (D("0"), D("3")) == (exchange.fills("maker")[0].fee, exchange.fills("taker")[0].fee)


# -- events ---------------------------------------------------------------------------------------------------------------


def test_events_tell_a_trade_in_order() -> None:
    """Order opened, tape, maker's fill and position, taker's, the end of the rest, and the new level last."""
    exchange = new_exchange()
    put(exchange, "maker", SELL, "1", "3000.00")
    events = told(exchange)
    put(exchange, "taker", BUY, "2", "3000.00", tif="IOC")
    kinds = [OrderEvent, TradeEvent, FillEvent, PositionEvent, FillEvent, PositionEvent, OrderEvent, BookEvent]
    assert kinds == [type(event) for event in events]


def test_a_level_is_told_with_its_new_total() -> None:
    """Adding, filling and emptying a price each tell what now rests there."""
    exchange = new_exchange()
    events = told(exchange)
    put(exchange, "maker", SELL, "1", "3000.00")
    put(exchange, "taker", BUY, "0.4", "3000.00")
    put(exchange, "taker", BUY, "0.6", "3000.00")
    assert [D("1"), D("0.6"), D("0")] == [event.quantity for event in events if isinstance(event, BookEvent)]


def test_a_level_is_told_once_per_change() -> None:
    """A change elsewhere in the book does not repeat it."""
    exchange = new_exchange()
    events = told(exchange)
    for price in ("2999.00", "2998.00"):
        put(exchange, "maker", BUY, "1", price)
    assert [D("2999.00"), D("2998.00")] == [event.price for event in events if isinstance(event, BookEvent)]


def test_the_house_causes_no_account_events() -> None:
    """Its orders show in the book and on the tape only."""
    exchange = new_exchange()
    events = told(exchange)
    put(exchange, "house", SELL, "1", "3000.00")
    put(exchange, "flow", BUY, "1", "3000.00")
    assert {BookEvent, TradeEvent} == {type(event) for event in events}


def test_a_listener_may_place_orders() -> None:
    """What it does is told after the events it was called for, to every listener in the same order."""
    exchange = new_exchange()
    seen: list[str] = []

    def place_another(event: Event) -> None:
        if isinstance(event, OrderEvent) and event.order.account == "first":
            put(exchange, "second", BUY, "1", "2999.00")

    exchange.subscribe(place_another)
    exchange.subscribe(lambda event: seen.append(event.order.account) if isinstance(event, OrderEvent) else None)
    put(exchange, "first", BUY, "1", "3000.00")
    assert ["first", "second"] == seen


# -- the ledger -----------------------------------------------------------------------------------------------------------


def test_the_ledger_is_json_without_the_house() -> None:
    """Orders, fills and positions of the accounts under test survive a round trip."""
    exchange = new_exchange()
    put(exchange, "house", SELL, "1", "3000.00")
    put(exchange, "me", BUY, "0.50", "3000.00", client_id="7", tag={"object": object()})
    ledger = json.loads(json.dumps(exchange.ledger()))
    assert (["me"], ["me"], {"me": {ETH: "0.50"}}) == (
        [order["account"] for order in ledger["orders"]],
        [fill["account"] for fill in ledger["fills"]],
        ledger["positions"],
    )


ACCOUNTS = ("a", "b", "house")
PLACEMENTS = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from([BUY, SELL]),
    st.integers(2, 30),
    st.one_of(st.none(), st.integers(-4, 4)),
    st.sampled_from([{}, {"tif": "IOC"}, {"post_only": True}, {"reduce_only": True}, {"expires_at": 1003.0}]),
)
STEPS = st.lists(st.one_of(PLACEMENTS, st.integers(0, 60)), max_size=60)


def play(steps: list[Any], listener: Callable[[Event], None] = lambda event: None) -> Exchange:
    """Placements, and integers: each cancels that order and moves the time on a little."""
    exchange = Exchange("grvt", [SMALL], FEES)
    exchange.subscribe(listener)
    exchange.advance(1000.0)
    for step in steps:
        if isinstance(step, int):
            exchange.cancel(step, "USER")
            exchange.advance(exchange.now + 0.1)
            continue
        account, side, lots, ticks, rest = step
        price = None if ticks is None or ticks == 0 else 3000 + ticks * D("0.01")
        if price is None and rest.get("post_only"):
            continue
        exchange.place(account, ETH, side, lots * D("0.01"), price, **rest)
    return exchange


@given(STEPS)
@settings(max_examples=150)
def test_positions_add_up_to_nothing(steps: list[Any]) -> None:
    """Every contract that one account holds, another owes."""
    exchange = play(steps)
    assert D("0") == sum((exchange.position(account, ETH) for account in ACCOUNTS), D("0"))


@given(STEPS)
@settings(max_examples=150)
def test_positions_are_the_sum_of_the_fills(steps: list[Any]) -> None:
    """The ledger explains every position."""
    exchange = play(steps)
    summed = {
        account: sum((fill.quantity * fill.side.sign for fill in exchange.fills(account)), D("0")) for account in ("a", "b")
    }
    assert summed == {account: exchange.position(account, ETH) for account in ("a", "b")}


@given(STEPS)
@settings(max_examples=150)
def test_the_book_is_the_sum_of_the_open_orders(steps: list[Any]) -> None:
    """No quantity rests that no order stands for, and the sides never touch."""
    exchange = play(steps)
    totals: dict[tuple[Side, Decimal], Decimal] = {}
    for account in ACCOUNTS:
        for order in exchange.open_orders(account):
            assert order.price is not None
            totals[order.side, order.price] = totals.get((order.side, order.price), D("0")) + order.leaves
    bids, asks = exchange.book(ETH, 100)
    shown = {(BUY, price): quantity for price, quantity in bids} | {(SELL, price): quantity for price, quantity in asks}
    assert (totals, True) == (shown, not bids or not asks or bids[0][0] < asks[0][0])


@given(STEPS)
@settings(max_examples=150)
def test_level_events_rebuild_the_book(steps: list[Any]) -> None:
    """Who applies every BookEvent to an empty book has the exchange's."""
    shown: dict[tuple[Side, Decimal], Decimal] = {}

    def watch(event: Event) -> None:
        if isinstance(event, BookEvent):
            shown[event.side, event.price] = event.quantity

    exchange = play(steps, watch)
    bids, asks = exchange.book(ETH, 100)
    rests = {(BUY, price): quantity for price, quantity in bids} | {(SELL, price): quantity for price, quantity in asks}
    assert rests == {level: quantity for level, quantity in shown.items() if quantity}


@given(STEPS)
@settings(max_examples=150)
def test_reduce_only_orders_never_exceed_the_position(steps: list[Any]) -> None:
    """Whatever happened, no resting reduce-only order could turn its account's position round."""
    exchange = play(steps)
    for account in ACCOUNTS:
        for order in exchange.open_orders(account):
            reducible = -order.side.sign * exchange.position(account, ETH)
            assert not order.reduce_only or order.leaves <= reducible
