"""Cancels on GRVT's face: acknowledged always, armed for orders still to come, and the dead-man countdown."""

from __future__ import annotations

from typing import Any

import pytest

from core.types import Side
from simulator.clock import Delays
from tests.simulator.grvt_rig import SUB, Peer, Rig

FIRST = 2**63 + 1
"""Client id of a rig's first order."""


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.login()
    return rig


@pytest.fixture
def peer(rig: Rig) -> Peer:
    """A client following the states of orders and cancels."""
    return rig.watch("v1.state", "v1.cancel")


def test_a_cancel_by_client_id_ends_the_order(rig: Rig, peer: Peer) -> None:
    """The ack is true; the end comes on the stream."""
    rig.create()
    ack = rig.ask("cancel_order", client_order_id=str(FIRST))
    assert ({"ack": True}, ("CANCELLED", "CLIENT_CANCEL")) == (ack, peer.statuses()[-1])


def test_a_cancelled_order_keeps_what_it_filled(rig: Rig, peer: Peer) -> None:
    """CANCELLED with traded size and average price."""
    rig.create(price="3000.00")
    rig.house(Side.SELL, "3000.00", "0.06")
    rig.ask("cancel_order", client_order_id=str(FIRST))
    state = peer.feeds("v1.state")[-1]["order_state"]
    assert ("CANCELLED", ["0.0"], ["0.06"]) == (state["status"], state["book_size"], state["traded_size"])


@pytest.mark.parametrize("spelling", [str, lambda n: f"{n:#x}"])
def test_a_cancel_by_id_takes_any_spelling(rig: Rig, spelling: Any) -> None:
    """Ids are compared as integers."""
    rig.create()
    order_id = int(rig.ask("order", client_order_id=str(FIRST))["order_id"], 16)
    rig.ask("cancel_order", order_id=spelling(order_id))
    assert "CANCELLED" == rig.state(FIRST)["status"]


@pytest.mark.parametrize("params", [{"client_order_id": "5"}, {"order_id": "0x0101010403ffffff00000000000000ff"}])
def test_cancelling_nothing_is_acknowledged_too(rig: Rig, params: dict[str, str]) -> None:
    """The ack says received, not done: there is no unknown-order error."""
    assert {"ack": True} == rig.ask("cancel_order", **params)


@pytest.mark.parametrize(("params", "code"), [({}, 3021), ({"client_order_id": "5", "time_to_live_ms": "5100"}, 2301)])
def test_cancels_are_refused_by_rule(rig: Rig, params: dict[str, str], code: int) -> None:
    """No id, and a time to live above 5000 ms."""
    assert code == rig.call("cancel_order", {"sub_account_id": SUB, **params})["code"]


@pytest.mark.parametrize(("ttl", "lives_ms"), [(None, 100), ("1", 100), ("450", 400), ("5000", 5000)])
def test_a_cancel_waits_for_an_order_not_yet_there(ttl: str | None, lives_ms: int) -> None:
    """Within the window (default 100 ms, floored to hundreds) a create dies on arrival, after it the create lives."""
    outcomes = []
    for wait_ms in (lives_ms - 1, lives_ms + 1):
        rig = Rig()
        rig.login()
        peer = rig.watch("v1.state")
        rig.ask("cancel_order", client_order_id=str(FIRST), **({"time_to_live_ms": ttl} if ttl else {}))
        rig.clock.run_for(wait_ms / 1000)
        rig.create()
        outcomes.append(peer.statuses()[-1])
    assert [("REJECTED", "CLIENT_CANCEL"), ("OPEN", "UNSPECIFIED")] == outcomes


def test_an_unused_window_expires_on_its_stream(rig: Rig, peer: Peer) -> None:
    """v1.cancel tells EXPIRED when no order came."""
    rig.ask("cancel_order", client_order_id="5", time_to_live_ms="500")
    rig.clock.run_for(0.5)
    assert [("5", "EXPIRED")] == [(f["client_order_id"], f["cancel_status"]) for f in peer.feeds("v1.cancel")]


def test_a_second_cancel_inside_the_window_is_dropped(rig: Rig, peer: Peer) -> None:
    """DROPPED_DUPLICATE at once, and the window keeps its first end."""
    rig.ask("cancel_order", client_order_id="5", time_to_live_ms="500")
    rig.clock.run_for(0.3)
    rig.ask("cancel_order", client_order_id="5", time_to_live_ms="500")
    rig.clock.run_for(0.2)
    assert ["DROPPED_DUPLICATE", "EXPIRED"] == [feed["cancel_status"] for feed in peer.feeds("v1.cancel")]


def test_a_window_that_killed_is_used_up(rig: Rig, peer: Peer) -> None:
    """One create dies, the next of that client id lives, and no EXPIRED follows."""
    rig.ask("cancel_order", client_order_id=str(FIRST), time_to_live_ms="5000")
    rig.create(client=FIRST)
    rig.create(client=FIRST)
    rig.clock.run_for(5)
    expected = ([("REJECTED", "CLIENT_CANCEL"), ("OPEN", "UNSPECIFIED")], [])
    assert expected == (peer.statuses(), peer.feeds("v1.cancel"))


def test_a_cancel_overtakes_an_order_in_the_speed_bump() -> None:
    """The create acknowledged but still waiting is killed by a cancel that came in between."""
    rig = Rig(delays=Delays(0.0, 0.0, 0.001))
    rig.login()
    rig.create(post_only=False)
    rig.ask("cancel_order", client_order_id=str(FIRST))
    rig.clock.run_for(0.03)
    assert ("REJECTED", "CLIENT_CANCEL") == (rig.state(FIRST)["status"], rig.state(FIRST)["reject_reason"])


def test_cancel_all_ends_what_its_filter_covers(rig: Rig, peer: Peer) -> None:
    """Only the contracts of the base asked for, with the bulk reason."""
    rig.create()
    rig.create(symbol="BTC_USDT_Perp", size="0.01", price="90000.0")
    peer.texts.clear()
    rig.ask("cancel_all_orders", base=["ETH"])
    left = [order["legs"][0]["instrument"] for order in rig.ask("open_orders")]
    assert ([("CANCELLED", "CLIENT_BULK_CANCEL")], ["BTC_USDT_Perp"]) == (peer.statuses(), left)


# -- the dead-man countdown


def test_the_countdown_cancels_everything(rig: Rig, peer: Peer) -> None:
    """Not refreshed for its time (whole seconds), it ends all orders with its reason."""
    rig.create()
    rig.ask("cancel_on_disconnect", countdown_time="5900")
    rig.clock.run_for(4.99)
    before = peer.statuses()[-1][0]
    rig.clock.run_for(0.02)
    assert ("OPEN", ("CANCELLED", "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED")) == (before, peer.statuses()[-1])


@pytest.mark.parametrize(("second", "status"), [("5000", "OPEN"), ("0", "OPEN"), ("1000", "OPEN")])
def test_the_countdown_is_refreshed_or_disarmed(rig: Rig, peer: Peer, second: str, status: str) -> None:
    """A later call takes the place of the earlier one; up to 1000 ms it disarms."""
    rig.create()
    rig.ask("cancel_on_disconnect", countdown_time="5000")
    rig.clock.run_for(3)
    rig.ask("cancel_on_disconnect", countdown_time=second)
    rig.clock.run_for(4)
    assert status == peer.statuses()[-1][0]


def test_the_countdown_has_a_longest_time(rig: Rig) -> None:
    """Above 300 s it is 6000."""
    assert 6000 == rig.call("cancel_on_disconnect", {"sub_account_id": SUB, "countdown_time": 300_001})["code"]
