"""Dormant orders on GRVT's face, and the OCO pairs that ``bulk_orders`` makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.types import Side
from simulator.net import HttpReply
from tests.simulator.grvt_rig import SUB, Peer, Rig

STOP, PROFIT = 2**63 + 101, 2**63 + 102


@pytest.fixture
def rig() -> Rig:
    """Logged in and long 0.16 ETH at 3000, in a market of 2999.99 / 3000.01."""
    rig = Rig()
    rig.login()
    rig.house(Side.BUY, "2999.99", "9")
    rig.house(Side.SELL, "3000.00", "0.16")
    rig.create(price="3000.00", tif="IMMEDIATE_OR_CANCEL", post_only=False)
    rig.house(Side.SELL, "3000.01", "9")
    return rig


@pytest.fixture
def peer(rig: Rig) -> Peer:
    return rig.watch("v1.state")


def trigger(kind: str, price: str, by: str = "LAST", **changes: object) -> dict[str, Any]:
    tpsl = {"trigger_by": by, "trigger_price": price, "close_position": False, "is_split_position": False, **changes}
    return {"trigger_type": kind, "tpsl": tpsl}


def leg(
    rig: Rig, kind: str, price: str, by: str = "LAST", *, client: int, size: str = "0.16", **changes: object
) -> dict[str, Any]:
    """A sell that waits for ``price`` and then takes what it can get."""
    order = rig.order(side=Side.SELL, price="2700.00", tif="IMMEDIATE_OR_CANCEL", reduce_only=True, client=client, size=size)
    order["metadata"]["trigger"] = trigger(kind, price, by, **changes)
    return order


def pair(rig: Rig, **changes: Any) -> list[dict[str, Any]]:
    return [
        leg(rig, "STOP_LOSS", "2990.00", client=STOP),
        leg(rig, "TAKE_PROFIT", "3010.00", client=PROFIT, **changes),
    ]


def bulk(rig: Rig, *orders: dict[str, Any], **more: object) -> dict[str, Any]:
    body = {"sub_account_id": SUB, "orders": list(orders), "order_i_ds": [], "client_order_i_ds": [], **more}
    reply = rig.raw("/full/v2/bulk_orders", body)
    assert isinstance(reply, HttpReply)
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def trade_at(rig: Rig, price: str, quantity: str = "0.01") -> None:
    """Somebody sells at a lower bid, or buys at a higher offer."""
    falls = price < "3000.00"
    rig.exchange.cancel_all("flow" if falls else "house", None, "HOUSE")
    rig.house(Side.BUY if falls else Side.SELL, price, "9")
    rig.house(Side.SELL if falls else Side.BUY, price, quantity)


def end_of(rig: Rig, client: int) -> tuple[str, str]:
    state = rig.state(client)
    return state["status"], state["reject_reason"]


def test_a_trigger_order_waits_for_its_price(rig: Rig, peer: Peer) -> None:
    """Open and listed, with its trigger echoed, but not in the book; the last trade sets it off."""
    rig.create(leg(rig, "STOP_LOSS", "2990.00", client=STOP))
    listed = rig.ask("open_orders")
    assert [("STOP_LOSS", "2990.0", "OPEN")] == [
        (
            order["metadata"]["trigger"]["trigger_type"],
            order["metadata"]["trigger"]["tpsl"]["trigger_price"],
            order["state"]["status"],
        )
        for order in listed
    ]
    trade_at(rig, "2990.01")
    assert ("OPEN", "UNSPECIFIED") == end_of(rig, STOP)
    trade_at(rig, "2990.00")
    assert ("FILLED", "0.16") == (rig.state(STOP)["status"], rig.state(STOP)["traded_size"][0])


def test_a_mark_trigger_looks_at_the_book(rig: Rig) -> None:
    """No trade is needed: the mid alone sets it off, a moment after it moved."""
    rig.create(leg(rig, "STOP_LOSS", "2995.00", "MARK", client=STOP))
    rig.exchange.cancel_all("flow", None, "HOUSE")
    rig.house(Side.BUY, "2980.00", "9")
    rig.clock.run_for(1.0)
    assert "FILLED" == rig.state(STOP)["status"]


def test_a_triggered_order_without_takers_ends_cancelled(rig: Rig, peer: Peer) -> None:
    """It was open: so it cannot become rejected any more."""
    order = rig.order(side=Side.SELL, price="3200.00", tif="IMMEDIATE_OR_CANCEL", reduce_only=True, client=PROFIT)
    order["metadata"]["trigger"] = trigger("TAKE_PROFIT", "3010.00")
    rig.create(order)
    trade_at(rig, "3010.00")
    assert [("OPEN", "UNSPECIFIED"), ("CANCELLED", "IOC_CANCEL")] == peer.statuses()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trigger_by": "WISH"}, 2110),
        ({"trigger_price": "0"}, 2113),
        ({"close_position": True}, 2117),
        ({"is_split_position": True}, 2242),
    ],
)
def test_a_strange_trigger_is_refused(rig: Rig, changes: dict[str, object], code: int) -> None:
    """With the venue's own codes."""
    assert code == rig.code(leg(rig, "STOP_LOSS", "2990.00", client=STOP, **changes))


def test_a_pair_is_acknowledged_before_anything_is_known(rig: Rig) -> None:
    """A bare reply without result: id 0x00, a state that says nothing, null sizes."""
    reply = bulk(rig, *pair(rig))
    first = reply["orders"][0]
    assert (["cancel_acks", "orders"], "0x00", "UNSPECIFIED", None) == (
        sorted(reply),
        first["order_id"],
        first["state"]["status"],
        first["state"]["traded_size"],
    )


@pytest.mark.parametrize(("price", "winner", "loser"), [("3010.00", PROFIT, STOP), ("2990.00", STOP, PROFIT)])
def test_one_of_a_pair_goes_off_and_the_other_is_ended(rig: Rig, price: str, winner: int, loser: int) -> None:
    """The reason names the trigger of the counterpart."""
    bulk(rig, *pair(rig))
    trade_at(rig, price)
    assert ("FILLED", ("CANCELLED", "OCO_COUNTER_PART_TRIGGERED")) == (rig.state(winner)["status"], end_of(rig, loser))


def test_a_cancel_of_one_ends_both(rig: Rig) -> None:
    """Whichever it names."""
    bulk(rig, *pair(rig))
    rig.ask("cancel_order", client_order_id=str(PROFIT))
    assert [("CANCELLED", "CLIENT_CANCEL")] * 2 == [end_of(rig, STOP), end_of(rig, PROFIT)]


def test_a_venue_that_ignores_pairs_leaves_the_other_alone(rig: Rig) -> None:
    """The switch for what nobody has seen live."""
    rig.face.set_ignores_pairs(is_on=True)
    bulk(rig, *pair(rig))
    trade_at(rig, "3010.00")
    assert ("FILLED", "OPEN") == (rig.state(PROFIT)["status"], rig.state(STOP)["status"])


def test_two_single_triggers_are_no_pair(rig: Rig) -> None:
    """Only a bulk request links."""
    for order in pair(rig):
        rig.create(order)
    rig.ask("cancel_order", client_order_id=str(PROFIT))
    assert "OPEN" == rig.state(STOP)["status"]


@pytest.mark.parametrize(
    ("orders", "code"),
    [
        (lambda rig: pair(rig, size="0.15"), 2236),
        (lambda rig: [*pair(rig), rig.order()], 2236),
        (lambda rig: [leg(rig, "STOP_LOSS", "2990.00", client=STOP), leg(rig, "STOP_LOSS", "2980.00", client=PROFIT)], 2236),
        (lambda rig: [rig.order(client=STOP), rig.order(client=STOP)], 2012),
        (lambda rig: [{**rig.order(), "sub_account_id": "1"}], 1001),
        (lambda rig: [rig.order(), rig.order(symbol="BTC_USDT_Perp", price="90000.0", size="0.01")], 2234),
    ],
)
def test_a_bulk_request_is_taken_whole_or_not_at_all(rig: Rig, orders: Any, code: int) -> None:
    """Nothing of a refused one becomes an order."""
    before = len(rig.ask("order_history")) + len(rig.ask("open_orders"))
    assert code == bulk(rig, *orders(rig))["code"]
    assert before == len(rig.ask("order_history")) + len(rig.ask("open_orders"))


def test_a_dormant_order_expires(rig: Rig) -> None:
    """The signature's end is the order's."""
    rig.create(leg(rig, "STOP_LOSS", "2990.00", client=STOP))
    rig.clock.run_for(61.0)
    assert ("CANCELLED", "EXPIRED") == end_of(rig, STOP)


def test_cancel_all_and_the_dead_man_reach_dormant_orders(rig: Rig) -> None:
    """As far as anybody knows they are open orders like any other."""
    rig.create(leg(rig, "STOP_LOSS", "2990.00", client=STOP))
    rig.ask("cancel_all_orders")
    rig.create(leg(rig, "TAKE_PROFIT", "3010.00", client=PROFIT))
    rig.ask("cancel_on_disconnect", countdown_time="5000")
    rig.clock.run_for(6.0)
    reasons = [end_of(rig, each)[1] for each in (STOP, PROFIT)]
    assert ["CLIENT_BULK_CANCEL", "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED"] == reasons
