"""From an actor's failure to the moment at which the watch acts on it: real threads, the real watch, a tree as large as a run's.

A crash reports itself and wakes the watch; a wedge is found by looking, and what counts is by how much its limit was exceeded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pykka

from actors.base import Actor, Identity
from actors.mailbox import Addresses
from actors.supervision import Actions, Child, Watch
from bench import rig
from bench.table import Row, at_most, quantile
from core.messages import Message, Tick
from core.supervision import spec_for

CRASHES, WEDGES = 300, 30
PEERS = 14
"""Idle children beside the one that fails."""
KIND = "hedger"
NOTICED_S = 0.1


class _Child(Actor):
    """``act`` is what it does with a message."""

    def __init__(self, identity: Identity, act: Callable[[], None]) -> None:
        super().__init__(identity)
        self._act = act

    def handle(self, message: Message) -> None:
        self._act()


class _Tree:
    """A watch over one child that fails when it is told anything, and its peers. ``noticed_at``: when the watch acted on the failure."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.noticed_at: float | None = None
        self._addresses = Addresses()
        self._watch = Watch(self._addresses, Actions(*[_ignore] * 6, reported=self._notice), jitter=lambda: 0.0)
        self._add("failing", fail, self._notice)
        for number in range(PEERS):
            self._add(f"peer.{number}", _ignore, _ignore)
        self._watch.start()

    def _add(self, name: str, act: Callable[[], None], abort: Callable[[], None]) -> None:
        def start(epoch: int) -> pykka.ActorRef[Any]:
            return _Child.start(Identity(name, KIND, epoch, self._watch.report), act)

        self._watch.add(Child(spec_for(KIND, name), start, abort))

    def _notice(self, *_: object) -> None:
        self.noticed_at = self.noticed_at or time.monotonic()

    def until_noticed(self) -> float:
        """Tells the child, and watches as the run loop does."""
        self._addresses.of("failing").tell(Tick())
        deadline = time.monotonic() + rig.PATIENCE_S
        while self.noticed_at is None:
            self._watch.wait()
            self._watch.step(time.monotonic())
            if time.monotonic() > deadline:
                raise rig.GaveUp("the watch noticed nothing")
        return self.noticed_at

    def stop(self) -> None:
        self._watch.stop()


def _ignore(*_: object) -> None:
    """What nobody asked about."""


def crashes() -> list[Row]:
    return _rows("crash → noticed", [_crash_s() for _ in range(CRASHES)])


def wedges() -> list[Row]:
    """As long as one message takes no longer than its limit nothing is wrong: the clock starts there."""
    return _rows("limit exceeded → noticed", [_wedge_s() for _ in range(WEDGES)])


def _crash_s() -> float:
    crashed_at: list[float] = []

    def crash() -> None:
        crashed_at.append(time.monotonic())
        raise RuntimeError("planted")

    tree = _Tree(crash)
    noticed_at = tree.until_noticed()
    tree.stop()
    return noticed_at - crashed_at[0]


def _wedge_s() -> float:
    wedged_at: list[float] = []
    release = Event()

    def wedge() -> None:
        wedged_at.append(time.monotonic())
        release.wait()

    tree = _Tree(wedge)
    noticed_at = tree.until_noticed()
    release.set()
    tree.stop()
    return noticed_at - wedged_at[0] - spec_for(KIND, KIND).beat_limit_s


def _rows(name: str, seconds: list[float]) -> list[Row]:
    return [
        Row("failures", str(len(seconds))),
        Row(f"{name}, p50", f"{quantile(seconds, 0.5) * 1e3:.2f} ms"),
        at_most(f"{name}, max", max(seconds) * 1e3, NOTICED_S * 1e3, " ms"),
    ]
