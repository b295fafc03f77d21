"""A pair whose first legs the venue links: one command, and then the same watch as without, because the link may do nothing or too much."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.messages import OrderDenied, PlaceOrder, Stop
from core.oco_states import PairState
from core.types import OrderState, Role, Side
from tests.core.builders import GRVT
from tests.core.oco_rig import Rig

D = Decimal
COUNTERPART = "OCO_COUNTER_PART_TRIGGERED"
CLIENT_CANCEL = "CLIENT_CANCEL"


def entered(policy: str = "cancel_sibling") -> Rig:
    """The entry has filled; the linked legs have just left."""
    rig = Rig(policy, native_oco=True).begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    return rig


def armed(policy: str = "cancel_sibling") -> tuple[Rig, PlaceOrder, PlaceOrder]:
    rig = entered(policy)
    stop, profit = rig.linked[0].orders
    rig.accept(stop)
    rig.accept(profit)
    return rig, stop, profit


def cancelled(rig: Rig) -> list[Role]:
    roles = {order.client_order_id: order.role for order in rig.sent}
    return [roles[command.client_order_id] for command in rig.cancels]


def test_both_legs_leave_in_one_command() -> None:
    """The same size and side, each naming the other; the take-profit waits for its price like the stop and then takes."""
    rig = entered()
    (pair,) = rig.linked
    assert [Role.ENTRY, Role.SL, Role.TP] == [order.role for order in rig.sent]
    assert {(D("0.10"), Side.SELL, True, True)} == {(o.quantity, o.side, o.reduce_only, o.is_market) for o in pair.orders}
    assert (pair.take_profit.client_order_id, pair.stop.client_order_id) == (pair.stop.linked_to, pair.take_profit.linked_to)
    assert (("stop", D("2975.95")), ("take_profit", D("3036.07"), D("3030.00"))) == (
        (pair.stop.trigger_kind, pair.stop.trigger_price),
        (pair.take_profit.trigger_kind, pair.take_profit.trigger_price, pair.take_profit.price),
    )


def test_a_linked_pair_that_stands_is_armed() -> None:
    """Nothing more is placed."""
    rig, _, _ = armed()
    rig.tick(2.0)
    assert (PairState.ARMED, 3) == (rig.pair.state, len(rig.sent))


@pytest.mark.parametrize("permanent", [False, True])
def test_a_refused_pair_is_placed_leg_by_leg_at_once(permanent: bool) -> None:
    """The stop leaves with the news of the refusal, the take-profit once it stands; a person is told, the position is kept."""
    rig = entered()
    stop, profit = rig.linked[0].orders
    rig.reject(stop, permanent=permanent)
    rig.reject(profit, permanent=permanent)
    assert [Role.ENTRY, Role.SL, Role.TP, Role.SL] == [order.role for order in rig.sent]
    rig.accept(rig.last(Role.SL))
    assert (Role.TP, None, ["oco"]) == (rig.sent[-1].role, rig.sent[-1].linked_to, rig.alerts())


@pytest.mark.parametrize(("permanent", "again"), [(False, 2), (True, 1)])
def test_a_refusal_for_good_is_not_tried_again(permanent: bool, again: int) -> None:
    """The next position of the run asks once more only where the refusal may have been a moment's."""
    rig = entered()
    for leg in rig.linked[0].orders:
        rig.reject(leg, permanent=permanent)
    stop = rig.last(Role.SL)
    rig.accept(stop)
    rig.fill(stop, "0.10")
    rig.end(rig.last(Role.TP), reason="")
    rig.tick(1.0)
    rig.book()
    entry = rig.last(Role.ENTRY)
    rig.accept(entry)
    rig.fill(entry, "0.10")
    assert (2, again) == (rig.count(Role.ENTRY), len(rig.linked))


def test_a_denied_pair_is_placed_leg_by_leg_after_a_pause() -> None:
    """Our own limiter refused it: nothing left, the next try is the stop alone."""
    rig = entered()
    for leg in rig.linked[0].orders:
        rig.give(OrderDenied(venue=GRVT, client_order_id=leg.client_order_id, role=leg.role, reason="", at=rig.now))
    rig.tick(0.2)
    assert (1, 2, None) == (len(rig.linked), rig.count(Role.SL), rig.last(Role.SL).linked_to)


def test_a_pair_of_unknown_outcome_does_not_keep_the_stop_waiting() -> None:
    """What nobody has seen protects nothing: a stop of its own follows as soon as after a lost single one."""
    rig = entered()
    for leg in rig.linked[0].orders:
        rig.unknown(leg)
    rig.tick(0.7)
    assert (2, None) == (rig.count(Role.SL), rig.last(Role.SL).linked_to)


@pytest.mark.parametrize("winner", [0, 1])
def test_the_sibling_is_cancelled_whatever_the_venue_does(winner: int) -> None:
    """The pair is the guard: it does not wait for the venue to end the other leg."""
    rig, *legs = armed()
    rig.fill(legs[winner], "0.10")
    assert [legs[1 - winner].role] == cancelled(rig)


def test_a_stop_that_the_venue_ended_is_placed_again_when_the_profit_did_not_fill() -> None:
    """The trigger ends the sibling, not the fill: where nothing filled, the position has lost its stop."""
    rig, stop, profit = armed()
    rig.end(stop, reason=COUNTERPART)
    rig.end(profit, reason="IOC_CANCEL")
    rig.tick(0.6)
    assert (2, None, D("0.10")) == (rig.count(Role.SL), rig.last(Role.SL).linked_to, rig.stop_cover())


def test_a_stop_is_resized_before_the_pair_goes() -> None:
    """Part of the profit was taken: the new stop stands before the linked one, and the rest of the pair with it, is cancelled."""
    rig, stop, profit = armed()
    rig.fill(profit, "0.04")
    rig.tick(0.3)
    assert (D("0.06"), []) == (rig.last(Role.SL).quantity, rig.cancels)
    rig.accept(rig.last(Role.SL))
    assert [Role.SL, Role.TP] == cancelled(rig)
    rig.end(stop, reason=CLIENT_CANCEL)
    rig.end(profit, reason=CLIENT_CANCEL)
    rig.tick(2.0)
    assert (D("0.06"), 2, []) == (rig.last(Role.TP).quantity, rig.count(Role.TP), rig.alerts())


def test_closing_leaves_the_pair_until_the_position_is_closed() -> None:
    """A cancel of the profit would take the stop away from what is still held."""
    rig, _, _ = armed()
    rig.give(Stop(reason="SIGTERM"))
    closing = rig.last(Role.REPAIR)
    assert [] == rig.cancels
    rig.accept(closing)
    rig.fill(closing, "0.10")
    assert {Role.SL, Role.TP} == set(cancelled(rig))


def test_a_position_that_is_being_closed_gets_a_stop_alone() -> None:
    """The run ends before anything protects the position: a take-profit is of no use any more."""
    rig = Rig(native_oco=True).begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.give(Stop(reason="SIGTERM"))
    rig.fill(entry, "0.10")
    rig.tick(1.0)
    assert ([Role.ENTRY, Role.REPAIR, Role.SL], []) == ([order.role for order in rig.sent], rig.linked)


def test_what_the_venue_ends_with_a_doubtful_sibling_is_nobodys_hand() -> None:
    """One of the two was of unknown outcome and its cancel was sent: the venue ends both, the pair places them again."""
    rig = entered()
    stop, profit = rig.linked[0].orders
    rig.accept(stop)
    rig.unknown(profit)
    rig.end(profit, reason=CLIENT_CANCEL)
    rig.end(stop, reason=CLIENT_CANCEL)
    rig.tick(3.0)
    assert (2, []) == (rig.count(Role.SL), [key for key in rig.alerts() if key == "manual-cancel"])


@pytest.mark.parametrize(
    ("policy", "state", "stops"),
    [("cancel_sibling", PairState.RELEASED, 2), ("keep_stop", PairState.ARMED, 2), ("close", PairState.CLOSING, 2)],
)
def test_a_pair_cancelled_by_hand_follows_the_policy(policy: str, state: PairState, stops: int) -> None:
    """Both legs are gone, whichever the user meant; while that is found out a stop stands in."""
    rig, stop, profit = armed(policy)
    rig.tick(12.0)
    rig.end(profit, reason=CLIENT_CANCEL)
    rig.end(stop, reason=CLIENT_CANCEL)
    rig.tick(0.6)
    rig.accept(rig.last(Role.SL))
    rig.tick(2.0)
    assert (state, stops, True) == (rig.pair.state, rig.count(Role.SL), "manual-cancel" in rig.alerts())


def test_a_later_life_knows_the_pair() -> None:
    """The link is part of what the tracker tells: closing still spares the take-profit as long as the stop is needed."""
    before, stop, profit = armed()
    orders = tuple(order.snapshot() for order in before.tracker.open_orders)
    rig = Rig(native_oco=True, entered=D("0.10"), entry_value=D("300.60")).begin(*orders, position="0.10")
    rig.book()
    rig.give(Stop(reason="SIGTERM"))
    assert ([Role.REPAIR], []) == ([order.role for order in rig.sent], rig.cancels)
    assert {stop.client_order_id, profit.client_order_id} == {order.linked_to for order in orders}


def test_a_filled_stop_is_no_reason_to_cancel_beyond_its_sibling() -> None:
    """While the stop is filling its sibling stays: a cancel of one is a cancel of both."""
    rig, stop, _ = armed()
    rig.fill(stop, "0.04")
    assert [] == rig.cancels
    rig.fill(stop, "0.06")
    assert [Role.TP] == cancelled(rig)


def test_entries_that_grow_get_legs_of_their_own() -> None:
    """Only the first pair of a position is linked."""
    rig = Rig(native_oco=True).begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.04")
    rig.tick(0.3)
    for leg in rig.linked[0].orders:
        rig.accept(leg)
    rig.fill(entry, "0.06")
    rig.end(entry, OrderState.FILLED)
    rig.accept(rig.last(Role.SL))
    assert (1, D("0.06"), D("0.06")) == (len(rig.linked), rig.last(Role.SL).quantity, rig.last(Role.TP).quantity)
