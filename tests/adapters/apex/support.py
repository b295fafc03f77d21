"""Dummy keys, a scripted REST client and the recorded payloads for the tests of the ApeX adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.apex import zk
from adapters.apex.api import AccountCache, Api
from adapters.apex.clock import VenueClock
from adapters.apex.requests import Account
from adapters.apex.signer import ApiKey
from adapters.transport.rest import Ok, Outcome, Refused
from core.instrument import Instrument
from core.messages import CancelOrder, PlaceOrder, QueryOrder
from core.ports import VenueRefused
from core.types import ClientOrderId, Fees, Role, Side, TimeInForce, VenueId, VenueOrderId

SYMBOL = "BTC-USDT"
MARKET = "BTCUSDT"
VENUE = VenueId("apex")
KEY_TEXT, SECRET, PASSPHRASE = "0c7a9d52-5a44-4f5e-9be5-000000000001", "dummySecret-Xy12_zzz", "dummyPhrase9"
KEY = ApiKey(KEY_TEXT, SECRET, PASSPHRASE)
SEED = "22" * 65
WALL_S = 1_791_500_000.0
WALL_MS = int(WALL_S * 1_000)
ACCOUNT = Account(700_000_000_000_000_001, Fees(maker=Decimal("0.0002"), taker=Decimal("0.0005")))
BTC = Instrument(
    venue=VENUE,
    symbol=SYMBOL,
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    contract_id="50001",
    base_decimals=18,
    market_symbol=MARKET,
)

_WIRE = Path(__file__).resolve().parents[3].parent / "shared" / "wire" / "apex"


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of one file of recorded payloads; the test is skipped where they are absent."""
    path = _WIRE / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"recorded payloads are absent: wire/apex/{name}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def need_native_signer() -> None:
    """Skip, with the reason, where orders cannot be signed."""
    try:
        zk.library_file()
    except VenueRefused as refused:
        pytest.skip(str(refused))


class FakeSigner(zk.ZkSigner):
    """Signs without the native library and keeps what it was asked to sign; ``refusal`` is raised instead where given."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__(SEED)
        self.signed: list[zk.ZkOrder] = []
        self.refusal = refusal

    def sign(self, order: zk.ZkOrder) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.signed.append(order)
        return "0x" + "ab" * 64


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def ok(data: object) -> Ok:
    return Ok(200, {}, encoded({"data": data, "timeCost": 1}))


def denied(code: int, msg: str = "no", **fields: object) -> Ok:
    """A refusal as the venue sends most of them: inside HTTP 200."""
    return Ok(200, {}, encoded({"code": code, "msg": msg, **fields}))


def refused(status: int, body: object, retry_after_s: float | None = None) -> Refused:
    data = body.encode() if isinstance(body, str) else encoded(body)
    return Refused(status, {}, data, retry_after_s)


NOT_FOUND = denied(3, "order not found", key="ORDER_NOT_FOUND")
BAN_PAGE = refused(403, "<html><body>403 Forbidden</body></html>")


class Sent(NamedTuple):
    method: str
    path: str
    query: str
    body: bytes | None
    headers: Mapping[str, str]


class FakeRest:
    """Answers with the outcomes it was given, in order, and keeps what was sent; a call too many is an error of the test."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Sent] = []
        self.date_offset_ms: float | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        deadline_s: float | None = None,
    ) -> Outcome:
        self.sent.append(Sent(method, path, query, body, dict(headers)))
        return self.outcomes.pop(0)

    def close(self) -> None:
        self.outcomes.clear()


class Time:
    """A clock that stands still unless told otherwise."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_clock() -> VenueClock:
    return VenueClock(wall_s=lambda: WALL_S)


def make_api(rest: FakeRest, *, account: Account | None = ACCOUNT, time: Time | None = None) -> Api:
    accounts = AccountCache()
    accounts.known = account
    return Api(rest, KEY, make_clock(), accounts, deadline_s=5.0, now=time or Time())


def order(**changes: Any) -> PlaceOrder:
    """SELL 0.002 at 59000 as IOC, client id 7."""
    fields: dict[str, Any] = {
        "client_order_id": ClientOrderId(7),
        "venue": VENUE,
        "symbol": SYMBOL,
        "side": Side.SELL,
        "quantity": Decimal("0.002"),
        "price": Decimal("59000.0"),
        "time_in_force": TimeInForce.IOC,
        "role": Role.ENTRY,
        "cycle_id": 1,
        "reference_price": Decimal("59100"),
    }
    return PlaceOrder(**{**fields, **changes})


def cancel(venue_order_id: str | None = None) -> CancelOrder:
    known = None if venue_order_id is None else VenueOrderId(venue_order_id)
    return CancelOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(7), reason="test", venue_order_id=known)


def query(venue_order_id: str | None = None) -> QueryOrder:
    known = None if venue_order_id is None else VenueOrderId(venue_order_id)
    return QueryOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(7), venue_order_id=known)


def order_body(**changes: object) -> dict[str, object]:
    """An order object of REST as a create answers it: ours (client id 7), SELL 0.002."""
    return {
        "id": "800000000000000001",
        "orderId": "800000000000000001",
        "clientId": "pf-7",
        "clientOrderId": "pf-7",
        "accountId": "700000000000000001",
        "symbol": SYMBOL,
        "side": "SELL",
        "price": "59000.0",
        "averagePrice": "",
        "size": "0.002",
        "type": "LIMIT",
        "status": "PENDING",
        "timeInForce": "IMMEDIATE_OR_CANCEL",
        "createdAt": WALL_MS,
        "updatedTime": 0,
        "expiresAt": 1_793_900_000,
        "cancelReason": "UNKNOWN_ORDER_CANCEL_REASON",
        "cumSuccessFillSize": "0",
        "triggerPrice": "0",
        **changes,
    }


def order_row(**changes: object) -> dict[str, object]:
    """An order of the private stream: ours (client id 7), SELL 0.002, resting."""
    return {
        "id": "800000000000000001",
        "clientId": "pf-7",
        "symbol": SYMBOL,
        "side": "SELL",
        "type": "LIMIT",
        "price": "59000.0",
        "size": "0.002",
        "remainingSize": "0.002",
        "status": "OPEN",
        "timeInForce": "GOOD_TIL_CANCEL",
        "reduceOnly": False,
        "triggerPrice": "0",
        "cumSuccessFillSize": "0",
        "cancelReason": "UNKNOWN_ORDER_CANCEL_REASON",
        "createdAt": WALL_MS,
        "updatedAt": WALL_MS + 50,
        "expiresAt": WALL_MS + 2_419_200_000,
        **changes,
    }


def fill_row(**changes: object) -> dict[str, object]:
    """A fill, of the stream or of REST: ours (client id 7), SELL 0.001."""
    return {
        "id": "800000000000000009",
        "orderId": "800000000000000001",
        "clientOrderId": "pf-7",
        "matchFillId": "abd006fe-0000-5fc8-a243-000000000001",
        "symbol": SYMBOL,
        "side": "SELL",
        "price": "59001.0",
        "size": "0.001",
        "fee": "0.029500500000000000",
        "direction": "TAKER",
        "status": "SUCCESS",
        "createdAt": WALL_MS + 40,
        **changes,
    }


def position_row(side: str, size: str, symbol: str = SYMBOL) -> dict[str, object]:
    return {"symbol": symbol, "side": side, "size": size, "entryPrice": "59000.0", "accountId": "700000000000000001"}


def account_body(**changes: object) -> dict[str, object]:
    fees = {"takerFeeRate": "0.00050", "makerFeeRate": "0.00020", "status": "NORMAL"}
    positions = [position_row("LONG", "0.000"), position_row("SHORT", "0.003")]
    return {"id": "700000000000000001", "l2Key": "0x00", "contractAccount": fees, "positions": positions, **changes}


def account_frame(kind: str | None = "delta", **contents: object) -> bytes:
    """A private frame; ``kind`` None leaves the type out."""
    head = {"topic": "ws_zk_accounts_v3", "timestamp": WALL_MS + 60}
    return encoded({**head, **({} if kind is None else {"type": kind}), "contents": contents})


def book_frame(update_id: int, bids: object = (), asks: object = (), kind: str = "delta", **changes: object) -> bytes:
    data = {"s": MARKET, "b": bids, "a": asks, "u": update_id, **changes}
    return encoded({"topic": f"orderBook200.H.{MARKET}", "type": kind, "data": data, "cs": 1, "ts": WALL_MS * 1_000})
