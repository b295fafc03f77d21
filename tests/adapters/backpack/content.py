"""Where Backpack's bytes become facts, with a sample for each place, and what is recorded of the venue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from adapters.backpack import parse
from adapters.backpack.clock import VenueClock
from adapters.backpack.parse import DepthSnapshot
from adapters.backpack.stream import BackpackAccountSession, BackpackMarketSession
from adapters.backpack.values import WireRefused
from tests.adapters.backpack.support import (
    SIGNER,
    SYMBOL,
    WALL_S,
    depth_frame,
    encoded,
    fill_row,
    order_body,
    order_frame,
    recorded,
)
from tests.adapters.content import NOW, Fate, Reader, body_reader, session_reader

FRAME_FILES = ("ws_captured", "ws_documented", "lifecycle_constructed")
BODY_FILES = ("rest_responses", "errors", "schemas", "enums", "rest_requests")
POSITION = {"s": SYMBOL, "q": "-0.16", "Q": "0.16", "i": 28_563_667_732, "B": "126.97", "T": 1_769_366_599_828_078}
DEPTH = {
    "asks": [["3000.2", "1.5"]],
    "bids": [["2999.1", "1"], ["3000.1", "2.5"]],
    "lastUpdateId": "8",
    "timestamp": 1_791_500_000,
}
FRAME_WORDS: dict[str, Fate] = {"X": "asked", "o": "ignored", "f": "ignored", "O": "ignored"}
BODY_WORDS: dict[str, Fate] = {"status": "asked", "orderType": "ignored", "timeInForce": "ignored"}


def account_session() -> BackpackAccountSession:
    session = BackpackAccountSession("ws://x", SYMBOL, SIGNER, VenueClock(wall_s=lambda: WALL_S))
    session.opened(NOW)
    return session


def market_session() -> BackpackMarketSession:
    """A live book at update 10."""
    level = ((Decimal(3000), Decimal(1)),)
    session = BackpackMarketSession("ws://x", SYMBOL, lambda: DepthSnapshot(10, level, (), 0))
    session.opened(NOW)
    session.received(depth_frame(10, 10), NOW)
    session.tick(NOW)
    return session


def in_stream(stream: str, data: object) -> object:
    return {"stream": f"{stream}.{SYMBOL}", "data": data}


def account(name: str, data: object, stream: str, words: dict[str, Fate]) -> Reader:
    return Reader(f"backpack {name}", in_stream(stream, data), session_reader(account_session), words)


def body(name: str, sample: object, read: Callable[[bytes], object], words: dict[str, Fate]) -> Reader:
    return Reader(f"backpack {name}", sample, body_reader(read, WireRefused), words)


DELTA = {
    "e": "depth",
    "E": 1_791_500_000_700_800,
    "T": 1_791_500_000_700_000,
    "s": SYMBOL,
    "U": 11,
    "u": 12,
    "b": [["3000.1", "2.5"]],
    "a": [["3000.2", "1.5"]],
}
READERS = [
    account("orderFill", order_frame(), "account.orderUpdate", {**FRAME_WORDS, "S": "refused"}),
    account(
        "orderAccepted",
        order_frame(e="orderAccepted", X="New", z="0.005"),
        "account.orderUpdate",
        {**FRAME_WORDS, "e": "ignored"},
    ),
    account("positionUpdate", POSITION, "account.positionUpdate", {}),
    Reader("backpack depth", in_stream("depth", DELTA), session_reader(market_session), {"e": "refused"}),
    body("order", order_body(), lambda raw: parse.parse_order(raw, NOW), BODY_WORDS),
    body("orders", [order_body()], lambda raw: parse.parse_orders(raw, NOW), BODY_WORDS),
    body("fills", [fill_row(9)], lambda raw: parse.parse_fills(raw, NOW), {"side": "refused", "systemOrderType": "ignored"}),
    body("positions", [{"symbol": SYMBOL, "netQuantity": "-0.16"}], parse.parse_positions, {}),
    body("depth by REST", DEPTH, lambda raw: parse.book_update(SYMBOL, parse.parse_depth(raw), NOW), {}),
]
NEWS = [
    encoded({"stream": f"account.melted.{SYMBOL}", "data": {"e": "melted"}}),
    encoded({"stream": f"trade.{SYMBOL}", "data": {"e": "trade"}}),
]
SESSIONS = {"account": account_session, "market": market_session}
BODY_PARSERS: tuple[Callable[[bytes], object], ...] = tuple(reader.read for reader in READERS[4:]) + tuple(
    body_reader(read, WireRefused) for read in (parse.parse_depth, parse.parse_account, parse.parse_markets)
)


def recorded_frames() -> Iterator[bytes]:
    return (encoded(row["frame"]) for name in FRAME_FILES for row in recorded(name) if "frame" in row)


def recorded_bodies() -> Iterator[bytes]:
    """Plain text is left out: a page has no grammar that a cut could break."""
    values = (row.get("response", row.get("body", row)) for name in BODY_FILES for row in recorded(name))
    return (encoded(value) for value in values if not isinstance(value, str))
