"""The public topics of ApeX, and what both sockets share: acknowledgements, book continuity, pings, frame faults (apex.md §2)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.types import Side
from simulator.clock import Delays
from simulator.faults import FrameFault
from tests.simulator.apex_kit import NAME, SYMBOL, Bench, wire_lines

BOOK = f"orderBook25.H.{NAME}"
TRADES = f"recentlyTrade.H.{NAME}"
INFO = f"instrumentInfo.H.{NAME}"
CANDLE = f"candle.1.{NAME}"


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


def held(frames: list[dict]) -> tuple[dict[str, str], dict[str, str]]:
    """The book a client holds after these frames, by the documented rules."""
    sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for frame in frames:
        for side, key in zip(sides, ("b", "a"), strict=True):
            if frame["type"] == "snapshot":
                side.clear()
            for price, size in frame["data"][key]:
                side[price] = size
                if size == "0":
                    del side[price]
    return sides


# -- subscriptions -----------------------------------------------------------------------------------------------------------


def test_a_subscription_is_acknowledged_as_documented(bench: Bench):
    """With a boolean, the request, and a connection id."""
    documented = next(line["frame"] for line in wire_lines("ws_docs_examples") if line["frame"].get("ret_msg") == "")
    (ack,) = bench.listen(INFO).acks()
    assert {**documented, "conn_id": ack["conn_id"]} == ack


@pytest.mark.parametrize(("is_data_first", "kinds"), [(True, ["topic", "success"]), (False, ["success", "topic"])])
def test_data_may_come_before_the_acknowledgement(bench: Bench, is_data_first: bool, kinds: list[str]):
    bench.switches.is_data_first = is_data_first
    assert kinds == [next(iter(frame)) for frame in bench.listen(BOOK).all()]


@pytest.mark.parametrize(
    "topic", [f"orderBook25.H.{SYMBOL}", f"orderBook50.H.{NAME}", "orderBook25.H.CLUSDT", f"candle.7.{NAME}", "nonsense"]
)
def test_an_unknown_topic_is_refused(bench: Bench, topic: str):
    """A dashed name is as unknown as any other; nothing else of the message is subscribed."""
    peer = bench.listen(INFO, topic)
    assert (["error:handler not found"], []) == (peer.refusals(), peer.frames(INFO))


def test_a_second_subscription_is_refused(bench: Bench):
    """The first one stays alive; nothing else of the message is subscribed."""
    peer = bench.listen(TRADES)
    bench.say(peer, "subscribe", INFO, TRADES)
    bench.take(Side.BUY, "0.1")
    found = (peer.refusals(), len(peer.frames(INFO)), len(peer.frames(TRADES)))
    assert ([f"error:topic:already subscribed {TRADES}"], 0, 2) == found


@pytest.mark.parametrize("text", ["{", "[]", '{"op":"jump","args":["x"]}', '{"op":"subscribe"}', "[" * 100_000])
def test_a_frame_that_makes_no_sense_is_an_invalid_op(bench: Bench, text: str):
    peer = bench.listen()
    bench.face.ws.received(peer, text)
    (ack,) = peer.acks()
    assert ("error:invalid op", {"op": "", "args": None}) == (ack["ret_msg"], ack["request"])


def test_unsubscribe_stops_the_frames(bench: Bench):
    """And is acknowledged."""
    peer = bench.listen(TRADES)
    bench.say(peer, "unsubscribe", TRADES)
    bench.take(Side.BUY, "0.1")
    assert (["subscribe", "unsubscribe"], 1) == ([a["request"]["op"] for a in peer.acks()], len(peer.frames(TRADES)))


def test_a_peer_that_left_is_sent_nothing(bench: Bench):
    peer = bench.listen(TRADES)
    bench.face.ws.closed(peer)
    before = len(peer.raw)
    bench.take(Side.BUY, "0.1")
    bench.clock.run_for(300)
    assert before == len(peer.raw)


def test_any_other_path_is_reset(bench: Bench):
    assert ["abort"] == bench.connect("/ws").ended


# -- books -------------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_ascending_on_both_sides(bench: Bench):
    """In the envelope of all public frames, its time in microseconds."""
    (frame,) = bench.listen(BOOK).frames(BOOK)
    data = frame["data"]
    expected = (["59980", "59990"], ["60010", "60020"], NAME, round(bench.clock.now() * 1_000_000))
    assert expected == ([p for p, _ in data["b"]], [p for p, _ in data["a"]], data["s"], frame["ts"])


def test_the_envelope_is_the_documented_one(bench: Bench):
    documented = next(line["frame"] for line in wire_lines("ws_docs_examples") if "orderBook" in line["frame"].get("topic", ""))
    (frame,) = bench.listen(BOOK).frames(BOOK)
    assert (list(documented), set(documented["data"])) == (list(frame), set(frame["data"]))


def test_changes_within_the_interval_share_a_delta(bench: Bench):
    """Absolute sizes, ascending, "0" for a level that is gone."""
    gone = bench.quote(Side.BUY, "59970")
    peer = bench.listen(BOOK)
    bench.exchange.cancel(gone, "HOUSE")
    bench.quote(Side.BUY, "59960", "3")
    bench.quote(Side.SELL, "60010", "0.5")
    bench.clock.run_for(0.1)
    _, delta = peer.frames(BOOK)
    assert ("delta", [["59960", "3"], ["59970", "0"]], [["60010", "1.5"]]) == (
        delta["type"],
        delta["data"]["b"],
        delta["data"]["a"],
    )


def test_a_change_that_was_undone_is_an_empty_delta(bench: Bench):
    """The update id moves all the same."""
    peer = bench.listen(BOOK)
    bench.exchange.cancel(bench.quote(Side.BUY, "59970"), "HOUSE")
    bench.clock.run_for(0.1)
    first, second = (frame["data"] for frame in peer.frames(BOOK))
    assert ([], [], first["u"] + 1) == (second["b"], second["a"], second["u"])


def test_a_quiet_book_is_silent(bench: Bench):
    peer = bench.listen(BOOK)
    bench.clock.run_for(20)
    assert 1 == len(peer.frames(BOOK))


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 60), st.integers(0, 3)), max_size=25))
def test_the_chain_of_updates_rebuilds_the_book(steps: list[tuple[Side, int, int]]):
    """Applied to the snapshot, with each id the one before plus one, the deltas give the top 25 of the venue's book."""
    bench = Bench().with_book()
    peer = bench.listen(BOOK)
    for side, ticks, size in steps:
        price = f"{60000 - side.sign * ticks}"
        if size:
            bench.quote(side, price, str(size))
        else:
            bench.take(side, "1.5")
        bench.clock.run_for(0.06)
    bench.clock.run_for(1)
    frames = peer.frames(BOOK)
    bids, asks = ({str(p): str(q) for p, q in levels} for levels in bench.exchange.book(SYMBOL, 25))
    ids = [frame["data"]["u"] for frame in frames]
    assert ((bids, asks), True) == (held(frames), all(a + 1 == b for a, b in pairwise(ids)))


def test_a_newcomer_starts_where_the_others_are(bench: Bench):
    """Its snapshot has the id of the last delta the others got."""
    first = bench.listen(BOOK)
    bench.quote(Side.BUY, "59970")
    second = bench.listen(BOOK)
    assert first.frames(BOOK)[-1]["data"]["u"] == second.frames(BOOK)[0]["data"]["u"]


def test_an_injected_gap_breaks_the_chain(bench: Bench):
    """The lost change is never told: only a new subscription repairs it."""
    peer = bench.listen(BOOK)
    bench.quote(Side.BUY, "59970")
    bench.face.inject_gap(SYMBOL)
    bench.quote(Side.BUY, "59960")
    bench.clock.run_for(0.1)
    first, second = (frame["data"] for frame in peer.frames(BOOK))
    bench.say(peer, "unsubscribe", BOOK)
    bench.say(peer, "subscribe", BOOK)
    again = [price for price, _ in peer.frames(BOOK)[-1]["data"]["b"]]
    assert (2, [["59960", "1"]], True) == (second["u"] - first["u"], second["b"], "59970" in again)


@pytest.mark.parametrize("depth", [25, 200])
def test_a_topic_shows_its_depth(bench: Bench, depth: int):
    for ticks in range(300):
        bench.quote(Side.BUY, str(59970 - ticks))
    (frame,) = bench.listen(f"orderBook{depth}.H.{NAME}").frames(f"orderBook{depth}.H.{NAME}")
    assert depth == len(frame["data"]["b"])


# -- the other public topics ---------------------------------------------------------------------------------------------------


def test_past_trades_come_newest_first(bench: Bench):
    """The last fifty; then each new one as it happens."""
    for _ in range(51):
        bench.take(Side.BUY, "0.001")
    peer = bench.listen(TRADES)
    bench.take(Side.SELL, "0.002")
    snapshot, delta = peer.frames(TRADES)
    assert (50, [("Sell", "0.002", "59990")]) == (len(snapshot["data"]), [(r["S"], r["v"], r["p"]) for r in delta["data"]])


def test_a_trade_has_the_documented_fields(bench: Bench):
    documented = next(line["frame"] for line in wire_lines("ws_docs_examples") if "Trade" in line["frame"].get("topic", ""))
    bench.take(Side.BUY, "0.1")
    (frame,) = bench.listen(TRADES).frames(TRADES)
    assert set(documented["data"][0]) == set(frame["data"][0])


def test_instrument_info_tells_what_changed(bench: Bench):
    """Beside the symbol and its status."""
    peer = bench.listen(INFO)
    bench.take(Side.BUY, "0.1")
    bench.clock.run_for(1)
    snapshot, delta = (frame["data"] for frame in peer.frames(INFO))
    changed = {key for key, value in delta.items() if snapshot[key] != value}
    assert (changed | {"symbol", "symbolStatus"}, True) == (set(delta), "lastPrice" in delta)


def test_a_candle_grows_with_its_trades(bench: Bench):
    """With the documented fields."""
    documented = next(line["frame"] for line in wire_lines("ws_docs_examples") if "candle" in line["frame"].get("topic", ""))
    bench.take(Side.BUY, "0.1")
    peer = bench.listen(CANDLE)
    bench.take(Side.BUY, "0.2")
    rows = [frame["data"][0] for frame in peer.frames(CANDLE)]
    assert (["0.1", "0.3"], set(documented["data"][0])) == ([row["volume"] for row in rows], set(rows[0]))


# -- pings -------------------------------------------------------------------------------------------------------------------


def test_the_server_pings(bench: Bench):
    """First after 7 seconds, then every 15, with its clock in milliseconds."""
    peer = bench.listen()
    bench.clock.run_for(37)
    assert [1_790_000_007_000, 1_790_000_022_000, 1_790_000_037_000] == [int(ping["args"][0]) for ping in peer.pings()]


def test_a_ping_is_answered_as_captured(bench: Bench):
    """Like an acknowledgement, not with an op of its own."""
    peer = bench.listen()
    bench.say(peer, "ping", "1661415022821")
    (ack,) = peer.acks()
    assert (True, "pong", {"op": "ping", "args": ["1661415022821"]}) == (ack["success"], ack["ret_msg"], ack["request"])


@pytest.mark.parametrize(("op", "ended"), [("ping", []), ("pong", []), ("subscribe", [1001])])
def test_a_client_without_a_stamp_is_dropped(bench: Bench, op: str, ended: list):
    """After 150 seconds; a ping or a pong is a stamp, other frames are not."""
    peer = bench.connect("/realtime_public")
    for _ in range(20):
        bench.say(peer, op, INFO)
        bench.clock.run_for(10)
    assert ended == peer.ended


def test_nobody_is_dropped_before_150_seconds(bench: Bench):
    peer = bench.listen()
    bench.clock.run_for(150)
    assert [] == peer.ended


# -- delays and faults ---------------------------------------------------------------------------------------------------------


def test_frames_leave_after_the_delay():
    bench = Bench(delays=Delays(stream_s=1)).with_book()
    peer = bench.listen(TRADES)
    bench.take(Side.BUY, "0.1")
    before = len(peer.frames(TRADES))
    bench.clock.run_for(1)
    assert (1, 2) == (before, len(peer.frames(TRADES)))


@pytest.mark.parametrize(
    ("fault", "sizes"),
    [
        (FrameFault("drop"), ["0.2"]),
        (FrameFault("silence"), ["0.2"]),
        (FrameFault("duplicate"), ["0.1", "0.1", "0.2"]),
        (FrameFault("delay", 2), ["0.1", "0.2"]),
    ],
    ids=lambda value: value.kind if isinstance(value, FrameFault) else None,
)
def test_a_fault_strikes_a_frame(bench: Bench, fault: FrameFault, sizes: list[str]):
    """Of a topic's frames none overtakes another."""
    peer = bench.listen(TRADES)
    bench.nemesis.frames.append(fault)
    bench.take(Side.BUY, "0.1")
    bench.take(Side.BUY, "0.2")
    bench.clock.run_for(3)
    assert sizes == [row["v"] for frame in peer.frames(TRADES) for row in frame["data"]]


def test_a_delayed_frame_holds_back_those_behind_it(bench: Bench):
    """Nothing of its topic comes before its time."""
    peer = bench.listen(TRADES)
    bench.nemesis.frames.append(FrameFault("delay", 2))
    bench.take(Side.BUY, "0.1")
    bench.take(Side.BUY, "0.2")
    bench.clock.run_for(1.9)
    early = len(peer.frames(TRADES))
    bench.clock.run_for(0.1)
    assert (1, 3) == (early, len(peer.frames(TRADES)))


def test_a_garbled_frame_is_no_json(bench: Bench):
    peer = bench.watch()
    bench.nemesis.frames.append(FrameFault("garble"))
    bench.place(price="50000")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        peer.all()


def test_an_acknowledgement_is_spared(bench: Bench):
    """A rule for one frame strikes data, not the answer to a subscription."""
    bench.nemesis.frames = [FrameFault("drop")]
    peer = bench.listen(BOOK)
    assert ([], 1) == (peer.frames(BOOK), len(peer.acks()))


@pytest.mark.parametrize(("path", "channel"), [("/realtime_public", "market"), ("/realtime_private", "account")])
def test_pings_are_frames_of_their_channel(bench: Bench, path: str, channel: str):
    """A silenced channel does not ping either."""
    bench.connect(path)
    bench.nemesis.asked.clear()
    bench.clock.run_for(7)
    assert [("apex", channel)] == bench.nemesis.asked
