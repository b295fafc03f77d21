"""Stream frames of ApeX to facts (apex.md §2, §3). Pure: ``received_at`` is an argument.

Every function either returns or raises ``WireRefused``. The text of a frame that could echo the login is never repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.apex import models
from adapters.apex.parse import FailedFill, Order, fill_of, order_of, rows_of, sides_of
from adapters.apex.signer import ACCOUNT_TOPIC
from adapters.apex.values import (
    Number,
    WireRefused,
    decode,
    integer,
    levels,
    not_negative,
    number,
    positive,
    require,
    scrub,
    time_ms,
    time_ms_or_zero,
)
from core.messages import FillReported
from core.types import Side, Source

_TAKER_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}


class Ping(NamedTuple):
    """The server asks; ``stamp`` goes back."""

    stamp: str


class Pong(NamedTuple):
    """An answer to a ping of ours, in any of its three forms."""


class Ack(NamedTuple):
    """A request was taken."""

    op: str


class Complaint(NamedTuple):
    """A request was refused; ``op`` is empty where the answer does not say which."""

    op: str
    message: str


class BookFrame(NamedTuple):
    """Quantities are absolute base; a delta continues the book only where ``update_id`` is the last one plus 1."""

    is_snapshot: bool
    update_id: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    venue_time_ms: int


class Ticker(NamedTuple):
    """Prices in quote per base, the funding rate of one hour as a fraction; None = not told or not changed."""

    last_price: Decimal | None
    mark_price: Decimal | None
    index_price: Decimal | None
    funding_rate: Decimal | None
    venue_time_ms: int


class Trade(NamedTuple):
    """One trade of the public tape; ``trade_id`` tells doubles apart."""

    trade_id: str
    taker_side: Side
    price: Decimal
    quantity: Decimal
    venue_time_ms: int


class Kline(NamedTuple):
    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    is_closed: bool


class Wallet(NamedTuple):
    token: str
    balance: Decimal


class AccountFrame(NamedTuple):
    """News of one symbol. ``positions`` holds only the sides that the frame names, unsigned; wallets are of the whole account."""

    is_snapshot: bool
    orders: tuple[Order, ...]
    fills: tuple[FillReported | FailedFill, ...]
    positions: dict[Side, Decimal]
    wallets: tuple[Wallet, ...]


Control = Ping | Pong | Ack | Complaint
MarketFact = BookFrame | Ticker | tuple[Trade, ...] | tuple[Kline, ...]


def book_topic(market_symbol: str) -> str:
    return f"orderBook200.H.{market_symbol}"


def ticker_topic(market_symbol: str) -> str:
    return f"instrumentInfo.H.{market_symbol}"


def trades_topic(market_symbol: str) -> str:
    return f"recentlyTrade.H.{market_symbol}"


def kline_topic(market_symbol: str) -> str:
    """One-minute bars."""
    return f"candle.1.{market_symbol}"


def _control(frame: models.Frame) -> Control:
    """An answer, a ping or a pong; whatever else carries no topic is refused."""
    if frame.op == "ping":
        return Ping(scrub(str(frame.args[0]), 40) if frame.args else "")
    if frame.op == "pong" or frame.ret_msg == "pong":
        return Pong()
    if frame.success is None:
        raise WireRefused("neither a topic nor an answer")
    op = frame.request.op if frame.request is not None else ""
    if str(frame.success).lower() == "true":
        return Ack(scrub(op, 20))
    return Complaint(scrub(op, 20), scrub(frame.ret_msg, 120))


def parse_market_frame(frame: bytes, market_symbol: str) -> Control | MarketFact:
    """A frame of the public socket for ``market_symbol``; other topics are refused."""
    envelope = decode(frame, models.Frame)
    if not envelope.topic:
        return _control(envelope)
    at_ms = time_ms_or_zero(envelope.ts, "ts")
    kind, _, symbol = envelope.topic.rpartition(".")
    require(symbol == market_symbol, "a topic of another symbol")
    if kind.startswith("orderBook"):
        return _book(decode(envelope.data, models.Book), envelope.type, market_symbol, at_ms)
    if kind.startswith("instrumentInfo"):
        return _ticker(decode(envelope.data, models.TickerRow), market_symbol, at_ms)
    if kind.startswith("recentlyTrade"):
        return tuple(_trade(row) for row in decode(envelope.data, list[models.TradeRow]))
    if kind.startswith("candle."):
        return tuple(_kline(row) for row in decode(envelope.data, list[models.KlineRow]))
    raise WireRefused("a topic that was not subscribed")


def _book(row: models.Book, kind: str, market_symbol: str, at_ms: int) -> BookFrame:
    require(row.s == market_symbol, "the book of another symbol")
    require(kind in ("snapshot", "delta"), "neither a snapshot nor a delta")
    return BookFrame(kind == "snapshot", integer(row.u, "u"), levels(row.b, "bid"), levels(row.a, "ask"), at_ms)


def _ticker(row: models.TickerRow, market_symbol: str, at_ms: int) -> Ticker:
    require(row.symbol in ("", market_symbol), "the ticker of another symbol")
    return Ticker(
        _told(row.last_price, "lastPrice"),
        _told(row.mark_price, "markPrice"),
        _told(row.index_price, "indexPrice"),
        _told(row.funding_rate, "fundingRate"),
        at_ms,
    )


def _told(value: Number | None, name: str) -> Decimal | None:
    return None if value in (None, "") else number(value or 0, name)


def _trade(row: models.TradeRow) -> Trade:
    require(row.side in _TAKER_SIDES, "the taker's side is not Buy or Sell")
    price, size = positive(row.price, "trade price"), positive(row.size, "trade size")
    return Trade(scrub(row.trade_id, 60), _TAKER_SIDES[row.side], price, size, time_ms(row.time, "T"))


def _kline(row: models.KlineRow) -> Kline:
    prices = [positive(value, "bar price") for value in (row.open, row.high, row.low, row.close)]
    volume = not_negative(row.volume, "bar volume")
    return Kline(time_ms(row.start, "start"), prices[0], prices[1], prices[2], prices[3], volume, row.confirm)


def parse_account_frame(frame: bytes, symbol: str, received_at: float) -> Control | AccountFrame:
    """News of ``symbol`` in one private frame; rows of other symbols are left out unread."""
    envelope = decode(frame, models.Frame)
    if not envelope.topic:
        return _control(envelope)
    require(envelope.topic == ACCOUNT_TOPIC, "a topic that was not subscribed")
    require(envelope.type in ("", "snapshot", "delta"), "neither a snapshot nor a delta")
    contents = decode(envelope.contents, models.Contents)
    return AccountFrame(
        is_snapshot=envelope.type != "delta",
        orders=tuple(_order(row, received_at) for row in rows_of(contents.orders, symbol)),
        fills=tuple(fact for row in rows_of(contents.fills, symbol) if (fact := _fill(row, received_at)) is not None),
        positions=sides_of(rows_of(contents.positions, symbol)),
        wallets=_wallets(contents.contract_wallets or ()),
    )


def _order(row: msgspec.Raw, received_at: float) -> Order:
    return order_of(decode(row, models.OrderRow), Source.WS, received_at)


def _fill(row: msgspec.Raw, received_at: float) -> FillReported | FailedFill | None:
    return fill_of(decode(row, models.FillRow), Source.WS, received_at)


def _wallets(rows: Iterable[msgspec.Raw]) -> tuple[Wallet, ...]:
    """A row that cannot be read is left out: nothing is decided on balances, and it must not cost us the fills beside it."""
    found = []
    for row in rows:
        with suppress(WireRefused):
            wallet = decode(row, models.WalletRow)
            found.append(Wallet(scrub(wallet.token or wallet.asset, 20), number(wallet.balance, "balance")))
    return tuple(found)
