"""The keys of ``[venues.X]`` that an adapter reads. What it does not know or cannot use is refused in one line that names the key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from core.ports import VenueRefused


def endpoints_of(venue: str, given: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """``defaults`` with overrides, each with a scheme of its default's kind: plain or TLS. Raises VenueRefused."""
    for key, url in given.items():
        _must_be_known(f"venues.{venue}.endpoints.{key}", key, defaults)
        schemes = ("wss", "ws") if defaults[key].startswith("ws") else ("https", "http")
        if not _is_url(url, schemes):
            starts = " or ".join(f"{scheme}://" for scheme in schemes)
            raise VenueRefused(f"venues.{venue}.endpoints.{key}: accepted: a URL that starts with {starts}")
    return {**defaults, **given}


def limits_of(venue: str, given: Mapping[str, float], defaults: Mapping[str, float]) -> dict[str, float]:
    """Requests per second by class: ``defaults`` with overrides. Raises VenueRefused."""
    for key, rate in given.items():
        _must_be_known(f"venues.{venue}.limits.{key}", key, defaults)
        if not (math.isfinite(rate) and rate > 0):
            raise VenueRefused(f"venues.{venue}.limits.{key} = {rate}: accepted: requests per second above 0")
    return {**defaults, **given}


def _must_be_known(place: str, key: str, accepted: Iterable[str]) -> None:
    if key not in accepted:
        raise VenueRefused(f"{place}: not a key; accepted: {', '.join(accepted)}")


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
