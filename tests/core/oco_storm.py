"""Random events on an OCO pair: what a venue, a user and a bad network can do to its orders, and a venue that is kind again."""

from __future__ import annotations

from decimal import Decimal

from core.types import OrderState, Role
from tests.core.oco_rig import Rig

D = Decimal
EVENTS = ("accept", "fill", "end", "refuse", "unknown", "hand", "late", "again", "cancelled", "wait", "long")


class Storm:
    """Plays a list of (event, which order, how much) on a rig and watches cover and sizes at every turn."""

    def __init__(self, policy: str, *, native_oco: bool = False) -> None:
        self.rig = Rig(policy, native_oco=native_oco)
        self.rig.begin()
        self.rig.enter()
        self.late: list[object] = []
        self.seen: list[object] = []
        self.checked = 0
        self.uncovered_s = 0.0

    def play(self, event: str, which: int, lots: int) -> None:
        rig = self.rig
        alive = [order for order in rig.sent if rig.is_alive(order)]
        order = alive[which % len(alive)] if alive else None
        if event == "wait" or order is None:
            self.wait(0.1)
        elif event == "long":
            self.wait(1.5)
        elif event in ("fill", "late"):
            self.fill(order, D(lots) * D("0.01"), is_late=event == "late")
        elif event == "accept":
            rig.accept(order)
        elif event == "refuse" and order.client_order_id not in rig.filled:
            rig.reject(order)
        elif event == "unknown":
            rig.unknown(order)
        elif event == "end":
            rig.end(order, OrderState.EXPIRED, "EXPIRED")
        elif event == "hand":
            rig.end(order)
        elif event == "again" and self.seen:
            rig.hear(self.seen[which % len(self.seen)])  # type: ignore[arg-type]  # only messages are kept
        elif event == "cancelled" and rig.cancels:
            wanted = rig.cancels[which % len(rig.cancels)].client_order_id
            for each in alive:
                if each.client_order_id == wanted:
                    rig.end(each)
        self.check()

    def fill(self, order: object, quantity: Decimal, *, is_late: bool) -> None:
        rig = self.rig
        left = order.quantity - rig.filled.get(order.client_order_id, D(0))  # type: ignore[attr-defined]  # a PlaceOrder
        messages = rig.executed(order, min(quantity, left))  # type: ignore[arg-type]
        self.seen += messages
        if is_late:
            self.late += reversed(messages)
        else:
            for message in messages:
                rig.hear(message)

    def wait(self, seconds: float) -> None:
        rig = self.rig
        for _ in range(round(seconds / 0.05)):
            rig.book()
            rig.tick(0.05)
            self.check()

    def check(self) -> None:
        """Sizes of what was sent since the last look, and how long the position has been without cover."""
        rig = self.rig
        for order in rig.sent[self.checked :]:
            if order.role is not Role.ENTRY:
                assert order.reduce_only
                assert order.quantity <= D("0.10") or order.role is Role.REPAIR
        self.checked = len(rig.sent)

    def settle(self) -> None:
        """The venue becomes kind: late news arrive, orders are accepted, cancels work, IOCs fill."""
        rig = self.rig
        for message in self.late:
            rig.hear(message)  # type: ignore[arg-type]  # only messages are kept
        for _ in range(80):
            alive = [order for order in rig.sent if rig.is_alive(order)]
            gone = {command.client_order_id for command in rig.cancels}
            for order in alive:
                if order.client_order_id in gone:
                    rig.end(order)
                elif order.role is Role.REPAIR:
                    rig.accept(order)
                    self.fill(order, order.quantity, is_late=False)
                elif order.role is Role.ENTRY:
                    rig.end(order, reason="COULD_NOT_FILL")
                else:
                    rig.accept(order)
            self.wait(0.1)
