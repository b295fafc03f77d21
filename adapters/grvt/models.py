"""GRVT's JSON objects (full names) as far as we read them (grvt.md §2-§5).

Unknown fields and unknown status or reason words are tolerated; numbers stay text here and are judged by ``values``. It must never
hold a signature, a cookie or a key.
"""

from __future__ import annotations

import msgspec

ABSENT = msgspec.Raw()
Id = str | int
"""Ids, times and sequence numbers: text when live, sometimes JSON integers in the documentation."""


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all wire objects."""


# ---- orders and fills --------------------------------------------------------------------------------------------------------


class Leg(Wire, frozen=True, kw_only=True):
    instrument: str
    size: str
    is_buying_asset: bool
    limit_price: str | None = None


class Metadata(Wire, frozen=True, kw_only=True):
    client_order_id: Id = 0


class State(Wire, frozen=True, kw_only=True):
    """Arrays have one entry a leg; ``traded_size`` is cumulative and may be null while nothing is known (grvt.md §3)."""

    status: str
    reject_reason: str = ""
    traded_size: tuple[str, ...] | None = None


class Order(Wire, frozen=True, kw_only=True):
    sub_account_id: Id
    legs: tuple[Leg, ...]
    metadata: Metadata
    order_id: Id = 0
    state: State | None = None


class OrderAnswer(Wire, frozen=True, kw_only=True):
    result: Order


class BulkAnswer(Wire, frozen=True, kw_only=True):
    """Bare, without ``result`` (grvt.md §4)."""

    orders: tuple[Order, ...] | None = None


class OrdersAnswer(Wire, frozen=True, kw_only=True):
    result: tuple[Order, ...]


class StateFeed(Wire, frozen=True, kw_only=True):
    order_state: State
    order_id: Id = 0
    client_order_id: Id = 0


class Fill(Wire, frozen=True, kw_only=True):
    """``fee``: negative = rebate; ``fee_rate`` is not read, it rounds the base rebate to 0 (grvt.md §3)."""

    event_time: Id
    sub_account_id: Id
    instrument: str
    is_buyer: bool
    is_taker: bool
    size: str
    price: str
    fee: str
    trade_id: str
    order_id: Id = 0
    client_order_id: Id = 0
    fee_currency: str | None = None


class FillsAnswer(Wire, frozen=True, kw_only=True):
    result: tuple[Fill, ...]
    next: str | None = ""


class Ack(Wire, frozen=True, kw_only=True):
    """Live a boolean, in the documentation text (grvt.md §4)."""

    ack: bool | str


class AckAnswer(Wire, frozen=True, kw_only=True):
    result: Ack


# ---- account -----------------------------------------------------------------------------------------------------------------


class Position(Wire, frozen=True, kw_only=True):
    """``size`` is signed: negative for short positions (api-spec schemas/positions)."""

    sub_account_id: Id
    instrument: str
    size: str


class PositionsAnswer(Wire, frozen=True, kw_only=True):
    result: tuple[Position, ...]


class Summary(Wire, frozen=True, kw_only=True):
    sub_account_id: Id
    total_equity: str
    available_balance: str
    settle_currency: str = ""


class SummaryAnswer(Wire, frozen=True, kw_only=True):
    result: Summary


class LoginAnswer(Wire, frozen=True, kw_only=True):
    """A refused login can be HTTP 200 with ``status`` "failure" (grvt.md §1)."""

    status: str = ""
    sub_account_id: Id | None = None


# ---- market data -------------------------------------------------------------------------------------------------------------


class BookLevel(Wire, frozen=True, kw_only=True):
    price: str
    size: str


class Book(Wire, frozen=True, kw_only=True):
    """A whole book, or the changed levels only on ``v1.book.d``."""

    event_time: Id
    instrument: str
    bids: tuple[BookLevel, ...] = ()
    asks: tuple[BookLevel, ...] = ()


class BookAnswer(Wire, frozen=True, kw_only=True):
    result: Book


class InstrumentRow(Wire, frozen=True, kw_only=True):
    """Lenient: a strange row of a contract that nobody trades must not hide the others."""

    instrument: str = ""
    instrument_hash: str = ""
    base: str = ""
    quote: str = ""
    kind: str = ""
    base_decimals: int = 0
    tick_size: str = ""
    min_size: str = ""
    min_notional: str = "0"
    status: str | None = None


class InstrumentsAnswer(Wire, frozen=True, kw_only=True):
    result: tuple[InstrumentRow, ...]


class TimeAnswer(Wire, frozen=True, kw_only=True):
    server_time: Id


# ---- envelopes ---------------------------------------------------------------------------------------------------------------


class ErrorBody(Wire, frozen=True, kw_only=True):
    """REST errors carry the HTTP status again; codes of the login host are text (grvt.md §1, §6)."""

    code: Id
    message: str | None = None


class Subscribed(Wire, frozen=True, kw_only=True):
    """The lists are parallel to ``subs``; the documentation shows integers, live sends text (grvt.md §2)."""

    stream: str = ""
    subs: tuple[str, ...] = ()
    first_sequence_number: tuple[Id, ...] = ()


class Envelope(Wire, frozen=True, kw_only=True):
    """Any frame: a JSON-RPC answer (``result`` or ``error``), a bare error (``code``) or a feed frame (``stream``)."""

    id: int | None = None
    result: msgspec.Raw = ABSENT
    error: ErrorBody | None = None
    code: int | None = None
    message: str | None = None
    stream: str = ""
    selector: str = ""
    sequence_number: Id | None = None
    prev_sequence_number: Id | None = None
    feed: msgspec.Raw = ABSENT
