"""The orders that an OCO pair places, with their prices: stop, take-profit, and the IOC that closes or repairs. All of them only reduce."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from core.client_ids import ClientIds
from core.instrument import Instrument
from core.messages import PlaceOrder
from core.types import BPS, Priority, Role, Side, TimeInForce

RETRY_S = (0.0, 0.1, 0.3, 1.0)
STOP_SLIPPAGE_BPS = Decimal(1000)
"""Worst price of a triggered market leg, relative to its trigger: the venue asks for one even on market orders (apex.md §3)."""


class PairSettings(NamedTuple):
    """``side`` of the entry; percentages of the entry price; ``close_ladder_bps`` caps the IOC that closes."""

    side: Side
    take_profit_pct: Decimal
    stop_loss_pct: Decimal
    on_manual_cancel: Literal["cancel_sibling", "keep_stop", "close"]
    close_ladder_bps: tuple[Decimal, ...]


class ExitOrders:
    """Each call takes one client order id and returns the order; the caller registers and sends it."""

    def __init__(self, instrument: Instrument, settings: PairSettings, ids: ClientIds, epoch: int) -> None:
        self._instrument = instrument
        self._settings = settings
        self._ids = ids
        self._epoch = epoch

    @property
    def smallest(self) -> Decimal:
        """The least quantity of an order, base."""
        return max(self._instrument.min_quantity, self._instrument.lot_size)

    @property
    def can_place(self) -> bool:
        return self._ids.left > 0

    def quantity(self, wanted: Decimal) -> Decimal:
        return self._instrument.quantity_down(wanted)

    def stop(self, entry_price: Decimal, quantity: Decimal, cycle_id: int) -> PlaceOrder:
        """A market order that the venue holds back until its trigger."""
        side = self._settings.side
        trigger = self._instrument.price_nearest(entry_price * (1 - side.sign * self._settings.stop_loss_pct / 100))
        worst = trigger * (1 - side.sign * STOP_SLIPPAGE_BPS * BPS)
        price = self._instrument.price_passive(worst, side.opposite)
        return self._order(Role.SL, side.opposite, quantity, price, trigger, cycle_id, trigger_price=trigger)

    def take_profit(self, entry_price: Decimal, quantity: Decimal, cycle_id: int) -> PlaceOrder:
        """A resting limit order."""
        side = self._settings.side
        price = self._instrument.price_nearest(entry_price * (1 + side.sign * self._settings.take_profit_pct / 100))
        return self._order(Role.TP, side.opposite, quantity, price, price, cycle_id)

    def ioc(self, side: Side, quantity: Decimal, touch: Decimal, step: int, cycle_id: int) -> PlaceOrder:
        """Takes at ``touch`` or worse, capped by the ladder's ``step``."""
        ladder = self._settings.close_ladder_bps
        cap = ladder[min(step, len(ladder) - 1)]
        price = self._instrument.price_passive(touch * (1 + side.sign * cap * BPS), side)
        return self._order(Role.REPAIR, side, quantity, price, touch, cycle_id)

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
            trigger_price=trigger_price,
            trigger_kind="stop" if trigger_price is not None else None,
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
