"""Who else trades the account: orders and fills that are not ours, told once each, with an alarm.

It only tells. A stranger's fill is exposure like any other and is counted by the tracker; nothing is ever done about a stranger's order.
"""

from __future__ import annotations

from collections import OrderedDict

from core.messages import Alert, FillReported, ForeignActivity, Message, OrderReported
from core.order import CLOSED
from core.types import ClientOrderId, VenueId, VenueOrderId

NAMES_KEPT = 1_000
"""Whoever comes after so many others is told of once more."""


class Strangers:
    """``ignore_before_ms``: a stranger's fill with an earlier venue time is the past of the account, not ours to count, unless its order was
    seen alive: then our clock is wrong."""

    def __init__(self, ignore_before_ms: int = 0) -> None:
        self._ignore_before_ms = ignore_before_ms
        self._told: OrderedDict[tuple[VenueId, str], None] = OrderedDict()

    def is_past(self, fill: FillReported) -> bool:
        is_told = (fill.venue, _name(fill.client_order_id, fill.venue_order_id)) in self._told
        return fill.venue_time_ms < self._ignore_before_ms and not is_told

    def filled(self, fill: FillReported, now: float) -> tuple[Message, ...]:
        """Every fill is told: each moves the exposure."""
        name = _name(fill.client_order_id, fill.venue_order_id) or f"trade {fill.trade_id}"
        detail = f"fill {fill.trade_id}: {fill.side.value} {fill.quantity} of an order that is not ours"
        return self._tell(fill.venue, name, detail, now)

    def reported(self, report: OrderReported, now: float) -> tuple[Message, ...]:
        """A living order is told once; one that has ended, or is told as history, is no news."""
        name = _name(report.client_order_id, report.venue_order_id)
        if report.state in CLOSED or report.is_historical or (report.venue, name) in self._told:
            return ()
        return self._tell(report.venue, name, f"order {name} {report.state.value} is not ours", now)

    def _tell(self, venue: VenueId, name: str, detail: str, now: float) -> tuple[Message, ...]:
        activity = ForeignActivity(venue=venue, order=name, detail=detail, at=now)
        if (venue, name) in self._told:
            return (activity,)
        self._told[(venue, name)] = None
        if len(self._told) > NAMES_KEPT:
            self._told.popitem(last=False)
        return (activity, Alert(level="critical", key="foreign", text=f"{venue}: {detail}", at=now))


def _name(client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None) -> str:
    return str(client_order_id or venue_order_id or "")
