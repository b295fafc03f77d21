"""The venue's wall clock as we estimate it; for signatures and history bounds only, never for ages or deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable

_JUMP_MS = 2500.0
"""The Date header has whole seconds and half a round trip of error; only a larger difference says that a clock jumped."""


class VenueClock:
    """Shared by all lanes of the venue; an assignment of one float needs no lock."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset_ms = 0.0

    def now_ms(self) -> int:
        """Unix milliseconds on the venue's clock."""
        return int(self._wall() * 1000 + self._offset_ms)

    def local_ms(self) -> float:
        """Unix milliseconds on this machine's clock."""
        return self._wall() * 1000

    def measured(self, offset_ms: float) -> None:
        """Take an offset measured against GET /time: venue minus ours."""
        self._offset_ms = offset_ms

    def observed(self, date_offset_ms: float | None) -> None:
        """Correct a gross error (a stepped local clock) by the Date header of an answer."""
        if date_offset_ms is not None and abs(date_offset_ms - self._offset_ms) > _JUMP_MS:
            self._offset_ms = date_offset_ms
