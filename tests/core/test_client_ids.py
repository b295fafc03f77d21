"""Client order ids: each given once, asked for early, and never made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.client_ids import ASK_AGAIN_S, LOW_WATER, ClientIds, OutOfClientIds
from core.messages import ClientIdsLeased, LeaseClientIds


def lease(start: int, end: int, owner: str = "quoter") -> ClientIdsLeased:
    return ClientIdsLeased(owner=owner, start=start, end=end)


def test_ids_of_a_range_are_given_in_order_and_the_end_is_not_part_of_it() -> None:
    made = ClientIds("quoter", 5, 8)
    assert ([5, 6, 7], 0) == ([made.take() for _ in range(3)], made.left)


def test_without_a_lease_none_is_made_up() -> None:
    with pytest.raises(OutOfClientIds):
        ClientIds("quoter").take()


def test_a_range_used_up_is_followed_by_the_next() -> None:
    made = ClientIds("quoter", 5, 6)
    made.add(lease(100, 102))
    assert [5, 100, 101] == [made.take() for _ in range(3)]


def test_somebody_elses_lease_is_not_taken() -> None:
    made = ClientIds("quoter")
    made.add(lease(1, 10, owner="hedger"))
    assert 0 == made.left


def test_more_are_asked_for_before_the_range_ends() -> None:
    plenty, low = ClientIds("quoter", 0, LOW_WATER + 1), ClientIds("quoter", 0, LOW_WATER)
    assert ((), (LeaseClientIds(owner="quoter"),)) == (plenty.ask(0.0), low.ask(0.0))


def test_a_request_without_an_answer_is_repeated_but_not_at_once() -> None:
    made = ClientIds("quoter")
    asked = [len(made.ask(now)) for now in (0.0, ASK_AGAIN_S / 2, ASK_AGAIN_S)]
    assert [1, 0, 1] == asked


@given(st.lists(st.integers(1, 20), min_size=1, max_size=10), st.integers(0, 300))
def test_no_id_is_ever_given_twice(sizes: list[int], wanted: int) -> None:
    """I7: one client order id is one intent, whatever ranges were leased."""
    made, start = ClientIds("quoter"), 0
    for size in sizes:
        made.add(lease(start, start + size))
        start += size + 3
    taken = [made.take() for _ in range(min(wanted, made.left))]
    assert sorted(set(taken)) == taken
