"""What ApeX's answers say about a request: one table from its codes and keys to a verdict (apex.md §1.2, §4). Pure.

It must never turn an answer that could hide an accepted order into a refusal: what is not in the table is UNKNOWN. The venue's words are
repeated for order and number refusals only, because other messages echo the API key.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

import msgspec

from adapters.apex import models
from adapters.apex.values import excerpt, scrub
from adapters.transport.decoding import decoder_of
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown

RATE_LIMITED = "RATE_LIMITED"
CLOCK_REFUSED = "20002"
BAN_PAUSE_S = 60.0
"""How long a 403 or 429 that names no time keeps the limiter closed: the published window (apex.md §4)."""

_CODE_ORDER, _CODE_NUMBER, _CODE_BAD_KEY, _CODE_TOO_MANY = 3, 400, 10002, 10003
_BANNED_STATUSES = frozenset({403, 418, 429})


class Verdict(enum.Enum):
    """PERMANENT and TEMPORARY: nothing was done, and sending the same again cannot / may help. UNKNOWN: it may have been done."""

    PERMANENT = "PERMANENT"
    TEMPORARY = "TEMPORARY"
    UNKNOWN = "UNKNOWN"


class Answered(NamedTuple):
    """2xx JSON without a code; ``data`` is "null" where the venue sent none."""

    data: bytes


class Denied(NamedTuple):
    """The venue's own refusal, mostly inside HTTP 200. ``code`` is its key where it has one, else its number."""

    verdict: Verdict
    code: str
    reason: str
    is_rate_limit: bool = False
    retry_after_s: float | None = None


class Banned(NamedTuple):
    """403, 418 or 429 from the edge, usually an HTML page: the request went no further (apex.md §1.7, §4)."""

    reason: str
    retry_after_s: float


class Garbled(NamedTuple):
    """An answer that is not the venue's JSON: seen after cancelling a filled order (apex.md §1.7). It proves nothing.

    ``is_empty``: a 2xx without a body, as a cancel-all is answered; a redirect or a refusal without one is no such answer.
    """

    reason: str
    is_empty: bool


class Lost(NamedTuple):
    """No answer, or a 5xx: it may have been done."""

    reason: str


Reply = Answered | Denied | Banned | Garbled | Lost | NotSent

NOT_FOUND = "ORDER_NOT_FOUND"
CLIENT_ID_TAKEN = "ORDER_CLIENT_ORDER_DATA_CONFLICT"
FEE_LIMIT_LOW = "ORDER_LIMIT_FEE_NOT_ENOUGH"
BAD_SIGNATURE = "INVALID_L2_SIGNATURE"
ACCOUNT_MAY_BE_OLD = frozenset({FEE_LIMIT_LOW, BAD_SIGNATURE})
"""What the venue says to an order that was priced and signed with fee rates it has changed since (apex.md §1.5)."""

_PERMANENT_KEYS = frozenset(
    {
        # The request is wrong, or was signed with another key.
        BAD_SIGNATURE, "ORDER_INVALID_CLIENT_ORDER_ID", "ORDER_PRICE_MUST_GREETER_ZERO",
        "ORDER_SIZE_SMALLER_THAN_SYMBOL_MIN_ORDER_SIZE", "ORDER_IS_REDUCE_ONLY_CANNOT_OPEN_POSITION", NOT_FOUND,
        # The account or the contract cannot carry it.
        "ORDER_POSSIBLE_LEAD_TO_ACCOUNT_LIQUIDATED", "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION",
        "ORDER_SYMBOL_DISABLE_OPEN_POSITION", "ORDER_SYMBOL_DISABLE_TRADE",
    }
)  # fmt: skip
_TEMPORARY_KEYS = frozenset(
    {
        # Our fee rates are read anew before the next order.
        FEE_LIMIT_LOW,
        "ORDER_NOT_CANCEL_FILLED", "ORDER_NOT_CANCEL_INVALID_STATUS", "ORDER_NOT_CANCEL_MATCHED",
        "ORDER_OPEN_ORDER_COUNT_LIMIT_EXCEED", "ORDER_WITH_THIS_PRICE_CANNOT_REDUCE_POSITION_ONLY",
    }
)  # fmt: skip
_CODES = {
    _CODE_NUMBER: (Verdict.PERMANENT, "a number could not be read"),
    _CODE_BAD_KEY: (Verdict.PERMANENT, "the API key is not accepted"),
    _CODE_TOO_MANY: (Verdict.TEMPORARY, "too many requests"),
    20002: (Verdict.TEMPORARY, "the timestamp is not accepted"),
    20006: (Verdict.PERMANENT, "the request's HMAC is not accepted"),
    20016: (Verdict.PERMANENT, "a request parameter is wrong"),
}
"""10001 (failed) and 10004 (time-out) are missing on purpose: the order may have been taken. 20016 is no signature fault (apex.md §0.4)."""
_KEY = re.compile(r"[A-Z][A-Z0-9_]{3,79}")


def judge(outcome: Outcome) -> Reply:
    """Which of the six kinds of answer this is."""
    match outcome:
        case Ok(status=status, body=body):
            found = _body(body)
            if found is None:
                return Garbled(f"HTTP {status} without the venue's JSON: {excerpt(body)}", is_empty=not body.strip())
            return _denied(found, None) or Answered(bytes(found.data) or b"null")
        case Refused(status=status, body=body, retry_after_s=retry_after_s):
            found = _body(body)
            denied = None if found is None else _denied(found, retry_after_s)
            if denied is not None:
                return denied
            if status in _BANNED_STATUSES:
                return Banned(
                    f"HTTP {status}: banned or too many requests", BAN_PAUSE_S if retry_after_s is None else retry_after_s
                )
            return Garbled(f"HTTP {status} without the venue's refusal: {excerpt(body)}", is_empty=False)
        case NotSent(reason=reason):
            return NotSent(scrub(reason))
        case Unknown(reason=reason, body=body):
            return Lost(scrub(reason) + (f": {excerpt(body)}" if body else ""))


def _body(body: bytes) -> models.Body | None:
    """A JSON object; None for anything else, a page of some gateway included."""
    try:
        return decoder_of(models.Body).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _denied(body: models.Body, retry_after_s: float | None) -> Denied | None:
    """The refusal in a body; None where it has no code."""
    if body.code in (None, 0, "0", ""):
        return None
    text = str(body.code)
    code = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if code == _CODE_ORDER:
        return _order_refusal(body, retry_after_s)
    verdict, words = _CODES.get(code, (Verdict.UNKNOWN, "an unlisted code"))
    if code == _CODE_NUMBER:
        words = scrub(body.msg, 120)
    is_rate_limit = code == _CODE_TOO_MANY
    label = RATE_LIMITED if is_rate_limit else scrub(text, 20)
    return Denied(verdict, label, f"code {scrub(text, 20)}: {words}", is_rate_limit, retry_after_s)


def _order_refusal(body: models.Body, retry_after_s: float | None) -> Denied:
    """Code 3 means refused; the key says why. A taken client id may be our own order, sent twice on the way: that one is UNKNOWN."""
    key = _key_of(body)
    reason = f"code 3 {key}: {scrub(body.msg, 120)}"
    if key == CLIENT_ID_TAKEN:
        return Denied(Verdict.UNKNOWN, key, reason, retry_after_s=retry_after_s)
    is_permanent = key in _PERMANENT_KEYS or (not key and body.msg.lower().startswith("invalid"))
    verdict = Verdict.PERMANENT if is_permanent else Verdict.TEMPORARY
    return Denied(verdict, key or "3", reason, retry_after_s=retry_after_s)


def _key_of(body: models.Body) -> str:
    """The key, or a known one that the message names where the field is missing (apex.md §4)."""
    if _KEY.fullmatch(body.key):
        return body.key
    known = _PERMANENT_KEYS | _TEMPORARY_KEYS | {CLIENT_ID_TAKEN}
    return next((word for word in _KEY.findall(body.msg) if word in known), "")
