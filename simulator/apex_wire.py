"""ApeX's JSON shapes: orders over REST and over the stream, fills, positions, account (apex.md §1.3, §3, wire/apex).

Must never decide anything: records in, wire values out. Numbers and ids are strings, times milliseconds; fees carry 18 digits.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal

from core.types import Side
from simulator.apex_account import ApexFill, PositionRow
from simulator.apex_auth import Refusal
from simulator.apex_orders import ApexOrder, Leg
from simulator.net import HttpReply

Json = dict[str, object]
TIME_COST_NS = 8_677_959
BANNED_PAGE = b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"
_FINE = Decimal("1e-18")
_NO_LEG = {"triggerSize": "", "triggerPrice": "", "triggerPriceType": "UNKNOWN_PRICE_TYPE"}
_EMPTY_FILL = dict.fromkeys(
    (
        "averagePrice",
        "limitFee",
        "type",
        "timeInForce",
        "latestMatchFillPrice",
        "cumMatchFillSize",
        "cumMatchFillValue",
        "cumMatchFillFee",
        "cumSuccessFillSize",
        "cumSuccessFillValue",
        "cumSuccessFillFee",
        "triggerPriceType",
    ),
    "",
)


def json_text(value: object) -> str:
    """Compact JSON, as the venue sends it."""
    return json.dumps(value, separators=(",", ":"))


def data_reply(data: object) -> HttpReply:
    """A success: ``{"data", "timeCost"}`` and no code (apex.md §1.2)."""
    return HttpReply(200, json_text({"data": data, "timeCost": TIME_COST_NS}).encode())


def refusal_reply(refusal: Refusal) -> HttpReply:
    """A refusal is HTTP 200 as well: ``{"code", "msg"}``, with ``key`` and ``detail`` where there are any."""
    body: Json = {"code": refusal.code, "msg": refusal.message}
    if refusal.key:
        body["key"] = refusal.key
    if refusal.detail is not None:
        body["detail"] = dict(refusal.detail)
    return HttpReply(200, json_text({**body, "timeCost": TIME_COST_NS}).encode())


def banned_reply() -> HttpReply:
    """What an address that asks too often gets: a page, not JSON (apex.md §4)."""
    return HttpReply(403, BANNED_PAGE, (("content-type", "text/html"),))


def number(value: Decimal) -> str:
    """A decimal without exponent."""
    return f"{value:f}"


def fine(value: Decimal) -> str:
    """With the 18 digits of fees and the like."""
    return f"{value.quantize(_FINE):f}"


def millis(seconds: float) -> int:
    return round(seconds * 1000)


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def match_id(trade_id: int) -> str:
    """The uuid the public tape and both fills of one match share."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(trade_id)))


def order_row(order: ApexOrder, account_id: str) -> Json:
    """An order of the REST endpoints (rest_responses.jsonl); it has no remainingSize."""
    legs = {leg.prefix: leg for leg in order.legs}
    average = order.succeeded.value / order.succeeded.size if order.succeeded.size else None
    return {
        "id": str(order.order_id),
        "clientId": order.client_id,
        "clientOrderId": order.client_id,
        "accountId": account_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "price": number(order.price),
        "averagePrice": "" if average is None else fine(average),
        "limitFee": fine(order.limit_fee),
        "fee": "",
        "liquidateFee": "",
        "triggerPrice": number(order.trigger_price) if order.trigger_price is not None else "0",
        "size": number(order.size),
        "type": order.type,
        "createdAt": millis(order.created_at),
        "updatedTime": millis(order.updated_at) if order.is_changed else 0,
        "expiresAt": order.expiration,
        "status": order.status,
        "timeInForce": order.time_in_force,
        "reduceOnly": order.reduce_only,
        "isPositionTpsl": order.is_position_tpsl,
        "orderId": str(order.order_id),
        "exitType": "",
        "cancelReason": order.cancel_reason,
        "latestMatchFillPrice": number(order.last_price),
        "cumMatchFillSize": number(order.matched.size),
        "cumMatchFillValue": number(order.matched.value),
        "cumMatchFillFee": number(order.matched.fee),
        "cumSuccessFillSize": number(order.succeeded.size),
        "cumSuccessFillValue": number(order.succeeded.value),
        "cumSuccessFillFee": number(order.succeeded.fee),
        "triggerPriceType": order.trigger_price_type,
        "isOpenTpslOrder": bool(order.legs),
        "isSetOpenTp": "tp" in legs,
        "isSetOpenSl": "sl" in legs,
        "openTpParam": _leg_param(legs.get("tp")),
        "openSlParam": _leg_param(legs.get("sl")),
    }


def order_news(order: ApexOrder, account_id: str) -> Json:
    """An order of the private stream: other names and no matched sums (apex.md §3)."""
    legs = {leg.prefix: leg for leg in order.legs}
    return {
        "id": str(order.order_id),
        "clientId": order.client_id,
        "accountId": account_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type,
        "price": number(order.price),
        "size": number(order.size),
        "remainingSize": number(order.size - order.succeeded.size),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "reduceOnly": order.reduce_only,
        "triggerPrice": number(order.trigger_price) if order.trigger_price is not None else "0",
        "triggerPriceType": order.trigger_price_type,
        "cumSuccessFillSize": number(order.succeeded.size),
        "cumSuccessFillValue": number(order.succeeded.value),
        "cumSuccessFillFee": number(order.succeeded.fee),
        "cumSuccessLiquidateFee": "0",
        "limitFee": fine(order.limit_fee),
        "cancelReason": order.cancel_reason,
        "createdAt": millis(order.created_at),
        "updatedAt": millis(order.updated_at),
        "expiresAt": order.expiration,
        "isPositionTpsl": order.is_position_tpsl,
        "isSetOpenTp": "tp" in legs,
        "isSetOpenSl": "sl" in legs,
        "openTpParams": _leg_params(legs.get("tp")),
        "openSlParams": _leg_params(legs.get("sl")),
        "isLiquidate": False,
        "isDeleverage": False,
    }


def fill_row(fill: ApexFill, account_id: str) -> Json:
    """A fill of the REST endpoints: an order row with most fields empty (rest_responses.jsonl)."""
    record, order = fill.fill, fill.order
    return {
        "id": str(fill_id(fill)),
        "clientId": order.client_id,
        "clientOrderId": order.client_id,
        "accountId": account_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "price": number(record.price),
        "fee": fine(record.fee),
        "liquidateFee": "0",
        "size": number(record.quantity),
        "direction": "MAKER" if record.is_maker else "TAKER",
        "createdAt": millis(record.time),
        "updatedTime": millis(fill.updated_at),
        "status": fill.status,
        "matchFillId": match_id(record.trade_id),
        "reduceOnly": order.reduce_only,
        "isPositionTpsl": order.is_position_tpsl,
        "orderId": str(order.order_id),
        "orderType": order.type,
        "exitType": "Trade" if fill.is_closing else "",
        "isOpenTpslOrder": False,
        "isSetOpenTp": False,
        "isSetOpenSl": False,
        "openTpParam": {},
        "openSlParam": {},
        **_EMPTY_FILL,
    }


def fill_news(fill: ApexFill, account_id: str) -> Json:
    """A fill of the private stream; it is told again, under the same id, whenever its status changes."""
    record, order = fill.fill, fill.order
    return {
        "id": str(fill_id(fill)),
        "orderId": str(order.order_id),
        "clientOrderId": order.client_id,
        "accountId": account_id,
        "matchFillId": match_id(record.trade_id),
        "symbol": order.symbol,
        "side": order.side.value,
        "price": number(record.price),
        "size": number(record.quantity),
        "quoteAmount": number(record.price * record.quantity),
        "fee": fine(record.fee),
        "liquidateFee": "0",
        "direction": "MAKER" if record.is_maker else "TAKER",
        "status": fill.status,
        "isOpen": not fill.is_closing,
        "isLiquidate": False,
        "isDeleverage": False,
        "createdAt": millis(record.time),
        "updatedAt": millis(fill.updated_at),
    }


def fill_id(fill: ApexFill) -> int:
    """Unique by side of the match: the exchange's trade id is shared by both."""
    return 774_568_067_276_000_000 + 2 * fill.fill.trade_id + int(fill.order.side is Side.SELL)


def position_row(row: PositionRow) -> Json:
    """A position of ``GET /v3/account``; size is unsigned, the side says the rest."""
    return {
        "isPrelaunch": False,
        "symbol": row.symbol,
        "status": "",
        "side": row.side,
        "size": number(row.size),
        "entryPrice": number(row.entry_price),
        "exitPrice": number(row.exit_price) if row.exit_price else "",
        "createdAt": millis(row.updated_at),
        "updatedTime": millis(row.updated_at),
        "fee": number(row.opened.fee + row.closed.fee),
        "fundingFee": "0.000000",
        "lightNumbers": "",
        "customInitialMarginRate": "0",
    }


def position_news(row: PositionRow, account_id: str) -> Json:
    """A position of the private stream."""
    return {
        "symbol": row.symbol,
        "accountId": account_id,
        "side": row.side,
        "size": number(row.size),
        "entryPrice": number(row.entry_price),
        "exitPrice": number(row.exit_price),
        "openValue": number(row.size * row.entry_price),
        "sumOpen": number(row.opened.size),
        "sumClose": number(row.closed.size),
        "fundingFee": "0",
        "realizedPnl": number(row.realized),
        "customImr": "0",
        "totalCumOpenSize": number(row.opened.size),
        "totalCumOpenValue": number(row.opened.value),
        "totalCumOpenFee": number(row.opened.fee),
        "totalCumCloseSize": number(row.closed.size),
        "totalCumCloseValue": number(row.closed.value),
        "totalCumCloseFee": number(row.closed.fee),
        "totalCumFundingFee": "0",
        "updatedAt": millis(row.updated_at),
    }


def wallet_news(balance: Decimal, account_id: str) -> Json:
    names = ("Deposit", "Withdraw", "TransferIn", "TransferOut")
    pending = {f"pending{name}Amount": "0.000000" for name in names}
    return {"token": "USDT", "balance": number(balance), "accountId": account_id, **pending}


def contents_of(
    account_id: str, orders: Iterable[ApexOrder] = (), fills: Iterable[ApexFill] = (), positions: Iterable[PositionRow] = ()
) -> Json:
    """What one frame tells under ``contents``; a list without news is absent."""
    contents: Json = {
        "orders": [order_news(order, account_id) for order in orders],
        "fills": [fill_news(fill, account_id) for fill in fills],
        "positions": [position_news(row, account_id) for row in positions],
    }
    return {name: rows for name, rows in contents.items() if rows}


def account_frame(kind: str, contents: Mapping[str, object], now: float) -> Json:
    """``kind``: "snapshot" or "delta" (apex.md §3)."""
    return {"topic": "ws_zk_accounts_v3", "type": kind, "timestamp": millis(now), "contents": dict(contents)}


def _leg_param(leg: Leg | None) -> Json:
    if leg is None:
        return {}
    return {
        "side": leg.side.value,
        "price": number(leg.price),
        "size": number(leg.size),
        "limitFee": number(leg.limit_fee),
        "clientOrderId": leg.client_id,
        "triggerPrice": number(leg.trigger_price),
        "triggerPriceType": leg.trigger_price_type,
        "expiration": leg.expiration,
    }


def _leg_params(leg: Leg | None) -> Json:
    if leg is None:
        return dict(_NO_LEG)
    return {
        "triggerSize": number(leg.size),
        "triggerPrice": number(leg.trigger_price),
        "triggerPriceType": leg.trigger_price_type,
    }
