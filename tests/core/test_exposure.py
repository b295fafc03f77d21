"""The exposure ledger: what is held, what covers it, and a worst case that no loss or reordering can exceed (RELIABILITY §8)."""

from __future__ import annotations

import pytest

from core.exposure import ExposureLedger
from core.messages import LedgerRequested, OrderDenied, PlaceOrder
from core.types import OrderState, Role
from tests.core.builders import BACKPACK, BUY, GRVT, SELL, D, changed, filled, ledger, place, snapshot

S = OrderState
MAKER = place(1)
HEDGE = place(2, side=SELL, role=Role.HEDGE)


def synced(*orders: PlaceOrder, grvt: str = "0", backpack: str = "0") -> ExposureLedger:
    """A ledger with these positions, in which ``orders`` have been decided."""
    book = ExposureLedger("me")
    book.apply(ledger("me", grvt=grvt, backpack=backpack))
    for order in orders:
        book.register(order)
    return book


def test_nothing_counts_before_the_snapshot_that_contains_it() -> None:
    """Events told before the snapshot are in it: folding them too would count them twice."""
    book = ExposureLedger("me")
    book.apply(filled(MAKER, "t1", "0.10"))
    book.apply(ledger("me", grvt="0.10"))
    assert D("0.10") == book.net


def test_a_snapshot_for_somebody_else_is_ignored() -> None:
    book = ExposureLedger("me")
    book.apply(ledger("other", grvt="1"))
    assert (False, D(0)) == (book.is_synced, book.net)


def test_a_second_snapshot_does_not_forget_an_order_decided_since() -> None:
    """A request repeated while the first answer was on its way is answered twice; the second may miss what we just decided."""
    book = synced(HEDGE, grvt="0.10")
    book.apply(ledger("me", grvt="0.10"))
    assert D(0) == book.uncovered


def test_the_snapshot_is_asked_for_until_it_comes() -> None:
    book = ExposureLedger("me")
    asked = [book.ask(3, now) for now in (0.0, 0.5, 1.0)]
    book.apply(ledger("me"))
    request = (LedgerRequested(owner="me", epoch=3),)
    assert [request, (), request, ()] == [*asked, book.ask(3, 9.0)]


def test_a_decided_order_counts_before_anybody_has_confirmed_it() -> None:
    assert D("-0.10") == synced(HEDGE).uncovered


@pytest.mark.parametrize("state", [S.INITIALIZED, S.SUBMITTED, S.ACCEPTED, S.PENDING_CANCEL, S.UNKNOWN])
def test_an_order_alive_or_unknown_covers_in_full(state: OrderState) -> None:
    book = synced(HEDGE, grvt="0.10")
    book.apply(changed(HEDGE, state))
    assert (D("-0.10"), D(0)) == (book.covering, book.uncovered)


@pytest.mark.parametrize("state", [S.DENIED, S.REJECTED, S.CANCELED, S.EXPIRED])
def test_an_order_that_ended_unfilled_covers_nothing(state: OrderState) -> None:
    book = synced(HEDGE, grvt="0.10")
    book.apply(changed(HEDGE, state))
    assert D("0.10") == book.uncovered


def test_told_but_unseen_fills_of_an_ended_order_go_on_covering() -> None:
    """An IOC ended with 0.04 told and no fill seen yet: 0.04 is on its way, 0.06 is open."""
    book = synced(HEDGE, grvt="0.10")
    book.apply(changed(HEDGE, S.EXPIRED, "0.04", recorded="0"))
    assert D("0.06") == book.uncovered


def test_a_fill_moves_quantity_from_covering_to_position_and_changes_no_sum() -> None:
    book = synced(HEDGE, grvt="0.10")
    book.apply(filled(HEDGE, "t1", "0.04"))
    assert (D("0.06"), D(0)) == (book.net, book.uncovered)


def test_a_makers_pending_quantity_covers_nothing() -> None:
    assert D(0) == synced(MAKER).uncovered


def test_a_denied_order_stops_counting() -> None:
    book = synced(HEDGE)
    denied = OrderDenied(venue=BACKPACK, client_order_id=HEDGE.client_order_id, role=Role.HEDGE, reason="", at=0.0)
    book.apply(denied)
    assert D(0) == book.covering


def test_a_strangers_fill_moves_the_position() -> None:
    book = synced()
    book.apply(filled(MAKER, "t1", "0.10").__class__(fill=filled(MAKER, "t1", "0.10").fill, order=None, at=0.0))
    assert D("0.10") == book.net


def test_worst_delta_lets_one_side_fill_and_the_other_not() -> None:
    book = synced(place(1, quantity="0.10"), place(2, side=SELL, role=Role.HEDGE, quantity="0.03"), grvt="0.02")
    assert D("0.12") == book.worst_delta()


def test_worst_delta_counts_the_order_that_is_being_judged() -> None:
    assert D("0.20") == synced(place(1)).worst_delta(place(3))


def test_worst_delta_knows_an_opposite_order_does_not_help() -> None:
    """A sell that might fill is no insurance for a buy that might fill."""
    assert D("0.10") == synced(place(1)).worst_delta(place(3, side=SELL))


def test_worst_position_counts_one_venue_and_one_side() -> None:
    book = synced(place(1), place(2, role=Role.HEDGE, side=BUY), place(4, side=SELL), grvt="0.05")
    assert D("0.25") == book.worst_position(GRVT, place(3))


def test_an_unknown_order_is_named() -> None:
    book = synced(HEDGE)
    book.apply(changed(HEDGE, S.UNKNOWN))
    assert (True, (snapshot(HEDGE, S.UNKNOWN),)) == (book.has_unknown, book.unknown_orders)
