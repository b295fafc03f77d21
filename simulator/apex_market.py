"""The public side of the ApeX face: last and mark prices, tape, candles, and their REST forms (apex.md §1.3, §2).

Must never send a frame or read a clock: it keeps what the streams and the REST handlers tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator.apex_contracts import by_market_name, market_name
from simulator.apex_wire import Json, match_id, millis, number
from simulator.exchange import Exchange, TradeEvent

TAPE_LENGTH = 500
CANDLES_KEPT = 3000
MINUTE_S = 60
INTERVALS: Mapping[str, int] = {
    **{str(minutes): minutes for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 1440,
    "W": 10_080,
}
"""Name of each kline interval to its minutes; the venue's month is not offered."""
FUNDING_RATE = "0.0000125"


@dataclass
class Candle:
    """``start``: epoch seconds of its first minute."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal

    def merged(self, later: Candle) -> Candle:
        high, low = max(self.high, later.high), min(self.low, later.low)
        volume, turnover = self.volume + later.volume, self.turnover + later.turnover
        return Candle(self.start, self.open, high, low, later.close, volume, turnover)


class TapeRow(dict[str, object]):
    """One public trade in the venue's form: time, symbol, taker side, size, price, tick direction, uuid."""


class MarketView:
    """Public state of every symbol, by its trading name; fed with the exchange's trade events."""

    def __init__(self, exchange: Exchange, instruments: Mapping[str, Instrument]) -> None:
        self._exchange = exchange
        self.instruments = instruments
        self.symbols = by_market_name(instruments)
        """Dashless name to trading name."""
        self._last: dict[str, Decimal] = {}
        self._marks: dict[str, Decimal] = {}
        self._tapes: dict[str, deque[TapeRow]] = {symbol: deque(maxlen=TAPE_LENGTH) for symbol in instruments}
        self._candles: dict[str, deque[Candle]] = {symbol: deque(maxlen=CANDLES_KEPT) for symbol in instruments}
        self._trades = 0

    def record_trade(self, event: TradeEvent) -> TapeRow:
        previous = self._last.get(event.symbol, event.price)
        self._last[event.symbol] = event.price
        self._trades += 1
        row = TapeRow(
            T=millis(event.time),
            s=market_name(self.instruments[event.symbol]),
            S="Buy" if event.taker_side is Side.BUY else "Sell",
            v=number(event.quantity),
            p=number(event.price),
            L="MinusTick" if event.price < previous else "PlusTick",
            i=match_id(10**9 + self._trades),
        )
        self._tapes[event.symbol].append(row)
        self._record_candle(event)
        return row

    def last(self, symbol: str) -> Decimal | None:
        """Price of the last trade, before the first one the mark."""
        return self._last.get(symbol, self.mark(symbol))

    def mark(self, symbol: str) -> Decimal | None:
        """Mid of the book, else the last mid there was, else the last trade."""
        bid, ask = self.top(symbol)
        if bid is not None and ask is not None:
            self._marks[symbol] = (bid + ask) / 2
        return self._marks.get(symbol, self._last.get(symbol))

    def marks(self) -> dict[str, Decimal]:
        """By symbol, those that are known."""
        found = ((symbol, self.mark(symbol)) for symbol in self.instruments)
        return {symbol: mark for symbol, mark in found if mark is not None}

    def top(self, symbol: str) -> tuple[Decimal | None, Decimal | None]:
        """Best bid and ask, None for an empty side."""
        return self._exchange.best(symbol, Side.BUY), self._exchange.best(symbol, Side.SELL)

    def levels(self, symbol: str, depth: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Bids and asks as (price, total), both ascending: the best bid is the last (apex.md §2)."""
        bids, asks = self._exchange.book(symbol, depth)
        return bids[::-1], asks

    def depth_data(self, symbol: str, limit: int, update_id: int) -> Json:
        """``GET /v3/depth``."""
        bids, asks = self.levels(symbol, limit)
        return {
            "a": [[number(price), number(size)] for price, size in asks],
            "b": [[number(price), number(size)] for price, size in bids],
            "s": market_name(self.instruments[symbol]),
            "u": update_id,
        }

    def ticker(self, symbol: str, now: float) -> dict[str, str]:
        """Every field of a ticker, without the symbol; as both the REST row and the stream carry it."""
        rows = [row for row in self._candles[symbol] if row.start > now - 86_400]
        mark, last = self.mark(symbol) or ZERO, self.last(symbol) or ZERO
        first = rows[0].open if rows else last
        return {
            "fundingRate": FUNDING_RATE,
            "highPrice24h": number(max((row.high for row in rows), default=last)),
            "indexPrice": number(mark),
            "lastPrice": number(last),
            "lowPrice24h": number(min((row.low for row in rows), default=last)),
            "nextFundingTime": _next_hour(now),
            "openInterest": "1577.444",
            "oraclePrice": "",
            "markPrice": number(mark),
            "predictedFundingRate": FUNDING_RATE,
            "price24hPcnt": number(round((last - first) / first, 6) if first else ZERO),
            "tradeCount": "",
            "turnover24h": number(sum((row.turnover for row in rows), ZERO)),
            "volume24h": number(sum((row.volume for row in rows), ZERO)),
        }

    def tape(self, symbol: str, limit: int) -> list[TapeRow]:
        """Newest first."""
        return list(reversed(self._tapes[symbol]))[:limit]

    def candles(self, symbol: str, minutes: int) -> list[Candle]:
        """Of that many minutes each, oldest first; minutes without a trade are in none."""
        span, found = minutes * MINUTE_S, list[Candle]()
        for row in self._candles[symbol]:
            start = row.start // span * span
            if found and found[-1].start == start:
                found[-1] = found[-1].merged(row)
            else:
                found.append(Candle(start, row.open, row.high, row.low, row.close, row.volume, row.turnover))
        return found

    def _record_candle(self, event: TradeEvent) -> None:
        start = int(event.time) // MINUTE_S * MINUTE_S
        price, size = event.price, event.quantity
        row = Candle(start, price, price, price, price, size, price * size)
        rows = self._candles[event.symbol]
        if rows and rows[-1].start == start:
            rows[-1] = rows[-1].merged(row)
        else:
            rows.append(row)


def kline_row(candle: Candle, interval: str, name: str) -> Json:
    """One row of ``GET /v3/klines``."""
    return {
        "s": name,
        "i": interval,
        "t": candle.start * 1000,
        "o": number(candle.open),
        "h": number(candle.high),
        "l": number(candle.low),
        "c": number(candle.close),
        "v": number(candle.volume),
        "tr": number(candle.turnover),
    }


def candle_data(candle: Candle, interval: str, minutes: int, now: float) -> Json:
    """One row of a ``candle`` frame (ws_docs_examples.jsonl)."""
    end = candle.start + minutes * MINUTE_S
    return {
        "start": candle.start * 1000,
        "end": end * 1000 - 1,
        "interval": interval,
        "open": number(candle.open),
        "close": number(candle.close),
        "high": number(candle.high),
        "low": number(candle.low),
        "volume": number(candle.volume),
        "turnover": number(candle.turnover),
        "confirm": now >= end,
        "time": millis(now),
    }


def _next_hour(now: float) -> str:
    return datetime.fromtimestamp((int(now) // 3600 + 1) * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
