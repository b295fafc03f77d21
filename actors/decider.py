"""A core that decides (quoter, hedger, trading state, fallback) as an actor: it starts by asking, ticks, and routes what it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from actors.base import Core, CoreActor, Identity
from core.messages import Message

TICK_S = 0.05


class Decision(Core, Protocol):
    def start(self, now: float) -> tuple[Message, ...]: ...


class Decider(CoreActor):
    """Runs ``core.start`` before the first message; everything it returns goes to ``route``."""

    def __init__(self, identity: Identity, core: Decision, route: Callable[[Message], None], *, tick_s: float = TICK_S) -> None:
        super().__init__(identity, core, route, tick_s=tick_s)
        self._decision = core

    def started(self) -> None:
        super().started()
        for message in self._decision.start(time.monotonic()):
            self._route(message)
