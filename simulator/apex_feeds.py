"""The public topics of the ApeX face: order books with their chain of update ids, tape, instrument info, candles (apex.md §2).

Must never hold a subscription: it asks the hub who wants a topic. Timers run only while somebody does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Protocol

from core.types import Side
from simulator.apex_contracts import market_name
from simulator.apex_market import INTERVALS, MarketView, TapeRow, candle_data
from simulator.apex_wire import Json, micros, number
from simulator.clock import Clock

FIRST_UPDATE_ID = 843_412
FIRST_CROSS_SEQUENCE = 44_132_980
SNAPSHOT_TRADES = 50
_BOOK = re.compile(r"orderBook(25|200)\.(H|M)\.(\w+)")
_OTHER = re.compile(r"(recentlyTrade|instrumentInfo)\.H\.(\w+)")
_CANDLE = re.compile(rf"candle\.({'|'.join(INTERVALS)})\.(\w+)")
Levels = dict[Decimal, Decimal]


class Hub(Protocol):
    """Who listens, and the way to them."""

    def is_wanted(self, topic: str) -> bool: ...

    def publish(self, topic: str, frame: Json) -> None: ...


class BookTopic:
    """One book topic: what its listeners hold, and the update id they hold it at."""

    def __init__(self, market: MarketView, symbol: str, depth: int) -> None:
        self.symbol = symbol
        self.update_id = FIRST_UPDATE_ID
        self._market = market
        self._depth = depth
        self._told: dict[Side, Levels] = {Side.BUY: {}, Side.SELL: {}}

    def snapshot(self) -> Json:
        """The book as last told, both sides ascending."""
        return self._data({side: dict(levels) for side, levels in self._told.items()})

    def advance(self) -> Json:
        """The changes since the last telling, "0" for a level that is gone; empty where nothing changed, the id moves anyway."""
        now = self._levels()
        changes = {side: _changes(self._told[side], now[side]) for side in (Side.BUY, Side.SELL)}
        self._told = now
        self.update_id += 1
        return self._data(changes)

    def _levels(self) -> dict[Side, Levels]:
        bids, asks = self._market.levels(self.symbol, self._depth)
        return {Side.BUY: dict(bids), Side.SELL: dict(asks)}

    def _data(self, levels: dict[Side, Levels]) -> Json:
        bids, asks = ([[number(p), number(q)] for p, q in sorted(levels[side].items())] for side in (Side.BUY, Side.SELL))
        name = market_name(self._market.instruments[self.symbol])
        return {"s": name, "b": bids, "a": asks, "u": self.update_id}


class PublicFeeds:
    """Turns book and trade events into frames; changes within a topic's own interval share one frame."""

    def __init__(self, market: MarketView, clock: Clock, hub: Hub, *, conflate_s: float) -> None:
        """``conflate_s``: how long the H books gather changes; the M books take three times as long, the infos twice."""
        self._market = market
        self._clock = clock
        self._hub = hub
        self._conflate_s = conflate_s
        self._books: dict[str, BookTopic] = {}
        self._infos: dict[str, dict[str, str]] = {}
        self._scheduled: set[str] = set()
        self._cross_sequence = FIRST_CROSS_SEQUENCE

    def is_known(self, topic: str) -> bool:
        """Whether the venue serves it; a dashed name is as unknown as any other."""
        return self._symbol_of(topic) is not None

    def first_frame(self, topic: str) -> Json | None:
        """The snapshot of a known topic for a new listener; None where there is nothing to tell yet."""
        symbol = self._symbol_of(topic)
        if symbol is None:
            raise KeyError(topic)
        if topic.startswith("orderBook"):
            return self._envelope(topic, "snapshot", self._book_snapshot(topic, symbol))
        if topic.startswith("recentlyTrade"):
            return self._envelope(topic, "snapshot", self._market.tape(symbol, SNAPSHOT_TRADES))
        if topic.startswith("candle"):
            return self._candle_frame(topic, symbol, "snapshot")
        self._infos[topic] = self._market.ticker(symbol, self._clock.now())
        name = market_name(self._market.instruments[symbol])
        return self._envelope(topic, "snapshot", {"symbol": name, "symbolStatus": "Trading", **self._infos[topic]})

    def book_changed(self, symbol: str) -> None:
        """Some level of that symbol has a new total."""
        for topic, book in self._books.items():
            if book.symbol == symbol and self._hub.is_wanted(topic):
                interval_s = self._conflate_s * (1 if ".H." in topic else 3)
                self._schedule(topic, interval_s, partial(self._tell_book, topic))
        self._note_info(symbol)

    def traded(self, symbol: str, row: TapeRow) -> None:
        name = market_name(self._market.instruments[symbol])
        self._publish(f"recentlyTrade.H.{name}", "delta", [row])
        self._note_info(symbol)
        for interval in INTERVALS:
            topic = f"candle.{interval}.{name}"
            frame = self._candle_frame(topic, symbol, "delta") if self._hub.is_wanted(topic) else None
            if frame is not None:
                self._hub.publish(topic, frame)

    def inject_gap(self, symbol: str) -> None:
        """Loses one update of every book of that symbol: what changed until now is never told, the next id jumps over one."""
        for book in self._books.values():
            if book.symbol == symbol:
                book.advance()

    def update_id(self, symbol: str) -> int:
        """Of the first book of that symbol anybody asked for; REST shows it too."""
        return next((book.update_id for book in self._books.values() if book.symbol == symbol), FIRST_UPDATE_ID)

    def _symbol_of(self, topic: str) -> str | None:
        for pattern in (_BOOK, _OTHER, _CANDLE):
            match = pattern.fullmatch(topic)
            if match:
                return self._market.symbols.get(match.groups()[-1])
        return None

    def _book_snapshot(self, topic: str, symbol: str) -> Json:
        """What is held back for the others is told first, so that everybody is at the same id."""
        match = _BOOK.fullmatch(topic)
        book = self._books.get(topic)
        if book is None and match is not None:
            book = self._books[topic] = BookTopic(self._market, symbol, int(match.group(1)))
        if book is None:
            raise KeyError(topic)
        self._publish(topic, "delta", book.advance())
        return book.snapshot()

    def _tell_book(self, topic: str) -> None:
        self._publish(topic, "delta", self._books[topic].advance())

    def _note_info(self, symbol: str) -> None:
        topic = f"instrumentInfo.H.{market_name(self._market.instruments[symbol])}"
        if self._hub.is_wanted(topic):
            self._schedule(topic, 2 * self._conflate_s, partial(self._tell_info, topic, symbol))

    def _tell_info(self, topic: str, symbol: str) -> None:
        """Only the keys that changed, beside the symbol and its status."""
        now = self._market.ticker(symbol, self._clock.now())
        changes = {key: value for key, value in now.items() if self._infos.get(topic, {}).get(key) != value}
        self._infos[topic] = now
        name = market_name(self._market.instruments[symbol])
        if changes:
            self._publish(topic, "delta", {"symbol": name, "symbolStatus": "Trading", **changes})

    def _candle_frame(self, topic: str, symbol: str, kind: str) -> Json | None:
        interval = topic.split(".")[1]
        minutes = INTERVALS[interval]
        candles = self._market.candles(symbol, minutes)
        if not candles:
            return None
        return self._envelope(topic, kind, [candle_data(candles[-1], interval, minutes, self._clock.now())])

    def _schedule(self, name: str, delay_s: float, send: Callable[[], None]) -> None:
        if delay_s <= 0:
            send()
        elif name not in self._scheduled:
            self._scheduled.add(name)
            self._clock.call_later(delay_s, lambda: self._run(name, send))

    def _run(self, name: str, send: Callable[[], None]) -> None:
        self._scheduled.discard(name)
        send()

    def _publish(self, topic: str, kind: str, data: object) -> None:
        if self._hub.is_wanted(topic):
            self._hub.publish(topic, self._envelope(topic, kind, data))

    def _envelope(self, topic: str, kind: str, data: object) -> Json:
        """``cs`` grows over all topics, ``ts`` is in microseconds."""
        self._cross_sequence += 1
        frame: Json = {"topic": topic, "type": kind, "data": data}
        return {**frame, "cs": self._cross_sequence, "ts": micros(self._clock.now())}


def _changes(before: Levels, now: Levels) -> Levels:
    changed = {price: quantity for price, quantity in now.items() if before.get(price) != quantity}
    return {**changed, **{price: Decimal(0) for price in before.keys() - now.keys()}}
