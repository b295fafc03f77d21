"""The face's payloads against captured ones: the same keys, and the same JSON type under each (shared wire samples)."""

from __future__ import annotations

import pytest

from core.types import Side
from tests.simulator.backpack_kit import SYMBOL, Bench, wire_lines


@pytest.fixture
def bench() -> Bench:
    """A venue that has traded: a resting order, a position, a full history."""
    bench = Bench().with_book()
    bench.place(clientId=123456789, postOnly=True)
    bench.place(price="3000.50", quantity="0.400")
    bench.clock.run_for(1)
    return bench


def captured(file: str, **where: object) -> dict:
    """The first sample whose fields match, its payload's first row."""
    for line in wire_lines(file):
        if all(line.get(name) == value for name, value in where.items()):
            payload = line.get("response", line.get("frame"))
            return payload[0] if isinstance(payload, list) else payload.get("data", payload)
    raise AssertionError(f"no sample with {where}")


def kinds(row: dict) -> dict[str, str]:
    return {name: type(value).__name__ for name, value in row.items() if value is not None}


def misfits(sample: dict, ours: dict, *, optional: frozenset[str] = frozenset()) -> dict[str, object]:
    """Keys missing, added, or of another type; a null on either side fits anything."""
    missing = dict.fromkeys(sample.keys() - ours.keys() - optional, "missing")
    added = dict.fromkeys(ours.keys() - sample.keys() - optional, "added")
    theirs, mine = kinds(sample), kinds(ours)
    types = {name: (theirs[name], mine[name]) for name in theirs.keys() & mine.keys() if theirs[name] != mine[name]}
    return missing | added | types


def test_an_open_order(bench: Bench):
    sample = captured("rest_responses", fn="parse_order", label="fetchOpenOrders")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/orders", {"symbol": SYMBOL})[1][0])


def test_a_market_order(bench: Bench):
    """``quoteQuantity`` belongs to orders by amount, which are not simulated."""
    sample = captured("rest_responses", fn="parse_order", label="")
    ours = bench.place(orderType="Market", price=None, quantity="0.100")
    assert {} == misfits(sample, ours, optional=frozenset({"quoteQuantity"}))


def test_an_order_of_the_history(bench: Bench):
    sample = captured("rest_responses", fn="parse_order", label="fetchOrders")
    ours = bench.call("GET", "/wapi/v1/history/orders", {"symbol": SYMBOL})[1][0]
    extra = frozenset({"executedQuantity", "reduceOnly", "relatedOrderId", "triggeredAt"})
    assert {} == misfits(sample, ours, optional=extra)


def test_a_fill_of_the_history(bench: Bench):
    sample = captured("rest_responses", endpoint="GET /wapi/v1/history/fills")
    assert {} == misfits(sample, bench.call("GET", "/wapi/v1/history/fills", {"symbol": SYMBOL})[1][0])


def test_a_position(bench: Bench):
    sample = captured("rest_responses", endpoint="GET /api/v1/position")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/position")[1][0])


def test_a_depth_snapshot(bench: Bench):
    sample = captured("rest_responses", endpoint="GET /api/v1/depth")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/depth", {"symbol": SYMBOL})[1])


def test_a_public_trade(bench: Bench):
    sample = captured("rest_responses", endpoint="GET /api/v1/trades")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/trades", {"symbol": SYMBOL})[1][0])


def test_a_ticker(bench: Bench):
    sample = captured("rest_responses", fn="parse_ticker")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/ticker", {"symbol": SYMBOL})[1])


def test_a_mark_price(bench: Bench):
    sample = captured("rest_responses", fn="parse_funding_rate")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/markPrices", {"symbol": SYMBOL})[1][0])


def test_a_market(bench: Bench):
    """``visible`` is newer than the sample."""
    sample = captured("rest_responses", fn="parse_market")
    assert {} == misfits(sample, bench.call("GET", "/api/v1/markets")[1][0], optional=frozenset({"visible"}))


def test_account_has_what_the_official_schema_requires(bench: Bench):
    (schema,) = [line["body"] for line in wire_lines("schemas") if line["schema"] == "AccountSummary"]
    assert set(schema["required"]) == set(bench.call("GET", "/api/v1/account")[1])


@pytest.mark.parametrize("stream", ["bookTicker", "depth", "trade", "markPrice"])
def test_a_market_frame(bench: Bench, stream: str):
    (sample, *_) = [
        line["frame"]["data"]
        for line in wire_lines("ws_captured")
        if line["frame"].get("stream", "").endswith("BTC_USDC_PERP") and line["frame"]["data"].get("e") == stream
    ]
    peer = bench.listen(f"{stream}.{SYMBOL}")
    bench.take(Side.BUY, "0.1")
    bench.clock.run_for(1)
    assert {} == misfits(sample, peer.frames(f"{stream}.{SYMBOL}")[0])


@pytest.mark.parametrize("event", ["orderAccepted", "orderFill"])
def test_an_order_frame(bench: Bench, event: str):
    """Of a market order without client id, as captured."""
    frames = [line["frame"] for line in wire_lines("ws_captured") if line.get("dir") is None]
    samples = [frame.get("data", frame) for frame in frames]
    (sample,) = [data for data in samples if data.get("e") == event and data.get("i") == "5406825793"]
    peer = bench.listen("account.orderUpdate")
    bench.place(orderType="Market", price=None, quantity="0.100")
    (ours,) = [frame for frame in peer.frames("account.orderUpdate") if frame["e"] == event]
    assert {} == misfits(sample, ours, optional=frozenset({"Q"}))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_position_frame(bench: Bench, is_first: bool):
    samples = [
        line["frame"]["data"] for line in wire_lines("ws_captured") if line["frame"].get("stream") == "account.positionUpdate"
    ]
    (sample, *_) = [data for data in samples if ("e" not in data) == is_first]
    peer = bench.listen("account.positionUpdate")
    bench.place(price="3000.50", quantity="0.100")
    assert {} == misfits(sample, peer.frames("account.positionUpdate")[0 if is_first else 1])
