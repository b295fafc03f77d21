"""The admission queue of one venue as an actor; it decides nothing itself (core/rate_limiter.py does) and never talks to a venue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.base import CoreActor, Identity
from actors.mailbox import Address
from core.messages import (
    CancelAll,
    CancelOrder,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
)
from core.rate_limiter import RateLimiter


class RateLimiterActor(CoreActor):
    """``route`` gets each granted command and each refusal; ``lanes`` makes one from addresses."""

    core: RateLimiter

    def __init__(self, identity: Identity, core: RateLimiter, route: Callable[[Message], None]) -> None:
        super().__init__(identity, core, route)

    def next_tick_at(self, now: float) -> float | None:
        return self.core.deadline(now)

    def health(self) -> Mapping[str, object]:
        """``{"limits": {class: LimitHealth}}``."""
        return {"limits": self.core.tokens(time.monotonic())}


def lanes(trade: Address, query: Address, upward: Callable[[Message], None]) -> Callable[[Message], None]:
    """Route of one venue's limiter: orders and cancels to the trade lane, reads to the query lane, refusals up."""

    def route(message: Message) -> None:
        match message:
            case PlaceOrder() | CancelOrder() | CancelAll() | RenewDeadMan():
                trade.tell(message)
            case QueryOrder() | FetchFills() | FetchOpenOrders() | FetchPosition():
                query.tell(message)
            case _:
                upward(message)

    return route
