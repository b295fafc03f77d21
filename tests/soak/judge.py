"""What a soak is judged by: pure functions over the venues' ledgers, the bot's files, and what the kernel said of its processes.

``told`` is the simulator's own record (simulator/ledger.py ``ledger_of``, by venue). An empty list means: nothing was found.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from tests.process.kit import VENUES, Execution, Ledger
from tests.soak.lives import Life, Sample

LOT = Decimal("0.01")
GRVT_ID_OFFSET = 2**63
"""GRVT's client ids are the journal's plus this."""
QUIET = "none"
WARM_UP_S = 1200.0
"""Caches fill and the allocator's pages are touched for the first time."""
GROWTH_LIMIT = 1.0
"""MiB an hour (I19)."""
JUDGED_HOURS = 0.5
"""Growth is judged in lives that go on for so long after the warm-up; in a shorter one it cannot be told from noise."""
ABANDONED_MAX = 3
INBOX_MAX = 10_000

Told = Mapping[str, Any]


class Episode(NamedTuple):
    """A time with |delta| at or above a lot: epoch seconds and seconds."""

    began_at: float
    lasted_s: float


class Growth(NamedTuple):
    """Least squares over the healthy phases of one life, each phase one point; MiB an hour with its standard error."""

    points: int
    hours: float
    slope: float
    error: float


# ---- exposure ------------------------------------------------------------------------------------------------------------------


def delta_path(told: Told) -> list[tuple[float, Decimal]]:
    """Net base position after each fill at either venue, in the order of the venues' common clock."""
    path, delta = [], Decimal(0)
    for fill in sorted((fill for venue in VENUES for fill in told[venue]["fills"]), key=itemgetter("time")):
        delta += Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1)
        path.append((fill["time"], delta))
    return path


def beyond(path: Iterable[tuple[float, Decimal]], limit: Decimal) -> list[str]:
    """I1."""
    return [f"delta {delta} at {at:.3f}" for at, delta in path if abs(delta) > limit]


def episodes(path: Sequence[tuple[float, Decimal]], until: float) -> list[Episode]:
    """``until``: when the last one is cut off should it still last."""
    found, began_at = [], None
    for at, delta in path:
        if began_at is None and abs(delta) >= LOT:
            began_at = at
        elif began_at is not None and abs(delta) < LOT:
            found.append(Episode(began_at, at - began_at))
            began_at = None
    return found if began_at is None else [*found, Episode(began_at, until - began_at)]


def by_family(found: Iterable[Episode], changes: Sequence[tuple[float, str]]) -> dict[str, list[float]]:
    """Durations by the storm that was on when the episode began, or else by the first that came while it lasted.

    ``changes``: (epoch seconds, family or QUIET) in order, the first before all.
    """
    starts = [at for at, _ in changes]
    grouped = defaultdict(list)
    for began_at, lasted_s in found:
        first, last = bisect_right(starts, began_at) - 1, bisect_right(starts, began_at + lasted_s)
        storms = [family for _, family in changes[first:last] if family != QUIET]
        grouped[storms[0] if storms else QUIET].append(lasted_s)
    return dict(grouped)


# ---- orders and fills ----------------------------------------------------------------------------------------------------------


def hedged_once(told: Told) -> list[str]:
    """I3, at rest: no net position of a lot or more, and no more covered than the quotes had filled."""
    quotes = {order["order_id"] for order in told["grvt"]["orders"] if order["post_only"]}
    filled = covered = Decimal(0)
    for venue in VENUES:
        for fill in told[venue]["fills"]:
            if venue == "grvt" and fill["order_id"] in quotes:
                filled += Decimal(fill["quantity"])
            else:
                covered += Decimal(fill["quantity"])
    net = delta_path(told)[-1][1] if filled else Decimal(0)
    return [f"net {net}"] * (abs(net) >= LOT) + [f"covered {covered} of {filled}"] * (covered > filled + LOT)


def unlike(ledger: Ledger, recorded: Sequence[Execution]) -> list[str]:
    """I5: each fill of the ledger is in fills.csv once, and nothing else is."""
    theirs, ours = Counter(ledger.fills), Counter(recorded)
    missing = [f"not in fills.csv: {fill}" for fill in (theirs - ours).elements()]
    return missing + [f"not in the ledger, or twice: {fill}" for fill in (ours - theirs).elements()]


def intents(journal: Path) -> dict[tuple[str, int], float]:
    """Epoch seconds of the durable intent of each (venue, client id), read without the product's code."""
    found = {}
    with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for kind, wall_ms, payload in connection.execute("SELECT kind, wall_ms, payload FROM journal ORDER BY seq"):
            if kind == "INTENT":
                order = json.loads(payload)["order"]
                found[order["venue"], int(order["client_order_id"])] = wall_ms / 1000
            elif kind == "BASE":
                for kept in json.loads(payload)["orders"]:
                    key = (kept["order"]["venue"], int(kept["order"]["client_order_id"]))
                    found.setdefault(key, kept["intended_ms"] / 1000)
    return found


def unintended(told: Told, intended: Mapping[tuple[str, int], float]) -> list[str]:
    """I6: an order at a venue without an earlier durable intent; a millisecond is lost to rounding."""
    found = []
    for venue in VENUES:
        for order in told[venue]["orders"]:
            client_id = int(order["client_id"] or 0) - (GRVT_ID_OFFSET if venue == "grvt" else 0)
            if intended.get((venue, client_id), float("inf")) > order["created_at"] + 0.001:
                found.append(f"{venue} order {order['order_id']} with client id {order['client_id']!r}")
    return found


def takers(told: Told) -> list[str]:
    """I15: a fill of a post-only order that took liquidity."""
    quotes = {order["order_id"] for order in told["grvt"]["orders"] if order["post_only"]}
    return [
        f"grvt trade {fill['trade_id']}" for fill in told["grvt"]["fills"] if fill["order_id"] in quotes and not fill["is_maker"]
    ]


# ---- memory and threads --------------------------------------------------------------------------------------------------------


def phases(life: Life) -> list[list[Sample]]:
    """The samples of each healthy phase of that life, in order."""
    grouped: dict[int, list[Sample]] = defaultdict(list)
    for sample in life.samples:
        if sample.phase:
            grouped[sample.phase].append(sample)
    return list(grouped.values())


def growth(life: Life, warm_up_s: float = WARM_UP_S) -> Growth | None:
    """None where fewer than three healthy phases follow the warm-up."""
    points = [
        (statistics.fmean(sample.at for sample in phase) / 3600, statistics.fmean(sample.rss_kib for sample in phase) / 1024)
        for phase in phases(life)
        if phase[0].at - life.started_at >= warm_up_s
    ]
    if len(points) < 3:
        return None
    hours, sizes = [hour for hour, _ in points], [size for _, size in points]
    slope, base = statistics.linear_regression(hours, sizes)
    middle = statistics.fmean(hours)
    spread = sum((hour - middle) ** 2 for hour in hours)
    residue = sum((size - base - slope * hour) ** 2 for hour, size in points)
    return Growth(len(points), hours[-1] - hours[0], slope, (residue / (len(points) - 2) / spread) ** 0.5)


def grows(life: Life) -> list[str]:
    """I19: growth beyond the limit by more than twice its standard error."""
    found = growth(life)
    if found is None or found.hours < JUDGED_HOURS or found.slope - 2 * found.error <= GROWTH_LIMIT:
        return []
    return [f"{found.slope:.2f} ± {found.error:.2f} MiB/h over {found.hours * 60:.0f} min"]


def threads_left(life: Life) -> list[str]:
    """I20: as many threads at the last healthy phase as at the first, and never more than three above."""
    healthy = phases(life)
    if not healthy:
        return []
    first, last = (round(statistics.median(sample.threads for sample in phase)) for phase in (healthy[0], healthy[-1]))
    most = max(sample.threads for sample in life.samples)
    return [f"{first} threads became {last}"] * (first != last) + [f"{most} threads, {first} at rest"] * (
        most > first + ABANDONED_MAX
    )


# ---- rate limits ---------------------------------------------------------------------------------------------------------------


def throttled(requests: Mapping[str, Mapping[str, Mapping[str, int]]]) -> int:
    """How often a venue has answered 429 so far."""
    return sum(outcomes.get("429", 0) for routes in requests.values() for outcomes in routes.values())


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p99 and the largest; of at least one value."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], ordered[-1]
