"""In-flight orders of all venues: deduplicates fills, merges what streams and REST tell, resolves unknown outcomes.

It never guesses: an order ends by the venue's word, or by absence after a bound that the venue itself enforces. It never decides what
to trade; the only orders it cancels are those whose outcome it must bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from decimal import Decimal

from core.messages import (
    Alert,
    CancelAcknowledged,
    CancelFailed,
    CancelOrder,
    FeedChanged,
    FillRecorded,
    FillReported,
    FillsFetched,
    FrameRejected,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderChanged,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    PositionReported,
    QueryFailed,
    QueryOrder,
    SubmitNotSent,
    SubmitUnknown,
    Tick,
)
from core.order import CANCEL_RETRY_S, QUERY_DELAYS_S, SETTLED_ORDERS_KEPT, TrackedOrder
from core.strangers import Strangers
from core.types import (
    ZERO,
    Channel,
    ClientOrderId,
    FeedState,
    OrderState,
    Role,
    Source,
    TimeInForce,
    TradeId,
    VenueId,
    VenueOrderId,
)
from core.venue_watch import VenuePolicy, VenueWatch

SILENCE_AFTER_ACTION_S = 2.0
"""An accepted order of which the stream says nothing for so long is asked for (pongs prove no subscription, grvt.md §2), an IOC till its end."""
MISSES_AS_PROOF = 2
MISS_SPACING_S = 1.0
"""Proof of absence needs two lookups past the bound, this far apart: histories lag (backpack.md §4)."""
TRADES_KEPT = 50_000
EXITS = (Role.TP, Role.SL)


class OrderTracker:
    """``handle(message, now)`` returns what was concluded (events) and what must be asked or bounded (commands)."""

    def __init__(
        self,
        policies: dict[VenueId, VenuePolicy],
        *,
        orders: Iterable[TrackedOrder] = (),
        positions: dict[VenueId, Decimal] | None = None,
        seen_trades: Iterable[tuple[VenueId, TradeId]] = (),
        ignore_foreign_before_ms: int = 0,
        recovery_lookback_s: float = 60.0,
    ) -> None:
        held = positions or {}
        self._venues = {venue: VenueWatch(venue, policy, held.get(venue, ZERO)) for venue, policy in policies.items()}
        self._orders: OrderedDict[ClientOrderId, TrackedOrder] = OrderedDict((o.place.client_order_id, o) for o in orders)
        self._active: dict[ClientOrderId, TrackedOrder] = {}
        self._by_venue_id: dict[tuple[VenueId, VenueOrderId], TrackedOrder] = {}
        self._trades: OrderedDict[tuple[VenueId, TradeId], None] = OrderedDict((key, None) for key in seen_trades)
        self._strangers = Strangers(ignore_foreign_before_ms)
        self._recovery_lookback_s = recovery_lookback_s
        self.duplicate_fills = 0
        self._requests: dict[tuple[str, int], set[VenueId | None]] = {}
        for order in self._orders.values():
            self._index(order)

    # ---- entry ---------------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> tuple[Message, ...]:
        """First words after a (re)start: what is known of open orders, and a bound for each of them."""
        out: list[Message] = []
        for state in self._venues.values():
            state.unread_since(now - self._recovery_lookback_s)
        for order in self._active.values():
            out.append(OrderChanged(order=order.snapshot(), at=now))
            if order.is_closed:
                continue
            order.submitted_at = min(order.submitted_at, now)
            if order.place.role in EXITS:  # What protects a position is taken over, unless the venue does not show it.
                order.query_due_at = now + QUERY_DELAYS_S[0]
            else:
                out += self._bound(order, now)
        return tuple(out)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:  # noqa: C901  one arm a message type
        match message:
            case FillReported():
                return self._fill(message, now)
            case OrderReported():
                return self._report(message, now)
            case OrderSubmitted():
                return self._submitted(message)
            case OrderAccepted():
                return self._accepted(message, now)
            case OrderRejected():
                return self._rejected(message, now)
            case SubmitNotSent():
                return self._refused(message.client_order_id, OrderState.DENIED, f"not sent: {message.reason}", now)
            case SubmitUnknown():
                return self._unknown(message, now)
            case CancelAcknowledged():
                return self._cancel_acknowledged(message, now)
            case CancelFailed():
                return self._cancel_failed(message, now)
            case OrderNotFound():
                return self._not_found(message, now)
            case OpenOrdersFetched():
                return self._open_orders(message, now)
            case FillsFetched():
                return self._fills(message, now)
            case PositionReported():
                return self._position(message, now)
            case QueryFailed():
                return self._query_failed(message, now)
            case FeedChanged():
                return self._feed(message, now)
            case FrameRejected() if message.channel is Channel.ACCOUNT:
                return self._venues[message.venue].frame_rejected(now)
            case LedgerRequested():
                return self._snapshot(message, now)
            case Tick():
                return self._tick(now)
            case _:
                return ()

    # ---- fills and reports ---------------------------------------------------------------------------------------------------

    def _fill(self, fill: FillReported, now: float) -> tuple[Message, ...]:
        key = (fill.venue, fill.trade_id)
        if key in self._trades:
            self.duplicate_fills += 1
            return ()
        order = self._find(fill.venue, fill.client_order_id, fill.venue_order_id)
        if order is None and self._strangers.is_past(fill):
            return ()
        self._remember_trade(key)
        state = self._venues[fill.venue]
        state.position += fill.side.sign * fill.quantity
        if order is None:
            return (FillRecorded(fill=fill, order=None, at=now), *self._strangers.filled(fill, now), *state.judge(now))
        order.record_fill(fill.quantity)
        self._learn_venue_id(order, fill.venue_order_id)
        snapshot = order.snapshot()
        out: tuple[Message, ...] = (FillRecorded(fill=fill, order=snapshot, at=now), OrderChanged(order=snapshot, at=now))
        self._settle(order)
        return out + self._overfill(order, now) + state.judge(now)

    def _report(self, report: OrderReported, now: float) -> tuple[Message, ...]:
        order = self._find(report.venue, report.client_order_id, report.venue_order_id)
        if order is None:
            return self._strangers.reported(report, now)
        changed = order.move(report.state) if report.state is not OrderState.UNKNOWN else False
        changed = order.raise_filled(report.filled_quantity) or changed
        self._learn_venue_id(order, report.venue_order_id)
        order.misses = 0
        out: tuple[Message, ...] = ()
        if report.state is OrderState.UNKNOWN:
            order.query_due_at = now + QUERY_DELAYS_S[0]
            out = self._venues[order.place.venue].unknown_word(report.reason, now)
        elif order.state is not OrderState.PENDING_CANCEL and report.state is not OrderState.SUBMITTED:
            is_brief = order.place.time_in_force is TimeInForce.IOC and not order.is_closed
            order.query_due_at = now + SILENCE_AFTER_ACTION_S if is_brief else None
        if not order.is_fully_recorded:
            self._venues[order.place.venue].expect_fills(now)
        if not changed:
            return out
        if report.reason:
            order.reason = report.reason
        self._settle(order)
        return (*out, OrderChanged(order=order.snapshot(), at=now), *self._overfill(order, now))

    def _overfill(self, order: TrackedOrder, now: float) -> tuple[Message, ...]:
        if not order.is_overfilled:
            return ()
        place = order.place
        text = f"{place.venue} order {place.client_order_id} filled {order.filled_quantity} of {place.quantity}"
        return (Alert(level="critical", key="overfill", text=text, at=now),)

    # ---- gateway outcomes ----------------------------------------------------------------------------------------------------

    def _submitted(self, message: OrderSubmitted) -> tuple[Message, ...]:
        if message.order.client_order_id in self._orders:
            return ()
        order = TrackedOrder(message.order, message.at)
        self._orders[message.order.client_order_id] = order
        self._active[message.order.client_order_id] = order
        order.query_due_at = message.at + SILENCE_AFTER_ACTION_S
        self._venues[message.order.venue].is_busy = True
        self._evict()
        return (OrderChanged(order=order.snapshot(), at=message.at),)

    def _accepted(self, message: OrderAccepted, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is None:
            return ()
        self._learn_venue_id(order, message.venue_order_id)
        if not order.move(OrderState.ACCEPTED):
            return ()
        order.query_due_at = now + SILENCE_AFTER_ACTION_S
        return (OrderChanged(order=order.snapshot(), at=now),)

    def _rejected(self, message: OrderRejected, now: float) -> tuple[Message, ...]:
        """A throttled order was not taken and may be decided anew, like one that was never sent."""
        state = OrderState.DENIED if message.is_throttled else OrderState.REJECTED
        return self._refused(message.client_order_id, state, message.reason, now, permanent=message.permanent)

    def _refused(
        self, client_order_id: ClientOrderId, state: OrderState, reason: str, now: float, *, permanent: bool = False
    ) -> tuple[Message, ...]:
        order = self._orders.get(client_order_id)
        if order is None or not order.move(state):
            return ()
        order.reason = reason
        order.permanent = permanent
        self._settle(order)
        return (OrderChanged(order=order.snapshot(), at=now),)

    def _unknown(self, message: SubmitUnknown, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is None or not order.move(OrderState.UNKNOWN):
            return ()
        order.reason = message.reason
        order.query_due_at = now + QUERY_DELAYS_S[0]
        return (OrderChanged(order=order.snapshot(), at=now), *self._bound(order, now))

    def _bound(self, order: TrackedOrder, now: float) -> tuple[Message, ...]:
        """Make the venue itself end an order whose outcome is unknown, where it can."""
        order.query_due_at = now + QUERY_DELAYS_S[0]
        ttl_ms = self._venues[order.place.venue].policy.cancel_ttl_ms
        if not ttl_ms and order.place.role is not Role.MAKER:
            return ()
        return (self._cancel(order, "outcome unknown", now),)

    def _cancel(self, order: TrackedOrder, reason: str, now: float) -> CancelOrder:
        order.retry_cancel(now)
        place, ttl = order.place, self._venues[order.place.venue].policy.cancel_ttl_ms
        return CancelOrder(
            venue=place.venue,
            symbol=place.symbol,
            client_order_id=place.client_order_id,
            venue_order_id=order.venue_order_id,
            reason=reason,
            ttl_ms=ttl or None,
        )

    def _cancel_acknowledged(self, message: CancelAcknowledged, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is None or order.is_closed:
            return ()
        ttl_s = self._venues[order.place.venue].policy.cancel_ttl_ms / 1000
        order.cancel_bound_at = now + ttl_s if order.cancel_bound_at is None else order.cancel_bound_at
        order.cancel_due_at = now + max(CANCEL_RETRY_S[-1], ttl_s)
        order.query_due_at = now + 2 * QUERY_DELAYS_S[1]
        if order.state is OrderState.UNKNOWN or not order.move(OrderState.PENDING_CANCEL):
            return ()
        return (OrderChanged(order=order.snapshot(), at=now),)

    def _cancel_failed(self, message: CancelFailed, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is None or order.is_closed:
            return ()
        order.retry_cancel(now)
        order.query_due_at = now + QUERY_DELAYS_S[0]
        if message.kind == "refused" or order.state is OrderState.UNKNOWN or not order.move(OrderState.PENDING_CANCEL):
            return ()
        return (OrderChanged(order=order.snapshot(), at=now),)

    # ---- query answers -------------------------------------------------------------------------------------------------------

    def _not_found(self, message: OrderNotFound, now: float) -> tuple[Message, ...]:
        """Absence: stale news, one more miss, or - twice past the bound - the end of the order."""
        order = self._orders.get(message.client_order_id)
        if order is None or order.is_closed:
            return ()
        bound_at = self._bound_of(order)
        if bound_at is None or message.asked_at < bound_at:
            proof_at = max(now, bound_at) if bound_at is not None else float("inf")
            order.query_due_at = min(now + order.query_delay_s, proof_at)
            return self._force_bound(order, now)
        if order.misses and message.asked_at < order.missed_at + MISS_SPACING_S:
            order.query_due_at = order.missed_at + MISS_SPACING_S
            return ()
        order.misses += 1
        order.missed_at = message.asked_at
        if order.misses < MISSES_AS_PROOF:
            order.query_due_at = now + MISS_SPACING_S
            return ()
        never_seen = order.state in (OrderState.UNKNOWN, OrderState.SUBMITTED) and order.filled_quantity == 0
        order.move(OrderState.EXPIRED if never_seen else OrderState.CANCELED, is_inferred=True)
        order.reason = "absent past the venue's own bound"
        self._settle(order)
        return (OrderChanged(order=order.snapshot(), at=now),)

    def _bound_of(self, order: TrackedOrder) -> float | None:
        """When absence starts to mean something: the end of an armed cancel, or of the venue's request window."""
        policy = self._venues[order.place.venue].policy
        return order.cancel_bound_at if policy.cancel_ttl_ms else order.submitted_at + policy.submit_bound_s

    def _force_bound(self, order: TrackedOrder, now: float) -> tuple[Message, ...]:
        """An order the venue does not show, on a venue where only a cancel bounds it: send that cancel."""
        has_ttl = self._venues[order.place.venue].policy.cancel_ttl_ms > 0
        if has_ttl and order.cancel_attempts == 0 and order.queries >= len(QUERY_DELAYS_S):
            return (self._cancel(order, "not shown by the venue", now),)
        return ()

    def _open_orders(self, message: OpenOrdersFetched, now: float) -> tuple[Message, ...]:
        out: list[Message] = []
        for report in message.orders:
            out += self._report(report, now)
        listed = {report.client_order_id for report in message.orders} | {report.venue_order_id for report in message.orders}
        listed.discard(None)
        for order in self._active.values():
            place = order.place
            is_missing = place.client_order_id not in listed and order.venue_order_id not in listed
            if is_missing and place.venue == message.venue and not order.is_closed and order.submitted_at < message.asked_at - 1:
                order.query_due_at = min(order.query_due_at or now, now)
        state = self._venues[message.venue]
        state.audit.fetched("orders", message.asked_at)
        return (*out, *self._queries(now), *state.judge(now))

    def _fills(self, message: FillsFetched, now: float) -> tuple[Message, ...]:
        out: list[Message] = []
        for fill in message.fills:
            out += self._fill(fill, now)
        state = self._venues[message.venue]
        state.fills_read(message.asked_at, message.lookback_s)
        return (*out, *state.judge(now))

    def _position(self, message: PositionReported, now: float) -> tuple[Message, ...]:
        state = self._venues[message.venue]
        asked_at = message.received_at if message.source is not Source.WS else None
        state.audit.reported(message.quantity, asked_at=asked_at)
        return state.judge(now)

    def _query_failed(self, message: QueryFailed, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id) if message.client_order_id is not None else None
        if order is not None and not order.is_closed:
            order.query_due_at = now + order.query_delay_s
        self._venues[message.venue].read_failed(message.query, now)
        return ()

    # ---- feeds and time ------------------------------------------------------------------------------------------------------

    def _feed(self, message: FeedChanged, now: float) -> tuple[Message, ...]:
        if message.channel is not Channel.ACCOUNT or message.source is not Source.WS:
            return ()
        state = self._venues[message.venue]
        was_live, state.is_live = state.is_live, message.state is FeedState.LIVE
        if was_live and not state.is_live:
            state.went_away(now)
        if was_live or not state.is_live:
            return ()
        return state.came_back(now)

    def _tick(self, now: float) -> tuple[Message, ...]:
        out = list(self._queries(now))
        for order in self._active.values():
            if order.cancel_due_at is not None and now >= order.cancel_due_at and not order.is_closed:
                out.append(self._cancel(order, "not yet terminal", now))
        for state in self._venues.values():
            owed, has_open = self._owes_fills(state.venue), self._has_open(state.venue)
            out += state.tick(now, owes_fills=owed, has_open=has_open)
        return tuple(out)

    def _queries(self, now: float) -> Iterable[Message]:
        for order in self._active.values():
            if order.query_due_at is None or now < order.query_due_at or order.is_closed:
                continue
            order.queries += 1
            order.query_due_at = now + 2 * SILENCE_AFTER_ACTION_S
            place = order.place
            yield QueryOrder(
                venue=place.venue,
                symbol=place.symbol,
                client_order_id=place.client_order_id,
                venue_order_id=order.venue_order_id,
            )

    def deadline(self) -> float | None:
        """Earliest moment at which a Tick would do something; None while nothing is pending."""
        alive = [order for order in self._active.values() if not order.is_closed]
        with_orders = {order.place.venue for order in alive}
        due = [order.query_due_at for order in alive] + [order.cancel_due_at for order in alive]
        due += [state.deadline(has_open=venue in with_orders) for venue, state in self._venues.items()]
        return min((at for at in due if at is not None), default=None)

    def _snapshot(self, message: LedgerRequested, now: float) -> tuple[Message, ...]:
        """Answer once the request has come through every gateway: only then no order of an older epoch can still appear."""
        heard = self._requests.setdefault((message.owner, message.epoch), set())
        heard.add(message.via)
        if not heard >= set(self._venues):
            return ()
        del self._requests[(message.owner, message.epoch)]
        orders = tuple(order.snapshot() for order in self._active.values())
        snapshot = LedgerSnapshot(owner=message.owner, positions=tuple(self.positions.items()), orders=orders, at=now)
        return (snapshot, *self._reconcile_again(now))

    def _reconcile_again(self, now: float) -> Iterable[Message]:
        """Who is built anew did not hear of earlier reconciliations: live venues are read once more."""
        for state in self._venues.values():
            if state.is_live and not state.audit.is_open:
                yield from state.begin_round(now)

    # ---- bookkeeping ---------------------------------------------------------------------------------------------------------

    def _owes_fills(self, venue: VenueId) -> bool:
        return any(o.place.venue == venue and not o.is_fully_recorded for o in self._active.values())

    def _has_open(self, venue: VenueId) -> bool:
        return any(o.place.venue == venue and not o.is_closed for o in self._active.values())

    def _settle(self, order: TrackedOrder) -> None:
        """A closed order with all its fills needs no more attention; it stays known for late fills."""
        if order.is_closed and order.is_fully_recorded:
            self._active.pop(order.place.client_order_id, None)
        else:
            self._active[order.place.client_order_id] = order
        if order.is_closed:
            order.query_due_at = order.cancel_due_at = None

    def _find(
        self, venue: VenueId, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None
    ) -> TrackedOrder | None:
        if client_order_id is not None:
            order = self._orders.get(client_order_id)
            if order is not None and order.place.venue == venue:
                return order
        return self._by_venue_id.get((venue, venue_order_id)) if venue_order_id is not None else None

    def _learn_venue_id(self, order: TrackedOrder, venue_order_id: VenueOrderId | None) -> None:
        if venue_order_id is not None and order.venue_order_id is None:
            order.venue_order_id = venue_order_id
            self._by_venue_id[(order.place.venue, venue_order_id)] = order

    def _index(self, order: TrackedOrder) -> None:
        if order.venue_order_id is not None:
            self._by_venue_id[(order.place.venue, order.venue_order_id)] = order
        if not (order.is_closed and order.is_fully_recorded):
            self._active[order.place.client_order_id] = order
            self._venues[order.place.venue].is_busy = True

    def _remember_trade(self, key: tuple[VenueId, TradeId]) -> None:
        self._trades[key] = None
        if len(self._trades) > TRADES_KEPT:
            self._trades.popitem(last=False)

    def _evict(self) -> None:
        while len(self._orders) > SETTLED_ORDERS_KEPT:
            oldest = next((each for each in self._orders if each not in self._active), None)
            if oldest is None:
                return
            order = self._orders.pop(oldest)
            if order.venue_order_id is not None:
                self._by_venue_id.pop((order.place.venue, order.venue_order_id), None)

    # ---- views ---------------------------------------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[VenueId, Decimal]:
        """Signed base position per venue: the sum of every fill ever recorded."""
        return {venue: state.position for venue, state in self._venues.items()}

    @property
    def open_orders(self) -> tuple[TrackedOrder, ...]:
        """Orders not closed, or closed with fills still to be seen."""
        return tuple(self._active.values())
