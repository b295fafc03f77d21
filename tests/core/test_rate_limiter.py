"""Admission: what may leave, when, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.messages import (
    Alert,
    BookLost,
    CancelAll,
    CancelOrder,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    OrderDenied,
    PlaceOco,
    PlaceOrder,
    QueryFailed,
    QueryOrder,
    RateLimited,
    RenewDeadMan,
    Tick,
)
from core.rate_limiter import CLASSES, FREEZE_ALARM_S, Budget, Command, LimiterConfig, RateLimiter, class_of, priority_of
from core.types import ClientOrderId, Priority, Role, Side, TimeInForce, VenueId

GRVT = VenueId("grvt")
SYMBOL = "ETH_USDT_Perp"
RATES = {"create": 10.0, "cancel": 10.0, "query": 5.0, "other": 2.0}


def limiter(rates: dict[str, float] | None = None, **settings: object) -> RateLimiter:
    return RateLimiter(LimiterConfig(venue=GRVT, rates=RATES if rates is None else rates, **settings))  # type: ignore[arg-type]


def place(number: int, priority: Priority = Priority.P2, not_after: float = 0.0, symbol: str = SYMBOL) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=ClientOrderId(number),
        venue=GRVT,
        symbol=symbol,
        side=Side.BUY,
        quantity=Decimal("0.1"),
        price=Decimal("3000"),
        time_in_force=TimeInForce.GTC,
        role=Role.HEDGE if priority is Priority.P0 else Role.MAKER,
        cycle_id=1,
        reference_price=Decimal("3000"),
        not_after=not_after,
        priority=priority,
    )


def pair(number: int, priority: Priority = Priority.P0, not_after: float = 0.0) -> PlaceOco:
    return PlaceOco(stop=place(number, priority, not_after), take_profit=place(number + 1, priority, not_after))


def cancel(number: int) -> CancelOrder:
    return CancelOrder(venue=GRVT, symbol=SYMBOL, client_order_id=ClientOrderId(number), reason="test")


def query(number: int) -> QueryOrder:
    return QueryOrder(venue=GRVT, symbol=SYMBOL, client_order_id=ClientOrderId(number))


def limited(retry_after_s: float | None = None) -> RateLimited:
    return RateLimited(venue=GRVT, reason="429", retry_after_s=retry_after_s, at=0.0)


def fills(lookback_s: float = 60.0, priority: Priority = Priority.P3) -> FetchFills:
    return FetchFills(venue=GRVT, symbol=SYMBOL, lookback_s=lookback_s, priority=priority)


def feed(core: RateLimiter, now: float, *messages: Message) -> list[Message]:
    return [output for message in messages for output in core.handle(message, now)]


def drained(core: RateLimiter, now: float = 0.0) -> RateLimiter:
    """``core`` with an empty create bucket: hedges took every token at ``now``."""
    feed(core, now, *(place(10_000 + n, Priority.P0) for n in range(int(core.tokens(now)["create"].tokens))))
    return core


# ---- the plain case ------------------------------------------------------------------------------------------------------------


SAMPLES = [
    place(1),
    pair(1),
    cancel(1),
    CancelAll(venue=GRVT, symbol=SYMBOL),
    query(1),
    fills(),
    FetchOpenOrders(venue=GRVT, symbol=SYMBOL),
    FetchPosition(venue=GRVT, symbol=SYMBOL),
    FetchBook(venue=GRVT, symbol=SYMBOL),
    RenewDeadMan(venue=GRVT, countdown_s=30.0),
]


@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: type(command).__name__)
def test_a_command_passes_at_once_while_there_are_tokens(command: Command) -> None:
    """The same object comes out, alone."""
    assert (command,) == limiter().handle(command, 5.0)


def test_every_command_of_the_unions_is_tried_above() -> None:
    """A command that is added to the unions is not forgotten here: the limiter is in front of all of them."""
    assert set(get_args(Command)) == {type(command) for command in SAMPLES}


def test_a_pair_costs_two_orders() -> None:
    """Each order of a bulk request counts at the venue."""
    core = limiter({"create": 10.0})
    assert 5 == len(feed(core, 0.0, *(pair(2 * n) for n in range(6))))


def test_a_bucket_of_one_order_still_lets_a_pair_pass() -> None:
    """It leaves when the bucket is full and owes the rest: the next order waits for both."""
    core = limiter({"create": 1.0})
    assert 1 == len(feed(core, 0.0, pair(1), place(3, Priority.P0)))
    assert [] == feed(core, 1.5, Tick())
    assert [place(3, Priority.P0)] == feed(core, 2.1, Tick())


def test_a_pair_that_is_overtaken_is_denied_as_a_whole() -> None:
    """A cancel of one of two waiting orders, or their common deadline: both owners hear of it, nothing leaves."""
    for message, at in ((cancel(2), 0.0), (Tick(), 1.0)):
        core = drained(limiter({"create": 1.0, "cancel": 1.0}))
        feed(core, 0.0, pair(1, not_after=0.5))
        refused = [each for each in feed(core, at, message) if isinstance(each, OrderDenied)]
        assert [1, 2] == [each.client_order_id for each in refused]


def test_a_class_without_a_rate_is_not_limited() -> None:
    """Only named classes have a bucket."""
    assert 500 == len(feed(limiter({"create": 1.0}), 0.0, *(cancel(n) for n in range(500))))


def test_messages_that_are_no_commands_pass_by() -> None:
    """A book event told here by the routing table changes nothing."""
    assert () == limiter().handle(BookLost(venue=GRVT, symbol=SYMBOL, reason="", at=0.0), 0.0)


def test_a_command_for_another_venue_is_a_wiring_error() -> None:
    """It must not vanish and must not pay from this venue's bucket."""
    with pytest.raises(ValueError, match="backpack"):
        limiter().handle(CancelAll(venue=VenueId("backpack"), symbol=SYMBOL), 0.0)


@pytest.mark.parametrize("rates", [{"creates": 1.0}, {"create": 0.0}, {"create": float("inf")}, {"create": float("nan")}])
def test_impossible_limits_are_refused(rates: dict[str, float]) -> None:
    """A misspelt class would silently be no limit at all."""
    with pytest.raises(ValueError, match="create"):
        limiter(rates)


# ---- priorities and the reserve ------------------------------------------------------------------------------------------------


def test_quotes_leave_the_reserve_untouched() -> None:
    """Of ten create tokens three are for hedges only."""
    granted = feed(limiter(), 0.0, *(place(n) for n in range(10)))
    assert list(range(7)) == [order.client_order_id for order in granted if isinstance(order, PlaceOrder)]


def test_a_hedge_uses_the_reserve_that_quotes_left() -> None:
    """Quotes wait, the hedge behind them does not."""
    core = limiter()
    feed(core, 0.0, *(place(n) for n in range(10)))
    hedge = place(99, Priority.P0)
    assert (hedge,) == core.handle(hedge, 0.0)


def test_a_bucket_of_one_still_lets_quotes_through() -> None:
    """The reserve never shuts the others out for ever."""
    assert (place(1),) == limiter({"create": 0.5}).handle(place(1), 0.0)


def test_the_most_urgent_leaves_first_when_a_token_comes() -> None:
    """P0 before P1 before P3, whatever came first."""
    core = limiter({"total": 1.0}, reserve_share=0.0)
    feed(core, 0.0, cancel(0), fills(), query(7), cancel(8))
    order = [type(output).__name__ for now in (1.0, 2.0, 3.0) for output in core.handle(Tick(), now + 0.01)]
    assert ["CancelOrder", "QueryOrder", "FetchFills"] == order


def test_within_a_priority_the_oldest_leaves_first() -> None:
    """Order of arrival, over the classes too."""
    core = limiter({"total": 1.0}, reserve_share=0.0)
    feed(core, 0.0, cancel(0), place(1, Priority.P0), cancel(2))
    assert (place(1, Priority.P0),) == core.handle(Tick(), 1.01)


def test_a_hedge_without_tokens_does_not_hold_up_a_cancel() -> None:
    """Classes wait apart."""
    core = limiter({"create": 1.0, "cancel": 5.0})
    feed(core, 0.0, place(1, Priority.P0), place(2, Priority.P0))
    assert (cancel(5),) == core.handle(cancel(5), 0.0)


def test_the_total_bucket_is_paid_by_every_class() -> None:
    """Three requests in all, of whatever class."""
    core = limiter({"create": 10.0, "cancel": 10.0, "total": 3.0})
    assert 3 == len(feed(core, 0.0, cancel(1), place(2, Priority.P0), cancel(3), cancel(4), place(5, Priority.P0)))


# ---- orders that must not leave any more ---------------------------------------------------------------------------------------


def test_an_order_that_waited_too_long_is_denied() -> None:
    """Past ``not_after`` it is not wanted; the asker is told."""
    core = drained(limiter())
    core.handle(place(1, Priority.P0, not_after=0.05), 0.0)
    denied = OrderDenied(venue=GRVT, client_order_id=ClientOrderId(1), role=Role.HEDGE, reason="stale in limiter", at=10.0)
    assert (denied,) == core.handle(Tick(), 10.0)


def test_an_order_that_arrives_stale_is_denied() -> None:
    """Tokens or not."""
    assert ["stale in limiter"] == [getattr(each, "reason", None) for each in limiter().handle(place(1, not_after=4.0), 5.0)]


def test_an_order_leaves_at_the_very_last_moment() -> None:
    """``not_after`` itself is still in time."""
    assert (place(1, not_after=5.0),) == limiter().handle(place(1, not_after=5.0), 5.0)


def test_zero_means_no_deadline() -> None:
    """The default of ``not_after`` is no wish at all."""
    assert (place(1),) == limiter().handle(place(1), 1e6)


def test_a_cancel_takes_the_waiting_order_with_it() -> None:
    """It overtakes its order; sent afterwards the order would rest unwanted. The cancel itself goes on."""
    core = limiter()
    feed(core, 0.0, *(place(n) for n in range(8)))
    outputs = core.handle(cancel(7), 0.0)
    assert [("OrderDenied", 7), ("CancelOrder", 7)] == [
        (type(each).__name__, getattr(each, "client_order_id", None)) for each in outputs
    ]


def test_cancel_all_takes_waiting_quotes_of_its_symbol_but_no_hedge() -> None:
    """A hedge is still wanted, and so is an order of another instrument."""
    core = drained(limiter())
    feed(core, 0.0, place(1), place(2, Priority.P0), place(3, symbol="BTC_USDT_Perp"))
    denied = [each for each in core.handle(CancelAll(venue=GRVT, symbol=SYMBOL), 0.0) if isinstance(each, OrderDenied)]
    assert [1] == [each.client_order_id for each in denied]


# ---- duplicates and bounds -----------------------------------------------------------------------------------------------------


def test_waiting_reads_of_one_kind_collapse_to_the_latest() -> None:
    """Three audits that waited are one request; it looks back as far as the furthest."""
    core = limiter({"other": 1.0})
    feed(core, 0.0, FetchPosition(venue=GRVT, symbol=SYMBOL), fills(600.0), fills(60.0), fills(5.0))
    assert (fills(600.0),) == core.handle(Tick(), 60.0)


def test_a_collapsed_read_keeps_its_place() -> None:
    """Asking again must not put it behind younger reads for ever."""
    core = limiter({"other": 1.0})
    position, orders = FetchPosition(venue=GRVT, symbol=SYMBOL), FetchOpenOrders(venue=GRVT, symbol=SYMBOL)
    feed(core, 0.0, fills(), position, orders, position)
    assert (position,) == core.handle(Tick(), 1.01)


def test_an_urgent_scan_does_not_collapse_into_an_audit() -> None:
    """The fill scan of an unknown order leaves before, and beside, the poll."""
    core = limiter({"other": 1.0})
    feed(core, 0.0, FetchPosition(venue=GRVT, symbol=SYMBOL), fills(), fills(5.0, Priority.P1))
    assert (fills(5.0, Priority.P1),) == core.handle(Tick(), 1.01)


def test_questions_about_different_orders_stay_apart() -> None:
    """One answer each."""
    core = limiter({"query": 1.0})
    feed(core, 0.0, query(0), query(1), query(2))
    assert [(query(1),), (query(2),)] == [core.handle(Tick(), 1.01), core.handle(Tick(), 2.02)]


def test_a_full_queue_denies_a_quote() -> None:
    """The asker hears of it; nothing is lost silently."""
    core = drained(limiter(queue_limit={"create": 2}))
    outputs = feed(core, 0.0, place(1), place(2), place(3))
    assert [(3, "limiter queue full")] == [
        (each.client_order_id, each.reason) for each in outputs if isinstance(each, OrderDenied)
    ]


def test_a_hedge_evicts_the_newest_quote_from_a_full_queue() -> None:
    """Quotes make room."""
    core = drained(limiter(queue_limit={"create": 2}))
    outputs = feed(core, 0.0, place(1), place(2), place(3, Priority.P0))
    assert [2] == [each.client_order_id for each in outputs if isinstance(each, OrderDenied)]


def test_a_read_that_finds_no_room_fails_with_its_id() -> None:
    """The tracker's question gets an answer either way."""
    core = limiter({"query": 1.0}, queue_limit={"query": 1})
    failed = [each for each in feed(core, 0.0, query(0), query(1), query(2)) if isinstance(each, QueryFailed)]
    assert [("QueryOrder", 2)] == [(each.query, each.client_order_id) for each in failed]


def test_cancels_are_never_dropped() -> None:
    """A thousand waiting cancels all leave in the end, in order."""
    core = limiter({"cancel": 1000.0}, burst={"cancel": 1.0}, queue_limit_default=1)
    outputs = feed(core, 0.0, *(cancel(n) for n in range(1000)))
    for n in range(1, 1100):
        outputs += core.handle(Tick(), n * 0.0011)
    assert [cancel(n) for n in range(1000)] == outputs


# ---- the venue's refusals ------------------------------------------------------------------------------------------------------


def test_a_refusal_freezes_quotes_but_not_hedges() -> None:
    """During the freeze only P0 leaves."""
    core = limiter()
    core.handle(limited(10.0), 0.0)
    hedge = place(2, Priority.P0)
    assert [hedge] == feed(core, 9.9, place(1), hedge, query(3), fills())


@pytest.mark.parametrize(("asked_s", "frozen_s"), [(None, 1.0), (0.0, 0.0), (7.0, 7.0), (3600.0, 60.0), (-5.0, 0.0)])
def test_the_freeze_lasts_as_long_as_the_venue_asks_within_bounds(asked_s: float | None, frozen_s: float) -> None:
    """1 s where it names no time, never above a minute."""
    core = limiter()
    core.handle(limited(asked_s), 100.0)
    assert {frozen_s} == {bucket.frozen_s for bucket in core.tokens(100.0).values()}


def test_a_shorter_refusal_does_not_end_a_longer_freeze() -> None:
    """The later of the two ends counts."""
    core = limiter()
    feed(core, 0.0, limited(10.0), limited(1.0))
    assert 10.0 == core.tokens(0.0)["create"].frozen_s


def test_a_long_freeze_is_told_once() -> None:
    """Nothing can be read meanwhile; a short one is not worth a word."""
    core = limiter()
    told = [core.handle(limited(after_s), now) for after_s, now in ((FREEZE_ALARM_S - 0.1, 0.0), (60.0, 1.0), (60.0, 2.0))]
    assert [[], ["frozen"], []] == [[each.key for each in out if isinstance(each, Alert)] for out in told]


def test_a_refusal_of_another_venue_freezes_nothing() -> None:
    """Budgets are per venue."""
    core = limiter()
    core.handle(RateLimited(venue=VenueId("backpack"), reason="", retry_after_s=9.0, at=0.0), 0.0)
    assert (place(1),) == core.handle(place(1), 0.0)


def test_after_a_freeze_hedges_leave_first() -> None:
    """What waited longest matters less than what matters most."""
    core = drained(limiter({"create": 10.0}))
    core.handle(limited(10.0), 0.0)
    waiting = [place(1), place(2), place(3, Priority.P0), place(4, Priority.P0)]
    feed(core, 0.0, *waiting)
    granted = [output for now in (0.11, 0.31, 11.0) for output in core.handle(Tick(), now)]
    assert [3, 4, 1, 2] == [each.client_order_id for each in granted if isinstance(each, PlaceOrder)]


def granted_in(core: RateLimiter, start: float, seconds: float) -> int:
    """How many hedges leave in the ``seconds`` after ``start`` when more than enough of them wait and the bucket begins empty."""
    feed(core, start, *(place(n, Priority.P0) for n in range(500)))
    ticks = [core.handle(Tick(), start + n * 0.05 + 0.001) for n in range(1, int(seconds / 0.05) + 1)]
    return sum(isinstance(output, PlaceOrder) for outputs in ticks for output in outputs)


def test_a_refusal_halves_the_rate() -> None:
    """Ten a second become five."""
    core = limiter({"create": 10.0}, queue_limit={"create": 1000})
    core.handle(limited(), 0.0)
    assert 50 == granted_in(core, 1.0, 10.0)


def test_a_storm_of_refusals_halves_the_rate_once() -> None:
    """The requests that were in flight together are refused together."""
    core = limiter({"create": 10.0}, queue_limit={"create": 1000})
    feed(core, 0.0, *[limited()] * 20)
    assert 50 == granted_in(core, 1.0, 10.0)


def test_the_rate_recovers_by_a_twentieth_every_half_minute() -> None:
    """From 5.0 to 5.5 after 30 s."""
    core = limiter({"create": 10.0}, queue_limit={"create": 1000})
    core.handle(limited(), 0.0)
    assert 110 == granted_in(core, 30.0, 20.0)


def test_the_rate_recovers_to_the_base_and_not_beyond() -> None:
    """Ten calm minutes are enough, from the deepest point, whose steps do not add up to the base."""
    core = limiter({"create": 16.0}, queue_limit={"create": 1000})
    for n in range(4):
        core.handle(limited(), n * 1.5)
    assert 160 == granted_in(core, 700.0, 10.0)


def test_the_rate_never_falls_to_nothing() -> None:
    """However often the venue refuses, a sixteenth is left, so that hedges leave some day."""
    core = limiter({"create": 16.0}, queue_limit={"create": 1000})
    for n in range(100):
        core.handle(limited(), n * 1.5)
    assert 10 == granted_in(core, 150.0, 10.0)


def test_a_successor_has_what_its_predecessor_left() -> None:
    """The venue counts on, whoever asks: neither the pause nor the empty bucket is forgotten."""
    config = LimiterConfig(venue=GRVT, rates={"create": 10.0})
    budget = Budget(config)
    feed(RateLimiter(config, budget), 0.0, *(place(n, Priority.P0) for n in range(20)), limited(10.0))
    core = RateLimiter(config, budget)
    feed(core, 0.0, place(20, Priority.P0), place(21))
    told = [[each.client_order_id for each in core.handle(Tick(), now)] for now in (0.1, 0.21, 9.9, 10.1)]  # type: ignore[attr-defined]
    assert [[], [20], [], [21]] == told


# ---- time ----------------------------------------------------------------------------------------------------------------------


def test_an_idle_limiter_wants_no_tick() -> None:
    """Nothing waits, nothing is due."""
    core = limiter()
    core.handle(place(1), 0.0)
    assert core.deadline(0.0) is None


def test_the_deadline_of_a_waiting_order_includes_its_own_end() -> None:
    """The denial is told when it is due and not at the next token."""
    core = drained(limiter({"create": 1.0}))
    core.handle(place(1, not_after=0.3), 0.0)
    assert core.deadline(0.0) == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("start", [1e8 + n / 7 for n in range(20)])
def test_the_deadline_is_late_enough_for_its_token(start: float) -> None:
    """Also where a float of seconds is coarser than the time between two tokens: no Tick comes in vain."""
    core = limiter({"cancel": 1e5}, burst={"cancel": 1.0})
    feed(core, start, cancel(1), cancel(2))
    due = core.deadline(start)
    assert due is not None
    assert (cancel(2),) == core.handle(Tick(), due)


def test_a_clock_that_returns_takes_nothing_away() -> None:
    """A full bucket stays full."""
    core = limiter({"create": 1.0})
    core.tokens(100.0)
    assert (place(1, Priority.P0),) == core.handle(place(1, Priority.P0), 50.0)


def test_a_clock_that_stands_still_or_returns_grants_nothing() -> None:
    """Time that goes backwards brings no tokens."""
    core = drained(limiter({"create": 1.0}), 100.0)
    assert [] == feed(core, 50.0, place(1, Priority.P0), place(2, Priority.P0))


COMMANDS = st.one_of(
    st.builds(place, st.integers(1, 10**6), st.sampled_from([Priority.P0, Priority.P2])),
    st.builds(cancel, st.integers(1, 10**6)),
    st.builds(query, st.integers(1, 50)),
    st.builds(fills, st.just(60.0), st.sampled_from([Priority.P1, Priority.P3])),
    st.just(FetchPosition(venue=GRVT, symbol=SYMBOL)),
)
MESSAGES = st.one_of(COMMANDS, COMMANDS, COMMANDS, st.builds(limited, st.sampled_from([None, 0.0, 3.0])), st.just(Tick()))
STEPS = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.001, 0.05, 0.4, 3.0, 45.0]), MESSAGES), max_size=80)
STARTS = st.sampled_from([0.0, 12345.678, 1e8])
SMALL = {"create": 3.0, "cancel": 2.0, "query": 1.0, "other": 0.5, "total": 4.0}


def run(start: float, steps: Sequence[tuple[float, Message]], *, to_the_end: bool = False) -> list[tuple[float, Message]]:
    """Everything that comes out and when, with a Tick at every deadline that the limiter names."""
    core, now, log = limiter(SMALL), start, []
    for gap_s, message in steps:
        until = now + gap_s
        while (due := core.deadline(now)) is not None and due <= until:
            assert due > now
            now = due
            log += [(now, output) for output in core.handle(Tick(), now)]
        now = until
        log += [(now, output) for output in core.handle(message, now)]
    while to_the_end and (due := core.deadline(now)) is not None:
        assert due > now
        now = due
        log += [(now, output) for output in core.handle(Tick(), now)]
    return log


@given(start=STARTS, steps=STEPS)
def test_every_window_holds_at_most_rate_times_window_plus_burst(start: float, steps: list[tuple[float, Message]]) -> None:
    """For each class and for all together, over every pair of grants."""
    times: dict[str, list[float]] = {name: [] for name in (*CLASSES, "total")}
    for now, output in run(start, steps, to_the_end=True):
        if not isinstance(output, OrderDenied | QueryFailed):
            times["total"].append(now)
            times[class_of(output)].append(now)  # type: ignore[arg-type]
    for name, rate in SMALL.items():
        burst = max(1.0, rate)
        for first, begin in enumerate(times[name]):
            for last in range(first, len(times[name])):
                assert last - first + 1 <= rate * (times[name][last] - begin) + burst + 1e-3


@given(start=STARTS, steps=STEPS)
def test_every_command_gets_exactly_one_end(start: float, steps: list[tuple[float, Message]]) -> None:
    """Orders and cancels: granted or denied, once; nothing stays for ever and nothing doubles."""
    orders = {each.client_order_id: each for _, each in steps if isinstance(each, PlaceOrder)}
    wanted = [each for _, each in steps if isinstance(each, PlaceOrder | CancelOrder)]
    assume(len(orders) == sum(isinstance(each, PlaceOrder) for each in wanted))
    outputs = [output for _, output in run(start, steps, to_the_end=True)]
    ends = [orders[each.client_order_id] if isinstance(each, OrderDenied) else each for each in outputs]
    assert sorted(map(repr, wanted)) == sorted(repr(each) for each in ends if isinstance(each, PlaceOrder | CancelOrder))


@given(steps=STEPS)
def test_an_urgent_command_never_waits_while_its_buckets_have_a_token(steps: list[tuple[float, Message]]) -> None:
    """After every message: no P0 is left over with a token in its class and in the total, whatever else is queued or frozen."""
    core, now, waiting = limiter(SMALL), 0.0, []
    for gap_s, message in steps:
        now += gap_s
        if isinstance(message, PlaceOrder | CancelOrder) and priority_of(message) is Priority.P0:
            waiting.append(message)
        for output in core.handle(message, now):
            if isinstance(output, OrderDenied):
                waiting = [
                    each
                    for each in waiting
                    if not (isinstance(each, PlaceOrder) and each.client_order_id == output.client_order_id)
                ]
            elif output in waiting:
                waiting.remove(output)
        buckets = core.tokens(now)
        stuck = [each for each in waiting if min(buckets[class_of(each)].tokens, buckets["total"].tokens) >= 1]
        assert [] == stuck
