"""The orders that an OCO pair places, with their prices: stop, take-profit, and the IOC that closes or repairs. All of them only reduce."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from core.client_ids import ClientIds
from core.instrument import Instrument
from core.messages import PlaceOco, PlaceOrder
from core.types import BPS, Priority, Role, Side, TimeInForce

RETRY_S = (0.0, 0.1, 0.3, 1.0)
LEG_LIFETIME_S = 28 * 86_400.0
"""A leg outlives every other order: a stop must not expire under the position. A venue that allows less cuts it (grvt.md §4: 30 days)."""
STOP_SLIPPAGE_BPS = Decimal(1000)
"""Worst price of a triggered market leg, relative to its trigger: the venue asks for one even on market orders (apex.md §3)."""


class PairSettings(NamedTuple):
    """``side`` of the entry; percentages of the entry price; ``close_ladder_bps`` caps the IOC that closes. ``native_oco``: the first legs
    of a position are one request, and the venue links them."""

    side: Side
    take_profit_pct: Decimal
    stop_loss_pct: Decimal
    on_manual_cancel: Literal["cancel_sibling", "keep_stop", "close"]
    close_ladder_bps: tuple[Decimal, ...]
    native_oco: bool = False


class ExitOrders:
    """Each call takes one client order id and returns the order; the caller registers and sends it."""

    def __init__(self, instrument: Instrument, settings: PairSettings, ids: ClientIds, epoch: int) -> None:
        self._instrument = instrument
        self._settings = settings
        self._ids = ids
        self._epoch = epoch

    def is_leg(self, role: Role, quantity: Decimal, entry_price: Decimal | None) -> bool:
        """Whether the venue would take a leg over ``quantity``; without an entry's price by its least quantity alone."""
        least = max(self._instrument.min_quantity, self._instrument.lot_size)
        if entry_price is None or quantity < least:
            return quantity >= least
        price = self._profit_price(entry_price) if role is Role.TP else self._stop_prices(entry_price)[1]
        return self._instrument.is_tradable(self.quantity(quantity), price)

    def is_ioc(self, side: Side, quantity: Decimal, touch: Decimal, step: int) -> bool:
        return quantity >= self._instrument.lot_size and self._instrument.is_tradable(
            quantity, self._ioc_price(side, touch, step)
        )

    @property
    def can_place(self) -> bool:
        """Client order ids are left, for a linked pair too."""
        return self._ids.left > 1

    def quantity(self, wanted: Decimal) -> Decimal:
        return self._instrument.quantity_down(wanted)

    def stop(self, entry_price: Decimal, quantity: Decimal, cycle_id: int) -> PlaceOrder:
        """A market order that the venue holds back until its trigger."""
        trigger, price = self._stop_prices(entry_price)
        return self._order(Role.SL, self._settings.side.opposite, quantity, price, trigger, cycle_id, trigger_price=trigger)

    def _stop_prices(self, entry_price: Decimal) -> tuple[Decimal, Decimal]:
        """Trigger and worst price."""
        side = self._settings.side
        trigger = self._instrument.price_nearest(entry_price * (1 - side.sign * self._settings.stop_loss_pct / 100))
        worst = trigger * (1 - side.sign * STOP_SLIPPAGE_BPS * BPS)
        return trigger, self._instrument.price_passive(worst, side.opposite)

    def take_profit(self, entry_price: Decimal, quantity: Decimal, cycle_id: int) -> PlaceOrder:
        """A resting limit order."""
        price = self._profit_price(entry_price)
        return self._order(Role.TP, self._settings.side.opposite, quantity, price, price, cycle_id)

    def linked(self, entry_price: Decimal, quantity: Decimal, cycle_id: int) -> PlaceOco:
        """Both legs, held back until their triggers, as a venue wants them that links them. The take-profit takes: the venue ends its stop
        when it is triggered, not when it has filled, and what rests would be all that is left."""
        stop = self.stop(entry_price, quantity, cycle_id)
        trigger = self._profit_price(entry_price)
        worst = trigger * (1 - self._settings.side.sign * self._settings.close_ladder_bps[0] * BPS)
        price = self._instrument.price_passive(worst, stop.side)
        profit = self._order(Role.TP, stop.side, quantity, price, trigger, cycle_id, trigger_price=trigger)
        return PlaceOco(
            stop=msgspec.structs.replace(stop, linked_to=profit.client_order_id),
            take_profit=msgspec.structs.replace(profit, linked_to=stop.client_order_id),
        )

    def _profit_price(self, entry_price: Decimal) -> Decimal:
        return self._instrument.price_nearest(entry_price * (1 + self._settings.side.sign * self._settings.take_profit_pct / 100))

    def ioc(self, side: Side, quantity: Decimal, touch: Decimal, step: int, cycle_id: int) -> PlaceOrder:
        """Takes at ``touch`` or worse, capped by the ladder's ``step``."""
        return self._order(Role.REPAIR, side, quantity, self._ioc_price(side, touch, step), touch, cycle_id)

    def _ioc_price(self, side: Side, touch: Decimal, step: int) -> Decimal:
        ladder = self._settings.close_ladder_bps
        cap = ladder[min(step, len(ladder) - 1)]
        return self._instrument.price_passive(touch * (1 + side.sign * cap * BPS), side)

    def _order(
        self,
        role: Role,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        reference: Decimal,
        cycle_id: int,
        *,
        trigger_price: Decimal | None = None,
    ) -> PlaceOrder:
        return PlaceOrder(
            client_order_id=self._ids.take(),
            venue=self._instrument.venue,
            symbol=self._instrument.symbol,
            side=side,
            quantity=quantity,
            price=price,
            time_in_force=TimeInForce.IOC if role is Role.REPAIR else TimeInForce.GTC,
            role=role,
            cycle_id=cycle_id,
            reference_price=reference,
            reduce_only=True,
            lifetime_s=0.0 if role is Role.REPAIR else LEG_LIFETIME_S,
            trigger_price=trigger_price,
            trigger_kind=None if trigger_price is None else "stop" if role is Role.SL else "take_profit",
            is_market=trigger_price is not None,
            priority=Priority.P0,
            owner=self._ids.owner,
            epoch=self._epoch,
        )


class Retry:
    """When something that did not succeed may be tried again."""

    __slots__ = ("at", "misses")

    def __init__(self) -> None:
        self.misses = 0
        self.at = 0.0

    def missed(self, now: float) -> None:
        self.misses += 1
        self.at = now + RETRY_S[min(self.misses, len(RETRY_S) - 1)]
