"""The trading state: falls by itself, rises only when everything is known to be well, and never out of HALTED (RELIABILITY §3.2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import (
    Alert,
    FeedChanged,
    ForeignActivity,
    HedgeStalled,
    Message,
    PairClosed,
    PositionMismatch,
    RateLimited,
    Stop,
    Tick,
    TradingStateChanged,
    VenueReconciled,
)
from core.trading_state import (
    FOREIGN_WINDOW_S,
    HALTING_ALERTS,
    LOSS_WINDOW_S,
    QUIET_S,
    STALL_WINDOW_S,
    STALLS_BEFORE_HALT,
    THROTTLE_WINDOW_S,
    Result,
    TradingStateMachine,
)
from core.types import Channel, FeedState, OrderState, Role, Source, TradingState, VenueId
from tests.core.builders import BACKPACK, GRVT, SELL, VENUES, D, changed, feed, filled, ledger, place

T = TradingState
HEDGE = place(2, side=SELL, role=Role.HEDGE)


def machine() -> TradingStateMachine:
    return TradingStateMachine(VENUES, D("0.01"), D("5"), owner="risk")


def test_a_judge_built_anew_may_hear_of_the_reconciliation_before_the_streams() -> None:
    """The streams say again that they are live: no change that would make the reconciliation a thing of the past."""
    made = machine()
    for message in (*reversed(conditions()), Tick()):
        made.handle(message, 0.0)
    assert T.ACTIVE is made.state


def test_a_judge_built_anew_acts_on_what_it_learns_before_it_may_rise() -> None:
    """The gates still go by what its predecessor said: a loss, a stranger, a mismatch of now is told at once."""
    made = machine()
    out = made.handle(PositionMismatch(venue=BACKPACK, reported=D("1"), expected=D("0"), at=1.0), 1.0)
    assert [T.REDUCING] == [message.state for message in out if isinstance(message, TradingStateChanged)]


def test_losses_of_earlier_lives_count_towards_the_limit_until_they_are_a_day_old() -> None:
    """They hold the way up closed, and open it when they have aged out."""
    made = TradingStateMachine(VENUES, D("0.01"), D("5"), results=[Result(D("-6"), -100.0)], owner="risk")
    for message in conditions():
        made.handle(message, 0.0)
    assert (T.REDUCING, "daily loss limit 5 reached") == (made.state, made.reason)
    made.handle(Tick(), LOSS_WINDOW_S - 100.0)
    assert T.ACTIVE is made.state


def conditions() -> list[Message]:
    """Everything that has to be told before trading may begin."""
    feeds: list[Message] = [feed(venue, channel) for venue in VENUES for channel in Channel]
    return [ledger("risk"), *feeds, *(VenueReconciled(venue=venue, at=0.0) for venue in VENUES)]


def active() -> TradingStateMachine:
    made = machine()
    for message in conditions():
        made.handle(message, 0.0)
    assert T.ACTIVE is made.state
    return made


def mismatch(venue: VenueId = GRVT) -> PositionMismatch:
    return PositionMismatch(venue=venue, reported=D("0.05"), expected=D(0), at=0.0)


def foreign(order: str = "x", venue: VenueId = GRVT) -> ForeignActivity:
    return ForeignActivity(venue=venue, order=order, detail="", at=0.0)


def stalled(*, is_permanent: bool = False) -> HedgeStalled:
    return HedgeStalled(quantity=D("0.06"), is_permanent=is_permanent, reason="no way", at=0.0)


def alert(key: str) -> Alert:
    return Alert(level="critical", key=key, text=f"told of {key}", at=0.0)


def throttled(venue: VenueId = GRVT) -> RateLimited:
    return RateLimited(venue=venue, reason="429", retry_after_s=None, at=0.0)


def closed(net: str, at: float) -> PairClosed:
    return PairClosed(cycle_id=1, net=D(net), at=at)


# ---- the way up ---------------------------------------------------------------------------------------------------------------


def test_all_conditions_together_make_it_active() -> None:
    active()


@pytest.mark.parametrize("left_out", range(len(conditions())), ids=lambda index: type(conditions()[index]).__name__ + str(index))
def test_trading_never_begins_while_one_condition_is_missing(left_out: int) -> None:
    """No quote before ledger, feeds and reconciliation of both venues are complete (I11)."""
    made = machine()
    for index, message in enumerate(conditions()):
        if index != left_out:
            made.handle(message, 0.0)
    made.handle(Tick(), 1.0)
    assert T.STARTING is made.state


def test_trading_does_not_begin_over_open_delta() -> None:
    made = machine()
    for message in [ledger("risk", grvt="0.01"), *conditions()[1:]]:
        made.handle(message, 0.0)
    assert T.STARTING is made.state


def test_trading_does_not_begin_over_an_unknown_order() -> None:
    made = machine()
    for message in [conditions()[0], changed(HEDGE, OrderState.UNKNOWN), *conditions()[1:]]:
        made.handle(message, 0.0)
    assert T.STARTING is made.state


def test_a_feed_by_rest_is_not_a_live_feed() -> None:
    made = machine()
    for message in conditions():
        made.handle(feed(GRVT, Channel.MARKET, source=Source.REST) if message == feed(GRVT, Channel.MARKET) else message, 0.0)
    assert T.STARTING is made.state


def test_a_reconciliation_of_before_an_outage_does_not_count_after_it() -> None:
    made = active()
    made.handle(mismatch(), 0.0)
    for state in (FeedState.DOWN, FeedState.LIVE):
        made.handle(feed(GRVT, Channel.ACCOUNT, state), 1.0)
    made.handle(VenueReconciled(venue=BACKPACK, at=2.0), 2.0)
    assert T.REDUCING is made.state


def test_a_reconciliation_told_late_does_not_vouch_for_the_feed_that_came_back() -> None:
    """The tracker's word and the feed's take different ways: the word may arrive during the outage it knows nothing of."""
    made = active()
    made.handle(mismatch(BACKPACK), 0.0)
    made.handle(feed(GRVT, Channel.ACCOUNT, FeedState.DOWN), 1.0)
    made.handle(VenueReconciled(venue=GRVT, at=1.0), 1.0)
    made.handle(feed(GRVT, Channel.ACCOUNT), 2.0)
    made.handle(VenueReconciled(venue=BACKPACK, at=2.0), 2.0)
    assert T.REDUCING is made.state


# ---- the way down -------------------------------------------------------------------------------------------------------------

REDUCING: dict[str, Message] = {
    "a position nobody can explain": mismatch(),
    "a stranger": foreign(),
    "a stalled hedge": stalled(),
    "a lost journal": alert("journal"),
    "a part that gave up": alert("reduce"),
    "a loss": closed("-5", 0.0),
    "a quote refused for good": changed(place(1), OrderState.REJECTED, permanent=True),
}


@pytest.mark.parametrize("message", REDUCING.values(), ids=REDUCING.keys())
def test_each_worry_takes_it_down_at_once_with_a_reason(message: Message) -> None:
    made = active()
    told = made.handle(message, 0.0)
    assert ([T.REDUCING], True) == ([m.state for m in told if isinstance(m, TradingStateChanged)], bool(made.reason))


@pytest.mark.parametrize("key", ["a stranger", "a stalled hedge", "a lost journal", "a quote refused for good"])
def test_a_passing_worry_is_over_after_the_quiet_time_and_not_before(key: str) -> None:
    made = active()
    made.handle(REDUCING[key], 0.0)
    made.handle(Tick(), QUIET_S - 0.1)
    before = made.state
    made.handle(Tick(), QUIET_S + 0.1)
    assert (T.REDUCING, T.ACTIVE) == (before, made.state)


def test_the_third_429_of_a_venue_within_a_minute_takes_the_quotes_down_until_the_first_is_old() -> None:
    made = active()
    states = []
    for at in (0.0, 10.0, 20.0):
        made.handle(throttled(), at)
        states.append(made.state)
    for at in (THROTTLE_WINDOW_S - 0.1, THROTTLE_WINDOW_S + 0.1):
        made.handle(Tick(), at)
        states.append(made.state)
    assert [T.ACTIVE, T.ACTIVE, T.REDUCING, T.REDUCING, T.ACTIVE] == states


def test_429s_of_two_venues_are_not_added_up() -> None:
    made = active()
    for venue in (GRVT, BACKPACK, GRVT, BACKPACK):
        made.handle(throttled(venue), 0.0)
    assert T.ACTIVE is made.state


def test_a_mismatch_is_over_only_by_reconciliation() -> None:
    made = active()
    made.handle(mismatch(), 0.0)
    made.handle(Tick(), 10 * QUIET_S)
    before = made.state
    made.handle(VenueReconciled(venue=GRVT, at=0.0), 10 * QUIET_S)
    assert (T.REDUCING, T.ACTIVE) == (before, made.state)


def refused(*, times: int = 1) -> list[Message]:
    """A feed that comes to nothing so often because the venue refuses it."""
    down = msgspec.structs.replace(feed(GRVT, Channel.ACCOUNT, FeedState.DOWN), is_refused=True)
    return [down, feed(GRVT, Channel.ACCOUNT, FeedState.CONNECTING)] * times


def test_a_stream_refused_three_times_reduces_and_alarms_once() -> None:
    """A2: every attempt had logged in anew, so only a person can help."""
    made = active()
    out = [message for told in refused(times=2) for message in made.handle(told, 1.0)]
    before = made.state
    out += [message for told in refused(times=3) for message in made.handle(told, 2.0)]
    alarms = [message for message in out if isinstance(message, Alert)]
    assert (T.ACTIVE, T.REDUCING, ["critical"]) == (before, made.state, [alarm.level for alarm in alarms])


def test_refusals_before_the_first_start_alarm_too() -> None:
    """A wrong key: it will never start, and says why."""
    made = machine()
    out = [message for told in refused(times=3) for message in made.handle(told, 1.0)]
    assert (T.REDUCING, 1) == (made.state, len([message for message in out if isinstance(message, Alert)]))


def test_a_stream_that_is_live_again_was_refused_by_mistake() -> None:
    """It takes live feeds and a reconciliation to go up again, as after every outage; a later refusal counts from one."""
    made = active()
    for message in refused(times=3) + conditions() + refused(times=2) + conditions():
        made.handle(message, 1.0)
    assert T.ACTIVE is made.state


def test_a_part_that_gave_up_keeps_it_down() -> None:
    made = active()
    made.handle(alert("reduce"), 0.0)
    made.handle(Tick(), 100 * QUIET_S)
    assert T.REDUCING is made.state


def test_a_refused_hedge_is_the_planners_matter() -> None:
    made = active()
    made.handle(changed(HEDGE, OrderState.REJECTED, permanent=True), 0.0)
    assert T.ACTIVE is made.state


def test_a_post_only_refusal_is_no_worry() -> None:
    made = active()
    made.handle(changed(place(1), OrderState.REJECTED), 0.0)
    assert T.ACTIVE is made.state


def test_three_orders_of_a_stranger_in_ten_seconds_halt() -> None:
    """P5: a second bot on the account; each would hedge the other's hedges."""
    made = active()
    seen = []
    for name, venue in (("a", GRVT), ("a", BACKPACK), ("b", GRVT)):
        made.handle(foreign(name, venue), 0.0)
        seen.append(made.state)
    assert [T.REDUCING, T.REDUCING, T.HALTED] == seen


def test_three_fills_of_one_stranger_do_not_halt() -> None:
    """B12: an order placed by hand may be filled in many pieces."""
    made = active()
    for _ in range(3):
        made.handle(foreign("a"), 0.0)
    assert T.REDUCING is made.state


def test_orders_by_hand_do_not_halt() -> None:
    made = active()
    for number in range(10):
        made.handle(foreign(str(number)), number * FOREIGN_WINDOW_S / 2)
    assert T.REDUCING is made.state


def test_losses_add_up_over_a_day() -> None:
    made = active()
    for net in ("-3", "1", "-2.99"):
        made.handle(closed(net, 10.0), 10.0)
    before = made.state
    made.handle(closed("-0.01", 11.0), 11.0)
    assert (T.ACTIVE, T.REDUCING) == (before, made.state)


def test_a_loss_older_than_a_day_is_forgotten() -> None:
    made = active()
    made.handle(closed("-5", 10.0), 10.0)
    made.handle(Tick(), 10.0 + LOSS_WINDOW_S)
    assert T.ACTIVE is made.state


# ---- HALTED -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(HALTING_ALERTS))
def test_what_no_market_explains_halts_at_once(key: str) -> None:
    made = active()
    made.handle(alert(key), 0.0)
    assert T.HALTED is made.state


def test_a_hedge_refused_for_good_halts_when_flat() -> None:
    made = active()
    made.handle(stalled(is_permanent=True), 0.0)
    assert T.HALTED is made.state


def test_a_hedge_refused_for_good_is_unwound_before_it_halts() -> None:
    """HALTED lets nothing but cancels through: halting first would strand the unwind that the same moment sends."""
    made = active()
    maker, unwind = place(1), place(3, side=SELL, role=Role.UNWIND)
    made.handle(filled(maker, "t1", "0.10"), 0.0)
    made.handle(stalled(is_permanent=True), 0.0)
    before = made.state
    made.handle(filled(unwind, "t2", "0.10"), 0.0)
    made.handle(changed(unwind, OrderState.FILLED, "0.10"), 0.0)
    assert (T.REDUCING, T.HALTED) == (before, made.state)


def test_three_stalls_in_ten_minutes_halt() -> None:
    made = active()
    states = []
    for number in range(3):
        made.handle(stalled(), number * STALL_WINDOW_S / 4)
        states.append(made.state)
    assert [T.REDUCING, T.REDUCING, T.HALTED] == states


def test_three_stalls_in_half_an_hour_do_not() -> None:
    made = active()
    for number in range(3):
        made.handle(stalled(), number * STALL_WINDOW_S)
    assert T.REDUCING is made.state


def test_weeks_of_stalls_and_refusals_do_not_grow_the_judge() -> None:
    """I19: it keeps as many as it needs to judge."""
    made = active()
    for number in range(100):
        made.handle(stalled(), number * STALL_WINDOW_S)
        made.handle(changed(place(number), OrderState.REJECTED, permanent=True), number * STALL_WINDOW_S)
    assert (STALLS_BEFORE_HALT, STALLS_BEFORE_HALT) == (len(made._stalls), len(made._refused))


@pytest.mark.parametrize(("level", "state"), [("warning", T.ACTIVE), ("critical", T.HALTED)])
def test_a_clock_out_of_all_bounds_halts(level: Literal["warning", "critical"], state: TradingState) -> None:
    made = active()
    made.handle(Alert(level=level, key="clock", text="", at=0.0), 0.0)
    assert state is made.state


def test_a_clock_out_of_all_bounds_halts_when_flat() -> None:
    """What was filled is still hedged."""
    made = active()
    made.handle(filled(place(1), "t1", "0.10"), 0.0)
    made.handle(alert("clock"), 0.0)
    before = made.state
    made.handle(filled(HEDGE, "t2", "0.10"), 0.0)
    made.handle(Tick(), 0.0)
    assert (T.REDUCING, T.HALTED) == (before, made.state)


def test_three_quotes_refused_for_good_halt() -> None:
    """A revoked key or a contract that has changed does not heal by asking; one refusal that is told twice is one."""
    made = active()
    states = []
    for number in (1, 1, 2, 3):
        made.handle(changed(place(number), OrderState.REJECTED, permanent=True), number * QUIET_S)
        states.append(made.state)
    assert [T.REDUCING, T.REDUCING, T.REDUCING, T.HALTED] == states


def test_halted_by_hand_stays_halted() -> None:
    made = active()
    told = made.halt("kill switch", 0.0)
    assert ([T.HALTED], ()) == ([m.state for m in told if isinstance(m, TradingStateChanged)], made.handle(Stop(reason=""), 1.0))


def test_stopping_never_becomes_active_again() -> None:
    made = active()
    made.handle(Stop(reason="signal"), 0.0)
    for message in conditions():
        made.handle(message, 1.0)
    assert T.STOPPING is made.state


GONE = feed(GRVT, Channel.ACCOUNT, FeedState.DOWN)
ANYTHING: list[Message] = [*conditions(), *REDUCING.values(), Tick(), Stop(reason=""), closed("100", 0.0), GONE]


@given(st.lists(st.tuples(st.sampled_from(ANYTHING), st.floats(0, 1e6)), max_size=40))
def test_nothing_that_is_ever_told_raises_it_out_of_halted(messages: list[tuple[Message, float]]) -> None:
    made = machine()
    made.halt("kill switch", 0.0)
    told = [made.handle(message, now) for message, now in messages]
    states = [m.state for out in told for m in out if isinstance(m, TradingStateChanged)]
    assert ([], T.HALTED) == (states, made.state)


PASSING: list[Message] = [*conditions()[1:], Tick(), GONE, mismatch(), foreign(), alert("journal")]
PASSING += [filled(place(1), "t1", "0.10"), filled(HEDGE, "t2", "0.10")]
PASSING += [changed(HEDGE, state) for state in (OrderState.UNKNOWN, OrderState.CANCELED)]


@given(st.permutations(conditions()), st.lists(st.tuples(st.sampled_from(PASSING), st.integers(0, 60)), min_size=20, max_size=60))
def test_it_rises_only_with_every_condition_met(first: list[Message], later: list[tuple[Message, int]]) -> None:
    """Whenever ACTIVE is announced, both venues' four feeds were told live last, both were reconciled since, and nothing is exposed or of
    unknown outcome. It is announced once all has been told, in whatever order."""
    made, now, feeds, reconciled, rises = machine(), 0.0, dict[object, FeedState](), set[VenueId](), 0
    for message, seconds in [*((each, 0) for each in (*first, Tick())), *later]:
        now += seconds
        if isinstance(message, VenueReconciled):
            reconciled.add(message.venue)
        if isinstance(message, FeedChanged):
            before = feeds.get((message.venue, message.channel), FeedState.LIVE)
            feeds[message.venue, message.channel] = message.state
            if message.channel is Channel.ACCOUNT and message.state is not before:
                reconciled.discard(message.venue)
        told = made.handle(message, now)
        if any(isinstance(m, TradingStateChanged) and m.state is T.ACTIVE for m in told):
            rises += 1
            assert ([FeedState.LIVE] * 4, set(VENUES)) == (list(feeds.values()), reconciled)
            assert (True, False) == (abs(made.ledger.net) < Decimal("0.01"), made.ledger.has_unknown)
    assert rises > 0
