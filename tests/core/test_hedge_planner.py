"""The hedge planner: each exposure covered once, dust carried, the ladder climbed and then exactly the rest unwound (I3, I4)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.hedge_planner import (
    EXPOSED_ALARM_S,
    LAST_GOOD_BOOK_S,
    UNREACHABLE_LIMIT_S,
    HedgePlanner,
    HedgeSettings,
)
from core.messages import (
    Alert,
    ClientIdsLeased,
    FillRecorded,
    HedgeStalled,
    LeaseClientIds,
    LedgerRequested,
    Message,
    OrderDenied,
    OrderSnapshot,
    PlaceOrder,
    Tick,
    TradingStateChanged,
)
from core.types import OrderState, Role, TimeInForce, TradingState
from tests.core.builders import (
    BACKPACK,
    BUY,
    GRVT,
    SELL,
    D,
    book,
    changed,
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
LADDER = (D("20"), D("40"), D("80"))
MAKER = place(1)


class Rig:
    """A planner with fresh books; ``do`` hands over a message, ``end`` says how an order of ours ended."""

    def __init__(
        self,
        *,
        synced: bool = True,
        hedge_lot: str = "0.01",
        maker_lot: str = "0.01",
        min_notional: str = "0",
        hedge_min_notional: str = "0",
        **positions: str,
    ) -> None:
        self.now = 0.0
        maker = instrument(GRVT, lot=maker_lot, min_notional=min_notional)
        hedge = instrument(BACKPACK, lot=hedge_lot, min_notional=hedge_min_notional)
        self.planner = HedgePlanner(maker, hedge, HedgeSettings(LADDER), ids("hedger"))
        for venue in (GRVT, BACKPACK):
            self.do(book(venue))
        self.do(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=0.0))
        self.first = self.do(ledger("hedger", **positions)) if synced else ()

    def do(self, message: Message, after: float = 0.0) -> tuple[Message, ...]:
        self.now += after
        return self.planner.handle(message, self.now)

    def fresh(self) -> None:
        """New books, so that time may pass."""
        for venue in (GRVT, BACKPACK):
            self.do(book(venue, at=self.now))

    def maker_fills(self, quantity: str = "0.10", order: PlaceOrder = MAKER) -> list[PlaceOrder]:
        self.fresh()
        return orders_in(self.do(filled(order, f"{self.now}{quantity}", quantity)))

    def end(
        self, order: PlaceOrder, state: OrderState, got: str = "0", after: float = 0.0, **more: object
    ) -> tuple[Message, ...]:
        """The order is over with ``got`` filled and seen; answers what the planner does next, at once or after its pause."""
        out: tuple[Message, ...] = ()
        if D(got):
            out += self.do(filled(order, f"t{order.client_order_id}", got, state=S.PARTIALLY_FILLED), after)
        out += self.do(changed(order, state, got, venue_order_id="v", **more), 0.0 if D(got) else after)
        self.fresh()
        return out + self.do(Tick(), 1.0)


def denied(order: PlaceOrder) -> OrderDenied:
    return OrderDenied(venue=order.venue, client_order_id=order.client_order_id, role=order.role, reason="", at=0.0)


# ---- one hedge for each exposure ----------------------------------------------------------------------------------------------


def test_a_maker_fill_is_hedged_at_once_on_the_other_venue() -> None:
    order = Rig().maker_fills("0.08")[0]
    assert (BACKPACK, SELL, D("0.08"), Role.HEDGE, TimeInForce.IOC) == (
        order.venue,
        order.side,
        order.quantity,
        order.role,
        order.time_in_force,
    )


def test_a_sold_maker_fill_is_bought_back() -> None:
    assert BUY is Rig().maker_fills("0.08", place(1, side=SELL))[0].side


def test_each_partial_fill_gets_a_hedge_of_its_own_size() -> None:
    rig = Rig()
    first = rig.maker_fills("0.03")[0]
    rig.do(filled(first, "h1", "0.03"))
    second = orders_in(rig.do(filled(MAKER, "t2", "0.07", "0.10")))[0]
    assert [D("0.03"), D("0.07")] == [first.quantity, second.quantity]


def test_the_first_price_cap_is_the_touch_less_the_foot_of_the_ladder() -> None:
    """2999.99 less 20 bps, on the tick, rounded away from the market."""
    assert D("2994.00") == Rig().maker_fills()[0].price


def test_a_living_hedge_is_not_repeated() -> None:
    rig = Rig()
    rig.maker_fills()
    assert [] == orders_in(rig.do(Tick(), 1.0))


def test_a_hedge_of_unknown_outcome_is_not_repeated_however_long_it_stays_so() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    rig.do(changed(hedge, S.UNKNOWN))
    placed: list[PlaceOrder] = []
    for _ in range(60):
        rig.fresh()
        placed += orders_in(rig.do(Tick(), 1.0))
    assert [] == placed


def test_an_unknown_hedge_proven_dead_is_placed_once_more() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    rig.do(changed(hedge, S.UNKNOWN))
    again = orders_in(rig.end(hedge, S.EXPIRED))
    assert [D("0.10")] == [order.quantity for order in again]


def test_a_new_fill_is_hedged_while_another_hedge_is_unknown() -> None:
    rig = Rig()
    hedge = rig.maker_fills("0.04")[0]
    rig.do(changed(hedge, S.UNKNOWN))
    second = orders_in(rig.do(filled(MAKER, "t2", "0.06", "0.10")))
    assert [D("0.06")] == [order.quantity for order in second]


def test_exposure_found_at_start_is_hedged_without_a_new_fill() -> None:
    rig = Rig(grvt="0.10")
    assert [D("0.10")] == [order.quantity for order in orders_in(rig.first)]


def test_an_unknown_hedge_of_an_earlier_life_covers() -> None:
    rig = Rig(synced=False)
    earlier = snapshot(place(9, side=SELL, role=Role.HEDGE), S.UNKNOWN)
    assert [] == orders_in(rig.do(ledger("hedger", earlier, grvt="0.10")))


def test_nothing_is_planned_before_the_ledger_is_known() -> None:
    rig = Rig(synced=False)
    assert [] == rig.maker_fills()


def test_the_ledger_is_asked_for_until_it_comes() -> None:
    rig = Rig(synced=False)
    assert 1 == len(of_type(rig.do(Tick(), 5.0), LedgerRequested))


def test_a_hedge_that_fills_by_itself_ends_the_matter() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    assert [] == orders_in(rig.do(filled(hedge, "h1", "0.10")))


# ---- dust ---------------------------------------------------------------------------------------------------------------------


def test_a_fill_below_the_hedge_venues_lot_is_carried() -> None:
    assert [] == Rig(hedge_lot="0.1").maker_fills("0.08")


def test_carried_dust_is_hedged_with_the_next_fill() -> None:
    rig = Rig(hedge_lot="0.1")
    rig.maker_fills("0.08")
    order = orders_in(rig.do(filled(place(5), "t2", "0.03")))[0]
    assert D("0.1") == order.quantity


def test_a_hedge_is_never_rounded_up() -> None:
    """0.08 held and a lot of 0.05: 0.05 is sold, not 0.10."""
    assert D("0.05") == Rig(hedge_lot="0.05").maker_fills("0.08")[0].quantity


def test_an_order_below_the_minimum_notional_is_not_sent() -> None:
    assert [] == Rig(min_notional="1000", hedge_min_notional="1000").maker_fills("0.10")


def test_a_fill_that_the_hedge_venue_would_not_trade_is_closed_on_the_maker_venue() -> None:
    """Part of a quote filled, too little to hedge: it goes back once the rest of the quote is gone, without a word of a stalled hedge."""
    rig = Rig(hedge_min_notional="150")
    waiting = rig.maker_fills("0.04")
    out = rig.do(changed(MAKER, S.CANCELED, "0.04", recorded="0.04"))
    [order] = orders_in(out)
    assert ([], []) == (waiting, of_type(out, HedgeStalled))
    assert (GRVT, SELL, D("0.04"), Role.UNWIND, True) == (order.venue, order.side, order.quantity, order.role, order.reduce_only)


def test_fills_that_together_are_worth_the_hedge_venues_minimum_are_hedged() -> None:
    rig = Rig(hedge_min_notional="150")
    rig.maker_fills("0.04")
    [order] = rig.maker_fills("0.02")
    assert (BACKPACK, D("0.06"), Role.HEDGE) == (order.venue, order.quantity, order.role)


# ---- the ladder and the unwind ------------------------------------------------------------------------------------------------


def test_a_shortfall_is_hedged_on_a_wider_cap_for_exactly_the_rest() -> None:
    """IOC filled 0.04 of 0.10: 0.06 follow, at 40 bps."""
    rig = Rig()
    hedge = rig.maker_fills()[0]
    order = orders_in(rig.end(hedge, S.EXPIRED, "0.04"))[0]
    assert (D("0.06"), 1, D("2988.00")) == (order.quantity, order.attempt, order.price)


def test_one_shortfall_is_one_step_however_often_its_end_is_told() -> None:
    """Status, fills and the late words of an ended hedge come as many events; each hedge is judged once."""
    rig = Rig()
    hedge = rig.maker_fills()[0]
    second = orders_in(rig.do(changed(hedge, S.EXPIRED, "0.04", recorded="0", venue_order_id="v")))[0]
    for trade_id, total in (("a", "0.02"), ("b", "0.04")):
        fill_of = filled(hedge, trade_id, "0.02", total, state=S.EXPIRED).fill
        rig.do(FillRecorded(fill=fill_of, order=snapshot(hedge, S.EXPIRED, "0.04", recorded=total), at=0.0))
        rig.do(changed(hedge, S.EXPIRED, "0.04", recorded=total, venue_order_id="v"))
    third = orders_in(rig.end(second, S.EXPIRED))
    assert [(1, 2, Role.HEDGE)] == [(second.attempt, order.attempt, order.role) for order in third]


def climb(rig: Rig) -> list[tuple[Message, ...]]:
    """Every hedge finds nothing: what the planner did at each step."""
    out: list[tuple[Message, ...]] = []
    order = rig.maker_fills()[0]
    while order.role is Role.HEDGE:
        out.append(rig.end(order, S.EXPIRED))
        order = orders_in(out[-1])[0]
    return out


def test_the_ladder_is_climbed_and_then_the_rest_is_unwound_on_the_maker_venue() -> None:
    steps = [orders_in(out)[0] for out in climb(Rig())]
    assert [(BACKPACK, 1, Role.HEDGE), (BACKPACK, 2, Role.HEDGE), (GRVT, 2, Role.UNWIND)] == [
        (order.venue, order.attempt, order.role) for order in steps
    ]


def test_the_unwind_is_exactly_the_rest() -> None:
    rig = Rig()
    order = rig.maker_fills()[0]
    for got in ("0.04", "0", "0"):
        order = orders_in(rig.end(order, S.EXPIRED, got))[0]
    assert (GRVT, SELL, D("0.06"), Role.UNWIND, True) == (order.venue, order.side, order.quantity, order.role, order.reduce_only)


def test_a_rest_that_the_maker_venue_would_not_trade_goes_on_to_the_hedge_venue() -> None:
    """The unwind took 0.06 of 0.10: 0.04 are worth less than its minimum, and may not wait for more."""
    rig = Rig(min_notional="150")
    unwind = orders_in(climb(rig)[-1])[0]
    out = rig.end(unwind, S.EXPIRED, "0.06")
    order = orders_in(out)[0]
    assert (Role.UNWIND, D("0.10")) == (unwind.role, unwind.quantity)
    assert (BACKPACK, Role.HEDGE, D("0.04"), 2) == (order.venue, order.role, order.quantity, order.attempt)


def test_a_rest_that_neither_venue_takes_is_a_persons() -> None:
    rig = Rig(min_notional="1000")
    out = rig.end(rig.maker_fills()[0], S.REJECTED, permanent=True)
    later = rig.do(Tick(), EXPOSED_ALARM_S)
    assert ([], [True], 1) == (
        orders_in(out + later),
        [stall.is_permanent for stall in of_type(out, HedgeStalled)],
        len(of_type(out + later, Alert)),
    )


def test_an_unwind_is_told_before_it_is_sent() -> None:
    out = climb(Rig())[-1]
    kinds = [type(message) for message in out if isinstance(message, HedgeStalled | PlaceOrder)]
    assert [HedgeStalled, PlaceOrder] == kinds


def test_an_unwind_waits_for_the_end_of_a_quote_that_it_could_meet() -> None:
    """I24: the rest of the quote whose fill is unwound may still stand on the other side. The stall that takes it down is told at once."""
    rig = Rig()
    order = rig.maker_fills("0.04")[0]
    while order.role is Role.HEDGE and order.attempt < 2:
        order = orders_in(rig.end(order, S.EXPIRED))[0]
    told = rig.end(order, S.EXPIRED)
    assert ([], 1) == (orders_in(told), len(of_type(told, HedgeStalled)))
    unwind = orders_in(rig.do(changed(MAKER, S.CANCELED, "0.04", recorded="0.04")))[0]
    assert (GRVT, SELL, D("0.04"), Role.UNWIND) == (unwind.venue, unwind.side, unwind.quantity, unwind.role)


def test_one_episode_is_one_stall_though_its_unwind_takes_several_orders() -> None:
    """Three stalls halt: the parts of one unwind must not count as three."""
    rig = Rig()
    order = orders_in(climb(rig)[-1])[0]
    stalls: list[Message] = []
    for _ in range(3):
        out = rig.end(order, S.EXPIRED, "0.01")
        stalls += of_type(out, HedgeStalled)
        order = orders_in(out)[0]
    assert [] == stalls


def test_a_second_episode_is_a_second_stall() -> None:
    rig = Rig()
    unwind = orders_in(climb(rig)[-1])[0]
    rig.do(filled(unwind, "u1", "0.10"))
    assert 1 == len(of_type(climb(rig)[-1], HedgeStalled))


def test_an_unwind_that_opens_a_position_is_not_marked_reduce_only() -> None:
    """While closing a cycle the maker's position is already flat: a reduce-only order would be refused for ever."""
    rig = Rig(grvt="0.10", backpack="-0.10")
    seller = place(1, side=SELL)
    order = rig.maker_fills("0.10", seller)[0]
    for _ in range(3):
        order = orders_in(rig.end(order, S.EXPIRED))[0]
    assert (GRVT, BUY, False) == (order.venue, order.side, order.reduce_only)


def test_the_next_exposure_starts_at_the_foot_of_the_ladder() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    second = orders_in(rig.end(hedge, S.EXPIRED))[0]
    rig.do(filled(second, "h2", "0.10"))
    assert 0 == rig.maker_fills("0.05", place(7))[0].attempt


@pytest.mark.parametrize("end", [S.EXPIRED, S.DENIED])
def test_how_a_hedge_ends_whose_exposure_is_gone_is_no_matter_of_the_next_one(end: OrderState) -> None:
    """A stranger closes what a hedge is under way for, which then finds nothing, or is not sent. The next exposure begins at the foot of the
    ladder, and one more request that is not sent is no venue out of reach for long."""
    rig = Rig()
    hedge = rig.maker_fills()[0]
    rig.do(FillRecorded(fill=filled(place(9, side=SELL), "s1", "0.10").fill, order=None, at=0.0))
    rig.end(hedge, end)
    rig.do(Tick(), UNREACHABLE_LIMIT_S)
    [following] = rig.maker_fills("0.05", place(2))
    [again] = orders_in(rig.end(following, S.DENIED))
    assert [(Role.HEDGE, 0), (Role.HEDGE, 0)] == [(order.role, order.attempt) for order in (following, again)]


def test_a_permanent_refusal_unwinds_at_once() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    out = rig.end(hedge, S.REJECTED, permanent=True)
    assert ([(GRVT, Role.UNWIND)], [True]) == (
        [(order.venue, order.role) for order in orders_in(out)],
        [stall.is_permanent for stall in of_type(out, HedgeStalled)],
    )


def test_after_a_permanent_refusal_the_hedge_venue_is_not_asked_again() -> None:
    rig = Rig()
    unwind = orders_in(rig.end(rig.maker_fills()[0], S.REJECTED, permanent=True))[0]
    rig.do(filled(unwind, "u1", "0.10"))
    assert [GRVT] == [order.venue for order in rig.maker_fills("0.05", place(7, quantity="0.05"))]


def test_a_hedge_that_never_arrived_does_not_climb_the_ladder() -> None:
    """Not sent says nothing about the price."""
    rig = Rig()
    hedge = rig.maker_fills()[0]
    assert 0 == orders_in(rig.end(hedge, S.DENIED))[0].attempt


def test_a_hedge_venue_out_of_reach_for_too_long_has_the_exposure_unwound() -> None:
    rig = Rig()
    order = rig.maker_fills()[0]
    roles = []
    for _ in range(int(UNREACHABLE_LIMIT_S) + 4):
        order = orders_in(rig.end(order, S.DENIED))[0]
        roles.append(order.role)
    assert (Role.HEDGE, Role.UNWIND) == (roles[0], roles[-1])


def test_attempts_that_bring_nothing_are_spaced() -> None:
    """A refusing venue is not hammered: after a few refusals an immediate repeat is not planned."""
    rig = Rig()
    order = rig.maker_fills()[0]
    for _ in range(2):
        order = orders_in(rig.end(order, S.DENIED))[0]
    assert [] == orders_in(rig.do(changed(order, S.DENIED)))


def test_a_denied_hedge_is_tried_again() -> None:
    rig = Rig()
    hedge = rig.maker_fills()[0]
    at_once = orders_in(rig.do(denied(hedge)))
    assert [D("0.10")] == [order.quantity for order in at_once]


# ---- books, states, alarms, ids -----------------------------------------------------------------------------------------------


def test_a_stale_book_is_priced_from_for_a_while_only() -> None:
    rig = Rig()
    rig.now = LAST_GOOD_BOOK_S - 0.1
    soon = orders_in(rig.do(filled(MAKER, "t1", "0.04")))
    rig.now = LAST_GOOD_BOOK_S + 0.1
    late = orders_in(rig.do(filled(MAKER, "t2", "0.06", "0.10")))
    assert (1, 0) == (len(soon), len(late))


def test_an_empty_side_leaves_the_hedge_waiting_for_the_next_book() -> None:
    rig = Rig()
    rig.do(book(BACKPACK, bid=""))
    waiting = orders_in(rig.do(filled(MAKER, "t1", "0.10")))
    then = orders_in(rig.do(book(BACKPACK)))
    assert (0, 1) == (len(waiting), len(then))


def test_exposure_open_for_too_long_alarms_once() -> None:
    rig = Rig()
    rig.do(book(BACKPACK, bid=""))
    rig.do(filled(MAKER, "t1", "0.10"))
    alerts = [of_type(rig.do(Tick(), EXPOSED_ALARM_S + 0.1), Alert) for _ in range(3)]
    assert [1, 0, 0] == [len(each) for each in alerts]


@pytest.mark.parametrize("state", [TradingState.STARTING, TradingState.ACTIVE, TradingState.REDUCING, TradingState.STOPPING])
def test_exposure_is_hedged_in_every_state_but_halted(state: TradingState) -> None:
    rig = Rig()
    rig.do(TradingStateChanged(state=state, reason="", at=0.0))
    assert 1 == len(rig.maker_fills())


def test_halted_sends_nothing() -> None:
    rig = Rig()
    rig.do(TradingStateChanged(state=TradingState.HALTED, reason="", at=0.0))
    assert [] == rig.maker_fills()


def test_without_client_ids_it_asks_and_waits() -> None:
    planner = HedgePlanner(instrument(GRVT), instrument(BACKPACK), HedgeSettings(LADDER), ids("hedger", 0, 0))
    planner.handle(book(BACKPACK), 0.0)
    first = planner.handle(ledger("hedger", grvt="0.10"), 0.0)
    then = planner.handle(ClientIdsLeased(owner="hedger", start=5, end=500), 0.1)
    assert (1, [], [5]) == (len(of_type(first, LeaseClientIds)), orders_in(first), [o.client_order_id for o in orders_in(then)])


def test_an_unwind_ends_at_the_makers_lot_and_the_next_hedge_takes_the_rest() -> None:
    """Maker lot 0.01, hedge lot 0.001: the 0.005 that no unwind can close must not bar the hedge venue for ever."""
    rig = Rig(hedge_lot="0.001")
    order = rig.maker_fills("0.105")[0]
    for _ in range(3):
        order = orders_in(rig.end(order, S.EXPIRED))[0]
    rig.do(filled(order, "u1", "0.100"))
    rig.fresh()
    assert [(BACKPACK, D("0.005"))] == [(o.venue, o.quantity) for o in orders_in(rig.do(Tick(), 1.0))]


# ---- properties ---------------------------------------------------------------------------------------------------------------


class World:
    """A venue without mercy for the planner: any hedge may be lost from sight, fill in parts, end short, or be told late."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.living: dict[int, OrderSnapshot] = {}
        self.bought = D(0)
        self.count = 0

    def take(self, out: tuple[Message, ...]) -> None:
        """Every order decided brings what is uncovered below a lot, and does so against its sign."""
        ledger = self.rig.planner.ledger
        for order in orders_in(out):
            before = ledger.uncovered - order.side.sign * order.quantity
            assert (True, True) == (order.side.sign * before < 0, abs(ledger.uncovered) < D("0.01"))
            self.living[order.client_order_id] = snapshot(order, S.SUBMITTED)

    def maker(self, lots: int) -> None:
        self.count += 1
        quantity = D(abs(lots)) / 100
        order = place(1_000_000 + self.count, side=BUY if lots > 0 else SELL, quantity=str(quantity))
        self.rig.fresh()
        self.take(self.rig.do(filled(order, f"m{self.count}", str(quantity))))

    def hedge(self, pick: int, lots: int, fate: OrderState) -> None:
        if not self.living:
            return
        key = sorted(self.living)[pick % len(self.living)]
        order = self.living[key]
        quantity = min(D(lots) / 100, order.quantity - order.recorded_quantity)
        total = order.recorded_quantity + quantity
        state = S.FILLED if total >= order.quantity else fate
        after = snapshot(_as_place(order), state, str(total))
        self.count += 1
        if quantity:
            self.take(
                self.rig.do(FillRecorded(fill=filled(_as_place(order), f"h{self.count}", str(quantity)).fill, order=after, at=0))
            )
        self.rig.fresh()
        self.take(self.rig.do(changed(_as_place(order), state, str(total), venue_order_id="v"), 1.0))
        self.living[key] = after
        if after.is_closed:
            del self.living[key]


def _as_place(order: OrderSnapshot) -> PlaceOrder:
    return place(
        order.client_order_id,
        venue=order.venue,
        side=order.side,
        quantity=str(order.quantity),
        price=str(order.price),
        role=order.role,
    )


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("maker"), st.integers(-10, 10).filter(bool)),
            st.tuples(
                st.just("hedge"),
                st.integers(0, 5),
                st.integers(0, 10),
                st.sampled_from([S.PARTIALLY_FILLED, S.UNKNOWN, S.EXPIRED, S.CANCELED, S.DENIED]),
            ),
            st.tuples(st.just("wait"), st.integers(1, 5)),
        ),
        max_size=40,
    )
)
def test_no_fate_of_the_hedges_covers_an_exposure_twice(steps: list[tuple[object, ...]]) -> None:
    """I4 after every plan: what is known plus all that may still fill, unknown orders included, is below a lot."""
    world = World()
    for step in steps:
        match step:
            case ("maker", int(lots)):
                world.maker(lots)
            case ("hedge", int(pick), int(lots), OrderState() as fate):
                world.hedge(pick, lots, fate)
            case ("wait", int(seconds)):
                world.rig.now += seconds
                world.rig.fresh()
                world.take(world.rig.do(Tick()))


@given(st.lists(st.integers(1, 99), min_size=1, max_size=20), st.sampled_from(["0.001", "0.01", "0.1"]))
def test_hedged_quantity_never_exceeds_what_was_filled(parts: list[int], lot: str) -> None:
    """Whatever the lot, the sum of all hedges is what came in less the dust that is carried."""
    rig = Rig(hedge_lot=lot, maker_lot="0.001")
    sold = D(0)
    for number, thousandths in enumerate(parts):
        order = place(1_000_000 + number, quantity=str(D(thousandths) / 1000))
        for hedge in orders_in(rig.do(filled(order, f"m{number}", str(order.quantity)))):
            rig.do(filled(hedge, f"h{hedge.client_order_id}", str(hedge.quantity)))
            sold += hedge.quantity
    bought = Decimal(sum(parts)) / 1000
    assert D(0) <= bought - sold < D(lot)
