"""Pre-trade checks at the gateway: the delta bound, valid numbers, collars, order rate, trading state, epoch fence.

The gate folds the same events as everybody else and counts each order from the moment it lets it pass. Since nothing but the gate raises what
may fill, |delta| <= max_delta holds whatever is lost, delayed or reordered, as long as fills never exceed their order and nobody else
trades the account. A deny is final and has no side effect.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import NamedTuple, Protocol

from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import LedgerRequested, LedgerSnapshot, Message, PlaceOrder, TradingStateChanged
from core.types import BPS, Role, TradingState

FAT_FINGERS_BEFORE_HALT = 3
_MAY_COVER = frozenset({TradingState.STARTING, TradingState.ACTIVE, TradingState.REDUCING, TradingState.STOPPING})


class RiskLimits(NamedTuple):
    """``max_delta``, ``max_position``, ``max_quantity`` base; ``collar_bps`` around the price the decision was taken on."""

    max_delta: Decimal
    max_position: Decimal
    max_quantity: Decimal
    collar_bps: Decimal
    lot: Decimal
    """The larger lot of the two venues: exposure below it is dust."""
    max_orders_per_minute: int = 600


class Denial(NamedTuple):
    """``is_fat_finger``: the order itself was absurd, not just untimely; the third of these halts."""

    reason: str
    is_fat_finger: bool = False


class Gate(Protocol):
    """What a gateway asks before anything leaves."""

    state: TradingState
    ledger: ExposureLedger
    denials: int

    @property
    def must_halt(self) -> bool: ...

    def handle(self, message: Message) -> None: ...

    def check(self, order: PlaceOrder, now: float) -> Denial | None: ...


class RiskGate:
    """One gate per gateway. ``check`` answers None when the order may leave and has then counted it."""

    def __init__(self, instrument: Instrument, limits: RiskLimits, ledger: LedgerSnapshot) -> None:
        self._instrument = instrument
        self._limits = limits
        self.ledger = ExposureLedger(ledger.owner)
        self.ledger.apply(ledger)
        self.state = TradingState.STARTING
        self._epochs: dict[str, int] = {}
        self._sent_at: deque[float] = deque()
        self.denials = 0
        self.fat_fingers = 0

    def handle(self, message: Message) -> None:
        """Fold order and fill events, the trading state, and the fences that restarted cores raise."""
        match message:
            case TradingStateChanged():
                if self.state is not TradingState.HALTED:  # Only a new process ends it, whatever a restarted judge believes.
                    self.state = message.state
            case LedgerRequested():
                self._epochs[message.owner] = max(message.epoch, self._epochs.get(message.owner, 0))
            case _:
                self.ledger.apply(message)

    @property
    def must_halt(self) -> bool:
        return self.fat_fingers >= FAT_FINGERS_BEFORE_HALT

    def check(self, order: PlaceOrder, now: float) -> Denial | None:
        """Judge one order. None: it passed and is counted. Otherwise the reason, in one line."""
        denial = (
            self._fenced(order, now)
            or self._absurd(order)
            or self._too_many(now)
            or (self._maker(order) if order.role is Role.MAKER else self._cover(order))
        )
        if denial is None:
            self._sent_at.append(now)
            self.ledger.register(order)
        else:
            self.denials += 1
            self.fat_fingers += denial.is_fat_finger
        return denial

    def _fenced(self, order: PlaceOrder, now: float) -> Denial | None:
        if order.epoch < self._epochs.get(order.owner, 0):
            return Denial(f"epoch {order.epoch} of {order.owner} has been replaced")
        if order.not_after and now > order.not_after:
            return Denial("too late: the order is no longer wanted")
        return None

    def _absurd(self, order: PlaceOrder) -> Denial | None:
        """Numbers that no working decision can produce."""
        violations = self._instrument.violations(order.price, order.quantity)
        if violations:
            return Denial("; ".join(violations), is_fat_finger=True)
        if order.symbol != self._instrument.symbol or order.venue != self._instrument.venue:
            return Denial(f"{order.venue} {order.symbol} is not what this gateway trades", is_fat_finger=True)
        if order.trigger_price is not None or order.is_market:
            return Denial("only plain limit orders are traded here", is_fat_finger=True)
        if order.quantity > self._limits.max_quantity:
            return Denial(f"quantity {order.quantity} is above the limit {self._limits.max_quantity}", is_fat_finger=True)
        distance = abs(order.price - order.reference_price)
        if distance > order.reference_price * self._limits.collar_bps * BPS:
            return Denial(f"price {order.price} is outside the collar around {order.reference_price}", is_fat_finger=True)
        return None

    def _too_many(self, now: float) -> Denial | None:
        while self._sent_at and now - self._sent_at[0] > 60:
            self._sent_at.popleft()
        if len(self._sent_at) < self._limits.max_orders_per_minute:
            return None
        return Denial(f"more than {self._limits.max_orders_per_minute} orders in a minute", is_fat_finger=True)

    def _maker(self, order: PlaceOrder) -> Denial | None:
        """Admission before exposure: the worst case after this order must stay inside the bound.

        Quotes rest on one side only: fills that offset each other would free room here while the other venue's gate, a few messages
        behind, still lets the first of them be hedged.
        """
        ledger, limits = self.ledger, self._limits
        if self.state is not TradingState.ACTIVE:
            return Denial(f"no quotes while {self.state.value}")
        if abs(ledger.net) >= limits.lot:
            return Denial(f"exposure {ledger.net} is not hedged")
        if ledger.has_unknown:
            return Denial("an order is of unknown outcome")
        if any(each.side is not order.side for each in ledger.pending(makers=True)):
            return Denial("a quote of the other side may still fill")
        if ledger.worst_delta(order) > limits.max_delta:
            return Denial(f"delta could reach {ledger.worst_delta(order)}, above {limits.max_delta}")
        if not order.reduce_only and ledger.worst_position(order.venue, order) > limits.max_position:
            return Denial(f"{order.venue} position could exceed {limits.max_position}")
        return None

    def _cover(self, order: PlaceOrder) -> Denial | None:
        """A hedge must reduce what nothing covers yet and must not cross zero by a lot (I4)."""
        if self.state not in _MAY_COVER:
            return Denial(f"only cancels while {self.state.value}")
        before = self.ledger.uncovered
        after = before + order.side.sign * order.quantity
        if abs(after) >= abs(before) or (before * after < 0 and abs(after) >= self._limits.lot):
            return Denial(f"{order.side.value} {order.quantity} does not reduce the uncovered {before}")
        return None
