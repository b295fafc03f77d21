"""Keeps net exposure below one lot: fills in, hedge orders out, each exposure covered once.

An order alive or of unknown outcome counts as covering, so a lost answer never leads to a second hedge. Dust below the lot is
carried. A hedge that falls short is followed by a wider one, up the slippage ladder; past its end exactly the rest is unwound on the
maker venue. It never increases |exposure| and never crosses zero by a lot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from core.client_ids import ClientIds
from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import (
    Alert,
    BookUpdated,
    ClientIdsLeased,
    FillRecorded,
    HedgeStalled,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderDenied,
    OrderSnapshot,
    PlaceOrder,
    Tick,
    TradingStateChanged,
)
from core.types import BPS, ClientOrderId, OrderState, Priority, Role, Side, TimeInForce, TradingState, VenueId

LAST_GOOD_BOOK_S = 15.0
"""A stale hedge book is still priced from for this long, always under the slippage cap; later the hedge waits and alarms."""
RETRY_DELAYS_S = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Pause before the n-th consecutive attempt that brought no fill."""
UNREACHABLE_LIMIT_S = 10.0
"""A hedge venue that cannot be reached for this long has its exposure unwound on the maker venue."""
EXPOSED_ALARM_S = 2.0
JUDGED_KEPT = 64


class HedgeSettings(NamedTuple):
    """``ladder_bps``: price caps relative to the touch, rising."""

    ladder_bps: Sequence[Decimal]


class HedgePlanner:
    """``handle(message, now)``: events in, PlaceOrder (role HEDGE or UNWIND), HedgeStalled and Alert out."""

    def __init__(
        self,
        maker: Instrument,
        hedge: Instrument,
        settings: HedgeSettings,
        ids: ClientIds,
        *,
        epoch: int = 0,
    ) -> None:
        self._maker = maker
        self._hedge = hedge
        self._ladder = tuple(settings.ladder_bps)
        self._ids = ids
        self._epoch = epoch
        self.ledger = ExposureLedger(ids.owner)
        self._books: dict[VenueId, BookUpdated] = {}
        self._state = TradingState.STARTING
        self._step = 0
        self._fruitless = 0
        self._retry_at = 0.0
        self._cycle_id = 0
        self._is_unwinding = False
        self._has_told_stall = False
        self._judged: deque[ClientOrderId] = deque(maxlen=JUDGED_KEPT)
        self._is_refused = False
        self._exposed_since: float | None = None
        self._unreachable_since: float | None = None
        self._alarmed = False

    def start(self, now: float) -> tuple[Message, ...]:
        """Ask for the state of all orders; nothing is planned before it has come."""
        return self.ledger.ask(self._epoch, now) + self._ids.ask(now)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        self.ledger.apply(message)
        match message:
            case BookUpdated():
                self._books[message.venue] = message
                if self._exposed_since is None:
                    return ()
            case FillRecorded():
                self._cycle_id = message.order.cycle_id if message.order is not None else self._cycle_id
            case OrderChanged() if message.order.role is Role.MAKER:
                if self._exposed_since is None:
                    return ()
            case OrderChanged():
                self._judge(message.order, now)
            case OrderDenied():
                if message.role is not Role.MAKER:
                    self._fruitless += 1
                    self._retry_at = now + self._pause()
            case TradingStateChanged():
                self._state = message.state
            case ClientIdsLeased():
                self._ids.add(message)
            case Tick() | LedgerSnapshot():
                pass
            case _:
                return ()
        return self._plan(now) if self.ledger.is_synced else self.ledger.ask(self._epoch, now)

    # ---- what the last attempt taught ----------------------------------------------------------------------------------------

    def _judge(self, order: OrderSnapshot, now: float) -> None:
        """Learn from a hedge that ended, once: a shortfall climbs the ladder, an unreachable venue starts a clock."""
        if not order.is_closed or order.client_order_id in self._judged:
            return
        self._judged.append(order.client_order_id)
        if order.filled_quantity > 0:
            self._fruitless = 0
            self._unreachable_since = None
        if order.filled_quantity >= order.quantity:
            return
        if order.role is Role.HEDGE:
            self._judge_hedge(order, now)
        if order.filled_quantity == 0:
            self._fruitless += 1
            self._retry_at = now + self._pause()

    def _judge_hedge(self, order: OrderSnapshot, now: float) -> None:
        if order.permanent:
            self._is_refused = True
            self._is_unwinding = True
        elif order.state in (OrderState.DENIED, OrderState.EXPIRED) and order.filled_quantity == 0 and not _was_matched(order):
            self._unreachable_since = now if self._unreachable_since is None else self._unreachable_since
            self._is_unwinding = self._is_unwinding or now - self._unreachable_since >= UNREACHABLE_LIMIT_S
        elif self._step + 1 < len(self._ladder):
            self._step += 1
        else:
            self._is_unwinding = True

    def _pause(self) -> float:
        return RETRY_DELAYS_S[min(self._fruitless, len(RETRY_DELAYS_S)) - 1] if self._fruitless else 0.0

    # ---- the plan ------------------------------------------------------------------------------------------------------------

    def _plan(self, now: float) -> tuple[Message, ...]:
        out = list(self._ids.ask(now))
        exposure = self.ledger.net
        if abs(exposure) < self._dust:
            self._settled()
            return tuple(out)
        self._exposed_since = now if self._exposed_since is None else self._exposed_since
        out += self._alarm(exposure, now)
        need = -self.ledger.uncovered
        # Where more is on its way than is exposed, that is an exposure if it fills, not now.
        is_over_covered = need * exposure > 0
        if abs(need) < self._hedge.lot_size or is_over_covered or now < self._retry_at:
            return tuple(out)
        if self._state is TradingState.HALTED or self._ids.left == 0:
            return tuple(out)
        return (*out, *(self._unwind(need, now) if self._is_unwinding else self._cover(need, now)))

    @property
    def _dust(self) -> Decimal:
        """Exposure below this is carried; an unwind ends at the maker's lot, whose rest the next hedge takes along."""
        return max(self._hedge.lot_size, self._maker.lot_size) if self._is_unwinding else self._hedge.lot_size

    def _settled(self) -> None:
        """Delta is below a lot: the next exposure starts at the foot of the ladder, however the last hedge of this one may end yet."""
        self._exposed_since = self._unreachable_since = None
        self._step = self._fruitless = 0
        self._is_unwinding = self._is_refused
        self._has_told_stall = False
        self._alarmed = False

    def _cover(self, need: Decimal, now: float) -> tuple[Message, ...]:
        """Hedge it; what is less than the hedge venue trades goes back to the maker venue."""
        slippage_bps = self._ladder[self._step]
        if self._is_below_minimum(self._hedge, need, slippage_bps, now):
            return self._close(need, now)
        return self._place(self._hedge, need, slippage_bps, Role.HEDGE, now)

    def _close(self, need: Decimal, now: float) -> tuple[Message, ...]:
        if self._may_meet_quote(Side.of(need)):
            return ()
        return self._place(self._maker, need, self._ladder[-1], Role.UNWIND, now)

    def _unwind(self, need: Decimal, now: float) -> tuple[Message, ...]:
        """Close exactly the rest on the maker venue; the bot must not quote until a person or the state machine says so. A rest that is
        less than the maker venue trades goes on to the hedge venue."""
        if self._is_below_minimum(self._maker, need, self._ladder[-1], now):
            placed = () if self._is_refused else self._place(self._hedge, need, self._ladder[-1], Role.HEDGE, now)
        else:
            placed = self._close(need, now)
        if self._has_told_stall:
            return placed
        self._has_told_stall = True
        reason = "the hedge venue refuses for good" if self._is_refused else "the hedge ladder is exhausted"
        return (HedgeStalled(quantity=abs(need), is_permanent=self._is_refused, reason=reason, at=now), *placed)

    def _may_meet_quote(self, side: Side) -> bool:
        """Whether a quote of ours may still rest on the other side: an unwind waits for its end, which the exposure brings (I24)."""
        return any(order.side is not side for order in self.ledger.pending(makers=True))

    def _place(self, venue: Instrument, need: Decimal, slippage_bps: Decimal, role: Role, now: float) -> tuple[Message, ...]:
        """One IOC order of ``need`` (signed), capped at the touch plus ``slippage_bps``; nothing where it has no price or is too small."""
        side, quantity = Side.of(need), venue.quantity_down(abs(need))
        touch = self._touch(venue.venue, side, now)
        if touch is None:
            return ()
        price = _capped(venue, side, touch, slippage_bps)
        if not venue.is_tradable(quantity, price):
            return ()
        order = PlaceOrder(
            client_order_id=self._ids.take(),
            venue=venue.venue,
            symbol=venue.symbol,
            side=side,
            quantity=quantity,
            price=price,
            time_in_force=TimeInForce.IOC,
            role=role,
            cycle_id=self._cycle_id,
            reference_price=touch,
            reduce_only=role is Role.UNWIND and -side.sign * self.ledger.position(venue.venue) >= quantity,
            not_after=now + EXPOSED_ALARM_S,
            attempt=self._step,
            owner=self._ids.owner,
            epoch=self._epoch,
            priority=Priority.P0,
        )
        self.ledger.register(order)
        assert abs(self.ledger.uncovered) < abs(need), "a hedge must reduce what is uncovered (I4)"
        return (order,)

    def _is_below_minimum(self, venue: Instrument, need: Decimal, slippage_bps: Decimal, now: float) -> bool:
        """Whether the venue would not take an order so small at such a cap."""
        side, quantity = Side.of(need), venue.quantity_down(abs(need))
        touch = self._touch(venue.venue, side, now)
        if touch is None or quantity == 0:
            return False
        return not venue.is_tradable(quantity, _capped(venue, side, touch, slippage_bps))

    def _touch(self, venue: VenueId, side: Side, now: float) -> Decimal | None:
        """Best opposite price of a book young enough to be priced from."""
        book = self._books.get(venue)
        if book is None or now - book.received_at > LAST_GOOD_BOOK_S:
            return None
        levels = book.asks if side is Side.BUY else book.bids
        return levels[0].price if levels else None

    def _alarm(self, exposure: Decimal, now: float) -> tuple[Message, ...]:
        """Exposure open for too long is told to a person, once an episode."""
        if self._alarmed or self._exposed_since is None or now - self._exposed_since < EXPOSED_ALARM_S:
            return ()
        self._alarmed = True
        text = f"exposure {exposure} {self._hedge.base} open for more than {EXPOSED_ALARM_S:g} s; covering {self.ledger.covering}"
        return (Alert(level="warning", key="exposure", text=text, at=now),)

    def deadline(self) -> float | None:
        """When a Tick may do something: the next attempt or the alarm; None while nothing is exposed."""
        if self._exposed_since is None:
            return None
        alarm_at = None if self._alarmed else self._exposed_since + EXPOSED_ALARM_S
        return min((at for at in (self._retry_at, alarm_at) if at is not None), default=None)


def _capped(venue: Instrument, side: Side, touch: Decimal, slippage_bps: Decimal) -> Decimal:
    return venue.price_passive(touch * (1 + side.sign * slippage_bps * BPS), side)


def _was_matched(order: OrderSnapshot) -> bool:
    """Whether an empty end came from the market (an IOC that found nothing) and not from a request that never arrived."""
    return order.state is OrderState.EXPIRED and order.venue_order_id is not None
