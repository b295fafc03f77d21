"""One signed connection to Backpack's REST: sends calls, reads answers, pages through the fill history. Owned by one thread.

No exception leaves it for anything a network or the venue can do, and it never repeats a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from adapters.backpack import parse, requests
from adapters.backpack.clock import Rest, VenueClock
from adapters.backpack.errors import NOT_FOUND, Verdict, judge_refusal
from adapters.backpack.requests import Call
from adapters.backpack.signer import Signer
from adapters.backpack.values import NotJson, WireRefused, excerpt, scrub
from adapters.transport.clock import DateCheck
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown
from core.messages import FillReported
from core.types import VenueOrderId

MAX_PAGES = 20

T = TypeVar("T")


class ReadFailed(NamedTuple):
    """A read without a usable answer. ``is_passing``: the venue has said nothing for good, asking again may help."""

    reason: str
    code: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    is_passing: bool = False

    @property
    def is_missing(self) -> bool:
        """The venue itself said that there is no such thing."""
        return self.status == 404 and self.code == NOT_FOUND


class Api:
    """``deadline_s`` is what a lane's whole answer may take, however many requests it needs."""

    def __init__(
        self, rest: Rest, signer: Signer, clock: VenueClock, *, deadline_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.rest = rest
        self.clock = clock
        self.now = now
        self._signer = signer
        self._deadline_s = deadline_s
        self._dates = DateCheck()

    def deadline(self) -> float:
        """When an answer that is begun now must be complete."""
        return self.now() + self._deadline_s

    def send(self, call: Call, until: float) -> Outcome:
        left_s = until - self.now()
        if left_s <= 0:
            return NotSent("deadline over")
        query, body, headers = requests.render(call, self._signer, self.clock.now_ms())
        outcome = self.rest.request(call.method, call.path, query=query, body=body, headers=headers, deadline_s=left_s)
        corrected_ms = self._dates.correction(self.rest.date_offset_ms, self.clock.offset_ms)
        if corrected_ms is not None:
            self.clock.offset_ms = corrected_ms
        return outcome

    def read(self, call: Call, parser: Callable[[bytes], T], until: float) -> T | ReadFailed:
        """The parsed body of a GET, or why there is none."""
        match self.send(call, until):
            case Ok(body=body):
                try:
                    return parser(body)
                except WireRefused as refused:
                    return ReadFailed(f"{call.name}: {refused}", is_passing=isinstance(refused, NotJson))
            case Refused(status=status, body=body, retry_after_s=retry_after_s):
                ruling = judge_refusal(status, body)
                is_passing = ruling.verdict is not Verdict.PERMANENT
                return ReadFailed(f"{call.name}: {ruling.reason}", ruling.code, status, retry_after_s, is_passing)
            case NotSent(reason=reason):
                return ReadFailed(f"{call.name}: not sent: {scrub(reason)}", is_passing=True)
            case Unknown(reason=reason, body=body):
                return ReadFailed(f"{call.name}: {unknown_reason(reason, body)}", is_passing=True)

    def read_fills(
        self, symbol: str, since_ms: int | None, until: float, venue_order_id: VenueOrderId | None = None
    ) -> tuple[FillReported, ...] | ReadFailed:
        """All pages, oldest first. A fill that arrives meanwhile shifts the newest-first pages: doubles are dropped, none is missed."""
        received_at = self.now()
        found: dict[tuple[VenueOrderId | None, str], FillReported] = {}
        for page in range(MAX_PAGES):
            call = requests.fills(symbol, since_ms, page * requests.FILLS_PAGE, venue_order_id)
            rows = self.read(call, lambda body: parse.parse_fills(body, received_at), until)
            if isinstance(rows, ReadFailed):
                return rows
            found.update(((row.venue_order_id, row.trade_id), row) for row in rows if row.symbol == symbol)
            if len(rows) < requests.FILLS_PAGE:
                return tuple(sorted(found.values(), key=lambda row: row.venue_time_ms))
        return ReadFailed(f"GET /wapi/v1/history/fills: more than {MAX_PAGES} pages")

    def close(self) -> None:
        self.rest.close()


def unknown_reason(reason: str, body: bytes) -> str:
    """The transport's word, and the venue's where a body came with it (5xx)."""
    return scrub(f"{reason}: {excerpt(body)}") if body else scrub(reason)
