"""The query lane of one venue, and the stand-in for its streams: it reads, and speaks the same messages as the feeds do.

While it polls for a lost stream, its own commands go through the rate limiter like everybody's; it decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

from actors.base import Actor, Identity
from core.messages import (
    Alert,
    FeedChanged,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    OrderRejected,
    Query,
    QueryFailed,
    QueryOrder,
    SetPolling,
    Tick,
)
from core.ports import QueryLane, VenueRefused
from core.types import Channel, FeedState, Source, VenueId

POLL_S = 1.0
INSTRUMENT_CHECK_S = 600.0
POLL_LOOKBACK_S = 60.0


class RestPoller(Actor):
    """``polling`` may be given at start: a poller that was restarted goes on standing in. ``changes`` reads the instrument anew and says what
    is not as it was at the start of the run, every ten minutes and after an order was refused for good; it may raise VenueRefused."""

    def __init__(
        self,
        identity: Identity,
        venue: VenueId,
        symbol: str,
        lane: QueryLane,
        route: Callable[[Message], None],
        *,
        polling: frozenset[Channel] = frozenset(),
        changes: Callable[[], str] = str,
    ) -> None:
        super().__init__(identity)
        self._venue = venue
        self._symbol = symbol
        self._lane = lane
        self._route = route
        self._polling = set(polling)
        self._changes = changes
        self._poll_at = time.monotonic() + POLL_S
        self._check_at = time.monotonic() + INSTRUMENT_CHECK_S

    def started(self) -> None:
        self._arm()

    def stopped(self) -> None:
        self._lane.close()

    def crashed(self) -> None:
        self._lane.close()

    def handle(self, message: Message) -> None:
        match message:
            case QueryOrder() | FetchOpenOrders() | FetchFills() | FetchPosition() | FetchBook():
                for event in self._answer(message):
                    if self.is_revoked:
                        return
                    self._route(event)
            case SetPolling():
                self._set(message)
            case OrderRejected() if message.permanent:
                self._check_at = time.monotonic()
            case Tick():
                self._work(time.monotonic())
            case _:
                pass
        self._arm()

    def _answer(self, query: Query) -> tuple[Message, ...]:
        match query:
            case QueryOrder():
                return self._lane.query_order(query)
            case FetchOpenOrders():
                return self._lane.fetch_open_orders(query)
            case FetchFills():
                return self._lane.fetch_fills(query)
            case FetchPosition():
                return self._lane.fetch_position(query)
            case FetchBook():
                book = self._lane.fetch_book(self._symbol)
                return (book,) if book is not None else (self._unread(query),)

    def _unread(self, query: Query) -> QueryFailed:
        return QueryFailed(venue=self._venue, query=type(query).__name__, reason="no usable answer", at=time.monotonic())

    def _set(self, message: SetPolling) -> None:
        (self._polling.add if message.is_on else self._polling.discard)(message.channel)
        state = FeedState.LIVE if message.is_on else FeedState.DOWN
        reason = "standing in for the stream" if message.is_on else "the stream has taken over again"
        self._route(
            FeedChanged(
                venue=self._venue,
                channel=message.channel,
                state=state,
                source=Source.REST,
                reason=reason,
                at=time.monotonic(),
            )
        )
        self._poll_at = time.monotonic()

    def _work(self, now: float) -> None:
        if self._polling and now >= self._poll_at:
            self._poll_at = now + POLL_S
            self._poll()
        if now >= self._check_at:
            self._check_at = now + INSTRUMENT_CHECK_S
            self._check_instrument()

    def _check_instrument(self) -> None:
        """A contract that has changed is not traded on by the numbers of before; one that could not be read is looked at next time."""
        try:
            changes = self._changes()
        except VenueRefused as refusal:
            self._alert("warning", "instrument-unread", str(refusal))
            return
        if changes:
            self._alert("critical", "instrument", f"{self._venue} has changed {self._symbol}: {changes}; start anew")

    def _alert(self, level: Literal["warning", "critical"], key: str, text: str) -> None:
        self._route(Alert(level=level, key=key, text=text, at=time.monotonic()))

    def _poll(self) -> None:
        venue, symbol = self._venue, self._symbol
        if Channel.ACCOUNT in self._polling:
            self._route(FetchFills(venue=venue, symbol=symbol, lookback_s=POLL_LOOKBACK_S))
            self._route(FetchOpenOrders(venue=venue, symbol=symbol))
            self._route(FetchPosition(venue=venue, symbol=symbol))
        if Channel.MARKET in self._polling:
            self._route(FetchBook(venue=venue, symbol=symbol))

    def _arm(self) -> None:
        self.inbox.wake_at = min(self._check_at, self._poll_at) if self._polling else self._check_at

    def health(self) -> Mapping[str, object]:
        return {"polling": sorted(channel.value for channel in self._polling)}
