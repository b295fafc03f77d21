"""A whole run out of real actors under the real watch, over venues that are a few lines each: what happens when a part dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from actors.composition import Composition, Outputs, Side
from actors.mailbox import Addresses
from actors.supervision import Actions, Watch
from adapters.journal import SqliteJournal
from core.config import parse_config
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import (
    BookUpdated,
    CancelAll,
    CancelOrder,
    FeedChanged,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillsFetched,
    Message,
    OpenOrdersFetched,
    OrderNotFound,
    OrderSubmitted,
    PlaceOrder,
    PositionReported,
    QueryOrder,
    RenewDeadMan,
    SetPolling,
    SubmitUnknown,
    TradingStateChanged,
)
from core.routing import CLERK, CONTROL, GRANTED, ROUTES, TRACKER
from core.types import ZERO, Channel, FeedState, Fees, Source, TradingState, VenueId
from tests.actors.fakes import BACKPACK, CAPABILITIES, GRVT, GUARD_S, FakeStream, Routed, book, instrument
from tests.actors.test_recorder import HEDGE, MAKER, FakeFiles, FakeView
from tests.core.builders import HEDGE_TOML


def fresh_book(venue: VenueId) -> BookUpdated:
    return msgspec.structs.replace(book("2999", venue), received_at=time.monotonic())


class Ticker(FakeStream):
    """A market stream with the same book again and again."""

    def __init__(self, venue: VenueId) -> None:
        super().__init__(Channel.MARKET)
        self._venue = venue

    def poll(self, timeout_s: float) -> Sequence[Message]:
        return super().poll(timeout_s) or (fresh_book(self._venue),)


class QuietVenue:
    """A venue with a book, without orders, fills or a position; its streams are live at once and then silent."""

    capabilities = CAPABILITIES

    def __init__(self, name: VenueId) -> None:
        self.name = name
        self.setup: Any = None
        self.limits = {}
        self.placed: list[PlaceOrder] = []
        self.streams: dict[Channel, list[FakeStream]] = {channel: [] for channel in Channel}
        self.is_lane_broken = False

    def clock_offset_ms(self) -> float:
        return 0.0

    def trade_lane(self, instrument: Instrument) -> QuietVenue:
        return self

    def query_lane(self, instrument: Instrument) -> QuietVenue:
        return self

    def market_stream(self, instrument: Instrument) -> FakeStream:
        return self._stream(Channel.MARKET)

    def account_stream(self, instrument: Instrument) -> FakeStream:
        return self._stream(Channel.ACCOUNT)

    def _stream(self, channel: Channel) -> FakeStream:
        stream = FakeStream(channel) if channel is Channel.ACCOUNT else Ticker(self.name)
        live = FeedChanged(
            venue=self.name, channel=channel, state=FeedState.LIVE, source=Source.WS, reason="synced", at=time.monotonic()
        )
        stream.batches.put((live,))
        self.streams[channel].append(stream)
        return stream

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        self.placed.append(order)
        if self.is_lane_broken:
            raise RuntimeError("planted")
        return (SubmitUnknown(venue=self.name, client_order_id=order.client_order_id, reason="", at=time.monotonic()),)

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        return ()

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        return ()

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        return ()

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        now = time.monotonic()
        return (OrderNotFound(venue=self.name, client_order_id=command.client_order_id, asked_at=now, received_at=now),)

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        now = time.monotonic()
        return (OpenOrdersFetched(venue=self.name, symbol=command.symbol, orders=(), asked_at=now, received_at=now),)

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        now, lookback_s = time.monotonic(), command.lookback_s
        return (
            FillsFetched(venue=self.name, symbol=command.symbol, fills=(), lookback_s=lookback_s, asked_at=now, received_at=now),
        )

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        now = time.monotonic()
        return (PositionReported(venue=self.name, symbol=command.symbol, quantity=ZERO, source=Source.REST, received_at=now),)

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        return fresh_book(self.name)

    def close(self) -> None:
        pass


class Run:
    """The composition under a watch that a thread of its own steps, as the run loop does."""

    def __init__(self, folder: Path) -> None:
        self.maker, self.hedge = QuietVenue(GRVT), QuietVenue(BACKPACK)
        self.hedge.capabilities = CAPABILITIES._replace(burst_s=15.0)
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.addresses = Addresses()
        self.seen: list[Message] = []
        self.written = Routed()
        self.exits: list[str] = []
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731  five callbacks of no interest
        actions = Actions(nothing, self.exits.append, nothing, nothing, nothing, nothing, nothing)
        self.watch = Watch(self.addresses, actions, lambda: 0.0)
        fees = Fees(ZERO, Decimal("0.0005"))
        sides = [Side(venue, instrument(venue.name), fees, {"create": 2.0}) for venue in (self.maker, self.hedge)]
        self.composition = Composition(
            parse_config(HEDGE_TOML, "test"),
            *sides,
            self.journal,
            Outputs(FakeFiles(self.written), FakeView(), self.seen.append),
            self.addresses,
            self.watch.report,
            process_epoch=self.journal.begin_epoch(),
        )
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep_stepping)
        for child in self.composition.children():
            self.watch.add(child)
        self.watch.start()
        self._thread.start()

    def _keep_stepping(self) -> None:
        while not self._is_over.is_set():
            self.watch.wait()
            self.watch.step(time.monotonic())

    def close(self) -> None:
        self._is_over.set()
        self._thread.join(GUARD_S)
        for venue in (self.maker, self.hedge):
            for stream in (stream for streams in venue.streams.values() for stream in streams):
                stream.abort()
        self.watch.stop()
        self.journal.close(is_clean=False)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + GUARD_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.005)

    def until_active(self) -> None:
        self.until(lambda: self.states()[-1:] == [TradingState.ACTIVE], "ACTIVE")

    def facts(self, name: str) -> Mapping[str, Any]:
        """What the actor of that name adds to the health dump."""
        return {answer.health.name: answer.facts for answer in self.watch.health(GUARD_S)}[name]

    def states(self) -> list[TradingState]:
        return [message.state for message in list(self.seen) if isinstance(message, TradingStateChanged)]

    def polls(self) -> Sequence[SetPolling]:
        return [message for message in list(self.seen) if isinstance(message, SetPolling)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.close()


def test_every_name_of_the_routing_table_is_an_actor(run: Run) -> None:
    """A recipient that nobody is would be a dead letter for ever; the supervisor's own inbox is not a child."""
    names = {name for recipients in ROUTES.values() for name in recipients} | set(GRANTED.values())
    filled = {name.replace("*", venue).format(venue=venue) for name in names for venue in (GRVT, BACKPACK)}
    children = {child.spec.name for child in run.composition.children()}
    assert set() == filled - children - {CONTROL, CLERK}


def test_nothing_of_the_past_is_held_for_the_life_of_the_process(run: Run) -> None:
    """Whoever keeps the journal's state of the start keeps each of its thousands of orders, however long they have been forgotten (I19)."""
    run.until_active()
    assert [] == [name for name, value in vars(run.composition).items() if isinstance(value, JournalState)]


def test_it_quotes_when_everything_is_live_and_reconciled(run: Run) -> None:
    """And not before."""
    run.until(lambda: run.maker.placed, "a quote")
    run.until(run.states, "the recorder to have heard of it")
    assert (TradingState.ACTIVE, True) == (run.states()[0], run.maker.placed[0].post_only)


def test_an_account_feed_that_crashes_is_restarted_and_reconciled(run: Run) -> None:
    """DOWN is told, a new stream is opened under a new epoch, and the state comes back to ACTIVE."""
    run.until_active()
    before = run.watch.epoch_of("account_feed.backpack")
    run.hedge.streams[Channel.ACCOUNT][0].batches.put(RuntimeError("planted"))
    run.until(lambda: len(run.hedge.streams[Channel.ACCOUNT]) >= 2, "a second stream")
    run.until(lambda: run.watch.epoch_of("account_feed.backpack") > before, "the new epoch")

    def downs() -> list[tuple[VenueId, Channel, Source]]:
        changes = [each for each in list(run.seen) if isinstance(each, FeedChanged)]
        return [(each.venue, each.channel, each.source) for each in changes if each.state is FeedState.DOWN]

    run.until(downs, "the recorder to have heard of it")
    assert [(BACKPACK, Channel.ACCOUNT, Source.WS)] == downs()


def test_a_feed_that_stays_away_is_polled_for(run: Run) -> None:
    """A stream that never becomes live again after its crash: the poller stands in, for that venue and channel only."""
    run.until_active()
    run.hedge._stream = FakeStream  # type: ignore[method-assign,assignment]
    run.hedge.streams[Channel.ACCOUNT][0].batches.put(RuntimeError("planted"))
    run.until(run.polls, "the poller")
    assert [(BACKPACK, Channel.ACCOUNT, True)] == [(each.venue, each.channel, each.is_on) for each in run.polls()]


def test_a_tracker_that_crashes_is_rebuilt_from_the_journal(run: Run) -> None:
    """The order of unknown outcome is still known to the new one."""
    run.until(lambda: run.maker.placed, "a quote")
    before = run.watch.epoch_of(TRACKER)
    run.addresses.of(TRACKER).tell(OrderSubmitted(order=cast(PlaceOrder, None), at=0.0))
    run.until(lambda: run.watch.epoch_of(TRACKER) > before, "a new tracker")

    def known() -> list[int]:
        return [order.client_order_id for order in run.facts(TRACKER).get("orders", ())]

    run.until(lambda: run.maker.placed[0].client_order_id in known(), "the order to be known again")


def test_a_venue_that_counts_over_a_longer_window_has_a_larger_bucket(run: Run) -> None:
    """Its limiter starts with as many seconds' worth of requests as its capabilities say."""
    assert 30.0 == run.facts("rate_limiter.backpack")["limits"]["create"].tokens


def test_a_gateway_that_crashes_ends_the_process(run: Run) -> None:
    """It may have sent: only a new process finds out."""
    run.maker.is_lane_broken = True
    run.until(lambda: run.exits, "the exit")
    assert "order_gateway.grvt" in run.exits[0]


def test_a_wedged_feed_is_let_go_and_told_down(run: Run) -> None:
    """Its thread cannot be killed: the socket is shut, everybody hears DOWN, and a successor takes its place."""
    run.until_active()
    children = run.watch._children
    child = children["account_feed.backpack"]
    children["account_feed.backpack"] = child._replace(spec=msgspec.structs.replace(child.spec, beat_limit_s=0.3))
    first = run.hedge.streams[Channel.ACCOUNT][0]
    first.batches.put(None)
    run.until(lambda: len(run.hedge.streams[Channel.ACCOUNT]) >= 2, "a second stream")
    run.until(lambda: any(isinstance(each, FeedChanged) and "stuck" in each.reason for each in list(run.seen)), "DOWN")
    assert first.aborted.is_set()


def test_fills_that_a_kill_kept_out_of_the_files_are_written_at_the_next_start(tmp_path: Path) -> None:
    """Also those after which nothing was open: the journal had them, the report file had not."""
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    for each in (MAKER, HEDGE):
        journal.note(each)
    journal.flush()
    journal.close(is_clean=False)
    run = Run(tmp_path)
    run.close()
    assert ["fill t1", "fill t2"] == run.written.left()
