"""The OCO pair decides by what is known of its legs: cover first, one winner, every end of a leg understood before it is acted upon."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.messages import CancelAcknowledged, FetchFills, LedgerSnapshot, OrderDenied, Stop
from core.oco_pair import MAX_STOPS
from core.oco_states import TRANSITIONS, IllegalTransition, PairState, transition
from core.types import OrderState, Role, Side
from tests.core.builders import GRVT, place, report, snapshot
from tests.core.oco_rig import OWNER, Rig
from tests.core.oco_storm import EVENTS, Storm

D = Decimal
S = PairState


# ---- arming ----------------------------------------------------------------------------------------------------------------------


def test_the_stop_goes_first_and_the_profit_waits_for_it() -> None:
    """Nothing but a stop leaves until a stop stands."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    assert [Role.ENTRY, Role.SL] == [order.role for order in rig.sent]
    rig.accept(rig.last(Role.SL))
    assert [Role.ENTRY, Role.SL, Role.TP] == [order.role for order in rig.sent]


def test_legs_stand_at_their_percentages_of_the_entry_price() -> None:
    """Stop and profit are one percent off the average entry, on the tick, and only reduce."""
    stop, profit = Rig().armed()
    told = (stop.trigger_price, profit.price, stop.is_market, stop.reduce_only and profit.reduce_only, stop.side)
    assert (D("2975.95"), D("3036.07"), True, True, Side.SELL) == told


def test_legs_below_the_minimum_notional_are_not_sent() -> None:
    """GRVT refuses them for good (2067), though they only reduce; that 0.03 are held without a stop is told."""
    rig = Rig(min_notional="100").begin()
    entry = rig.enter()
    rig.fill(entry, "0.03")
    rig.end(entry)
    rig.tick(2.0)
    assert ([Role.ENTRY], True) == ([order.role for order in rig.sent], "naked" in rig.alerts())


def test_what_is_below_the_minimum_notional_is_not_closed_but_told() -> None:
    rig = Rig(min_notional="100").begin()
    entry = rig.enter()
    rig.fill(entry, "0.03")
    rig.end(entry)
    rig.give(Stop(reason="SIGTERM"))
    rig.tick(6.0)
    assert ([Role.ENTRY], True) == ([order.role for order in rig.sent], "close" in rig.alerts())


def test_a_stop_outlasts_what_it_is_too_much_for() -> None:
    """The take-profit has left 0.03 of 0.10: a stop over them would be refused, so the larger one stays."""
    rig = Rig(min_notional="100")
    stop, profit = rig.armed()
    rig.fill(profit, "0.07")
    rig.tick(3.0)
    assert (1, []) == (rig.count(Role.SL), [each for each in rig.cancels if each.client_order_id == stop.client_order_id])


def test_legs_outlive_the_position() -> None:
    """A venue that ends orders by their signature (grvt.md §4) must not end a stop under the position; what closes is over at once."""
    rig = Rig()
    legs = rig.armed()
    rig.give(Stop(reason="SIGTERM"))
    assert ({28 * 86_400.0}, 0.0) == ({leg.lifetime_s for leg in legs}, rig.last(Role.REPAIR).lifetime_s)


def test_a_cancel_that_is_under_way_is_nobodys_hand() -> None:
    """The tracker bounds an order that the venue does not show: its end is ours, whatever the venue calls it, and the leg comes again."""
    rig = Rig()
    stop, _ = rig.armed()
    rig.tick(12.0)
    rig.hear(CancelAcknowledged(venue=GRVT, client_order_id=stop.client_order_id, at=rig.now))
    rig.end(stop, reason="CLIENT_CANCEL")
    rig.tick(3.0)
    assert (2, []) == (rig.count(Role.SL), [key for key in rig.alerts() if key == "manual-cancel"])


def test_an_entry_in_many_fills_gets_one_stop() -> None:
    """While the entry is filling the stop waits a moment, then covers all of it."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    for quantity in ("0.02", "0.03", "0.05"):
        rig.fill(entry, quantity)
    assert [D("0.10")] == [order.quantity for order in rig.sent if order.role is Role.SL]


def test_an_entry_that_does_not_end_is_covered_all_the_same() -> None:
    """A partial fill is covered after a quarter of a second even if no more news of the entry come."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.04")
    rig.tick(0.3)
    assert D("0.04") == rig.last(Role.SL).quantity


def test_a_stop_that_our_own_side_denies_is_no_cover() -> None:
    """An order that never left is placed anew after a pause."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    rig.give(OrderDenied(venue=GRVT, client_order_id=rig.last(Role.SL).client_order_id, role=Role.SL, reason="", at=rig.now))
    rig.tick(0.2)
    assert 2 == rig.count(Role.SL)


def test_denials_do_not_become_a_storm() -> None:
    """Where every closing order is denied, the pair tries a few times a second and no more."""
    rig = Rig("close")
    stop, _ = rig.armed()
    rig.end(stop)
    for _ in range(40):
        rig.tick(0.05)
        denied = [order for order in rig.sent if order.role in (Role.REPAIR, Role.SL) and order is not stop]
        for order in denied[-2:]:
            rig.give(OrderDenied(venue=GRVT, client_order_id=order.client_order_id, role=order.role, reason="", at=rig.now))
    assert rig.count(Role.REPAIR) <= 6


def test_an_unknown_stop_protects_for_a_moment_only() -> None:
    """A stop that nobody has seen is doubled: reduce-only makes two harmless, none is not."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    rig.unknown(rig.last(Role.SL))
    rig.tick(0.5)
    assert 1 == rig.count(Role.SL)
    rig.tick(0.3)
    assert 2 == rig.count(Role.SL)


def test_a_position_without_a_standing_stop_is_flagged_within_a_second() -> None:
    """I13: a person is told, once."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    rig.tick(2.0)
    assert ["naked"] == rig.alerts()


# ---- one leg wins ----------------------------------------------------------------------------------------------------------------


def test_a_won_profit_cancels_the_stop_and_waits_for_its_end() -> None:
    """The cancel's acknowledgement is not the end: the pair is CANCELLING until a terminal state is seen."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    assert [stop.client_order_id] == [command.client_order_id for command in rig.cancels]
    rig.acknowledge(rig.cancels[0])
    assert S.CANCELLING is rig.pair.state
    rig.end(stop)
    assert (S.IDLE, 1) == (rig.pair.state, rig.pair.successes)


@pytest.mark.parametrize("role", [Role.TP, Role.SL])
def test_a_leg_that_the_venue_calls_filled_is_not_placed_again_before_its_fills_are_told(role: Role) -> None:
    """What is sold already is neither covered nor sold again, the sibling goes at once, and no other bracket begins meanwhile."""
    rig = Rig(iterations=2)
    legs = dict(zip((Role.SL, Role.TP), rig.armed(), strict=True))
    sibling = legs[Role.TP if role is Role.SL else Role.SL]
    rig.hear(report(legs[role], OrderState.FILLED, "0.10", at=rig.now))
    rig.tick(0.5)
    rig.end(sibling)
    rig.tick(1.0)
    placed = [order.role for order in rig.sent]
    assert ([Role.ENTRY, Role.SL, Role.TP], [sibling.client_order_id]) == (placed, [each.client_order_id for each in rig.cancels])
    rig.fill(legs[role], "0.10")
    assert (Role.ENTRY, S.IDLE) == (rig.sent[-1].role, rig.pair.state)


def test_a_fill_that_is_only_claimed_does_not_leave_the_position_naked_for_ever() -> None:
    """The fills never come: after two seconds the position counts as held again."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.hear(report(profit, OrderState.FILLED, "0.10", at=rig.now))
    rig.end(stop)
    rig.tick(2.1)
    assert (3, Role.SL) == (len(rig.sent) - 1, rig.sent[-1].role)


def test_a_cancel_without_an_end_is_repeated_and_told() -> None:
    """The sibling must not live on: cancels again, an alarm after five seconds, no new entry meanwhile."""
    rig = Rig()
    _, profit = rig.armed()
    rig.fill(profit, "0.10")
    for _ in range(60):
        rig.tick(0.1)
        rig.book()
    assert (True, 1, ["cancel"]) == (len(rig.cancels) > 3, rig.count(Role.ENTRY), rig.alerts())


def test_the_first_fill_of_the_stop_ends_the_profit() -> None:
    """Once the stop fills it has won: the take-profit goes, and no other is placed."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.fill(stop, "0.04")
    assert [profit.client_order_id] == [command.client_order_id for command in rig.cancels]
    rig.end(profit)
    rig.fill(stop, "0.06")
    assert (1, S.IDLE) == (rig.count(Role.TP), rig.pair.state)


def test_a_stop_that_ends_half_filled_is_finished_at_the_market() -> None:
    """What the stop left is closed; the same trigger is not tried again on a price beyond it."""
    rig = Rig()
    stop, _ = rig.armed()
    rig.fill(stop, "0.04")
    rig.end(stop, reason="COULD_NOT_FILL")
    rig.tick(0.4)
    assert (D("0.06"), S.CLOSING) == (rig.last(Role.REPAIR).quantity, rig.pair.state)


def test_a_partial_profit_makes_the_stop_smaller_without_a_gap() -> None:
    """The new stop stands before the old one goes."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.fill(profit, "0.04")
    rig.tick(0.3)
    smaller = rig.last(Role.SL)
    assert (D("0.06"), []) == (smaller.quantity, rig.cancels)
    rig.tick(0.3)
    assert [] == rig.cancels
    rig.accept(smaller)
    assert [stop.client_order_id] == [command.client_order_id for command in rig.cancels]


def test_both_legs_filled_are_repaired_once_and_told() -> None:
    """Exactly the overshoot is bought back, by one order, with an alert."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    rig.fill(stop, "0.10")
    rig.tick(0.5)
    repairs = [order for order in rig.sent if order.role is Role.REPAIR]
    assert ([(Side.BUY, D("0.10"))], ["both-legs"]) == ([(o.side, o.quantity) for o in repairs], rig.alerts())
    rig.accept(repairs[0])
    rig.fill(repairs[0], "0.10")
    assert (S.IDLE, 1, 0) == (rig.pair.state, rig.pair.failures, rig.pair.successes)


# ---- legs that are removed -------------------------------------------------------------------------------------------------------


def test_cancel_sibling_hands_the_position_over() -> None:
    """The user takes it: the other leg goes, nothing is placed any more, the run ends when the leg has."""
    rig = Rig("cancel_sibling")
    stop, profit = rig.armed()
    placed = len(rig.sent)
    rig.end(profit)
    rig.tick(1.6)
    assert (S.RELEASED, stop.client_order_id) == (rig.pair.state, rig.cancels[0].client_order_id)
    assert "RunFinished" not in [type(message).__name__ for message in rig.told]
    rig.end(stop)
    assert ("RunFinished", placed) == (type(rig.told[-1]).__name__, len(rig.sent))


def test_a_leg_that_fills_after_the_hand_over_and_oversells_is_still_repaired() -> None:
    """Its cancel came too late, the user's own stop or another leg was faster: what we sold too much is ours to buy back."""
    rig = Rig("cancel_sibling")
    stop, profit = rig.armed()
    rig.end(profit)
    rig.tick(1.6)
    rig.fill(stop, "0.10")
    late = next(order for order in rig.sent if order.role is Role.TP)
    rig.fill(late, "0.10")
    rig.tick(0.3)
    repair = rig.last(Role.REPAIR)
    assert ((Side.BUY, D("0.10")), False) == ((repair.side, repair.quantity), rig.pair.is_settled)
    rig.accept(repair)
    rig.fill(repair, "0.10")
    assert (S.RELEASED, True) == (rig.pair.state, rig.pair.is_settled)


def test_keep_stop_goes_on_without_the_profit() -> None:
    rig = Rig("keep_stop")
    stop, profit = rig.armed()
    rig.end(profit)
    rig.tick(2.0)
    assert (S.ARMED, 1, D("0.10")) == (rig.pair.state, rig.count(Role.TP), rig.stop_cover())
    rig.end(stop)
    rig.tick(0.8)
    assert 2 == rig.count(Role.SL)


def test_a_stop_removed_by_hand_is_there_again_until_it_is_certain_who_did_it() -> None:
    """Judged after a second and a half; the position is covered until then, and only then handed over."""
    rig = Rig("cancel_sibling")
    stop, _ = rig.armed()
    rig.end(stop)
    rig.tick(0.6)
    assert (2, S.ARMING) == (rig.count(Role.SL), rig.pair.state)
    rig.tick(1.0)
    assert S.RELEASED is rig.pair.state


def test_close_ends_the_position_at_once() -> None:
    rig = Rig("close")
    _, profit = rig.armed()
    rig.end(profit)
    rig.tick(1.6)
    assert (S.CLOSING, D("0.10")) == (rig.pair.state, rig.last(Role.REPAIR).quantity)


def test_a_closing_that_lasts_is_covered_again() -> None:
    """Policy close after the stop itself was removed: half a second without success, and a stop stands beside the attempts."""
    rig = Rig("close")
    stop, _ = rig.armed()
    rig.end(stop)
    rig.tick(2.0)
    assert (D("0.10"), S.CLOSING) == (rig.stop_cover(), rig.pair.state)


@pytest.mark.parametrize(("state", "reason"), [(OrderState.EXPIRED, ""), (OrderState.CANCELED, "LIQUIDATE_CANCELED")])
def test_a_leg_that_the_venue_removes_is_placed_again_within_a_second(state: OrderState, reason: str) -> None:
    rig = Rig()
    stop, _ = rig.armed()
    rig.end(stop, state, reason)
    rig.tick(0.5)
    assert (2, D("0.10")) == (rig.count(Role.SL), rig.stop_cover())


def test_a_stop_refused_three_times_ends_the_position() -> None:
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    for _ in range(3):
        rig.reject(rig.last(Role.SL))
        rig.tick(0.5)
    assert (S.CLOSING, 3) == (rig.pair.state, rig.count(Role.SL))


def test_a_sibling_that_the_venue_cancels_before_the_fill_is_known_is_no_manual_cancel() -> None:
    """The fills that may explain the end of a leg are asked for, and judged by."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.end(stop)
    assert any(isinstance(message, FetchFills) for message in rig.told)
    rig.tick(0.2)
    rig.fill(profit, "0.10")
    rig.tick(0.5)
    assert (S.IDLE, [], 1) == (rig.pair.state, rig.alerts(), rig.count(Role.SL))


def test_a_cancel_seen_after_an_unknown_outcome_may_have_been_ours() -> None:
    """The tracker itself cancels what it does not know (GRVT): that is no user's hand, the stop is placed again."""
    rig = Rig().begin()
    entry = rig.enter()
    rig.accept(entry)
    rig.fill(entry, "0.10")
    stop = rig.last(Role.SL)
    rig.unknown(stop)
    rig.accept(stop)
    rig.end(stop)
    rig.tick(0.5)
    assert (2, []) == (rig.count(Role.SL), rig.alerts())


def test_a_mass_cancel_while_closing_is_no_manual_cancel() -> None:
    """The drain cancels everything: the position is still to be closed, not handed over."""
    rig = Rig("cancel_sibling")
    stop, profit = rig.armed()
    rig.give(Stop(reason="SIGTERM"))
    rig.end(profit)
    rig.end(stop)
    rig.tick(0.5)
    assert S.CLOSING is rig.pair.state


# ---- restart ---------------------------------------------------------------------------------------------------------------------


def test_a_position_without_legs_is_protected_before_anything_else() -> None:
    """A process killed between entry and stop: the next life's first order is the stop."""
    rig = Rig(entered=D("0.10"), entry_value=D("300")).begin(position="0.10")
    assert [(Role.SL, D("0.10"))] == [(order.role, order.quantity) for order in rig.sent]


def test_legs_of_an_earlier_life_are_taken_over() -> None:
    rig = Rig(entered=D("0.10"), entry_value=D("300"))
    legs = [
        snapshot(place(number, venue=GRVT, side=Side.SELL, role=role), OrderState.ACCEPTED)
        for number, role in ((7, Role.SL), (8, Role.TP))
    ]
    rig.begin(*legs, position="0.10")
    assert (S.ARMED, []) == (rig.pair.state, rig.sent)


def test_a_second_snapshot_changes_nothing() -> None:
    """The answer to a repeated request must not bring legs back that are being cancelled."""
    rig = Rig()
    stop, profit = rig.armed()
    rig.fill(profit, "0.10")
    cancels = len(rig.cancels)
    rig.give(LedgerSnapshot(owner=OWNER, positions=((GRVT, D(0)),), orders=(snapshot(stop, OrderState.ACCEPTED),), at=rig.now))
    assert cancels == len(rig.cancels)


def test_a_position_that_was_handed_over_stays_with_the_user() -> None:
    """The journal says RELEASED: the next life leaves it alone."""
    rig = Rig(entered=D("0.10"), entry_value=D("300"), last_cycle_id=4, released_cycle_id=4).begin(position="0.10")
    rig.tick(1.0)
    assert (S.RELEASED, []) == (rig.pair.state, rig.sent)


def test_a_position_of_unknown_price_is_closed() -> None:
    rig = Rig()
    rig.book()
    rig.begin(position="0.10")
    assert (S.CLOSING, [Role.REPAIR]) == (rig.pair.state, [order.role for order in rig.sent])


# ---- the table -------------------------------------------------------------------------------------------------------------------


def test_every_state_has_a_row_and_no_state_follows_on_itself() -> None:
    assert set(PairState) == set(TRANSITIONS)
    assert [] == [state for state, row in TRANSITIONS.items() if state in row]


def test_the_documentation_prints_the_table() -> None:
    """Every transition and no other stands in docs/reliability.md, in the table's words."""
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8")
    words = {f"| {old.value} | {new.value} | {why} |" for old, row in TRANSITIONS.items() for new, why in row.items()}
    names = {state.value for state in PairState}
    assert words == {line for line in text.splitlines() if line.startswith("| ") and line.split(" | ")[0][2:] in names}


def test_what_the_table_forbids_is_refused() -> None:
    """RELEASED is for ever; CLOSING never goes back to ARMING."""
    for old, new in ((S.RELEASED, S.ARMING), (S.CLOSING, S.ARMING), (S.REPAIRING, S.ARMED)):
        with pytest.raises(IllegalTransition):
            transition(old, new)


# ---- whatever happens ------------------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(
    st.sampled_from(("cancel_sibling", "keep_stop", "close")),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 7), st.integers(1, 10)), max_size=25),
)
def test_whatever_happens_the_position_ends_covered_or_flat(
    policy: str, native_oco: bool, events: list[tuple[str, int, int]]
) -> None:
    """Any order of fills, late and doubled news, refusals, unknown outcomes and ends: once the venue is kind again, the position is covered
    by stops of exactly its size, or gone, or in the user's hands; an overshoot is never left."""
    storm = Storm(policy, native_oco=native_oco)
    rig = storm.rig
    for event in events:
        storm.play(*event)
    storm.settle()
    held = rig.held()
    assert held >= 0
    if rig.pair.state is PairState.RELEASED:
        return
    assert (held, True) == (rig.stop_cover(), rig.pair.state in (S.IDLE, S.ARMED, S.CANCELLING))
    assert rig.pair.state is not S.CANCELLING or rig.pair._winner is Role.SL


@example(native_oco=False, events=[("fill", 0, 1)] * (MAX_STOPS + 1))
@settings(max_examples=80)
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(("fill", "late", "again", "wait", "accept")), st.integers(0, 7), st.integers(1, 10)),
        max_size=25,
    ),
)
def test_cover_is_never_below_the_position_while_stops_can_be_placed(
    native_oco: bool, events: list[tuple[str, int, int]]
) -> None:
    """No leg is removed and no order lost: a quarter of a second after any change, stops of at least the position are there or on their way;
    or as many as may be, while the venue answers to none."""
    storm = Storm("keep_stop", native_oco=native_oco)
    rig = storm.rig
    for event in events:
        storm.play(*event)
        storm.wait(0.3)
        if rig.pair.state in (S.ARMING, S.ARMED) and len(rig.pair.legs.of(Role.SL)) < MAX_STOPS:
            assert rig.stop_cover() >= rig.held()


@settings(max_examples=80)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 10), st.integers(0, 2)), max_size=12))
def test_two_winners_are_never_left_unrepaired(pieces: list[tuple[bool, bool, int, int]]) -> None:
    """Both legs of a venue that ignores reduce-only fill in any pieces, told in any order: what was sold too much is bought back exactly."""
    storm = Storm("keep_stop")
    rig = storm.rig
    entry = rig.sent[-1]
    rig.accept(entry)
    rig.fill(entry, "0.10")
    rig.accept(rig.last(Role.SL))
    for is_stop, is_late, lots, pauses in ((False, False, 10, 0), *pieces):
        leg = next((each for each in rig.sent if each.role is (Role.SL if is_stop else Role.TP)), None)
        if leg is not None and rig.is_alive(leg):
            storm.fill(leg, D(lots) * D("0.01"), is_late=is_late)
        storm.wait(0.1 * pauses)
    storm.settle()
    sold = sum(
        (q for key, q in rig.filled.items() if key in {o.client_order_id for o in rig.sent if o.role in (Role.SL, Role.TP)}), D(0)
    )
    bought = sum((rig.filled.get(o.client_order_id, D(0)) for o in rig.sent if o.role is Role.REPAIR), D(0))
    assert (D(0), sold - D("0.10")) == (rig.held(), bought)
