"""When the REST poller must stand in for a stream, and when the stream has earned its place back.

A stream that is not live for longer than the patience, for whatever reason (down, silent, given up), is polled for; the poller goes away
only after two complete reconciliations that both began after the stream's return (continuity shown, not assumed). A live account stream
that tells of no fill while reads find several is deaf, whatever its pongs say: it has to connect anew.
"""

from __future__ import annotations

from core.messages import FeedChanged, FillRecorded, FillReported, Message, Resync, SetPolling, Tick, VenueReconciled
from core.types import Channel, FeedState, Source, VenueId

PATIENCE_S = 1.0
START_PATIENCE_S = 5.0
"""A first connection, with login and snapshots, may take longer than a reconnect is given."""
GOOD_SYNCS = 2
MARKET_GRACE_S = 2.0
DEAF_FILLS = 3
"""Fills in a row that only reads found: one lost frame proves nothing, and a late stream still tells of the first before the third."""
DEAF_GRACE_S = 5.0
"""After its return a stream is not to blame for what the reconciliation finds."""


class _Feed:
    def __init__(self, now: float) -> None:
        self.down_since: float | None = now + START_PATIENCE_S - PATIENCE_S
        self.live_since: float | None = None
        self.is_polled = False
        self.syncs = 0
        self.unheard = 0
        """Fills that only reads found since the stream last told of one."""


class FallbackPolicy:
    """``handle(message, now)`` returns SetPolling when a poller is to be turned on or off, Resync for a deaf stream; ``triggers`` counts
    the take-overs."""

    def __init__(self, feeds: tuple[tuple[VenueId, Channel], ...], now: float) -> None:
        self._feeds = {key: _Feed(now) for key in feeds}
        self.triggers = 0

    def start(self, now: float) -> tuple[Message, ...]:
        """Nothing to ask for: every feed counts as down until it says otherwise."""
        return ()

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        match message:
            case FeedChanged() if message.source is Source.WS:
                self._changed(self._feeds[(message.venue, message.channel)], message.state, now)
            case VenueReconciled():
                feed = self._feeds[(message.venue, Channel.ACCOUNT)]
                feed.syncs += feed.live_since is not None
            case FillReported() if message.source is Source.WS:
                self._feeds[(message.venue, Channel.ACCOUNT)].unheard = 0
                return ()
            case FillRecorded() if message.fill.source is not Source.WS:
                return self._found_by_reading(message.fill.venue, now)
            case Tick():
                pass
            case _:
                return ()
        return tuple(command for key, feed in self._feeds.items() for command in self._judge(key, feed, now))

    def _changed(self, feed: _Feed, state: FeedState, now: float) -> None:
        if state is FeedState.LIVE:
            feed.live_since = now if feed.live_since is None else feed.live_since
            feed.down_since = None
        else:
            feed.live_since, feed.syncs = None, 0
            feed.down_since = now if feed.down_since is None else feed.down_since

    def _found_by_reading(self, venue: VenueId, now: float) -> tuple[Message, ...]:
        feed = self._feeds[(venue, Channel.ACCOUNT)]
        if feed.live_since is None or now - feed.live_since < DEAF_GRACE_S:
            return ()
        feed.unheard += 1
        if feed.unheard < DEAF_FILLS:
            return ()
        feed.unheard = 0
        return (Resync(venue=venue, channel=Channel.ACCOUNT, reason=f"deaf: {DEAF_FILLS} fills in a row came by REST only"),)

    def _judge(self, key: tuple[VenueId, Channel], feed: _Feed, now: float) -> tuple[Message, ...]:
        venue, channel = key
        if not feed.is_polled and feed.down_since is not None and now - feed.down_since >= PATIENCE_S:
            feed.is_polled = True
            self.triggers += 1
            return (SetPolling(venue=venue, channel=channel, is_on=True),)
        if feed.is_polled and feed.live_since is not None and self._has_earned(channel, feed, now):
            feed.is_polled = False
            return (SetPolling(venue=venue, channel=channel, is_on=False),)
        return ()

    @staticmethod
    def _has_earned(channel: Channel, feed: _Feed, now: float) -> bool:
        if channel is Channel.MARKET:
            return feed.live_since is not None and now - feed.live_since >= MARKET_GRACE_S
        return feed.syncs >= GOOD_SYNCS

    @property
    def polled(self) -> frozenset[tuple[VenueId, Channel]]:
        return frozenset(key for key, feed in self._feeds.items() if feed.is_polled)

    def deadline(self) -> float | None:
        """When a feed's patience or grace ends."""
        due = [
            feed.down_since + PATIENCE_S for feed in self._feeds.values() if feed.down_since is not None and not feed.is_polled
        ]
        due += [f.live_since + MARKET_GRACE_S for f in self._feeds.values() if f.live_since is not None and f.is_polled]
        return min(due, default=None)
