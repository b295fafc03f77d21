"""Claims on what is sent: forms, queries, ids, subscription texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from adapters.apex import requests
from adapters.apex.requests import Call
from adapters.apex.values import client_order_id, wire_client_id
from adapters.apex.zk import NotSignable
from core.types import ClientOrderId, Side, TimeInForce, VenueOrderId
from tests.adapters.apex.support import ACCOUNT, BTC, KEY, SYMBOL, WALL_MS, FakeSigner, order, recorded

STOP = {"trigger_price": Decimal(58000), "trigger_kind": "stop"}
TAKE = {"trigger_price": Decimal(68000), "trigger_kind": "take_profit"}
SKIPPED = {"slLimitFee", "tpLimitFee", "isPositionTpsl", "isOpenTpslOrder", "isSetOpenSl", "isSetOpenTp"}
"""What the venue's library adds to every order without meaning anything by it (apex.md §1.5)."""


def fields_of(**changes: Any) -> dict[str, str]:
    return dict(requests.place_order(order(**changes), BTC, ACCOUNT, FakeSigner(), WALL_MS).fields)


@pytest.mark.parametrize(
    ("changes", "kind", "time_in_force"),
    [
        ({"time_in_force": TimeInForce.IOC}, "LIMIT", "IMMEDIATE_OR_CANCEL"),
        ({"time_in_force": TimeInForce.GTC}, "LIMIT", "GOOD_TIL_CANCEL"),
        ({"time_in_force": TimeInForce.GTC, "post_only": True}, "LIMIT", "POST_ONLY"),
        ({"is_market": True}, "MARKET", "GOOD_TIL_CANCEL"),
        ({"is_market": True, "time_in_force": TimeInForce.GTC, **STOP}, "STOP_MARKET", "IMMEDIATE_OR_CANCEL"),
        ({"is_market": True, **TAKE}, "TAKE_PROFIT_MARKET", "IMMEDIATE_OR_CANCEL"),
        ({"time_in_force": TimeInForce.GTC, **STOP}, "STOP_LIMIT", "GOOD_TIL_CANCEL"),
        ({"time_in_force": TimeInForce.GTC, **TAKE}, "TAKE_PROFIT_LIMIT", "GOOD_TIL_CANCEL"),
    ],
)
def test_each_kind_of_order_has_its_words(changes: dict[str, Any], kind: str, time_in_force: str) -> None:
    """Six types of the venue."""
    fields = fields_of(**changes)
    assert (kind, time_in_force) == (fields["type"], fields["timeInForce"])


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("limit_ioc_sell_reduce", {"reduce_only": True}),
        ("stop_market_reduce", {"reduce_only": True, "is_market": True, **STOP}),
    ],
)
def test_a_form_has_the_fields_of_the_recorded_one(case: str, changes: dict[str, Any]) -> None:
    """Those that mean something, no more and no fewer."""
    [row] = [row for row in recorded("sdk_order_posts") if row["case"] == case]
    assert set(row["form"]) - SKIPPED == set(fields_of(**changes))


def test_an_order_says_what_was_decided() -> None:
    """Plain digits; the trigger's own price beside the worst price."""
    fields = fields_of(is_market=True, reduce_only=True, **STOP)
    expected = {
        "symbol": SYMBOL, "side": "SELL", "size": "0.002", "price": "59000", "limitFee": "0.059000", "clientId": "pf-7",
        "reduceOnly": "true", "triggerPrice": "58000", "triggerPriceType": "MARKET", "expiration": str(WALL_MS + 2_419_200_000),
    }  # fmt: skip
    assert expected == {name: fields[name] for name in expected}


def test_an_order_without_a_trigger_names_none() -> None:
    """The venue would hold it back."""
    assert [] == [name for name in fields_of() if name.startswith("trigger")]


def test_the_signature_covers_the_sent_numbers() -> None:
    """Client id, size, price, side, account and contract are those of the form."""
    signer = FakeSigner()
    fields = requests.place_order(order(side=Side.BUY), BTC, ACCOUNT, signer, WALL_MS).fields
    [signed] = signer.signed
    expected = (signed.client_id, signed.size, signed.price, signed.is_buy, signed.account_id, signed.pair_id, signed.decimals)
    assert expected == (
        fields["clientId"], Decimal(fields["size"]), Decimal(fields["price"]), fields["side"] == "BUY", ACCOUNT.account_id, 50001, 18,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"post_only": True},
        {"post_only": True, "is_market": True, "time_in_force": TimeInForce.GTC},
        {"trigger_price": Decimal(1)},
        {"trigger_kind": "stop"},
        {"price": Decimal("NaN")},
        {"quantity": Decimal(0)},
        {"trigger_price": Decimal(-1), "trigger_kind": "stop"},
    ],
)
def test_an_order_that_the_venue_has_no_form_for_is_not_signable(changes: dict[str, Any]) -> None:
    """Contradictions, half a trigger, numbers that are none."""
    with pytest.raises(NotSignable):
        fields_of(**changes)


@pytest.mark.parametrize(
    ("case", "call"),
    [
        ("delete_order_v3", lambda: requests.cancel_order(ClientOrderId(1), VenueOrderId("785015866942030691"))),
        ("delete_open_orders_v3", lambda: requests.cancel_all("BTC-USDT")),
        ("get_account_v3", requests.account),
        ("get_account_balance_v3", requests.balance),
        ("get_order_v3", lambda: requests.order(ClientOrderId(1), VenueOrderId("785015866942030691"))),
        ("history_orders_v3", lambda: requests.history("BTC-USDT", 1_790_000_000_000, 0)),
        ("get_worst_price_v3", lambda: requests.worst_price("BTC-USDT", Side.SELL, Decimal("0.01"))),
    ],
)
def test_calls_equal_the_recorded_ones(case: str, call: Callable[[], Call]) -> None:
    """Method, path, query in the same order, and form."""
    [row] = [row for row in recorded("sdk_order_posts") if row["case"] == case]
    sent = requests.render(call(), KEY, 1)
    target = f"{sent.path}?{sent.query}" if sent.query else sent.path
    assert (row["method"], row["path"], row["body"]) == (call().method, target, (sent.body or b"").decode())


def test_open_orders_are_asked_with_position_orders() -> None:
    """Without the flag the venue leaves out position TP/SL (apex.md §0.6)."""
    assert {"showPositionOrders": "true"} == requests.open_orders().fields


def test_our_client_id_is_cancelled_and_asked_for_as_id() -> None:
    """The parameter is called id for both kinds (apex.md §0.4)."""
    cancel, look = requests.cancel_order(ClientOrderId(9), None), requests.order(ClientOrderId(9), None)
    expected = (("/v3/delete-client-order-id", {"id": "pf-9"}), ("/v3/order-by-client-order-id", {"id": "pf-9"}))
    assert expected == ((cancel.path, cancel.fields), (look.path, look.fields))


def test_a_form_is_url_encoded() -> None:
    """Names and values come back as they were."""
    fields = fields_of()
    body = requests.render(Call("POST", "/v3/order", fields), KEY, 1).body or b""
    assert fields == dict(parse_qsl(body.decode()))


@pytest.mark.parametrize("counter", [0, 7, 2**32 - 1])
def test_a_counter_comes_back_from_its_text(counter: int) -> None:
    """Over the whole range of the journal's counter."""
    assert counter == client_order_id(wire_client_id(ClientOrderId(counter)))


@pytest.mark.parametrize(
    "text", [None, "", "7", "pf-", "pf-07", "pf--7", "PF-7", "pf-4294967296", "pf-7 ", "apexomni-1-2-3", "pf-٧"]
)
def test_an_id_of_another_form_is_foreign(text: str | None) -> None:
    """It is never one of our orders."""
    assert client_order_id(text) is None


def test_a_counter_out_of_range_is_a_programming_error() -> None:
    """It could not be recognised again."""
    with pytest.raises(ValueError, match="outside"):
        wire_client_id(ClientOrderId(2**32))


def test_stream_commands_are_the_documented_frames() -> None:
    """Subscribe, and a pong with the stamp."""
    frames = [row["frame"] for row in recorded("ws_docs_examples") if row["dir"] == "tx"]
    assert frames == [json.loads(requests.command(frame["op"], frame["args"])) for frame in frames]


def test_a_stream_url_carries_version_and_time() -> None:
    """Appended to the base, with or without a slash."""
    assert "ws://x/realtime_public?v=2&timestamp=5" == requests.stream_url("ws://x/", requests.PUBLIC_PATH, 5)
