"""Token buckets by route class, as venues meter their callers.

Never waits and never reads a clock: the caller passes the time and is told yes or no.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Rate(NamedTuple):
    """``per_s`` tokens flow in each second, at most ``burst`` are kept; a bucket starts full."""

    per_s: float
    burst: float


class TokenBuckets:
    """One bucket per class; a class without a rate is unlimited."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = dict(rates)
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str, now: float) -> bool:
        """Takes one token of class ``name`` at ``now`` (seconds); False = none left, nothing taken."""
        rate = self._rates.get(name)
        if rate is None:
            return True
        level, then = self._levels.get(name, (rate.burst, now))
        level = min(rate.burst, level + max(0.0, now - then) * rate.per_s)
        is_granted = level >= 1
        self._levels[name] = (level - 1 if is_granted else level, now)
        return is_granted
