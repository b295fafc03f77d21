"""The trading account as GRVT reports it: fills, positions and the balance summary, made from executions alone.

Keeps no orders and decides nothing. Position shapes follow the live captures (grvt.md §3, §4).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

import msgspec

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator import grvt_wire as wire
from simulator.grvt_wire import GrvtError, Json

Item = TypeVar("Item")

LEVERAGE = Decimal(20)
_MICRO = Decimal("0.000001")
_MILLI = Decimal("0.001")


@dataclass
class PositionBook:
    """Size, average entry and money of one contract; size is signed, base units."""

    size: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO

    def apply(self, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Books one execution; returns the profit it realized, fee not counted."""
        self.fees += fee
        closing = min(quantity, abs(self.size)) if self.size * side.sign < 0 else ZERO
        profit = closing * (price - self.entry) * (1 if self.size > 0 else -1)
        opened = quantity - closing
        self.size += quantity * side.sign
        if opened > 0:
            before = abs(self.size) - opened
            self.entry = (self.entry * before + price * opened) / abs(self.size)
        elif self.size == 0:
            self.entry = ZERO
        self.realized += profit
        return profit

    def unrealized(self, mark: Decimal) -> Decimal:
        return self.size * (mark - self.entry)

    def wire(self, contract: Instrument, mark: Decimal, *, sub_account_id: str, now: float) -> Json:
        """The Positions object of the live capture of v1.position."""
        unrealized = self.unrealized(mark)
        invested = abs(self.size) * self.entry
        roi = unrealized / invested * 100 if invested else ZERO
        return {
            "event_time": wire.nanoseconds(now),
            "sub_account_id": sub_account_id,
            "instrument": contract.symbol,
            "size": wire.number(self.size),
            "notional": _money(self.size * mark),
            "entry_price": wire.number(self.entry.quantize(_MICRO)),
            "exit_price": "0.0",
            "mark_price": wire.number(mark),
            "unrealized_pnl": _money(unrealized),
            "realized_pnl": _money(self.realized),
            "total_pnl": _money(unrealized + self.realized),
            "roi": wire.number(roi.quantize(Decimal("0.0001"))),
            "quote_index_price": "1.0",
            "est_liquidation_price": "0.0",
            "leverage": wire.number(LEVERAGE),
            "cumulative_fee": _money(self.fees),
            "cumulative_realized_funding_payment": "0.0",
            "margin_type": "CROSS",
        }


def summary(
    books: Mapping[str, PositionBook],
    marks: Mapping[str, Decimal],
    *,
    deposit: Decimal,
    positions: Sequence[Json],
    sub_account_id: str,
    now: float,
) -> Json:
    """SubAccount, the shape of the live capture: equity and margin of a cross-margined account in USDT."""
    unrealized = sum((book.unrealized(marks[s]) for s, book in books.items()), ZERO)
    balance = deposit + sum((book.realized - book.fees for book in books.values()), ZERO)
    margin = sum((abs(book.size) * marks[s] / LEVERAGE for s, book in books.items()), ZERO)
    return {
        "event_time": wire.nanoseconds(now),
        "sub_account_id": sub_account_id,
        "margin_type": "SIMPLE_CROSS_MARGIN",
        "settle_currency": "USDT",
        "unrealized_pnl": _money(unrealized),
        "total_equity": _money(balance + unrealized),
        "initial_margin": _money(margin),
        "maintenance_margin": _money(margin / 2),
        "available_balance": _money(balance + unrealized - margin),
        "spot_balances": [{"currency": "USDT", "balance": _money(balance), "index_price": "1.0"}],
        "positions": list(positions),
        "settle_index_price": "1.0",
        "derisk_margin": "0.0",
        "derisk_to_maintenance_margin_ratio": "1.0",
        "total_cross_equity": _money(balance + unrealized),
        "cross_unrealized_pnl": _money(unrealized),
    }


def fee_text(fee: Decimal) -> str:
    """Fees carry six decimals, negative = rebate (live fills, grvt.md §3)."""
    return _money(fee)


def fee_rate_text(fee: Decimal, notional: Decimal) -> str:
    """Percent of notional with three decimals, so the base rebate reads "0.0" (grvt.md §3)."""
    return wire.number((fee / notional * 100).quantize(_MILLI, ROUND_HALF_EVEN))


def page(items: Sequence[Item], params: Json, time_ns: Callable[[Item], int], show: Callable[[Item], Json]) -> Json:
    """One page of a history, newest first; ``items`` stand oldest first.

    ``next`` is an opaque cursor, empty on the last page; a cursor names a place counted from the oldest item, so that
    what happens between two pages neither repeats nor hides an item.
    """
    limit = min(wire.uint_of(params.get("limit")) or 500, 1000)
    start, end = wire.uint_of(params.get("start_time")), wire.uint_of(params.get("end_time"))
    found: list[Json] = []
    for index in range(_place(params.get("cursor"), len(items)) - 1, -1, -1):
        time = time_ns(items[index])
        if time < start or (end and time > end):
            continue
        if len(found) == limit:
            return {"result": found, "next": _cursor(index + 1)}
        found.append(show(items[index]))
    return {"result": found, "next": ""}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode({"before": place})).decode()


def _place(cursor: object, count: int) -> int:
    if not cursor:
        return count
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(str(cursor)), type=dict[str, int])["before"]
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, KeyError):
        raise GrvtError(1003) from None
    if not 0 <= place <= count:
        raise GrvtError(1003)
    return place


def _money(value: Decimal) -> str:
    return wire.number(value.quantize(_MICRO, ROUND_HALF_EVEN))
