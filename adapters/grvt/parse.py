"""GRVT's bytes to messages: pure functions that return messages or raise ``WireRefused`` with the rule that refuses.

It must never guess: a number, id or account that a rule does not accept refuses the whole body, because a list with a hole reads like
a list without that fill.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.grvt import models
from adapters.grvt.envelope import decode
from adapters.grvt.values import (
    VENUE,
    Rule,
    WireRefused,
    client_order_id,
    not_negative,
    number,
    positive,
    uint,
    unix_ms,
    venue_order_id,
)
from core.book import Book
from core.messages import BookUpdated, FillReported, OrderReported, PositionReported
from core.types import ZERO, ClientOrderId, Level, Liquidity, OrderState, Side, Source, TradeId, VenueOrderId

BOOK_LEVELS = 20
_UNSPECIFIED = "UNSPECIFIED"
_UNSEEN = frozenset({OrderState.SUBMITTED, OrderState.REJECTED, OrderState.UNKNOWN})
"""States in which a missing traded size can only mean that nothing traded so far."""


class Account(NamedTuple):
    """Whose answers we read: sub-account id as decimal text, our symbol, and its quote currency (fees carry none when live)."""

    sub_account_id: str
    symbol: str
    quote: str


class Created(NamedTuple):
    """The acknowledgement of a new order. ``report`` only where the venue already says more than PENDING."""

    client_order_id: ClientOrderId | None
    venue_order_id: VenueOrderId | None
    report: OrderReported | None


class Changes(NamedTuple):
    """Levels of a book frame with absolute quantities; 0 removes."""

    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    venue_time_ms: int


# ---- feeds -------------------------------------------------------------------------------------------------------------------


def order_feed(feed: bytes, account: Account, now: float) -> OrderReported:
    return _stated_order(decode(_ORDER, feed), account, Source.WS, now)


def state_feed(feed: bytes, account: Account, now: float) -> OrderReported:
    """``v1.state`` names no instrument: the subscription is for one symbol only."""
    found = decode(_STATE_FEED, feed)
    state, filled, reason = _state(found.order_state)
    return OrderReported(
        venue=VENUE,
        symbol=account.symbol,
        client_order_id=client_order_id(found.client_order_id),
        venue_order_id=venue_order_id(found.order_id),
        state=state,
        filled_quantity=filled,
        source=Source.WS,
        received_at=now,
        reason=reason,
    )


def fill_feed(feed: bytes, account: Account, now: float) -> FillReported:
    return _fill(decode(_FILL, feed), account, Source.WS, now)


def position_feed(feed: bytes, account: Account, now: float) -> PositionReported:
    found = decode(_POSITION, feed)
    _check_account(found.sub_account_id, account)
    return _position(found.instrument, number(found.size, "size"), Source.WS, now)


def book_feed(feed: bytes, symbol: str) -> Changes:
    return _changes(decode(_BOOK, feed), symbol)


# ---- REST answers ------------------------------------------------------------------------------------------------------------


def created(body: bytes, account: Account, now: float) -> Created:
    """The answer to create_order: id 0x00 and PENDING before matching (grvt.md §0.2)."""
    return _created(decode(_ORDER_ANSWER, body).result, account, now)


def created_in_bulk(body: bytes, account: Account, now: float) -> tuple[Created, ...]:
    """The answer to bulk_orders: ids 0x00 and states that say nothing (grvt.md §3)."""
    return tuple(_created(found, account, now) for found in decode(_BULK_ANSWER, body).orders or ())


def _created(found: models.Order, account: Account, now: float) -> Created:
    _check_account(found.sub_account_id, account)
    report = None
    if found.state is not None and found.state.status not in ("PENDING", _UNSPECIFIED):
        report = _order(found, found.state, account, Source.REST, now)
    return Created(client_order_id(found.metadata.client_order_id), venue_order_id(found.order_id), report)


def order_answer(body: bytes, account: Account, now: float) -> OrderReported:
    return _stated_order(decode(_ORDER_ANSWER, body).result, account, Source.REST, now)


def open_orders(body: bytes, account: Account, now: float) -> tuple[OrderReported, ...]:
    """Orders of our symbol; those of other symbols are left out, an order that cannot be read refuses the list."""
    reports = (_stated_order(order, account, Source.REST, now) for order in decode(_ORDERS_ANSWER, body).result)
    return tuple(report for report in reports if report.symbol == account.symbol)


def fill_page(body: bytes, account: Account, now: float) -> tuple[tuple[FillReported, ...], str]:
    """(fills of our symbol, cursor of the next page or "")."""
    page = decode(_FILLS_ANSWER, body)
    fills = (_fill(fill, account, Source.REST, now) for fill in page.result)
    return tuple(fill for fill in fills if fill.symbol == account.symbol), page.next or ""


def position_answer(body: bytes, account: Account, now: float) -> PositionReported:
    """Flat only where a well-formed list of our own sub-account has no row of the symbol."""
    quantity = ZERO
    for row in decode(_POSITIONS_ANSWER, body).result:
        _check_account(row.sub_account_id, account)
        if row.instrument == account.symbol:
            quantity += number(row.size, "size")
    return _position(account.symbol, quantity, Source.REST, now)


def book_answer(body: bytes, symbol: str, now: float) -> BookUpdated:
    changes = _changes(decode(_BOOK_ANSWER, body).result, symbol)
    book = Book()
    book.reset(changes.bids, changes.asks)
    return book_updated(book, symbol, changes.venue_time_ms, now)


def is_acknowledged(body: bytes) -> bool:
    return decode(_ACK_ANSWER, body).result.ack in (True, "true")


def server_time_ms(body: bytes) -> int:
    return uint(decode(_TIME_ANSWER, body).server_time, "server_time", 64)


def instruments(body: bytes) -> tuple[models.InstrumentRow, ...]:
    return decode(_INSTRUMENTS_ANSWER, body).result


def summary(body: bytes) -> models.Summary:
    return decode(_SUMMARY_ANSWER, body).result


def login(body: bytes) -> models.LoginAnswer:
    return decode(_LOGIN_ANSWER, body)


# ---- pieces ------------------------------------------------------------------------------------------------------------------


def book_updated(book: Book, symbol: str, venue_time_ms: int, now: float) -> BookUpdated:
    bids, asks = book.top(BOOK_LEVELS)
    return BookUpdated(venue=VENUE, symbol=symbol, bids=bids, asks=asks, received_at=now, venue_time_ms=venue_time_ms)


def order_state(status: str, reason: str, filled: Decimal) -> OrderState:
    """The venue's word as ours (grvt.md §3); it has no word for a partial fill. An unlisted word is UNKNOWN."""
    match status:
        case "PENDING":
            return OrderState.SUBMITTED
        case "OPEN":
            return OrderState.PARTIALLY_FILLED if filled > 0 else OrderState.ACCEPTED
        case "FILLED":
            return OrderState.FILLED
        case "CANCELLED":
            return OrderState.EXPIRED if reason == "EXPIRED" else OrderState.CANCELED
        case "REJECTED":
            return OrderState.REJECTED
        case _:
            return OrderState.UNKNOWN


def _state(found: models.State) -> tuple[OrderState, Decimal, str]:
    """(state, cumulative filled quantity, reason); the raw status is the reason of an unknown one."""
    traded = found.traded_size or ()
    filled = sum((not_negative(text, "traded_size") for text in traded), ZERO)
    state = order_state(found.status, found.reject_reason, filled)
    if not traded and state not in _UNSEEN:
        raise WireRefused(Rule.WRONG_SHAPE, f"{found.status} without traded_size")
    if state is OrderState.UNKNOWN:
        return state, filled, found.status
    return state, filled, "" if found.reject_reason == _UNSPECIFIED else found.reject_reason


def _stated_order(found: models.Order, account: Account, source: Source, now: float) -> OrderReported:
    if found.state is None:
        raise WireRefused(Rule.WRONG_SHAPE, "an order without state")
    return _order(found, found.state, account, source, now)


def _order(found: models.Order, found_state: models.State, account: Account, source: Source, now: float) -> OrderReported:
    _check_account(found.sub_account_id, account)
    if len(found.legs) != 1:
        raise WireRefused(Rule.WRONG_SHAPE, f"an order with {len(found.legs)} legs")
    leg = found.legs[0]
    state, filled, reason = _state(found_state)
    price = not_negative(leg.limit_price or "0", "limit_price")
    return OrderReported(
        venue=VENUE,
        symbol=leg.instrument,
        client_order_id=client_order_id(found.metadata.client_order_id),
        venue_order_id=venue_order_id(found.order_id),
        state=state,
        filled_quantity=filled,
        source=source,
        received_at=now,
        side=Side.BUY if leg.is_buying_asset else Side.SELL,
        price=price or None,
        quantity=positive(leg.size, "size"),
        reason=reason,
    )


def _fill(found: models.Fill, account: Account, source: Source, now: float) -> FillReported:
    _check_account(found.sub_account_id, account)
    if not found.trade_id:
        raise WireRefused(Rule.BAD_ID, "a fill without trade_id")
    return FillReported(
        venue=VENUE,
        symbol=found.instrument,
        trade_id=TradeId(found.trade_id),
        client_order_id=client_order_id(found.client_order_id),
        venue_order_id=venue_order_id(found.order_id),
        side=Side.BUY if found.is_buyer else Side.SELL,
        price=positive(found.price, "price"),
        quantity=positive(found.size, "size"),
        fee=number(found.fee, "fee"),
        fee_currency=found.fee_currency or account.quote,
        liquidity=Liquidity.TAKER if found.is_taker else Liquidity.MAKER,
        venue_time_ms=unix_ms(found.event_time, "event_time"),
        source=source,
        received_at=now,
    )


def _position(symbol: str, quantity: Decimal, source: Source, now: float) -> PositionReported:
    return PositionReported(venue=VENUE, symbol=symbol, quantity=quantity, source=source, received_at=now)


def _changes(found: models.Book, symbol: str) -> Changes:
    if found.instrument != symbol:
        raise WireRefused(Rule.OTHER_SYMBOL, found.instrument[:40])
    return Changes(_levels(found.bids), _levels(found.asks), unix_ms(found.event_time, "event_time"))


def _levels(found: tuple[models.BookLevel, ...]) -> tuple[Level, ...]:
    return tuple(Level(positive(level.price, "price"), not_negative(level.size, "size")) for level in found)


def _check_account(found: str | int, account: Account) -> None:
    """An answer about another sub-account says nothing about ours."""
    if str(found) != account.sub_account_id:
        raise WireRefused(Rule.OTHER_ACCOUNT, f"sub-account {str(found)[:40]}")


_ORDER = msgspec.json.Decoder(models.Order)
_STATE_FEED = msgspec.json.Decoder(models.StateFeed)
_FILL = msgspec.json.Decoder(models.Fill)
_POSITION = msgspec.json.Decoder(models.Position)
_BOOK = msgspec.json.Decoder(models.Book)
_ORDER_ANSWER = msgspec.json.Decoder(models.OrderAnswer)
_BULK_ANSWER = msgspec.json.Decoder(models.BulkAnswer)
_ORDERS_ANSWER = msgspec.json.Decoder(models.OrdersAnswer)
_FILLS_ANSWER = msgspec.json.Decoder(models.FillsAnswer)
_POSITIONS_ANSWER = msgspec.json.Decoder(models.PositionsAnswer)
_BOOK_ANSWER = msgspec.json.Decoder(models.BookAnswer)
_ACK_ANSWER = msgspec.json.Decoder(models.AckAnswer)
_TIME_ANSWER = msgspec.json.Decoder(models.TimeAnswer)
_INSTRUMENTS_ANSWER = msgspec.json.Decoder(models.InstrumentsAnswer)
_SUMMARY_ANSWER = msgspec.json.Decoder(models.SummaryAnswer)
_LOGIN_ANSWER = msgspec.json.Decoder(models.LoginAnswer)
