"""Request bodies, byte by byte where the signature depends on them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from adapters.grvt import requests
from adapters.grvt.signer import NotSignable, OrderSigner, SignableOrder
from core.types import ClientOrderId, Side, TimeInForce
from tests.adapters.grvt.support import BASE, ETH, KEY, SUB, place_order, wire

SIGNER = OrderSigner(KEY, 325)
EXPIRATION = 1_767_225_600_000_000_000


def created(**changes: object) -> dict[str, object]:
    call = requests.create_order(place_order(**changes), ETH, SUB, SIGNER, EXPIRATION)
    order: dict[str, object] = json.loads(call.body)["order"]
    return order


def test_an_order_has_the_fields_of_the_venues_own_sample() -> None:
    """No field more (2010, 2050, 2051), none less."""
    samples = [line["frame"] for line in wire("ws_rpc.jsonl") if line["what"] == "create_order"]
    expected = samples[0]["params"]["order"]
    actual = created()
    assert set(expected) == set(actual)
    assert set(expected["signature"]) == set(actual["signature"])  # type: ignore[call-overload]
    assert set(expected["legs"][0]) == set(actual["legs"][0])  # type: ignore[index]


STOP = {"trigger_price": Decimal("2990.5"), "trigger_kind": "stop", "is_market": True, "post_only": False}


def test_a_trigger_travels_in_the_metadata() -> None:
    """As the documentation's own sample has it, watching the last trade; the price that is signed is the worst one."""
    sample = next(line for line in wire("trading_rest_doc.jsonl") if line["name"] == "Full Request" and "bulk" in line["channel"])
    expected = sample["frame"]["orders"][0]["metadata"]["trigger"]
    metadata = created(**STOP)["metadata"]
    assert {**expected, "trigger_type": "STOP_LOSS", "tpsl": {**expected["tpsl"], "trigger_price": "2990.5"}} == metadata[
        "trigger"
    ]  # type: ignore[index]


@pytest.mark.parametrize(("kind", "word"), [("stop", "STOP_LOSS"), ("take_profit", "TAKE_PROFIT")])
def test_each_kind_of_trigger_has_its_word(kind: str, word: str) -> None:
    assert word == created(**STOP | {"trigger_kind": kind})["metadata"]["trigger"]["trigger_type"]  # type: ignore[index]


def test_a_market_exit_is_a_limit_order_that_takes_and_goes() -> None:
    """The venue's market orders have no worst price: immediate or cancel at ours, and signed so."""
    order = created(**STOP)
    signed = SIGNER.sign(
        SignableOrder(int(SUB), False, 3, False, False, 0x030401, 160_000_000, 3_072_800_000_000, True, 7, EXPIRATION)
    )
    assert ("IMMEDIATE_OR_CANCEL", False, "3072.80", signed.r) == (
        order["time_in_force"],
        order["is_market"],
        order["legs"][0]["limit_price"],  # type: ignore[index]
        order["signature"]["r"],  # type: ignore[index]
    )


def test_a_bulk_request_holds_each_order_with_its_own_signature() -> None:
    """Under the wire's own names for the lists of cancels, which stay empty."""
    pair = (place_order(**STOP), place_order(client_order_id=ClientOrderId(8)))
    body = json.loads(requests.bulk_orders(pair, ETH, SUB, SIGNER, EXPIRATION).body)
    assert [created(**STOP), created(client_order_id=ClientOrderId(8))] == body.pop("orders")
    assert {"sub_account_id": SUB, "order_i_ds": [], "client_order_i_ds": []} == body


def test_the_signature_covers_what_the_body_says() -> None:
    """Size, price, side, nonce and expiration of the body are those that were signed."""
    order = created()
    signed = SIGNER.sign(
        SignableOrder(
            sub_account_id=int(SUB),
            is_market=False,
            time_in_force=1,
            post_only=True,
            reduce_only=False,
            asset_id=0x030401,
            contract_size=160_000_000,
            limit_price=3_072_800_000_000,
            is_buying=True,
            nonce=7,
            expiration_ns=EXPIRATION,
        )
    )
    expected = {
        "signer": SIGNER.address,
        "r": signed.r,
        "s": signed.s,
        "v": signed.v,
        "expiration": str(EXPIRATION),
        "nonce": 7,
        "chain_id": "325",
    }
    assert expected == order["signature"]


def test_an_ioc_sell_that_reduces() -> None:
    """Time in force, side and reduce-only travel both in the body and in the signature."""
    order = created(side=Side.SELL, time_in_force=TimeInForce.IOC, reduce_only=True, post_only=False)
    actual = (order["time_in_force"], order["reduce_only"], order["post_only"], order["legs"][0]["is_buying_asset"])  # type: ignore[index]
    assert ("IMMEDIATE_OR_CANCEL", True, False, False) == actual


def test_the_same_order_is_the_same_bytes() -> None:
    """A repetition is a duplicate to the venue, not a second order."""
    calls = [requests.create_order(place_order(), ETH, SUB, SIGNER, EXPIRATION) for _ in range(2)]
    assert calls[0] == calls[1]


def test_each_order_has_a_nonce_of_its_own() -> None:
    """The nonce follows from the client order id and stays a uint32."""
    nonces = [created(client_order_id=ClientOrderId(n))["signature"]["nonce"] for n in (1, 2, 2**32 + 3)]  # type: ignore[index, call-overload]
    assert [1, 2, 3] == nonces


@pytest.mark.parametrize("changes", [{"price": Decimal("1.0000000001")}, {"quantity": Decimal("1E-10")}, {"price": Decimal(0)}])
def test_an_order_that_cannot_be_signed_exactly_is_refused(changes: dict[str, Decimal]) -> None:
    """Excess decimals and a price of zero never become bytes."""
    with pytest.raises(NotSignable):
        created(**changes)


def test_numbers_are_plain_text() -> None:
    """No exponent reaches the wire."""
    leg = created(quantity=Decimal("1E+1"), price=Decimal("1E-2"))["legs"][0]  # type: ignore[index]
    assert ("10", "0.01") == (leg["size"], leg["limit_price"])


def test_a_cancel_names_the_client_id_and_its_time_to_live() -> None:
    """The wire id is 2**63 + counter; the time-to-live never exceeds the venue's 5000 ms."""
    body = json.loads(requests.cancel_order(SUB, ClientOrderId(7), 60_000).body)
    assert {"sub_account_id": SUB, "client_order_id": str(BASE + 7), "time_to_live_ms": "5000"} == body


@pytest.mark.parametrize(
    ("countdown_s", "expected"), [(0, "0"), (0.5, "2000"), (1, "2000"), (15, "15000"), (15.2, "16000"), (900, "300000")]
)
def test_the_dead_man_counts_whole_seconds_and_never_disarms_by_rounding(countdown_s: float, expected: str) -> None:
    """1000 ms and less would disarm, more than 300 s is refused (6000)."""
    assert expected == json.loads(requests.cancel_on_disconnect(SUB, countdown_s).body)["countdown_time"]


def test_the_fill_history_starts_in_nanoseconds() -> None:
    """start_time is unix ns as text; the filter names our contract."""
    body = json.loads(requests.fill_history(SUB, ETH, 1_767_359_367_586, "abc").body)
    actual = (body["start_time"], body["cursor"], body["kind"], body["base"], body["quote"])
    assert ("1767359367586000000", "abc", ["PERPETUAL"], ["ETH"], ["USDT"]) == actual


def test_every_path_is_a_route_of_the_specification() -> None:
    """A misspelt route would be a 404 at the worst time."""
    routes = {f"/full/{line['route']}" for line in wire("routes.jsonl") if "route" in line}
    calls = [
        requests.create_order(place_order(), ETH, SUB, SIGNER, EXPIRATION),
        requests.bulk_orders((place_order(),), ETH, SUB, SIGNER, EXPIRATION),
        requests.cancel_order(SUB, ClientOrderId(1), None),
        requests.cancel_all(SUB, ETH),
        requests.cancel_on_disconnect(SUB, 10),
        requests.order(SUB, ClientOrderId(1)),
        requests.open_orders(SUB, ETH),
        requests.positions(SUB, ETH),
        requests.fill_history(SUB, ETH, 0, ""),
        requests.account_summary(SUB),
        requests.all_instruments(),
        requests.book(ETH.symbol),
    ]
    assert [] == [call.path for call in calls if call.path not in routes]
