"""The account stream of ApeX: login, snapshot and the frame of the past, the life of orders and fills (apex.md §3)."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from core.types import Side
from simulator.apex import ApexLimits, ApexTimes
from tests.simulator.apex_kit import CREDENTIALS, SYMBOL, TOPIC, Bench, sign, wire_lines


@pytest.fixture
def bench() -> Bench:
    return Bench().with_book()


# -- login -------------------------------------------------------------------------------------------------------------------


def test_the_documented_login_passes():
    """The signature vector of the documentation, at its own time."""
    vector = wire_lines("private_login_vector")[0]
    login = json.loads(vector["frame"]["args"][0])
    theirs = {**CREDENTIALS, "api_key": login["apiKey"], "secret": vector["secret"], "passphrase": login["passphrase"]}
    bench = Bench(start=login["timestamp"] / 1000, credentials=theirs)
    peer = bench.connect("/realtime_private")
    bench.face.ws.received(peer, json.dumps(vector["frame"]))
    assert [True] == [ack["success"] for ack in peer.acks()]


@pytest.mark.parametrize(
    "flaw",
    [
        {"signature": sign("something else")},
        {"apiKey": "somebody"},
        {"passphrase": "guess"},
        {"timestamp": 1_647_502_440_973},
        {"timestamp": None},
        {"requestPath": "/ws/other"},
    ],
)
def test_a_wrong_login_has_no_authority(bench: Bench, flaw: dict):
    """The failure names no request, and no account frame follows."""
    documented = next(line["frame"] for line in wire_lines("ws_docs_examples") if "authority" in str(line["frame"]))
    peer = bench.connect("/realtime_private")
    bench.say(peer, "login", bench.login(**flaw))
    (ack,) = peer.acks()
    assert ({**documented, "conn_id": ack["conn_id"]}, []) == (ack, peer.frames(TOPIC))


@pytest.mark.parametrize("argument", ["{", "[]", '{"type":"login"}'])
def test_a_login_that_cannot_be_read_is_a_parameter_error(bench: Bench, argument: str):
    peer = bench.connect("/realtime_private")
    bench.say(peer, "login", argument)
    assert ["msg param error"] == peer.refusals()


def test_a_timestamp_may_be_text(bench: Bench):
    timestamp = str(round(bench.clock.now() * 1000))
    peer = bench.connect("/realtime_private")
    bench.say(peer, "login", bench.login(timestamp=timestamp))
    assert [] == peer.refusals()


@pytest.mark.parametrize(("ack", "success"), [("boolean", [True]), ("string", ["true"]), ("", [])])
def test_nobody_knows_how_a_login_is_acknowledged(bench: Bench, ack: str, success: list):
    bench.switches.login_ack = ack
    peer = bench.watch()
    assert (success, 1) == ([a["success"] for a in peer.acks()], len(peer.frames(TOPIC)))


def test_the_account_is_not_for_strangers(bench: Bench):
    peer = bench.connect("/realtime_private")
    bench.say(peer, "subscribe", TOPIC)
    assert ["login authority err"] == peer.refusals()


def test_subscribing_beside_the_login_doubles_the_snapshot(bench: Bench):
    peer = bench.watch()
    bench.say(peer, "subscribe", TOPIC)
    assert ["snapshot"] * 2 == [frame["type"] for frame in peer.frames(TOPIC)]


def test_the_public_face_knows_no_login(bench: Bench):
    peer = bench.listen()
    bench.say(peer, "login", bench.login())
    assert ["error:invalid op"] == peer.refusals()


# -- account frames ----------------------------------------------------------------------------------------------------------


def test_the_snapshot_holds_unfinished_orders(bench: Bench):
    """Under contents, waiting ones too, and every position, flat or not."""
    bench.enter()
    rows = [bench.place(price="50000"), bench.stop("50000", isPositionTpsl="true")]
    (frame,) = bench.watch().frames(TOPIC)
    contents = frame["contents"]
    found = [order["id"] for order in contents["orders"]]
    assert ([row["id"] for row in rows], 4, None) == (found, len(contents["positions"]), contents["fills"])


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_a_second_frame_tells_of_the_past(bench: Bench, kind: str):
    """Within 0.3 s: thirty orders that have ended, our own last one first."""
    bench.switches.history_frame = kind
    ours = bench.enter()
    bench.clock.run_for(10)
    peer = bench.watch()
    bench.clock.run_for(0.3)
    _, second = peer.frames(TOPIC)
    orders = second["contents"]["orders"]
    ended = {"FILLED", "CANCELED", "EXPIRED"}
    expected = (kind, 30, ours["id"], ended)
    assert expected == (second["type"], len(orders), orders[0]["id"], {order["status"] for order in orders})


def test_the_past_can_be_left_out(bench: Bench):
    bench.switches.history_frame = ""
    peer = bench.watch()
    bench.clock.run_for(1)
    assert 1 == len(peer.frames(TOPIC))


def test_an_order_of_the_stream_has_other_names(bench: Bench):
    """remainingSize and updatedAt, no matched sums and no average price (apex.md §3)."""
    bench.place(price="50000")
    row = bench.watch().frames(TOPIC)[0]["contents"]["orders"][0]
    assert ({"remainingSize", "updatedAt", "openTpParams"}, set()) == (
        {"remainingSize", "updatedAt", "openTpParams"} & set(row),
        {"orderId", "averagePrice", "cumMatchFillSize", "latestMatchFillPrice"} & set(row),
    )


def test_an_order_is_pending_then_open_then_filled(bench: Bench):
    """Partly filled it is still OPEN, with a growing filled size."""
    peer = bench.watch()
    row = bench.place(price="60000")
    bench.take(Side.SELL, "0.004")
    bench.take(Side.SELL, "0.006")
    told = list(dict.fromkeys(peer.states(row["id"])))
    assert [("PENDING", "0"), ("OPEN", "0"), ("OPEN", "0.004"), ("FILLED", "0.010")] == told


def test_what_remains_of_an_order_is_told(bench: Bench):
    peer = bench.watch()
    bench.place(price="60000")
    bench.take(Side.SELL, "0.004")
    assert "0.006" == peer.news("orders")[-1]["remainingSize"]


def test_a_cancel_is_told_with_its_reason(bench: Bench):
    peer = bench.watch()
    row = bench.place(price="50000")
    bench.call("POST", "delete-order", {"id": row["id"]})
    last = peer.news("orders")[-1]
    assert ("CANCELED", "USER_CANCELED", "0.010") == (last["status"], last["cancelReason"], last["remainingSize"])


def test_an_execution_is_one_frame(bench: Bench):
    """Order, fill and both rows of the position together."""
    peer = bench.watch()
    bench.enter()
    frame = next(frame["contents"] for frame in peer.frames(TOPIC)[1:] if "positions" in frame["contents"])
    found = (frame["orders"][0]["status"], frame["fills"][0]["status"], [(p["side"], p["size"]) for p in frame["positions"]])
    assert ("FILLED", "SUCCESS", [("LONG", "0.010"), ("SHORT", "0")]) == found


def test_a_fill_is_told_until_it_is_settled():
    """Three times under one id."""
    bench = Bench(limits=ApexLimits(times=ApexTimes(settle_s=5))).with_book()
    peer = bench.watch()
    bench.enter()
    bench.clock.run_for(5)
    fills = peer.news("fills")
    expected = (["PENDING_CENSORING", "SUCCESS", "SUCCESS_L2_APPROVED"], 1)
    assert expected == ([fill["status"] for fill in fills], len({fill["id"] for fill in fills}))


@pytest.mark.parametrize("failure", ["FAILED_CENSOR_FAILURE", "FAILED_L2_REJECTED"])
def test_a_fill_that_fails_is_told(bench: Bench, failure: str):
    bench.switches.failing_fills = failure
    peer = bench.watch()
    bench.enter()
    bench.clock.run_for(10)
    last = peer.news("orders")[-1]
    found = (peer.news("fills")[-1]["status"], last["status"], last["cancelReason"], Decimal(last["cumSuccessFillSize"]))
    assert (failure, "CANCELED", "INTERNAL_FAILED", Decimal(0)) == found


def test_only_the_vocabulary_of_the_venue_is_spoken(bench: Bench):
    """Through a life of every kind there is no other word."""
    peer = bench.watch()
    bench.place(timeInForce="POST_ONLY", price="60010")
    bench.place(price="60010", size="1.500", timeInForce="IMMEDIATE_OR_CANCEL")
    bench.stop("59000"), bench.take_profit("61000")
    bench.face.expire(int(bench.place(price="50000")["id"]))
    bench.face.force_price(SYMBOL, Decimal(61500))
    bench.clock.run_for(10)
    assert {"PENDING", "OPEN", "FILLED", "CANCELED", "EXPIRED", "UNTRIGGERED"} == {o["status"] for o in peer.news("orders")}
