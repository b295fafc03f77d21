"""A venue's clock against ours while a run lasts. Signatures carry the difference; a large one is told, a huge one ends the trading.

Ages and deadlines never depend on it: they are monotonic.
"""

from __future__ import annotations

from core.messages import Alert
from core.types import VenueId

ALARM_MS = 1_000.0
HALT_MS = 60_000.0
"""No venue here accepts a request with a timestamp further off: one of the two clocks is wrong beyond what may be corrected unseen."""


class ClockWatch:
    """``judge`` returns an Alert when the difference has moved by more than a second since it was last told."""

    def __init__(self, venue: VenueId) -> None:
        self._venue = venue
        self._told_ms = 0.0

    def judge(self, offset_ms: float, now: float) -> tuple[Alert, ...]:
        """``offset_ms``: venue clock minus ours, as signatures carry it."""
        if abs(offset_ms - self._told_ms) <= ALARM_MS:
            return ()
        self._told_ms = offset_ms
        text = f"the clock of {self._venue} minus ours is {offset_ms / 1000:+.1f} s"
        if abs(offset_ms) > HALT_MS:
            return (Alert(level="critical", key="clock", text=text, at=now),)
        return (Alert(level="warning", key="clock", text=f"{text}; signatures carry it", at=now),)
