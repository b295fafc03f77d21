"""What GRVT's bytes look like: error codes, numbers as text, and the objects of the full (long-name) dialect.

Pure. Shapes follow the live captures where there is one, the specification elsewhere (grvt.md §2-§6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from core.instrument import Instrument

Json = dict[str, Any]

ERRORS: Mapping[int, tuple[int, str]] = {
    1000: (401, "You need to authenticate prior to using this functionality"),
    1001: (403, "You are not authorized to access this functionality"),
    1002: (500, "Internal Server Error"),
    1003: (400, "Request could not be processed due to malformed syntax"),
    1004: (404, "Data Not Found"),
    1006: (429, "You have surpassed the allocated rate limit for your tier"),
    1009: (503, "We are temporarily deactivating this API endpoint, please try again later"),
    1012: (400, "Invalid signature chain ID"),
    1101: (400, "Feed Format must be in the format of <primary>@<secondary>"),
    1102: (400, "Wrong number of primary selectors"),
    1103: (400, "Wrong number of secondary selectors"),
    2000: (403, "Signature is from an unauthorized signer"),
    2001: (403, "Signature has expired"),
    2002: (403, "Signature does not match payload"),
    2003: (403, "Order sub account does not match logged in user"),
    2005: (403, "Signature V must be 27/28"),
    2006: (403, "Signature R/S must have exactly 64 characters long without 0x prefix"),
    2007: (403, "Signature S must be in the lower half of the curve"),
    2010: (400, "Order ID should be empty when creating an order"),
    2011: (400, "Client Order ID should be supplied when creating an order"),
    2012: (400, "Client Order ID overlaps with existing active order"),
    2020: (400, "Market Order must always be supplied without a limit price"),
    2021: (400, "Limit Order must always be supplied with a limit price"),
    2030: (400, "Orderbook Orders must have a TimeInForce of GTT/IOC/FOK"),
    2032: (400, "Post Only can only be set to true for GTT/AON orders"),
    2040: (400, "Order must contain at least one leg"),
    2042: (400, "Orderbook Orders must contain only one leg"),
    2050: (400, "Order state must be empty upon creation"),
    2051: (400, "Order execution metadata must be empty upon creation"),
    2060: (400, "Order Legs contain one or more inactive derivative"),
    2061: (400, "Unsupported Instrument Requested"),
    2062: (400, "Order size smaller than min size"),
    2064: (400, "Invalid limit price tick"),
    2065: (400, "Order size too granular"),
    2066: (400, "Order below minimum notional. Please try again with a higher price or size."),
    2067: (400, "Order below minimum notional. Please try reducing your position again with a higher price or size."),
    2110: (400, "Invalid trigger by"),
    2112: (400, "Invalid trigger order"),
    2113: (400, "Trigger price must be non-zero"),
    2117: (400, "Position linked TPSL orders must be created from web or mobile clients"),
    2233: (400, "Both order ID and client order ID cannot be provided"),
    2234: (400, "Bulk create orders must have the same instrument"),
    2235: (400, "Bulk orders count exceeds the maximum allowed"),
    2236: (400, "Bulk orders does not support trigger order"),
    2242: (
        400,
        "Split TPSL functionality not supported; you may be using a deprecated API, or this functionality is temporarily disabled",
    ),
    2301: (400, "Order cancel time-to-live exceeds maximum allowed value."),
    2400: (400, "Reduce only order with no position"),
    2401: (400, "Reduce only order must not increase position size"),
    2402: (400, "Reduce only order size exceeds maximum allowed value"),
    3000: (400, "Instrument is invalid"),
    3001: (400, "Stream handler not found"),
    3011: (400, "Limit exceeds min or max value"),
    3013: (400, "Exact limit value is not supported"),
    3020: (400, "Sub account ID must be an uint64 integer"),
    3021: (400, "Either order ID or client order ID must be supplied"),
    3030: (400, "Feed rate is invalid"),
    3031: (400, "Depth is invalid"),
    6000: (400, "Countdown time is bigger than 300s supported"),
    7304: (400, "Only position-reducing orders (`reduce_only` as true) allowed for this asset right now."),
}
"""Code -> (HTTP status, message) of every error this face can answer with (grvt.md §6)."""

NO_TRIGGER: Json = {
    "trigger_type": "UNSPECIFIED",
    "tpsl": {"trigger_by": "UNSPECIFIED", "trigger_price": "0.0", "close_position": False},
}


def version_of(route: str) -> str:
    """Of the path or method that a route is called by."""
    return "v2" if route == "bulk_orders" else "v1"


_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_UNSIGNED = re.compile(r"[0-9]{1,40}|0x[0-9a-fA-F]{1,40}")


class GrvtError(Exception):
    """The venue refuses: ``code`` of :data:`ERRORS`."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.status, self.message = ERRORS[code]
        super().__init__(f"{code} {self.message}")


def rest_error(error: GrvtError, request_id: int) -> Json:
    """REST shape; the HTTP status stands in the body again (grvt.md §6)."""
    return {"request_id": request_id, "code": error.code, "message": error.message, "status": error.status}


def rpc_error(error: GrvtError, request_id: int, method: str) -> Json:
    """WebSocket shape: no status (grvt.md §6)."""
    return {
        "jsonrpc": "2.0",
        "error": {"code": error.code, "message": error.message},
        "id": request_id,
        "method": method,
    }


def parse_object(body: str | bytes) -> Json:
    """A JSON object, or error 1003 for anything else, the empty body included (grvt.md §1)."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise GrvtError(1003) from None
    if not isinstance(value, dict):
        raise GrvtError(1003)
    return value


def dump(value: object) -> str:
    return msgspec.json.encode(value).decode()


def number(value: Decimal) -> str:
    """GRVT's way of writing numbers: no trailing zeros but always one decimal ("87800.0", "0.001")."""
    text = f"{value.normalize() + 0:f}"
    return text if "." in text else f"{text}.0"


def nanoseconds(seconds: float) -> str:
    """Unix time in ns as text, cut to microseconds: a float of today's seconds holds no more."""
    return str(round(seconds * 1_000_000) * 1000)


def decimal_of(value: object) -> Decimal:
    """A finite number sent as text (or as a JSON integer); anything else is 1003."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not _DECIMAL.fullmatch(str(value)):
        raise GrvtError(1003)
    return Decimal(value)


def uint_of(value: object, *, bits: int = 64, code: int = 1003) -> int:
    """An unsigned integer sent as decimal or 0x text, or as a JSON integer; None and "" count as 0."""
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not _UNSIGNED.fullmatch(str(value)):
        raise GrvtError(code)
    text = str(value)
    parsed = int(text, 16) if text.startswith("0x") else int(text)
    if parsed.bit_length() > bits:
        raise GrvtError(code)
    return parsed


def bool_of(value: object) -> bool:
    """A JSON boolean; absent = False, anything else is 1003."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise GrvtError(1003)
    return value


def instrument(contract: Instrument, status: str) -> Json:
    """InstrumentDisplay; caps, maximum and creation time are those of the reconstructed ETH entry (grvt.md §5)."""
    return {
        "instrument": contract.symbol,
        "instrument_hash": contract.contract_id,
        "base": contract.base,
        "quote": contract.quote,
        "kind": "PERPETUAL",
        "venues": ["ORDERBOOK", "RFQ"],
        "settlement_period": "PERPETUAL",
        "base_decimals": contract.base_decimals,
        "quote_decimals": 6,
        "tick_size": number(contract.tick_size),
        "min_size": number(contract.min_quantity),
        "create_time": "1768040726362500000",
        "max_position_size": "10000.0",
        "funding_interval_hours": 8,
        "adjusted_funding_rate_cap": "0.3",
        "adjusted_funding_rate_floor": "-0.3",
        "min_notional": number(contract.min_notional),
        "status": status,
    }


def order_id_text(contract: Instrument, signature_s: str, counter: int) -> str:
    """0x, 0101, kind, base, quote, the last three bytes of the signature's s, an 8-byte counter (grvt.md §3)."""
    asset = int(contract.contract_id, 16).to_bytes(3, "big")[::-1].hex()
    tail = signature_s.removeprefix("0x")[-6:].lower().rjust(6, "0")
    return f"0x0101{asset}{tail}{counter:016x}"


def state(status: str, reason: str, *, book: Decimal, traded: Decimal, average: Decimal, time: float) -> Json:
    """OrderState; the arrays have one entry per leg and there is always one leg (grvt.md §3)."""
    return {
        "status": status,
        "reject_reason": reason,
        "book_size": [number(book)],
        "traded_size": [number(traded)],
        "update_time": nanoseconds(time),
        "avg_fill_price": [number(average)],
    }


def selects(params: Json, contract: Instrument) -> bool:
    """Whether the kind/base/quote filter of a query covers the contract; an absent or empty filter covers all."""
    wanted = (("kind", "PERPETUAL"), ("base", contract.base), ("quote", contract.quote))
    return all(not params.get(name) or value in params[name] for name, value in wanted)
