"""Where messages wait, and how an actor that may be restarted is reached.

``Address`` is a name that outlives its actor; telling it never raises. ``Inbox`` is an actor's queue: it never drops a message, except that
of several waiting books of one instrument only the newest is kept. Nothing here knows what a message means.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pykka

from core.messages import BookLost, BookUpdated, Tick

FLOOD_DEPTH = 10_000
WAIT_MAX_S = 3600.0
"""Longer waits overflow in the lock below; a Tick that comes early does no harm."""


class _Timed(NamedTuple):
    """Looks like pykka's envelope: what the inbox itself hands to the actor when its wake-up time is reached."""

    message: object
    reply_to: None = None


class _BookSlot(NamedTuple):
    """Stands in the queue for whatever book message of this instrument is the newest when its turn comes."""

    venue: str
    symbol: str


class Inbox:
    """A queue for one reader and many writers, with a wake-up time and latest-wins books.

    ``wake_at`` (monotonic seconds, set by the reader only): at that time the reader gets a Tick instead of waiting on. ``on_flood`` is
    called with the depth, on the writer's thread, each time the depth rises to ``flood_depth``; nothing is dropped because of it.
    """

    def __init__(self, flood_depth: int = FLOOD_DEPTH) -> None:
        self.wake_at: float | None = None
        self.floods = 0
        self.on_flood: Callable[[int], None] | None = None
        self._flood_depth = flood_depth
        self._is_flooded = False
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._books: dict[_BookSlot, Any] = {}
        self._books_lock = threading.Lock()

    def put(self, envelope: Any, /) -> None:
        message = envelope.message
        if type(message) is BookUpdated or type(message) is BookLost:
            slot = _BookSlot(message.venue, message.symbol)
            with self._books_lock:
                is_waiting = slot in self._books
                self._books[slot] = envelope
            if is_waiting:
                return
            envelope = slot
        self._queue.put(envelope)
        if self._queue.qsize() >= self._flood_depth and not self._is_flooded:
            self._is_flooded = True
            self.floods += 1
            if self.on_flood is not None:
                self.on_flood(self._queue.qsize())

    def get(self) -> Any:
        """The next envelope; waits for one, but not beyond ``wake_at``."""
        item = self._take()
        if self._is_flooded and self._queue.qsize() < self._flood_depth // 2:
            self._is_flooded = False
        if type(item) is _BookSlot:
            with self._books_lock:
                return self._books.pop(item)
        return item

    def _take(self) -> Any:
        if self.wake_at is None:
            return self._queue.get()
        wait_s = self.wake_at - time.monotonic()
        if wait_s > 0:
            try:
                return self._queue.get(timeout=min(wait_s, WAIT_MAX_S))
            except queue.Empty:
                pass
        self.wake_at = None
        return _Timed(Tick())

    def empty(self) -> bool:
        return self._queue.empty()

    def depth(self) -> int:
        return self._queue.qsize()


class Address:
    """A stable name for an actor; made by ``Addresses.of`` only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead_letters = 0
        self._ref: pykka.ActorRef[Any] | None = None
        self._count_lock = threading.Lock()

    def tell(self, message: object) -> bool:
        """Put ``message`` into the inbox of whoever has the name now. Never raises; False: nobody has, the dead letter is counted.

        True does not promise that it is handled: an inbox is lost with its actor.
        """
        ref = self._ref
        if ref is not None:
            try:
                ref.tell(message)
            except pykka.ActorDeadError:
                pass
            else:
                return True
        with self._count_lock:
            self.dead_letters += 1
        return False


class Addresses:
    """Directory of one process: which actor has which name, and since which epoch."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._epochs: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Address:
        """The address of ``name``, whether or not an actor has that name yet; always the same object."""
        with self._lock:
            return self._addresses.setdefault(name, Address(name))

    def register(self, name: str, ref: pykka.ActorRef[Any], epoch: int) -> bool:
        """Give ``name`` to ``ref``; False, and nothing changes, when a younger or equal epoch had the name before."""
        address = self.of(name)
        with self._lock:
            if epoch <= self._epochs.get(name, 0):
                return False
            self._epochs[name] = epoch
            address._ref = ref
            return True

    def withdraw(self, name: str) -> None:
        """Nobody has ``name`` from now on; what is told to it becomes dead letters."""
        self.of(name)._ref = None

    def ref(self, name: str) -> pykka.ActorRef[Any] | None:
        return self.of(name)._ref

    def epoch(self, name: str) -> int:
        """Epoch of the last registration; 0 before the first."""
        return self._epochs.get(name, 0)

    def dead_letters(self) -> dict[str, int]:
        """Dead letters by name, names without any left out."""
        with self._lock:
            addresses = list(self._addresses.values())
        return {each.name: each.dead_letters for each in addresses if each.dead_letters}
