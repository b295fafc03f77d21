"""An ApeX face on a virtual clock, a signing caller written from the protocol notes, and a peer that only listens."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib.util
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode

import pytest

from core.instrument import Instrument
from core.types import Fees, Side, VenueId
from simulator.apex import ApexFace, ApexLimits
from simulator.clock import Delays, VirtualClock
from simulator.exchange import Exchange
from simulator.faults import FrameFault, RequestFault
from simulator.net import Drop, HttpReply, HttpRequest

WIRE = Path(__file__).resolve().parents[3] / "shared" / "wire" / "apex"
SYMBOL, NAME = "BTC-USDT", "BTCUSDT"
ACCOUNT = "700000000000000001"
SEED = "11" * 65
L2_KEY = "0x30b0c1f5d42923c43af4f303de94160c80dc79c519d2c35f12c244947615cf0f"
CREDENTIALS = {
    "api_key": "paper-key",
    "secret": "paper-secret",
    "passphrase": "paper-phrase",
    "account_id": ACCOUNT,
    "l2_key": L2_KEY,
}
FEES = Fees(Decimal("0.0002"), Decimal("0.0005"))
START = 1_790_000_000.0
EXPIRATION = "1792419200000"
TOPIC = "ws_zk_accounts_v3"
NO_DELAYS = Delays()
ORDER = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GOOD_TIL_CANCEL", "size": "0.010", "price": "60000"}


def _contract(symbol: str, tick: str, lot: str, pair: str) -> Instrument:
    base, quote = symbol.split("-")
    return Instrument(
        venue=VenueId("apex"),
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_quantity=Decimal(lot),
        contract_id=pair,
        base_decimals=18,
        market_symbol=symbol.replace("-", ""),
    )


BTC = _contract(SYMBOL, "0.1", "0.001", "50001")
ETH = _contract("ETH-USDT", "0.01", "0.01", "50002")


def wire_lines(name: str) -> list[dict]:
    """The lines of one wire sample file; skips the test, saying why, where the samples are absent."""
    path = WIRE / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]


@cache
def native_library() -> ModuleType | None:
    """The venue's own signer, None where it is not installed."""
    package = importlib.util.find_spec("apexomni")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "pc" / "linux_x86" / "zklink_sdk.py"
    spec = importlib.util.spec_from_file_location("zklink_sdk_of_the_kit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    """A client of the WebSocket faces that keeps what it was sent."""

    def __init__(self, path: str, peer_id: int = 1) -> None:
        self.id = peer_id
        self.path = path
        self.raw: list[str] = []
        self.ended: list[object] = []

    def send(self, text: str) -> None:
        self.raw.append(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.ended.append(code)

    def abort(self) -> None:
        self.ended.append("abort")

    def all(self) -> list[dict]:
        return [json.loads(text) for text in self.raw]

    def frames(self, topic: str) -> list[dict]:
        return [frame for frame in self.all() if frame.get("topic") == topic]

    def acks(self) -> list[dict]:
        return [frame for frame in self.all() if "success" in frame]

    def refusals(self) -> list[str]:
        return [ack["ret_msg"] for ack in self.acks() if not ack["success"]]

    def pings(self) -> list[dict]:
        return [frame for frame in self.all() if frame.get("op") == "ping"]

    def news(self, kind: str) -> list[dict]:
        """The rows of one list, over all account deltas but the frame of past orders."""
        deltas = [frame for frame in self.frames(TOPIC) if frame["type"] == "delta"]
        return [row for frame in deltas for row in frame["contents"].get(kind, []) if int(row.get("id", 2**63)) >= OWN_IDS_FROM]

    def states(self, order_id: str) -> list[tuple[str, str]]:
        """Status and filled size of an order as told, in order."""
        return [(row["status"], row["cumSuccessFillSize"]) for row in self.news("orders") if row["id"] == order_id]


OWN_IDS_FROM = 774_500_000_000_000_000


class Bench:
    """One venue to try things on: its face, a virtual clock, and a book where ``with_book`` puts one."""

    def __init__(
        self,
        *,
        delays: Delays = NO_DELAYS,
        limits: ApexLimits | None = None,
        start: float = START,
        credentials: dict[str, str] = CREDENTIALS,
    ) -> None:
        self.clock = VirtualClock(start)
        self.nemesis = ScriptedNemesis()
        self.exchange = Exchange("apex", [BTC, ETH], {ACCOUNT: FEES})
        self.exchange.advance(self.clock.now())
        self.face = ApexFace(self.exchange, self.clock, self.nemesis, delays=delays, limits=limits, credentials=credentials)
        self.switches = self.face.switches
        self._next_peer = 1
        self._next_client_id = 1

    def quote(self, side: Side, price: str, quantity: str = "1") -> int:
        """A resting order of the house; its id."""
        return self.exchange.place("house", SYMBOL, side, Decimal(quantity), Decimal(price)).order_id

    def with_book(self) -> Bench:
        """Two levels a side: bids 59990, 59980; asks 60010, 60020; one BTC each."""
        for side, prices in ((Side.BUY, ("59990", "59980")), (Side.SELL, ("60010", "60020"))):
            for price in prices:
                self.quote(side, price)
        return self

    def take(self, side: Side, quantity: str) -> None:
        """Somebody else's market order."""
        self.exchange.advance(self.clock.now())
        self.exchange.place("flow", SYMBOL, side, Decimal(quantity), None)

    # -- REST ----------------------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, fields: dict[str, str] | None = None, *, age_s: float = 0, **headers: str
    ) -> HttpRequest:
        """A signed request made ``age_s`` ago; ``headers`` (underscores for dashes) replace the right ones."""
        fields = fields or {}
        timestamp = str(round((self.clock.now() - age_s) * 1000))
        pairs = "&".join(f"{name}={value}" for name, value in fields.items())
        query = "?" + pairs if method == "GET" and pairs else ""
        data = "&".join(f"{name}={value}" for name, value in sorted(fields.items())) if method == "POST" else ""
        made = {
            "apex-api-key": CREDENTIALS["api_key"],
            "apex-passphrase": CREDENTIALS["passphrase"],
            "apex-timestamp": timestamp,
            "apex-signature": sign(f"{timestamp}{method}{path}{query}{data}"),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        body = urlencode(fields).encode() if method == "POST" else b""
        return HttpRequest(method, path, fields if method == "GET" else {}, urlencode(fields) if query else "", made, body)

    def send(self, request: HttpRequest) -> HttpReply | Drop:
        return asyncio.run(self.face.rest(request))

    def call(self, method: str, path: str, fields: dict[str, str] | None = None, **how: object) -> dict:
        """The decoded body of a signed request; ``path`` without /api/v3."""
        return json.loads(self.send(self.request(method, f"/api/v3/{path}", fields, **how)).body)

    def form(self, **fields: object) -> dict[str, str]:
        """A limit order at 60000 with ``fields`` changed, fee, client id and signature filled in; None drops a field."""
        form = {name: str(value) for name, value in {**ORDER, **fields}.items() if value is not None}
        if "clientId" not in form and "clientId" not in fields:
            form["clientId"] = f"bot-{self._next_client_id:04}"
            self._next_client_id += 1
        if "limitFee" not in form:
            form["limitFee"] = f"{Decimal(form['price']) * Decimal(form['size']) * FEES.taker:.6f}"
        form.setdefault("expiration", EXPIRATION)
        if "signature" not in form:
            form["signature"] = zk_sign(form.get("clientId", ""), form)
        for name in ("reduceOnly", "isPositionTpsl", "isOpenTpslOrder", "isSetOpenSl", "isSetOpenTp"):
            form.setdefault(name, "False")
        return {**form, "slLimitFee": form.get("slLimitFee", "None"), "tpLimitFee": form.get("tpLimitFee", "None")}

    def post(self, **fields: object) -> dict:
        """The whole answer to an order."""
        return self.call("POST", "order", self.form(**fields))

    def place(self, **fields: object) -> dict:
        """The row of an order that was accepted."""
        answer = self.post(**fields)
        assert "data" in answer, answer
        return answer["data"]

    def enter(self, side: str = "BUY", size: str = "0.010") -> dict:
        """A position of that size, taken from the book."""
        price = "60010" if side == "BUY" else "59990"
        return self.place(side=side, size=size, price=price, timeInForce="IMMEDIATE_OR_CANCEL")

    def stop(self, trigger: str = "59000", **fields: object) -> dict:
        """A stop loss that closes a long position, priced so that it can fill."""
        return self._exit("STOP_MARKET", trigger, **fields)

    def take_profit(self, trigger: str = "61000", **fields: object) -> dict:
        return self._exit("TAKE_PROFIT_MARKET", trigger, **fields)

    def order(self, order_id: str) -> dict:
        return self.call("GET", "order", {"id": order_id})["data"]

    def status(self, order_id: str) -> tuple[str, str]:
        row = self.order(order_id)
        return row["status"], row["cancelReason"]

    def position(self) -> str:
        """Net position of the account as /v3/account tells it."""
        rows = self.call("GET", "account")["data"]["positions"]
        signed = (Decimal(row["size"]) * (1 if row["side"] == "LONG" else -1) for row in rows if row["symbol"] == SYMBOL)
        return str(sum(signed, Decimal(0)))

    def _exit(self, kind: str, trigger: str, **fields: object) -> dict:
        how = {"side": "SELL", "type": kind, "timeInForce": "IMMEDIATE_OR_CANCEL", "price": "50000", "reduceOnly": "true"}
        return self.place(**{**how, "triggerPrice": trigger, "triggerPriceType": "MARKET", **fields})

    # -- streams -------------------------------------------------------------------------------------------------------

    def connect(self, path: str) -> Peer:
        peer = Peer(f"{path}?v=2&timestamp=1", self._next_peer)
        self._next_peer += 1
        self.face.ws.opened(peer)
        return peer

    def say(self, peer: Peer, op: str, *args: str) -> None:
        self.face.ws.received(peer, json.dumps({"op": op, "args": list(args)}))

    def listen(self, *topics: str) -> Peer:
        """A connected peer subscribed to public topics."""
        peer = self.connect("/realtime_public")
        if topics:
            self.say(peer, "subscribe", *topics)
        return peer

    def watch(self) -> Peer:
        """A connected peer logged in to the account stream."""
        peer = self.connect("/realtime_private")
        self.say(peer, "login", self.login())
        return peer

    def login(self, **fields: object) -> str:
        """The argument of a login frame, with ``fields`` changed."""
        timestamp = round(self.clock.now() * 1000)
        login = {
            "type": "login",
            "topics": [TOPIC],
            "httpMethod": "GET",
            "requestPath": "/ws/accounts",
            "apiKey": CREDENTIALS["api_key"],
            "passphrase": CREDENTIALS["passphrase"],
            "timestamp": timestamp,
            "signature": sign(f"{timestamp}GET/ws/accounts"),
        }
        return json.dumps({**login, **fields})


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


def sign(text: str, secret: str = CREDENTIALS["secret"]) -> str:
    key = base64.b64encode(secret.encode())
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def zk_sign(client_id: str, form: dict[str, str]) -> str:
    """The signature over an order's numbers; of the right shape only where the library is absent."""
    library = native_library()
    if library is None:
        return "0x" + "ab" * 64
    digest = int(hashlib.sha256(client_id.encode()).hexdigest(), 16)
    size, price = (str(int(Decimal(form[name]) * 10**18)) for name in ("size", "price"))
    slot, nonce = (digest % (2**64 - 1)) // (2**32 - 1), digest % (2**32 - 1)
    account, is_buy = int(ACCOUNT) % (2**32 - 1), form["side"] == "BUY"
    pair = 50001 if form["symbol"] == SYMBOL else 50002
    builder = library.ContractBuilder(account, 0, slot, nonce, pair, size, price, is_buy, 5, 2, False)
    signer = library.ZkLinkSigner().new_from_seed(bytes.fromhex(SEED))
    signature = signer.sign_musig(library.Contract(builder).get_bytes()).signature
    return signature if signature.startswith("0x") else f"0x{signature}"
