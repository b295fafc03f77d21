"""Orders of days gone by: what an account that has traded before is shown after every login (apex.md §0.2).

Must never be mistaken for anything the exchange did: they are invented, and older than the simulator's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from core.instrument import Instrument
from core.types import Side
from simulator.apex_orders import EXPIRED, NO_REASON, REDUCE_ONLY_CANCELED, USER_CANCELED, ApexOrder, Status, limit_fee

PAST_ORDERS = 30
DAY_S = 86_400
_FIRST_ID = 774_000_000_000_000_001
_PRICE = Decimal(2500)
_ENDS: tuple[tuple[Status, str], ...] = (
    ("FILLED", NO_REASON),
    ("CANCELED", USER_CANCELED),
    ("FILLED", NO_REASON),
    ("CANCELED", REDUCE_ONLY_CANCELED),
    ("EXPIRED", EXPIRED),
)


def past_orders(instruments: Iterable[Instrument], taker_rate: Decimal, now: float) -> list[ApexOrder]:
    """Thirty that have ended, most of them position TP/SL, oldest first."""
    known = list(instruments)
    return [_past_order(index, known[index % len(known)], taker_rate, now) for index in range(PAST_ORDERS)]


def last_ended(orders: Iterable[ApexOrder]) -> list[ApexOrder]:
    """The ``PAST_ORDERS`` that ended last, newest first."""
    ended = [order for order in orders if order.status in ("FILLED", "CANCELED", "EXPIRED")]
    return sorted(ended, key=lambda order: (order.updated_at, order.order_id), reverse=True)[:PAST_ORDERS]


def _past_order(index: int, instrument: Instrument, taker_rate: Decimal, now: float) -> ApexOrder:
    status, reason = _ENDS[index % len(_ENDS)]
    is_tpsl = index % 6 != 0
    kind: Literal["STOP_MARKET", "TAKE_PROFIT_MARKET"] = "STOP_MARKET" if index % 2 else "TAKE_PROFIT_MARKET"
    ended_at = now - DAY_S - (PAST_ORDERS - index) * 600
    size, price = instrument.min_quantity * 2, instrument.price_nearest(_PRICE)
    order = ApexOrder(
        order_id=_FIRST_ID + index,
        client_id=str(6_736_766_606_899_567 + index),
        symbol=instrument.symbol,
        side=Side.SELL if index % 3 else Side.BUY,
        type=kind if is_tpsl else "LIMIT",
        time_in_force="IMMEDIATE_OR_CANCEL" if is_tpsl else "GOOD_TIL_CANCEL",
        size=size,
        price=price,
        limit_fee=limit_fee(price, size, taker_rate),
        expiration=round((ended_at + 28 * DAY_S) * 1000) if status != "EXPIRED" else round(ended_at * 1000),
        created_at=ended_at - 300,
        updated_at=ended_at,
        trigger_price=price if is_tpsl else None,
        reduce_only=is_tpsl,
        is_position_tpsl=is_tpsl,
        status=status,
        cancel_reason=reason,
        is_changed=True,
    )
    if status == "FILLED":
        order.last_price = price
        for tally in (order.matched, order.succeeded):
            tally.add(size, price, price * size * taker_rate)
    return order
