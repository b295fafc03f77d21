"""Where GRVT's bytes become facts, with a sample for each place, and what is recorded of the venue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from adapters.grvt import parse
from adapters.grvt.values import WireRefused
from tests.adapters.content import Fate, Reader, body_reader, session_reader
from tests.adapters.grvt.sessions import frame, market, synced_market, synced_trading
from tests.adapters.grvt.support import ACCOUNT, BASE, NOW, SUB, SYMBOL, encoded, fill_json, order_json, wire

FRAME_FILES = ("live_frames_ccxt.jsonl", "lifecycle_synthetic.jsonl", "trading_ws_doc.jsonl", "md_ws_doc.jsonl", "ws_rpc.jsonl")
BODY_FILES = (
    "auth.jsonl",
    "errors.jsonl",
    "instruments.jsonl",
    "live_frames_ccxt.jsonl",
    "md_rest_doc.jsonl",
    "trading_rest_doc.jsonl",
)
ORDER = order_json("CANCELLED", "0.06", reason="CLIENT_CANCEL")
STATE = {"order_id": "0x0a", "client_order_id": str(BASE + 7), "order_state": ORDER["state"]}
POSITION = {"sub_account_id": SUB, "instrument": SYMBOL, "size": "-0.16"}
BOOK = {
    "event_time": "1767359367586000000",
    "instrument": SYMBOL,
    "bids": [{"price": "100.5", "size": "2.5"}],
    "asks": [{"price": "100.7", "size": "1.5"}],
}
STATUS: dict[str, Fate] = {"status": "asked", "reject_reason": "ignored"}
ORDER_WORDS: dict[str, Fate] = {**STATUS, "time_in_force": "ignored"}
ELSEWHERE = frozenset({"instrument", "stream"})


def framed(stream: str, number: int, feed: dict[str, Any]) -> Any:
    """The frame as JSON value."""
    return json.loads(frame(stream, number, feed))


def account(stream: str, feed: dict[str, Any], words: dict[str, Fate], silent: frozenset[str] = frozenset()) -> Reader:
    """Of the trading socket."""
    return Reader(f"grvt {stream}", framed(stream, 1, feed), session_reader(synced_trading), words, silent)


def body(name: str, sample: object, read: Callable[[bytes], object], words: dict[str, Fate]) -> Reader:
    return Reader(f"grvt {name}", sample, body_reader(read, WireRefused), words, frozenset({"result", "instrument"}))


READERS = [
    account("v1.order", ORDER, ORDER_WORDS),
    account("v1.state", STATE, STATUS),
    account("v1.fill", fill_json(), {}),
    account("v1.position", POSITION, {}),
    Reader("grvt v1.book.d", framed("v1.book.d", 1, BOOK), session_reader(synced_market), {}),
    Reader("grvt v1.book.d snapshot", framed("v1.book.d", 0, BOOK), session_reader(market), {}),
    body("create_order", {"result": ORDER}, lambda raw: parse.created(raw, ACCOUNT, NOW), ORDER_WORDS),
    body("order", {"result": ORDER}, lambda raw: parse.order_answer(raw, ACCOUNT, NOW), ORDER_WORDS),
    body("open_orders", {"result": [ORDER]}, lambda raw: parse.open_orders(raw, ACCOUNT, NOW), ORDER_WORDS),
    body("fill_history", {"result": [fill_json()], "next": "c"}, lambda raw: parse.fill_page(raw, ACCOUNT, NOW), {}),
    body("positions", {"result": [POSITION]}, lambda raw: parse.position_answer(raw, ACCOUNT, NOW), {}),
    body("book", {"result": BOOK}, lambda raw: parse.book_answer(raw, SYMBOL, NOW), {}),
]
NEWS = [
    encoded({"stream": "v1.melted", "selector": "x", "sequence_number": "1", "feed": {"a": 1}, "prev_sequence_number": "0"}),
    encoded({"hello": "world"}),
]
SESSIONS = {"account": synced_trading, "market": synced_market}
BODY_PARSERS: tuple[Callable[[bytes], object], ...] = tuple(reader.read for reader in READERS[6:]) + tuple(
    body_reader(read, WireRefused) for read in (parse.is_acknowledged, parse.server_time_ms, parse.summary, parse.login)
)


def recorded_frames() -> Iterator[bytes]:
    return (encoded(line["frame"]) for name in FRAME_FILES for line in wire(name) if line.get("dir") != "out")


def recorded_bodies() -> Iterator[bytes]:
    return (encoded(line.get("frame", line)) for name in BODY_FILES for line in wire(name) if line.get("dir") != "out")
