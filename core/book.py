"""Order book built from a snapshot and absolute-quantity deltas, and what it would cost to trade through it.

It knows nothing of sequence numbers' origin; ``DepthSequence`` judges them. A book after a gap must not be read: the owner drops it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal

from core.types import ZERO, Level, Side


class _HalfBook:
    """Levels of one side; prices and levels run in step, ascending. Nothing is hashed: a Decimal's hash costs more than the search."""

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self._prices: list[Decimal] = []
        self._levels: list[Level] = []

    def clear(self) -> None:
        self._prices.clear()
        self._levels.clear()

    def set(self, price: Decimal, quantity: Decimal) -> None:
        at = bisect_left(self._prices, price)
        is_known = at < len(self._prices) and self._prices[at] == price
        if quantity > 0 and is_known:
            self._levels[at] = Level(price, quantity)
        elif quantity > 0:
            self._prices.insert(at, price)
            self._levels.insert(at, Level(price, quantity))
        elif is_known:
            del self._prices[at], self._levels[at]

    def top(self, depth: int) -> tuple[Level, ...]:
        return tuple(self._levels[-depth:][::-1] if self._is_bid else self._levels[:depth])

    def best(self) -> Decimal | None:
        return (self._prices[-1] if self._is_bid else self._prices[0]) if self._prices else None


class Book:
    """Both sides of one symbol. Quantities are absolute; zero removes a level."""

    def __init__(self) -> None:
        self._bids = _HalfBook(is_bid=True)
        self._asks = _HalfBook(is_bid=False)

    def reset(self, bids: Iterable[tuple[Decimal, Decimal]], asks: Iterable[tuple[Decimal, Decimal]]) -> None:
        """Forget everything and take this snapshot (any order)."""
        self._bids.clear()
        self._asks.clear()
        self.apply(bids, asks)

    def apply(self, bids: Iterable[tuple[Decimal, Decimal]], asks: Iterable[tuple[Decimal, Decimal]]) -> None:
        for price, quantity in bids:
            self._bids.set(price, quantity)
        for price, quantity in asks:
            self._asks.set(price, quantity)

    def top(self, depth: int = 20) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """(bids, asks), best first, at most ``depth`` levels each."""
        return self._bids.top(depth), self._asks.top(depth)

    @property
    def is_crossed(self) -> bool:
        """Best bid at or above best ask: the book is wrong and must be rebuilt."""
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid >= ask


class DepthSequence:
    """Judges first/last update ids of deltas against a snapshot: each delta must continue exactly where the last one ended."""

    def __init__(self, snapshot_id: int) -> None:
        self._last = snapshot_id

    def accepts(self, first_id: int, last_id: int) -> bool | None:
        """True: apply it. False: already contained, ignore it. None: a gap, the book is lost."""
        if last_id <= self._last:
            return False
        if first_id > self._last + 1:
            return None
        self._last = last_id
        return True


def vwap(levels: Sequence[Level], quantity: Decimal) -> Decimal | None:
    """Average price of taking ``quantity`` from ``levels`` (best first); None where they do not hold that much."""
    left, cost = quantity, ZERO
    for price, available in levels:
        taken = min(left, available)
        cost += taken * price
        left -= taken
        if left == 0:
            return cost / quantity
    return None


def depth_within(levels: Sequence[Level], limit: Decimal, taker: Side) -> Decimal:
    """Base quantity that ``taker`` finds at ``limit`` or better; ``levels`` are the opposite side, best first."""
    reachable = (level for level in levels if (level.price <= limit if taker is Side.BUY else level.price >= limit))
    return sum((level.quantity for level in reachable), ZERO)
