"""A stream between a venue and one life of the bot: connects, delivers frames in order, breaks, goes deaf, comes back.

What it tells is what the feed actors tell (actors/feed.py): FeedChanged first, then data. It judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from core.messages import BookLost, BookUpdated, FeedChanged, FrameRejected, LedgerRequested, Message, Resync
from core.types import Channel, FeedState, Source
from tests.sim.engine import Engine
from tests.sim.nemesis import Frame, Nemesis
from tests.sim.wire import Wire

DEAF_NOTICED_S = 3.0
DEAF_LATEST_S = 5.0


class Feed:
    """``start`` connects; ``frame`` is what the venue sends; ``close`` ends it with the bot's life."""

    def __init__(self, engine: Engine, wire: Wire, channel: Channel, nemesis: Nemesis, route: Callable[[Message], None]) -> None:
        self.venue = wire.instrument.venue
        self.channel = channel
        self.state = FeedState.DOWN
        self._engine = engine
        self._wire = wire
        self._nemesis = nemesis
        self._route = route
        self._connection = 0
        self._is_closed = False
        self._is_deaf = False
        self._last_at = 0.0
        self._failures = 0

    def start(self) -> None:
        self._engine.after(0.02, self._connect, self._connection)

    def close(self) -> None:
        self._is_closed = True
        self._connection += 1

    def frame(self, message: Message) -> None:
        """Deliver as the nemesis says; nothing where nobody is connected."""
        if self.state is not FeedState.LIVE or self._is_deaf or self._wire.is_down:
            return
        frame = self._nemesis.frame()
        if not frame.delays_s and self._nemesis.random.random() < 0.2:
            self._engine.after(
                0.05,
                self._deliver,
                FrameRejected(venue=self.venue, channel=self.channel, reason="garbled", head="", at=self._engine.now),
                self._connection,
            )
        self._send(message, frame)

    def _send(self, message: Message, frame: Frame) -> None:
        for copy, delay_s in enumerate(frame.delays_s):
            due_at = self._engine.now + delay_s
            if not frame.overtakes and not copy:
                due_at = self._last_at = max(self._last_at, due_at)
            self._engine.at(due_at, self._deliver, message, self._connection)

    def tell(self, message: Message) -> None:
        """A core that was built anew asks how things are, or somebody has noticed that nothing is heard (core/routing.py)."""
        if isinstance(message, LedgerRequested) and not self._is_closed:
            self._engine.after(0.0, self._tell_state)
        elif isinstance(message, Resync):
            self._engine.after(0.0, self.lose, message.reason)

    def _tell_state(self) -> None:
        if not self._is_closed:
            self._enter(self.state, "asked")

    def lose(self, reason: str) -> None:
        """The connection breaks, and the bot knows at once."""
        if self.state is FeedState.DOWN or self._is_closed:
            return
        self._connection += 1
        self._is_deaf = False
        if self.channel is Channel.MARKET:
            self._route(BookLost(venue=self.venue, symbol=self._wire.instrument.symbol, reason=reason, at=self._engine.now))
        self._enter(FeedState.DOWN, reason)
        self._failures += 1
        ceiling_s = min(0.25 * 2.0**self._failures, 8.0 if self._nemesis.is_on else 1.0)
        self._engine.after(0.05 + ceiling_s * self._nemesis.random.random(), self._connect, self._connection)

    def deafen(self) -> None:
        """Half-open: frames vanish, and the bot learns of it only by the silence."""
        if self.state is FeedState.LIVE and not self._is_deaf:
            self._is_deaf = True
            wait_s = DEAF_NOTICED_S + (DEAF_LATEST_S - DEAF_NOTICED_S) * self._nemesis.random.random()
            self._engine.after(wait_s, self._notice, self._connection)

    def _notice(self, connection: int) -> None:
        if connection == self._connection:
            self.lose("half-open")

    def _connect(self, connection: int) -> None:
        if connection != self._connection or self._is_closed:
            return
        self._enter(FeedState.CONNECTING, "connecting")
        self._engine.after(0.05 + 0.2 * self._nemesis.random.random(), self._open, connection)

    def _open(self, connection: int) -> None:
        if connection != self._connection or self._is_closed:
            return
        if self._wire.is_down:
            self.lose("connect failed")
            return
        self._failures = min(self._failures, 3)
        self._last_at = self._engine.now
        self._enter(FeedState.LIVE, "synced")
        if self.channel is Channel.MARKET:
            self._deliver(self._wire.book(self._engine.now), connection)

    def _deliver(self, message: Message, connection: int) -> None:
        if connection != self._connection or self._is_closed:
            return
        if isinstance(message, BookUpdated):
            message = BookUpdated(
                venue=message.venue,
                symbol=message.symbol,
                bids=message.bids,
                asks=message.asks,
                received_at=self._engine.now,
            )
        self._route(message)

    def _enter(self, state: FeedState, reason: str) -> None:
        self.state = state
        self._route(
            FeedChanged(
                venue=self.venue,
                channel=self.channel,
                state=state,
                source=Source.WS,
                reason=reason,
                at=self._engine.now,
                reconnects=self._connection,
                gaps=0,
            )
        )
