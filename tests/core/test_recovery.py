"""From the journal to a new life: what was held is held, what may live is unknown and counted, and nothing is read too late."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.journal_state import Intent, JournalFold, JournalState, SlotResult
from core.messages import CancelOrder, FillRecorded, Message, OrderChanged, PlaceOrder
from core.preflight import Explained
from core.recovery import (
    MARGIN_S,
    explained_positions,
    ledger_of,
    lookback_s,
    positions_of,
    results_of,
    tracked_orders,
    tracker_of,
)
from core.trading_state import Result
from core.types import OrderState, Role, VenueId
from core.venue_watch import VenuePolicy
from tests.core.builders import BACKPACK, GRVT, SELL, SYMBOLS, VENUES, D, changed, fill, filled, instrument, place, snapshot

POLICIES = {
    venue: VenuePolicy(symbol=SYMBOLS[venue], lot_size=D("0.01"), cancel_ttl_ms=0, submit_bound_s=2.0) for venue in VENUES
}
MAKER = place(1)
HEDGE = place(2, side=SELL, role=Role.HEDGE)
NOW, WALL_MS = 1_000.0, 1_000_000


def intent(order: PlaceOrder) -> Intent:
    return Intent(order=order, epoch=1)


def fold(*records: Message) -> JournalState:
    """Written ten seconds before the restart, one millisecond after the other."""
    folding = JournalFold()
    for wall_ms, record in enumerate(records, WALL_MS - 10_000):
        folding.apply(record, wall_ms)
    return folding.state()


def states(state: JournalState) -> dict[int, OrderState]:
    return {order.place.client_order_id: order.state for order in tracked_orders(state, POLICIES, NOW, WALL_MS)}


def held(state: JournalState) -> dict[VenueId, Decimal]:
    return tracker_of(state, POLICIES, NOW, WALL_MS, WALL_MS).positions


def test_an_intent_without_an_end_is_of_unknown_outcome() -> None:
    """Killed between journal and send, or between send and answer: nobody knows, so it counts."""
    assert {1: OrderState.UNKNOWN} == states(fold(intent(MAKER)))


def test_an_order_that_was_alive_is_unknown_until_the_venue_is_asked() -> None:
    assert {1: OrderState.UNKNOWN} == states(fold(intent(MAKER), changed(MAKER, OrderState.ACCEPTED)))


def test_a_settled_order_stays_settled() -> None:
    assert {1: OrderState.CANCELED} == states(fold(intent(MAKER), changed(MAKER, OrderState.CANCELED)))


def test_fills_of_the_journal_are_the_positions_of_the_new_life() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"), intent(HEDGE), filled(HEDGE, "t1", "0.03"))
    assert {GRVT: D("0.04"), BACKPACK: D("-0.03")} == held(state)


@pytest.mark.parametrize(("at_ms", "position"), [(WALL_MS - 5_001, "0"), (WALL_MS - 1, "0.04")])
def test_a_strangers_fill_between_two_trackers_of_one_process_counts(at_ms: int, position: str) -> None:
    """The process began five seconds ago, its tracker begins now; what was before the process is the past of the account."""
    tracker = tracker_of(fold(), POLICIES, NOW, WALL_MS, WALL_MS - 5_000)
    tracker.handle(fill(MAKER, "t1", "0.04", client_order_id=None, venue_time_ms=at_ms), NOW)
    assert D(position) == tracker.positions[GRVT]


def test_a_fill_of_the_journal_that_is_told_again_counts_once() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"))
    tracker = tracker_of(state, POLICIES, NOW, WALL_MS, WALL_MS)
    told = tracker.handle(fill(MAKER, "t1", "0.04"), NOW)
    assert ((), D("0.04")) == (told, tracker.positions[GRVT])


def test_a_fill_that_the_journal_missed_counts_and_has_its_order() -> None:
    """Killed between the fill and the journal: the backfill finds it, although it is older than this life."""
    tracker = tracker_of(fold(intent(MAKER)), POLICIES, NOW, WALL_MS, WALL_MS)
    told = [m for m in tracker.handle(fill(MAKER, "t1", "0.04"), NOW) if isinstance(m, FillRecorded)]
    assert ([1], D("0.04")) == ([each.order.client_order_id for each in told if each.order], tracker.positions[GRVT])


def test_recorded_fills_are_not_pending_again() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"))
    orders = ledger_of(state, POLICIES, "gate", NOW, WALL_MS).orders
    assert [D("0.06")] == [order.pending_quantity for order in orders]


def test_the_journals_fills_count_whatever_the_last_snapshot_said() -> None:
    """A snapshot taken before a fill may be written after it."""
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"), changed(MAKER, OrderState.ACCEPTED))
    orders = ledger_of(state, POLICIES, "gate", NOW, WALL_MS).orders
    assert [D("0.06")] == [order.pending_quantity for order in orders]


def test_gate_and_tracker_start_from_the_same_facts() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"), intent(HEDGE))
    ledger = ledger_of(state, POLICIES, "gate", NOW, WALL_MS)
    tracker = tracker_of(state, POLICIES, NOW, WALL_MS, WALL_MS)
    open_orders = tuple(order.snapshot() for order in tracker.open_orders)
    assert (tracker.positions, open_orders) == (dict(ledger.positions), ledger.orders)


def test_a_new_tracker_tells_and_bounds_what_may_live() -> None:
    out = tracker_of(fold(intent(MAKER)), POLICIES, NOW, WALL_MS, WALL_MS).start(NOW)
    assert ([1], [1]) == (
        [m.order.client_order_id for m in out if isinstance(m, OrderChanged)],
        [m.client_order_id for m in out if isinstance(m, CancelOrder)],
    )


def test_the_bound_of_an_old_order_runs_from_its_intent_and_not_from_the_restart() -> None:
    orders = tracked_orders(fold(intent(MAKER)), POLICIES, NOW, WALL_MS)
    assert [NOW - 10.0] == [order.submitted_at for order in orders]


def test_a_clock_that_went_back_never_puts_an_order_into_the_future() -> None:
    orders = tracked_orders(fold(intent(MAKER)), POLICIES, NOW, WALL_MS - 60_000)
    assert [NOW] == [order.submitted_at for order in orders]


def test_fills_are_read_back_to_the_oldest_order_without_an_end() -> None:
    assert 10.0 + MARGIN_S == lookback_s(fold(intent(MAKER)), VENUES, WALL_MS)


def test_fills_are_read_back_to_the_last_fill_known() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.10"), changed(MAKER, OrderState.FILLED, "0.10"))
    assert (WALL_MS - 1_000) / 1000 + MARGIN_S == lookback_s(state, VENUES, WALL_MS)


def test_venues_that_are_traded_no_more_do_not_count() -> None:
    """An order of last month at another venue is no reason to read a month of this one's fills."""
    assert MARGIN_S == lookback_s(fold(intent(MAKER)), {BACKPACK}, WALL_MS)


def test_an_empty_journal_reads_the_margin_only() -> None:
    assert MARGIN_S == lookback_s(fold(), VENUES, WALL_MS)


def test_an_order_that_provably_never_left_does_not_come_back() -> None:
    orders = ledger_of(fold(intent(MAKER), changed(MAKER, OrderState.DENIED)), POLICIES, "gate", NOW, WALL_MS).orders
    assert () == orders


def test_the_preflight_is_told_what_the_journal_explains_and_how_sure_it_is() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"))
    explained = explained_positions(state, [instrument(venue) for venue in VENUES])
    assert {GRVT: Explained(D("0.04"), D("0.10")), BACKPACK: Explained(D(0), D(0))} == explained


def test_without_a_journal_nothing_is_explained() -> None:
    assert {GRVT: Explained(D(0), D(0))} == explained_positions(None, [instrument(GRVT)])


def test_another_symbols_position_is_not_ours_to_trade() -> None:
    state = fold(intent(MAKER), filled(MAKER, "t1", "0.04"))
    other = {GRVT: POLICIES[GRVT]._replace(symbol="BTC_USDT_Perp")}
    assert {GRVT: D(0)} == positions_of(state, other)


def test_a_late_fill_of_a_settled_order_has_its_order() -> None:
    tracker = tracker_of(fold(intent(MAKER), changed(MAKER, OrderState.CANCELED)), POLICIES, NOW, WALL_MS, WALL_MS)
    told = [m for m in tracker.handle(fill(MAKER, "t9", "0.04"), NOW) if isinstance(m, FillRecorded)]
    assert [snapshot(MAKER, OrderState.CANCELED, "0.04")] == [each.order for each in told]


def test_results_of_earlier_lives_count_until_their_slot_is_over() -> None:
    """A slot counts from its end; one that seems to lie in the future, after a step of the clock, counts as now."""
    state = JournalState(results=(SlotResult(0, D("-3")), SlotResult(1_200_000, D("1"))))
    assert [Result(D("-3"), 100.0 - 300.0), Result(D("1"), 100.0)] == results_of(state, 100.0, 900_000)
