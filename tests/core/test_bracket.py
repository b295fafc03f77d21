"""A bracket run enters only from flat, counts its brackets, and ends flat."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from core.bracket import entry_of
from core.journal_state import JournalFold
from core.messages import (
    AttemptStarted,
    CycleFinished,
    Message,
    OrderChanged,
    OrderDenied,
    PairStateChanged,
    RunFinished,
    Stop,
    TradingStateChanged,
)
from core.oco_states import PairState
from core.types import Channel, FeedState, OrderState, Role, Side, Source, TimeInForce, TradingState
from tests.core.builders import GRVT, feed, filled, place
from tests.core.oco_rig import Rig

D = Decimal


def test_the_entry_is_a_capped_ioc() -> None:
    """At most the first step of the ladder above the touch, all or what is there."""
    entry = Rig().begin().enter()
    assert (TimeInForce.IOC, Side.BUY, D("0.10"), D("3006.01")) == (
        entry.time_in_force,
        entry.side,
        entry.quantity,
        entry.price,
    )


def test_nothing_is_entered_while_a_feed_is_not_live() -> None:
    rig = Rig().begin()
    rig.give(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=rig.now))
    rig.give(feed(GRVT, Channel.MARKET))
    rig.book()
    rig.give(feed(GRVT, Channel.ACCOUNT, FeedState.LIVE, Source.REST))
    assert [] == rig.sent


def test_nothing_is_entered_before_trading_is_active() -> None:
    rig = Rig().begin()
    for channel in Channel:
        rig.give(feed(GRVT, channel))
    rig.book()
    assert [] == rig.sent


def test_an_entry_that_finds_nothing_is_tried_again_after_a_pause() -> None:
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.end(entry, reason="COULD_NOT_FILL")
    assert 1 == rig.count(Role.ENTRY)
    rig.tick(0.6)
    assert 2 == rig.count(Role.ENTRY)


def test_a_denied_entry_is_tried_again() -> None:
    rig = Rig().begin()
    entry = rig.enter()
    rig.give(OrderDenied(venue=GRVT, client_order_id=entry.client_order_id, role=Role.ENTRY, reason="", at=rig.now))
    rig.tick(0.6)
    assert 2 == rig.count(Role.ENTRY)


def test_an_entry_refused_for_good_is_not_tried_again() -> None:
    """A wrong symbol does not become right: trading goes down to REDUCING, a person is told."""
    rig = Rig().begin()
    rig.reject(rig.enter(), permanent=True)
    rig.tick(10.0)
    rig.book()
    assert (1, ["reduce"]) == (rig.count(Role.ENTRY), rig.alerts())


def test_the_next_bracket_waits_for_the_end_of_the_sibling() -> None:
    """A cancel that is only acknowledged keeps the next entry back."""
    rig = Rig(iterations=2)
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    rig.acknowledge(rig.cancels[0])
    rig.book()
    assert 1 == rig.count(Role.ENTRY)
    rig.end(stop)
    assert 2 == rig.count(Role.ENTRY)


def test_the_run_ends_after_its_brackets() -> None:
    rig = Rig(iterations=1)
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    rig.end(stop)
    ends = [message for message in rig.told if isinstance(message, (CycleFinished, RunFinished))]
    assert [CycleFinished, RunFinished] == [type(message) for message in ends]


def test_a_rebuilt_actor_does_not_begin_anew() -> None:
    """The brackets that its predecessor finished count; the end of the run is told again."""
    rig = Rig(iterations=2, done=2).begin()
    assert [RunFinished] == [type(message) for message in rig.told if isinstance(message, RunFinished)]
    rig.give(feed(GRVT, Channel.MARKET))
    assert [] == rig.sent


def test_a_stop_closes_an_entry_that_fills_after_it() -> None:
    """SIGTERM between entry and fill: what fills is closed, not protected for ever."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.give(Stop(reason="SIGTERM"))
    rig.fill(entry, "0.10")
    assert (PairState.CLOSING, Role.REPAIR) == (rig.pair.state, rig.sent[-1].role)


def test_after_a_stop_nothing_is_entered() -> None:
    rig = Rig().begin()
    rig.give(Stop(reason="SIGTERM"))
    rig.all_is_well()
    assert [] == rig.sent


def test_a_late_fill_of_the_entry_belongs_to_its_own_bracket() -> None:
    """The next bracket's prices are those of its own entry alone."""
    rig = Rig(iterations=3)
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    rig.end(stop)
    rig.book(bid="3999.99", ask="4000.01")
    rig.end(rig.last(Role.ENTRY), reason="COULD_NOT_FILL")
    rig.tick(0.6)
    second = rig.last(Role.ENTRY)
    rig.accept(second)
    rig.fill(second, "0.10")
    assert second.price == rig.pair.entry_price


def journaled(*records: Message) -> tuple[Decimal, Decimal]:
    fold = JournalFold()
    for record in records:
        fold.apply(record, 0)
    return entry_of(fold.state())


def begun(cycle_id: int) -> AttemptStarted:
    return AttemptStarted(cycle_id=cycle_id, phase="BUILD", side=Side.BUY, target=D("0.10"), basis_bps=D(0), at=0.0)


def entered(cycle_id: int, trade: str, quantity: str, price: str) -> Message:
    return filled(place(cycle_id * 10, venue=GRVT, role=Role.ENTRY, price=price, cycle_id=cycle_id), trade, quantity)


PROFIT = filled(place(11, venue=GRVT, role=Role.TP, side=Side.SELL, price="3030"), "t2", "0.10")
FINISHED = CycleFinished(
    cycle_id=1, started_at=0.0, result="done", intended=D("0.10"), filled=D("0.10"), requotes=0, cancels=0, skips=0, at=0.0
)
RELEASED = PairStateChanged(cycle_id=1, state="RELEASED", reason="", at=0.0)


def test_the_entry_price_survives_a_restart() -> None:
    """Fills of the unfinished bracket's entry, from the journal; legs and earlier brackets do not count."""
    records = (begun(1), entered(1, "t1", "0.10", "3000"), PROFIT, FINISHED, begun(2), entered(2, "t3", "0.04", "3100"))
    assert (D("0.04"), D("124.00")) == journaled(*records)


def test_a_bracket_that_is_flat_is_not_finished_yet() -> None:
    """Its stop may live on: the next life must end that one before it counts the bracket as done."""
    assert (D("0.10"), D("300.00")) == journaled(begun(1), entered(1, "t1", "0.10", "3000"), PROFIT)


def test_a_bracket_that_was_handed_over_is_nobodys_to_finish() -> None:
    assert (D(0), D(0)) == journaled(begun(1), entered(1, "t1", "0.10", "3000"), RELEASED)


def test_a_life_that_finds_only_the_sibling_finishes_that_bracket_and_enters_no_other() -> None:
    """The take-profit had filled, and nobody had cancelled the stop."""
    earlier = Rig()
    stop = earlier.pair.legs.get(earlier.armed()[0].client_order_id).order
    rig = Rig(iterations=1, last_cycle_id=1, entered=D("0.10"), entry_value=D("300")).begin(stop)
    rig.all_is_well()
    assert [stop.client_order_id] == [cancel.client_order_id for cancel in rig.cancels]
    rig.give(OrderChanged(order=msgspec.structs.replace(stop, state=OrderState.CANCELED), at=rig.now))
    ends = [type(message) for message in rig.told if isinstance(message, (CycleFinished, RunFinished))]
    assert ([CycleFinished, RunFinished], 0) == (ends, rig.count(Role.ENTRY))


def test_a_full_fill_of_an_earlier_life_is_averaged_with_a_late_one() -> None:
    rig = Rig(entered=D("0.05"), entry_value=D("150")).begin(position="0.05")
    entry = place(900, venue=GRVT, role=Role.ENTRY, price="3010")
    rig.give(filled(entry, "t9", "0.05", state=OrderState.PARTIALLY_FILLED))
    assert D("3005") == rig.pair.entry_price
