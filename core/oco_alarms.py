"""What a person is told about an OCO pair whose orders do not do what was asked of them, once for each occasion. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.messages import Alert
from core.oco_legs import Leg
from core.types import ClientOrderId

NAKED_ALARM_S = 1.0
CANCEL_ALARM_S = 5.0


def alert(key: str, text: str, now: float, *, is_critical: bool = False) -> Alert:
    return Alert(level="critical" if is_critical else "warning", key=key, text=text, at=now)


class CancelAlarm:
    """A cancel that does not come to an end: the pair stays with the position, a person is told once."""

    def __init__(self) -> None:
        self._told: set[ClientOrderId] = set()

    def due(self, legs: Iterable[Leg], now: float) -> tuple[Alert, ...]:
        open_legs = {leg.order.client_order_id: leg for leg in legs if leg.is_open}
        self._told &= open_legs.keys()
        fresh = [
            key
            for key, leg in open_legs.items()
            if leg.cancel_sent_at is not None and now - leg.cancel_sent_at >= CANCEL_ALARM_S and key not in self._told
        ]
        self._told.update(fresh)
        return tuple(alert("cancel", f"leg {key} is not seen to end after its cancel", now, is_critical=True) for key in fresh)


class NakedAlarm:
    """A position without a standing stop for a second is flagged, whatever is being done about it (I13)."""

    def __init__(self) -> None:
        self.since: float | None = None
        """Since when the position has been without; None: it is covered, or there is none."""
        self._is_told = False

    def over(self) -> None:
        self.since, self._is_told = None, False

    def due(self, held: Decimal, base: str, now: float) -> tuple[Alert, ...]:
        """To be asked for as long as no stop stands; quantities in base."""
        self.since = now if self.since is None else self.since
        if self._is_told or now - self.since < NAKED_ALARM_S:
            return ()
        self._is_told = True
        return (alert("naked", f"{held} {base} without a standing stop", now, is_critical=True),)
