"""REST bodies and shared rows of ApeX to messages and plain values (apex.md §1.3, §3, §7). Pure: ``received_at`` is an argument.

Every function either returns or raises ``WireRefused``. A status that is not known becomes UNKNOWN with the venue's word as the reason;
cumulative quantities are reported, never turned into fills; what is only matched and not yet censored is not a fill.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.apex import models
from adapters.apex.requests import Account
from adapters.apex.values import (
    VENUE,
    WireRefused,
    client_order_id,
    decode,
    integer,
    levels,
    not_negative,
    number,
    positive,
    positive_or_none,
    require,
    scrub,
    side_of,
    symbol_text,
    time_ms,
    time_ms_or_zero,
    venue_order_id,
)
from core.book import Book
from core.instrument import Instrument
from core.messages import BookUpdated, FillReported, OrderReported, PositionReported
from core.types import ZERO, Fees, Liquidity, OrderState, Side, Source, TradeId

BOOK_DEPTH = 20
NO_REASON = "UNKNOWN_ORDER_CANCEL_REASON"
_MAX_FEE_RATE = Decimal("0.01")
_MAX_DECIMALS = 30

_STATES = {
    "PENDING": OrderState.SUBMITTED,
    "OPEN": OrderState.ACCEPTED,
    "UNTRIGGERED": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELING": OrderState.PENDING_CANCEL,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
}
"""The venue's words (apex.md §0.1). PENDING has not been matched yet and may still be refused, so it proves receipt only."""
ENDED = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})
_REFUSALS = frozenset({"REDUCE_ONLY_CANCELED", "INTERNAL_FAILED"})
_COULD_NOT_FILL = "COULD_NOT_FILL"


class Order(NamedTuple):
    """An order and when the venue changed it last, its epoch milliseconds; 0 where it gave no time."""

    report: OrderReported
    updated_ms: int


class FailedFill(NamedTuple):
    """A match that the venue undid: it may have been counted before (apex.md §3)."""

    trade_id: str
    status: str
    venue_time_ms: int


class Listing(NamedTuple):
    """A contract of the configuration and what stands against trading it; empty = nothing."""

    instrument: Instrument
    objection: str


class Extent(NamedTuple):
    """How many rows a page had, of whatever symbol and state, and how many there are on all pages; 0 where the venue does not say."""

    rows: int
    total: int


class AccountState(NamedTuple):
    """GET /v3/account: ``positions`` are net base quantities by symbol."""

    account: Account
    status: str
    positions: dict[str, Decimal]


class Balance(NamedTuple):
    """Quote currency."""

    equity: Decimal
    available: Decimal


# ---- rows that the stream and REST share -----------------------------------------------------------------------------------------


def rows_of(rows: Iterable[msgspec.Raw] | None, symbol: str | None) -> list[msgspec.Raw]:
    """The rows of ``symbol``, undecoded; None = all."""
    return [row for row in rows or () if symbol is None or decode(row, models.SymbolRow).symbol == symbol]


def order_of(row: models.OrderRow, source: Source, received_at: float) -> Order:
    filled = not_negative(row.cum_success_fill_size, "filled quantity")
    size = positive_or_none(row.size, "size")
    reason = "" if row.cancel_reason == NO_REASON else scrub(row.cancel_reason, 60)
    state, reason = _judge_state(row.status, filled, size, reason, row.time_in_force)
    report = OrderReported(
        venue=VENUE,
        symbol=symbol_text(row.symbol),
        client_order_id=client_order_id(row.client_id or row.client_order_id),
        venue_order_id=venue_order_id(row.id or row.order_id),
        state=state,
        filled_quantity=filled,
        source=source,
        received_at=received_at,
        side=side_of(row.side),
        price=positive_or_none(row.price, "price"),
        quantity=size,
        reason=reason,
    )
    return Order(report, time_ms_or_zero(row.updated_at or row.updated_time, "update time"))


def _judge_state(word: str, filled: Decimal, size: Decimal | None, reason: str, time_in_force: str) -> tuple[OrderState, str]:
    """The state and its reason. FILLED beyond what is censored is not believed: the order must be asked for again."""
    state = _STATES.get(word)
    if state is None:
        return OrderState.UNKNOWN, scrub(word, 60)
    if state is OrderState.FILLED and size is not None and filled < size:
        return OrderState.UNKNOWN, f"FILLED with {filled} of {size}"
    if state is OrderState.CANCELED and filled == 0 and _is_refusal(reason, time_in_force):
        return OrderState.REJECTED, reason
    if state is OrderState.ACCEPTED and filled > 0:
        return OrderState.PARTIALLY_FILLED, reason
    return state, "untriggered" if word == "UNTRIGGERED" else reason


def _is_refusal(reason: str, time_in_force: str) -> bool:
    """A cancellation by which the venue refuses the order: it has no other word for that. An IOC that found nothing is not refused."""
    return reason in _REFUSALS or (reason == _COULD_NOT_FILL and time_in_force == "POST_ONLY")


def fill_of(row: models.FillRow, source: Source, received_at: float) -> FillReported | FailedFill | None:
    """A fill once it is censored (SUCCESS…, or no status at all), a failure, or None while it is pending (apex.md §3).

    The fee is in the contract's quote asset. A row that does not say maker or taker counts as taker: the word is for reports only.
    """
    trade_id = str(integer(row.id, "fill id")) if isinstance(row.id, int) else venue_order_id(row.id)
    at_ms = time_ms(row.created_at, "createdAt")
    if row.status.startswith("FAILED"):
        return FailedFill(trade_id, scrub(row.status, 60), at_ms)
    if row.status and not row.status.startswith("SUCCESS"):
        return None
    return FillReported(
        venue=VENUE,
        symbol=symbol_text(row.symbol),
        trade_id=TradeId(trade_id),
        client_order_id=client_order_id(row.client_order_id or row.client_id),
        venue_order_id=venue_order_id(row.order_id),
        side=side_of(row.side),
        price=positive(row.price, "fill price"),
        quantity=positive(row.size, "fill size"),
        fee=number(row.fee, "fee"),
        fee_currency=row.symbol.partition("-")[2],
        liquidity=Liquidity.MAKER if (row.direction or row.liquidity) == "MAKER" else Liquidity.TAKER,
        venue_time_ms=at_ms,
        source=source,
        received_at=received_at,
    )


def sides_of(rows: Iterable[msgspec.Raw]) -> dict[Side, Decimal]:
    """Size by side of one symbol's position rows; BUY is LONG. Both sides are listed, the flat one with size 0 (apex.md §3)."""
    found: dict[Side, Decimal] = {}
    for raw in rows:
        row = decode(raw, models.PositionRow)
        require(row.side in ("LONG", "SHORT"), "position side is not LONG or SHORT")
        side = Side.BUY if row.side == "LONG" else Side.SELL
        found[side] = found.get(side, ZERO) + not_negative(row.size, "position size")
    return found


def net_of(sides: dict[Side, Decimal]) -> Decimal:
    return sides.get(Side.BUY, ZERO) - sides.get(Side.SELL, ZERO)


def position_report(symbol: str, quantity: Decimal, source: Source, received_at: float) -> PositionReported:
    return PositionReported(venue=VENUE, symbol=symbol, quantity=quantity, source=source, received_at=received_at)


# ---- REST bodies -----------------------------------------------------------------------------------------------------------------


def parse_order(data: bytes, received_at: float) -> OrderReported:
    """The order of POST /v3/order, GET /v3/order and by client id."""
    return order_of(decode(data, models.OrderRow), Source.REST, received_at).report


def parse_open_orders(data: bytes, symbol: str, received_at: float) -> tuple[OrderReported, ...]:
    """GET /v3/open-orders: a bare list."""
    rows = rows_of(decode(data, list[msgspec.Raw]), symbol)
    return tuple(parse_order(bytes(row), received_at) for row in rows)


def parse_history(data: bytes, symbol: str, received_at: float) -> tuple[tuple[OrderReported, ...], Extent]:
    """The symbol's orders of one page."""
    rows, extent = _page(data)
    return tuple(parse_order(bytes(row), received_at) for row in rows_of(rows, symbol)), extent


def parse_fills(data: bytes, symbol: str, received_at: float) -> tuple[tuple[FillReported, ...], Extent]:
    """The symbol's censored fills of one page."""
    rows, extent = _page(data)
    found = [fill_of(decode(row, models.FillRow), Source.REST, received_at) for row in rows_of(rows, symbol)]
    return tuple(fill for fill in found if isinstance(fill, FillReported)), extent


def _page(data: bytes) -> tuple[list[msgspec.Raw], Extent]:
    page = decode(data, models.Page)
    rows = page.orders or []
    return rows, Extent(len(rows), 0 if page.total_size is None else integer(page.total_size, "totalSize"))


def parse_account(data: bytes) -> AccountState:
    body = decode(data, models.AccountBody)
    rates = body.contract_account
    fees = Fees(maker=number(rates.maker_fee_rate, "makerFeeRate"), taker=number(rates.taker_fee_rate, "takerFeeRate"))
    require(max(abs(rate) for rate in fees) <= _MAX_FEE_RATE, "fee rate is beyond 1 %")
    by_symbol: dict[str, list[msgspec.Raw]] = {}
    for row in body.positions or ():
        by_symbol.setdefault(decode(row, models.SymbolRow).symbol, []).append(row)
    positions = {symbol: net_of(sides_of(rows)) for symbol, rows in by_symbol.items()}
    return AccountState(Account(integer(body.id, "account id"), fees), scrub(rates.status, 40), positions)


def parse_balance(data: bytes) -> Balance:
    body = decode(data, models.BalanceBody)
    return Balance(number(body.total_equity_value, "equity"), number(body.available_balance, "available balance"))


def parse_worst_price(data: bytes) -> Decimal:
    return positive(decode(data, models.WorstPriceBody).worst_price, "worst price")


def parse_time(data: bytes) -> int:
    """Epoch milliseconds; the documentation shows seconds (apex.md §1.3)."""
    return time_ms(decode(data, models.TimeBody).time, "time")


def parse_depth(data: bytes, symbol: str, market_symbol: str, received_at: float) -> BookUpdated:
    """Best 20 levels of a REST book, best first, whatever its order; a crossed one is refused."""
    body = decode(data, models.Book)
    require(body.s == market_symbol, "the book of another symbol")
    integer(body.u, "u")
    book = Book()
    book.reset(levels(body.b, "bid"), levels(body.a, "ask"))
    require(not book.is_crossed, "the book is crossed")
    bids, asks = book.top(BOOK_DEPTH)
    return BookUpdated(venue=VENUE, symbol=symbol, bids=bids, asks=asks, received_at=received_at)


def parse_tickers(data: bytes, settle_asset: str) -> list[str]:
    """Base assets of all perpetuals settled in ``settle_asset``."""
    return sorted(head.base_token_id for head, _ in _heads(decode(data, models.SymbolsBody), settle_asset))


def parse_listing(data: bytes, ticker: str, settle_asset: str) -> Listing | None:
    """The perpetual of ``ticker``, None where there is none. Stock contracts need another account and are not looked at (apex.md §7)."""
    body = decode(data, models.SymbolsBody)
    for head, raw in _heads(body, settle_asset):
        if head.base_token_id == ticker:
            return _listing(decode(raw, models.Contract), body.contract_config.assets)
    return None


def _heads(body: models.SymbolsBody, settle_asset: str) -> list[tuple[models.ContractHead, msgspec.Raw]]:
    heads = [(decode(raw, models.ContractHead), raw) for raw in body.contract_config.perpetual_contract]
    return [(head, raw) for head, raw in heads if head.settle_asset_id == settle_asset and head.base_token_id]


def _listing(row: models.Contract, assets: list[models.Asset]) -> Listing:
    decimals = next((asset.decimals for asset in assets if asset.token == row.settle_asset_id), -1)
    if not 0 <= decimals <= _MAX_DECIMALS:
        raise WireRefused("the settle asset has no usable decimals")
    instrument = Instrument(
        venue=VENUE,
        symbol=symbol_text(row.symbol),
        base=row.base_token_id,
        quote=row.settle_asset_id,
        tick_size=positive(row.tick_size, "tickSize"),
        lot_size=positive(row.step_size, "stepSize"),
        min_quantity=positive(row.min_order_size, "minOrderSize"),
        contract_id=str(integer(row.l2_pair_id, "l2PairId")),
        base_decimals=decimals,
        market_symbol=symbol_text(row.cross_symbol_name),
    )
    is_open = row.enable_trade and row.enable_open_position and not row.is_prelaunch
    return Listing(instrument, "" if is_open else "not open for new positions")
