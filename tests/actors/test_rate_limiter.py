"""The limiter as an actor: what may leave is routed, and what waits leaves by itself."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from decimal import Decimal

import pykka
import pytest

from actors.base import HealthRequest, Identity
from actors.rate_limiter import RateLimiterActor
from core.messages import CancelOrder, Message, OrderDenied, PlaceOrder
from core.rate_limiter import LimiterConfig, RateLimiter
from core.types import ClientOrderId, Priority, Role, Side, TimeInForce, VenueId

GRVT = VenueId("grvt")
GUARD_S = 20.0


@pytest.fixture(autouse=True)
def _leave_no_actor() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)


def launch(rates: dict[str, float]) -> tuple[pykka.ActorRef[RateLimiterActor], queue.SimpleQueue[Message]]:
    outputs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    identity = Identity("limiter:grvt", "rate_limiter", 1, lambda _: None)
    return RateLimiterActor.start(identity, RateLimiter(LimiterConfig(venue=GRVT, rates=rates)), outputs.put), outputs


def cancel(number: int) -> CancelOrder:
    return CancelOrder(venue=GRVT, symbol="ETH", client_order_id=ClientOrderId(number), reason="test")


def stale_order() -> PlaceOrder:
    return PlaceOrder(
        client_order_id=ClientOrderId(1),
        venue=GRVT,
        symbol="ETH",
        side=Side.BUY,
        quantity=Decimal("1"),
        price=Decimal("1"),
        time_in_force=TimeInForce.GTC,
        role=Role.MAKER,
        cycle_id=1,
        reference_price=Decimal("1"),
        not_after=1e-9,
        priority=Priority.P2,
    )


def test_a_refusal_goes_the_same_way_as_a_grant() -> None:
    """The asker hears of it."""
    ref, outputs = launch({})
    ref.tell(stale_order())
    assert isinstance(outputs.get(timeout=GUARD_S), OrderDenied)


def test_a_waiting_command_leaves_without_any_further_message() -> None:
    """The actor wakes itself when the token is due."""
    ref, outputs = launch({"cancel": 20.0})
    for number in range(25):
        ref.tell(cancel(number))
    assert [cancel(number) for number in range(25)] == [outputs.get(timeout=GUARD_S) for _ in range(25)]


def test_the_health_answer_has_every_bucket() -> None:
    """By class, as the dump wants it."""
    ref, _ = launch({"cancel": 20.0, "total": 30.0})
    answer = ref.ask(HealthRequest(), timeout=GUARD_S)
    assert {"cancel", "total"} == set(answer["limits"])
