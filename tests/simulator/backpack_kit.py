"""A Backpack face on a virtual clock, a signing caller written from the protocol notes, and a peer that only listens."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.instrument import Instrument
from core.types import Fees, Side, VenueId
from simulator.backpack import BackpackFace, BackpackLimits
from simulator.clock import Delays, VirtualClock
from simulator.exchange import Exchange
from simulator.faults import FrameFault, RequestFault
from simulator.net import HttpReply, HttpRequest

WIRE = Path(__file__).resolve().parents[3] / "shared" / "wire" / "backpack"
SYMBOL = "ETH_USDC_PERP"
ME = "hedger"
SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
API_KEY = base64.b64encode(KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)).decode()
ETH = Instrument(
    venue=VenueId("backpack"),
    symbol=SYMBOL,
    base="ETH",
    quote="USDC",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
)
NO_DELAYS = Delays()
INSTRUCTIONS = {
    "POST /api/v1/order": "orderExecute",
    "DELETE /api/v1/order": "orderCancel",
    "GET /api/v1/order": "orderQuery",
    "GET /api/v1/orders": "orderQueryAll",
    "DELETE /api/v1/orders": "orderCancelAll",
    "GET /wapi/v1/history/orders": "orderHistoryQueryAll",
    "GET /wapi/v1/history/fills": "fillHistoryQueryAll",
    "GET /api/v1/position": "positionQuery",
    "GET /api/v1/account": "accountQuery",
    "GET /api/v1/account/limits/order": "maxOrderQuantity",
    "GET /api/v1/capital": "balanceQuery",
    "GET /api/v1/capital/collateral": "collateralQuery",
}
LIMIT = {"orderType": "Limit", "price": "2990.00", "quantity": "0.100", "side": "Bid", "symbol": SYMBOL}


def wire_lines(name: str) -> list[dict]:
    """The lines of one wire sample file; skips the test, saying why, where the samples are absent."""
    path = WIRE / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]


class ScriptedNemesis:
    """Gives out the listed faults one by one, then none."""

    def __init__(self) -> None:
        self.requests: list[RequestFault] = []
        self.frames: list[FrameFault | None] = []
        self.asked: list[tuple[str, str]] = []

    def on_request(self, venue: str, route: str) -> RequestFault | None:
        self.asked.append((venue, route))
        return self.requests.pop(0) if self.requests else None

    def on_frame(self, venue: str, channel: str) -> FrameFault | None:
        self.asked.append((venue, channel))
        return self.frames.pop(0) if self.frames else None


class Peer:
    """A client of the WebSocket face that keeps what it was sent."""

    def __init__(self, peer_id: int = 1) -> None:
        self.id = peer_id
        self.raw: list[str] = []

    def send(self, text: str) -> None:
        self.raw.append(text)

    def frames(self, stream: str) -> list[dict]:
        return [frame["data"] for frame in map(json.loads, self.raw) if frame.get("stream") == stream]


class Bench:
    """One venue to try things on: a book around 3000, its face, a virtual clock."""

    def __init__(self, *, delays: Delays = NO_DELAYS, limits: BackpackLimits | None = None) -> None:
        self.clock = VirtualClock()
        self.nemesis = ScriptedNemesis()
        fees = Fees(Decimal("-0.00005"), Decimal("0.0005"))
        self.exchange = Exchange("backpack", [ETH], {ME: fees}, first_order_id=28_563_660_001)
        self.exchange.advance(self.clock.now())
        credentials = {"api_key": API_KEY, "account": ME}
        self.face = BackpackFace(self.exchange, self.clock, self.nemesis, delays=delays, limits=limits, credentials=credentials)
        self._next_peer = 1

    def quote(self, side: Side, price: str, quantity: str) -> int:
        """A resting order of the house; its id."""
        order = self.exchange.place("house", SYMBOL, side, Decimal(quantity), Decimal(price))
        return order.order_id

    def with_book(self) -> Bench:
        """Two levels a side: bids 2999.50, 2999.00; asks 3000.50, 3001.00; one ETH each."""
        for side, prices in ((Side.BUY, ("2999.50", "2999.00")), (Side.SELL, ("3000.50", "3001.00"))):
            for price in prices:
                self.quote(side, price, "1")
        return self

    def take(self, side: Side, quantity: str) -> None:
        """Somebody else's market order."""
        self.exchange.advance(self.clock.now())
        self.exchange.place("flow", SYMBOL, side, Decimal(quantity), None)

    def request(
        self, method: str, path: str, fields: object = None, *, age_s: float = 0, window: str | None = None, signature: str = ""
    ) -> HttpRequest:
        """A signed request made ``age_s`` ago; ``signature`` replaces the right one."""
        timestamp = str(round((self.clock.now() - age_s) * 1000))
        headers = {"x-api-key": API_KEY, "x-timestamp": timestamp}
        if window is not None:
            headers["x-window"] = window
        text = f"{_clauses(method, path, fields or {})}&timestamp={timestamp}&window={window or 5000}"
        headers["x-signature"] = signature or sign(text)
        if method == "GET":
            query = {name: str(value) for name, value in (fields or {}).items()}
            return HttpRequest(method, path, query, urlencode(query), headers, b"")
        return HttpRequest(method, path, {}, "", headers, json.dumps(fields or {}).encode())

    def send(self, request: HttpRequest) -> HttpReply:
        return asyncio.run(self.face.rest(request))

    def call(self, method: str, path: str, fields: object = None, **how: object) -> tuple[int, object]:
        """Status and decoded body (text where it is not JSON) of a signed request."""
        reply = self.send(self.request(method, path, fields, **how))
        try:
            return reply.status, json.loads(reply.body)
        except ValueError:
            return reply.status, reply.body.decode()

    def place(self, **fields: object) -> dict:
        """The 200 answer to a limit order at 2990 with ``fields`` changed; None drops a field."""
        status, row = self.call("POST", "/api/v1/order", order_body(**fields))
        assert status == 200, row
        return row

    def listen(self, *streams: str) -> Peer:
        """A connected peer subscribed to ``streams``, signed where one is private."""
        peer = Peer(self._next_peer)
        self._next_peer += 1
        self.face.ws.opened(peer)
        self.face.ws.received(peer, json.dumps(self.subscription(*streams)))
        return peer

    def subscription(self, *streams: str, age_s: float = 0) -> dict:
        request: dict[str, object] = {"method": "SUBSCRIBE", "params": list(streams)}
        if any(stream.startswith("account.") for stream in streams):
            timestamp = str(round((self.clock.now() - age_s) * 1000))
            text = f"instruction=subscribe&timestamp={timestamp}&window=5000"
            request["signature"] = [API_KEY, sign(text), timestamp, "5000"]
        return request


async def drive(bench: Bench, request: HttpRequest, seconds: float) -> object:
    """The answer to a request while the venue's clock runs ``seconds``; None where none came."""
    task = asyncio.ensure_future(bench.face.rest(request))
    for _ in range(100):
        await _spin()
        bench.clock.run_for(seconds / 100)
    await _spin()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    return None


async def _spin() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def order_body(**fields: object) -> dict:
    return {name: value for name, value in {**LIMIT, **fields}.items() if value is not None}


def sign(text: str) -> str:
    return base64.b64encode(KEY.sign(text.encode())).decode()


def _clauses(method: str, path: str, fields: object) -> str:
    if isinstance(fields, list):
        return "&".join(_clause("orderExecute", order) for order in fields)
    return _clause(INSTRUCTIONS.get(f"{method} {path}", "none"), fields)


def _clause(instruction: str, fields: dict) -> str:
    return "&".join([f"instruction={instruction}", *_pairs(sorted(fields.items()))])


def _pairs(items: Iterable[tuple[str, object]]) -> list[str]:
    return [f"{name}={json.dumps(value) if isinstance(value, bool) else value}" for name, value in items]
