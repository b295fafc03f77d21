"""Claims on the assembly: what is accepted, and what the venue can do."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from adapters.backpack import open_venue
from adapters.backpack.requests import ORDER_WINDOW_MS
from core.config import VenueConfig
from core.ports import VenueRefused
from tests.adapters.backpack.support import PUBLIC_KEY, SECRET_KEY, SEED

CREDENTIALS = {"BACKPACK_PUBLIC_KEY": PUBLIC_KEY, "BACKPACK_SECRET_KEY": SECRET_KEY}
LOCAL = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:2"}


def test_a_complete_section_opens() -> None:
    """Endpoints and limits may be overridden; nothing is connected yet."""
    venue = open_venue(VenueConfig(endpoints=LOCAL, limits={"rest": 5.0}), CREDENTIALS)
    assert ("backpack", 5.0) == (venue.name, venue.limits["rest"])


@pytest.mark.parametrize(
    ("config", "credentials", "expected"),
    [
        ({}, {}, "backpack: missing credential BACKPACK_PUBLIC_KEY, BACKPACK_SECRET_KEY"),
        ({}, {"BACKPACK_PUBLIC_KEY": PUBLIC_KEY}, "backpack: missing credential BACKPACK_SECRET_KEY"),
        ({"endpoints": {"grpc": "x"}}, CREDENTIALS, "venues.backpack.endpoints.grpc: not a key; accepted: rest, ws"),
        ({"endpoints": {"ws": "http://x"}}, CREDENTIALS, "venues.backpack.endpoints.ws: accepted: a URL that starts with wss:// or ws://"),
        ({"limits": {"orders": 5.0}}, CREDENTIALS, "venues.backpack.limits.orders: not a key; accepted: rest"),
        ({"limits": {"rest": 0.0}}, CREDENTIALS, "venues.backpack.limits.rest = 0.0: accepted: requests per second above 0"),
        ({"environment": "testnet"}, CREDENTIALS,
         "backpack: it has no test network; accepted: environment = prod, or endpoints for both rest and ws"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_work_is_refused_in_one_line(
    config: dict[str, Any], credentials: dict[str, str], expected: str
) -> None:
    """Naming the key and what is accepted."""
    with pytest.raises(VenueRefused) as caught:
        open_venue(VenueConfig(**config), credentials)
    assert expected == str(caught.value)


def test_a_foreign_key_pair_is_refused_without_showing_it() -> None:
    """Neither half appears in the line or in the chain of causes."""
    other = base64.b64encode(bytes(reversed(SEED))).decode()
    with pytest.raises(VenueRefused) as caught:
        open_venue(VenueConfig(), {**CREDENTIALS, "BACKPACK_SECRET_KEY": other})
    shown = [str(caught.value), repr(caught.value.__cause__)]
    assert [] == [text for text in shown if other in text or PUBLIC_KEY in text]


def test_capabilities_claim_no_more_than_is_documented() -> None:
    """No dead-man switch, no lookup of ended orders, no armed cancel; the bound covers the order window and a second more."""
    capabilities = open_venue(VenueConfig(), CREDENTIALS).capabilities
    expected = (False, False, 0, ORDER_WINDOW_MS / 1_000 + 1.0)
    actual = (
        capabilities.dead_man_switch, capabilities.query_by_client_id, capabilities.cancel_ttl_ms, capabilities.submit_bound_s,
    )  # fmt: skip
    assert expected == actual
