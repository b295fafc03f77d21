"""The market of the OCO simulation: a house of two levels a side around a mid that the story drives, takers that print prices.

It never looks at what the bot thinks; it is told which way to go.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

from core.types import Side
from simulator.exchange import Exchange
from tests.sim.engine import Engine
from tests.sim.oco_scenario import OcoScenario
from tests.sim.scenario import EPOCH_MS, PRICE

HOUSE, FLOW = "house", "flow"
LEVELS = 3
HOUSE_WIDTH = 20
"""Ticks from the mid: takers trade with the house, not with a leg that is left alone in an empty book."""


class OcoMarket:
    """``drift``: ticks a step the mid moves on average. ``publish`` is called when the book may have changed."""

    def __init__(self, engine: Engine, scenario: OcoScenario, exchange: Exchange, publish: Callable[[], None]) -> None:
        self._engine = engine
        self._random = random.Random(f"{scenario.seed}/market")
        self._scenario = scenario
        self._exchange = exchange
        self._publish = publish
        self._mid = int(PRICE * 100)
        self._orders: list[int] = []
        self.drift = 0
        engine.after(0.0, self._step)
        engine.after(0.1, self._flow)

    def jump(self, ticks: int) -> None:
        """A gap: the whole book is elsewhere at once, and somebody trades there."""
        self._mid += ticks
        self._requote()
        self._take()
        self._publish()

    def _step(self) -> None:
        chance = self._random
        self._mid += self.drift + chance.randint(-10, 10)
        self._requote()
        self._publish()
        self._engine.after(chance.uniform(0.2, 0.5), self._step)

    def _requote(self) -> None:
        self._exchange.advance(EPOCH_MS / 1000 + self._engine.now)
        for order in self._orders:
            self._exchange.cancel(order, "HOUSE")
        self._orders.clear()
        symbol = self._scenario.instrument.symbol
        for level in range(LEVELS):
            for side in (Side.BUY, Side.SELL):
                price = Decimal(self._mid - side.sign * (1 + level * 3)) / 100
                sizes = ("0.2", "0.3", "0.3") if self._scenario.story == "partial" else ("0.3", "1", "3")
                size = self._scenario.size * Decimal(self._random.choice(sizes))
                size = max(self._scenario.instrument.quantity_down(size), self._scenario.instrument.lot_size)
                self._orders.append(self._exchange.place(HOUSE, symbol, side, size, price).order_id)

    def _flow(self) -> None:
        self._engine.after(self._random.uniform(0.1, 0.6), self._flow)
        self._take()

    def _take(self) -> None:
        side = Side.BUY if self._random.random() < 0.5 else Side.SELL
        self._exchange.advance(EPOCH_MS / 1000 + self._engine.now)
        touch = self._exchange.best(self._scenario.instrument.symbol, side.opposite)
        if touch is not None and abs(int(touch * 100) - self._mid) < HOUSE_WIDTH:
            lot = self._scenario.instrument.lot_size
            self._exchange.place(FLOW, self._scenario.instrument.symbol, side, lot, touch, tif="IOC")
