"""Life of one order: the transition table and the record that obeys it.

Venues report late, twice and out of order. A report that would move an order backwards is stale news and changes nothing; it is
never an error. Quantities only grow. A late fill of a closed order is legal and always counts.

    INITIALIZED -> SUBMITTED -> ACCEPTED -> PARTIALLY_FILLED -> FILLED
         |             |  \\-> UNKNOWN -> (anything the venue shows)
         \\-> DENIED    \\-> REJECTED        PENDING_CANCEL -> CANCELED | FILLED | EXPIRED
"""

from __future__ import annotations

from decimal import Decimal

from core.messages import OrderSnapshot, PlaceOrder
from core.types import ZERO, OrderState, TimeInForce, VenueOrderId

QUERY_DELAYS_S = (0.2, 0.5, 1.0)
"""Pauses before the first lookups of an unknown order; then the last one for ever."""
CANCEL_RETRY_S = (1.0, 2.0, 4.0)
_S = OrderState
CLOSED = frozenset({_S.DENIED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED})
_LIVE = frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL})
_ENDS = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED})
SETTLED_ORDERS_KEPT = 2_000
"""How many settled orders stay known, so that a very late fill of one is not taken for a stranger's."""

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.INITIALIZED: frozenset({_S.DENIED, _S.SUBMITTED}),
    _S.DENIED: frozenset(),
    _S.SUBMITTED: _LIVE | _ENDS | {_S.UNKNOWN, _S.REJECTED, _S.DENIED},
    _S.UNKNOWN: _LIVE | _ENDS | {_S.REJECTED},
    _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.REJECTED}) | _ENDS,
    _S.PARTIALLY_FILLED: frozenset({_S.PENDING_CANCEL}) | _ENDS,
    _S.PENDING_CANCEL: _ENDS | {_S.REJECTED},
    _S.CANCELED: frozenset({_S.FILLED}),
    _S.EXPIRED: frozenset({_S.FILLED, _S.CANCELED}),
    _S.REJECTED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
}
"""ACCEPTED -> REJECTED: GRVT acknowledges before it matches and refuses on the stream (grvt.md §0.2)."""


class TrackedOrder:
    """One of our orders, mutable inside the tracker only; everybody else sees ``snapshot()``."""

    __slots__ = (
        "cancel_attempts",
        "cancel_bound_at",
        "cancel_due_at",
        "filled_quantity",
        "is_inferred",
        "missed_at",
        "misses",
        "permanent",
        "place",
        "queries",
        "query_due_at",
        "reason",
        "recorded_quantity",
        "state",
        "submitted_at",
        "venue_order_id",
    )

    def __init__(self, place: PlaceOrder, submitted_at: float) -> None:
        self.place = place
        self.submitted_at = submitted_at
        self.state = OrderState.SUBMITTED
        self.filled_quantity = ZERO
        self.recorded_quantity = ZERO
        self.venue_order_id: VenueOrderId | None = None
        self.reason = ""
        self.permanent = False
        self.is_inferred = False
        self.queries = 0
        self.query_due_at: float | None = None
        self.misses = 0
        self.missed_at = 0.0
        self.cancel_attempts = 0
        self.cancel_due_at: float | None = None
        self.cancel_bound_at: float | None = None

    @property
    def is_closed(self) -> bool:
        return self.state in CLOSED

    @property
    def is_fully_recorded(self) -> bool:
        return self.recorded_quantity >= self.filled_quantity

    def move(self, reported: OrderState, *, is_inferred: bool = False) -> bool:
        """Take a reported state if the table allows it; True when the state changed.

        An order closed by inference reopens on the venue's word that it lives: inference is never proof against evidence. One that cannot
        rest does not: that it lived is old news, and what it filled counts without it.
        """
        may_rest = self.place.time_in_force is not TimeInForce.IOC
        revives = self.is_inferred and self.is_closed and may_rest and reported in _LIVE
        if reported is self.state or not (revives or reported in TRANSITIONS[self.state]):
            if reported is self.state and not is_inferred:
                self.is_inferred = False
            return False
        self.state = reported
        self.is_inferred = is_inferred
        return True

    def raise_filled(self, cumulative: Decimal) -> bool:
        """Cumulative filled quantity never decreases; True when it grew."""
        if cumulative <= self.filled_quantity:
            return False
        self.filled_quantity = cumulative
        return True

    def record_fill(self, quantity: Decimal) -> None:
        """Count one execution; a completely recorded order is FILLED whatever the venue's status word says so far."""
        self.recorded_quantity += quantity
        self.raise_filled(self.recorded_quantity)
        if self.recorded_quantity >= self.place.quantity:
            self.move(OrderState.FILLED)
        elif self.state in (OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.ACCEPTED):
            self.move(OrderState.PARTIALLY_FILLED)

    @property
    def query_delay_s(self) -> float:
        """Pause before the next lookup; longer with every one that was made."""
        return QUERY_DELAYS_S[min(self.queries, len(QUERY_DELAYS_S) - 1)]

    def retry_cancel(self, now: float) -> None:
        """A cancel has been tried and is repeated unless the order ends; each pause is longer than the last."""
        self.cancel_due_at = now + CANCEL_RETRY_S[min(self.cancel_attempts, len(CANCEL_RETRY_S) - 1)]
        self.cancel_attempts += 1

    @property
    def is_overfilled(self) -> bool:
        return self.filled_quantity > self.place.quantity

    def snapshot(self) -> OrderSnapshot:
        place = self.place
        return OrderSnapshot(
            client_order_id=place.client_order_id,
            venue=place.venue,
            symbol=place.symbol,
            side=place.side,
            role=place.role,
            price=place.price,
            quantity=place.quantity,
            state=self.state,
            filled_quantity=self.filled_quantity,
            recorded_quantity=self.recorded_quantity,
            cycle_id=place.cycle_id,
            reason=self.reason,
            venue_order_id=self.venue_order_id,
            permanent=self.permanent,
            linked_to=place.linked_to,
            is_inferred=self.is_inferred,
        )


def restored(place: PlaceOrder, last: OrderSnapshot | None, submitted_at: float) -> TrackedOrder:
    """An order of an earlier run: what the journal last knew; whatever is not closed is unknown until the venue is asked."""
    order = TrackedOrder(place, submitted_at)
    if last is not None:
        order.filled_quantity = last.filled_quantity
        order.recorded_quantity = last.recorded_quantity
        order.venue_order_id = last.venue_order_id
        order.reason = last.reason
        order.permanent = last.permanent
        order.is_inferred = last.is_inferred
    order.state = last.state if last is not None and last.is_closed else OrderState.UNKNOWN
    return order
