"""Which hedge belongs to which fill, which cancel to which exit, and what is left out of the figures because it belongs to none alone."""

from __future__ import annotations

import json

from simulator.net import HttpRequest
from simulator.stopwatch import ExitStopwatch, HedgeStopwatch


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


def exit_frame(order_id: str, fill: str, *, direction: str = "MAKER", status: str = "SUCCESS", is_open: bool = False) -> str:
    row = {"id": fill, "orderId": order_id, "direction": direction, "status": status, "isOpen": is_open}
    body = {"topic": "ws_zk_accounts_v3", "type": "delta", "contents": {"fills": [row]}}
    return json.dumps(body, separators=(",", ":"))


def cancel(at: float, path: str = "/api/v3/delete-order") -> HttpRequest:
    return HttpRequest("POST", path, {}, "", {}, b"id=1", at)


def exits(*events: tuple[str, float] | HttpRequest) -> tuple[list[int], int]:
    """Pairs and unpaired exits of a story told in order."""
    watch = ExitStopwatch()
    for event in events:
        if isinstance(event, HttpRequest):
            watch.request_arrived(event)
        else:
            watch.frame_sent(*event)
    report = watch.report()
    return report["pairs_us"], report["unpaired"]


def test_an_exit_and_the_first_cancel_after_it_are_a_pair() -> None:
    """By either route; a second cancel belongs to nobody."""
    story = (exit_frame("1", "a"), 1.0), cancel(1.002), cancel(1.5), (exit_frame("2", "b"), 5.0)
    assert ([2000, 3000], 0) == exits(*story, cancel(5.003, "/api/v3/delete-client-order-id"))


def test_an_exit_in_pieces_or_without_a_cancel_is_left_out() -> None:
    """The cancel waits for the last piece of the first; the one after the third is not the second's."""
    pieces = (exit_frame("1", "a"), 1.0), (exit_frame("1", "b"), 1.1), cancel(1.102)
    assert ([1000], 2) == exits(*pieces, (exit_frame("2", "c"), 2.0), (exit_frame("3", "d"), 3.0), cancel(3.001))


def test_what_is_not_yet_certain_and_what_the_chain_approves_later_start_no_clock() -> None:
    """The same fill is told up to three times."""
    pending = (exit_frame("1", "a", status="PENDING_CENSORING"), 0.9)
    assert ([2000], 0) == exits(pending, (exit_frame("1", "a"), 1.0), cancel(1.002), (exit_frame("1", "a"), 6.6))


def test_entries_and_stops_are_no_take_profits() -> None:
    entry, stop = exit_frame("1", "a", is_open=True), exit_frame("2", "b", direction="TAKER")
    assert ([], 0) == exits((entry, 1.0), (stop, 2.0), ('{"topic":"orderBook25.H.ETHUSDT"}', 2.5), cancel(2.6))
