"""Asserts the invariants marked R while a run goes on, and notes what the checkers need afterwards.

It listens; it never changes what happens. A broken invariant is noted with its time, and the run goes on, so that one seed can show
what followed.
"""

from __future__ import annotations

from typing import NamedTuple

from core.messages import (
    Alert,
    AttemptFinished,
    BookUpdated,
    CancelOrder,
    FeedChanged,
    FillRecorded,
    ForeignActivity,
    HedgeStalled,
    LedgerRequested,
    Message,
    OrderChanged,
    OrderSnapshot,
    PlaceOrder,
    PositionMismatch,
    RateLimited,
    TradingStateChanged,
    VenueReconciled,
)
from core.order import CLOSED, TRANSITIONS
from core.quoter import EXPOSURE_GRACE_S
from core.routing import HEDGER, QUOTER, TRACKER
from core.types import ZERO, Channel, ClientOrderId, FeedState, OrderState, Role, Side, Source, TradingState, VenueId
from simulator.ledger import AccountFill
from tests.sim.bot import Bot
from tests.sim.engine import Engine
from tests.sim.history import WORLD, History
from tests.sim.lanes import GatewayNode
from tests.sim.scenario import VENUES, Scenario

BLIND_LIMIT_S = 1.5
"""I12 allows one second; half a second is the grain of the inspection and of the quoter's tick here."""
ALARM_LIMIT_S = 3.5
"""Two seconds, the grain of the inspection and that of the planner's tick here."""
DISTURBED_S = 4.0
"""While actors are being restarted or stand still, nobody can cancel: I20 bounds that, not I12."""


RIVAL_FIRST_CLIENT_ID = 2**31
"""A second bot of the account counts from here, ours from 1 (adapters/journal.py lets both begin anywhere)."""


def is_ours(client_id: ClientOrderId | str | None) -> bool:
    """Whether an order at a venue is of the bot that is judged; a person's and the venue's own have no number."""
    text = str(client_id)
    return text.isdigit() and int(text) < RIVAL_FIRST_CLIENT_ID


class Episode(NamedTuple):
    """|delta| was at or above a lot at the venues for ``length_s`` seconds during which the process was alive."""

    start: float
    end: float
    length_s: float


class Inspector:
    """One run's facts: ``violations`` as lines, ``episodes`` of exposure, orders sent, states."""

    def __init__(self, engine: Engine, scenario: Scenario, history: History) -> None:
        self._engine = engine
        self._scenario = scenario
        self._history = history
        self.violations: list[str] = []
        self.orders: dict[ClientOrderId, PlaceOrder] = {}
        self.arrivals: set[ClientOrderId] = set()
        self.fills: list[tuple[VenueId, AccountFill]] = []
        self.delta = ZERO
        self.worst_delta = ZERO
        self.foreign_quantity = ZERO
        """All that strangers have traded, bought or sold."""
        self.episodes: list[Episode] = []
        self.exposure_alerts: list[float] = []
        self.states: list[tuple[float, TradingState, str]] = []
        self.reasons: list[tuple[float, str]] = []
        self.mismatched: set[VenueId] = set()
        self.state = TradingState.STARTING
        self.last_maker_sent_at = 0.0
        self.nothing_to_reduce_at = 0.0
        self.planned_at: dict[ClientOrderId, float] = {}
        self.was_stopped = False
        self.disturbed_at = float("-inf")
        self._exposed_since: float | None = None
        self._away_since: float | None = None
        self._away_s = 0.0
        self._known: dict[ClientOrderId, OrderSnapshot] = {}
        self._cancels: set[ClientOrderId] = set()
        self._reconciled: set[VenueId] = set()
        self._accounts: dict[VenueId, FeedState] = {}
        self._unread: set[VenueId] = set()
        self._books: dict[VenueId, float] = {}
        self._blind_since: float | None = None
        self._uneven_since: float | None = None
        self._open_since: float | None = None
        self._recorded_at = self._exposure_told_at = float("-inf")
        self._seen_at: dict[ClientOrderId, float] = {}
        self._newest_hedger = 0

    def fail(self, text: str) -> None:
        self.violations.append(text)
        self._history.add(self._engine.now, WORLD, f"VIOLATION {text}")

    def died(self) -> None:
        """Nobody can hedge until the process is back; the venue's dead-man switch bounds what may happen meanwhile."""
        self._away_since = self._engine.now

    def born(self) -> None:
        """A new life of the process: what the old one knew is gone."""
        self._count_absence()
        self._away_since = None
        self._reconciled.clear()
        self._accounts.clear()
        self._unread.clear()
        self._known.clear()
        self._books.clear()
        self._blind_since = self._uneven_since = self._open_since = None
        self._newest_hedger = 0
        self.state = TradingState.STARTING
        self.disturbed_at = self._engine.now

    def _count_absence(self) -> None:
        """Time of the running episode in which the process was away; also where it ended without the process."""
        if self._away_since is not None:
            self._away_s += self._engine.now - max(self._away_since, self._exposed_since or 0.0)

    @property
    def is_halted_for_rival(self) -> bool:
        is_rivalled = any(state is TradingState.HALTED and "another program" in reason for _, state, reason in self.states)
        return self.state is TradingState.HALTED and is_rivalled

    # ---- at the venues -------------------------------------------------------------------------------------------------------

    def arrived(self, order: PlaceOrder) -> None:
        if not is_ours(order.client_order_id):
            return
        if order.client_order_id in self.arrivals:
            self.fail(f"I7: order {order.client_order_id} reached {order.venue} twice")
        self.arrivals.add(order.client_order_id)

    def filled(self, venue: VenueId, fill: AccountFill) -> None:
        now = self._engine.now
        self.fills.append((venue, fill))
        self.delta += fill.quantity if fill.side is Side.BUY else -fill.quantity
        self.foreign_quantity += ZERO if is_ours(fill.client_id) else fill.quantity
        size = abs(self.delta)
        self.worst_delta = max(self.worst_delta, size)
        self._history.add(now, str(venue), f"fill of #{fill.client_id} {fill.side.value} {fill.quantity}: delta {self.delta}")
        if size >= self._scenario.lot:
            if self._exposed_since is None:
                self._exposed_since, self._away_s = now, 0.0
        else:
            self.close_episode()

    def close_episode(self) -> None:
        """The exposure is gone, or the run is over."""
        now = self._engine.now
        if self._exposed_since is not None:
            self._count_absence()
            self.episodes.append(Episode(self._exposed_since, now, now - self._exposed_since - self._away_s))
        self._exposed_since = None

    # ---- in the bot ----------------------------------------------------------------------------------------------------------

    def sending(self, gateway: GatewayNode, order: PlaceOrder) -> None:
        """Just before the bytes leave."""
        client_id = order.client_order_id
        if client_id in self.orders:
            self.fail(f"I7: order {client_id} is sent twice")
        self.orders[client_id] = order
        if client_id not in gateway.journal.intents:
            self.fail(f"I6: order {client_id} has no durable intent")
        if gateway.gate.state is TradingState.HALTED:
            self.fail(f"I23: order {client_id} while HALTED")
        problems = gateway.wire.instrument.violations(order.price, order.quantity)
        if problems:
            self.fail(f"I16: order {client_id}: {'; '.join(problems)}")
        if order.role is Role.MAKER:
            self.last_maker_sent_at = self._engine.now
            if gateway.gate.state is not TradingState.ACTIVE:
                self.fail(f"I12: quote {client_id} while {gateway.gate.state.value}")
            if self._reconciled < set(VENUES):
                self.fail(f"I11: quote {client_id} before both venues are reconciled")

    def hear(self, sender: str, message: Message, bot: Bot) -> None:
        match message:
            case BookUpdated():
                self._books[message.venue] = message.received_at
            case OrderChanged() if sender == TRACKER:
                self._transition(message.order)
            case LedgerRequested() if sender == HEDGER:
                self._newest_hedger = max(message.epoch, self._newest_hedger)
            case PlaceOrder():
                self._placed(sender, message, bot)
            case CancelOrder():
                self._cancels.add(message.client_order_id)
            case FeedChanged() | VenueReconciled():
                self._look_at_venue(message)
            case TradingStateChanged():
                self.state = message.state
                self.states.append((self._engine.now, message.state, message.reason))
            case FillRecorded():
                self._recorded_at = self._engine.now
            case Alert():
                self._alarm(message)
            case RateLimited():
                self.reasons.append((self._engine.now, "RateLimited"))
            case AttemptFinished() if message.filled > message.intended:
                self.fail(f"D14: an attempt for {message.intended} filled {message.filled}")
            case PositionMismatch():
                self.mismatched.add(message.venue)
                self.reasons.append((self._engine.now, type(message).__name__))
            case HedgeStalled() | ForeignActivity():
                self.reasons.append((self._engine.now, type(message).__name__))
            case _:
                pass

    def _alarm(self, alert: Alert) -> None:
        now = self._engine.now
        if alert.key.startswith(("exposure", "frozen", "position", "fills-missing", "foreign")):
            self.exposure_alerts.append(now)
        if alert.key == "exposure":
            self._exposure_told_at = now
        if alert.key == "journal":
            self.reasons.append((now, alert.key))

    def _look_at_venue(self, message: FeedChanged | VenueReconciled) -> None:
        venue = message.venue
        if isinstance(message, VenueReconciled):
            self._reconciled.add(venue)
            self._unread.discard(venue)
        elif message.source is Source.WS and message.channel is Channel.ACCOUNT:
            if self._accounts.get(venue, FeedState.LIVE) is not message.state:
                self._unread.add(venue)
            self._accounts[venue] = message.state

    def _placed(self, sender: str, order: PlaceOrder, bot: Bot) -> None:
        self.planned_at.setdefault(order.client_order_id, self._engine.now)
        if sender == HEDGER:
            self._plan(order, bot)
        elif sender == QUOTER:
            self._quote(order)

    def _quote(self, order: PlaceOrder) -> None:
        """I11: after each outage of an account stream its venue is read before anything is quoted."""
        if self._unread and self._engine.now - self.disturbed_at >= DISTURBED_S:
            self.fail(f"I11: quote {order.client_order_id}, {', '.join(self._unread)} not read since its account stream changed")

    def _plan(self, order: PlaceOrder, bot: Bot) -> None:
        """I4: a hedge covers what is exposed, all of it, and nothing else. A replaced planner's is the fence's business (guard.py)."""
        if order.epoch < self._newest_hedger:
            return
        ledger = bot.core(HEDGER).ledger
        if abs(ledger.uncovered) >= self._scenario.lot:
            self.fail(f"I4: {ledger.uncovered} is uncovered after a plan")
        if order.side.sign * ledger.net >= 0:
            self.fail(f"I4: {order.side.value} {order.quantity} adds to the exposure {ledger.net}")

    def _transition(self, order: OrderSnapshot) -> None:
        """I8: only moves of the table, quantities that grow, none beyond the order."""
        if order.role is Role.UNWIND and order.state is OrderState.REJECTED and "REDUCE_ONLY" in order.reason:
            self.nothing_to_reduce_at = self._engine.now
        before = self._known.get(order.client_order_id)
        self._known[order.client_order_id] = order
        if order.filled_quantity > order.quantity or order.recorded_quantity > order.quantity:
            self.fail(f"I8: order {order.client_order_id} filled {order.filled_quantity} of {order.quantity}")
        if before is None:
            self._seen_at[order.client_order_id] = self._engine.now
            return
        if order.filled_quantity < before.filled_quantity or order.recorded_quantity < before.recorded_quantity:
            self.fail(f"I8: filled quantity of {order.client_order_id} fell")
        was_absent = before.state in CLOSED and "absent" in before.reason
        if was_absent and order.recorded_quantity != before.recorded_quantity:
            self.fail(f"bound: order {order.client_order_id} was taken for dead and filled")
        is_revived = was_absent and order.state not in CLOSED
        is_legal = order.state is before.state or order.state in TRANSITIONS[before.state] or is_revived
        if not is_legal:
            self.fail(f"I8: order {order.client_order_id} {before.state.value} -> {order.state.value}")

    def restarted(self, name: str) -> None:
        """An actor is built anew; a tracker starts from what the journal knows, a quoter from nothing."""
        self.disturbed_at = self._engine.now
        if name == QUOTER:
            self._unread.update(VENUES)
        if name == TRACKER:
            self._known.clear()

    def inspect(self, bot: Bot) -> None:
        """I12, every half second: while a quote rests, all is as it must be for that, or its cancel is on the way."""
        now = self._engine.now
        self._inspect_alarm(bot, now)
        if self._may_rest(bot, now):
            self._blind_since = None
            return
        self._blind_since = now if self._blind_since is None else self._blind_since
        if now - self._blind_since < BLIND_LIMIT_S or now - self.disturbed_at < DISTURBED_S:
            return
        for order in self._known.values():
            is_resting = order.role is Role.MAKER and not order.is_closed and order.state is not OrderState.SUBMITTED
            blind_s = now - max(self._blind_since, self._seen_at.get(order.client_order_id, now))
            if is_resting and blind_s >= BLIND_LIMIT_S and order.client_order_id not in self._cancels:
                self._cancels.add(order.client_order_id)
                self.fail(f"I12: quote {order.client_order_id} rests since {self._blind_since:.2f} though none may")

    def _may_rest(self, bot: Bot, now: float) -> bool:
        """Streams live, books young, trading ACTIVE, no order of unknown outcome, no exposure for longer than its grace."""
        is_live = all(feed.state is FeedState.LIVE for feed in bot.feeds.values())
        is_fresh = all(now - self._books.get(venue, 0.0) <= 2.0 for venue in VENUES)
        ledger = bot.core(HEDGER).ledger
        if abs(ledger.net) < self._scenario.lot:
            self._uneven_since = None
        elif self._uneven_since is None:
            self._uneven_since = now
        is_even = self._uneven_since is None or now - self._uneven_since < EXPOSURE_GRACE_S
        return is_live and is_fresh and self.state is TradingState.ACTIVE and is_even and not ledger.has_unknown

    def _inspect_alarm(self, bot: Bot, now: float) -> None:
        """I2: an exposure that the hedger knows of and cannot close is told to a person. With a fill, delta may have been flat for a moment."""
        if abs(bot.core(HEDGER).ledger.net) < self._scenario.hedge.lot_size:
            self._open_since = None
            return
        since = self._open_since = now if self._open_since is None else self._open_since
        is_young = now - max(since, self._recorded_at) < ALARM_LIMIT_S
        if is_young or now - self.disturbed_at < DISTURBED_S or self._exposure_told_at >= since:
            return
        self._exposure_told_at = now
        self.fail(f"I2: exposed since {since:.2f}, and the hedger has told nobody")
