"""The venue's clock as this process knows it: wall time plus a measured offset. It stamps signatures and nothing else.

Every answer bounds the offset from two sides; the bounds of several answers are intersected, so that even a Date header, which counts
whole seconds, gives more than a second's precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from adapters.backpack import requests
from adapters.backpack.parse import parse_time
from adapters.backpack.values import WireRefused
from adapters.transport.rest import Ok, Outcome, Refused

GOOD_ENOUGH_MS = 100.0
"""No further samples once the offset is known this closely: the order window is a second."""


class Rest(Protocol):
    """What this adapter needs of ``adapters.transport.rest.RestClient``."""

    @property
    def date_offset_ms(self) -> float | None: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] = ...,
        deadline_s: float | None = None,
    ) -> Outcome: ...

    def close(self) -> None: ...


class OffsetBounds(NamedTuple):
    """Venue clock minus ours lies between these, milliseconds."""

    low: float
    high: float

    def within(self, other: OffsetBounds) -> OffsetBounds:
        """Both; where they contradict each other (a clock was set meanwhile) the newer one, ``other``."""
        both = OffsetBounds(max(self.low, other.low), min(self.high, other.high))
        return both if both.low <= both.high else other


class VenueClock:
    """Read by every thread that signs; written at set-up, after the venue called a request expired, and where Date headers contradict it."""

    def __init__(self, wall_s: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> None:
        self._wall_s = wall_s
        self._sleep = sleep
        self.offset_ms = 0.0

    def now_ms(self) -> int:
        """The venue's wall clock, epoch milliseconds."""
        return int(self._wall_s() * 1_000 + self.offset_ms)

    def measure(self, rest: Rest, *, samples: int, pause_s: float = 0.0, deadline_s: float | None = None) -> float | None:
        """Set and return the offset in milliseconds; None, and nothing changed, when no answer named a time."""
        bounds: OffsetBounds | None = None
        for index in range(samples):
            if index:
                self._sleep(pause_s)
            found = self._sample(rest, deadline_s)
            if found is not None:
                bounds = found if bounds is None else bounds.within(found)
                if bounds.high - bounds.low <= GOOD_ENOUGH_MS:
                    break
        if bounds is None:
            return None
        self.offset_ms = (bounds.low + bounds.high) / 2
        return self.offset_ms

    def _sample(self, rest: Rest, deadline_s: float | None) -> OffsetBounds | None:
        call = requests.server_time()
        asked_ms = self._wall_s() * 1_000
        outcome = rest.request(call.method, call.path, deadline_s=deadline_s)
        answered_ms = self._wall_s() * 1_000
        if isinstance(outcome, Ok):
            try:
                return _bounds(parse_time(outcome.body), 1, asked_ms, answered_ms)
            except WireRefused:
                pass  # the Date header of the same answer still tells the time
        if isinstance(outcome, Ok | Refused):
            return _date_bounds(outcome.headers.get("Date", ""), asked_ms, answered_ms)
        return None


def _bounds(venue_ms: float, resolution_ms: float, asked_ms: float, answered_ms: float) -> OffsetBounds:
    """The venue read its clock between our two readings, and showed it rounded down."""
    return OffsetBounds(venue_ms - answered_ms, venue_ms + resolution_ms - asked_ms)


def _date_bounds(header: str, asked_ms: float, answered_ms: float) -> OffsetBounds | None:
    try:
        venue_ms = parsedate_to_datetime(header).timestamp() * 1_000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _bounds(venue_ms, 1_000, asked_ms, answered_ms)
