"""Running totals of a cycle and of its current attempt, as the quoter counts them."""

from __future__ import annotations

from decimal import Decimal

from core.quote_policy import Phase
from core.types import ZERO, ClientOrderId, Side


class Attempt:
    """One maker order chain: what it is for and how far it has come."""

    def __init__(self, phase: Phase, side: Side, target: Decimal, started_at: float) -> None:
        self.phase = phase
        self.side = side
        self.target = target
        self.started_at = started_at
        self.orders: set[ClientOrderId] = set()
        self.filled = ZERO
        self.requotes = 0
        self.cancels = 0
        self.is_ending = False
        self.reason = ""


class Cycle:
    """Totals of the running cycle."""

    def __init__(self, cycle_id: int, started_at: float) -> None:
        self.cycle_id = cycle_id
        self.started_at = started_at
        self.intended = ZERO
        self.filled = ZERO
        self.requotes = 0
        self.cancels = 0
        self.skips = 0
