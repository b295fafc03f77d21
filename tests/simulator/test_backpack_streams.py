"""The WebSocket face of Backpack: silent subscriptions, depth continuity, private news, frame faults (backpack.md §2, §3, §9)."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.types import Side
from simulator.clock import Delays
from simulator.faults import FrameFault
from tests.simulator.backpack_kit import API_KEY, ME, SYMBOL, Bench, Peer, order_body, sign, wire_lines

DEPTH = f"depth.{SYMBOL}"
TICKER = f"bookTicker.{SYMBOL}"
ORDERS = "account.orderUpdate"
POSITIONS = "account.positionUpdate"
INVALID_STREAM = {"id": None, "error": {"code": 4006, "message": "Invalid stream"}}


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


def errors(peer: Peer) -> list[int]:
    return [frame["error"]["code"] for frame in map(json.loads, peer.raw) if "error" in frame]


def events(peer: Peer, stream: str = ORDERS) -> list[tuple[str, str]]:
    return [(frame["e"], frame["X"]) for frame in peer.frames(stream)]


# -- subscriptions ---------------------------------------------------------------------------------------------------------


def test_a_subscription_is_not_acknowledged(bench: Bench):
    """Nothing comes until there is data."""
    assert [] == bench.listen(DEPTH, TICKER, f"trade.{SYMBOL}", f"markPrice.{SYMBOL}", ORDERS, POSITIONS).raw


@pytest.mark.parametrize("stream", ["nonsense", "depth.ETH-PERP", "depth.100ms.ETH_USDC_PERP", "account.orderUpdate.ETH_USDC"])
def test_an_unknown_stream_is_answered_4006(bench: Bench, stream: str):
    assert [INVALID_STREAM] == [json.loads(raw) for raw in bench.listen(stream).raw]


def test_the_4006_answer_is_the_captured_one():
    assert INVALID_STREAM in [line["frame"] for line in wire_lines("ws_captured")]


@pytest.mark.parametrize("flaw", ["missing", "stale", "forged", "short"])
def test_a_private_stream_needs_a_good_signature(bench: Bench, flaw: str):
    """Otherwise an error, and no news of the account."""
    request = bench.subscription(ORDERS, age_s=6 if flaw == "stale" else 0)
    if flaw == "missing":
        del request["signature"]
    if flaw == "forged":
        request["signature"][1] = sign("something else")
    if flaw == "short":
        request["signature"] = [API_KEY]
    peer = Peer()
    bench.face.ws.opened(peer)
    bench.face.ws.received(peer, json.dumps(request))
    bench.place()
    assert ([4002], []) == (errors(peer), peer.frames(ORDERS))


def test_a_public_stream_needs_no_signature(bench: Bench):
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.take(Side.BUY, "0.1")
    assert 1 == len(peer.frames(f"trade.{SYMBOL}"))


def test_unsubscribe_stops_the_frames_in_silence(bench: Bench):
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.face.ws.received(peer, json.dumps({"method": "UNSUBSCRIBE", "params": [f"trade.{SYMBOL}"]}))
    bench.take(Side.BUY, "0.1")
    assert [] == peer.raw


@pytest.mark.parametrize("text", ["{", "[]", '{"method":"LOGIN"}', "[" * 100_000])
def test_a_request_that_makes_no_sense_is_an_error_frame(bench: Bench, text: str):
    peer = bench.listen()
    bench.face.ws.received(peer, text)
    assert [4000] == errors(peer)


def test_a_peer_that_left_is_sent_nothing(bench: Bench):
    peer = bench.listen(DEPTH, f"markPrice.{SYMBOL}")
    bench.face.ws.closed(peer)
    bench.quote(Side.BUY, "2998.00", "1")
    bench.clock.run_for(5)
    assert [] == peer.raw


# -- market streams --------------------------------------------------------------------------------------------------------


def test_changes_within_the_conflation_time_share_a_frame(bench: Bench):
    """Two levels changed, one of them twice: one frame with the last quantities, over all three updates."""
    peer = bench.listen(DEPTH)
    bench.quote(Side.BUY, "2998.00", "1")
    bench.quote(Side.BUY, "2998.00", "1.5")
    bench.quote(Side.SELL, "3002.00", "3")
    bench.clock.run_for(0.05)
    found = [(frame["b"], frame["a"], frame["u"] - frame["U"]) for frame in peer.frames(DEPTH)]
    assert [([["2998.00", "2.5"]], [["3002.00", "3"]], 2)] == found


def test_a_level_that_is_gone_has_quantity_zero(bench: Bench):
    order_id = bench.quote(Side.BUY, "2998.00", "1")
    peer = bench.listen(DEPTH)
    bench.exchange.cancel(order_id, "house")
    bench.clock.run_for(0.05)
    assert [[["2998.00", "0"]]] == [frame["b"] for frame in peer.frames(DEPTH)]


@pytest.mark.parametrize("interval_ms", [200, 600, 1000])
def test_slower_depth_streams_wait_for_their_interval(bench: Bench, interval_ms: int):
    stream = f"depth.{interval_ms}ms.{SYMBOL}"
    peer = bench.listen(stream)
    bench.quote(Side.BUY, "2998.00", "1")
    bench.clock.run_for(interval_ms / 1000 - 0.001)
    early = len(peer.frames(stream))
    bench.clock.run_for(0.002)
    assert (0, 1) == (early, len(peer.frames(stream)))


def test_empty_depth_frames_advance_the_update_id(bench: Bench):
    """On a book that stands still, once a heartbeat."""
    peer = bench.listen(DEPTH)
    bench.clock.run_for(2)
    found = [(frame["a"], frame["b"], frame["u"] - frame["U"]) for frame in peer.frames(DEPTH)]
    assert [([], [], 0)] * 2 == found


def test_an_injected_gap_breaks_the_chain(bench: Bench):
    peer = bench.listen(DEPTH)
    bench.quote(Side.BUY, "2998.00", "1")
    bench.clock.run_for(0.05)
    bench.face.inject_gap(SYMBOL)
    bench.quote(Side.BUY, "2997.00", "1")
    bench.clock.run_for(0.05)
    first, second = peer.frames(DEPTH)
    assert first["u"] + 2 == second["U"]


@settings(max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 3), st.sampled_from([0.0, 0.01, 0.06, 1.0])), max_size=30
    ),
    snapshot_after=st.integers(0, 30),
)
def test_snapshot_and_frames_make_the_book(steps: list, snapshot_after: int):
    """The recipe of backpack.md §7 holds at any moment: the chain is unbroken and the result is the venue's book."""
    bench = Bench().with_book()
    peer = bench.listen(DEPTH)
    snapshot = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL})[1]
    for index, (is_buy, level, quantity, pause_s) in enumerate(steps):
        if level == 5:
            bench.take(Side.BUY if is_buy else Side.SELL, str(quantity))
        else:
            bench.quote(
                Side.BUY if is_buy else Side.SELL, f"{2998 - level}.00" if is_buy else f"{3002 + level}.00", str(quantity)
            )
        bench.clock.run_for(pause_s)
        if index == snapshot_after:
            snapshot = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL})[1]
    bench.clock.run_for(0.05)
    final = bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL})[1]
    assert (final["bids"], final["asks"], final["lastUpdateId"]) == rebuilt(snapshot, peer.frames(DEPTH))


def rebuilt(snapshot: dict, frames: list[dict]) -> tuple[list, list, str]:
    """The book a careful client would hold; fails where a frame does not join the one before."""
    last = int(snapshot["lastUpdateId"])
    sides = {side: {Decimal(price): quantity for price, quantity in snapshot[side]} for side in ("bids", "asks")}
    kept = [frame for frame in frames if frame["u"] > last]
    assert all(a["u"] + 1 == b["U"] for a, b in pairwise(kept))
    assert not kept or kept[0]["U"] <= last + 1
    for frame in kept:
        for side, changes in (("bids", frame["b"]), ("asks", frame["a"])):
            sides[side] |= {Decimal(price): quantity for price, quantity in changes}
        last = frame["u"]
    rows = [[[f"{p:f}", q] for p, q in sorted(sides[side].items()) if Decimal(q)] for side in ("bids", "asks")]
    return rows[0], rows[1], str(last)


def test_book_ticker_carries_the_top_and_the_depth_counter(bench: Bench):
    peer = bench.listen(TICKER, DEPTH)
    bench.quote(Side.BUY, "2999.80", "2")
    bench.clock.run_for(0.05)
    (ticker,), (depth,) = peer.frames(TICKER), peer.frames(DEPTH)
    found = tuple(ticker[key] for key in "bBaAu")
    assert ("2999.80", "2", "3000.50", "1", depth["u"]) == found


def test_book_ticker_is_silent_below_the_top(bench: Bench):
    peer = bench.listen(TICKER)
    bench.quote(Side.BUY, "2999.90", "1")
    bench.clock.run_for(0.05)
    bench.quote(Side.BUY, "2990.00", "1")
    bench.clock.run_for(0.05)
    assert 1 == len(peer.frames(TICKER))


def test_an_empty_side_is_a_pair_of_nulls(bench: Bench):
    peer = bench.listen(TICKER)
    bench.take(Side.BUY, "2")
    bench.clock.run_for(0.05)
    assert [(None, None)] == [(frame["a"], frame["A"]) for frame in peer.frames(TICKER)]


def test_a_trade_says_whether_the_buyer_was_the_maker(bench: Bench):
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.take(Side.SELL, "0.1")
    bench.take(Side.BUY, "0.2")
    found = [(frame["p"], frame["q"], frame["m"]) for frame in peer.frames(f"trade.{SYMBOL}")]
    assert [("2999.50", "0.1", True), ("3000.50", "0.2", False)] == found


def test_mark_price_comes_once_a_second(bench: Bench):
    peer = bench.listen(f"markPrice.{SYMBOL}")
    bench.clock.run_for(3)
    assert ["3000.00"] * 3 == [frame["p"] for frame in peer.frames(f"markPrice.{SYMBOL}")]


def test_stream_times_are_microseconds_with_the_engine_first():
    """T is the fact, E the server's later stamp."""
    bench = Bench(delays=Delays(stream_s=0.05)).with_book()
    peer = bench.listen(f"trade.{SYMBOL}")
    moment = round(bench.clock.now() * 1e6)
    bench.take(Side.SELL, "0.1")
    bench.clock.run_for(0.05)
    assert [(moment, moment + 25_000)] == [(frame["T"], frame["E"]) for frame in peer.frames(f"trade.{SYMBOL}")]


# -- private streams -------------------------------------------------------------------------------------------------------


def test_a_maker_order_is_accepted_then_filled_in_parts(bench: Bench):
    peer = bench.listen(ORDERS)
    bench.place(price="3000.00", clientId=3141592653)
    bench.take(Side.SELL, "0.04")
    bench.take(Side.SELL, "0.06")
    assert [("orderAccepted", "New"), ("orderFill", "PartiallyFilled"), ("orderFill", "Filled")] == events(peer)


def test_a_fill_frame_carries_the_fill(bench: Bench):
    """Client id as a number, order id as text, maker rebate as a negative fee, cumulative sums."""
    peer = bench.listen(ORDERS)
    order_id = bench.place(price="3000.00", clientId=7)["id"]
    bench.take(Side.SELL, "0.04")
    fill = peer.frames(ORDERS)[-1]
    found = (fill["c"], fill["i"], fill["l"], fill["L"], fill["z"], fill["Z"], fill["m"], Decimal(fill["n"]), fill["N"])
    assert (7, order_id, "0.04", "3000.00", "0.04", "120.0000", True, Decimal("-0.006"), "USDC") == found


def test_an_ioc_is_accepted_filled_and_expired(bench: Bench):
    """The rest ends with orderExpired and the reason."""
    peer = bench.listen(ORDERS)
    bench.place(price="3000.50", quantity="2.500", timeInForce="IOC")
    expired = peer.frames(ORDERS)[-1]
    assert (["orderAccepted", "orderFill", "orderExpired"], "ImmediateOrCancel") == ([e for e, _ in events(peer)], expired["R"])


def test_a_users_cancel_is_order_cancelled(bench: Bench):
    peer = bench.listen(ORDERS)
    row = bench.place()
    bench.call("DELETE", "/api/v1/order", {"symbol": SYMBOL, "orderId": row["id"]})
    assert [("orderAccepted", "New"), ("orderCancelled", "Cancelled")] == events(peer)


def test_a_post_only_cross_leaves_no_trace_on_the_stream(bench: Bench):
    peer = bench.listen(ORDERS)
    bench.call("POST", "/api/v1/order", order_body(price="3000.50", postOnly=True))
    assert [] == peer.raw


def test_a_reduce_only_order_is_modified_when_the_position_shrinks(bench: Bench):
    """0.5 rests to close 0.5; another 0.2 is closed beside it, so 0.3 remain."""
    bench.place(price="3000.50", quantity="0.500")
    bench.place(side="Ask", price="3010.00", quantity="0.500", reduceOnly=True)
    peer = bench.listen(ORDERS)
    bench.place(side="Ask", price="2999.50", quantity="0.200", timeInForce="IOC")
    modified = [frame for frame in peer.frames(ORDERS) if frame["e"] == "orderModified"]
    assert [("0.300", "New", True)] == [(frame["q"], frame["X"], frame["r"]) for frame in modified]


def test_a_reduce_only_order_expires_when_the_position_is_gone(bench: Bench):
    bench.place(price="3000.50", quantity="0.500")
    bench.place(side="Ask", price="3010.00", quantity="0.500", reduceOnly=True)
    peer = bench.listen(ORDERS)
    bench.place(side="Ask", price="2999.50", quantity="0.500", timeInForce="IOC")
    assert "ReduceOnlyNotReduced" == peer.frames(ORDERS)[-1]["R"]


def test_order_news_comes_on_the_symbol_stream_too(bench: Bench):
    peer = bench.listen(ORDERS, f"{ORDERS}.{SYMBOL}")
    bench.place()
    assert peer.frames(ORDERS) == peer.frames(f"{ORDERS}.{SYMBOL}")


def test_other_accounts_are_not_told_of(bench: Bench):
    peer = bench.listen(ORDERS, POSITIONS)
    bench.exchange.place("somebody", SYMBOL, Side.BUY, Decimal("0.1"), Decimal("3000.50"))
    assert [] == peer.raw


def test_no_position_frame_for_a_flat_account(bench: Bench):
    assert [] == bench.listen(POSITIONS).raw


@pytest.mark.parametrize("stream", [POSITIONS, f"{POSITIONS}.{SYMBOL}"])
def test_the_first_position_frame_has_no_event(bench: Bench, stream: str):
    """Numbers as text, the position's id as a number."""
    bench.place(side="Ask", price="2999.50", quantity="0.400")
    (frame,) = bench.listen(stream).frames(stream)
    assert (False, "-0.400", True) == ("e" in frame, frame["q"], isinstance(frame["i"], int))


def test_a_positions_life(bench: Bench):
    peer = bench.listen(POSITIONS)
    for side, price, quantity in (("Bid", "3000.50", "0.2"), ("Bid", "3000.50", "0.1"), ("Ask", "2999.50", "0.3")):
        bench.place(side=side, price=price, quantity=quantity)
    found = [(frame["e"], Decimal(frame["q"])) for frame in peer.frames(POSITIONS)]
    expected = [("positionOpened", Decimal("0.2")), ("positionAdjusted", Decimal("0.3")), ("positionClosed", Decimal(0))]
    assert expected == found


def test_the_exposure_counts_open_orders(bench: Bench):
    bench.place(price="3000.50", quantity="0.2")
    bench.place(price="2990.00", quantity="0.3")
    (frame,) = bench.listen(POSITIONS).frames(POSITIONS)
    assert "0.5" == frame["Q"]


# -- faults and delays -----------------------------------------------------------------------------------------------------


def numbers(peer: Peer) -> list[str]:
    return [frame["q"] for frame in peer.frames(f"trade.{SYMBOL}")]


def three_trades(bench: Bench) -> None:
    for quantity in ("0.1", "0.2", "0.3"):
        bench.take(Side.BUY, quantity)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FrameFault("drop"), ["0.1", "0.3"]),
        (FrameFault("silence"), ["0.1", "0.3"]),
        (FrameFault("duplicate"), ["0.1", "0.2", "0.2", "0.3"]),
        (FrameFault("delay", delay_s=1), ["0.1", "0.2", "0.3"]),
    ],
    ids=lambda value: value.kind if isinstance(value, FrameFault) else "",
)
def test_a_fault_on_the_second_frame(bench: Bench, fault: FrameFault, expected: list[str]):
    """Whatever happens to one frame, the order within its stream is kept."""
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.nemesis.frames = [None, fault]
    three_trades(bench)
    bench.clock.run_for(2)
    assert expected == numbers(peer)


def test_a_delayed_frame_holds_those_behind_it(bench: Bench):
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.nemesis.frames = [None, FrameFault("delay", delay_s=1)]
    three_trades(bench)
    bench.clock.run_for(0.9)
    assert ["0.1"] == numbers(peer)


def test_a_delayed_frame_does_not_hold_other_streams(bench: Bench):
    """The account is told while the tape is held up."""
    peer = bench.listen(f"trade.{SYMBOL}", ORDERS)
    bench.nemesis.frames = [None, FrameFault("delay", delay_s=1)]
    bench.place(price="3000.50")
    assert (["orderAccepted", "orderFill"], []) == ([e for e, _ in events(peer)], numbers(peer))


def test_a_garbled_frame_is_not_json(bench: Bench):
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.nemesis.frames = [FrameFault("garble")]
    bench.take(Side.BUY, "0.1")
    with pytest.raises(ValueError, match=r".+"):
        json.loads(peer.raw[0])


def test_a_dropped_depth_frame_is_a_gap(bench: Bench):
    peer = bench.listen(DEPTH)
    bench.nemesis.frames = [None, FrameFault("drop")]
    for price in ("2998.00", "2997.00", "2996.00"):
        bench.quote(Side.BUY, price, "1")
        bench.clock.run_for(0.05)
    first, second = peer.frames(DEPTH)
    assert first["u"] + 2 == second["U"]


def test_stream_delay_lets_the_rest_answer_overtake():
    bench = Bench(delays=Delays(stream_s=0.05)).with_book()
    peer = bench.listen(ORDERS)
    bench.place()
    assert [] == peer.raw


def test_stream_delay_keeps_the_order():
    bench = Bench(delays=Delays(stream_s=0.05)).with_book()
    peer = bench.listen(ORDERS)
    bench.place(price="3000.50", quantity="2.500", timeInForce="IOC")
    bench.clock.run_for(0.05)
    assert ["orderAccepted", "orderFill", "orderExpired"] == [event for event, _ in events(peer)]


def test_a_frame_under_way_dies_with_its_connection():
    bench = Bench(delays=Delays(stream_s=0.05)).with_book()
    peer = bench.listen(ORDERS)
    bench.place()
    bench.face.ws.closed(peer)
    bench.clock.run_for(1)
    assert [] == peer.raw


def test_a_subscription_takes_its_way_to_the_venue():
    """News before the subscription has arrived are missed."""
    bench = Bench(delays=Delays(request_s=0.02)).with_book()
    peer = bench.listen(f"trade.{SYMBOL}")
    bench.take(Side.BUY, "0.1")
    bench.clock.run_for(0.02)
    bench.take(Side.BUY, "0.2")
    assert ["0.2"] == numbers(peer)


def test_timers_end_with_the_last_listener(bench: Bench):
    """A venue nobody listens to leaves no timer behind, so a virtual clock runs dry."""
    peer = bench.listen(DEPTH, f"markPrice.{SYMBOL}")
    bench.clock.run_for(3)
    bench.face.ws.closed(peer)
    bench.clock.run_for(3)
    assert [] == bench.clock._timers


def test_an_order_placed_by_hand_is_told_too(bench: Bench):
    """A foreign order on the account of the credentials, without the face's own data."""
    peer = bench.listen(ORDERS)
    bench.exchange.place(ME, SYMBOL, Side.BUY, Decimal("0.1"), Decimal("2990"))
    assert [("orderAccepted", "New")] == events(peer)
