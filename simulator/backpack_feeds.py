"""The timed public frames of the Backpack face: depth, bookTicker and markPrice (backpack.md §2).

Must never hold a subscription: it asks the hub who wants a stream. Timers run only while somebody does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from simulator.backpack_market import DepthFeed, MarketView, TapeRow, trade_frame
from simulator.clock import Clock
from simulator.exchange import BookEvent

_DEPTH = re.compile(r"depth\.(?:(200|600|1000)ms\.)?(.+)")
_PUBLIC = re.compile(r"(?:bookTicker|trade|markPrice|depth(?:\.(?:200|600|1000)ms)?)\.([^.]+)")


class Hub(Protocol):
    """Who listens, and the way to them."""

    def is_wanted(self, stream: str) -> bool: ...

    def publish(self, stream: str, data: Mapping[str, object]) -> None: ...


def public_symbol(stream: str) -> str | None:
    """The symbol a public stream name carries; None for any other name."""
    match = _PUBLIC.fullmatch(stream)
    return match.group(1) if match else None


class PublicFeeds:
    """Turns book and trade events into frames; several changes within ``conflate_s`` share one frame."""

    def __init__(
        self, market: MarketView, clock: Clock, hub: Hub, *, conflate_s: float, heartbeat_s: float, server_s: float
    ) -> None:
        """``server_s``: how much later than the engine's ``T`` the stream server stamps ``E``."""
        self._market = market
        self._clock = clock
        self._hub = hub
        self._conflate_s = conflate_s
        self._heartbeat_s = heartbeat_s
        self._server_s = server_s
        self._depth: dict[str, DepthFeed] = {}
        self._tops: dict[str, object] = {}
        self._changed_at: dict[str, float] = {}
        self._scheduled: set[str] = set()
        self._is_beating = False

    def listen(self, stream: str) -> None:
        """Somebody subscribed: a depth stream starts at the current update id, and the heartbeat starts."""
        match = _DEPTH.fullmatch(stream)
        if match and stream not in self._depth:
            symbol, interval_s = match.group(2), int(match.group(1) or 0) / 1000 or self._conflate_s
            self._depth[stream] = DepthFeed(symbol, interval_s, self._market.update_ids[symbol])
        if not self._is_beating:
            self._is_beating = True
            self._clock.call_later(self._heartbeat_s, self._beat)

    def drop_unwanted(self) -> None:
        """Somebody left: depth feeds without a listener forget their place."""
        self._depth = {stream: feed for stream, feed in self._depth.items() if self._hub.is_wanted(stream)}

    def book_changed(self, event: BookEvent) -> None:
        """A level has a new quantity; the market view has already counted it."""
        self._changed_at[event.symbol] = self._clock.now()
        for stream, feed in self._feeds(event.symbol):
            feed.note(event)
            self._schedule(stream, feed.interval_s, partial(self._send_depth, stream))
        ticker = f"bookTicker.{event.symbol}"
        if self._hub.is_wanted(ticker):
            self._schedule(ticker, self._conflate_s, partial(self._send_ticker, event.symbol))

    def traded(self, row: TapeRow) -> None:
        self._hub.publish(f"trade.{row.event.symbol}", trade_frame(row, row.event.time + self._server_s))

    def inject_gap(self, symbol: str) -> None:
        """The frames up to now are lost: each depth stream's next ``U`` jumps over one id."""
        self._market.update_ids[symbol] += 1
        for _, feed in self._feeds(symbol):
            feed.skip_to(self._market.update_ids[symbol])

    def _feeds(self, symbol: str) -> list[tuple[str, DepthFeed]]:
        return [(stream, feed) for stream, feed in self._depth.items() if feed.symbol == symbol]

    def _schedule(self, name: str, delay_s: float, send: Callable[[], None]) -> None:
        if delay_s <= 0:
            send()
        elif name not in self._scheduled:
            self._scheduled.add(name)
            self._clock.call_later(delay_s, lambda: self._run(name, send))

    def _run(self, name: str, send: Callable[[], None]) -> None:
        self._scheduled.discard(name)
        send()

    def _send_depth(self, stream: str) -> None:
        feed = self._depth.get(stream)
        if feed is None:
            return
        time = self._changed_at.get(feed.symbol, self._clock.now())
        frame = feed.take_frame(self._market.update_ids[feed.symbol], time, self._clock.now() + self._server_s)
        if frame is not None:
            self._hub.publish(stream, frame)

    def _send_ticker(self, symbol: str) -> None:
        top = self._market.top(symbol)
        if top == self._tops.get(symbol):
            return
        self._tops[symbol] = top
        time = self._changed_at[symbol]
        self._hub.publish(
            f"bookTicker.{symbol}", self._market.book_ticker_frame(symbol, time, self._clock.now() + self._server_s)
        )

    def _beat(self) -> None:
        """Once a heartbeat: mark prices, and one depth frame without levels (the id moved, no level did)."""
        self._is_beating = False
        for symbol in self._market.instruments:
            self._send_mark(symbol)
            self._send_empty_depth(symbol)
        if any(self._hub.is_wanted(stream) for stream in self._beating_streams()):
            self._is_beating = True
            self._clock.call_later(self._heartbeat_s, self._beat)

    def _beating_streams(self) -> list[str]:
        return [*self._depth, *(f"markPrice.{symbol}" for symbol in self._market.instruments)]

    def _send_mark(self, symbol: str) -> None:
        now = self._clock.now()
        frame = self._market.mark_price_frame(symbol, now, now + self._server_s)
        if frame is not None:
            self._hub.publish(f"markPrice.{symbol}", frame)

    def _send_empty_depth(self, symbol: str) -> None:
        feeds = self._feeds(symbol)
        if not feeds:
            return
        self._send_depth(f"depth.{symbol}")
        self._market.update_ids[symbol] += 1
        self._changed_at[symbol] = self._clock.now()
        self._send_depth(f"depth.{symbol}")
        for stream, feed in feeds:
            self._schedule(stream, feed.interval_s, partial(self._send_depth, stream))
