"""GRVT as its clients see it: edge login, REST and the two WebSocket faces over one simulated exchange.

Written from protocols/grvt.md alone and must never share code with an adapter. Everything runs on the clock it is given;
nothing here reads real time. One handler serves the three hosts (edge, trades, market-data), whose paths do not overlap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from email.utils import formatdate
from functools import partial

from core.types import Side
from simulator import grvt_wire as wire
from simulator.buckets import Rate, TokenBuckets
from simulator.clock import Clock, Delays
from simulator.exchange import Exchange
from simulator.faults import Nemesis, RequestFault
from simulator.grvt_market import MarketData
from simulator.grvt_sockets import GrvtSocket
from simulator.grvt_streams import VENUE, Hub
from simulator.grvt_trading import Desk
from simulator.grvt_wire import GrvtError, Json
from simulator.net import Drop, HttpReply, HttpRequest

COOKIE_LIFE_S = 24 * 3600
"""Life of a session cookie (grvt.md §1)."""

DEFAULT_LIMITS: Mapping[str, Rate] = {
    "create_order": Rate(20, 20),
    "cancel_order": Rate(20, 20),
    "query": Rate(5, 5),
    "summary": Rate(2.5, 5),
    "bulk": Rate(2, 5),
    "slow": Rate(1, 5),
    "login": Rate(1, 5),
    "market": Rate(25, 25),
    "book": Rate(8.3, 8.3),
}
"""Requests a second by class: the numbers ccxt derives from the venue's help page (grvt.md §6); the bursts are a guess."""

CLASS_OF: Mapping[str, str] = {
    "create_order": "create_order",
    "cancel_order": "cancel_order",
    "order": "query",
    "open_orders": "query",
    "order_history": "query",
    "fill_history": "query",
    "positions": "query",
    "account_summary": "summary",
    "get_sub_accounts": "summary",
    "cancel_all_orders": "bulk",
    "bulk_orders": "create_order",
    "cancel_on_disconnect": "slow",
    "login": "login",
    "instrument": "market",
    "instruments": "market",
    "all_instruments": "market",
    "mini": "market",
    "ticker": "market",
    "book": "book",
    "trade": "book",
}


class GrvtFace:
    """One venue with one trading account. ``rest`` for the HTTP port; ``market`` and ``trading`` for two WebSocket ports.

    ``credentials``: api_key, signer_address, sub_account_id, chain_id, and account_id as it stands in X-Grvt-Account-Id.
    ``limits`` None = DEFAULT_LIMITS; a class missing from it is unlimited. ``deposit`` in USDT.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        nemesis: Nemesis,
        *,
        delays: Delays,
        credentials: Mapping[str, str],
        limits: Mapping[str, Rate] | None = None,
        deposit: Decimal = Decimal(10_000),
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._nemesis = nemesis
        self._delays = delays
        self._credentials = credentials
        self._buckets = TokenBuckets(DEFAULT_LIMITS if limits is None else limits)
        self._cookies: dict[str, float] = {}
        self._logins = 0
        self._requests = 0
        self.account = str(credentials["sub_account_id"])
        """The account's name on the exchange."""
        market_hub = Hub(clock, nemesis, "market", stream_s=delays.stream_s)
        account_hub = Hub(clock, nemesis, "account", stream_s=delays.stream_s)
        self._hubs = (market_hub, account_hub)
        self.mover: Callable[[str, Decimal], None] = _stay
        """How ``force_price`` moves the book: by the hand of the market maker that keeps it, if one does."""
        self._market_data = MarketData(exchange, clock, market_hub)
        self._desk = Desk(
            exchange,
            clock,
            self._market_data,
            partial(_publish, account_hub, self.account),
            sub_account_id=self.account,
            signer=credentials["signer_address"],
            chain_id=int(credentials["chain_id"]),
            deposit=deposit,
            is_bumped=any(delays),
        )
        symbols = exchange.instruments
        self.market = GrvtSocket(self, market_hub, symbols, clock, nemesis, delays, feeds=self._market_data, desk=None)
        self.trading = GrvtSocket(self, account_hub, symbols, clock, nemesis, delays, feeds=None, desk=self._desk)

    # -- things that happen to a venue ----------------------------------------------------------------------------------

    def expire_cookies(self, *, open_sockets_too: bool = False) -> None:
        """All sessions end. Open sockets keep theirs (grvt.md §1) unless told otherwise: then they answer 1000 and fall silent."""
        self._cookies.clear()
        if open_sockets_too:
            self.trading.expire_sessions()

    def skip_sequence(self, stream: str, count: int = 1) -> None:
        """The next frame of every selector of ``stream`` shows a gap of ``count``."""
        for hub in self._hubs:
            hub.skip(stream, count)

    def restart_gateway(self) -> None:
        """All sequence counters begin anew (grvt.md §2); connections and orders live on."""
        for hub in self._hubs:
            hub.restart()

    def set_instrument_status(self, symbol: str, status: str) -> None:
        """ACTIVE, REDUCE_ONLY, MAINTENANCE, HALTED, ... (grvt.md §5): orders are then refused with 7304 or 2060."""
        self._market_data.status[symbol] = status

    def set_maintenance(self, *, is_on: bool) -> None:
        """While on, create_order answers 1009 with HTTP 503 (grvt.md §6)."""
        self._desk.is_in_maintenance = is_on

    def set_ignores_pairs(self, *, is_on: bool) -> None:
        """While on, an OCO pair is accepted and its orders know nothing of each other."""
        self._desk.conditionals.ignores_pairs = is_on

    def cancel_by_user(self, client_order_id: str) -> None:
        """What the account's owner does on the web page; the venue calls it what it calls a client's own cancel."""
        self._desk.call("cancel_order", {"sub_account_id": self.account, "client_order_id": client_order_id})

    def force_price(self, symbol: str, price: Decimal) -> None:
        """The market trades at ``price`` (on the tick): the house moves there, and one taker follows."""
        before = self._market_data.last(symbol) or price
        self._exchange.advance(self._clock.now())
        self.mover(symbol, price)
        side = Side.SELL if price <= before else Side.BUY
        self._exchange.place("flow", symbol, side, self._exchange.instruments[symbol].min_quantity, None)

    # -- answering ------------------------------------------------------------------------------------------------------

    def is_authenticated(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """A live cookie and the account id, the latter in its header or in the query (grvt.md §1); header names in lower case."""
        account_id = headers.get("x-grvt-account-id") or query.get("x_grvt_account_id")
        if account_id != self._credentials["account_id"]:
            return False
        pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        token = next((value for name, _, value in pairs if name == "gravity"), "")
        return self._cookies.get(token, 0.0) > self._clock.now()

    def answer(self, route: str, params: Json, *, is_authenticated: bool) -> Json:
        """The reply body of one route of either gateway, REST and socket alike; raises GrvtError."""
        if route in self._market_data.routes:
            self._meter(route)
            return self._market_data.routes[route](params)
        if route not in self._desk.routes:
            raise GrvtError(1004)
        if not is_authenticated:
            raise GrvtError(1000)
        orders = params.get("orders") if route == "bulk_orders" else None
        self._meter(route, len(orders) if isinstance(orders, list) else 1)
        return self._desk.call(route, params)

    async def rest(self, request: HttpRequest) -> HttpReply | Drop:
        """One HTTP exchange, its delays and its fault included."""
        route = request.path.rstrip("/").rpartition("/")[2]
        fault = self._nemesis.on_request(VENUE, route)
        await self._sleep(self._delays.request_s)
        reply = await self._suffer(fault, lambda: self._respond(request))
        if isinstance(reply, HttpReply):
            await self._sleep(self._delays.answer_s)
        return reply

    async def _suffer(self, fault: RequestFault | None, execute: Callable[[], HttpReply]) -> HttpReply | Drop:
        if fault is None:
            return execute()
        match fault.kind:
            case "lose_request":
                return Drop(fault.how)
            case "late":
                self._clock.call_later(fault.delay_s, lambda: _ignore(execute()))
                return Drop(fault.how)
            case "status":
                return HttpReply(fault.status, fault.body.encode(), fault.headers)
            case "rate_limit":
                return self._refusal(GrvtError(1006), retry_after_s=fault.retry_after_s)
            case "hang":
                never: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
                return await never
        reply = execute()
        match fault.kind:
            case "lose_answer":
                return Drop(fault.how)
            case "status_executed":
                return HttpReply(fault.status, fault.body.encode(), fault.headers)
            case _:
                await self._sleep(fault.delay_s)
                return reply

    def _respond(self, request: HttpRequest) -> HttpReply:
        try:
            return self._route(request)
        except GrvtError as error:
            return self._refusal(error)

    def _route(self, request: HttpRequest) -> HttpReply:
        if request.method == "GET" and request.path == "/time":
            return _ok({"server_time": int(self._clock.now() * 1000)})
        if request.method != "POST":
            raise GrvtError(1004)
        if request.path == "/auth/api_key/login":
            return self._login(wire.parse_object(request.body))
        prefix, _, route = request.path.rpartition("/")
        if prefix != f"/full/{wire.version_of(route)}":
            raise GrvtError(1004)
        is_authenticated = self.is_authenticated(request.headers, request.query)
        return _ok(self.answer(route, wire.parse_object(request.body), is_authenticated=is_authenticated))

    def _login(self, body: Json) -> HttpReply:
        """The cookie and the account id in headers; a refused login is HTTP 200 with status failure (grvt.md §1)."""
        self._meter("login")
        if body.get("api_key") != self._credentials["api_key"]:
            return _ok({"status": "failure", "location": ""})
        self._logins += 1
        token = f"sim-session-{self._logins}"
        expires_at = self._clock.now() + COOKIE_LIFE_S
        self._cookies[token] = expires_at
        expires = formatdate(expires_at, usegmt=True)
        cookie = f"gravity={token}; Path=/; Expires={expires}; Max-Age={COOKIE_LIFE_S}; HttpOnly; Secure"
        account = {
            "status": "success",
            "location": "",
            "funding_account_address": "0x" + "00" * 19 + "01",
            "sub_account_id": self.account,
        }
        return _ok(account, ("Set-Cookie", cookie), ("X-Grvt-Account-Id", self._credentials["account_id"]))

    def _meter(self, route: str, count: int = 1) -> None:
        """``count``: orders of a bulk request, each of which costs as much as one alone (grvt.md §4)."""
        if not all(self._buckets.take(CLASS_OF[route], self._clock.now()) for _ in range(count)):
            raise GrvtError(1006)

    def _refusal(self, error: GrvtError, *, retry_after_s: float | None = None) -> HttpReply:
        self._requests += 1
        body = wire.dump(wire.rest_error(error, self._requests)).encode()
        retry = () if retry_after_s is None else (("Retry-After", f"{retry_after_s:g}"),)
        return HttpReply(error.status, body, (("Content-Type", "application/json"), *retry))

    async def _sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        self._clock.call_later(delay_s, lambda: None if woken.done() else woken.set_result(None))
        await woken


def _publish(hub: Hub, sub_account_id: str, stream: str, symbol: str, feed: Json) -> None:
    """To those who follow the whole sub account and those who follow one contract of it (grvt.md §3)."""
    hub.publish((stream, sub_account_id), feed)
    if symbol:
        hub.publish((stream, f"{sub_account_id}-{symbol}"), feed)


def _ok(body: Json, *headers: tuple[str, str]) -> HttpReply:
    return HttpReply(200, wire.dump(body).encode(), (("Content-Type", "application/json"), *headers))


def _stay(_symbol: str, _price: Decimal) -> None:
    """Nobody keeps this book."""


def _ignore(_reply: HttpReply) -> None:
    """The answer of a request nobody waits for any more."""
