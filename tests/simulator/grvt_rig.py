"""A GRVT face on a virtual clock, a client that signs with eth-account, and a peer that only remembers: no sockets, no loop."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from core.instrument import Instrument
from core.types import Fees, Side, VenueId
from simulator.buckets import Rate
from simulator.clock import Delays, VirtualClock
from simulator.exchange import Exchange
from simulator.faults import FrameFault, RequestFault
from simulator.grvt import GrvtFace
from simulator.net import Drop, HttpReply, HttpRequest

WIRE = Path(__file__).resolve().parents[3] / "shared" / "wire" / "grvt"
KEY = "0x" + "22" * 32
SIGNER = "0x1563915e194D8CfBA1943570603F7606A3115508"
SUB = "2147050003876484"
ETH = "ETH_USDT_Perp"
START = 1_790_000_000.0
CREDENTIALS = {
    "api_key": "dummy-key",
    "signer_address": SIGNER,
    "sub_account_id": SUB,
    "account_id": "ACC:7",
    "chain_id": "325",
}
INSTRUMENT = Instrument(
    venue=VenueId("grvt"),
    symbol=ETH,
    base="ETH",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.01"),
    min_quantity=Decimal("0.01"),
    min_notional=Decimal("20"),
    contract_id="0x030401",
    base_decimals=9,
)
BTC = Instrument(
    venue=VenueId("grvt"),
    symbol="BTC_USDT_Perp",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    min_notional=Decimal("100"),
    contract_id="0x030501",
    base_decimals=9,
)
TIF = {"GOOD_TILL_TIME": 1, "ALL_OR_NONE": 2, "IMMEDIATE_OR_CANCEL": 3, "FILL_OR_KILL": 4, "RETAIL_PRICE_IMPROVEMENT": 5}
TYPES = {
    "Order": [
        {"name": "subAccountID", "type": "uint64"},
        {"name": "isMarket", "type": "bool"},
        {"name": "timeInForce", "type": "uint8"},
        {"name": "postOnly", "type": "bool"},
        {"name": "reduceOnly", "type": "bool"},
        {"name": "legs", "type": "OrderLeg[]"},
        {"name": "nonce", "type": "uint32"},
        {"name": "expiration", "type": "int64"},
    ],
    "OrderLeg": [
        {"name": "assetID", "type": "uint256"},
        {"name": "contractSize", "type": "uint64"},
        {"name": "limitPrice", "type": "uint64"},
        {"name": "isBuyingContract", "type": "bool"},
    ],
}


def wire_lines(name: str) -> list[dict[str, Any]]:
    """The recorded payloads of that file; skips the test where the recordings are absent."""
    path = WIRE / name
    if not path.exists():
        pytest.skip(f"no recorded payloads: {name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def capture(fn: str, *, of: str = "live_frames_ccxt.jsonl") -> dict[str, Any]:
    """The first recorded payload of that ccxt function."""
    return next(line["frame"] for line in wire_lines(of) if line["fn"] == fn and line["origin"].startswith("live"))


class ScriptedNemesis:
    """Strikes the next request or frame with what was queued for it; silence stays until taken back."""

    def __init__(self) -> None:
        self.requests: dict[str, RequestFault] = {}
        self.frames: list[FrameFault] = []
        self.is_silent = False
        self.asked: list[str] = []

    def on_request(self, venue: str, route: str) -> RequestFault | None:
        self.asked.append(f"{venue} {route}")
        return self.requests.pop(route, None)

    def on_frame(self, venue: str, channel: str) -> FrameFault | None:
        if self.is_silent:
            return FrameFault("silence")
        return self.frames.pop(0) if self.frames else None


class Peer:
    """A client's end of a socket: what was sent to it, parsed."""

    count = 0

    def __init__(self, headers: Mapping[str, str] | None = None, path: str = "/ws/full") -> None:
        Peer.count += 1
        self.id = Peer.count
        self.path = path
        self.headers = dict(headers or {})
        self.tag: dict[str, Any] = {}
        self.texts: list[str] = []
        self.is_aborted = False

    def send(self, text: str) -> None:
        self.texts.append(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        raise AssertionError("the face never closes politely")

    def abort(self) -> None:
        self.is_aborted = True

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]

    def frames(self, stream: str) -> list[dict[str, Any]]:
        return [frame for frame in self.all() if frame.get("stream") == stream]

    def feeds(self, stream: str) -> list[dict[str, Any]]:
        return [frame["feed"] for frame in self.frames(stream)]

    def numbers(self, stream: str) -> list[tuple[str, str]]:
        return [(frame["sequence_number"], frame["prev_sequence_number"]) for frame in self.frames(stream)]

    def statuses(self) -> list[tuple[str, str]]:
        states = [feed["order_state"] for feed in self.feeds("v1.state")]
        return [(state["status"], state["reject_reason"]) for state in states]

    def replies(self) -> list[dict[str, Any]]:
        return [frame for frame in self.all() if "stream" not in frame]


class Rig:
    """The face, its exchange and a logged-in client of it."""

    def __init__(self, *, delays: Delays | None = None, limits: Mapping[str, Rate] | None = None) -> None:
        self.clock = VirtualClock(START)
        self.exchange = Exchange("grvt", [INSTRUMENT, BTC], Fees(Decimal("-0.000001"), Decimal("0.00045")))
        self.exchange.advance(START)
        self.nemesis = ScriptedNemesis()
        self.delays = delays or Delays()
        self.face = GrvtFace(
            self.exchange,
            self.clock,
            self.nemesis,
            delays=self.delays,
            limits={} if limits is None else limits,
            credentials=CREDENTIALS,
        )
        self.cookie = ""
        self._nonce = 0

    # -- REST

    def raw(self, path: str, body: object, *, headers: Mapping[str, str] | None = None, method: str = "POST") -> HttpReply | Drop:
        """One request without delays, answered at once."""
        return finish(self.rest(path, body, headers=headers, method=method))

    def rest(
        self, path: str, body: object, *, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Coroutine[Any, Any, HttpReply | Drop]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.face.rest(HttpRequest(method, path, {}, "", dict(self.headers if headers is None else headers), data))

    def call(self, route: str, body: object) -> dict[str, Any]:
        """The reply body of a route of the full dialect."""
        reply = self.raw(f"/full/v1/{route}", body)
        assert isinstance(reply, HttpReply)
        answer: dict[str, Any] = json.loads(reply.body)
        return answer

    def ask(self, route: str, **params: object) -> Any:
        """The ``result`` of a trading route for our own sub account."""
        return self.call(route, {"sub_account_id": SUB, **params})["result"]

    def login(self, api_key: str = "dummy-key") -> HttpReply:
        reply = self.raw("/auth/api_key/login", {"api_key": api_key})
        assert isinstance(reply, HttpReply)
        cookie = dict(reply.headers).get("Set-Cookie", "")
        self.cookie = cookie.partition(";")[0]
        return reply

    @property
    def headers(self) -> dict[str, str]:
        return {"cookie": self.cookie, "x-grvt-account-id": "ACC:7"} if self.cookie else {}

    # -- orders

    def order(self, **changes: Any) -> dict[str, Any]:
        """A signed post-only bid for 0.16 ETH at 3000.00, living 60 s, with ``changes`` applied before signing.

        Keys: client, nonce, side, size, price, tif, post_only, reduce_only, is_market, expiration (ns), chain, symbol.
        """
        self._nonce += 1
        contract = {c.symbol: c for c in (INSTRUMENT, BTC)}[changes.get("symbol", ETH)]
        is_market = changes.get("is_market", False)
        size, price = changes.get("size", "0.16"), "0" if is_market else changes.get("price", "3000.00")
        expiration = changes.get("expiration", int((self.clock.now() + 60) * 1e9))
        nonce = changes.get("nonce", self._nonce)
        tif = changes.get("tif", "GOOD_TILL_TIME")
        post_only = changes.get("post_only", tif == "GOOD_TILL_TIME" and not is_market)
        is_buy = changes.get("side", Side.BUY) is Side.BUY
        leg = {
            "assetID": int(contract.contract_id, 16),
            "contractSize": int(Decimal(size) * 10**9),
            "limitPrice": int(Decimal(price) * 10**9),
            "isBuyingContract": is_buy,
        }
        message = {
            "subAccountID": int(SUB),
            "isMarket": is_market,
            "timeInForce": TIF[tif],
            "postOnly": post_only,
            "reduceOnly": changes.get("reduce_only", False),
            "legs": [leg],
            "nonce": nonce,
            "expiration": expiration,
        }
        domain = {"name": "GRVT Exchange", "version": "0", "chainId": changes.get("chain", 325)}
        signed = Account.sign_typed_data(changes.get("key", KEY), domain, TYPES, message)
        return {
            "sub_account_id": SUB,
            "is_market": is_market,
            "time_in_force": tif,
            "post_only": post_only,
            "reduce_only": changes.get("reduce_only", False),
            "legs": [{"instrument": contract.symbol, "size": size, "limit_price": price, "is_buying_asset": is_buy}],
            "signature": {
                "signer": SIGNER,
                "r": f"0x{signed.r:064x}",
                "s": f"0x{signed.s:064x}",
                "v": signed.v,
                "expiration": str(expiration),
                "nonce": nonce,
                "chain_id": str(changes.get("chain", 325)),
            },
            "metadata": {"client_order_id": str(changes.get("client", 2**63 + nonce))},
        }

    def create(self, order: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """The whole reply to a create_order."""
        return self.call("create_order", {"order": order or self.order(**changes)})

    def code(self, order: dict[str, Any]) -> int:
        """The error code a create_order is refused with; 0 = accepted."""
        return int(self.create(order).get("code", 0))

    def house(self, side: Side, price: str, quantity: str = "1") -> None:
        """An order of the market itself, resting or taking; bids and asks are two accounts and so may meet."""
        self.exchange.advance(self.clock.now())
        self.exchange.place("house" if side is Side.SELL else "flow", ETH, side, Decimal(quantity), Decimal(price))

    def state(self, client: int | str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask("order", client_order_id=str(client))["state"]
        return state

    # -- sockets

    def trading(self) -> Peer:
        peer = Peer(self.headers)
        self.face.trading.opened(peer)
        return peer

    def market(self) -> Peer:
        peer = Peer()
        self.face.market.opened(peer)
        return peer

    def watch(self, *streams: str) -> Peer:
        """A trading socket following the whole sub account, the subscription replies forgotten."""
        peer = self.trading()
        for stream in streams:
            self.send(peer, "subscribe", {"stream": stream, "selectors": [SUB]})
        peer.texts.clear()
        return peer

    def follow(self, stream: str, selector: str) -> Peer:
        """A market socket with one subscription, reply and snapshots kept."""
        peer = self.market()
        self.send(peer, "subscribe", {"stream": stream, "selectors": [selector]})
        return peer

    def send(self, peer: Peer, method: str, params: object, request_id: int = 1) -> dict[str, Any]:
        """One call; the newest reply so far (the one to it, where nothing is delayed)."""
        face = self.face.trading if peer.id in self.face.trading._sessions else self.face.market
        face.received(peer, json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": request_id}))
        replies = peer.replies()
        return replies[-1] if replies else {}


def finish(coroutine: Coroutine[Any, Any, HttpReply | Drop]) -> HttpReply | Drop:
    """The result of a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: HttpReply | Drop = done.value
        return result
    coroutine.close()
    raise AssertionError("the face waited although nothing is delayed")


def keys(value: object, prefix: str = "") -> Iterator[str]:
    """Every path of a JSON object with the type at its end, list items as one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys(inner, f"{prefix}.{name}")
    elif isinstance(value, list):
        for inner in value[:1]:
            yield from keys(inner, f"{prefix}[]")
    else:
        yield f"{prefix}:{type(value).__name__}"
