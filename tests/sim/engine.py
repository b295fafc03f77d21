"""One thread, one virtual clock: timers in order of their time, actors' inboxes drained in an order that the seed chooses.

It knows nothing of trading. It must never read a real clock or an unseeded source of chance: the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from core.messages import BookLost, BookUpdated, Message, Tick

TICK_SPACING_S = 0.05
TICK = Tick()


class Engine:
    """``now``: virtual monotonic seconds. ``at`` plans a call; ``run_until`` carries out what is due and lets the actors work it off."""

    def __init__(self, seed: str, start: float = 1_000.0) -> None:
        self.now = start
        self.random = random.Random(f"{seed}/order")
        self.steps = 0
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._ready: list[Node] = []

    def at(self, moment: float, call: Callable[..., None], *arguments: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._timers, (moment if moment > self.now else self.now, self._sequence, call, arguments))

    def after(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay_s, call, *arguments)

    def ready(self, node: Node) -> None:
        self._ready.append(node)

    def run_until(self, end: float) -> None:
        timers = self._timers
        self._drain()
        while timers and timers[0][0] <= end:
            self.now, _, call, arguments = heapq.heappop(timers)
            call(*arguments)
            if self._ready:
                self._drain()
        self.now = end

    def _drain(self) -> None:
        """Messages of one inbox stay in order; which inbox is next is chance, as it is among threads."""
        ready, chance = self._ready, self.random.random
        while ready:
            count = len(ready)
            if count > 1:
                index = int(chance() * count)
                ready[index], ready[-1] = ready[-1], ready[index]
            node = ready.pop()
            self.steps += 1
            node.step()


class Node:
    """An actor of the simulated process: an inbox and whether it may work now. ``handle`` is given by the subclass."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.inbox: deque[Message] = deque()
        self.is_alive = True
        self.stalled_until = 0.0
        self._is_queued = False
        self._is_blocked = False
        self._books: dict[str, Message] = {}

    def tell(self, message: Message) -> None:
        """Books wait in one place per venue, newest wins; everything else is kept in order (actors/mailbox.py)."""
        if not self.is_alive:
            return
        kind = type(message)
        if kind is BookUpdated or kind is BookLost:
            venue: str = message.venue  # type: ignore[attr-defined]  # both book messages name their venue
            if venue in self._books:
                self._books[venue] = message
                return
            self._books[venue] = message
        self.inbox.append(message)
        if not self._is_queued and not self._is_blocked:
            self._is_queued = True
            self.engine.ready(self)

    def step(self) -> None:
        """Handle one message; called by the engine only."""
        self._is_queued = False
        if not self.is_alive or self._is_blocked:
            return
        if self.stalled_until > self.engine.now:
            self._is_queued = True
            self.engine.at(self.stalled_until, self._wake)
            return
        message = self.inbox.popleft()
        kind = type(message)
        if kind is BookUpdated or kind is BookLost:
            message = self._books.pop(message.venue)  # type: ignore[attr-defined]  # both book messages name their venue
        self.handle(message)
        self._requeue()

    def block(self) -> None:
        """The thread waits for an answer: nothing else is handled meanwhile."""
        self._is_blocked = True

    def unblock(self) -> None:
        self._is_blocked = False
        self._requeue()

    def die(self) -> None:
        """The actor is gone and its inbox with it."""
        self.is_alive = False
        self.inbox.clear()

    def handle(self, message: Message) -> None:
        raise NotImplementedError

    def _wake(self) -> None:
        if self.is_alive:
            self.engine.ready(self)

    def _requeue(self) -> None:
        if self.inbox and not self._is_queued and not self._is_blocked and self.is_alive:
            self._is_queued = True
            self.engine.ready(self)


class Decision(Protocol):
    def handle(self, message: Message, now: float) -> tuple[Message, ...]: ...


class CoreNode(Node):
    """A decision core in an actor: messages in, messages out to ``route``, a Tick whenever the core's own deadline is reached."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        core: Decision,
        route: Callable[[Message], None],
        deadline: Callable[[float], float | None],
        *,
        spacing_s: float = TICK_SPACING_S,
        idle_s: float = 0.0,
    ) -> None:
        """``idle_s``: a core that does at any message what it does at a Tick needs one only after so long without any."""
        super().__init__(engine, name)
        self.core = core
        self._idle_s = idle_s
        self._handled_at = 0.0
        self._route = route
        self._deadline = deadline
        self._spacing_s = spacing_s
        self._tick_at: float | None = None

    def emit(self, outputs: tuple[Message, ...]) -> None:
        """Route what the core returned, and see when it wants its next Tick."""
        for output in outputs:
            self._route(output)
        self._handled_at = self.engine.now
        if self._idle_s and self._tick_at is not None:
            return
        wanted = self._deadline(self.engine.now)
        if wanted is None:
            return
        wanted = max(wanted, self.engine.now + self._spacing_s)
        if self._tick_at is None or wanted < self._tick_at:
            self._tick_at = wanted
            self.engine.at(wanted, self._tick, wanted)

    def handle(self, message: Message) -> None:
        self.emit(self.core.handle(message, self.engine.now))

    def _tick(self, planned: float) -> None:
        if not self.is_alive or self._tick_at != planned:
            return
        self._tick_at = None
        if self._handled_at + self._idle_s > planned:
            self._tick_at = self._handled_at + self._idle_s
            self.engine.at(self._tick_at, self._tick, self._tick_at)
        else:
            self.tell(TICK)
