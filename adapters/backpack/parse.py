"""REST bodies of Backpack to messages and plain values; ``frames`` does the streams. Pure: ``received_at`` is an argument.

Every function either returns or raises ``WireRefused``. Nothing is guessed: a fill without a price or a fee is refused, an order state
that is not known becomes UNKNOWN with the venue's word as the reason, and cumulative quantities are reported, never turned into fills.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.backpack import models
from adapters.backpack.values import (
    VENUE,
    WireRefused,
    client_order_id,
    decode,
    finite,
    integer,
    levels,
    not_negative,
    positive,
    positive_or_none,
    require,
    scrub,
    side_of,
    side_or_none,
    symbol_text,
    time_ms,
    venue_order_id,
)
from adapters.transport.decoding import decoder_of
from core.book import Book
from core.instrument import Instrument
from core.messages import BookUpdated, FillReported, OrderReported, PositionReported
from core.types import BPS, Fees, Liquidity, OrderState, Source, TradeId

BOOK_DEPTH = 20
_MAX_FEE_BPS = 100

_STATES = {
    "New": OrderState.ACCEPTED,
    "PartiallyFilled": OrderState.PARTIALLY_FILLED,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "Expired": OrderState.EXPIRED,
    "TriggerPending": OrderState.ACCEPTED,
    "TriggerFailed": OrderState.EXPIRED,
}
"""The venue's words (backpack.md §3). A pending trigger order is alive at the venue; a failed one is over."""


class DepthSnapshot(NamedTuple):
    """The REST book; both sides in any order."""

    last_id: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    venue_time_ms: int


class Market(NamedTuple):
    """A row of /api/v1/markets before its filters are read."""

    symbol: str
    base: str
    quote: str
    market_type: str
    book_state: str
    is_visible: bool
    filters: bytes


class AccountSummary(NamedTuple):
    fees: Fees
    is_liquidating: bool
    limit_orders: int
    trigger_orders: int


def order_report(
    *,
    symbol: str,
    order_id: int | str,
    client_id: int | str | None,
    side: str,
    word: str,
    filled: Decimal,
    quantity: Decimal | None,
    price: Decimal | None,
    expiry_reason: str | None,
    source: Source,
    received_at: float,
) -> OrderReported:
    """What a frame or a body says of one order, judged; raises WireRefused for numbers no order can have."""
    size = positive_or_none(quantity, "quantity")
    state, reason = _judge_state(word, not_negative(filled, "filled quantity"), size, expiry_reason)
    return OrderReported(
        venue=VENUE,
        symbol=symbol_text(symbol),
        client_order_id=client_order_id(client_id),
        venue_order_id=venue_order_id(order_id),
        state=state,
        filled_quantity=filled,
        source=source,
        received_at=received_at,
        side=side_or_none(side),
        price=positive_or_none(price, "price"),
        quantity=size,
        reason=reason,
    )


def _judge_state(word: str, filled: Decimal, size: Decimal | None, expiry_reason: str | None) -> tuple[OrderState, str]:
    """The state and its reason. A word that contradicts the quantities is not believed: the order must be asked for."""
    state = _STATES.get(word)
    if state is None:
        return OrderState.UNKNOWN, scrub(word, 60)
    if state is OrderState.FILLED and size is not None and filled < size:
        return OrderState.UNKNOWN, f"Filled with {filled} of {size}"
    if state is OrderState.ACCEPTED and filled > 0:
        return OrderState.PARTIALLY_FILLED, ""
    if expiry_reason:
        return state, scrub(expiry_reason, 60)
    return state, word if word == "TriggerFailed" else ""


def position_report(symbol: str, quantity: Decimal, source: Source, received_at: float) -> PositionReported:
    return PositionReported(venue=VENUE, symbol=symbol, quantity=quantity, source=source, received_at=received_at)


# ---- REST bodies -----------------------------------------------------------------------------------------------------------------


def _order_of_body(body: models.OrderBody, received_at: float) -> OrderReported:
    return order_report(
        symbol=body.symbol,
        order_id=body.order_id,
        client_id=body.client_id,
        side=body.side,
        word=body.status,
        filled=body.executed_quantity,
        quantity=body.quantity,
        price=body.price,
        expiry_reason=body.expiry_reason,
        source=Source.REST,
        received_at=received_at,
    )


def parse_order(body: bytes, received_at: float) -> OrderReported:
    """The order object of POST, DELETE and GET /api/v1/order."""
    return _order_of_body(decode(body, models.OrderBody), received_at)


def parse_orders(body: bytes, received_at: float) -> tuple[OrderReported, ...]:
    """GET /api/v1/orders: resting orders, trigger orders included."""
    return tuple(_order_of_body(row, received_at) for row in decode(body, list[models.OrderBody]))


def parse_fills(body: bytes, received_at: float) -> tuple[FillReported, ...]:
    """GET /wapi/v1/history/fills, in the venue's order."""
    return tuple(_fill_of_body(row, received_at) for row in decode(body, list[models.FillBody]))


def _fill_of_body(row: models.FillBody, received_at: float) -> FillReported:
    return FillReported(
        venue=VENUE,
        symbol=symbol_text(row.symbol),
        trade_id=_trade_id(row),
        client_order_id=client_order_id(row.client_id),
        venue_order_id=venue_order_id(row.order_id),
        side=side_of(row.side),
        price=positive(row.price, "fill price"),
        quantity=positive(row.quantity, "fill quantity"),
        fee=finite(row.fee, "fee"),
        fee_currency=scrub(row.fee_symbol, 20),
        liquidity=Liquidity.MAKER if row.is_maker else Liquidity.TAKER,
        venue_time_ms=time_ms(row.timestamp, "timestamp"),
        source=Source.REST,
        received_at=received_at,
    )


def _trade_id(row: models.FillBody) -> TradeId:
    """``tradeId`` is optional in the schema: a fill of the venue's own making (liquidation, ADL) gets a key from its contents.

    A fill of one of our orders must have the venue's id: a made-up one would count beside the stream's.
    """
    if row.trade_id is not None:
        return TradeId(str(integer(row.trade_id, "trade id")))
    if client_order_id(row.client_id) is not None:
        raise WireRefused("a fill of a client order has no trade id")
    return TradeId(f"system-{venue_order_id(row.order_id)}-{row.timestamp}-{row.quantity}-{row.price}")


def parse_positions(body: bytes) -> dict[str, Decimal]:
    """Signed net base quantity by symbol; a flat symbol is simply not listed (backpack.md §4)."""
    found: dict[str, Decimal] = {}
    for row in decode(body, list[models.PositionBody]):
        require(row.symbol not in found, "two positions of one symbol")
        found[row.symbol] = finite(row.quantity, "position")
    return found


def parse_depth(body: bytes) -> DepthSnapshot:
    depth = decode(body, models.DepthBody)
    last_id = integer(depth.last_id, "lastUpdateId")
    return DepthSnapshot(
        last_id, levels(depth.bids, "bid"), levels(depth.asks, "ask"), integer(depth.timestamp, "timestamp") // 1_000
    )


def book_update(symbol: str, snapshot: DepthSnapshot, received_at: float) -> BookUpdated:
    """Best 20 levels of a REST book, best first; a crossed one is refused."""
    book = Book()
    book.reset(snapshot.bids, snapshot.asks)
    require(not book.is_crossed, "the book is crossed")
    bids, asks = book.top(BOOK_DEPTH)
    return BookUpdated(
        venue=VENUE, symbol=symbol, bids=bids, asks=asks, received_at=received_at, venue_time_ms=snapshot.venue_time_ms
    )


def parse_account(body: bytes) -> AccountSummary:
    """Fees turned from basis points into fractions."""
    account = decode(body, models.AccountBody)
    for fee in (account.maker_fee_bps, account.taker_fee_bps):
        require(abs(finite(fee, "fee")) <= _MAX_FEE_BPS, "fee is beyond 100 bps")
    return AccountSummary(
        fees=Fees(maker=account.maker_fee_bps * BPS, taker=account.taker_fee_bps * BPS),
        is_liquidating=account.is_liquidating,
        limit_orders=integer(account.limit_orders, "limitOrders"),
        trigger_orders=integer(account.trigger_orders, "triggerOrders"),
    )


def parse_markets(body: bytes) -> tuple[Market, ...]:
    return tuple(
        Market(
            symbol=row.symbol,
            base=row.base,
            quote=row.quote,
            market_type=row.market_type,
            book_state=row.book_state,
            is_visible=row.is_visible is not False,
            filters=bytes(row.filters),
        )
        for row in decode(body, list[models.MarketBody])
    )


def instrument_of(market: Market) -> Instrument:
    """Tick and step of one market; raises WireRefused when a filter is not a positive number."""
    filters = decode(market.filters, models.Filters)
    return Instrument(
        venue=VENUE,
        symbol=symbol_text(market.symbol),
        base=market.base,
        quote=market.quote,
        tick_size=positive(filters.price.tick_size, "tickSize"),
        lot_size=positive(filters.quantity.step_size, "stepSize"),
        min_quantity=positive(filters.quantity.min_quantity, "minQuantity"),
    )


def parse_time(body: bytes) -> int:
    """GET /api/v1/time: epoch milliseconds as bare text."""
    if not (body.isascii() and len(body) < 40):
        raise WireRefused("not a time")
    return time_ms(body.decode("ascii").strip().strip('"'), "time")


def parse_error(body: bytes) -> models.ErrorBody | None:
    """``{"code", "message"}`` of a refusal; None where the venue answered in plain text (backpack.md §5)."""
    try:
        return decoder_of(models.ErrorBody).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
