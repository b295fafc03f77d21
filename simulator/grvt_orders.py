"""One GRVT order: read from the wire, checked as the gateway checks it, kept as the record all answers are made from.

Refuses with the venue's own codes (grvt.md §4) and never touches the exchange: what is accepted here may still be
rejected by the matching engine, on the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator import grvt_signing as signing
from simulator import grvt_wire as wire
from simulator.grvt_triggers import Trigger, trigger_metadata, trigger_of
from simulator.grvt_wire import GrvtError, Json
from simulator.ledger import SimOrder

MAX_LIFE_S = 30 * 24 * 3600.0
"""A signature may run 30 days ahead, no longer (grvt.md §4)."""

NO_ID = "0x00"
IMMEDIATE = ("IMMEDIATE_OR_CANCEL", "FILL_OR_KILL")


@dataclass
class OrderRecord:
    """An order and what GRVT says of it; ``body`` is the wire object without id and state."""

    contract: Instrument
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    is_post_only: bool
    is_reduce_only: bool
    client_order_id: str
    expires_at: float
    created_at: float
    body: Json
    trigger: Trigger | None = None
    digest: bytes = b""
    order_id: str = NO_ID
    exchange_id: int | None = None
    state: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.become("PENDING", "UNSPECIFIED", leaves=self.quantity, traded=ZERO, average=ZERO, time=self.created_at)

    @property
    def status(self) -> str:
        return str(self.state["status"])

    @property
    def is_active(self) -> bool:
        return self.status in ("PENDING", "OPEN")

    def become(self, status: str, reason: str, *, leaves: Decimal, traded: Decimal, average: Decimal, time: float) -> None:
        """Replaces the state; what rests is the remainder while the order lives, nothing afterwards (grvt.md §3)."""
        book = leaves if status in ("PENDING", "OPEN") else ZERO
        self.state = wire.state(status, reason, book=book, traded=traded, average=average, time=time)

    def wire(self) -> Json:
        """The full Order object as it stands now."""
        return {"order_id": self.order_id, **self.body, "state": self.state, "builder": "0x00", "builder_fee": "0.0"}

    def order_state(self) -> Json:
        """The lighter object of v1.state."""
        return {"order_id": self.order_id, "client_order_id": self.client_order_id, "order_state": self.state}


def read_order(order: Json, contracts: Mapping[str, Instrument], now: float) -> OrderRecord:
    """The order that an object of ``create_order`` or ``bulk_orders`` describes, checked but for signature and account; raises GrvtError."""
    _check_fields_of_the_venue(order)
    contract, leg = _leg(order, contracts)
    tif = _time_in_force(order)
    is_market = wire.bool_of(order.get("is_market"))
    price = _price(leg, is_market=is_market)
    signature, metadata = _object(order, "signature"), _object(order, "metadata")
    record = OrderRecord(
        contract=contract,
        side=Side.BUY if wire.bool_of(leg.get("is_buying_asset")) else Side.SELL,
        quantity=wire.decimal_of(leg.get("size")),
        price=price,
        time_in_force=tif,
        is_post_only=wire.bool_of(order.get("post_only")),
        is_reduce_only=wire.bool_of(order.get("reduce_only")),
        client_order_id=str(wire.uint_of(metadata.get("client_order_id"))),
        expires_at=wire.uint_of(signature.get("expiration")) / 1e9,
        created_at=now,
        body={},
        trigger=trigger_of(metadata),
    )
    record.body = _canonical(order, record, signature)
    return record


def check_numbers(record: OrderRecord, mark: Decimal | None) -> None:
    """Tick, size, step and notional; ``mark`` prices a market order (2062, 2064-2067; grvt.md §4)."""
    contract, price = record.contract, record.price
    if price is not None and price % contract.tick_size != 0:
        raise GrvtError(2064)
    if record.quantity < contract.min_quantity or record.quantity <= 0:
        raise GrvtError(2062)
    if record.quantity % contract.lot_size != 0:
        raise GrvtError(2065)
    reference = mark if price is None else price
    if reference is not None and record.quantity * reference < contract.min_notional:
        raise GrvtError(2067 if record.is_reduce_only else 2066)


def check_signature(record: OrderRecord, *, signer: str, chain_id: int, now: float) -> None:
    """Sets ``record.digest``; 2005-2007 form, 1012 chain, 2001 expired, 2000 foreign signer, 2002 payload (grvt.md §4)."""
    signature = record.body["signature"]
    fault = signing.signature_fault(signature)
    if fault is not None:
        raise GrvtError(fault)
    if signature["chain_id"] not in ("0", str(chain_id)):
        raise GrvtError(1012)
    if record.expires_at <= now:
        raise GrvtError(2001)
    if signature["signer"] != signer.lower():
        raise GrvtError(2000)
    record.digest = _digest(record, chain_id)
    words = {"r": int(signature["r"], 16), "s": int(signature["s"], 16), "v": signature["v"]}
    if signing.recover(record.digest, **words) != signature["signer"]:
        raise GrvtError(2002)


def check_reduce_only(record: OrderRecord, position: Decimal) -> None:
    """2400 flat, 2401 same direction, 2402 larger than the position (grvt.md §4)."""
    if not record.is_reduce_only:
        return
    if position == 0:
        raise GrvtError(2400)
    if Side.of(position) is record.side:
        raise GrvtError(2401)
    if record.quantity > abs(position):
        raise GrvtError(2402)


def outcome(status: str, reason: str, *, was_open: bool) -> tuple[str, str]:
    """GRVT's status and reason for an exchange order: one that never opened ends REJECTED, any other CANCELLED (grvt.md §3)."""
    if status in ("OPEN", "FILLED"):
        return status, "UNSPECIFIED"
    return ("CANCELLED" if was_open else "REJECTED"), reason


def _check_fields_of_the_venue(order: Json) -> None:
    metadata = _object(order, "metadata")
    checks: tuple[tuple[Callable[[], bool], int], ...] = (
        (lambda: wire.uint_of(order.get("order_id"), bits=128) != 0, 2010),
        (lambda: wire.uint_of(metadata.get("client_order_id")) == 0, 2011),
        (lambda: bool(order.get("state")), 2050),
        (lambda: wire.uint_of(metadata.get("create_time")) != 0, 2051),
    )
    for is_wrong, code in checks:
        if is_wrong():
            raise GrvtError(code)


def _leg(order: Json, contracts: Mapping[str, Instrument]) -> tuple[Instrument, Json]:
    legs = order.get("legs")
    if not legs:
        raise GrvtError(2040)
    if not isinstance(legs, list) or not isinstance(legs[0], dict):
        raise GrvtError(1003)
    if len(legs) > 1:
        raise GrvtError(2042)
    contract = contracts.get(str(legs[0].get("instrument")))
    if contract is None:
        raise GrvtError(2061)
    return contract, legs[0]


def _time_in_force(order: Json) -> str:
    tif = order.get("time_in_force")
    if tif not in signing.TIME_IN_FORCE:
        raise GrvtError(1003)
    if wire.bool_of(order.get("post_only")) and tif in IMMEDIATE:
        raise GrvtError(2032)
    if tif not in ("GOOD_TILL_TIME", *IMMEDIATE):
        raise GrvtError(2030)
    return str(tif)


def _price(leg: Json, *, is_market: bool) -> Decimal | None:
    price = wire.decimal_of(leg.get("limit_price") or "0")
    if is_market and price != 0:
        raise GrvtError(2020)
    if not is_market and price <= 0:
        raise GrvtError(2021)
    return None if is_market else price


def _canonical(order: Json, record: OrderRecord, signature: Json) -> Json:
    """The order as the venue echoes it: its own spelling of numbers, its own additions (live reply, grvt.md §4)."""
    price = ZERO if record.price is None else record.price
    leg = {
        "instrument": record.contract.symbol,
        "size": wire.number(record.quantity),
        "limit_price": wire.number(price),
        "is_buying_asset": record.side is Side.BUY,
    }
    return {
        "sub_account_id": str(wire.uint_of(order.get("sub_account_id"))),
        "is_market": record.price is None,
        "time_in_force": record.time_in_force,
        "post_only": record.is_post_only,
        "reduce_only": record.is_reduce_only,
        "legs": [leg],
        "signature": {
            "signer": str(signature.get("signer", "")).lower(),
            "r": signature.get("r"),
            "s": signature.get("s"),
            "v": signature.get("v"),
            "expiration": str(wire.uint_of(signature.get("expiration"))),
            "nonce": wire.uint_of(signature.get("nonce"), bits=32),
            "chain_id": str(wire.uint_of(signature.get("chain_id"))),
        },
        "metadata": _metadata(record),
    }


def _metadata(record: OrderRecord) -> Json:
    """OrderMetadata of an order without broker (live reply, grvt.md §4)."""
    return {
        "client_order_id": record.client_order_id,
        "create_time": wire.nanoseconds(record.created_at),
        "trigger": trigger_metadata(record.trigger),
        "broker": "UNSPECIFIED",
        "is_position_transfer": False,
        "allow_crossing": False,
    }


def _digest(record: OrderRecord, chain_id: int) -> bytes:
    contract, body = record.contract, record.body
    size, price = signing.scaled(record.quantity, record.price or ZERO, contract.base_decimals)
    signed = signing.SignedOrder(
        sub_account_id=int(body["sub_account_id"]),
        is_market=record.price is None,
        time_in_force=signing.TIME_IN_FORCE[record.time_in_force],
        post_only=record.is_post_only,
        reduce_only=record.is_reduce_only,
        asset_id=int(contract.contract_id, 16),
        contract_size=size,
        limit_price=price,
        is_buying=record.side is Side.BUY,
        nonce=body["signature"]["nonce"],
        expiration=int(body["signature"]["expiration"]),
    )
    try:
        return signing.digest(signed, chain_id)
    except OverflowError:
        raise GrvtError(2002) from None


def _object(parent: Json, name: str) -> Json:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise GrvtError(1003)
    return value


def foreign(order: SimOrder, contract: Instrument, *, sub_account_id: str) -> OrderRecord:
    """The record of an order somebody placed elsewhere (another client, the web page): client id from it or "0", no signature."""
    word = "0x" + "0" * 64
    signature = {"signer": "0x00", "r": word, "s": word, "v": 27, "expiration": "0", "nonce": 0, "chain_id": "0"}
    record = OrderRecord(
        contract=contract,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        time_in_force="IMMEDIATE_OR_CANCEL" if order.tif == "IOC" else "GOOD_TILL_TIME",
        is_post_only=order.post_only,
        is_reduce_only=order.reduce_only,
        client_order_id=order.client_id or "0",
        expires_at=order.expires_at or 0.0,
        created_at=order.created_at,
        body={},
    )
    record.body = _canonical({"sub_account_id": sub_account_id}, record, signature)
    return record
