"""The tracker as an actor: each conclusion is in the journal before anybody hears of it."""

from __future__ import annotations

import queue
from decimal import Decimal
from typing import Any

import pykka

from actors.base import HealthRequest
from actors.order_tracker import OrderTrackerActor
from core.messages import FillRecorded, FillReported, OrderChanged, OrderSubmitted
from core.order_tracker import OrderTracker
from core.types import Liquidity, Role, Side, Source, TradeId, VenueOrderId
from core.venue_watch import VenuePolicy
from tests.actors.fakes import GRVT, GUARD_S, FakeJournal, Routed, identity, order

POLICY = VenuePolicy(symbol="ETH@grvt", lot_size=Decimal("0.01"), cancel_ttl_ms=0, submit_bound_s=5.0)
FILL = FillReported(
    venue=GRVT,
    symbol="ETH@grvt",
    trade_id=TradeId("t1"),
    client_order_id=order().client_order_id,
    venue_order_id=VenueOrderId("v1"),
    side=Side.SELL,
    price=Decimal(3000),
    quantity=Decimal("0.1"),
    fee=Decimal(0),
    fee_currency="USDT",
    liquidity=Liquidity.TAKER,
    venue_time_ms=1,
    source=Source.WS,
    received_at=1.0,
)


class Rig:
    def __init__(self) -> None:
        self.routed = Routed()
        self.journal = FakeJournal(self.routed)
        self.ref: pykka.ActorRef[Any] = OrderTrackerActor.start(
            identity("order_tracker"), lambda: OrderTracker({GRVT: POLICY}), self.journal, self.routed
        )
        self.ref.tell(OrderSubmitted(order=order(), at=1.0))


def test_it_can_be_told_of_orders_before_it_reads_the_journal() -> None:
    """An order that a gateway sends in between is in the inbox or in the journal, or in both; the other way round it would be in neither."""
    routed, steps = Routed(), queue.SimpleQueue[str]()

    def build() -> OrderTracker:
        steps.put("built")
        return OrderTracker({GRVT: POLICY})

    who = identity("order_tracker")._replace(enter=lambda _: steps.put("entered"))
    OrderTrackerActor.start(who, build, FakeJournal(routed), routed)
    assert ["entered", "built"] == [steps.get(timeout=GUARD_S) for _ in range(2)]


def test_a_fill_is_noted_before_it_is_told() -> None:
    """Whoever acts on it acts on something that a new life will know too."""
    rig = Rig()
    rig.ref.tell(FILL)
    steps = []
    while not steps or not isinstance(steps[-1], FillRecorded):
        steps.append(rig.routed.next())
    assert "noted FillRecorded" == steps[-2]


def test_a_fill_told_twice_is_recorded_once() -> None:
    """By the stream and by a poll: one row, one hedge."""
    rig = Rig()
    rig.ref.tell(FILL)
    rig.ref.tell(FILL)
    answer = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    recorded = [note for note in rig.journal.notes if isinstance(note, FillRecorded)]
    assert (1, 1) == (len(recorded), answer["duplicate_fills"])


def test_its_health_lists_the_open_orders_and_positions() -> None:
    """What the health dump and the residue of a stop are made of."""
    rig = Rig()
    before = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    rig.ref.tell(FILL)
    after = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert [("hedge", "SUBMITTED")] == [(each.role, each.state) for each in before["orders"]]
    assert ((), Decimal("-0.1")) == (after["orders"], after["positions"][GRVT])


def test_a_tracker_that_was_replaced_tells_nothing() -> None:
    """Revoked with a fill in its inbox: its successor will read it from the venue."""
    rig = Rig()
    rig.routed.until(OrderChanged)
    rig.ref.vitals.is_revoked = True  # type: ignore[attr-defined]
    rig.ref.tell(FILL)
    rig.ref.stop(timeout=GUARD_S)
    assert [] == [each for each in rig.journal.notes if isinstance(each, FillRecorded)]


def test_the_role_of_an_order_is_kept() -> None:
    """fills.csv names it."""
    rig = Rig()
    rig.ref.tell(FILL)
    recorded = rig.routed.until(FillRecorded)
    assert recorded.order is not None
    assert Role.HEDGE is recorded.order.role
