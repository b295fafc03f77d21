"""Backpack's JSON shapes: orders, fills, positions, markets (backpack.md §2-§4, §8).

Must never decide anything: numbers in, wire values out. Prices and quantities are strings, stream times microseconds,
REST times milliseconds, history times ISO text without a zone.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from core.instrument import Instrument
from core.types import BPS, ZERO, Fees
from simulator.backpack_account import Position
from simulator.backpack_auth import Refusal
from simulator.backpack_orders import SIDE_WORDS, PriceBand
from simulator.exchange import AccountFill, SimOrder
from simulator.net import Headers, HttpReply

USER_CANCEL = "USER"
FUNDING_INTERVAL_MS = 3_600_000
_JSON = (("content-type", "application/json; charset=utf-8"),)
_TEXT = (("content-type", "text/plain; charset=utf-8"),)
_NO_BRACKETS = {
    "relatedOrderId": None,
    "stopLossLimitPrice": None,
    "stopLossTriggerBy": None,
    "stopLossTriggerPrice": None,
    "strategyId": None,
    "takeProfitLimitPrice": None,
    "takeProfitTriggerBy": None,
    "takeProfitTriggerPrice": None,
    "triggerBy": None,
    "triggerPrice": None,
    "triggerQuantity": None,
}
_EXPIRY_REASONS = {"IOC": "ImmediateOrCancel", "SELF_TRADE": "SelfTradePrevention", "REDUCE_ONLY": "ReduceOnlyNotReduced"}


def json_text(value: object) -> str:
    """Compact JSON, as the venue sends it."""
    return json.dumps(value, separators=(",", ":"))


def json_reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status, json_text(value).encode(), _JSON)


def text_reply(text: str, status: int = 200, headers: Headers = ()) -> HttpReply:
    return HttpReply(status, text.encode(), (*_TEXT, *headers))


def refusal_reply(refusal: Refusal) -> HttpReply:
    """The error body: ``{"code","message"}``, or plain text for a body that did not parse."""
    if not refusal.code:
        return text_reply(refusal.message, refusal.status)
    return json_reply({"code": refusal.code, "message": refusal.message}, refusal.status)


def number(value: Decimal) -> str:
    """A decimal without exponent."""
    return f"{value:f}"


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def millis(seconds: float) -> int:
    return round(seconds * 1000)


def iso(seconds: float) -> str:
    """Naive UTC text with milliseconds, as the histories carry it."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def client_id(order: SimOrder | AccountFill) -> int | None:
    """The uint32 of the client, None where the order came without one."""
    return int(order.client_id) if order.client_id.isdecimal() else None


def order_type(order: SimOrder) -> str:
    default = "Market" if order.price is None else "Limit"
    return str(order.tag.get("order_type", default))


def order_status(order: SimOrder) -> str:
    """The venue's word for the order's state; whatever ended without the user's cancel has expired."""
    if order.status == "FILLED":
        return "Filled"
    if order.status == "CANCELLED" and order.reason == USER_CANCEL:
        return "Cancelled"
    if order.status != "OPEN":
        return "Expired"
    return "PartiallyFilled" if order.filled else "New"


def expiry_reason(order: SimOrder) -> str:
    """A market order's rest stopped at the impact band, a limit order's at its own price."""
    if order.reason == "IOC" and order_type(order) == "Market":
        return "PriceImpact"
    return _EXPIRY_REASONS.get(order.reason, "Unknown")


def order_row(order: SimOrder) -> dict[str, object]:
    """The order object of the trading endpoints; market orders have no price and no postOnly (backpack.md §4)."""
    row: dict[str, object] = {
        "id": str(order.order_id),
        "clientId": client_id(order),
        "createdAt": millis(order.created_at),
        "orderType": order_type(order),
        "side": SIDE_WORDS[order.side],
        "symbol": order.symbol,
        "quantity": number(order.quantity),
        "executedQuantity": number(order.filled),
        "executedQuoteQuantity": number(order.notional),
        "status": order_status(order),
        "timeInForce": str(order.tag.get("time_in_force", order.tif)),
        "selfTradePrevention": str(order.tag.get("self_trade_prevention", "RejectTaker")),
        "reduceOnly": True if order.reduce_only else None,
        "triggeredAt": None,
        **_NO_BRACKETS,
    }
    if row["orderType"] == "Limit" and order.price is not None:
        row |= {"price": number(order.price), "postOnly": order.post_only, "systemOrderType": None}
    return row


def history_order_row(order: SimOrder) -> dict[str, object]:
    row = order_row(order)
    is_expired = row["status"] == "Expired"
    row |= {
        "createdAt": iso(order.created_at),
        "expiryReason": expiry_reason(order) if is_expired else None,
        "quoteQuantity": None,
    }
    return row


def fill_row(fill: AccountFill) -> dict[str, object]:
    return {
        "clientId": str(client_id(fill)) if client_id(fill) is not None else None,
        "fee": number(fill.fee),
        "feeSymbol": fill.fee_currency,
        "isMaker": fill.is_maker,
        "orderId": str(fill.order_id),
        "price": number(fill.price),
        "quantity": number(fill.quantity),
        "side": SIDE_WORDS[fill.side],
        "symbol": fill.symbol,
        "systemOrderType": None,
        "timestamp": iso(fill.time),
        "tradeId": fill.trade_id,
    }


def order_update(event: str, order: SimOrder, fill: AccountFill | None, time: float, sent_at: float) -> dict[str, object]:
    """One ``account.orderUpdate`` payload; times in epoch seconds (backpack.md §3)."""
    data: dict[str, object] = {
        "e": event,
        "E": micros(sent_at),
        "O": "USER",
        "S": SIDE_WORDS[order.side],
        "T": micros(time),
        "V": str(order.tag.get("self_trade_prevention", "RejectTaker")),
        "X": "New" if event == "orderAccepted" else order_status(order),
        "Z": number(ZERO if event == "orderAccepted" else order.notional),
        "f": str(order.tag.get("time_in_force", order.tif)),
        "i": str(order.order_id),
        "o": order_type(order).upper(),
        "q": number(order.quantity),
        "r": order.reduce_only,
        "s": order.symbol,
        "t": None,
        "z": number(ZERO if event == "orderAccepted" else order.filled),
    }
    if data["o"] == "LIMIT" and order.price is not None:
        data |= {"p": number(order.price), "Q": number(order.price * order.quantity), "y": order.post_only}
    if client_id(order) is not None:
        data["c"] = client_id(order)
    if event == "orderExpired":
        data["R"] = expiry_reason(order)
    if fill is not None:
        data |= {"t": fill.trade_id, "l": number(fill.quantity), "L": number(fill.price), "m": fill.is_maker}
        data |= {"n": number(fill.fee), "N": fill.fee_currency}
    return data


def position_update(
    position: Position, mark: Decimal, exposure: Decimal, event: str | None, time: float, sent_at: float
) -> dict[str, object]:
    """One ``account.positionUpdate`` payload: strings, but a numeric ``i``; the first frames have no ``e`` (backpack.md §3)."""
    data: dict[str, object] = {
        "B": number(position.entry_price),
        "E": micros(sent_at),
        "M": number(mark),
        "P": number(position.unrealized(mark)),
        "Q": number(exposure),
        "T": micros(time),
        "b": number(position.break_even()),
        "f": "0.02",
        "i": position.position_id,
        "l": "0",
        "m": "0.0125",
        "n": number(exposure * mark),
        "p": number(position.realized),
        "q": number(position.quantity),
        "s": position.symbol,
    }
    if event is not None:
        data["e"] = event
    return data


def position_row(position: Position, mark: Decimal, exposure: Decimal) -> dict[str, object]:
    return {
        "breakEvenPrice": number(position.break_even()),
        "cumulativeFundingPayment": "0",
        "cumulativeInterest": "0",
        "entryPrice": number(position.entry_price),
        "estLiquidationPrice": "0",
        "imf": "0.02",
        "imfFunction": {"base": "0.02", "factor": "0.0000935", "type": "sqrt"},
        "markPrice": number(mark),
        "mmf": "0.0125",
        "mmfFunction": {"base": "0.0125", "factor": "0.0000561", "type": "sqrt"},
        "netCost": number(position.entry_price * position.quantity),
        "netExposureNotional": number(exposure * mark),
        "netExposureQuantity": number(exposure),
        "netQuantity": number(position.quantity),
        "pnlRealized": number(position.realized),
        "pnlUnrealized": number(position.unrealized(mark)),
        "positionId": str(position.position_id),
        "subaccountId": None,
        "symbol": position.symbol,
        "userId": 1905955,
    }


def market_row(instrument: Instrument, band: PriceBand, *, is_perp: bool) -> dict[str, object]:
    """One row of ``/api/v1/markets``; the spot twin has the same numbers and another symbol."""
    price = {
        "tickSize": number(instrument.tick_size),
        "minPrice": number(instrument.tick_size),
        "maxPrice": None,
        "maxMultiplier": "1.25",
        "minMultiplier": "0.75",
        "maxImpactMultiplier": "1.01",
        "minImpactMultiplier": "0.99",
        "meanMarkPriceBand": {"maxMultiplier": number(band.high), "minMultiplier": number(band.low)},
        "meanPremiumBand": {"tolerancePct": "0.05"} if is_perp else None,
    }
    quantity = {"minQuantity": number(instrument.min_quantity), "maxQuantity": None, "stepSize": number(instrument.lot_size)}
    return {
        "symbol": instrument.symbol if is_perp else f"{instrument.base}_{instrument.quote}",
        "baseSymbol": instrument.base,
        "quoteSymbol": instrument.quote,
        "marketType": "PERP" if is_perp else "SPOT",
        "filters": {"price": price, "quantity": quantity},
        "imfFunction": {"base": "0.02", "factor": "0.0001275", "type": "sqrt"} if is_perp else None,
        "mmfFunction": {"base": "0.0125", "factor": "0.0000765", "type": "sqrt"} if is_perp else None,
        "fundingInterval": FUNDING_INTERVAL_MS if is_perp else None,
        "fundingRateUpperBound": "100" if is_perp else None,
        "fundingRateLowerBound": "-100" if is_perp else None,
        "openInterestLimit": "4000000" if is_perp else "0",
        "orderBookState": "Open",
        "createdAt": "2025-01-21T06:34:54.691858",
        "visible": True,
    }


def account_row(fees: Fees, open_orders: int) -> dict[str, object]:
    """``GET /api/v1/account``: fees in basis points, negative for a rebate (backpack.md §4)."""
    maker, taker = number(fees.maker / BPS), number(fees.taker / BPS)
    return {
        "autoBorrowSettlements": True,
        "autoLend": False,
        "autoRealizePnl": True,
        "autoRepayBorrows": True,
        "borrowLimit": "0",
        "futuresMakerFee": maker,
        "futuresTakerFee": taker,
        "leverageLimit": "10",
        "limitOrders": open_orders,
        "liquidating": False,
        "positionLimit": "1000000",
        "spotMakerFee": maker,
        "spotTakerFee": taker,
        "triggerOrders": 0,
    }
