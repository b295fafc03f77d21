"""The health dump as values (CONTRACT.md, "Health dump"): what ``health.json`` holds. It never gathers anything itself.

Ages are seconds; None where nothing happened yet. Quantities are base decimals and become strings.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

SEED_METRICS = (
    "ws_events_received",
    "oco_success",
    "oco_failures",
    "avg_latency_ms",
    "ws_disconnects",
    "rest_fallback_triggers",
)
"""Metric names that readers of the dump rely on; they are present from the first dump on."""

ActorState = Literal["running", "unresponsive", "restarting", "down"]


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    pass


class ActorHealth(_Part, frozen=True):
    """One actor: ``busy_s`` is the age of the message in work, 0 when idle; ``last_message_age_s`` None before the first."""

    name: str
    kind: str
    alive: bool
    state: ActorState
    queue_depth: int = 0
    handled: int = 0
    errors: int = 0
    restarts: int = 0
    last_message_age_s: float | None = None
    busy_s: float = 0.0


class FeedHealth(_Part, frozen=True):
    venue: str
    channel: str
    source: str
    state: str
    last_frame_age_s: float | None
    reconnects: int
    gaps: int


class OrderHealth(_Part, frozen=True):
    """An order that is not closed."""

    venue: str
    symbol: str
    client_order_id: int
    venue_order_id: str | None
    role: str
    side: str
    price: Decimal
    quantity: Decimal
    filled_quantity: Decimal
    state: str


class LimitHealth(_Part, frozen=True):
    """One bucket: requests it could grant now, and how long it stays closed for all but the most urgent ones."""

    tokens: float
    frozen_s: float


class HealthDump(_Part, frozen=True):
    """``ts`` is ISO-8601 UTC with milliseconds; ``state`` a TradingState value; ``limits`` is venue -> class -> bucket."""

    ts: str
    pid: int
    state: str
    uptime_s: float
    actors: tuple[ActorHealth, ...]
    feeds: tuple[FeedHealth, ...]
    orders: tuple[OrderHealth, ...]
    positions: dict[str, Decimal]
    net_delta: Decimal
    uncovered: Decimal
    unknown_orders: int
    limits: dict[str, dict[str, LimitHealth]]
    metrics: dict[str, float]


def to_json(dump: HealthDump) -> bytes:
    """One JSON object; decimals as strings, seed metrics that nobody measured as 0."""
    metrics: dict[str, float] = dict.fromkeys(SEED_METRICS, 0) | dump.metrics
    return msgspec.json.encode(msgspec.structs.replace(dump, metrics=metrics))
