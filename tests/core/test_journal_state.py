"""The fold of the journal: what a restart must know, and that compaction changes none of it."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import journal_state
from core.journal_state import (
    BooksOpened,
    Fence,
    FillBooked,
    FillKey,
    Intent,
    JournalFold,
    JournalState,
    LastFill,
    Lease,
    NetPosition,
    Record,
    Stopped,
)
from core.messages import FillRecorded, Message, OrderAccepted, OrderChanged, OrderSnapshot, PlaceOrder
from core.pairing import PairLedger
from core.types import ClientOrderId, OrderState, Role, Side, TimeInForce, TradeId, VenueOrderId
from tests.core.test_pairing import BACKPACK, GRVT, fill, started

D = Decimal


def intent(client_order_id: int, *, cycle_id: int = 1) -> Intent:
    order = PlaceOrder(
        client_order_id=ClientOrderId(client_order_id),
        venue=GRVT,
        symbol="ETH",
        side=Side.BUY,
        quantity=D("0.10"),
        price=D("3000"),
        time_in_force=TimeInForce.GTC,
        role=Role.MAKER,
        cycle_id=cycle_id,
        reference_price=D("3000"),
    )
    return Intent(order=order, epoch=1)


def changed(client_order_id: int, state: OrderState, filled: str = "0") -> OrderChanged:
    snapshot = OrderSnapshot(
        client_order_id=ClientOrderId(client_order_id),
        venue=GRVT,
        symbol="ETH",
        side=Side.BUY,
        role=Role.MAKER,
        price=D("3000"),
        quantity=D("0.10"),
        state=state,
        filled_quantity=D(filled),
        recorded_quantity=D(0),
        cycle_id=1,
    )
    return OrderChanged(order=snapshot, at=0.0)


def fold(*records: Message) -> JournalState:
    """Written one millisecond after the other, from 100 on."""
    folding = JournalFold()
    for wall_ms, record in enumerate(records, 100):
        folding.apply(record, wall_ms)
    return folding.state()


def test_intent_without_an_answer_is_unsettled() -> None:
    """It may have been sent: a restart has to ask."""
    assert [1] == [order.order.client_order_id for order in fold(intent(1)).unsettled]


@pytest.mark.parametrize(
    "state", [OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.PARTIALLY_FILLED, OrderState.PENDING_CANCEL]
)
def test_open_order_is_unsettled(state: OrderState) -> None:
    """Only a closed state may end the questions."""
    assert 1 == len(fold(intent(1), changed(1, state)).unsettled)


def test_closed_order_is_settled() -> None:
    """Cancelled without a fill: nothing is left to ask."""
    assert () == fold(intent(1), changed(1, OrderState.CANCELED)).unsettled


def test_closed_order_with_a_fill_not_seen_is_unsettled() -> None:
    """The venue told of more than the journaled fills: those have to be fetched."""
    assert 1 == len(fold(intent(1), changed(1, OrderState.FILLED, "0.10"), fill(Role.MAKER, Side.BUY, "0.04", "3000")).unsettled)


def test_fills_settle_the_order_they_complete() -> None:
    """The sum of its journaled fills is what the venue told."""
    state = fold(
        intent(1),
        fill(Role.MAKER, Side.BUY, "0.04", "3000"),
        changed(1, OrderState.FILLED, "0.10"),
        fill(Role.MAKER, Side.BUY, "0.06", "3000"),
    )
    assert () == state.unsettled


def test_fill_journaled_twice_counts_once() -> None:
    """A fill found again after a restart moves no position."""
    event = fill(Role.MAKER, Side.BUY, "0.04", "3000")
    assert (NetPosition(GRVT, "ETH", D("0.04")),) == fold(event, event).positions


def test_fill_without_an_intent_moves_the_position() -> None:
    """Every fill of the account counts, whoever placed the order."""
    assert (NetPosition(GRVT, "ETH", D("-0.04")),) == fold(fill(None, Side.SELL, "0.04", "3000")).positions


def test_venue_order_id_comes_from_the_acceptance() -> None:
    """Needed to ask a venue that looks orders up by its own id only."""
    accepted = OrderAccepted(venue=GRVT, client_order_id=ClientOrderId(1), venue_order_id=VenueOrderId("0xabc"), at=0.0)
    assert "0xabc" == fold(intent(1), accepted).orders[0].venue_order_id


def test_orders_without_a_known_end_are_unsettled() -> None:
    """Order 1 is closed, 2 (102 ms) and 3 are not; a fill backfill reaches back to the oldest."""
    state = fold(intent(1), changed(1, OrderState.CANCELED), intent(2), intent(3))
    assert (2, 102) == (len(state.unsettled), min(entry.intended_ms for entry in state.unsettled))


def test_last_fill_of_each_venue_is_its_newest() -> None:
    """Also when an older one is journaled later."""
    newer, older = fill(Role.MAKER, Side.BUY, "0.04", "3000"), fill(Role.MAKER, Side.BUY, "0.04", "3000")
    newer = msgspec.structs.replace(newer, fill=msgspec.structs.replace(newer.fill, venue_time_ms=9))
    assert (LastFill(GRVT, 9),) == fold(newer, older).last_fills


def test_next_client_id_is_beyond_leases_and_intents() -> None:
    """Whichever reached further."""
    assert (51, 61) == (fold(Lease(end=51), intent(7)).next_client_id, fold(Lease(end=51), intent(60)).next_client_id)


def test_cycle_goes_on_from_the_highest_number_seen() -> None:
    """A started cycle counts as used, a finished one is known as finished."""
    assert 4 == fold(started(4, Side.BUY), intent(1, cycle_id=3)).last_cycle_id


def test_clean_stop_is_undone_by_any_later_record() -> None:
    """A run that began and was killed is not a clean stop."""
    assert (True, False) == (fold(Stopped()).was_stopped_cleanly, fold(Stopped(), Fence(epoch=2)).was_stopped_cleanly)


def test_fills_since_flat_are_those_that_entered_what_is_held() -> None:
    """Forgotten when the venues' positions cancel out; the next one starts anew."""
    first, hedge = fill(Role.MAKER, Side.BUY, "0.04", "3000"), fill(Role.HEDGE, Side.SELL, "0.04", "3000")
    last = fill(Role.MAKER, Side.BUY, "0.02", "3000")
    assert ((first,), (last,)) == (fold(first).fills_since_flat, fold(first, hedge, last).fills_since_flat)


def test_results_are_kept_by_slot_and_survive_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was earned within ten minutes is one sum; the oldest slot goes first."""
    monkeypatch.setattr(journal_state, "RESULT_SLOTS_KEPT", 2)
    made = JournalFold()
    for minute, net in ((5, "-1"), (9, "-2"), (11, "4"), (25, "-8")):
        made.apply(FillBooked(venue=GRVT, trade_id=TradeId("1"), net=D(net), pairs=1), minute * 60_000)
    kept = ((600_000, D("4")), (1_200_000, D("-8")))
    again = JournalFold()
    again.apply(made.state(), 0)
    assert (kept, kept) == (made.state().results, again.state().results)


def test_a_fill_that_was_not_booked_is_kept_with_all_that_it_may_be_paired_with() -> None:
    """Flat or not: until the recorder has written that the fill is in its books."""
    first, hedge = fill(Role.MAKER, Side.BUY, "0.04", "3000"), fill(Role.HEDGE, Side.SELL, "0.04", "3000")
    run = (BooksOpened(pairs=3), first, booked(first), hedge)
    assert ((hedge,), (first,), ()) == (fold(*run).unbooked_fills, fold(*run).booked_fills, fold(*run).fills_since_flat)
    again = fold(fold(*run), booked(hedge))
    assert ((), (), ()) == (again.unbooked_fills, again.booked_fills, fold(first, hedge).unbooked_fills)


def test_a_pair_ledger_built_from_the_journal_holds_what_the_old_one_held() -> None:
    """A stranger's fill that waits for its hedge, too: flat for the journal is flat for the books."""
    hand, hedge = fill(None, Side.BUY, "0.04", "3000"), fill(Role.HEDGE, Side.SELL, "0.04", "3000")
    state = fold(BooksOpened(pairs=0), hand, booked(hand))
    again = PairLedger(maker_venue=GRVT, hedge_venue=BACKPACK)
    again.resume(state.booked_fills)
    assert (D("0.04"), 1, D(0)) == (again.exposure, len(again.handle(hedge)), again.exposure)
    assert () == fold(state, hedge, booked(hedge)).pairable


def booked(event: FillRecorded) -> FillBooked:
    return FillBooked(venue=event.fill.venue, trade_id=event.fill.trade_id, net=D(0), pairs=4)


def test_settled_orders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest settled one goes first; an unsettled one never goes."""
    monkeypatch.setattr(journal_state, "SETTLED_ORDERS_KEPT", 3)
    records: list[Message] = [intent(1)]
    for client_order_id in range(2, 8):
        records += [intent(client_order_id), changed(client_order_id, OrderState.CANCELED)]
    assert [5, 6, 7, 1] == [order.order.client_order_id for order in fold(*records).orders]


def test_fill_keys_are_bounded_and_the_position_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting the key of an old fill does not forget what it did."""
    monkeypatch.setattr(journal_state, "FILL_KEYS_KEPT", 2)
    fills = [fill(Role.MAKER, Side.BUY, "0.01", "3000") for _ in range(5)]
    state = fold(*fills)
    assert tuple(FillKey(GRVT, event.fill.trade_id) for event in fills[3:]) == state.fill_keys
    assert (NetPosition(GRVT, "ETH", D("0.05")),) == state.positions


_ids = st.integers(1, 6)
_records: st.SearchStrategy[Message] = st.one_of(
    st.builds(intent, _ids, cycle_id=st.integers(1, 5)),
    st.builds(changed, _ids, st.sampled_from(OrderState), st.sampled_from(["0", "0.04", "0.10"])),
    st.builds(
        fill,
        st.sampled_from([Role.MAKER, Role.HEDGE]),
        st.sampled_from(Side),
        st.sampled_from(["0.04", "0.06"]),
        st.just("3000"),
        client_order_id=_ids,
    ),
    st.builds(Lease, end=st.integers(1, 500)),
    st.builds(Fence, epoch=st.integers(1, 9)),
    st.builds(started, st.integers(1, 9), st.sampled_from(Side)),
    st.just(Stopped()),
)


@given(st.lists(_records, max_size=40), st.integers(0, 40))
def test_fold_may_be_cut_anywhere_by_a_base(records: list[Message], cut: int) -> None:
    """A base written after any record, and read back from its JSON, stands for all records before it."""
    base = msgspec.json.decode(msgspec.json.encode(fold(*records[:cut])), type=Record)
    assert isinstance(base, JournalState)
    resumed = JournalFold()
    resumed.apply(base, 0)
    for wall_ms, record in enumerate(records[cut:], 100 + len(records[:cut])):
        resumed.apply(record, wall_ms)
    assert fold(*records) == resumed.state()


@given(_records)
def test_every_record_survives_its_json(record: Message) -> None:
    """What is read back is what was written."""
    assert record == msgspec.json.decode(msgspec.json.encode(record), type=Record)
