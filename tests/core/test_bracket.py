"""A bracket run enters only from flat, counts its brackets, and ends flat."""

from __future__ import annotations

from decimal import Decimal

from core.bracket import entry_of
from core.journal_state import JournalFold
from core.messages import CycleFinished, OrderDenied, RunFinished, Stop, TradingStateChanged
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
    for channel in Channel:
        rig.give(feed(GRVT, channel))
    rig.give(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=rig.now))
    rig.book()
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


def test_the_entry_price_survives_a_restart() -> None:
    """Fills of the entry since the position was last flat, from the journal; others and earlier ones do not count."""
    fold = JournalFold()
    entry = place(1, venue=GRVT, role=Role.ENTRY, price="3000")
    leg = place(2, venue=GRVT, role=Role.TP, side=Side.SELL, price="3030")
    fold.apply(filled(entry, "t1", "0.10"), 0)
    fold.apply(filled(leg, "t2", "0.10"), 0)
    fold.apply(filled(place(3, venue=GRVT, role=Role.ENTRY, price="3100"), "t3", "0.04"), 0)
    assert (D("0.04"), D("124.00")) == entry_of(fold.state())


def test_a_full_fill_of_an_earlier_life_is_averaged_with_a_late_one() -> None:
    rig = Rig(entered=D("0.05"), entry_value=D("150")).begin(position="0.05")
    entry = place(900, venue=GRVT, role=Role.ENTRY, price="3010")
    rig.give(filled(entry, "t9", "0.05", state=OrderState.PARTIALLY_FILLED))
    assert D("3005") == rig.pair.entry_price
