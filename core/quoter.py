"""Build and unwind cycles of the maker: one post-only order at a time, replaced only after the old one is terminal, on the remainder.

A cycle is a build attempt and then unwind attempts until flat. A quote rests only while everything it relies on is known to be good
(``_pause_reason``); the moment one thing is not, the cancel goes out. It never hedges and never sends a second order over a living one.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from core.client_ids import ClientIds
from core.cycle import Attempt, Cycle
from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import (
    AttemptFinished,
    AttemptStarted,
    BookLost,
    BookUpdated,
    CancelOrder,
    ClientIdsLeased,
    CycleFinished,
    FeedChanged,
    FillRecorded,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderDenied,
    OrderSnapshot,
    PlaceOrder,
    QuoteSkipped,
    RunFinished,
    Stop,
    Tick,
    TradingStateChanged,
    VenueReconciled,
)
from core.quote_policy import (
    Market,
    Phase,
    QuoteSettings,
    basis_bps,
    basis_side,
    is_off_touch,
    join_price,
    market_fault,
    meets_edge,
    required_bps,
)
from core.quote_sizes import QuoteSizes
from core.types import (
    ZERO,
    Channel,
    ClientOrderId,
    FeedState,
    OrderState,
    Priority,
    Role,
    Side,
    Source,
    TimeInForce,
    TradingState,
    VenueId,
)

REFUSAL_PAUSES_S = (0.25, 0.5, 1.0, 2.0)
REFUSALS_BEFORE_REST = 5
REFUSAL_WINDOW_S = 10.0
REST_AFTER_REFUSALS_S = 5.0
QUOTE_DEADLINE_S = 1.0
"""A quote that could not leave within this time is not wanted any more."""
EXPOSURE_GRACE_S = 1.0
"""The rest of a partly filled quote goes on resting while its hedge is under way (the delta bound counts both); for this long."""
CANCEL_AGAIN_S = 2.0
"""A cancel that shows no effect for so long is sent again: it may have been lost with an inbox."""
BASIS_SAMPLES_KEPT = 2_000


class Quoter:
    """``handle(message, now)``: books, feeds, order and fill events in; PlaceOrder, CancelOrder and the cycle's facts out."""

    def __init__(
        self,
        maker: Instrument,
        hedge: Instrument,
        settings: QuoteSettings,
        ids: ClientIds,
        *,
        epoch: int = 0,
        last_cycle_id: int = 0,
        done_cycles: int = 0,
    ) -> None:
        self._maker = maker
        self._hedge = hedge
        self._settings = settings
        self._ids = ids
        self._epoch = epoch
        self.ledger = ExposureLedger(ids.owner)
        self._sizes = QuoteSizes(maker, hedge, settings)
        self._lot = self._sizes.lot
        self._books: dict[VenueId, BookUpdated] = {}
        self._streams = tuple((venue, channel) for venue in (maker.venue, hedge.venue) for channel in Channel)
        self._feeds: dict[tuple[VenueId, Channel], FeedState] = {}
        self._unread = {maker.venue, hedge.venue}
        """Not read since this quoter began, or since the venue's account stream last changed its state: what was missed is not known yet."""
        self._state = TradingState.STARTING
        self._cycle_id = last_cycle_id
        self._done = done_cycles
        self._cycle: Cycle | None = None
        self._attempt: Attempt | None = None
        self._order: OrderSnapshot | None = None
        self._placed_at = 0.0
        self._cancelled: ClientOrderId | None = None
        self._cancelled_at = 0.0
        self._last_timeout_cancel_at = float("-inf")
        self._held_since: float | None = None
        self._exposed_since: float | None = None
        self._refusals: deque[float] = deque(maxlen=REFUSALS_BEFORE_REST + 1)
        self._resume_at = 0.0
        self._skip_reason = ""
        self._pending_skips = 0
        self._basis: deque[Decimal] = deque(maxlen=BASIS_SAMPLES_KEPT)
        self._basis_at = float("-inf")
        self._is_stopping = False
        self._is_finished = False

    def start(self, now: float) -> tuple[Message, ...]:
        """Ask for the state of all orders; nothing is quoted before it has come."""
        return self.ledger.ask(self._epoch, now) + self._ids.ask(now)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        self.ledger.apply(message)
        match message:
            case BookUpdated():
                self._books[message.venue] = message
            case BookLost():
                self._books.pop(message.venue, None)
            case FeedChanged() if message.source is Source.WS:
                self._feed(message)
            case VenueReconciled():
                self._unread.discard(message.venue)
            case FillRecorded():
                self._count_fill(message, now)
            case OrderChanged():
                self._follow(message.order, now)
            case OrderDenied():
                self._denied(message, now)
            case TradingStateChanged():
                self._state = message.state
            case ClientIdsLeased():
                self._ids.add(message)
            case Stop():
                self._is_stopping = True
            case LedgerSnapshot() | Tick():
                pass
            case _:
                return ()
        return self._evaluate(now) if self.ledger.is_synced else self.ledger.ask(self._epoch, now)

    # ---- following events ----------------------------------------------------------------------------------------------------

    def _feed(self, message: FeedChanged) -> None:
        """The first word of a live stream is no change: the venue may have been read just before it came."""
        key = (message.venue, message.channel)
        if message.channel is Channel.ACCOUNT and self._feeds.get(key, FeedState.LIVE) is not message.state:
            self._unread.add(message.venue)
        self._feeds[key] = message.state

    def _count_fill(self, message: FillRecorded, now: float) -> None:
        order = message.order
        if order is None:
            return
        if self._attempt is not None and order.client_order_id in self._attempt.orders:
            self._attempt.filled += message.fill.quantity
        self._follow(order, now)

    def _follow(self, order: OrderSnapshot, now: float) -> None:
        if order.role is not Role.MAKER or self._order is None or order.client_order_id != self._order.client_order_id:
            return
        self._order = None if order.is_closed else order
        is_asked_for = order.state not in (OrderState.REJECTED, OrderState.DENIED) and order.client_order_id == self._cancelled
        if order.is_closed and order.filled_quantity > 0:
            self._refusals.clear()
        elif order.is_closed and not is_asked_for:
            self._back_off(now)

    def _denied(self, message: OrderDenied, now: float) -> None:
        if self._order is not None and message.client_order_id == self._order.client_order_id:
            self._order = None
            self._back_off(now)

    def _back_off(self, now: float) -> None:
        """A quote that is refused, or ended unasked, is no error, but the next at once would be: 0.25 s doubling to 2 s, 5 s after many."""
        self._refusals.append(now)
        recent = [at for at in self._refusals if now - at <= REFUSAL_WINDOW_S]
        pause = REFUSAL_PAUSES_S[min(len(recent), len(REFUSAL_PAUSES_S)) - 1]
        self._resume_at = now + (REST_AFTER_REFUSALS_S if len(recent) > REFUSALS_BEFORE_REST else pause)

    # ---- the decision --------------------------------------------------------------------------------------------------------

    def _evaluate(self, now: float) -> tuple[Message, ...]:
        """One step. A living order of an earlier life, or one that came back from the dead, is taken over; one that ended with
        fills not yet seen is waited for, since only they say what the remainder is."""
        out = self._ids.ask(now)
        self._sample_basis(now)
        self._watch_exposure(now)
        if self._order is None:
            self._order = next((order for order in self.ledger.pending(makers=True) if not order.is_closed), None)
        if self._order is not None:
            return out + self._supervise(self._order, now)
        if any(self.ledger.pending(makers=True)):
            return out
        if self._attempt is not None:
            return out + self._continue(self._attempt, now)
        if self._is_stopping or self._is_finished:
            return out
        return out + self._open(now)

    def _watch_exposure(self, now: float) -> None:
        if abs(self.ledger.net) < self._lot:
            self._exposed_since = None
        elif self._exposed_since is None:
            self._exposed_since = now

    def _market(self) -> Market | None:
        maker, hedge = self._books.get(self._maker.venue), self._books.get(self._hedge.venue)
        return Market(maker, hedge) if maker is not None and hedge is not None else None

    def _pause_reason(self, now: float) -> str | None:
        """Why no quote may rest now; None = it may (I12)."""
        if self._is_stopping:
            return "stopping"
        if self._state is not TradingState.ACTIVE:
            return f"trading state is {self._state.value}"
        for feed in self._streams:
            if self._feeds.get(feed) is not FeedState.LIVE:
                return f"{feed[0]} {feed[1].value} feed is not live"
        if self._unread:
            return f"{', '.join(sorted(self._unread))} not read yet"
        market = self._market()
        if market is None:
            return "a book is missing"
        fault = market_fault(market, self._settings, now)
        if fault is not None:
            return fault
        if self.ledger.has_unknown:
            return "an order is of unknown outcome"
        if self._exposed_since is not None and not self._may_rest_beside(self._exposed_since, market, now):
            return "exposure is not hedged"
        return None

    def _may_rest_beside(self, exposed_since: float, market: Market, now: float) -> bool:
        """The rest of a quote whose fills are being hedged; what the hedge venue would not trade is closed here, once the rest is gone."""
        is_hedged = now - exposed_since < EXPOSURE_GRACE_S and self._sizes.is_hedgeable(self.ledger.net, market.hedge)
        return self._order is not None and is_hedged

    # ---- a living order ------------------------------------------------------------------------------------------------------

    def _supervise(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """Cancel a living order when it may not rest any more; from the venue's word on that cancel on, the tracker repeats it."""
        is_repeat = self._cancelled == order.client_order_id
        is_followed = order.state in (OrderState.PENDING_CANCEL, OrderState.UNKNOWN)
        if is_repeat and (is_followed or now - self._cancelled_at < CANCEL_AGAIN_S):
            return ()
        reason = self._cancel_reason(order, now)
        if reason is None:
            return ()
        self._cancelled, self._cancelled_at = order.client_order_id, now
        if self._attempt is not None and not is_repeat:
            self._attempt.cancels += 1
        cancel = CancelOrder(
            venue=order.venue,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            reason=reason,
        )
        return (cancel,)

    def _cancel_reason(self, order: OrderSnapshot, now: float) -> str | None:
        attempt = self._attempt
        if attempt is None or order.client_order_id not in attempt.orders:
            return "left by an earlier life"
        pause = self._pause_reason(now)
        market = self._market()
        if pause is not None or market is None:
            return pause
        required = required_bps(attempt.phase, self._held_s(now), self._settings)
        if not meets_edge(market, order.side, order.price, order.pending_quantity, required, self._settings):
            return "value cap"
        if now - attempt.started_at >= self._settings.hard_timeout_s:
            attempt.is_ending, attempt.reason = True, "hard timeout"
            return "hard timeout"
        return self._timeout_reason(order, market, now)

    def _timeout_reason(self, order: OrderSnapshot, market: Market, now: float) -> str | None:
        """The seeds' rule: older than the fill timeout and off the touch, at most one such cancel in five seconds."""
        settings = self._settings
        if now - self._placed_at < settings.fill_timeout_s or now - self._last_timeout_cancel_at < settings.cancel_pause_s:
            return None
        if not is_off_touch(market.maker, order.side, order.price):
            return None
        self._last_timeout_cancel_at = now
        return "off the touch"

    # ---- an attempt without a living order -----------------------------------------------------------------------------------

    def _continue(self, attempt: Attempt, now: float) -> tuple[Message, ...]:
        remainder = self._sizes.quotable(attempt.target - attempt.filled, self._books.get(self._maker.venue))
        if attempt.is_ending or remainder == 0 or self._is_stopping:
            return self._finish_attempt(attempt, now)
        if now - attempt.started_at >= self._settings.hard_timeout_s:
            attempt.is_ending, attempt.reason = True, "hard timeout"
            return self._finish_attempt(attempt, now)
        pause = self._pause_reason(now)
        if pause is not None or now < self._resume_at:
            return self._skip(attempt.phase, pause, now)
        return self._quote(attempt, remainder, now)

    def _quote(self, attempt: Attempt, quantity: Decimal, now: float) -> tuple[Message, ...]:
        """Place ``quantity`` at the touch if the filter allows it."""
        market = self._market()
        assert market is not None
        price = join_price(market.maker, attempt.side, self._maker)
        required = required_bps(attempt.phase, self._held_s(now), self._settings)
        if price is None or not meets_edge(market, attempt.side, price, quantity, required, self._settings):
            return self._skip(attempt.phase, "edge below the filter", now)
        if self._ids.left == 0:
            return ()
        is_unwind = attempt.phase == "UNWIND"
        order = PlaceOrder(
            client_order_id=self._ids.take(),
            venue=self._maker.venue,
            symbol=self._maker.symbol,
            side=attempt.side,
            quantity=quantity,
            price=price,
            time_in_force=TimeInForce.GTC,
            role=Role.MAKER,
            cycle_id=self._next_cycle_id(),
            reference_price=price,
            post_only=True,
            reduce_only=is_unwind,
            lifetime_s=self._settings.order_lifetime_s,
            not_after=now + QUOTE_DEADLINE_S,
            priority=Priority.P2,
            owner=self._ids.owner,
            epoch=self._epoch,
        )
        attempt.requotes += 1 if attempt.orders else 0
        attempt.orders.add(order.client_order_id)
        self.ledger.register(order)
        self._order = next(o for o in self.ledger.pending(makers=True) if o.client_order_id == order.client_order_id)
        self._placed_at = now
        self._skip_reason = ""
        return (order,)

    def _finish_attempt(self, attempt: Attempt, now: float) -> tuple[Message, ...]:
        """The chain is over once everything it filled is hedged and nothing is pending."""
        if abs(self.ledger.uncovered) >= self._lot or abs(self.ledger.net) >= self._lot or any(self.ledger.pending(makers=True)):
            return ()
        self._attempt = None
        cycle = self._cycle
        assert cycle is not None
        cycle.requotes += attempt.requotes
        cycle.cancels += attempt.cancels
        cycle.intended += attempt.target
        cycle.filled += attempt.filled
        finished = AttemptFinished(
            cycle_id=cycle.cycle_id,
            phase=attempt.phase,
            intended=attempt.target,
            filled=attempt.filled,
            requotes=attempt.requotes,
            cancels=attempt.cancels,
            reason=attempt.reason or ("stopped" if self._is_stopping and attempt.filled < attempt.target else "filled"),
            at=now,
        )
        return (finished, *self._after_attempt(cycle, now))

    def _after_attempt(self, cycle: Cycle, now: float) -> tuple[Message, ...]:
        if self._unwindable() > 0:
            return () if self._is_stopping else self._open(now)
        self._cycle = None
        self._held_since = None
        self._done += 1
        finished = CycleFinished(
            cycle_id=cycle.cycle_id,
            started_at=cycle.started_at,
            result="done" if cycle.filled > 0 else "no_fill",
            intended=cycle.intended,
            filled=cycle.filled,
            requotes=cycle.requotes,
            cancels=cycle.cancels,
            skips=cycle.skips,
            at=now,
        )
        if self._settings.iterations and self._done >= self._settings.iterations:
            self._is_finished = True
            return (finished, RunFinished(cycles=self._done, at=now))
        return (finished,) if self._is_stopping else (finished, *self._open(now))

    # ---- a new attempt -------------------------------------------------------------------------------------------------------

    def _open(self, now: float) -> tuple[Message, ...]:
        """Start the next attempt: unwind what is held, else build."""
        phase: Phase = "UNWIND" if self._unwindable() > 0 else "BUILD"
        if phase == "UNWIND" and self._held_since is None:
            self._held_since = now
        pause = self._pause_reason(now)
        if pause is not None or now < self._resume_at:
            return self._skip(phase, pause, now)
        market = self._market()
        assert market is not None
        phase, side, target = self._choose(market)
        if side is None or target == 0:
            return self._skip(phase, "no direction" if side is None else "size is limited to nothing", now)
        return self._start_attempt(phase, side, target, market, now)

    def _start_attempt(self, phase: Phase, side: Side, target: Decimal, market: Market, now: float) -> tuple[Message, ...]:
        attempt = Attempt(phase, side, target, now)
        quoted = self._quote(attempt, target, now)
        if not any(isinstance(message, PlaceOrder) for message in quoted):
            return quoted
        self._attempt = attempt
        if self._cycle is None:
            self._cycle_id = self._next_cycle_id()
            self._cycle = Cycle(self._cycle_id, now)
            self._cycle.skips, self._pending_skips = self._pending_skips, 0
        started = AttemptStarted(
            cycle_id=self._cycle_id,
            phase=phase,
            side=side,
            target=target,
            basis_bps=basis_bps(market, self._settings.fx),
            at=now,
        )
        return (started, *quoted)

    def _choose(self, market: Market) -> tuple[Phase, Side | None, Decimal]:
        """Unwind what is held, else build; what the dust leaves no room to unwind waits for a build of the other side."""
        if self._unwindable() > 0:
            closing = Side.of(-self.ledger.position(self._maker.venue))
            target = self._sizes.unwind(self.ledger, market.maker, closing)
            if target > 0:
                return ("UNWIND", closing, target)
        side = self._build_side(market)
        return ("BUILD", side, ZERO if side is None else self._sizes.build(self.ledger, market, side))

    def _build_side(self, market: Market) -> Side | None:
        """By the basis, or in turn; the turn of a side that has no room passes, since only the other one can make room."""
        if self._settings.direction == "basis":
            return basis_side(self._basis, basis_bps(market, self._settings.fx))
        turn = Side.BUY if self._next_cycle_id() % 2 else Side.SELL
        is_full = not self._sizes.has_room(self.ledger, market.maker, turn)
        return turn.opposite if is_full and self._sizes.has_room(self.ledger, market.maker, turn.opposite) else turn

    def _unwindable(self) -> Decimal:
        return self._sizes.unwindable(self.ledger, self._books.get(self._maker.venue))

    def _next_cycle_id(self) -> int:
        return self._cycle_id if self._cycle is not None else self._cycle_id + 1

    # ---- small print ---------------------------------------------------------------------------------------------------------

    def _held_s(self, now: float) -> float:
        return now - self._held_since if self._held_since is not None else 0.0

    def _sample_basis(self, now: float) -> None:
        market = self._market()
        if market is not None and self._settings.direction == "basis" and now - self._basis_at >= self._settings.check_s:
            self._basis_at = now
            self._basis.append(basis_bps(market, self._settings.fx))

    def _skip(self, phase: Phase, reason: str | None, now: float) -> tuple[Message, ...]:
        """Told once per reason; a plain back-off pause (None) is not worth a word."""
        if reason is None or reason == self._skip_reason:
            return ()
        self._skip_reason = reason
        if self._cycle is not None:
            self._cycle.skips += 1
        else:
            self._pending_skips += 1
        return (QuoteSkipped(cycle_id=self._next_cycle_id(), phase=phase, reason=reason, at=now),)

    def deadline(self, now: float) -> float | None:
        """When a Tick may change something: the staleness check of a living order, the end of a pause, or the next look."""
        if self._is_finished:
            return None
        return max(now + self._settings.check_s, self._resume_at if self._order is None else 0.0)

    @property
    def is_idle(self) -> bool:
        """No living maker order: what a drain waits for."""
        return self._order is None
