"""What each ApeX endpoint answers: books, orders, histories, account (apex.md §1.3, §4).

Must never check a key or lose a request: ``apex.py`` has done both before a handler is called.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from core.types import ZERO, Fees, Side
from simulator.apex_account import ApexAccount, ApexFill
from simulator.apex_auth import Form, Refusal
from simulator.apex_contracts import INITIAL_MARGIN, market_name, symbols_data
from simulator.apex_desk import BOOK_DEPTH, ApexDesk, ApexTimes
from simulator.apex_feeds import PublicFeeds
from simulator.apex_market import INTERVALS, TAPE_LENGTH, MarketView, kline_row
from simulator.apex_orders import ApexOrder, Leg, check_order, parse_order
from simulator.apex_wire import Json, fill_row, fine, millis, number, order_row, position_row
from simulator.apex_zk import SignedOrder, ZkVerifier
from simulator.clock import Clock
from simulator.exchange import Exchange
from simulator.net import HttpReply

PAGE_MAX = 100
KLINES_MAX = 200
NOT_JSON = b"error: order already closed"
_STATES = {
    "ACTIVE": ("PENDING", "OPEN"),
    "CONDITION": ("UNTRIGGERED",),
    "HISTORY": ("FILLED", "CANCELED", "EXPIRED"),
}


class ApexLimits(NamedTuple):
    """What the venue allows and how fast it is; times in seconds, collateral in quote (apex.md §4)."""

    address_per_minute: float = 600
    posts_per_minute: float = 300
    gets_per_minute: float = 600
    open_orders: int = 200
    window_s: float = 60.0
    collateral: Decimal = Decimal(100_000)
    conflate_s: float = 0.1
    times: ApexTimes = ApexTimes()


class Owner(NamedTuple):
    """The account as the venue knows it."""

    account_id: str
    l2_key: str
    fees: Fees


Handler = Callable[[Form], object]
"""Query or form fields to an HttpReply, or to the ``data`` of a success; raises Refusal."""


class ApexRoutes:
    """The handlers of all endpoints, for one account."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        market: MarketView,
        account: ApexAccount,
        desk: ApexDesk,
        feeds: PublicFeeds,
        owner: Owner,
        limits: ApexLimits,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._market = market
        self._account = account
        self._desk = desk
        self._feeds = feeds
        self._owner = owner
        self._limits = limits
        self._zk = ZkVerifier(owner.account_id, owner.l2_key, owner.fees)

    def public_routes(self) -> dict[tuple[str, str], Handler]:
        """By method and path."""
        return {
            ("GET", "/api/v3/time"): lambda query: self._time(),
            ("GET", "/api/v1/time"): lambda query: self._time(),
            ("GET", "/api/v3/symbols"): lambda query: symbols_data(self._market.instruments, self._desk.switches.disabled),
            ("GET", "/api/v3/depth"): self._depth,
            ("GET", "/api/v3/ticker"): self._ticker,
            ("GET", "/api/v3/trades"): lambda query: self._market.tape(
                self._market_symbol(query), _limit(query, TAPE_LENGTH, TAPE_LENGTH)
            ),
            ("GET", "/api/v3/klines"): self._klines,
        }

    def private_routes(self) -> dict[tuple[str, str], Handler]:
        """By method and path; all of them want an API key."""
        return {
            ("GET", "/api/v3/account"): lambda query: self._account_data(),
            ("GET", "/api/v3/account-balance"): lambda query: self._balance(),
            ("GET", "/api/v3/open-orders"): self._open_orders,
            ("GET", "/api/v3/order"): lambda query: self._row(self._order(query)),
            ("GET", "/api/v3/order-by-client-order-id"): lambda query: self._row(self._order_by_client_id(query)),
            ("GET", "/api/v3/history-orders"): self._history,
            ("GET", "/api/v3/fills"): lambda query: self._fill_page(self._account.fills, query),
            ("GET", "/api/v3/order-fills"): self._order_fills,
            ("GET", "/api/v3/get-worst-price"): self._worst_price,
            ("POST", "/api/v3/order"): self._place,
            ("POST", "/api/v3/delete-order"): lambda form: self._cancel(self._order(form), form),
            ("POST", "/api/v3/delete-client-order-id"): lambda form: self._cancel(self._order_by_client_id(form), form),
            ("POST", "/api/v3/delete-open-orders"): self._cancel_all,
        }

    # -- market data ---------------------------------------------------------------------------------------------------

    def _time(self) -> object:
        return {"time": millis(self._clock.now())}

    def _market_symbol(self, query: Form) -> str:
        name = query.get("symbol", "")
        if name not in self._market.symbols:
            raise Refusal(3, f"invalid symbol: {name}")
        return self._market.symbols[name]

    def _depth(self, query: Form) -> object:
        symbol = self._market_symbol(query)
        return self._market.depth_data(symbol, _limit(query, 100, 100), self._feeds.update_id(symbol))

    def _ticker(self, query: Form) -> object:
        """A list of one; of none without a symbol (apex.md §1.3)."""
        if "symbol" not in query:
            return []
        symbol = self._market_symbol(query)
        name = market_name(self._market.instruments[symbol])
        return [{**self._market.ticker(symbol, self._clock.now()), "symbol": name}]

    def _klines(self, query: Form) -> object:
        """``start`` and ``end`` in seconds."""
        symbol, interval = self._market_symbol(query), query.get("interval", "1")
        if interval not in INTERVALS:
            raise Refusal(3, f"invalid interval: {interval}")
        start, end = _integer(query, "start", 0), _integer(query, "end", 2**40)
        name = market_name(self._market.instruments[symbol])
        rows = [row for row in self._market.candles(symbol, INTERVALS[interval]) if start <= row.start <= end]
        return {name: [kline_row(row, interval, name) for row in rows[-_limit(query, KLINES_MAX, KLINES_MAX) :]]}

    # -- orders --------------------------------------------------------------------------------------------------------

    def _place(self, form: Form) -> object:
        """The order as it was accepted: PENDING or UNTRIGGERED, whatever happens to it in the same instant. Prices are told with the
        digits of the tick, however they were sent."""
        order = parse_order(form, self._market.instruments, self._desk.next_order_id(), self._clock.now())
        self._check(order)
        tick = self._market.instruments[order.symbol].tick_size
        order.price = order.price.quantize(tick)
        if order.trigger_price is not None:
            order.trigger_price = order.trigger_price.quantize(tick)
        if order.type == "MARKET":
            self._desk.reprice_market(order)
        row = self._row(order)
        self._desk.submit(order)
        return row

    def _check(self, order: ApexOrder) -> None:
        check_order(order, self._market.instruments[order.symbol], self._owner.fees.taker, self._clock.now())
        client_ids = [order.client_id, *(leg.client_id for leg in order.legs)]
        if len(set(client_ids)) < len(client_ids) or any(map(self._desk.is_known_client_id, client_ids)):
            raise Refusal(3, "Client order id is used by another order", "ORDER_CLIENT_ORDER_DATA_CONFLICT")
        parts: list[ApexOrder | Leg] = [order, *order.legs]
        if not all(self._is_signed(order, part) for part in parts):
            raise Refusal(3, "Invalid L2 signature", "INVALID_L2_SIGNATURE")
        if order.symbol in self._desk.switches.disabled:
            raise Refusal(3, "Trading of this symbol is disabled", "ORDER_SYMBOL_DISABLE_TRADE")
        if len(self._desk.live()) >= self._limits.open_orders:
            raise Refusal(3, "Too many open orders", "ORDER_OPEN_ORDER_COUNT_LIMIT_EXCEED")
        self._check_position(order)

    def _check_position(self, order: ApexOrder) -> None:
        """A conditional order is asked for its position only when its price is reached."""
        is_reducing = order.reduce_only or order.is_position_tpsl
        if self._desk.switches.is_margin_short and not is_reducing:
            key = "ORDER_THERE_IS_NOT_ENOUGH_MARGIN_TO_OPEN_POSITION"
            raise Refusal(3, "There is not enough margin to open position", key)
        if order.is_conditional or not is_reducing or self._desk.switches.ignores_reduce_only:
            return
        if self._exchange.position(self._owner.account_id, order.symbol) * order.side.sign >= 0:
            key = "ORDER_IS_REDUCE_ONLY_CANNOT_OPEN_POSITION"
            raise Refusal(3, "Reduce-only order cannot open a position", key)

    def _is_signed(self, order: ApexOrder, part: ApexOrder | Leg) -> bool:
        pair = int(self._market.instruments[order.symbol].contract_id)
        signed = SignedOrder(part.client_id, pair, part.size, part.price, part.side is Side.BUY)
        return self._zk.is_genuine(signed, part.signature)

    def _order(self, form: Form) -> ApexOrder:
        text = _id_of(form)
        order = self._desk.orders.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else None
        if order is None:
            raise Refusal(3, "Order not found", "ORDER_NOT_FOUND")
        return order

    def _order_by_client_id(self, form: Form) -> ApexOrder:
        """The leg of an entry that has not filled is no order yet."""
        text = _id_of(form)
        order = self._desk.by_client_id(text)
        if order is None or order.client_id != text:
            raise Refusal(3, "Order not found", "ORDER_NOT_FOUND")
        return order

    def _cancel(self, order: ApexOrder, form: Form) -> object:
        """The id that was sent: an acknowledgement, nothing more (apex.md §1.3)."""
        if order.status == "FILLED" and self._desk.switches.is_cancel_of_filled_garbled:
            return HttpReply(200, NOT_JSON, (("content-type", "text/plain"),))
        self._desk.request_cancel(order)
        return _id_of(form)

    def _cancel_all(self, form: Form) -> object:
        symbols = [symbol for symbol in form.get("symbol", "").split(",") if symbol]
        for symbol in symbols:
            self._trading_symbol(symbol)
        for order in self._desk.live():
            if order.status != "PENDING" and (not symbols or order.symbol in symbols):
                self._desk.request_cancel(order)
        return {}

    def _open_orders(self, query: Form) -> object:
        """A bare list; position TP/SL only where it is asked for (apex.md §0.6)."""
        with_position_orders = query.get("showPositionOrders", "").lower() == "true"
        return [self._row(order) for order in self._desk.live() if with_position_orders or not order.is_position_tpsl]

    def _trading_symbol(self, symbol: str) -> str:
        if symbol not in self._market.instruments:
            raise Refusal(3, f"invalid symbol: {symbol}")
        return symbol

    def _row(self, order: ApexOrder) -> Json:
        return order_row(order, self._owner.account_id)

    # -- histories and account -----------------------------------------------------------------------------------------

    def _history(self, query: Form) -> object:
        """Newest first; ``orderType`` ACTIVE, CONDITION or HISTORY, all of them without it."""
        states = _STATES.get(query.get("orderType", ""))
        rows = [
            order
            for order in reversed(self._desk.orders.values())
            if (states is None or order.status in states)
            and query.get("status", order.status) == order.status
            and query.get("type", order.type) == order.type
            and _fits(query, order.symbol, order.side, order.created_at)
        ]
        rows.sort(key=lambda order: (order.created_at, order.order_id), reverse=True)
        return _page([self._row(order) for order in rows], query)

    def _order_fills(self, query: Form) -> object:
        wanted = query.get("orderId", "")
        return self._fill_page([fill for fill in self._account.fills if str(fill.order.order_id) == wanted], query)

    def _fill_page(self, fills: list[ApexFill], query: Form) -> object:
        """Newest first, under the key ``orders`` like the orders themselves (apex.md §1.3)."""
        rows = [fill for fill in reversed(fills) if _fits(query, fill.fill.symbol, fill.order.side, fill.fill.time)]
        return _page([fill_row(fill, self._owner.account_id) for fill in rows], query)

    def _worst_price(self, query: Form) -> object:
        symbol = self._trading_symbol(query.get("symbol", ""))
        if query.get("side") not in ("BUY", "SELL"):
            raise Refusal(3, "invalid side")
        bids, asks = self._exchange.book(symbol, BOOK_DEPTH)
        levels, left, worst = asks if query["side"] == "BUY" else bids, _decimal(query, "size"), ZERO
        for price, quantity in levels:
            worst, left = price, left - quantity
            if left <= 0:
                break
        bid, ask = self._market.top(symbol)
        return {"worstPrice": number(worst), "bidOnePrice": number(bid or ZERO), "askOnePrice": number(ask or ZERO)}

    def _account_data(self) -> object:
        owner, created = self._owner, millis(self._clock.now() - 90 * 86_400)
        spot: Json = {"createdAt": created, "updatedAt": created, "zkAccountId": owner.account_id, "status": "NORMAL"}
        contract: Json = {
            "createdAt": created,
            "takerFeeRate": f"{owner.fees.taker:.5f}",
            "makerFeeRate": f"{owner.fees.maker:.5f}",
            "minInitialMarginRate": "0",
            "status": "NORMAL",
            "unrealizePnlPriceType": "INDEX_PRICE",
            "token": "USDT",
        }
        pending = {f"pending{name}Amount": "0.000000" for name in ("Deposit", "Withdraw", "TransferOut", "TransferIn")}
        wallet = {"userId": "121372485302", "accountId": owner.account_id, "balance": fine(self._equity()), "asset": "USDT"}
        return {
            "ethereumAddress": "0xc4c5036b68a",
            "l2Key": owner.l2_key,
            "id": owner.account_id,
            "version": "123",
            "spotAccount": spot,
            "spotWallets": [],
            "experienceMoney": [],
            "contractAccount": contract,
            "contractWallets": [{**wallet, **pending}],
            "positions": [position_row(row) for row in self._account.rows.values()],
            "isNewUser": False,
        }

    def _equity(self) -> Decimal:
        return self._account.equity(self._market.marks())

    def _balance(self) -> object:
        marks, now = self._market.marks(), millis(self._clock.now())
        worth = sum((row.size * marks.get(row.symbol, row.entry_price) for row in self._account.rows.values()), ZERO)
        equity, margin = self._equity(), worth * INITIAL_MARGIN
        available = ZERO if self._desk.switches.is_margin_short else equity - margin
        return {
            "totalEquityValue": fine(equity),
            "availableBalance": fine(available),
            "initialMargin": fine(margin),
            "maintenanceMargin": fine(margin / 10),
            "symbolToOraclePrice": {symbol: {"oraclePrice": number(mark), "createdTime": now} for symbol, mark in marks.items()},
        }


def _id_of(form: Form) -> str:
    """Every cancel and query wants ``id``, by whatever kind of id (apex.md §0.4)."""
    if not form.get("id"):
        raise Refusal(20016, "request para error")
    return form["id"]


def _fits(query: Form, symbol: str, side: Side, time: float) -> bool:
    since, before = _integer(query, "beginTimeInclusive", 0), _integer(query, "endTimeExclusive", 2**53)
    is_wanted = query.get("symbol", symbol) == symbol and query.get("side", side.value) == side.value
    return is_wanted and since <= millis(time) < before


def _page(rows: list[Json], query: Form) -> Json:
    limit, page = _limit(query, PAGE_MAX, PAGE_MAX), _integer(query, "page", 0)
    return {"orders": rows[page * limit : (page + 1) * limit], "totalSize": len(rows)}


def _limit(query: Form, default: int, most: int) -> int:
    limit = _integer(query, "limit", default)
    if not 0 < limit <= most:
        raise Refusal(3, "invalid get page size")
    return limit


def _integer(query: Form, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal(400, f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _decimal(query: Form, name: str) -> Decimal:
    text = query.get(name, "")
    if not text.replace(".", "", 1).isdigit() or not text.isascii():
        raise Refusal(400, f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return Decimal(text)
