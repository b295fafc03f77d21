"""The door to the market: gate, durable intent, the tracker told, send; in that order, or not at all."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pykka
import pytest

import actors.order_gateway
from actors.base import HealthRequest
from actors.order_gateway import DryLane, OrderGateway
from core.messages import (
    Alert,
    CancelAll,
    CancelFailed,
    ClientIdsLeased,
    LeaseClientIds,
    LedgerRequested,
    LedgerSnapshot,
    OrderAccepted,
    OrderDenied,
    OrderRejected,
    OrderSubmitted,
    PlaceOco,
    PlaceOrder,
    RenewDeadMan,
    TradingStateChanged,
)
from core.ports import TradeLane
from core.risk_gate import RiskGate, RiskLimits
from core.routing import RISK
from core.types import ClientOrderId, TradingState, VenueOrderId
from tests.actors.fakes import GRVT, GUARD_S, FakeJournal, FakeTradeLane, Routed, cancel, identity, instrument, order

ACCEPTED = OrderAccepted(venue=GRVT, client_order_id=ClientOrderId(1), venue_order_id=VenueOrderId("v1"), at=0.0)
LIMITS = RiskLimits(Decimal("0.1"), Decimal("0.5"), Decimal("0.6"), Decimal(100), Decimal("0.01"))


class Rig:
    def __init__(self, *, is_dry: bool = False, held: str = "0.1") -> None:
        self.routed = Routed()
        self.journal = FakeJournal(self.routed)
        self.lane = FakeTradeLane(self.routed, (ACCEPTED,))
        snapshot = LedgerSnapshot(owner="gate", positions=((GRVT, Decimal(held)),), orders=(), at=0.0)
        gate = RiskGate(instrument(GRVT), LIMITS, snapshot)
        lane: TradeLane = DryLane(self.lane) if is_dry else self.lane
        self.ref: pykka.ActorRef[Any] = OrderGateway.start(
            identity("order_gateway.grvt"), GRVT, lane, gate, self.journal, self.routed, epoch=5
        )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The gateway's monotonic clock stands at the last of these."""
    times = [5.0]
    monkeypatch.setattr(actors.order_gateway, "time", SimpleNamespace(monotonic=lambda: times[-1]))
    return times


def test_the_bound_of_an_order_counts_from_its_send(clock: list[float]) -> None:
    """A slow disk must not use up the time after which the venue's silence means that nothing came."""
    rig = Rig()
    rig.journal.takes = lambda: clock.append(8.0)
    rig.ref.tell(order())
    assert 8.0 == rig.routed.until(OrderSubmitted).at


def test_an_order_that_is_wanted_no_more_once_written_is_not_sent(clock: list[float]) -> None:
    """It has an intent, so it is given an end."""
    rig = Rig()
    rig.journal.takes = lambda: clock.append(8.0)
    rig.ref.tell(msgspec.structs.replace(order(), not_after=6.0))
    steps = [rig.routed.next() for _ in range(3)]
    assert ["str", "OrderSubmitted", "SubmitNotSent"] == [type(step).__name__ for step in steps]


def test_an_order_is_durable_and_told_before_it_is_sent() -> None:
    """Intent, OrderSubmitted, send, the venue's answer."""
    rig = Rig()
    rig.ref.tell(order())
    steps = [rig.routed.next() for _ in range(4)]
    assert ["intent 1 of epoch 5", OrderSubmitted, "place 1", ACCEPTED] == [
        type(step) if isinstance(step, OrderSubmitted) else step for step in steps
    ]


def test_without_a_durable_intent_nothing_is_sent() -> None:
    """The order is denied, a person hears of it, and the lane is never called."""
    rig = Rig()
    rig.journal.fails = True
    rig.ref.tell(order())
    denied, alert = rig.routed.next(), rig.routed.next()
    rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert (OrderDenied, "journal", []) == (type(denied), alert.key, rig.routed.left())


def test_an_order_without_a_durable_intent_is_not_counted_as_exposure() -> None:
    """What was refused before the send can never fill."""
    rig = Rig()
    rig.journal.fails = True
    rig.ref.tell(order())
    answer = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert (Decimal("0.1"), 0) == (answer["uncovered"], answer["sent"])


def test_a_denied_order_leaves_no_trace_but_the_denial() -> None:
    """Outside of the collar: no intent, no send."""
    rig = Rig()
    rig.ref.tell(order(price="2000"))
    denied = rig.routed.next()
    rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert (OrderDenied, []) == (type(denied), rig.routed.left())


def halves(second_price: str = "3000") -> PlaceOco:
    """Two orders that the gate allows together."""
    return PlaceOco(stop=order(1, quantity="0.05"), take_profit=order(2, quantity="0.05", price=second_price))


def test_a_pair_is_durable_and_told_before_its_one_request() -> None:
    """Both intents, both told, one send."""
    rig = Rig()
    rig.ref.tell(halves())
    steps = [rig.routed.next() for _ in range(6)]
    told = [f"told {step.order.client_order_id}" if isinstance(step, OrderSubmitted) else step for step in steps]
    assert ["intent 1 of epoch 5", "intent 2 of epoch 5", "told 1", "told 2", "place 1 and 2", ACCEPTED] == told


def test_a_pair_of_which_one_is_denied_does_not_leave() -> None:
    """Both are denied, and neither counts as exposure any more."""
    rig = Rig()
    rig.ref.tell(halves(second_price="2000"))
    denied = [rig.routed.next().client_order_id for _ in range(2)]
    answer = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert ([1, 2], [], Decimal("0.1")) == (denied, rig.routed.left(), answer["uncovered"])


def test_a_pair_with_one_durable_intent_does_not_leave() -> None:
    """The disk is full from the second on: an intent without an order is harmless, an order without one is not."""
    rig = Rig()
    plain = rig.journal.record_intent

    def fail_on_second(placed: PlaceOrder, epoch: int) -> None:
        rig.journal.fails = placed.client_order_id == 2
        plain(placed, epoch)

    rig.journal.record_intent = fail_on_second  # type: ignore[method-assign]
    rig.ref.tell(halves())
    assert "journal" == rig.routed.until(Alert).key
    answer = rig.ref.ask(HealthRequest(), timeout=GUARD_S)
    assert (0, Decimal("0.1")) == (answer["sent"], answer["uncovered"])


def test_the_third_absurd_order_raises_the_alarm() -> None:
    """The alert that halts trading."""
    rig = Rig()
    for number in (1, 2, 3):
        rig.ref.tell(order(number, price="2000"))
    assert "fat-finger" == rig.routed.until(Alert).key


def test_a_gateway_that_was_replaced_sends_nothing() -> None:
    """Revoked between the durable intent and the send, by a thread that woke up late."""
    rig = Rig()
    plain = rig.journal.record_intent

    def revoke(*arguments: Any) -> None:
        plain(*arguments)
        rig.ref.vitals.is_revoked = True  # type: ignore[attr-defined]

    rig.journal.record_intent = revoke  # type: ignore[method-assign]
    rig.ref.tell(order())
    rig.ref.stop(timeout=GUARD_S)
    assert "place 1" not in rig.routed.left()


def test_cancels_pass_without_a_journal() -> None:
    """A full disk must not keep an order at the venue."""
    rig = Rig()
    rig.journal.fails = True
    rig.ref.tell(cancel())
    rig.ref.tell(CancelAll(venue=GRVT, symbol="ETH@grvt"))
    rig.ref.tell(RenewDeadMan(venue=GRVT, countdown_s=30.0))
    assert ["cancel 1", ACCEPTED, "cancel all", ACCEPTED, "dead man 30"] == [rig.routed.next() for _ in range(5)]


def test_client_ids_are_leased_from_the_journal() -> None:
    """The answer goes to the owner that asked."""
    rig = Rig()
    rig.ref.tell(LeaseClientIds(owner="hedger"))
    lease = rig.routed.until(ClientIdsLeased)
    assert ("hedger", 1) == (lease.owner, lease.start)


def test_a_lease_that_cannot_be_written_does_not_end_the_gateway() -> None:
    """A full disk costs new ids, not the way to the market: a person hears of it and cancels still pass."""
    rig = Rig()
    rig.journal.fails = True
    rig.ref.tell(LeaseClientIds(owner="hedger"))
    assert "journal" == rig.routed.until(Alert).key
    rig.ref.tell(cancel())
    assert "cancel 1" == rig.routed.next()


def test_a_request_for_the_ledger_fences_the_older_life_and_goes_on() -> None:
    """Orders of an earlier epoch of that owner are denied from then on; the tracker is asked through this gateway."""
    rig = Rig()
    rig.ref.tell(LedgerRequested(owner="", epoch=3))
    assert GRVT == rig.routed.until(LedgerRequested).via
    rig.ref.tell(order())
    assert "epoch 0" in rig.routed.until(OrderDenied).reason


def test_a_judge_that_is_built_anew_hears_that_trading_was_halted() -> None:
    """It would say ACTIVE otherwise, while this gate lets nothing pass; nobody else is told, and nothing while all is well."""
    rig = Rig()
    rig.ref.tell(LedgerRequested(owner=RISK, epoch=1))
    assert GRVT == rig.routed.next().via
    rig.ref.tell(TradingStateChanged(state=TradingState.HALTED, reason="", at=0.0))
    rig.ref.tell(LedgerRequested(owner="hedger", epoch=2))
    assert GRVT == rig.routed.next().via
    rig.ref.tell(LedgerRequested(owner=RISK, epoch=3))
    assert "halt" == rig.routed.next().key


def test_the_lane_is_closed_at_the_end() -> None:
    """On an ordinary stop, by the thread that owns it."""
    rig = Rig()
    rig.ref.stop(timeout=GUARD_S)
    assert rig.lane.closed.is_set()


def test_a_dry_run_refuses_what_it_would_have_sent() -> None:
    """Decided, journaled and refused here; the lane is never called."""
    rig = Rig(is_dry=True)
    rig.ref.tell(order())
    assert "DRY_RUN" == rig.routed.until(OrderRejected).code
    rig.ref.tell(cancel())
    assert "dry run" == rig.routed.until(CancelFailed).reason
    assert [] == rig.routed.left()
