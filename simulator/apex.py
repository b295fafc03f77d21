"""The ApeX Omni face: signed requests in, the venue's own answers, refusals and failures out (apex.md §1, §4).

Written from the protocol notes alone; must never import the bot's adapters, whose misreadings it would share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from core.types import ZERO, Fees, Side
from simulator.apex_account import ApexAccount
from simulator.apex_auth import ApiKey, Form, KeyVerifier, Refusal, form_of
from simulator.apex_desk import ApexDesk, ApexSwitches, ApexTimes
from simulator.apex_market import MarketView
from simulator.apex_orders import EXPIRED, INTERNAL_FAILED, USER_CANCELED, ApexOrder, Status
from simulator.apex_past import past_orders
from simulator.apex_rest import ApexLimits, ApexRoutes, Owner
from simulator.apex_sockets import VENUE, ApexSockets, PrivateSocket, PublicSocket
from simulator.apex_wire import banned_reply, data_reply, json_text, refusal_reply
from simulator.buckets import Rate, TokenBuckets
from simulator.clock import Clock, Delays
from simulator.exchange import BookEvent, Event, Exchange, TradeEvent
from simulator.faults import Nemesis, RequestFault
from simulator.net import Drop, HttpReply, HttpRequest

__all__ = ["ApexFace", "ApexLimits", "ApexSwitches", "ApexTimes"]

HOUSE_QUANTITY = Decimal(100)
Mover: TypeAlias = Callable[[str, Decimal], None]


class ApexFace:
    """REST handler and WebSocket faces (``public``, ``private``; ``ws``: both by path) over one exchange, for one account."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        nemesis: Nemesis,
        *,
        delays: Delays,
        limits: ApexLimits | None = None,
        credentials: Mapping[str, str],
        fees: Fees | None = None,
    ) -> None:
        """``credentials``: "api_key", "secret", "passphrase", "account_id" (decimal digits, also the account at the exchange) and
        "l2_key" (hex). ``fees``: the schedule /v3/account tells and signatures cover; the exchange's own without it."""
        self._exchange = exchange
        self._clock = clock
        self._nemesis = nemesis
        self._delays = delays
        limits = limits or ApexLimits()
        self._account_id = credentials["account_id"]
        fees = fees or _fees_of(exchange, self._account_id)
        key = ApiKey(credentials["api_key"], credentials["secret"], credentials["passphrase"])
        self._verifier = KeyVerifier(key, limits.window_s)
        self._buckets = _buckets(limits)
        self._running: set[asyncio.Task[HttpReply | Drop | None]] = set()
        self._market = MarketView(exchange, exchange.instruments)
        account = ApexAccount(exchange.instruments, limits.collateral, clock.now())
        self._desk = ApexDesk(exchange, clock, self._market, account, self._account_id, limits.times, fees.taker)
        for order in past_orders(exchange.instruments.values(), fees.taker, clock.now()):
            self._desk.remember(order)
        self.switches = self._desk.switches
        self.public = PublicSocket(clock, nemesis, delays, self._market, self.switches, conflate_s=limits.conflate_s)
        self.private = PrivateSocket(clock, nemesis, delays, self._verifier, self._market, account, self._desk, self._account_id)
        self.ws = ApexSockets(self.public, self.private)
        self._desk.news = self.private
        owner = Owner(self._account_id, credentials["l2_key"], fees)
        routes = ApexRoutes(exchange, clock, self._market, account, self._desk, self.public.feeds, owner, limits)
        self._public = routes.public_routes()
        self._private = routes.private_routes()
        self.mover: Mover = self._move_house
        """How ``force_price`` moves the book: by the house's own hand where a market maker keeps it."""
        exchange.subscribe(self._on_event)

    async def rest(self, request: HttpRequest) -> HttpReply | Drop:
        """Answers one request. What reached the venue is carried out even if the caller hangs up meanwhile."""
        task = asyncio.ensure_future(self._serve(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        answer = await asyncio.shield(task)
        if answer is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("a future that nobody resolves has resolved")
        return answer

    # -- by hand -------------------------------------------------------------------------------------------------------

    def inject_gap(self, symbol: str) -> None:
        """Loses one update of every book topic of that trading symbol."""
        self.public.feeds.inject_gap(symbol)

    def cancel_by_user(self, order_id: int) -> None:
        """What the account's owner does on the web page. KeyError for an order that does not exist."""
        self._withdraw(order_id, "CANCELED", USER_CANCELED)

    def cancel_by_venue(self, order_id: int) -> None:
        """What nobody asked for: matching or settlement failed (apex.md §3). KeyError for an order that does not exist."""
        self._withdraw(order_id, "CANCELED", INTERNAL_FAILED)

    def expire(self, order_id: int) -> None:
        """Its time is up at once. KeyError for an order that does not exist."""
        self._withdraw(order_id, "EXPIRED", EXPIRED)

    def order(self, order_id: int) -> ApexOrder:
        """The venue's record of an order. KeyError for one that does not exist."""
        return self._desk.orders[order_id]

    def waiting(self) -> list[ApexOrder]:
        """The orders that wait for their trigger, oldest first: the exchange does not know them yet."""
        return [order for order in self._desk.live() if order.status == "UNTRIGGERED"]

    def set_window(self, seconds: float) -> None:
        """How far from now on the timestamp of a request may be off."""
        self._verifier.window_s = seconds

    def force_price(self, symbol: str, price: Decimal) -> None:
        """The market trades at ``price`` (on the tick): the house moves there, one taker follows, and triggers look."""
        before = self._market.last(symbol) or price
        self._exchange.advance(self._clock.now())
        self.mover(symbol, price)
        side = Side.SELL if price <= before else Side.BUY
        least = self._exchange.instruments[symbol].min_quantity
        self._exchange.place("flow", symbol, side, least, None)
        self._desk.check_triggers(symbol)

    def _move_house(self, symbol: str, price: Decimal) -> None:
        """One level a side, the one a taker hits at ``price`` itself; orders of others in between are traded with."""
        tick = self._exchange.instruments[symbol].tick_size
        is_falling = price <= (self._market.last(symbol) or price)
        bid = price if is_falling else price - tick
        self._exchange.cancel_all("house", symbol, "HOUSE")
        self._exchange.place("house", symbol, Side.BUY, HOUSE_QUANTITY, bid)
        self._exchange.place("house", symbol, Side.SELL, HOUSE_QUANTITY, bid + tick)

    def _withdraw(self, order_id: int, status: Status, reason: str) -> None:
        self._exchange.advance(self._clock.now())
        self._desk.withdraw(self._desk.orders[order_id], status, reason)

    # -- the way of a request ------------------------------------------------------------------------------------------

    async def _serve(self, request: HttpRequest) -> HttpReply | Drop | None:
        """None: never answer."""
        fault = self._nemesis.on_request(VENUE, f"{request.method} {request.path}")
        await self._sleep(self._delays.request_s)
        if fault is None:
            return await self._answer(self._execute(request), 0)
        match fault.kind:
            case "lose_request":
                return Drop(fault.how)
            case "hang":
                return None
            case "late":
                self._clock.call_later(fault.delay_s, lambda: self._execute_unheard(request))
                return Drop(fault.how)
            case "status":
                return await self._answer(_status_reply(fault), 0)
            case "rate_limit":
                return await self._answer(_rate_limit_reply(fault.retry_after_s), 0)
        reply = self._execute(request)
        match fault.kind:
            case "lose_answer":
                return Drop(fault.how)
            case "status_executed":
                return await self._answer(_status_reply(fault), 0)
            case "delay":
                return await self._answer(reply, fault.delay_s)

    async def _answer(self, reply: HttpReply, extra_s: float) -> HttpReply:
        await self._sleep(self._delays.answer_s + extra_s)
        return reply

    async def _sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            return
        is_over = asyncio.Event()
        self._clock.call_later(delay_s, is_over.set)
        await is_over.wait()

    def _execute(self, request: HttpRequest) -> HttpReply:
        """The request meets the venue now: the address's budget, the key, the account's budget, the route."""
        if not self._buckets.take("address", self._clock.now()):
            return banned_reply()
        self._desk.advance()
        try:
            result = self._dispatch(request)
        except Refusal as refusal:
            return refusal_reply(refusal)
        return result if isinstance(result, HttpReply) else data_reply(result)

    def _execute_unheard(self, request: HttpRequest) -> None:
        self._execute(request)

    def _dispatch(self, request: HttpRequest) -> object:
        route = (request.method, request.path)
        if route in self._public:
            return self._public[route](request.query)
        if route not in self._private:
            return HttpReply(404, json_text({"code": 404, "msg": "Not Found"}).encode())
        self._verifier.check_request(request, self._clock.now())
        if not self._buckets.take(request.method, self._clock.now()):
            raise _too_many()
        fields: Form = request.query if request.method == "GET" else form_of(request.body)
        return self._private[route](fields)

    # -- events of the exchange ----------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case BookEvent(symbol=symbol):
                self.public.feeds.book_changed(symbol)
                self._desk.book_changed(symbol)
            case TradeEvent(symbol=symbol):
                self.public.feeds.traded(symbol, self._market.record_trade(event))
                self._desk.check_triggers(symbol)
            case _:
                self._desk.on_event(event)


def _fees_of(exchange: Exchange, account_id: str) -> Fees:
    """What the exchange charges this account; it has no public name for it."""
    fees = exchange._fees
    return fees if isinstance(fees, Fees) else fees.get(account_id, Fees(ZERO, ZERO))


def _buckets(limits: ApexLimits) -> TokenBuckets:
    per_minute = {"address": limits.address_per_minute, "POST": limits.posts_per_minute, "GET": limits.gets_per_minute}
    return TokenBuckets({name: Rate(number / 60, number) for name, number in per_minute.items()})


def _too_many() -> Refusal:
    return Refusal(10003, "too many requests")


def _status_reply(fault: RequestFault) -> HttpReply:
    if fault.status == 403 and not fault.body:
        return banned_reply()
    return HttpReply(fault.status, fault.body.encode(), (("content-type", "text/plain"), *fault.headers))


def _rate_limit_reply(retry_after_s: float | None) -> HttpReply:
    """The account's limit; the venue sends no rate headers (apex.md §4), Retry-After comes only where a rule asks for it."""
    reply = refusal_reply(_too_many())
    return reply if retry_after_s is None else reply._replace(headers=(("retry-after", f"{retry_after_s:g}"),))
