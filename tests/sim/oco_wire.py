"""ApeX between exchange and bot, without its wire format (apex.md §0, §1.3, §3, §4): what it answers, when, and what it only streams.

A create is answered PENDING or UNTRIGGERED and judged on the stream; a cancel is only acknowledged; lookups by client id show ended orders
too; a stop fires on the last price and takes at the market; after the login a second frame tells of orders that ended long ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from core.instrument import Instrument
from core.messages import (
    CancelAcknowledged,
    CancelOrder,
    FetchOpenOrders,
    FillReported,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderReported,
    PlaceOco,
    PlaceOrder,
    Query,
    QueryOrder,
)
from core.types import ZERO, ClientOrderId, OrderState, Role, Side, Source, VenueOrderId
from simulator.exchange import Event, Exchange, FillEvent, PositionEvent, SimOrder, TradeEvent
from simulator.ledger import AccountFill
from tests.sim.engine import Engine
from tests.sim.nemesis import Nemesis
from tests.sim.oco_scenario import Venue
from tests.sim.wire import ACCOUNT, Answer, Wire

HISTORY_KEPT = 30
FIRE_S = (0.003, 0.02)


@dataclass
class Waiting:
    """A conditional order: ``state`` ACCEPTED while it waits or has fired, then how it ended without reaching the book."""

    order: PlaceOrder
    state: OrderState = OrderState.ACCEPTED
    reason: str = "untriggered"
    is_fired: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.state is OrderState.ACCEPTED and not self.is_fired


class ApexWire(Wire):
    """``habits``: what no source settles about the venue."""

    trade_deadline_s = 3.0

    def __init__(self, engine: Engine, exchange: Exchange, instrument: Instrument, nemesis: Nemesis, habits: Venue) -> None:
        super().__init__(engine, exchange, instrument, nemesis)
        self.habits = habits
        self.lag_s = 0.0
        """How much later than now what is being published leaves the venue."""
        self.waiting: dict[str, Waiting] = {}
        self._siblings: dict[str, str] = {}
        self._placed: dict[str, PlaceOrder] = {}
        self._cancels: dict[ClientOrderId, int] = {}
        self._refused = {Role.SL: 0, Role.TP: 0}
        self._foreign_past: list[OrderReported] = []

    # ---- orders --------------------------------------------------------------------------------------------------------------

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.arrived(order)
        if self._refuses(order):
            if answer is not None:
                answer(self._rejected(order, "3", self.engine.now))
            return
        self._placed[str(order.client_order_id)] = order
        state = OrderState.SUBMITTED
        if order.trigger_price is not None:
            self.waiting[str(order.client_order_id)] = Waiting(order)
            state = OrderState.ACCEPTED
            self.publish(self._told(self.waiting[str(order.client_order_id)], Source.WS))
        else:
            self.engine.after(0.002 + 0.02 * self.nemesis.random.random(), self._match, order)
        if answer is not None:
            accepted = OrderAccepted(
                venue=order.venue, client_order_id=order.client_order_id, venue_order_id=self._id_of(order), at=self.engine.now
            )
            answer((accepted, self._made(order, state, Source.REST)))

    def _refuses(self, order: PlaceOrder) -> bool:
        allowed = {Role.SL: self.habits.sl_refusals, Role.TP: self.habits.tp_refusals}
        if self._refused.get(order.role, 0) >= allowed.get(order.role, 0):
            return False
        self._refused[order.role] += 1
        return True

    def _match(self, order: PlaceOrder) -> None:
        self.exchange.advance(self.wall_s)
        self.exchange.place(
            ACCOUNT,
            order.symbol,
            order.side,
            order.quantity,
            order.price,
            tif="IOC" if order.is_market else order.time_in_force.value,
            reduce_only=order.reduce_only and self.habits.reduces_only,
            client_id=str(order.client_order_id),
        )

    # ---- linked pairs ----------------------------------------------------------------------------------------------------------

    def place_oco(self, pair: PlaceOco, answer: Answer) -> None:
        self._submit(pair.orders, lambda reply: self._arrive_linked(pair, reply), answer)

    def _arrive_linked(self, pair: PlaceOco, answer: Answer | None) -> None:
        """One bulk request: refused as a whole where the venue does not know it, else each order for itself, and perhaps a link."""
        told: list[Message] = []
        if self.is_down:
            return
        if self.habits.link == "refused":
            for order in pair.orders:
                told += self._rejected(order, "2236", self.engine.now, permanent=True)
        else:
            for order in pair.orders:
                self._arrive(order, self.engine.now, told.extend)
            if self.habits.link == "kept":
                first, second = (str(order.client_order_id) for order in pair.orders)
                self._siblings |= {first: second, second: first}
        if answer is not None:
            answer(tuple(told))

    def _end_sibling(self, client_id: str, state: OrderState, reason: str) -> None:
        other = self.waiting.get(self._siblings.get(client_id, ""))
        if other is not None and other.is_waiting:
            other.state, other.reason = state, reason
            self.publish(self._told(other, Source.WS))

    # ---- triggers ------------------------------------------------------------------------------------------------------------

    def _traded(self, last: TradeEvent) -> None:
        """The last price of the exchange sets stops off (triggerPriceType MARKET)."""
        for waiting in self.waiting.values():
            trigger = waiting.order.trigger_price
            assert trigger is not None
            is_downward = (waiting.order.side is Side.SELL) == (waiting.order.trigger_kind == "stop")
            is_due = last.price <= trigger if is_downward else last.price >= trigger
            if waiting.is_waiting and is_due:
                waiting.is_fired = True
                self._end_sibling(str(waiting.order.client_order_id), OrderState.CANCELED, "OCO_COUNTER_PART_TRIGGERED")
                spread = FIRE_S[1] - FIRE_S[0]
                self.engine.after(FIRE_S[0] + spread * self.nemesis.random.random(), self._match, waiting.order)

    # ---- cancels -------------------------------------------------------------------------------------------------------------

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        if self.is_down:
            return
        tries = self._cancels[command.client_order_id] = self._cancels.get(command.client_order_id, 0) + 1
        if tries <= self.habits.refused_cancels:
            if answer is not None:
                answer((self._cancel_failed(command, "unknown" if tries == 3 else "refused", self.engine.now),))
            return
        is_done = self.end(str(command.client_order_id), OrderState.CANCELED, "USER_CANCELED")
        if answer is None:
            return
        if is_done:
            answer((CancelAcknowledged(venue=command.venue, client_order_id=command.client_order_id, at=self.engine.now),))
        else:
            answer((self._cancel_failed(command, "refused", self.engine.now),))

    def end(self, client_id: str, state: OrderState, reason: str) -> bool:
        """Whoever asks for it: the order is over, wherever it is. False: it is not open, or just being processed."""
        waiting = self.waiting.get(client_id)
        if waiting is not None and waiting.is_waiting:
            waiting.state, waiting.reason = state, reason
            self.publish(self._told(waiting, Source.WS))
            self._end_sibling(client_id, state, reason)
            return True
        self.exchange.advance(self.wall_s)
        order = self.exchange.by_client_id(ACCOUNT, client_id)
        return order is not None and self.exchange.cancel(order.order_id, reason) is not None

    def live_legs(self, role: Role) -> list[PlaceOrder]:
        """Orders of this role that may still fill at the venue."""
        return [order for key, order in self._placed.items() if order.role is role and self.leaves(key) > 0]

    def leaves(self, client_id: str) -> Decimal:
        """What may still fill of an order that has arrived."""
        waiting = self.waiting.get(client_id)
        order = self.exchange.by_client_id(ACCOUNT, client_id)
        if order is not None:
            return order.leaves if order.status == "OPEN" else ZERO
        if waiting is not None:
            return waiting.order.quantity if waiting.state is OrderState.ACCEPTED else ZERO
        return self._placed[client_id].quantity if client_id in self._placed else ZERO

    def _cancel_everything(self) -> None:
        super()._cancel_everything()
        for key in list(self.waiting):
            self.end(key, OrderState.CANCELED, "USER_CANCELED")

    def foreign(self, side: Side, price: Decimal) -> int:
        """The user rests an order of his own."""
        self.exchange.advance(self.wall_s)
        lot = self.instrument.lot_size
        return self.exchange.place(ACCOUNT, self.instrument.symbol, side, lot, price).order_id

    # ---- what it shows -------------------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        is_execution = isinstance(event, (FillEvent, PositionEvent))
        self.lag_s = self.habits.fill_lag_s if is_execution else 0.0
        super()._on_event(event)
        self.lag_s = 0.0
        match event:
            case TradeEvent():
                self._traded(event)
            case PositionEvent(quantity=quantity) if event.account == ACCOUNT and not quantity:
                if self.habits.sibling != "stays":
                    self.engine.after(0.03 * self.nemesis.random.random(), self._end_siblings)
            case _:
                pass

    def _end_siblings(self) -> None:
        """The position is gone: this venue ends waiting stops by itself."""
        if self.exchange.position(ACCOUNT, self.instrument.symbol):
            return
        is_refusal = self.habits.sibling == "refused"
        state = OrderState.REJECTED if is_refusal else OrderState.CANCELED
        for key in list(self.waiting):
            if self.waiting[key].is_waiting:
                self.end(key, state, "REDUCE_ONLY_CANCELED" if is_refusal else "USER_CANCELED")

    def history(self) -> list[OrderReported]:
        """The second frame after a login: orders that ended long ago, ours and others' (apex.md §0.2)."""
        if not self.habits.has_history:
            return []
        seen = [self._report_of(key, Source.WS) for key in self._placed]
        ended = [each for each in seen if each is not None and each.state not in (OrderState.ACCEPTED, OrderState.SUBMITTED)]
        old = OrderReported(
            venue=self.instrument.venue,
            symbol=self.instrument.symbol,
            client_order_id=None,
            venue_order_id=VenueOrderId("old"),
            state=OrderState.FILLED,
            filled_quantity=self.instrument.lot_size,
            source=Source.WS,
            received_at=self.engine.now,
            side=Side.SELL,
        )
        past = [each for each in ended if each.state is not OrderState.PARTIALLY_FILLED][-HISTORY_KEPT:]
        return [msgspec.structs.replace(each, is_historical=True) for each in (old, *past)]

    def _seen(self, query: Query, asked_at: float, received_at: float) -> tuple[Message, ...]:
        found = super()._seen(query, asked_at, received_at)
        if not isinstance(query, FetchOpenOrders):
            return found
        (listed,) = found
        assert isinstance(listed, OpenOrdersFetched)
        waiting = (each for each in self.waiting.values() if each.is_waiting and not self.nemesis.omits())
        more = tuple(self._told(each, Source.REST) for each in waiting)
        return (msgspec.structs.replace(listed, orders=(*listed.orders, *more)),)

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        report = self._report_of(str(query.client_order_id), Source.REST)
        return (report,) if report is not None else (self._not_found(query, asked_at, received_at),)

    def _report_of(self, client_id: str, source: Source) -> OrderReported | None:
        order = self.exchange.by_client_id(ACCOUNT, client_id)
        if order is not None:
            return self.report(order, source, self.engine.now)
        waiting = self.waiting.get(client_id)
        if waiting is not None:
            return self._told(waiting, source)
        placed = self._placed.get(client_id)
        return self._made(placed, OrderState.SUBMITTED, source) if placed is not None else None

    def report(self, order: SimOrder, source: Source, received_at: float) -> OrderReported:
        """In the adapter's words: what this venue cancels by itself without a fill is a refusal, an IOC's rest is CANCELED."""
        placed = self._placed.get(order.client_id)
        state, reason = self.state_of(order), order.reason
        if order.status == "EXPIRED" and reason == "IOC":
            state, reason = OrderState.CANCELED, "COULD_NOT_FILL"
        if reason == "REDUCE_ONLY":
            state = OrderState.CANCELED if order.filled else OrderState.REJECTED
            reason = "REDUCE_ONLY_CANCELED"
        if state is OrderState.FILLED and placed is not None and order.filled < placed.quantity:
            state, reason = OrderState.CANCELED, "REDUCE_ONLY_CANCELED"
        return OrderReported(
            venue=self.instrument.venue,
            symbol=order.symbol,
            client_order_id=placed.client_order_id if placed is not None else None,
            venue_order_id=self._id_of(placed) if placed is not None else VenueOrderId(f"v{order.order_id}"),
            state=state,
            filled_quantity=order.filled,
            source=source,
            received_at=received_at,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            reason=reason,
        )

    def _fill_report(self, fill: AccountFill, source: Source, received_at: float) -> FillReported:
        placed = self._placed.get(fill.client_id)
        told = super()._fill_report(msgspec.structs.replace(fill, client_id=fill.client_id or "0"), source, received_at)
        number = placed.client_order_id if placed is not None else None
        venue_id = self._id_of(placed) if placed is not None else VenueOrderId(f"v{fill.order_id}")
        return msgspec.structs.replace(told, client_order_id=number, venue_order_id=venue_id)

    def _told(self, waiting: Waiting, source: Source) -> OrderReported:
        return msgspec.structs.replace(self._made(waiting.order, waiting.state, source), reason=waiting.reason)

    def _made(self, order: PlaceOrder, state: OrderState, source: Source) -> OrderReported:
        return OrderReported(
            venue=order.venue,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=self._id_of(order),
            state=state,
            filled_quantity=ZERO,
            source=source,
            received_at=self.engine.now,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
        )

    @staticmethod
    def _id_of(order: PlaceOrder) -> VenueOrderId:
        return VenueOrderId(f"a{order.client_order_id}")
