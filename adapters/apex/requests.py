"""Builds ApeX's REST requests and stream commands (apex.md §1, §2). Pure but for the zk signature of an order.

What is signed is exactly what is sent. It never checks ticks or risk. An order that the venue has no form for is NotSignable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from adapters.apex.signer import ApiKey
from adapters.apex.values import venue_order_id, wire_client_id
from adapters.apex.zk import NotSignable, ZkOrder, ZkSigner
from core.instrument import Instrument
from core.messages import PlaceOrder
from core.types import ClientOrderId, Fees, Side, TimeInForce, VenueOrderId

API = "/api"
EXPIRY_MS = 28 * 86_400_000
"""Life of an order at the venue: what its own library sends. A shorter one is not documented, so ``lifetime_s`` is not used."""
PAGE = 100
BOOK_LIMIT = 100
TRIGGER_PRICE_TYPE = "MARKET"
"""Which price releases a trigger order: INDEX, ORACLE or MARKET; the venue's own default (apex.md §1.5)."""
PUBLIC_PATH, PRIVATE_PATH = "/realtime_public", "/realtime_private"

_FEE_STEP = Decimal("0.000001")
_TRIGGER_WORDS = {"stop": "STOP", "take_profit": "TAKE_PROFIT"}


class Account(NamedTuple):
    """What signatures name the account by: its id and its fee rates as fractions."""

    account_id: int
    fees: Fees


class Call(NamedTuple):
    """One request before it is signed. GET fields travel in the query in the order given, POST fields in the form."""

    method: str
    path: str
    fields: Mapping[str, str] = {}
    is_private: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class Rendered(NamedTuple):
    path: str
    query: str
    body: bytes | None
    headers: dict[str, str]


def render(call: Call, key: ApiKey, timestamp_ms: int) -> Rendered:
    """The bytes of a call; ``timestamp_ms`` is the venue's clock."""
    path = API + call.path
    query = urlencode(call.fields) if call.method == "GET" else ""
    form = {} if call.method == "GET" else call.fields
    target = f"{path}?{query}" if query else path
    headers = key.headers(timestamp_ms, call.method, target, form) if call.is_private else {}
    if call.method == "GET":
        return Rendered(path, query, None, headers)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return Rendered(path, "", urlencode(form).encode("ascii"), headers)


def place_order(order: PlaceOrder, instrument: Instrument, account: Account, signer: ZkSigner, now_ms: int) -> Call:
    """POST /v3/order. Raises NotSignable, and VenueRefused where orders cannot be signed here."""
    kind, time_in_force = _kind(order)
    client_id = wire_client_id(order.client_order_id)
    zk_order = ZkOrder(
        account_id=account.account_id,
        pair_id=int(instrument.contract_id),
        client_id=client_id,
        size=order.quantity,
        price=order.price,
        is_buy=order.side is Side.BUY,
        taker_fee_rate=account.fees.taker,
        maker_fee_rate=account.fees.maker,
        decimals=instrument.base_decimals,
    )
    fields = {
        "symbol": order.symbol,
        "side": order.side.value,
        "type": kind,
        "timeInForce": time_in_force,
        "size": decimal_text(order.quantity),
        "price": decimal_text(order.price),
        "limitFee": limit_fee(order.price, order.quantity, account.fees.taker),
        "expiration": str(now_ms + EXPIRY_MS),
        "clientId": client_id,
        "signature": signer.sign(zk_order),
        "reduceOnly": "true" if order.reduce_only else "false",
    }
    if order.trigger_price is not None:
        fields |= {"triggerPrice": decimal_text(order.trigger_price), "triggerPriceType": TRIGGER_PRICE_TYPE}
    return Call("POST", "/v3/order", fields)


def _kind(order: PlaceOrder) -> tuple[str, str]:
    """(type, timeInForce). The venue turns a plain market order's GOOD_TIL_CANCEL into IMMEDIATE_OR_CANCEL itself (apex.md §1.5)."""
    if (order.trigger_price is None) is not (order.trigger_kind is None):
        raise NotSignable("trigger price and trigger kind belong together")
    if order.post_only and (order.is_market or order.time_in_force is not TimeInForce.GTC):
        raise NotSignable("a post-only order must rest")
    suffix = "MARKET" if order.is_market else "LIMIT"
    if order.trigger_kind is not None:
        kind = f"{_TRIGGER_WORDS[order.trigger_kind]}_{suffix}"
        return kind, "IMMEDIATE_OR_CANCEL" if order.is_market else _resting_word(order)
    return suffix, "GOOD_TIL_CANCEL" if order.is_market else _resting_word(order)


def _resting_word(order: PlaceOrder) -> str:
    if order.post_only:
        return "POST_ONLY"
    return "GOOD_TIL_CANCEL" if order.time_in_force is TimeInForce.GTC else "IMMEDIATE_OR_CANCEL"


def limit_fee(price: Decimal, size: Decimal, taker_fee_rate: Decimal) -> str:
    """The most that the order may cost in fees, quote currency: six decimals, rounded up (apex.md §1.5)."""
    return str((price * size * taker_fee_rate).quantize(_FEE_STEP, rounding=ROUND_UP))


def decimal_text(value: Decimal) -> str:
    """Plain digits without trailing zeros."""
    if not (value.is_finite() and value > 0):
        raise NotSignable(f"{value} is not a positive number")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def cancel_order(client_order_id: ClientOrderId, known_id: VenueOrderId | None) -> Call:
    """By the venue's id where it is known, else by ours; the parameter is ``id`` both times (apex.md §0.4)."""
    if known_id is not None:
        return Call("POST", "/v3/delete-order", {"id": venue_order_id(known_id)})
    return Call("POST", "/v3/delete-client-order-id", {"id": wire_client_id(client_order_id)})


def cancel_all(symbol: str) -> Call:
    return Call("POST", "/v3/delete-open-orders", {"symbol": symbol})


def order(client_order_id: ClientOrderId, known_id: VenueOrderId | None) -> Call:
    """One order, ended ones included (apex.md §1.3)."""
    if known_id is not None:
        return Call("GET", "/v3/order", {"id": venue_order_id(known_id)})
    return Call("GET", "/v3/order-by-client-order-id", {"id": wire_client_id(client_order_id)})


def open_orders() -> Call:
    """Of all symbols; without the flag the venue leaves out position TP/SL (apex.md §0.6)."""
    return Call("GET", "/v3/open-orders", {"showPositionOrders": "true"})


def history(symbol: str, since_ms: int, page: int) -> Call:
    return Call("GET", "/v3/history-orders", _page(symbol, since_ms, page))


def fills(symbol: str, since_ms: int, page: int) -> Call:
    return Call("GET", "/v3/fills", _page(symbol, since_ms, page))


def _page(symbol: str, since_ms: int, page: int) -> dict[str, str]:
    return {"symbol": symbol, "limit": str(PAGE), "page": str(page), "beginTimeInclusive": str(since_ms)}


def account() -> Call:
    return Call("GET", "/v3/account")


def balance() -> Call:
    return Call("GET", "/v3/account-balance")


def worst_price(symbol: str, side: Side, quantity: Decimal) -> Call:
    return Call("GET", "/v3/get-worst-price", {"symbol": symbol, "size": decimal_text(quantity), "side": side.value})


def server_time() -> Call:
    return Call("GET", "/v3/time", is_private=False)


def symbols() -> Call:
    return Call("GET", "/v3/symbols", is_private=False)


def depth(market_symbol: str) -> Call:
    return Call("GET", "/v3/depth", {"symbol": market_symbol, "limit": str(BOOK_LIMIT)}, is_private=False)


def stream_url(base: str, path: str, now_ms: int) -> str:
    return f"{base.rstrip('/')}{path}?v=2&timestamp={now_ms}"


def command(op: str, args: Sequence[str]) -> str:
    """The text frame of subscribe, unsubscribe, ping and pong."""
    return msgspec.json.encode({"op": op, "args": list(args)}).decode("ascii")
