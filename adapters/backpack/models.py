"""Wire structs of Backpack: what its frames and bodies look like (backpack.md §2-§5). They never judge values; ``parse`` does.

Unknown fields are ignored and enum words stay text, so that a new word or field of the venue is never a decoding error. Numbers are
``Decimal``: msgspec takes them from JSON strings and JSON numbers alike, digit for digit, and accepts NaN, which ``parse`` refuses.
Fields that the venue prints now as text, now as a number (ids, update ids, times) are ``int | str``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import field


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all wire structs."""


class StreamError(Wire, frozen=True, kw_only=True):
    """``{"code": 4006, "message": "Invalid stream"}``."""

    code: int | str | None = None
    message: str = ""


class Envelope(Wire, frozen=True, kw_only=True):
    """Every stream frame: ``{"stream", "data"}`` in either order, or ``{"id": null, "error"}``."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    error: StreamError | str | None = None


class OrderFrame(Wire, frozen=True, kw_only=True):
    """``account.orderUpdate`` (backpack.md §3). Fill fields are present on ``orderFill`` only."""

    event: str = field(name="e")
    symbol: str = field(name="s")
    order_id: int | str = field(name="i")
    side: str = field(name="S")
    state: str = field(name="X")
    engine_time_us: int | str = field(name="T")
    filled: Decimal = field(name="z")
    client_id: int | str | None = field(name="c", default=None)
    quantity: Decimal | None = field(name="q", default=None)
    price: Decimal | None = field(name="p", default=None)
    expiry_reason: str | None = field(name="R", default=None)
    trade_id: int | str | None = field(name="t", default=None)
    fill_quantity: Decimal | None = field(name="l", default=None)
    fill_price: Decimal | None = field(name="L", default=None)
    is_maker: bool | None = field(name="m", default=None)
    fee: Decimal | None = field(name="n", default=None)
    fee_symbol: str | None = field(name="N", default=None)


class PositionFrame(Wire, frozen=True, kw_only=True):
    """``account.positionUpdate``; the frames sent right after the subscribe carry no ``e``."""

    symbol: str = field(name="s")
    quantity: Decimal = field(name="q")


class DepthFrame(Wire, frozen=True, kw_only=True):
    """``depth.SYM``: absolute quantities; both sides may be empty."""

    event: str = field(name="e")
    symbol: str = field(name="s")
    first_id: int | str = field(name="U")
    last_id: int | str = field(name="u")
    engine_time_us: int | str = field(name="T")
    asks: list[tuple[Decimal, Decimal]] = field(name="a")
    bids: list[tuple[Decimal, Decimal]] = field(name="b")


class TickerFrame(Wire, frozen=True, kw_only=True):
    """``bookTicker.SYM``; ``u`` is the depth's counter (backpack.md §7). Its prices are not read."""

    event: str = field(name="e")
    symbol: str = field(name="s")
    last_id: int | str = field(name="u")


class DepthBody(Wire, frozen=True, kw_only=True):
    """GET /api/v1/depth; bids are ascending, ``timestamp`` is microseconds."""

    asks: list[tuple[Decimal, Decimal]]
    bids: list[tuple[Decimal, Decimal]]
    last_id: int | str = field(name="lastUpdateId")
    timestamp: int | str = 0


class OrderBody(Wire, frozen=True, kw_only=True):
    """The order object of POST and DELETE replies and of the open-order reads (backpack.md §4)."""

    order_id: int | str = field(name="id")
    symbol: str
    side: str
    status: str
    executed_quantity: Decimal = field(name="executedQuantity")
    client_id: int | str | None = field(name="clientId", default=None)
    quantity: Decimal | None = None
    price: Decimal | None = None
    expiry_reason: str | None = field(name="expiryReason", default=None)


class FillBody(Wire, frozen=True, kw_only=True):
    """A row of GET /wapi/v1/history/fills; ``timestamp`` is naive ISO text in UTC."""

    order_id: int | str = field(name="orderId")
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_symbol: str = field(name="feeSymbol")
    is_maker: bool = field(name="isMaker")
    timestamp: int | str
    trade_id: int | str | None = field(name="tradeId", default=None)
    client_id: int | str | None = field(name="clientId", default=None)


class PositionBody(Wire, frozen=True, kw_only=True):
    symbol: str
    quantity: Decimal = field(name="netQuantity")


class AccountBody(Wire, frozen=True, kw_only=True):
    """GET /api/v1/account; fees are basis points, negative = rebate."""

    maker_fee_bps: Decimal = field(name="futuresMakerFee")
    taker_fee_bps: Decimal = field(name="futuresTakerFee")
    is_liquidating: bool = field(name="liquidating", default=False)
    limit_orders: int | str = field(name="limitOrders", default=0)
    trigger_orders: int | str = field(name="triggerOrders", default=0)


class PriceFilter(Wire, frozen=True, kw_only=True):
    tick_size: Decimal = field(name="tickSize")


class QuantityFilter(Wire, frozen=True, kw_only=True):
    min_quantity: Decimal = field(name="minQuantity")
    step_size: Decimal = field(name="stepSize")


class Filters(Wire, frozen=True, kw_only=True):
    price: PriceFilter
    quantity: QuantityFilter


class MarketBody(Wire, frozen=True, kw_only=True):
    """A row of GET /api/v1/markets; ``filters`` is decoded for the chosen market alone, so that another's oddity is not ours."""

    symbol: str
    base: str = field(name="baseSymbol", default="")
    quote: str = field(name="quoteSymbol", default="")
    market_type: str = field(name="marketType", default="")
    book_state: str = field(name="orderBookState", default="")
    is_visible: bool | None = field(name="visible", default=None)
    filters: msgspec.Raw = msgspec.Raw()


class ErrorBody(Wire, frozen=True, kw_only=True):
    code: str
    message: str = ""
