"""The public side of the Backpack face: update ids, mark prices, tape, REST books and depth frames (backpack.md §2, §7).

Must never send a frame or read a clock: it keeps what the streams and the REST handlers tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator.backpack_wire import FUNDING_INTERVAL_MS, micros, millis, number
from simulator.exchange import BookEvent, Exchange, TradeEvent

FIRST_UPDATE_ID = 6_932_035_996
TAPE_LENGTH = 1000
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
FUNDING_RATE = "0.0000125"


class TapeRow(NamedTuple):
    """One public trade with the venue's running number."""

    trade_id: int
    event: TradeEvent


class DepthFeed:
    """One depth stream: the changed levels since its last frame, and the update id that frame ended with.

    All feeds of a symbol and its REST book share one counter, so ``U`` is always the last ``u`` plus one
    unless a gap was injected.
    """

    def __init__(self, symbol: str, interval_s: float, update_id: int) -> None:
        self.symbol = symbol
        self.interval_s = interval_s
        self._last_sent = update_id
        self._changes: dict[Side, dict[Decimal, Decimal]] = {Side.BUY: {}, Side.SELL: {}}

    def note(self, event: BookEvent) -> None:
        """Remembers a level's new quantity; a later change of the same level replaces it."""
        self._changes[event.side][event.price] = event.quantity

    def skip_to(self, update_id: int) -> None:
        """Loses everything up to ``update_id``: the next frame starts behind a gap."""
        self._last_sent = update_id
        for levels in self._changes.values():
            levels.clear()

    def take_frame(self, update_id: int, time: float, sent_at: float) -> dict[str, object] | None:
        """The frame up to ``update_id``, with empty arrays where no level changed; None where the id has not moved."""
        if update_id == self._last_sent:
            return None
        bids, asks = (
            [[number(price), number(quantity)] for price, quantity in sorted(self._changes[side].items())]
            for side in (Side.BUY, Side.SELL)
        )
        frame = {"E": micros(sent_at), "T": micros(time), "U": self._last_sent + 1, "a": asks, "b": bids}
        self.skip_to(update_id)
        return {**frame, "e": "depth", "s": self.symbol, "u": update_id}


class MarketView:
    """Public state of every symbol; fed with each of the exchange's book and trade events."""

    def __init__(self, exchange: Exchange, instruments: Mapping[str, Instrument]) -> None:
        self._exchange = exchange
        self.instruments = instruments
        self.update_ids = dict.fromkeys(instruments, FIRST_UPDATE_ID)
        self._marks: dict[str, Decimal] = {}
        self._tapes: dict[str, deque[TapeRow]] = {symbol: deque(maxlen=TAPE_LENGTH) for symbol in instruments}
        self._next_trade_id = 99_419_870

    def record_book(self, event: BookEvent) -> None:
        self.update_ids[event.symbol] += 1

    def record_trade(self, event: TradeEvent) -> TapeRow:
        row = TapeRow(self._next_trade_id, event)
        self._next_trade_id += 1
        self._tapes[event.symbol].append(row)
        return row

    def top(self, symbol: str) -> tuple[tuple[Decimal, Decimal] | None, tuple[Decimal, Decimal] | None]:
        """Best bid and best ask as (price, quantity), None for an empty side."""
        bids, asks = self._exchange.book(symbol, 1)
        return (bids[0] if bids else None), (asks[0] if asks else None)

    def mark(self, symbol: str) -> Decimal | None:
        """Mid of the book, else the last mark, else the last trade; None before any of them."""
        bid, ask = self.top(symbol)
        if bid and ask:
            self._marks[symbol] = (bid[0] + ask[0]) / 2
        if symbol not in self._marks and self._tapes[symbol]:
            return self._tapes[symbol][-1].event.price
        return self._marks.get(symbol)

    def depth_reply(self, symbol: str, limit: int, now: float) -> dict[str, object]:
        """``GET /api/v1/depth``: both sides ascending, so the best bid comes last (backpack.md §7)."""
        bids, asks = self._exchange.book(symbol, limit)
        return {
            "asks": [[number(price), number(quantity)] for price, quantity in asks],
            "bids": [[number(price), number(quantity)] for price, quantity in reversed(bids)],
            "lastUpdateId": str(self.update_ids[symbol]),
            "timestamp": micros(now),
        }

    def ticker_reply(self, symbol: str) -> dict[str, object]:
        """``GET /api/v1/ticker`` over the kept tape; a market that never traded shows its mark."""
        trades = [row.event for row in self._tapes[symbol]]
        prices = [trade.price for trade in trades] or [self.mark(symbol) or ZERO]
        change = prices[-1] - prices[0]
        return {
            "firstPrice": number(prices[0]),
            "high": number(max(prices)),
            "lastPrice": number(prices[-1]),
            "low": number(min(prices)),
            "priceChange": number(change),
            "priceChangePercent": number(round(change / prices[0], 6) if prices[0] else ZERO),
            "quoteVolume": number(sum((trade.price * trade.quantity for trade in trades), ZERO)),
            "symbol": symbol,
            "trades": str(len(trades)),
            "volume": number(sum((trade.quantity for trade in trades), ZERO)),
        }

    def trades_reply(self, symbol: str, limit: int) -> list[dict[str, object]]:
        """``GET /api/v1/trades``, newest first."""
        newest = list(reversed(self._tapes[symbol]))[:limit]
        return [
            {
                "id": row.trade_id,
                "isBuyerMaker": row.event.taker_side is Side.SELL,
                "price": number(row.event.price),
                "quantity": number(row.event.quantity),
                "quoteQuantity": number(row.event.price * row.event.quantity),
                "timestamp": millis(row.event.time),
            }
            for row in newest
        ]

    def mark_price_reply(self, symbol: str, now: float) -> dict[str, object]:
        """One row of ``GET /api/v1/markPrices``."""
        mark = number(self.mark(symbol) or ZERO)
        return {
            "fundingRate": FUNDING_RATE,
            "indexPrice": mark,
            "markPrice": mark,
            "nextFundingTimestamp": next_funding_ms(now),
            "symbol": symbol,
        }

    def mark_price_frame(self, symbol: str, time: float, sent_at: float) -> dict[str, object] | None:
        """The ``markPrice`` payload; None while no price is known."""
        mark = self.mark(symbol)
        if mark is None:
            return None
        text = number(mark)
        stamps = {"E": micros(sent_at), "T": micros(time), "e": "markPrice", "f": FUNDING_RATE}
        return {**stamps, "i": text, "n": next_funding_ms(time), "p": text, "s": symbol}

    def book_ticker_frame(self, symbol: str, time: float, sent_at: float) -> dict[str, object]:
        """The ``bookTicker`` payload with a pair of nulls for an empty side; ``u`` is the depth counter."""
        bid, ask = self.top(symbol)
        return {
            "A": number(ask[1]) if ask else None,
            "B": number(bid[1]) if bid else None,
            "E": micros(sent_at),
            "T": micros(time),
            "a": number(ask[0]) if ask else None,
            "b": number(bid[0]) if bid else None,
            "e": "bookTicker",
            "s": symbol,
            "u": self.update_ids[symbol],
        }


def trade_frame(row: TapeRow, sent_at: float) -> dict[str, object]:
    """The ``trade`` payload; ``m`` true where the buyer was the maker. The order ids are stand-ins: the tape names no order."""
    event = row.event
    is_buyer_maker = event.taker_side is Side.SELL
    return {
        "E": micros(sent_at),
        "T": micros(event.time),
        "a": str(66_605_319_496 + 2 * row.trade_id),
        "b": str(66_605_319_497 + 2 * row.trade_id),
        "e": "trade",
        "m": is_buyer_maker,
        "p": number(event.price),
        "q": number(event.quantity),
        "s": event.symbol,
        "t": row.trade_id,
    }


def next_funding_ms(now: float) -> int:
    """The next full hour, milliseconds."""
    return (millis(now) // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
