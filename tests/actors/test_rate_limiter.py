"""The limiter as an actor: grants go to the right lane, waiting commands leave by themselves."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from decimal import Decimal

import pykka
import pytest

from actors.base import Actor, HealthRequest, Identity
from actors.mailbox import Addresses
from actors.rate_limiter import RateLimiterActor, lanes
from core.messages import CancelOrder, FetchPosition, Message, OrderDenied, PlaceOrder, QueryOrder
from core.rate_limiter import LimiterConfig, RateLimiter
from core.types import ClientOrderId, Priority, Role, Side, TimeInForce, VenueId

GRVT = VenueId("grvt")
GUARD_S = 20.0


class Sink(Actor):
    def __init__(self, name: str, arrived: queue.SimpleQueue[tuple[str, Message]]) -> None:
        super().__init__(Identity(name, "sink", 1, lambda _: None))
        self.arrived = arrived

    def handle(self, message: Message) -> None:
        self.arrived.put((self.identity.name, message))


@pytest.fixture(autouse=True)
def _leave_no_actor() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)


def launch(rates: dict[str, float]) -> tuple[pykka.ActorRef[RateLimiterActor], queue.SimpleQueue[tuple[str, Message]]]:
    arrived: queue.SimpleQueue[tuple[str, Message]] = queue.SimpleQueue()
    addresses = Addresses()
    for name in ("trade", "query"):
        addresses.register(name, Sink.start(name, arrived), 1)
    route = lanes(addresses.of("trade"), addresses.of("query"), lambda message: arrived.put(("up", message)))
    identity = Identity("limiter:grvt", "rate_limiter", 1, lambda _: None)
    return RateLimiterActor.start(identity, RateLimiter(LimiterConfig(venue=GRVT, rates=rates)), route), arrived


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


QUERY = QueryOrder(venue=GRVT, symbol="ETH", client_order_id=ClientOrderId(1))
POSITION = FetchPosition(venue=GRVT, symbol="ETH")


@pytest.mark.parametrize(("command", "lane"), [(cancel(1), "trade"), (QUERY, "query"), (POSITION, "query")])
def test_a_granted_command_goes_to_its_lane(command: Message, lane: str) -> None:
    """Orders and cancels never queue behind reads."""
    ref, arrived = launch({})
    ref.tell(command)
    assert (lane, command) == arrived.get(timeout=GUARD_S)


def test_a_refusal_goes_up() -> None:
    """To whoever routes events, not to a lane."""
    ref, arrived = launch({})
    ref.tell(stale_order())
    where, message = arrived.get(timeout=GUARD_S)
    assert ("up", True) == (where, isinstance(message, OrderDenied))


def test_a_waiting_command_leaves_without_any_further_message() -> None:
    """The actor wakes itself when the token is due."""
    ref, arrived = launch({"cancel": 20.0})
    for number in range(25):
        ref.tell(cancel(number))
    assert [("trade", cancel(number)) for number in range(25)] == [arrived.get(timeout=GUARD_S) for _ in range(25)]


def test_the_health_answer_has_every_bucket() -> None:
    """By class, as the dump wants it."""
    ref, _ = launch({"cancel": 20.0, "total": 30.0})
    answer = ref.ask(HealthRequest(), timeout=GUARD_S)
    assert {"cancel", "total"} == set(answer["limits"])
