"""The quoter: one order at a time, pulled whenever anything it relies on is in doubt, replaced on the remainder only (I12, D5-D7)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import (
    AttemptFinished,
    AttemptStarted,
    BookLost,
    BookUpdated,
    CancelOrder,
    CycleFinished,
    FillRecorded,
    Message,
    OrderDenied,
    PlaceOrder,
    QuoteSkipped,
    RunFinished,
    Stop,
    Tick,
    TradingStateChanged,
    VenueReconciled,
)
from core.quote_policy import QuoteSettings
from core.quoter import CANCEL_AGAIN_S, EXPOSURE_GRACE_S, REST_AFTER_REFUSALS_S, Quoter
from core.types import Channel, FeedState, OrderState, Role, Side, Source, TimeInForce, TradingState
from tests.core.builders import (
    BACKPACK,
    BUY,
    GRVT,
    NO_FEES,
    SELL,
    VENUES,
    D,
    book,
    changed,
    feed,
    filled,
    ids,
    instrument,
    ledger,
    of_type,
    orders_in,
    place,
    snapshot,
)

S = OrderState
SETTINGS = QuoteSettings(
    size=D("0.10"),
    max_position=D("0.50"),
    max_delta=D("0.10"),
    fx=D(1),
    maker_fees=NO_FEES,
    hedge_fees=NO_FEES,
    hedge_cap_bps=D(20),
    iterations=2,
)


class Rig:
    """A quoter with live feeds and fresh books. ``order`` is what it last placed; time passes in ``wait`` with books kept fresh."""

    def __init__(
        self,
        *,
        held: str = "0",
        ready: bool = True,
        hedge_lot: str = "0.01",
        min_notional: str = "0",
        hedge_min_notional: str = "0",
        **settings: object,
    ) -> None:
        self.now = 0.0
        self.books = {GRVT: book(GRVT), BACKPACK: book(BACKPACK)}
        self.quoter = Quoter(
            instrument(GRVT, min_notional=min_notional),
            instrument(BACKPACK, lot=hedge_lot, min_notional=hedge_min_notional),
            SETTINGS._replace(**settings),
            ids("quoter"),  # type: ignore[arg-type]
        )
        self.order: PlaceOrder = place(0)
        self.hedges = 0
        self.do(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=0.0))
        for venue in VENUES:
            for channel in Channel:
                self.do(feed(venue, channel))
            self.do(self.books[venue])
            self.do(VenueReconciled(venue=venue, at=0.0))
        self.first = self.do(ledger("quoter", grvt=held, backpack=str(-D(held)))) if ready else ()

    def do(self, message: Message) -> tuple[Message, ...]:
        out = self.quoter.handle(message, self.now)
        for order in orders_in(out):
            self.order = order
        return out

    def see(self, venue: str, **prices: str) -> tuple[Message, ...]:
        """This book from now on."""
        self.books[venue] = book(venue, at=self.now, **prices)  # type: ignore[index, arg-type]
        return self.do(self.books[venue])  # type: ignore[index]

    def wait(self, seconds: float) -> tuple[Message, ...]:
        """Time passes in half seconds, with the same books arriving anew."""
        out: tuple[Message, ...] = ()
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            for last in self.books.values():
                out += self.do(_again(last, self.now))
            out += self.do(Tick())
        return out

    def rests(self) -> PlaceOrder:
        self.do(changed(self.order, S.ACCEPTED))
        return self.order

    def fills(self, quantity: str, total: str | None = None, state: OrderState | None = None) -> tuple[Message, ...]:
        self.hedges += 1
        event = filled(self.order, f"m{self.hedges}", quantity, total, state)
        return self.do(event) + self.do(changed(self.order, event.order.state, total or quantity))  # type: ignore[union-attr]

    def hedged(self, quantity: str, side: Side = SELL) -> tuple[Message, ...]:
        """The hedge of ``quantity`` has filled on the other venue."""
        self.hedges += 1
        hedge = place(5_000_000 + self.hedges, side=side, role=Role.HEDGE, quantity=quantity)
        return self.do(filled(hedge, f"h{self.hedges}", quantity)) + self.do(changed(hedge, S.FILLED, quantity))

    def ends(self, state: OrderState = S.CANCELED, total: str = "0", **more: object) -> tuple[Message, ...]:
        return self.do(changed(self.order, state, total, **more))  # type: ignore[arg-type]


def _again(last: BookUpdated, at: float) -> BookUpdated:
    return BookUpdated(venue=last.venue, symbol=last.symbol, bids=last.bids, asks=last.asks, received_at=at)


def cancels(out: tuple[Message, ...]) -> list[str]:
    return [cancel.reason for cancel in of_type(out, CancelOrder)]


# ---- opening ------------------------------------------------------------------------------------------------------------------


def test_the_first_cycle_opens_with_a_post_only_bid_at_the_touch() -> None:
    order = Rig().order
    assert (GRVT, BUY, D("0.10"), D("2999.99"), True, TimeInForce.GTC, False) == (
        order.venue,
        order.side,
        order.quantity,
        order.price,
        order.post_only,
        order.time_in_force,
        order.reduce_only,
    )


def test_a_quote_expires_at_the_venue_by_itself() -> None:
    """No orphan outlives us by more than minutes (D14: expirations of 30 days)."""
    assert 0 < Rig().order.lifetime_s < 600


def test_an_attempt_is_told_before_its_order() -> None:
    assert [AttemptStarted, PlaceOrder] == [type(message) for message in Rig().first]


def test_directions_alternate_by_cycle() -> None:
    rig = Rig()
    sides = []
    for _ in range(2):
        rig.rests()
        sides.append(rig.order.side)
        rig.wait(180.0)
        rig.ends()
    assert [BUY, SELL] == sides


def test_size_is_bounded_by_what_the_hedge_book_takes() -> None:
    """Thin hedge book: 0.10 within the cap, half of it is counted on."""
    rig = Rig(ready=False)
    rig.see(BACKPACK, depth="0.10")
    assert [D("0.05")] == [order.quantity for order in orders_in(rig.do(ledger("quoter")))]


def test_size_is_bounded_by_the_position_limit() -> None:
    """What is carried takes up room on its own side and makes room on the other."""
    rig = Rig(held="0.10", max_position=D("0.15"))
    market = rig.quoter._market()
    assert market is not None
    room = [rig.quoter._sizes.build(rig.quoter.ledger, market, side) for side in (BUY, SELL)]
    assert [D("0.05"), D("0.10")] == room


@pytest.mark.parametrize("hedge_lot", ["0.01", "0.03", "0.1"])
def test_a_size_is_always_one_that_both_venues_can_trade(hedge_lot: str) -> None:
    rig = Rig(ready=False, hedge_lot=hedge_lot)
    rig.see(BACKPACK, depth="0.19" if hedge_lot != "0.1" else "100")
    order = orders_in(rig.do(ledger("quoter")))[0]
    assert D(0) == order.quantity % D(hedge_lot)


def test_nothing_is_quoted_before_the_ledger_is_known() -> None:
    rig = Rig(ready=False)
    assert [] == orders_in(rig.wait(5.0))


def test_what_is_held_is_unwound_first_and_reduces_only() -> None:
    order = Rig(held="0.10").order
    assert (SELL, D("0.10"), True) == (order.side, order.quantity, order.reduce_only)


def test_an_unwind_is_never_larger_than_either_leg() -> None:
    rig = Rig(ready=False)
    orders = orders_in(rig.do(ledger("quoter", grvt="0.08", backpack="-0.075")))
    assert [D("0.07")] == [order.quantity for order in orders]


# ---- staleness: 0.5 / 10 / 5 / 180 --------------------------------------------------------------------------------------------


def away(rig: Rig) -> None:
    """The market moves up: our bid is off the touch."""
    rig.see(GRVT, bid="3000.10", ask="3000.20")
    rig.see(BACKPACK, bid="3000.10", ask="3000.20")


def test_an_order_off_the_touch_stays_until_it_is_ten_seconds_old() -> None:
    rig = Rig()
    rig.rests()
    away(rig)
    young = rig.wait(9.5)
    assert ([], ["off the touch"]) == (cancels(young), cancels(rig.wait(0.5)))


def test_an_order_at_the_touch_stays() -> None:
    rig = Rig()
    rig.rests()
    assert [] == cancels(rig.wait(100.0))


def test_two_cancels_for_staleness_are_at_least_five_seconds_apart() -> None:
    rig = Rig(fill_timeout_s=1.0)
    rig.rests()
    away(rig)
    rig.wait(1.0)
    rig.ends()
    rig.rests()
    rig.see(GRVT, bid="3001.10", ask="3001.20")
    assert ([], ["off the touch"]) == (cancels(rig.wait(4.5)), cancels(rig.wait(0.5)))


def test_an_attempt_ends_after_three_minutes_wherever_its_order_stands() -> None:
    rig = Rig()
    rig.rests()
    assert ([], ["hard timeout"]) == (cancels(rig.wait(179.5)), cancels(rig.wait(0.5)))


def test_an_attempt_that_ended_by_time_is_not_requoted() -> None:
    rig = Rig()
    rig.rests()
    rig.wait(180.0)
    finished = of_type(rig.ends(), AttemptFinished)
    assert [("hard timeout", D(0))] == [(each.reason, each.filled) for each in finished]


def test_the_next_look_is_half_a_second_away() -> None:
    rig = Rig()
    assert rig.now + 0.5 == rig.quoter.deadline(rig.now)


# ---- replacement --------------------------------------------------------------------------------------------------------------


def cancelled(rig: Rig) -> None:
    rig.rests()
    away(rig)
    rig.wait(10.0)


def test_nothing_is_placed_while_the_old_order_is_not_terminal() -> None:
    rig = Rig()
    cancelled(rig)
    for state in (S.PENDING_CANCEL, S.UNKNOWN):
        rig.ends(state)
        assert [] == orders_in(rig.wait(20.0))


def test_a_terminal_order_is_replaced_at_the_new_touch() -> None:
    rig = Rig()
    cancelled(rig)
    assert [(D("0.10"), D("3000.10"))] == [(order.quantity, order.price) for order in orders_in(rig.ends())]


def test_a_replacement_is_sized_on_the_remainder() -> None:
    rig = Rig()
    rig.rests()
    rig.fills("0.03")
    rig.hedged("0.03")
    away(rig)
    rig.wait(10.0)
    assert [D("0.07")] == [order.quantity for order in orders_in(rig.ends(total="0.03"))]


def test_fills_that_were_told_but_not_seen_are_waited_for() -> None:
    """CANCELED with 0.03 filled and no fill yet: quoting the full size again would exceed the cycle."""
    rig = Rig()
    cancelled(rig)
    early = orders_in(rig.ends(total="0.03", recorded="0"))
    rig.do(FillRecorded(fill=filled(rig.order, "t1", "0.03").fill, order=snapshot(rig.order, S.CANCELED, "0.03"), at=0.0))
    then = orders_in(rig.hedged("0.03") + rig.wait(1.0))
    assert ([], [D("0.07")]) == (early, [order.quantity for order in then])


def test_nothing_is_placed_while_a_fill_is_not_hedged() -> None:
    rig = Rig()
    rig.rests()
    rig.fills("0.03", state=S.PARTIALLY_FILLED)
    assert [] == orders_in(rig.ends(total="0.03") + rig.wait(10.0))


def test_a_late_cancel_of_an_order_that_filled_ends_the_attempt() -> None:
    rig = Rig()
    cancelled(rig)
    rig.fills("0.10")
    finished = of_type(rig.hedged("0.10"), AttemptFinished)
    assert [(D("0.10"), "filled")] == [(each.filled, each.reason) for each in finished]


# ---- pauses: every reason pulls a living order (I12) --------------------------------------------------------------------------

DOWN = [
    feed(venue, channel, state) for venue in VENUES for channel in Channel for state in FeedState if state is not FeedState.LIVE
]
PAUSES: dict[str, list[Message]] = {
    **{f"{m.venue} {m.channel.value} {m.state.value}": [m] for m in DOWN},
    **{
        state.value: [TradingStateChanged(state=state, reason="", at=0.0)]
        for state in TradingState
        if state is not TradingState.ACTIVE
    },
    **{f"{venue} book lost": [BookLost(venue=venue, symbol="", reason="gap", at=0.0)] for venue in VENUES},
    "one-sided maker book": [book(GRVT, ask="")],
    "one-sided hedge book": [book(BACKPACK, bid="")],
    "crossed maker book": [book(GRVT, bid="3001", ask="3000")],
    "crossed hedge book": [book(BACKPACK, bid="3001", ask="3000")],
    "books of two scales": [book(BACKPACK, bid="300", ask="301")],
    "an unknown hedge": [changed(place(9, side=SELL, role=Role.HEDGE), S.UNKNOWN)],
    "stop": [Stop(reason="signal")],
}


@pytest.mark.parametrize("messages", PAUSES.values(), ids=PAUSES.keys())
def test_each_doubt_pulls_a_living_order_at_once(messages: list[Message]) -> None:
    rig = Rig()
    rig.rests()
    out = tuple(event for message in messages for event in rig.do(message))
    assert [rig.order.client_order_id] == [cancel.client_order_id for cancel in of_type(out, CancelOrder)]


@pytest.mark.parametrize("messages", PAUSES.values(), ids=PAUSES.keys())
def test_each_doubt_keeps_a_new_order_away(messages: list[Message]) -> None:
    rig = Rig(ready=False)
    for message in messages:
        rig.do(message)
    assert [] == orders_in(rig.do(ledger("quoter", *[m.order for m in messages if hasattr(m, "order")])))


@pytest.mark.parametrize("venue", VENUES)
def test_a_book_that_grows_stale_pulls_a_living_order(venue: str) -> None:
    rig = Rig()
    rig.rests()
    rig.now = 2.1
    fresh = next(last for last in rig.books.values() if last.venue != venue)
    assert [f"{venue} book is stale"] == cancels(rig.do(_again(fresh, rig.now)))


def test_what_the_poller_says_of_a_feed_is_no_live_feed() -> None:
    rig = Rig()
    rig.rests()
    rig.do(feed(GRVT, Channel.ACCOUNT, FeedState.DOWN))
    rig.do(feed(GRVT, Channel.ACCOUNT, FeedState.LIVE, Source.REST))
    rig.ends()
    assert [] == orders_in(rig.wait(5.0))


@pytest.mark.parametrize("channel", Channel)
def test_after_an_outage_of_its_account_stream_a_venue_is_read_before_anything_is_quoted(channel: Channel) -> None:
    """What the stream did not tell may be a stranger's, or a fill of ours. A market stream has nothing of the kind to tell."""
    rig = Rig()
    rig.rests()
    rig.do(feed(GRVT, channel, FeedState.DOWN))
    rig.ends()
    early = orders_in(rig.do(feed(GRVT, channel)) + rig.wait(2.0) + rig.do(VenueReconciled(venue=BACKPACK, at=rig.now)))
    then = orders_in(rig.do(VenueReconciled(venue=GRVT, at=rig.now)))
    assert ((0, 1) if channel is Channel.ACCOUNT else (1, 0)) == (len(early), len(then))


def test_a_partly_filled_quote_rests_while_its_hedge_is_under_way_but_not_for_long() -> None:
    rig = Rig()
    rig.rests()
    first = rig.fills("0.03")
    later = rig.wait(EXPOSURE_GRACE_S)
    assert ([], ["exposure is not hedged"]) == (cancels(first), cancels(later))


def test_the_rest_of_a_quote_goes_at_once_when_what_has_filled_is_too_little_to_hedge() -> None:
    rig = Rig(hedge_min_notional="150")
    rig.rests()
    assert ["exposure is not hedged"] == cancels(rig.fills("0.03"))


def test_a_hedge_that_costs_more_than_the_filter_allows_pulls_the_order() -> None:
    rig = Rig(min_build_bps=D(-1))
    rig.rests()
    assert ["value cap"] == cancels(rig.see(BACKPACK, bid="2999.00", ask="3001.00"))


def test_a_skip_is_told_once_per_reason() -> None:
    rig = Rig(min_build_bps=D(50))
    told = of_type(rig.first, QuoteSkipped) + of_type(rig.wait(10.0), QuoteSkipped)
    assert ["edge below the filter"] == [skip.reason for skip in told]


def test_one_order_is_cancelled_once_while_its_cancel_is_followed() -> None:
    rig = Rig()
    rig.rests()
    first = rig.do(Stop(reason=""))
    rig.ends(S.PENDING_CANCEL)
    assert (1, []) == (len(cancels(first)), cancels(rig.wait(20.0)))


def test_a_cancel_without_any_effect_is_sent_again() -> None:
    """It may have died in the inbox of an actor that was restarted."""
    rig = Rig()
    rig.rests()
    rig.do(Stop(reason=""))
    assert ["stopping"] == cancels(rig.wait(CANCEL_AGAIN_S))


# ---- refusals -----------------------------------------------------------------------------------------------------------------


def refuse(rig: Rig) -> None:
    rig.ends(S.REJECTED)


def test_refused_quotes_are_repeated_after_growing_pauses_and_then_rest() -> None:
    """0.25 s doubling to 2 s, 5 s after the sixth in ten; post-only refusals are no error but never a storm (E10)."""
    rig = Rig()
    pauses = []
    for _ in range(6):
        refuse(rig)
        since, before = rig.now, rig.order
        while rig.order is before:
            rig.now += 0.0625
            for last in rig.books.values():
                rig.do(_again(last, rig.now))
        pauses.append(rig.now - since)
    assert [0.25, 0.5, 1.0, 2.0, 2.0, REST_AFTER_REFUSALS_S] == pauses


def test_a_denied_quote_frees_its_place_after_a_pause() -> None:
    rig = Rig()
    denied = OrderDenied(venue=GRVT, client_order_id=rig.order.client_order_id, role=Role.MAKER, reason="", at=0.0)
    at_once = orders_in(rig.do(denied))
    assert ([], 1) == (at_once, len(orders_in(rig.wait(1.0))))


def test_a_quote_that_the_venue_ends_unasked_is_repeated_after_a_pause() -> None:
    """A venue that accepts and then cancels each one would be asked hundreds of times a minute."""
    rig = Rig()
    rig.rests()
    at_once = orders_in(rig.ends(S.CANCELED, reason="SELF_TRADE_PROTECTION"))
    assert ([], 1) == (at_once, len(orders_in(rig.wait(0.5))))


def test_a_quote_that_ends_after_a_fill_is_replaced_at_once() -> None:
    rig = Rig()
    rig.rests()
    rig.fills("0.04", state=S.PARTIALLY_FILLED)
    rig.hedged("0.04")
    assert [D("0.06")] == [order.quantity for order in orders_in(rig.ends(total="0.04"))]


# ---- minimums and dust --------------------------------------------------------------------------------------------------------


def test_a_remainder_below_the_minimum_notional_ends_the_attempt() -> None:
    """0.02 of 0.10 are 60 of 100: what has filled is unwound instead."""
    rig = Rig(min_notional="100")
    cancelled(rig)
    rig.fills("0.08", state=S.PARTIALLY_FILLED)
    rig.hedged("0.08")
    assert [(SELL, D("0.08"))] == [(order.side, order.quantity) for order in orders_in(rig.ends(total="0.08"))]


def test_a_hedged_rest_below_the_minimum_notional_is_worked_off_by_the_next_cycle() -> None:
    """0.02 held cannot be closed alone: the other side builds 0.10 against them, and 0.08 are unwound."""
    rig = Rig(min_notional="100", max_position=D("0.10"), iterations=0)
    build(rig)
    rig.rests()
    rig.fills("0.08", state=S.PARTIALLY_FILLED)
    rig.hedged("0.08", BUY)
    finished = of_type(rig.ends(total="0.08"), CycleFinished)
    opposite = (rig.order.side, rig.order.quantity, rig.order.reduce_only)
    build(rig)
    assert (1, (SELL, D("0.10"), False), (BUY, D("0.08"), True)) == (
        len(finished),
        opposite,
        (rig.order.side, rig.order.quantity, rig.order.reduce_only),
    )


def test_what_is_carried_takes_the_turn_of_a_side_without_room() -> None:
    """Long 0.02 of 0.10 that cannot be closed: 0.08 more would be below the minimum, 0.10 the other way are not."""
    order = Rig(held="0.02", min_notional="250", max_position=D("0.10")).order
    assert (SELL, D("0.10")) == (order.side, order.quantity)


@pytest.mark.parametrize(("dust", "side"), [("-0.06", BUY), ("0.06", SELL)])
def test_dust_takes_the_turn_of_a_side_without_room(dust: str, side: Side) -> None:
    """A hedge lot of 0.10 and as large a delta bound: only the side that reduces the dust can be quoted, whoever's turn it is."""
    rig = Rig(ready=False, hedge_lot="0.1")
    first = orders_in(rig.do(ledger("quoter", grvt=dust)))
    assert [side] == [order.side for order in first]
    rig.rests()
    rig.wait(180.0)
    assert [side] == [order.side for order in orders_in(rig.ends())]


def test_what_the_dust_leaves_no_room_to_unwind_waits_for_a_build_of_the_other_side() -> None:
    """0.14 against 0.20 in lots of 0.10: selling 0.10 could open 0.16."""
    rig = Rig(ready=False, hedge_lot="0.1")
    first = orders_in(rig.do(ledger("quoter", grvt="0.14", backpack="-0.20")))
    assert [(BUY, False)] == [(order.side, order.reduce_only) for order in first]


# ---- cycles -------------------------------------------------------------------------------------------------------------------


def build(rig: Rig) -> tuple[Message, ...]:
    """The resting order fills completely and is hedged."""
    rig.rests()
    return rig.fills("0.10") + rig.hedged("0.10", rig.order.side.opposite)


def test_a_built_position_is_unwound_in_the_same_cycle() -> None:
    rig = Rig()
    first = rig.order.cycle_id
    out = build(rig)
    assert [(SELL, D("0.10"), True, first)] == [(o.side, o.quantity, o.reduce_only, o.cycle_id) for o in orders_in(out)]


def test_a_cycle_ends_flat_with_its_totals() -> None:
    rig = Rig()
    build(rig)
    finished = of_type(build(rig), CycleFinished)
    assert [("done", D("0.20"), D("0.20"))] == [(each.result, each.intended, each.filled) for each in finished]


def test_a_cycle_without_a_fill_is_told_as_one() -> None:
    rig = Rig()
    rig.rests()
    rig.wait(180.0)
    assert ["no_fill"] == [each.result for each in of_type(rig.ends(), CycleFinished)]


def test_the_configured_number_of_cycles_ends_the_run() -> None:
    rig = Rig()
    outs = [build(rig) for _ in range(4)]
    assert ([0, 0, 0, 1], []) == ([len(of_type(out, RunFinished)) for out in outs], orders_in(rig.wait(30.0)))


def test_a_stop_finishes_the_hedged_attempt_and_opens_nothing() -> None:
    rig = Rig()
    rig.rests()
    rig.do(Stop(reason="signal"))
    out = rig.ends() + rig.wait(30.0)
    assert ([], True) == (orders_in(out), rig.quoter.is_idle)


def test_the_exit_filter_decays_until_any_price_will_do() -> None:
    """A position whose exit never meets the filter is not held for ever: the hold begins when it is built, not with a first order."""
    rig = Rig(min_unwind_bps=D(5), max_hold_s=60.0)
    early = orders_in(build(rig) + rig.see(BACKPACK, bid="2990", ask="3010"))
    late = orders_in(rig.wait(60.0))
    assert ([], [SELL]) == (early, [order.side for order in late])


# ---- earlier lives ------------------------------------------------------------------------------------------------------------


def test_an_order_of_an_earlier_life_is_cancelled_and_waited_for() -> None:
    rig = Rig(ready=False)
    old = place(77)
    out = rig.do(ledger("quoter", snapshot(old, S.ACCEPTED)))
    assert ([77], []) == ([cancel.client_order_id for cancel in of_type(out, CancelOrder)], orders_in(out))


def test_each_of_several_orders_of_earlier_lives_is_cancelled() -> None:
    rig = Rig(ready=False)
    old = [place(number) for number in (77, 78)]
    out = rig.do(ledger("quoter", *(snapshot(order, S.ACCEPTED) for order in old)))
    out += rig.do(changed(old[0], S.CANCELED))
    assert ([77, 78], []) == ([cancel.client_order_id for cancel in of_type(out, CancelOrder)], orders_in(out))


def test_an_order_that_comes_back_from_the_dead_is_supervised_again() -> None:
    """Closed by inference, then shown by the venue: a quote that nobody watches must not rest."""
    rig = Rig()
    rig.rests()
    rig.do(TradingStateChanged(state=TradingState.REDUCING, reason="", at=0.0))
    rig.ends(S.CANCELED)
    rig.wait(CANCEL_AGAIN_S)
    assert ["trading state is REDUCING"] == cancels(rig.ends(S.ACCEPTED))


def test_a_repeated_snapshot_does_not_make_it_forget_its_order() -> None:
    rig = Rig()
    assert [] == orders_in(rig.do(ledger("quoter")) + rig.wait(5.0))


# ---- property -----------------------------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("fill"), st.integers(1, 10)),
    st.tuples(st.just("end"), st.sampled_from([S.ACCEPTED, S.CANCELED, S.REJECTED, S.EXPIRED, S.UNKNOWN, S.PENDING_CANCEL])),
    st.tuples(st.just("move"), st.integers(-5, 5)),
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("doubt"), st.sampled_from(sorted(set(PAUSES) - {"stop", "HALTED", "an unknown hedge"}))),
    st.tuples(st.just("calm"), st.just(0)),
)


class World:
    """Keeps count of the quoter's living orders and of what they filled while anything happens."""

    def __init__(self) -> None:
        self.rig = Rig(iterations=0)
        self.state = S.SUBMITTED
        self.done = D(0)
        self.living = 1
        self.targets: dict[int, Decimal] = {}

    def take(self, out: tuple[Message, ...]) -> None:
        for order in orders_in(out):
            assert not self.living, "a second order over a living one"
            book_now = self.rig.books[GRVT]
            assert book_now.bids[0].price >= order.price if order.side is BUY else book_now.asks[0].price <= order.price
            self.living, self.state, self.done = 1, S.SUBMITTED, D(0)

    def step(self, what: str, how: object) -> None:
        rig = self.rig
        match what:
            case "fill" if self.living:
                self.fill(min(D(str(how)) / 100, rig.order.quantity - self.done))
            case "end" if self.living:
                assert isinstance(how, OrderState)
                self.state = how
                closed = how in (S.CANCELED, S.REJECTED, S.EXPIRED)
                self.living = 0 if closed else 1
                self.take(rig.do(changed(rig.order, how, str(self.done))))
            case "move":
                for venue in VENUES:
                    middle = 3000 + D(str(how)) / 10
                    self.take(rig.see(venue, bid=str(middle - D("0.01")), ask=str(middle + D("0.01"))))
            case "wait":
                self.take(rig.wait(float(str(how)) / 2))
            case "doubt":
                for message in PAUSES[str(how)]:
                    self.take(rig.do(message))
            case "calm":
                self.take(rig.do(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=0.0)))
                for venue in VENUES:
                    for channel in Channel:
                        self.take(rig.do(feed(venue, channel)))
                    self.take(rig.do(VenueReconciled(venue=venue, at=rig.now)))

    def fill(self, quantity: Decimal) -> None:
        rig, order = self.rig, self.rig.order
        self.done += quantity
        self.living = 0 if self.done == order.quantity else 1
        state = S.FILLED if not self.living else S.PARTIALLY_FILLED
        self.take(rig.fills(str(quantity), str(self.done), state))
        self.take(rig.hedged(str(quantity), order.side.opposite))


@given(st.lists(STEPS, max_size=40))
def test_there_is_never_a_second_order_over_a_living_one_and_none_crosses(steps: list[tuple[str, object]]) -> None:
    """Whatever happens in whatever order: one order, at or behind the touch, positions within their limit and never open."""
    world = World()
    for what, how in steps:
        world.step(what, how)
    ledger_now = world.rig.quoter.ledger
    assert (True, D(0)) == (abs(ledger_now.position(GRVT)) <= D("0.50"), ledger_now.net)
