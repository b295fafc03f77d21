"""Backpack's set-up calls: which contract, which fees, which clock, what the account holds. Each raises VenueRefused with one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from adapters.backpack import parse, requests
from adapters.backpack.api import Api, ReadFailed
from adapters.backpack.requests import Call
from adapters.backpack.values import VENUE, WireRefused, scrub
from core.instrument import Instrument
from core.messages import BookUpdated, Message
from core.ports import AccountInfo, VenueRefused, VenueUnreachable
from core.types import ZERO, Fees

QUOTE = "USDC"
CLOCK_SAMPLES = 6
CLOCK_PAUSE_S = 0.15
_LISTED_TICKERS = 40

T = TypeVar("T")


class BackpackSetup:
    """Implements ``core.ports.VenueSetup``; used by one thread, before any actor runs."""

    venue = VENUE

    def __init__(self, api: Api) -> None:
        self._api = api

    def resolve(self, ticker: str) -> Instrument:
        """The open USDC perpetual of ``ticker``. The symbol is the venue's word, never built from the ticker (backpack.md §4)."""
        markets = self._read(requests.markets(), parse.parse_markets)
        perpetuals = {market.base: market for market in markets if market.market_type == "PERP" and market.quote == QUOTE}
        market = perpetuals.get(ticker.upper())
        if market is None:
            known = ", ".join(sorted(perpetuals)[:_LISTED_TICKERS]) or "none"
            raise VenueRefused(f"backpack: no {QUOTE} perpetual for {ticker}; it lists: {scrub(known, 600)}")
        if market.book_state != "Open" or not market.is_visible:
            state = scrub(market.book_state, 20) if market.is_visible else "hidden"
            raise VenueRefused(f"backpack: {scrub(market.symbol, 40)} is {state}, not Open")
        try:
            return parse.instrument_of(market)
        except WireRefused as refused:
            raise VenueRefused(f"backpack: {scrub(market.symbol, 40)} has unusable filters: {refused}") from None

    def fees(self, instrument: Instrument) -> Fees:
        """The account's own futures fees, one schedule for all contracts (backpack.md §4)."""
        return self._read(requests.account(), parse.parse_account).fees

    def clock_offset_ms(self) -> float:
        """Venue clock minus ours; from now on every signature carries it."""
        offset_ms = self._api.clock.measure(self._api.rest, samples=CLOCK_SAMPLES, pause_s=CLOCK_PAUSE_S)
        if offset_ms is None:
            raise VenueUnreachable("backpack: no answer named the venue's time (GET /api/v1/time)")
        return offset_ms

    def account(self) -> AccountInfo:
        """A signed read: it proves the key. ``can_trade`` is False while the venue liquidates the account."""
        account = self._read(requests.account(), parse.parse_account)
        detail = f"{account.limit_orders} limit and {account.trigger_orders} trigger orders open"
        return AccountInfo(
            can_trade=not account.is_liquidating, detail=detail + (", liquidating" if account.is_liquidating else "")
        )

    def book(self, instrument: Instrument) -> BookUpdated:
        symbol, asked_at = instrument.symbol, self._api.now()
        call = requests.depth(symbol, limit=parse.BOOK_DEPTH)
        return self._read(call, lambda body: parse.book_update(symbol, parse.parse_depth(body), asked_at))

    def position(self, instrument: Instrument) -> Decimal:
        """Signed net base quantity; not listed, or a 404 of the venue's own, is flat."""
        held = self._api.read(requests.positions(), parse.parse_positions, self._api.deadline())
        if isinstance(held, ReadFailed):
            if not held.is_missing:
                raise _refusal(held)
            return ZERO
        return held.get(instrument.symbol, ZERO)

    def open_orders(self, instrument: Instrument) -> Sequence[Message]:
        call = requests.open_orders(instrument.symbol)
        orders = self._read(call, lambda body: parse.parse_orders(body, self._api.now()))
        return [order for order in orders if order.symbol == instrument.symbol]

    def _read(self, call: Call, parser: Callable[[bytes], T]) -> T:
        answer = self._api.read(call, parser, self._api.deadline())
        if isinstance(answer, ReadFailed):
            raise _refusal(answer)
        return answer


def _refusal(failed: ReadFailed) -> VenueRefused:
    line = f"backpack: {failed.reason}"
    return VenueUnreachable(line, failed.retry_after_s) if failed.is_passing else VenueRefused(line)
