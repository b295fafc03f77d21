"""The admission queue of one venue as an actor; it decides nothing itself (core/rate_limiter.py does) and never talks to a venue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.base import CoreActor, Identity
from core.messages import Message
from core.rate_limiter import RateLimiter


class RateLimiterActor(CoreActor):
    """``route`` gets each granted command and each refusal. It wakes itself when the next one is due."""

    core: RateLimiter

    def __init__(self, identity: Identity, core: RateLimiter, route: Callable[[Message], None]) -> None:
        super().__init__(identity, core, route)

    def next_tick_at(self, now: float) -> float | None:
        return self.core.deadline(now)

    def health(self) -> Mapping[str, object]:
        """``{"limits": {class: LimitHealth}}``."""
        return {"limits": self.core.tokens(time.monotonic())}
