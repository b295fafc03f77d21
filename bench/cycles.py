"""Two hundred cycles whose quotes fill at once: requests by route, refusals by rate limit, memory and threads of the bot."""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

from bench import rig
from bench.table import Row, at_most

FIRST, HALF, ALL = 10, 110, 210
"""The first cycles pay for the start (recovery, first login, growing caches)."""
_ORDERS = {"POST /full/v1/create_order": "quote", "POST /full/v1/cancel_order": "cancel", "POST /api/v1/order": "hedge"}


class _Seen(NamedTuple):
    requests: dict[str, dict[str, dict[str, int]]]
    memory: rig.Memory
    at: float


@functools.cache
def _session() -> tuple[_Seen, _Seen, _Seen]:
    """One run at default limits, looked at after ``FIRST``, ``HALF`` and ``ALL`` cycles."""
    with rig.run("brisk") as (venues, bot):
        seen = []
        for count in (FIRST, HALF, ALL):
            bot.until_cycles(count)
            seen.append(_Seen(venues.requests(), bot.memory(), time.monotonic()))
    return seen[0], seen[1], seen[2]


def calls() -> list[Row]:
    first, _, last = _session()
    cycles, seconds = ALL - FIRST, last.at - first.at
    counts = _asked(last)
    for route, count in _asked(first).items():
        counts[route] -= count
    rows = [Row(f"{word}: {route}", f"{counts.get(route, 0) / cycles:.2f} a cycle") for route, word in _ORDERS.items()]
    others = {route: count for route, count in counts.items() if route not in _ORDERS and count}
    rows += [Row(f"other: {route}", f"{count / seconds:.3f} a second") for route, count in sorted(others.items())]
    return [
        Row("cycles, seconds", f"{cycles}, {seconds:.0f}"),
        *rows,
        at_most("all calls a cycle", sum(counts.values()) / cycles, 8),
        at_most("calls beyond quote, cancel and hedge, a second", sum(others.values()) / seconds, 0.5),
        at_most("answers 429", _throttled(last), 0, digits=0),
    ]


def memory() -> list[Row]:
    _, half, last = _session()
    return [
        Row("RSS after 100 cycles", f"{half.memory.rss_mb:.1f} MB"),
        at_most("RSS after 200 cycles", last.memory.rss_mb, 120, " MB", 1),
        at_most("growth over the second hundred", last.memory.rss_mb - half.memory.rss_mb, 2, " MB"),
        Row("threads", str(last.memory.threads)),
    ]


def _asked(seen: _Seen) -> dict[str, int]:
    return {route: outcomes["asked"] for routes in seen.requests.values() for route, outcomes in routes.items()}


def _throttled(seen: _Seen) -> int:
    return sum(outcomes.get("429", 0) for routes in seen.requests.values() for outcomes in routes.values())
