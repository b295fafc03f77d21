"""ApeX's trade and query lanes: commands in, messages out (apex.md §1, §4).

No exception leaves a lane for anything a network or the venue can do. A lane never repeats an order and never invents a fill: fills come
from the stream or from the fill history.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from adapters.apex import parse, requests
from adapters.apex.api import Api, ReadFailed, read_failed
from adapters.apex.clock import SUBMIT_BOUND_UNMEASURED_S
from adapters.apex.errors import ACCOUNT_MAY_BE_OLD, CLOCK_REFUSED, Answered, Garbled
from adapters.apex.outcomes import UNSIGNABLE, cancel_messages, is_about, query_failed, rejected, submit_messages
from adapters.apex.values import VENUE
from adapters.apex.zk import NotSignable, ZkSigner
from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelAll,
    CancelOrder,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
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
    SubmitNotSent,
)
from core.ports import Capabilities, VenueRefused
from core.types import ZERO, Side, Source

CAPABILITIES = Capabilities(
    native_oco=False,
    attached_tpsl=True,
    sibling_cancel_proven=False,
    dead_man_switch=False,
    cancel_by_client_id=True,
    query_by_client_id=True,
    amend=False,
    cancel_ttl_ms=0,
    submit_bound_s=SUBMIT_BOUND_UNMEASURED_S,
    burst_s=15.0,
)
"""``submit_bound_s`` before the set-up has measured it; ``burst_s``: the venue counts over a minute (apex.md §4)."""

CLOCK_DEADLINE_S = 1.0
HISTORY_LOOKBACK_MS = 24 * 3_600_000
"""How far back an order that the venue does not show is looked for in the history: a run may ask for an order of an earlier run."""


class ApexTradeLane:
    """Implements ``core.ports.TradeLane``."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, instrument: Instrument, signer: ZkSigner) -> None:
        self._api = api
        self._instrument = instrument
        self._signer = signer

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        """An order that cannot be signed is rejected for good: nothing was sent and repeating cannot help."""
        return self._place(order, self._api.deadline())

    def _place(self, order: PlaceOrder, until: float) -> tuple[Message, ...]:
        account = self._account(until)
        if isinstance(account, ReadFailed):
            reason = f"the account is not known: {account.reason}"
            return (SubmitNotSent(venue=VENUE, client_order_id=order.client_order_id, reason=reason, at=self._api.now()),)
        try:
            call = requests.place_order(order, self._instrument, account, self._signer, self._api.clock.now_ms())
        except (NotSignable, VenueRefused) as error:
            return (rejected(order.client_order_id, f"not sent: {error}", UNSIGNABLE, self._api.now(), permanent=True),)
        reply = self._api.send(call, until)
        messages = submit_messages(order, reply, self._api.now())
        if isinstance(messages[0], OrderRejected):
            self._learn(messages[0].code)
        return messages

    def _learn(self, code: str) -> None:
        """What every further order would be refused for too is set right: our clock by one short request, the account by a read to come."""
        if code == CLOCK_REFUSED:
            self._api.clock.measure(self._api.rest, samples=1, deadline_s=CLOCK_DEADLINE_S)
        if code in ACCOUNT_MAY_BE_OLD:
            self._api.accounts.known = None

    def _account(self, until: float) -> requests.Account | ReadFailed:
        """Known since the set-up, and kept fresh by the query lane; read here only where nobody has, or what was known may be old."""
        known = self._api.accounts.known
        if known is not None:
            return known
        state = self._api.read_account(until)
        return state if isinstance(state, ReadFailed) else state.account

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        """ApeX links no orders (docs/venues.md); both have the time of one."""
        until = self._api.deadline()
        return (*self._place(pair.stop, until), *self._place(pair.take_profit, until))

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        """What became of the order is the tracker's question to the query lane, after a refusal of any shape too (apex.md §1.7)."""
        call = requests.cancel_order(command.client_order_id, command.venue_order_id)
        return cancel_messages(command, self._api.send(call, self._api.deadline()), self._api.now())

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        """The answer is ``{}`` or nothing at all (apex.md §1.3)."""
        call = requests.cancel_all(command.symbol)
        match self._api.send(call, self._api.deadline()):
            case Answered() | Garbled(is_empty=True):
                return ()
            case reply:
                return query_failed("CancelAll", read_failed(call.name, reply), self._api.now())

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        """ApeX has no dead-man switch (apex.md §9)."""
        return ()

    def close(self) -> None:
        self._api.close()


class ApexQueryLane:
    """Implements ``core.ports.QueryLane``."""

    def __init__(self, api: Api, instrument: Instrument) -> None:
        self._api = api
        self._instrument = instrument

    def query_order(self, command: QueryOrder) -> tuple[Message, ...]:
        """The order, ended or not. OrderNotFound only where the look-up and the history both have nothing; a failed read proves nothing."""
        asked_at, until = self._api.now(), self._api.deadline()
        call = requests.order(command.client_order_id, command.venue_order_id)
        found: OrderReported | ReadFailed | None
        found = self._api.read(call, lambda data: parse.parse_order(data, self._api.now()), until)
        if isinstance(found, ReadFailed) and found.is_missing:
            found = self._in_history(command, until)
        if found is None:
            absent = OrderNotFound(
                venue=VENUE, client_order_id=command.client_order_id, asked_at=asked_at, received_at=self._api.now()
            )
            return (absent,)
        if isinstance(found, OrderReported) and not is_about(found, command):
            found = ReadFailed(f"{call.name}: the reply is about another order")
        if isinstance(found, ReadFailed):
            return query_failed("QueryOrder", found, self._api.now(), command.client_order_id)
        return (msgspec.structs.replace(found, client_order_id=command.client_order_id),)

    def _in_history(self, command: QueryOrder, until: float) -> OrderReported | ReadFailed | None:
        since_ms = self._api.clock.now_ms() - HISTORY_LOOKBACK_MS
        orders = self._api.read_history(command.symbol, since_ms, until)
        if isinstance(orders, ReadFailed):
            return orders
        for order in orders:
            is_known = command.venue_order_id is not None and order.venue_order_id == command.venue_order_id
            if is_known or order.client_order_id == command.client_order_id:
                return order
        return None

    def fetch_open_orders(self, command: FetchOpenOrders) -> tuple[Message, ...]:
        """Position TP/SL included."""
        asked_at = self._api.now()
        orders = self._api.read(
            requests.open_orders(),
            lambda data: parse.parse_open_orders(data, command.symbol, self._api.now()),
            self._api.deadline(),
        )
        if isinstance(orders, ReadFailed):
            return query_failed("FetchOpenOrders", orders, self._api.now())
        answer = OpenOrdersFetched(
            venue=VENUE, symbol=command.symbol, orders=orders, asked_at=asked_at, received_at=self._api.now()
        )
        return (answer,)

    def fetch_fills(self, command: FetchFills) -> tuple[Message, ...]:
        """Censored fills only: what is merely matched is not shown yet."""
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
        """LONG minus SHORT; a symbol that a well-formed account does not list is flat."""
        state = self._api.read_account(self._api.deadline())
        if isinstance(state, ReadFailed):
            return query_failed("FetchPosition", state, self._api.now())
        quantity = state.positions.get(command.symbol, ZERO)
        return (parse.position_report(command.symbol, quantity, Source.REST, self._api.now()),)

    def fetch_book(self, symbol: str) -> BookUpdated | None:
        asked_at = self._api.now()
        market_symbol = self._instrument.market_symbol
        book = self._api.read(
            requests.depth(market_symbol),
            lambda data: parse.parse_depth(data, symbol, market_symbol, asked_at),
            self._api.deadline(),
        )
        return None if isinstance(book, ReadFailed) else book

    def worst_price(self, side: Side, quantity: Decimal) -> Decimal | None:
        """The price that a market order of this size must allow, by the venue's own reckoning; None when the read failed."""
        call = requests.worst_price(self._instrument.symbol, side, quantity)
        price = self._api.read(call, parse.parse_worst_price, self._api.deadline())
        return None if isinstance(price, ReadFailed) else price

    def close(self) -> None:
        self._api.close()
