"""Order and cancel bodies as Backpack reads them: types first (plain-text refusals), then the market's rules (backpack.md §4, §5).

Must never place or cancel anything: it says what was asked, or raises the venue's refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from core.instrument import Instrument
from core.types import Side
from simulator.backpack_auth import Fields, Refusal

UINT32_MAX = 2**32 - 1
SIDES = {"Bid": Side.BUY, "Ask": Side.SELL}
SIDE_WORDS = {side: word for word, side in SIDES.items()}
_DECIMAL = re.compile(r"\d+(\.\d+)?")
_UNSUPPORTED = (
    "quoteQuantity",
    "triggerPrice",
    "takeProfitTriggerPrice",
    "takeProfitLimitPrice",
    "stopLossTriggerPrice",
    "stopLossLimitPrice",
)


class OrderRequest(NamedTuple):
    """A well-typed order body; ``price`` is None for a market order, quantity in base, price in quote."""

    symbol: str
    side: Side
    order_type: str
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    post_only: bool
    reduce_only: bool
    client_id: int | None
    self_trade_prevention: str


class CancelRequest(NamedTuple):
    """Exactly one of the two ids is set."""

    symbol: str
    order_id: str | None
    client_id: int | None


class PriceBand(NamedTuple):
    """Multiples of the mark price between which a limit price may lie."""

    low: Decimal = Decimal("0.96")
    high: Decimal = Decimal("1.04")


def parse_order(body: Fields, instruments: Mapping[str, Instrument]) -> OrderRequest:
    """Raises Refusal: plain text where a field has the wrong type, a coded one where the combination makes no sense."""
    payload = _Payload("OrderExecutePayload", body)
    symbol = payload.symbol(instruments)
    side = SIDES[payload.word("side", "Side", tuple(SIDES))]
    order_type = payload.word("orderType", "OrderTypeEnum", ("Limit", "Market"))
    time_in_force = payload.word("timeInForce", "TimeInForce", ("GTC", "IOC", "FOK"), default="GTC")
    _refuse_unsupported(body, time_in_force)
    quantity, price = payload.decimal("quantity"), payload.decimal("price")
    post_only = payload.flag("postOnly")
    is_limit = order_type == "Limit"
    if quantity is None or is_limit != (price is not None) or (post_only and (not is_limit or time_in_force != "GTC")):
        raise Refusal(400, "INVALID_ORDER", "Invalid order")
    prevention = payload.word("selfTradePrevention", "SelfTradePrevention", _PREVENTIONS, default="RejectTaker")
    return OrderRequest(
        symbol,
        side,
        order_type,
        quantity,
        price,
        time_in_force,
        post_only,
        payload.flag("reduceOnly"),
        payload.uint32("clientId"),
        prevention,
    )


_PREVENTIONS = ("RejectTaker", "RejectMaker", "RejectBoth", "Allow")


def check_order(order: OrderRequest, instrument: Instrument, mark: Decimal | None, band: PriceBand) -> None:
    """Tick, step, minimum and price band; raises Refusal. ``mark`` None: no band is known yet."""
    if order.quantity <= 0 or order.quantity < instrument.min_quantity:
        raise Refusal(400, "INVALID_QUANTITY", "Quantity is below the minimum order size")
    if order.quantity % instrument.lot_size != 0:
        raise Refusal(400, "INVALID_QUANTITY", "Quantity decimal too long")
    if order.price is None:
        return
    if order.price <= 0:
        raise Refusal(400, "INVALID_PRICE", "Invalid price")
    if order.price % instrument.tick_size != 0:
        raise Refusal(400, "INVALID_PRICE", "Price decimal too long")
    if mark is not None and not mark * band.low <= order.price <= mark * band.high:
        raise Refusal(400, "INVALID_PRICE", "Price is too far from the last active price")


def parse_order_id(
    body: Fields, instruments: Mapping[str, Instrument], payload_name: str = "OrderCancelPayload"
) -> CancelRequest:
    """The order a cancel or a lookup names: exactly one of orderId and clientId; raises Refusal."""
    payload = _Payload(payload_name, body)
    symbol = payload.symbol(instruments)
    order_id, client_id = payload.text("orderId"), payload.uint32("clientId")
    if (order_id is None) == (client_id is None):
        raise Refusal(400, "INVALID_CLIENT_REQUEST", "Must specify exactly one of `orderId` and `clientId`")
    return CancelRequest(symbol, order_id, client_id)


def parse_cancel_all(body: Fields, instruments: Mapping[str, Instrument]) -> tuple[str, str | None]:
    """Symbol and the orderType filter (None: everything, triggers included)."""
    payload = _Payload("OrderCancelAllPayload", body)
    symbol = payload.symbol(instruments)
    if body.get("orderType") is None:
        return symbol, None
    return symbol, payload.word("orderType", "CancelOrderTypeEnum", ("RestingLimitOrder", "ConditionalOrder"))


def payload_refusal(reason: str) -> Refusal:
    """A body that does not parse is answered in plain text (backpack.md §5)."""
    return Refusal(400, "", f"parse request payload error: {reason}")


def _refuse_unsupported(body: Fields, time_in_force: str) -> None:
    if (body.get("triggerPrice") is None) != (body.get("triggerQuantity") is None):
        raise Refusal(400, "INVALID_CLIENT_REQUEST", "Must specify both `triggerPrice` and `triggerQuantity` or neither")
    asked = [name for name in _UNSUPPORTED if body.get(name) is not None]
    if asked or time_in_force == "FOK":
        raise Refusal(501, "NOT_IMPLEMENTED", f"Not simulated: {', '.join(asked) or 'FOK'}")


class _Payload:
    """Typed reads of one JSON body; every failure is the plain-text refusal the venue's parser gives."""

    def __init__(self, name: str, body: Fields) -> None:
        self._name = name
        self._body = body

    def symbol(self, instruments: Mapping[str, Instrument]) -> str:
        value = self._required("symbol")
        if not isinstance(value, str) or value not in instruments:
            raise self._refusal("MarketSymbol", "Invalid market symbol")
        return value

    def word(self, field: str, type_name: str, words: tuple[str, ...], default: str | None = None) -> str:
        value = self._body.get(field)
        if value is None:
            value = default if default is not None else self._required(field)
        if not isinstance(value, str) or value not in words:
            raise self._refusal(type_name, "Expect a valid enumeration value.")
        return value

    def decimal(self, field: str) -> Decimal | None:
        value = self._body.get(field)
        if value is None:
            return None
        if type(value) is not str or not _DECIMAL.fullmatch(value):
            raise self._refusal("string_decimal", f"Invalid decimal in `{field}`")
        return Decimal(value)

    def flag(self, field: str) -> bool:
        value = self._body.get(field, False)
        if value is not None and not isinstance(value, bool):
            raise self._refusal("boolean", f'Expected input type "boolean", found {value}.')
        return bool(value)

    def text(self, field: str) -> str | None:
        value = self._body.get(field)
        if value is not None and type(value) is not str:
            raise self._refusal("string", f'Expected input type "string", found {value}.')
        return value

    def uint32(self, field: str) -> int | None:
        value = self._body.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= UINT32_MAX:
            raise self._refusal("uint32", f"Only integers from 0 to {UINT32_MAX} are accepted.")
        return value

    def _required(self, field: str) -> object:
        value = self._body.get(field)
        if value is None:
            raise payload_refusal(f'failed to parse "{self._name}": property "{field}" is required')
        return value

    def _refusal(self, type_name: str, reason: str) -> Refusal:
        return payload_refusal(f'failed to parse "{type_name}": {reason} (occurred while parsing "{self._name}")')
