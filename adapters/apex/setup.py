"""ApeX's set-up calls: which contract, which fees, which clock, what the account holds. Each raises VenueRefused with one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from adapters.apex import parse, requests, zk
from adapters.apex.api import Api, ReadFailed
from adapters.apex.clock import LATE_MARGIN_S
from adapters.apex.errors import CLOCK_REFUSED, Answered, Denied
from adapters.apex.parse import AccountState
from adapters.apex.requests import Call
from adapters.apex.values import VENUE
from core.instrument import Instrument
from core.messages import BookUpdated, Message
from core.ports import AccountInfo, VenueRefused, VenueUnreachable
from core.types import ZERO, Fees

QUOTE = "USDT"
CLOCK_SAMPLES = 5
PROBED_AGES_S = (6.0, 11.0, 31.0, 61.0, 121.0, 301.0)
"""Each just above a window that venues use, so that a clock error cannot decide."""
_LISTED_TICKERS = 40

T = TypeVar("T")


class ApexSetup:
    """Implements ``core.ports.VenueSetup``; used by one thread, before any actor runs."""

    venue = VENUE

    def __init__(self, api: Api) -> None:
        self._api = api

    def resolve(self, ticker: str) -> Instrument:
        """The USDT perpetual of ``ticker``. Its three names are the venue's words, never built from the ticker (apex.md §1.3, §7)."""
        wanted, until = ticker.upper(), self._api.deadline()
        listing = self._read(requests.symbols(), lambda data: parse.parse_listing(data, wanted, QUOTE), until)
        if listing is None:
            tickers = self._read(requests.symbols(), lambda data: parse.parse_tickers(data, QUOTE), until)
            known = ", ".join(name for name in tickers[:_LISTED_TICKERS] if name.isalnum() and len(name) <= 20) or "none"
            raise VenueRefused(f"apex: no {QUOTE} perpetual for {ticker}; it lists: {known}")
        if listing.objection:
            raise VenueRefused(f"apex: {listing.instrument.symbol} is {listing.objection}")
        return listing.instrument

    def fees(self, instrument: Instrument) -> Fees:
        """The account's own rates, one pair for all contracts (apex.md §7)."""
        return self._account().account.fees

    def clock_offset_ms(self) -> float:
        """Venue clock minus ours; from now on every signature carries it. What the venue thinks of old signatures is found out with it."""
        offset_ms = self._api.clock.measure(self._api.rest, samples=CLOCK_SAMPLES)
        if offset_ms is None:
            raise VenueUnreachable("apex: no answer named the venue's time (GET /v3/time)")
        self._measure_submit_bound()
        return offset_ms

    def _measure_submit_bound(self) -> None:
        """Reads that pretend to be old: the first age that is refused bounds how late an order may be taken; other failures settle nothing."""
        clock = self._api.clock
        for age_s in PROBED_AGES_S:
            reply = self._api.send(requests.account(), self._api.deadline(), age_ms=round(age_s * 1_000))
            if isinstance(reply, Denied) and reply.code == CLOCK_REFUSED:
                clock.submit_bound_s = age_s + LATE_MARGIN_S
                return
            if not isinstance(reply, Answered):
                return
            if age_s + LATE_MARGIN_S > clock.submit_bound_s:
                clock.submit_bound_s = math.inf

    def account(self) -> AccountInfo:
        """Signed reads: they prove the key. ``can_trade`` is False for an account that is not normal, and where orders cannot be signed."""
        state = self._account()
        balance = self._read(requests.balance(), parse.parse_balance)
        detail = f"equity {balance.equity:f}, available {balance.available:f} {QUOTE}"
        if state.status not in ("", "NORMAL"):
            return AccountInfo(can_trade=False, detail=f"{detail}, status {state.status}")
        try:
            zk.library_file()
        except VenueRefused as refused:
            return AccountInfo(can_trade=False, detail=f"{detail}; {refused}")
        return AccountInfo(can_trade=True, detail=detail)

    def book(self, instrument: Instrument) -> BookUpdated:
        asked_at, names = self._api.now(), (instrument.symbol, instrument.market_symbol)
        return self._read(requests.depth(instrument.market_symbol), lambda data: parse.parse_depth(data, *names, asked_at))

    def position(self, instrument: Instrument) -> Decimal:
        """LONG minus SHORT, base."""
        return self._account().positions.get(instrument.symbol, ZERO)

    def open_orders(self, instrument: Instrument) -> Sequence[Message]:
        symbol = instrument.symbol
        return self._read(requests.open_orders(), lambda data: parse.parse_open_orders(data, symbol, self._api.now()))

    def _account(self) -> AccountState:
        return _usable(self._api.read_account(self._api.deadline()))

    def _read(self, call: Call, parser: Callable[[bytes], T], until: float | None = None) -> T:
        return _usable(self._api.read(call, parser, self._api.deadline() if until is None else until))


def _usable(answer: T | ReadFailed) -> T:
    if isinstance(answer, ReadFailed):
        line = f"apex: {answer.reason}"
        raise VenueUnreachable(line, answer.retry_after_s) if answer.is_passing else VenueRefused(line)
    return answer
