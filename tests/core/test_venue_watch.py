"""When a venue is read by REST: on return, on a schedule while something lives, and while fills are missing."""

from __future__ import annotations

from core.messages import Alert, FetchFills, FetchOpenOrders, FetchPosition, Message
from core.types import Priority
from core.venue_watch import (
    BRACKET_AUDIT_S,
    FILL_FETCH_DELAY_S,
    FILLS_AUDIT_S,
    FILLS_LOOKBACK_MAX_S,
    FILLS_MISSING_ALARM_S,
    ORDERS_AUDIT_S,
    POSITION_AUDIT_S,
    RECONCILE_RETRY_S,
    REREAD_PAUSE_S,
    ROUND_ALARM_S,
    SECOND_ROUND_S,
    VenuePolicy,
    VenueWatch,
)
from tests.core.builders import GRVT, SYMBOLS, D

ROUND = {FetchFills, FetchOpenOrders, FetchPosition}


def watch(*, is_live: bool = True, position: str = "0", audit_s: float | None = None) -> VenueWatch:
    policy = VenuePolicy(symbol=SYMBOLS[GRVT], lot_size=D("0.01"), cancel_ttl_ms=0, submit_bound_s=2.0, audit_s=audit_s)
    made = VenueWatch(GRVT, policy, D(position))
    made.is_live = is_live
    return made


def run(made: VenueWatch, start: float, end: float, *, owes: bool = False, is_open: bool = False) -> list[tuple[float, Message]]:
    """Half-second ticks of the span with their messages."""
    ticks = [start + step * 0.5 for step in range(int((end - start) * 2) + 1)]
    return [(now, m) for now in ticks for m in made.tick(now, owes_fills=owes, has_open=is_open)]


def answer(made: VenueWatch, asked_at: float, quantity: str = "0") -> None:
    made.fills_read(asked_at, 60.0)
    made.audit.fetched("orders", asked_at)
    made.audit.reported(D(quantity), asked_at=asked_at)


def kinds(messages: list[tuple[float, Message]]) -> set[type[Message]]:
    return {type(message) for _, message in messages}


def test_a_return_is_read_completely_and_urgently() -> None:
    out = watch().came_back(5.0)
    fetch = next(message for message in out if isinstance(message, FetchFills))
    assert (ROUND, Priority.P1) == ({type(message) for message in out}, fetch.priority)


def test_a_return_is_read_a_second_time_to_show_continuity() -> None:
    made = watch()
    made.came_back(5.0)
    answer(made, 5.0)
    made.judge(5.1)
    assert kinds(run(made, 5.5, 5.0 + SECOND_ROUND_S)) >= ROUND


def test_an_unanswered_round_is_asked_again() -> None:
    made = watch()
    made.came_back(5.0)
    assert kinds(run(made, 5.5, 5.0 + RECONCILE_RETRY_S)) >= ROUND


def test_the_lookback_covers_the_outage_and_its_margin() -> None:
    made = watch()
    made.fills_read(100.0, 100.0)
    made.went_away(101.0)
    fetch = next(message for message in made.came_back(400.0) if isinstance(message, FetchFills))
    assert 360.0 == fetch.lookback_s


def test_a_read_of_the_outage_that_fails_is_made_again_as_long() -> None:
    """The first answer may be a 503: what filled in the outage is read all the same, and the round waits for it."""
    made = watch()
    made.fills_read(100.0, 100.0)
    made.came_back(400.0)
    made.fills_read(401.0, 60.0)
    short = made.audit.missing
    again = [message.lookback_s for _, message in run(made, 400.5, 403.0) if isinstance(message, FetchFills)]
    made.fills_read(402.5, again[0])
    assert (True, True, False) == ("fills" in short, again[0] >= 360.0, "fills" in made.audit.missing)


def test_fills_that_no_history_shows_are_sought_ever_farther_back() -> None:
    """A machine that slept has a clock that stood still while the venue traded."""
    made = watch()
    made.expect_fills(0.0)
    told = [message for _, message in run(made, 0.0, 300.0, owes=True) if isinstance(message, FetchFills)]
    assert FILLS_LOOKBACK_MAX_S == max(fetch.lookback_s for fetch in told)


def test_a_round_that_does_not_end_is_told_once_with_what_it_lacks() -> None:
    made = watch()
    made.came_back(0.0)
    made.fills_read(1.0, 60.0)
    alarms = [message for _, message in run(made, 1.0, 3 * ROUND_ALARM_S) if isinstance(message, Alert)]
    assert ["grvt has not been reconciled for 60 s; still without: orders, position"] == [alarm.text for alarm in alarms]


def test_an_outage_cancels_the_round_that_was_under_way() -> None:
    made = watch(is_live=False)
    made.came_back(5.0)
    made.went_away(6.0)
    assert [] == run(made, 6.0, 30.0)


def refuse_frames(made: VenueWatch, start: float, end: float) -> list[tuple[float, Message]]:
    """A refused frame every tenth of a second of the span, each read answered at once; what was asked for, with its time."""
    out = []
    for now in (start + step * 0.1 for step in range(round((end - start) * 10))):
        asked = made.tick(now, owes_fills=False, has_open=False) + made.frame_rejected(now)
        out += [(now, message) for message in asked]
        answer(made, now)
        made.judge(now)
    return out


def test_a_refused_frame_has_everything_read_at_once() -> None:
    """It may have been the only word of a fill."""
    assert ROUND == {type(message) for message in watch().frame_rejected(5.0)}


def test_a_refused_frame_is_followed_by_a_second_read() -> None:
    """The fill may not be in the history yet when it is first looked for."""
    made = watch()
    made.frame_rejected(5.0)
    answer(made, 5.0)
    made.judge(5.1)
    assert ROUND == kinds(run(made, 5.0 + SECOND_ROUND_S, 5.0 + SECOND_ROUND_S))


def test_a_stream_of_refused_frames_makes_no_storm_of_reads() -> None:
    """Two rounds every five seconds, however many frames are refused."""
    asked = [now for now, message in refuse_frames(watch(), 0.0, 8 * REREAD_PAUSE_S) if isinstance(message, FetchFills)]
    assert 16 == len(asked)


def test_the_last_of_many_refused_frames_is_read_after_too() -> None:
    """A frame refused in the pause is not forgotten."""
    made = watch()
    refuse_frames(made, 0.0, REREAD_PAUSE_S / 2)
    asked = [now for now, message in run(made, REREAD_PAUSE_S / 2, 2 * REREAD_PAUSE_S) if isinstance(message, FetchFills)]
    assert REREAD_PAUSE_S <= asked[0]


def test_a_frame_refused_during_a_round_waits_for_its_end() -> None:
    """A round that begins anew with every frame would never end on a throttled venue; one that has begun may have read too early."""
    made = watch()
    made.begin_round(5.0)
    during = made.frame_rejected(5.1)
    answer(made, 5.0)
    made.judge(5.2)
    assert ((), ROUND) == (during, kinds(run(made, 5.5, 5.5)))


def test_a_frame_refused_before_an_outage_is_read_with_the_return_alone() -> None:
    made = watch()
    refuse_frames(made, 0.0, 0.2)
    made.went_away(0.3)
    made.is_live = False
    assert ((), []) == (made.frame_rejected(0.4), run(made, 0.5, 30.0))


def test_an_order_state_that_nobody_knows_alarms_once_per_word() -> None:
    made = watch()
    told = [made.unknown_word(word, 0.0) for word in ("HALF_OPEN", "HALF_OPEN", "MELTED")]
    assert [1, 0, 1] == [len(messages) for messages in told]


def test_endless_new_words_do_not_fill_the_memory() -> None:
    made = watch()
    told = [made.unknown_word(str(number), 0.0) for number in range(1_000)]
    assert 100 == sum(len(messages) for messages in told)


def test_open_orders_are_audited_only_while_some_are_open() -> None:
    made = watch()
    quiet = run(made, 1_000.0, 1_000.0 + ORDERS_AUDIT_S)
    busy = run(made, 2_000.0, 2_000.0, is_open=True)
    assert (False, True) == (FetchOpenOrders in kinds(quiet), FetchOpenOrders in kinds(busy))


def test_a_policy_may_ask_for_closer_audits() -> None:
    """A bracket's legs and fills are read every ten seconds (REST beside the stream)."""
    made = watch(audit_s=BRACKET_AUDIT_S)
    made.is_busy = True
    first = run(made, 1_000.0, 1_000.0, is_open=True)
    before = run(made, 1_000.5, 1_000.0 + BRACKET_AUDIT_S - 0.5, is_open=True)
    again = run(made, 1_000.0 + BRACKET_AUDIT_S, 1_000.0 + BRACKET_AUDIT_S, is_open=True)
    both = {FetchOpenOrders, FetchFills}
    assert (both, set(), both) == tuple(both & set(kinds(reads)) for reads in (first, before, again))


def test_fills_are_audited_once_we_have_traded() -> None:
    """A subscription that was silently dropped must not hide a fill for longer than the audit's pause (B3)."""
    made = watch()
    made.is_busy = True
    asked = [now for now, message in run(made, 1_000.0, 1_000.0 + 3 * FILLS_AUDIT_S) if isinstance(message, FetchFills)]
    assert 4 == len(asked)


def test_the_position_is_audited_and_more_often_while_it_differs() -> None:
    def asked(position: str) -> int:
        made = watch(position=position)
        made.audit.reported(D(0), asked_at=None)
        return sum(isinstance(message, FetchPosition) for _, message in run(made, 1_000.0, 1_000.0 + POSITION_AUDIT_S))

    assert (2, True) == (asked("0"), asked("0.05") > 10)


def test_a_difference_that_passes_is_not_asked_about() -> None:
    """Between a fill and the position frame that follows it the two differ for a moment, many times a minute."""
    made = watch(position="0")
    made.audit.reported(D(0), asked_at=None)
    run(made, 1_000.0, 1_000.0)
    asked = []
    for second in range(1, int(POSITION_AUDIT_S)):
        made.position = D("0.05") if second % 2 else D(0)
        asked += run(made, 1_000.0 + second, 1_000.0 + second)
    assert [] == asked


def test_missing_fills_are_fetched_after_a_moment_and_again() -> None:
    made = watch()
    made.expect_fills(1_000.0)
    made.tick(1_000.0, owes_fills=True, has_open=False)
    before = made.tick(1_000.0 + FILL_FETCH_DELAY_S / 2, owes_fills=True, has_open=False)
    asked = [now for now, message in run(made, 1_000.5, 1_003.0, owes=True) if isinstance(message, FetchFills)]
    assert ((), True) == (before, len(asked) >= 3)


def test_fills_that_stay_missing_alarm_once() -> None:
    made = watch()
    made.expect_fills(1_000.0)
    out = run(made, 1_000.0, 1_000.0 + 4 * FILLS_MISSING_ALARM_S, owes=True)
    assert 1 == sum(isinstance(message, Alert) for _, message in out)


def test_fills_that_arrived_are_not_asked_for() -> None:
    made = watch()
    made.tick(1_000.0, owes_fills=False, has_open=False)
    made.expect_fills(1_000.0)
    assert () == made.tick(1_001.0, owes_fills=False, has_open=False)


def test_without_a_live_feed_nothing_is_audited_on_a_schedule() -> None:
    """The poller stands in for the feed then (core/fallback.py); a schedule on top would only eat the budget."""
    made = watch(is_live=False)
    made.is_busy = True
    assert [] == run(made, 1_000.0, 1_100.0, is_open=True)


def test_no_tick_is_needed_before_the_deadline() -> None:
    """Whatever is due, the deadline says so: an actor that sleeps until then misses nothing."""
    made = watch()
    made.came_back(1_000.0)
    answer(made, 1_000.0)
    made.judge(1_000.0)
    made.frame_rejected(1_000.0)
    answer(made, 1_000.0)
    made.judge(1_000.0)
    made.frame_rejected(1_000.1)
    for _ in range(20):
        due = made.deadline(has_open=True)
        assert due is not None
        early = made.tick(due - 0.01, owes_fills=False, has_open=True)
        late = made.tick(due, owes_fills=False, has_open=True)
        assert ((), True) == (early, bool(late))
        answer(made, due)
        made.judge(due)
