"""Where ApeX's bytes become facts, with a sample for each place, and what is recorded of the venue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from adapters.apex import parse
from adapters.apex.errors import Answered, judge
from adapters.apex.stream import ApexAccountSession, ApexMarketSession
from adapters.apex.values import WireRefused
from adapters.transport.rest import Ok
from tests.adapters.apex.support import (
    BTC,
    KEY,
    MARKET,
    SYMBOL,
    account_body,
    account_frame,
    book_frame,
    encoded,
    fill_row,
    make_clock,
    order_body,
    order_row,
    position_row,
    recorded,
)
from tests.adapters.content import NOW, Fate, Reader, body_reader, session_reader

WORDS: dict[str, Fate] = {"type": "ignored", "timeInForce": "ignored", "cancelReason": "ignored"}
ORDER_WORDS: dict[str, Fate] = {**WORDS, "status": "asked", "side": "refused"}
NOT_OURS = frozenset({"symbol", "orders", "fills", "positions", "status"})


def account_session() -> ApexAccountSession:
    session = ApexAccountSession("ws://x", SYMBOL, KEY, make_clock())
    session.opened(NOW)
    return session


def market_session() -> ApexMarketSession:
    """A live book at update 10."""
    session = ApexMarketSession("ws://x", BTC, make_clock())
    session.opened(NOW)
    session.received(book_frame(10, [["59000.0", "1"]], [], kind="snapshot"), NOW)
    return session


def account(name: str, frame: bytes, words: dict[str, Fate]) -> Reader:
    return Reader(f"apex {name}", json.loads(frame), session_reader(account_session), words, NOT_OURS)


def answered(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Through the envelope of every answer."""

    def parsed(raw: bytes) -> object:
        reply = judge(Ok(200, {}, raw))
        if not isinstance(reply, Answered):
            raise WireRefused("no data")
        return read(reply.data)

    return parsed


def body(name: str, data: object, read: Callable[[bytes], object], words: dict[str, Fate]) -> Reader:
    return Reader(f"apex {name}", {"data": data, "timeCost": 1}, body_reader(answered(read), WireRefused), words, NOT_OURS)


ORDER = order_row(cumSuccessFillSize="0.001")
BOOK = book_frame(11, [["59000.1", "2.5"]], [["59000.2", "1.5"]])
DEPTH = {"s": MARKET, "b": [["59000.1", "2.5"]], "a": [["59000.2", "1.5"]], "u": 11}
READERS = [
    account("order", account_frame(orders=[ORDER]), {**ORDER_WORDS, "type": "refused"}),
    account("fill", account_frame(fills=[fill_row()]), {"side": "refused", "direction": "ignored"}),
    account("position", account_frame(positions=[position_row("SHORT", "0.16")]), {"side": "refused"}),
    Reader("apex book", json.loads(BOOK), session_reader(market_session), {}),
    body("create", order_body(status="OPEN", cumSuccessFillSize="0.001"), lambda data: parse.parse_order(data, NOW), ORDER_WORDS),
    body("open orders", [ORDER], lambda data: parse.parse_open_orders(data, SYMBOL, NOW), ORDER_WORDS),
    body("history", {"orders": [ORDER]}, lambda data: parse.parse_history(data, SYMBOL, NOW), ORDER_WORDS),
    body("fills", {"orders": [fill_row()]}, lambda data: parse.parse_fills(data, SYMBOL, NOW), {"side": "refused"}),
    body("account", account_body(positions=[position_row("SHORT", "0.16")]), parse.parse_account, {"side": "refused"}),
    body("depth", DEPTH, lambda data: parse.parse_depth(data, SYMBOL, MARKET, NOW), {}),
]
NEWS = [encoded({"topic": "ws_melted_v1", "type": "delta", "contents": {"a": 1}}), encoded({"hello": "world"})]
SESSIONS = {"account": account_session, "market": market_session}
BODY_PARSERS = tuple(
    body_reader(read, WireRefused)
    for read in (
        lambda data: parse.parse_order(data, NOW),
        lambda data: parse.parse_open_orders(data, SYMBOL, NOW),
        lambda data: parse.parse_fills(data, "LTC-USDT", NOW),
        lambda data: parse.parse_depth(data, SYMBOL, MARKET, NOW),
        lambda data: parse.parse_listing(data, "BTC", "USDT"),
        parse.parse_account,
        parse.parse_balance,
        parse.parse_worst_price,
        parse.parse_time,
    )
)


def recorded_frames() -> Iterator[bytes]:
    return (encoded(row["frame"]) for row in recorded("ws_docs_examples"))


def recorded_bodies() -> Iterator[bytes]:
    """What stands in the envelope of an answer."""
    bodies = [row["body"] for row in recorded("rest_responses")] + [
        {"data": row["payload"]} for row in recorded("real_ccxt_rest")
    ]
    return (encoded(body.get("data", body)) for body in bodies)
