"""``flatten``: cancel every order, close every position, verify, with the bot dead. Each closing order is an intent in the journal first.

It trusts only what the venues answer now; what it cannot read it reports as left over and never as flat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from adapters.journal import SqliteJournal
from core.config import Config
from core.instrument import Instrument
from core.messages import (
    CancelAll,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillRecorded,
    FillReported,
    FillsFetched,
    OpenOrdersFetched,
    OrderChanged,
    OrderReported,
    PlaceOrder,
    PositionReported,
)
from core.order import TrackedOrder
from core.ports import QueryLane, TradeLane, Venue
from core.types import BPS, ClientOrderId, OrderState, Role, Side, TimeInForce

TRIES = 6
PAUSE_S = 0.5
FILL_LOOKBACK_S = 120.0
EXIT_FLAT, EXIT_LEFT = 0, 3


class _Account(NamedTuple):
    instrument: Instrument
    trade: TradeLane
    query: QueryLane


def flatten(config: Config, venues: Sequence[Venue], journal: SqliteJournal, say: Callable[[str], None]) -> int:
    """0 when every venue says flat and without orders, 3 otherwise; ``say`` gets one line per step."""
    epoch, slippage = journal.begin_epoch(), config.strategy.hedge_slippage_bps[-1]
    left = []
    for venue in venues:
        instrument = venue.setup.resolve(config.strategy.ticker)
        account = _Account(instrument, venue.trade_lane(instrument), venue.query_lane(instrument))
        try:
            left += _cancel_orders(account, say)
            left += _close_position(account, journal, epoch, slippage, say)
        finally:
            account.trade.close()
            account.query.close()
    journal.flush()
    for line in left:
        say(f"left: {line}")
    return EXIT_LEFT if left else EXIT_FLAT


def _cancel_orders(account: _Account, say: Callable[[str], None]) -> list[str]:
    venue, symbol = account.instrument.venue, account.instrument.symbol
    for _ in range(TRIES):
        account.trade.cancel_all(CancelAll(venue=venue, symbol=symbol))
        answer = account.query.fetch_open_orders(FetchOpenOrders(venue=venue, symbol=symbol))
        listed = next((event for event in answer if isinstance(event, OpenOrdersFetched)), None)
        if listed is not None and not listed.orders:
            say(f"{venue}: no open orders")
            return []
        time.sleep(PAUSE_S)
    return [f"{venue}: orders may still be open"]


def _close_position(
    account: _Account, journal: SqliteJournal, epoch: int, slippage_bps: Decimal, say: Callable[[str], None]
) -> list[str]:
    venue, lot = account.instrument.venue, account.instrument.lot_size
    position: Decimal | None = None
    for _ in range(TRIES):
        position = _position(account)
        if position is not None and abs(position) < lot:
            say(f"{venue}: flat ({position})")
            return []
        if position is not None:
            _close(account, position, journal, epoch, slippage_bps, say)
        time.sleep(PAUSE_S)
    unknown = "position unknown" if position is None else f"{Side.of(position).value} {abs(position)} {account.instrument.base}"
    return [f"{venue}: {unknown}"]


def _position(account: _Account) -> Decimal | None:
    """Signed base, None where the read failed: a failed read is not flat."""
    query = FetchPosition(venue=account.instrument.venue, symbol=account.instrument.symbol)
    answer = account.query.fetch_position(query)
    return next((event.quantity for event in answer if isinstance(event, PositionReported)), None)


def _close(
    account: _Account, position: Decimal, journal: SqliteJournal, epoch: int, slippage_bps: Decimal, say: Callable[[str], None]
) -> None:
    """One reduce-only IOC against the book; what it fills is noted so that the journal goes on explaining the position."""
    order = _closing_order(account, position, slippage_bps, journal)
    if order is None:
        say(f"{account.instrument.venue}: no price to close at yet")
        return
    journal.record_intent(order, epoch)
    tracked = TrackedOrder(order, time.monotonic())
    for event in account.trade.place(order):
        if isinstance(event, OrderReported):
            tracked.raise_filled(event.filled_quantity)
            tracked.move(event.state)
    say(f"{order.venue}: {order.side.value} {order.quantity} @ {order.price} sent to close")
    time.sleep(PAUSE_S)
    _note_fills(account, tracked, journal)


def _closing_order(account: _Account, position: Decimal, slippage_bps: Decimal, journal: SqliteJournal) -> PlaceOrder | None:
    instrument, side = account.instrument, Side.of(-position)
    book = account.query.fetch_book(instrument.symbol)
    levels = None if book is None else book.asks if side is Side.BUY else book.bids
    if not levels:
        return None
    touch = levels[0].price
    start, _ = journal.lease_client_ids(1)
    return PlaceOrder(
        client_order_id=ClientOrderId(start),
        venue=instrument.venue,
        symbol=instrument.symbol,
        side=side,
        quantity=instrument.quantity_down(abs(position)),
        price=instrument.price_passive(touch * (1 + side.sign * slippage_bps * BPS), side),
        time_in_force=TimeInForce.IOC,
        role=Role.REPAIR,
        cycle_id=journal.fold().last_cycle_id,
        reference_price=touch,
        reduce_only=True,
        owner="flatten",
    )


def _note_fills(account: _Account, tracked: TrackedOrder, journal: SqliteJournal) -> None:
    place = tracked.place
    query = FetchFills(venue=place.venue, symbol=place.symbol, lookback_s=FILL_LOOKBACK_S)
    fetched = [event for event in account.query.fetch_fills(query) if isinstance(event, FillsFetched)]
    fills: list[FillReported] = [fill for event in fetched for fill in event.fills]
    for fill in fills:
        if fill.client_order_id == place.client_order_id:
            tracked.record_fill(fill.quantity)
            journal.note(FillRecorded(fill=fill, order=tracked.snapshot(), at=time.monotonic()))
    if fills or not tracked.is_closed:
        tracked.move(OrderState.EXPIRED)
        journal.note(OrderChanged(order=tracked.snapshot(), at=time.monotonic()))
