"""ApeX as a venue of the simulator process: opted in by --venues, its ports, its tricks, its switches."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from simulator.__main__ import main
from tests.simulator.test_process import WAIT_S, Process

BOOK = "orderBook25.H.ETHUSDT"


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    started = Process("--venues", "grvt,backpack,apex")
    yield started
    started.end()


def book(process: Process) -> Any:
    url = f"{process.directory['apex']['rest']}/api/v3/depth?symbol=ETHUSDT&limit=5"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return json.load(answer)["data"]


def listening(process: Process) -> websocket.WebSocket:
    """A client that has had the snapshot of a book."""
    client = websocket.create_connection(f"{process.directory['apex']['ws']}/realtime_public?v=2", timeout=WAIT_S)
    try:
        client.send(json.dumps({"op": "subscribe", "args": [BOOK]}))
        while json.loads(client.recv()).get("type") != "snapshot":
            pass
    except (ConnectionResetError, websocket.WebSocketConnectionClosedException):
        client.shutdown()
        raise
    return client


def test_apex_is_listed_where_it_was_asked_for(process: Process) -> None:
    """Endpoints and credentials by the names a bot knows."""
    names = ["APEX_API_KEY", "APEX_API_KEY_PASSPHRASE", "APEX_API_KEY_SECRET", "APEX_OMNI_KEY_SEED"]
    assert (["rest", "ws"], names) == (sorted(process.directory["apex"]), sorted(process.directory["accounts"]["apex"]))


def test_it_can_be_alone() -> None:
    """One venue makes a market of its own."""
    alone = Process("--venues", "apex")
    has_book = bool(book(alone)["b"])
    assert (["accounts", "apex", "control"], True, (0, "")) == (sorted(alone.directory), has_book, alone.end())


@pytest.mark.parametrize("venues", ["mtgox", "apex,apex", ""])
def test_nonsense_is_refused(venues: str) -> None:
    """argparse exits with 2."""
    with pytest.raises(SystemExit) as raised:
        main(["--venues", venues])
    assert 2 == raised.value.code


def test_both_paths_share_one_port(process: Process) -> None:
    """The private one counts as the account channel."""
    private = websocket.create_connection(f"{process.directory['apex']['ws']}/realtime_private?v=2", timeout=WAIT_S)
    public = listening(process)
    peers = process.get("/health")["peers"]["apex"]
    private.close(), public.close()
    assert {"market": 1, "account": 1} == peers


def test_a_kicked_channel_spares_the_other(process: Process) -> None:
    private = websocket.create_connection(f"{process.directory['apex']['ws']}/realtime_private?v=2", timeout=WAIT_S)
    public = listening(process)
    process.post("/kick", {"venue": "apex", "channel": "account"})
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        private.recv()
    has_more = bool(public.recv())
    private.shutdown(), public.close()
    assert has_more


def test_a_refused_channel_lets_nobody_in(process: Process) -> None:
    process.post("/refuse", {"venue": "apex", "channel": "market", "is_on": True})
    try:
        with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
            listening(process)
    finally:
        process.post("/refuse", {"venue": "apex", "channel": "market", "is_on": False})


def test_the_price_can_be_forced(process: Process) -> None:
    """All venues move; the house's basis is a few ticks."""
    process.post("/market", {"freeze": True})
    process.post("/trick", {"venue": "apex", "name": "force_price", "symbol": "ETH-USDT", "price": "2900.00"})
    touch = float(book(process)["b"][-1][0])
    process.post("/market", {"freeze": False})
    assert pytest.approx(2900, abs=0.1) == touch


@pytest.mark.parametrize(
    "trick",
    [
        {"name": "gap", "symbol": "ETH-USDT"},
        {"name": "margin_short", "is_on": False},
        {"name": "cancels_sibling", "is_on": False},
        {"name": "ignores_reduce_only", "is_on": False},
        {"name": "garbled_cancels", "is_on": False},
        {"name": "failing_fills", "status": ""},
        {"name": "history_frame", "status": "delta"},
        {"name": "window", "delay_s": 60},
    ],
    ids=lambda trick: trick["name"],
)
def test_its_tricks_are_known(process: Process, trick: dict[str, Any]) -> None:
    assert {} == process.post("/trick", {"venue": "apex", **trick})


@pytest.mark.parametrize(
    "trick",
    [
        {"name": "restart_gateway"},
        {"name": "force_price", "symbol": "ETH-USDT"},
        {"name": "force_price", "symbol": "CL-USDT", "price": "1"},
        {"name": "expire", "order_id": 1},
        {"name": "cancel_by_venue", "order_id": 1},
        {"name": "window"},
        {"name": "failing_fills", "status": "SOMETIMES"},
    ],
    ids=str,
)
def test_misuse_is_told(process: Process, trick: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        process.post("/trick", {"venue": "apex", **trick})
    with raised.value:
        assert (400, True) == (raised.value.code, bool(json.load(raised.value)["error"]))
