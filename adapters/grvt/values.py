"""Numbers, ids and times as GRVT writes them, and the typed refusal of everything else.

Pure. It must never let a number pass that is not finite and of a sane length, and never repeat a secret of a refused text.
"""

from __future__ import annotations

import enum
import re
from decimal import Decimal

from core.types import ZERO, ClientOrderId, VenueId, VenueOrderId

VENUE = VenueId("grvt")
CLIENT_ID_BASE = 2**63
"""Machines use the upper half of the uint64 space, the web interface the lower one (grvt.md §4)."""

_DIGITS_MAX = 30
_MAGNITUDE_MAX = 18
_TEXT_MAX = 40
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_NOT_FINITE = frozenset({"nan", "snan", "inf", "infinity"})
_UINT = re.compile(r"[0-9]{1,39}|0[xX][0-9a-fA-F]{1,32}")
_HEAD_LENGTH = 200
_SECRETS = (
    (re.compile(r'("(?:r|s|s1|signature|api_key|cookie)"\s*:\s*")[^"]*'), r"\1***"),
    (re.compile(r"gravity=[^;,\s\"]+"), "gravity=***"),
    (re.compile(r"0x[0-9a-fA-F]{41,}"), "0x***"),
)


class Rule(enum.Enum):
    """Why a text of the venue is not accepted."""

    NOT_JSON = "not JSON"
    WRONG_SHAPE = "wrong shape"
    UNKNOWN_KIND = "unknown kind"
    NOT_A_NUMBER = "not a number"
    NOT_FINITE = "not finite"
    NEGATIVE = "negative"
    ZERO = "zero"
    TOO_LONG = "too long"
    BAD_ID = "bad id"
    OTHER_ACCOUNT = "other account"
    OTHER_SYMBOL = "other symbol"


class WireRefused(Exception):
    """A rule refuses bytes of the venue; they change nothing."""

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(f"{rule.value}: {detail}")
        self.rule = rule


def number(text: str, field: str) -> Decimal:
    """A finite decimal of at most 30 digits, between 1e-18 and 1e18 in size; minus zero becomes zero."""
    if len(text) > _TEXT_MAX:
        raise WireRefused(Rule.TOO_LONG, f"{field} has {len(text)} characters")
    if _NUMBER.fullmatch(text) is None:
        rule = Rule.NOT_FINITE if text.lstrip("+-").lower() in _NOT_FINITE else Rule.NOT_A_NUMBER
        raise WireRefused(rule, f"{field} {text!r}")
    value = Decimal(text)
    if value == 0:
        return ZERO
    if len(value.as_tuple().digits) > _DIGITS_MAX or abs(value.adjusted()) > _MAGNITUDE_MAX:
        raise WireRefused(Rule.TOO_LONG, f"{field} {text!r}")
    return value


def not_negative(text: str, field: str) -> Decimal:
    value = number(text, field)
    if value < 0:
        raise WireRefused(Rule.NEGATIVE, f"{field} {text!r}")
    return value


def positive(text: str, field: str) -> Decimal:
    value = not_negative(text, field)
    if value == 0:
        raise WireRefused(Rule.ZERO, field)
    return value


def uint(raw: str | int, field: str, bits: int) -> int:
    """An unsigned integer written as JSON number, decimal or 0x text; empty text is 0."""
    if isinstance(raw, str):
        if raw == "":
            return 0
        if _UINT.fullmatch(raw) is None:
            raise WireRefused(Rule.BAD_ID, f"{field} {raw[:_TEXT_MAX]!r}")
        raw = int(raw, 16) if raw[:2] in ("0x", "0X") else int(raw)
    if not 0 <= raw < 1 << bits:
        raise WireRefused(Rule.BAD_ID, f"{field} is outside {bits} bits")
    return raw


def unix_ms(raw: str | int, field: str) -> int:
    """Unix nanoseconds to milliseconds; 0 where the venue gives no time."""
    return uint(raw, field, 64) // 1_000_000


def client_order_id(raw: str | int) -> ClientOrderId | None:
    """Our counter of a wire id; None for an id of the lower half, which is never ours (docs/plan.md)."""
    value = uint(raw, "client_order_id", 64)
    return ClientOrderId(value - CLIENT_ID_BASE) if value >= CLIENT_ID_BASE else None


def wire_client_order_id(counter: ClientOrderId) -> str:
    """``2**63 + counter`` as decimal text; a counter outside [0, 2**63) is a programming error."""
    if not 0 <= counter < CLIENT_ID_BASE:
        raise ValueError(f"client order id {counter} does not fit GRVT's space")
    return str(CLIENT_ID_BASE + counter)


def venue_order_id(raw: str | int) -> VenueOrderId | None:
    """One spelling for one id: clients vary hex and decimal, 0 and "0x00" mean none (grvt.md §3)."""
    value = uint(raw, "order_id", 128)
    return VenueOrderId(f"0x{value:032x}") if value else None


def redacted(text: str) -> str:
    """``text`` without signatures, cookies and keys."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def head_of(frame: bytes) -> str:
    """The first 200 characters of a frame, secrets removed before the cut."""
    return redacted(frame[: 20 * _HEAD_LENGTH].decode("utf-8", "replace"))[:_HEAD_LENGTH]
