"""Two exit legs of one position, of which at most one may win: a stop that always covers the position, a take-profit that rests beside it.

The stop is placed first, so the position is never naked; the take-profit follows once the stop is known to stand. Where the venue links exits
(``PairSettings.native_oco``) the first two leave together and are watched in the same way: nothing relies on the link. What happened to a leg
is taken from its own terminal state and its fills only, never from its absence in a list, and what its end means is judged after the fills
that may explain it had time to arrive. It never opens or adds to a position. States and transitions: core/oco_states.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.client_ids import ClientIds
from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import (
    BookUpdated,
    CancelOrder,
    FetchFills,
    Message,
    OrderDenied,
    OrderSnapshot,
    PairStateChanged,
    PlaceOrder,
    QueryOrder,
)
from core.oco_alarms import CancelAlarm, NakedAlarm, alert
from core.oco_legs import Leg, Legs, cover_of, keepers
from core.oco_orders import ExitOrders, PairSettings, Retry
from core.oco_states import PairState, transition
from core.types import ZERO, ClientOrderId, OrderState, Priority, Role, Side

__all__ = ["OcoPair", "PairSettings", "PairState"]

LEG_TRIES = 3
"""A leg that the venue refuses or removes so often in a row ends the position."""
LEG_LASTED_S = 10.0
"""A leg that stood for so long begins a new row."""
MAX_STOPS = 6
"""Stops that may be open at once, those of unknown outcome included."""
JUDGE_AFTER_S = 0.3
"""How long the end of a leg waits for the fills that may explain it; they are asked for meanwhile."""
JUDGE_HAND_AFTER_S = 1.5
"""The same for what looks like a person's doing, which has no way back; a stop is placed again meanwhile."""
STOP_AGAIN_AFTER_S = 0.45
"""How long a stop that has ended is not replaced yet, since the fill that ended it may be on its way."""
SAME_EVENT_S = 1.0
"""A leg that ends so close to a fill of the pair was ended by the venue on account of it."""
UNSEEN_PATIENCE_S = 2.0
"""How long the venue's word that an ended leg has filled stands for its fills: what is sold is neither covered nor sold again."""
ENTRY_PATIENCE_S = 0.25
"""While the entry may still bring fills, a stop for all of them waits so long."""
RESIZE_PATIENCE_S = 0.2
"""A take-profit fills in many pieces: the stop is made smaller once they pause, since an excess is only the venue's to reduce."""
REPAIR_PATIENCE_S = 0.1
"""A leg that is just filling brings its other fills in this time: one repair instead of one for each."""
COVER_CLOSING_S = 0.65
"""A position that is being closed and has been without a stop for so long is covered again beside it."""
CANCEL_AGAIN_S = (0.5, 0.5, 1.0, 2.0, 5.0)
"""A cancel that is not even acknowledged is repeated, beside what the tracker repeats: the sibling must not live on."""
CLOSE_ALARM_S = 5.0
FILLS_LOOKBACK_S = 60.0
_EXITS = (Role.SL, Role.TP)


class OcoPair:
    """The decision part; ``core.bracket`` feeds it. ``step`` returns what must be placed, cancelled or told now."""

    def __init__(
        self, instrument: Instrument, settings: PairSettings, ids: ClientIds, ledger: ExposureLedger, *, epoch: int = 0
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._orders = ExitOrders(instrument, settings, ids, epoch)
        self._ledger = ledger
        self.state = PairState.IDLE
        self.cycle_id = 0
        self.entry_price: Decimal | None = None
        self.legs = Legs()
        self.successes = 0
        self.failures = 0
        self._is_ending = False
        self._may_link = settings.native_oco
        self._cancel_alarm = CancelAlarm()
        self._naked_alarm = NakedAlarm()
        self._closes: set[ClientOrderId] = set()
        self._seen_held, self._seen_held_at = ZERO, 0.0
        self._exit_filled_at = float("-inf")
        self._released_at: float | None = None
        self._begin()

    def _begin(self) -> None:
        """Nothing is held, nothing rests: the next position starts from here."""
        self._refusals = {Role.SL: 0, Role.TP: 0}
        self._retries = {Role.SL: Retry(), Role.TP: Retry(), Role.REPAIR: Retry()}
        self._wants_take_profit = True
        self._has_linked = False
        self._winner: Role | None = None
        self._was_by_hand = self._has_failed = False
        self._is_repair_told = self._is_close_told = False
        self._close_reason = ""
        self._closing_since: float | None = None
        self._naked_alarm.over()
        self._closes.clear()

    # ---- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Decimal:
        """Quantity held in the direction of the entry; negative after an overshoot."""
        return self._settings.side.sign * self._ledger.position(self._instrument.venue)

    @property
    def is_settled(self) -> bool:
        """No order of the pair may fill any more, and none has filled that should not have."""
        is_pending = any(order.role is Role.REPAIR for order in self._ledger.pending(makers=False))
        return not (self.legs.is_any_open or is_pending or self._oversold_after_release)

    @property
    def _oversold_after_release(self) -> bool:
        """A leg of ours filled after the user had taken the position over, and sold what was not there: that is still ours to repair."""
        is_ours = self._released_at is not None and self._exit_filled_at >= self._released_at
        return is_ours and self.held <= -self._instrument.lot_size

    def adopt(self, orders: Iterable[OrderSnapshot], now: float) -> None:
        """Take over what an earlier life left: its legs stay as they are, the next step completes them."""
        for order in orders:
            self.cycle_id = max(self.cycle_id, order.cycle_id)
            if order.role in _EXITS and self.legs.get(order.client_order_id) is None:
                leg = self.legs.add(order)
                leg.follow(order, now)
                leg.doubted_at = now

    def release(self, now: float) -> None:
        """An earlier life has left the position to the user."""
        self.state, self._released_at = PairState.RELEASED, now

    def follow(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """Fold one order's news. The fills that may explain the end of a leg are asked for at once; ``step`` judges it."""
        if order.role not in _EXITS:
            return self._follow_close(order, now) if order.role is Role.REPAIR else ()
        leg = self.legs.get(order.client_order_id)
        if leg is None:
            if order.is_closed:
                return ()
            leg = self.legs.add(order)
            leg.doubted_at = now  # Not placed by this life, so a cancel that is seen may be the earlier one's.
        was_open, filled_before = leg.is_open, leg.order.filled_quantity
        leg.follow(order, now)
        if leg.is_standing:
            self._retries[order.role].misses = 0
        if order.filled_quantity > filled_before:
            self._exit_filled_at = now
        sibling = self.legs.sibling(leg)
        if sibling is not None and leg.doubted_at == now:
            sibling.doubted_at = now  # What ends this one may end both.
        if order.filled_quantity > 0 and self._winner is not Role.SL:
            self._winner = order.role
        is_removed = was_open and not leg.is_open and order.state is not OrderState.FILLED and leg.cancel_sent_at is None
        return self._look_around(order) if is_removed and order.state is not OrderState.DENIED else ()

    def denied(self, message: OrderDenied, now: float) -> None:
        """Refused by ourselves: it never was, and is decided anew after a pause."""
        if message.role in self._retries:
            self.legs.drop(message.client_order_id)
            self._retries[message.role].missed(now)

    def _look_around(self, removed: OrderSnapshot) -> tuple[Message, ...]:
        """A leg has ended without our doing: its sibling may have won, in news that are still on their way."""
        venue, symbol = removed.venue, removed.symbol
        siblings = (leg.order for leg in self.legs if leg.is_open)
        queries = tuple(
            QueryOrder(venue=venue, symbol=symbol, client_order_id=o.client_order_id, venue_order_id=o.venue_order_id)
            for o in siblings
        )
        return (FetchFills(venue=venue, symbol=symbol, lookback_s=FILLS_LOOKBACK_S, priority=Priority.P1), *queries)

    # ---- the end of a leg ----------------------------------------------------------------------------------------------------

    def _judge_ended(self, now: float) -> tuple[Message, ...]:
        out: tuple[Message, ...] = ()
        for leg in tuple(self.legs):
            if leg.ended_at is not None and not leg.is_judged and self._is_ripe(leg, now):
                leg.is_judged = True
                out += self._judge(leg, now)
        return out

    def _is_ripe(self, leg: Leg, now: float) -> bool:
        """Whether the end of this leg can be understood by now."""
        assert leg.ended_at is not None
        is_clear = (
            leg.order.state in (OrderState.FILLED, OrderState.DENIED) or leg.cancel_sent_at is not None or leg.is_refused_link
        )
        if is_clear or self.held < self._instrument.lot_size or self._close_reason or self.state is PairState.RELEASED:
            return True
        wait_s = JUDGE_HAND_AFTER_S if self._looks_by_hand(leg, now) else JUDGE_AFTER_S
        return now - leg.ended_at >= (UNSEEN_PATIENCE_S if self.legs.unseen > 0 else wait_s)

    def _looks_by_hand(self, leg: Leg, now: float) -> bool:
        """It stood, nobody here asked for its end or may have, and no fill of the pair came with it."""
        is_alone = leg.ended_at is not None and self._exit_filled_at < leg.ended_at - SAME_EVENT_S
        return leg.was_cancelled_on_request and leg.stood_at is not None and is_alone and not leg.was_doubted(now)

    def _judge(self, leg: Leg, now: float) -> tuple[Message, ...]:
        """Filled, cancelled by us, by hand, by the venue, or refused; a closed order's quantity that nobody has seen may still explain it."""
        order = leg.order
        if order.state is OrderState.DENIED:
            self._retries[order.role].missed(now)
            return ()
        if leg.is_refused_link:
            return self._unlinked(order, now)
        is_over = self.held - self.legs.unseen < self._instrument.lot_size or self.state is PairState.RELEASED
        if order.state is OrderState.FILLED or leg.cancel_sent_at is not None or is_over or self._close_reason:
            return ()
        if order.role is Role.SL and order.filled_quantity > 0:
            self._begin_close("the stop filled in part only", now)
            return ()
        if self._looks_by_hand(leg, now):
            return self._removed_by_hand(order, now)
        return () if leg.was_cancelled_on_request else self._removed(leg, now)

    def _removed(self, leg: Leg, now: float) -> tuple[Message, ...]:
        """By the venue: placed again by the next step, or the position ends."""
        order = leg.order
        if leg.stood_at is not None and leg.ended_at is not None and leg.ended_at - leg.stood_at >= LEG_LASTED_S:
            self._refusals[order.role] = 0
        self._refusals[order.role] += 1
        text = f"{order.role.value} leg {order.client_order_id} {order.state.value} by the venue ({order.reason or 'no reason'})"
        if self._refusals[order.role] >= LEG_TRIES or order.permanent:
            self._has_failed = True
            self._begin_close(f"{order.role.value} leg cannot be placed", now)
        return (alert("leg", text, now, is_critical=True),)

    def _unlinked(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """The venue would not have the two together: from now on leg by leg, the stop first; for good where it says so."""
        self._may_link = self._may_link and not order.permanent
        text = f"{order.venue} refuses linked exits ({order.reason}): they are placed one by one"
        return (alert("oco", text, now),) if order.role is Role.SL else ()

    def _removed_by_hand(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """The configured policy; whatever it is, a person is told."""
        policy = self._settings.on_manual_cancel
        self._was_by_hand = True
        out: tuple[Message, ...] = (
            alert("manual-cancel", f"{order.role.value} leg {order.client_order_id} cancelled by hand: {policy}", now),
        )
        match policy:
            case "close":
                self._begin_close("a leg was cancelled by hand", now)
            case "keep_stop":
                self._wants_take_profit = self._wants_take_profit and order.role is not Role.TP
            case "cancel_sibling":
                self.successes += 1
                self._released_at = now
                out += self._enter(PairState.RELEASED, "a leg was cancelled by hand", now)
        return out

    # ---- the decision --------------------------------------------------------------------------------------------------------

    def step(self, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """Everything that is due: cover first, then repair, then the tidy-up."""
        out = self._judge_ended(now) + self._cancel_alarm.due(self.legs, now)
        self.legs.forget_settled()
        if self.state is PairState.RELEASED:
            out += self._cancel_open("the sibling was cancelled by hand", now)
            return out + (self._buy_back(-self.held, book, now) if self._oversold_after_release else ())
        held, lot = self.held, self._instrument.lot_size
        if held != self._seen_held:
            self._seen_held, self._seen_held_at = held, now
        if held >= lot and self._is_ending:
            self._begin_close("the run is ending", now)
        if held <= -lot:
            return out + self._repair(-held, book, now)
        left = held - self.legs.sold_unseen(now, UNSEEN_PATIENCE_S)
        if left < lot:
            return out + self._tidy_up(now)
        out += self._flag_naked(left, now)
        if self._close_reason:
            return out + self._close(left, book, now)
        return out + self._protect(left, now)

    def _protect(self, held: Decimal, now: float) -> tuple[Message, ...]:
        """Stops cover what is held; the take-profit rests once they stand. A stop that has begun to fill has won."""
        stops, takes = self.legs.of(Role.SL), self.legs.of(Role.TP)
        out = self._cover(stops, held + self._entry_unseen, now)
        if self._winner is Role.SL:
            return self._enter(PairState.CANCELLING, "the stop is filling", now) + self._drop(takes, "the stop won", now) + out
        if not keepers(stops, held + self._entry_unseen):
            return self._enter(PairState.ARMING, "the stop does not stand yet", now) + out
        out += self._take_profit(takes, held, now)
        unserved = held - cover_of(leg for leg in takes if leg.is_standing)
        is_served = not self._wants_take_profit or not self._is_leg(Role.TP, unserved)
        return (self._enter(PairState.ARMED, "the legs stand", now) if is_served else ()) + out

    def _cover(self, stops: list[Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        """Raise cover at once; lower it only after a stop of the right size stands, so that it is never below what is held."""
        counted = [leg for leg in stops if leg.counts(now)]
        missing = held - cover_of(counted)
        if missing > 0:
            if (
                self.legs.is_judging(Role.SL, since=now - STOP_AGAIN_AFTER_S)
                or self._awaits_entry(now)
                or len(stops) >= MAX_STOPS
            ):
                return ()
            return self._place_stop(missing if self._is_leg(Role.SL, missing) else held, now)
        kept = keepers(stops, held)
        if not kept:
            return ()
        exact = [leg for leg in counted if leg.is_in_flight and leg.cover == held]
        spare = [leg for leg in stops if leg not in kept and leg not in exact]
        out = self._cancel(self.legs.with_siblings(spare), "stop resized", now)
        is_exact = cover_of(kept) == held or any(leg.is_in_flight for leg in counted) or not self._is_leg(Role.SL, held)
        must_wait = now - self._seen_held_at < RESIZE_PATIENCE_S or len(stops) >= MAX_STOPS
        return out if is_exact or must_wait else out + self._place_stop(held, now)

    @property
    def _entry_unseen(self) -> Decimal:
        """Quantity of the entry that the venue says has filled and of which the fills are still to come: it is held, and must be covered."""
        entries = (order for order in self._ledger.pending(makers=False) if order.role is Role.ENTRY)
        return sum((max(order.filled_quantity - order.recorded_quantity, ZERO) for order in entries), ZERO)

    def _awaits_entry(self, now: float) -> bool:
        """One stop for an entry that comes in many fills, instead of one for each."""
        is_filling = any(order.role is Role.ENTRY for order in self._ledger.pending(makers=False))
        since = self._naked_alarm.since
        return is_filling and since is not None and now - since < ENTRY_PATIENCE_S

    def _take_profit(self, takes: list[Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        if not self._wants_take_profit:
            return self._drop(takes, "stop only", now)
        resting = cover_of(takes)
        if resting > held:
            return self._drop(takes, "take-profit above the position", now)
        quantity = self._orders.quantity(held - resting)
        is_due = self._is_leg(Role.TP, quantity) and self._may_place(Role.TP, now) and not self.legs.is_judging(Role.TP)
        if not is_due or self.entry_price is None:
            return ()
        return self._leg(self._orders.take_profit(self.entry_price, quantity, self.cycle_id))

    def _tidy_up(self, now: float) -> tuple[Message, ...]:
        """Flat: every leg that may still fill must be seen to end."""
        self._naked_alarm.over()
        if self.legs.is_any_open:
            return self._enter(PairState.CANCELLING, "flat", now) + self._cancel_open("position closed", now)
        if any(True for _ in self._ledger.pending(makers=False)):
            return ()
        if self.state is not PairState.IDLE:
            self.failures += self._has_failed
            self.successes += not self._has_failed and (self._winner is not None or self._was_by_hand)
            self._begin()
        return self._enter(PairState.IDLE, "flat, no leg open", now)

    # ---- closing and repairing -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The run is ending: whatever is held, now or by a late fill of the entry, is closed."""
        self._is_ending = True

    def close(self, reason: str, now: float) -> None:
        """End the position at the market; its legs go once it is closed."""
        if self.state is not PairState.RELEASED:
            self._begin_close(reason, now)

    def _begin_close(self, reason: str, now: float) -> None:
        if not self._close_reason:
            self._close_reason = reason
            self._closing_since = now
            self._retries[Role.REPAIR] = Retry()

    def _close(self, held: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """The take-profit goes, the stop stays, one IOC after the other sells what is held."""
        out = self._enter(PairState.CLOSING, self._close_reason, now) + self._drop(self.legs.of(Role.TP), "closing", now)
        out += self._take(self._settings.side.opposite, held, book, now)
        lasts_s = now - (self._closing_since if self._closing_since is not None else now)
        bare_since = self._naked_alarm.since
        is_bare = bare_since is not None and now - bare_since >= COVER_CLOSING_S
        if is_bare and self._refusals[Role.SL] < LEG_TRIES:
            out += self._cover(self.legs.of(Role.SL), held, now)
        if lasts_s >= CLOSE_ALARM_S and not self._is_close_told:
            self._is_close_told = True
            out += (alert("close", f"closing {held} {self._instrument.base} does not succeed", now, is_critical=True),)
        return out

    def _repair(self, overshoot: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        out = self._enter(PairState.REPAIRING, "more was sold than was held", now) + self._cancel_open("both legs filled", now)
        return out + self._buy_back(overshoot, book, now)

    def _buy_back(self, overshoot: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """Both legs filled: exactly the overshoot, once, and a person is told."""
        out: tuple[Message, ...] = ()
        if not self._is_repair_told:
            self._is_repair_told = self._has_failed = True
            self._retries[Role.REPAIR] = Retry()
            out += (alert("both-legs", f"both legs filled: {overshoot} beyond flat is being repaired", now, is_critical=True),)
        is_filling = any(leg.is_open and leg.order.filled_quantity > 0 for leg in self.legs)
        if is_filling and now - self._seen_held_at < REPAIR_PATIENCE_S:
            return out
        return out + self._take(self._settings.side, overshoot, book, now)

    def _take(self, side: Side, quantity: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """One reduce-only IOC at a time; what is on its way counts."""
        if any(order.role is Role.REPAIR for order in self._ledger.pending(makers=False)):
            return ()
        levels = () if book is None else book.asks if side is Side.BUY else book.bids
        wanted = self._orders.quantity(quantity)
        step = self._retries[Role.REPAIR].misses
        if not levels or not self._may_place(Role.REPAIR, now) or not self._orders.is_ioc(side, wanted, levels[0].price, step):
            return ()
        order = self._orders.ioc(side, wanted, levels[0].price, step, self.cycle_id)
        self._ledger.register(order)
        return (order,)

    def _follow_close(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        if not order.is_closed or order.filled_quantity >= order.quantity or order.client_order_id in self._closes:
            return ()
        self._closes.add(order.client_order_id)
        retry = self._retries[Role.REPAIR]
        retry.missed(now)
        if retry.misses != LEG_TRIES:
            return ()
        text = f"an order over {order.quantity} {self._instrument.base} that ends the position does not fill"
        return (alert("close", text, now, is_critical=True),)

    # ---- orders --------------------------------------------------------------------------------------------------------------

    def _place_stop(self, quantity: Decimal, now: float) -> tuple[Message, ...]:
        quantity = self._orders.quantity(quantity)
        if not self._may_place(Role.SL, now) or not self._is_leg(Role.SL, quantity) or self.entry_price is None:
            return ()
        is_too_late = self._has_linked or self._close_reason or self.legs.is_any_open
        if self._may_link and self._wants_take_profit and self._is_leg(Role.TP, quantity) and not is_too_late:
            return self._link(self.entry_price, quantity)
        return self._leg(self._orders.stop(self.entry_price, quantity, self.cycle_id))

    def _link(self, entry_price: Decimal, quantity: Decimal) -> tuple[Message, ...]:
        """Once for each position: whatever has to be placed again is placed alone."""
        self._has_linked = True
        pair = self._orders.linked(entry_price, quantity, self.cycle_id)
        for order in pair.orders:
            self.legs.add(self._ledger.register(order))
        return (pair,)

    def _may_place(self, role: Role, now: float) -> bool:
        return now >= self._retries[role].at and self._orders.can_place

    def _is_leg(self, role: Role, quantity: Decimal) -> bool:
        return self._orders.is_leg(role, quantity, self.entry_price)

    def _leg(self, order: PlaceOrder) -> tuple[Message, ...]:
        self.legs.add(self._ledger.register(order))
        return (order,)

    def _cancel_open(self, reason: str, now: float) -> tuple[Message, ...]:
        return self._cancel([leg for leg in self.legs if leg.is_open], reason, now)

    def _drop(self, takes: list[Leg], reason: str, now: float) -> tuple[Message, ...]:
        """Take-profits are cancelled; one that the venue ends together with its stop goes when that goes."""
        return self._cancel(self.legs.free(takes), reason, now)

    def _cancel(self, legs: list[Leg], reason: str, now: float) -> tuple[Message, ...]:
        """Cancels that are due; a leg is done with when a terminal state is seen, not when its cancel was asked for."""
        out = []
        for leg in legs:
            if now >= leg.cancel_due_at:
                leg.asked_to_cancel(now, CANCEL_AGAIN_S)
                order = leg.order
                out.append(
                    CancelOrder(
                        venue=order.venue,
                        symbol=order.symbol,
                        client_order_id=order.client_order_id,
                        venue_order_id=order.venue_order_id,
                        reason=reason,
                    )
                )
        return tuple(out)

    # ---- alarms and time -----------------------------------------------------------------------------------------------------

    def _flag_naked(self, held: Decimal, now: float) -> tuple[Message, ...]:
        if not keepers(self.legs.of(Role.SL), held):
            return self._naked_alarm.due(held, self._instrument.base, now)
        self._naked_alarm.over()
        return ()

    def deadline(self, now: float) -> float | None:
        """When a step may do something without a new event; a pair at rest waits for news alone."""
        is_quiet = self.state in (PairState.IDLE, PairState.ARMED, PairState.RELEASED)
        return None if is_quiet and all(leg.is_standing for leg in self.legs) else now + 0.05

    def _enter(self, state: PairState, reason: str, now: float) -> tuple[Message, ...]:
        if state is self.state:
            return ()
        transition(self.state, state)
        self.state = state
        return (PairStateChanged(cycle_id=self.cycle_id, state=state.value, reason=reason, at=now),)
