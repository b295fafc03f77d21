"""Two exit legs of one position, of which at most one may win: a stop that always covers the position, a take-profit that rests beside it.

The stop is placed first, so the position is never naked; the take-profit follows once the stop is known to stand. What happened to a leg is
taken from its own terminal state and its fills only, never from its absence in a list. It never opens or adds to a position.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from core.client_ids import ClientIds
from core.exposure import ExposureLedger
from core.instrument import Instrument
from core.messages import Alert, BookUpdated, CancelOrder, Message, OrderSnapshot, PairStateChanged, PlaceOrder
from core.types import BPS, ZERO, ClientOrderId, OrderState, Priority, Role, Side, TimeInForce

LEG_TRIES = 3
"""A leg that the venue refuses or removes is placed again this often; after that the position is closed."""
CANCEL_ALARM_S = 5.0
CLOSE_RETRY_S = (0.0, 0.1, 0.3, 1.0)
STOP_SLIPPAGE_BPS = Decimal(1000)
"""Worst price of a triggered market leg, relative to its trigger: the venue asks for one even on market orders (apex.md §3)."""


class PairState(enum.Enum):
    """IDLE: nothing held, nothing resting. RELEASED: the user took the position over; the pair does not touch it any more."""

    IDLE = "IDLE"
    ARMING = "ARMING"
    ARMED = "ARMED"
    CANCELLING = "CANCELLING"
    CLOSING = "CLOSING"
    REPAIRING = "REPAIRING"
    RELEASED = "RELEASED"


class PairSettings(NamedTuple):
    """``side`` of the entry; percentages of the entry price; ``close_ladder_bps`` caps the IOC that closes."""

    side: Side
    take_profit_pct: Decimal
    stop_loss_pct: Decimal
    on_manual_cancel: Literal["cancel_sibling", "keep_stop", "close"]
    close_ladder_bps: tuple[Decimal, ...]


class _Leg:
    """What the pair did about one leg order; its facts are in the snapshot."""

    __slots__ = ("cancel_sent_at", "is_judged", "order")

    def __init__(self, order: OrderSnapshot) -> None:
        self.order = order
        self.cancel_sent_at: float | None = None
        self.is_judged = False

    @property
    def is_open(self) -> bool:
        return not self.order.is_closed

    @property
    def is_standing(self) -> bool:
        """Known to the venue and able to fill."""
        return self.order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)

    @property
    def cover(self) -> Decimal:
        return self.order.pending_quantity


class OcoPair:
    """The decision part; ``core.bracket`` feeds it. ``step`` returns what must be placed, cancelled or told now."""

    def __init__(
        self, instrument: Instrument, settings: PairSettings, ids: ClientIds, ledger: ExposureLedger, *, epoch: int = 0
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._ids = ids
        self._ledger = ledger
        self._epoch = epoch
        self.state = PairState.IDLE
        self.cycle_id = 0
        self.entry_price: Decimal | None = None
        self._legs: dict[ClientOrderId, _Leg] = {}
        self._refusals = {Role.SL: 0, Role.TP: 0}
        self._has_take_profit = True
        self._close_reason = ""
        self._close_tries = 0
        self._close_at = 0.0
        self._is_repair_told = False
        self._cancel_alarmed: set[ClientOrderId] = set()
        self.successes = 0
        self.failures = 0

    # ---- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Decimal:
        """Quantity held in the direction of the entry; negative after an overshoot."""
        return self._settings.side.sign * self._ledger.position(self._instrument.venue)

    def follow(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """Fold one order's news. A closed leg is judged once: filled, cancelled by us, by hand, by the venue, or refused."""
        if order.role not in (Role.SL, Role.TP) or order.venue != self._instrument.venue:
            return self._follow_close(order, now)
        leg = self._legs.get(order.client_order_id)
        if leg is None:
            if order.is_closed:
                return ()
            leg = self._legs[order.client_order_id] = _Leg(order)
        leg.order = order
        if leg.is_open or leg.is_judged:
            return ()
        leg.is_judged = True
        return self._judge(leg, now)

    def adopt(self, orders: Iterable[OrderSnapshot]) -> None:
        """Take over what an earlier life left: its legs stay as they are, the next step completes them."""
        for order in orders:
            if order.role in (Role.SL, Role.TP):
                self._legs[order.client_order_id] = _Leg(order)
                self.cycle_id = max(self.cycle_id, order.cycle_id)

    def _judge(self, leg: _Leg, now: float) -> tuple[Message, ...]:
        order = leg.order
        if order.filled_quantity > 0 and order.state in (OrderState.FILLED, OrderState.PARTIALLY_FILLED):
            self.successes += 1
            return ()
        if leg.cancel_sent_at is not None or self.held <= 0:
            return ()
        if order.state is OrderState.CANCELED and order.reason in ("", "USER_CANCELED"):
            return self._removed_by_hand(order, now)
        self._refusals[order.role] += 1
        text = f"{order.role.value} leg {order.client_order_id} {order.state.value} by the venue ({order.reason or 'no reason'})"
        if self._refusals[order.role] >= LEG_TRIES or order.permanent:
            self._begin_close(f"{order.role.value} leg cannot be placed", now)
            self.failures += 1
        return (_alert("leg", text, now, is_critical=True),)

    def _removed_by_hand(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        """The configured policy; whatever it is, a person is told."""
        policy = self._settings.on_manual_cancel
        out = (_alert("manual-cancel", f"{order.role.value} leg {order.client_order_id} cancelled by hand: {policy}", now),)
        if policy == "close":
            self._begin_close("a leg was cancelled by hand", now)
        elif policy == "keep_stop":
            self._has_take_profit = self._has_take_profit and order.role is not Role.TP
        else:
            return (
                *out,
                *self._enter(PairState.RELEASED, "a leg was cancelled by hand", now),
                *self._cancel_open("sibling", now),
            )
        return out

    # ---- the decision --------------------------------------------------------------------------------------------------------

    def step(self, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """Everything that is due: cover first, then repair, then the tidy-up."""
        self._forget_settled()
        out = self._cancel_alarms(now)
        if self.state is PairState.RELEASED:
            return out + self._cancel_open("sibling", now)
        held, lot = self.held, self._instrument.lot_size
        if held <= -lot:
            return out + self._repair(-held, book, now)
        if held < lot:
            return out + self._tidy_up(now)
        if self._close_reason:
            return out + self._close(held, book, now)
        return out + self._protect(held, now)

    def _protect(self, held: Decimal, now: float) -> tuple[Message, ...]:
        """Stops cover exactly what is held; the take-profit rests once they stand."""
        stops, takes = self._open(Role.SL), self._open(Role.TP)
        if any(leg.order.filled_quantity > 0 for leg in stops):
            # The stop is winning: the take-profit goes, the stop finishes.
            return self._enter(PairState.CANCELLING, "the stop is filling", now) + self._cancel(takes, "sibling filled", now)
        out = self._cover(stops, held, now)
        standing = sum((leg.cover for leg in stops if leg.is_standing), ZERO)
        if standing < held:
            return self._enter(PairState.ARMING, "the stop does not stand yet", now) + out
        out += self._take_profit(takes, held, now)
        is_armed = (bool(takes) and all(leg.is_standing for leg in takes)) or not self._has_take_profit
        return (self._enter(PairState.ARMED, "both legs stand", now) if is_armed else ()) + out

    def _cover(self, stops: list[_Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        """Raise cover at once; lower it only after a stop of the right size stands, so that it is never below what is held."""
        cover = sum((leg.cover for leg in stops if leg.cancel_sent_at is None), ZERO)
        if cover < held:
            return self._place_leg(Role.SL, self._instrument.quantity_down(held - cover), now)
        if cover == held:
            return ()
        spare = self._spare(stops, held)
        if spare:
            return self._cancel(spare, "stop resized", now)
        is_replacing = any(not leg.is_standing and leg.cover == held for leg in stops)
        return () if is_replacing else self._place_leg(Role.SL, self._instrument.quantity_down(held), now)

    @staticmethod
    def _spare(stops: list[_Leg], held: Decimal) -> list[_Leg]:
        """Stops that may go because the standing rest still covers ``held``; the larger ones first."""
        kept = [leg for leg in stops if leg.cancel_sent_at is None]
        spare = []
        for leg in sorted(kept, key=lambda each: each.cover, reverse=True):
            rest = [other for other in kept if other is not leg and other not in spare]
            if sum((other.cover for other in rest if other.is_standing), ZERO) >= held:
                spare.append(leg)
        return spare

    def _take_profit(self, takes: list[_Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        if not self._has_take_profit:
            return self._cancel(takes, "stop only", now)
        resting = sum((leg.cover for leg in takes), ZERO)
        if resting > held:
            return self._cancel(takes, "take-profit above the position", now)
        wanted = self._instrument.quantity_down(held - resting)
        return self._place_leg(Role.TP, wanted, now) if wanted > 0 and not takes else ()

    def _tidy_up(self, now: float) -> tuple[Message, ...]:
        """Flat: every leg that may still fill must be seen to end."""
        self._close_reason = ""
        self._close_tries = 0
        if any(leg.is_open for leg in self._legs.values()):
            return self._enter(PairState.CANCELLING, "flat", now) + self._cancel_open("position closed", now)
        if any(True for _ in self._ledger.pending(makers=False)):
            return ()
        self._is_repair_told = False
        self._refusals = {Role.SL: 0, Role.TP: 0}
        self._has_take_profit = True
        return self._enter(PairState.IDLE, "flat, no leg open", now)

    # ---- closing and repairing -----------------------------------------------------------------------------------------------

    def close(self, reason: str, now: float) -> None:
        """End the position at the market; its legs go once it is closed."""
        if self.state is not PairState.RELEASED:
            self._begin_close(reason, now)

    def _begin_close(self, reason: str, now: float) -> None:
        self._close_reason = self._close_reason or reason
        self._close_at = now

    def _close(self, held: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        out = self._enter(PairState.CLOSING, self._close_reason, now)
        return out + self._take(self._settings.side.opposite, held, book, now)

    def _repair(self, overshoot: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """Both legs filled: buy back exactly the overshoot, once, and say so."""
        out = self._enter(PairState.REPAIRING, "both legs filled", now) + self._cancel_open("both legs filled", now)
        if not self._is_repair_told:
            self._is_repair_told = True
            self.failures += 1
            out += (_alert("both-legs", f"both legs filled: {overshoot} beyond flat is being repaired", now, is_critical=True),)
        return out + self._take(self._settings.side, overshoot, book, now)

    def _take(self, side: Side, quantity: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        """One reduce-only IOC at a time; what is on its way counts."""
        under_way = sum((o.pending_quantity for o in self._ledger.pending(makers=False) if o.role is Role.REPAIR), ZERO)
        wanted = self._instrument.quantity_down(quantity - under_way)
        levels = () if book is None else book.asks if side is Side.BUY else book.bids
        if under_way > 0 or wanted <= 0 or now < self._close_at or not levels or self._ids.left == 0:
            return ()
        ladder = self._settings.close_ladder_bps
        cap = ladder[min(self._close_tries, len(ladder) - 1)]
        price = self._instrument.price_passive(levels[0].price * (1 + side.sign * cap * BPS), side)
        return (self._order(Role.REPAIR, side, wanted, price, levels[0].price, TimeInForce.IOC),)

    def _follow_close(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        if order.role is Role.REPAIR and order.is_closed and order.filled_quantity < order.quantity:
            self._close_at = now + CLOSE_RETRY_S[min(self._close_tries, len(CLOSE_RETRY_S) - 1)]
            self._close_tries += 1
            if self._close_tries == LEG_TRIES:
                return (
                    _alert("close", f"closing {order.quantity} {self._instrument.base} does not succeed", now, is_critical=True),
                )
        return ()

    # ---- orders --------------------------------------------------------------------------------------------------------------

    def _place_leg(self, role: Role, quantity: Decimal, now: float) -> tuple[Message, ...]:
        entry, settings, instrument = self.entry_price, self._settings, self._instrument
        if entry is None or quantity <= 0 or self._ids.left == 0:
            return ()
        exit_side, sign = settings.side.opposite, settings.side.sign
        if role is Role.SL:
            trigger = instrument.price_nearest(entry * (1 - sign * settings.stop_loss_pct / 100))
            price = instrument.price_passive(trigger * (1 + exit_side.sign * STOP_SLIPPAGE_BPS * BPS), exit_side)
            order = self._order(role, exit_side, quantity, price, trigger, TimeInForce.GTC, trigger_price=trigger)
        else:
            price = instrument.price_nearest(entry * (1 + sign * settings.take_profit_pct / 100))
            order = self._order(role, exit_side, quantity, price, price, TimeInForce.GTC)
        leg = next(each for each in self._ledger.pending(makers=False) if each.client_order_id == order.client_order_id)
        self._legs[order.client_order_id] = _Leg(leg)
        return (order,)

    def _order(
        self,
        role: Role,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        reference: Decimal,
        time_in_force: TimeInForce,
        *,
        trigger_price: Decimal | None = None,
    ) -> PlaceOrder:
        order = PlaceOrder(
            client_order_id=self._ids.take(),
            venue=self._instrument.venue,
            symbol=self._instrument.symbol,
            side=side,
            quantity=quantity,
            price=price,
            time_in_force=time_in_force,
            role=role,
            cycle_id=self.cycle_id,
            reference_price=reference,
            reduce_only=True,
            trigger_price=trigger_price,
            trigger_kind="stop" if trigger_price is not None else None,
            is_market=trigger_price is not None,
            priority=Priority.P0,
            owner=self._ids.owner,
            epoch=self._epoch,
        )
        self._ledger.register(order)
        return order

    def _cancel_open(self, reason: str, now: float) -> tuple[Message, ...]:
        return self._cancel([leg for leg in self._legs.values() if leg.is_open], reason, now)

    def _cancel(self, legs: list[_Leg], reason: str, now: float) -> tuple[Message, ...]:
        """One cancel per leg from here; the tracker repeats it until a terminal state is seen."""
        out = []
        for leg in legs:
            if leg.cancel_sent_at is None and leg.is_open:
                leg.cancel_sent_at = now
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

    def _cancel_alarms(self, now: float) -> tuple[Message, ...]:
        """A cancel that does not come to an end: the position stays guarded, a person is told once."""
        late = [
            key
            for key, leg in self._legs.items()
            if leg.is_open and leg.cancel_sent_at is not None and now - leg.cancel_sent_at >= CANCEL_ALARM_S
        ]
        fresh = [key for key in late if key not in self._cancel_alarmed]
        self._cancel_alarmed.update(fresh)
        return tuple(_alert("cancel", f"leg {key} is not seen to end after its cancel", now, is_critical=True) for key in fresh)

    # ---- bookkeeping ---------------------------------------------------------------------------------------------------------

    def _open(self, role: Role) -> list[_Leg]:
        return [leg for leg in self._legs.values() if leg.is_open and leg.order.role is role]

    def _forget_settled(self) -> None:
        for key in [key for key, leg in self._legs.items() if leg.is_judged and leg.cover == 0]:
            del self._legs[key]
            self._cancel_alarmed.discard(key)

    def deadline(self, now: float) -> float | None:
        """When a step may do something without a new event."""
        waits = [
            leg.cancel_sent_at + CANCEL_ALARM_S for leg in self._legs.values() if leg.is_open and leg.cancel_sent_at is not None
        ]
        if self.state in (PairState.CLOSING, PairState.REPAIRING):
            waits.append(max(self._close_at, now + 0.05))
        return min((at for at in waits if at > now), default=None)

    def _enter(self, state: PairState, reason: str, now: float) -> tuple[Message, ...]:
        if state is self.state:
            return ()
        self.state = state
        return (PairStateChanged(cycle_id=self.cycle_id, state=state.value, reason=reason, at=now),)


def _alert(key: str, text: str, now: float, *, is_critical: bool = False) -> Alert:
    return Alert(level="critical" if is_critical else "warning", key=key, text=text, at=now)
