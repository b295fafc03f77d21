"""Backpack's two conversations, without any I/O of their own: the order book and the account (backpack.md §2, §3, §7).

They never publish a book across a gap and never take silence for health: the public side must see data, the private side is proven by
pings and by REST audits, because the venue acknowledges nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from adapters.backpack import frames, requests
from adapters.backpack.clock import VenueClock
from adapters.backpack.frames import Complaint, DepthDelta, Touch
from adapters.backpack.parse import BOOK_DEPTH, DepthSnapshot
from adapters.backpack.signer import Signer
from adapters.backpack.values import VENUE, WireRefused, excerpt
from adapters.transport.stream import Endpoint, SessionFailed
from core.book import Book, DepthSequence
from core.messages import BookLost, BookUpdated, FrameRejected, Message
from core.types import Channel, Level

PUBLIC_STALE_AFTER_S = 5.0
PRIVATE_STALE_AFTER_S = 20.0
"""No frame and no pong for this long is a dead connection; the venue's own ping comes every 60 s only."""
BOOK_SILENCE_S = 5.0
"""Neither depth nor a touch that the depth has reached for this long."""
TOUCH_LEAD_S = 2.0
"""How long the touch may be ahead of the depth: they count the same updates (backpack.md §7), but their frames have no common order."""
QUIET_IS_SYNCED_S = 1.0
"""No error for this long after a private SUBSCRIBE counts as subscribed: there is no acknowledgement, and a flat account is silent."""
REFRESH_S = 1.0
"""A book whose top did not change is repeated this often while depth frames arrive, so that its age tells the truth."""
SNAPSHOT_PAUSE_S = 0.25
MAX_SNAPSHOT_TRIES = 8
MAX_BUFFERED = 2_000
MAX_RESYNCS = 5
RESYNC_WINDOW_S = 30.0


class _Shown(NamedTuple):
    """What the last BookUpdated said, and when."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at: float


class _Ahead(NamedTuple):
    """A touch that the depth has not reached, and when it came."""

    last_id: int
    at: float


def _rejected(channel: Channel, refused: WireRefused, frame: bytes, now: float) -> FrameRejected:
    return FrameRejected(venue=VENUE, channel=channel, reason=str(refused), head=excerpt(frame), at=now)


class BackpackMarketSession:
    """Implements ``adapters.transport.stream.Session`` for ``depth.SYM`` and, to see that it keeps up, ``bookTicker.SYM``.

    A touch that the depth has reached confirms a quiet book; the others confirm nothing, since the depth may be what is lost.
    ``fetch_snapshot`` reads the REST book, blocks for at most two seconds and returns None when that failed.
    """

    venue = VENUE
    channel = Channel.MARKET
    stale_after_s = PUBLIC_STALE_AFTER_S

    def __init__(self, url: str, symbol: str, fetch_snapshot: Callable[[], DepthSnapshot | None]) -> None:
        self.symbol = symbol
        self._url = url
        self._fetch_snapshot = fetch_snapshot
        self._outbox: list[str] = []
        self._heard_at = 0.0
        self._resyncs: deque[float] = deque(maxlen=MAX_RESYNCS)
        self._shown: _Shown | None = None
        self._forget(0.0)

    def _forget(self, now: float) -> None:
        self._book = Book()
        self._sequence: DepthSequence | None = None
        self._buffer: list[DepthDelta] = []
        self._reached = -1
        self._ahead: list[_Ahead] = []
        self._fetch_at = now
        self._tries = 0
        self._floor: Decimal | None = None
        self._ceiling: Decimal | None = None

    def endpoint(self) -> Endpoint:
        return Endpoint(self._url)

    def opened(self, now: float) -> None:
        self._forget(now)
        self._heard_at = now
        self._outbox = [requests.subscribe([f"depth.{self.symbol}", f"bookTicker.{self.symbol}"])]

    def outbox(self) -> list[str]:
        queued, self._outbox = self._outbox, []
        return queued

    @property
    def is_synced(self) -> bool:
        return self._sequence is not None

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        self._forget(now)
        return self._withdraw(reason, now)

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        try:
            parsed = frames.parse_market_frame(frame, self.symbol)
        except WireRefused as refused:
            return (_rejected(self.channel, refused, frame, now),)
        match parsed:
            case Complaint(code=code, message=message):
                raise SessionFailed(f"error {code}: {message}")
            case Touch(last_id=last_id):
                return self._compare(last_id, now)
            case DepthDelta():
                self._heard_at = now
                return self._continue(parsed, now)

    def tick(self, now: float) -> Sequence[Message]:
        if now - self._heard_at > BOOK_SILENCE_S:
            raise SessionFailed(f"no news of the book for {BOOK_SILENCE_S:g} s")
        if self._sequence is None and self._buffer and now >= self._fetch_at:
            return self._synchronise(now)
        return ()

    def _compare(self, touch_id: int, now: float) -> Sequence[Message]:
        """A touch that stays ahead of the depth says that the book is old.

        Judged when the next one comes and not by the clock: a loop that was held up reads both together, and must not blame the venue.
        """
        if touch_id <= self._reached:
            self._heard_at = now
            return ()
        if self._ahead and now - self._ahead[0].at > TOUCH_LEAD_S:
            return self._start_over(f"depth more than {TOUCH_LEAD_S:g} s behind the touch", None, now)
        if self.is_synced:
            self._ahead[1:] = [_Ahead(touch_id, now)]
        return ()

    def _advance(self, last_id: int) -> None:
        """Of the touches ahead the oldest and the newest are known; the newest counts from its own arrival once the oldest is reached."""
        self._reached = max(self._reached, last_id)
        self._ahead = [touch for touch in self._ahead if touch.last_id > self._reached]

    def _continue(self, delta: DepthDelta, now: float) -> Sequence[Message]:
        """One live delta: applied, ignored as already contained, or the end of this book."""
        if self._sequence is None:
            self._keep(delta)
            return ()
        accepted = self._sequence.accepts(delta.first_id, delta.last_id)
        if accepted is None:
            return self._start_over(f"gap before update {delta.first_id}", delta, now)
        if accepted:
            self._advance(delta.last_id)
            self._book.apply(delta.bids, delta.asks)
            if self._book.is_crossed:
                return self._start_over(f"book crossed at update {delta.last_id}", delta, now)
            if self._is_beyond_snapshot():
                return self._start_over(f"book left its snapshot at update {delta.last_id}", delta, now)
        return self._publish(delta.venue_time_ms, now)

    def _is_beyond_snapshot(self) -> bool:
        """Whether the levels shown reach past a truncated snapshot: out there, what never changed is unknown (backpack.md §7)."""
        bids, asks = self._book.top(BOOK_DEPTH)
        is_below = self._floor is not None and bool(bids) and bids[-1].price < self._floor
        return is_below or (self._ceiling is not None and bool(asks) and asks[-1].price > self._ceiling)

    def _keep(self, delta: DepthDelta) -> None:
        if len(self._buffer) >= MAX_BUFFERED:
            raise SessionFailed(f"no snapshot within {MAX_BUFFERED} depth frames")
        self._buffer.append(delta)
        self._advance(delta.last_id)

    def _start_over(self, reason: str, delta: DepthDelta | None, now: float) -> Sequence[Message]:
        """Drop the book, keep the connection; a book that breaks again and again needs a new one, as does a depth that stays away."""
        if len(self._resyncs) == MAX_RESYNCS and now - self._resyncs[0] < RESYNC_WINDOW_S:
            raise SessionFailed(f"{reason}; {MAX_RESYNCS} resyncs within {RESYNC_WINDOW_S:g} s")
        self._resyncs.append(now)
        self._forget(now)
        if delta is not None:
            self._keep(delta)
        return self._withdraw(reason, now)

    def _withdraw(self, reason: str, now: float) -> Sequence[Message]:
        if self._shown is None:
            return ()
        self._shown = None
        return (BookLost(venue=VENUE, symbol=self.symbol, reason=reason, at=now),)

    def _synchronise(self, now: float) -> Sequence[Message]:
        """Snapshot plus what was buffered; a snapshot older than the first buffered delta is asked for again (backpack.md §7)."""
        snapshot = self._fetch_snapshot()
        sequence = None if snapshot is None else self._replay(snapshot)
        if snapshot is None or sequence is None or self._book.is_crossed:
            self._tries += 1
            self._fetch_at = now + SNAPSHOT_PAUSE_S
            if self._tries >= MAX_SNAPSHOT_TRIES:
                raise SessionFailed(f"no usable depth snapshot in {MAX_SNAPSHOT_TRIES} tries")
            return ()
        self._sequence = sequence
        self._advance(snapshot.last_id)
        venue_time_ms = max(snapshot.venue_time_ms, self._buffer[-1].venue_time_ms)
        self._buffer = []
        return self._publish(venue_time_ms, now)

    def _replay(self, snapshot: DepthSnapshot) -> DepthSequence | None:
        """The book of snapshot and buffer, or None where a delta between them is missing."""
        sequence = DepthSequence(snapshot.last_id)
        full = requests.SNAPSHOT_DEPTH
        self._floor = min(price for price, _ in snapshot.bids) if len(snapshot.bids) >= full else None
        self._ceiling = max(price for price, _ in snapshot.asks) if len(snapshot.asks) >= full else None
        self._book.reset(snapshot.bids, snapshot.asks)
        for delta in self._buffer:
            accepted = sequence.accepts(delta.first_id, delta.last_id)
            if accepted is None:
                return None
            if accepted:
                self._book.apply(delta.bids, delta.asks)
        return sequence

    def _publish(self, venue_time_ms: int, now: float) -> Sequence[Message]:
        bids, asks = self._book.top(BOOK_DEPTH)
        shown = self._shown
        if shown is not None and (shown.bids, shown.asks) == (bids, asks) and now - shown.at < REFRESH_S:
            return ()
        self._shown = _Shown(bids, asks, now)
        return (BookUpdated(venue=VENUE, symbol=self.symbol, bids=bids, asks=asks, received_at=now, venue_time_ms=venue_time_ms),)


class BackpackAccountSession:
    """Implements ``adapters.transport.stream.Session`` for the orders and the position of one symbol.

    Synced = subscription sent and either a first frame or one second without an error frame (backpack.md §2: there is no acknowledgement).
    """

    venue = VENUE
    channel = Channel.ACCOUNT
    stale_after_s = PRIVATE_STALE_AFTER_S

    def __init__(self, url: str, symbol: str, signer: Signer, clock: VenueClock) -> None:
        self.symbol = symbol
        self._url = url
        self._signer = signer
        self._clock = clock
        self._outbox: list[str] = []
        self._opened_at = 0.0
        self._is_synced = False

    def endpoint(self) -> Endpoint:
        return Endpoint(self._url)

    def opened(self, now: float) -> None:
        self._opened_at = now
        self._is_synced = False
        streams = [f"account.orderUpdate.{self.symbol}", f"account.positionUpdate.{self.symbol}"]
        signature = self._signer.subscription(self._clock.now_ms(), requests.READ_WINDOW_MS)
        self._outbox = [requests.subscribe(streams, signature)]

    def outbox(self) -> list[str]:
        queued, self._outbox = self._outbox, []
        return queued

    @property
    def is_synced(self) -> bool:
        return self._is_synced

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        try:
            parsed = frames.parse_account_frame(frame, self.symbol, now)
        except WireRefused as refused:
            return (_rejected(self.channel, refused, frame, now),)
        if isinstance(parsed, Complaint):
            raise SessionFailed(f"error {parsed.code}: {parsed.message}", is_auth=_is_auth(parsed.message))
        self._is_synced = True
        return parsed

    def tick(self, now: float) -> Sequence[Message]:
        if not self._is_synced and not self._outbox and now - self._opened_at >= QUIET_IS_SYNCED_S:
            self._is_synced = True
        return ()

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        self._is_synced = False
        return ()


_AUTH_WORDS = ("signature", "api key", "unauthor", "forbidden", "expired", "window")


def _is_auth(message: str) -> bool:
    """Whether the venue refused who we are rather than what we asked for; the texts are not documented, so words must do."""
    lowered = message.lower()
    return any(word in lowered for word in _AUTH_WORDS)
