"""One life of a bracket run's process: the real cores, wired by core/routing.py as actors/bracket_composition.py does it.

``OcoParts`` names every class that a planted bug can replace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from core.bracket import Bracket, entry_of
from core.bracket_gate import BracketGate
from core.client_ids import ClientIds
from core.fallback import FallbackPolicy
from core.journal_state import JournalState
from core.messages import (
    AttemptFinished,
    AttemptStarted,
    CycleFinished,
    FillRecorded,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OrderChanged,
    PairStateChanged,
    PlaceOrder,
    Stop,
)
from core.order_tracker import OrderTracker
from core.rate_limiter import Budget, LimiterConfig, RateLimiter
from core.recovery import ledger_of, tracker_of
from core.routing import FALLBACK, HEDGER, OCO_PAIR, QUOTER, RISK, TRACKER, recipients
from core.trading_state import TradingStateMachine
from core.types import Channel, VenueId
from core.venue_watch import VenuePolicy
from tests.sim.engine import CoreNode, Engine, Node
from tests.sim.feed import Feed
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode, PollerNode
from tests.sim.nemesis import Nemesis
from tests.sim.oco_scenario import APEX, BURST_S, COLLAR_BPS, RATES, OcoScenario
from tests.sim.oco_wire import ApexWire

LIMITS = LimiterConfig(venue=APEX, rates=RATES, burst_s=BURST_S)
GATEWAY, LIMITER, POLLER = f"order_gateway.{APEX}", f"rate_limiter.{APEX}", f"rest_poller.{APEX}"
START_ORDER = (LIMITER, TRACKER, GATEWAY, POLLER, RISK, FALLBACK, OCO_PAIR)
REBUILT_WITH = {LIMITER: (TRACKER, RISK, FALLBACK, OCO_PAIR), TRACKER: (RISK, FALLBACK, OCO_PAIR)}
ALIASES: dict[str, str | None] = {QUOTER: OCO_PAIR, HEDGER: None, "clerk": GATEWAY}
HISTORY_AFTER_S = 0.3
MakeTracker = Callable[[JournalState, dict[VenueId, VenuePolicy], float, int, int], OrderTracker]


class OcoFeed(Feed):
    """An ApeX stream: the account's first frames are followed by one of history (apex.md §0.2)."""

    def _open(self, connection: int) -> None:
        super()._open(connection)
        if self.channel is Channel.ACCOUNT:
            self._engine.after(HISTORY_AFTER_S, self._tell_history, connection)

    def _tell_history(self, connection: int) -> None:
        wire = self._wire
        assert isinstance(wire, ApexWire)
        for report in wire.history():
            self._deliver(report, connection)


class OcoGateway(GatewayNode):
    """A gateway whose journal cannot be written now and then: such an order is denied before anything has left."""

    denial_rate = 0.0

    def _prepare(self, orders: tuple[PlaceOrder, ...]) -> bool:
        if self.denial_rate and self.wire.nemesis.is_on and self.wire.nemesis.random.random() < self.denial_rate:
            self.deny(orders, "the intent is not durable")
            return False
        return super()._prepare(orders)


@dataclass(frozen=True)
class OcoParts:
    """What a life is made of. ``overhears``: messages that a naive pair listens to beside those of the table."""

    tracker: MakeTracker = tracker_of
    bracket: type[Bracket] = Bracket
    gate: type[BracketGate] = BracketGate
    overhears: tuple[type[Message], ...] = field(default=())


class OcoBot:
    """``hear(sender, message)`` is told of every message that is routed; ``sending`` of every order that is about to leave."""

    def __init__(
        self,
        engine: Engine,
        scenario: OcoScenario,
        nemesis: Nemesis,
        wire: ApexWire,
        journal: SimJournal,
        parts: OcoParts,
        wall_ms: Callable[[], int],
        hear: Callable[[str, Message], None],
        sending: Callable[[GatewayNode, PlaceOrder], None],
    ) -> None:
        self._engine = engine
        self._scenario = scenario
        self._wire = wire
        self._journal = journal
        self._parts = parts
        self._wall_ms = wall_ms
        self._hear = hear
        self._sending = sending
        self._policies = scenario.policies
        self._epoch = journal.begin_epoch()
        self._born_ms = wall_ms()
        self._child_epoch = 0
        self._state_at_start = journal.fold()
        self._routes: dict[tuple[type[Message], bool], tuple[str, ...]] = {}
        self._budget = Budget(LIMITS)
        self.nodes: dict[str, Node] = {}
        self.is_alive = True
        self.fallback = FallbackPolicy(tuple((APEX, channel) for channel in Channel), engine.now)
        self.feeds = {
            channel: OcoFeed(engine, wire, channel, nemesis, self._router(f"{channel.value}_feed.{APEX}")) for channel in Channel
        }
        self._feeds_by_name = {f"{channel.value}_feed.{APEX}": feed for channel, feed in self.feeds.items()}

    # ---- life and death ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        for name in START_ORDER:
            self._build(name)
        for feed in self.feeds.values():
            feed.start()

    def kill(self) -> None:
        self.is_alive = False
        for node in self.nodes.values():
            node.die()
        for feed in self.feeds.values():
            feed.close()

    def crash(self, name: str) -> tuple[str, ...]:
        """One actor dies; returns the names to build anew. A gateway takes the process with it: ()."""
        if name == GATEWAY:
            return ()
        dead = (name, *REBUILT_WITH.get(name, ()))
        for each in dead:
            self.nodes[each].die()
        return dead

    def rebuild(self, names: tuple[str, ...]) -> None:
        if self.is_alive:
            for name in names:
                self._build(name)

    def stop(self, reason: str) -> None:
        self._router("supervisor")(Stop(reason=reason))

    def _build(self, name: str) -> None:
        self._child_epoch += 1
        self.nodes[name] = node = self._make(name)
        if isinstance(node, CoreNode) and hasattr(node.core, "start"):
            node.emit(node.core.start(self._engine.now))

    def _make(self, name: str) -> Node:
        engine, route = self._engine, self._router(name)
        if name == LIMITER:
            limiter = RateLimiter(LIMITS, self._budget)
            return CoreNode(engine, name, limiter, route, limiter.deadline, spacing_s=0.001)
        if name == GATEWAY:
            return self._gateway()
        if name == POLLER:
            polled = frozenset(channel for _, channel in self.fallback.polled)
            return PollerNode(engine, name, self._wire, route, polled)
        if name == TRACKER:
            self._journal.flush()
            tracker = self._parts.tracker(self._journal.fold(), self._policies, engine.now, self._wall_ms(), self._born_ms)
            return CoreNode(engine, name, tracker, route, lambda _: tracker.deadline())
        if name == RISK:
            lot = self._scenario.instrument.lot_size
            risk = TradingStateMachine((APEX,), lot, Decimal(1000), epoch=self._child_epoch, owner=RISK)
            return CoreNode(engine, name, risk, route, risk.deadline)
        if name == FALLBACK:
            return CoreNode(engine, name, self.fallback, route, lambda _: self.fallback.deadline(), spacing_s=0.5)
        return self._pair()

    def _gateway(self) -> Node:
        scenario = self._scenario
        ledger = ledger_of(self._state_at_start, self._policies, GATEWAY, self._engine.now, self._wall_ms())
        gate = self._parts.gate(scenario.instrument, scenario.side, scenario.size, COLLAR_BPS, ledger)
        route = self._router(GATEWAY)
        gateway = OcoGateway(
            self._engine,
            GATEWAY,
            self._wire,
            route,
            gate,  # type: ignore[arg-type]  # implements the same protocol as the hedging gate
            self._journal,
            self._epoch,
            self._sending,
        )
        gateway.denial_rate = scenario.denial_rate
        return gateway

    def _pair(self) -> Node:
        scenario = self._scenario
        self._journal.flush()
        state = self._journal.fold()
        entered, value = entry_of(state)
        core = self._parts.bracket(
            scenario.instrument,
            scenario.settings,
            scenario.size,
            ClientIds(OCO_PAIR),
            epoch=self._child_epoch,
            iterations=scenario.iterations,
            done=state.last_finished_cycle_id - self._state_at_start.last_finished_cycle_id,
            last_cycle_id=state.last_cycle_id,
            released_cycle_id=state.last_released_cycle_id,
            entered=entered,
            entry_value=value,
        )

        def deadline(now: float) -> float | None:
            """The core names no time while it waits for its snapshot or its ids; the real actor ticks all the time."""
            wanted = core.deadline(now)
            return now + 0.5 if wanted is None and not core.ledger.is_synced else wanted

        return CoreNode(self._engine, OCO_PAIR, core, self._router(OCO_PAIR), deadline)

    # ---- messages ------------------------------------------------------------------------------------------------------------

    def _router(self, sender: str) -> Callable[[Message], None]:
        is_limiter = sender == LIMITER
        noted: tuple[type[Message], ...] = (AttemptStarted, AttemptFinished, CycleFinished, PairStateChanged)
        if sender == TRACKER:
            noted = (FillRecorded, OrderChanged)

        def route(message: Message) -> None:
            if not self.is_alive:
                return
            kind = type(message)
            if kind in noted:
                self._journal.note(message)
            self._hear(sender, message)
            names = self._routes.get((kind, is_limiter))
            if names is None or kind in (LedgerRequested, LedgerSnapshot):
                names = self._routes[kind, is_limiter] = self._names(message, sender)
            for name in names:
                node = self.nodes.get(name) or self._feeds_by_name.get(name)
                if node is not None:
                    node.tell(message)

        return route

    def _names(self, message: Message, sender: str) -> tuple[str, ...]:
        names = (ALIASES.get(name, name) for name in recipients(message, (APEX,), sender=sender))
        found = tuple(name for name in names if name is not None)
        return (*found, OCO_PAIR) if isinstance(message, self._parts.overhears) else found

    def core(self, name: str) -> Any:
        """The core of a node, for checks."""
        node = self.nodes[name]
        assert isinstance(node, CoreNode)
        return node.core
