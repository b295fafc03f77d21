"""One stream of one venue as an actor: its thread owns the socket, reads, and passes on what the parser made of the frames.

Of several books in one batch only the newest is passed on; account facts are passed on one by one, in wire order. It never waits for a
consumer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from actors.base import Actor, Identity
from core.messages import BookUpdated, FeedChanged, LedgerRequested, Message, Resync, Tick
from core.ports import Stream
from core.types import FeedState, Source, VenueId

POLL_S = 0.1
_AGAIN = Tick()


class Feed(Actor):
    """A market or account feed. Its death is told as FeedChanged(DOWN), so that nobody trusts a feed that is not there."""

    def __init__(self, identity: Identity, venue: VenueId, stream: Stream, route: Callable[[Message], None]) -> None:
        super().__init__(identity)
        self._venue = venue
        self._stream = stream
        self._route = route

    def started(self) -> None:
        self.actor_ref.tell(_AGAIN)

    def stopped(self) -> None:
        self._stream.close()

    def crashed(self) -> None:
        self._route(down(self._venue, self._stream, "the feed actor crashed"))
        self._stream.abort()
        self._stream.close()

    def handle(self, message: Message) -> None:
        match message:
            case Tick():
                for event in _newest_books(self._stream.poll(POLL_S)):
                    if self.is_revoked:
                        return
                    self._route(event)
                self.actor_ref.tell(_AGAIN)
            case Resync():
                self._stream.resync(message.reason)
            case LedgerRequested():
                # Somebody was built anew and has never heard how this feed stands.
                state = FeedState(self._stream.vitals().state)
                self._route(standing(self._venue, self._stream, state, "asked for"))
            case _:
                pass

    def health(self) -> Mapping[str, object]:
        """``stream``: the StreamVitals, ``channel``."""
        return {"stream": self._stream.vitals(), "channel": self._stream.channel.value, "venue": self._venue}


def down(venue: VenueId, stream: Stream, reason: str) -> FeedChanged:
    """What everybody must hear when a feed is gone without having said so itself."""
    return standing(venue, stream, FeedState.DOWN, reason)


def standing(venue: VenueId, stream: Stream, state: FeedState, reason: str) -> FeedChanged:
    """How a feed stands, told by its actor and not by the stream itself."""
    vitals = stream.vitals()
    return FeedChanged(
        venue=venue,
        channel=stream.channel,
        state=state,
        source=Source.WS,
        reason=reason,
        at=time.monotonic(),
        reconnects=vitals.reconnects,
        gaps=vitals.gaps,
    )


def _newest_books(events: Sequence[Message]) -> Sequence[Message]:
    """Drop every book but the last one of a batch; everything else stays, in order."""
    books = [index for index, event in enumerate(events) if isinstance(event, BookUpdated)]
    superseded = frozenset(books[:-1])
    return [event for index, event in enumerate(events) if index not in superseded] if superseded else events
