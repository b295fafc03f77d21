"""What the rate limiter makes of ApeX's limits: the published ones hold in every minute, and nothing that ends a position waits for budget."""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal

import pytest

from adapters.apex import DEFAULT_LIMITS
from adapters.apex.client import CAPABILITIES
from adapters.venues import limiter_rates
from core.messages import (
    CancelAll,
    CancelOrder,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    Message,
    PlaceOrder,
    Query,
    QueryOrder,
    Tick,
    TradeCommand,
)
from core.rate_limiter import LimiterConfig, RateLimiter, class_of
from core.types import ClientOrderId, Priority, Role, Side, TimeInForce
from tests.adapters.apex.support import SYMBOL, VENUE

MINUTE_S = 60.0
SETUP_REQUESTS = 30
"""More than the set-up sends, which asks no limiter."""


def limiter() -> RateLimiter:
    rates = limiter_rates("apex", DEFAULT_LIMITS)
    return RateLimiter(LimiterConfig(venue=VENUE, rates=rates, burst_s=CAPABILITIES.burst_s))


def order(number: int, role: Role, priority: Priority) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=ClientOrderId(number),
        venue=VENUE,
        symbol=SYMBOL,
        side=Side.SELL,
        quantity=Decimal("0.1"),
        price=Decimal(3000),
        time_in_force=TimeInForce.IOC,
        role=role,
        cycle_id=1,
        reference_price=Decimal(3000),
        priority=priority,
    )


def cancel(number: int) -> CancelOrder:
    return CancelOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(number), reason="test")


def reads(number: int) -> tuple[Message, ...]:
    return (
        QueryOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(number)),
        FetchFills(venue=VENUE, symbol=f"{SYMBOL}{number}", lookback_s=60.0, priority=Priority.P1),
        FetchOpenOrders(venue=VENUE, symbol=f"{SYMBOL}{number}"),
        FetchPosition(venue=VENUE, symbol=f"{SYMBOL}{number}"),
        FetchBook(venue=VENUE, symbol=f"{SYMBOL}{number}"),
    )


def after_a_burst() -> RateLimiter:
    """Every class has been asked for more than there is, with whatever may wait."""
    core = limiter()
    for number in range(1_000, 1_200):
        for message in (order(number, Role.ENTRY, Priority.P2), *reads(number)):
            core.handle(message, 10.0)
    return core


def test_every_minute_stays_within_the_published_limits() -> None:
    """300 POST and 600 GET of the account, 600 requests of the address; a look-up that finds nothing costs two (apex.md §4)."""
    core, sent = limiter(), []
    for step in range(520):
        now = step / 4
        asked: tuple[Message, ...] = (order(2 * step, Role.SL, Priority.P0), cancel(2 * step + 1), *reads(step))
        for message in (*asked, Tick()):
            sent += [(now, class_of(out)) for out in core.handle(message, now) if isinstance(out, TradeCommand | Query)]
    costs = {"create": (1, 0), "cancel": (1, 0), "query": (0, 2), "other": (0, 1)}
    times = [at for at, _ in sent]
    minutes = [sent[index : bisect_left(times, at + MINUTE_S)] for index, at in enumerate(times)]
    most = [
        max(sum(price(costs[name]) for _, name in minute) for minute in minutes)
        for price in (lambda cost: cost[0], lambda cost: cost[1], sum)
    ]
    assert (True, True, True) == (most[0] <= 300, most[1] <= 600, most[2] <= 600 - SETUP_REQUESTS)
    assert min(most) > 100


@pytest.mark.parametrize(
    "urgent",
    [
        (order(1, Role.SL, Priority.P0), order(2, Role.TP, Priority.P0), cancel(3), cancel(4)),
        (order(1, Role.REPAIR, Priority.P0), order(2, Role.REPAIR, Priority.P0), order(3, Role.REPAIR, Priority.P0)),
        (*(cancel(number) for number in range(1, 7)), order(7, Role.SL, Priority.P0), CancelAll(venue=VENUE, symbol=SYMBOL)),
    ],
    ids=["both legs and their cancels", "closing, repeated", "six stops cancelled and one placed"],
)
def test_what_ends_or_guards_a_position_leaves_at_once(urgent: tuple[Message, ...]) -> None:
    """Behind entries, look-ups and reads that have used up all that is theirs; only these wait."""
    core = after_a_burst()
    assert list(urgent) == [out for message in urgent for out in core.handle(message, 10.0) if out in urgent]
    assert () == core.handle(order(9, Role.ENTRY, Priority.P2), 10.0)
