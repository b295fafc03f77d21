"""The order tracker: fills counted once, unknown outcomes resolved by evidence only, reports in any order (I8, I9, RELIABILITY §3.3)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import (
    Alert,
    CancelAcknowledged,
    CancelFailed,
    CancelOrder,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillRecorded,
    FillsFetched,
    ForeignActivity,
    FrameRejected,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderChanged,
    OrderRejected,
    OrderReported,
    PlaceOrder,
    PositionMismatch,
    PositionReported,
    QueryFailed,
    QueryOrder,
    SubmitNotSent,
    SubmitUnknown,
    Tick,
    VenueReconciled,
)
from core.order import SETTLED_ORDERS_KEPT, TrackedOrder, restored
from core.order_tracker import TRADES_KEPT, OrderTracker
from core.strangers import NAMES_KEPT
from core.types import Channel, FeedState, OrderState, Role, Source, VenueOrderId
from core.venue_watch import VenuePolicy
from tests.core.builders import (
    BACKPACK,
    GRVT,
    SELL,
    SYMBOLS,
    D,
    feed,
    fill,
    not_found,
    of_type,
    place,
    report,
    snapshot,
    submitted,
)

S = OrderState
BOUND_S = 2.0
POLICIES = {
    GRVT: VenuePolicy(symbol=SYMBOLS[GRVT], lot_size=D("0.01"), cancel_ttl_ms=5_000, submit_bound_s=65.0),
    BACKPACK: VenuePolicy(symbol=SYMBOLS[BACKPACK], lot_size=D("0.01"), cancel_ttl_ms=0, submit_bound_s=BOUND_S),
}
MAKER = place(1)
HEDGE = place(2, side=SELL, role=Role.HEDGE)


class Rig:
    """A tracker and its clock; ``do`` lets time pass to ``at`` and hands over a message."""

    def __init__(self, *orders: PlaceOrder, **more: object) -> None:
        self.tracker = OrderTracker(POLICIES, **more)  # type: ignore[arg-type]
        for order in orders:
            self.do(submitted(order))

    def do(self, message: Message, at: float = 0.0) -> tuple[Message, ...]:
        return self.tracker.handle(message, at)

    def run(self, start: float, end: float) -> list[tuple[float, Message]]:
        """Ticks twenty times a second from ``start`` to ``end``; what came out, with its time."""
        ticks = [start + step * 0.05 for step in range(round((end - start) / 0.05) + 1)]
        return [(now, message) for now in ticks for message in self.do(Tick(), now)]

    def state(self, order: PlaceOrder) -> OrderState:
        return next(o.state for o in self.known if o.place.client_order_id == order.client_order_id)

    @property
    def known(self) -> list[TrackedOrder]:
        return list(self.tracker._orders.values())

    def position(self, order: PlaceOrder) -> Decimal:
        return self.tracker.positions[order.venue]


def unknown(order: PlaceOrder, at: float = 0.0) -> SubmitUnknown:
    return SubmitUnknown(venue=order.venue, client_order_id=order.client_order_id, reason="read time-out", at=at)


def fills_fetched(order: PlaceOrder, *quantities: tuple[str, str], asked_at: float = 0.0) -> FillsFetched:
    fills = tuple(fill(order, trade_id, quantity, source=Source.REST) for trade_id, quantity in quantities)
    return FillsFetched(
        venue=order.venue, symbol=order.symbol, fills=fills, lookback_s=asked_at, asked_at=asked_at, received_at=asked_at
    )


def open_orders(order: PlaceOrder, *orders: OrderReported, asked_at: float) -> OpenOrdersFetched:
    return OpenOrdersFetched(venue=order.venue, symbol=order.symbol, orders=orders, asked_at=asked_at, received_at=asked_at)


def position(order: PlaceOrder, quantity: str, *, at: float, source: Source = Source.REST) -> PositionReported:
    return PositionReported(venue=order.venue, symbol=order.symbol, quantity=D(quantity), source=source, received_at=at)


# ---- fills --------------------------------------------------------------------------------------------------------------------


def test_a_fill_seen_by_stream_and_by_rest_counts_once() -> None:
    rig = Rig(MAKER)
    rig.do(fill(MAKER, "t1", "0.04"))
    again = rig.do(fills_fetched(MAKER, ("t1", "0.04")))
    assert ([], D("0.04"), 1) == (of_type(again, FillRecorded), rig.position(MAKER), rig.tracker.duplicate_fills)


def test_the_same_trade_id_on_two_venues_is_two_fills() -> None:
    rig = Rig(MAKER, HEDGE)
    rig.do(fill(MAKER, "t1", "0.04"))
    assert 1 == len(of_type(rig.do(fill(HEDGE, "t1", "0.04")), FillRecorded))


def test_each_partial_fill_is_recorded_at_once() -> None:
    """A maker's fill is hedged when it happens, not when the order is FILLED."""
    rig = Rig(MAKER)
    recorded = [
        of_type(rig.do(fill(MAKER, trade, quantity)), FillRecorded)[0] for trade, quantity in (("a", "0.03"), ("b", "0.07"))
    ]
    assert [D("0.03"), D("0.10")] == [event.order.recorded_quantity for event in recorded]


@pytest.mark.parametrize("end", [S.CANCELED, S.EXPIRED, S.REJECTED])
def test_a_late_fill_of_a_closed_order_moves_the_position(end: OrderState) -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, end))
    late = rig.do(fill(MAKER, "t1", "0.04"), 30.0)
    assert (1, D("0.04")) == (len(of_type(late, FillRecorded)), rig.position(MAKER))


def test_a_late_complete_fill_turns_a_cancelled_order_into_a_filled_one() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.CANCELED))
    rig.do(fill(MAKER, "t1", "0.10"))
    assert S.FILLED is rig.state(MAKER)


def test_a_fill_of_a_denied_order_counts_too() -> None:
    """'Not sent' was our belief; a fill is the venue's word."""
    rig = Rig(MAKER)
    rig.do(SubmitNotSent(venue=GRVT, client_order_id=MAKER.client_order_id, reason="refused", at=0.0))
    rig.do(fill(MAKER, "t1", "0.10"))
    assert D("0.10") == rig.position(MAKER)


def test_a_fill_of_nobodys_order_moves_the_position_and_is_told_as_foreign() -> None:
    rig = Rig()
    out = rig.do(fill(MAKER, "t1", "0.04", client_order_id=None))
    assert (D("0.04"), None, 1) == (rig.position(MAKER), of_type(out, FillRecorded)[0].order, len(of_type(out, ForeignActivity)))


def test_a_strangers_fill_from_before_this_run_is_not_ours_to_count() -> None:
    rig = Rig(ignore_foreign_before_ms=2_000)
    assert ((), D(0)) == (rig.do(fill(MAKER, "t1", "0.04", venue_time_ms=1_999)), rig.position(MAKER))


def test_a_strangers_fill_counts_whatever_our_clock_says_once_its_order_was_seen_alive() -> None:
    """The wall clock was ahead when this life began."""
    rig = Rig(ignore_foreign_before_ms=2_000)
    rig.do(report(MAKER, S.ACCEPTED, client_order_id=None, venue_order_id="v7"))
    rig.do(fill(MAKER, "t1", "0.04", client_order_id=None, venue_order_id=VenueOrderId("v7"), venue_time_ms=1_999))
    assert D("0.04") == rig.position(MAKER)


def test_an_own_fill_from_before_this_run_counts() -> None:
    rig = Rig(MAKER, ignore_foreign_before_ms=2_000)
    rig.do(fill(MAKER, "t1", "0.04", venue_time_ms=1_999))
    assert D("0.04") == rig.position(MAKER)


def test_a_fill_without_client_id_is_matched_by_the_venues_order_id() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED, venue_order_id="v7"))
    out = rig.do(fill(MAKER, "t1", "0.04", client_order_id=None, venue_order_id=VenueOrderId("v7")))
    assert MAKER.client_order_id == of_type(out, FillRecorded)[0].order.client_order_id


def test_an_id_of_another_venue_is_not_taken_for_ours() -> None:
    """Both venues draw from one counter: the number alone does not say whose order it is."""
    rig = Rig(MAKER)
    out = rig.do(fill(HEDGE, "t1", "0.04", client_order_id=MAKER.client_order_id))
    assert (1, D(0)) == (len(of_type(out, ForeignActivity)), rig.known[0].recorded_quantity)


def test_more_fills_than_the_order_had_alarm_a_person() -> None:
    rig = Rig(MAKER)
    alerts = of_type(rig.do(fill(MAKER, "t1", "0.11")), Alert)
    assert [("critical", "overfill")] == [(alert.level, alert.key) for alert in alerts]


def test_filled_told_before_the_fills_invents_nothing_and_fetches_them() -> None:
    """FILLED 0.10 without a fill: the position stays, the fills are asked for, and they alone count."""
    rig = Rig(MAKER)
    told = rig.do(report(MAKER, S.FILLED, "0.10"))
    asked = [message for _, message in rig.run(0.0, 1.0)]
    assert ([], D(0), True) == (of_type(told, FillRecorded), rig.position(MAKER), any(isinstance(m, FetchFills) for m in asked))


def test_fills_that_come_by_themselves_are_not_fetched() -> None:
    """The stream's own fill follows the status by milliseconds: no request is spent on it."""
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.FILLED, "0.10"))
    rig.do(fill(MAKER, "t1", "0.10"), 0.1)
    assert [] == [message for _, message in rig.run(0.15, 1.0)]


def test_a_filled_order_with_fills_to_come_still_counts_as_pending() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.FILLED, "0.10"))
    assert [D("0.10")] == [order.snapshot().pending_quantity for order in rig.tracker.open_orders]


def test_fills_that_a_venue_never_shows_alarm_once() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.CANCELED, "0.08"))
    alerts = [message for _, message in rig.run(0.0, 20.0) if isinstance(message, Alert)]
    assert ["fills-missing-grvt"] == [alert.key for alert in alerts]


# ---- outcomes of the gateway --------------------------------------------------------------------------------------------------


def test_a_permanent_refusal_is_told_as_one() -> None:
    rig = Rig(HEDGE)
    refusal = OrderRejected(
        venue=BACKPACK, client_order_id=HEDGE.client_order_id, reason="margin", code="X", permanent=True, at=0.0
    )
    order = of_type(rig.do(refusal), OrderChanged)[0].order
    assert (S.REJECTED, True, "margin") == (order.state, order.permanent, order.reason)


def test_a_throttled_order_counts_as_not_sent() -> None:
    """A rate limit says nothing about the market: no step up the slippage ladder may come of it."""
    rig = Rig(HEDGE)
    refusal = OrderRejected(
        venue=BACKPACK, client_order_id=HEDGE.client_order_id, reason="", code="429", permanent=False, is_throttled=True, at=0.0
    )
    rig.do(refusal)
    assert S.DENIED is rig.state(HEDGE)


def test_a_refusal_of_an_acknowledged_order_is_believed() -> None:
    """GRVT acknowledges before it matches (grvt.md §0.2)."""
    rig = Rig(MAKER)
    rig.do(OrderAccepted(venue=GRVT, client_order_id=MAKER.client_order_id, venue_order_id=None, at=0.0))
    rig.do(report(MAKER, S.REJECTED, reason="POST_ONLY"))
    assert S.REJECTED is rig.state(MAKER)


def test_a_second_word_of_the_same_submit_does_not_forget_the_fills() -> None:
    """After a restart the journal may know an order whose OrderSubmitted is still on its way."""
    rig = Rig(MAKER)
    rig.do(fill(MAKER, "t1", "0.04"))
    rig.do(submitted(MAKER))
    assert D("0.04") == rig.known[0].recorded_quantity


def test_a_late_unknown_does_not_undo_what_the_venue_has_shown() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    rig.do(unknown(MAKER))
    assert S.ACCEPTED is rig.state(MAKER)


# ---- unknown outcomes ---------------------------------------------------------------------------------------------------------


def test_an_unknown_order_counts_in_full_until_there_is_evidence() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    rig.do(QueryFailed(venue=BACKPACK, query="QueryOrder", reason="500", at=1.0, client_order_id=HEDGE.client_order_id), 1.0)
    rig.run(0.0, 100.0)
    assert [(S.UNKNOWN, D("0.10"))] == [(o.state, o.snapshot().pending_quantity) for o in rig.tracker.open_orders]


def test_an_unknown_order_is_asked_for_soon_and_again_and_again() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    asked = [now for now, message in rig.run(0.0, 20.0) if isinstance(message, QueryOrder)]
    assert (True, True) == (asked[0] < 0.5, len(asked) > 3)


def test_where_a_cancel_binds_the_future_an_unknown_order_is_cancelled_with_a_time_to_live() -> None:
    """GRVT keeps a cancel armed against a create that arrives later (grvt.md): the outcome becomes bounded."""
    rig = Rig(MAKER)
    cancels = of_type(rig.do(unknown(MAKER)), CancelOrder)
    assert [5_000] == [cancel.ttl_ms for cancel in cancels]


def test_an_unknown_hedge_is_not_cancelled_where_that_proves_nothing() -> None:
    rig = Rig(HEDGE)
    assert [] == of_type(rig.do(unknown(HEDGE)), CancelOrder)


def test_not_found_before_the_bound_is_not_believed() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    for asked_at in (0.2, 0.9, 1.9):
        rig.do(not_found(HEDGE, asked_at), asked_at)
    assert S.UNKNOWN is rig.state(HEDGE)


def test_the_first_look_that_can_prove_anything_is_not_put_off() -> None:
    """However long the pauses between looks have grown: each second of doubt is a second of exposure."""
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    for asked_at in (0.2, 0.7, 1.7):
        rig.do(Tick(), asked_at)
        rig.do(not_found(HEDGE, asked_at), asked_at)
    asked = [at for at, message in rig.run(1.75, 3.0) if isinstance(message, QueryOrder)]
    assert BOUND_S == asked[0]


def test_not_found_once_past_the_bound_is_not_believed() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    rig.do(not_found(HEDGE, BOUND_S + 0.1), BOUND_S + 0.1)
    assert S.UNKNOWN is rig.state(HEDGE)


def test_not_found_twice_at_once_is_one_observation() -> None:
    """Two lookups in flight together see the same lagging index."""
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    for asked_at in (30.0, 30.1):
        rig.do(not_found(HEDGE, asked_at), asked_at)
    assert S.UNKNOWN is rig.state(HEDGE)


def test_not_found_twice_past_the_bound_ends_the_order() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    for asked_at in (BOUND_S + 0.1, BOUND_S + 1.2):
        rig.do(not_found(HEDGE, asked_at), asked_at)
    assert (S.EXPIRED, ()) == (rig.state(HEDGE), rig.tracker.open_orders)


def test_an_answer_in_between_starts_the_proof_of_absence_anew() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    rig.do(not_found(HEDGE, 10.0), 10.0)
    rig.do(report(HEDGE, S.ACCEPTED, source=Source.REST), 11.0)
    rig.do(not_found(HEDGE, 12.0), 12.0)
    assert S.ACCEPTED is rig.state(HEDGE)


def test_without_an_armed_cancel_absence_proves_nothing_where_only_a_cancel_bounds() -> None:
    rig = Rig(MAKER)
    rig.do(unknown(MAKER))
    for asked_at in (70.0, 72.0, 74.0):
        rig.do(not_found(MAKER, asked_at), asked_at)
    assert S.UNKNOWN is rig.state(MAKER)


def test_absence_after_the_cancels_time_to_live_ends_the_order() -> None:
    rig = Rig(MAKER)
    rig.do(unknown(MAKER))
    rig.do(CancelAcknowledged(venue=GRVT, client_order_id=MAKER.client_order_id, at=1.0), 1.0)
    for asked_at in (6.1, 7.2):
        rig.do(not_found(MAKER, asked_at), asked_at)
    assert S.EXPIRED is rig.state(MAKER)


def test_an_order_proven_dead_that_fills_after_all_counts() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    for asked_at in (BOUND_S + 0.1, BOUND_S + 1.2):
        rig.do(not_found(HEDGE, asked_at), asked_at)
    rig.do(fill(HEDGE, "t1", "0.10"), 60.0)
    assert D("-0.10") == rig.position(HEDGE)


def test_an_unknown_order_that_is_found_filled_has_its_fills_fetched() -> None:
    rig = Rig(HEDGE)
    rig.do(unknown(HEDGE))
    rig.do(report(HEDGE, S.FILLED, "0.10", source=Source.REST), 0.3)
    asked = [message for _, message in rig.run(0.3, 1.0)]
    assert (D(0), True) == (rig.position(HEDGE), any(isinstance(message, FetchFills) for message in asked))


@pytest.mark.parametrize("kind", ["refused", "not_sent", "unknown"])
def test_a_failed_cancel_proves_nothing_and_is_repeated(kind: str) -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    rig.do(CancelFailed(venue=GRVT, client_order_id=MAKER.client_order_id, reason="", kind=kind, at=1.0), 1.0)  # type: ignore[arg-type]
    repeated = [message for _, message in rig.run(1.0, 5.0) if isinstance(message, CancelOrder)]
    assert (1, True) == (len(rig.tracker.open_orders), len(repeated) > 0)


def test_an_acknowledged_cancel_is_followed_until_the_end_is_observed() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    rig.do(CancelAcknowledged(venue=GRVT, client_order_id=MAKER.client_order_id, at=1.0), 1.0)
    asked = [message for _, message in rig.run(1.0, 5.0) if isinstance(message, QueryOrder)]
    assert (S.PENDING_CANCEL, True) == (rig.state(MAKER), len(asked) > 0)


def test_an_accepted_order_of_which_the_stream_is_silent_is_asked_for() -> None:
    rig = Rig(MAKER)
    rig.do(OrderAccepted(venue=GRVT, client_order_id=MAKER.client_order_id, venue_order_id=None, at=0.0))
    assert any(isinstance(message, QueryOrder) for _, message in rig.run(0.0, 3.0))


# ---- absence from the open orders ---------------------------------------------------------------------------------------------


def test_absence_from_open_orders_is_a_question_and_no_verdict() -> None:
    """Filled, cancelled, index lag or kept in another list: the order is asked for and keeps its state."""
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    out = rig.do(open_orders(MAKER, asked_at=10.0), 10.0)
    assert (S.ACCEPTED, [MAKER.client_order_id]) == (
        rig.state(MAKER),
        [query.client_order_id for query in of_type(out, QueryOrder)],
    )


def test_a_strangers_order_without_ids_does_not_stand_for_ours() -> None:
    """An entry that carries no id names nobody, above all not an order whose venue id we have not learned."""
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    stranger = report(MAKER, S.ACCEPTED, client_order_id=None)
    out = rig.do(open_orders(MAKER, stranger, asked_at=10.0), 10.0)
    assert 1 == len(of_type(out, QueryOrder))


def test_an_order_just_sent_may_be_absent() -> None:
    rig = Rig()
    rig.do(submitted(MAKER, 10.0), 10.0)
    assert [] == of_type(rig.do(open_orders(MAKER, asked_at=10.5), 10.6), QueryOrder)


def test_absence_at_one_venue_says_nothing_of_the_other() -> None:
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    assert [] == of_type(rig.do(open_orders(HEDGE, asked_at=10.0), 10.0), QueryOrder)


def test_a_foreign_living_order_is_told_once() -> None:
    rig = Rig()
    told = [rig.do(report(MAKER, S.ACCEPTED, client_order_id=None, venue_order_id="x")) for _ in range(3)]
    assert [(1, 1), (0, 0), (0, 0)] == [(len(of_type(each, ForeignActivity)), len(of_type(each, Alert))) for each in told]


def test_a_strangers_order_alarms_once_however_many_its_fills() -> None:
    """Each fill is told, since each moves the exposure, under one name; a person is woken once."""
    rig = Rig()
    told = [rig.do(fill(MAKER, trade, "0.04", client_order_id=None, venue_order_id=VenueOrderId("x"))) for trade in ("t1", "t2")]
    assert [1, 0] == [len(of_type(each, Alert)) for each in told]
    assert ["x", "x"] == [activity.order for each in told for activity in of_type(each, ForeignActivity)]


def test_strangers_names_are_bounded_and_the_newest_are_kept() -> None:
    """I19: an account that is traded by hand for weeks grows nothing."""
    rig = Rig()
    names = [f"x{number}" for number in range(NAMES_KEPT + 1)]
    for name in names:
        rig.do(report(MAKER, S.ACCEPTED, client_order_id=None, venue_order_id=name))
    again = [rig.do(report(MAKER, S.ACCEPTED, client_order_id=None, venue_order_id=name)) for name in (names[-1], names[0])]
    assert [0, 1] == [len(of_type(each, Alert)) for each in again]


@pytest.mark.parametrize("end", [S.CANCELED, S.FILLED])
def test_a_foreign_order_that_has_ended_is_no_news(end: OrderState) -> None:
    assert () == Rig().do(report(MAKER, end, client_order_id=None, venue_order_id="x"))


def test_a_status_that_nobody_knows_is_asked_about_and_changes_nothing() -> None:
    """B8: the parser maps an unknown word to UNKNOWN; the order keeps its state and is looked up."""
    rig = Rig(MAKER)
    rig.do(report(MAKER, S.ACCEPTED))
    out = rig.do(report(MAKER, S.UNKNOWN, reason="HALF_OPEN"), 10.0)
    asked = [message for _, message in rig.run(10.0, 11.0) if isinstance(message, QueryOrder)]
    (alarm,) = of_type(out, Alert)
    assert (S.ACCEPTED, 1, True) == (rig.state(MAKER), len(asked), "HALF_OPEN" in alarm.text)


def test_what_was_filled_counts_whatever_the_status_says() -> None:
    """B8: the quantity of a report with an unknown word is believed, and its fills are fetched."""
    rig = Rig(MAKER)
    out = rig.do(report(MAKER, S.UNKNOWN, "0.04"), 10.0)
    fetched = [message for _, message in rig.run(10.0, 11.0) if isinstance(message, FetchFills)]
    assert (D("0.04"), True) == (of_type(out, OrderChanged)[0].order.filled_quantity, bool(fetched))


# ---- refused frames ----------------------------------------------------------------------------------------------------------


def rejected(order: PlaceOrder, channel: Channel) -> FrameRejected:
    return FrameRejected(venue=order.venue, channel=channel, reason="not JSON", head="{", at=0.0)


@pytest.mark.parametrize(
    ("channel", "expected"), [(Channel.ACCOUNT, {FetchFills, FetchOpenOrders, FetchPosition}), (Channel.MARKET, set())]
)
def test_a_refused_frame_of_the_account_has_its_venue_read(channel: Channel, expected: set[type[Message]]) -> None:
    """A book that cannot be read says nothing of fills."""
    rig = Rig()
    live(rig, MAKER, 0.0)
    reconcile(rig, "0", 1.0)
    out = rig.do(rejected(MAKER, channel), 1.5)
    assert (expected, {MAKER.venue} if expected else set()) == ({type(m) for m in out}, {m.venue for m in out})  # type: ignore[attr-defined]


# ---- reconciliation -----------------------------------------------------------------------------------------------------------


def live(rig: Rig, order: PlaceOrder, at: float) -> tuple[Message, ...]:
    return rig.do(feed(order.venue, Channel.ACCOUNT), at)


def test_a_feed_that_comes_back_has_everything_read_anew() -> None:
    out = live(Rig(), MAKER, 5.0)
    assert {FetchFills, FetchOpenOrders, FetchPosition} == {type(message) for message in out}


def test_fills_are_read_back_beyond_the_whole_outage() -> None:
    rig = Rig()
    live(rig, MAKER, 0.0)
    rig.do(feed(GRVT, Channel.ACCOUNT, FeedState.DOWN), 100.0)
    fetch = of_type(live(rig, MAKER, 400.0), FetchFills)[0]
    assert 300.0 < fetch.lookback_s


def reconcile(rig: Rig, quantity: str, at: float) -> list[Message]:
    answers = (fills_fetched(MAKER, asked_at=at), open_orders(MAKER, asked_at=at), position(MAKER, quantity, at=at))
    return [message for answer in answers for message in rig.do(answer, at)]


def test_a_venue_is_reconciled_when_fills_orders_and_position_agree() -> None:
    rig = Rig()
    live(rig, MAKER, 5.0)
    assert 1 == len(of_type(tuple(reconcile(rig, "0", 5.1)), VenueReconciled))


def test_a_position_that_our_fills_do_not_explain_is_not_reconciled_and_alarms() -> None:
    rig = Rig()
    live(rig, MAKER, 5.0)
    out = reconcile(rig, "0.05", 5.1) + [message for _, message in rig.run(5.1, 20.0)]
    assert (0, 1) == (len(of_type(tuple(out), VenueReconciled)), len(of_type(tuple(out), PositionMismatch)))


def test_a_read_of_the_position_never_moves_what_we_hold() -> None:
    """A failed, stale or foreign position is no fill: nothing is traded because of it."""
    rig = Rig(MAKER)
    rig.do(fill(MAKER, "t1", "0.10"))
    rig.do(position(MAKER, "0", at=1.0), 1.0)
    assert D("0.10") == rig.position(MAKER)


def test_a_mismatch_that_goes_away_is_reconciled_again() -> None:
    """Otherwise a position report that lagged for ten seconds would keep the bot reducing for ever."""
    rig = Rig()
    live(rig, MAKER, 5.0)
    reconcile(rig, "0", 5.1)
    rig.run(5.1, 7.0)
    reconcile(rig, "0", 7.0)
    rig.do(position(MAKER, "0.05", at=8.0, source=Source.WS), 8.0)
    rig.run(8.0, 19.0)
    rig.do(position(MAKER, "0", at=20.0, source=Source.WS), 20.0)
    asked = {type(message) for _, message in rig.run(20.0, 20.1)}
    again = of_type(tuple(reconcile(rig, "0", 20.2)), VenueReconciled)
    assert ({FetchFills, FetchOpenOrders, FetchPosition}, 1) == (asked, len(again))


def test_a_failed_read_is_repeated() -> None:
    rig = Rig()
    live(rig, MAKER, 5.0)
    rig.do(QueryFailed(venue=GRVT, query="FetchFills", reason="502", at=5.1), 5.1)
    assert any(isinstance(message, FetchFills) for _, message in rig.run(5.1, 8.0))


# ---- restart, snapshots, bounds -----------------------------------------------------------------------------------------------


def test_an_order_of_an_earlier_life_is_asked_for_and_bounded() -> None:
    rig = Rig(orders=[restored(MAKER, None, 0.0)])
    out = rig.tracker.start(5.0)
    asked = [message for _, message in rig.run(5.0, 6.0) if isinstance(message, QueryOrder)]
    assert ([MAKER.client_order_id], True) == ([cancel.client_order_id for cancel in of_type(out, CancelOrder)], len(asked) > 0)


def test_a_fill_of_an_earlier_life_is_not_counted_again() -> None:
    rig = Rig(MAKER, seen_trades=[(GRVT, fill(MAKER, "t1", "0.04").trade_id)], positions={GRVT: D("0.04")})
    rig.do(fill(MAKER, "t1", "0.04"))
    assert D("0.04") == rig.position(MAKER)


def test_a_ledger_is_told_only_after_every_gateway_has_been_fenced() -> None:
    rig = Rig(MAKER)
    first = rig.do(LedgerRequested(owner="hedger", epoch=2, via=GRVT))
    second = rig.do(LedgerRequested(owner="hedger", epoch=2, via=BACKPACK))
    assert ((), [MAKER.client_order_id]) == (
        first,
        [order.client_order_id for order in of_type(second, LedgerSnapshot)[0].orders],
    )


def test_requests_of_two_epochs_do_not_add_up() -> None:
    rig = Rig(MAKER)
    rig.do(LedgerRequested(owner="hedger", epoch=1, via=GRVT))
    assert () == rig.do(LedgerRequested(owner="hedger", epoch=2, via=BACKPACK))


@pytest.mark.parametrize("role", [Role.TP, Role.SL])
def test_an_exit_of_an_earlier_life_is_asked_for_and_left_standing(role: Role) -> None:
    """It protects a position; only one that the venue does not show is bounded."""
    leg = place(3, venue=GRVT, role=role, reduce_only=True)
    rig = Rig(orders=[restored(leg, None, -5.0)])
    out = [*rig.tracker.start(0.0), *(message for _, message in rig.run(0.0, 1.0))]
    assert ([], [leg.client_order_id]) == (
        of_type(out, CancelOrder),
        [query.client_order_id for query in of_type(out, QueryOrder)],
    )


def test_fills_of_standing_orders_are_audited_from_the_start() -> None:
    """Nothing has been placed in this life, and what was placed in the last may fill."""
    rig = Rig(orders=[restored(MAKER, snapshot(MAKER, S.ACCEPTED), -5.0)])
    assert [True, False] == [rig.tracker._venues[venue].is_busy for venue in (GRVT, BACKPACK)]


def test_an_order_concluded_dead_may_be_shown_alive_in_the_next_life_too() -> None:
    """Inference is never proof against evidence, whoever drew it."""
    dead = snapshot(MAKER, S.EXPIRED, is_inferred=True)
    rig = Rig(orders=[restored(MAKER, dead, -5.0)])
    rig.do(report(MAKER, S.ACCEPTED))
    assert S.ACCEPTED is rig.state(MAKER)


def test_seen_trades_and_closed_orders_are_bounded() -> None:
    """Weeks of trading do not grow the tracker (I19); an order that is still open is never forgotten."""
    rig = Rig(MAKER)
    for number in range(2, SETTLED_ORDERS_KEPT + 10):
        order = place(number)
        rig.do(submitted(order))
        rig.do(report(order, S.CANCELED))
    for number in range(TRADES_KEPT + 10):
        rig.tracker._remember_trade((GRVT, fill(MAKER, str(number), "0.01").trade_id))
    assert (SETTLED_ORDERS_KEPT, TRADES_KEPT) == (len(rig.tracker._orders), len(rig.tracker._trades))
    assert MAKER.client_order_id in rig.tracker._orders


# ---- confluence ---------------------------------------------------------------------------------------------------------------

FACTS: tuple[Message, ...] = (
    OrderAccepted(venue=GRVT, client_order_id=MAKER.client_order_id, venue_order_id=VenueOrderId("g1"), at=0.0),
    report(MAKER, S.ACCEPTED, venue_order_id="g1"),
    report(MAKER, S.PARTIALLY_FILLED, "0.03", venue_order_id="g1"),
    report(MAKER, S.CANCELED, "0.07", venue_order_id="g1"),
    report(MAKER, S.CANCELED, "0.07", source=Source.REST),
    fill(MAKER, "g-1", "0.03"),
    fill(MAKER, "g-2", "0.04"),
    fills_fetched(MAKER, ("g-1", "0.03"), ("g-2", "0.04")),
    unknown(HEDGE),
    report(HEDGE, S.ACCEPTED),
    report(HEDGE, S.FILLED, "0.10"),
    fill(HEDGE, "b-1", "0.06"),
    fill(HEDGE, "b-2", "0.04"),
    fills_fetched(HEDGE, ("b-2", "0.04")),
)
"""What two orders' lives may tell, by stream and by REST: a maker cancelled after 0.07, a hedge of unknown outcome that filled."""


def outcome(messages: list[Message]) -> object:
    rig = Rig(MAKER, HEDGE)
    told: list[tuple[object, ...]] = []
    for message in messages:
        events = of_type(rig.do(message), FillRecorded)
        told += [(event.fill.venue, event.fill.trade_id, event.fill.quantity) for event in events]
    orders = [(o.state, o.filled_quantity, o.recorded_quantity, o.snapshot().pending_quantity) for o in rig.known]
    return orders, rig.tracker.positions, sorted(told), rig.tracker.open_orders


@given(
    st.permutations(range(len(FACTS))), st.lists(st.integers(0, len(FACTS) - 1), max_size=10), st.randoms(use_true_random=False)
)
def test_any_order_and_any_duplicates_of_the_same_facts_end_alike(order: list[int], again: list[int], chance: object) -> None:
    """I9: permutation and duplication of one set of events leave the same orders, positions and recorded fills."""
    indices = list(order)
    for index in again:
        indices.insert(chance.randint(0, len(indices)), index)  # type: ignore[attr-defined]
    assert outcome(list(FACTS)) == outcome([FACTS[index] for index in indices])


@given(st.lists(st.sampled_from(FACTS), max_size=40))
def test_no_mixture_of_facts_records_more_than_the_venue_filled(messages: list[Message]) -> None:
    """Lost, doubled and reordered: positions only ever hold fills that were told."""
    rig = Rig(MAKER, HEDGE)
    for message in messages:
        rig.do(message)
    assert (True, True) == (D(0) <= rig.position(MAKER) <= D("0.07"), D("-0.10") <= rig.position(HEDGE) <= D(0))
