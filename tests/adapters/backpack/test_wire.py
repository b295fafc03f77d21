"""Claims over every recorded payload: each parses or is refused by the typed rule, and no truncation of a frame gets through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from adapters.backpack import frames, parse
from adapters.backpack.clock import VenueClock
from adapters.backpack.frames import Complaint
from adapters.backpack.stream import BackpackAccountSession, BackpackMarketSession
from adapters.backpack.values import WireRefused
from adapters.transport.stream import SessionFailed
from core.messages import FrameRejected
from tests.adapters.backpack.support import SIGNER, encoded, recorded

STREAM_FILES = ("ws_captured", "ws_documented", "lifecycle_constructed")
BODY_FILES = ("rest_responses", "errors", "schemas", "enums", "rest_requests", "sign_vectors")
TOPICS = {
    "depth": "depth", "bookTicker": "bookTicker", "positionOpened": "account.positionUpdate", "orderAccepted": "account.orderUpdate",
    "orderFill": "account.orderUpdate",
}  # fmt: skip
BODY_PARSERS: list[Callable[[bytes], object]] = [
    lambda body: parse.parse_order(body, 0.0),
    lambda body: parse.parse_orders(body, 0.0),
    lambda body: parse.parse_fills(body, 0.0),
    parse.parse_positions,
    parse.parse_depth,
    parse.parse_account,
    parse.parse_markets,
    parse.parse_time,
    parse.parse_error,
]


def envelopes() -> Iterator[tuple[str, bytes, str]]:
    """(symbol, frame, stream) of all recorded frames of the streams we subscribe; bare ones get their envelope back."""
    for name in STREAM_FILES:
        for row in recorded(name):
            frame = row.get("frame", {})
            data: Any = frame.get("data", frame)
            topic = TOPICS.get(data.get("e", ""), "") if isinstance(data, dict) else ""
            stream = str(frame.get("stream") or f"{topic}.{data.get('s')}" if isinstance(data, dict) else "")
            is_ours = stream.startswith(("depth.", "account.orderUpdate", "account.positionUpdate")) or topic == "bookTicker"
            if is_ours:
                yield data["s"], encoded({"stream": stream, "data": data}), stream


def feed(frame: bytes, symbol: str, stream: str) -> object:
    if stream.startswith("account."):
        session = BackpackAccountSession("ws://x", symbol, SIGNER, VenueClock(wall_s=lambda: 1.0))
        return session.received(frame, 0.0)
    return BackpackMarketSession("ws://x", symbol, lambda: None).received(frame, 0.0)


def test_every_recorded_frame_of_our_streams_becomes_a_fact() -> None:
    """Captured, documented and constructed ones alike."""
    rejected = [
        frame for symbol, frame, stream in envelopes() if any(isinstance(m, FrameRejected) for m in feed(frame, symbol, stream))
    ]  # type: ignore[attr-defined]
    assert (rejected, len(list(envelopes())) >= 25) == ([], True)


@pytest.mark.parametrize("name", STREAM_FILES)
def test_every_recorded_frame_parses_or_is_refused(name: str) -> None:
    """As recorded, on both sockets: facts, FrameRejected, or the end of the session for an error frame."""
    for row in recorded(name):
        frame = encoded(row.get("frame")) if "frame" in row else str(row.get("raw")).encode()
        for stream in ("account.", "depth."):
            try:
                messages = feed(frame, "ETH_USDC_PERP", stream)
            except SessionFailed:
                assert b'"error"' in frame
                continue
            assert isinstance(messages, tuple)


@pytest.mark.parametrize("name", BODY_FILES)
def test_every_recorded_body_parses_or_is_refused(name: str) -> None:
    """By every body parser, whether or not the body was meant for it."""
    for row in recorded(name):
        value = row.get("response", row.get("body", row))
        body = value.encode() if isinstance(value, str) else encoded(value)
        for body_parser in BODY_PARSERS:
            with suppress(WireRefused):
                body_parser(body)


@pytest.mark.parametrize(
    ("name", "parser"),
    [
        ("GET /wapi/v1/history/fills", lambda body: parse.parse_fills(body, 0.0)),
        ("GET /api/v1/depth", parse.parse_depth),
        ("GET /api/v1/depth?symbol=BTC_USDC_PERP&limit=5", parse.parse_depth),
        ("GET /api/v1/position", parse.parse_positions),
        ("parse_market", parse.parse_markets),
    ],
)
def test_a_recorded_answer_is_read_by_its_parser(name: str, parser: Callable[[bytes], Any]) -> None:
    """No row of a captured answer is lost."""
    [body] = [row["response"] for row in recorded("rest_responses") if name in (row.get("endpoint"), row.get("fn"))]
    found = parser(encoded(body))
    assert isinstance(body, dict) or len(body) == len(found)


def test_recorded_order_objects_are_read() -> None:
    """POST reply and open order; the old history row without a quantity too."""
    bodies = [row["response"] for row in recorded("rest_responses") if row.get("fn") == "parse_order"]
    expected = [body["id"] for body in bodies]
    assert expected == [parse.parse_order(encoded(body), 0.0).venue_order_id for body in bodies]


def test_the_recorded_error_frame_is_a_complaint() -> None:
    """4006 on an unknown stream."""
    [row] = [row for row in recorded("ws_captured") if "error" in row["frame"]]
    assert Complaint("4006", "Invalid stream") == frames.parse_market_frame(encoded(row["frame"]), "ETH_USDC_PERP")
