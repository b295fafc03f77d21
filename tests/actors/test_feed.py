"""A stream as an actor: what it passes on, what everybody hears when it dies, and how a stuck one is let go."""

from __future__ import annotations

import queue
from typing import Any

import pykka

from actors.base import HealthRequest, Report
from actors.feed import Feed
from core.messages import BookLost, FeedChanged, LedgerRequested, Message, PositionReported, Resync
from core.types import ZERO, Channel, FeedState, Source
from tests.actors.fakes import GRVT, GUARD_S, FakeStream, Routed, book, identity

POSITION = PositionReported(venue=GRVT, symbol="ETH@grvt", quantity=ZERO, source=Source.WS, received_at=0.0)


class Rig:
    def __init__(self) -> None:
        self.routed = Routed()
        self.reports: queue.Queue[Report] = queue.Queue()
        self.stream = FakeStream()
        self.ref: pykka.ActorRef[Any] = Feed.start(identity("account_feed.grvt", self.reports), GRVT, self.stream, self.routed)

    def told(self, *batch: Message) -> list[Message]:
        self.stream.batches.put(batch)
        self.stream.batches.put((BookLost(venue=GRVT, symbol="end", reason="", at=0.0),))
        found: list[Message] = []
        while not (isinstance(event := self.routed.next(), BookLost) and event.symbol == "end"):
            found.append(event)
        return found


def test_account_facts_are_passed_on_one_by_one_in_wire_order() -> None:
    """Equal ones too: the tracker tells duplicates apart, not the feed."""
    assert [POSITION, POSITION] == Rig().told(POSITION, POSITION)


def test_of_several_books_only_the_newest_is_passed_on() -> None:
    """Everything else keeps its place."""
    assert [POSITION, book("2998")] == Rig().told(book("2996"), POSITION, book("2997"), book("2998"))


def test_a_crash_is_told_to_those_who_trust_the_feed() -> None:
    """DOWN, with the counters of the stream, before the report; the socket is let go."""
    rig = Rig()
    rig.stream.batches.put(RuntimeError("planted"))
    told = rig.routed.until(FeedChanged)
    report = rig.reports.get(timeout=GUARD_S)
    assert (FeedState.DOWN, Source.WS, Channel.ACCOUNT, 2) == (told.state, told.source, told.channel, told.reconnects)
    assert ("RuntimeError: planted", True) == (report.error, rig.stream.closed.is_set())  # type: ignore[union-attr]


def test_a_feed_that_was_replaced_passes_nothing_on() -> None:
    """A thread that wakes up late finds itself revoked: its events belong to nobody."""
    rig = Rig()
    rig.stream.batches.put(None)
    assert rig.stream.hanging.wait(GUARD_S)
    rig.ref.vitals.is_revoked = True  # type: ignore[attr-defined]
    rig.stream.batches.put((POSITION,))
    rig.stream.aborted.set()
    rig.ref.stop(timeout=GUARD_S)
    assert [] == rig.routed.left()


def test_a_resync_reaches_the_stream() -> None:
    """With its reason."""
    rig = Rig()
    rig.ref.tell(Resync(venue=GRVT, channel=Channel.ACCOUNT, reason="gap"))
    assert "gap" == rig.stream.resyncs.get(timeout=GUARD_S)


def test_its_health_is_the_streams() -> None:
    """Vitals and channel."""
    facts = Rig().ref.ask(HealthRequest(), timeout=GUARD_S)
    assert ("DOWN", "account", GRVT) == (facts["stream"].state, facts["channel"], facts["venue"])


def test_an_ordinary_stop_closes_the_stream() -> None:
    """By the thread that owns it."""
    rig = Rig()
    rig.ref.stop(timeout=GUARD_S)
    assert rig.stream.closed.is_set()


def test_who_was_built_anew_hears_how_the_feed_stands() -> None:
    """A core that asks for the state of all orders has never heard of the feeds either: each tells its state as it is now."""
    rig = Rig()
    rig.stream.state = FeedState.LIVE
    rig.ref.tell(LedgerRequested(owner="quoter", epoch=2))
    told = rig.routed.until(FeedChanged)
    assert (FeedState.LIVE, Source.WS, "asked for") == (told.state, told.source, told.reason)
