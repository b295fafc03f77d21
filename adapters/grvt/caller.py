"""One request to GRVT and what its outcome proves: answered, denied for certain, never sent, or lost (grvt.md §6).

It never repeats a request but after error 1000, which says that the call was not processed; then with the identical bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from adapters.grvt import codes
from adapters.grvt.auth import GrvtAuth, LoginFailed, Rest
from adapters.grvt.clock import VenueClock
from adapters.grvt.envelope import error_of
from adapters.grvt.requests import Call
from adapters.grvt.values import VENUE, redacted
from adapters.transport.clock import DateCheck
from adapters.transport.rest import NotSent, Ok, Refused, Unknown
from core.messages import RateLimited

_LEFT_MIN_S = 0.5
"""What a request needs: kept of the deadline while a login is waited for, and the least to repeat a call with."""
_PAUSE_STATUSES = frozenset({418, 429})
"""Too many requests, and banned for not having paused."""


class Answered(NamedTuple):
    """2xx with a body yet to be read."""

    body: bytes


class Denied(NamedTuple):
    """4xx with the venue's own error code, or no session because the venue refuses the key: the call was not executed."""

    code: int
    reason: str
    retry_after_s: float | None

    @property
    def is_rate_limit(self) -> bool:
        return self.code == codes.RATE_LIMITED


class Lost(NamedTuple):
    """No statement of the venue: the call may or may not have been executed. A proxy's 418, 429 or 403 page is here, too."""

    reason: str
    is_rate_limit: bool = False
    retry_after_s: float | None = None


Reply = Answered | Denied | NotSent | Lost


class Caller:
    """One host, one thread. ``auth`` None = public calls."""

    def __init__(
        self,
        rest: Rest,
        auth: GrvtAuth | None,
        clock: VenueClock,
        deadline_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = rest
        self._auth = auth
        self._clock = clock
        self._deadline_s = deadline_s
        self._dates = DateCheck()
        self.now = monotonic

    def post(self, call: Call, deadline_s: float | None = None) -> Reply:
        """One call, two where the first was answered 1000; at most ``deadline_s`` in all, a login that it has to wait for included."""
        until = self.now() + (self._deadline_s if deadline_s is None else deadline_s)
        reply, used = self._once(call, until)
        if not isinstance(reply, Denied) or reply.code != codes.NOT_AUTHENTICATED or self._auth is None:
            return reply
        self._auth.invalidate(used)
        if until - self.now() < _LEFT_MIN_S:
            return NotSent("answered 1000, so not processed; no time left to repeat it")
        return self._once(call, until)[0]

    def get(self, path: str) -> Reply:
        """A public GET: only the time has one."""
        return self._judged(self._rest.request("GET", path, deadline_s=self._deadline_s))

    def close(self) -> None:
        self._rest.close()

    def _once(self, call: Call, until: float) -> tuple[Reply, Mapping[str, str]]:
        session: Mapping[str, str] = {}
        if self._auth is not None:
            try:
                session = self._auth.headers(until - self.now() - _LEFT_MIN_S)
            except LoginFailed as error:
                return NotSent(str(error)) if error.code is None else Denied(error.code, str(error), None), session
        headers = {"Content-Type": "application/json", **session}
        outcome = self._rest.request("POST", call.path, body=call.body, headers=headers, deadline_s=until - self.now())
        return self._judged(outcome), session

    def _judged(self, outcome: Ok | Refused | NotSent | Unknown) -> Reply:
        corrected_ms = self._dates.correction(self._rest.date_offset_ms, self._clock.offset_ms)
        if corrected_ms is not None:
            self._clock.measured(corrected_ms)
        match outcome:
            case Ok(_, _, body):
                return Answered(body)
            case Refused(status, _, body, retry_after_s):
                return _refused(status, body, retry_after_s)
            case NotSent(reason):
                return NotSent(redacted(reason))
            case Unknown(reason, _, body):
                typed = error_of(body)
                return Lost(redacted(reason) + (f" (code {typed[0]} {typed[1]})" if typed else ""))


def rate_limited(reply: Reply, now: float) -> tuple[RateLimited, ...]:
    """The message for the limiter where the reply is a 429, else nothing."""
    if not isinstance(reply, Denied | Lost) or not reply.is_rate_limit:
        return ()
    return (RateLimited(venue=VENUE, reason=reply.reason, retry_after_s=reply.retry_after_s, at=now),)


def _refused(status: int, body: bytes, retry_after_s: float | None) -> Reply:
    typed = error_of(body)
    if typed is None:
        reason = f"HTTP {status} without a venue error"
        return Lost(reason, is_rate_limit=status in _PAUSE_STATUSES, retry_after_s=retry_after_s)
    code, message = typed
    return Denied(code, f"{code} {message}", retry_after_s)
