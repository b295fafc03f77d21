"""What goes wrong during a soak: a table of faults, and storms drawn from it by a seed.

Must never judge anything: it says what it did and when, and nothing it does is beyond what a venue or an operating system does.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.process.kit import CREATE, ETH, VENUES
from tests.soak.lives import Keeper

CHANNELS = ("market", "account")
CANCEL = {"grvt": "cancel_order", "backpack": "DELETE /api/v1/order"}
CLOSE_CODES = (1000, 1001, 1008, 1011, 1012, 1013, 4001)
STORM_S = (3.0, 20.0)
FAULTS_MAX = 4
MID, MID_REACH = 3000, 0.03
"""A jump that would lead farther from the first price than this goes the other way."""


class Struck(NamedTuple):
    """One act of the nemesis; ``at`` in epoch seconds, ``what`` as it was told to the venues or the kernel."""

    at: float
    fault: str
    what: str


class Scene:
    """The hands of the nemesis: everything goes through here, so that everything is on record."""

    def __init__(self, keeper: Keeper, dice: random.Random, record: Path) -> None:
        self.keeper = keeper
        self.dice = dice
        self.struck: list[Struck] = []
        self._record = record
        self._fault = ""

    def strike(self, fault: Fault) -> None:
        self._fault = fault.name
        fault.strike(self)

    def calm(self) -> None:
        """Every venue is well again; what was said about the market and the process stays true."""
        self._fault = "calm"
        self.tell("/fault/clear")
        for venue in VENUES:
            for channel in ("rest", *CHANNELS):
                self.tell("/refuse", venue=venue, channel=channel, is_on=False)
        self.tell("/trick", venue="grvt", name="maintenance", is_on=False)
        self.tell("/market", remove_liquidity=None)

    def tell(self, path: str, **body: Any) -> Any:
        if self._fault != "calm":
            self.note(f"{path} {json.dumps(body)}")
        return self.keeper.world.venues.post(path, **body)

    def note(self, what: str) -> None:
        self.struck.append(Struck(time.time(), self._fault, what))
        with self._record.open("a") as file:
            file.write(json.dumps(self.struck[-1]._asdict()) + "\n")

    # ---- draws -----------------------------------------------------------------------------------------------------------------

    def between(self, low: float, high: float) -> float:
        return round(self.dice.uniform(low, high), 2)

    def venue(self) -> str:
        return self.dice.choice(VENUES)

    def channel(self) -> str:
        return self.dice.choice(CHANNELS)

    # ---- acts ------------------------------------------------------------------------------------------------------------------

    def spoil_frames(self, kind: str, low: float, high: float, *, delay_s: float = 0.0) -> None:
        """``low`` to ``high``: the share of frames that is hit."""
        venue, channel, share = self.dice.choice(("*", *VENUES)), self.dice.choice(("*", *CHANNELS)), self.between(low, high)
        self.tell("/fault", venue=venue, on=channel, kind=kind, probability=share, delay_s=delay_s)

    def spoil_orders(self, kind: str, *, delay_s: float = 0.0) -> None:
        """The next few requests that place or cancel an order at one venue."""
        venue = self.venue()
        for route in (CREATE[venue], CANCEL[venue]):
            self.tell("/fault", venue=venue, on=route, kind=kind, count=self.dice.randint(1, 3), delay_s=delay_s)

    def spoil_requests(self, kind: str, **fields: Any) -> None:
        """A share of all requests to one venue."""
        self.tell("/fault", venue=self.venue(), kind=kind, probability=self.between(0.3, 1.0), **fields)

    def suspend(self, who: str, pid_send: Callable[[signal.Signals], None], seconds: float) -> None:
        self.note(f"SIGSTOP {who}, SIGCONT after {seconds} s")
        pid_send(signal.SIGSTOP)
        time.sleep(seconds)
        pid_send(signal.SIGCONT)


class Fault(NamedTuple):
    """``family``: by which exposure is reported; ``is_end``: the process of the bot does not survive it."""

    family: str
    name: str
    strike: Callable[[Scene], None]
    is_end: bool = False


def _close(scene: Scene) -> None:
    body = {"how": "close", "code": scene.dice.choice(CLOSE_CODES)} if scene.dice.random() < 0.5 else {"how": "abort"}
    scene.tell("/kick", venue=scene.venue(), channel=scene.dice.choice(("*", *CHANNELS)), **body)


def _flap(scene: Scene) -> None:
    venue, channel = scene.venue(), scene.channel()
    for _ in range(scene.dice.randint(2, 5)):
        scene.tell("/kick", venue=venue, channel=channel)
        time.sleep(scene.between(0.5, 2))


def _refuse(scene: Scene) -> None:
    scene.tell("/refuse", venue=scene.venue(), channel=scene.dice.choice(("rest", *CHANNELS)), is_on=True)


def _mute(scene: Scene) -> None:
    scene.tell("/fault", venue=scene.venue(), on=scene.channel(), kind="silence")


def _half_open(scene: Scene) -> None:
    scene.suspend("venues", scene.keeper.world.venues.send, scene.between(1, 5))


def _server_error(scene: Scene) -> None:
    kind = scene.dice.choice(("status", "status_executed"))
    scene.spoil_requests(kind, status=scene.dice.choice((500, 502, 503, 504)), body=scene.dice.choice(("", "{}", "<html>")))


def _throttle(scene: Scene) -> None:
    scene.spoil_requests("rate_limit", retry_after_s=scene.dice.choice((None, 1, 3)))


def _restart(scene: Scene) -> None:
    """Connections reset, nobody listens for a while, sessions are forgotten."""
    venue = scene.venue()
    for channel in ("rest", *CHANNELS):
        scene.tell("/refuse", venue=venue, channel=channel, is_on=True)
    if venue == "grvt":
        scene.tell("/trick", venue=venue, name="expire_cookies")
        scene.tell("/trick", venue=venue, name="restart_gateway")


def _expire(scene: Scene) -> None:
    scene.tell("/trick", venue="grvt", name="expire_cookies", is_on=scene.dice.random() < 0.5)


def _maintain(scene: Scene) -> None:
    scene.tell("/trick", venue="grvt", name="maintenance")


def _gap(scene: Scene) -> None:
    if scene.dice.random() < 0.5:
        scene.tell("/trick", venue="backpack", name="gap", symbol=ETH["backpack"])
    else:
        scene.tell("/trick", venue="grvt", name="skip_sequence", stream=scene.dice.choice(("v1.state", "v1.fill", "v1.order")))


def _jump(scene: Scene) -> None:
    mid = float(scene.keeper.world.venues.get("/health")["mids"]["ETH"])
    bps = scene.dice.choice((-1, 1)) * scene.dice.randint(5, 150)
    if abs(mid * (1 + bps / 10_000) / MID - 1) > MID_REACH:
        bps = -bps
    scene.tell("/market", base="ETH", drift_bps=str(Decimal(bps)))


def _thin(scene: Scene) -> None:
    scene.tell("/market", base="ETH", remove_liquidity=scene.venue())


def _take(scene: Scene) -> None:
    """Whatever rests is filled at once, a few times in a row: a fill in the middle of whatever else goes wrong."""
    for _ in range(scene.dice.randint(1, 3)):
        for quote in scene.keeper.world.venues.get("/orders")["grvt"]:
            scene.note(f"takes {quote['side']} {quote['quantity']}")
            scene.keeper.world.hit(quote)
        time.sleep(scene.between(0.1, 1))


def _ask(scene: Scene) -> None:
    scene.note("SIGUSR1, several times")
    for _ in range(scene.dice.randint(3, 20)):
        scene.keeper.bot.send(signal.SIGUSR1)
        time.sleep(0.1)


def _suspend(scene: Scene) -> None:
    scene.suspend("bot", scene.keeper.bot.send, scene.between(1, 5))


def _kill(scene: Scene) -> None:
    scene.note("SIGKILL")
    scene.keeper.kill()


def _stop(scene: Scene) -> None:
    scene.note("SIGTERM")
    scene.keeper.stop(is_calm=False)


FAULTS = (
    Fault("frames", "frames dropped", lambda scene: scene.spoil_frames("drop", 0.1, 0.6)),
    Fault("frames", "frames duplicated", lambda scene: scene.spoil_frames("duplicate", 0.2, 1.0)),
    Fault("frames", "frames delayed", lambda scene: scene.spoil_frames("delay", 0.2, 1.0, delay_s=scene.between(0.1, 4))),
    Fault("frames", "frames garbled", lambda scene: scene.spoil_frames("garble", 0.05, 0.4)),
    Fault("streams", "streams closed", _close),
    Fault("streams", "stream flaps", _flap),
    Fault("streams", "connections refused", _refuse),
    Fault("streams", "stream silent", _mute),
    Fault("streams", "sequence gap", _gap),
    Fault("half-open", "nothing answers", _half_open),
    Fault("unknown outcome", "answers lost", lambda scene: scene.spoil_orders("lose_answer")),
    Fault("unknown outcome", "requests lost", lambda scene: scene.spoil_orders("lose_request")),
    Fault("unknown outcome", "requests late", lambda scene: scene.spoil_orders("late", delay_s=scene.between(0.2, 4))),
    Fault("unknown outcome", "requests hang", lambda scene: scene.spoil_orders("hang")),
    Fault("unknown outcome", "answers slow", lambda scene: scene.spoil_orders("delay", delay_s=scene.between(0.2, 4))),
    Fault("throttled", "429 storm", _throttle),
    Fault("5xx", "server errors", _server_error),
    Fault("venue restart", "venue restarts", _restart),
    Fault("venue restart", "sessions expire", _expire),
    Fault("venue restart", "maintenance", _maintain),
    Fault("market", "market jumps", _jump),
    Fault("market", "book is thin", _thin),
    Fault("market", "quotes are taken", _take),
    Fault("process", "health asked for", _ask),
    Fault("process", "bot suspended", _suspend),
    Fault("process end", "SIGKILL and restart", _kill, is_end=True),
    Fault("process end", "SIGTERM and restart", _stop, is_end=True),
)
END_CHANCE = 0.4
"""Share of the storms that end the process, once that is allowed."""


class Storm(NamedTuple):
    """Faults with their offsets in seconds, in order; all is calm again ``duration_s`` after the first moment."""

    duration_s: float
    faults: tuple[tuple[float, Fault], ...]

    @property
    def family(self) -> str:
        """What exposure in this storm is reported under; takers only make fills happen."""
        found = {fault.family for _, fault in self.faults if fault.name != "quotes are taken"}
        return found.pop() if len(found) == 1 else "mixed" if found else "market"

    def has(self, name: str) -> bool:
        return any(fault.name == name for _, fault in self.faults)


def draw(dice: random.Random, *, with_ends: bool) -> Storm:
    """One to four faults at random moments; at most one of them ends the process."""
    duration_s = dice.uniform(*STORM_S)
    faults = dice.sample([fault for fault in FAULTS if not fault.is_end], dice.choice((1, 1, *range(2, FAULTS_MAX))))
    if with_ends and dice.random() < END_CHANCE:
        faults.append(dice.choice([fault for fault in FAULTS if fault.is_end]))
    timed = sorted(((dice.uniform(0, duration_s * 0.8), fault) for fault in faults), key=lambda each: each[0])
    return Storm(duration_s, tuple(timed))
