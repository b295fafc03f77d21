"""One supervised WebSocket conversation: connect, keep alive, notice silence, back off, start anew.

It must never raise for anything a network or a venue can do, never start a thread, never sleep past its caller's time-out while
it waits, and never decide what a frame means: that is the session's.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from adapters.transport.ws import ConnectFailed, ConnectionLost, WebSocket
from core.messages import FeedChanged, FrameRejected, Message
from core.ports import StreamVitals
from core.types import Channel, FeedState, Source, VenueId

CONNECT_DEADLINE_S = 5.0
BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 30.0
BACKOFF_LEAST_S = 0.05
REFUSED_BACKOFF_LEAST_S = 1.0
LIVE_LONG_ENOUGH_S = 10.0
PING_PERIOD_S = 5.0
TICK_PERIOD_S = 0.25
BATCH_FRAMES = 64
_AUTH_STATUSES = frozenset({401, 403})
AUTH_PREFIX = "auth: "
"""Reasons given to ``Session.lost`` and in FeedChanged start with it where the login may be what is wrong."""


class Endpoint(NamedTuple):
    """Where to connect; ``headers`` are whole lines, ``Name: value``."""

    url: str
    headers: tuple[str, ...] = ()


class SessionFailed(Exception):
    """The conversation cannot go on: the loop closes, backs off and starts a new one."""

    def __init__(self, reason: str, *, is_auth: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_auth = is_auth


class Session(Protocol):
    """What a venue says over one connection, without any I/O of the stream; ``now`` is monotonic seconds."""

    venue: VenueId
    channel: Channel
    symbol: str
    stale_after_s: float
    """No frame and no pong for this long = half-open."""

    def endpoint(self) -> Endpoint:
        """Asked before every connection; may log in, bounded by its own deadline. Raises SessionFailed."""
        ...

    def opened(self, now: float) -> None:
        """A new connection: forget everything of the old one, queue the first frames. May raise SessionFailed."""
        ...

    def received(self, frame: bytes, now: float) -> Sequence[Message]:
        """A bad frame is a FrameRejected, never an exception; a gap or a lost subscription raises SessionFailed."""
        ...

    def tick(self, now: float) -> Sequence[Message]:
        """Called at least every 0.25 s while connected and polled; overdue confirmations raise SessionFailed."""
        ...

    def outbox(self) -> list[str]:
        """Text frames to send, handed over once; asked after ``opened``, ``received`` and ``tick``."""
        ...

    @property
    def is_synced(self) -> bool: ...

    def lost(self, reason: str, now: float) -> Sequence[Message]:
        """The connection is gone, or could not be made. ``reason`` starts with "auth: " where the login is suspect."""
        ...


class StreamLoop:
    """Implements ``core.ports.Stream`` around a ``Session``."""

    def __init__(self, session: Session, *, random: Callable[[], float] = random.random) -> None:
        self.channel = session.channel
        self._session = session
        self._backoff = Backoff(random)
        self._ended = threading.Event()
        self._ws: WebSocket | None = None
        self._state = FeedState.DOWN
        self._events: list[Message] = []
        self._resync_reason: str | None = None
        self._opened_at = self._polled_at = self._ping_at = self._tick_at = self._last_frame_at = time.monotonic()
        self._connections = self._gaps = self._frames = self._rejected = 0

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """One step of the conversation. Takes longer than ``timeout_s`` only to connect (5 s) and to log in."""
        if self._ended.is_set():
            self._end()
            time.sleep(min(timeout_s, BACKOFF_LEAST_S))  # A caller that goes on polling a dead stream must not spin.
            return ()
        try:
            self._step(time.monotonic() + timeout_s)
        except ConnectionLost as lost:
            is_auth = is_auth_close(lost.close_code)
            self._lose(lost.reason, is_auth=is_auth, is_refused=is_auth)
        except SessionFailed as failed:
            self._gaps += self._state is FeedState.LIVE and not failed.is_auth
            self._lose(failed.reason, is_auth=failed.is_auth, is_refused=failed.is_auth)
        self._polled_at = time.monotonic()
        events, self._events = self._events, []
        return () if self._ended.is_set() else tuple(events)

    def resync(self, reason: str) -> None:
        """Called by the owning thread."""
        self._resync_reason = reason

    def vitals(self) -> StreamVitals:
        """``last_frame_at`` is the loop's creation until the first frame."""
        return StreamVitals(
            state=self._state.value,
            last_frame_at=self._last_frame_at,
            reconnects=self._reconnects,
            gaps=self._gaps,
            frames=self._frames,
            rejected=self._rejected,
        )

    def abort(self) -> None:
        """From any thread, for good: ends a wait, a connect and a read; later polls return ()."""
        self._ended.set()
        ws = self._ws
        if ws is not None:
            ws.abort()

    def close(self) -> None:
        self._ended.set()
        self._end()

    def _end(self) -> None:
        self._discard()
        self._state = FeedState.DOWN

    @property
    def _reconnects(self) -> int:
        return max(self._connections - 1, 0)

    def _step(self, until: float) -> None:
        if self._state is FeedState.CONNECTING:
            self._connect()
        elif self._ws is None:
            self._wait_for_backoff(until)
        else:
            self._serve(self._ws, until)

    def _wait_for_backoff(self, until: float) -> None:
        """CONNECTING is told before the connect blocks: nobody should wait 5 s to learn that."""
        due_at = self._backoff.due_at
        self._ended.wait(max(min(due_at, until) - time.monotonic(), 0.0))
        now = time.monotonic()
        if now >= due_at:
            self._enter(FeedState.CONNECTING, "connecting", now)

    def _connect(self) -> None:
        self._resync_reason = None
        endpoint = self._session.endpoint()
        ws = self._ws = WebSocket()
        if self._ended.is_set():
            return
        try:
            ws.connect(endpoint.url, endpoint.headers, CONNECT_DEADLINE_S)
        except ConnectFailed as failed:
            is_auth = failed.status in _AUTH_STATUSES
            self._lose(f"connect failed: {failed.reason}", is_auth=is_auth, is_refused=is_auth or failed.is_untrusted)
            return
        now = self._opened_at = self._polled_at = self._ping_at = self._tick_at = time.monotonic()
        self._connections += 1
        self._enter(FeedState.SYNCING, "connected", now)
        self._session.opened(now)
        self._flush(ws)
        self._judge_sync(now)

    def _serve(self, ws: WebSocket, until: float) -> None:
        """Take at most a batch of frames; go home once there is something to tell and nothing more is waiting.

        Of an account, one frame at a time: a fill does not wait for the reports that follow it. Batches are there to conflate books.
        """
        if time.monotonic() - self._polled_at > self._session.stale_after_s:
            raise ConnectionLost("not polled for too long: what waits in the socket may be old")
        for _ in range(BATCH_FRAMES):
            self._keep_up(ws)
            now = time.monotonic()
            wait_s = 0.0 if self._events else min(until - now, self._tick_at + TICK_PERIOD_S - now, self._ping_due_at() - now)
            frame = ws.receive(max(wait_s, 0.0))
            if frame is not None:
                self._take(ws, frame)
                if self._events and self.channel is Channel.ACCOUNT:
                    break
                continue
            self._judge_silence(ws)
            if self._events or time.monotonic() >= until:
                break
        self._keep_up(ws)

    def _take(self, ws: WebSocket, frame: bytes) -> None:
        now = self._last_frame_at = time.monotonic()
        self._frames += 1
        messages = self._session.received(frame, now)
        self._rejected += sum(isinstance(message, FrameRejected) for message in messages)
        self._judge_sync(now)
        self._events.extend(messages)
        self._flush(ws)

    def _keep_up(self, ws: WebSocket) -> None:
        """What is due by the clock, also in the middle of a flood."""
        if self._resync_reason is not None:
            raise ConnectionLost(f"resync: {self._resync_reason}")
        now = time.monotonic()
        if now >= self._ping_due_at():
            self._ping_at = now
            ws.ping()
        if now >= self._tick_at + TICK_PERIOD_S:
            messages = self._session.tick(now)
            # Counted from its end: one that waits for a snapshot would be due again at each frame of the batch, and the watch at its limit.
            self._tick_at = time.monotonic()
            self._judge_sync(now)
            self._events.extend(messages)
            self._flush(ws)
        if self._state is FeedState.LIVE:
            self._backoff.note_live(now)

    def _ping_due_at(self) -> float:
        return self._ping_at + min(PING_PERIOD_S, self._session.stale_after_s / 2)

    def _judge_silence(self, ws: WebSocket) -> None:
        """Only when nothing is waiting to be read: a loop that was held up must not blame the peer."""
        heard_at = max(ws.last_frame_at, ws.last_pong_at, self._opened_at)
        if time.monotonic() - heard_at > self._session.stale_after_s:
            raise ConnectionLost(f"half-open: no frame and no pong for {self._session.stale_after_s} s")

    def _judge_sync(self, now: float) -> None:
        is_synced = self._session.is_synced
        if is_synced and self._state is not FeedState.LIVE:
            self._backoff.live_since(now)
            self._enter(FeedState.LIVE, "synced", now)
        elif not is_synced and self._state is FeedState.LIVE:
            self._gaps += 1
            self._enter(FeedState.DEGRADED, "out of sync", now)

    def _flush(self, ws: WebSocket) -> None:
        for text in self._session.outbox():
            ws.send_text(text)

    def _lose(self, reason: str, *, is_auth: bool, is_refused: bool) -> None:
        """Close, tell, and set the time of the next attempt."""
        self._discard()
        if self._ended.is_set():
            return
        now = time.monotonic()
        self._backoff.failed(now, is_refused=is_refused)
        reason = AUTH_PREFIX + reason if is_auth else reason
        self._events.extend(self._session.lost(reason, now))
        self._enter(FeedState.DOWN, reason, now, is_refused=is_refused)

    def _discard(self) -> None:
        ws, self._ws = self._ws, None
        if ws is not None:
            ws.close()

    def _enter(self, state: FeedState, reason: str, now: float, *, is_refused: bool = False) -> None:
        if state is self._state:
            return
        self._state = state
        self._events.append(
            FeedChanged(
                venue=self._session.venue,
                channel=self.channel,
                state=state,
                source=Source.WS,
                reason=reason,
                at=now,
                reconnects=self._reconnects,
                gaps=self._gaps,
                is_refused=is_refused,
            )
        )


class Backoff:
    """When the next attempt is due: full jitter under a doubling ceiling, which falls back after a long enough LIVE time."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._live_since: float | None = None
        self.due_at = 0.0

    def live_since(self, now: float) -> None:
        self._live_since = now

    def note_live(self, now: float) -> None:
        if self._live_since is not None and now - self._live_since >= LIVE_LONG_ENOUGH_S:
            self._failures = 0

    def failed(self, now: float, *, is_refused: bool) -> None:
        ceiling_s = min(BACKOFF_FIRST_S * 2.0 ** min(self._failures, 16), BACKOFF_MAX_S)
        least_s = REFUSED_BACKOFF_LEAST_S if is_refused else BACKOFF_LEAST_S
        self.due_at = now + max(self._random() * ceiling_s, least_s)
        self._failures += 1
        self._live_since = None


def is_auth_close(code: int | None) -> bool:
    """1008 (policy) and 4001-4999: the peer dislikes who we are or what we asked; the login comes first on the next attempt."""
    return code is not None and (code == 1008 or 4001 <= code <= 4999)
