"""The market around the bot: one seeded mid, a house that keeps both books, and takers that hit the touch.

Must never touch an account but the house's own: every fill of the bot comes out of real matching at its true place in the queue.
The rates are invented; the "seeds" profile reproduces the fill rates of STRATEGY.md D4 (hazard 0.037-0.060 per second at the touch).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from core.types import ZERO, Side
from simulator.clock import Clock
from simulator.exchange import Exchange

HOUSE = "house"
FLOW = "flow"
SIDES = (Side.BUY, Side.SELL)
TAKER_TICKS = 3
"""How far behind the touch a taker of the flow reaches."""
REFILLED_TICKS = 6
"""How far behind the touch the house looks for gaps; deeper ones wait until the touch comes near."""
CHURN_TICKS = 5
"""How far behind the touch the churning level is."""
REACH = 0.05
"""How far the mid may leave its start, as a fraction of it."""


class VenueShape(NamedTuple):
    """How one venue's book looks and trades; money in quote currency, rates per second."""

    near_levels: int
    """Levels one tick apart; behind them come ``far_levels`` on multiples of ten ticks."""
    far_levels: int
    level_usd: float
    taker_rate: float
    """Takers per side."""
    taker_usd: float
    """Median size of a taker."""
    taker_sigma: float
    """Log-normal spread of that size: the tail is what sweeps the touch."""
    refill_rate: float


class MarketProfile(NamedTuple):
    """``move_rate`` moves of the mid per second, each of 1 to ``move_ticks``; ``basis_ticks`` bounds a venue's own offset."""

    primary: VenueShape
    hedge: VenueShape
    move_rate: float
    move_ticks: int
    basis_ticks: int
    spread_ticks: int
    conflate_s: float = 0.05
    """For how long Backpack gathers changes of its book into one public frame, and half as long as ApeX does; 0: each change is a frame."""
    churn_rate: float = 0.0
    """Changes per second of one level near the hedge venue's touch, on top of everything else: public frames without a trade."""


_DEEP = VenueShape(12, 8, 12_000.0, 0.8, 1_500.0, 1.0, 2.0)
_BRISK = MarketProfile(VenueShape(12, 8, 2_000.0, 8.0, 3_000.0, 0.2, 100.0), _DEEP._replace(taker_rate=0.0), 0.12, 1, 3, 2)
"""Takers that sweep the touch several times a second: a maker fills as soon as it rests, in one piece (bench/)."""
PROFILES: Mapping[str, MarketProfile] = {
    "lively": MarketProfile(VenueShape(12, 8, 3_000.0, 0.7, 2_400.0, 1.0, 5.0), _DEEP, 1.2, 2, 3, 3),
    "seeds": MarketProfile(VenueShape(12, 8, 9_000.0, 0.063, 2_400.0, 1.0, 2.0), _DEEP, 0.12, 1, 3, 2),
    "brisk": _BRISK,
}


class MarketMaker:
    """Keeps the books of one asset on every venue; the first venue of ``exchanges`` is the primary one, the others are deep."""

    def __init__(
        self,
        profile: MarketProfile,
        seed: int,
        exchanges: Mapping[str, tuple[Exchange, str]],
        clock: Clock,
        *,
        price: Decimal = Decimal(3000),
    ) -> None:
        """``exchanges``: venue name to (exchange, symbol); ``price``: where the mid starts."""
        self._profile = profile
        self._clock = clock
        self._random = random.Random(f"{seed}/mid")
        self._tick = min(exchange.instruments[symbol].tick_size for exchange, symbol in exchanges.values())
        self._mid = self._start = int(price / self._tick)
        self._is_frozen = False
        self._venues: dict[str, _Venue] = {}
        for name, (exchange, symbol) in exchanges.items():
            shape = profile.hedge if self._venues else profile.primary
            self._venues[name] = _Venue(exchange, symbol, shape, profile, random.Random(f"{seed}/{name}"), price)

    def start(self) -> None:
        """Builds both books at once, then lives on the clock."""
        self._requote()
        self._repeat(self._profile.move_rate, self._random, self._move)
        for venue in self._venues.values():
            self._repeat(venue.shape.refill_rate, venue.random, venue.refill)
            for side in SIDES:
                self._repeat(venue.shape.taker_rate, venue.random, partial(venue.take, side))
        *_, hedge = self._venues.values()
        self._repeat(self._profile.churn_rate, hedge.random, hedge.churn)

    @property
    def mid(self) -> Decimal:
        """The common mid, before any venue's basis."""
        return self._mid * self._tick

    def drift(self, bps: Decimal) -> None:
        """Moves the mid by that much at once; positive = up."""
        self._mid += int(self._mid * bps / 10_000)
        self._start = self._mid
        self._requote()

    def freeze(self, is_on: bool) -> None:
        """On: the mid stands, nobody trades, nothing is refilled."""
        self._is_frozen = is_on

    def remove_liquidity(self, venue: str | None) -> None:
        """The house leaves that venue (KeyError for an unknown one); None: it returns to all of them."""
        if venue is None:
            for each in self._venues.values():
                each.is_open = True
            self._requote()
        else:
            self._venues[venue].leave()

    def _repeat(self, rate: float, dice: random.Random, act: Callable[[], None]) -> None:
        """Runs ``act`` as a Poisson process of that rate, for ever."""
        if rate <= 0:
            return

        def turn() -> None:
            self._clock.call_later(dice.expovariate(rate), turn)
            if not self._is_frozen:
                self._advance()
                act()

        self._clock.call_later(dice.expovariate(rate), turn)

    def _move(self) -> None:
        step = self._random.randint(1, self._profile.move_ticks)
        bound = int(self._start * REACH)
        is_up = self._random.random() < 0.5
        self._mid = max(self._start - bound, min(self._start + bound, self._mid + (step if is_up else -step)))
        for venue in self._venues.values():
            venue.wander()
        self._requote()

    def _requote(self) -> None:
        self._advance()
        for venue in self._venues.values():
            venue.quote(self.mid)

    def _advance(self) -> None:
        now = self._clock.now()
        for venue in self._venues.values():
            venue.exchange.advance(now)


class _Venue:
    """The house and its customers on one venue."""

    def __init__(
        self, exchange: Exchange, symbol: str, shape: VenueShape, profile: MarketProfile, dice: random.Random, price: Decimal
    ) -> None:
        self.exchange = exchange
        self.shape = shape
        self.random = dice
        self.is_open = True
        self._symbol = symbol
        self._profile = profile
        self._usd_per_base = float(price)
        self._instrument = exchange.instruments[symbol]
        self.level_base = self.quantity(shape.level_usd)
        """The usual size of a level."""
        self._basis = 0
        self._spread = 1
        self._churned: int | None = None
        self._ladders = {side: _Ladder(self, side) for side in SIDES}

    def wander(self) -> None:
        """The basis takes a step towards or away from zero, within its bound; now and then the spread changes."""
        bound = self._profile.basis_ticks
        self._basis = max(-bound, min(bound, self._basis + self.random.choice((-1, 0, 0, 0, 1))))
        if self.random.random() < 0.25:
            self._spread = self.random.randint(1, self._profile.spread_ticks)

    def quote(self, mid: Decimal) -> None:
        """Both ladders around ``mid``; what is in the way goes first, so that the house never meets itself."""
        if not self.is_open:
            return
        bid = int(mid / self._instrument.tick_size) + self._basis
        touches = {Side.BUY: bid, Side.SELL: bid + self._spread}
        for side in SIDES:
            self._ladders[side].withdraw(touches[side])
        for side in SIDES:
            self._ladders[side].place(touches[side])

    def refill(self) -> None:
        """New orders join the back of the queues where takers left gaps."""
        if self.is_open:
            for ladder in self._ladders.values():
                ladder.refill()

    def leave(self) -> None:
        self.is_open = False
        for ladder in self._ladders.values():
            ladder.clear()

    def take(self, side: Side) -> None:
        """One taker: sometimes more than the touch holds, never deeper than ``TAKER_TICKS`` behind it."""
        quantity = self.quantity(self.shape.taker_usd * math.exp(self.random.gauss(0, self.shape.taker_sigma)))
        touch = self.exchange.best(self._symbol, side.opposite)
        if touch is not None:
            limit = touch + TAKER_TICKS * side.sign * self._instrument.tick_size
            self.exchange.place(FLOW, self._symbol, side, quantity, limit, tif="IOC")

    def churn(self) -> None:
        """A level behind the touch grows by the least quantity, or shrinks again."""
        if self._churned is not None:
            self.exchange.cancel(self._churned, "HOUSE")
            self._churned = None
            return
        touch = self.exchange.best(self._symbol, Side.BUY)
        if touch is not None:
            price = touch - CHURN_TICKS * self._instrument.tick_size
            self._churned = self.exchange.place(FLOW, self._symbol, Side.BUY, self._instrument.min_quantity, price).order_id

    def level_quantity(self) -> Decimal:
        return self.quantity(self.shape.level_usd * self.random.uniform(0.6, 1.4))

    def quantity(self, usd: float) -> Decimal:
        """That much money in lots, at least what the venue accepts."""
        instrument = self._instrument
        least = float(max(instrument.min_quantity, 2 * instrument.min_notional / Decimal(self._usd_per_base)))
        return max(1, math.ceil(max(usd / self._usd_per_base, least) / float(instrument.lot_size))) * instrument.lot_size

    def place(self, side: Side, ticks: int, quantity: Decimal) -> int:
        return self.exchange.place(HOUSE, self._symbol, side, quantity, ticks * self._instrument.tick_size).order_id


class _Ladder:
    """The house's orders on one side, by price in ticks: one per level, and behind it what was refilled."""

    def __init__(self, venue: _Venue, side: Side) -> None:
        self._venue = venue
        self._side = side
        self._orders: dict[int, list[int]] = {}
        self._touch = 0

    def withdraw(self, touch: int) -> None:
        """Cancels what does not belong to a ladder with this touch."""
        self._touch = touch
        for ticks in self._orders.keys() - set(self._prices()):
            self._cancel(ticks)

    def place(self, touch: int) -> None:
        """Adds the levels that are missing. A price that crosses someone else's order trades with it: the market moved through."""
        self._touch = touch
        for ticks in self._prices():
            if ticks not in self._orders:
                self._orders[ticks] = [self._venue.place(self._side, ticks, self._venue.level_quantity())]

    def refill(self) -> None:
        for depth in range(REFILLED_TICKS):
            ticks = self._touch - depth * self._side.sign
            if ticks in self._orders:
                self._top_up(ticks)

    def clear(self) -> None:
        for ticks in tuple(self._orders):
            self._cancel(ticks)

    def _prices(self) -> list[int]:
        shape, sign = self._venue.shape, self._side.sign
        near = [self._touch - depth * sign for depth in range(shape.near_levels)]
        edge = (near[-1] * sign - 1) // 10 * 10
        far = [(edge - 10 * depth) * sign for depth in range(shape.far_levels)]
        return [*near, *far]

    def _top_up(self, ticks: int) -> None:
        orders, leaves = self._orders[ticks], self._venue.exchange.leaves
        have = sum(map(leaves, orders), ZERO)
        if have * 2 < self._venue.level_base:
            orders[:] = [order_id for order_id in orders if leaves(order_id)]
            orders.append(self._venue.place(self._side, ticks, self._venue.level_quantity()))

    def _cancel(self, ticks: int) -> None:
        for order_id in self._orders.pop(ticks):
            self._venue.exchange.cancel(order_id, "HOUSE")
