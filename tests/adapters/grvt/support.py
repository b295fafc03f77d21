"""What the GRVT tests share: wire samples, builders of venue bodies, and a REST client that plays a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.grvt.auth import GrvtAuth
from adapters.grvt.parse import Account
from adapters.transport.rest import Ok, Outcome, Refused, Unknown
from core.instrument import Instrument
from core.messages import CancelOrder, PlaceOrder
from core.types import ClientOrderId, Role, Side, TimeInForce, VenueId

WIRE = Path(__file__).resolve().parents[3] / ".." / "shared" / "wire" / "grvt"
GRVT = VenueId("grvt")
SUB = "2147050003876484"
SYMBOL = "ETH_USDT_Perp"
ACCOUNT = Account(SUB, SYMBOL, "USDT")
KEY = "0x" + "22" * 32
API_KEY = "dummy-api-key-canary"
COOKIE = "gravity=dummy-cookie-canary"
BASE = 2**63
NOW = 100.0

ETH = Instrument(
    venue=GRVT,
    symbol=SYMBOL,
    base="ETH",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.01"),
    min_quantity=Decimal("0.01"),
    min_notional=Decimal("20"),
    contract_id="0x030401",
    base_decimals=9,
)


def wire(name: str) -> list[dict[str, Any]]:
    """The lines of one sample file; the test is skipped where the samples are absent."""
    path = WIRE / name
    if not path.exists():
        pytest.skip(f"wire samples are not beside this checkout: ../shared/wire/grvt/{name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def place_order(**changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "client_order_id": ClientOrderId(7),
        "venue": GRVT,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "quantity": Decimal("0.16"),
        "price": Decimal("3072.80"),
        "time_in_force": TimeInForce.GTC,
        "role": Role.MAKER,
        "cycle_id": 1,
        "reference_price": Decimal("3072.80"),
        "post_only": True,
    }
    return PlaceOrder(**(fields | changes))


def cancel_order(**changes: Any) -> CancelOrder:
    fields: dict[str, Any] = {"venue": GRVT, "symbol": SYMBOL, "client_order_id": ClientOrderId(7), "reason": "test"}
    return CancelOrder(**(fields | changes))


def order_json(
    status: str = "OPEN",
    traded: str = "0.0",
    *,
    reason: str = "UNSPECIFIED",
    order_id: str = "0x0101010403f5265c000000007799a374",
    client_order_id: str = str(BASE + 7),
    symbol: str = SYMBOL,
    sub: str = SUB,
) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "sub_account_id": sub,
        "is_market": False,
        "time_in_force": "GOOD_TILL_TIME",
        "legs": [{"instrument": symbol, "size": "0.16", "limit_price": "3072.8", "is_buying_asset": True}],
        "signature": {"signer": "0x1563915e194d8cfba1943570603f7606a3115508", "r": "0x0e1f", "s": "0x67b7", "v": 28},
        "metadata": {"client_order_id": client_order_id},
        "state": {"status": status, "reject_reason": reason, "book_size": ["0.1"], "traded_size": [traded]},
    }


def fill_json(
    trade_id: str = "74150425-1", *, symbol: str = SYMBOL, time_ms: int = 1_767_359_367_586, **more: Any
) -> dict[str, Any]:
    fields = {
        "event_time": str(time_ms * 1_000_000),
        "sub_account_id": SUB,
        "instrument": symbol,
        "is_buyer": True,
        "is_taker": False,
        "size": "0.06",
        "price": "3072.8",
        "fee": "-0.000184",
        "trade_id": trade_id,
        "order_id": "0x0101010403f5265c000000007799a374",
        "client_order_id": str(BASE + 7),
        "fee_currency": "USDT",
    }
    return fields | more


def ok(value: object, headers: Mapping[str, str] | None = None) -> Ok:
    return Ok(200, headers or {}, value if isinstance(value, bytes) else encoded(value))


def denied(code: int, status: int = 400, retry_after_s: float | None = None) -> Refused:
    return Refused(status, {}, encoded({"request_id": 1, "code": code, "message": "no", "status": status}), retry_after_s)


def login_ok(cookie: str = COOKIE, attributes: str = "; Path=/; Max-Age=86400; HttpOnly") -> Ok:
    headers = {"Set-Cookie": cookie + attributes, "X-Grvt-Account-Id": "ACC:1"}
    return ok({"status": "success", "location": ""}, headers)


class FakeRest:
    """Answers from a script (the last entry repeats) and remembers what was sent: (method, path, body, headers)."""

    def __init__(self, *script: Outcome | Callable[[bytes], Outcome]) -> None:
        self.script = list(script)
        self.sent: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.deadlines: list[float | None] = []
        self.date_offset_ms: float | None = None
        self.is_closed = False

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
        self.sent.append((method, path, body or b"", dict(headers)))
        self.deadlines.append(deadline_s)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return answer(body or b"") if callable(answer) else answer

    def close(self) -> None:
        self.is_closed = True

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body, _ in self.sent]


class FakeClock:
    """Monotonic and wall seconds moved by hand."""

    def __init__(self, monotonic: float = NOW, wall: float = 1_800_000_000.0) -> None:
        self.monotonic = monotonic
        self.wall = wall

    def move(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def auth(self, edge: FakeRest, run: Callable[[Callable[[], None]], None] = lambda work: work()) -> GrvtAuth:
        """``run``: what carries a login out; by default whoever asks for the headers does."""
        return GrvtAuth(API_KEY, lambda: edge, monotonic=lambda: self.monotonic, wall=lambda: self.wall, run=run)


def kinds(messages: Sequence[object]) -> list[str]:
    return [type(message).__name__ for message in messages]


UNKNOWN = Unknown("ReadTimeout")
