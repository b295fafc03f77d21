"""Judges the numbers, ids and times of ApeX's payloads, and cleans text for logs. Pure; it never touches a socket or a clock.

``WireRefused`` is the one typed rule for bytes that may not become a fact: wrong shape, not a number, negative where it cannot be, or
beyond any size a market has. Text of the venue that could hold a credential is withheld whole, never trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

import msgspec

from adapters.transport.decoding import decoder_of
from core.types import ZERO, ClientOrderId, Side, VenueId, VenueOrderId

VENUE = VenueId("apex")
CLIENT_ID_PREFIX = "pf-"
MAX_CLIENT_ID = 2**32 - 1
"""The journal's counter serves all venues and stays within a uint32; an id of ours is ``pf-`` and the counter."""

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_MAX_MAGNITUDE = 15
_CLIENT_ID = re.compile(r"pf-(0|[1-9][0-9]{0,9})")
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_KEY_LIKE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{20,}|(?=[A-Za-z0-9+/=%\\_-]*[0-9a-z])[A-Za-z0-9+/=%\\_-]{28,}")
"""API keys are UUIDs; secrets, seeds and signatures are long. The venue's own error keys are long too, but all capitals."""
_CREDENTIAL_WORDS = ("apikey", "api_key", "passphrase", "signature", "secret", "seed")
_WITHHELD = "[withheld: may hold a credential]"
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_PLAUSIBLE_MS = range(946_684_800_000, 4_102_444_800_000)  # the years 2000 to 2099

Number = str | int
T = TypeVar("T")


class WireRefused(Exception):
    """These bytes match no rule; the text says which one they broke and holds nothing secret."""


def require(condition: bool, problem: str) -> None:
    """WireRefused unless ``condition`` holds."""
    if not condition:
        raise WireRefused(problem)


def scrub(text: str, limit: int = 200) -> str:
    """One printable line of at most ``limit`` characters. A text that names a credential is withheld: the venue echoes keys (apex.md §4)."""
    lowered = text[:8_192].lower()
    if any(word in lowered for word in _CREDENTIAL_WORDS):
        return _WITHHELD
    clean = _KEY_LIKE.sub("[redacted]", text[:8_192])
    return "".join(c if c.isprintable() else " " for c in clean)[:limit]


def excerpt(data: bytes, limit: int = 200) -> str:
    return scrub(data[:8_192].decode("utf-8", "replace"), limit)


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """msgspec decoding of venue bytes; raises WireRefused only."""
    try:
        return decoder_of(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise WireRefused(f"not a {scrub(name, 60)}: {scrub(str(error), 120)}") from None


def number(value: Number, name: str) -> Decimal:
    """A finite decimal below 1e16; the venue writes plain digits, with the contract's decimals or 18 (apex.md §1.2)."""
    text = str(value)
    if len(text) > 80 or _NUMBER.fullmatch(text) is None:
        raise WireRefused(f"{name} is not a number")
    found = Decimal(text)
    require(found == 0 or found.adjusted() <= _MAX_MAGNITUDE, f"{name} is not a usable number")
    return found


def not_negative(value: Number, name: str) -> Decimal:
    found = number(value, name)
    require(found >= 0, f"{name} is negative")
    return found


def positive(value: Number, name: str) -> Decimal:
    found = number(value, name)
    require(found > 0, f"{name} is not above zero")
    return found


def positive_or_none(value: Number | None, name: str) -> Decimal | None:
    """Empty, absent and zero mean that there is none."""
    found = ZERO if value in (None, "") else not_negative(value or 0, name)
    return found or None


def integer(value: Number, name: str) -> int:
    """A count or an id below 2**63; digits as text are the same number."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= 20):
            raise WireRefused(f"{name} is not a whole number")
        value = int(value)
    require(0 <= value < 2**63, f"{name} is out of range")
    return value


def time_ms(value: Number, name: str) -> int:
    """Epoch milliseconds of a time in seconds, milliseconds or microseconds: the venue uses all three (apex.md §1.3, §1.5, §2)."""
    raw = integer(value, name)
    found = raw * 1_000 if raw < 10**11 else raw if raw < 10**14 else raw // 1_000
    require(found in _PLAUSIBLE_MS, f"{name} is not a time of this century")
    return found


def time_ms_or_zero(value: Number | None, name: str) -> int:
    """``updatedTime`` is 0 in the answer to a new order."""
    return 0 if value in (None, "", 0, "0") else time_ms(value or 0, name)


def wire_client_id(client_order_id: ClientOrderId) -> str:
    """The text that the venue knows an order of ours by. Nonce and slot of its signature are hashed from it: it is used once, for ever."""
    if not 0 <= client_order_id <= MAX_CLIENT_ID:
        raise ValueError(f"client order id {client_order_id} is outside the counter's range")
    return f"{CLIENT_ID_PREFIX}{client_order_id}"


def client_order_id(text: str | None) -> ClientOrderId | None:
    """Our counter of a wire id; None for an order somebody else placed."""
    found = _CLIENT_ID.fullmatch(text or "")
    counter = int(found[1]) if found else -1
    return ClientOrderId(counter) if 0 <= counter <= MAX_CLIENT_ID else None


def venue_order_id(value: Number | None) -> VenueOrderId:
    text = str(value or "")
    require(_ID.fullmatch(text) is not None, "order id is not an id")
    return VenueOrderId(text)


def symbol_text(value: str) -> str:
    require(_ID.fullmatch(value) is not None, "symbol is not a symbol")
    return value


def side_of(word: str) -> Side:
    side = _SIDES.get(word)
    if side is None:
        raise WireRefused(f"side {scrub(word, 20)!r} is not BUY or SELL")
    return side


def levels(rows: Iterable[tuple[Number, Number]], name: str) -> tuple[tuple[Decimal, Decimal], ...]:
    """(price above zero, absolute quantity, zero = gone) as the venue listed them."""
    return tuple((positive(price, f"{name} price"), not_negative(quantity, f"{name} quantity")) for price, quantity in rows)
