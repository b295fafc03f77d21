"""Tick, lot and minimums of one contract; the only place that rounds a price or a quantity."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

from core.types import Side, VenueId


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One perpetual contract as its venue's API describes it.

    ``tick_size`` quote per base; ``lot_size`` and ``min_quantity`` base; ``min_notional`` quote.
    ``contract_id`` is what signatures name it by (GRVT: instrument hash; ApeX: l2PairId; Backpack: empty),
    ``base_decimals`` the power of ten a signature scales quantities with.
    """

    venue: VenueId
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    min_notional: Decimal = Decimal(0)
    contract_id: str = ""
    base_decimals: int = 0
    market_symbol: str = ""
    """Name on the market-data side where it differs from ``symbol`` (ApeX); empty = the same."""

    def price_passive(self, price: Decimal, side: Side) -> Decimal:
        """Nearest tick that is not more aggressive than ``price``: down for BUY, up for SELL."""
        return _to_step(price, self.tick_size, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)

    def price_aggressive(self, price: Decimal, side: Side) -> Decimal:
        """Nearest tick at least as aggressive as ``price``: up for BUY, down for SELL."""
        return _to_step(price, self.tick_size, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR)

    def price_nearest(self, price: Decimal) -> Decimal:
        return _to_step(price, self.tick_size, ROUND_HALF_EVEN)

    def quantity_down(self, quantity: Decimal) -> Decimal:
        """Largest multiple of the lot not above ``quantity`` (towards zero for a negative one)."""
        return _to_step(quantity, self.lot_size, ROUND_DOWN)

    def is_tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether an order of this size meets the venue's minimum quantity and notional."""
        return quantity >= self.min_quantity and quantity > 0 and quantity * price >= self.min_notional

    def changes(self, now: Instrument) -> str:
        """What its venue describes differently by now, for a person to read; empty = nothing."""
        names = [name for name in self.__struct_fields__ if getattr(self, name) != getattr(now, name)]
        return ", ".join(f"{name} {getattr(self, name)} is now {getattr(now, name)}" for name in names)

    def violations(self, price: Decimal, quantity: Decimal) -> tuple[str, ...]:
        """What is wrong with an order of these numbers; empty = it may be sent (I16).

        No venue that asks for a notional lets an order that only reduces be worth less than another (GRVT: 2067, protocols/grvt.md §4).
        """
        found = []
        if not (price.is_finite() and price > 0):
            return (f"price {price} is not a positive number",)
        if not (quantity.is_finite() and quantity > 0):
            return (f"quantity {quantity} is not a positive number",)
        if price % self.tick_size != 0:
            found.append(f"price {price} is off the tick {self.tick_size}")
        if quantity % self.lot_size != 0:
            found.append(f"quantity {quantity} is off the lot {self.lot_size}")
        if quantity < self.min_quantity:
            found.append(f"quantity {quantity} is below the minimum {self.min_quantity}")
        if quantity * price < self.min_notional:
            found.append(f"notional {quantity * price} is below the minimum {self.min_notional}")
        return tuple(found)


def _to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (value / step).to_integral_value(rounding=rounding) * step
