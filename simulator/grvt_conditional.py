"""GRVT's orders that wait for a price, and the pairs of them of which the venue lets one go off (grvt.md §4).

Must never match an order: it hands over those whose price has come. Nobody has captured a dormant order or a pair; what is done here is what
the specification says, with a switch where it may not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from simulator.clock import Clock
from simulator.grvt_market import MarketData
from simulator.grvt_orders import OrderRecord
from simulator.grvt_triggers import TYPES

MARK_SAMPLE_S = 0.05
"""How long after a change of the book its mid is looked at: the house moves its levels one by one."""
CLIENT_CANCEL = "CLIENT_CANCEL"
COUNTERPART = "OCO_COUNTER_PART_TRIGGERED"


class Conditionals:
    """Dormant orders, oldest first. ``place`` sends one to the matching engine; ``end`` ends one that never came there."""

    def __init__(
        self,
        clock: Clock,
        market: MarketData,
        place: Callable[[OrderRecord], None],
        end: Callable[[OrderRecord, str], None],
    ) -> None:
        self.ignores_pairs = False
        """Set: the venue accepts a pair and treats its orders as strangers."""
        self._clock = clock
        self._market = market
        self._place = place
        self._end = end
        self._waiting: dict[str, OrderRecord] = {}
        self._siblings: dict[str, OrderRecord] = {}
        self._sampled: set[str] = set()

    @property
    def records(self) -> tuple[OrderRecord, ...]:
        return tuple(self._waiting.values())

    def link(self, first: OrderRecord, second: OrderRecord) -> None:
        """A pair: from now on one of them ends the other."""
        self._siblings |= {first.client_order_id: second, second.client_order_id: first}

    def wait(self, record: OrderRecord) -> None:
        """Until its price comes, which it may have already, its time is up, or somebody cancels it."""
        self._waiting[record.client_order_id] = record
        self._clock.call_later(record.expires_at - self._clock.now(), partial(self._expire, record))
        self.check(record.contract.symbol)

    def withdraw(self, record: OrderRecord, reason: str) -> bool:
        """Ends it and the other of its pair; False where it does not wait (any more)."""
        if self._waiting.pop(record.client_order_id, None) is None:
            return False
        self._end(record, reason)
        self._end_sibling(record, reason)
        return True

    def _expire(self, record: OrderRecord) -> None:
        self.withdraw(record, "EXPIRED")

    def check(self, symbol: str) -> None:
        """Sets off what the last trade and the mid of now are through."""
        prices = {"LAST": self._market.last(symbol)}
        mid = self._market.mark(symbol)
        for record in self.records:
            assert record.trigger is not None
            price = prices.get(record.trigger.by, mid)
            is_due = price is not None and record.contract.symbol == symbol and record.trigger.is_due(record.side, price)
            if is_due and record.client_order_id in self._waiting:  # One of them may have ended another.
                self._set_off(record)

    def book_changed(self, symbol: str) -> None:
        """Looks at the mid a moment later, once the house has moved all its levels."""
        if self._waiting and symbol not in self._sampled:
            self._sampled.add(symbol)
            self._clock.call_later(MARK_SAMPLE_S, partial(self._sample, symbol))

    def _sample(self, symbol: str) -> None:
        self._sampled.discard(symbol)
        self.check(symbol)

    def _set_off(self, record: OrderRecord) -> None:
        """Its sibling goes first, filled or not: the venue names the trigger as the reason, not the fill."""
        del self._waiting[record.client_order_id]
        self._end_sibling(record, COUNTERPART)
        self._place(record)

    def _end_sibling(self, record: OrderRecord, reason: str) -> None:
        sibling = self._siblings.get(record.client_order_id)
        if sibling is not None and not self.ignores_pairs and self._waiting.pop(sibling.client_order_id, None) is not None:
            self._end(sibling, reason)


def is_pair(orders: Sequence[OrderRecord]) -> bool:
    """One take-profit and one stop over the same contract, size and side: what the venue takes for an OCO pair."""
    shapes = {(order.contract.symbol, order.side, order.quantity) for order in orders}
    kinds = sorted(order.trigger.type for order in orders if order.trigger is not None)
    return kinds == sorted(TYPES) and len(orders) == len(kinds) and len(shapes) == 1
