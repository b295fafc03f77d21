"""What GRVT's error codes mean for us (grvt.md §6); one table, no I/O."""

from __future__ import annotations

NOT_AUTHENTICATED = 1000
"""A call answered with this was never processed: log in anew and send the identical bytes once more (grvt.md §1)."""
NOT_FOUND = 1004
RATE_LIMITED = 1006
"""Max open orders (2090) shares its HTTP status 429 but is no rate limit."""
TTL_DISABLED = 2300
TTL_TOO_LONG = 2301

TRANSIENT = frozenset(
    {
        1002,  # internal error
        1005,  # unknown error
        RATE_LIMITED,
        1009,  # endpoint closed for a while
        1014,
        1015,
        2001,  # signature expired: the next order is signed anew
        2012,  # client order id still active: the next order has another
        2080,  # margin: a cancelled order frees it a moment later
        2082,  # pre-order check
        2084,  # post-order check
        2090,  # too many open orders
        2400,  # reduce-only without position: our picture was late
        2401,
        2402,
    }
)


def is_permanent(code: int) -> bool:
    """Whether sending the same order again cannot help; a code nobody listed counts as permanent, so that nothing loops on it."""
    return code not in TRANSIENT
