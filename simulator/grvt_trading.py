"""GRVT's trading desk for one sub account: orders, cancels with a time to live, the dead-man countdown and the queries.

The gateway's word comes first (PENDING, "0x00"), the engine's later and only on the streams (grvt.md §3, §4). Knows no
sockets and no cookies: whoever calls is already authenticated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator import grvt_orders as orders
from simulator import grvt_wire as wire
from simulator.clock import Clock
from simulator.exchange import (
    BookEvent,
    Event,
    Exchange,
    ExchangeRefused,
    FillEvent,
    OrderEvent,
    PositionEvent,
    SimOrder,
    TradeEvent,
)
from simulator.grvt_account import PositionBook, fee_rate_text, fee_text, page, summary
from simulator.grvt_conditional import CLIENT_CANCEL, Conditionals, is_pair
from simulator.grvt_market import MarketData
from simulator.grvt_orders import OrderRecord
from simulator.grvt_wire import GrvtError, Json

SPEED_BUMP_S = 0.025
"""What an order that is not post-only waits before matching (grvt.md §4)."""

TTL_DEFAULT_MS, TTL_STEP_MS, TTL_MAX_MS = 100, 100, 5000
COUNTDOWN_OFF_MS, COUNTDOWN_MAX_MS = 1000, 300_000
BULK_MAX = 100
_OWN_COUNTER = 1 << 62
_EXPIRY_MARGIN_S = 0.001
"""The expiry timer looks a little late: a float of epoch seconds may fall just short of the moment."""

_REASONS: Mapping[tuple[str, str], str] = {
    ("REJECTED", "POST_ONLY"): "FAIL_POST_ONLY",
    ("REJECTED", "REDUCE_ONLY"): "FAIL_REDUCE_ONLY",
    ("CANCELLED", "REDUCE_ONLY"): "REDUCE_ONLY_LIMIT",
    ("REJECTED", "SELF_TRADE"): "SELF_MATCHED_SUBACCOUNT",
    ("CANCELLED", "SELF_TRADE"): "SELF_MATCHED_SUBACCOUNT",
    ("EXPIRED", "IOC"): "IOC_CANCEL",
}
"""(exchange status, reason) -> GRVT's word; what is not listed is passed on as it is, so unknown words can be sent."""

Publish = Callable[[str, str, Json], None]
"""stream, symbol ("" = none), feed."""


class Desk:
    """State of the account since the face was made; also hears of orders placed on the exchange behind its back."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        market: MarketData,
        publish: Publish,
        *,
        sub_account_id: str,
        signer: str,
        chain_id: int,
        deposit: Decimal,
        is_bumped: bool,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._market = market
        self._publish = publish
        self._account = sub_account_id
        self._signer = signer
        self._chain_id = chain_id
        self._deposit = deposit
        self._is_bumped = is_bumped
        self._records: list[OrderRecord] = []
        self._by_client_id: dict[str, OrderRecord] = {}
        self._by_id: dict[int, OrderRecord] = {}
        self._acks: dict[bytes, Json] = {}
        self._windows: dict[str, float] = {}
        self._fills: list[tuple[Instrument, Json]] = []
        self._books: dict[str, PositionBook] = {}
        self._countdown = 0
        self._own_ids = _OWN_COUNTER
        self.is_in_maintenance = False
        self.conditionals = Conditionals(clock, market, self._place, self._end_dormant)
        self.routes: Mapping[str, Callable[[Json], Json]] = {
            "create_order": self._create,
            "bulk_orders": self._bulk,
            "cancel_order": self._cancel,
            "cancel_all_orders": self._cancel_all,
            "cancel_on_disconnect": self._cancel_on_disconnect,
            "order": self._order,
            "open_orders": self._open_orders,
            "order_history": self._order_history,
            "fill_history": self._fill_history,
            "positions": lambda params: {"result": self.positions(params)},
            "account_summary": self._summary,
            "get_sub_accounts": lambda _params: {"sub_account_ids": [self._account]},
        }
        exchange.subscribe(self._on_event)

    def call(self, route: str, params: Json) -> Json:
        """The reply body of a trading route; raises GrvtError (1001 for another sub account, 2003 inside an order)."""
        if route not in ("create_order", "get_sub_accounts") and str(params.get("sub_account_id")) != self._account:
            raise GrvtError(1001 if params.get("sub_account_id") else 1003)
        self._exchange.advance(self._clock.now())
        return self.routes[route](params)

    def positions(self, params: Json) -> list[Json]:
        """The open positions a query's filter covers; a flat contract is not listed."""
        contracts = (self._exchange.instruments[s] for s, book in self._books.items() if book.size != 0)
        return [self._position(contract.symbol) for contract in contracts if wire.selects(params, contract)]

    # -- creating -----------------------------------------------------------------------------------------------------

    def _create(self, params: Json) -> Json:
        return {"result": self._accept(self._admitted(params.get("order"), foreign_code=2003))}

    def _bulk(self, params: Json) -> Json:
        """Cancels, then creates: many plain orders, or one trigger order, or one OCO pair; all or none of it is accepted (grvt.md §4)."""
        created, order_ids, client_ids = (params.get(name) or [] for name in ("orders", "order_i_ds", "client_order_i_ds"))
        if not all(isinstance(found, list) for found in (created, order_ids, client_ids)):
            raise GrvtError(1003)
        if order_ids and client_ids:
            raise GrvtError(2233)
        if max(len(created), len(order_ids), len(client_ids)) > BULK_MAX:
            raise GrvtError(2235)
        records = [self._admitted(order, foreign_code=1001) for order in created]
        self._check_bulk(records)
        for name, found in (("order_id", order_ids), ("client_order_id", client_ids)):
            for each in found:
                self._cancel({name: each, "time_to_live_ms": params.get("time_to_live_ms")})
        if is_pair(records):
            self.conditionals.link(*records)
        acks = [{"ack": True} for _ in (*order_ids, *client_ids)]
        return {"orders": [_unstated(self._accept(record)) for record in records] or None, "cancel_acks": acks}

    def _check_bulk(self, records: list[OrderRecord]) -> None:
        if len({record.contract.symbol for record in records}) > 1:
            raise GrvtError(2234)
        if len({record.client_order_id for record in records}) < len(records):
            raise GrvtError(2012)
        is_alone = len(records) == 1 or not any(record.trigger for record in records)
        if records and not (is_alone or is_pair(records)):
            raise GrvtError(2236)

    def _admitted(self, order: object, *, foreign_code: int) -> OrderRecord:
        """The order as a record that nobody knows of yet, or the one that the same signature has made before."""
        if not isinstance(order, dict):
            raise GrvtError(1003)
        if self.is_in_maintenance:
            raise GrvtError(1009)
        if str(order.get("sub_account_id")) != self._account:
            raise GrvtError(foreign_code)
        now = self._clock.now()
        record = orders.read_order(order, self._exchange.instruments, now)
        orders.check_numbers(record, self._market.mark(record.contract.symbol))
        orders.check_signature(record, signer=self._signer, chain_id=self._chain_id, now=now)
        if record.digest not in self._acks:
            self._check_admission(record)
        return record

    def _check_admission(self, record: OrderRecord) -> None:
        same_id = self._by_client_id.get(record.client_order_id)
        if same_id is not None and same_id.is_active:
            raise GrvtError(2012)
        status = self._market.status.get(record.contract.symbol, "ACTIVE")
        if status == "REDUCE_ONLY" and not record.is_reduce_only:
            raise GrvtError(7304)
        if status not in ("ACTIVE", "REDUCE_ONLY"):
            raise GrvtError(2060)
        orders.check_reduce_only(record, self._exchange.position(self._account, record.contract.symbol))

    def _accept(self, record: OrderRecord) -> Json:
        """The order as it is acknowledged: before the engine has seen it. A repetition gets the same word and does nothing."""
        if record.digest in self._acks:
            return self._acks[record.digest]
        self._records.append(record)
        self._by_client_id[record.client_order_id] = record
        ack = self._acks[record.digest] = record.wire()
        if self._is_bumped and not record.is_post_only:
            self._clock.call_later(SPEED_BUMP_S, partial(self._arrive, record))
        else:
            self._arrive(record)
        return ack

    def _arrive(self, record: OrderRecord) -> None:
        """The order reaches the matching engine."""
        self._exchange.advance(self._clock.now())
        if self._windows.pop(record.client_order_id, None) is not None:
            self._refuse(record, "CLIENT_CANCEL")
        elif record.expires_at - record.created_at > orders.MAX_LIFE_S:
            self._refuse(record, "EXCEED_MAX_SIGNATURE_EXPIRATION")
        elif record.time_in_force == "FILL_OR_KILL" and not self._is_fillable(record):
            self._refuse(record, "FOK_CANCEL")
        elif record.trigger is not None:
            self._name_own(record)
            record.become("OPEN", "UNSPECIFIED", leaves=record.quantity, traded=ZERO, average=ZERO, time=self._clock.now())
            self._show(record)
            self.conditionals.wait(record)
        else:
            self._place(record)

    def _place(self, record: OrderRecord) -> None:
        is_immediate = record.time_in_force in orders.IMMEDIATE or record.price is None
        try:
            self._exchange.place(
                self._account,
                record.contract.symbol,
                record.side,
                record.quantity,
                record.price,
                tif="IOC" if is_immediate else "GTC",
                post_only=record.is_post_only,
                reduce_only=record.is_reduce_only,
                client_id=record.client_order_id,
                expires_at=record.expires_at,
                tag={"grvt": record},
            )
        except ExchangeRefused:
            self._refuse(record, "UNSPECIFIED")
            return
        if record.status == "OPEN":
            delay = record.expires_at - self._clock.now() + _EXPIRY_MARGIN_S
            self._clock.call_later(delay, lambda: self._exchange.advance(self._clock.now()))

    def _refuse(self, record: OrderRecord, reason: str) -> None:
        """Ends an order that never came before the exchange: never open, so REJECTED (grvt.md §3)."""
        if record.order_id == orders.NO_ID:
            self._name_own(record)
        was_open = record.status == "OPEN"
        self._end(record, "CANCELLED" if was_open else "REJECTED", reason)

    def _end_dormant(self, record: OrderRecord, reason: str) -> None:
        self._end(record, "CANCELLED", reason)

    def _end(self, record: OrderRecord, status: str, reason: str) -> None:
        record.become(status, reason, leaves=ZERO, traded=ZERO, average=ZERO, time=self._clock.now())
        self._show(record)

    def _name_own(self, record: OrderRecord) -> None:
        """An id for an order that the exchange has not seen."""
        self._own_ids += 1
        self._name(record, self._own_ids)

    def _is_fillable(self, record: OrderRecord) -> bool:
        bids, asks = self._exchange.book(record.contract.symbol, 10_000)
        levels = asks if record.side is Side.BUY else bids
        limit = record.price
        found = (size for price, size in levels if limit is None or (limit - price) * record.side.sign >= 0)
        return sum(found, ZERO) >= record.quantity

    # -- cancelling ---------------------------------------------------------------------------------------------------

    def _cancel(self, params: Json) -> Json:
        order_id = wire.uint_of(params.get("order_id"), bits=128)
        client_id = wire.uint_of(params.get("client_order_id"))
        ttl = wire.uint_of(params.get("time_to_live_ms")) or TTL_DEFAULT_MS
        if not order_id and not client_id:
            raise GrvtError(3021)
        if ttl > TTL_MAX_MS:
            raise GrvtError(2301)
        if order_id:
            self._withdraw(self._by_id.get(order_id))
        else:
            self._cancel_by_client_id(str(client_id), max(TTL_STEP_MS, ttl // TTL_STEP_MS * TTL_STEP_MS))
        return {"result": {"ack": True}}

    def _cancel_by_client_id(self, client_id: str, ttl_ms: int) -> None:
        """Cancels what is open; otherwise stays armed for the order that may still arrive (grvt.md §4)."""
        if client_id in self._windows:
            self._show_cancel(client_id, "DROPPED_DUPLICATE")
        elif not self._withdraw(self._by_client_id.get(client_id)):
            ends_at = self._clock.now() + ttl_ms / 1000
            self._windows[client_id] = ends_at
            self._clock.call_later(ttl_ms / 1000, partial(self._close_window, client_id, ends_at))

    def _close_window(self, client_id: str, ends_at: float) -> None:
        if self._windows.get(client_id) == ends_at:
            del self._windows[client_id]
            self._show_cancel(client_id, "EXPIRED")

    def _withdraw(self, record: OrderRecord | None) -> bool:
        if record is None:
            return False
        if record.exchange_id is None:
            return self.conditionals.withdraw(record, CLIENT_CANCEL)
        return self._exchange.cancel(record.exchange_id, CLIENT_CANCEL) is not None

    def _cancel_all(self, params: Json) -> Json:
        self._cancel_open("CLIENT_BULK_CANCEL", params)
        return {"result": {"ack": True}}

    def _cancel_open(self, reason: str, params: Json) -> None:
        for order in self._exchange.open_orders(self._account):
            if wire.selects(params, self._exchange.instruments[order.symbol]):
                self._exchange.cancel(order.order_id, reason)
        for record in self.conditionals.records:
            if wire.selects(params, record.contract):
                self.conditionals.withdraw(record, reason)

    def _cancel_on_disconnect(self, params: Json) -> Json:
        """Arms, refreshes or disarms the countdown of the sub account, whole seconds (grvt.md §3)."""
        countdown_ms = wire.uint_of(params.get("countdown_time"))
        if countdown_ms > COUNTDOWN_MAX_MS:
            raise GrvtError(6000)
        self._countdown += 1
        if countdown_ms > COUNTDOWN_OFF_MS:
            self._clock.call_later(countdown_ms // 1000, partial(self._count_down, self._countdown))
        return {"result": {"ack": True}}

    def _count_down(self, armed_as: int) -> None:
        if armed_as == self._countdown:
            self._exchange.advance(self._clock.now())
            self._cancel_open("CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED", {})

    # -- asking -------------------------------------------------------------------------------------------------------

    def _order(self, params: Json) -> Json:
        order_id = wire.uint_of(params.get("order_id"), bits=128)
        client_id = wire.uint_of(params.get("client_order_id"))
        if not order_id and not client_id:
            raise GrvtError(3021)
        record = self._by_id.get(order_id) if order_id else self._by_client_id.get(str(client_id))
        if record is None:
            raise GrvtError(1004)
        return {"result": record.wire()}

    def _open_orders(self, params: Json) -> Json:
        """What rests or is dormant now; an order still on its way to the engine is not listed (grvt.md §4)."""
        resting = [self._record_of(order) for order in self._exchange.open_orders(self._account)]
        found = (*resting, *self.conditionals.records)
        return {"result": [record.wire() for record in found if wire.selects(params, record.contract)]}

    def _order_history(self, params: Json) -> Json:
        """Orders that ended, newest first by creation."""
        ended = [r for r in self._records if not r.is_active and wire.selects(params, r.contract)]
        return page(ended, params, lambda record: int(wire.nanoseconds(record.created_at)), OrderRecord.wire)

    def _fill_history(self, params: Json) -> Json:
        fills = [fill for contract, fill in self._fills if wire.selects(params, contract)]
        return page(fills, params, lambda fill: int(fill["event_time"]), dict)

    def _summary(self, _params: Json) -> Json:
        marks = {symbol: self._market.mark(symbol) or book.entry for symbol, book in self._books.items()}
        return {
            "result": summary(
                self._books,
                marks,
                deposit=self._deposit,
                positions=self.positions({}),
                sub_account_id=self._account,
                now=self._clock.now(),
            )
        }

    # -- what the exchange tells ----------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case OrderEvent(order=order) if order.account == self._account:
                self._update(order)
            case FillEvent(order=order) if order.account == self._account:
                self._on_fill(event)
                self._update(order)
            case PositionEvent(account=account, symbol=symbol) if account == self._account:
                self._publish("v1.position", symbol, self._position(symbol))
            case TradeEvent(symbol=symbol):
                self.conditionals.check(symbol)
            case BookEvent(symbol=symbol):
                self.conditionals.book_changed(symbol)
            case _:
                pass

    def _update(self, order: SimOrder) -> None:
        record = self._record_of(order)
        is_immediate = order.tif == "IOC"
        if is_immediate and order.status == "OPEN" and not order.filled:
            return  # An order that never rests is not told of before its first fill.
        reason = _REASONS.get((order.status, order.reason), order.reason)
        if reason == "IOC_CANCEL" and record.price is None:
            reason = "MARKET_CANCEL"
        status, reason = orders.outcome(order.status, reason, was_open=record.status == "OPEN")
        average = order.average_price or ZERO
        record.become(status, reason, leaves=order.leaves, traded=order.filled, average=_nine(average), time=order.updated_at)
        self._show(record)

    def _record_of(self, order: SimOrder) -> OrderRecord:
        """The record of an order; one placed by another hand gets a record without signature."""
        record = order.tag.get("grvt")
        if not isinstance(record, OrderRecord):
            record = orders.foreign(order, self._exchange.instruments[order.symbol], sub_account_id=self._account)
            order.tag["grvt"] = record
            self._records.append(record)
            self._by_client_id[record.client_order_id] = record
        if record.exchange_id is None:
            record.exchange_id = order.order_id
            if record.order_id == orders.NO_ID:
                self._name(record, order.order_id)
        return record

    def _name(self, record: OrderRecord, counter: int) -> None:
        record.order_id = wire.order_id_text(record.contract, str(record.body["signature"]["s"]), counter)
        self._by_id[int(record.order_id, 16)] = record

    def _on_fill(self, event: FillEvent) -> None:
        fill, record = event.fill, self._record_of(event.order)
        book = self._books.setdefault(fill.symbol, PositionBook())
        profit = book.apply(fill.side, fill.quantity, fill.price, fill.fee)
        mark = wire.number(self._market.mark(fill.symbol) or fill.price)
        body = {
            "event_time": wire.nanoseconds(fill.time),
            "sub_account_id": self._account,
            "instrument": fill.symbol,
            "is_buyer": fill.side is Side.BUY,
            "is_taker": not fill.is_maker,
            "size": wire.number(fill.quantity),
            "price": wire.number(fill.price),
            "mark_price": mark,
            "index_price": mark,
            "interest_rate": "0.0",
            "forward_price": "0.0",
            "realized_pnl": fee_text(profit),
            "fee": fee_text(fill.fee),
            "fee_rate": fee_rate_text(fill.fee, fill.price * fill.quantity),
            "trade_id": f"{fill.trade_id}-1",
            "order_id": record.order_id,
            "venue": "ORDERBOOK",
            "is_liquidation": False,
            "client_order_id": record.client_order_id,
            "signer": record.body["signature"]["signer"],
            "broker": "UNSPECIFIED",
            "is_rpi": False,
            "builder": "0x00",
            "builder_fee_rate": "0.0",
            "builder_fee": "0",
            "fee_currency": fill.fee_currency,
        }
        self._fills.append((record.contract, body))
        self._publish("v1.fill", fill.symbol, body)

    def _position(self, symbol: str) -> Json:
        book = self._books.setdefault(symbol, PositionBook())
        mark = self._market.mark(symbol) or book.entry
        contract = self._exchange.instruments[symbol]
        return book.wire(contract, mark, sub_account_id=self._account, now=self._clock.now())

    def _show(self, record: OrderRecord) -> None:
        self._publish("v1.state", record.contract.symbol, record.order_state())
        self._publish("v1.order", record.contract.symbol, record.wire())

    def _show_cancel(self, client_id: str, status: str) -> None:
        feed = {
            "sub_account_id": self._account,
            "client_order_id": client_id,
            "order_id": "0",
            "reason": "CLIENT_CANCEL",
            "update_time": wire.nanoseconds(self._clock.now()),
            "cancel_status": status,
        }
        self._publish("v1.cancel", "", feed)


def _unstated(order: Json) -> Json:
    """An order of a bulk reply: its state says nothing (grvt.md §3)."""
    state = {"status": "UNSPECIFIED", "reject_reason": "UNSPECIFIED", "update_time": "0"}
    return {**order, "state": {**state, "book_size": None, "traded_size": None, "avg_fill_price": None}}


def _nine(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.000000001"))
