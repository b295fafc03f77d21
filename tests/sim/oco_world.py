"""One seed, one bracket run: ApeX, its market, the user's hand, the nemesis and the bot in one thread under one virtual clock."""

from __future__ import annotations

import random
from typing import NamedTuple

from core.messages import BookUpdated, Message, OrderChanged, PlaceOrder, RunFinished
from core.oco_states import PairState
from core.routing import OCO_PAIR, TRACKER
from core.types import Channel, OrderState, Role
from simulator.exchange import Exchange
from simulator.ledger import AccountFill
from tests.sim.engine import Engine
from tests.sim.history import WORLD, History
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode
from tests.sim.nemesis import Nemesis
from tests.sim.oco_bot import START_ORDER, OcoBot, OcoParts
from tests.sim.oco_inspector import Limits, OcoInspector
from tests.sim.oco_judge import judge
from tests.sim.oco_market import OcoMarket
from tests.sim.oco_scenario import FEES, STORIES, SUBMIT_BOUND_S, OcoScenario
from tests.sim.oco_wire import ApexWire
from tests.sim.scenario import EPOCH_MS, START_S
from tests.sim.wire import ACCOUNT

TRADING_S = 40.0
STOP_S = 80.0
END_S = 100.0
AFTER_S = 3.0
"""How long the world still turns after the run has said that it is finished."""
RESTART_LIMITS = Limits(5.0, 15.0, SUBMIT_BOUND_S + 4.0)
"""A process that comes back reads before it knows; a repair of unknown outcome is waited for."""
STROKES = ("flap", "deaf", "venue_restart", "crash", "actor_crash", "stall", "clock_step")
STRIKE_PERIOD_S = 0.5


class OcoResult(NamedTuple):
    """``violations``: empty for a good trial. ``latencies``: (fill to cancel told, fill to terminal seen) of each sibling, seconds."""

    seed: str
    violations: tuple[str, ...]
    steps: int
    fills: int
    overshoots: int
    successes: int
    failures: int
    latencies: tuple[tuple[float, float], ...]
    history: History
    struck: dict[str, int]
    pair_state: str


class OcoWorld:
    """``run`` plays the scenario to its end and judges it."""

    def __init__(self, scenario: OcoScenario, parts: OcoParts) -> None:
        self.scenario = scenario
        self._parts = parts
        self.engine = Engine(scenario.seed, START_S)
        self.nemesis = Nemesis(scenario.seed, scenario.cruelty)  # type: ignore[arg-type]  # a name seeds it as well as a number
        self.nemesis.is_on = not scenario.is_clean
        self.dice = random.Random(f"{scenario.seed}/story")
        self.history = History()
        self.exchange = Exchange("apex", [scenario.instrument], {ACCOUNT: FEES})
        self.wire = ApexWire(self.engine, self.exchange, scenario.instrument, self.nemesis, scenario.venue)
        self.inspector = OcoInspector(self.engine, scenario, self.history, self.wire)
        self.market = OcoMarket(self.engine, scenario, self.exchange, self._publish_book)
        self.journal = SimJournal(self._wall_ms)
        self._skew_ms = 0
        self.bot: OcoBot | None = None
        self.was_stopped = False
        self.born_at = 0.0
        self._armed_cycles = 0
        self._has_jumped = False
        self._story = scenario.story
        self.wire.publish = self._publish
        self.wire.filled = self._filled
        self.wire.arrived = self.inspector.arrived

    def run(self) -> None:
        engine = self.engine
        engine.after(0.2, self._start_bot)
        engine.at(START_S + TRADING_S, self._calm_down)
        engine.at(START_S + 25.0, self._push)
        engine.at(START_S + (self.dice.uniform(2.0, 40.0) if self._is_stopped_early else STOP_S), self._stop)
        for name in STROKES:
            if getattr(self.nemesis.cruelty, name):
                engine.after(1.0, self._strike, name)
        if self.scenario.has_foreign:
            engine.after(self.dice.uniform(1.0, 20.0), self._foreign)
        engine.after(0.1, self._inspect)
        while engine.now < START_S + END_S and not self._is_over:
            engine.run_until(engine.now + 1.0)
        judge(self)

    @property
    def _is_stopped_early(self) -> bool:
        return not self.scenario.is_clean and self.dice.random() < 0.15

    @property
    def _is_over(self) -> bool:
        finished_at = self.inspector.finished_at
        return finished_at is not None and self.engine.now > finished_at + AFTER_S

    # ---- wiring --------------------------------------------------------------------------------------------------------------

    @property
    def is_bot_alive(self) -> bool:
        return self.bot is not None and self.bot.is_alive

    def _publish(self, message: Message) -> None:
        if self.wire.lag_s:
            self.engine.after(self.wire.lag_s, self._push_frame, message)
        else:
            self._push_frame(message)

    def _push_frame(self, message: Message) -> None:
        if self.bot is not None and self.bot.is_alive:
            self.bot.feeds[Channel.ACCOUNT].frame(message)

    def _publish_book(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            self.bot.feeds[Channel.MARKET].frame(self.wire.book(self.engine.now))

    def _filled(self, fill: AccountFill) -> None:
        self.inspector.filled(fill)
        order = self.inspector.orders.get(int(fill.client_id)) if fill.client_id else None  # type: ignore[call-overload]
        if order is None or order.role is not Role.TP or self._has_jumped or self._story not in ("both", "partial"):
            return
        self._has_jumped = True
        if self._story == "both":
            self.engine.after(self.dice.uniform(0.001, 0.12), self._jump)
        else:
            self.market.drift = 0
            self.engine.after(0.0, self.market.jump, -self.scenario.side.sign * 100)
            self.engine.after(self.dice.uniform(2.0, 4.0), self._fall)

    def _fall(self) -> None:
        """Part of the profit was taken; the rest ends at the stop."""
        self.market.drift = -self.scenario.side.sign * self.scenario.drift

    def _jump(self) -> None:
        self.market.drift = 0
        self._say("the price gaps past the stop")
        self.market.jump(-self.scenario.side.sign * 1_000)

    def _hear(self, sender: str, message: Message) -> None:
        if not isinstance(message, BookUpdated):
            self.history.add(self.engine.now, sender, message)
        was = self.inspector.pair_state
        self.inspector.hear(sender, message)
        if self.inspector.pair_state == PairState.ARMED.value and was != PairState.ARMED.value:
            self._armed()
        if isinstance(message, RunFinished):
            self.engine.after(0.05, self._stop)
        if self.scenario.venue.expires_leg and isinstance(message, OrderChanged) and self.dice.random() < 0.02:
            self._expire()

    def _sending(self, gateway: GatewayNode, order: PlaceOrder) -> None:
        self.inspector.sending(gateway, order)

    def _wall_ms(self) -> int:
        return EPOCH_MS + int(self.engine.now * 1000) + self._skew_ms

    # ---- the story -----------------------------------------------------------------------------------------------------------

    def _armed(self) -> None:
        """The pair stands: now the story's own thing happens, in the first bracket; later ones draw another."""
        assert self.bot is not None
        cycle = self.bot.core(OCO_PAIR).pair.cycle_id
        if cycle == self._armed_cycles:
            return
        if self._armed_cycles:
            self._story = self.dice.choice([each for each in STORIES if each != "manual"])
        self._armed_cycles = cycle
        self._has_jumped = False
        if self.scenario.reconnects:
            self.engine.after(self.dice.uniform(0.1, 1.0), self._reconnect)
        towards_profit = self.scenario.side.sign * self.scenario.drift
        match self._story:
            case "tp" | "both" | "partial":
                self.market.drift = towards_profit
            case "sl":
                self.market.drift = -towards_profit
            case "manual":
                self.market.drift = 0
                self.engine.after(self.dice.uniform(0.2, 3.0), self._by_hand)

    def _reconnect(self) -> None:
        if self.bot is not None and self.bot.is_alive:
            self._say("the venue closes the account stream")
            self.bot.feeds[Channel.ACCOUNT].lose("closed by the venue")

    def _by_hand(self) -> None:
        """The user cancels a leg on the venue's own page."""
        legs = self.wire.live_legs(self.scenario.hand)
        self.engine.after(self.dice.uniform(2.0, 4.0), self._push)
        if not legs or self.inspector.pair_state != PairState.ARMED.value or self.inspector.finished_at is not None:
            return
        if self.wire.end(str(legs[-1].client_order_id), OrderState.CANCELED, "USER_CANCELED"):
            self.inspector.by_hand_at = self.engine.now
            self._say(f"the user cancels the {self.scenario.hand.value} leg")

    def _expire(self) -> None:
        legs = self.wire.live_legs(self.dice.choice((Role.SL, Role.TP)))
        if legs:
            self._say(f"leg {legs[0].client_order_id} expires")
            self.wire.end(str(legs[0].client_order_id), OrderState.EXPIRED, "EXPIRED")

    def _push(self) -> None:
        """Nothing lasts for ever: the price goes somewhere."""
        if self.market.drift == 0:
            has_no_profit = self.scenario.hand is Role.TP or self.scenario.venue.link == "kept"
            towards_stop = self._story == "manual" and self.scenario.policy == "keep_stop" and has_no_profit
            sign = -1 if towards_stop else self.dice.choice((1, -1))
            self.market.drift = sign * self.scenario.side.sign * self.scenario.drift

    def _foreign(self) -> None:
        """The user rests an order of his own far away, and takes it back."""
        touch = self.exchange.best(self.scenario.instrument.symbol, self.scenario.side)
        if touch is not None:
            self._say("the user rests an order of his own")
            price = self.scenario.instrument.price_nearest(touch * (100 - self.scenario.side.sign * 20) / 100)
            order_id = self.wire.foreign(self.scenario.side, price)
            self.engine.after(3.0, self.exchange.cancel, order_id, "USER_CANCELED")

    # ---- life and death of the bot ---------------------------------------------------------------------------------------------

    def _start_bot(self) -> None:
        if self.inspector.finished_at is not None:
            return
        self._say("the process starts")
        self.inspector.born()
        self.born_at = self.engine.now
        self.bot = OcoBot(
            self.engine,
            self.scenario,
            self.nemesis,
            self.wire,
            self.journal,
            self._parts,
            self._wall_ms,
            self._hear,
            self._sending,
        )
        self.bot.begin()
        if self.was_stopped:
            self.bot.stop("SIGTERM")

    def kill(self) -> None:
        if self.bot is None or not self.bot.is_alive or self.inspector.finished_at is not None:
            return
        self._say("the process is killed")
        self.bot.kill()
        self.journal.kill(self.nemesis.random)
        self.engine.after(0.3 + 4.0 * self.nemesis.random.random(), self._start_bot)

    def _stop(self) -> None:
        self.was_stopped = True
        if self.bot is not None and self.bot.is_alive:
            self._say("SIGTERM")
            self.bot.stop("SIGTERM")

    # ---- the nemesis' larger strokes -------------------------------------------------------------------------------------------

    def _strike(self, name: str) -> None:
        if not self.nemesis.is_on:
            return
        self.engine.after(STRIKE_PERIOD_S, self._strike, name)
        if self.nemesis.strikes(name, STRIKE_PERIOD_S) and self.is_bot_alive:
            getattr(self, f"_strike_{name}")()

    def _strike_flap(self) -> None:
        assert self.bot is not None
        feed = self.nemesis.random.choice(list(self.bot.feeds.values()))
        self._say(f"{feed.channel.value} stream flaps")
        feed.lose("flap")

    def _strike_deaf(self) -> None:
        assert self.bot is not None
        feed = self.nemesis.random.choice(list(self.bot.feeds.values()))
        self._say(f"{feed.channel.value} stream goes deaf")
        feed.deafen()

    def _strike_venue_restart(self) -> None:
        assert self.bot is not None
        if self.wire.is_down:
            return
        self._say("the venue goes down")
        self.wire.is_down = True
        for feed in self.bot.feeds.values():
            feed.lose("server down")
        self.engine.after(1.0 + 4.0 * self.nemesis.random.random(), self._restore)

    def _restore(self) -> None:
        self.wire.is_down = False

    def _strike_crash(self) -> None:
        self.kill()

    def _strike_actor_crash(self) -> None:
        assert self.bot is not None
        name = self.nemesis.random.choice(START_ORDER)
        if not self.bot.nodes[name].is_alive:
            return
        dead = self.bot.crash(name)
        self._say(f"actor {name} crashes")
        if not dead:
            self.kill()
            return
        self.engine.after(0.1 + 0.9 * self.nemesis.random.random(), self._rebuild, self.bot, dead)

    def _rebuild(self, bot: OcoBot, names: tuple[str, ...]) -> None:
        for name in names:
            self.inspector.restarted(name)
        bot.rebuild(names)
        if bot.is_alive and self.was_stopped:
            bot.stop("SIGTERM")

    def _strike_stall(self) -> None:
        assert self.bot is not None
        node = self.bot.nodes[self.nemesis.random.choice(START_ORDER)]
        node.stalled_until = self.engine.now + 0.6 * self.nemesis.random.random()

    def _strike_clock_step(self) -> None:
        self._skew_ms = self.nemesis.random.choice((0, -500, 500, -3_000, 3_000, -10_000, 10_000))

    def _calm_down(self) -> None:
        self._say("quiet from now on")
        self.nemesis.is_on = False
        self._restore()

    def _inspect(self) -> None:
        node = self.bot.nodes[TRACKER] if self.bot is not None else None
        self.inspector.inspect(is_bot_alive=self.is_bot_alive and node is not None and node.is_alive)
        self.engine.after(0.1, self._inspect)

    def _say(self, text: str) -> None:
        self.history.add(self.engine.now, WORLD, text)


def play(scenario: OcoScenario, parts: OcoParts | None = None, *, kill_before: int | None = None) -> OcoResult:
    """Play one trial. ``kill_before``: the process dies the moment its n-th order is about to leave."""
    world = OcoWorld(scenario, parts if parts is not None else OcoParts())
    if kill_before is not None:
        world.inspector.limits = RESTART_LIMITS
        _kill_at(world, kill_before)
    try:
        world.run()
    except AssertionError as error:
        world.inspector.fail(f"R: {error}")
    pair = world.bot.core(OCO_PAIR).pair if world.bot is not None else None
    seen = world.inspector
    return OcoResult(
        seed=scenario.seed,
        violations=tuple(seen.violations),
        steps=world.engine.steps,
        fills=len(seen.fills),
        overshoots=int(seen.overshot > 0),
        successes=pair.successes if pair is not None else 0,
        failures=pair.failures if pair is not None else 0,
        latencies=tuple(seen.latencies),
        history=world.history,
        struck=world.nemesis.struck,
        pair_state=seen.pair_state,
    )


def _kill_at(world: OcoWorld, count: int) -> None:
    """SIGKILL between the durable intent and the bytes of the ``count``-th order, once."""
    sent = 0
    inner = world._sending

    def sending(gateway: GatewayNode, order: PlaceOrder) -> None:
        nonlocal sent
        inner(gateway, order)
        sent += 1
        if sent == count:
            world.kill()

    world._sending = sending  # type: ignore[method-assign]  # the seam that the bot is given at its start
