"""GRVT's two conversations as sans-io sessions for ``transport.stream.StreamLoop`` (grvt.md §2, §3).

They must never deliver data of a stream that has a hole, and never take silence or pongs for health where data is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.grvt import parse
from adapters.grvt.auth import GrvtAuth, LoginFailed
from adapters.grvt.envelope import Confirmed, Failed, Feed, envelope
from adapters.grvt.parse import Account
from adapters.grvt.subscriptions import Subscriptions, Verdict
from adapters.grvt.values import VENUE, Rule, WireRefused, head_of
from adapters.transport.stream import AUTH_PREFIX, Endpoint, SessionFailed
from core.book import Book
from core.messages import BookLost, FrameRejected, Message, OrderReported
from core.types import Channel

BOOK_STREAM = "v1.book.d"
BOOK_RATE_MS = 50
BOOK_SILENCE_S = 5.0
ORDER_STREAM, STATE_STREAM, FILL_STREAM, POSITION_STREAM = "v1.order", "v1.state", "v1.fill", "v1.position"


class _Conversation:
    """What both sessions share: subscriptions, refusal of frames, and the rule that an unreadable frame ends the conversation.

    The end comes with the next ``tick``, after the refusal was delivered: the frame may have been the only word of a fill, and only a
    reconnection makes everybody fetch what it said.
    """

    venue = VENUE
    channel: Channel

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._subscriptions = Subscriptions((), 0.0)
        self._damage = ""

    def outbox(self) -> list[str]:
        return self._subscriptions.outbox()

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        """Messages of one frame; a refused frame is a FrameRejected, a gap or an error of the venue raises SessionFailed."""
        try:
            found = envelope(frame)
            match found:
                case Confirmed():
                    self._subscriptions.confirm(found)
                    return ()
                case Failed():
                    raise self._subscriptions.failure(found)
                case Feed():
                    return self._take(found, now)
        except WireRefused as error:
            if error.rule is not Rule.UNKNOWN_KIND:
                self._damage = str(error)
            rejected = FrameRejected(venue=VENUE, channel=self.channel, reason=str(error), head=head_of(frame), at=now)
            return (rejected,)

    def tick(self, now: float) -> Sequence[Message]:
        if self._damage:
            raise SessionFailed(f"unreadable frame: {self._damage}")
        self._subscriptions.tick(now)
        return ()

    def _take(self, feed: Feed, now: float) -> Sequence[Message]:
        """Read first, count then: a frame that cannot be read leaves a gap that its successor reveals."""
        if not self._subscriptions.covers(feed.stream):
            raise WireRefused(Rule.UNKNOWN_KIND, f"stream {feed.stream[:40]!r} was not asked for")
        return self._apply(feed, now)

    def _apply(self, feed: Feed, now: float) -> Sequence[Message]:
        raise NotImplementedError

    def _restart(self, wanted: Sequence[tuple[str, str]], now: float) -> None:
        self._subscriptions = Subscriptions(wanted, now)
        self._damage = ""


class GrvtMarketSession(_Conversation):
    """The book of one symbol: ``v1.book.d`` at 50 ms, snapshot then changed levels; public."""

    channel = Channel.MARKET
    stale_after_s = 3.0

    def __init__(self, symbol: str, url: str) -> None:
        super().__init__(symbol)
        self._url = url
        self._book = Book()
        self._has_book = False
        self._data_at = 0.0

    def endpoint(self) -> Endpoint:
        return Endpoint(self._url)

    def opened(self, now: float) -> None:
        self._restart(((BOOK_STREAM, f"{self.symbol}@{BOOK_RATE_MS}"),), now)
        self._has_book = False
        self._data_at = now

    @property
    def is_synced(self) -> bool:
        return self._has_book and self._subscriptions.are_confirmed

    def tick(self, now: float) -> Sequence[Message]:
        messages = super().tick(now)
        if self._subscriptions.are_confirmed and now - self._data_at > BOOK_SILENCE_S:
            raise SessionFailed(f"no book for {BOOK_SILENCE_S} s though the connection lives")
        return messages

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        if not self._has_book:
            return ()
        self._has_book = False
        return (BookLost(venue=VENUE, symbol=self.symbol, reason=reason, at=now),)

    def _apply(self, feed: Feed, now: float) -> Sequence[Message]:
        changes = parse.book_feed(feed.feed, self.symbol)
        verdict = self._subscriptions.judge(feed)
        if verdict is Verdict.DUPLICATE:
            return ()
        if verdict is Verdict.SNAPSHOT:
            self._book.reset(changes.bids, changes.asks)
            self._has_book = True
        elif self._has_book:
            self._book.apply(changes.bids, changes.asks)
        else:
            raise SessionFailed("a change of the book came before the snapshot")
        if self._book.is_crossed:
            raise SessionFailed("the book is crossed")
        self._data_at = now
        return (parse.book_updated(self._book, self.symbol, changes.venue_time_ms, now),)


class GrvtTradingSession(_Conversation):
    """Orders, states, fills and positions of one symbol of our sub-account; the cookie travels in the handshake.

    ``v1.state`` says the same as ``v1.order``, sooner, and the streams have no common order: stale news is the tracker's business. Not
    subscribed: ``v1.cancel``, which reports on armed cancels, never on an order.
    """

    channel = Channel.ACCOUNT
    stale_after_s = 3.0

    def __init__(self, account: Account, url: str, auth: GrvtAuth) -> None:
        super().__init__(account.symbol)
        self._account = account
        self._url = url
        self._auth = auth
        self._used: Mapping[str, str] = {}

    def endpoint(self) -> Endpoint:
        """Logs in where needed; an open socket keeps the session it opened with, so that no refresh is needed (grvt.md §1)."""
        try:
            self._used = self._auth.headers()
        except LoginFailed as error:
            raise SessionFailed(str(error), is_auth=error.is_refused) from None
        return Endpoint(self._url, tuple(f"{name}: {value}" for name, value in self._used.items()))

    def opened(self, now: float) -> None:
        selector = f"{self._account.sub_account_id}-{self.symbol}"
        streams = (ORDER_STREAM, STATE_STREAM, FILL_STREAM, POSITION_STREAM)
        self._restart(tuple((stream, selector) for stream in streams), now)

    @property
    def is_synced(self) -> bool:
        return self._subscriptions.are_confirmed

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        """A venue that closes for policy, or refuses the handshake, gets a new login: the cookie may have been revoked before its end."""
        if reason.startswith(AUTH_PREFIX):
            self._auth.invalidate(self._used)
        return ()

    def _apply(self, feed: Feed, now: float) -> Sequence[Message]:
        messages = self._read(feed, now)
        return () if self._subscriptions.judge(feed) is Verdict.DUPLICATE else messages

    def _read(self, feed: Feed, now: float) -> Sequence[Message]:
        match feed.stream:
            case "v1.order":
                return _identified(parse.order_feed(feed.feed, self._account, now))
            case "v1.state":
                return _identified(parse.state_feed(feed.feed, self._account, now))
            case "v1.fill":
                return (parse.fill_feed(feed.feed, self._account, now),)
            case _:
                return (parse.position_feed(feed.feed, self._account, now),)


def _identified(report: OrderReported) -> tuple[OrderReported, ...]:
    """Bootstrap frames may carry neither id (grvt.md §3): they are about nothing."""
    return (report,) if report.client_order_id is not None or report.venue_order_id is not None else ()
