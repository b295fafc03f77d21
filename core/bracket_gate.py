"""Pre-trade checks of a bracket run: one entry at a time within the size, exits that reduce and never outgrow what is held.

A protective leg is not covering exposure in the hedging sense: stop and take-profit stand side by side, each as large as the position, and
reduce-only keeps their sum harmless at the venue.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import LedgerRequested, LedgerSnapshot, Message, OrderSnapshot, PlaceOrder, TradingStateChanged
from core.risk_gate import FAT_FINGERS_BEFORE_HALT, Denial
from core.types import BPS, ZERO, Role, Side, TradingState

EXIT_ROLES = frozenset({Role.TP, Role.SL, Role.REPAIR})
ORDERS_PER_MINUTE = 300
"""A bracket needs a handful of orders; so many are a loop (RELIABILITY.md E12)."""


class BracketGate:
    """Implements ``core.risk_gate.Gate``. ``size`` bounds |position|; ``collar_bps`` bounds the entry's and the closing order's price."""

    def __init__(self, instrument: Instrument, side: Side, size: Decimal, collar_bps: Decimal, ledger: LedgerSnapshot) -> None:
        self._instrument = instrument
        self._side = side
        self._size = size
        self._collar_bps = collar_bps
        self.ledger = ExposureLedger(ledger.owner)
        self.ledger.apply(ledger)
        self.state = TradingState.STARTING
        self._epochs: dict[str, int] = {}
        self.denials = 0
        self.fat_fingers = 0
        self._sent_at: deque[float] = deque()

    @property
    def must_halt(self) -> bool:
        return self.fat_fingers >= FAT_FINGERS_BEFORE_HALT

    def handle(self, message: Message) -> None:
        match message:
            case TradingStateChanged():
                if self.state is not TradingState.HALTED:  # Only a new process ends it, whatever a restarted judge believes.
                    self.state = message.state
            case LedgerRequested():
                self._epochs[message.owner] = max(message.epoch, self._epochs.get(message.owner, 0))
            case _:
                self.ledger.apply(message)

    def check(self, order: PlaceOrder, now: float) -> Denial | None:
        """None: it may leave and is counted from now on."""
        denial = (
            self._fenced(order, now)
            or self._absurd(order)
            or self._too_many(now)
            or (self._entry(order) if order.role is Role.ENTRY else self._exit(order))
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
        violations = self._instrument.violations(order.price, order.quantity)
        if violations:
            return Denial("; ".join(violations), is_fat_finger=True)
        if (order.venue, order.symbol) != (self._instrument.venue, self._instrument.symbol):
            return Denial(f"{order.venue} {order.symbol} is not what this gateway trades", is_fat_finger=True)
        is_taken_now = order.role in (Role.ENTRY, Role.REPAIR)
        if is_taken_now and abs(order.price - order.reference_price) > order.reference_price * self._collar_bps * BPS:
            return Denial(f"price {order.price} is outside the collar around {order.reference_price}", is_fat_finger=True)
        return None

    def _too_many(self, now: float) -> Denial | None:
        while self._sent_at and now - self._sent_at[0] >= 60.0:
            self._sent_at.popleft()
        if len(self._sent_at) < ORDERS_PER_MINUTE:
            return None
        return Denial(f"{ORDERS_PER_MINUTE} orders in a minute", is_fat_finger=True)

    def _entry(self, order: PlaceOrder) -> Denial | None:
        """Only from flat, with nothing pending: at most one bracket's worth can ever be held."""
        if order.quantity > self._size:
            return Denial(f"quantity {order.quantity} is above the size {self._size}", is_fat_finger=True)
        if self.state is not TradingState.ACTIVE:
            return Denial(f"no entry while {self.state.value}")
        if order.side is not self._side:
            return Denial(f"the entry of this bracket is {self._side.value}", is_fat_finger=True)
        if abs(self.ledger.net) >= self._instrument.lot_size or self._pending():
            return Denial("an earlier bracket is not finished")
        return None

    def _exit(self, order: PlaceOrder) -> Denial | None:
        """Reduce-only, against what is held or may still come in; one closing order at a time."""
        if self.state is TradingState.HALTED:
            return Denial("only cancels while HALTED")
        if order.role not in EXIT_ROLES or not order.reduce_only:
            return Denial(f"a {order.role.value} order that does not reduce", is_fat_finger=True)
        held = self.ledger.net
        incoming = sum((o.side.sign * o.pending_quantity for o in self._pending() if o.role is Role.ENTRY), ZERO)
        reach = held + incoming
        if reach == 0 or order.side.sign * reach > 0 or order.quantity > abs(reach):
            return Denial(f"{order.side.value} {order.quantity} does not reduce {reach}")
        if order.role is Role.REPAIR and any(o.role is Role.REPAIR for o in self._pending()):
            return Denial("a closing order is under way")
        return None

    def _pending(self) -> list[OrderSnapshot]:
        return list(self.ledger.pending(makers=False))
