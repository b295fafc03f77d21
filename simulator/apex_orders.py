"""An ApeX order: the form it arrives in, what the venue refuses about it, and the record it becomes (apex.md §1.5, §3, §4).

Must never match or send anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Literal, NamedTuple, TypeAlias

from core.instrument import Instrument
from core.types import ZERO, Side
from simulator.apex_auth import Form, Refusal

Status: TypeAlias = Literal["UNTRIGGERED", "PENDING", "OPEN", "FILLED", "CANCELED", "EXPIRED"]
LIVE = frozenset({"UNTRIGGERED", "PENDING", "OPEN"})
TYPES = ("LIMIT", "MARKET", "STOP_LIMIT", "STOP_MARKET", "TAKE_PROFIT_LIMIT", "TAKE_PROFIT_MARKET")
TIMES_IN_FORCE = ("GOOD_TIL_CANCEL", "FILL_OR_KILL", "IMMEDIATE_OR_CANCEL", "POST_ONLY")
TRIGGER_PRICES = ("MARKET", "INDEX", "ORACLE")
NO_REASON = "UNKNOWN_ORDER_CANCEL_REASON"
USER_CANCELED = "USER_CANCELED"
COULD_NOT_FILL = "COULD_NOT_FILL"
REDUCE_ONLY_CANCELED = "REDUCE_ONLY_CANCELED"
INTERNAL_FAILED = "INTERNAL_FAILED"
EXPIRED = "EXPIRED"
FEE_STEP = Decimal("0.000001")
MILLISECONDS_FROM = 10**12
"""An expiration from here on is in milliseconds, below in seconds: both are accepted and echoed as sent."""


class Leg(NamedTuple):
    """The stop loss or take profit attached to an entry; it becomes an order when the entry has filled."""

    prefix: Literal["sl", "tp"]
    client_id: str
    side: Side
    size: Decimal
    price: Decimal
    limit_fee: Decimal
    trigger_price: Decimal
    trigger_price_type: str
    expiration: int
    signature: str


@dataclass
class Tally:
    """Sums over fills; the fee is signed, positive = paid."""

    size: Decimal = ZERO
    value: Decimal = ZERO
    fee: Decimal = ZERO

    def add(self, size: Decimal, price: Decimal, fee: Decimal, *, sign: Literal[1, -1] = 1) -> None:
        """``sign`` -1 takes a fill back."""
        self.size += sign * size
        self.value += sign * size * price
        self.fee += sign * fee


@dataclass(eq=False)
class ApexOrder:
    """One order as the venue keeps it; times in epoch seconds, ``expiration`` as the client sent it."""

    order_id: int
    client_id: str
    symbol: str
    side: Side
    type: str
    time_in_force: str
    size: Decimal
    price: Decimal
    limit_fee: Decimal
    expiration: int
    created_at: float
    updated_at: float
    trigger_price: Decimal | None = None
    trigger_price_type: str = "MARKET"
    reduce_only: bool = False
    is_position_tpsl: bool = False
    legs: tuple[Leg, ...] = ()
    signature: str = ""
    status: Status = "PENDING"
    cancel_reason: str = NO_REASON
    exchange_id: int | None = None
    last_price: Decimal = ZERO
    matched: Tally = field(default_factory=Tally)
    succeeded: Tally = field(default_factory=Tally)
    uncensored: int = 0
    """Fills matched, not yet censored: the order ends when there are none left."""
    ending: tuple[Status, str] | None = None
    is_changed: bool = False
    """Whether anything happened to it since it was created: until then its update time reads 0."""

    @property
    def is_conditional(self) -> bool:
        return self.type not in ("LIMIT", "MARKET")

    @property
    def is_immediate(self) -> bool:
        """Whether what does not fill at once is cancelled."""
        return self.type.endswith("MARKET") or self.time_in_force in ("IMMEDIATE_OR_CANCEL", "FILL_OR_KILL")

    @property
    def expires_at(self) -> float:
        return seconds_of(self.expiration)


def parse_order(form: Form, instruments: Mapping[str, Instrument], order_id: int, now: float) -> ApexOrder:
    """A record in its first state, unchecked but for its form. Raises Refusal for what cannot be read."""
    form = _without_none(form)
    symbol = _text(form, "symbol")
    if symbol not in instruments:
        raise Refusal(3, f"invalid symbol: {symbol}")
    kind = _choice(form, "type", TYPES)
    is_conditional = kind not in ("LIMIT", "MARKET")
    return ApexOrder(
        order_id=order_id,
        client_id=form.get("clientId", form.get("clientOrderId", "")),
        symbol=symbol,
        side=Side(_choice(form, "side", ("BUY", "SELL"))),
        type=kind,
        time_in_force=_choice(form, "timeInForce", TIMES_IN_FORCE) if "timeInForce" in form else "GOOD_TIL_CANCEL",
        size=_number(form, "size"),
        price=_number(form, "price"),
        limit_fee=_number(form, "limitFee"),
        expiration=_integer(form, "expiration"),
        created_at=now,
        updated_at=now,
        trigger_price=_number(form, "triggerPrice") if is_conditional else None,
        trigger_price_type=_choice(form, "triggerPriceType", TRIGGER_PRICES) if "triggerPriceType" in form else "MARKET",
        reduce_only=_flag(form, "reduceOnly"),
        is_position_tpsl=_flag(form, "isPositionTpsl"),
        legs=_legs(form),
        signature=_text(form, "signature"),
        status="UNTRIGGERED" if is_conditional else "PENDING",
    )


def check_order(order: ApexOrder, instrument: Instrument, taker_rate: Decimal, now: float) -> None:
    """Raises Refusal where the numbers cannot make an order, whatever the market and the account are like."""
    if not order.client_id or len(order.client_id) > 64:
        raise Refusal(3, "Invalid client order id", "ORDER_INVALID_CLIENT_ORDER_ID")
    if order.price <= 0:
        text = f"Order price must be greater than 0. Order price is {order.price:f}."
        raise Refusal(3, text, "ORDER_PRICE_MUST_GREETER_ZERO", {"price": f"{order.price:f}"})
    if order.price % instrument.tick_size:
        raise Refusal(3, f"Order price must be a multiple of {instrument.tick_size}")
    if order.size < instrument.min_quantity:
        raise Refusal(3, "Order size is smaller than the minimum", "ORDER_SIZE_SMALLER_THAN_SYMBOL_MIN_ORDER_SIZE")
    if order.size % instrument.lot_size:
        raise Refusal(3, f"Order size must be a multiple of {instrument.lot_size}")
    if order.limit_fee < limit_fee(order.price, order.size, taker_rate).quantize(FEE_STEP, ROUND_DOWN):
        raise Refusal(3, "Order limit fee is not enough", "ORDER_LIMIT_FEE_NOT_ENOUGH")
    if order.is_conditional and (order.trigger_price is None or order.trigger_price <= 0):
        raise Refusal(3, "Trigger price must be greater than 0")
    if order.expires_at <= now:
        raise Refusal(3, "Order expiration must be in the future")


def limit_fee(price: Decimal, size: Decimal, taker_rate: Decimal) -> Decimal:
    """The most an order may cost in fees, quote (apex.md §1.5)."""
    return price * size * taker_rate


def seconds_of(expiration: int) -> float:
    """Epoch seconds of an expiration given in seconds or milliseconds."""
    return expiration / 1000 if expiration >= MILLISECONDS_FROM else float(expiration)


def _legs(form: Form) -> tuple[Leg, ...]:
    if not _flag(form, "isOpenTpslOrder"):
        return ()
    legs = []
    if _flag(form, "isSetOpenSl"):
        legs.append(_leg(form, "sl"))
    if _flag(form, "isSetOpenTp"):
        legs.append(_leg(form, "tp"))
    return tuple(legs)


def _leg(form: Form, prefix: Literal["sl", "tp"]) -> Leg:
    return Leg(
        prefix=prefix,
        client_id=_text(form, f"{prefix}ClientOrderId"),
        side=Side(_choice(form, f"{prefix}Side", ("BUY", "SELL"))),
        size=_number(form, f"{prefix}Size"),
        price=_number(form, f"{prefix}Price"),
        limit_fee=_number(form, f"{prefix}LimitFee"),
        trigger_price=_number(form, f"{prefix}TriggerPrice"),
        trigger_price_type=form.get(f"{prefix}TriggerPriceType", "MARKET"),
        expiration=_integer(form, f"{prefix}Expiration"),
        signature=_text(form, f"{prefix}Signature"),
    )


def _without_none(form: Form) -> dict[str, str]:
    """Clients send the literal text "None" for what they leave out (apex.md §1.5)."""
    return {name: value for name, value in form.items() if value != "None"}


def _text(form: Form, name: str) -> str:
    if not form.get(name):
        raise Refusal(20016, f"request para error: {name}")
    return form[name]


def _choice(form: Form, name: str, allowed: tuple[str, ...]) -> str:
    value = _text(form, name)
    if value not in allowed:
        raise Refusal(3, f"invalid {name}: {value}")
    return value


def _number(form: Form, name: str) -> Decimal:
    text = _text(form, name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= Decimal("1e12"):
        raise Refusal(400, f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return value


def _integer(form: Form, name: str) -> int:
    text = _text(form, name)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal(400, f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _flag(form: Form, name: str) -> bool:
    """Python clients send True, the others true (apex.md §1.4)."""
    return form.get(name, "").lower() == "true"
