"""Claims on the requests: what is sent, what is signed, and that both are the same."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.backpack import requests
from adapters.backpack.requests import Call
from adapters.backpack.signer import signed_text
from core.types import ClientOrderId, Side, TimeInForce, VenueOrderId
from tests.adapters.backpack.support import PUBLIC_KEY, SIGNER, SYMBOL, hedge_order


def body_of(call: Call) -> dict[str, object]:
    body = requests.render(call, SIGNER, 1).body
    assert body is not None
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


def test_a_hedge_is_an_ioc_limit_order() -> None:
    """The price is the cap; clientId is a JSON number (uint32)."""
    expected = {
        "symbol": SYMBOL, "side": "Ask", "orderType": "Limit", "price": "2620", "quantity": "0.1", "timeInForce": "IOC", "clientId": 7,
    }  # fmt: skip
    assert expected == body_of(requests.place_order(hedge_order()))


def test_a_maker_order_is_post_only() -> None:
    """GTC with postOnly true."""
    order = hedge_order(side=Side.BUY, time_in_force=TimeInForce.GTC, post_only=True)
    body = body_of(requests.place_order(order))
    assert (body["side"], body["timeInForce"], body["postOnly"]) == ("Bid", "GTC", True)


def test_reduce_only_is_sent_when_asked() -> None:
    """A close may not open."""
    assert body_of(requests.place_order(hedge_order(reduce_only=True)))["reduceOnly"] is True


def test_an_order_expires_within_a_second() -> None:
    """X-Window of an order bounds how late the venue may take it."""
    headers = requests.render(requests.place_order(hedge_order()), SIGNER, 1_791_500_000_000).headers
    assert (headers["X-Window"], headers["X-Timestamp"]) == ("1000", "1791500000000")


def test_the_body_that_is_sent_is_the_body_that_is_signed() -> None:
    """The signature verifies over the fields read back from the bytes."""
    rendered = requests.render(requests.place_order(hedge_order(reduce_only=True)), SIGNER, 55)
    assert rendered.body is not None
    text = signed_text("orderExecute", json.loads(rendered.body), 55, 1_000)
    assert (PUBLIC_KEY, SIGNER.sign(text)) == (rendered.headers["X-API-Key"], rendered.headers["X-Signature"])


def test_a_get_signs_its_query() -> None:
    """Fields in alphabetical order, the same in both places."""
    rendered = requests.render(requests.fills(SYMBOL, 5, 1_000), SIGNER, 55)
    text = f"instruction=fillHistoryQueryAll&from=5&limit=1000&offset=1000&symbol={SYMBOL}&timestamp=55&window=5000"
    expected = (f"from=5&limit=1000&offset=1000&symbol={SYMBOL}", SIGNER.sign(text), None)
    assert expected == (rendered.query, rendered.headers["X-Signature"], rendered.body)


def test_a_public_get_carries_no_key() -> None:
    """Market data needs no identity."""
    assert ({}, f"limit=20&symbol={SYMBOL}") == (
        requests.render(requests.depth(SYMBOL, 20), SIGNER, 1).headers,
        requests.render(requests.depth(SYMBOL, 20), SIGNER, 1).query,
    )


def test_cancel_names_exactly_one_id() -> None:
    """By the venue's id where it is known, else by ours (backpack.md §4)."""
    by_client = body_of(requests.cancel_order(SYMBOL, ClientOrderId(7), None))
    by_venue = body_of(requests.cancel_order(SYMBOL, ClientOrderId(7), VenueOrderId("99")))
    assert (by_client, by_venue) == ({"symbol": SYMBOL, "clientId": 7}, {"symbol": SYMBOL, "orderId": "99"})


def test_cancel_is_a_delete_with_a_body() -> None:
    """DELETE carries JSON and signs it."""
    call = requests.cancel_all(SYMBOL)
    assert (call.method, call.path, body_of(call)) == ("DELETE", "/api/v1/orders", {"symbol": SYMBOL})


@pytest.mark.parametrize("client_order_id", [-1, 2**32])
def test_a_client_id_beyond_uint32_is_a_programming_error(client_order_id: int) -> None:
    """It must never be cut down to fit: the answer could not be matched."""
    with pytest.raises(ValueError, match="uint32"):
        requests.place_order(hedge_order(client_order_id=ClientOrderId(client_order_id)))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "0", "-1"])
def test_a_number_that_is_not_positive_is_never_sent(value: str) -> None:
    """Neither as price nor as quantity."""
    with pytest.raises(ValueError, match="not a positive number"):
        requests.decimal_text(Decimal(value))


def test_post_only_ioc_is_a_programming_error() -> None:
    """An order cannot both rest and be gone."""
    with pytest.raises(ValueError, match="must rest"):
        requests.place_order(hedge_order(post_only=True))


@pytest.mark.parametrize("changes", [{"trigger_price": Decimal(2600)}, {"trigger_kind": "stop"}, {"is_market": True}])
def test_a_trigger_or_market_order_is_never_sent(changes: dict[str, object]) -> None:
    """As a plain limit order a stop would be filled at once."""
    with pytest.raises(ValueError, match="no form"):
        requests.place_order(hedge_order(**changes))


@given(st.decimals(min_value="0.00000001", max_value="1000000", places=8))
def test_decimal_text_keeps_the_value_in_plain_digits(value: Decimal) -> None:
    """No exponent, no trailing zero, no lost digit."""
    text = requests.decimal_text(value)
    assert (value, False, False) == (Decimal(text), "E" in text, "." in text and text.endswith("0"))


def test_private_subscribe_carries_the_signature_list() -> None:
    """The form of the official text (backpack.md §1)."""
    message = json.loads(requests.subscribe(["account.orderUpdate.X"], ["k", "s", "1", "2"]))
    assert message == {"method": "SUBSCRIBE", "params": ["account.orderUpdate.X"], "signature": ["k", "s", "1", "2"]}
