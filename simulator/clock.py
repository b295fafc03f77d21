"""Time for the simulator: the real one on the asyncio loop, a virtual one for tests and the seeded simulation.

Must never sleep: waiting is a callback.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Delays(NamedTuple):
    """One way to the venue, one way back, and how long after the fact a stream event leaves; seconds, all zero in tests."""

    request_s: float = 0.0
    answer_s: float = 0.0
    stream_s: float = 0.0


class Clock(Protocol):
    """Epoch seconds and timers; callbacks run on the one thread of the simulator, in order of their due time."""

    def now(self) -> float: ...

    def call_later(self, delay_s: float, fn: Callable[[], None]) -> None: ...


class RealClock:
    """Wall time advanced by the monotonic clock, so that a step of the system clock cannot reorder the ledger."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def step(self, seconds: float) -> None:
        """Set the venues' clock that much ahead; timers keep to their time."""
        self._offset += seconds

    def now(self) -> float:
        return self._offset + time.monotonic()

    def call_later(self, delay_s: float, fn: Callable[[], None]) -> None:
        """Needs the running asyncio loop."""
        asyncio.get_running_loop().call_later(max(0.0, delay_s), fn)


class VirtualClock:
    """Time that moves only when told to; callbacks of the same instant run in the order they were asked for."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, fn: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self._now + max(0.0, delay_s), next(self._order), fn))

    def run_until(self, moment: float) -> None:
        """Runs everything due up to and including ``moment``, which becomes now."""
        while self._timers and self._timers[0][0] <= moment:
            due, _, fn = heapq.heappop(self._timers)
            self._now = due
            fn()
        self._now = max(self._now, moment)

    def run_for(self, seconds: float) -> None:
        self.run_until(self._now + seconds)
