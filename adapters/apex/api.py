"""One signed connection to ApeX's REST: sends calls, reads answers, pages through histories. Owned by one thread.

No exception leaves it for anything a network or the venue can do, and it never repeats a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from adapters.apex import parse, requests
from adapters.apex.clock import Rest, VenueClock
from adapters.apex.errors import NOT_FOUND, RATE_LIMITED, Answered, Banned, Denied, Garbled, Lost, Reply, Verdict, judge
from adapters.apex.requests import Account, Call
from adapters.apex.signer import ApiKey
from adapters.apex.values import WireRefused
from adapters.transport.clock import DateCheck
from adapters.transport.rest import NotSent
from core.messages import FillReported, OrderReported

MAX_PAGES = 20

T = TypeVar("T")


class AccountCache:
    """The account's id and fee rates, as signatures need them: written by whoever reads the account, read by the trade lane."""

    def __init__(self) -> None:
        self.known: Account | None = None


class ReadFailed(NamedTuple):
    """A read without a usable answer. ``is_missing``: the venue itself said that there is no such order, or sent no data.
    ``is_passing``: it has said nothing for good, asking again may help."""

    reason: str
    is_rate_limit: bool = False
    retry_after_s: float | None = None
    is_missing: bool = False
    is_passing: bool = False


class Api:
    """``deadline_s`` is what a lane's whole answer may take, however many requests it needs."""

    def __init__(
        self,
        rest: Rest,
        key: ApiKey,
        clock: VenueClock,
        accounts: AccountCache,
        *,
        deadline_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rest = rest
        self.clock = clock
        self.accounts = accounts
        self.now = now
        self._key = key
        self._deadline_s = deadline_s
        self._dates = DateCheck()

    def deadline(self) -> float:
        """When an answer that is begun now must be complete."""
        return self.now() + self._deadline_s

    def send(self, call: Call, until: float, *, age_ms: int = 0) -> Reply:
        """``age_ms``: how old the request pretends to be."""
        left_s = until - self.now()
        if left_s <= 0:
            return NotSent("deadline over")
        path, query, body, headers = requests.render(call, self._key, self.clock.now_ms() - age_ms)
        outcome = self.rest.request(call.method, path, query=query, body=body, headers=headers, deadline_s=left_s)
        corrected_ms = self._dates.correction(self.rest.date_offset_ms, self.clock.offset_ms)
        if corrected_ms is not None:
            self.clock.offset_ms = corrected_ms
        return judge(outcome)

    def read(self, call: Call, parser: Callable[[bytes], T], until: float) -> T | ReadFailed:
        """The parsed ``data`` of a GET, or why there is none."""
        reply = self.send(call, until)
        if not isinstance(reply, Answered):
            return read_failed(call.name, reply)
        try:
            return parser(reply.data)
        except WireRefused as refused:
            return ReadFailed(f"{call.name}: {refused}", is_missing=reply.data.strip() in (b"null", b"{}"))

    def read_account(self, until: float) -> parse.AccountState | ReadFailed:
        state = self.read(requests.account(), parse.parse_account, until)
        if not isinstance(state, ReadFailed):
            self.accounts.known = state.account
        return state

    def read_fills(self, symbol: str, since_ms: int, until: float) -> tuple[FillReported, ...] | ReadFailed:
        """All pages, oldest first. A fill that arrives meanwhile may shift the pages: doubles are dropped, none is missed."""
        rows = self._pages(
            lambda page: requests.fills(symbol, since_ms, page), lambda data: parse.parse_fills(data, symbol, self.now()), until
        )
        if isinstance(rows, ReadFailed):
            return rows
        return tuple(sorted({row.trade_id: row for row in rows}.values(), key=lambda row: row.venue_time_ms))

    def read_history(self, symbol: str, since_ms: int, until: float) -> tuple[OrderReported, ...] | ReadFailed:
        """Orders of the symbol since then, whatever became of them."""
        return self._pages(
            lambda page: requests.history(symbol, since_ms, page),
            lambda data: parse.parse_history(data, symbol, self.now()),
            until,
        )

    def _pages(
        self, call: Callable[[int], Call], parser: Callable[[bytes], tuple[tuple[T, ...], parse.Extent]], until: float
    ) -> tuple[T, ...] | ReadFailed:
        """A short page is the end only once all rows that the venue counts have come, for it may send fewer than it was asked for; an empty
        one is. Whether the count heeds the filter is not known, so it proves no row missing."""
        found: list[T] = []
        seen = 0
        for page in range(MAX_PAGES):
            answer = self.read(call(page), parser, until)
            if isinstance(answer, ReadFailed):
                return answer
            rows, extent = answer
            found.extend(rows)
            seen += extent.rows
            if extent.rows == 0 or (extent.rows < requests.PAGE and seen >= extent.total):
                return tuple(found)
        return ReadFailed(f"{call(0).name}: more than {MAX_PAGES} pages")

    def close(self) -> None:
        self.rest.close()


def read_failed(name: str, reply: Denied | Banned | Garbled | Lost | NotSent) -> ReadFailed:
    match reply:
        case Denied():
            is_missing, is_passing = reply.code == NOT_FOUND, reply.verdict is not Verdict.PERMANENT
            return ReadFailed(f"{name}: {reply.reason}", reply.code == RATE_LIMITED, reply.retry_after_s, is_missing, is_passing)
        case Banned():
            return ReadFailed(f"{name}: {reply.reason}", True, reply.retry_after_s, is_passing=True)
        case NotSent(reason=reason):
            return ReadFailed(f"{name}: not sent: {reason}", is_passing=True)
        case Garbled(reason=reason) | Lost(reason=reason):
            return ReadFailed(f"{name}: {reason}", is_passing=True)
