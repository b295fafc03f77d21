"""Planted bugs, each as a part that takes the place of a real one; the product's code is never touched.

They are the proof that the simulation sees: RELIABILITY.md §4.3, those failures of STRATEGY.md D14 that are failures of the cores, and the
bugs that the simulation itself has found in this code. A mutant that it misses within ``within`` seeds means that a check was lost.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from core.exposure import ExposureLedger
from core.hedge_planner import HedgePlanner
from core.instrument import Instrument
from core.journal_state import JournalState
from core.messages import (
    BookUpdated,
    CancelAcknowledged,
    CancelOrder,
    FeedChanged,
    FetchFills,
    FillRecorded,
    FillReported,
    Message,
    OpenOrdersFetched,
    OrderChanged,
    OrderNotFound,
    OrderSnapshot,
    OrderSubmitted,
    PlaceOrder,
    QueryFailed,
    SubmitUnknown,
)
from core.order import TrackedOrder
from core.order_tracker import OrderTracker
from core.quote_policy import QuoteSettings
from core.quote_sizes import QuoteSizes
from core.quoter import Quoter
from core.rate_limiter import RateLimiter
from core.risk_gate import Denial, RiskGate
from core.trading_state import TradingStateMachine
from core.types import ZERO, ClientOrderId, FeedState, OrderState, Priority, Role, TradingState, VenueId, VenueOrderId
from core.venue_watch import VenuePolicy
from tests.sim.bot import Parts
from tests.sim.feed import Feed
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode
from tests.sim.mutant import Mutant, with_tracker
from tests.sim.scenario import MAKER
from tests.sim.trouble_mutants import TROUBLE_MUTANTS

# ---- the order tracker ---------------------------------------------------------------------------------------------------------


class _TimeoutIsReject(OrderTracker):
    def _unknown(self, message: SubmitUnknown, now: float) -> tuple[Message, ...]:
        return self._refused(message.client_order_id, OrderState.REJECTED, message.reason, now)


class _NoDedup(OrderTracker):
    def _fill(self, fill: FillReported, now: float) -> tuple[Message, ...]:
        self._trades.pop((fill.venue, fill.trade_id), None)
        return super()._fill(fill, now)


class _AbsentIsDead(OrderTracker):
    def _not_found(self, message: OrderNotFound, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is None or not order.move(OrderState.CANCELED, is_inferred=True):
            return ()
        self._settle(order)
        return (OrderChanged(order=order.snapshot(), at=now),)


class _SmallBound(_AbsentIsDead):
    """One look, three seconds after the send, is proof: requests may arrive 4.5 s late, histories show fills later still."""

    bound_s = 3.0

    def _not_found(self, message: OrderNotFound, now: float) -> tuple[Message, ...]:
        order = self._orders.get(message.client_order_id)
        if order is not None and not order.is_closed and message.asked_at < order.submitted_at + self.bound_s:
            order.query_due_at = order.submitted_at + self.bound_s
            return ()
        return super()._not_found(message, now)


class _NoFillFetch(OrderTracker):
    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out = super().handle(message, now)
        for state in self._venues.values():
            state.audit.fetched("fills", now)
        return tuple(each for each in out if not isinstance(each, FetchFills))


class _NoReadAfterReconnect(OrderTracker):
    """Trusts what the stream says after it came back; the yearly look at the fills is no help in time."""

    def _feed(self, message: FeedChanged, now: float) -> tuple[Message, ...]:
        out = super()._feed(message, now)
        return tuple(each for each in out if not isinstance(each, FetchFills))

    def _fills(self, message: Any, now: float) -> tuple[Message, ...]:
        return super()._fills(msgspec.structs.replace(message, fills=()), now)


class _LateFillIgnored(OrderTracker):
    def _fill(self, fill: FillReported, now: float) -> tuple[Message, ...]:
        order = self._find(fill.venue, fill.client_order_id, fill.venue_order_id)
        if order is not None and order.is_closed and order.state is not OrderState.FILLED:
            return ()
        return super()._fill(fill, now)


class _AckIsCancelled(OrderTracker):
    def _cancel_acknowledged(self, message: CancelAcknowledged, now: float) -> tuple[Message, ...]:
        return self._refused(message.client_order_id, OrderState.CANCELED, "acknowledged", now)


class _NotOpenIsFilled(OrderTracker):
    def _open_orders(self, message: OpenOrdersFetched, now: float) -> tuple[Message, ...]:
        out = list(super()._open_orders(message, now))
        listed = {report.client_order_id for report in message.orders}
        for order in tuple(self._active.values()):
            if order.place.venue == message.venue and not order.is_closed and order.place.client_order_id not in listed:
                order.move(OrderState.FILLED)
                order.raise_filled(order.place.quantity)
                out.append(OrderChanged(order=order.snapshot(), at=now))
        return tuple(out)


class _FailedReadIsFlat(OrderTracker):
    def _query_failed(self, message: QueryFailed, now: float) -> tuple[Message, ...]:
        if message.query == "FetchPosition":
            self._venues[message.venue].position = ZERO
        return super()._query_failed(message, now)


class _KeyedByVenueId(OrderTracker):
    def _find(
        self, venue: VenueId, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None
    ) -> TrackedOrder | None:
        return super()._find(venue, None, venue_order_id)


class _NoReconcileForNewcomers(OrderTracker):
    def _reconcile_again(self, now: float) -> tuple[Message, ...]:
        return ()


# ---- planner, quoter, gate, risk -------------------------------------------------------------------------------------------------


class _BlindLedger(ExposureLedger):
    def _update(self, order: OrderSnapshot) -> None:
        if order.state is OrderState.UNKNOWN:
            self._pending.pop(order.client_order_id, None)
        else:
            super()._update(order)


class _UnknownNotCounted(HedgePlanner):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.ledger = _BlindLedger(self.ledger.owner)


class _GateUnknownNotCounted(RiskGate):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ledger.__class__ = _BlindLedger


class _OnlyWhenFilled(HedgePlanner):
    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        if isinstance(message, FillRecorded) and message.order is not None and message.order.state is OrderState.PARTIALLY_FILLED:
            return ()
        return super().handle(message, now)


class _NinetyPercentIsDone(HedgePlanner):
    @property
    def _dust(self) -> Decimal:
        return Decimal("0.011")


class _TellsLate(HedgePlanner):
    """A person hears of an open exposure after half a minute."""

    def _alarm(self, exposure: Decimal, now: float) -> tuple[Message, ...]:
        return () if self._exposed_since is None or now - self._exposed_since < 30.0 else super()._alarm(exposure, now)


class _LittleWaits(HedgePlanner):
    """What the hedge venue would not trade waits for more."""

    def _close(self, need: Decimal, now: float) -> tuple[Message, ...]:
        return super()._close(need, now) if self._is_unwinding else ()


class _TooMuch(HedgePlanner):
    """Hedges or unwinds a lot more than there is."""

    def _place(self, venue: Instrument, need: Decimal, slippage_bps: Decimal, role: Role, now: float) -> tuple[Message, ...]:
        more = need + (venue.lot_size * 3 if need > 0 else -venue.lot_size * 3)
        try:
            return super()._place(venue, more, slippage_bps, role, now)
        except AssertionError:
            return ()


class _EachFillOnItsOwn(HedgePlanner):
    """A second repair path: every fill is hedged at once, whatever already covers it."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out = super().handle(message, now)
        if isinstance(message, FillRecorded) and message.order is not None and message.order.role is Role.MAKER:
            fill = message.fill
            return (*out, *self._place(self._hedge, -fill.side.sign * fill.quantity, self._ladder[0], Role.HEDGE, now))
        return out


class _LaxGate(RiskGate):
    def _cover(self, order: PlaceOrder) -> Denial | None:
        return None


class _CapAfterTheFill(RiskGate):
    def _maker(self, order: PlaceOrder) -> Denial | None:
        return None


class _FullSizeAgain(Quoter):
    def _quote(self, attempt: Any, quantity: Decimal, now: float) -> tuple[Message, ...]:
        return super()._quote(attempt, attempt.target, now)


class _AnySize(QuoteSizes):
    def _is_tradable(self, quantity: Decimal, book: BookUpdated) -> bool:
        return quantity > 0


class _IgnoresTheMinimum(Quoter):
    """A remainder is quoted, however little it is worth."""

    def __init__(self, maker: Instrument, hedge: Instrument, settings: QuoteSettings, *arguments: Any, **named: Any) -> None:
        super().__init__(maker, hedge, settings, *arguments, **named)
        self._sizes = _AnySize(maker, hedge, settings)


class _HastyLedger(ExposureLedger):
    def _update(self, order: OrderSnapshot) -> None:
        if order.state is OrderState.PENDING_CANCEL:
            self._pending.pop(order.client_order_id, None)
        else:
            super()._update(order)


class _ReplaceEarly(Quoter):
    """A cancel that has been asked for is as good as done."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.ledger = _HastyLedger(self.ledger.owner)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out = super().handle(message, now)
        for each in out:
            if isinstance(each, CancelOrder):
                self._order = None
                self.ledger._pending.pop(each.client_order_id, None)
        return out


class _QuotesBlind(Quoter):
    def _pause_reason(self, now: float) -> str | None:
        return "a book is missing" if self._market() is None else None


class _KeepsItsQuote(Quoter):
    """Places none while trading is not ACTIVE, but leaves the one that rests."""

    def _pause_reason(self, now: float) -> str | None:
        reason = super()._pause_reason(now)
        return None if self._order is not None and reason is not None and reason.startswith("trading state") else reason


class _QuotesUnread(Quoter):
    """A stream that is back has told everything."""

    def _feed(self, message: FeedChanged) -> None:
        super()._feed(message)
        self._unread.clear()


class _NotPostOnly(Quoter):
    def _quote(self, attempt: Any, quantity: Decimal, now: float) -> tuple[Message, ...]:
        book = self._books[self._maker.venue]
        out = super()._quote(attempt, quantity, now)
        price = (book.asks if attempt.side.sign > 0 else book.bids)[0].price
        return tuple(
            msgspec.structs.replace(each, post_only=False, price=price) if isinstance(each, PlaceOrder) else each for each in out
        )


class _TradesBeforeReading(TradingStateMachine):
    def _may_rise(self) -> bool:
        self._reconciled.update(self._venues)
        return super()._may_rise()


class _StaysDown(TradingStateMachine):
    """What has reduced it once keeps it so."""

    def _may_rise(self) -> bool:
        return self.state is TradingState.STARTING and super()._may_rise()


# ---- gateway, journal, feeds -----------------------------------------------------------------------------------------------------


class _SendsAgain(GatewayNode):
    """A lost answer is asked for by sending the order once more."""

    _last: PlaceOrder | None = None

    def place(self, order: PlaceOrder) -> None:
        self._last = order
        super().place(order)

    def answered(self, events: tuple[Message, ...]) -> None:
        order, self._last = self._last, None
        if order is not None and any(isinstance(event, SubmitUnknown) for event in events):
            self.wire.place(order, super().answered)
        else:
            super().answered(events)


class _NoBuckets(RateLimiter):
    def _release(self, now: float) -> list[Message]:
        for bucket in self._buckets.values():
            bucket.tokens = bucket.capacity
        return super()._release(now)


class _HedgesQueue(RateLimiter):
    """An order is an order, whatever it is for."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        if isinstance(message, PlaceOrder):
            message = msgspec.structs.replace(message, priority=Priority.P3)
        return super().handle(message, now)


class _NoIntent(GatewayNode):
    def place(self, order: PlaceOrder) -> None:
        if self.gate.check(order, self.engine.now) is None:
            self.route(OrderSubmitted(order=order, at=self.engine.now))
            self._sending(self, order)
            self.block()
            self.wire.place(order, self.answered)


class _ForgetsIntents(SimJournal):
    def fold(self) -> JournalState:
        state = super().fold()
        return msgspec.structs.replace(state, orders=tuple(entry for entry in state.orders if entry.is_settled))


class _IdsFromOne(SimJournal):
    _given = 0

    def begin_epoch(self) -> int:
        self._given = 0
        return super().begin_epoch()

    def lease_client_ids(self, count: int) -> tuple[int, int]:
        start = self._given + 1
        self._given += count
        return start, start + count


class _SilentFeed(Feed):
    def tell(self, message: Message) -> None:
        """Does not say again how it is."""


class _LiveFeed(Feed):
    """Never admits that it is down."""

    def _enter(self, state: FeedState, reason: str) -> None:
        super()._enter(FeedState.LIVE, reason)
        self.state = state


def _shorter_ttl(policies: dict[VenueId, VenuePolicy]) -> dict[VenueId, VenuePolicy]:
    return {**policies, MAKER: policies[MAKER]._replace(cancel_ttl_ms=300)}


MUTANTS: dict[str, Mutant] = {
    **TROUBLE_MUTANTS,
    "timeout-is-reject": Mutant("a time-out is treated as a refusal", with_tracker(_TimeoutIsReject), 60),
    "no-dedup": Mutant("a fill told twice counts twice", with_tracker(_NoDedup), 20),
    "absent-is-dead": Mutant('"not found" is believed at once', with_tracker(_AbsentIsDead), 100),
    "small-bound": Mutant("the lateness bound is three seconds", with_tracker(_SmallBound), 200),
    "short-ttl": Mutant("a cancel stays armed for 0.3 s only", Parts(policies=_shorter_ttl), 150, since=1_500),
    "no-fill-fetch": Mutant("fills are never read by REST", with_tracker(_NoFillFetch), 20),
    "no-read-after-reconnect": Mutant("the stream is trusted after it came back", with_tracker(_NoReadAfterReconnect), 20),
    "intents-forgotten": Mutant("a restart forgets the journal's open intents", Parts(journal=_ForgetsIntents), 200),
    "ids-from-one": Mutant("a restart begins with client id 1 again", Parts(journal=_IdsFromOne), 40),
    "trades-before-reading": Mutant(
        "quotes before the first reconciliation", Parts(risk=_TradesBeforeReading, quoter=_QuotesUnread), 10
    ),
    "late-fill-ignored": Mutant("a fill of a closed order is ignored", with_tracker(_LateFillIgnored), 40),
    "unknown-not-counted": Mutant(
        "orders of unknown outcome neither cover nor hold back",
        Parts(planner=_UnknownNotCounted, gate=_GateUnknownNotCounted),
        100,
    ),
    "ignores-the-minimum": Mutant("a remainder below the minimum notional is quoted", Parts(quoter=_IgnoresTheMinimum), 60),
    "full-size-again": Mutant("a replaced quote has the full size after a partial fill", Parts(quoter=_FullSizeAgain), 20),
    "only-when-filled": Mutant("a fill is seen only once the order is FILLED", Parts(planner=_OnlyWhenFilled), 10),
    "ninety-percent": Mutant("90 % filled is taken as done", Parts(planner=_NinetyPercentIsDone), 20),
    "failed-read-is-flat": Mutant("a failed position read is taken as flat", with_tracker(_FailedReadIsFlat), 40),
    "ack-is-cancelled": Mutant("an acknowledged cancel is taken as cancelled", with_tracker(_AckIsCancelled), 120),
    "not-open-is-filled": Mutant('"not in open orders" is taken as filled', with_tracker(_NotOpenIsFilled), 40),
    "keyed-by-venue-id": Mutant("orders are known by the venue's (placeholder) id only", with_tracker(_KeyedByVenueId), 10),
    "little-waits": Mutant("an exposure below the hedge venue's minimum waits for more", Parts(planner=_LittleWaits), 60),
    "too-much": Mutant("a hedge is larger than the exposure", Parts(planner=_TooMuch, gate=_LaxGate), 10),
    "two-repair-paths": Mutant("fills are hedged one by one and by the net", Parts(planner=_EachFillOnItsOwn, gate=_LaxGate), 10),
    "replace-early": Mutant(
        "a quote is replaced before its cancel is confirmed, and the cap is looked at after the fill",
        Parts(quoter=_ReplaceEarly, gate=_CapAfterTheFill),
        60,
    ),
    "quotes-blind": Mutant("quotes stay while a stream is down", Parts(quoter=_QuotesBlind), 40),
    "quotes-unread": Mutant("a quote leaves before what an outage hid was read", Parts(quoter=_QuotesUnread), 40),
    "keeps-its-quote": Mutant("a quote rests on while trading is not ACTIVE", Parts(quoter=_KeepsItsQuote), 60),
    "stays-down": Mutant("REDUCING is for good", Parts(risk=_StaysDown), 60),
    "tells-late": Mutant("an open exposure is told after half a minute", Parts(planner=_TellsLate), 60),
    "not-post-only": Mutant("quotes may take liquidity", Parts(quoter=_NotPostOnly), 10),
    "sends-again": Mutant("an order whose answer was lost is sent again", Parts(gateway=_SendsAgain), 40),
    "no-buckets": Mutant("every request leaves at once", Parts(limiter=_NoBuckets), 10),
    "hedges-queue": Mutant("hedges wait behind reads and quotes", Parts(limiter=_HedgesQueue), 10),
    "no-intent": Mutant("orders leave without a durable intent", Parts(gateway=_NoIntent), 5),
    "silent-feeds": Mutant("a core built anew is not told how the streams are", Parts(feed=_SilentFeed), 60),
    "live-feeds": Mutant("a stream never admits that it is down", Parts(feed=_LiveFeed), 60),
    "no-newcomer-read": Mutant("a risk judge built anew hears of no reconciliation", with_tracker(_NoReconcileForNewcomers), 200),
}
