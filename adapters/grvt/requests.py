"""GRVT's requests as bytes (grvt.md §1, §4): pure builders; who sends them, and what the answer means, is the client's business.

It must never set ``order_id``, ``state`` or ``create_time`` of a new order (2010, 2050, 2051), nor a builder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.grvt.signer import (
    GOOD_TILL_TIME,
    IMMEDIATE_OR_CANCEL,
    PRICE_DECIMALS,
    NotSignable,
    OrderSigner,
    SignableOrder,
    scaled,
)
from adapters.grvt.values import wire_client_order_id
from core.instrument import Instrument
from core.messages import PlaceOrder
from core.types import ClientOrderId, Side, TimeInForce

FILLS_PER_PAGE = 500
BOOK_DEPTH = 50
CANCEL_TTL_MS_MAX = 5000
COUNTDOWN_S_MAX = 300
TRIGGER_BY = "LAST"

_TIME_IN_FORCE = {
    TimeInForce.GTC: ("GOOD_TILL_TIME", GOOD_TILL_TIME),
    TimeInForce.IOC: ("IMMEDIATE_OR_CANCEL", IMMEDIATE_OR_CANCEL),
}


_TRIGGER_TYPES = {"stop": "STOP_LOSS", "take_profit": "TAKE_PROFIT"}


class Call(NamedTuple):
    """One POST: path on the host and JSON body. A repetition sends the same bytes."""

    path: str
    body: bytes


def login(api_key: str) -> Call:
    """For the edge host; the answer's headers hold the session (grvt.md §1)."""
    return _call("/auth/api_key/login", {"api_key": api_key})


def create_order(order: PlaceOrder, instrument: Instrument, sub_account_id: str, signer: OrderSigner, expiration_ns: int) -> Call:
    """A signed limit order; raises NotSignable where price or quantity has more decimals than the contract.

    ``expiration_ns`` ends the signature and, for a resting or dormant order, the order itself. The nonce follows from the client order id:
    one order, one signature, for ever.
    """
    return _call("/full/v1/create_order", {"order": _signed(order, instrument, sub_account_id, signer, expiration_ns)})


def bulk_orders(
    orders: Sequence[PlaceOrder], instrument: Instrument, sub_account_id: str, signer: OrderSigner, expiration_ns: int
) -> Call:
    """Orders in one request, each signed by itself. A take-profit and a stop of the same side and quantity are an OCO pair for the venue;
    the odd names of the empty lists are the wire's (grvt.md §4). Raises NotSignable as ``create_order`` does."""
    signed = [_signed(order, instrument, sub_account_id, signer, expiration_ns) for order in orders]
    fields = {"sub_account_id": sub_account_id, "orders": signed, "order_i_ds": [], "client_order_i_ds": []}
    return _call("/full/v2/bulk_orders", fields)


def cancel_order(sub_account_id: str, client_order_id: ClientOrderId, ttl_ms: int | None) -> Call:
    """By client id, so that the cancel can stay armed for ``ttl_ms`` (at most 5000) against a create that arrives later."""
    fields = {"sub_account_id": sub_account_id, "client_order_id": wire_client_order_id(client_order_id)}
    if ttl_ms is not None:
        fields["time_to_live_ms"] = str(min(ttl_ms, CANCEL_TTL_MS_MAX))
    return _call("/full/v1/cancel_order", fields)


def cancel_all(sub_account_id: str, instrument: Instrument) -> Call:
    """All orders of the contract's base and quote; may miss orders in flight (grvt.md §4)."""
    return _call("/full/v1/cancel_all_orders", _filtered(sub_account_id, instrument))


def cancel_on_disconnect(sub_account_id: str, countdown_s: float) -> Call:
    """The dead-man switch: whole seconds up to 300, 0 disarms; 1 s or less would disarm, so it is raised to 2 (grvt.md §3)."""
    seconds = 0 if countdown_s <= 0 else min(max(math.ceil(countdown_s), 2), COUNTDOWN_S_MAX)
    return _call("/full/v1/cancel_on_disconnect", {"sub_account_id": sub_account_id, "countdown_time": str(seconds * 1000)})


def order(sub_account_id: str, client_order_id: ClientOrderId) -> Call:
    fields = {"sub_account_id": sub_account_id, "client_order_id": wire_client_order_id(client_order_id)}
    return _call("/full/v1/order", fields)


def open_orders(sub_account_id: str, instrument: Instrument) -> Call:
    return _call("/full/v1/open_orders", _filtered(sub_account_id, instrument))


def positions(sub_account_id: str, instrument: Instrument) -> Call:
    return _call("/full/v1/positions", _filtered(sub_account_id, instrument))


def fill_history(sub_account_id: str, instrument: Instrument, start_ms: int, cursor: str) -> Call:
    """One page; ``start_ms`` on the venue's clock, ``cursor`` empty for the first page."""
    fields: dict[str, object] = dict(_filtered(sub_account_id, instrument))
    fields |= {"start_time": str(max(start_ms, 0) * 1_000_000), "limit": FILLS_PER_PAGE, "cursor": cursor}
    return _call("/full/v1/fill_history", fields)


def account_summary(sub_account_id: str) -> Call:
    return _call("/full/v1/account_summary", {"sub_account_id": sub_account_id})


def all_instruments() -> Call:
    """For the market-data host."""
    return _call("/full/v1/all_instruments", {"is_active": True})


def book(symbol: str) -> Call:
    """For the market-data host: 50 levels, one of the depths that exist (grvt.md §2)."""
    return _call("/full/v1/book", {"instrument": symbol, "depth": BOOK_DEPTH})


def subscribe(request_id: int, stream: str, selector: str) -> str:
    """A text frame; ids start at 1 because 0 marks the answer to an unreadable request (grvt.md §4)."""
    params = {"stream": stream, "selectors": [selector]}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "subscribe", "params": params, "id": request_id}).decode()


def plain(value: Decimal) -> str:
    """Decimal text without exponent."""
    return f"{value:f}"


def _signed(
    order: PlaceOrder, instrument: Instrument, sub_account_id: str, signer: OrderSigner, expiration_ns: int
) -> dict[str, object]:
    signable = _signable(order, instrument, sub_account_id, expiration_ns)
    signature = signer.sign(signable)
    return {
        "sub_account_id": sub_account_id,
        "is_market": False,
        "time_in_force": _time_in_force(order)[0],
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "legs": [
            {
                "instrument": instrument.symbol,
                "size": plain(order.quantity),
                "limit_price": plain(order.price),
                "is_buying_asset": signable.is_buying,
            }
        ],
        "signature": {
            "signer": signer.address,
            "r": signature.r,
            "s": signature.s,
            "v": signature.v,
            "expiration": str(expiration_ns),
            "nonce": signable.nonce,
            "chain_id": str(signer.chain_id),
        },
        "metadata": {"client_order_id": wire_client_order_id(order.client_order_id), **_trigger(order)},
    }


def _trigger(order: PlaceOrder) -> dict[str, object]:
    """Part of the metadata, which no signature covers (grvt.md §4). Watches the last trade, as the stop on ApeX does."""
    if order.trigger_price is None or order.trigger_kind is None:
        return {}
    tpsl = {
        "trigger_by": TRIGGER_BY,
        "trigger_price": plain(order.trigger_price),
        "close_position": False,
        "is_split_position": False,
    }
    return {"trigger": {"trigger_type": _TRIGGER_TYPES[order.trigger_kind], "tpsl": tpsl}}


def _time_in_force(order: PlaceOrder) -> tuple[str, int]:
    """A market order of the venue has no worst price: ours is a limit order that takes what its price allows and goes."""
    return _TIME_IN_FORCE[TimeInForce.IOC if order.is_market else order.time_in_force]


def _signable(order: PlaceOrder, instrument: Instrument, sub_account_id: str, expiration_ns: int) -> SignableOrder:
    signable = SignableOrder(
        sub_account_id=int(sub_account_id),
        is_market=False,
        time_in_force=_time_in_force(order)[1],
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        asset_id=int(instrument.contract_id, 16),
        contract_size=scaled(order.quantity, instrument.base_decimals, "quantity"),
        limit_price=scaled(order.price, PRICE_DECIMALS, "price"),
        is_buying=order.side is Side.BUY,
        nonce=order.client_order_id % 2**32,
        expiration_ns=expiration_ns,
    )
    if not signable.contract_size or not signable.limit_price:
        raise NotSignable("price and quantity must be above 0")
    return signable


def _filtered(sub_account_id: str, instrument: Instrument) -> dict[str, str | list[str]]:
    return {
        "sub_account_id": sub_account_id,
        "kind": ["PERPETUAL"],
        "base": [instrument.base],
        "quote": [instrument.quote],
    }


def _call(path: str, fields: object) -> Call:
    return Call(path, msgspec.json.encode(fields))
