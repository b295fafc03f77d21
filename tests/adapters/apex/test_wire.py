"""Claims over every recorded payload: each parses or is refused by the typed rule, and no truncation of a frame gets through."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from adapters.apex import frames, parse
from adapters.apex.errors import Answered, Denied, judge
from adapters.apex.stream import ApexAccountSession, ApexMarketSession
from adapters.apex.values import WireRefused
from adapters.transport.rest import Ok
from adapters.transport.stream import SessionFailed
from core.messages import FillReported, OrderReported
from core.types import Liquidity, OrderState
from tests.adapters.apex.support import (
    BTC,
    KEY,
    SYMBOL,
    account_frame,
    encoded,
    fill_row,
    make_clock,
    order_row,
    recorded,
)

BODY_PARSERS: list[Callable[[bytes], object]] = [
    lambda data: parse.parse_order(data, 0.0),
    lambda data: parse.parse_open_orders(data, SYMBOL, 0.0),
    lambda data: parse.parse_history(data, SYMBOL, 0.0),
    lambda data: parse.parse_fills(data, "LTC-USDT", 0.0),
    lambda data: parse.parse_listing(data, "BTC", "USDT"),
    lambda data: parse.parse_depth(data, SYMBOL, "BTCUSDT", 0.0),
    lambda data: parse.parse_tickers(data, "USDT"),
    parse.parse_account,
    parse.parse_balance,
    parse.parse_worst_price,
    parse.parse_time,
]


def data_of(ep: str) -> bytes:
    """``data`` of a recorded answer, through the envelope."""
    [row] = [row for row in recorded("rest_responses") if row["ep"].startswith(ep)]
    reply = judge(Ok(200, {}, encoded(row["body"])))
    assert isinstance(reply, Answered)
    return reply.data


def test_every_recorded_body_parses_or_is_refused() -> None:
    """By every parser, whether or not the body was meant for it; a refusal of the venue is seen as one."""
    bodies = [row["body"] for row in recorded("rest_responses")] + [row["payload"] for row in recorded("real_ccxt_rest")]
    kinds = set()
    for body in bodies:
        for wrapped in (body, {"data": body}):
            reply = judge(Ok(200, {}, encoded(wrapped)))
            kinds.add(type(reply))
            for parser in BODY_PARSERS if isinstance(reply, Answered) else ():
                with suppress(WireRefused):
                    parser(reply.data)
    assert {Answered, Denied} <= kinds


@pytest.mark.parametrize("row", range(12))
def test_every_recorded_frame_parses_or_is_refused(row: int) -> None:
    """On both sockets: messages, FrameRejected, or the end of the session for a refusal."""
    frame = recorded("ws_docs_examples")[row]["frame"]
    sessions = (ApexMarketSession("ws://x", BTC, make_clock()), ApexAccountSession("ws://x", SYMBOL, KEY, make_clock()))
    for session in sessions:
        session.opened(0.0)
        try:
            assert isinstance(session.received(encoded(frame), 0.0), tuple)
        except SessionFailed:
            assert frame["success"] is False


def test_recorded_market_frames_become_facts() -> None:
    """A book delta, a trade, a ticker and a bar; none is refused."""
    rows = [row["frame"] for row in recorded("ws_docs_examples") if "topic" in row["frame"]]
    found = [frames.parse_market_frame(encoded(frame), "BTCUSDT") for frame in rows]
    kinds = [type(fact[0] if isinstance(fact, tuple) and type(fact) is tuple else fact) for fact in found]
    assert [frames.BookFrame, frames.Trade, frames.Ticker, frames.Kline] == kinds


@pytest.mark.parametrize(
    ("ep", "state", "reason"),
    [
        ("POST /api/v3/order MARKET SELL", OrderState.SUBMITTED, ""),
        ("POST /api/v3/order MARKET BUY", OrderState.SUBMITTED, ""),
        ("POST /api/v3/order TAKE_PROFIT_LIMIT", OrderState.ACCEPTED, "untriggered"),
        ("POST /api/v3/order STOP_LIMIT", OrderState.ACCEPTED, "untriggered"),
    ],
)
def test_live_create_answers_are_read(ep: str, state: OrderState, reason: str) -> None:
    """Of the main network; another client's ids are foreign."""
    report = parse.parse_order(data_of(ep), 0.0)
    assert (state, reason, None) == (report.state, report.reason, report.client_order_id)


def test_the_live_fill_is_read() -> None:
    """SUCCESS_L2_APPROVED under the key "orders"."""
    [fill], _ = parse.parse_fills(data_of("GET /api/v3/fills"), "LTC-USDT", 0.0)
    assert ("774568067276472686", "774568067192586606", Liquidity.TAKER) == (fill.trade_id, fill.venue_order_id, fill.liquidity)


def test_the_contract_configuration_gives_all_three_names() -> None:
    """Trading symbol, market symbol, and the pair id that signatures name."""
    listing = parse.parse_listing(data_of("GET /api/v3/symbols"), "BTC", "USDT")
    assert listing is not None
    instrument = listing.instrument
    expected = ("BTC-USDT", "BTCUSDT", "50001", 18, "")
    assert expected == (
        instrument.symbol, instrument.market_symbol, instrument.contract_id, instrument.base_decimals, listing.objection,
    )  # fmt: skip


def test_a_delta_brings_fills_before_the_orders_they_end() -> None:
    """So that an order is not closed before its fill is known."""
    session = ApexAccountSession("ws://x", SYMBOL, KEY, make_clock())
    session.opened(0.0)
    frame = account_frame("delta", orders=[order_row(status="FILLED", cumSuccessFillSize="0.002")], fills=[fill_row()])
    assert [FillReported, OrderReported] == [type(message) for message in session.received(frame, 0.0)]
