"""The bookkeeper: rows, pairs and totals out of events; trading never depends on it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.base import HealthRequest
from actors.recorder import DisplayEvent, Recorder
from core.fee_watch import FeeWatch
from core.journal_state import BooksOpened, FillBooked, JournalState, fill_key
from core.messages import (
    Alert,
    AttemptFinished,
    AttemptStarted,
    CycleFinished,
    FillRecorded,
    FillReported,
    LedgerSnapshot,
    OrderSnapshot,
    PairClosed,
    RateLimited,
    TradingStateChanged,
)
from core.pairing import PairLedger, PairRow
from core.totals import RunStatus, RunTotals
from core.types import ZERO, Fees, Liquidity, OrderState, Role, Side, Source, TradeId, TradingState, VenueId
from tests.actors.fakes import BACKPACK, GRVT, GUARD_S, FakeJournal, Routed, identity, order


class FakeFiles:
    pairs = 0

    def __init__(self, routed: Routed) -> None:
        self._routed = routed
        self.hangs: dict[str, Callable[[], object]] = {}

    def fill(self, event: FillRecorded) -> None:
        self.hangs.get("fill", bool)()
        self._routed.note(f"fill {event.fill.trade_id}")

    def pair(self, pair: PairRow) -> None:
        self.hangs.get("pair", bool)()
        self._routed.note(f"pair {pair.quantity}")
        self.pairs += 1

    def cycle(self, cycle: CycleFinished, *, hedged: Decimal, carried: Decimal, api_calls: int, n429: int) -> None:
        self._routed.note(f"cycle {cycle.cycle_id}: hedged {hedged}, carried {carried}, {api_calls} calls, {n429} refused")


class FakeView:
    def __init__(self) -> None:
        self.shown: list[DisplayEvent] = []

    def show(self, event: DisplayEvent) -> None:
        self.shown.append(event)

    def status(self, status: RunStatus) -> None:
        pass


def fill(number: int, venue: VenueId, side: Side, role: Role) -> FillRecorded:
    quantity, price = Decimal("0.1"), Decimal(3000)
    reported = FillReported(
        venue=venue,
        symbol=f"ETH@{venue}",
        trade_id=TradeId(f"t{number}"),
        client_order_id=order(number).client_order_id,
        venue_order_id=None,
        side=side,
        price=price,
        quantity=quantity,
        fee=Decimal(0),
        fee_currency="USDT",
        liquidity=Liquidity.MAKER,
        venue_time_ms=0,
        source=Source.WS,
        received_at=1.0,
    )
    snapshot = OrderSnapshot(
        client_order_id=order(number).client_order_id,
        venue=venue,
        symbol=f"ETH@{venue}",
        side=side,
        role=role,
        price=price,
        quantity=quantity,
        state=OrderState.FILLED,
        filled_quantity=quantity,
        recorded_quantity=quantity,
        cycle_id=1,
    )
    return FillRecorded(fill=reported, order=snapshot, at=1.0)


MAKER = fill(1, GRVT, Side.BUY, Role.MAKER)
HEDGE = fill(2, BACKPACK, Side.SELL, Role.HEDGE)


NEW = JournalState()


class Rig:
    def __init__(self, state: JournalState = NEW, pairs_written: int = 0, *, is_successor: bool = False) -> None:
        self.routed, self.done = Routed(), Routed()
        self.journal = FakeJournal(self.done)
        self.view = FakeView()
        self.files = FakeFiles(self.done)
        self.files.pairs = pairs_written
        self.calls = 0
        self.pairs = PairLedger(maker_venue=GRVT, hedge_venue=BACKPACK)
        self.ref: Any = Recorder.start(
            identity("recorder"),
            self.journal,
            self.files,
            self.view,
            lambda message: None,
            self.pairs,
            RunTotals(),
            lambda: self.calls,
            self.routed,
            lambda: state,
            FeeWatch({GRVT: Fees(ZERO, ZERO)}),
            is_successor=is_successor,
        )

    def facts(self) -> Any:
        return self.ref.ask(HealthRequest(), timeout=GUARD_S)


STARTED = AttemptStarted(cycle_id=1, phase="BUILD", side=Side.BUY, target=Decimal("0.1"), basis_bps=Decimal(0), at=0.0)
FINISHED = AttemptFinished(
    cycle_id=1,
    phase="BUILD",
    intended=Decimal("0.1"),
    filled=Decimal("0.1"),
    requotes=0,
    cancels=0,
    reason="filled",
    at=1.0,
)
CYCLE = CycleFinished(
    cycle_id=1,
    started_at=0.0,
    result="done",
    intended=Decimal("0.1"),
    filled=Decimal("0.1"),
    requotes=0,
    cancels=0,
    skips=0,
    at=2.0,
)


def test_a_fill_that_costs_more_than_the_edge_was_computed_with_is_an_alarm() -> None:
    """E14: booked as it was charged, and a person is told."""
    rig = Rig()
    dear = fill(1, GRVT, Side.BUY, Role.MAKER)
    rig.ref.tell(msgspec.structs.replace(dear, fill=msgspec.structs.replace(dear.fill, fee=Decimal(1))))
    assert "fee" == rig.routed.until(Alert).key


def test_each_fill_is_a_row_and_a_hedged_one_is_a_pair() -> None:
    """In the order of the events; the pair is told to the judge of the daily loss."""
    rig = Rig()
    for event in (STARTED, MAKER, HEDGE):
        rig.ref.tell(event)
    expected = [
        "noted BooksOpened",
        "noted AttemptStarted",
        "fill t1",
        "noted FillBooked",
        "fill t2",
        "pair 0.1",
        "noted FillBooked",
    ]
    assert expected == [rig.done.next() for _ in expected]
    assert 1 == rig.routed.until(PairClosed).cycle_id


@pytest.mark.parametrize("is_successor", [False, True])
def test_what_an_earlier_recorder_did_not_get_to_is_booked_once(is_successor: bool) -> None:
    """Before the first message; one of them that was told as well is not booked again."""
    rig = Rig(state_with(MAKER, HEDGE), is_successor=is_successor)
    rig.ref.tell(HEDGE)
    rig.facts()
    assert ["fill t1", "noted FillBooked", "fill t2", "pair 0.1", "noted FillBooked", "noted BooksOpened"] == rig.done.left()
    assert 1 == rig.routed.until(PairClosed).cycle_id
    assert rig.journal.notes[-2:] == [
        FillBooked(venue=BACKPACK, trade_id=HEDGE.fill.trade_id, net=Decimal(0), pairs=1),
        BooksOpened(pairs=1),
    ]


def test_the_first_recorder_has_booked_it_when_its_start_returns() -> None:
    """Whoever is built next reads the day's results in the journal."""
    assert BooksOpened(pairs=1) == Rig(state_with(MAKER, HEDGE)).journal.notes[-1]


@pytest.mark.parametrize(("file", "written", "left_open"), [("fill", ["fill t2"], "0.1"), ("pair", ["fill t2", "pair 0.1"], "0")])
def test_one_that_was_replaced_while_it_hung_in_a_file_leaves_the_rest(file: str, written: list[str], left_open: str) -> None:
    """Nothing is paired, told or noted twice: its successor has begun anew from the journal."""
    rig = Rig()
    rig.ref.tell(MAKER)
    rig.facts()
    rig.files.hangs[file] = lambda: setattr(rig.ref.vitals, "is_revoked", True)
    rig.ref.tell(HEDGE)
    rig.facts()
    assert ["noted BooksOpened", "fill t1", "noted FillBooked", *written] == rig.done.left()
    told = [each for each in rig.routed.left() if isinstance(each, PairClosed)]
    assert ([], Decimal(left_open)) == (told, rig.pairs.open_quantity)


def test_a_line_of_pairs_that_was_written_but_not_booked_is_not_written_again() -> None:
    """The process ended between the two: the file has a line more than the journal knows of."""
    rig = Rig(state_with(MAKER, HEDGE), pairs_written=6)
    rig.facts()
    assert ["fill t1", "noted FillBooked", "fill t2", "noted FillBooked", "noted BooksOpened"] == rig.done.left()
    assert 1 == rig.routed.until(PairClosed).cycle_id


def state_with(*unbooked: FillRecorded) -> JournalState:
    """Fills that no recorder has booked, after five pairs that are."""
    keys = frozenset(fill_key(event.fill) for event in unbooked)
    return JournalState(pairable=unbooked, unbooked=keys, pairs_booked=5)


def test_a_cycle_counts_its_own_requests_and_refusals() -> None:
    """A second one begins at nought."""
    rig = Rig()
    for event in (STARTED, MAKER, HEDGE, FINISHED, RateLimited(venue=GRVT, reason="", retry_after_s=None, at=1.0)):
        rig.ref.tell(event)
    rig.facts()
    rig.calls = 7
    rig.ref.tell(CYCLE)
    rig.facts()
    rig.calls = 9
    rig.ref.tell(CYCLE)
    rig.facts()
    rows = [what for what in rig.done.left() if str(what).startswith("cycle")]
    assert [
        "cycle 1: hedged 0.1, carried 0.0, 7 calls, 1 refused",
        "cycle 1: hedged 0.1, carried 0.0, 2 calls, 0 refused",
    ] == rows


def test_cycles_and_attempts_are_noted_in_the_journal() -> None:
    """A new life goes on counting where this one ended."""
    rig = Rig()
    for event in (STARTED, FINISHED, CYCLE):
        rig.ref.tell(event)
    rig.facts()
    assert [BooksOpened(pairs=0), STARTED, FINISHED, CYCLE] == rig.journal.notes


def test_a_journal_that_cannot_be_written_is_told_and_survived() -> None:
    """The alert again and again while it lasts; rows are written all the same."""
    rig = Rig()
    rig.journal.fails = True
    rig.ref.tell(MAKER)
    assert ["journal", "journal"] == [rig.routed.until(Alert).key, rig.routed.until(Alert).key]
    assert ["noted BooksOpened", "fill t1"] == [rig.done.next(), rig.done.next()]


def test_the_person_sees_states_and_pairs() -> None:
    """Not every order and fill."""
    rig = Rig()
    state = TradingStateChanged(state=TradingState.ACTIVE, reason="", at=0.0)
    for event in (state, STARTED, MAKER, HEDGE):
        rig.ref.tell(event)
    rig.facts()
    assert [state, PairRow] == [event if event == state else type(event) for event in rig.view.shown]


def test_its_health_is_the_status_of_the_run() -> None:
    """Positions and net of all fills, for the line at the terminal and for the summary."""
    rig = Rig()
    rig.ref.tell(LedgerSnapshot(owner="recorder", positions=(), orders=(), at=0.0))
    rig.ref.tell(MAKER)
    status = rig.facts()["status"]
    assert (Decimal("0.1"), TradingState.STARTING) == (status.net_delta, status.state)
