"""The query lane as an actor, and as the stand-in of a lost stream."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from actors import rest_poller
from actors.base import HealthRequest, Report
from actors.rest_poller import RestPoller
from core.messages import (
    Alert,
    BookUpdated,
    FeedChanged,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    OrderRejected,
    PositionReported,
    QueryFailed,
    QueryOrder,
    SetPolling,
    Stop,
)
from core.ports import VenueRefused
from core.types import ZERO, Channel, ClientOrderId, FeedState, Priority, Source
from tests.actors.fakes import GRVT, GUARD_S, FakeQueryLane, Routed, book, identity

SYMBOL = "ETH@grvt"
ANSWER = PositionReported(venue=GRVT, symbol=SYMBOL, quantity=ZERO, source=Source.REST, received_at=0.0)


class Rig:
    def __init__(
        self, *, polling: frozenset[Channel] = frozenset(), book: BookUpdated | None = None, changes: Callable[[], str] = str
    ) -> None:
        self.routed = Routed()
        self.reports: queue.Queue[Report] = queue.Queue()
        self.lane = FakeQueryLane(self.routed, (ANSWER,), book=book)
        self.ref: pykka.ActorRef[Any] = RestPoller.start(
            identity("rest_poller.grvt", self.reports), GRVT, SYMBOL, self.lane, self.routed, polling=polling, changes=changes
        )


QUERIES: list[tuple[Message, str]] = [
    (QueryOrder(venue=GRVT, symbol=SYMBOL, client_order_id=ClientOrderId(1)), "order"),
    (FetchOpenOrders(venue=GRVT, symbol=SYMBOL), "open orders"),
    (FetchFills(venue=GRVT, symbol=SYMBOL, lookback_s=60.0, priority=Priority.P1), "fills"),
    (FetchPosition(venue=GRVT, symbol=SYMBOL), "position"),
]


@pytest.mark.parametrize(("query", "call"), QUERIES, ids=[call for _, call in QUERIES])
def test_a_query_is_asked_and_its_answer_routed(query: Message, call: str) -> None:
    """Each kind by its own call of the lane."""
    rig = Rig()
    rig.ref.tell(query)
    assert [call, ANSWER] == [rig.routed.next(), rig.routed.next()]


def test_a_book_is_fetched() -> None:
    """As the feeds would tell it."""
    rig = Rig(book=book())
    rig.ref.tell(FetchBook(venue=GRVT, symbol=SYMBOL))
    assert ["book", book()] == [rig.routed.next(), rig.routed.next()]


def test_a_book_that_cannot_be_read_is_a_failed_query() -> None:
    """Silence would be taken for an answer that is still to come."""
    rig = Rig()
    rig.ref.tell(FetchBook(venue=GRVT, symbol=SYMBOL))
    assert "FetchBook" == rig.routed.until(QueryFailed).query


def test_a_lost_account_stream_is_polled_for() -> None:
    """It says that it stands in, and asks for fills, orders and position, again and again; not for books."""
    rig = Rig()
    rig.ref.tell(SetPolling(venue=GRVT, channel=Channel.ACCOUNT, is_on=True))
    told = rig.routed.until(FeedChanged)
    asked = [type(rig.routed.next()) for _ in range(6)]
    assert (FeedState.LIVE, Source.REST) == (told.state, told.source)
    assert [FetchFills, FetchOpenOrders, FetchPosition] * 2 == asked


def test_a_lost_market_stream_is_polled_for() -> None:
    """Books only."""
    rig = Rig()
    rig.ref.tell(SetPolling(venue=GRVT, channel=Channel.MARKET, is_on=True))
    rig.routed.until(FeedChanged)
    assert [FetchBook, FetchBook] == [type(rig.routed.next()) for _ in range(2)]


def test_polling_ends_when_the_stream_has_its_place_back() -> None:
    """It says so, and asks no more."""
    rig = Rig(polling=frozenset({Channel.MARKET}))
    rig.routed.until(FetchBook)
    rig.ref.tell(SetPolling(venue=GRVT, channel=Channel.MARKET, is_on=False))
    told = rig.routed.until(FeedChanged)
    facts = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert (FeedState.DOWN, Source.REST, []) == (told.state, told.source, facts["polling"])


def test_a_poller_that_was_restarted_goes_on_standing_in() -> None:
    """Without being told again."""
    rig = Rig(polling=frozenset({Channel.ACCOUNT}))
    assert isinstance(rig.routed.next(), FetchFills)


def test_what_it_does_not_know_it_ignores() -> None:
    """It lives on."""
    rig = Rig()
    rig.ref.tell(Stop(reason=""))
    rig.ref.tell(FetchPosition(venue=GRVT, symbol=SYMBOL))
    assert "position" == rig.routed.next()


def test_a_crash_closes_the_lane_and_is_reported() -> None:
    """The next life opens a connection of its own."""
    rig = Rig()
    rig.lane.breaks = True
    rig.ref.tell(FetchPosition(venue=GRVT, symbol=SYMBOL))
    report = rig.reports.get(timeout=GUARD_S)
    assert (True, "RuntimeError: planted") == (rig.lane.closed.is_set(), report.error)  # type: ignore[union-attr]


def test_an_ordinary_stop_closes_the_lane() -> None:
    """By the thread that owns it."""
    rig = Rig()
    rig.ref.stop(timeout=GUARD_S)
    assert rig.lane.closed.is_set()


def refused(*, permanent: bool) -> OrderRejected:
    return OrderRejected(venue=GRVT, client_order_id=ClientOrderId(1), reason="no", code="1", permanent=permanent, at=0.0)


def unreadable() -> str:
    raise VenueRefused("grvt: no answer")


def told(rig: Rig) -> tuple[str, str]:
    alert = rig.routed.next()
    assert isinstance(alert, Alert)
    return alert.level, alert.key


@pytest.mark.parametrize(
    ("changes", "expected"),
    [(lambda: "lot_size 0.01 is now 0.1", ("critical", "instrument")), (unreadable, ("warning", "instrument-unread"))],
)
def test_a_refusal_for_good_has_the_instrument_read_anew(changes: Callable[[], str], expected: tuple[str, str]) -> None:
    """A change ends the trading, a read that fails does not."""
    rig = Rig(changes=changes)
    rig.ref.tell(refused(permanent=True))
    assert expected == told(rig)


def test_the_instrument_is_read_anew_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask for it."""
    monkeypatch.setattr(rest_poller, "INSTRUMENT_CHECK_S", 0.01)
    assert ("critical", "instrument") == told(Rig(changes=lambda: "changed"))


def test_nothing_is_told_of_an_instrument_that_is_as_it_was() -> None:
    """Nor is it read because of a refusal that may pass."""
    reads: list[str] = []

    def read() -> str:
        reads.append("read")
        return ""

    rig = Rig(changes=read)
    for permanent in (False, True):
        rig.ref.tell(refused(permanent=permanent))
    rig.ref.tell(QUERIES[0][0])
    assert ["order", ANSWER] == [rig.routed.next(), rig.routed.next()]
    rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert ["read"] == reads
