"""The only door to one venue's market: risk gate, durable intent, the tracker told, send, classify. In that order, always.

It is never restarted in place: a gateway that crashed or hangs may have sent, and only a new process reconciles that (RELIABILITY.md §3.1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from actors.base import Actor, Identity
from core.client_ids import LEASE_SIZE
from core.messages import (
    Alert,
    CancelAll,
    CancelFailed,
    CancelOrder,
    ClientIdsLeased,
    LeaseClientIds,
    LedgerRequested,
    Message,
    OrderDenied,
    OrderRejected,
    OrderSubmitted,
    PlaceOco,
    PlaceOrder,
    RenewDeadMan,
    SubmitNotSent,
)
from core.ports import Journal, JournalFailed, TradeLane
from core.risk_gate import Gate
from core.routing import RISK
from core.types import TradingState, VenueId


class DryLane:
    """Stands in for a trade lane under ``--dry-run``: every order is decided, logged and refused here; nothing leaves."""

    def __init__(self, lane: TradeLane) -> None:
        self.capabilities = lane.capabilities

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        now = time.monotonic()
        refusal = OrderRejected(
            venue=order.venue, client_order_id=order.client_order_id, reason="dry run", code="DRY_RUN", permanent=False, at=now
        )
        return (refusal,)

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        return (*self.place(pair.stop), *self.place(pair.take_profit))

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        failure = CancelFailed(
            venue=command.venue, client_order_id=command.client_order_id, reason="dry run", kind="refused", at=time.monotonic()
        )
        return (failure,)

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        return ()

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        return ()

    def close(self) -> None:
        return None


def _too_late(order: PlaceOrder, now: float) -> SubmitNotSent:
    return SubmitNotSent(venue=order.venue, client_order_id=order.client_order_id, reason="no longer wanted once written", at=now)


class OrderGateway(Actor):
    """One venue's trade lane. ``epoch`` of the process goes into every intent."""

    def __init__(
        self,
        identity: Identity,
        venue: VenueId,
        lane: TradeLane,
        gate: Gate,
        journal: Journal,
        route: Callable[[Message], None],
        *,
        epoch: int,
    ) -> None:
        super().__init__(identity)
        self._venue = venue
        self._lane = lane
        self._gate = gate
        self._journal = journal
        self._route = route
        self._epoch = epoch
        self._sent = 0

    def handle(self, message: Message) -> None:
        match message:
            case PlaceOrder():
                self._submit((message,), partial(self._lane.place, message))
            case PlaceOco():
                self._submit(message.orders, partial(self._lane.place_oco, message))
            case CancelOrder():
                self._carry(self._lane.cancel(message))
            case CancelAll():
                self._carry(self._lane.cancel_all(message))
            case RenewDeadMan():
                self._carry(self._lane.renew_dead_man(message))
            case LeaseClientIds():
                self._lease(message)
            case LedgerRequested():
                self._gate.handle(message)
                self._remind(message.owner)
                self._route(LedgerRequested(owner=message.owner, epoch=message.epoch, via=self._venue))
            case _:
                self._gate.handle(message)

    def stopped(self) -> None:
        self._lane.close()

    def _submit(self, orders: tuple[PlaceOrder, ...], send: Callable[[], tuple[Message, ...]]) -> None:
        """All of them leave, each with its intent, or none."""
        if not (self._is_allowed(orders, time.monotonic()) and self._is_durable(orders)):
            return
        now = time.monotonic()  # The disk may have been slow, and from here on the venue's bound counts.
        for order in orders:
            self._route(OrderSubmitted(order=order, at=now))
        if self.is_revoked:
            return
        if any(0 < order.not_after < now for order in orders):
            self._carry(tuple(_too_late(order, now) for order in orders))
            return
        self._sent += len(orders)
        self._carry(send())

    def _remind(self, owner: str) -> None:
        """A judge that is built anew does not know that trading was halted in this life of the process; the gate does."""
        if owner == RISK and self._gate.state is TradingState.HALTED:
            self._route(Alert(level="critical", key="halt", text="trading was halted before", at=time.monotonic()))

    def _is_allowed(self, orders: tuple[PlaceOrder, ...], now: float) -> bool:
        denial = next((found for order in orders if (found := self._gate.check(order, now)) is not None), None)
        if denial is None:
            return True
        self._deny(orders, denial.reason)
        if self._gate.must_halt:
            self._route(Alert(level="critical", key="fat-finger", text=f"{self._venue}: {denial.reason}", at=now))
        return False

    def _is_durable(self, orders: tuple[PlaceOrder, ...]) -> bool:
        try:
            for order in orders:
                self._journal.record_intent(order, self._epoch)
        except JournalFailed as error:
            self._deny(orders, f"no durable intent: {error}")
            self._alert_journal(error)
            return False
        return True

    def _deny(self, orders: tuple[PlaceOrder, ...], reason: str) -> None:
        """The gate is told, too: it counts an order from the moment it has let it pass."""
        for order in orders:
            denied = OrderDenied(
                venue=order.venue, client_order_id=order.client_order_id, role=order.role, reason=reason, at=time.monotonic()
            )
            self._route(denied)
            self._gate.handle(denied)

    def _lease(self, message: LeaseClientIds) -> None:
        """No answer while the journal cannot be written: the owner goes on with what it has, and asks again."""
        try:
            start, end = self._journal.lease_client_ids(LEASE_SIZE)
        except JournalFailed as error:
            self._alert_journal(error)
            return
        self._route(ClientIdsLeased(owner=message.owner, start=start, end=end))

    def _alert_journal(self, error: JournalFailed) -> None:
        text = f"the journal cannot be written: {error}"
        self._route(Alert(level="critical", key="journal", text=text, at=time.monotonic()))

    def _carry(self, events: tuple[Message, ...]) -> None:
        for event in events:
            self._route(event)

    def health(self) -> Mapping[str, object]:
        ledger = self._gate.ledger
        return {"sent": self._sent, "denials": self._gate.denials, "net": ledger.net, "uncovered": ledger.uncovered}
