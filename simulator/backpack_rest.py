"""What each Backpack endpoint answers: books, orders, histories, account (backpack.md §4, §7).

Must never check a signature or lose a request: ``backpack.py`` has done both before a handler is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from core.types import ZERO, Fees, Side
from simulator.backpack_account import AccountView
from simulator.backpack_auth import Fields, Refusal
from simulator.backpack_market import DEPTH_LIMITS, MarketView
from simulator.backpack_orders import (
    SIDES,
    CancelRequest,
    OrderRequest,
    PriceBand,
    check_order,
    parse_cancel_all,
    parse_order,
    parse_order_id,
)
from simulator.backpack_wire import (
    USER_CANCEL,
    account_row,
    fill_row,
    history_order_row,
    json_reply,
    market_row,
    millis,
    number,
    order_row,
    position_row,
    text_reply,
)
from simulator.clock import Clock
from simulator.exchange import Exchange, ExchangeRefused, SimOrder
from simulator.net import HttpReply

LEVERAGE = 10
HISTORY_LIMIT_MAX = 1000


class BackpackLimits(NamedTuple):
    """What the venue allows and how it behaves; times in seconds, collateral in quote."""

    requests_per_minute: float = 2000
    price_band: PriceBand = PriceBand()
    impact: Decimal = Decimal("0.01")
    collateral: Decimal = Decimal(100_000)
    conflate_s: float = 0.05
    heartbeat_s: float = 1.0


class BackpackSwitches:
    """Behaviour to turn on while running; the defaults are a healthy venue."""

    def __init__(self) -> None:
        self.history_lag_s = 0.25
        """How late a fill or an ended order shows up in the histories."""
        self.cancel_delay_s: float | None = None
        """Set: a cancel answers 202 and happens this much later, if the order still rests then."""
        self.is_margin_short = False
        """Set: every order that does not reduce is refused with INSUFFICIENT_MARGIN."""


Handler = Callable[[Fields], object]
"""Query or body fields to an HttpReply, or to the JSON value of a 200; raises Refusal."""


class BackpackDesk:
    """The handlers of all endpoints, for one account of one exchange."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        market: MarketView,
        account: AccountView,
        account_name: str,
        limits: BackpackLimits,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._market = market
        self._account = account
        self._account_name = account_name
        self._limits = limits
        self.switches = BackpackSwitches()

    def public_routes(self) -> dict[tuple[str, str], Handler]:
        """By method and path."""
        market, limits = self._market, self._limits
        return {
            ("GET", "/api/v1/status"): lambda query: {"message": None, "status": "Ok"},
            ("GET", "/api/v1/ping"): lambda query: text_reply("pong"),
            ("GET", "/api/v1/time"): lambda query: text_reply(str(millis(self._clock.now()))),
            ("GET", "/api/v1/markets"): lambda query: self._markets(),
            ("GET", "/api/v1/market"): lambda query: market_row(
                market.instruments[self._symbol(query)], limits.price_band, is_perp=True
            ),
            ("GET", "/api/v1/depth"): self._depth,
            ("GET", "/api/v1/ticker"): lambda query: market.ticker_reply(self._symbol(query)),
            ("GET", "/api/v1/trades"): lambda query: market.trades_reply(self._symbol(query), _integer(query, "limit", 100)),
            ("GET", "/api/v1/markPrices"): self._mark_prices,
        }

    def private_routes(self) -> dict[tuple[str, str], tuple[str, Handler]]:
        """By method and path: the instruction that is signed, and the handler."""
        return {
            ("POST", "/api/v1/order"): ("orderExecute", self._place),
            ("DELETE", "/api/v1/order"): ("orderCancel", self._cancel),
            ("GET", "/api/v1/order"): ("orderQuery", self._open_order),
            ("GET", "/api/v1/orders"): ("orderQueryAll", self._open_orders),
            ("DELETE", "/api/v1/orders"): ("orderCancelAll", self._cancel_all),
            ("GET", "/wapi/v1/history/orders"): ("orderHistoryQueryAll", self._order_history),
            ("GET", "/wapi/v1/history/fills"): ("fillHistoryQueryAll", self._fill_history),
            ("GET", "/api/v1/position"): ("positionQuery", self._positions),
            ("GET", "/api/v1/account"): ("accountQuery", lambda query: self._account_summary()),
            ("GET", "/api/v1/account/limits/order"): ("maxOrderQuantity", self._max_order_quantity),
            ("GET", "/api/v1/capital"): ("balanceQuery", lambda query: self._balances()),
            ("GET", "/api/v1/capital/collateral"): ("collateralQuery", lambda query: self._collateral()),
        }

    # -- market data -------------------------------------------------------------------------------------------------

    def _symbol(self, query: Fields) -> str:
        symbol = query.get("symbol")
        if symbol is None:
            raise Refusal(400, "", 'failed to parse parameter `symbol`: Type "string" expects an input value.')
        if not isinstance(symbol, str) or symbol not in self._market.instruments:
            raise Refusal(400, "", 'failed to parse parameter `symbol`: failed to parse "MarketSymbol": Invalid market symbol')
        return symbol

    def _optional_symbol(self, query: Fields) -> str | None:
        return self._symbol(query) if "symbol" in query else None

    def _markets(self) -> object:
        band = self._limits.price_band
        return [market_row(row, band, is_perp=kind) for row in self._market.instruments.values() for kind in (False, True)]

    def _depth(self, query: Fields) -> object:
        limit = _integer(query, "limit", DEPTH_LIMITS[-1])
        if limit not in DEPTH_LIMITS:
            raise Refusal(400, "", "failed to parse parameter `limit`: Expect a valid enumeration value.")
        return self._market.depth_reply(self._symbol(query), limit, self._clock.now())

    def _mark_prices(self, query: Fields) -> object:
        symbol = self._optional_symbol(query)
        symbols = [symbol] if symbol else list(self._market.instruments)
        return [self._market.mark_price_reply(name, self._clock.now()) for name in symbols]

    # -- orders ------------------------------------------------------------------------------------------------------

    def place_batch(self, bodies: Sequence[Fields]) -> object:
        """Each order stands for itself, a refused one is an ``Err`` row (official OpenAPI, BatchCommandOrderResult);
        a body that does not parse refuses them all."""
        for body in bodies:
            self._refuse_unparsable(body)
        return [self._batch_row(body) for body in bodies]

    def _refuse_unparsable(self, body: Fields) -> None:
        try:
            parse_order(body, self._market.instruments)
        except Refusal as refusal:
            if not refusal.code:
                raise

    def _batch_row(self, body: Fields) -> dict[str, object]:
        try:
            return {"operation": "Ok", **self._place(body)}
        except Refusal as refusal:
            return {"operation": "Err", "code": refusal.code, "message": refusal.message}

    def _place(self, body: Fields) -> dict[str, object]:
        """The order after its first matching pass; raises Refusal for whatever never became an order."""
        order = parse_order(body, self._market.instruments)
        instrument = self._market.instruments[order.symbol]
        check_order(order, instrument, self._market.mark(order.symbol), self._limits.price_band)
        if self.switches.is_margin_short and not order.reduce_only:
            raise Refusal(400, "INSUFFICIENT_MARGIN", "Insufficient margin")
        try:
            placed = self._send(order)
        except ExchangeRefused as refused:
            raise Refusal(400, "INVALID_ORDER", "Invalid order") from refused
        if placed.status == "REJECTED":
            raise _rejection(placed)
        return order_row(placed)

    def _send(self, order: OrderRequest) -> SimOrder:
        tag = {
            "order_type": order.order_type,
            "time_in_force": order.time_in_force,
            "self_trade_prevention": order.self_trade_prevention,
        }
        is_immediate = order.order_type == "Market" or order.time_in_force == "IOC"
        return self._exchange.place(
            self._account_name,
            order.symbol,
            order.side,
            order.quantity,
            order.price or self._impact_price(order),
            tif="IOC" if is_immediate else "GTC",
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            client_id="" if order.client_id is None else str(order.client_id),
            tag=tag,
        )

    def _impact_price(self, order: OrderRequest) -> Decimal | None:
        """How far a market order may reach past the best offer (backpack.md §4, impact band); None for an empty side."""
        bid, ask = self._market.top(order.symbol)
        best = ask if order.side is Side.BUY else bid
        if best is None:
            return None
        reach = best[0] * (1 + order.side.sign * self._limits.impact)
        return self._market.instruments[order.symbol].price_passive(reach, order.side)

    def _resting(self, wanted: CancelRequest) -> SimOrder:
        """The open order an id names; 404 means "not resting", never "never existed" (backpack.md §4)."""
        client_id = None if wanted.client_id is None else str(wanted.client_id)
        for order in self._exchange.open_orders(self._account_name, wanted.symbol):
            if wanted.order_id == str(order.order_id) or client_id == order.client_id:
                return order
        raise Refusal(404, "RESOURCE_NOT_FOUND", "Not Found")

    def _cancel(self, body: Fields) -> object:
        """200 with the cancelled order, or 202 with an empty body where the switch delays it."""
        order = self._resting(parse_order_id(body, self._market.instruments))
        if self.switches.cancel_delay_s is not None:
            self._clock.call_later(self.switches.cancel_delay_s, partial(self._cancel_later, order.order_id))
            return HttpReply(202, b"")
        cancelled = self._exchange.cancel(order.order_id, USER_CANCEL)
        return order_row(cancelled or order)

    def _cancel_later(self, order_id: int) -> None:
        self._exchange.advance(self._clock.now())
        self._exchange.cancel(order_id, USER_CANCEL)

    def _cancel_all(self, body: Fields) -> object:
        symbol, kind = parse_cancel_all(body, self._market.instruments)
        if kind == "ConditionalOrder":
            return []
        return [order_row(order) for order in self._exchange.cancel_all(self._account_name, symbol, USER_CANCEL)]

    def _open_order(self, query: Fields) -> object:
        fields = dict(query)
        if "clientId" in fields:
            fields["clientId"] = _integer(query, "clientId", 0)
        self._symbol(query)
        return order_row(self._resting(parse_order_id(fields, self._market.instruments)))

    def _open_orders(self, query: Fields) -> object:
        return [order_row(order) for order in self._exchange.open_orders(self._account_name, self._optional_symbol(query))]

    # -- histories and account ---------------------------------------------------------------------------------------

    def _order_history(self, query: Fields) -> object:
        symbol, order_id = self._optional_symbol(query), query.get("orderId")
        rows = self._account.orders(self._clock.now() - self.switches.history_lag_s)
        wanted = [row for row in rows if symbol in (None, row.symbol) and order_id in (None, str(row.order_id))]
        return _page([history_order_row(order) for order in wanted], query)

    def _fill_history(self, query: Fields) -> object:
        since, until = _integer(query, "from", 0) / 1000, _integer(query, "to", 2**53) / 1000
        before = min(until, self._clock.now() - self.switches.history_lag_s)
        fills = self._account.fills(self._optional_symbol(query), since, before)
        order_id = query.get("orderId")
        return _page([fill_row(fill) for fill in fills if order_id in (None, str(fill.order_id))], query)

    def _positions(self, query: Fields) -> object:
        """A list, empty for a flat account."""
        symbol = self._optional_symbol(query)
        rows = [position for position in self._account.positions() if symbol in (None, position.symbol)]
        return [
            position_row(row, self._market.mark(row.symbol) or row.entry_price, self._account.exposure(row.symbol))
            for row in rows
        ]

    def _fees(self) -> Fees:
        """What the exchange charges this account; it has no public name for it."""
        fees = self._exchange._fees
        return fees if isinstance(fees, Fees) else fees.get(self._account_name, Fees(ZERO, ZERO))

    def _account_summary(self) -> object:
        return account_row(self._fees(), len(self._exchange.open_orders(self._account_name)))

    def _equity(self) -> Decimal:
        equity = self._limits.collateral + self._account.realized_closed
        for position in self._account.positions():
            mark = self._market.mark(position.symbol) or position.entry_price
            equity += position.realized - position.fees + position.unrealized(mark)
        return equity

    def _max_order_quantity(self, query: Fields) -> object:
        symbol, side = self._symbol(query), query.get("side")
        if side not in SIDES:
            raise Refusal(400, "", "failed to parse parameter `side`: Expect a valid enumeration value.")
        mark = self._market.mark(symbol)
        quantity = ZERO
        if mark and not self.switches.is_margin_short:
            quantity = self._market.instruments[symbol].quantity_down(self._equity() * LEVERAGE / mark)
        return {"maxOrderQuantity": number(quantity), "side": side, "symbol": symbol}

    def _balances(self) -> object:
        quotes = {instrument.quote for instrument in self._market.instruments.values()}
        equity = number(self._equity())
        return {quote: {"available": equity, "locked": "0", "staked": "0"} for quote in sorted(quotes)}

    def _collateral(self) -> object:
        equity = number(self._equity())
        return {
            "assetsValue": equity,
            "borrowLiability": "0",
            "collateral": [],
            "imf": "0.02",
            "liabilitiesValue": "0",
            "marginFraction": None,
            "mmf": "0.0125",
            "netEquity": equity,
            "netEquityAvailable": "0" if self.switches.is_margin_short else equity,
            "netEquityLocked": "0",
            "netExposureFutures": "0",
            "pnlUnrealized": "0",
            "unsettledEquity": "0",
        }


def _rejection(order: SimOrder) -> Refusal:
    if order.reason == "POST_ONLY":
        return Refusal(400, "INVALID_ORDER", "Order would immediately match and take liquidity")
    if order.reason == "REDUCE_ONLY":
        return Refusal(400, "INVALID_ORDER", "Reduce only order not reduced")
    return Refusal(400, "INVALID_ORDER", "Invalid order")


def _integer(query: Fields, name: str, default: int) -> int:
    text = str(query.get(name, default))
    if not text.isdecimal():
        raise Refusal(400, "", f"failed to parse parameter `{name}`: invalid digit found in string")
    return int(text)


def _page(rows: list[dict[str, object]], query: Fields) -> HttpReply:
    """One page of a history, newest first, with the venue's paging headers (official OpenAPI)."""
    limit, offset = _integer(query, "limit", 100), _integer(query, "offset", 0)
    if limit > HISTORY_LIMIT_MAX:
        raise Refusal(400, "INVALID_RANGE", "Invalid range")
    if query.get("sortDirection") == "Asc":
        rows = rows[::-1]
    reply = json_reply(rows[offset : offset + limit])
    return reply._replace(headers=(*reply.headers, ("x-total", str(len(rows))), ("x-page-size", str(limit))))
