"""GRVT's market data: the routes, and the feeds of books, mini tickers and trades at the rate each was asked for.

Reads the exchange and never changes it. A feed that shows changes says nothing while nothing changed; several changes
within one period leave as one frame (grvt.md §2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator import grvt_wire as wire
from simulator.clock import Clock
from simulator.exchange import BookEvent, Event, Exchange, TradeEvent
from simulator.grvt_streams import DEPTHS, Hub, Outlet, Selector
from simulator.grvt_wire import GrvtError, Json

Levels = dict[tuple[str, Decimal], Decimal]
_NANO = Decimal("0.000000001")


@dataclass
class Feed:
    """What the subscribers of one selector were last shown; shared by them all."""

    selector: Selector
    fields: dict[str, str] = field(default_factory=dict)
    levels: Levels = field(default_factory=dict)
    is_scheduled: bool = False


class MarketData:
    """Routes and feeds of one exchange; instrument status can be set by hand (grvt.md §5)."""

    def __init__(self, exchange: Exchange, clock: Clock, hub: Hub) -> None:
        self._exchange = exchange
        self._clock = clock
        self._hub = hub
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._trades: dict[str, deque[Json]] = {}
        self._volume: dict[tuple[str, Side], tuple[Decimal, Decimal]] = {}
        self._trade_count = 0
        self.status: dict[str, str] = {}
        self.routes: Mapping[str, Callable[[Json], Json]] = {
            "instrument": self._instrument,
            "instruments": self._instruments,
            "all_instruments": self._instruments,
            "mini": lambda params: {"result": self.mini(self._contract(params, 1004).symbol)},
            "ticker": self._ticker,
            "book": self._book,
            "trade": self._trade,
        }
        exchange.subscribe(self._on_event)

    def mark(self, symbol: str) -> Decimal | None:
        """Mid of the book, else the last trade; quote per base, nine decimals."""
        bids, asks = self._exchange.book(symbol, 1)
        if bids and asks:
            return ((bids[0][0] + asks[0][0]) / 2).quantize(_NANO)
        return self.last(symbol)

    def last(self, symbol: str) -> Decimal | None:
        """Price of the last trade."""
        trades = self._trades.get(symbol)
        return Decimal(trades[-1]["price"]) if trades else None

    def mini(self, symbol: str) -> Json:
        """MiniTicker in full; an absent side is "", GRVT's null (grvt.md §2)."""
        bids, asks = self._exchange.book(symbol, 1)
        bid, bid_size = bids[0] if bids else (None, None)
        ask, ask_size = asks[0] if asks else (None, None)
        last = self._trades[symbol][-1] if self._trades.get(symbol) else {"price": "", "size": ""}
        mark = self.mark(symbol)
        return {
            "event_time": wire.nanoseconds(self._clock.now()),
            "instrument": symbol,
            "mark_price": _optional(mark),
            "index_price": _optional(mark),
            "last_price": last["price"],
            "last_size": last["size"],
            "mid_price": _optional(None if bid is None or ask is None else (bid + ask) / 2),
            "best_bid_price": _optional(bid),
            "best_bid_size": _optional(bid_size),
            "best_ask_price": _optional(ask),
            "best_ask_size": _optional(ask_size),
        }

    def subscribe(self, selector: Selector, outlet: Outlet) -> list[Json]:
        """Attaches the client; returns the snapshots it must be sent."""
        is_new = not self._hub.is_wanted(selector.key)
        self._hub.attach(selector.key, outlet)
        snapshots = self._snapshots(selector, is_new=is_new)
        if selector.stream.endswith(".s") and is_new:
            self._schedule(self._feeds[selector.key])
        return snapshots

    def _snapshots(self, selector: Selector, *, is_new: bool) -> list[Json]:
        if selector.stream == "v1.trade":
            return list(self._trades.get(selector.symbol, ()))[-selector.rate :]
        feed = self._feeds.setdefault(selector.key, Feed(selector))
        if is_new:
            feed.fields, feed.levels = self._fields(selector), self._levels(selector)
        if selector.stream.startswith("v1.book"):
            return [self._book_feed(selector, feed.levels)]
        return [self._mini_feed(selector, feed.fields)]

    def _on_event(self, event: Event) -> None:
        match event:
            case BookEvent(symbol=symbol):
                self._touch(symbol)
            case TradeEvent():
                self._on_trade(event)
                self._touch(event.symbol)
            case _:
                pass

    def _touch(self, symbol: str) -> None:
        for feed in self._feeds.values():
            selector = feed.selector
            if selector.symbol != symbol or not selector.stream.endswith(".d") or not self._hub.is_wanted(selector.key):
                continue
            if selector.rate == 0:
                self._publish(feed)
            else:
                self._schedule(feed)

    def _schedule(self, feed: Feed) -> None:
        """Wakes the feed at the next multiple of its rate, as the live book frames' times show."""
        if feed.is_scheduled:
            return
        feed.is_scheduled = True
        now_ms = self._clock.now() * 1000
        self._clock.call_later((feed.selector.rate - now_ms % feed.selector.rate) / 1000, partial(self._wake, feed))

    def _wake(self, feed: Feed) -> None:
        feed.is_scheduled = False
        if not self._hub.is_wanted(feed.selector.key):
            return
        self._publish(feed)
        if feed.selector.stream.endswith(".s"):
            self._schedule(feed)

    def _publish(self, feed: Feed) -> None:
        selector = feed.selector
        is_delta = selector.stream.endswith(".d")
        fields, levels = self._fields(selector), self._levels(selector)
        new_fields = {k: v for k, v in fields.items() if not is_delta or feed.fields.get(k) != v}
        new_levels = _changes(feed.levels, levels) if is_delta else levels
        feed.fields, feed.levels = fields, levels
        if selector.stream.startswith("v1.book"):
            if new_levels or not is_delta:
                self._hub.publish(selector.key, self._book_feed(selector, new_levels))
        elif new_fields:
            self._hub.publish(selector.key, self._mini_feed(selector, new_fields))

    def _fields(self, selector: Selector) -> dict[str, str]:
        if selector.stream.startswith("v1.book"):
            return {}
        wanted = "best_" if selector.rate == 0 else ""
        mini = self.mini(selector.symbol)
        return {k: v for k, v in mini.items() if k.startswith(wanted) and k not in ("event_time", "instrument")}

    def _levels(self, selector: Selector) -> Levels:
        if not selector.stream.startswith("v1.book"):
            return {}
        bids, asks = self._exchange.book(selector.symbol, selector.depth)
        return {("bids", price): size for price, size in bids} | {("asks", price): size for price, size in asks}

    def _mini_feed(self, selector: Selector, fields: Mapping[str, str]) -> Json:
        return {"event_time": wire.nanoseconds(self._clock.now()), "instrument": selector.symbol, **fields}

    def _book_feed(self, selector: Selector, levels: Levels) -> Json:
        return _book_body(selector.symbol, levels, self._clock.now())

    def _on_trade(self, event: TradeEvent) -> None:
        self._trade_count += 1
        mark = _optional(self.mark(event.symbol))
        trade = {
            "event_time": wire.nanoseconds(event.time),
            "instrument": event.symbol,
            "is_taker_buyer": event.taker_side is Side.BUY,
            "size": wire.number(event.quantity),
            "price": wire.number(event.price),
            "mark_price": mark,
            "index_price": mark,
            "interest_rate": "0.0",
            "forward_price": "0.0",
            "trade_id": f"{self._trade_count}-1",
            "venue": "ORDERBOOK",
            "is_rpi": False,
        }
        self._trades.setdefault(event.symbol, deque(maxlen=1000)).append(trade)
        base, quote = self._volume.get((event.symbol, event.taker_side), (ZERO, ZERO))
        self._volume[event.symbol, event.taker_side] = (base + event.quantity, quote + event.quantity * event.price)
        for limit in (50, 200, 500, 1000):
            self._hub.publish(("v1.trade", f"{event.symbol}@{limit}"), trade)

    def _contract(self, params: Json, code: int) -> Instrument:
        contract = self._exchange.instruments.get(str(params.get("instrument")))
        if contract is None:
            raise GrvtError(code)
        return contract

    def _instrument(self, params: Json) -> Json:
        return {"result": self._display(self._contract(params, 1003))}

    def _instruments(self, params: Json) -> Json:
        chosen = [self._display(c) for c in self._exchange.instruments.values() if wire.selects(params, c)]
        is_active_only = wire.bool_of(params.get("is_active"))
        chosen = [c for c in chosen if not is_active_only or c["status"] in ("ACTIVE", "REDUCE_ONLY")]
        return {"result": chosen[: wire.uint_of(params.get("limit")) or 500]}

    def _display(self, contract: Instrument) -> Json:
        return wire.instrument(contract, self.status.get(contract.symbol, "ACTIVE"))

    def _book(self, params: Json) -> Json:
        symbol, depth = self._contract(params, 3000).symbol, wire.uint_of(params.get("depth"))
        if depth not in DEPTHS:
            raise GrvtError(3031)
        selector = Selector("v1.book.s", "", symbol, symbol, 0, depth)
        return {"result": self._book_feed(selector, self._levels(selector))}

    def _trade(self, params: Json) -> Json:
        symbol, limit = self._contract(params, 1003).symbol, wire.uint_of(params.get("limit")) or 500
        return {"result": list(self._trades.get(symbol, ()))[-limit:][::-1]}

    def _ticker(self, params: Json) -> Json:
        symbol = self._contract(params, 1004).symbol
        prices = [Decimal(t["price"]) for t in self._trades.get(symbol, ())]
        bought, sold = (self._volume.get((symbol, side), (ZERO, ZERO)) for side in (Side.BUY, Side.SELL))
        statistics = {
            "funding_rate_8h_curr": "0.01",
            "funding_rate_8h_avg": "0.01",
            "interest_rate": "0.0",
            "forward_price": "0.0",
            "buy_volume_24h_b": wire.number(bought[0]),
            "sell_volume_24h_b": wire.number(sold[0]),
            "buy_volume_24h_q": wire.number(bought[1]),
            "sell_volume_24h_q": wire.number(sold[1]),
            "high_price": _optional(max(prices, default=None)),
            "low_price": _optional(min(prices, default=None)),
            "open_price": _optional(prices[0] if prices else None),
            "open_interest": "0.0",
            "long_short_ratio": "1.0",
            "funding_rate": "0.01",
            "funding_interval_hours": 8,
            "next_funding_time": str((int(self._clock.now()) // 28800 + 1) * 28800 * 10**9),
        }
        return {"result": self.mini(symbol) | statistics}


def _changes(before: Levels, after: Levels) -> Levels:
    changed = {key: size for key, size in after.items() if before.get(key) != size}
    return changed | {key: ZERO for key in before if key not in after}


def _book_body(symbol: str, levels: Levels, now: float) -> Json:
    """OrderbookLevels, bids from the best down and asks from the best up; a removed level has size "0" (grvt.md §2)."""

    def side(name: str) -> list[Json]:
        own = [(price, size) for (of, price), size in levels.items() if of == name]
        own.sort(reverse=name == "bids")
        return [
            {"price": wire.number(price), "size": wire.number(size) if size else "0", "num_orders": 1 if size else 0}
            for price, size in own
        ]

    return {"event_time": wire.nanoseconds(now), "instrument": symbol, "bids": side("bids"), "asks": side("asks")}


def _optional(value: Decimal | None) -> str:
    return "" if value is None else wire.number(value)
