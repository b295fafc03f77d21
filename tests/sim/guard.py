"""Asserts at run time what the bot owes to troubles: it stops for strangers, doubts positions, waits for the disk, keeps its budget and
its fences. It listens like the inspector, into whose list its findings go.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from core.messages import (
    Alert,
    CancelOrder,
    FillReported,
    FillsFetched,
    LedgerRequested,
    Message,
    OpenOrdersFetched,
    OrderDenied,
    OrderReported,
    PlaceOrder,
    PositionReported,
    RateLimited,
)
from core.order import CLOSED
from core.rate_limiter import class_of, priority_of
from core.routing import GRANTED, HEDGER, RISK, TRACKER
from core.types import ClientOrderId, Priority, Role, TradingState, VenueId
from simulator.exchange import SimOrder
from tests.sim.bot import LIMITS, Bot
from tests.sim.engine import Engine, Node
from tests.sim.inspector import DISTURBED_S, Inspector, is_ours
from tests.sim.journal import SimJournal
from tests.sim.scenario import EPOCH_MS, Scenario
from tests.sim.wire import ACCOUNT, Wire

STOP_WITHIN_S = 5.0
MISMATCH_WITHIN_S = 13.0
"""Ten seconds of tolerance, and the time until the next look at the position."""
DISK_WITHIN_S = 2.0
URGENT_WAIT_S = 0.05
"""A hedge or a cancel, behind whatever else waits for its limiter."""
WINDOWS_S = (1.0, 10.0)
STEPPED_S = 10.0
"""How far the wall clock may be from the venue's when a life begins: a stranger's fill from before it is not judged."""
STORM, STORM_WINDOW_S = 25, 10.0
IDLE_ORDERS = 10
"""So many orders in the window, of which so many beyond the quote and the hedge that each maker fill explains."""


class Guard:
    """``born`` and ``restarted`` tell it of new lives, ``hear`` of messages, ``inspect`` looks every half second."""

    def __init__(
        self, engine: Engine, scenario: Scenario, inspector: Inspector, journal: SimJournal, wires: dict[VenueId, Wire]
    ) -> None:
        self._engine = engine
        self._lot = scenario.lot
        self._inspector = inspector
        self._journal = journal
        self._wires = wires
        self._budget = Budget(engine, inspector.fail)
        self._fences: dict[tuple[VenueId, str], int] = {}
        self._sent: deque[float] = deque()
        self._decided: dict[ClientOrderId, float] = {}
        self._cancelled: dict[ClientOrderId, float] = {}
        self._alarmed: dict[str, float] = {}
        self._strangers: set[tuple[VenueId, str]] = set()
        self._stranger_at: float | None = None
        self._reported: dict[VenueId, Decimal] = {}
        self._differs_since: dict[VenueId, float] = {}
        self._unwritten_since: float | None = None
        self._tracker_born_at = 0.0
        self._hearers: dict[type[Message], Callable[[str, Message], None]] = {
            LedgerRequested: self._fence,
            PlaceOrder: self._order,
            CancelOrder: self._cancel,
            OrderDenied: self._denied,
            Alert: self._alarm,
            PositionReported: self._position,
            OrderReported: self._report,
            FillReported: self._report,
            OpenOrdersFetched: self._report,
            FillsFetched: self._report,
        }
        for wire in wires.values():
            wire.self_traded = partial(self._self_traded, wire)

    def born(self) -> None:
        self._fences.clear()
        self._budget.clear()
        self._cancelled.clear()
        self.restarted(RISK)
        self.restarted(TRACKER)

    def restarted(self, name: str) -> None:
        """What a risk judge or a tracker was told is gone with it."""
        if name in (RISK, TRACKER):
            self._stranger_at = None
            self._differs_since.clear()
        if name == TRACKER:
            self._reported.clear()
            self._tracker_born_at = self._engine.now
        self._budget.deaf_until.pop(name, None)

    def crashed(self, name: str) -> None:
        """What waits in a limiter's inbox is lost with it, and what it is told until it is built anew."""
        if name.startswith("rate_limiter."):
            self._budget.deafen(name)

    def stalled(self, node: Node) -> None:
        """What a limiter is told meanwhile it hears at the end, after all that came before it."""
        if node.name.startswith("rate_limiter."):
            self._budget.deaf_until[node.name] = max(node.stalled_until, self._budget.deaf_until.get(node.name, 0.0))

    # ---- messages --------------------------------------------------------------------------------------------------------------

    def hear(self, sender: str, message: Message) -> None:
        kind = type(message)
        hearer = self._hearers.get(kind)
        if hearer is not None:
            hearer(sender, message)
        if kind in GRANTED and sender.startswith("rate_limiter."):
            self._budget.granted(message)
        elif kind is RateLimited:
            self._budget.refused(message)

    def sending(self, order: PlaceOrder) -> None:
        """I25: a core whose replacement has announced itself to the gateway places nothing any more. E7, P5: refusals and rivals are not
        answered by a storm of orders."""
        now = self._engine.now
        self._sent.append(now)
        if len(self._sent) >= STORM:
            self._look_for_storm(now)
        newest = self._fences.get((order.venue, order.owner), 0)
        if order.epoch < newest:
            self._inspector.fail(f"I25: order {order.client_order_id} of epoch {order.epoch}, {order.owner} is at {newest}")

    def _look_for_storm(self, now: float) -> None:
        while now - self._sent[0] >= STORM_WINDOW_S:
            self._sent.popleft()
        since = next(iter(self._wires.values())).wall_s - STORM_WINDOW_S
        recent = itertools.takewhile(lambda entry: entry[1].time > since, reversed(self._inspector.fills))
        explained = sum(2 for _, fill in recent if fill.is_maker and is_ours(fill.client_id))
        if len(self._sent) >= STORM and len(self._sent) - explained >= IDLE_ORDERS:
            self._inspector.fail(f"storm: {len(self._sent)} orders in {STORM_WINDOW_S:g} s, {explained} explained by maker fills")
            self._sent.clear()

    def _fence(self, _: str, message: LedgerRequested) -> None:
        if message.via is not None:
            key = (message.via, message.owner)
            self._fences[key] = max(message.epoch, self._fences.get(key, 0))

    def _order(self, sender: str, order: PlaceOrder) -> None:
        """I14: a hedge waits behind nothing."""
        if sender == HEDGER:
            self._decided[order.client_order_id] = self._engine.now
        elif order.client_order_id in self._decided:
            waited_s = self._engine.now - self._decided.pop(order.client_order_id)
            if waited_s > URGENT_WAIT_S and not self._was_disturbed(waited_s):
                self._inspector.fail(f"I14: hedge {order.client_order_id} waited {waited_s:.2f} s for the limiter")

    def _cancel(self, sender: str, command: CancelOrder) -> None:
        """I14, D14: neither reads nor a venue's 429 keep a cancel back."""
        if not sender.startswith("rate_limiter."):
            self._cancelled.setdefault(command.client_order_id, self._engine.now)
            return
        waited_s = self._engine.now - self._cancelled.pop(command.client_order_id, self._engine.now)
        if waited_s > URGENT_WAIT_S and not self._was_disturbed(waited_s):
            self._inspector.fail(f"I14: cancel of {command.client_order_id} waited {waited_s:.2f} s for the limiter")

    def _denied(self, sender: str, message: OrderDenied) -> None:
        if sender.startswith("rate_limiter.") and message.role is not Role.MAKER and not self._was_disturbed(DISTURBED_S):
            self._inspector.fail(f"I14: hedge {message.client_order_id}: {message.reason}")

    def _alarm(self, _: str, alert: Alert) -> None:
        self._alarmed[alert.key] = self._engine.now

    def filled(self, venue: VenueId) -> None:
        """Fills and reports cross on their way, and may agree by chance: the time of a difference begins anew."""
        self._differs_since.pop(venue, None)

    def _position(self, _: str, message: PositionReported) -> None:
        if message.quantity != self._reported.get(message.venue):
            self._differs_since.pop(message.venue, None)
        self._reported[message.venue] = message.quantity

    def _report(self, _: str, message: Message) -> None:
        match message:
            case OpenOrdersFetched():
                for order in message.orders:
                    self._report("", order)
            case FillsFetched():
                for fill in message.fills:
                    self._report("", fill)
            case OrderReported() if message.state not in CLOSED and not is_ours(message.client_order_id):
                self._meet(message.venue, str(message.client_order_id or message.venue_order_id))
            case FillReported() if not is_ours(message.client_order_id):
                if message.venue_time_ms >= EPOCH_MS + 1000 * (self._tracker_born_at + STEPPED_S):
                    self._meet(message.venue, str(message.client_order_id or message.venue_order_id))
            case _:
                pass

    def _meet(self, venue: VenueId, name: str) -> None:
        """A stranger's order has been told to the tracker, for the first time in this run."""
        if (venue, name) not in self._strangers:
            self._strangers.add((venue, name))
            self._stranger_at = self._engine.now if self._stranger_at is None else self._stranger_at

    def _self_traded(self, wire: Wire, order: SimOrder) -> None:
        """I24, where nobody else's order of this account is in the way."""
        is_crowded = any(not is_ours(each.client_id) for each in wire.exchange.open_orders(ACCOUNT))
        if is_crowded or not is_ours(order.client_id) or self._strangers:
            return
        self._inspector.fail(f"I24: order {order.client_id} met an order of our own")

    # ---- every half second -----------------------------------------------------------------------------------------------------

    def inspect(self, bot: Bot) -> None:
        risk, tracker = bot.nodes[RISK], bot.nodes[TRACKER]
        if not risk.is_alive or not tracker.is_alive:
            return
        is_active = bot.core(RISK).state is TradingState.ACTIVE
        self._inspect_strangers(is_active=is_active)
        self._inspect_positions(bot, is_active=is_active)
        self._inspect_disk(is_active=is_active)

    def _inspect_strangers(self, *, is_active: bool) -> None:
        """P5, B12: whoever else trades here ends our quoting within five seconds of the first word of it, with an alarm."""
        since = self._stranger_at
        if since is None or self._engine.now - since < STOP_WITHIN_S:
            return
        self._stranger_at = None
        if self._was_disturbed(STOP_WITHIN_S + DISTURBED_S):
            return
        if is_active:
            self._inspector.fail(f"P5: still ACTIVE, a stranger has been there since {since:.2f}")
        if self._alarmed.get("foreign", 0.0) < since - STOP_WITHIN_S:
            self._inspector.fail(f"P5: nobody was told of the stranger of {since:.2f}")

    def _inspect_positions(self, bot: Bot, *, is_active: bool) -> None:
        """C14: a position that our fills do not explain ends our quoting, with an alarm of this tracker."""
        now = self._engine.now
        for venue, reported in self._reported.items():
            if abs(reported - bot.core(TRACKER).positions[venue]) < self._lot:
                self._differs_since.pop(venue, None)
                continue
            since = self._differs_since.setdefault(venue, now)
            if now - since < MISMATCH_WITHIN_S or self._was_disturbed(MISMATCH_WITHIN_S):
                continue
            if is_active or self._alarmed.get("position", 0.0) < self._tracker_born_at:
                del self._differs_since[venue]
                self._inspector.fail(f"C14: the position at {venue} differs since {since:.2f}: ACTIVE or untold")

    def _inspect_disk(self, *, is_active: bool) -> None:
        """P6: notes that cannot be written end our quoting, with an alarm."""
        now = self._engine.now
        if not self._journal.is_full or not self._journal.has_queued:
            self._unwritten_since = None
            return
        since = self._unwritten_since = now if self._unwritten_since is None else self._unwritten_since
        if now - since < DISK_WITHIN_S or self._was_disturbed(DISK_WITHIN_S + DISTURBED_S):
            return
        if is_active or self._alarmed.get("journal", 0.0) < since:
            self._unwritten_since = None
            self._inspector.fail(f"P6: the journal is not written since {since:.2f}: ACTIVE or untold")

    def _was_disturbed(self, within_s: float) -> bool:
        return self._engine.now - self._inspector.disturbed_at < within_s + DISTURBED_S

    # ---- at the end ------------------------------------------------------------------------------------------------------------

    def finish(self, *, had_rival: bool) -> None:
        """I14: nothing reaches a venue past its limiter."""
        for venue, wire in self._wires.items():
            if wire.requests > self._budget.total[venue] and not had_rival:
                self._inspector.fail(f"I14: {venue} saw {wire.requests} requests, {self._budget.total[venue]} were granted")


class Budget:
    """I14, C6: what a limiter grants in any window stays below rate times window plus burst. It counts; it knows nothing of buckets."""

    def __init__(self, engine: Engine, fail: Callable[[str], None]) -> None:
        self._engine = engine
        self._fail = fail
        self._limits = {
            (venue, name): (rate, limits.burst_of(name))
            for venue, limits in LIMITS.items()
            for name, rate in limits.rates.items()
        }
        self._granted: dict[tuple[VenueId, str, float], deque[float]] = {}
        self._pauses: dict[VenueId, list[tuple[float, float]]] = {venue: [] for venue in LIMITS}
        """From when on the limiter must know of each, and its end."""
        self.deaf_until: dict[str, float] = {}
        self.total = dict.fromkeys(LIMITS, 0)

    def clear(self) -> None:
        """A process that was started anew begins with full buckets."""
        self._granted.clear()
        self.deaf_until.clear()
        for pauses in self._pauses.values():
            pauses.clear()

    def deafen(self, limiter: str) -> None:
        self.deaf_until[limiter] = math.inf
        pauses = self._pauses[VenueId(limiter.partition(".")[2])]
        pauses[:] = [pause for pause in pauses if pause[0] < self._engine.now]

    def refused(self, refusal: RateLimited) -> None:
        """C6: the wait that a venue asks for. It counts once the limiter must have heard of it."""
        wait_s = min(1.0 if refusal.retry_after_s is None else refusal.retry_after_s, 60.0)
        heard_at = max(self._engine.now, self.deaf_until.get(f"rate_limiter.{refusal.venue}", 0.0))
        self._pauses[refusal.venue].append((heard_at, self._engine.now + wait_s))

    def granted(self, command: Message) -> None:
        venue: VenueId = command.venue  # type: ignore[attr-defined]  # every granted command names its venue
        self.total[venue] += 1
        if self._is_paused(venue) and priority_of(command) is not Priority.P0:  # type: ignore[arg-type]
            self._fail(f"C6: {type(command).__name__} left for {venue}, which had asked us to wait")
        for name in (class_of(command), "total"):  # type: ignore[arg-type]  # only commands are granted
            limit = self._limits.get((venue, name))
            if limit is not None:
                self._count(venue, name, *limit)

    def _is_paused(self, venue: VenueId) -> bool:
        return any(heard_at < self._engine.now < until - 1e-6 for heard_at, until in self._pauses[venue])

    def _count(self, venue: VenueId, name: str, rate: float, burst: float) -> None:
        now = self._engine.now
        for window_s in WINDOWS_S:
            times = self._granted.setdefault((venue, name, window_s), deque())
            times.append(now)
            while times[0] <= now - window_s:
                times.popleft()
            if len(times) > rate * window_s + burst + 1e-6:
                self._fail(f"I14: {len(times)} {name} requests to {venue} in {window_s:g} s")
