"""The REST face of Backpack: signed requests in, the venue's own replies, refusals and failures out (backpack.md §1, §4, §5).

Written from the protocol notes alone; must never import the bot's adapters, whose misreadings it would share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from simulator.backpack_account import AccountView
from simulator.backpack_auth import Fields, Refusal, Verifier, batch_text, decode_json, signed_text
from simulator.backpack_market import MarketView
from simulator.backpack_orders import payload_refusal
from simulator.backpack_rest import BackpackDesk, BackpackLimits, BackpackSwitches
from simulator.backpack_streams import VENUE, BackpackStreams
from simulator.backpack_wire import json_reply, refusal_reply, text_reply
from simulator.buckets import Rate, TokenBuckets
from simulator.clock import Clock, Delays
from simulator.exchange import BookEvent, Event, Exchange, FillEvent, OrderEvent, TradeEvent
from simulator.faults import Nemesis, RequestFault
from simulator.net import Drop, HttpReply, HttpRequest

__all__ = ["BackpackFace", "BackpackLimits", "BackpackSwitches"]

UNKNOWN_ERROR = "Unknown error, please check your request or try again later."


class BackpackFace:
    """REST handler and WebSocket face (``ws``) over one exchange, for one account."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        nemesis: Nemesis,
        *,
        delays: Delays,
        limits: BackpackLimits | None = None,
        credentials: Mapping[str, str],
    ) -> None:
        """``credentials``: "api_key" (base64 of the verifying key) and "account" (its account at the exchange)."""
        self._exchange = exchange
        self._clock = clock
        self._nemesis = nemesis
        self._delays = delays
        limits = limits or BackpackLimits()
        self._account_name = credentials["account"]
        self._verifier = Verifier(credentials["api_key"])
        per_minute = limits.requests_per_minute
        self._buckets = TokenBuckets({"rest": Rate(per_minute / 60, per_minute)})
        self._running: set[asyncio.Task[HttpReply | Drop | None]] = set()
        self._market = MarketView(exchange, exchange.instruments)
        self._account = AccountView(exchange, self._account_name)
        self._desk = BackpackDesk(exchange, clock, self._market, self._account, self._account_name, limits)
        self.switches = self._desk.switches
        self.ws = BackpackStreams(
            clock,
            nemesis,
            self._verifier,
            self._market,
            self._account,
            delays=delays,
            conflate_s=limits.conflate_s,
            heartbeat_s=limits.heartbeat_s,
        )
        self._public = self._desk.public_routes()
        self._private = self._desk.private_routes()
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

    def inject_gap(self, symbol: str) -> None:
        """Loses one depth update: the next frame of every depth stream starts behind a gap."""
        self.ws.feeds.inject_gap(symbol)

    # -- the way of a request ----------------------------------------------------------------------------------------

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
        """The request meets the venue now: budget, signature and window, then the route."""
        now = self._clock.now()
        if not self._buckets.take("rest", now):
            return _rate_limit_reply(None)
        self._exchange.advance(now)
        try:
            result = self._dispatch(request)
        except Refusal as refusal:
            return refusal_reply(refusal)
        return result if isinstance(result, HttpReply) else json_reply(result)

    def _execute_unheard(self, request: HttpRequest) -> None:
        self._execute(request)

    def _dispatch(self, request: HttpRequest) -> object:
        route = (request.method, request.path)
        if route in self._public:
            return self._public[route](request.query)
        if route == ("POST", "/api/v1/orders"):
            return self._place_batch(request)
        if route not in self._private:
            return text_reply("not found", 404)
        instruction, handler = self._private[route]
        fields: Fields = request.query if request.method == "GET" else _body_object(request)
        self._verify(request, partial(signed_text, instruction, fields))
        return handler(fields)

    def _verify(self, request: HttpRequest, text: Callable[[str, str], str]) -> None:
        self._verifier.check_headers(request.headers, text, self._clock.now() * 1000)

    def _place_batch(self, request: HttpRequest) -> object:
        bodies = _decoded(request)
        if not isinstance(bodies, list) or not all(isinstance(body, dict) for body in bodies):
            raise payload_refusal('Expected input type "Vec_OrderExecutePayload"')
        self._verify(request, partial(batch_text, bodies))
        return self._desk.place_batch(bodies)

    # -- events of the exchange --------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case BookEvent():
                self._market.record_book(event)
                self.ws.feeds.book_changed(event)
            case TradeEvent():
                self.ws.feeds.traded(self._market.record_trade(event))
            case OrderEvent(order=order) if order.account == self._account_name and order.status != "REJECTED":
                self._account.record_order(order)
                self.ws.order_changed(order, order.updated_at)
            case FillEvent(fill=fill, order=order) if fill.account == self._account_name:
                self._account.record_order(order)
                position, change = self._account.record_fill(fill)
                self.ws.filled(order, fill)
                self.ws.position_changed(position, change, fill.time)
            case _:
                pass


def _status_reply(fault: RequestFault) -> HttpReply:
    return text_reply(fault.body or UNKNOWN_ERROR, fault.status, fault.headers)


def _rate_limit_reply(retry_after_s: float | None) -> HttpReply:
    """The venue documents no Retry-After (backpack.md §5); it comes only where a rule asks for it."""
    reply = refusal_reply(Refusal(429, "TOO_MANY_REQUESTS", "Too many requests"))
    if retry_after_s is None:
        return reply
    return reply._replace(headers=(*reply.headers, ("retry-after", f"{retry_after_s:g}")))


def _decoded(request: HttpRequest) -> object:
    try:
        return decode_json(request.body)
    except ValueError as error:
        raise payload_refusal(f"invalid JSON: {error}") from error


def _body_object(request: HttpRequest) -> Fields:
    body = _decoded(request)
    if not isinstance(body, dict):
        raise payload_refusal('Expected input type "OrderExecutePayload", found [...]')
    return body
