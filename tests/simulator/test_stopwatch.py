"""Which hedge belongs to which fill, and what is left out of the figures because it belongs to none alone."""

from __future__ import annotations

import json

from simulator.net import HttpRequest
from simulator.stopwatch import HedgeStopwatch


def frame(trade: str, size: str, *, is_taker: bool = False) -> str:
    feed = {"trade_id": trade, "size": size, "is_taker": is_taker}
    return json.dumps({"stream": "v1.fill", "selector": "1", "feed": feed}, separators=(",", ":"))


def order(quantity: str, at: float, *, method: str = "POST", path: str = "/api/v1/order") -> HttpRequest:
    return HttpRequest(method, path, {}, "", {}, json.dumps({"quantity": quantity}).encode(), at)


def measured(*events: tuple[str, float] | HttpRequest) -> tuple[list[int], int]:
    """Pairs and unpaired fills of a story told in order."""
    watch = HedgeStopwatch()
    for event in events:
        if isinstance(event, HttpRequest):
            watch.request_arrived(event)
        else:
            watch.frame_sent(*event)
    report = watch.report()
    return report["pairs_us"], report["unpaired"]


def test_a_fill_and_the_order_of_its_quantity_are_a_pair() -> None:
    """In microseconds, one number a fill."""
    story = (frame("1", "0.1"), 1.0), order("0.1", 1.002), (frame("2", "0.2"), 5.0), order("0.20", 5.003)
    assert ([2000, 3000], 0) == measured(*story)


def test_a_fill_told_twice_counts_from_the_first_time() -> None:
    """One frame for the account, one for its contract."""
    assert ([3000], 0) == measured((frame("1", "0.1"), 1.0), (frame("1", "0.1"), 1.001), order("0.1", 1.003))


def test_fills_that_share_a_hedge_are_left_out() -> None:
    """And the next fill finds its own hedge again."""
    story = (
        (frame("1", "0.04"), 1.0),
        (frame("2", "0.06"), 1.001),
        order("0.1", 1.003),
        (frame("3", "0.1"), 2.0),
        order("0.1", 2.001),
    )
    assert ([1000], 2) == measured(*story)


def test_an_order_that_came_first_is_nobodys_hedge() -> None:
    assert ([], 1) == measured(order("0.1", 0.9), (frame("1", "0.1"), 1.0))


def test_taker_fills_other_frames_and_other_requests_are_nothing() -> None:
    story = (frame("1", "0.1", is_taker=True), 1.0), ('{"stream":"v1.order"}', 1.0), order("0.1", 1.1, method="DELETE")
    assert ([], 0) == measured(*story, order("0.1", 1.2, path="/api/v1/orders"))
