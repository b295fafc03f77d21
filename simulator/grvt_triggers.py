"""The trigger of a GRVT order: read from its metadata, which no signature covers, and echoed as the venue writes it (grvt.md §4)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from core.types import Side
from simulator import grvt_wire as wire
from simulator.grvt_wire import GrvtError, Json

TYPES = ("TAKE_PROFIT", "STOP_LOSS")
PRICES = ("INDEX", "LAST", "MID", "MARK")


class Trigger(NamedTuple):
    """``by``: the price that is watched; INDEX, MID and MARK are the mid of the book here."""

    type: str
    by: str
    price: Decimal

    def is_due(self, side: Side, price: Decimal) -> bool:
        """Whether ``price`` sets off an order of ``side``: a stop goes off when it moves against the position that the order closes, a
        take-profit when it moves in its favour."""
        is_downward = (side is Side.SELL) == (self.type == "STOP_LOSS")
        return price <= self.price if is_downward else price >= self.price


def trigger_of(metadata: Json) -> Trigger | None:
    """None for a plain order. 2110 for a price nobody knows, 2112 for another type, 2113 for no price, 2117 for an order that closes the
    position whatever its size, 2242 for one of a split set; raises GrvtError."""
    found = metadata.get("trigger")
    if found in (None, wire.NO_TRIGGER):
        return None
    tpsl = found.get("tpsl") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(tpsl, dict) or found.get("trigger_type") not in TYPES:
        raise GrvtError(2112)
    if tpsl.get("trigger_by") not in PRICES:
        raise GrvtError(2110)
    if wire.bool_of(tpsl.get("close_position")):
        raise GrvtError(2117)
    if wire.bool_of(tpsl.get("is_split_position")):
        raise GrvtError(2242)
    price = wire.decimal_of(tpsl.get("trigger_price") or "0")
    if price <= 0:
        raise GrvtError(2113)
    return Trigger(found["trigger_type"], tpsl["trigger_by"], price)


def trigger_metadata(trigger: Trigger | None) -> Json:
    """As the venue echoes it."""
    if trigger is None:
        return wire.NO_TRIGGER
    tpsl = {
        "trigger_by": trigger.by,
        "trigger_price": wire.number(trigger.price),
        "close_position": False,
        "is_split_position": False,
    }
    return {"trigger_type": trigger.type, "tpsl": tpsl}
