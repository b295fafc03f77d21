"""Builds Backpack's REST requests and subscriptions (backpack.md §1, §4). Pure: what is signed is exactly what is sent.

It never checks ticks or risk; a number that is not positive and finite is a programming error here and raises ValueError, and so does an
order that it has no form for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from adapters.backpack.signer import FieldValue, Signer
from adapters.backpack.values import MAX_CLIENT_ID
from core.messages import PlaceOrder
from core.types import ClientOrderId, Side, VenueOrderId

ORDER_WINDOW_MS = 1_000
"""``X-Window`` of an order: how late the venue may still take it. Short, because it bounds an unknown outcome."""
READ_WINDOW_MS = 5_000
SNAPSHOT_DEPTH = 1_000
FILLS_PAGE = 1_000

_SIDE_WORDS = {Side.BUY: "Bid", Side.SELL: "Ask"}


class Call(NamedTuple):
    """One request before it is signed. ``instruction`` empty = public. GET fields travel in the query, others in the JSON body."""

    method: str
    path: str
    instruction: str = ""
    fields: Mapping[str, FieldValue] = {}
    window_ms: int = READ_WINDOW_MS

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class Rendered(NamedTuple):
    query: str
    body: bytes | None
    headers: dict[str, str]


def render(call: Call, signer: Signer | None, timestamp_ms: int) -> Rendered:
    """The bytes of a call; ``timestamp_ms`` is the venue's clock."""
    headers = {}
    if call.instruction:
        if signer is None:
            raise ValueError(f"{call.name} needs a signer")
        headers = signer.headers(call.instruction, call.fields, timestamp_ms, call.window_ms)
    if call.method == "GET":
        texts = {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in sorted(call.fields.items())
        }
        return Rendered(urlencode(texts), None, headers)
    headers["Content-Type"] = "application/json; charset=utf-8"
    return Rendered("", msgspec.json.encode(call.fields), headers)


def place_order(order: PlaceOrder, window_ms: int = ORDER_WINDOW_MS) -> Call:
    """A limit order: IOC with a price cap, or GTC, post-only when asked. The venue knows no expiry: ``lifetime_s`` is not sent.

    Raises ValueError for a trigger or a market order: sent as what is left of it, a stop would close the position at once.
    """
    if order.trigger_price is not None or order.trigger_kind is not None or order.is_market:
        raise ValueError("no form for trigger and market orders")
    if order.post_only and order.time_in_force.value != "GTC":
        raise ValueError("a post-only order must rest")
    fields: dict[str, FieldValue] = {
        "symbol": order.symbol,
        "side": _SIDE_WORDS[order.side],
        "orderType": "Limit",
        "price": decimal_text(order.price),
        "quantity": decimal_text(order.quantity),
        "timeInForce": order.time_in_force.value,
        "clientId": _client_id(order.client_order_id),
    }
    if order.post_only:
        fields["postOnly"] = True
    if order.reduce_only:
        fields["reduceOnly"] = True
    return Call("POST", "/api/v1/order", "orderExecute", fields, window_ms)


def decimal_text(value: Decimal) -> str:
    """Plain digits without trailing zeros: the venue refuses "decimal too long" (backpack.md §5)."""
    if not (value.is_finite() and value > 0):
        raise ValueError(f"{value} is not a positive number")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _client_id(client_order_id: ClientOrderId) -> int:
    if not 0 <= client_order_id <= MAX_CLIENT_ID:
        raise ValueError(f"client order id {client_order_id} does not fit a uint32")
    return client_order_id


def _order_key(client_order_id: ClientOrderId, venue_order_id: VenueOrderId | None) -> dict[str, FieldValue]:
    """Exactly one of the two names (backpack.md §4); the venue's own where it is known."""
    return {"clientId": _client_id(client_order_id)} if venue_order_id is None else {"orderId": venue_order_id}


def cancel_order(symbol: str, client_order_id: ClientOrderId, venue_order_id: VenueOrderId | None) -> Call:
    key = _order_key(client_order_id, venue_order_id)
    return Call("DELETE", "/api/v1/order", "orderCancel", {"symbol": symbol, **key})


def cancel_all(symbol: str) -> Call:
    """Every order of the symbol, trigger orders included: no ``orderType`` is named."""
    return Call("DELETE", "/api/v1/orders", "orderCancelAll", {"symbol": symbol})


def open_order(symbol: str, client_order_id: ClientOrderId, venue_order_id: VenueOrderId | None) -> Call:
    """Finds a resting order only; 404 is "not resting", not "never existed" (backpack.md §4)."""
    key = _order_key(client_order_id, venue_order_id)
    return Call("GET", "/api/v1/order", "orderQuery", {"symbol": symbol, **key})


def open_orders(symbol: str) -> Call:
    return Call("GET", "/api/v1/orders", "orderQueryAll", {"symbol": symbol})


def fills(symbol: str, since_ms: int | None, offset: int, venue_order_id: VenueOrderId | None = None) -> Call:
    """One page of the fill history, newest first: of one order, or of the symbol from ``since_ms`` on, or both."""
    fields: dict[str, FieldValue] = {"symbol": symbol, "limit": FILLS_PAGE, "offset": offset}
    if since_ms is not None:
        fields["from"] = since_ms
    if venue_order_id is not None:
        fields["orderId"] = venue_order_id
    return Call("GET", "/wapi/v1/history/fills", "fillHistoryQueryAll", fields)


def positions() -> Call:
    return Call("GET", "/api/v1/position", "positionQuery")


def account() -> Call:
    return Call("GET", "/api/v1/account", "accountQuery")


def markets() -> Call:
    return Call("GET", "/api/v1/markets")


def depth(symbol: str, limit: int = SNAPSHOT_DEPTH) -> Call:
    """``limit`` 5, 10, 20, 50, 100, 500 or 1000 (backpack.md §7)."""
    return Call("GET", "/api/v1/depth", fields={"symbol": symbol, "limit": limit})


def server_time() -> Call:
    """The exchange's public time endpoint (its API reference, "Get system time")."""
    return Call("GET", "/api/v1/time")


def subscribe(streams: list[str], signature: list[str] | None = None) -> str:
    """The text frame of a SUBSCRIBE; private streams carry a signature each time, there is no login (backpack.md §1)."""
    message: dict[str, object] = {"method": "SUBSCRIBE", "params": streams}
    if signature is not None:
        message["signature"] = signature
    return msgspec.json.encode(message).decode("utf-8")
