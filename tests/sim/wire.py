"""A venue between exchange and bot, without any wire format: requests and their answers, reads, the account stream.

What the client is told and what the venue did are decided apart: that is the whole difficulty. What one venue does unlike the other is in
venue_wires.py.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from core.instrument import Instrument
from core.messages import (
    BookUpdated,
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
from simulator.exchange import Event, Exchange, FillEvent, OrderEvent, PositionEvent, SimOrder
from simulator.ledger import AccountFill
from tests.sim.engine import Engine
from tests.sim.nemesis import Nemesis, Request
from tests.sim.scenario import EPOCH_MS

ACCOUNT = "bot"
READ_DEADLINE_S = 2.0
Answer = Callable[[tuple[Message, ...]], None]
Maintenance = Literal["cancel_only", "post_only", "closed"]
_STATES = {
    "OPEN": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}


def _client_order_id(text: str) -> ClientOrderId | None:
    """None for what a person or the venue itself has placed."""
    return ClientOrderId(int(text)) if text.isdigit() else None


class Wire:
    """One venue. ``arrived`` is told of every order that reaches it, ``publish`` of every account frame, ``filled`` of every fill of ours."""

    trade_deadline_s = 3.0

    def __init__(self, engine: Engine, exchange: Exchange, instrument: Instrument, nemesis: Nemesis) -> None:
        self.engine = engine
        self.exchange = exchange
        self.instrument = instrument
        self.nemesis = nemesis
        self.is_down = False
        self.maintenance: Maintenance | None = None
        self.banned_until = 0.0
        self.retry_after_s: float | None = 0.5
        self.unexplained = ZERO
        """Base quantity that the venue holds for the account beside the sum of its fills."""
        self.lie: Callable[[Decimal], Decimal] | None = None
        """What the venue makes of the position that it is asked for."""
        self.requests = 0
        self.self_traded: Callable[[SimOrder], None] = lambda _: None
        self.publish: Callable[[Message], None] = lambda _: None
        self.arrived: Callable[[PlaceOrder], None] = lambda _: None
        self.filled: Callable[[AccountFill], None] = lambda _: None
        self._visible_at: dict[int, float] = {}
        exchange.subscribe(self._on_event, books=False)

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
                self.engine.after(request.there_s, self._arrive_unheard, orders, arrive)
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
        elif self._is_refused(orders):
            refused = (each for order in orders for each in self._rejected(order, "MAINTENANCE", self.engine.now))
            self._back(request, sent_at, answer, tuple(refused))
        else:
            arrive(lambda told: self._back(request, sent_at, answer, told))

    def _is_refused(self, orders: tuple[PlaceOrder, ...]) -> bool:
        """Maintenance: nothing but cancels, nothing but resting orders, or nothing at all."""
        is_fit = self.maintenance == "post_only" and all(order.post_only for order in orders)
        return self.maintenance is not None and not is_fit

    def _arrive_unheard(self, orders: tuple[PlaceOrder, ...], arrive: Callable[[Answer | None], None]) -> None:
        if not self._is_refused(orders):
            arrive(None)

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
        elif self.maintenance == "closed":
            self._back(request, sent_at, answer, (self._cancel_failed(command, "refused", self.engine.now),))
        else:
            self._arrive_cancel(command, lambda told: self._back(request, sent_at, answer, told))

    def cancel_all(self, command: CancelAll, answer: Answer) -> None:
        request = self._request()
        if request.kind in ("fine", "slow", "lose_answer", "late"):
            self.engine.after(request.there_s, self._cancel_everything)
        self.engine.after(request.answered_s, answer, ())

    def renew_dead_man(self, command: RenewDeadMan, answer: Answer) -> None:
        self.engine.after(self._request().answered_s, answer, ())

    @property
    def is_banned(self) -> bool:
        return self.engine.now < self.banned_until

    def _request(self) -> Request:
        self.requests += 1
        request = self.nemesis.trade(self.trade_deadline_s)
        if not self.is_down:
            return request._replace(kind="throttle") if self.is_banned else request
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
        return (refusal, self._rate_limited(at))

    def _rate_limited(self, at: float) -> RateLimited:
        return RateLimited(venue=self.instrument.venue, reason="429", retry_after_s=self.retry_after_s, at=at)

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
        self.requests += 1
        asked_at, trip = self.engine.now, self.nemesis.trip_s()
        if self.is_banned and not self.is_down:
            self.engine.after(trip, self._refuse_read, query, answer)
            return
        if self.is_down or self.nemesis.read_fails():
            after_s = trip if self.nemesis.random.random() < 0.5 else READ_DEADLINE_S
            self.engine.after(after_s, self._fail, query, answer)
            return
        self.engine.after(trip / 2, self._look, query, asked_at, trip / 2, answer)

    def _fail(self, query: Query, answer: Answer) -> None:
        answer((self._failure(query, "500"),))

    def _refuse_read(self, query: Query, answer: Answer) -> None:
        answer((self._failure(query, "429"), self._rate_limited(self.engine.now)))

    def _failure(self, query: Query, reason: str) -> QueryFailed:
        client_id = query.client_order_id if isinstance(query, QueryOrder) else None
        name = type(query).__name__
        return QueryFailed(venue=query.venue, query=name, reason=reason, at=self.engine.now, client_order_id=client_id)

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
                    lookback_s=query.lookback_s,
                    asked_at=asked_at,
                    received_at=received_at,
                )
            case FetchPosition():
                found = self._position(self.exchange.position(ACCOUNT, symbol), Source.REST, received_at)
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
                if order.reason == "SELF_TRADE":
                    self.self_traded(order)
                self.publish(self.report(order, Source.WS, self.engine.now))
            case PositionEvent(quantity=quantity) if event.account == ACCOUNT:
                self.publish(self._position(quantity, Source.WS, self.engine.now))
            case _:
                pass

    def tell_position(self) -> None:
        """A frame of the position without a fill."""
        self.publish(self._position(self.exchange.position(ACCOUNT, self.instrument.symbol), Source.WS, self.engine.now))

    def _position(self, filled: Decimal, source: Source, received_at: float) -> PositionReported:
        held = filled + self.unexplained
        return PositionReported(
            venue=self.instrument.venue,
            symbol=self.instrument.symbol,
            quantity=held if self.lie is None else self.lie(held),
            source=source,
            received_at=received_at,
        )

    def state_of(self, order: SimOrder) -> OrderState:
        if order.status == "OPEN" and order.filled:
            return OrderState.PARTIALLY_FILLED
        return _STATES[order.status]

    def report(self, order: SimOrder, source: Source, received_at: float) -> OrderReported:
        return OrderReported(
            venue=self.instrument.venue,
            symbol=order.symbol,
            client_order_id=_client_order_id(order.client_id),
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
            client_order_id=_client_order_id(fill.client_id),
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


def _not_sent(order: PlaceOrder, at: float) -> SubmitNotSent:
    return SubmitNotSent(venue=order.venue, client_order_id=order.client_order_id, reason="refused", at=at)


def _unknown(order: PlaceOrder, at: float) -> SubmitUnknown:
    return SubmitUnknown(venue=order.venue, client_order_id=order.client_order_id, reason="no answer", at=at)
