"""What the journal's records add up to: the state a restart begins from.

A pure fold over the records in the order they were written. It never asks a venue, so an order without a closing record stays open
here until the reconciliation has positive evidence.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from core.messages import (
    AttemptFinished,
    AttemptStarted,
    CycleFinished,
    FillRecorded,
    FillReported,
    Message,
    OrderAccepted,
    OrderChanged,
    OrderDenied,
    OrderRejected,
    OrderSnapshot,
    OrderSubmitted,
    PairStateChanged,
    PlaceOrder,
    SubmitNotSent,
    SubmitUnknown,
)
from core.order import SETTLED_ORDERS_KEPT
from core.types import ZERO, ClientOrderId, TradeId, VenueId, VenueOrderId

FILL_KEYS_KEPT = 50_000
FILLS_SINCE_FLAT_KEPT = 1_000
RECENT_FILLS_KEPT = 100
"""Far more than the files of reports can be behind the journal."""
RESULT_SLOT_MS = 600_000
RESULT_SLOTS_KEPT = 145
"""A day of ten minutes each, and the one that has begun."""

Kind = Literal["INTENT", "SENT", "ACK", "FILL", "TERMINAL", "FENCE", "LEASE", "CYCLE", "STOP", "BASE", "NOTE"]


class FillKey(NamedTuple):
    """What makes a fill the same fill, whichever path told of it."""

    venue: VenueId
    trade_id: TradeId


class NetPosition(NamedTuple):
    """Signed base quantity: the sum of all fills ever journaled."""

    venue: VenueId
    symbol: str
    quantity: Decimal


class LastFill(NamedTuple):
    """Where the fill backfill of one venue has to start: ``venue_time_ms`` of the newest fill known."""

    venue: VenueId
    venue_time_ms: int


class SlotResult(NamedTuple):
    """Net result, in quote currency, of the pairs closed within ten minutes from ``wall_ms`` on."""

    wall_ms: int
    net: Decimal


class JournaledOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One intent and what became known of it. ``intended_ms``: wall time of the intent; ``snapshot``: the last one noted."""

    order: PlaceOrder
    epoch: int
    intended_ms: int
    recorded_quantity: Decimal = ZERO
    venue_order_id: VenueOrderId | None = None
    snapshot: OrderSnapshot | None = None

    @property
    def is_settled(self) -> bool:
        """Closed, and every quantity the venue told of is in a journaled fill; anything else must be asked for at a restart."""
        return self.snapshot is not None and self.snapshot.is_closed and self.recorded_quantity >= self.snapshot.filled_quantity


class JournalState(Message, frozen=True, kw_only=True):
    """The whole journal as one value; also the record that a compacted journal begins with.

    ``orders``: the 2,000 latest settled ones in the order they settled, then every unsettled one. ``fill_keys``: the latest 50,000.
    ``positions`` count every fill ever. ``fills_since_flat``: what is held was entered by them.
    ``recent_fills``: the latest, flat or not, whose lines in the report files a kill may have cut off. ``pairable``: fills that a pair
    ledger may still need, ``unbooked`` those among them of which no FillBooked is known; ``pairs_booked``: lines of pairs at the last one,
    None before anybody kept books. ``results``: of the last day and a bit.
    ``was_stopped_cleanly`` is false from the first record of a run until its clean stop.
    """

    next_client_id: int = 1
    epoch: int = 0
    orders: tuple[JournaledOrder, ...] = ()
    fill_keys: tuple[FillKey, ...] = ()
    positions: tuple[NetPosition, ...] = ()
    last_fills: tuple[LastFill, ...] = ()
    fills_since_flat: tuple[FillRecorded, ...] = ()
    recent_fills: tuple[FillRecorded, ...] = ()
    pairable: tuple[FillRecorded, ...] = ()
    unbooked: frozenset[FillKey] = frozenset()
    pairs_booked: int | None = None
    results: tuple[SlotResult, ...] = ()
    last_cycle_id: int = 0
    last_finished_cycle_id: int = 0
    last_released_cycle_id: int = 0
    was_stopped_cleanly: bool = True

    @property
    def unsettled(self) -> tuple[JournaledOrder, ...]:
        return tuple(order for order in self.orders if not order.is_settled)

    @property
    def booked_fills(self) -> tuple[FillRecorded, ...]:
        """What the pair ledger had taken in; some of it may still wait for a fill of the other side."""
        return tuple(event for event in self.pairable if fill_key(event.fill) not in self.unbooked)

    @property
    def unbooked_fills(self) -> tuple[FillRecorded, ...]:
        """What the reports lack."""
        return tuple(event for event in self.pairable if fill_key(event.fill) in self.unbooked)


def fill_key(fill: FillReported) -> FillKey:
    return FillKey(fill.venue, fill.trade_id)


class Intent(Message, frozen=True, kw_only=True):
    """An order that may be sent from now on."""

    order: PlaceOrder
    epoch: int


class Lease(Message, frozen=True, kw_only=True):
    """Client order ids below ``end`` are given away for ever."""

    end: int


class Fence(Message, frozen=True, kw_only=True):
    """A run began; commands of an older epoch are void."""

    epoch: int


class BooksOpened(Message, frozen=True, kw_only=True):
    """From here on every FillRecorded is followed by its FillBooked. ``pairs``: lines in the report of pairs."""

    pairs: int


class FillBooked(Message, frozen=True, kw_only=True):
    """The reports have the fill and the pairs that it completed; ``net``: what those earned, quote currency, negative = lost.

    ``pairs``: lines in the report of pairs by then.
    """

    venue: VenueId
    trade_id: TradeId
    net: Decimal
    pairs: int


class Stopped(Message, frozen=True, kw_only=True):
    """The run ended in order."""


Record = (
    Intent
    | Lease
    | Fence
    | Stopped
    | JournalState
    | OrderSubmitted
    | OrderAccepted
    | OrderRejected
    | OrderDenied
    | SubmitNotSent
    | SubmitUnknown
    | OrderChanged
    | FillRecorded
    | FillReported
    | AttemptStarted
    | AttemptFinished
    | CycleFinished
    | PairStateChanged
    | BooksOpened
    | FillBooked
)


def kind_of(message: Message) -> Kind:
    """The journal's word for a record; NOTE is kept for people and takes no part in the fold."""
    match message:
        case Intent():
            return "INTENT"
        case OrderSubmitted():
            return "SENT"
        case OrderAccepted() | OrderRejected() | OrderDenied() | SubmitNotSent() | SubmitUnknown():
            return "ACK"
        case OrderChanged(order=order):
            return "TERMINAL" if order.is_closed else "ACK"
        case FillRecorded() | FillReported():
            return "FILL"
        case AttemptStarted() | AttemptFinished() | CycleFinished() | PairStateChanged() | BooksOpened() | FillBooked():
            return "CYCLE"
        case Fence():
            return "FENCE"
        case Lease():
            return "LEASE"
        case Stopped():
            return "STOP"
        case JournalState():
            return "BASE"
        case _:
            return "NOTE"


class JournalFold:
    """Applies records one by one; ``state`` may be taken at any point."""

    def __init__(self) -> None:
        self.next_client_id = 1
        self.epoch = 0
        self._last_cycle_id = 0
        self._last_finished_cycle_id = 0
        self._last_released_cycle_id = 0
        self._pairs_booked: int | None = None
        self._load(JournalState())

    def apply(self, record: Message, wall_ms: int) -> None:  # noqa: C901  one arm a record type
        """``wall_ms``: when the record was written; intents and results keep it."""
        self._was_stopped_cleanly = isinstance(record, Stopped)
        match record:
            case JournalState():
                self._load(record)
            case Intent(order=order, epoch=epoch):
                self.next_client_id = max(self.next_client_id, order.client_order_id + 1)
                self._see_cycle(order.cycle_id)
                self._keep(JournaledOrder(order=order, epoch=epoch, intended_ms=wall_ms))
            case Lease(end=end):
                self.next_client_id = max(self.next_client_id, end)
            case Fence(epoch=epoch):
                self.epoch = max(self.epoch, epoch)
            case BooksOpened(pairs=pairs):
                self._pairs_booked = pairs
            case OrderAccepted(client_order_id=client_order_id, venue_order_id=venue_order_id):
                self._update(client_order_id, venue_order_id=venue_order_id)
            case OrderChanged(order=snapshot):
                self._update(snapshot.client_order_id, snapshot=snapshot, venue_order_id=snapshot.venue_order_id)
            case FillRecorded(fill=fill, order=snapshot):
                if self._fill(fill, snapshot):
                    self._fills_since_flat.append(record)
                    self._recent_fills.append(record)
                    self._await_booking(record)
                    self._forget_when_flat()
            case FillBooked(venue=venue, trade_id=trade_id, net=net, pairs=pairs):
                self._unbooked.discard(FillKey(venue, trade_id))
                self._pairs_booked = pairs
                self._earn(net, wall_ms)
                self._forget_when_flat()
            case FillReported():
                self._fill(record, None)
            case AttemptStarted(cycle_id=cycle_id) | AttemptFinished(cycle_id=cycle_id):
                self._see_cycle(cycle_id)
            case CycleFinished(cycle_id=cycle_id):
                self._see_cycle(cycle_id)
                self._last_finished_cycle_id = max(self._last_finished_cycle_id, cycle_id)
            case PairStateChanged(cycle_id=cycle_id, state="RELEASED"):
                self._last_released_cycle_id = max(self._last_released_cycle_id, cycle_id)
            case _:
                pass

    def state(self) -> JournalState:
        return JournalState(
            next_client_id=self.next_client_id,
            epoch=self.epoch,
            orders=(*self._settled.values(), *self._unsettled.values()),
            fill_keys=tuple(self._fill_keys),
            positions=tuple(NetPosition(*key, quantity) for key, quantity in sorted(self._positions.items())),
            last_fills=tuple(LastFill(*item) for item in sorted(self._last_fill_ms.items())),
            fills_since_flat=tuple(self._fills_since_flat),
            recent_fills=tuple(self._recent_fills),
            pairable=tuple(self._pairable),
            unbooked=frozenset(self._unbooked),
            pairs_booked=self._pairs_booked,
            results=tuple(SlotResult(*item) for item in sorted(self._results.items())),
            last_cycle_id=self._last_cycle_id,
            last_finished_cycle_id=self._last_finished_cycle_id,
            last_released_cycle_id=self._last_released_cycle_id,
            was_stopped_cleanly=self._was_stopped_cleanly,
        )

    def _load(self, base: JournalState) -> None:
        self.next_client_id = base.next_client_id
        self.epoch = base.epoch
        self._unsettled = {order.order.client_order_id: order for order in base.orders if not order.is_settled}
        self._settled = {order.order.client_order_id: order for order in base.orders if order.is_settled}
        self._fill_keys = dict.fromkeys(base.fill_keys)
        self._positions = {(position.venue, position.symbol): position.quantity for position in base.positions}
        self._last_fill_ms = {last.venue: last.venue_time_ms for last in base.last_fills}
        self._fills_since_flat = deque(base.fills_since_flat, FILLS_SINCE_FLAT_KEPT)
        self._recent_fills = deque(base.recent_fills, RECENT_FILLS_KEPT)
        self._pairable = deque(base.pairable)
        self._unbooked = set(base.unbooked)
        self._pairs_booked = base.pairs_booked
        self._results = {result.wall_ms: result.net for result in base.results}
        self._last_cycle_id = base.last_cycle_id
        self._last_finished_cycle_id = base.last_finished_cycle_id
        self._last_released_cycle_id = base.last_released_cycle_id
        self._was_stopped_cleanly = base.was_stopped_cleanly

    def _see_cycle(self, cycle_id: int) -> None:
        self._last_cycle_id = max(self._last_cycle_id, cycle_id)

    def _find(self, client_order_id: ClientOrderId | None) -> JournaledOrder | None:
        if client_order_id is None:
            return None
        return self._unsettled.get(client_order_id) or self._settled.get(client_order_id)

    def _keep(self, order: JournaledOrder) -> None:
        client_order_id = order.order.client_order_id
        self._unsettled.pop(client_order_id, None)
        self._settled.pop(client_order_id, None)
        (self._settled if order.is_settled else self._unsettled)[client_order_id] = order
        while len(self._settled) > SETTLED_ORDERS_KEPT:
            del self._settled[next(iter(self._settled))]

    def _update(
        self,
        client_order_id: ClientOrderId | None,
        *,
        snapshot: OrderSnapshot | None = None,
        venue_order_id: VenueOrderId | None = None,
        filled: Decimal = ZERO,
    ) -> None:
        known = self._find(client_order_id)
        if known is None:
            return
        if snapshot is not None and known.snapshot is not None:
            told = max(snapshot.filled_quantity, known.snapshot.filled_quantity)  # A filled quantity never falls.
            snapshot = msgspec.structs.replace(snapshot, filled_quantity=told)
        self._keep(
            msgspec.structs.replace(
                known,
                snapshot=snapshot or known.snapshot,
                venue_order_id=venue_order_id or known.venue_order_id,
                recorded_quantity=known.recorded_quantity + filled,
            )
        )

    def _earn(self, net: Decimal, wall_ms: int) -> None:
        if not net:
            return
        slot = wall_ms - wall_ms % RESULT_SLOT_MS
        self._results[slot] = self._results.get(slot, ZERO) + net
        if len(self._results) > RESULT_SLOTS_KEPT:
            del self._results[min(self._results)]

    def _await_booking(self, record: FillRecorded) -> None:
        if len(self._pairable) == FILLS_SINCE_FLAT_KEPT:
            self._unbooked.discard(fill_key(self._pairable.popleft().fill))
        self._pairable.append(record)
        if self._pairs_booked is not None:
            self._unbooked.add(fill_key(record.fill))

    def _forget_when_flat(self) -> None:
        """Every pair is complete when nothing is held, and what is booked is not needed any more."""
        if sum(self._positions.values(), ZERO):
            return
        self._fills_since_flat.clear()
        if not self._unbooked:
            self._pairable.clear()

    def _fill(self, fill: FillReported, snapshot: OrderSnapshot | None) -> bool:
        """False for a fill that was journaled before."""
        key = fill_key(fill)
        if key in self._fill_keys:
            return False
        self._fill_keys[key] = None
        if len(self._fill_keys) > FILL_KEYS_KEPT:
            del self._fill_keys[next(iter(self._fill_keys))]
        place = (fill.venue, fill.symbol)
        self._positions[place] = self._positions.get(place, ZERO) + fill.side.sign * fill.quantity
        self._last_fill_ms[fill.venue] = max(self._last_fill_ms.get(fill.venue, 0), fill.venue_time_ms)
        client_order_id = snapshot.client_order_id if snapshot is not None else fill.client_order_id
        self._update(client_order_id, snapshot=snapshot, venue_order_id=fill.venue_order_id, filled=fill.quantity)
        return True
