"""Backpack's trade and query lanes: commands in, messages out (backpack.md §4, §5).

No exception leaves a lane for anything a network or the venue can do. A lane never repeats an order and never invents a fill: fills come
from the stream or from the fill history.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import msgspec

from adapters.backpack import parse, requests
from adapters.backpack.api import Api, ReadFailed, unknown_reason
from adapters.backpack.errors import EXPIRED_WINDOW, judge_refusal
from adapters.backpack.outcomes import cancel_messages, is_about, query_failed, submit_messages
from adapters.backpack.values import VENUE, scrub
from adapters.transport.rest import NotSent, Ok, Refused, Unknown
from core.messages import (
    BookUpdated,
    CancelAll,
    CancelOrder,
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
    QueryOrder,
    RenewDeadMan,
)
from core.ports import Capabilities
from core.types import ZERO, ClientOrderId, Source

CAPABILITIES = Capabilities(
    native_oco=False,
    attached_tpsl=True,
    sibling_cancel_proven=False,
    dead_man_switch=False,
    cancel_by_client_id=True,
    query_by_client_id=False,
    amend=False,
    cancel_ttl_ms=0,
    submit_bound_s=requests.ORDER_WINDOW_MS / 1_000 + 1.0,
)
"""``submit_bound_s``: the order window, and one second for clock error and the venue's own queue."""

CLOCK_DEADLINE_S = 1.0
UNKNOWN_LOOKBACK_MS = 24 * 3_600_000
"""Fill scan for an order that another process sent: its submit time is not known here, and a missed fill would be hedged twice."""
SUBMIT_MARGIN_MS = 10_000
_SUBMITS_KEPT = 1_000
"""An hour of hedges; an order that is asked about later is looked for over a day."""


class SubmitTimes:
    """Venue-clock times of this process's submits by client id: the trade lane writes, the query lane reads, in threads of their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: OrderedDict[ClientOrderId, int] = OrderedDict()

    def note(self, client_order_id: ClientOrderId, at_ms: int) -> None:
        with self._lock:
            self._times[client_order_id] = at_ms
            while len(self._times) > _SUBMITS_KEPT:
                self._times.popitem(last=False)

    def scan_from_ms(self, client_order_id: ClientOrderId, now_ms: int) -> int:
        """Where a scan for this order's fills must begin."""
        with self._lock:
            at_ms = self._times.get(client_order_id)
        return now_ms - UNKNOWN_LOOKBACK_MS if at_ms is None else at_ms - SUBMIT_MARGIN_MS


class BackpackTradeLane:
    """Implements ``core.ports.TradeLane``."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, submits: SubmitTimes) -> None:
        self._api = api
        self._submits = submits

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        return self._place(order, self._api.deadline())

    def _place(self, order: PlaceOrder, until: float) -> tuple[Message, ...]:
        call = requests.place_order(order)
        self._submits.note(order.client_order_id, self._api.clock.now_ms())
        outcome = self._api.send(call, until)
        messages = submit_messages(order, outcome, self._api.now())
        if isinstance(messages[0], OrderRejected) and messages[0].code == EXPIRED_WINDOW:
            # Our clock is off and every further order would be refused too: one short request sets it right.
            self._api.clock.measure(self._api.rest, samples=1, deadline_s=CLOCK_DEADLINE_S)
        return messages

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        """Backpack links no orders (docs/venues.md); both have the time of one."""
        until = self._api.deadline()
        return (*self._place(pair.stop, until), *self._place(pair.take_profit, until))

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        call = requests.cancel_order(command.symbol, command.client_order_id, command.venue_order_id)
        return cancel_messages(command, self._api.send(call, self._api.deadline()), self._api.now())

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        match self._api.send(requests.cancel_all(command.symbol), self._api.deadline()):
            case Ok():
                return ()
            case Refused(status=status, body=body, retry_after_s=retry_after_s):
                ruling = judge_refusal(status, body)
                failure = ReadFailed(ruling.reason, ruling.code, status, retry_after_s)
            case NotSent(reason=reason):
                failure = ReadFailed(f"not sent: {scrub(reason)}")
            case Unknown(reason=reason, body=body):
                failure = ReadFailed(unknown_reason(reason, body))
        return query_failed("CancelAll", failure, self._api.now())

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        """Backpack has no dead-man switch (backpack.md §4)."""
        return ()

    def close(self) -> None:
        self._api.close()


class BackpackQueryLane:
    """Implements ``core.ports.QueryLane``."""

    def __init__(self, api: Api, submits: SubmitTimes) -> None:
        self._api = api
        self._submits = submits

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        """One OrderReported for a resting order. Otherwise the FillReported that the history shows for it, then OrderNotFound.

        The history may lag behind the fills (backpack.md §4): OrderNotFound is one look, the tracker decides what it proves. A read
        that fails answers QueryFailed alone.
        """
        asked_at, until = self._api.now(), self._api.deadline()
        call = requests.open_order(command.symbol, command.client_order_id, command.venue_order_id)
        found = self._api.read(call, lambda body: parse.parse_order(body, self._api.now()), until)
        if isinstance(found, OrderReported):
            return self._resting(command, found)
        if not found.is_missing:
            return query_failed("QueryOrder", found, self._api.now(), command.client_order_id)
        fills = self._fills_of(command, until)
        if isinstance(fills, ReadFailed):
            return query_failed("QueryOrder", fills, self._api.now(), command.client_order_id)
        absent = OrderNotFound(
            venue=VENUE, client_order_id=command.client_order_id, asked_at=asked_at, received_at=self._api.now()
        )
        return (*fills, absent)

    def _resting(self, command: QueryOrder, report: OrderReported) -> tuple[Message, ...]:
        if not is_about(report, command):
            failure = ReadFailed("GET /api/v1/order: the reply is about another order")
            return query_failed("QueryOrder", failure, self._api.now(), command.client_order_id)
        return (msgspec.structs.replace(report, client_order_id=command.client_order_id),)

    def _fills_of(self, command: QueryOrder, until: float) -> tuple[FillReported, ...] | ReadFailed:
        """Fills of this order: by its venue id where that is known, else by the client id that the rows carry (there is no filter)."""
        known_id = command.venue_order_id
        since_ms = self._submits.scan_from_ms(command.client_order_id, self._api.clock.now_ms()) if known_id is None else None
        fills = self._api.read_fills(command.symbol, since_ms, until, known_id)
        if isinstance(fills, ReadFailed):
            return fills
        if known_id is not None:
            return tuple(fill for fill in fills if fill.venue_order_id == known_id)
        return tuple(fill for fill in fills if fill.client_order_id == command.client_order_id)

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        asked_at = self._api.now()
        call = requests.open_orders(command.symbol)
        orders = self._api.read(call, lambda body: parse.parse_orders(body, self._api.now()), self._api.deadline())
        if isinstance(orders, ReadFailed):
            return query_failed("FetchOpenOrders", orders, self._api.now())
        answer = OpenOrdersFetched(
            venue=VENUE,
            symbol=command.symbol,
            orders=tuple(order for order in orders if order.symbol == command.symbol),
            asked_at=asked_at,
            received_at=self._api.now(),
        )
        return (answer,)

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        asked_at = self._api.now()
        since_ms = self._api.clock.now_ms() - int(command.lookback_s * 1_000)
        fills = self._api.read_fills(command.symbol, since_ms, self._api.deadline())
        if isinstance(fills, ReadFailed):
            return query_failed("FetchFills", fills, self._api.now())
        answer = FillsFetched(
            venue=VENUE,
            symbol=command.symbol,
            fills=tuple(fill for fill in fills if fill.venue_time_ms >= since_ms),
            lookback_s=command.lookback_s,
            asked_at=asked_at,
            received_at=self._api.now(),
        )
        return (answer,)

    def fetch_position(self, command: FetchPosition) -> tuple[Message, ...]:
        """A symbol that a well-formed answer does not list is flat, and so is a 404 of the venue's own (backpack.md §4)."""
        held = self._api.read(requests.positions(), parse.parse_positions, self._api.deadline())
        if isinstance(held, ReadFailed):
            if not held.is_missing:
                return query_failed("FetchPosition", held, self._api.now())
            held = {}
        return (parse.position_report(command.symbol, held.get(command.symbol, ZERO), Source.REST, self._api.now()),)

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        asked_at = self._api.now()
        call = requests.depth(symbol, limit=parse.BOOK_DEPTH)
        book = self._api.read(
            call, lambda body: parse.book_update(symbol, parse.parse_depth(body), asked_at), self._api.deadline()
        )
        return None if isinstance(book, ReadFailed) else book

    def close(self) -> None:
        self._api.close()
