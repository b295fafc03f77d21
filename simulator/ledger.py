"""Orders, fills and events of the simulated exchange, and their JSON form: the record the checkers judge a run by.

Must never decide anything: matching and accounts are in ``exchange.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from core.types import ZERO, Side

Tif: TypeAlias = Literal["GTC", "IOC"]
Status: TypeAlias = Literal["OPEN", "FILLED", "CANCELLED", "REJECTED", "EXPIRED"]

HOUSE_ACCOUNTS = frozenset({"house", "flow"})
"""Accounts of the market itself: they keep positions, but no record of orders and fills, and cause no account events."""


class ExchangeRefused(Exception):
    """The order never came to be. ``reason``: UNKNOWN_SYMBOL, BAD_PRICE, TICK, BAD_QUANTITY, LOT, MIN_QUANTITY,
    MIN_NOTIONAL or BAD_TIF; ``field``: "symbol", "price", "quantity" or "post_only"."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(f"{reason}: {field}")
        self.reason = reason
        self.field = field


class SimOrder(msgspec.Struct):
    """One order; quantities in base, ``notional`` = sum of price times quantity filled, times in epoch seconds.

    What the exchange hands out are copies; ``tag`` (the face's own data) is shared by all copies of one order.
    """

    order_id: int
    account: str
    symbol: str
    side: Side
    price: Decimal | None
    """None: a market order."""
    quantity: Decimal
    tif: Tif
    post_only: bool
    reduce_only: bool
    client_id: str
    created_at: float
    updated_at: float
    expires_at: float | None
    tag: dict[str, Any]
    filled: Decimal = ZERO
    notional: Decimal = ZERO
    status: Status = "OPEN"
    reason: str = ""

    @property
    def leaves(self) -> Decimal:
        """What may still fill; meaningful while OPEN."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """None before the first fill."""
        return self.notional / self.filled if self.filled else None


class AccountFill(msgspec.Struct, frozen=True):
    """One account's half of one match; ``fee`` is signed, positive = paid; both halves share ``trade_id``."""

    trade_id: int
    account: str
    symbol: str
    order_id: int
    client_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    time: float


class OrderEvent(msgspec.Struct, frozen=True):
    """An order opened (status OPEN, before its first fill), was shrunk (OPEN), or ended by anything but a fill."""

    order: SimOrder


class FillEvent(msgspec.Struct, frozen=True):
    """``order`` is the order just after this fill: OPEN, or FILLED with the last one (no OrderEvent follows then)."""

    fill: AccountFill
    order: SimOrder


class BookEvent(msgspec.Struct, frozen=True):
    """The new total of one price level; quantity 0 = the level is gone."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal


class PositionEvent(msgspec.Struct, frozen=True):
    """The signed position after a fill."""

    account: str
    symbol: str
    quantity: Decimal


class TradeEvent(msgspec.Struct, frozen=True):
    """One print on the public tape."""

    symbol: str
    price: Decimal
    quantity: Decimal
    taker_side: Side
    time: float


Event: TypeAlias = OrderEvent | FillEvent | BookEvent | PositionEvent | TradeEvent


def ledger_of(
    name: str,
    orders: Iterable[SimOrder],
    fills: Iterable[AccountFill],
    positions: Mapping[tuple[str, str], Decimal],
) -> dict[str, Any]:
    """JSON-able: ``{"venue", "orders": [...], "fills": [...], "positions": {account: {symbol: quantity}}}``; decimals as strings."""
    by_account: dict[str, dict[str, str]] = {}
    for (account, symbol), quantity in positions.items():
        if account not in HOUSE_ACCOUNTS:
            by_account.setdefault(account, {})[symbol] = format(quantity, "f")
    return {
        "venue": name,
        "orders": [plain(order) for order in orders],
        "fills": [plain(fill) for fill in fills],
        "positions": by_account,
    }


def plain(record: SimOrder | AccountFill) -> dict[str, Any]:
    """JSON-able fields, decimals as strings, the face's tag left out."""
    fields: dict[str, Any] = {}
    for name in record.__struct_fields__:
        if name != "tag":
            fields[name] = _plain_value(getattr(record, name))
    return fields


def _plain_value(value: object) -> object:
    match value:
        case Decimal():
            return format(value, "f")
        case Side():
            return value.value
        case _:
            return value
