"""open_venue: what it needs, what it accepts, what it composes."""

from __future__ import annotations

import pytest

from adapters.grvt import CREDENTIALS, DEFAULT_LIMITS, GrvtVenue, open_venue
from adapters.grvt.endpoints import environment
from core.config import VenueConfig
from core.ports import VenueRefused
from core.types import Channel
from tests.adapters.grvt.support import API_KEY, ETH, KEY, SUB

GOOD = {"GRVT_API_KEY": API_KEY, "GRVT_PRIVATE_KEY": KEY, "GRVT_TRADING_ACCOUNT_ID": SUB}


def refusal(config: VenueConfig, credentials: dict[str, str]) -> str:
    with pytest.raises(VenueRefused) as caught:
        open_venue(config, credentials)
    return str(caught.value)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_missing_credential_is_named(name: str) -> None:
    """By its variable, blank counts as missing."""
    assert f"grvt: missing credential {name}" == refusal(VenueConfig(), GOOD | {name: " "})


@pytest.mark.parametrize(("name", "value"), [("GRVT_PRIVATE_KEY", "0xdeadbeefcanary"), ("GRVT_TRADING_ACCOUNT_ID", "ACC:canary")])
def test_a_malformed_credential_is_named_and_not_shown(name: str, value: str) -> None:
    """The line may be read by anybody."""
    text = refusal(VenueConfig(), GOOD | {name: value})
    assert (True, False) == (name in text, "canary" in text)


@pytest.mark.parametrize(
    ("config", "accepted"),
    [
        (VenueConfig(endpoints={"trade": "https://x"}), "edge, trades, market_data, trades_ws, market_data_ws"),
        (VenueConfig(endpoints={"trades": "x"}), "https:// or http://"),
        (VenueConfig(endpoints={"trades": "http://127.0.0.1:x"}), "https:// or http://"),
        (VenueConfig(endpoints={"trades_ws": "https://x"}), "wss:// or ws://"),
        (VenueConfig(limits={"creates": 1.0}), "create, cancel"),
        (VenueConfig(limits={"create": 0.0}), "above 0"),
        (VenueConfig(limits={"create": float("nan")}), "above 0"),
    ],
)
def test_unknown_settings_are_refused_with_what_is_accepted(config: VenueConfig, accepted: str) -> None:
    """Endpoints and limits forbid what they do not know."""
    assert accepted in refusal(config, GOOD)


def test_an_unknown_environment_is_refused() -> None:
    """Also from the credentials file."""
    assert "prod, testnet" in refusal(VenueConfig(), GOOD | {"GRVT_ENVIRONMENT": "mainnet"})


def test_a_configuration_for_the_test_network_never_trades_real_money() -> None:
    """A variable that some other shell left is no wish."""
    assert "GRVT_ENVIRONMENT" in refusal(VenueConfig(environment="testnet"), GOOD | {"GRVT_ENVIRONMENT": "prod"})


@pytest.mark.parametrize(("name", "chain_id"), [("prod", 325), ("testnet", 326)])
def test_each_environment_has_its_hosts_and_its_chain(name: str, chain_id: int) -> None:
    """grvt.md §1."""
    env = environment(name, {})
    infix = "" if name == "prod" else ".testnet"
    assert (chain_id, f"wss://trades{infix}.grvt.io/ws/full", f"https://edge{infix}.grvt.io") == (
        env.chain_id,
        env.trades_ws,
        env.edge,
    )


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9", "ws://127.0.0.1:9/", "ws://127.0.0.1:9/ws/full"])
def test_a_socket_url_gets_the_full_dialect(url: str) -> None:
    """With or without its path."""
    assert "ws://127.0.0.1:9/ws/full" == environment("prod", {"trades_ws": url}).trades_ws


def test_limits_are_the_defaults_with_overrides() -> None:
    """What the limiter reads."""
    venue = open_venue(VenueConfig(limits={"create": 3.0}), GOOD)
    assert isinstance(venue, GrvtVenue)
    assert {**DEFAULT_LIMITS, "create": 3.0} == dict(venue.limits)


def test_a_venue_makes_lanes_and_streams_without_sending_anything() -> None:
    """Composition is free of I/O."""
    venue = open_venue(VenueConfig(environment="testnet"), GOOD)
    streams = venue.market_stream(ETH), venue.account_stream(ETH)
    assert [Channel.MARKET, Channel.ACCOUNT] == [stream.channel for stream in streams]
    for lane in (venue.trade_lane(ETH), venue.query_lane(ETH)):
        lane.close()
