"""Where GRVT lives, and how fast it may be asked (grvt.md §1, §6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from adapters.settings import endpoints_of, limits_of
from core.ports import VenueRefused

_WS_PATH = "/ws/full"


class Environment(NamedTuple):
    """Base URLs without a trailing slash, full socket URLs, and the chain that signatures name."""

    edge: str
    trades: str
    market_data: str
    trades_ws: str
    market_data_ws: str
    chain_id: int


ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        "prod": Environment(
            edge="https://edge.grvt.io",
            trades="https://trades.grvt.io",
            market_data="https://market-data.grvt.io",
            trades_ws="wss://trades.grvt.io/ws/full",
            market_data_ws="wss://market-data.grvt.io/ws/full",
            chain_id=325,
        ),
        "testnet": Environment(
            edge="https://edge.testnet.grvt.io",
            trades="https://trades.testnet.grvt.io",
            market_data="https://market-data.testnet.grvt.io",
            trades_ws="wss://trades.testnet.grvt.io/ws/full",
            market_data_ws="wss://market-data.testnet.grvt.io/ws/full",
            chain_id=326,
        ),
    }
)
ENDPOINT_KEYS = ("edge", "trades", "market_data", "trades_ws", "market_data_ws")

DEFAULT_LIMITS: Mapping[str, float] = MappingProxyType(
    {
        "create": 10.0,
        "cancel": 10.0,
        "cancel_all": 1.0,
        "order": 2.5,
        "open_orders": 2.5,
        "fills": 2.5,
        "positions": 2.5,
        "account": 1.25,
        "dead_man": 0.5,
        "login": 0.5,
        "market_data": 4.0,
    }
)
"""Requests per second by route class: half of what ccxt derives from the venue's help page, which nobody could read (grvt.md §6)."""


def environment(name: str, overrides: Mapping[str, str]) -> Environment:
    """The named environment with ``overrides`` of its URLs; a socket URL without a path gets the full-name dialect's."""
    if name not in ENVIRONMENTS:
        raise VenueRefused(f"grvt: environment {name!r}; accepted: {', '.join(ENVIRONMENTS)}")
    base = ENVIRONMENTS[name]
    urls = endpoints_of("grvt", overrides, {key: getattr(base, key) for key in ENDPOINT_KEYS})
    return Environment(**{key: _whole(key, url) for key, url in urls.items()}, chain_id=base.chain_id)


def limits(overrides: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(limits_of("grvt", overrides, DEFAULT_LIMITS))


def _whole(key: str, url: str) -> str:
    plain = url.rstrip("/")
    return plain + _WS_PATH if key.endswith("_ws") and urlsplit(url).path in ("", "/") else plain
