"""Stream frames of Backpack to messages and book deltas (backpack.md §2, §3). Pure: ``received_at`` is an argument.

Every function either returns or raises ``WireRefused``. A fill without a trade id, a price or a fee is refused, never completed by guess.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from adapters.backpack import models
from adapters.backpack.parse import order_report, position_report
from adapters.backpack.values import (
    VENUE,
    WireRefused,
    client_order_id,
    decode,
    engine_time_ms,
    finite,
    integer,
    levels,
    positive,
    require,
    scrub,
    side_of,
    venue_order_id,
)
from core.messages import AccountEvent, FillReported, OrderReported
from core.types import Liquidity, Source, TradeId


class Complaint(NamedTuple):
    """An error frame; there is no acknowledgement of a SUBSCRIBE, only this (backpack.md §2)."""

    code: str
    message: str


class Touch(NamedTuple):
    """A bookTicker frame: how far the book has come by now, in the update ids of the depth, and nothing else."""

    symbol: str
    last_id: int


class DepthDelta(NamedTuple):
    """One depth frame. Quantities are absolute base; ``first_id``..``last_id`` are the update ids it covers."""

    symbol: str
    first_id: int
    last_id: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    venue_time_ms: int


def _open(frame: bytes) -> models.Envelope | Complaint:
    envelope = decode(frame, models.Envelope)
    match envelope.error:
        case models.StreamError(code=code, message=message):
            return Complaint(scrub(str(code), 20), scrub(message))
        case str() as message:
            return Complaint("", scrub(message))
    if not envelope.stream or not bytes(envelope.data):
        raise WireRefused("no stream envelope")
    return envelope


def parse_market_frame(frame: bytes, symbol: str) -> DepthDelta | Touch | Complaint:
    """A frame of the public socket subscribed for ``symbol``; other streams and symbols are refused."""
    envelope = _open(frame)
    if isinstance(envelope, Complaint):
        return envelope
    if envelope.stream == f"depth.{symbol}":
        return _depth_delta(decode(envelope.data, models.DepthFrame), symbol)
    if envelope.stream == f"bookTicker.{symbol}":
        ticker = decode(envelope.data, models.TickerFrame)
        require(ticker.event == "bookTicker" and ticker.symbol == symbol, "not a bookTicker of this symbol")
        return Touch(symbol, integer(ticker.last_id, "u"))
    raise WireRefused("a stream that was not subscribed")


def _depth_delta(frame: models.DepthFrame, symbol: str) -> DepthDelta:
    require(frame.event == "depth" and frame.symbol == symbol, "not a depth frame of this symbol")
    first_id, last_id = integer(frame.first_id, "U"), integer(frame.last_id, "u")
    require(first_id <= last_id, "U is above u")
    bids, asks = levels(frame.bids, "bid"), levels(frame.asks, "ask")
    return DepthDelta(symbol, first_id, last_id, bids, asks, engine_time_ms(frame.engine_time_us))


def parse_account_frame(frame: bytes, symbol: str, received_at: float) -> tuple[AccountEvent, ...] | Complaint:
    """Facts of one private frame of ``symbol``; an ``orderFill`` is a fill and, after it, the order's new cumulative state."""
    envelope = _open(frame)
    if isinstance(envelope, Complaint):
        return envelope
    if _is_stream(envelope.stream, "account.orderUpdate", symbol):
        order = decode(envelope.data, models.OrderFrame)
        require(order.symbol == symbol, "an order of another symbol")
        report = _order_of_frame(order, received_at)
        return (_fill_of_frame(order, received_at), report) if order.event == "orderFill" else (report,)
    if _is_stream(envelope.stream, "account.positionUpdate", symbol):
        position = decode(envelope.data, models.PositionFrame)
        require(position.symbol == symbol, "a position of another symbol")
        return (position_report(symbol, finite(position.quantity, "position"), Source.WS, received_at),)
    raise WireRefused("a stream that was not subscribed")


def _is_stream(name: str, topic: str, symbol: str) -> bool:
    """Captured frames name the stream with and without the symbol (backpack.md §3)."""
    return name in (topic, f"{topic}.{symbol}")


def _order_of_frame(frame: models.OrderFrame, received_at: float) -> OrderReported:
    engine_time_ms(frame.engine_time_us)
    return order_report(
        symbol=frame.symbol,
        order_id=frame.order_id,
        client_id=frame.client_id,
        side=frame.side,
        word=frame.state,
        filled=frame.filled,
        quantity=frame.quantity,
        price=frame.price,
        expiry_reason=frame.expiry_reason,
        source=Source.WS,
        received_at=received_at,
    )


def _fill_of_frame(frame: models.OrderFrame, received_at: float) -> FillReported:
    if frame.trade_id is None or frame.fill_quantity is None or frame.fill_price is None:
        raise WireRefused("orderFill without trade id, quantity or price")
    if frame.fee is None or not frame.fee_symbol or frame.is_maker is None:
        raise WireRefused("orderFill without fee or maker flag")
    quantity = positive(frame.fill_quantity, "fill quantity")
    require(quantity <= frame.filled, "fill is larger than the order's cumulative quantity")
    return FillReported(
        venue=VENUE,
        symbol=frame.symbol,
        trade_id=TradeId(str(integer(frame.trade_id, "trade id"))),
        client_order_id=client_order_id(frame.client_id),
        venue_order_id=venue_order_id(frame.order_id),
        side=side_of(frame.side),
        price=positive(frame.fill_price, "fill price"),
        quantity=quantity,
        fee=finite(frame.fee, "fee"),
        fee_currency=scrub(frame.fee_symbol, 20),
        liquidity=Liquidity.MAKER if frame.is_maker else Liquidity.TAKER,
        venue_time_ms=engine_time_ms(frame.engine_time_us),
        source=Source.WS,
        received_at=received_at,
    )
