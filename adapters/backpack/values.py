"""Judges the numbers, ids and times of Backpack's payloads, and cleans text for logs. Pure; it never touches a socket or a clock.

``WireRefused`` is the one typed rule for bytes that may not become a fact: wrong shape, NaN, infinite, negative where it cannot be,
or beyond any size a market has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from adapters.transport.decoding import decoder_of
from core.types import ClientOrderId, Side, VenueId, VenueOrderId

VENUE = VenueId("backpack")
MAX_CLIENT_ID = 2**32 - 1
"""``clientId`` is a uint32 (backpack.md §4)."""

_MAX_MAGNITUDE = 15
_MAX_DECIMALS = 40
_MAX_DIGITS = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAUSIBLE_MS = range(946_684_800_000, 4_102_444_800_000)  # the years 2000 to 2099
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_LIKE = re.compile(r"[A-Za-z0-9+/=%\\]{32,}")
_SIDES = {"Bid": Side.BUY, "Ask": Side.SELL}

T = TypeVar("T")


class WireRefused(Exception):
    """These bytes match no rule; the text says which one they broke and holds nothing secret."""


class NotJson(WireRefused):
    """Not even JSON: a page of some gateway, or an answer that was cut short."""


def require(condition: bool, problem: str) -> None:
    """WireRefused unless ``condition`` holds."""
    if not condition:
        raise WireRefused(problem)


def scrub(text: str, limit: int = 200) -> str:
    """One printable line of at most ``limit`` characters; anything as long as a key or a signature is cut out."""
    clean = _SECRET_LIKE.sub("[redacted]", text[:8_192])
    return "".join(c if c.isprintable() else " " for c in clean)[:limit]


def excerpt(data: bytes, limit: int = 200) -> str:
    return scrub(data[:8_192].decode("utf-8", "replace"), limit)


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """msgspec decoding of venue bytes; raises WireRefused only."""
    try:
        return decoder_of(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        refusal = WireRefused if isinstance(error, msgspec.ValidationError) else NotJson
        raise refusal(f"not a {kind.__name__}: {scrub(str(error), 120)}") from None


def finite(value: Decimal, name: str) -> Decimal:
    """``value`` if it is a number a market can have, else WireRefused."""
    if value.is_finite() and value.adjusted() <= _MAX_MAGNITUDE:
        _, digits, exponent = value.as_tuple()
        if isinstance(exponent, int) and exponent >= -_MAX_DECIMALS and len(digits) <= _MAX_DIGITS:
            return value
    raise WireRefused(f"{name} is not a usable number")


def not_negative(value: Decimal, name: str) -> Decimal:
    if finite(value, name) < 0:
        raise WireRefused(f"{name} is negative")
    return value


def positive(value: Decimal, name: str) -> Decimal:
    if finite(value, name) <= 0:
        raise WireRefused(f"{name} is not above zero")
    return value


def positive_or_none(value: Decimal | None, name: str) -> Decimal | None:
    """Trigger and market orders print "0" or nothing where they have no price or quantity yet (backpack.md §3)."""
    return None if value is None or not_negative(value, name) == 0 else value


def integer(value: int | str, name: str) -> int:
    """A count, id or time below 2**63; digits as text are the same number."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= 20):
            raise WireRefused(f"{name} is not a whole number")
        value = int(value)
    if not 0 <= value < 2**63:
        raise WireRefused(f"{name} is out of range")
    return value


def client_order_id(value: int | str | None) -> ClientOrderId | None:
    """The counter as sent, or None for an order without an id of our space."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdecimal() and len(value) <= 10 else None
    return ClientOrderId(value) if value is not None and 0 <= value <= MAX_CLIENT_ID else None


def venue_order_id(value: int | str) -> VenueOrderId:
    text = str(value)
    require(_ID.fullmatch(text) is not None, "order id is not an id")
    return VenueOrderId(text)


def symbol_text(value: str) -> str:
    require(_ID.fullmatch(value) is not None, "symbol is not a symbol")
    return value


def side_or_none(word: str) -> Side | None:
    return _SIDES.get(word)


def side_of(word: str) -> Side:
    side = _SIDES.get(word)
    if side is None:
        raise WireRefused(f"side {scrub(word, 20)!r} is not Bid or Ask")
    return side


def levels(rows: Iterable[tuple[Decimal, Decimal]], name: str) -> tuple[tuple[Decimal, Decimal], ...]:
    """(price above zero, absolute quantity, zero = gone) as the venue listed them."""
    return tuple((positive(price, f"{name} price"), not_negative(quantity, f"{name} quantity")) for price, quantity in rows)


def time_ms(value: int | str, name: str) -> int:
    """Epoch milliseconds of a REST time: an integer, or naive ISO text in UTC (backpack.md §8)."""
    found = integer(value, name) if isinstance(value, int) or value.isdecimal() else _iso_ms(value, name)
    require(found in _PLAUSIBLE_MS, f"{name} is not a time of this century")
    return found


def _iso_ms(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text[:40])
    except ValueError:
        raise WireRefused(f"{name} is not a time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def engine_time_ms(value: int | str) -> int:
    """Milliseconds of a stream's ``T``, which counts microseconds (backpack.md §2)."""
    found = integer(value, "T") // 1_000
    require(found in _PLAUSIBLE_MS, "T is not a time of this century")
    return found
