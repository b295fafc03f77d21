"""The venue's wall clock as we estimate it; for signatures and history bounds only, never for ages or deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable


class VenueClock:
    """Shared by all lanes of the venue; an assignment of one float needs no lock."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self.offset_ms = 0.0

    def now_ms(self) -> int:
        """Unix milliseconds on the venue's clock."""
        return int(self._wall() * 1000 + self.offset_ms)

    def local_ms(self) -> float:
        """Unix milliseconds on this machine's clock."""
        return self._wall() * 1000

    def measured(self, offset_ms: float) -> None:
        """Take an offset measured against GET /time: venue minus ours."""
        self.offset_ms = offset_ms
