"""Counters and a latency histogram as values: each owner keeps its own, the health dump adds them up.

Nothing here is shared between threads or reads a clock.
"""

from __future__ import annotations

import enum
from bisect import bisect_left

import msgspec

_BUCKETS_PER_DECADE = 10
_SHORTEST_S = 0.0001
_BUCKETS = 7 * _BUCKETS_PER_DECADE
BUCKET_BOUNDS_S = tuple(_SHORTEST_S * 10 ** (step / _BUCKETS_PER_DECADE) for step in range(_BUCKETS + 1))
"""Upper bounds, 0.1 ms to 1,000 s in steps of 26 %; one bucket more for what is longer."""


class Counter(enum.Enum):
    """Everything that is counted; the value is its name in the health dump. The first five are names of the outside face."""

    WS_EVENTS_RECEIVED = "ws_events_received"
    OCO_SUCCESS = "oco_success"
    OCO_FAILURES = "oco_failures"
    WS_DISCONNECTS = "ws_disconnects"
    REST_FALLBACK_TRIGGERS = "rest_fallback_triggers"
    API_CALLS = "api_calls"
    RATE_LIMITED = "n429"
    FRAMES_REJECTED = "frames_rejected"
    FILLS_RECORDED = "fills_recorded"
    ORDERS_SENT = "orders_sent"
    SUBMITS_UNKNOWN = "submits_unknown"
    DEAD_LETTERS = "dead_letters"
    JOURNAL_FAILURES = "journal_failures"
    LINES_LOST = "lines_lost"


_COUNTERS = tuple(Counter)
_INDEX = {counter: index for index, counter in enumerate(_COUNTERS)}


class Histogram(msgspec.Struct, frozen=True):
    """Counts by duration in fixed logarithmic buckets: small, mergeable, and good to 26 %."""

    counts: tuple[int, ...] = (0,) * (_BUCKETS + 2)
    total_s: float = 0.0

    @property
    def samples(self) -> int:
        return sum(self.counts)

    def with_sample(self, duration_s: float) -> Histogram:
        """A negative duration counts as zero."""
        duration_s = max(duration_s, 0.0)
        index = bisect_left(BUCKET_BOUNDS_S, duration_s)
        counts = (*self.counts[:index], self.counts[index] + 1, *self.counts[index + 1 :])
        return Histogram(counts, self.total_s + duration_s)

    def merged(self, other: Histogram) -> Histogram:
        return Histogram(tuple(map(sum, zip(self.counts, other.counts, strict=True))), self.total_s + other.total_s)

    def mean_s(self) -> float | None:
        return self.total_s / self.samples if self.samples else None

    def quantile_s(self, share: float) -> float | None:
        """Upper bound of the bucket that holds this quantile (0 < share <= 1); None without samples."""
        needed = share * self.samples
        if needed <= 0:
            return None
        reached = 0
        for index, count in enumerate(self.counts):
            reached += count
            if reached >= needed:
                return BUCKET_BOUNDS_S[min(index, _BUCKETS)]
        return BUCKET_BOUNDS_S[-1]


class Metrics(msgspec.Struct, frozen=True):
    """The counters of one owner, or of all. ``latency``: from a venue event's arrival to the request that answers it."""

    counts: tuple[int, ...] = (0,) * len(_COUNTERS)
    latency: Histogram = Histogram()

    def count(self, counter: Counter) -> int:
        return self.counts[_INDEX[counter]]

    def counted(self, counter: Counter, by: int = 1) -> Metrics:
        index = _INDEX[counter]
        return Metrics((*self.counts[:index], self.counts[index] + by, *self.counts[index + 1 :]), self.latency)

    def timed(self, duration_s: float) -> Metrics:
        return Metrics(self.counts, self.latency.with_sample(duration_s))

    def merged(self, other: Metrics) -> Metrics:
        return Metrics(tuple(map(sum, zip(self.counts, other.counts, strict=True))), self.latency.merged(other.latency))

    def as_dict(self) -> dict[str, int | float | None]:
        """For the health dump: every counter under its name, and the latency in milliseconds (0 or None before the first sample)."""
        named: dict[str, int | float | None] = {counter.value: self.count(counter) for counter in _COUNTERS}
        named["avg_latency_ms"] = round((self.latency.mean_s() or 0.0) * 1000, 3)
        for name, share in (("p50_latency_ms", 0.5), ("p99_latency_ms", 0.99)):
            quantile = self.latency.quantile_s(share)
            named[name] = None if quantile is None else round(quantile * 1000, 3)
        return named
