"""GRVT's two lanes: orders and cancels on one connection, reads on another (core.ports.TradeLane, QueryLane).

A lost answer is neither success nor failure here, an acknowledgement of a cancel is not a cancel, and an empty list counts only inside a
well-formed answer (grvt.md §0, §8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from adapters.grvt import codes, parse, requests
from adapters.grvt.caller import Answered, Caller, Denied, Lost, Reply, rate_limited
from adapters.grvt.clock import VenueClock
from adapters.grvt.parse import Account
from adapters.grvt.requests import Call
from adapters.grvt.signer import NotSignable, OrderSigner
from adapters.grvt.values import VENUE, WireRefused
from adapters.transport.rest import NotSent
from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAcknowledged,
    CancelAll,
    CancelFailed,
    CancelOrder,
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
    PlaceOco,
    PlaceOrder,
    QueryFailed,
    QueryOrder,
    RenewDeadMan,
    SubmitNotSent,
    SubmitUnknown,
)
from core.ports import Capabilities
from core.types import ClientOrderId, Source

LIFETIME_DEFAULT_S = 60.0
LIFETIME_MAX_S = 30 * 86_400.0 - 60
"""The venue's limit is 30 days (EXCEED_MAX_SIGNATURE_EXPIRATION, grvt.md §4)."""
PAGES_MAX = 40

CAPABILITIES = Capabilities(
    native_oco=True,
    attached_tpsl=True,
    sibling_cancel_proven=False,
    dead_man_switch=True,
    cancel_by_client_id=True,
    query_by_client_id=True,
    amend=False,
    cancel_ttl_ms=requests.CANCEL_TTL_MS_MAX,
    submit_bound_s=LIFETIME_DEFAULT_S + 5.0,
)
"""``submit_bound_s``: the signature of an order of default lifetime ends after 60 s (error 2001); an order of longer lifetime is bounded by
its own lifetime instead. ``native_oco``: through bulk_orders, documented and never exercised live (grvt.md §4)."""


class GrvtTradeLane:
    """One thread. Every method answers with messages and raises nothing for what network or venue do."""

    capabilities = CAPABILITIES

    def __init__(self, caller: Caller, clock: VenueClock, signer: OrderSigner, instrument: Instrument, account: Account) -> None:
        self._caller = caller
        self._clock = clock
        self._signer = signer
        self._instrument = instrument
        self._account = account

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        """An order that cannot be signed exactly is answered as rejected for good: nothing was sent and repeating cannot help."""
        return self._submit((order,), lambda *signed: requests.create_order(order, *signed), _only_created)

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        """One bulk request for both, which the venue then links."""
        orders = (pair.stop, pair.take_profit)
        return self._submit(orders, lambda *signed: requests.bulk_orders(orders, *signed), parse.created_in_bulk)

    def _submit(
        self,
        orders: tuple[PlaceOrder, ...],
        make: Callable[[Instrument, str, OrderSigner, int], Call],
        read: Callable[[bytes, Account, float], tuple[parse.Created, ...]],
    ) -> tuple[Message, ...]:
        """One request, an outcome for each of its orders."""
        lifetime_s = min(orders[0].lifetime_s or LIFETIME_DEFAULT_S, LIFETIME_MAX_S)
        expiration_ns = (self._clock.now_ms() + int(lifetime_s * 1000)) * 1_000_000
        try:
            call = make(self._instrument, self._account.sub_account_id, self._signer, expiration_ns)
        except NotSignable as error:
            return tuple(self._rejected(order, f"not sent: {error}", "unsignable", permanent=True) for order in orders)
        reply = self._caller.post(call)
        outcomes: tuple[Message, ...]
        match reply:
            case Answered(body):
                return self._created(orders, body, read)
            case Denied(code, reason):
                is_permanent = codes.is_permanent(code)
                outcomes = tuple(self._rejected(order, reason, str(code), permanent=is_permanent) for order in orders)
            case NotSent(reason):
                outcomes = tuple(self._not_sent(order, reason) for order in orders)
            case Lost(reason):
                outcomes = tuple(self._unknown(order, reason) for order in orders)
        return (*outcomes, *rate_limited(reply, self._caller.now()))

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        """Always armed (5 s unless the command says less), so that an acknowledged cancel also ends a create still on its way.

        Where the venue refuses the time-to-live itself, a plain cancel is sent, but reported as refused: it bounds nothing.
        """
        sub_account_id, client_order_id = self._account.sub_account_id, command.client_order_id
        ttl_ms = requests.CANCEL_TTL_MS_MAX if command.ttl_ms is None else command.ttl_ms
        reply = self._caller.post(requests.cancel_order(sub_account_id, client_order_id, ttl_ms))
        if isinstance(reply, Denied) and reply.code in (codes.TTL_DISABLED, codes.TTL_TOO_LONG):
            plain = self._caller.post(requests.cancel_order(sub_account_id, client_order_id, None))
            limited = rate_limited(plain, self._caller.now())
            return (self._cancel_failed(command, Denied(reply.code, f"sent without ttl: {reply.reason}", None)), *limited)
        now = self._caller.now()
        if _is_acknowledged(reply):
            return (CancelAcknowledged(venue=VENUE, client_order_id=client_order_id, at=now),)
        return (self._cancel_failed(command, reply), *rate_limited(reply, now))

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        reply = self._caller.post(requests.cancel_all(self._account.sub_account_id, self._instrument))
        return _acknowledged_or_failed(reply, "CancelAll", self._caller.now())

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        reply = self._caller.post(requests.cancel_on_disconnect(self._account.sub_account_id, command.countdown_s))
        return _acknowledged_or_failed(reply, "RenewDeadMan", self._caller.now())

    def close(self) -> None:
        self._caller.close()

    def _created(
        self,
        orders: tuple[PlaceOrder, ...],
        body: bytes,
        read: Callable[[bytes, Account, float], tuple[parse.Created, ...]],
    ) -> tuple[Message, ...]:
        now = self._caller.now()
        try:
            found = {each.client_order_id: each for each in read(body, self._account, now)}
        except WireRefused as error:
            return tuple(self._unknown(order, f"answer refused: {error}") for order in orders)
        out: list[Message] = []
        for order in orders:
            created = found.get(order.client_order_id)
            if created is None:
                out.append(self._unknown(order, f"the answer is about client order id {', '.join(map(str, found)) or 'none'}"))
                continue
            client_id, venue_id = order.client_order_id, created.venue_order_id
            out.append(OrderAccepted(venue=VENUE, client_order_id=client_id, venue_order_id=venue_id, at=now))
            out += [created.report] if created.report is not None else []
        return tuple(out)

    def _not_sent(self, order: PlaceOrder, reason: str) -> SubmitNotSent:
        return SubmitNotSent(venue=VENUE, client_order_id=order.client_order_id, reason=reason, at=self._caller.now())

    def _rejected(self, order: PlaceOrder, reason: str, code: str, *, permanent: bool) -> OrderRejected:
        return OrderRejected(
            venue=VENUE,
            client_order_id=order.client_order_id,
            reason=reason,
            code=code,
            permanent=permanent,
            at=self._caller.now(),
            is_throttled=code == str(codes.RATE_LIMITED),
        )

    def _unknown(self, order: PlaceOrder, reason: str) -> SubmitUnknown:
        return SubmitUnknown(venue=VENUE, client_order_id=order.client_order_id, reason=reason, at=self._caller.now())

    def _cancel_failed(self, command: CancelOrder, reply: Reply) -> CancelFailed:
        kind: Literal["refused", "not_sent", "unknown"] = "unknown"
        match reply:
            case Denied(_, reason):
                kind = "refused"
            case NotSent(reason):
                kind = "not_sent"
            case Lost(reason):
                pass
            case Answered():
                reason = "the answer acknowledges nothing"
        return CancelFailed(venue=VENUE, client_order_id=command.client_order_id, reason=reason, kind=kind, at=self._caller.now())


class GrvtQueryLane:
    """One thread, two hosts: private reads and the public book. A read that fails says nothing about the account."""

    def __init__(
        self, caller: Caller, market_data: Caller, clock: VenueClock, instrument: Instrument, account: Account, deadline_s: float
    ) -> None:
        self._caller = caller
        self._market_data = market_data
        self._clock = clock
        self._instrument = instrument
        self._account = account
        self._deadline_s = deadline_s

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        """Only the venue's own 1004 is "not found"; an order with another client id is no answer."""
        asked_at, client_order_id = self._caller.now(), command.client_order_id
        reply = self._caller.post(requests.order(self._account.sub_account_id, client_order_id))
        now = self._caller.now()
        if isinstance(reply, Denied) and reply.code == codes.NOT_FOUND:
            return (OrderNotFound(venue=VENUE, client_order_id=client_order_id, asked_at=asked_at, received_at=now),)
        if not isinstance(reply, Answered):
            return _failed("QueryOrder", reply, now, client_order_id)
        try:
            report = parse.order_answer(reply.body, self._account, now)
        except WireRefused as error:
            return _failed("QueryOrder", Lost(f"answer refused: {error}"), now, client_order_id)
        if report.client_order_id != client_order_id:
            return _failed("QueryOrder", Lost("the answer is about another order"), now, client_order_id)
        return (report,)

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        asked_at = self._caller.now()
        reply = self._caller.post(requests.open_orders(self._account.sub_account_id, self._instrument))
        now = self._caller.now()
        if not isinstance(reply, Answered):
            return _failed("FetchOpenOrders", reply, now)
        try:
            orders = parse.open_orders(reply.body, self._account, now)
        except WireRefused as error:
            return _failed("FetchOpenOrders", Lost(f"answer refused: {error}"), now)
        return (OpenOrdersFetched(venue=VENUE, symbol=command.symbol, orders=orders, asked_at=asked_at, received_at=now),)

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        """All pages or nothing: a half-read history would look like a complete one."""
        asked_at = self._caller.now()
        since_ms = max(self._clock.now_ms() - int(command.lookback_s * 1000), 0)
        found = self._all_fills(since_ms, asked_at)
        now = self._caller.now()
        if not isinstance(found, list):
            return _failed("FetchFills", found, now)
        fills = tuple(sorted(found, key=lambda fill: (fill.venue_time_ms, fill.trade_id)))
        return (
            FillsFetched(
                venue=VENUE,
                symbol=command.symbol,
                fills=fills,
                lookback_s=command.lookback_s,
                asked_at=asked_at,
                received_at=now,
                source=Source.REST,
            ),
        )

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        reply = self._caller.post(requests.positions(self._account.sub_account_id, self._instrument))
        now = self._caller.now()
        if not isinstance(reply, Answered):
            return _failed("FetchPosition", reply, now)
        try:
            return (parse.position_answer(reply.body, self._account, now),)
        except WireRefused as error:
            return _failed("FetchPosition", Lost(f"answer refused: {error}"), now)

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        reply = self._market_data.post(requests.book(symbol))
        if not isinstance(reply, Answered):
            return None
        try:
            return parse.book_answer(reply.body, symbol, self._caller.now())
        except WireRefused:
            return None

    def close(self) -> None:
        self._caller.close()
        self._market_data.close()

    def _all_fills(self, since_ms: int, asked_at: float) -> list[FillReported] | Reply:
        fills: list[FillReported] = []
        cursor, seen = "", {""}
        for _ in range(PAGES_MAX):
            left = self._deadline_s - (self._caller.now() - asked_at)
            if left <= 0:
                return Lost(f"no end of pages within {self._deadline_s} s")
            call = requests.fill_history(self._account.sub_account_id, self._instrument, since_ms, cursor)
            reply = self._caller.post(call, left)
            if not isinstance(reply, Answered):
                return reply
            try:
                page, cursor = parse.fill_page(reply.body, self._account, self._caller.now())
            except WireRefused as error:
                return Lost(f"answer refused: {error}")
            fills += page
            if not cursor:
                return fills
            if cursor in seen:
                return Lost("the cursor of the fill history turns in a circle")
            seen.add(cursor)
        return Lost(f"more than {PAGES_MAX} pages of fills")


def _only_created(body: bytes, account: Account, now: float) -> tuple[parse.Created, ...]:
    return (parse.created(body, account, now),)


def _is_acknowledged(reply: Reply) -> bool:
    try:
        return isinstance(reply, Answered) and parse.is_acknowledged(reply.body)
    except WireRefused:
        return False


def _acknowledged_or_failed(reply: Reply, query: str, now: float) -> tuple[Message, ...]:
    return () if _is_acknowledged(reply) else _failed(query, reply, now)


def _failed(query: str, reply: Reply, now: float, client_order_id: ClientOrderId | None = None) -> tuple[Message, ...]:
    match reply:
        case Answered():
            reason = "the answer acknowledges nothing"
        case Denied(_, text) | Lost(text) | NotSent(text):
            reason = text
    failed = QueryFailed(venue=VENUE, query=query, reason=reason, at=now, client_order_id=client_order_id)
    return (failed, *rate_limited(reply, now))
