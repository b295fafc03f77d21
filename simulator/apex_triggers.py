"""The orders that wait for a price: which of them a price sets off (apex.md §3).

Must never place or cancel an order: it is told the prices and answers with the orders that are due.
"""

from __future__ import annotations

from decimal import Decimal

from core.types import Side
from simulator.apex_orders import ApexOrder


class TriggerBook:
    """Waiting orders by symbol, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, ApexOrder]] = {}

    def add(self, order: ApexOrder) -> None:
        self._waiting.setdefault(order.symbol, {})[order.order_id] = order

    def remove(self, order: ApexOrder) -> None:
        """Nothing happens where it does not wait (any more)."""
        self._waiting.get(order.symbol, {}).pop(order.order_id, None)

    def is_watching(self, symbol: str) -> bool:
        """Whether any order waits for a price of that symbol."""
        return bool(self._waiting.get(symbol))

    def take_due(self, symbol: str, last: Decimal | None, mark: Decimal | None) -> list[ApexOrder]:
        """The orders these prices set off, which wait no longer. MARKET is the last trade, INDEX and ORACLE are the mark."""
        due = []
        for order in self._waiting.get(symbol, {}).values():
            price = last if order.trigger_price_type == "MARKET" else mark
            if price is not None and is_due(order, price):
                due.append(order)
        for order in due:
            self.remove(order)
        return due


def is_due(order: ApexOrder, price: Decimal) -> bool:
    """A stop is set off by a price that moves against the position it closes, a take profit by one in its favour."""
    if order.trigger_price is None:
        return False
    is_downward = (order.side is Side.SELL) == order.type.startswith("STOP")
    return price <= order.trigger_price if is_downward else price >= order.trigger_price
