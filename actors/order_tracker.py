"""The order tracker as an actor: every conclusion is noted in the journal before anybody is told of it.

So a tracker rebuilt from the journal knows all that the others know, and what its inbox lost is found again at the venues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.base import Actor, Identity
from actors.decider import TICK_S
from core.health import OrderHealth
from core.messages import FillRecorded, Message, OrderChanged
from core.order_tracker import OrderTracker
from core.ports import Journal


class OrderTrackerActor(Actor):
    """``build`` makes the core from the journal; reads and cancels it asks for go through ``route`` like everything else.

    It is built once this actor can be told of orders: one that a gateway sends meanwhile is in the journal or in the inbox, or in both.
    """

    _core: OrderTracker

    def __init__(
        self, identity: Identity, build: Callable[[], OrderTracker], journal: Journal, route: Callable[[Message], None]
    ) -> None:
        super().__init__(identity)
        self._build = build
        self._journal = journal
        self._route = route

    def started(self) -> None:
        self._core = self._build()
        now = time.monotonic()
        self._emit(self._core.start(now))
        self.inbox.wake_at = now + TICK_S

    def handle(self, message: Message) -> None:
        now = time.monotonic()
        self._emit(self._core.handle(message, now))
        if self.inbox.wake_at is None:
            self.inbox.wake_at = now + TICK_S

    def _emit(self, outputs: tuple[Message, ...]) -> None:
        for output in outputs:
            if self.is_revoked:
                return
            if isinstance(output, (FillRecorded, OrderChanged)):
                self._journal.note(output)
            self._route(output)

    def health(self) -> Mapping[str, object]:
        """``orders``: tuple of OrderHealth; ``positions``: venue -> base; ``duplicate_fills``."""
        orders = tuple(
            OrderHealth(
                venue=order.place.venue,
                symbol=order.place.symbol,
                client_order_id=order.place.client_order_id,
                venue_order_id=order.venue_order_id,
                role=order.place.role.value,
                side=order.place.side.value,
                price=order.place.price,
                quantity=order.place.quantity,
                filled_quantity=order.filled_quantity,
                state=order.state.value,
            )
            for order in self._core.open_orders
        )
        return {"orders": orders, "positions": self._core.positions, "duplicate_fills": self._core.duplicate_fills}
