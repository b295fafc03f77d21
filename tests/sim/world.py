"""One seed, one run: both venues, the market, the nemesis and the bot in one thread under one virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from core.messages import BookUpdated, Message, PlaceOrder
from core.routing import RISK, TRACKER
from core.types import Channel, VenueId
from simulator.exchange import Exchange
from simulator.ledger import AccountFill
from tests.sim.bot import PROCESS, START_ORDER, Bot, Parts
from tests.sim.checkers import END_S, check
from tests.sim.engine import Engine
from tests.sim.guard import Guard
from tests.sim.history import WORLD, History
from tests.sim.inspector import RIVAL_FIRST_CLIENT_ID, Inspector
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode
from tests.sim.market import Market
from tests.sim.nemesis import MISFORTUNES, Nemesis
from tests.sim.scenario import (
    CALM_S,
    EPOCH_MS,
    FEES,
    HEDGE,
    MAKER,
    START_S,
    TRADING_S,
    VENUES,
    Scenario,
    scenario_of,
)
from tests.sim.trouble import Troublemaker
from tests.sim.venue_wires import BackpackWire, GrvtWire
from tests.sim.wire import ACCOUNT, Wire

STRIKE_PERIOD_S = 0.5


class Result(NamedTuple):
    """``violations``: empty for a good run. ``steps``: messages handled by actors."""

    seed: int
    violations: tuple[str, ...]
    steps: int
    fills: int
    exposed_s: tuple[float, ...]
    history: History
    struck: dict[str, int]
    state: str


class World:
    """``run`` plays the seed to its end and judges it."""

    def __init__(self, scenario: Scenario, parts: Parts) -> None:
        self.scenario = scenario
        self._parts = parts
        self.engine = Engine(str(scenario.seed), START_S)
        self.nemesis = Nemesis(scenario.seed, scenario.cruelty)
        self.history = History()
        self.inspector = Inspector(self.engine, scenario, self.history)
        self._skew_ms = 0
        instruments = {MAKER: scenario.maker, HEDGE: scenario.hedge}
        self.exchanges = {venue: Exchange(venue, [each], {ACCOUNT: FEES[venue]}) for venue, each in instruments.items()}
        kinds: dict[VenueId, type[Wire]] = {MAKER: GrvtWire, HEDGE: BackpackWire}
        self.wires: dict[VenueId, Wire] = {
            venue: kinds[venue](self.engine, self.exchanges[venue], instruments[venue], self.nemesis) for venue in VENUES
        }
        self.market = Market(self.engine, scenario, self.exchanges, self._publish_book)
        self.journal = parts.journal(self._wall_ms)
        self.bot: Bot | None = None
        self._rival: Bot | None = None
        self.guard = Guard(self.engine, scenario, self.inspector, self.journal, self.wires)
        self.troublemaker = Troublemaker(self)
        for venue, wire in self.wires.items():
            self._connect(venue, wire)

    def run(self) -> None:
        engine = self.engine
        engine.after(0.2, self._start_bot)
        engine.at(START_S + TRADING_S, self._calm_down)
        engine.at(END_S - CALM_S, self._end_flow)
        for name in MISFORTUNES:
            if getattr(self.nemesis.cruelty, name):
                engine.after(3.0, self._strike, name)
        self.troublemaker.begin()
        engine.after(0.5, self._inspect)
        if self.scenario.stops_at is not None:
            engine.at(self.scenario.stops_at, self._stop)
        engine.run_until(END_S)
        self._judge()

    # ---- wiring --------------------------------------------------------------------------------------------------------------

    def _connect(self, venue: VenueId, wire: Wire) -> None:
        def publish(message: Message) -> None:
            for bot in self._living():
                bot.feeds[venue, Channel.ACCOUNT].frame(message)

        def filled(fill: AccountFill) -> None:
            self.inspector.filled(venue, fill)
            self.guard.filled(venue)

        wire.publish = publish
        wire.filled = filled
        wire.arrived = self.inspector.arrived

    def _publish_book(self, venue: VenueId) -> None:
        for bot in self._living():
            bot.feeds[venue, Channel.MARKET].frame(self.wires[venue].book(self.engine.now))

    def _living(self) -> list[Bot]:
        return [bot for bot in (self.bot, self._rival) if bot is not None and bot.is_alive]

    def _hear(self, sender: str, message: Message) -> None:
        assert self.bot is not None
        if not isinstance(message, BookUpdated):
            self.history.add(self.engine.now, sender, message)
        self.inspector.hear(sender, message, self.bot)
        self.guard.hear(sender, message)

    def _sending(self, gateway: GatewayNode, order: PlaceOrder) -> None:
        self.inspector.sending(gateway, order)
        self.guard.sending(order)

    def _wall_ms(self) -> int:
        return EPOCH_MS + int(self.engine.now * 1000) + self._skew_ms

    # ---- life and death of the bot ---------------------------------------------------------------------------------------------

    def _start_bot(self) -> None:
        """Where the journal cannot be written there is no run; whoever started it tries again."""
        if self.journal.is_full:
            self.engine.after(1.0, self._start_bot)
            return
        self.say("the process starts")
        self.inspector.born()
        self.guard.born()
        self.bot = self._new_bot(self.journal, self._hear, self._sending)
        self.bot.begin()
        if self.inspector.was_stopped:
            self.bot.stop("SIGTERM")  # Who wants an end to it tells the next life, too.

    def _new_bot(
        self,
        journal: SimJournal,
        hear: Callable[[str, Message], None],
        sending: Callable[[GatewayNode, PlaceOrder], None],
    ) -> Bot:
        return Bot(
            self.engine,
            self.scenario,
            self.nemesis,
            self.wires,
            journal,
            self._parts,
            self._wall_ms,
            hear,
            sending,
        )

    def start_rival(self) -> None:
        """A second process of the same account, elsewhere: nothing is shared but the venues."""
        self.say("a rival starts")
        journal = self._parts.journal(self._wall_ms, RIVAL_FIRST_CLIENT_ID)
        self._rival = self._new_bot(journal, self._overhear, lambda *_: None)
        self._rival.begin()

    def _overhear(self, sender: str, message: Message) -> None:
        if not isinstance(message, BookUpdated):
            self.history.add(self.engine.now, f"rival {sender}", message)

    def kill_rival(self) -> None:
        self.say("the rival is gone")
        if self._rival is not None:
            self._rival.kill()

    def watch_disk(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            self.bot.watch_disk()

    def _kill(self) -> None:
        bot = self.bot
        if bot is None or not bot.is_alive:
            return
        self.say("the process is killed")
        bot.kill()
        self.inspector.died()
        self.journal.kill(self.nemesis.random)
        away_s = 40.0 if self.nemesis.random.random() < 0.03 else 0.3 + 5.0 * self.nemesis.random.random()
        self.engine.after(min(away_s, START_S + TRADING_S + 1.0 - self.engine.now), self._start_bot)

    def crash(self, name: str) -> None:
        bot = self.bot
        if bot is None or not bot.is_alive or not bot.nodes[name].is_alive:
            return
        dead = bot.crash(name)
        self.say(f"actor {name} crashes")
        if dead == (PROCESS,):
            self._kill()
            return
        self.inspector.disturbed_at = self.engine.now
        self.guard.crashed(name)
        self.engine.after(0.1 + 0.9 * self.nemesis.random.random(), self._rebuild, bot, dead)

    def _rebuild(self, bot: Bot, names: tuple[str, ...]) -> None:
        """An actor that cannot be built, since the journal cannot be written, takes the process with it in the end."""
        if bot.is_alive and self.journal.is_full:
            self._kill()
            return
        for name in names:
            self.inspector.restarted(name)
            self.guard.restarted(name)
        bot.rebuild(names)

    def _stop(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            self.say("SIGTERM")
            self.inspector.was_stopped = True
            self.bot.stop("SIGTERM")

    # ---- the nemesis' larger strokes -------------------------------------------------------------------------------------------

    def _strike(self, name: str) -> None:
        if not self.nemesis.is_on:
            return
        self.engine.after(STRIKE_PERIOD_S, self._strike, name)
        if self.nemesis.strikes(name, STRIKE_PERIOD_S):
            getattr(self, f"_strike_{name}")()

    def _strike_flap(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            feed = self.nemesis.random.choice(list(self.bot.feeds.values()))
            self.say(f"{feed.venue} {feed.channel.value} stream flaps")
            for turn in range(self.nemesis.random.choice((1, 1, 1, 4))):
                self.engine.after(turn * (0.5 + 2.0 * self.nemesis.random.random()), feed.lose, "flap")

    def _strike_deaf(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            feed = self.nemesis.random.choice(list(self.bot.feeds.values()))
            self.say(f"{feed.venue} {feed.channel.value} stream goes deaf")
            feed.deafen()

    def _strike_venue_restart(self) -> None:
        venue = self.nemesis.random.choice(VENUES)
        if self.wires[venue].is_down:
            return
        self.say(f"{venue} goes down")
        self.wires[venue].is_down = True
        for feed in self.bot.feeds.values() if self.bot is not None else ():
            if feed.venue == venue:
                feed.lose("server down")
        self.engine.after(1.0 + 6.0 * self.nemesis.random.random(), self._restore, venue)

    def _restore(self, venue: VenueId) -> None:
        if self.wires[venue].is_down:
            self.say(f"{venue} is back")
            self.wires[venue].is_down = False

    def _strike_crash(self) -> None:
        self._kill()

    def _strike_actor_crash(self) -> None:
        self.crash(self.nemesis.random.choice(START_ORDER))

    def _strike_stall(self) -> None:
        """A thread is starved for a while."""
        if self.bot is not None and self.bot.is_alive:
            node = self.bot.nodes[self.nemesis.random.choice(START_ORDER)]
            node.stalled_until = self.engine.now + 0.6 * self.nemesis.random.random()
            self.guard.stalled(node)
            self.inspector.disturbed_at = self.engine.now

    def _strike_thin_book(self) -> None:
        self.say("the hedge book is thin")
        self.market.set_thin(is_thin=True)
        self.engine.after(1.0 + 3.0 * self.nemesis.random.random(), self._thicken)

    def _thicken(self) -> None:
        self.market.set_thin(is_thin=False)

    def _strike_clock_step(self) -> None:
        """NTP sets the wall clock; only journal stamps and signatures see it."""
        self._skew_ms = self.nemesis.random.choice((0, -500, 500, -3_000, 3_000, -10_000, 10_000))

    # ---- the quiet time and the end --------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self.say("quiet from now on")
        self.nemesis.is_on = False
        self.troublemaker.calm_down()
        self._thicken()
        for venue in VENUES:
            self._restore(venue)

    def _end_flow(self) -> None:
        self.market.has_flow = False

    def _inspect(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            self.inspector.inspect(self.bot)
            self.guard.inspect(self.bot)
        self.engine.after(0.5, self._inspect)

    def _judge(self) -> None:
        self.inspector.close_episode()
        self.guard.finish(had_rival=self._rival is not None)
        bot = self.bot
        if bot is None or not bot.is_alive or not bot.nodes[TRACKER].is_alive:
            self.inspector.fail("healed: the bot is not running at the end")
            return
        self.journal.flush()
        self.inspector.state = bot.core(RISK).state  # What the judge holds now, not what it told in an earlier life.
        state = SimJournal.fold(self.journal)
        check(self.scenario, self.inspector, self.exchanges, state, bot.core(TRACKER), bot.ledgers)

    def say(self, text: str) -> None:
        self.history.add(self.engine.now, WORLD, text)


def run(
    seed: int,
    parts: Parts | None = None,
    intensity: float | None = None,
    *,
    is_alone: bool = False,
    only: Collection[str] = (),
) -> Result:
    """Play one seed; ``is_alone``: without the troubles of trouble.py, ``only``: with these faults alone."""
    world = World(scenario_of(seed, intensity, is_alone=is_alone, only=only), parts if parts is not None else Parts())
    try:
        world.run()
    except AssertionError as error:
        world.inspector.fail(f"R: {error}")
    return Result(
        seed=seed,
        violations=tuple(world.inspector.violations),
        steps=world.engine.steps,
        fills=len(world.inspector.fills),
        exposed_s=tuple(episode.length_s for episode in world.inspector.episodes),
        history=world.history,
        struck=world.nemesis.struck | world.troublemaker.struck,
        state=world.inspector.state.value,
    )
