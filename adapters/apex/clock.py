"""The venue's clock as this process knows it: wall time plus a measured offset. It stamps signatures and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from adapters.apex import requests
from adapters.apex.errors import Answered, judge
from adapters.apex.parse import parse_time
from adapters.apex.values import WireRefused
from adapters.transport.rest import Outcome

GOOD_ENOUGH_MS = 100.0
"""No further samples once half of a round trip is below this."""
LATE_MARGIN_S = 5.0
"""Between the stamp of a request and its arrival at the check: a trade lane's deadline of 3 s, clock error, the venue's own queue."""
SUBMIT_BOUND_UNMEASURED_S = 60.0 + LATE_MARGIN_S
"""The venue refuses an old timestamp, but its window is not published (apex.md §1.4, §9): a guess that stands until it is measured."""


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


class VenueClock:
    """Read by every thread that signs; written at set-up, after the venue refused a timestamp, and where Date headers contradict it.

    ``submit_bound_s``: from so many seconds after its stamp on, the venue refuses a request; inf = it never does.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self.offset_ms = 0.0
        self.submit_bound_s = SUBMIT_BOUND_UNMEASURED_S

    def now_ms(self) -> int:
        """The venue's wall clock, epoch milliseconds."""
        return int(self._wall_s() * 1_000 + self.offset_ms)

    def measure(self, rest: Rest, *, samples: int, deadline_s: float | None = None) -> float | None:
        """Set and return the offset of the sample with the shortest round trip; None, and nothing changed, without an answer."""
        best: tuple[float, float] | None = None
        for _ in range(samples):
            found = self._sample(rest, deadline_s)
            if found is not None and (best is None or found < best):
                best = found
            if best is not None and best[0] <= GOOD_ENOUGH_MS:
                break
        if best is None:
            return None
        self.offset_ms = best[1]
        return self.offset_ms

    def _sample(self, rest: Rest, deadline_s: float | None) -> tuple[float, float] | None:
        """(half of the round trip, venue minus ours), milliseconds."""
        call = requests.server_time()
        asked_ms = self._wall_s() * 1_000
        reply = judge(rest.request(call.method, requests.API + call.path, deadline_s=deadline_s))
        answered_ms = self._wall_s() * 1_000
        if not isinstance(reply, Answered):
            return None
        try:
            venue_ms = parse_time(reply.data)
        except WireRefused:
            return None
        return abs(answered_ms - asked_ms) / 2, venue_ms - (asked_ms + answered_ms) / 2
