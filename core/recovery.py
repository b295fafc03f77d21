"""From a folded journal to the cores of a new life: what was held, what may still be alive, how far back the venues must be asked."""

from __future__ import annotations

from collections.abc import Container, Iterable
from decimal import Decimal

from core.instrument import Instrument
from core.journal_state import RESULT_SLOT_MS, JournalState
from core.messages import LedgerSnapshot, OrderSnapshot
from core.order import TrackedOrder, restored
from core.order_tracker import OrderTracker
from core.preflight import Explained
from core.trading_state import Result
from core.types import ZERO, VenueId
from core.venue_watch import VenuePolicy

MARGIN_S = 60.0


def positions_of(state: JournalState, policies: dict[VenueId, VenuePolicy]) -> dict[VenueId, Decimal]:
    """Signed base per venue, of the symbols that are traded now."""
    held = dict.fromkeys(policies, ZERO)
    for position in state.positions:
        if position.venue in policies and policies[position.venue].symbol == position.symbol:
            held[position.venue] += position.quantity
    return held


def explained_positions(state: JournalState | None, instruments: Iterable[Instrument]) -> dict[VenueId, Explained]:
    """What the preflight may find at the venues; an order without a known end may have filled in full since the journal's last word."""
    found = {}
    for instrument in instruments:
        quantity = slack = ZERO
        for position in state.positions if state is not None else ():
            if (position.venue, position.symbol) == (instrument.venue, instrument.symbol):
                quantity += position.quantity
        for entry in state.unsettled if state is not None else ():
            if entry.order.venue == instrument.venue:
                slack += entry.order.quantity
        found[instrument.venue] = Explained(quantity, slack)
    return found


def lookback_s(state: JournalState, venues: Container[VenueId], wall_ms: int) -> float:
    """Fills must be read back to the oldest intent without an end, and to the last fill known, of the venues that are traded now."""
    since = [last.venue_time_ms for last in state.last_fills if last.venue in venues]
    since += [entry.intended_ms for entry in state.unsettled if entry.order.venue in venues]
    return max(wall_ms - min(since, default=wall_ms), 0) / 1000 + MARGIN_S


def tracked_orders(state: JournalState, policies: dict[VenueId, VenuePolicy], now: float, wall_ms: int) -> list[TrackedOrder]:
    """Every unsettled order and the latest settled ones, as the journal last knew them."""
    found = []
    for entry in state.orders:
        if entry.order.venue not in policies:
            continue
        order = restored(entry.order, entry.snapshot, now - max(wall_ms - entry.intended_ms, 0) / 1000)
        order.recorded_quantity = entry.recorded_quantity
        order.raise_filled(entry.recorded_quantity)
        order.venue_order_id = entry.venue_order_id
        found.append(order)
    return found


def tracker_of(state: JournalState, policies: dict[VenueId, VenuePolicy], now: float, wall_ms: int, born_ms: int) -> OrderTracker:
    """The order tracker of a new life. ``born_ms``: when its process began (epoch ms); strangers' fills from before that are the past, those of
    the time between two trackers of one process are not."""
    return OrderTracker(
        policies,
        orders=tracked_orders(state, policies, now, wall_ms),
        positions=positions_of(state, policies),
        seen_trades=state.fill_keys,
        ignore_foreign_before_ms=born_ms,
        recovery_lookback_s=lookback_s(state, policies, wall_ms),
    )


def results_of(state: JournalState, now: float, wall_ms: int) -> list[Result]:
    """What was earned or lost in the past day: a restart does not begin a new day."""
    return [Result(slot.net, now - max(wall_ms - slot.wall_ms - RESULT_SLOT_MS, 0) / 1000) for slot in state.results]


def ledger_of(state: JournalState, policies: dict[VenueId, VenuePolicy], owner: str, now: float, wall_ms: int) -> LedgerSnapshot:
    """What a risk gate starts from: the same facts as the tracker's."""
    orders: list[OrderSnapshot] = [
        order.snapshot()
        for order in tracked_orders(state, policies, now, wall_ms)
        if not (order.is_closed and order.is_fully_recorded)
    ]
    return LedgerSnapshot(owner=owner, positions=tuple(positions_of(state, policies).items()), orders=tuple(orders), at=now)
