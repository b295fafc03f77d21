"""Orders that close what ``flatten`` found: reduce-only IOCs against the book, each an intent in the journal first.

A position may be the hedge of another: none is closed by more than leaves |net| as small while another cannot be closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from adapters.journal import JournalCorrupt, SqliteJournal
from adapters.run_signals import held_back
from core.instrument import Instrument
from core.journal_state import FillKey, fill_key
from core.messages import (
    FetchFills,
    FillRecorded,
    FillReported,
    FillsFetched,
    OrderChanged,
    OrderRejected,
    OrderReported,
    PlaceOrder,
    SubmitNotSent,
)
from core.order import TrackedOrder
from core.ports import JournalFailed, QueryLane, TradeLane
from core.types import BPS, ZERO, ClientOrderId, OrderState, Role, Side, TimeInForce

PAUSE_S = 0.5
FILL_LOOKBACK_S = 120.0

Say = Callable[[str], None]


class Account(NamedTuple):
    """One venue that was reached."""

    instrument: Instrument
    trade: TradeLane
    query: QueryLane


class Leg(NamedTuple):
    """A position to close; ``touch`` None: nobody to trade with, or the book could not be read."""

    account: Account
    position: Decimal
    touch: Decimal | None = None


class _Book(NamedTuple):
    journal: SqliteJournal
    epoch: int


class Closer:
    """Reduce-only IOCs against the book; what they fill is noted so that the journal goes on explaining the positions.

    An order of which the venue has not said all stays open in the journal: the next run asks for it, as for any other.
    """

    def __init__(self, open_journal: Callable[[], SqliteJournal], slippage_bps: Decimal, say: Say) -> None:
        self._open_journal = open_journal
        self._slippage_bps = slippage_bps
        self._say = say
        self._book: _Book | None = None
        self._sent: list[tuple[Account, TrackedOrder]] = []
        self._noted: set[FillKey] = set()

    def begin(self) -> _Book:
        """Open the journal, once. Raises JournalFailed, JournalCorrupt."""
        if self._book is None:
            journal = self._open_journal()
            self._book = _Book(journal, journal.begin_epoch())
        return self._book

    def close(self, legs: Sequence[Leg]) -> None:
        """One order a leg. All are durable before the first is sent, and sent before a signal ends this: none of it leaves a leg without the
        other."""
        priced = [leg._replace(touch=_touch(leg)) for leg in legs]
        for leg in priced:
            if leg.touch is None:
                self._say(f"{leg.account.instrument.venue}: no price to close at yet")
        try:
            orders = self._intended(priced)
        except (JournalFailed, JournalCorrupt) as error:
            self._say(f"nothing is closed: {error}")
            return
        if not orders:
            return
        with held_back():
            for account, order in orders:
                self._sent.append((account, self._send(account, order)))
        time.sleep(PAUSE_S)
        self._note_outcomes()

    def finish(self) -> list[str]:
        """What is left undone in the journal. Fills that were not listed at first are looked for once more."""
        self._note_outcomes()
        try:
            if self._book is not None:
                self._book.journal.flush()
        except JournalFailed as error:
            return [f"left: {error}"]
        return []

    def _intended(self, legs: Sequence[Leg]) -> list[tuple[Account, PlaceOrder]]:
        journal, epoch = self.begin()
        orders = []
        for leg, quantity in zip(legs, closable(legs), strict=True):
            if leg.touch is not None and quantity:
                order = self._closing_order(leg, leg.touch, quantity, journal)
                journal.record_intent(order, epoch)
                orders.append((leg.account, order))
        return orders

    def _closing_order(self, leg: Leg, touch: Decimal, quantity: Decimal, journal: SqliteJournal) -> PlaceOrder:
        instrument, side = leg.account.instrument, Side.of(-leg.position)
        start, _ = journal.lease_client_ids(1)
        return PlaceOrder(
            client_order_id=ClientOrderId(start),
            venue=instrument.venue,
            symbol=instrument.symbol,
            side=side,
            quantity=quantity,
            price=instrument.price_passive(touch * (1 + side.sign * self._slippage_bps * BPS), side),
            time_in_force=TimeInForce.IOC,
            role=Role.REPAIR,
            cycle_id=journal.fold().last_cycle_id,
            reference_price=touch,
            reduce_only=True,
            owner="flatten",
        )

    def _send(self, account: Account, order: PlaceOrder) -> TrackedOrder:
        tracked = TrackedOrder(order, time.monotonic())
        for event in account.trade.place(order):
            match event:
                case OrderReported():
                    tracked.raise_filled(event.filled_quantity)
                    tracked.move(event.state)
                case OrderRejected():
                    tracked.move(OrderState.REJECTED)
                case SubmitNotSent():
                    tracked.move(OrderState.DENIED)
                case _:
                    pass
        self._note_end(tracked)
        self._say(f"{order.venue}: {order.side.value} {order.quantity} @ {order.price} sent to close")
        return tracked

    def _note_outcomes(self) -> None:
        """Of all orders that are not settled yet, by one read a venue."""
        unsettled = [(account, order) for account, order in self._sent if not (order.is_closed and order.is_fully_recorded)]
        for account in dict.fromkeys(account for account, _ in unsettled):
            fills = _recent_fills(account)
            for order in [order for each, order in unsettled if each is account]:
                self._note_fills(order, fills)

    def _note_fills(self, order: TrackedOrder, fills: Sequence[FillReported]) -> None:
        for fill in fills:
            if fill.client_order_id == order.place.client_order_id and fill_key(fill) not in self._noted:
                self._noted.add(fill_key(fill))
                order.record_fill(fill.quantity)
                self.begin().journal.note(FillRecorded(fill=fill, order=order.snapshot(), at=time.monotonic()))
        self._note_end(order)

    def _note_end(self, order: TrackedOrder) -> None:
        if order.is_closed:
            self.begin().journal.note(OrderChanged(order=order.snapshot(), at=time.monotonic()))


def closable(legs: Sequence[Leg]) -> list[Decimal]:
    """Base quantity of each leg that may go now: all of it where every leg has a price, else only what no other leg covers."""
    net = sum((leg.position for leg in legs), ZERO)
    has_every_price = all(leg.touch is not None for leg in legs)
    found = []
    for leg in legs:
        uncovered = min(abs(leg.position), abs(net)) if leg.position * net > 0 else ZERO
        quantity = abs(leg.position) if has_every_price else uncovered
        found.append(ZERO if leg.touch is None else leg.account.instrument.quantity_down(quantity))
    return found


def _touch(leg: Leg) -> Decimal | None:
    book = leg.account.query.fetch_book(leg.account.instrument.symbol)
    levels = None if book is None else book.bids if leg.position > 0 else book.asks
    return levels[0].price if levels else None


def _recent_fills(account: Account) -> list[FillReported]:
    """Empty where the read failed, too."""
    instrument = account.instrument
    query = FetchFills(venue=instrument.venue, symbol=instrument.symbol, lookback_s=FILL_LOOKBACK_S)
    fetched = [event for event in account.query.fetch_fills(query) if isinstance(event, FillsFetched)]
    return [fill for event in fetched for fill in event.fills]
