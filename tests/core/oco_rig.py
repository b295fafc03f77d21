"""A bracket on a venue of ten lines: the real tracker and the real core, orders that do what the test says, news delivered as it likes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.bracket import Bracket
from core.client_ids import ClientIds
from core.messages import (
    CancelAcknowledged,
    CancelOrder,
    FillRecorded,
    FillReported,
    LedgerSnapshot,
    Message,
    OrderAccepted,
    OrderChanged,
    OrderRejected,
    OrderReported,
    OrderSnapshot,
    OrderSubmitted,
    PlaceOco,
    PlaceOrder,
    SubmitUnknown,
    Tick,
    TradingStateChanged,
)
from core.oco_pair import PairSettings
from core.order import CLOSED
from core.order_tracker import OrderTracker
from core.types import ZERO, Channel, ClientOrderId, OrderState, Role, Side, TradingState
from core.venue_watch import VenuePolicy
from tests.core.builders import GRVT, SYMBOLS, book, feed, fill, instrument, report

D = Decimal
SIZE = D("0.10")
OWNER = "oco_pair"


def settings(policy: str = "cancel_sibling", side: Side = Side.BUY, *, native_oco: bool = False) -> PairSettings:
    return PairSettings(
        side=side,
        take_profit_pct=D(1),
        stop_loss_pct=D(1),
        on_manual_cancel=policy,  # type: ignore[arg-type]  # one of the literals
        close_ladder_bps=(D(20), D(40), D(80)),
        native_oco=native_oco,
    )


class Rig:
    """``now`` moves by ``tick``; ``sent`` and ``cancels`` are what the core asked for; ``told`` everything else it said."""

    def __init__(
        self,
        policy: str = "cancel_sibling",
        *,
        lot: str = "0.01",
        min_quantity: str | None = None,
        min_notional: str = "0",
        native_oco: bool = False,
        **more: Any,
    ) -> None:
        self.now = 100.0
        self.instrument = instrument(GRVT, lot=lot, min_quantity=min_quantity or lot, min_notional=min_notional)
        policies = {GRVT: VenuePolicy(symbol=SYMBOLS[GRVT], lot_size=D(lot), cancel_ttl_ms=0, submit_bound_s=6.0)}
        self.tracker = OrderTracker(policies, positions=more.pop("positions", None))
        self.core = Bracket(self.instrument, settings(policy, native_oco=native_oco), SIZE, ClientIds(OWNER, 1, 5_000), **more)
        self.sent: list[PlaceOrder] = []
        self.linked: list[PlaceOco] = []
        self.cancels: list[CancelOrder] = []
        self.told: list[Message] = []
        self.trades = 0
        self.filled: dict[ClientOrderId, Decimal] = {}
        self.ended: set[ClientOrderId] = set()

    @property
    def pair(self) -> Any:
        return self.core.pair

    def begin(self, *orders: OrderSnapshot, position: str = "0") -> Rig:
        self.give(LedgerSnapshot(owner=OWNER, positions=((GRVT, D(position)),), orders=orders, at=self.now))
        return self

    def enter(self) -> PlaceOrder:
        """Everything is well: the core sends its entry."""
        self.all_is_well()
        return self.sent[-1]

    def all_is_well(self) -> None:
        for channel in Channel:
            self.give(feed(GRVT, channel))
        self.give(TradingStateChanged(state=TradingState.ACTIVE, reason="", at=self.now))
        self.book()

    def book(self, bid: str = "2999.99", ask: str = "3000.01") -> None:
        self.give(book(GRVT, bid=bid, ask=ask, at=self.now))

    def armed(self) -> tuple[PlaceOrder, PlaceOrder]:
        """Entered and filled, stop and take-profit stand."""
        self.begin()
        entry = self.enter()
        self.accept(entry)
        self.fill(entry, "0.10")
        stop = self.last(Role.SL)
        self.accept(stop)
        profit = self.last(Role.TP)
        self.accept(profit)
        return stop, profit

    def last(self, role: Role) -> PlaceOrder:
        return [order for order in self.sent if order.role is role][-1]

    def count(self, role: Role) -> int:
        return sum(order.role is role for order in self.sent)

    def held(self) -> Decimal:
        return self.pair.held  # type: ignore[no-any-return]  # the pair is Any to the test

    # ---- the venue says --------------------------------------------------------------------------------------------------------

    def accept(self, order: PlaceOrder) -> None:
        self.hear(OrderAccepted(venue=GRVT, client_order_id=order.client_order_id, venue_order_id=None, at=self.now))

    def fill(self, order: PlaceOrder, quantity: str) -> None:
        """One execution, told as a fill and as a report."""
        for message in self.executed(order, D(quantity)):
            self.hear(message)

    def executed(self, order: PlaceOrder, quantity: Decimal) -> tuple[FillReported, OrderReported]:
        self.trades += 1
        total = self.filled[order.client_order_id] = self.filled.get(order.client_order_id, ZERO) + quantity
        is_done = total >= order.quantity
        if is_done:
            self.ended.add(order.client_order_id)
        state = OrderState.FILLED if is_done else OrderState.PARTIALLY_FILLED
        return fill(order, f"t{self.trades}", str(quantity), at=self.now), report(order, state, str(total), at=self.now)

    def end(self, order: PlaceOrder, state: OrderState = OrderState.CANCELED, reason: str = "USER_CANCELED") -> None:
        self.ended.add(order.client_order_id)
        self.hear(report(order, state, str(self.filled.get(order.client_order_id, ZERO)), at=self.now, reason=reason))

    def reject(self, order: PlaceOrder, *, permanent: bool = False) -> None:
        self.ended.add(order.client_order_id)
        self.hear(
            OrderRejected(
                venue=GRVT, client_order_id=order.client_order_id, reason="no", code="", permanent=permanent, at=self.now
            )
        )

    def unknown(self, order: PlaceOrder) -> None:
        self.hear(SubmitUnknown(venue=GRVT, client_order_id=order.client_order_id, reason="no answer", at=self.now))

    def acknowledge(self, command: CancelOrder) -> None:
        self.hear(CancelAcknowledged(venue=GRVT, client_order_id=command.client_order_id, at=self.now))

    def is_alive(self, order: PlaceOrder) -> bool:
        return order.client_order_id not in self.ended

    # ---- delivery --------------------------------------------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """Through the tracker, as everything of a venue."""
        for concluded in self.tracker.handle(message, self.now):
            if isinstance(concluded, (OrderChanged, FillRecorded)):
                self.give(concluded)

    def give(self, message: Message) -> None:
        for each in self.core.handle(message, self.now):
            match each:
                case PlaceOrder():
                    self.sent.append(each)
                    self.hear(OrderSubmitted(order=each, at=self.now))
                case PlaceOco():
                    self.linked.append(each)
                    self.sent += each.orders
                    for order in each.orders:
                        self.hear(OrderSubmitted(order=order, at=self.now))
                case CancelOrder():
                    self.cancels.append(each)
                case _:
                    self.told.append(each)

    def tick(self, seconds: float = 0.05) -> None:
        """Time passes in the steps of the actor."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.05)
            self.give(Tick())

    def alerts(self) -> list[str]:
        return [message.key for message in self.told if type(message).__name__ == "Alert"]  # type: ignore[attr-defined]

    def stop_cover(self) -> Decimal:
        """Of the stops that the pair may rely on: alive as far as the tracker knows, and not asked to go."""
        legs = (leg for leg in self.pair.legs if leg.order.role is Role.SL and leg.cancel_sent_at is None)
        return sum((leg.cover for leg in legs if leg.order.state not in CLOSED), ZERO)
