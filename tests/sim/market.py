"""A small market: a house that keeps two levels a side on both venues, and takers that hit the maker venue.

Every fill of the bot comes out of the exchange's own matching. It never looks at what the bot thinks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

from core.instrument import Instrument
from core.types import Side, VenueId
from simulator.exchange import Exchange
from tests.sim.engine import Engine
from tests.sim.scenario import EPOCH_MS, HEDGE, MAKER, PRICE, Scenario, least_of

HOUSE, FLOW = "house", "flow"
STEP_S = (0.5, 1.1)
QUIET_STEP_S = (1.0, 1.7)
"""Less than the age at which a book is stale."""
RUNGS = tuple((level, side) for level in range(2) for side in (Side.BUY, Side.SELL))


class Market:
    """``publish(venue)`` is called when a book may have changed."""

    def __init__(
        self, engine: Engine, scenario: Scenario, exchanges: dict[VenueId, Exchange], publish: Callable[[VenueId], None]
    ) -> None:
        self._engine = engine
        self._random = random.Random(f"{scenario.seed}/market")
        self._scenario = scenario
        self._exchanges = exchanges
        self._instruments: dict[VenueId, Instrument] = {MAKER: scenario.maker, HEDGE: scenario.hedge}
        self._publish = publish
        self._mid = int(PRICE * 100)
        self._orders: dict[VenueId, dict[tuple[int, Side], int]] = {venue: {} for venue in exchanges}
        self._quoted: dict[VenueId, int] = {}
        self.is_thin = False
        self.is_empty = False
        self.has_flow = True
        for venue in exchanges:
            engine.after(0.0, self._step, venue)
        engine.after(1.0, self._flow)

    def _step(self, venue: VenueId) -> None:
        """The mid wanders, the house follows and fills the gaps, the book is told."""
        chance = self._random.random
        if venue == MAKER and self.has_flow and chance() < self._scenario.move_rate:
            self._mid += self._random.choice((-30, -3, -2, -1, -1, 1, 1, 2, 3, 30))
        self._requote(venue)
        self._publish(venue)
        shortest_s, longest_s = STEP_S if self.has_flow else QUIET_STEP_S
        self._engine.after(shortest_s + (longest_s - shortest_s) * chance(), self._step, venue)

    def _requote(self, venue: VenueId) -> None:
        """What was taken is put back; when the mid has moved, everything is quoted anew."""
        exchange, orders, symbol = self.exchange(venue), self._orders[venue], self._instruments[venue].symbol
        if self._quoted.get(venue) != self._mid:
            self._quoted[venue] = self._mid
            for order in orders.values():
                exchange.cancel(order, "HOUSE")
            orders.clear()
        if self.is_empty and venue == HEDGE:
            return
        for level, side in RUNGS:
            if not exchange.leaves(orders.get((level, side), 0)):
                price = Decimal(self._mid - side.sign * (1 + level * 2)) / 100
                orders[level, side] = exchange.place(HOUSE, symbol, side, self._size(venue), price).order_id

    def _size(self, venue: VenueId) -> Decimal:
        """The hedge venue is deep, except while it is thin; the maker venue's touch is gone with a taker or two."""
        if venue == HEDGE:
            return Decimal("0.02") if self.is_thin else Decimal(2)
        return max(Decimal(self._random.randint(1, 12)) / 100, least_of(self._scenario.maker))

    def _flow(self) -> None:
        """A taker on the maker venue; it reaches a few ticks deep, so partial fills and whole sweeps both happen."""
        if not self.has_flow:
            return
        chance = self._random
        self._engine.after(chance.expovariate(self._scenario.flow_rate), self._flow)
        side = Side.BUY if chance.random() < 0.5 else Side.SELL
        exchange, lot = self.exchange(MAKER), self._scenario.maker.lot_size
        touch = exchange.best(self._scenario.maker.symbol, side.opposite)
        if touch is None:
            return
        quantity = lot * max(1, int(Decimal(chance.choice((1, 3, 5, 8, 15, 30))) / 100 / lot) + (chance.random() < 0.3))
        quantity = max(quantity, least_of(self._scenario.maker))
        limit = touch + side.sign * Decimal("0.03")
        exchange.place(FLOW, self._scenario.maker.symbol, side, quantity, limit, tif="IOC")

    def exchange(self, venue: VenueId) -> Exchange:
        """The venue's exchange, its time set to now."""
        exchange = self._exchanges[venue]
        exchange.advance(EPOCH_MS / 1000 + self._engine.now)
        return exchange

    def set_thin(self, *, is_thin: bool) -> None:
        """Whether the hedge venue holds next to nothing."""
        self.is_thin = is_thin
        self._quoted.pop(HEDGE, None)

    def set_empty(self, *, is_empty: bool) -> None:
        """Whether the hedge venue's book holds nothing at all."""
        if is_empty is not self.is_empty:
            self.is_empty = is_empty
            self._quoted.pop(HEDGE, None)
