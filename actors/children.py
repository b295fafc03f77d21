"""What every run is made of, whatever its strategy: names, order, factories. It knows venues and files as ports only.

Start order is the order of the list; the watch stops in reverse. A factory is called once per life with a fresh epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pykka

from actors.base import Identity, Report
from actors.decider import Decider
from actors.feed import Feed, down
from actors.mailbox import Addresses
from actors.order_gateway import DryLane, OrderGateway
from actors.order_tracker import OrderTrackerActor
from actors.rate_limiter import RateLimiterActor
from actors.recorder import Files, Recorder, View
from actors.rest_poller import RestPoller
from actors.router import Router
from actors.supervision import Child
from core.assembly import venue_policy
from core.config import Config
from core.fallback import FallbackPolicy
from core.fee_watch import FeeWatch
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import LedgerSnapshot, Message
from core.order_tracker import OrderTracker
from core.pairing import PairLedger
from core.ports import Journal, Stream, Venue
from core.rate_limiter import Budget, LimiterConfig, RateLimiter
from core.recovery import ledger_of, results_of, tracker_of
from core.risk_gate import Gate
from core.routing import FALLBACK, GRANTED, RECORDER, RISK, TRACKER
from core.supervision import spec_for
from core.totals import RunTotals
from core.trading_state import TradingStateMachine
from core.types import Channel, Fees, VenueId
from core.venue_watch import VenuePolicy

LONGEST_TRADE_CALL_S = 5.0
LONGEST_READ_CALL_S = 8.0
LONGEST_CONNECT_S = 10.0
"""What one call may take by its own deadlines, at whatever venue (tests/adapters/test_call_times.py). A feed logs in and connects in one."""


Started = pykka.ActorRef[Any]
Build = Callable[[Identity], Started]


class Side(NamedTuple):
    """One venue of the run. ``rates``: requests per second by the limiter's classes."""

    venue: Venue
    instrument: Instrument
    fees: Fees
    rates: Mapping[str, float]


class Outputs(NamedTuple):
    """Where facts go."""

    files: Files
    view: View
    log: Callable[[Message], None]


class FoldingJournal(Journal, Protocol):
    """A journal that can say what it adds up to."""

    def fold(self) -> JournalState: ...


class Children:
    """Factories shared by all kinds of run; a subclass adds its strategy's actors and its gate. ``children()`` is the start list."""

    aliases: Mapping[str, str | None] = {}
    """Names of the routing table that this kind of run gives to another actor, or to nobody."""

    def __init__(
        self,
        config: Config,
        sides: Sequence[Side],
        pairs: PairLedger,
        totals: RunTotals,
        journal: FoldingJournal,
        outputs: Outputs,
        addresses: Addresses,
        report: Callable[[Report], None],
        *,
        process_epoch: int,
        is_dry_run: bool = False,
    ) -> None:
        self._config = config
        self._sides = {side.venue.name: side for side in sides}
        self._pairs = pairs
        self._totals = totals
        self._journal = journal
        self._outputs = outputs
        self._addresses = addresses
        self._report = report
        self._process_epoch = process_epoch
        self._is_dry_run = is_dry_run
        self._streams: dict[str, Stream] = {}
        self._granted = dict.fromkeys(self._sides, 0)
        self._lot = max(side.instrument.lot_size for side in sides)
        self._finished_at_start = journal.fold().last_finished_cycle_id
        """Of the state itself nothing is kept: it would hold every order of the past for as long as the process lives."""
        self._recorders = 0
        self._born_ms = _wall_ms()
        self.fallback = FallbackPolicy(tuple((v, c) for v in self._sides for c in Channel), time.monotonic())

    def _strategy(self) -> list[Child]:
        """The deciding actors of this kind of run, in start order."""
        raise NotImplementedError

    def _gate(self, side: Side, ledger: LedgerSnapshot) -> Gate:
        """The pre-trade checks of one gateway."""
        raise NotImplementedError

    def route(self, sender: str) -> Router:
        """The sender's way to everybody; the first venue's gateway leases the client order ids."""
        clerk = f"order_gateway.{next(iter(self._sides))}"
        return Router(self._addresses, tuple(self._sides), clerk, sender, self.aliases)

    def children(self) -> list[Child]:
        """Recorder first, so that nothing goes unrecorded; feeds last, so that nothing is heard before somebody listens."""
        venues = tuple(self._sides)
        found = [self._child("recorder", RECORDER, self._recorder, limit_s=5.0)]
        found += [self._child("rate_limiter", f"rate_limiter.{v}", self._limiter(v)) for v in venues]
        found.append(self._child("order_tracker", TRACKER, self._tracker))
        found += [self._child("trade_lane", f"order_gateway.{v}", self._gateway(v), limit_s=LONGEST_TRADE_CALL_S) for v in venues]
        found += [self._child("rest_poller", f"rest_poller.{v}", self._poller(v), limit_s=LONGEST_READ_CALL_S) for v in venues]
        found.append(self._child("risk", RISK, self._risk))
        found.append(self._child("fallback", FALLBACK, self._fallback))
        return found + self._strategy() + [self._feed_child(name, channel) for name in venues for channel in Channel]

    def _gateway(self, venue: VenueId) -> Build:
        side = self._sides[venue]

        def build(identity: Identity) -> Started:
            gate = self._gate(side, ledger_of(self._read_journal(), self.policies, identity.name, time.monotonic(), _wall_ms()))
            lane = side.venue.trade_lane(side.instrument)
            used = DryLane(lane) if self._is_dry_run else lane
            route = self.route(identity.name)
            return OrderGateway.start(identity, venue, used, gate, self._journal, route, epoch=self._process_epoch)

        return build

    @property
    def policies(self) -> dict[VenueId, VenuePolicy]:
        return {name: venue_policy(side.instrument, side.venue.capabilities) for name, side in self._sides.items()}

    @property
    def calls(self) -> int:
        """Requests granted to all venues so far."""
        return sum(self._granted.values())

    def _child(self, kind: str, name: str, build: Build, *, limit_s: float = 0.0) -> Child:
        spec = spec_for(kind, name, longest_call_s=limit_s)

        def start(epoch: int) -> Started:
            return build(Identity(name, kind, epoch, self._report, lambda ref: self._addresses.register(name, ref, epoch)))

        return Child(spec, start)

    def _recorder(self, identity: Identity) -> Started:
        out = self._outputs
        self._recorders += 1
        return Recorder.start(
            identity,
            self._journal,
            out.files,
            out.view,
            out.log,
            self._pairs,
            self._totals,
            lambda: self.calls,
            self.route(RECORDER),
            self._read_journal,
            FeeWatch({name: side.fees for name, side in self._sides.items()}),
            is_successor=self._recorders > 1,
        )

    def _read_journal(self) -> JournalState:
        """Everything that was noted up to now. Raises JournalFailed."""
        self._journal.flush()
        return self._journal.fold()

    def _limiter(self, venue: VenueId) -> Build:
        side = self._sides[venue]
        config = LimiterConfig(venue=venue, rates=dict(side.rates), burst_s=side.venue.capabilities.burst_s)
        budget = Budget(config)
        return lambda identity: RateLimiterActor.start(
            identity, RateLimiter(config, budget), self._counted(venue, self.route(identity.name))
        )

    def _counted(self, venue: VenueId, route: Router) -> Callable[[Message], None]:
        def count(message: Message) -> None:
            if type(message) in GRANTED:
                self._granted[venue] += 1
            route(message)

        return count

    def _tracker(self, identity: Identity) -> Started:
        """From the journal at every start: what an earlier life concluded is in it, what it had not yet read the venues still tell."""

        def build() -> OrderTracker:
            return tracker_of(self._read_journal(), self.policies, time.monotonic(), _wall_ms(), self._born_ms)

        return OrderTrackerActor.start(identity, build, self._journal, self.route(TRACKER))

    def _poller(self, venue: VenueId) -> Build:
        side = self._sides[venue]

        def changes() -> str:
            return side.instrument.changes(side.venue.setup.resolve(self._config.strategy.ticker))

        def build(identity: Identity) -> Started:
            polled = frozenset(channel for name, channel in self.fallback.polled if name == venue)
            lane, route = side.venue.query_lane(side.instrument), self.route(identity.name)
            return RestPoller.start(identity, venue, side.instrument.symbol, lane, route, polling=polled, changes=changes)

        return build

    def _risk(self, identity: Identity) -> Started:
        results = results_of(self._read_journal(), time.monotonic(), _wall_ms())
        loss = self._config.strategy.max_daily_loss
        core = TradingStateMachine(tuple(self._sides), self._lot, loss, results=results, epoch=identity.epoch, owner=RISK)
        return Decider.start(identity, core, self.route(RISK))

    def _fallback(self, identity: Identity) -> Started:
        return Decider.start(identity, self.fallback, self.route(FALLBACK))

    def _feed_child(self, venue: VenueId, channel: Channel) -> Child:
        name, side = f"{channel.value}_feed.{venue}", self._sides[venue]
        route = self.route(name)

        def build(identity: Identity) -> Started:
            make = side.venue.market_stream if channel is Channel.MARKET else side.venue.account_stream
            self._streams[name] = make(side.instrument)
            return Feed.start(identity, venue, self._streams[name], route)

        def abort() -> None:
            stream = self._streams[name]
            stream.abort()
            route(down(venue, stream, "the feed actor was stuck"))

        child = self._child(f"{channel.value}_feed", name, build, limit_s=LONGEST_CONNECT_S)
        return child._replace(abort=abort)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
