"""The two venues between exchange and bot, without any wire format: what each answers, when, and what it only tells on its stream.

GRVT acknowledges before it matches, keeps cancels armed, answers lookups of ended orders and counts down a dead-man switch; Backpack
answers with the result, refuses late requests and looks up resting orders only (protocols/grvt.md §0, §4; backpack.md §4).
"""

from __future__ import annotations

from core.instrument import Instrument
from core.messages import (
    CancelAcknowledged,
    CancelOrder,
    Message,
    OrderAccepted,
    OrderReported,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
)
from core.types import ZERO, ClientOrderId, OrderState, Source
from simulator.exchange import Exchange, ExchangeRefused, SimOrder
from tests.sim.engine import Engine
from tests.sim.nemesis import Nemesis
from tests.sim.wire import ACCOUNT, Answer, Wire


class GrvtWire(Wire):
    """Acknowledgement first, the result on the stream; cancels by client id stay armed (grvt.md §0.2, §4)."""

    speed_bump_s = 0.025

    def __init__(self, engine: Engine, exchange: Exchange, instrument: Instrument, nemesis: Nemesis) -> None:
        super().__init__(engine, exchange, instrument, nemesis)
        self._armed: dict[ClientOrderId, float] = {}
        self._killed: dict[ClientOrderId, OrderReported] = {}
        self._countdown = 0

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.arrived(order)
        now, client_id = self.engine.now, order.client_order_id
        if self._armed.get(client_id, 0.0) > now:
            self._killed[client_id] = self._kill(order, now)
            self.publish(self._killed[client_id])
        elif not self.nemesis.forgets():
            self.engine.after(0.005 if order.post_only else self.speed_bump_s, self._match, order)
        if answer is not None:
            answer((OrderAccepted(venue=order.venue, client_order_id=client_id, venue_order_id=None, at=now),))

    def _match(self, order: PlaceOrder) -> None:
        """After the acknowledgement. A cancel that came in between ends it before it lives."""
        if self._armed.get(order.client_order_id, 0.0) > self.engine.now:
            self._killed[order.client_order_id] = self._kill(order, self.engine.now)
            self.publish(self._killed[order.client_order_id])
            return
        try:
            self._enter(order)
        except ExchangeRefused as refused:
            raise AssertionError(f"I16: {order} refused by the exchange: {refused}") from None

    def _kill(self, order: PlaceOrder, now: float) -> OrderReported:
        return OrderReported(
            venue=order.venue,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=None,
            state=OrderState.CANCELED,
            filled_quantity=ZERO,
            source=Source.WS,
            received_at=now,
            reason="cancelled before it was created",
        )

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.exchange.advance(self.wall_s)
        order = self.exchange.by_client_id(ACCOUNT, str(command.client_order_id))
        if order is None:
            self._armed[command.client_order_id] = self.engine.now + (command.ttl_ms or 5_000) / 1000
        elif order.status == "OPEN":
            self.exchange.cancel(order.order_id, "USER")
        if answer is not None:
            answer((CancelAcknowledged(venue=command.venue, client_order_id=command.client_order_id, at=self.engine.now),))

    def renew_dead_man(self, command: RenewDeadMan, answer: Answer) -> None:
        request = self._request()
        if request.kind in ("fine", "slow", "lose_answer", "late"):
            self.engine.after(request.there_s, self._arm, command.countdown_s)
        self.engine.after(request.answered_s, answer, ())

    def _arm(self, countdown_s: float) -> None:
        self._countdown += 1
        if countdown_s:
            self.engine.after(countdown_s, self._expire, self._countdown)

    def _expire(self, countdown: int) -> None:
        if countdown == self._countdown:
            self._cancel_everything()

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        order = self.exchange.by_client_id(ACCOUNT, str(query.client_order_id))
        if order is not None:
            return (self.report(order, Source.REST, received_at),)
        killed = self._killed.get(query.client_order_id)
        return (killed,) if killed is not None else (self._not_found(query, asked_at, received_at),)

    def state_of(self, order: SimOrder) -> OrderState:
        """What is left of an IOC order is cancelled here, not expired."""
        if order.status == "EXPIRED" and order.reason == "IOC":
            return OrderState.CANCELED
        return super().state_of(order)


class BackpackWire(Wire):
    """The answer is the order after its first matching; late requests are refused; lookups show resting orders only (backpack.md §4)."""

    trade_deadline_s = 2.0
    window_s = 1.0

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        if self.is_down:
            return
        if self.engine.now - sent_at > self.window_s:
            if answer is not None:
                answer(self._rejected(order, "EXPIRED_WINDOW", self.engine.now))
            return
        self.arrived(order)
        try:
            placed = self._enter(order)
        except ExchangeRefused as refused:
            raise AssertionError(f"I16: {order} refused by the exchange: {refused}") from None
        if answer is None:
            return
        report = self.report(placed, Source.REST, self.engine.now)
        accepted = OrderAccepted(
            venue=order.venue, client_order_id=order.client_order_id, venue_order_id=report.venue_order_id, at=self.engine.now
        )
        answer((accepted, report))

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.exchange.advance(self.wall_s)
        order = self.exchange.by_client_id(ACCOUNT, str(command.client_order_id))
        cancelled = self.exchange.cancel(order.order_id, "USER") if order is not None else None
        if answer is None:
            return
        if cancelled is None:
            answer((self._cancel_failed(command, "refused", self.engine.now),))
            return
        acknowledged = CancelAcknowledged(venue=command.venue, client_order_id=command.client_order_id, at=self.engine.now)
        answer((acknowledged, self.report(cancelled, Source.REST, self.engine.now)))

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        """Resting: a report. Otherwise the fills that the history shows of it, then "not found"."""
        order = self.exchange.by_client_id(ACCOUNT, str(query.client_order_id))
        if order is not None and order.status == "OPEN":
            return (self.report(order, Source.REST, received_at),)
        fills = (fill for fill in self._shown(received_at, 0.0) if fill.client_order_id == query.client_order_id)
        return (*fills, self._not_found(query, asked_at, received_at))
