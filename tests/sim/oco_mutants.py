"""Planted OCO bugs: each takes the place of a real part, and the simulation must see it within the stated number of trials.

The first four are the classic ones of the field; the others were found in this code by the simulation itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from core.bracket import Bracket
from core.bracket_gate import BracketGate
from core.journal_state import JournalState
from core.messages import (
    BookUpdated,
    CancelOrder,
    LedgerSnapshot,
    Message,
    OpenOrdersFetched,
    OrderChanged,
    OrderDenied,
    OrderReported,
    OrderSnapshot,
    PlaceOrder,
)
from core.oco_legs import Leg, Legs
from core.oco_pair import OcoPair
from core.order_tracker import OrderTracker
from core.recovery import tracker_of
from core.risk_gate import Denial
from core.types import ZERO, OrderState, Role, VenueId
from core.venue_watch import VenuePolicy
from tests.sim.oco_bot import OcoParts
from tests.sim.oco_scenario import Link


class OcoMutant(NamedTuple):
    """``story``: the kind of trial that shows it, with exits linked as ``link`` says; it must be caught in trials 0 to ``within``."""

    bug: str
    parts: OcoParts
    story: str
    within: int
    link: Link = ""


def _bracket(pair: type[OcoPair], legs: type[Legs] = Legs) -> type[Bracket]:
    """The bracket with another pair in it."""

    class Mutant(Bracket):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.pair.__class__ = pair
            self.pair.legs.__class__ = legs

    return Mutant


def _tracker(kind: type[OrderTracker]) -> OcoParts:
    def make(state: JournalState, policies: dict[VenueId, VenuePolicy], now: float, wall_ms: int, born_ms: int) -> OrderTracker:
        tracker = tracker_of(state, policies, now, wall_ms, born_ms)
        tracker.__class__ = kind
        return tracker

    return OcoParts(tracker=make)


class _ReactsToHistory(Bracket):
    """Any FILLED that any frame tells ends the pair: the sibling is cancelled."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        if not isinstance(message, OrderReported):
            return super().handle(message, now)
        if message.state is not OrderState.FILLED:
            return ()
        return self.pair._cancel_open("one leg filled", now)


class _BlindLegs(Legs):
    """Knows nothing any more of a leg whose cancel has been asked for."""

    def forget_settled(self) -> None:
        for leg in tuple(self):
            if leg.cancel_sent_at is not None:
                self.drop(leg.order.client_order_id)
        super().forget_settled()


class _InactiveAfterCancel(OcoPair):
    """The cancel call is taken for the end of the leg."""

    def _cancel(self, legs: list[Leg], reason: str, now: float) -> tuple[Message, ...]:
        out = super()._cancel(legs, reason, now)
        for each in out:
            assert isinstance(each, CancelOrder)
            self._ledger._pending.pop(each.client_order_id, None)
        return out

    def follow(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        leg = self.legs.get(order.client_order_id)
        if leg is None and order.role in (Role.SL, Role.TP):
            self._ledger._pending.pop(order.client_order_id, None)
            return ()
        return super().follow(order, now)


class _AbsentIsFilled(OrderTracker):
    """What a list of open orders does not show has filled."""

    def _open_orders(self, message: OpenOrdersFetched, now: float) -> tuple[Message, ...]:
        out = list(super()._open_orders(message, now))
        listed = {report.client_order_id for report in message.orders}
        for order in tuple(self._active.values()):
            if not order.is_closed and order.place.client_order_id not in listed:
                order.move(OrderState.FILLED)
                order.raise_filled(order.place.quantity)
                out.append(OrderChanged(order=order.snapshot(), at=now))
        return tuple(out)


class _StopNotResized(OcoPair):
    def _cover(self, stops: list[Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        return () if stops else super()._cover(stops, held, now)


class _CancelsBeforeResize(OcoPair):
    """Resizes by cancelling first: naked until the new stop stands."""

    def _cover(self, stops: list[Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        if sum((leg.cover for leg in stops), Decimal(0)) > held and all(leg.is_standing for leg in stops):
            return self._cancel(stops, "stop resized", now)
        return () if stops else super()._cover(stops, held, now)


class _ProfitFirst(OcoPair):
    """Places the take-profit and forgets the stop until it stands."""

    def _cover(self, stops: list[Leg], held: Decimal, now: float) -> tuple[Message, ...]:
        takes = self.legs.of(Role.TP)
        if not takes:
            return self._take_profit(takes, held, now)
        return super()._cover(stops, held, now) if any(leg.is_standing for leg in takes) else ()


class _DeniedIsCover(Bracket):
    """An order that our own gate or limiter refused stays in the books as alive."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        return () if isinstance(message, OrderDenied) else super().handle(message, now)


class _ForgetsLegs(Bracket):
    """A restart does not take over the legs of the life before."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        if isinstance(message, LedgerSnapshot):
            message = msgspec.structs.replace(message, orders=())
        return super().handle(message, now)


class _JudgesAtOnce(OcoPair):
    """A removed leg is judged before the fill that explains it can have arrived."""

    def _is_ripe(self, leg: Leg, now: float) -> bool:
        return True

    def _look_around(self, removed: OrderSnapshot) -> tuple[Message, ...]:
        return ()


class _RepairsAgain(OcoPair):
    """A second repair path: what is on its way does not count."""

    def _repair(self, overshoot: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        for order in tuple(self._ledger.pending(makers=False)):
            if order.role is Role.REPAIR:
                self._ledger._pending.pop(order.client_order_id)
        return super()._repair(overshoot, book, now)


class _LaxGate(BracketGate):
    def _exit(self, order: PlaceOrder) -> Denial | None:
        return None


class _NoRepair(OcoPair):
    def _repair(self, overshoot: Decimal, book: BookUpdated | None, now: float) -> tuple[Message, ...]:
        return self._tidy_up(now)


class _IgnoresTheHand(OcoPair):
    """A leg cancelled by hand is placed again, whatever the policy."""

    def _removed_by_hand(self, order: OrderSnapshot, now: float) -> tuple[Message, ...]:
        return ()


class _ForgetsBrackets(Bracket):
    def _adopt(self, snapshot: LedgerSnapshot, now: float) -> None:
        if not any(quantity for _, quantity in snapshot.positions):
            self._entered = self._entry_value = ZERO
        super()._adopt(snapshot, now)


class _TrustsTheLink(OcoPair):
    """What the venue has linked is the venue's to end."""

    def _cancel_open(self, reason: str, now: float) -> tuple[Message, ...]:
        return self._cancel([leg for leg in self.legs if leg.is_open and leg.order.linked_to is None], reason, now)


class _PairOrNothing(OcoPair):
    """The stop depends on the linked request: where it is refused, none follows."""

    def _place_stop(self, quantity: Decimal, now: float) -> tuple[Message, ...]:
        return () if self._has_linked else super()._place_stop(quantity, now)


OCO_MUTANTS: dict[str, OcoMutant] = {
    "history": OcoMutant("reacts to history frames", OcoParts(bracket=_ReactsToHistory, overhears=(OrderReported,)), "sl", 40),
    "inactive-after-cancel": OcoMutant(
        "is done right after the cancel call", OcoParts(bracket=_bracket(_InactiveAfterCancel, _BlindLegs)), "tp", 20
    ),
    "absent-is-filled": OcoMutant("absence is taken as a fill", _tracker(_AbsentIsFilled), "nemesis", 40),
    "stop-not-resized": OcoMutant("the stop keeps its size", OcoParts(bracket=_bracket(_StopNotResized)), "partial", 20),
    "cancel-then-resize": OcoMutant(
        "the stop goes before its successor stands", OcoParts(bracket=_bracket(_CancelsBeforeResize)), "nemesis", 200
    ),
    "profit-first": OcoMutant("the take-profit goes first", OcoParts(bracket=_bracket(_ProfitFirst)), "kill", 60),
    "denied-is-cover": OcoMutant("a denied stop counts as cover", OcoParts(bracket=_DeniedIsCover), "nemesis", 100),
    "forgets-legs": OcoMutant("a restart forgets the legs", OcoParts(bracket=_ForgetsLegs), "kill", 60),
    "forgets-brackets": OcoMutant("a flat bracket counts for nothing", OcoParts(bracket=_ForgetsBrackets), "nemesis", 100),
    "judges-at-once": OcoMutant("a removal is judged at once", OcoParts(bracket=_bracket(_JudgesAtOnce)), "nemesis", 200),
    "repairs-again": OcoMutant(
        "an overshoot is repaired twice", OcoParts(bracket=_bracket(_RepairsAgain), gate=_LaxGate), "both", 40
    ),
    "no-repair": OcoMutant("an overshoot stays", OcoParts(bracket=_bracket(_NoRepair)), "both", 20),
    "trusts-the-link": OcoMutant(
        "a linked sibling is left to the venue", OcoParts(bracket=_bracket(_TrustsTheLink)), "tp", 10, "ignored"
    ),
    "pair-or-nothing": OcoMutant(
        "no stop without the linked pair", OcoParts(bracket=_bracket(_PairOrNothing)), "tp", 10, "refused"
    ),
    "ignores-the-hand": OcoMutant("the policy is not followed", OcoParts(bracket=_bracket(_IgnoresTheHand)), "manual", 10),
}
