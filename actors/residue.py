"""What a run leaves behind at the venues: read off the order tracker's facts, told to a person, and the reason for the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, cast

from core.health import OrderHealth
from core.types import VenueId


class Residue(NamedTuple):
    """Signed base per venue at or above a lot, and orders without a known end. ``is_hedged``: the positions add up to less than a lot, and
    a drain cannot change them.

    ``is_known`` is False while the order tracker does not answer: then nothing may be taken for flat, and the rest is what it said last.
    """

    positions: tuple[tuple[VenueId, Decimal], ...] = ()
    orders: tuple[OrderHealth, ...] = ()
    is_hedged: bool = True
    is_known: bool = False

    @staticmethod
    def of(facts: Mapping[str, object], venues: Sequence[VenueId], lot: Decimal, before: Residue) -> Residue:
        """``facts``: the order tracker's, empty when it did not answer; ``before``: what was found the last time."""
        if "positions" not in facts or "orders" not in facts:
            return before._replace(is_known=False)
        positions = cast(dict[VenueId, Decimal], facts["positions"])
        held = tuple((venue, positions.get(venue, Decimal(0))) for venue in venues)
        return Residue(
            positions=tuple((venue, quantity) for venue, quantity in held if abs(quantity) >= lot),
            orders=cast(tuple[OrderHealth, ...], facts["orders"]),
            is_hedged=abs(sum(positions.values(), Decimal(0))) < lot,
            is_known=True,
        )

    @property
    def is_flat(self) -> bool:
        return self.has_no_orders and not self.positions

    @property
    def has_no_orders(self) -> bool:
        return self.is_known and not self.orders

    @property
    def is_settled(self) -> bool:
        """Nothing is left that more time would change."""
        return self.has_no_orders and self.is_hedged

    @property
    def text(self) -> str:
        """What a person is told of it, empty when there is nothing to tell. The empty line in front ends a terminal's status line."""
        lines = self._lines()
        return "\n".join(("", *lines)) if lines else ""

    def _lines(self) -> list[str]:
        found = [f"left at {venue}: {'BUY' if held > 0 else 'SELL'} {abs(held)}" for venue, held in self.positions]
        for each in self.orders:
            found.append(f"left at {each.venue}: order {each.client_order_id} {each.side} {each.quantity} {each.state}")
        if self.is_known:
            return found
        return [f"left: unknown, the order tracker did not answer{'; when it last did:' if found else ''}", *found]
