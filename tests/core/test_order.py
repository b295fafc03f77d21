"""The life of one order: every transition of the table, nothing outside it, and quantities that only grow (I8)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.order import CLOSED, TRANSITIONS, TrackedOrder, restored
from core.types import OrderState, Role
from tests.core.builders import D, place, snapshot

S = OrderState
LEGAL = {
    S.INITIALIZED: {S.DENIED, S.SUBMITTED},
    S.DENIED: set(),
    S.SUBMITTED: set(S) - {S.INITIALIZED, S.SUBMITTED},
    S.UNKNOWN: {S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED},
    S.ACCEPTED: {S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED},
    S.PARTIALLY_FILLED: {S.PENDING_CANCEL, S.FILLED, S.CANCELED, S.EXPIRED},
    S.PENDING_CANCEL: {S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED},
    S.CANCELED: {S.FILLED},
    S.EXPIRED: {S.FILLED, S.CANCELED},
    S.REJECTED: {S.FILLED},
    S.FILLED: set(),
}
"""Written out a second time on purpose: a change of the table must be made twice, knowingly."""


def order_in(state: OrderState) -> TrackedOrder:
    order = TrackedOrder(place(), 0.0)
    order.state = state
    return order


@pytest.mark.parametrize(("before", "told"), list(product(S, S)), ids=lambda state: state.value)
def test_a_reported_state_moves_the_order_only_along_the_table(before: OrderState, told: OrderState) -> None:
    """A report off the table is stale news: it changes nothing and is no error."""
    order = order_in(before)
    moved = order.move(told)
    assert (told in LEGAL[before], told if told in LEGAL[before] else before) == (moved, order.state)


def test_the_table_names_every_state() -> None:
    """No state can be reached from which the table says nothing."""
    assert set(S) == set(TRANSITIONS)


def test_only_filled_or_cancelled_follows_a_closed_state() -> None:
    """A closed order never comes alive again by a venue's late word, unless it was closed by inference."""
    assert {S.FILLED, S.CANCELED} >= set().union(*(TRANSITIONS[state] for state in CLOSED))


@pytest.mark.parametrize("end", [S.CANCELED, S.EXPIRED])
def test_an_order_closed_by_inference_lives_again_when_the_venue_shows_it(end: OrderState) -> None:
    """Inference is never proof against evidence."""
    order = order_in(S.UNKNOWN)
    order.move(end, is_inferred=True)
    order.move(S.ACCEPTED)
    assert S.ACCEPTED is order.state


def test_an_order_that_cannot_rest_is_not_brought_back_by_the_word_that_it_lived() -> None:
    """A late copy of a frame: taken for life it would count as cover a second time. A fill of it still ends it FILLED."""
    order = TrackedOrder(place(role=Role.HEDGE), 0.0)
    order.move(S.EXPIRED, is_inferred=True)
    moved = [order.move(S.ACCEPTED), order.move(S.FILLED)]
    assert ([False, True], S.FILLED) == (moved, order.state)


def test_an_inferred_end_that_the_venue_confirms_is_final() -> None:
    order = order_in(S.UNKNOWN)
    order.move(S.CANCELED, is_inferred=True)
    order.move(S.CANCELED)
    order.move(S.ACCEPTED)
    assert S.CANCELED is order.state


def test_a_completely_recorded_order_is_filled_whatever_the_status_word_says() -> None:
    """FILLED may be told before, after or never: the fills themselves decide."""
    order = order_in(S.ACCEPTED)
    order.record_fill(D("0.10"))
    assert S.FILLED is order.state


@pytest.mark.parametrize("before", [S.SUBMITTED, S.UNKNOWN, S.ACCEPTED])
def test_the_first_partial_fill_is_proof_that_the_order_lived(before: OrderState) -> None:
    order = order_in(before)
    order.record_fill(D("0.03"))
    assert S.PARTIALLY_FILLED is order.state


def test_a_late_fill_of_a_cancelled_order_counts_and_keeps_it_closed() -> None:
    order = order_in(S.CANCELED)
    order.record_fill(D("0.03"))
    assert (S.CANCELED, D("0.03"), D("0.03")) == (order.state, order.recorded_quantity, order.filled_quantity)


def test_a_cumulative_quantity_never_decreases() -> None:
    order = order_in(S.ACCEPTED)
    order.raise_filled(D("0.07"))
    order.raise_filled(D("0.03"))
    assert D("0.07") == order.filled_quantity


def test_more_filled_than_ordered_is_seen_as_overfill() -> None:
    order = order_in(S.ACCEPTED)
    order.record_fill(D("0.11"))
    assert order.is_overfilled


def test_pending_of_an_open_order_is_all_that_is_not_recorded() -> None:
    assert D("0.07") == snapshot(place(), S.PARTIALLY_FILLED, "0.05", recorded="0.03").pending_quantity


def test_pending_of_a_closed_order_is_only_what_was_told_and_not_seen() -> None:
    assert D("0.02") == snapshot(place(), S.CANCELED, "0.05", recorded="0.03").pending_quantity


def test_pending_of_a_closed_and_completely_recorded_order_is_nothing() -> None:
    assert D(0) == snapshot(place(), S.CANCELED, "0.05").pending_quantity


def test_an_order_of_an_earlier_run_is_unknown_until_the_venue_is_asked() -> None:
    assert S.UNKNOWN is restored(place(), snapshot(place(), S.ACCEPTED), 0.0).state


def test_an_order_that_the_journal_never_heard_of_again_is_unknown() -> None:
    assert S.UNKNOWN is restored(place(), None, 0.0).state


def test_a_closed_order_of_an_earlier_run_stays_closed_with_its_quantities() -> None:
    order = restored(place(), snapshot(place(), S.CANCELED, "0.05", recorded="0.03"), 0.0)
    assert (S.CANCELED, D("0.05"), D("0.03")) == (order.state, order.filled_quantity, order.recorded_quantity)


@given(st.lists(st.tuples(st.sampled_from(sorted(S, key=str)), st.integers(0, 12)), max_size=30))
def test_no_sequence_of_reports_leaves_the_table_or_shrinks_a_quantity(reports: list[tuple[OrderState, int]]) -> None:
    """Every step is in the table or no step at all, and the cumulative quantity only grows (I8)."""
    order = TrackedOrder(place(), 0.0)
    for told, lots in reports:
        state, quantity = order.state, order.filled_quantity
        order.move(told)
        order.raise_filled(D(lots) / 100)
        assert (True, True) == (order.state is state or order.state in LEGAL[state], order.filled_quantity >= quantity)
