"""Price levels with their queues: price priority across levels, time priority within one.

Must never change an order: it holds them, ``exchange.py`` fills and ends them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from decimal import Decimal

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator.ledger import SimOrder


class Level:
    """Orders at one price, oldest first; ``total`` is the sum of their leaves."""

    __slots__ = ("key", "price", "queue", "total")

    def __init__(self, key: int, price: Decimal) -> None:
        self.key = key
        self.price = price
        self.total = ZERO
        self.queue: dict[int, SimOrder] = {}

    def head(self) -> SimOrder:
        return next(iter(self.queue.values()))


class BookSide:
    """One side of a book. A level's key is its price in ticks times the side's sign, so that the greatest key is the best price."""

    __slots__ = ("_keys", "_levels", "_tick", "changed", "side", "sign")

    def __init__(self, side: Side, tick: Decimal) -> None:
        self.side = side
        self.sign = side.sign
        self._tick = tick
        self._keys: list[int] = []
        self._levels: dict[int, Level] = {}
        self.changed: dict[int, Decimal] = {}
        """Key and price of each level touched since the last look; who tells the world of them clears it."""

    def key_of(self, price: Decimal) -> int:
        """``price`` must be on the tick."""
        return int(price / self._tick) * self.sign

    def best(self) -> Level | None:
        return self._levels[self._keys[-1]] if self._keys else None

    def best_key(self) -> int | None:
        return self._keys[-1] if self._keys else None

    def level(self, key: int) -> Level | None:
        return self._levels.get(key)

    def total(self, key: int) -> Decimal:
        level = self._levels.get(key)
        return ZERO if level is None else level.total

    def top(self, depth: int) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) of the best ``depth`` levels, best first."""
        return [(self._levels[key].price, self._levels[key].total) for key in reversed(self._keys[-depth:])] if depth > 0 else []

    def add(self, order: SimOrder, price: Decimal) -> None:
        """At the end of the queue of its price."""
        key = self.key_of(price)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = Level(key, price)
            insort(self._keys, key)
        level.queue[order.order_id] = order
        level.total += order.leaves
        self.changed[key] = price

    def reduce(self, key: int, quantity: Decimal) -> None:
        """``quantity`` of the level was filled or given up by an order that stays."""
        level = self._levels[key]
        level.total -= quantity
        self.changed[key] = level.price

    def remove(self, order: SimOrder, key: int) -> None:
        """Takes the order and what is left of it out of the book."""
        level = self._levels[key]
        del level.queue[order.order_id]
        level.total -= order.leaves
        self.changed[key] = level.price
        if not level.queue:
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]


class OrderBook:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids", "instrument")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.bids = BookSide(Side.BUY, instrument.tick_size)
        self.asks = BookSide(Side.SELL, instrument.tick_size)

    def of(self, side: Side) -> BookSide:
        return self.bids if side is Side.BUY else self.asks

    def against(self, side: Side) -> BookSide:
        return self.asks if side is Side.BUY else self.bids

    def sides(self) -> Iterator[BookSide]:
        yield self.bids
        yield self.asks
