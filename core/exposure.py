"""What we hold, what may still fill, and how far delta can possibly go. One ledger, folded by quoter, hedger and risk gate alike.

Every message moves quantity between terms or brings news of it; only ``register`` (an order of our own) can raise the worst case. So any
prefix of the events gives a bound that holds (RELIABILITY.md §8).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from core.messages import (
    FillRecorded,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OrderChanged,
    OrderDenied,
    OrderSnapshot,
    PlaceOrder,
)
from core.types import ZERO, ClientOrderId, OrderState, Role, Side, VenueId

ASK_AGAIN_S = 1.0
_UNCERTAIN = frozenset({OrderState.UNKNOWN})


class ExposureLedger:
    """Signed base quantities. ``net`` is the sum of every recorded fill on all venues (delta as far as we know it)."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.is_synced = False
        self._asked_at = float("-inf")
        self.positions: dict[VenueId, Decimal] = {}
        self._pending: dict[ClientOrderId, OrderSnapshot] = {}

    def ask(self, epoch: int, now: float) -> tuple[Message, ...]:
        """The request for the state of all orders, repeated while no snapshot has come; nothing once it has."""
        if self.is_synced or now - self._asked_at < ASK_AGAIN_S:
            return ()
        self._asked_at = now
        return (LedgerRequested(owner=self.owner, epoch=epoch),)

    def apply(self, message: Message) -> None:
        """Fold LedgerSnapshot, then FillRecorded, OrderChanged and OrderDenied; what comes before the snapshot is contained in it.

        A second snapshot is the answer to a repeated request and may miss what was registered since: it changes nothing.
        """
        if not self.is_synced and not isinstance(message, LedgerSnapshot):
            return
        match message:
            case LedgerSnapshot() if message.owner == self.owner and not self.is_synced:
                self.is_synced = True
                self.positions = dict(message.positions)
                self._pending = {order.client_order_id: order for order in message.orders}
            case FillRecorded():
                fill = message.fill
                self.positions[fill.venue] = self.position(fill.venue) + fill.side.sign * fill.quantity
                if message.order is not None:
                    self._update(message.order)
            case OrderChanged():
                self._update(message.order)
            case OrderDenied():
                self._pending.pop(message.client_order_id, None)
            case _:
                pass

    def register(self, order: PlaceOrder) -> OrderSnapshot:
        """Count an order from the moment it is decided, before anybody has confirmed anything."""
        snapshot = self._pending[order.client_order_id] = OrderSnapshot(
            client_order_id=order.client_order_id,
            venue=order.venue,
            symbol=order.symbol,
            side=order.side,
            role=order.role,
            price=order.price,
            quantity=order.quantity,
            state=OrderState.INITIALIZED,
            filled_quantity=ZERO,
            recorded_quantity=ZERO,
            cycle_id=order.cycle_id,
            linked_to=order.linked_to,
        )
        return snapshot

    def _update(self, order: OrderSnapshot) -> None:
        if order.is_closed and order.pending_quantity == 0:
            self._pending.pop(order.client_order_id, None)
        else:
            self._pending[order.client_order_id] = order

    def position(self, venue: VenueId) -> Decimal:
        return self.positions.get(venue, ZERO)

    @property
    def net(self) -> Decimal:
        return sum(self.positions.values(), ZERO)

    def pending(self, *, makers: bool) -> Iterable[OrderSnapshot]:
        """Orders that may still bring fills: the makers, or all that cover exposure."""
        return (order for order in self._pending.values() if (order.role is Role.MAKER) is makers)

    @property
    def covering(self) -> Decimal:
        """Signed quantity on its way to cover exposure; alive or unknown counts in full."""
        return sum((order.side.sign * order.pending_quantity for order in self.pending(makers=False)), ZERO)

    @property
    def uncovered(self) -> Decimal:
        """Exposure that nothing covers yet; the hedge to place has the opposite sign."""
        return self.net + self.covering

    @property
    def has_unknown(self) -> bool:
        return any(order.state in _UNCERTAIN for order in self._pending.values())

    @property
    def unknown_orders(self) -> tuple[OrderSnapshot, ...]:
        return tuple(order for order in self._pending.values() if order.state in _UNCERTAIN)

    def pending_of(self, side: Side) -> Decimal:
        """Quantity of this side that may still fill, makers and covering orders together."""
        return sum((order.pending_quantity for order in self._pending.values() if order.side is side), ZERO)

    def worst_delta(self, extra: PlaceOrder | None = None) -> Decimal:
        """Largest |net| reachable if any subset of what is pending (and ``extra``) fills: one side fills, the other does not."""
        buys, sells = self.pending_of(Side.BUY), self.pending_of(Side.SELL)
        if extra is not None and extra.side is Side.BUY:
            buys += extra.quantity
        elif extra is not None:
            sells += extra.quantity
        return max(abs(self.net + buys), abs(self.net - sells))

    def worst_position(self, venue: VenueId, extra: PlaceOrder) -> Decimal:
        """Largest |position| on one venue if everything pending there on the side of ``extra`` fills, it included."""
        pending = sum(
            (o.pending_quantity for o in self._pending.values() if o.venue == venue and o.side is extra.side),
            extra.quantity,
        )
        return abs(self.position(venue) + extra.side.sign * pending)
