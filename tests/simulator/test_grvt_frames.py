"""GRVT's stream frames: market feeds at their rates, and what befalls single frames and calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.types import Side
from simulator.clock import Delays
from simulator.faults import FrameFault, RequestFault
from tests.simulator.grvt_rig import ETH, START, SUB, Rig, capture, keys, wire_lines


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.login()
    return rig


def levels(feed: dict[str, Any], side: str) -> list[tuple[str, str]]:
    return [(level["price"], level["size"]) for level in feed[side]]


# -- market feeds


def test_book_changes_of_one_period_leave_as_one_frame(rig: Rig) -> None:
    """Three changes within 50 ms are one frame at the end of the period, showing changed levels only."""
    rig.house(Side.BUY, "2999")
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    rig.house(Side.BUY, "3000")
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3001")
    rig.clock.run_for(0.049)
    early = len(peer.frames("v1.book.d"))
    rig.clock.run_for(0.002)
    feed = peer.feeds("v1.book.d")[-1]
    assert (1, [("3000.0", "2.0")], [("3001.0", "1.0")]) == (early, levels(feed, "bids"), levels(feed, "asks"))


def test_a_removed_level_has_size_zero(rig: Rig) -> None:
    """size "0" takes a level out."""
    rig.house(Side.BUY, "3000")
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    rig.house(Side.SELL, "3000")
    rig.clock.run_for(0.05)
    assert [("3000.0", "0")] == levels(peer.feeds("v1.book.d")[-1], "bids")


def test_nothing_is_said_while_nothing_changed(rig: Rig) -> None:
    """Neither a quiet minute nor a level put in and taken out within one period makes a frame."""
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3000")
    rig.clock.run_for(60)
    assert [("0", "0")] == peer.numbers("v1.book.d")


def test_full_books_come_each_period_changed_or_not(rig: Rig) -> None:
    """v1.book.s sends the whole book to its depth; only the first frame is numbered "0"."""
    for n in range(12):
        rig.house(Side.BUY, str(3000 - n))
    peer = rig.follow("v1.book.s", f"{ETH}@500-10")
    rig.clock.run_for(1.0)
    sizes = [len(feed["bids"]) for feed in peer.feeds("v1.book.s")]
    assert ([10, 10, 10], [("0", "0"), ("1", "0"), ("2", "1")]) == (sizes, peer.numbers("v1.book.s"))


def test_subscribing_twice_does_not_double_the_frames(rig: Rig) -> None:
    """The same selector again brings a new snapshot, and still one frame per period."""
    peer = rig.follow("v1.book.s", f"{ETH}@500-10")
    rig.send(peer, "subscribe", {"stream": "v1.book.s", "selectors": [f"{ETH}@500-10"]})
    rig.clock.run_for(1.0)
    assert ["0", "0", "1", "2"] == [number for number, _ in peer.numbers("v1.book.s")]


@settings(max_examples=40)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(2990, 3010), st.integers(1, 5), st.integers(0, 120)),
        max_size=25,
    )
)
def test_snapshot_and_deltas_make_the_book(moves: list[tuple[Side, int, int, int]]) -> None:
    """Whatever happens, a client that applies every frame holds the book the REST route shows."""
    rig = Rig()
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    for side, price, quantity, wait_ms in moves:
        rig.house(side, str(price), str(quantity))
        rig.clock.run_for(wait_ms / 1000)
    rig.clock.run_for(0.1)
    book: dict[tuple[str, str], str] = {}
    for feed in peer.feeds("v1.book.d"):
        for side_name in ("bids", "asks"):
            book.update({(side_name, price): size for price, size in levels(feed, side_name)})
    rest = rig.call("book", {"instrument": ETH, "depth": 500})["result"]
    expected = {(name, price): size for name in ("bids", "asks") for price, size in levels(rest, name)}
    assert expected == {key: size for key, size in book.items() if size != "0"}


@pytest.mark.parametrize(
    ("stream", "selector", "fn"), [("v1.book.s", f"{ETH}@500-100", "handle_order_book"), ("v1.mini.s", f"{ETH}@500", "")]
)
def test_snapshots_have_the_fields_of_the_live_frames(rig: Rig, stream: str, selector: str, fn: str) -> None:
    """Every field of the captured frame of that stream, types included."""
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3001")
    lines = (line["frame"] for line in wire_lines("live_frames_ccxt.jsonl"))
    live = next(frame for frame in lines if frame.get("stream") == stream)
    assert sorted(keys(live)) == sorted(keys(rig.follow(stream, selector).frames(stream)[0]))


def test_mini_deltas_show_changed_fields(rig: Rig) -> None:
    """A new best ask size comes alone, with time and instrument."""
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3001")
    peer = rig.follow("v1.mini.d", f"{ETH}@50")
    rig.house(Side.SELL, "3001", "2")
    rig.clock.run_for(0.05)
    feed = peer.feeds("v1.mini.d")[-1]
    assert {"event_time": feed["event_time"], "instrument": ETH, "best_ask_size": "3.0"} == feed


def test_raw_minis_leave_at_once_and_know_the_bbo_only(rig: Rig) -> None:
    """Rate 0 does not wait; a change behind the best price is no change."""
    rig.house(Side.BUY, "3000")
    rig.house(Side.SELL, "3001")
    peer = rig.follow("v1.mini.d", f"{ETH}@0")
    rig.house(Side.BUY, "2999")
    rig.house(Side.BUY, "3000.5", "2")
    feed = peer.feeds("v1.mini.d")[-1]
    expected = {"event_time": feed["event_time"], "instrument": ETH, "best_bid_price": "3000.5", "best_bid_size": "2.0"}
    assert (2, expected) == (len(peer.frames("v1.mini.d")), feed)


def test_trades_start_with_the_past_as_snapshots(rig: Rig) -> None:
    """Past trades are frames numbered "0", oldest first; new ones are counted."""
    rig.house(Side.SELL, "3000", "2")
    rig.house(Side.BUY, "3000", "0.1")
    rig.house(Side.BUY, "3000", "0.2")
    peer = rig.follow("v1.trade", f"{ETH}@50")
    rig.house(Side.BUY, "3000", "0.3")
    seen = [(frame["sequence_number"], frame["feed"]["size"]) for frame in peer.frames("v1.trade")]
    assert ([2], [("0", "0.1"), ("0", "0.2"), ("1", "0.3")]) == (peer.replies()[0]["result"]["num_snapshots"], seen)


def test_trade_frames_have_the_live_fields(rig: Rig) -> None:
    """Field by field, type by type."""
    rig.house(Side.SELL, "3000", "2")
    rig.house(Side.SELL, "3001", "2")
    rig.house(Side.BUY, "2999", "2")
    rig.house(Side.BUY, "3000", "0.1")
    assert sorted(keys(capture("handle_trades"))) == sorted(keys(rig.follow("v1.trade", f"{ETH}@50").frames("v1.trade")[0]))


# -- faults


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("drop", [("2", "1")]), ("duplicate", [("1", "0"), ("1", "0"), ("2", "1")])],
)
def test_lost_and_doubled_frames_keep_their_numbers(rig: Rig, kind: Any, numbers: list[tuple[str, str]]) -> None:
    """A dropped frame leaves a gap, a doubled one repeats its number."""
    peer = rig.watch("v1.state")
    rig.nemesis.frames = [FrameFault(kind)]
    rig.create(client=1)
    rig.create(client=2)
    assert numbers == peer.numbers("v1.state")


def test_garbled_frames_are_no_json(rig: Rig) -> None:
    """Half a frame arrives."""
    peer = rig.watch("v1.state")
    rig.nemesis.frames = [FrameFault("garble")]
    rig.create()
    with pytest.raises(json.JSONDecodeError):
        json.loads(peer.texts[0])


def test_a_silent_subscription_still_answers_calls(rig: Rig) -> None:
    """No frame while silent, replies as ever, and a gap when the voice returns."""
    peer = rig.watch("v1.state")
    rig.nemesis.is_silent = True
    rig.create(client=1)
    answer = rig.send(peer, "v1/positions", {"sub_account_id": SUB})
    silent = peer.frames("v1.state")
    rig.nemesis.is_silent = False
    rig.create(client=2)
    assert ([], True, [("2", "1")]) == (silent, "result" in answer, peer.numbers("v1.state"))


def test_a_delayed_frame_holds_back_its_followers(rig: Rig) -> None:
    """The stream stays in order: the second frame waits for the first."""
    peer = rig.watch("v1.state")
    rig.nemesis.frames = [FrameFault("delay", delay_s=2.0)]
    rig.create(client=1)
    rig.create(client=2)
    rig.clock.run_for(1.9)
    early = peer.numbers("v1.state")
    rig.clock.run_for(0.2)
    assert ([], [("1", "0"), ("2", "1")]) == (early, peer.numbers("v1.state"))


@settings(max_examples=40)
@given(delays=st.lists(st.sampled_from([0.0, 0.01, 0.5, 3.0]), min_size=1, max_size=8))
def test_no_delays_reorder_a_stream(delays: list[float]) -> None:
    """However single frames are delayed, the numbers of a stream only rise."""
    rig = Rig()
    rig.login()
    peer = rig.watch("v1.state")
    rig.nemesis.frames = [FrameFault("delay", delay_s=delay) for delay in delays]
    for client in range(1, len(delays) + 1):
        rig.create(client=client)
        rig.clock.run_for(0.005)
    rig.clock.run_for(20)
    assert [str(n + 1) for n in range(len(delays))] == [number for number, _ in peer.numbers("v1.state")]


@pytest.mark.parametrize(("kind", "orders"), [("lose_request", 0), ("lose_answer", 1)])
def test_lost_calls_cut_the_connection(rig: Rig, kind: Any, orders: int) -> None:
    """No reply, the connection is gone; the kinds differ in whether the order exists."""
    peer = rig.trading()
    rig.nemesis.requests["create_order"] = RequestFault(kind)
    rig.send(peer, "v1/create_order", {"order": rig.order()})
    assert (True, [], orders) == (peer.is_aborted, peer.texts, len(rig.exchange.open_orders(SUB)))


def test_a_cut_connection_hears_nothing_more(rig: Rig) -> None:
    """What happens after the cut does not reach the client any more."""
    peer = rig.watch("v1.state")
    rig.nemesis.requests["create_order"] = RequestFault("lose_request")
    rig.send(peer, "v1/create_order", {"order": rig.order()})
    rig.create()
    assert [] == peer.texts


def test_frames_on_their_way_die_with_the_connection() -> None:
    """A frame still delayed when the client leaves is not sent."""
    rig = Rig(delays=Delays(0.0, 0.0, 0.5))
    rig.login()
    peer = rig.watch("v1.state")
    rig.create()
    rig.face.trading.closed(peer)
    rig.clock.run_for(1)
    assert [] == peer.texts


def test_a_late_call_is_executed_after_the_connection_is_gone(rig: Rig) -> None:
    """The order turns up later."""
    peer = rig.trading()
    rig.nemesis.requests["create_order"] = RequestFault("late", delay_s=1.0)
    rig.send(peer, "v1/create_order", {"order": rig.order()})
    before = len(rig.exchange.open_orders(SUB))
    rig.clock.run_for(1.0)
    assert (True, 0, 1) == (peer.is_aborted, before, len(rig.exchange.open_orders(SUB)))


@pytest.mark.parametrize(
    ("fault", "code"),
    [(RequestFault("rate_limit"), 1006), (RequestFault("status", status=503), 1009), (RequestFault("status", status=500), 1002)],
)
def test_status_faults_become_error_codes(rig: Rig, fault: RequestFault, code: int) -> None:
    """A socket has no HTTP status: the code stands for it, and nothing is executed."""
    rig.nemesis.requests["create_order"] = fault
    reply = rig.send(rig.trading(), "v1/create_order", {"order": rig.order()})
    assert (code, []) == (reply["error"]["code"], rig.exchange.open_orders(SUB))


def test_a_hanging_call_is_never_answered(rig: Rig) -> None:
    """Nothing comes back and nothing happens."""
    peer = rig.trading()
    rig.nemesis.requests["create_order"] = RequestFault("hang")
    rig.send(peer, "v1/create_order", {"order": rig.order()})
    rig.clock.run_for(100)
    assert ([], False, []) == (peer.texts, peer.is_aborted, rig.exchange.open_orders(SUB))


def test_a_delayed_reply_leaves_the_execution_alone(rig: Rig) -> None:
    """The order rests at once, its reply comes late."""
    peer = rig.trading()
    rig.nemesis.requests["create_order"] = RequestFault("delay", delay_s=2.0)
    rig.send(peer, "v1/create_order", {"order": rig.order()})
    early = (len(rig.exchange.open_orders(SUB)), len(peer.texts))
    rig.clock.run_for(2.0)
    assert ((1, 0), 1) == (early, len(peer.texts))


# -- delays


def test_each_way_takes_its_time() -> None:
    """Request, reply and stream frame arrive after their delays, the reply of a subscription before its snapshot."""
    rig = Rig(delays=Delays(0.1, 0.2, 0.05))
    peer = rig.market()
    rig.send(peer, "subscribe", {"stream": "v1.book.d", "selectors": [f"{ETH}@50"]})
    seen = []
    for _ in range(3):
        rig.clock.run_for(0.101)
        seen.append(["reply" if "result" in frame else "frame" for frame in peer.all()])
    assert [[], [], ["reply", "frame"]] == seen


def test_time_is_the_clock_s(rig: Rig) -> None:
    """Frames carry the virtual time in nanoseconds."""
    peer = rig.watch("v1.order")
    rig.clock.run_for(5)
    rig.create()
    assert str(int(START + 5) * 10**9) == peer.feeds("v1.order")[0]["state"]["update_time"]
