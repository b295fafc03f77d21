"""Dummy keys, a scripted REST client and the recorded payloads for the tests of the Backpack adapter."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.backpack.api import Api
from adapters.backpack.clock import VenueClock
from adapters.backpack.signer import Signer
from adapters.transport.rest import Ok, Outcome, Refused
from core.messages import CancelOrder, PlaceOrder, QueryOrder
from core.types import ClientOrderId, Role, Side, TimeInForce, VenueId, VenueOrderId

SYMBOL = "ETH_USDC_PERP"
VENUE = VenueId("backpack")
SEED = bytes(range(32))
SECRET_KEY = base64.b64encode(SEED).decode()
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SIGNER = Signer(PUBLIC_KEY, SECRET_KEY)
WALL_S = 1_791_500_000.0

_WIRE = Path(__file__).resolve().parents[3].parent / "shared" / "wire" / "backpack"


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of one file of recorded payloads; the test is skipped where they are absent."""
    path = _WIRE / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"recorded payloads are absent: wire/backpack/{name}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def ok(value: object, status: int = 200) -> Ok:
    return Ok(status, {}, encoded(value))


def refused(status: int, body: object, retry_after_s: float | None = None) -> Refused:
    data = body.encode() if isinstance(body, str) else encoded(body)
    return Refused(status, {}, data, retry_after_s)


NOT_FOUND = refused(404, {"code": "RESOURCE_NOT_FOUND", "message": "Not Found"})


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


def make_api(rest: FakeRest, time: Time | None = None) -> Api:
    clock = VenueClock(wall_s=lambda: WALL_S, sleep=lambda _: None)
    return Api(rest, SIGNER, clock, deadline_s=5.0, now=time or Time())


def hedge_order(**changes: Any) -> PlaceOrder:
    """SELL 0.1 at 2620 as IOC, client id 7."""
    fields: dict[str, Any] = {
        "client_order_id": ClientOrderId(7),
        "venue": VENUE,
        "symbol": SYMBOL,
        "side": Side.SELL,
        "quantity": Decimal("0.1"),
        "price": Decimal("2620.00"),
        "time_in_force": TimeInForce.IOC,
        "role": Role.HEDGE,
        "cycle_id": 1,
        "reference_price": Decimal("2625"),
    }
    return PlaceOrder(**{**fields, **changes})


def cancel(venue_order_id: str | None = None) -> CancelOrder:
    known = None if venue_order_id is None else VenueOrderId(venue_order_id)
    return CancelOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(7), reason="test", venue_order_id=known)


def query(venue_order_id: str | None = None) -> QueryOrder:
    known = None if venue_order_id is None else VenueOrderId(venue_order_id)
    return QueryOrder(venue=VENUE, symbol=SYMBOL, client_order_id=ClientOrderId(7), venue_order_id=known)


def order_body(**changes: object) -> dict[str, object]:
    """An order object of REST: ours (client id 7), SELL 0.1, filled."""
    return {
        "id": "28563660001",
        "clientId": 7,
        "symbol": SYMBOL,
        "side": "Ask",
        "status": "Filled",
        "executedQuantity": "0.1",
        "executedQuoteQuantity": "262.5",
        "quantity": "0.1",
        "price": "2620",
        "orderType": "Limit",
        "timeInForce": "IOC",
        "createdAt": 1_791_500_000_100,
        **changes,
    }


def fill_row(trade_id: int | None, **changes: object) -> dict[str, object]:
    """A row of the fill history: ours (client id 7), SELL 0.04."""
    return {
        "clientId": 7,
        "fee": "0.05",
        "feeSymbol": "USDC",
        "isMaker": False,
        "orderId": "28563660001",
        "price": "2625",
        "quantity": "0.04",
        "side": "Ask",
        "symbol": SYMBOL,
        "systemOrderType": None,
        "timestamp": "2026-10-08T22:53:20.500",
        "tradeId": trade_id,
        **changes,
    }


def order_frame(**changes: object) -> dict[str, object]:
    """``data`` of an orderFill frame: our order 7, BUY 0.02, half filled by this fill of 0.01."""
    return {
        "e": "orderFill",
        "E": 1_791_500_000_700_800,
        "T": 1_791_500_000_700_000,
        "s": SYMBOL,
        "c": 7,
        "i": "28563660001",
        "S": "Bid",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.0200",
        "p": "2635.10",
        "X": "PartiallyFilled",
        "t": 2_888_471,
        "l": "0.0100",
        "L": "2635.10",
        "z": "0.0100",
        "Z": "26.351",
        "m": True,
        "n": "-0.0026",
        "N": "USDC",
        "r": False,
        "O": "USER",
        **changes,
    }


def order_update(**changes: object) -> bytes:
    return encoded({"stream": f"account.orderUpdate.{SYMBOL}", "data": order_frame(**changes)})


def depth_frame(first_id: int, last_id: int, bids: object = (), asks: object = (), **changes: object) -> bytes:
    data = {
        "e": "depth",
        "E": 1_791_500_000_700_800,
        "T": 1_791_500_000_700_000,
        "s": SYMBOL,
        "U": first_id,
        "u": last_id,
        "b": bids,
        "a": asks,
        **changes,
    }
    return encoded({"data": data, "stream": f"depth.{SYMBOL}"})
