"""What a refusal of Backpack means: one table from its 35 codes to a verdict (backpack.md §5). Pure.

It must never turn an answer that could hide an accepted order into a refusal: what is not in the table is UNKNOWN. Reasons are scrubbed.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from adapters.backpack.parse import parse_error
from adapters.backpack.values import excerpt, scrub

NOT_FOUND = "RESOURCE_NOT_FOUND"
EXPIRED_WINDOW = "EXPIRED_WINDOW"
RATE_LIMITED = "TOO_MANY_REQUESTS"
BAD_PAYLOAD = "BAD_PAYLOAD"


class Verdict(enum.Enum):
    """PERMANENT and TEMPORARY: nothing was done, and sending the same again cannot / may help. UNKNOWN: it may have been done."""

    PERMANENT = "PERMANENT"
    TEMPORARY = "TEMPORARY"
    UNKNOWN = "UNKNOWN"


class Ruling(NamedTuple):
    """``code`` is the venue's, or ours for the cases it has no code of its own for."""

    verdict: Verdict
    code: str
    reason: str


_PERMANENT = frozenset(
    {
        # The request names something that does not exist, or is malformed.
        "INVALID_ASSET", "INVALID_CLIENT_REQUEST", "INVALID_MARKET", "INVALID_POSITION_ID", "INVALID_QUANTITY", "INVALID_RANGE",
        "INVALID_SOURCE", "INVALID_SYMBOL", "NOT_IMPLEMENTED", NOT_FOUND,
        # The key or the account may not do it.
        "ACCOUNT_DEACTIVATED", "ACCOUNT_LIQUIDATING", "FORBIDDEN", "INVALID_SIGNATURE", "INVALID_TWO_FACTOR_CODE", "UNAUTHORIZED",
        # The account cannot carry it: repeating a hedge into missing margin only loses time, the other leg must be unwound.
        "BORROW_LIMIT", "BORROW_REQUIRES_LEND_REDEEM", "INSUFFICIENT_FUNDS", "INSUFFICIENT_MARGIN", "INSUFFICIENT_SUPPLY",
        "LEND_LIMIT", "LEND_REQUIRES_BORROW_REPAY", "MAX_LEVERAGE_REACHED", "POSITION_LIMIT",
    }
)  # fmt: skip
_TEMPORARY = frozenset(
    {
        # The market moved: a post-only order would cross, a price left the band. The next order has other numbers.
        "INVALID_ORDER", "INVALID_PRICE",
        # The venue is busy or closed for a while.
        "MAINTENANCE", "ORDER_LIMIT", "PRECONDITION_FAILED", "TOO_EARLY", RATE_LIMITED, "TRADING_PAUSED",
    }
)  # fmt: skip
"""TIMEOUT and SERVER_ERROR are in neither set, whatever HTTP status they come with: the order may have been taken."""


def judge_refusal(status: int, body: bytes) -> Ruling:
    """What a 3xx or 4xx answer says about the request."""
    error = parse_error(body)
    if error is None:
        return _judge_text(status, body)
    reason = scrub(f"{error.code}: {error.message}")
    message = error.message.lower()
    if "request has expired" in message:
        return Ruling(Verdict.TEMPORARY, EXPIRED_WINDOW, reason)
    if "decimal too long" in message:
        return Ruling(Verdict.PERMANENT, scrub(error.code, 60), reason)
    if status == 429 or error.code in _TEMPORARY:
        return Ruling(Verdict.TEMPORARY, RATE_LIMITED if status == 429 else error.code, reason)
    if error.code in _PERMANENT:
        return Ruling(Verdict.PERMANENT, error.code, reason)
    return Ruling(Verdict.UNKNOWN, scrub(error.code, 60), reason)


def _judge_text(status: int, body: bytes) -> Ruling:
    """A body that is not the venue's JSON: its payload parser and its rate limiter are known, a page of some gateway is not."""
    reason = f"HTTP {status}: {excerpt(body)}"
    if status == 429:
        return Ruling(Verdict.TEMPORARY, RATE_LIMITED, reason)
    if status == 418:  # Banned for not having paused: some gateway's word, no proof that the order went no further.
        return Ruling(Verdict.UNKNOWN, RATE_LIMITED, reason)
    if status == 400 and body.lstrip().startswith(b"parse request payload error"):
        return Ruling(Verdict.PERMANENT, BAD_PAYLOAD, reason)
    return Ruling(Verdict.UNKNOWN, f"HTTP_{status}", reason)
