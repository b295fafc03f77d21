"""GRVT's WebSocket faces: sessions, calls over the socket, subscriptions and sequence numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.types import Side
from tests.simulator.grvt_rig import ETH, SUB, Peer, Rig, capture, keys, wire_lines


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.login()
    return rig


def subscribe(stream: str, *selectors: str) -> dict[str, object]:
    return {"stream": stream, "selectors": list(selectors)}


# -- calls over the socket


def test_a_socket_without_login_is_accepted_and_answered_1000() -> None:
    """Every call, subscriptions included, gets 1000; the connection stays."""
    rig = Rig()
    peer = rig.trading()
    calls = [("subscribe", subscribe("v1.order", SUB)), ("v1/positions", {"sub_account_id": SUB}), ("v1/nonsense", {})]
    codes = [rig.send(peer, method, params)["error"]["code"] for method, params in calls]
    assert ([1000, 1000, 1000], False) == (codes, peer.is_aborted)


def test_the_refusal_is_the_recorded_one() -> None:
    """The private call on a dead cookie is answered with exactly the recorded frame."""
    rig = Rig()
    recorded = next(f["frame"] for f in wire_lines("lifecycle_synthetic.jsonl") if f["case"].startswith("private call"))
    assert recorded == rig.send(rig.trading(), "subscribe", subscribe("v1.order", SUB))


def test_the_account_id_may_stand_in_the_query(rig: Rig) -> None:
    """The cookie must be a header, the account id may be a query parameter."""
    peer = Peer({"cookie": rig.cookie}, path="/ws/full?x_grvt_account_id=ACC%3A7")
    rig.face.trading.opened(peer)
    assert "result" in rig.send(peer, "v1/positions", {"sub_account_id": SUB})


def test_open_sockets_keep_their_session_when_cookies_die(rig: Rig) -> None:
    """Expired cookies shut out new sockets and leave old ones alone."""
    old = rig.trading()
    rig.face.expire_cookies()
    answers = [rig.send(peer, "v1/positions", {"sub_account_id": SUB}) for peer in (old, rig.trading())]
    assert [True, False] == ["result" in answer for answer in answers]


def test_open_sockets_can_lose_their_session_too(rig: Rig) -> None:
    """On demand an open socket answers 1000 and falls silent."""
    peer = rig.watch("v1.state")
    rig.face.expire_cookies(open_sockets_too=True)
    code = rig.send(peer, "v1/positions", {"sub_account_id": SUB})["error"]["code"]
    rig.login()
    rig.create()
    assert (1000, []) == (code, peer.frames("v1.state"))


def test_replies_nest_the_whole_rest_body(rig: Rig) -> None:
    """A create over the socket has result.result, the id and the method of the call."""
    reply = rig.send(rig.trading(), "v1/create_order", {"order": rig.order()}, request_id=11)
    assert ("0x00", 11, "v1/create_order") == (reply["result"]["result"]["order_id"], reply["id"], reply["method"])


def test_a_create_over_the_socket_has_the_recorded_fields(rig: Rig) -> None:
    """Every field and type of the recorded reply, no other."""
    recorded = wire_lines("lifecycle_synthetic.jsonl")[0]["frame"]
    assert sorted(keys(recorded)) == sorted(keys(rig.send(rig.trading(), "v1/create_order", {"order": rig.order()})))


def test_rest_and_socket_share_one_engine(rig: Rig) -> None:
    """What the socket created REST lists and cancels, and the socket hears of it."""
    peer = rig.watch("v1.state")
    rig.send(peer, "v1/create_order", {"order": rig.order(client=2**63)})
    rig.ask("cancel_order", client_order_id=str(2**63))
    assert [("OPEN", "UNSPECIFIED"), ("CANCELLED", "CLIENT_CANCEL")] == peer.statuses()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"id":1}', '{"method":"subscribe","id":"x"}'])
def test_what_cannot_be_read_is_answered_with_id_zero(rig: Rig, text: str) -> None:
    """No id and no method in the reply: the client must time out."""
    peer = rig.market()
    rig.face.market.received(peer, text)
    reply = peer.replies()[0]
    assert (0, "", 1003) == (reply["id"], reply["method"], reply["error"]["code"])


@settings(max_examples=80)
@given(text=st.text() | st.dictionaries(st.text(), st.integers() | st.text() | st.none()).map(json.dumps))
def test_no_text_breaks_a_socket(text: str) -> None:
    """Whatever arrives is answered by at most one error, never by an exception."""
    rig = Rig()
    peer = rig.market()
    rig.face.market.received(peer, text)
    assert [True] == ["error" in reply for reply in peer.replies()]


def test_each_gateway_serves_its_own_routes(rig: Rig) -> None:
    """Market routes are not on the trading socket, nor the other way round."""
    trading, market = rig.trading(), rig.market()
    codes = [
        rig.send(trading, "v1/book", {"instrument": ETH, "depth": 10})["error"]["code"],
        rig.send(market, "v1/positions", {"sub_account_id": SUB})["error"]["code"],
        rig.send(trading, "subscribe", subscribe("v1.book.d", f"{ETH}@50"))["error"]["code"],
        rig.send(market, "subscribe", subscribe("v1.order", SUB))["error"]["code"],
    ]
    assert [1004, 1004, 3001, 3001] == codes


# -- subscriptions


def test_the_subscription_reply_has_the_live_shape(rig: Rig) -> None:
    """Field by field and type by type, the sequence numbers as text."""
    reply = rig.send(rig.market(), "subscribe", subscribe("v1.mini.d", f"{ETH}@500"))
    live = set(keys(capture("handle_message")))
    assert live == {path.replace("unsubs[]:str", "unsubs[]") for path in keys(reply)}


def test_the_reply_precedes_the_snapshot(rig: Rig) -> None:
    """First the reply, then the frame numbered "0"."""
    frames = rig.follow("v1.book.d", f"{ETH}@50").all()
    assert ["result", "stream"] == ["result" if "result" in frame else "stream" for frame in frames]


@pytest.mark.parametrize(
    ("stream", "selector", "code"),
    [
        ("v1.book.d", ETH, 1101),
        ("v1.book.d", f"{ETH}@50@50", 1101),
        ("v1.book.d", f"A-{ETH}@50", 1102),
        ("v1.book.d", f"{ETH}@50-10", 1103),
        ("v1.book.s", f"{ETH}@500", 1103),
        ("v1.book.s", f"{ETH}@500-100-10", 1103),
        ("v1.book.d", "ETH-PERP@50", 1102),
        ("v1.book.d", "ETH@50", 3000),
        ("v1.book.d", f"{ETH}@51", 3030),
        ("v1.book.d", f"{ETH}@x", 3030),
        ("v1.book.s", f"{ETH}@500-11", 3031),
        ("v1.book.s", f"{ETH}@50-10", 3030),
        ("v1.mini.s", f"{ETH}@0", 3030),
        ("v1.trade", f"{ETH}@5000", 3011),
        ("v1.trade", f"{ETH}@60", 3013),
        ("v1.ticker", f"{ETH}@500", 3001),
    ],
)
def test_market_selectors_are_checked(rig: Rig, stream: str, selector: str, code: int) -> None:
    """Each mistake has its code."""
    assert code == rig.send(rig.market(), "subscribe", subscribe(stream, selector))["error"]["code"]


@pytest.mark.parametrize(
    ("selector", "code"), [("abc", 3020), ("", 3020), ("1", 1001), (f"{SUB}-ETH", 3000), (f"{SUB}-{ETH}-1", 1102)]
)
def test_account_selectors_are_checked(rig: Rig, selector: str, code: int) -> None:
    """Sub account and instrument, each with its code."""
    assert code == rig.send(rig.trading(), "subscribe", subscribe("v1.state", selector))["error"]["code"]


def test_one_bad_selector_refuses_the_call(rig: Rig) -> None:
    """Nothing is subscribed where one selector is wrong."""
    peer = rig.market()
    rig.send(peer, "subscribe", subscribe("v1.book.d", f"{ETH}@50", "X@50"))
    rig.house(Side.BUY, "3000")
    rig.clock.run_for(1)
    assert [] == peer.frames("v1.book.d")


def test_a_new_rate_takes_the_place_of_the_old(rig: Rig) -> None:
    """The earlier selector stands in unsubs and sends no more."""
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    reply = rig.send(peer, "subscribe", subscribe("v1.book.d", f"{ETH}@500"))
    peer.texts.clear()
    rig.house(Side.BUY, "3000")
    rig.clock.run_for(1)
    selectors = [frame["selector"] for frame in peer.frames("v1.book.d")]
    assert ([f"{ETH}@50"], [f"{ETH}@500"]) == (reply["result"]["unsubs"], selectors)


def test_unsubscribing_ends_the_frames(rig: Rig) -> None:
    """The reply lists what ended; what was not subscribed is not listed."""
    peer = rig.watch("v1.state")
    result = rig.send(peer, "unsubscribe", subscribe("v1.state", SUB, f"{SUB}-{ETH}"))["result"]
    rig.create()
    assert ({"stream": "v1.state", "unsubs": [SUB]}, []) == (result, peer.frames("v1.state"))


def test_a_closed_connection_gets_nothing(rig: Rig) -> None:
    """After closing, no frame is sent into the void."""
    peer = rig.watch("v1.state")
    rig.face.trading.closed(peer)
    rig.create()
    assert [] == peer.texts


def test_account_and_instrument_selectors_both_hear(rig: Rig) -> None:
    """Two subscriptions on one socket, each with the selector it was made with and a counter of its own."""
    peer = rig.trading()
    rig.send(peer, "subscribe", subscribe("v1.state", SUB, f"{SUB}-{ETH}", f"{SUB}-BTC_USDT_Perp"))
    rig.create()
    seen = [(frame["selector"], frame["sequence_number"]) for frame in peer.frames("v1.state")]
    assert [(SUB, "1"), (f"{SUB}-{ETH}", "1")] == seen


def test_the_cancel_stream_answers_with_empty_lists(rig: Rig) -> None:
    """A subscription to v1.cancel lists nothing, and works."""
    peer = rig.trading()
    result = rig.send(peer, "subscribe", subscribe("v1.cancel", SUB))["result"]
    rig.ask("cancel_order", client_order_id="5")
    rig.clock.run_for(1)
    assert ([], 1) == (result["subs"] + result["num_snapshots"], len(peer.frames("v1.cancel")))


def test_positions_start_with_a_snapshot(rig: Rig) -> None:
    """One frame numbered "0" per open position; orders, states and fills have none."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    peer = rig.trading()
    counts = [
        rig.send(peer, "subscribe", subscribe(stream, SUB))["result"]["num_snapshots"]
        for stream in ("v1.position", "v1.order", "v1.state", "v1.fill")
    ]
    assert ([[1], [0], [0], [0]], [("0", "0")]) == (counts, peer.numbers("v1.position"))


# -- sequence numbers


def test_frames_are_numbered_from_the_reply_on(rig: Rig) -> None:
    """Snapshot "0", then first_sequence_number and up by one, each naming its predecessor."""
    peer = rig.follow("v1.book.d", f"{ETH}@50")
    for price in ("3000", "3001"):
        rig.house(Side.BUY, price)
        rig.clock.run_for(0.05)
    result = peer.replies()[0]["result"]
    assert (["1"], ["0"]) == (result["first_sequence_number"], result["latest_sequence_number"])
    assert [("0", "0"), ("1", "0"), ("2", "1")] == peer.numbers("v1.book.d")


def test_counters_go_on_over_reconnects(rig: Rig) -> None:
    """A second connection starts after the first one's last number; what nobody followed used up none."""
    first = rig.watch("v1.state")
    rig.create(client=1)
    rig.face.trading.closed(first)
    rig.create(client=3)
    second = rig.trading()
    reply = rig.send(second, "subscribe", subscribe("v1.state", SUB))["result"]
    rig.create(client=2)
    assert (["2"], [("2", "1")]) == (reply["first_sequence_number"], second.numbers("v1.state"))


def test_a_gap_can_be_injected(rig: Rig) -> None:
    """After skip_sequence the next frame names a predecessor nobody saw."""
    peer = rig.watch("v1.state")
    rig.create(client=1)
    rig.face.skip_sequence("v1.state")
    rig.create(client=2)
    assert [("1", "0"), ("3", "2")] == peer.numbers("v1.state")


def test_a_gateway_restart_resets_the_counters(rig: Rig) -> None:
    """The numbers fall back while the connection lives on."""
    peer = rig.watch("v1.state")
    rig.create(client=1)
    rig.create(client=2)
    rig.face.restart_gateway()
    rig.create(client=3)
    assert [("1", "0"), ("2", "1"), ("1", "0")] == peer.numbers("v1.state")
