"""GRVT's WebSocket faces: JSON-RPC in, replies and stream frames out, one session per connection.

A trading socket is accepted whatever its cookie says; without a good one every call is answered 1000 (grvt.md §1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from simulator import grvt_wire as wire
from simulator.clock import Clock, Delays
from simulator.faults import Nemesis, RequestFault
from simulator.grvt_market import MarketData
from simulator.grvt_streams import (
    ACCOUNT_STREAMS,
    MARKET_STREAMS,
    VENUE,
    Hub,
    Outlet,
    Selector,
    account_selector,
    market_selector,
    subscribed,
)
from simulator.grvt_trading import Desk
from simulator.grvt_wire import GrvtError, Json
from simulator.net import WsPeer

_CODE_OF_STATUS = {401: 1000, 403: 1001, 404: 1004, 429: 1006, 503: 1009}


class Gateway(Protocol):
    """What a socket asks of the venue behind it."""

    account: str

    def is_authenticated(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool: ...

    def answer(self, route: str, params: Json, *, is_authenticated: bool) -> Json: ...


class Session:
    """One connection: the login it opened with, kept for its life, and what it subscribed to."""

    def __init__(self, outlet: Outlet, *, is_authenticated: bool) -> None:
        self.outlet = outlet
        self.is_authenticated = is_authenticated
        self.selectors: dict[tuple[str, str], Selector] = {}
        self.unsent: list[Callable[[], None]] = []
        """Snapshots of a subscription just made: they follow its reply."""

    def send_snapshots(self) -> None:
        unsent, self.unsent = self.unsent, []
        for send in unsent:
            send()


class GrvtSocket:
    """The market face (``feeds``) or the trading face (``desk``); each serves its own gateway's routes and streams."""

    def __init__(
        self,
        gateway: Gateway,
        hub: Hub,
        symbols: Mapping[str, object],
        clock: Clock,
        nemesis: Nemesis,
        delays: Delays,
        *,
        feeds: MarketData | None,
        desk: Desk | None,
    ) -> None:
        self._gateway = gateway
        self._hub = hub
        self._symbols = symbols
        self._clock = clock
        self._nemesis = nemesis
        self._delays = delays
        self._feeds = feeds
        self._desk = desk
        self._sessions: dict[int, Session] = {}

    def opened(self, peer: WsPeer) -> None:
        query = dict(parse_qsl(urlsplit(peer.path).query))
        is_authenticated = self._gateway.is_authenticated(peer.headers, query)
        self._sessions[peer.id] = Session(Outlet(peer, self._clock), is_authenticated=is_authenticated)

    def received(self, peer: WsPeer, text: str) -> None:
        session = self._sessions.get(peer.id)
        if session is None:
            return
        if self._delays.request_s > 0:
            self._clock.call_later(self._delays.request_s, partial(self._handle, session, text))
        else:
            self._handle(session, text)

    def closed(self, peer: WsPeer) -> None:
        session = self._sessions.pop(peer.id, None)
        if session is not None:
            session.outlet.close()
            self._drop_subscriptions(session)

    def expire_sessions(self) -> None:
        """Every open connection loses its login: 1000 for each call, no more frames."""
        for session in self._sessions.values():
            session.is_authenticated = False
            self._drop_subscriptions(session)

    def _handle(self, session: Session, text: str) -> None:
        try:
            call = wire.parse_object(text)
            method, request_id = str(call["method"]), wire.uint_of(call.get("id"))
        except (GrvtError, KeyError):
            session.outlet.send("rpc", wire.dump(wire.rpc_error(GrvtError(1003), 0, "")), self._delays.answer_s)
            return
        fault = self._nemesis.on_request(VENUE, method.rpartition("/")[2])
        execute = partial(self._reply, session, method, request_id, call.get("params"))
        if fault is None:
            session.outlet.send("rpc", *execute())
            session.send_snapshots()
        else:
            self._suffer(session, fault, execute, method, request_id)

    def _suffer(
        self,
        session: Session,
        fault: RequestFault,
        execute: Callable[[], tuple[str, float]],
        method: str,
        request_id: int,
    ) -> None:
        """A fault of a call: losses cut the connection, a refusal by HTTP status becomes the code of it, hanging is silence."""
        outlet = session.outlet
        if fault.kind in ("lose_answer", "status_executed", "delay"):
            text, delay_s = execute()
            session.send_snapshots()
        match fault.kind:
            case "lose_request" | "lose_answer":
                outlet.abort()
            case "late":
                outlet.abort()
                self._clock.call_later(fault.delay_s, lambda: self._execute_unheard(session, execute))
            case "delay":
                self._clock.call_later(fault.delay_s, lambda: outlet.send("rpc", text, delay_s))
            case "status" | "status_executed" | "rate_limit":
                error = GrvtError(1006 if fault.kind == "rate_limit" else _CODE_OF_STATUS.get(fault.status, 1002))
                outlet.send("rpc", wire.dump(wire.rpc_error(error, request_id, method)), self._delays.answer_s)
            case "hang":
                pass

    def _execute_unheard(self, session: Session, execute: Callable[[], tuple[str, float]]) -> None:
        """Carries out a call whose connection is gone; what it subscribed to went with the connection."""
        execute()
        session.unsent.clear()
        self._drop_subscriptions(session)

    def _reply(self, session: Session, method: str, request_id: int, params: object) -> tuple[str, float]:
        """Carries the call out; the reply and how long it takes back."""
        try:
            result = self._result(session, method, params)
        except GrvtError as error:
            return wire.dump(wire.rpc_error(error, request_id, method)), self._delays.answer_s
        body = {"jsonrpc": "2.0", "result": result, "id": request_id, "method": method}
        return wire.dump(body), self._delays.answer_s

    def _result(self, session: Session, method: str, params: object) -> Json:
        if self._desk is not None and not session.is_authenticated:
            raise GrvtError(1000)
        if not isinstance(params, dict):
            raise GrvtError(1003)
        if method == "subscribe":
            return self._subscribe(session, params)
        if method == "unsubscribe":
            return self._unsubscribe(session, params)
        prefix, _, route = method.partition("/")
        routes = self._desk.routes if self._desk is not None else self._feeds.routes if self._feeds is not None else {}
        if prefix != wire.version_of(route) or route not in routes:
            raise GrvtError(1004)
        return self._gateway.answer(route, params, is_authenticated=session.is_authenticated)

    # -- subscriptions --------------------------------------------------------------------------------------------------

    def _subscribe(self, session: Session, params: Json) -> Json:
        """All selectors or none; one of the same primary takes the place of an earlier one (grvt.md §2)."""
        stream, selectors = self._selectors(params)
        latest = [self._hub.latest(selector.key) for selector in selectors]
        removed, snapshots = [], []
        for selector in selectors:
            before = session.selectors.get((stream, selector.primary))
            if before is not None:
                self._hub.detach(before.key, session.outlet)
            if before is not None and before.text != selector.text:
                removed.append(before.text)
            session.selectors[stream, selector.primary] = selector
            snapshots.append(self._attach(session, selector))
        return subscribed(stream, selectors, removed, snapshots, latest)

    def _attach(self, session: Session, selector: Selector) -> int:
        """Subscribes and readies the snapshots; returns their number. Orders, states and fills have none (grvt.md §3)."""
        if self._feeds is not None:
            snapshots = self._feeds.subscribe(selector, session.outlet)
        else:
            self._hub.attach(selector.key, session.outlet)
            snapshots = self._positions(selector)
        for feed in snapshots:
            send = partial(self._hub.snapshot, selector.key, session.outlet, feed, delay_s=self._delays.answer_s)
            session.unsent.append(send)
        return len(snapshots)

    def _positions(self, selector: Selector) -> list[Json]:
        if selector.stream != "v1.position" or self._desk is None:
            return []
        return [p for p in self._desk.positions({}) if selector.symbol in ("", p["instrument"])]

    def _unsubscribe(self, session: Session, params: Json) -> Json:
        stream, selectors = self._selectors(params)
        removed = []
        for selector in selectors:
            before = session.selectors.get((stream, selector.primary))
            if before is not None and before.text == selector.text:
                del session.selectors[stream, selector.primary]
                self._hub.detach(before.key, session.outlet)
                removed.append(selector.text)
        return {"stream": stream, "unsubs": removed}

    def _selectors(self, params: Json) -> tuple[str, list[Selector]]:
        stream, texts = str(params.get("stream")), params.get("selectors")
        if stream not in (MARKET_STREAMS if self._feeds is not None else ACCOUNT_STREAMS):
            raise GrvtError(3001)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise GrvtError(1003)
        if self._feeds is not None:
            return stream, [market_selector(stream, text, self._symbols) for text in texts]
        return stream, [account_selector(stream, text, self._symbols, self._gateway.account) for text in texts]

    def _drop_subscriptions(self, session: Session) -> None:
        for selector in session.selectors.values():
            self._hub.detach(selector.key, session.outlet)
        session.selectors.clear()
