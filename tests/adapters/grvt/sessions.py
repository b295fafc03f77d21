"""GRVT's two sessions as tests begin with them, and the frames that a venue sends to them."""

from __future__ import annotations

import json
from typing import Any

from adapters.grvt.stream import GrvtMarketSession, GrvtTradingSession
from tests.adapters.grvt.support import ACCOUNT, NOW, SUB, SYMBOL, FakeClock, FakeRest, encoded, fill_json, login_ok

SELECTOR = f"{SUB}-{SYMBOL}"
PRIVATE = ("v1.order", "v1.state", "v1.fill", "v1.position")


def market() -> GrvtMarketSession:
    session = GrvtMarketSession(SYMBOL, "wss://venue/ws/full")
    session.opened(NOW)
    return session


def trading(edge: FakeRest | None = None) -> GrvtTradingSession:
    session = GrvtTradingSession(ACCOUNT, "wss://venue/ws/full", FakeClock().auth(edge or FakeRest(login_ok())))
    session.endpoint()
    session.opened(NOW)
    return session


def confirm(session: GrvtMarketSession | GrvtTradingSession, *, first: str = "1", skip: int = 0) -> None:
    for text in session.outbox()[skip:]:
        request = json.loads(text)
        params = request["params"]
        result = {"stream": params["stream"], "subs": params["selectors"], "unsubs": [], "first_sequence_number": [first]}
        session.received(encoded({"jsonrpc": "2.0", "result": result, "id": request["id"], "method": "subscribe"}), NOW)


def frame(stream: str, number: int, feed: dict[str, Any], previous: int | None = None) -> bytes:
    selector = f"{SYMBOL}@50" if stream == "v1.book.d" else SELECTOR
    before = max(number - 1, 0) if previous is None else previous
    body = {
        "stream": stream,
        "selector": selector,
        "sequence_number": str(number),
        "feed": feed,
        "prev_sequence_number": str(before),
    }
    return encoded(body)


def book(number: int, bid: tuple[str, str] = ("100", "1"), ask: tuple[str, str] = ("101", "1"), **more: Any) -> bytes:
    levels = {"bids": [{"price": bid[0], "size": bid[1]}], "asks": [{"price": ask[0], "size": ask[1]}]}
    return frame("v1.book.d", number, {"event_time": "1000000", "instrument": SYMBOL, **levels}, **more)


def fill(number: int, trade_id: str = "1-1", **more: Any) -> bytes:
    return frame("v1.fill", number, fill_json(trade_id), **more)


def synced_market() -> GrvtMarketSession:
    session = market()
    confirm(session)
    session.received(book(0), NOW)
    return session


def synced_trading() -> GrvtTradingSession:
    session = trading()
    confirm(session)
    return session
