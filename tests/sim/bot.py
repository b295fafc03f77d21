"""One life of the bot's process: the real cores in simulated actors, wired by core/routing.py as actors/composition.py does it.

Whatever differs from the product here would be a hole in the proof, so there is little: no threads, no wire format, no recorder but
the notes it makes in the journal. ``Parts`` names every class, so that a planted bug can take a core's place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.client_ids import ClientIds
from core.exposure import ExposureLedger
from core.fallback import FallbackPolicy
from core.hedge_planner import HedgePlanner
from core.journal_state import JournalState
from core.messages import (
    AttemptFinished,
    AttemptStarted,
    CycleFinished,
    FeedChanged,
    FillRecorded,
    Message,
    OrderChanged,
    PlaceOrder,
    RenewDeadMan,
    Stop,
)
from core.order_tracker import OrderTracker
from core.ports import JournalFailed
from core.quoter import Quoter
from core.rate_limiter import Budget, LimiterConfig, RateLimiter
from core.recovery import ledger_of, tracker_of
from core.risk_gate import RiskGate
from core.routing import FALLBACK, HEDGER, QUOTER, RISK, TRACKER, recipients
from core.trading_state import TradingStateMachine
from core.types import Channel, FeedState, Source, VenueId
from core.venue_watch import VenuePolicy
from tests.sim.engine import CoreNode, Decision, Engine, Node
from tests.sim.feed import Feed
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode, PollerNode, journal_alarm
from tests.sim.nemesis import Nemesis
from tests.sim.scenario import HEDGE, MAKER, VENUES, Scenario
from tests.sim.wire import Wire

_RATES = {MAKER: {"create": 10.0, "cancel": 10.0, "query": 2.5, "other": 2.5}, HEDGE: {"total": 16.0}}
LIMITS = {venue: LimiterConfig(venue=venue, rates=rates) for venue, rates in _RATES.items()}
DEAD_MAN_S, DEAD_MAN_RENEW_S = 30.0, 10.0
FLUSH_S = 0.25
PROCESS = "process"
START_ORDER = (
    *(f"rate_limiter.{venue}" for venue in VENUES),
    TRACKER,
    *(f"order_gateway.{venue}" for venue in VENUES),
    *(f"rest_poller.{venue}" for venue in VENUES),
    RISK,
    FALLBACK,
    HEDGER,
    QUOTER,
)
REBUILT_WITH = {
    "rate_limiter": (TRACKER, RISK, FALLBACK, HEDGER, QUOTER),
    "order_tracker": (RISK, FALLBACK, HEDGER, QUOTER),
}
"""rest_for_one of core/supervision.py: who builds on the dead child is built anew with it."""


@dataclass(frozen=True)
class Parts:
    """What a life is made of. A mutant replaces one of them (mutants.py)."""

    tracker: Callable[[JournalState, dict[VenueId, VenuePolicy], float, int, int], OrderTracker] = tracker_of
    planner: type[HedgePlanner] = HedgePlanner
    quoter: type[Quoter] = Quoter
    gate: type[RiskGate] = RiskGate
    risk: type[TradingStateMachine] = TradingStateMachine
    limiter: type[RateLimiter] = RateLimiter
    gateway: type[GatewayNode] = GatewayNode
    journal: type[SimJournal] = SimJournal
    feed: type[Feed] = Feed
    policies: Callable[[dict[VenueId, VenuePolicy]], dict[VenueId, VenuePolicy]] = field(default=lambda policies: policies)


class Bot:
    """``hear(sender, message)`` is told of every message that is routed; ``sending`` of every order that is about to leave."""

    def __init__(
        self,
        engine: Engine,
        scenario: Scenario,
        nemesis: Nemesis,
        wires: dict[VenueId, Wire],
        journal: SimJournal,
        parts: Parts,
        wall_ms: Callable[[], int],
        hear: Callable[[str, Message], None],
        sending: Callable[[GatewayNode, PlaceOrder], None],
    ) -> None:
        self._engine = engine
        self._scenario = scenario
        self._wires = wires
        self._journal = journal
        self._parts = parts
        self._wall_ms = wall_ms
        self._hear = hear
        self._sending = sending
        self._policies = parts.policies(scenario.policies)
        self._epoch = journal.begin_epoch()
        self._born_ms = wall_ms()
        self._child_epoch = 0
        self._state_at_start = journal.fold()
        self._routes: dict[tuple[type[Message], str, bool], tuple[str, ...]] = {}
        self._budgets = {venue: Budget(limits) for venue, limits in LIMITS.items()}
        self.nodes: dict[str, Node] = {}
        self._feeds_by_name: dict[str, Feed] = {}
        self.is_alive = True
        self.fallback = FallbackPolicy(tuple((venue, channel) for venue in VENUES for channel in Channel), engine.now)
        self.feeds = {
            (venue, channel): parts.feed(engine, wires[venue], channel, nemesis, self._router(f"{channel.value}_feed.{venue}"))
            for venue in VENUES
            for channel in Channel
        }
        self._feeds_by_name.update((f"{channel.value}_feed.{venue}", feed) for (venue, channel), feed in self.feeds.items())

    # ---- life and death ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start everybody, in the order of actors/composition.py: feeds last, so that nothing is heard before somebody listens."""
        for name in START_ORDER:
            self._build(name)
        for feed in self.feeds.values():
            feed.start()
        self._renew_dead_man()

    def kill(self) -> None:
        """The whole process is gone, at once: inboxes, timers and connections with it."""
        self.is_alive = False
        for node in self.nodes.values():
            node.die()
        for feed in self.feeds.values():
            feed.close()

    def crash(self, name: str) -> tuple[str, ...]:
        """One actor dies; returns the names that the watch will build anew. A gateway takes the process with it."""
        if name.startswith("order_gateway."):
            return (PROCESS,)
        self.nodes[name].die()
        dead = (name, *REBUILT_WITH.get(name.partition(".")[0], ()))
        for each in dead[1:]:
            self.nodes[each].die()
        return dead

    def rebuild(self, names: tuple[str, ...]) -> None:
        """In start order, as the watch does."""
        if self.is_alive:
            for name in names:
                self._build(name)

    def stop(self, reason: str) -> None:
        """SIGTERM: no new quotes, cancels, hedges. Said again and again, for whoever is being built anew just now."""
        if self.is_alive:
            self._router("supervisor")(Stop(reason=reason))
            self._engine.after(1.0, self.stop, reason)

    def watch_disk(self) -> None:
        """What the recorder does four times a second (actors/recorder.py), while the disk is full and until it has succeeded."""
        if not self.is_alive:
            return
        try:
            self._journal.flush()
        except JournalFailed as error:
            self._router("recorder")(journal_alarm(error, self._engine.now))
        if self._journal.is_full:
            self._engine.after(FLUSH_S, self.watch_disk)

    def haunt(self, name: str, core: Decision) -> None:
        """A core that was replaced acts once more, on fresh books, with whatever it last knew."""
        if not self.is_alive:
            return
        for wire in self._wires.values():
            for output in core.handle(wire.book(self._engine.now), self._engine.now):
                self._router(name)(output)

    def _build(self, name: str) -> None:
        self._child_epoch += 1
        kind, _, venue = name.partition(".")
        self.nodes[name] = node = self._make(kind, name, VenueId(venue))
        if isinstance(node, CoreNode) and hasattr(node.core, "start"):
            node.emit(node.core.start(self._engine.now))

    def _make(self, kind: str, name: str, venue: VenueId) -> Node:
        engine, route = self._engine, self._router(name)
        match kind:
            case "rate_limiter":
                limiter = self._parts.limiter(LIMITS[venue], self._budgets[venue])
                return CoreNode(engine, name, limiter, route, limiter.deadline, spacing_s=0.001)
            case "order_gateway":
                return self._gateway(name, venue)
            case "rest_poller":
                polled = frozenset(channel for each, channel in self.fallback.polled if each == venue)
                return PollerNode(engine, name, self._wires[venue], route, polled)
            case "order_tracker":
                self._journal.flush()
                tracker = self._parts.tracker(self._journal.fold(), self._policies, engine.now, self._wall_ms(), self._born_ms)
                return CoreNode(engine, name, tracker, route, lambda _: tracker.deadline())
            case "risk":
                scenario = self._scenario
                loss = scenario.config.strategy.max_daily_loss
                risk = self._parts.risk(VENUES, scenario.limits.lot, loss, epoch=self._child_epoch, owner=RISK)
                return CoreNode(engine, name, risk, route, risk.deadline)
            case "fallback":
                return CoreNode(engine, name, self.fallback, route, lambda _: self.fallback.deadline(), spacing_s=0.5)
            case "hedger":
                return self._hedger(name)
            case _:
                return self._quoter(name)

    def _gateway(self, name: str, venue: VenueId) -> Node:
        ledger = ledger_of(self._state_at_start, self._policies, name, self._engine.now, self._wall_ms())
        wire = self._wires[venue]
        gate = self._parts.gate(wire.instrument, self._scenario.limits, ledger)
        return self._parts.gateway(self._engine, name, wire, self._router(name), gate, self._journal, self._epoch, self._sending)

    def _hedger(self, name: str) -> Node:
        scenario = self._scenario
        core = self._parts.planner(scenario.maker, scenario.hedge, scenario.hedges, ClientIds(HEDGER), epoch=self._child_epoch)

        def deadline(now: float) -> float | None:
            """The real actor ticks all the time. While the core waits for a snapshot, for ids or for a book, it names no time to come."""
            wanted = core.deadline()
            if wanted is None:
                return None if core.ledger.is_synced else now + 0.5
            return wanted if wanted > now else now + 0.5

        return CoreNode(self._engine, name, core, self._router(name), deadline)

    def _quoter(self, name: str) -> Node:
        scenario = self._scenario
        self._journal.flush()
        state = self._journal.fold()
        core = self._parts.quoter(
            scenario.maker,
            scenario.hedge,
            scenario.quotes,
            ClientIds(QUOTER),
            epoch=self._child_epoch,
            last_cycle_id=state.last_finished_cycle_id,
        )
        idle_s = scenario.quotes.check_s
        return CoreNode(self._engine, name, core, self._router(name), lambda now: now + idle_s, idle_s=idle_s)

    # ---- messages ------------------------------------------------------------------------------------------------------------

    def _router(self, sender: str) -> Callable[[Message], None]:
        """Deliver by the routing table; the tracker's conclusions are noted in the journal first, the cycle's facts too."""
        is_limiter = sender.startswith("rate_limiter.")
        noted: tuple[type[Message], ...] = (AttemptStarted, AttemptFinished, CycleFinished)
        if sender == TRACKER:
            noted = (FillRecorded, OrderChanged)
        nodes, routes, journal, feeds = self.nodes, self._routes, self._journal, self._feeds_by_name

        def route(message: Message) -> None:
            if not self.is_alive:
                return
            kind = type(message)
            if kind in noted:
                journal.note(message)
            self._hear(sender, message)
            key = (kind, getattr(message, "venue", None) or getattr(message, "owner", ""), is_limiter)
            names = routes.get(key)
            if names is None or kind.__name__ == "LedgerRequested":
                names = routes[key] = self._names(message, sender)
            for name in names:
                node = nodes.get(name) or feeds.get(name)
                if node is not None:
                    node.tell(message)

        return route

    def _names(self, message: Message, sender: str) -> tuple[str, ...]:
        clerk = f"order_gateway.{MAKER}"
        return tuple(clerk if name == "clerk" else name for name in recipients(message, VENUES, sender=sender))

    def _renew_dead_man(self) -> None:
        """What the supervisor's loop does every ten seconds (actors/run_loop.py)."""
        if self.is_alive:
            self._router("supervisor")(RenewDeadMan(venue=MAKER, countdown_s=DEAD_MAN_S))
            self._engine.after(DEAD_MAN_RENEW_S, self._renew_dead_man)

    def core(self, name: str) -> Any:
        """The core of a node, for checks."""
        node = self.nodes[name]
        assert isinstance(node, CoreNode)
        return node.core

    @property
    def ledgers(self) -> dict[str, ExposureLedger]:
        """What each node counts that lives and has nothing left to read."""
        idle = [(name, node) for name, node in self.nodes.items() if node.is_alive and not node.inbox]
        found = {name: node.gate.ledger for name, node in idle if isinstance(node, GatewayNode)}
        return found | {name: self.core(name).ledger for name, _ in idle if name in (HEDGER, QUOTER, RISK)}

    def is_live(self, venue: VenueId, channel: Channel) -> bool:
        return self.feeds[venue, channel].state is FeedState.LIVE


def is_stream(message: Message) -> bool:
    """A change of a stream, not of the poller that stands in for it."""
    return isinstance(message, FeedChanged) and message.source is Source.WS
