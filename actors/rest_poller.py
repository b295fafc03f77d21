"""The query lane of one venue, and the stand-in for its streams: it reads, and speaks the same messages as the feeds do.

While it polls for a lost stream, its own commands go through the rate limiter like everybody's; it decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.base import Actor, Identity
from core.messages import (
    FeedChanged,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    Query,
    QueryFailed,
    QueryOrder,
    SetPolling,
    Tick,
)
from core.ports import QueryLane
from core.types import Channel, FeedState, Source, VenueId

POLL_S = 1.0
POLL_LOOKBACK_S = 60.0


class RestPoller(Actor):
    """``polling`` may be given at start: a poller that was restarted goes on standing in."""

    def __init__(
        self,
        identity: Identity,
        venue: VenueId,
        symbol: str,
        lane: QueryLane,
        route: Callable[[Message], None],
        *,
        polling: frozenset[Channel] = frozenset(),
    ) -> None:
        super().__init__(identity)
        self._venue = venue
        self._symbol = symbol
        self._lane = lane
        self._route = route
        self._polling = set(polling)

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
            case Tick():
                self._poll()
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
        self.inbox.wake_at = time.monotonic()

    def _poll(self) -> None:
        venue, symbol = self._venue, self._symbol
        if Channel.ACCOUNT in self._polling:
            self._route(FetchFills(venue=venue, symbol=symbol, lookback_s=POLL_LOOKBACK_S))
            self._route(FetchOpenOrders(venue=venue, symbol=symbol))
            self._route(FetchPosition(venue=venue, symbol=symbol))
        if Channel.MARKET in self._polling:
            self._route(FetchBook(venue=venue, symbol=symbol))

    def _arm(self) -> None:
        if self._polling and self.inbox.wake_at is None:
            self.inbox.wake_at = time.monotonic() + POLL_S
        elif not self._polling:
            self.inbox.wake_at = None

    def health(self) -> Mapping[str, object]:
        return {"polling": sorted(channel.value for channel in self._polling)}
