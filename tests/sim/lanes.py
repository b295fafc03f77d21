"""The actors around a venue's wire: the gateway, in the order of actors/order_gateway.py, and the poller of actors/rest_poller.py.

Both wait for their answers as the threads do: while one request is out, the next message waits in the inbox.
"""

from __future__ import annotations

from collections.abc import Callable

from core.client_ids import LEASE_SIZE
from core.messages import (
    Alert,
    CancelAll,
    CancelOrder,
    ClientIdsLeased,
    FeedChanged,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    LeaseClientIds,
    LedgerRequested,
    Message,
    OrderDenied,
    OrderSubmitted,
    PlaceOco,
    PlaceOrder,
    QueryOrder,
    RenewDeadMan,
    SetPolling,
    Tick,
)
from core.ports import JournalFailed
from core.risk_gate import RiskGate
from core.routing import RISK
from core.types import Channel, FeedState, Source, TradingState, VenueId
from tests.sim.engine import TICK, Engine, Node
from tests.sim.journal import SimJournal
from tests.sim.wire import Wire

POLL_S = 1.0
POLL_LOOKBACK_S = 60.0
Route = Callable[[Message], None]


class LaneNode(Node):
    """A node whose wire calls block it until the answer; an answer for a dead life is nobody's."""

    def __init__(self, engine: Engine, name: str, wire: Wire, route: Route) -> None:
        super().__init__(engine, name)
        self.wire = wire
        self.route = route

    def answered(self, events: tuple[Message, ...]) -> None:
        if not self.is_alive:
            return
        for event in events:
            self.route(event)
        self.unblock()


class GatewayNode(LaneNode):
    """Risk gate, durable intent, the tracker told, send, classify. ``sending`` is called just before the bytes leave."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        wire: Wire,
        route: Route,
        gate: RiskGate,
        journal: SimJournal,
        epoch: int,
        sending: Callable[[GatewayNode, PlaceOrder], None],
    ) -> None:
        super().__init__(engine, name, wire, route)
        self.gate = gate
        self.journal = journal
        self.epoch = epoch
        self.venue: VenueId = wire.instrument.venue
        self._sending = sending

    def handle(self, message: Message) -> None:
        match message:
            case PlaceOrder():
                self.place(message)
            case PlaceOco():
                self.place_oco(message)
            case CancelOrder():
                self.block()
                self.wire.cancel(message, self.answered)
            case CancelAll():
                self.block()
                self.wire.cancel_all(message, self.answered)
            case RenewDeadMan():
                self.block()
                self.wire.renew_dead_man(message, self.answered)
            case LeaseClientIds():
                self.lease(message)
            case LedgerRequested():
                self.gate.handle(message)
                self.remind(message.owner)
                self.route(LedgerRequested(owner=message.owner, epoch=message.epoch, via=self.venue))
            case _:
                self.gate.handle(message)

    def place(self, order: PlaceOrder) -> None:
        if self._prepare((order,)):
            self.block()
            self.wire.place(order, self.answered)

    def place_oco(self, pair: PlaceOco) -> None:
        if self._prepare(pair.orders):
            self.block()
            self.wire.place_oco(pair, self.answered)

    def _prepare(self, orders: tuple[PlaceOrder, ...]) -> bool:
        """Everything that comes before the bytes; False: they do not leave."""
        now = self.engine.now
        denial = next((found for order in orders if (found := self.gate.check(order, now)) is not None), None)
        if denial is not None:
            self.deny(orders, denial.reason)
            if self.gate.must_halt:
                self.route(Alert(level="critical", key="fat-finger", text=f"{self.venue}: {denial.reason}", at=now))
            return False
        if not self.intend(orders):
            return False
        for order in orders:
            self.route(OrderSubmitted(order=order, at=now))
        for order in orders:
            self._sending(self, order)
            if not self.is_alive:
                return False
        return True

    def intend(self, orders: tuple[PlaceOrder, ...]) -> bool:
        """Whether the intents are durable."""
        try:
            for order in orders:
                self.journal.record_intent(order, self.epoch)
        except JournalFailed as error:
            self.deny(orders, f"no durable intent: {error}")
            self.route(journal_alarm(error, self.engine.now))
            return False
        return True

    def remind(self, owner: str) -> None:
        if owner == RISK and self.gate.state is TradingState.HALTED:
            self.route(Alert(level="critical", key="halt", text="trading was halted before", at=self.engine.now))

    def deny(self, orders: tuple[PlaceOrder, ...], reason: str) -> None:
        for order in orders:
            denied = OrderDenied(
                venue=order.venue, client_order_id=order.client_order_id, role=order.role, reason=reason, at=self.engine.now
            )
            self.route(denied)
            self.gate.handle(denied)

    def lease(self, message: LeaseClientIds) -> None:
        try:
            start, end = self.journal.lease_client_ids(LEASE_SIZE)
        except JournalFailed as error:
            self.route(journal_alarm(error, self.engine.now))
            return
        self.route(ClientIdsLeased(owner=message.owner, start=start, end=end))


def journal_alarm(error: JournalFailed, now: float) -> Alert:
    return Alert(level="critical", key="journal", text=f"the journal cannot be written: {error}", at=now)


class PollerNode(LaneNode):
    """Reads, and stands in for streams that are down."""

    def __init__(self, engine: Engine, name: str, wire: Wire, route: Route, polling: frozenset[Channel] = frozenset()) -> None:
        super().__init__(engine, name, wire, route)
        self._polling = set(polling)
        self._tick_at: float | None = None
        self._arm(POLL_S)

    def handle(self, message: Message) -> None:
        match message:
            case QueryOrder() | FetchOpenOrders() | FetchFills() | FetchPosition() | FetchBook():
                self.block()
                self.wire.read(message, self.answered)
            case SetPolling():
                self._set(message)
            case Tick():
                self._poll()
                self._arm(POLL_S)
            case _:
                pass

    def _set(self, message: SetPolling) -> None:
        (self._polling.add if message.is_on else self._polling.discard)(message.channel)
        state = FeedState.LIVE if message.is_on else FeedState.DOWN
        self.route(
            FeedChanged(
                venue=message.venue,
                channel=message.channel,
                state=state,
                source=Source.REST,
                reason="standing in" if message.is_on else "taken over again",
                at=self.engine.now,
            )
        )
        self._arm(0.0)

    def _poll(self) -> None:
        venue, symbol = self.wire.instrument.venue, self.wire.instrument.symbol
        if Channel.ACCOUNT in self._polling:
            self.route(FetchFills(venue=venue, symbol=symbol, lookback_s=POLL_LOOKBACK_S))
            self.route(FetchOpenOrders(venue=venue, symbol=symbol))
            self.route(FetchPosition(venue=venue, symbol=symbol))
        if Channel.MARKET in self._polling:
            self.route(FetchBook(venue=venue, symbol=symbol))

    def _arm(self, delay_s: float) -> None:
        if self._polling:
            self._tick_at = self.engine.now + delay_s
            self.engine.at(self._tick_at, self._wake_up, self._tick_at)

    def _wake_up(self, planned: float) -> None:
        if self.is_alive and self._tick_at == planned:
            self.tell(TICK)
