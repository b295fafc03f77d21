"""Watches one bracket run at the venue and in the bot, and says what broke: I5-I8, I13, I16, cover, restart order, the end.

It listens; it never changes what happens.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from core.messages import (
    Alert,
    AttemptStarted,
    CancelOrder,
    CycleFinished,
    FeedChanged,
    FillRecorded,
    Message,
    OrderChanged,
    OrderSnapshot,
    PairStateChanged,
    PlaceOrder,
    RunFinished,
    TradingStateChanged,
)
from core.oco_states import PairState
from core.order import CLOSED, TRANSITIONS
from core.routing import OCO_PAIR, TRACKER
from core.types import ZERO, Channel, ClientOrderId, FeedState, Role, Side, Source, TradingState
from simulator.ledger import AccountFill
from tests.sim.engine import Engine
from tests.sim.history import WORLD, History
from tests.sim.lanes import GatewayNode
from tests.sim.oco_scenario import OcoScenario
from tests.sim.oco_wire import ApexWire

EXITS = (Role.SL, Role.TP, Role.REPAIR)
CLEAN_S = 1.0
"""Cover, resize and repair without faults of the network."""
CANCELS_REFUSED_S = 9.0
"""Three refused cancels and their pauses: so long an excess of stops may last, or a leg that is cancelled."""
CRUEL_S = 20.0
"""Longer than the bound of an unknown outcome, and than the audit that finds what every frame has missed. Two orders of unknown outcome in a row
hold a repair up for twice as long."""


class Limits(NamedTuple):
    """Seconds that a shortfall of cover, an excess of it and an overshoot may last."""

    naked: float
    excess: float
    overshoot: float


class Watched:
    """Since when a condition has held without a break, and the longest it ever did."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.longest = 0.0
        self.is_told = False

    def see(self, *, is_so: bool, now: float) -> float:
        if not is_so:
            self.since, self.is_told = None, False
            return 0.0
        self.since = now if self.since is None else self.since
        self.longest = max(self.longest, now - self.since)
        return now - self.since


class OcoInspector:
    """``violations`` as lines; what the stories' checks need beside."""

    def __init__(self, engine: Engine, scenario: OcoScenario, history: History, wire: ApexWire) -> None:
        self._engine = engine
        self._scenario = scenario
        self._history = history
        self._wire = wire
        slow = CANCELS_REFUSED_S if scenario.venue.refused_cancels else CLEAN_S
        is_clean = scenario.is_clean
        self.limits = Limits(CLEAN_S, slow, CLEAN_S) if is_clean else Limits(CRUEL_S, 4 * CRUEL_S, 2 * CRUEL_S)
        self.violations: list[str] = []
        self.orders: dict[ClientOrderId, PlaceOrder] = {}
        self.arrivals: set[ClientOrderId] = set()
        self.fills: list[AccountFill] = []
        self.position = ZERO
        self.deepest = ZERO
        self.overshot = ZERO
        self.bought_back = ZERO
        self.naked, self.excess, self.overshoot = Watched(), Watched(), Watched()
        self.alerts: list[tuple[float, str, str]] = []
        self.pair_states: list[tuple[float, str]] = []
        self.pair_state = PairState.IDLE.value
        self.trading_state = TradingState.STARTING
        self.finished_at: float | None = None
        self.by_hand_at: float | None = None
        self.cancels: list[tuple[float, ClientOrderId]] = []
        self.disturbed_at = float("-inf")
        self.latencies: list[tuple[float, float]] = []
        self._feeds: dict[Channel, FeedState] = {}
        self._known: dict[ClientOrderId, OrderSnapshot] = {}
        self._must_protect = False
        self._won_at: float | None = None
        self._cancel_sent: dict[ClientOrderId, tuple[float, float]] = {}
        self._unfinished: set[int] = set()

    def fail(self, text: str) -> None:
        self.violations.append(text)
        self._history.add(self._engine.now, WORLD, f"VIOLATION {text}")

    @property
    def held(self) -> Decimal:
        """The position at the venue, in the direction of the entry."""
        return self._scenario.side.sign * self.position

    def born(self) -> None:
        """A new life of the process: an unprotected position is its first concern."""
        self._known.clear()
        self._feeds.clear()
        self.disturbed_at = self._engine.now
        self._must_protect = True
        self._pair_is_new()

    def _pair_is_new(self) -> None:
        """A new pair says what it enters, not that it begins IDLE, or RELEASED as the journal has it."""
        if self.pair_state != PairState.RELEASED.value:
            self.pair_state = PairState.IDLE.value

    def restarted(self, name: str) -> None:
        self.disturbed_at = self._engine.now
        if name == TRACKER:
            self._known.clear()
        if name == OCO_PAIR:
            self._pair_is_new()

    # ---- at the venue --------------------------------------------------------------------------------------------------------

    def arrived(self, order: PlaceOrder) -> None:
        if order.client_order_id in self.arrivals:
            self.fail(f"I7: order {order.client_order_id} reached the venue twice")
        self.arrivals.add(order.client_order_id)
        if order.role is Role.ENTRY:
            self._entry_arrived(order)
        elif not order.reduce_only or order.role not in EXITS:
            self.fail(f"I13: {order.role.value} order {order.client_order_id} does not reduce")

    def _entry_arrived(self, order: PlaceOrder) -> None:
        """A bracket begins from flat, with nothing alive that could fill."""
        if self.position:
            self.fail(f"unwanted: an entry arrives over a position of {self.position}")
        alive = [o.client_order_id for role in (*EXITS, Role.ENTRY) for o in self._wire.live_legs(role)]
        alive = [each for each in alive if each != order.client_order_id]
        if alive:
            self.fail(f"unwanted: an entry arrives while {alive} may still fill")

    def filled(self, fill: AccountFill) -> None:
        now, before = self._engine.now, self.held
        self.position += fill.quantity if fill.side is Side.BUY else -fill.quantity
        role = self._role(fill.client_id)
        self._history.add(
            now, "apex", f"fill of #{fill.client_id} {fill.side.value} {fill.quantity}@{fill.price}: {self.position}"
        )
        if role is None:
            return
        self.fills.append(fill)
        self.deepest = max(self.deepest, abs(self.position))
        if self.held > self._scenario.size:
            self.fail(f"unwanted: {self.held} held, the size is {self._scenario.size}")
        self.overshot += max(-self.held, ZERO) - max(-before, ZERO) if self.held < before else ZERO
        if role is Role.REPAIR and fill.side is self._scenario.side:
            self.bought_back += fill.quantity
            if self.held > 0:
                self.fail(f"I13: the repair went {self.held} beyond flat")
        if role in (Role.TP, Role.SL) and self._won_at is None:
            self._won_at = now

    def _role(self, client_id: str) -> Role | None:
        order = self.orders.get(ClientOrderId(int(client_id))) if client_id else None
        return order.role if order is not None else None

    def _stop_cover(self) -> Decimal:
        keys = (str(order.client_order_id) for order in self._wire.live_legs(Role.SL))
        return sum((self._wire.leaves(key) for key in keys), ZERO)

    # ---- in the bot ----------------------------------------------------------------------------------------------------------

    def sending(self, gateway: GatewayNode, order: PlaceOrder) -> None:
        """Just before the bytes leave."""
        client_id = order.client_order_id
        if client_id in self.orders:
            self.fail(f"I7: order {client_id} is sent twice")
        self.orders[client_id] = order
        if client_id not in gateway.journal.intents:
            self.fail(f"I6: order {client_id} has no durable intent")
        problems = self._scenario.instrument.violations(order.price, order.quantity)
        if problems:
            self.fail(f"I16: order {client_id}: {'; '.join(problems)}")
        if self._must_protect and order.role not in (Role.SL, Role.REPAIR) and self.held > self._stop_cover():
            self.fail(f"restart: {order.role.value} order {client_id} leaves before the position is protected")
        self._must_protect = False

    def hear(self, sender: str, message: Message) -> None:
        now = self._engine.now
        match message:
            case OrderChanged() if sender == TRACKER:
                self._transition(message.order)
            case CancelOrder() if sender == OCO_PAIR:
                self.cancels.append((now, message.client_order_id))
                if self._won_at is not None:
                    self._cancel_sent.setdefault(message.client_order_id, (now - self._won_at, self._won_at))
                    self._won_at = None
            case FeedChanged() if message.source is Source.WS:
                self._feeds[message.channel] = message.state
            case FillRecorded() if sender == TRACKER and message.order is not None and message.order.role is Role.ENTRY:
                self._unfinished.add(message.order.cycle_id)
            case CycleFinished():
                self._unfinished.discard(message.cycle_id)
            case AttemptStarted():
                self._entered_anew(message.cycle_id)
            case PairStateChanged():
                self.pair_state = message.state
                self.pair_states.append((now, message.state))
            case TradingStateChanged():
                self.trading_state = message.state
            case Alert():
                self.alerts.append((now, message.key, message.text))
            case RunFinished():
                self._finished(now)
            case _:
                pass

    def _entered_anew(self, cycle_id: int) -> None:
        """Each bracket that held something is finished before the next begins: else the run would begin more than it was told to."""
        if self._unfinished:
            self.fail(f"iterations: bracket {cycle_id} begins although {sorted(self._unfinished)} was not finished")

    def _finished(self, now: float) -> None:
        self.finished_at = now
        alive = [o.client_order_id for role in EXITS for o in self._wire.live_legs(role)]
        if alive:
            self.fail(f"finished: the run ends while {alive} may still fill")
        if self.pair_state == PairState.IDLE.value and self.held:
            self.fail(f"finished: the run ends with {self.position}")

    def _transition(self, order: OrderSnapshot) -> None:
        """I8: only moves of the table, quantities that grow, none beyond the order."""
        before = self._known.get(order.client_order_id)
        self._known[order.client_order_id] = order
        if order.is_closed and order.client_order_id in self._cancel_sent:
            to_cancel, won_at = self._cancel_sent.pop(order.client_order_id)
            self.latencies.append((to_cancel, self._engine.now - won_at))
        if order.filled_quantity > order.quantity or order.recorded_quantity > order.quantity:
            self.fail(f"I8: order {order.client_order_id} filled {order.filled_quantity} of {order.quantity}")
        if before is None:
            return
        if order.filled_quantity < before.filled_quantity or order.recorded_quantity < before.recorded_quantity:
            self.fail(f"I8: filled quantity of {order.client_order_id} fell")
        is_revived = before.state in CLOSED and "absent" in before.reason
        if order.state is not before.state and order.state not in TRANSITIONS[before.state] and not is_revived:
            self.fail(f"I8: order {order.client_order_id} {before.state.value} -> {order.state.value}")

    # ---- all the time --------------------------------------------------------------------------------------------------------

    def inspect(self, *, is_bot_alive: bool) -> None:
        """Every tenth of a second: cover against position, while somebody is there and can act."""
        held, cover = self.held, self._stop_cover()
        can_act = is_bot_alive and not self._wire.is_down
        is_live = all(self._feeds.get(channel) is FeedState.LIVE for channel in Channel)
        is_ours = self.pair_state != PairState.RELEASED.value and can_act and is_live and self.finished_at is None
        self._limit(self.naked, is_ours and held > cover, self.limits.naked, f"cover: {cover} of stops for {held}")
        self._limit(self.excess, is_ours and cover > max(held, ZERO), self.limits.excess, f"excess: stops of {cover} for {held}")
        self._limit(self.overshoot, is_ours and held < 0, self.limits.overshoot, f"I13: {-held} beyond flat")

    def _limit(self, watched: Watched, is_so: bool, limit_s: float, text: str) -> None:
        lasted = watched.see(is_so=is_so, now=self._engine.now)
        if lasted > limit_s and not watched.is_told:
            watched.is_told = True
            self.fail(f"{text} since {lasted:.1f} s")
