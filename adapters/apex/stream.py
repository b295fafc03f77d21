"""ApeX's two conversations, without any I/O of their own: the order book and the account (apex.md §2, §3).

They never publish a book across a gap and never take a login's acknowledgement for data. Every new conversation subscribes anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.apex import frames, requests
from adapters.apex.clock import VenueClock
from adapters.apex.frames import AccountFrame, Ack, BookFrame, Complaint, Ping, Pong
from adapters.apex.parse import BOOK_DEPTH, ENDED, FailedFill, Order, net_of, position_report
from adapters.apex.signer import ACCOUNT_TOPIC, ApiKey
from adapters.apex.values import VENUE, WireRefused, excerpt
from adapters.transport.stream import Endpoint, SessionFailed
from core.book import Book
from core.instrument import Instrument
from core.messages import Alert, BookLost, BookUpdated, FillReported, FrameRejected, Message, OrderReported
from core.types import Channel, Level, Side, Source

STALE_AFTER_S = 20.0
"""No frame and no pong for this long is a dead connection: the venue itself pings every 15 s."""
PING_PERIOD_S = 15.0
BOOK_SILENCE_S = 30.0
"""No news of the book for this long: a quiet one may say nothing for over 20 s (apex.md §2). A ticker does not stand in for it."""
SNAPSHOT_WITHIN_S = 5.0
MAX_RESYNCS = 5
RESYNC_WINDOW_S = 30.0
REFRESH_S = 1.0
"""A book whose top did not change is repeated this often while data arrives, so that its age tells the truth."""
SUBSCRIBE_AFTER_S = 3.0
LOGIN_WITHIN_S = 10.0


class _Conversation:
    """What both sessions share: pings both ways, the outbox, and the refusal of frames."""

    venue = VENUE
    channel: Channel
    stale_after_s = STALE_AFTER_S

    def __init__(self, base_url: str, path: str, symbol: str, clock: VenueClock) -> None:
        self.symbol = symbol
        self._base_url = base_url
        self._path = path
        self._clock = clock
        self._outbox: list[str] = []
        self._ping_at = 0.0

    def endpoint(self) -> Endpoint:
        return Endpoint(requests.stream_url(self._base_url, self._path, self._clock.now_ms()))

    def outbox(self) -> list[str]:
        queued, self._outbox = self._outbox, []
        return queued

    def _begin(self, now: float, *first: str) -> None:
        self._outbox = list(first)
        self._ping_at = now

    def _keep_alive(self, now: float) -> None:
        """The venue drops a client whose last stamp is older than 150 s (apex.md §2)."""
        if now - self._ping_at >= PING_PERIOD_S:
            self._ping_at = now
            self._outbox.append(requests.command("ping", [str(self._clock.now_ms())]))

    def _answer(self, ping: Ping) -> None:
        self._outbox.append(requests.command("pong", [ping.stamp or str(self._clock.now_ms())]))

    def _rejected(self, refused: WireRefused, frame: bytes, now: float) -> tuple[FrameRejected]:
        return (FrameRejected(venue=VENUE, channel=self.channel, reason=str(refused), head=excerpt(frame), at=now),)


class _Shown(NamedTuple):
    """What the last BookUpdated said, and when."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at: float


class ApexMarketSession(_Conversation):
    """Implements ``adapters.transport.stream.Session``: the book of one instrument, with its ticker as a sign of life.

    The ticker confirms a book that says nothing, for as long as a quiet one may; after that its topic may be lost, and the book with it.
    ``more_topics`` (trades, klines) may be named beside them; they are read and count as signs of life, and nothing is told of them.
    """

    channel = Channel.MARKET

    def __init__(self, base_url: str, instrument: Instrument, clock: VenueClock, more_topics: Sequence[str] = ()) -> None:
        super().__init__(base_url, requests.PUBLIC_PATH, instrument.symbol, clock)
        self._market_symbol = instrument.market_symbol
        self._book_topic = frames.book_topic(instrument.market_symbol)
        self._topics = (self._book_topic, frames.ticker_topic(instrument.market_symbol), *more_topics)
        self._resyncs: deque[float] = deque(maxlen=MAX_RESYNCS)
        self._shown: _Shown | None = None
        self._forget(0.0)

    def _forget(self, now: float) -> None:
        self._book = Book()
        self._update_id: int | None = None
        self._asked_at = self._moved_at = now
        self._venue_time_ms = 0

    def opened(self, now: float) -> None:
        self._forget(now)
        self._begin(now, requests.command("subscribe", self._topics))

    @property
    def is_synced(self) -> bool:
        return self._update_id is not None

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        self._forget(now)
        return self._withdraw(reason, now)

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        """Raises SessionFailed where the venue refuses a topic: one refusal voids the whole subscription (apex.md §2)."""
        try:
            found = frames.parse_market_frame(frame, self._market_symbol)
        except WireRefused as refused:
            return self._rejected(refused, frame, now)
        match found:
            case Ping():
                self._answer(found)
            case Complaint(op=op, message=message):
                raise SessionFailed(f"{op or 'request'} refused: {message}")
            case Ack() | Pong():
                pass
            case BookFrame():
                return self._take(found, now)
            case _:
                return self._publish(now) if self.is_synced and not self._is_silent(now) else ()
        return ()

    def tick(self, now: float) -> Sequence[Message]:
        if self._is_silent(now):
            raise SessionFailed(f"no news of the book for {BOOK_SILENCE_S:g} s")
        if not self.is_synced and now - self._asked_at > SNAPSHOT_WITHIN_S:
            raise SessionFailed(f"no snapshot of the book within {SNAPSHOT_WITHIN_S:g} s")
        self._keep_alive(now)
        return ()

    def _is_silent(self, now: float) -> bool:
        return now - self._moved_at > BOOK_SILENCE_S

    def _take(self, frame: BookFrame, now: float) -> Sequence[Message]:
        """A snapshot sets the base, whatever its number; a delta must be the next one (apex.md §2). The last one again is a double."""
        if frame.is_snapshot:
            self._book.reset(frame.bids, frame.asks)
        elif self._update_id is None or frame.update_id == self._update_id:
            return ()
        elif frame.update_id != self._update_id + 1:
            return self._start_over(f"gap in the book: {frame.update_id} after {self._update_id}", now)
        else:
            self._book.apply(frame.bids, frame.asks)
        if self._book.is_crossed:
            return self._start_over(f"book crossed at update {frame.update_id}", now)
        self._update_id = frame.update_id
        self._venue_time_ms = frame.venue_time_ms
        self._moved_at = now
        return self._publish(now)

    def _start_over(self, reason: str, now: float) -> Sequence[Message]:
        """Ask for a new snapshot on the same connection: a plain second subscribe would be refused (apex.md §0.7)."""
        if len(self._resyncs) == MAX_RESYNCS and now - self._resyncs[0] < RESYNC_WINDOW_S:
            raise SessionFailed(f"{reason}; {MAX_RESYNCS} resyncs within {RESYNC_WINDOW_S:g} s")
        self._resyncs.append(now)
        self._forget(now)
        self._outbox += [requests.command(op, [self._book_topic]) for op in ("unsubscribe", "subscribe")]
        return self._withdraw(reason, now)

    def _withdraw(self, reason: str, now: float) -> Sequence[Message]:
        if self._shown is None:
            return ()
        self._shown = None
        return (BookLost(venue=VENUE, symbol=self.symbol, reason=reason, at=now),)

    def _publish(self, now: float) -> Sequence[Message]:
        bids, asks = self._book.top(BOOK_DEPTH)
        shown = self._shown
        if shown is not None and (shown.bids, shown.asks) == (bids, asks) and now - shown.at < REFRESH_S:
            return ()
        self._shown = _Shown(bids, asks, now)
        book = BookUpdated(
            venue=VENUE, symbol=self.symbol, bids=bids, asks=asks, received_at=now, venue_time_ms=self._venue_time_ms
        )
        return (book,)


class ApexAccountSession(_Conversation):
    """Implements ``adapters.transport.stream.Session``: orders, fills and position of one symbol.

    Synced = a first frame of the account's topic: the login's acknowledgement has never been captured (apex.md §3). A second frame with
    ended orders of the past follows it. A damaged frame ends the conversation, since it may have been the only word of a fill.
    """

    channel = Channel.ACCOUNT

    def __init__(self, base_url: str, symbol: str, key: ApiKey, clock: VenueClock) -> None:
        super().__init__(base_url, requests.PRIVATE_PATH, symbol, clock)
        self._key = key
        self._forget(0.0)

    def _forget(self, now: float) -> None:
        self._opened_at = now
        self._login_ms = 0
        self._is_synced = False
        self._has_subscribed = False
        self._damage = ""
        self._sides: dict[Side, Decimal] = {}

    def opened(self, now: float) -> None:
        self._forget(now)
        self._login_ms = self._clock.now_ms()
        self._begin(now, self._key.login(self._login_ms))

    @property
    def is_synced(self) -> bool:
        return self._is_synced

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        self._is_synced = False
        return ()

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        try:
            found = frames.parse_account_frame(frame, self.symbol, now)
        except WireRefused as refused:
            self._damage = str(refused)
            return self._rejected(refused, frame, now)
        match found:
            case Ping():
                self._answer(found)
            case Complaint():
                self._complain(found)
            case Ack() | Pong():
                pass
            case AccountFrame():
                self._is_synced = True
                return self._take(found, now)
        return ()

    def _complain(self, complaint: Complaint) -> None:
        """The login's refusals do not say what they refuse (apex.md §3). A topic that the login has subscribed already lives on."""
        if complaint.op == "subscribe" and "already subscribed" in complaint.message:
            return
        is_auth = complaint.op in ("", "login")
        raise SessionFailed(f"{complaint.op or 'login'} refused: {complaint.message}", is_auth=is_auth)

    def tick(self, now: float) -> Sequence[Message]:
        """Raises SessionFailed after a damaged frame, and where the login brings nothing."""
        if self._damage:
            raise SessionFailed(f"unreadable frame: {self._damage}")
        waited_s = now - self._opened_at
        if not self._is_synced and waited_s > LOGIN_WITHIN_S:
            raise SessionFailed(f"no account data within {LOGIN_WITHIN_S:g} s of the login", is_auth=True)
        if not self._is_synced and not self._has_subscribed and waited_s > SUBSCRIBE_AFTER_S:
            # Some clients subscribe after the login; doing so at once would bring every snapshot twice.
            self._has_subscribed = True
            self._outbox.append(requests.command("subscribe", [ACCOUNT_TOPIC]))
        self._keep_alive(now)
        return ()

    def _take(self, frame: AccountFrame, now: float) -> Sequence[Message]:
        out: list[Message] = [fact for fact in frame.fills if isinstance(fact, FillReported)]
        out += [self._alarm(fact, now) for fact in frame.fills if isinstance(fact, FailedFill) and self._is_news(fact)]
        out += [self._order(order, is_snapshot=frame.is_snapshot) for order in frame.orders]
        if frame.positions:
            self._sides.update(frame.positions)
            out.append(position_report(self.symbol, net_of(self._sides), Source.WS, now))
        return out

    def _order(self, order: Order, *, is_snapshot: bool) -> OrderReported:
        """An ended order of a snapshot, or one that ended before this login, is history and not news (apex.md §0.2)."""
        is_past = is_snapshot or 0 < order.updated_ms < self._login_ms
        if order.report.state in ENDED and is_past:
            return msgspec.structs.replace(order.report, is_historical=True)
        return order.report

    def _is_news(self, fill: FailedFill) -> bool:
        return fill.venue_time_ms >= self._login_ms

    def _alarm(self, fill: FailedFill, now: float) -> Alert:
        text = f"apex: fill {fill.trade_id} of {self.symbol} was undone by the venue: {fill.status}"
        return Alert(level="critical", key=f"apex-fill-{fill.trade_id}", text=text, at=now)
