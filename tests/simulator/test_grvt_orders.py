"""Orders on GRVT's face: what the gateway refuses, what the engine does with the rest, and how both are asked about."""

from __future__ import annotations

from typing import Any

import pytest

from core.types import Side
from simulator.clock import Delays
from simulator.grvt_wire import ERRORS
from tests.simulator.grvt_rig import ETH, START, SUB, Peer, Rig, capture, keys, wire_lines

DAY_S = 24 * 3600
FIRST = 2**63 + 1
"""Client id of a rig's first order."""


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.login()
    return rig


@pytest.fixture
def peer(rig: Rig) -> Peer:
    """A client following everything of the account."""
    return rig.watch("v1.state", "v1.order", "v1.fill", "v1.position", "v1.cancel")


# -- the gateway's answer


def test_the_ack_is_pending_with_a_placeholder_id(rig: Rig) -> None:
    """create_order answers before matching: PENDING and "0x00", even where the order rests already."""
    ack = rig.create()["result"]
    assert ("0x00", "PENDING", ["0.16"]) == (ack["order_id"], ack["state"]["status"], ack["state"]["book_size"])


def test_the_ack_has_the_fields_of_the_live_reply(rig: Rig) -> None:
    """Every field and type of the captured reply, no other."""
    assert sorted(keys(capture("create_order"))) == sorted(keys(rig.create()))


def test_numbers_are_echoed_in_the_venue_s_spelling(rig: Rig) -> None:
    """The limit price "3000.00" comes back as "3000.0", the client id unchanged."""
    ack = rig.create()["result"]
    assert ("3000.0", str(FIRST)) == (ack["legs"][0]["limit_price"], ack["metadata"]["client_order_id"])


def nanoseconds(seconds: float) -> int:
    return int((START + seconds) * 1e9)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"chain": 326}, 1012),
        ({"key": "0x" + "33" * 32}, 2002),
        ({"expiration": nanoseconds(-1)}, 2001),
        ({"price": "3000.001"}, 2064),
        ({"size": "0.001"}, 2062),
        ({"size": "0.161"}, 2065),
        ({"size": "0.01", "price": "1999.99"}, 2066),
        ({"tif": "ALL_OR_NONE"}, 2030),
        ({"tif": "RETAIL_PRICE_IMPROVEMENT"}, 2030),
        ({"tif": "IMMEDIATE_OR_CANCEL", "post_only": True}, 2032),
        ({"tif": "FILL_OR_KILL", "post_only": True}, 2032),
        ({"reduce_only": True}, 2400),
        ({"client": 0}, 2011),
        ({"client": 2**64}, 1003),
        ({"price": "0"}, 2021),
    ],
)
def test_well_signed_orders_are_refused_by_rule(rig: Rig, changes: dict[str, Any], code: int) -> None:
    """Each rule of grvt.md §4 has its code."""
    assert code == rig.code(rig.order(**changes))


def tampered(order: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The signed order with one place changed after signing."""
    *parents, name = path.split(".")
    target: Any = order
    for parent in parents:
        target = target[int(parent)] if parent.isdigit() else target[parent]
    target[name] = value
    return order


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("signature.signer", "0x" + "ab" * 20, 2000),
        ("signature.v", 1, 2005),
        ("signature.r", "0x1234", 2006),
        ("signature.s", "0x" + "ff" * 32, 2007),
        ("signature.nonce", 99, 2002),
        ("signature.nonce", 2**32, 1003),
        ("legs.0.size", "0.17", 2002),
        ("legs.0.limit_price", "3000.01", 2002),
        ("legs.0.is_buying_asset", False, 2002),
        ("legs.0.size", "NaN", 1003),
        ("legs.0.size", 0.16, 1003),
        ("legs.0.instrument", "ETH-PERP", 2061),
        ("legs", [], 2040),
        ("legs", [{}, {}], 2042),
        ("is_market", True, 2020),
        ("order_id", "0x01", 2010),
        ("state", {"status": "OPEN"}, 2050),
        ("metadata.create_time", "1", 2051),
        ("metadata.trigger", {"trigger_type": "STOP_LOSS"}, 2112),
        ("sub_account_id", "1", 2003),
        ("time_in_force", "SOMETIME", 1003),
        ("post_only", "yes", 1003),
        ("metadata", None, 1003),
    ],
)
def test_tampered_orders_are_refused(rig: Rig, path: str, value: object, code: int) -> None:
    """What is changed after signing is found out, each with its code."""
    assert code == rig.code(tampered(rig.order(), path, value))


def test_every_recorded_message_is_the_official_one(rig: Rig) -> None:
    """Code, status and message of each error we can send are those of the specification."""
    official = {e["code"]: (e["http"], e["message"]) for e in wire_lines("errors.jsonl") if e["message"]}
    assert {code: official[code] for code in ERRORS} == dict(ERRORS)


def test_the_chain_id_may_be_left_to_the_venue(rig: Rig) -> None:
    """chain_id "0" falls back to the venue's own, as the field is not signed."""
    assert 0 == rig.code(tampered(rig.order(), "signature.chain_id", "0"))


def test_an_active_client_id_cannot_be_used_twice(rig: Rig) -> None:
    """2012 while the first order rests, accepted once it is gone."""
    rig.create(client=FIRST)
    overlap = rig.code(rig.order(client=FIRST))
    rig.ask("cancel_order", client_order_id=str(FIRST))
    assert (2012, 0) == (overlap, rig.code(rig.order(client=FIRST)))


def test_the_same_signed_payload_is_one_order(rig: Rig) -> None:
    """A resent payload gets the same answer and makes no second order, even with another client id."""
    order = rig.order()
    first = rig.create(order)
    again = rig.create(order)
    rig.create(tampered(order, "metadata.client_order_id", "77"))
    assert (first, 1) == (again, len(rig.exchange.open_orders(SUB)))


def test_a_resent_payload_stays_one_order_after_its_end(rig: Rig) -> None:
    """The retry of an order that was cancelled meanwhile does not revive it."""
    order = rig.order()
    rig.create(order)
    rig.ask("cancel_order", client_order_id=str(FIRST))
    rig.create(order)
    assert [] == rig.ask("open_orders")


@pytest.mark.parametrize(
    ("side", "size", "code"),
    [(Side.SELL, "0.16", 0), (Side.BUY, "0.16", 2401), (Side.SELL, "0.17", 2402), (Side.SELL, "0.01", 2067)],
)
def test_reduce_only_is_checked_against_the_position(rig: Rig, side: Side, size: str, code: int) -> None:
    """Long 0.16: an equal sell passes; a buy, a larger sell and a sell below the minimum notional do not."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    price = "1999.00" if code == 2067 else "3100.00" if side is Side.SELL else "2900.00"
    assert code == rig.code(rig.order(side=side, size=size, price=price, reduce_only=True))


@pytest.mark.parametrize(
    ("status", "reduce_only", "code"),
    [("REDUCE_ONLY", False, 7304), ("REDUCE_ONLY", True, 2400), ("MAINTENANCE", False, 2060), ("ACTIVE", False, 0)],
)
def test_instrument_status_closes_the_door(rig: Rig, status: str, reduce_only: bool, code: int) -> None:
    """REDUCE_ONLY lets only reducing orders on to the position check (2400 when flat); what does not trade is 2060."""
    rig.face.set_instrument_status(ETH, status)
    assert code == rig.code(rig.order(reduce_only=reduce_only))


def test_maintenance_refuses_creates_alone(rig: Rig) -> None:
    """During maintenance create_order is 1009, cancels and queries still work."""
    rig.create()
    rig.face.set_maintenance(is_on=True)
    refused = rig.code(rig.order())
    rig.ask("cancel_order", client_order_id=str(FIRST))
    assert (1009, []) == (refused, rig.ask("open_orders"))


# -- the engine's word on the streams


def test_a_resting_order_becomes_open(rig: Rig, peer: Peer) -> None:
    """OPEN, with an id that names the contract and the signature."""
    order = rig.order()
    rig.create(order)
    feed = peer.feeds("v1.state")[0]
    expected = ([("OPEN", "UNSPECIFIED")], "0x0101010403" + order["signature"]["s"][-6:])
    assert expected == (peer.statuses(), feed["order_id"][:18])


def test_a_crossing_post_only_order_is_rejected_on_the_stream_only(rig: Rig, peer: Peer) -> None:
    """The ack is as good as any; FAIL_POST_ONLY comes on the stream and nothing is filled."""
    rig.house(Side.SELL, "3000.00")
    ack = rig.create(price="3000.00")
    seen = (ack["result"]["state"]["status"], peer.statuses(), peer.feeds("v1.fill"))
    assert ("PENDING", [("REJECTED", "FAIL_POST_ONLY")], []) == seen


def test_a_partial_fill_is_open_with_traded_size(rig: Rig, peer: Peer) -> None:
    """There is no partially-filled status: OPEN, then OPEN with 0.06 traded and 0.1 resting, then FILLED."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.06")
    rig.house(Side.SELL, "3000.00", "0.1")
    states = [feed["order_state"] for feed in peer.feeds("v1.state")]
    seen = [(s["status"], s["book_size"], s["traded_size"], s["avg_fill_price"]) for s in states]
    assert [
        ("OPEN", ["0.16"], ["0.0"], ["0.0"]),
        ("OPEN", ["0.1"], ["0.06"], ["3000.0"]),
        ("FILLED", ["0.0"], ["0.16"], ["3000.0"]),
    ] == seen


def test_fills_precede_the_state_they_cause(rig: Rig, peer: Peer) -> None:
    """Fill, state, full order, position: one set per execution."""
    rig.create(price="3000.00")
    peer.texts.clear()
    rig.house(Side.SELL, "3000.00", "0.16")
    assert ["v1.fill", "v1.state", "v1.order", "v1.position"] == [frame["stream"] for frame in peer.all()]


@pytest.mark.parametrize(
    ("stream", "fn"), [("v1.order", "handle_order"), ("v1.fill", "handle_my_trade"), ("v1.position", "handle_position")]
)
def test_account_frames_have_the_fields_of_the_live_ones(rig: Rig, peer: Peer, stream: str, fn: str) -> None:
    """Nothing of a captured frame is missing, types included."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    assert set() == set(keys(capture(fn))) - set(keys(peer.frames(stream)[-1]))


@pytest.mark.parametrize("stream", ["v1.state", "v1.fill", "v1.cancel"])
def test_account_frames_have_the_fields_of_the_synthetic_lifecycles(rig: Rig, peer: Peer, stream: str) -> None:
    """The recorded lifecycles and the face agree on every field."""
    lines = (line["frame"] for line in wire_lines("lifecycle_synthetic.jsonl"))
    recorded = next(frame for frame in lines if frame.get("stream") == stream)
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.16")
    rig.ask("cancel_order", client_order_id="5")
    rig.clock.run_for(1)
    assert sorted(keys(recorded)) == sorted(keys(peer.frames(stream)[-1]))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("0.1", [("FILLED", "UNSPECIFIED")]),
        ("0.3", [("OPEN", "UNSPECIFIED"), ("CANCELLED", "IOC_CANCEL")]),
    ],
)
def test_immediate_orders_fill_what_they_can(rig: Rig, peer: Peer, size: str, expected: list[tuple[str, str]]) -> None:
    """An IOC that fills whole goes straight to FILLED; the rest of a partial one is cancelled."""
    rig.house(Side.SELL, "3000.00", "0.1")
    rig.create(size=size, tif="IMMEDIATE_OR_CANCEL", post_only=False)
    assert expected == peer.statuses()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tif": "IMMEDIATE_OR_CANCEL"}, "IOC_CANCEL"),
        ({"tif": "FILL_OR_KILL", "size": "0.5"}, "FOK_CANCEL"),
        ({"tif": "IMMEDIATE_OR_CANCEL", "is_market": True, "side": Side.SELL}, "MARKET_CANCEL"),
        ({"expiration": int((START + 31 * DAY_S) * 1e9)}, "EXCEED_MAX_SIGNATURE_EXPIRATION"),
    ],
)
def test_orders_that_never_opened_are_rejected(rig: Rig, peer: Peer, changes: dict[str, Any], reason: str) -> None:
    """What neither rested nor filled ends REJECTED, never CANCELLED."""
    rig.house(Side.SELL, "3000.10", "0.1")
    rig.create(**changes)
    assert [("REJECTED", reason)] == peer.statuses()


def test_fill_or_kill_fills_whole_when_it_can(rig: Rig, peer: Peer) -> None:
    """Two levels within the limit are enough together."""
    rig.house(Side.SELL, "2999.00", "0.1")
    rig.house(Side.SELL, "3000.00", "0.1")
    rig.create(tif="FILL_OR_KILL")
    assert ("FILLED", "UNSPECIFIED") == peer.statuses()[-1]


def test_thirty_days_are_allowed(rig: Rig, peer: Peer) -> None:
    """An expiration within the cap rests."""
    rig.create(expiration=int((START + 30 * DAY_S - 1) * 1e9))
    assert [("OPEN", "UNSPECIFIED")] == peer.statuses()


def test_orders_expire_at_their_signature_s_end(rig: Rig, peer: Peer) -> None:
    """The expiration is the order's life: CANCELLED with EXPIRED, at that moment and not before."""
    rig.create(expiration=int((START + 10) * 1e9))
    rig.clock.run_for(9.99)
    before = peer.statuses()
    rig.clock.run_for(0.02)
    assert ([("OPEN", "UNSPECIFIED")], [("CANCELLED", "EXPIRED")]) == (before, peer.statuses()[1:])


def test_our_own_order_is_not_traded_with(rig: Rig, peer: Peer) -> None:
    """A taker meeting the account's own quote is rejected as a self match."""
    rig.create(price="3000.00")
    rig.create(side=Side.SELL, price="3000.00", tif="IMMEDIATE_OR_CANCEL")
    assert ("REJECTED", "SELF_MATCHED_SUBACCOUNT") == peer.statuses()[-1]


def test_unknown_reasons_are_passed_on(rig: Rig, peer: Peer) -> None:
    """A reason of no list reaches the client as it is."""
    rig.create()
    rig.exchange.cancel(rig.exchange.open_orders(SUB)[0].order_id, "BRAND_NEW_REASON")
    assert ("CANCELLED", "BRAND_NEW_REASON") == peer.statuses()[-1]


def test_orders_by_another_hand_are_told_of(rig: Rig, peer: Peer) -> None:
    """An order placed on the exchange behind the face shows on stream and list, with client id "0"."""
    rig.exchange.place(
        SUB, ETH, Side.BUY, rig.exchange.instruments[ETH].lot_size * 16, rig.exchange.instruments[ETH].tick_size * 300000
    )
    listed = rig.ask("open_orders")
    assert ("0", [("OPEN", "UNSPECIFIED")]) == (listed[0]["metadata"]["client_order_id"], peer.statuses())


# -- queries of orders


def test_an_order_is_found_by_any_spelling_of_its_id(rig: Rig) -> None:
    """By client id, by hex id and by the same id in decimal."""
    rig.create()
    order = rig.ask("order", client_order_id=str(FIRST))
    spellings = [order["order_id"], str(int(order["order_id"], 16))]
    assert [order, order] == [rig.ask("order", order_id=spelling) for spelling in spellings]


@pytest.mark.parametrize(
    ("params", "code"), [({}, 3021), ({"order_id": "0x00"}, 3021), ({"client_order_id": "5"}, 1004), ({"order_id": "0x5"}, 1004)]
)
def test_order_queries_that_find_nothing(rig: Rig, params: dict[str, str], code: int) -> None:
    """No id is 3021, an unknown one 1004."""
    assert code == rig.call("order", {"sub_account_id": SUB, **params})["code"]


def test_an_order_before_the_speed_bump_is_pending() -> None:
    """Between ack and engine the query answers PENDING with the placeholder id, and the open orders miss it."""
    rig = Rig(delays=Delays(0.0, 0.0, 0.001))
    rig.login()
    rig.create(post_only=False)
    order = rig.ask("order", client_order_id=str(FIRST))
    assert ("0x00", "PENDING", []) == (order["order_id"], order["state"]["status"], rig.ask("open_orders"))


def test_open_orders_have_the_live_shape(rig: Rig) -> None:
    """Every field of the captured list; ccxt quotes v and nonce, the stream shows them as numbers."""
    rig.create()
    live = {p.replace(".v:str", ".v:int").replace(".nonce:str", ".nonce:int") for p in keys(capture("fetch_open_orders"))}
    assert set() == live - set(keys(rig.call("open_orders", {"sub_account_id": SUB})))


def test_order_history_holds_what_ended(rig: Rig) -> None:
    """Newest first, the resting order not among them."""
    rig.create(client=1)
    rig.clock.run_for(1)
    rig.create(client=2)
    rig.clock.run_for(1)
    rig.create(client=3)
    for client in ("1", "2"):
        rig.ask("cancel_order", client_order_id=client)
    assert ["2", "1"] == [o["metadata"]["client_order_id"] for o in rig.ask("order_history")]
