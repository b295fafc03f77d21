"""Venue names to adapters, imported only when a run trades there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from adapters.lock import Claim
from adapters.redacted import RedactedVenue
from adapters.secrets import Redactor
from core.config import Config, VenueConfig
from core.ports import Venue, VenueRefused

_MODULES = {"grvt": "adapters.grvt", "backpack": "adapters.backpack", "apex": "adapters.apex"}
VENUES = tuple(_MODULES)


def open_venue(name: str, config: VenueConfig, credentials: Mapping[str, str]) -> Venue:
    """The adapter of ``name``, ready to be asked. Raises VenueRefused, one line, for a missing credential or a wrong setting."""
    if name not in _MODULES:
        raise VenueRefused(f"{name}: no adapter; accepted: {', '.join(VENUES)}")
    venue: Venue = import_module(_MODULES[name]).open_venue(config, credentials)
    return RedactedVenue(venue, Redactor.of(credentials).redact)


ACCOUNT_NAMES = {"grvt": "GRVT_TRADING_ACCOUNT_ID", "backpack": "BACKPACK_PUBLIC_KEY", "apex": "APEX_API_KEY"}
"""Which credential names the account that only one process may trade."""


def venue_names(config: Config) -> tuple[str, ...]:
    """The venues of a run, the one that leads first."""
    strategy = config.strategy
    if strategy.kind == "bracket" and strategy.bracket is not None:
        return (strategy.bracket.venue,)
    return strategy.primary, strategy.hedge


def claims(config: Config, credentials: Mapping[str, str], *more: str) -> list[Claim]:
    """What this run must hold alone: the account of each of its venues, and of those in ``more``, and the traded asset, which venues find
    in any case of its letters."""
    names, asset = dict.fromkeys((*venue_names(config), *more)), config.strategy.ticker.upper()
    return [Claim(name, credentials.get(ACCOUNT_NAMES.get(name, ""), ""), asset) for name in names]


def open_venues(config: Config, credentials: Mapping[str, str]) -> list[Venue]:
    return [open_venue(name, config.venue(name), credentials) for name in venue_names(config)]


_LIMIT_CLASSES = {
    "grvt": {"create": "create", "cancel": "cancel", "query": "order", "other": "fills"},
    "backpack": {"total": "rest"},
    "apex": {"create": "create", "cancel": "cancel", "query": "query", "other": "other", "total": "ip"},
}


def limiter_rates(name: str, limits: Mapping[str, float]) -> dict[str, float]:
    """The adapter's requests per second by its own classes, as the classes of the rate limiter (core/rate_limiter.py).

    GRVT has one bucket a route; the limiter's ``other`` holds all reads together and so stays below each of them.
    """
    return {ours: limits[theirs] for ours, theirs in _LIMIT_CLASSES[name].items()}
