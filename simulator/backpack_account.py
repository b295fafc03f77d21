"""The account behind the Backpack face: positions with entry price and profit, and the order and fill histories.

Must never match or change an order: it only watches the exchange's events of one account.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal

from core.types import ZERO
from simulator.exchange import AccountFill, Exchange, SimOrder

FIRST_POSITION_ID = 28_563_667_732


class Position:
    """Net position of one symbol at average cost; ``fees`` since it was opened."""

    def __init__(self, symbol: str, position_id: int) -> None:
        self.symbol = symbol
        self.position_id = position_id
        self.quantity = ZERO
        self.entry_price = ZERO
        self.realized = ZERO
        self.fees = ZERO

    def apply(self, signed_quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        """Adds one fill: grows at average cost, shrinks at profit, and turns over at the fill's price."""
        before, self.quantity = self.quantity, self.quantity + signed_quantity
        self.fees += fee
        if before * signed_quantity >= 0:
            self.entry_price = (abs(before) * self.entry_price + abs(signed_quantity) * price) / abs(self.quantity)
            return
        closed = min(abs(before), abs(signed_quantity))
        self.realized += (price - self.entry_price) * (closed if before > 0 else -closed)
        if before * self.quantity < 0:
            self.entry_price = price

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit in quote at the mark price."""
        return (mark - self.entry_price) * self.quantity

    def break_even(self) -> Decimal:
        """Entry price moved by the fees paid so far."""
        return self.entry_price + self.fees / self.quantity if self.quantity else self.entry_price


class AccountView:
    """One account of the exchange as the venue would show it."""

    def __init__(self, exchange: Exchange, account: str) -> None:
        self._exchange = exchange
        self._account = account
        self._order_ids: dict[int, None] = {}
        self._open: dict[str, Position] = {}
        self._position_ids = itertools.count(FIRST_POSITION_ID)
        self.realized_closed = ZERO

    def record_order(self, order: SimOrder) -> None:
        """Puts the order into the history; called for every event of this account's orders."""
        self._order_ids[order.order_id] = None

    def record_fill(self, fill: AccountFill) -> tuple[Position, str]:
        """The position after the fill and the name of what happened to it (backpack.md §3)."""
        position = self._open.get(fill.symbol)
        event = "positionAdjusted" if position else "positionOpened"
        if position is None:
            position = self._open[fill.symbol] = Position(fill.symbol, next(self._position_ids))
        position.apply(fill.side.sign * fill.quantity, fill.price, fill.fee)
        if position.quantity == 0:
            event = "positionClosed"
            self.realized_closed += position.realized - position.fees
            del self._open[fill.symbol]
        return position, event

    def positions(self) -> tuple[Position, ...]:
        """Open positions only: a flat account has none."""
        return tuple(self._open.values())

    def exposure(self, symbol: str) -> Decimal:
        """Net quantity in the worst case of the open orders, unsigned, base."""
        position = self._open.get(symbol)
        net = position.quantity if position else ZERO
        opening = [order for order in self._exchange.open_orders(self._account, symbol) if not order.reduce_only]
        worst = [net]
        for sign in (1, -1):
            worst.append(net + sign * sum(((o.quantity - o.filled) for o in opening if o.side.sign == sign), ZERO))
        return max(abs(quantity) for quantity in worst)

    def orders(self, before: float) -> Sequence[SimOrder]:
        """Every order last changed at or before ``before`` (epoch seconds), newest first."""
        found = (self._exchange.order(order_id) for order_id in reversed(self._order_ids))
        return [order for order in found if order is not None and order.updated_at <= before]

    def fills(self, symbol: str | None, since: float, before: float) -> Sequence[AccountFill]:
        """Fills between two times (epoch seconds, both inclusive), newest first."""
        fills = self._exchange.fills(self._account, symbol, since)
        return [fill for fill in reversed(fills) if fill.time <= before]
