"""A sans-io matching engine with accounts and a ledger of record: price-time priority, matched at once, time handed in.

Must never read a clock, a socket or randomness. One caller at a time: a listener may call back into the exchange, its events
follow those that are being told.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from decimal import Decimal
from typing import Any

from core.instrument import Instrument
from core.types import ZERO, Fees, Side
from simulator.ledger import (
    HOUSE_ACCOUNTS,
    AccountFill,
    BookEvent,
    Event,
    ExchangeRefused,
    FillEvent,
    OrderEvent,
    PositionEvent,
    SimOrder,
    Status,
    Tif,
    TradeEvent,
    ledger_of,
)
from simulator.order_book import BookSide, Level, OrderBook

__all__ = [
    "HOUSE_ACCOUNTS",
    "AccountFill",
    "BookEvent",
    "Event",
    "Exchange",
    "ExchangeRefused",
    "FillEvent",
    "OrderEvent",
    "PositionEvent",
    "SimOrder",
    "TradeEvent",
]

NO_FEES = Fees(ZERO, ZERO)
LARGEST = Decimal("1e12")


class Exchange:
    """One venue: books, accounts, fees. What it hands out are copies; prices quote per base, quantities base, times epoch seconds."""

    def __init__(
        self, name: str, instruments: Sequence[Instrument], fees: Mapping[str, Fees] | Fees, *, first_order_id: int = 1
    ) -> None:
        """``fees``: one schedule for every account, or one per account (an account not named pays nothing)."""
        self.name = name
        self.instruments: dict[str, Instrument] = {instrument.symbol: instrument for instrument in instruments}
        self.now = 0.0
        self._fees = fees
        self._next_order_id = first_order_id
        self._next_trade_id = 1
        self._books = {symbol: OrderBook(instrument) for symbol, instrument in self.instruments.items()}
        self._orders: dict[int, SimOrder] = {}
        self._open: dict[str, dict[int, SimOrder]] = {}
        self._by_client_id: dict[tuple[str, str], SimOrder] = {}
        self._reducing: dict[tuple[str, str], dict[int, SimOrder]] = {}
        self._positions: dict[tuple[str, str], Decimal] = {}
        self._fills: dict[str, list[AccountFill]] = {}
        self._expiries: list[tuple[float, int]] = []
        self._listeners: list[Callable[[Event], None]] = []
        self._tells_books = False
        self._untold: deque[Event] = deque()
        self._is_telling = False

    def place(
        self,
        account: str,
        symbol: str,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        *,
        tif: Tif = "GTC",
        post_only: bool = False,
        reduce_only: bool = False,
        client_id: str = "",
        expires_at: float | None = None,
        tag: dict[str, Any] | None = None,
    ) -> SimOrder:
        """The order after matching. Raises ExchangeRefused where no order comes to be; a REJECTED one is on the ledger
        (reason POST_ONLY, REDUCE_ONLY, SELF_TRADE or EXPIRED). ``price`` None: a market order, what does not fill expires."""
        book = self._books.get(symbol)
        if book is None:
            raise ExchangeRefused("UNKNOWN_SYMBOL", "symbol")
        tif = "IOC" if price is None else tif
        if post_only and tif == "IOC":
            raise ExchangeRefused("BAD_TIF", "post_only")
        _check_numbers(book, side, quantity, price)
        order = SimOrder(
            order_id=self._next_order_id,
            account=account,
            symbol=symbol,
            side=side,
            price=price,
            quantity=quantity,
            tif=tif,
            post_only=post_only,
            reduce_only=reduce_only,
            client_id=client_id,
            created_at=self.now,
            updated_at=self.now,
            expires_at=expires_at,
            tag={} if tag is None else tag,
        )
        self._next_order_id += 1
        self._enter(order, book)
        self._tell(book)
        return copy(order)

    def cancel(self, order_id: int, reason: str) -> SimOrder | None:
        """The cancelled order; None where it is not open (or not known)."""
        order = self._orders.get(order_id)
        if order is None or order.status != "OPEN":
            return None
        self._withdraw(order, "CANCELLED", reason)
        self._tell(self._books[order.symbol])
        return copy(order)

    def cancel_all(self, account: str, symbol: str | None, reason: str) -> list[SimOrder]:
        """Those cancelled, oldest first; ``symbol`` None: all of them."""
        cancelled = (self.cancel(order.order_id, reason) for order in self.open_orders(account, symbol))
        return [order for order in cancelled if order is not None]

    def advance(self, now: float) -> None:
        """Moves time forward (never back) and ends the orders that expire until then."""
        self.now = max(self.now, now)
        while self._expiries and self._expiries[0][0] <= self.now:
            order = self._orders.get(heapq.heappop(self._expiries)[1])
            if order is not None and order.status == "OPEN":
                self._withdraw(order, "EXPIRED", "EXPIRED")
                self._tell(self._books[order.symbol])

    def order(self, order_id: int) -> SimOrder | None:
        order = self._orders.get(order_id)
        return None if order is None else copy(order)

    def leaves(self, order_id: int) -> Decimal:
        """What may still fill of it; 0 where it is not open. For callers that need no copy of the whole order."""
        order = self._orders.get(order_id)
        return order.leaves if order is not None and order.status == "OPEN" else ZERO

    def by_client_id(self, account: str, client_id: str) -> SimOrder | None:
        """The latest order of that client id."""
        order = self._by_client_id.get((account, client_id))
        return None if order is None else copy(order)

    def open_orders(self, account: str, symbol: str | None = None) -> list[SimOrder]:
        """Oldest first."""
        return [copy(order) for order in self._open.get(account, {}).values() if symbol is None or order.symbol == symbol]

    def book(self, symbol: str, depth: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Bids and asks as (price, total quantity), best first, at most ``depth`` levels each; KeyError for an unknown symbol."""
        book = self._books[symbol]
        return book.bids.top(depth), book.asks.top(depth)

    def best(self, symbol: str, side: Side) -> Decimal | None:
        """The best resting price of that side; None where it is empty."""
        level = self._books[symbol].of(side).best()
        return None if level is None else level.price

    def position(self, account: str, symbol: str) -> Decimal:
        return self._positions.get((account, symbol), ZERO)

    def fills(self, account: str, symbol: str | None = None, since: float = 0.0) -> list[AccountFill]:
        """Oldest first, from ``since`` (inclusive)."""
        fills = self._fills.get(account, [])
        start = bisect_left(fills, since, key=lambda fill: fill.time)
        return [fill for fill in fills[start:] if symbol is None or fill.symbol == symbol]

    def subscribe(self, listener: Callable[[Event], None], *, books: bool = True) -> None:
        """Called synchronously, once the books and accounts are in their new state, in the order things happened; level totals last.

        ``books`` False: it can do without BookEvents, which are made only where somebody wants them."""
        self._listeners.append(listener)
        self._tells_books = self._tells_books or books

    def ledger(self) -> dict[str, Any]:
        """Every order, fill and position of the accounts outside the house, JSON-able (``ledger_of``)."""
        orders = (order for order in self._orders.values() if order.account not in HOUSE_ACCOUNTS)
        fills = sorted((fill for fills in self._fills.values() for fill in fills), key=lambda fill: (fill.trade_id, fill.account))
        return ledger_of(self.name, orders, fills, self._positions)

    # -- one order's way into the book ------------------------------------------------------------------------------------

    def _enter(self, order: SimOrder, book: OrderBook) -> None:
        self._record(order)
        reason = self._rejection(order, book)
        if reason:
            self._end(order, "REJECTED", reason)
            return
        if order.reduce_only:
            order.quantity = min(order.quantity, self._reducible(order))
        self._open.setdefault(order.account, {})[order.order_id] = order
        self._note_order(order)
        self._match(order, book)
        if order.status != "OPEN":
            return
        if order.tif == "IOC" or order.price is None:
            self._end(order, "EXPIRED", "IOC")
            return
        self._rest(order, order.price, book)

    def _record(self, order: SimOrder) -> None:
        self._orders[order.order_id] = order
        if order.client_id:
            self._by_client_id[order.account, order.client_id] = order

    def _rest(self, order: SimOrder, price: Decimal, book: OrderBook) -> None:
        book.of(order.side).add(order, price)
        if order.expires_at is not None:
            heapq.heappush(self._expiries, (order.expires_at, order.order_id))
        if order.reduce_only:
            self._reducing.setdefault((order.account, order.symbol), {})[order.order_id] = order

    def _rejection(self, order: SimOrder, book: OrderBook) -> str:
        if order.expires_at is not None and order.expires_at <= self.now:
            return "EXPIRED"
        if order.reduce_only and self._reducible(order) <= 0:
            return "REDUCE_ONLY"
        opposite = book.against(order.side)
        touch = opposite.best()
        if touch is None or touch.key < _worst_key(order, opposite):
            return ""
        if order.post_only:
            return "POST_ONLY"
        return "SELF_TRADE" if touch.head().account == order.account else ""

    def _reducible(self, order: SimOrder) -> Decimal:
        """How much an order of this side may fill before the position is flat; not above zero where it would add to it."""
        return -self.position(order.account, order.symbol) * order.side.sign

    # -- matching ---------------------------------------------------------------------------------------------------------

    def _match(self, taker: SimOrder, book: OrderBook) -> None:
        opposite = book.against(taker.side)
        worst = _worst_key(taker, opposite)
        while taker.status == "OPEN":
            level = opposite.best()
            if level is None or level.key < worst:
                return
            maker = level.head()
            if maker.account == taker.account:
                self._end(taker, "CANCELLED", "SELF_TRADE")
                return
            self._trade(taker, maker, level, opposite)

    def _trade(self, taker: SimOrder, maker: SimOrder, level: Level, resting: BookSide) -> None:
        quantity = min(taker.leaves, maker.leaves)
        price, trade_id = level.price, self._next_trade_id
        self._next_trade_id += 1
        for order in (maker, taker):
            order.filled += quantity
            order.notional += price * quantity
            order.updated_at = self.now
        resting.reduce(level.key, quantity)
        if maker.filled == maker.quantity:
            maker.status = "FILLED"
            resting.remove(maker, level.key)
            self._forget(maker)
        if taker.filled == taker.quantity:
            taker.status = "FILLED"
            self._forget(taker)
        if self._listeners:
            self._untold.append(TradeEvent(taker.symbol, price, quantity, taker.side, self.now))
        self._settle(maker, trade_id, price, quantity, is_maker=True)
        self._settle(taker, trade_id, price, quantity, is_maker=False)
        if self._reducing:
            self._shrink(maker.account, maker.symbol)
            self._shrink(taker.account, taker.symbol)

    def _settle(self, order: SimOrder, trade_id: int, price: Decimal, quantity: Decimal, *, is_maker: bool) -> None:
        holder = (order.account, order.symbol)
        position = self._positions.get(holder, ZERO) + (quantity if order.side is Side.BUY else -quantity)
        self._positions[holder] = position
        if order.account in HOUSE_ACCOUNTS:
            return
        fees = self._fees if isinstance(self._fees, Fees) else self._fees.get(order.account, NO_FEES)
        fill = AccountFill(
            trade_id=trade_id,
            account=order.account,
            symbol=order.symbol,
            order_id=order.order_id,
            client_id=order.client_id,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=price * quantity * (fees.maker if is_maker else fees.taker),
            fee_currency=self.instruments[order.symbol].quote,
            is_maker=is_maker,
            time=self.now,
        )
        self._fills.setdefault(order.account, []).append(fill)
        if self._listeners:
            self._untold.append(FillEvent(fill, copy(order)))
            self._untold.append(PositionEvent(order.account, order.symbol, position))

    def _shrink(self, account: str, symbol: str) -> None:
        """Resting reduce-only orders never exceed the position they reduce."""
        for order in tuple(self._reducing.get((account, symbol), {}).values()):
            reducible = self._reducible(order)
            if reducible <= 0:
                self._withdraw(order, "CANCELLED", "REDUCE_ONLY")
            elif order.leaves > reducible and order.price is not None:
                side = self._books[symbol].of(order.side)
                side.reduce(side.key_of(order.price), order.leaves - reducible)
                order.quantity = order.filled + reducible
                order.updated_at = self.now
                self._note_order(order)

    # -- ends -------------------------------------------------------------------------------------------------------------

    def _withdraw(self, order: SimOrder, status: Status, reason: str) -> None:
        """Ends a resting order."""
        if order.price is not None:
            side = self._books[order.symbol].of(order.side)
            side.remove(order, side.key_of(order.price))
        self._end(order, status, reason)

    def _end(self, order: SimOrder, status: Status, reason: str) -> None:
        order.status = status
        order.reason = reason
        order.updated_at = self.now
        self._forget(order)
        self._note_order(order)

    def _forget(self, order: SimOrder) -> None:
        """Out of the indexes of open orders; the house's are not kept at all, they would grow for weeks."""
        self._open.get(order.account, {}).pop(order.order_id, None)
        if order.reduce_only:
            self._drop_reducing(order)
        if order.account in HOUSE_ACCOUNTS:
            self._orders.pop(order.order_id, None)

    def _drop_reducing(self, order: SimOrder) -> None:
        holder = (order.account, order.symbol)
        held = self._reducing.get(holder, {})
        held.pop(order.order_id, None)
        if not held:
            self._reducing.pop(holder, None)

    # -- telling ----------------------------------------------------------------------------------------------------------

    def _note_order(self, order: SimOrder) -> None:
        if self._listeners and order.account not in HOUSE_ACCOUNTS:
            self._untold.append(OrderEvent(copy(order)))

    def _tell(self, book: OrderBook) -> None:
        for side in book.sides():
            if self._tells_books:
                for key, price in side.changed.items():
                    self._untold.append(BookEvent(book.instrument.symbol, side.side, price, side.total(key)))
            side.changed.clear()
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._untold:
                event = self._untold.popleft()
                for listener in self._listeners:
                    listener(event)
        finally:
            self._is_telling = False


def _worst_key(order: SimOrder, opposite: BookSide) -> float:
    """The least key of the other side this order still matches."""
    return -float("inf") if order.price is None else opposite.key_of(order.price)


def _check_numbers(book: OrderBook, side: Side, quantity: Decimal, price: Decimal | None) -> None:
    instrument = book.instrument
    if not (quantity.is_finite() and 0 < quantity < LARGEST):
        raise ExchangeRefused("BAD_QUANTITY", "quantity")
    if quantity % instrument.lot_size:
        raise ExchangeRefused("LOT", "quantity")
    if quantity < instrument.min_quantity:
        raise ExchangeRefused("MIN_QUANTITY", "quantity")
    if price is not None:
        if not (price.is_finite() and 0 < price < LARGEST):
            raise ExchangeRefused("BAD_PRICE", "price")
        if price % instrument.tick_size:
            raise ExchangeRefused("TICK", "price")
    if not instrument.min_notional:
        return
    touch = book.against(side).best() if price is None else None
    worth = price if price is not None else touch.price if touch is not None else None
    if worth is not None and quantity * worth < instrument.min_notional:
        raise ExchangeRefused("MIN_NOTIONAL", "quantity")
