"""What befalls the account, the venues' operators and the disk: the troubles of RELIABILITY.md B12, C6, C14, E7, E9, E11, P5, P6 and I25.

Its chance is its own, so that a seed without troubles is the same run as before there were any. It carries out what it decides; how a bot
must take it is judged elsewhere (guard.py, checkers.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, get_args

from core.routing import HEDGER, QUOTER
from core.types import ZERO, Side, VenueId
from tests.sim.engine import CoreNode
from tests.sim.scenario import HEDGE, START_S, TRADING_S, VENUES, Troubles, least_of
from tests.sim.wire import ACCOUNT, Maintenance

if TYPE_CHECKING:
    from tests.sim.world import World

PERIOD_S = 0.5
FIRST_AFTER_S = 3.0
DISK_MAX_S = 10.0


class Troublemaker:
    """``begin`` plans the strokes that the scenario has in play; ``calm_down`` ends whatever has an end. ``struck`` counts them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engine = world.engine
        self._random = random.Random(f"{world.scenario.seed}/trouble")
        self._orders = 0
        self._has_rival = False
        self._is_calm = False
        self.struck: dict[str, int] = {}

    def begin(self) -> None:
        for name in Troubles._fields:
            if getattr(self._world.scenario.troubles, name):
                self._engine.after(FIRST_AFTER_S, self._strike, name)

    def calm_down(self) -> None:
        """Operators and disk are well again; what was done to the account stays done."""
        self._is_calm = True
        self._repair()
        self._world.market.set_empty(is_empty=False)
        for wire in self._world.wires.values():
            wire.lie = wire.maintenance = None
            wire.banned_until = 0.0

    def _strike(self, name: str) -> None:
        if self._is_calm:
            return
        self._engine.after(PERIOD_S, self._strike, name)
        if self._random.random() < getattr(self._world.scenario.troubles, name) * PERIOD_S:
            stroke: Callable[[], bool] = getattr(self, f"_{name}")
            self.struck[name] = self.struck.get(name, 0) + stroke()

    def _for(self, shortest_s: float, longest_s: float, end: Callable[..., None], *arguments: object) -> None:
        """Plan the end of a stroke; none lasts into the quiet time."""
        left_s = START_S + TRADING_S - self._engine.now
        self._engine.after(min(self._random.uniform(shortest_s, longest_s), left_s), end, *arguments)

    def _venue(self) -> VenueId:
        return self._random.choice(VENUES)

    # ---- the account ---------------------------------------------------------------------------------------------------------

    def _hand(self) -> bool:
        """A person trades on the bot's account: at once, or with an order that rests for a while."""
        venue, side, chance = self._venue(), self._random.choice(list(Side)), self._random
        exchange, instrument = self._world.market.exchange(venue), self._world.wires[venue].instrument
        touch = exchange.best(instrument.symbol, side.opposite)
        if touch is None:
            return False
        quantity = max(Decimal(chance.randint(1, 8)) / 100, least_of(instrument))
        is_at_once = chance.random() < 0.6
        price = touch + side.sign * Decimal("0.05") if is_at_once else touch - side.sign * Decimal("0.02")
        order = exchange.place(
            ACCOUNT, instrument.symbol, side, quantity, price, tif="IOC" if is_at_once else "GTC", client_id=self._name("hand")
        )
        self._world.say(f"a person {side.value} {quantity} at {venue}")
        if not is_at_once:
            self._for(3.0, 20.0, self._take_back, venue, order.order_id)
        return True

    def _take_back(self, venue: VenueId, order_id: int) -> None:
        self._world.market.exchange(venue).cancel(order_id, "USER")

    def _liquidation(self) -> bool:
        """The venue closes one leg, or a part of it, at the market."""
        venue = self._venue()
        exchange, instrument = self._world.market.exchange(venue), self._world.wires[venue].instrument
        held = exchange.position(ACCOUNT, instrument.symbol)
        quantity = instrument.quantity_down(abs(held) * self._random.choice((1, Decimal("0.5"))))
        if quantity < least_of(instrument):
            return False
        self._world.say(f"{venue} liquidates {quantity} of {held}")
        exchange.place(ACCOUNT, instrument.symbol, Side.of(-held), quantity, None, client_id=self._name("liquidation"))
        return True

    def _name(self, kind: str) -> str:
        self._orders += 1
        return f"{kind}-{self._orders}"

    def _misbooking(self) -> bool:
        """The position differs from the sum of the fills: a withdrawal, an auto-deleveraging that shows no fill. Some are rounding."""
        wire = self._world.wires[self._venue()]
        sign, lots = self._random.choice((-1, 1)), self._random.choice((Decimal("0.4"), 1, 3, 10))
        wire.unexplained += sign * lots * self._world.scenario.lot
        self._world.say(f"{wire.instrument.venue} books {wire.unexplained} without a fill")
        wire.tell_position()
        if self._random.random() < 0.6:
            self._for(2.0, 30.0, self._book_back, wire.instrument.venue)
        return True

    def _book_back(self, venue: VenueId) -> None:
        self._world.say(f"{venue} has booked it back")
        self._world.wires[venue].unexplained = ZERO
        self._world.wires[venue].tell_position()

    def _lying(self) -> bool:
        """Answers about the position are old, empty, or of the other side."""
        venue = self._venue()
        wire = self._world.wires[venue]
        stale = wire.exchange.position(ACCOUNT, wire.instrument.symbol) + wire.unexplained
        wire.lie = self._random.choice((lambda _: ZERO, lambda held: -held, lambda _: stale))
        self._world.say(f"{venue} lies about the position")
        self._for(2.0, 20.0, self._tell_the_truth, venue)
        return True

    def _tell_the_truth(self, venue: VenueId) -> None:
        self._world.say(f"{venue} tells the truth again")
        self._world.wires[venue].lie = None

    def _rival(self) -> bool:
        """The same bot is started on another host, with a journal of its own, and vanishes after a while."""
        if self._has_rival:
            return False
        self._has_rival = True
        self._world.start_rival()
        self._for(3.0, 20.0, self._world.kill_rival)
        return True

    # ---- operators -----------------------------------------------------------------------------------------------------------

    def _maintenance(self) -> bool:
        venue, mode = self._venue(), self._random.choice(get_args(Maintenance))
        if self._world.wires[venue].maintenance is not None:
            return False
        self._world.wires[venue].maintenance = mode
        self._world.say(f"{venue} is in maintenance: {mode}")
        self._for(2.0, 12.0, self._open, venue)
        return True

    def _open(self, venue: VenueId) -> None:
        self._world.say(f"{venue} has done its maintenance")
        self._world.wires[venue].maintenance = None

    def _ban(self) -> bool:
        """Every request is refused for haste; the venue says for how long, or says something shorter, or nothing."""
        venue, length_s = self._venue(), self._random.uniform(0.5, 8.0)
        wire = self._world.wires[venue]
        wire.banned_until = self._engine.now + length_s
        wire.retry_after_s = self._random.choice((None, 0.5, length_s, 15.0))
        self._world.say(f"{venue} bans us for {length_s:.1f} s and says {wire.retry_after_s}")
        return True

    def _empty_book(self) -> bool:
        self._world.say(f"the {HEDGE} book is empty")
        self._world.market.set_empty(is_empty=True)
        self._for(0.5, 4.0, self._fill_book)
        return True

    def _fill_book(self) -> None:
        self._world.market.set_empty(is_empty=False)

    # ---- the process ---------------------------------------------------------------------------------------------------------

    def _disk(self) -> bool:
        if self._world.journal.is_full:
            return False
        self._world.say("the disk is full")
        self._world.journal.is_full = True
        self._world.watch_disk()
        self._for(0.3, DISK_MAX_S, self._repair)
        return True

    def _repair(self) -> None:
        if self._world.journal.is_full:
            self._world.say("the disk has room again")
            self._world.journal.is_full = False

    def _zombie(self) -> bool:
        """A core that hung is replaced, and then acts once more."""
        name = self._random.choice((HEDGER, QUOTER))
        bot = self._world.bot
        node = bot.nodes.get(name) if bot is not None and bot.is_alive else None
        if bot is None or not isinstance(node, CoreNode) or not node.is_alive:
            return False
        self._world.crash(name)
        self._engine.after(self._random.uniform(0.5, 3.0), bot.haunt, name, node.core)
        return True
