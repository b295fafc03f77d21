"""The two venues between exchange and bot, without any wire format: what each answers, when, and what it only tells on its stream.

GRVT acknowledges before it matches, keeps cancels armed, answers lookups of ended orders and counts down a dead-man switch; Backpack
answers with the result, refuses late requests and looks up resting orders only (protocols/grvt.md §0, §4; backpack.md §4). What the
client is told and what the venue did are decided apart: that is the whole difficulty.
"""

from __future__ import annotations

from collections.abc import Callable

from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
    CancelOrder,
    FetchBook,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillReported,
    FillsFetched,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    PlaceOco,
    PlaceOrder,
    PositionReported,
    Query,
    QueryFailed,
    QueryOrder,
    RateLimited,
    RenewDeadMan,
    SubmitNotSent,
    SubmitUnknown,
)
from core.types import ZERO, ClientOrderId, Level, Liquidity, OrderState, Source, TradeId, VenueOrderId
from simulator.exchange import Event, Exchange, ExchangeRefused, FillEvent, OrderEvent, PositionEvent, SimOrder
from simulator.ledger import AccountFill
from tests.sim.engine import Engine
from tests.sim.nemesis import Nemesis, Request
from tests.sim.scenario import EPOCH_MS

ACCOUNT = "bot"
READ_DEADLINE_S = 2.0
Answer = Callable[[tuple[Message, ...]], None]
_STATES = {
    "OPEN": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}


class Wire:
    """One venue. ``arrived`` is told of every order that reaches it, ``publish`` of every account frame, ``filled`` of every fill of ours."""

    trade_deadline_s = 3.0

    def __init__(self, engine: Engine, exchange: Exchange, instrument: Instrument, nemesis: Nemesis) -> None:
        self.engine = engine
        self.exchange = exchange
        self.instrument = instrument
        self.nemesis = nemesis
        self.is_down = False
        self.publish: Callable[[Message], None] = lambda _: None
        self.arrived: Callable[[PlaceOrder], None] = lambda _: None
        self.filled: Callable[[AccountFill], None] = lambda _: None
        self._visible_at: dict[int, float] = {}
        exchange.subscribe(self._on_event)

    @property
    def wall_s(self) -> float:
        return EPOCH_MS / 1000 + self.engine.now

    # ---- orders and cancels --------------------------------------------------------------------------------------------------

    def place(self, order: PlaceOrder, answer: Answer) -> None:
        sent_at = self.engine.now
        self._submit((order,), lambda reply: self._arrive(order, sent_at, reply), answer)

    def place_oco(self, pair: PlaceOco, answer: Answer) -> None:
        """Only where the venue links orders."""
        raise NotImplementedError

    def _submit(self, orders: tuple[PlaceOrder, ...], arrive: Callable[[Answer | None], None], answer: Answer) -> None:
        """One request: what befalls it befalls all of its orders."""
        request, now = self._request(), self.engine.now
        match request.kind:
            case "not_sent":
                self._later(request, answer, lambda at: tuple(_not_sent(order, at) for order in orders))
                return
            case "refuse" | "throttle":
                code = "RATE_LIMITED" if request.kind == "throttle" else ""
                self._later(request, answer, lambda at: tuple(each for o in orders for each in self._rejected(o, code, at)))
                return
            case "lose_request":
                pass
            case "lose_answer" | "late":
                self.engine.after(request.there_s, arrive, None)
            case _:
                self.engine.after(request.there_s, self._reach, orders, arrive, request, now, answer)
                return
        self._later(request, answer, lambda at: tuple(_unknown(order, at) for order in orders))

    def _reach(
        self,
        orders: tuple[PlaceOrder, ...],
        arrive: Callable[[Answer | None], None],
        request: Request,
        sent_at: float,
        answer: Answer,
    ) -> None:
        """An answered request; a venue that went down on its way answers nobody."""
        if self.is_down:
            lost_at = sent_at + self.trade_deadline_s
            self.engine.at(lost_at, lambda: answer(tuple(_unknown(order, self.engine.now) for order in orders)))
        else:
            arrive(lambda told: self._back(request, sent_at, answer, told))

    def cancel(self, command: CancelOrder, answer: Answer) -> None:
        request = self._request()
        now = self.engine.now
        match request.kind:
            case "not_sent" | "refuse" | "throttle" | "lose_request":
                pass
            case "lose_answer" | "late":
                self.engine.after(request.there_s, self._arrive_cancel, command, None)
            case _:
                self.engine.after(request.there_s, self._reach_cancel, command, request, now, answer)
                return
        kind = {"not_sent": "not_sent", "refuse": "refused", "throttle": "refused"}.get(request.kind, "unknown")
        self._later(request, answer, lambda at: self._cancel_failed(command, kind, at))

    def _reach_cancel(self, command: CancelOrder, request: Request, sent_at: float, answer: Answer) -> None:
        if self.is_down:
            lost = lambda: answer((self._cancel_failed(command, "unknown", self.engine.now),))  # noqa: E731  said once, used once
            self.engine.at(sent_at + self.trade_deadline_s, lost)
        else:
            self._arrive_cancel(command, lambda told: self._back(request, sent_at, answer, told))

    def cancel_all(self, command: CancelAll, answer: Answer) -> None:
        request = self._request()
        if request.kind in ("fine", "slow", "lose_answer", "late"):
            self.engine.after(request.there_s, self._cancel_everything)
        self.engine.after(request.answered_s, answer, ())

    def renew_dead_man(self, command: RenewDeadMan, answer: Answer) -> None:
        self.engine.after(self._request().answered_s, answer, ())

    def _request(self) -> Request:
        request = self.nemesis.trade(self.trade_deadline_s)
        if not self.is_down:
            return request
        kind = self.nemesis.random.choice(("not_sent", "lose_request"))
        return Request(kind, request.there_s, request.there_s if kind == "not_sent" else self.trade_deadline_s)

    def _later(self, request: Request, answer: Answer, make: Callable[[float], Message | tuple[Message, ...]]) -> None:
        def tell() -> None:
            made = make(self.engine.now)
            answer(made if isinstance(made, tuple) else (made,))

        self.engine.after(request.answered_s, tell)

    def _back(self, request: Request, sent_at: float, answer: Answer, told: tuple[Message, ...]) -> None:
        self.engine.at(sent_at + request.answered_s, answer, told)

    def _rejected(self, order: PlaceOrder, code: str, at: float, *, permanent: bool = False) -> tuple[Message, ...]:
        refusal = OrderRejected(
            venue=order.venue,
            client_order_id=order.client_order_id,
            reason=f"refused {code}",
            code=code,
            permanent=permanent,
            at=at,
            is_throttled=code == "RATE_LIMITED",
        )
        if code != "RATE_LIMITED":
            return (refusal,)
        return (refusal, RateLimited(venue=order.venue, reason="429", retry_after_s=0.5, at=at))

    def _cancel_failed(self, command: CancelOrder, kind: str, at: float) -> Message:
        return CancelFailed(
            venue=command.venue,
            client_order_id=command.client_order_id,
            reason=kind,
            kind=kind,  # type: ignore[arg-type]  # one of the three literals
            at=at,
        )

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        raise NotImplementedError

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        raise NotImplementedError

    def _cancel_everything(self) -> None:
        self.exchange.advance(self.wall_s)
        self.exchange.cancel_all(ACCOUNT, self.instrument.symbol, "MASS")

    def _enter(self, order: PlaceOrder) -> SimOrder:
        """Put it on the book. Raises ExchangeRefused."""
        self.exchange.advance(self.wall_s)
        return self.exchange.place(
            ACCOUNT,
            order.symbol,
            order.side,
            order.quantity,
            order.price,
            tif=order.time_in_force.value,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            client_id=str(order.client_order_id),
            expires_at=self.wall_s + order.lifetime_s if order.lifetime_s else None,
        )

    # ---- reads -----------------------------------------------------------------------------------------------------------------

    def read(self, query: Query, answer: Answer) -> None:
        """One read: it fails, or it shows the venue as it is half way through the trip."""
        asked_at, trip = self.engine.now, self.nemesis.trip_s()
        if self.is_down or self.nemesis.read_fails():
            after_s = trip if self.nemesis.random.random() < 0.5 else READ_DEADLINE_S
            self.engine.after(after_s, self._fail, query, answer)
            return
        self.engine.after(trip / 2, self._look, query, asked_at, trip / 2, answer)

    def _fail(self, query: Query, answer: Answer) -> None:
        client_id = query.client_order_id if isinstance(query, QueryOrder) else None
        name = type(query).__name__
        answer((QueryFailed(venue=query.venue, query=name, reason="500", at=self.engine.now, client_order_id=client_id),))

    def _look(self, query: Query, asked_at: float, back_s: float, answer: Answer) -> None:
        self.exchange.advance(self.wall_s)
        received_at = self.engine.now + back_s
        self.engine.after(back_s, answer, self._seen(query, asked_at, received_at))

    def _seen(self, query: Query, asked_at: float, received_at: float) -> tuple[Message, ...]:
        venue, symbol = query.venue, query.symbol
        match query:
            case QueryOrder():
                return self._look_up(query, asked_at, received_at)
            case FetchOpenOrders():
                orders = [order for order in self.exchange.open_orders(ACCOUNT, symbol) if not self.nemesis.omits()]
                reports = tuple(self.report(order, Source.REST, received_at) for order in orders)
                found: Message = OpenOrdersFetched(
                    venue=venue, symbol=symbol, orders=reports, asked_at=asked_at, received_at=received_at
                )
            case FetchFills():
                since_s = self.wall_s - query.lookback_s
                fills = self._shown(received_at, since_s)
                found = FillsFetched(
                    venue=venue,
                    symbol=symbol,
                    fills=fills,
                    since_ms=int(since_s * 1000),
                    asked_at=asked_at,
                    received_at=received_at,
                )
            case FetchPosition():
                quantity = self.exchange.position(ACCOUNT, symbol)
                found = PositionReported(
                    venue=venue, symbol=symbol, quantity=quantity, source=Source.REST, received_at=received_at
                )
            case FetchBook():
                found = self.book(received_at)
        return (found,)

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        raise NotImplementedError

    def _not_found(self, query: QueryOrder, asked_at: float, received_at: float) -> OrderNotFound:
        return OrderNotFound(venue=query.venue, client_order_id=query.client_order_id, asked_at=asked_at, received_at=received_at)

    def _shown(self, received_at: float, since_s: float) -> tuple[FillReported, ...]:
        """What the fill history shows: it lags, and not in order."""
        fills = self.exchange.fills(ACCOUNT, self.instrument.symbol, since_s)
        shown = (fill for fill in fills if self._visible_at[fill.trade_id] <= self.engine.now)
        return tuple(self._fill_report(fill, Source.REST, received_at) for fill in shown)

    def book(self, received_at: float) -> BookUpdated:
        bids, asks = self.exchange.book(self.instrument.symbol, 4)
        return BookUpdated(
            venue=self.instrument.venue,
            symbol=self.instrument.symbol,
            bids=tuple(Level(*level) for level in bids),
            asks=tuple(Level(*level) for level in asks),
            received_at=received_at,
        )

    # ---- the account stream --------------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case FillEvent(fill=fill, order=order):
                self._visible_at[fill.trade_id] = self.engine.now + self.nemesis.history_lag_s() * self.nemesis.random.random()
                self.filled(fill)
                self.publish(self._fill_report(fill, Source.WS, self.engine.now))
                self.publish(self.report(order, Source.WS, self.engine.now))
            case OrderEvent(order=order):
                self.publish(self.report(order, Source.WS, self.engine.now))
            case PositionEvent(symbol=symbol, quantity=quantity) if event.account == ACCOUNT:
                self.publish(
                    PositionReported(
                        venue=self.instrument.venue,
                        symbol=symbol,
                        quantity=quantity,
                        source=Source.WS,
                        received_at=self.engine.now,
                    )
                )
            case _:
                pass

    def state_of(self, order: SimOrder) -> OrderState:
        if order.status == "OPEN" and order.filled:
            return OrderState.PARTIALLY_FILLED
        return _STATES[order.status]

    def report(self, order: SimOrder, source: Source, received_at: float) -> OrderReported:
        return OrderReported(
            venue=self.instrument.venue,
            symbol=order.symbol,
            client_order_id=ClientOrderId(int(order.client_id)),
            venue_order_id=VenueOrderId(f"v{order.order_id}"),
            state=self.state_of(order),
            filled_quantity=order.filled,
            source=source,
            received_at=received_at,
            side=order.side,
            price=order.price,
            quantity=order.quantity,
            reason=order.reason,
        )

    def _fill_report(self, fill: AccountFill, source: Source, received_at: float) -> FillReported:
        return FillReported(
            venue=self.instrument.venue,
            symbol=fill.symbol,
            trade_id=TradeId(str(fill.trade_id)),
            client_order_id=ClientOrderId(int(fill.client_id)),
            venue_order_id=VenueOrderId(f"v{fill.order_id}"),
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee,
            fee_currency=fill.fee_currency,
            liquidity=Liquidity.MAKER if fill.is_maker else Liquidity.TAKER,
            venue_time_ms=int(fill.time * 1000),
            source=source,
            received_at=received_at,
        )


class GrvtWire(Wire):
    """Acknowledgement first, the result on the stream; cancels by client id stay armed (grvt.md §0.2, §4)."""

    speed_bump_s = 0.025

    def __init__(self, engine: Engine, exchange: Exchange, instrument: Instrument, nemesis: Nemesis) -> None:
        super().__init__(engine, exchange, instrument, nemesis)
        self._armed: dict[ClientOrderId, float] = {}
        self._killed: dict[ClientOrderId, OrderReported] = {}
        self._countdown = 0

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.arrived(order)
        now, client_id = self.engine.now, order.client_order_id
        if self._armed.get(client_id, 0.0) > now:
            self._killed[client_id] = self._kill(order, now)
            self.publish(self._killed[client_id])
        elif not self.nemesis.forgets():
            self.engine.after(0.005 if order.post_only else self.speed_bump_s, self._match, order)
        if answer is not None:
            answer((OrderAccepted(venue=order.venue, client_order_id=client_id, venue_order_id=None, at=now),))

    def _match(self, order: PlaceOrder) -> None:
        """After the acknowledgement. A cancel that came in between ends it before it lives."""
        if self._armed.get(order.client_order_id, 0.0) > self.engine.now:
            self._killed[order.client_order_id] = self._kill(order, self.engine.now)
            self.publish(self._killed[order.client_order_id])
            return
        try:
            self._enter(order)
        except ExchangeRefused as refused:
            raise AssertionError(f"I16: {order} refused by the exchange: {refused}") from None

    def _kill(self, order: PlaceOrder, now: float) -> OrderReported:
        return OrderReported(
            venue=order.venue,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=None,
            state=OrderState.CANCELED,
            filled_quantity=ZERO,
            source=Source.WS,
            received_at=now,
            reason="cancelled before it was created",
        )

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.exchange.advance(self.wall_s)
        order = self.exchange.by_client_id(ACCOUNT, str(command.client_order_id))
        if order is None:
            self._armed[command.client_order_id] = self.engine.now + (command.ttl_ms or 5_000) / 1000
        elif order.status == "OPEN":
            self.exchange.cancel(order.order_id, "USER")
        if answer is not None:
            answer((CancelAcknowledged(venue=command.venue, client_order_id=command.client_order_id, at=self.engine.now),))

    def renew_dead_man(self, command: RenewDeadMan, answer: Answer) -> None:
        request = self._request()
        if request.kind in ("fine", "slow", "lose_answer", "late"):
            self.engine.after(request.there_s, self._arm, command.countdown_s)
        self.engine.after(request.answered_s, answer, ())

    def _arm(self, countdown_s: float) -> None:
        self._countdown += 1
        if countdown_s:
            self.engine.after(countdown_s, self._expire, self._countdown)

    def _expire(self, countdown: int) -> None:
        if countdown == self._countdown:
            self._cancel_everything()

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        order = self.exchange.by_client_id(ACCOUNT, str(query.client_order_id))
        if order is not None:
            return (self.report(order, Source.REST, received_at),)
        killed = self._killed.get(query.client_order_id)
        return (killed,) if killed is not None else (self._not_found(query, asked_at, received_at),)

    def state_of(self, order: SimOrder) -> OrderState:
        """What is left of an IOC order is cancelled here, not expired."""
        if order.status == "EXPIRED" and order.reason == "IOC":
            return OrderState.CANCELED
        return super().state_of(order)


class BackpackWire(Wire):
    """The answer is the order after its first matching; late requests are refused; lookups show resting orders only (backpack.md §4)."""

    trade_deadline_s = 2.0
    window_s = 1.0

    def _arrive(self, order: PlaceOrder, sent_at: float, answer: Answer | None) -> None:
        if self.is_down:
            return
        if self.engine.now - sent_at > self.window_s:
            if answer is not None:
                answer(self._rejected(order, "EXPIRED_WINDOW", self.engine.now))
            return
        self.arrived(order)
        try:
            placed = self._enter(order)
        except ExchangeRefused as refused:
            raise AssertionError(f"I16: {order} refused by the exchange: {refused}") from None
        if answer is None:
            return
        report = self.report(placed, Source.REST, self.engine.now)
        accepted = OrderAccepted(
            venue=order.venue, client_order_id=order.client_order_id, venue_order_id=report.venue_order_id, at=self.engine.now
        )
        answer((accepted, report))

    def _arrive_cancel(self, command: CancelOrder, answer: Answer | None) -> None:
        if self.is_down:
            return
        self.exchange.advance(self.wall_s)
        order = self.exchange.by_client_id(ACCOUNT, str(command.client_order_id))
        cancelled = self.exchange.cancel(order.order_id, "USER") if order is not None else None
        if answer is None:
            return
        if cancelled is None:
            answer((self._cancel_failed(command, "refused", self.engine.now),))
            return
        acknowledged = CancelAcknowledged(venue=command.venue, client_order_id=command.client_order_id, at=self.engine.now)
        answer((acknowledged, self.report(cancelled, Source.REST, self.engine.now)))

    def _look_up(self, query: QueryOrder, asked_at: float, received_at: float) -> tuple[Message, ...]:
        """Resting: a report. Otherwise the fills that the history shows of it, then "not found"."""
        order = self.exchange.by_client_id(ACCOUNT, str(query.client_order_id))
        if order is not None and order.status == "OPEN":
            return (self.report(order, Source.REST, received_at),)
        fills = (fill for fill in self._shown(received_at, 0.0) if fill.client_order_id == query.client_order_id)
        return (*fills, self._not_found(query, asked_at, received_at))


def _not_sent(order: PlaceOrder, at: float) -> SubmitNotSent:
    return SubmitNotSent(venue=order.venue, client_order_id=order.client_order_id, reason="refused", at=at)


def _unknown(order: PlaceOrder, at: float) -> SubmitUnknown:
    return SubmitUnknown(venue=order.venue, client_order_id=order.client_order_id, reason="no answer", at=at)
