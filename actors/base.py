"""The base of all actors: one place where a failure of any kind becomes one crash report, and nobody else is harmed.

Measured behaviour of pykka that this module hides (RELIABILITY §2.1): a failing start hook is not reported, SystemExit in one actor stops
all of them, threads keep the process alive. A subclass implements ``handle`` and the hooks ``started``, ``stopped``, ``crashed``; it never
overrides pykka's own hooks.
"""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

import pykka

from actors.mailbox import Inbox
from core.messages import Message

TRACEBACK_CHARS_MAX = 20_000
TICK_SPACING_S = 0.001
MAIN_THREAD_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_PYKKA_HOOKS = ("on_start", "on_stop", "on_failure", "on_receive")

T = TypeVar("T")


class CrashReport(NamedTuple):
    """An actor died. ``where`` is the hook, or ``handle`` with the message type; ``error`` one line, ``traceback`` the full text."""

    name: str
    kind: str
    epoch: int
    where: str
    error: str
    traceback: str


class InboxFlooded(NamedTuple):
    """An inbox reached its alarm depth; nothing was dropped."""

    name: str
    epoch: int
    depth: int


Report = CrashReport | InboxFlooded


class HealthRequest(NamedTuple):
    """The only message that is ever asked instead of told; the answer is what ``health`` returns."""


class Failed(NamedTuple):
    error: str
    traceback: str


def attempt(call: Callable[[], T]) -> T | Failed:
    """Result of ``call``, or Failed: for factories and hooks whose failure must not end the caller."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - a failure of somebody else's code becomes a value here
        return _failure(error)


def _failure(error: BaseException) -> Failed:
    try:
        line = f"{type(error).__name__}: {error}"
        text = "".join(traceback.format_exception(error))
    except Exception as second:  # noqa: BLE001 - a report about the report is better than none
        # An exception whose own text fails, or no memory left to format it: the type is still worth reporting.
        return Failed(type(error).__name__, f"{type(error).__name__}, and formatting it failed with {type(second).__name__}")
    return Failed(" ".join(line.split())[:500], text[-TRACEBACK_CHARS_MAX:])


def _nowhere(_: pykka.ActorRef[Any]) -> None:
    """An actor outside a composition has no name to be found under."""


class Identity(NamedTuple):
    """Who an actor is: given by the watch at each start. ``report`` may be called from any thread and never blocks.

    ``enter`` gives its name to the actor, before its start hook runs: what that asks for may be answered before the starter goes on.
    """

    name: str
    kind: str
    epoch: int
    report: Callable[[Report], None]
    enter: Callable[[pykka.ActorRef[Any]], object] = _nowhere


class Vitals:
    """Counters of one actor, written by its own thread and read by any without a lock: each field is one assignment.

    ``busy_since``: monotonic time at which the message in work was begun, None when idle. ``is_revoked`` alone is written by the watch: the
    actor has been replaced and may not act any more.
    """

    __slots__ = (
        "busy_since",
        "epoch",
        "errors",
        "handled",
        "inbox",
        "is_revoked",
        "is_starting",
        "kind",
        "last_message_at",
        "name",
    )

    def __init__(self, identity: Identity, inbox: Inbox) -> None:
        self.name = identity.name
        self.kind = identity.kind
        self.epoch = identity.epoch
        self.inbox = inbox
        self.handled = 0
        self.errors = 0
        self.last_message_at: float | None = None
        self.busy_since: float | None = None
        self.is_starting = True
        self.is_revoked = False

    @property
    def queue_depth(self) -> int:
        return self.inbox.depth()


class Ref(pykka.ActorRef[Any]):
    """pykka's reference plus the vitals, which stay readable after the actor is gone."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(actor)
        self.vitals = actor.vitals


class Actor(pykka.ThreadingActor):
    """One thread, one inbox, one message at a time; dies at the first exception and says so exactly once."""

    use_daemon_thread: ClassVar[bool] = True

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity
        self.inbox = cast(Inbox, self.actor_inbox)
        self.inbox.on_flood = self._flooded
        self.vitals = Vitals(identity, self.inbox)
        self._actor_ref = Ref(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in _PYKKA_HOOKS:
            if hook in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} overrides {hook}, which turns failures into reports; see started, stopped, crashed, handle"
                )

    # ---- for subclasses: all run on the actor's own thread -------------------------------------------------------------------

    def handle(self, message: Message) -> None:
        """Act on one message. Any exception ends this actor; what is left in the inbox is lost."""
        raise NotImplementedError

    def started(self) -> None:
        """Before the first message."""

    def stopped(self) -> None:
        """After the last message of an ordinary stop; not after a crash."""

    def crashed(self) -> None:
        """After an exception: release what the next start needs (sockets). It delays the report, so it must be quick."""

    def health(self) -> Mapping[str, object]:
        """Facts for the health dump; reads only. An exception here is counted and answered, it ends nothing."""
        return {}

    @property
    def is_revoked(self) -> bool:
        """This actor was replaced: nothing it does may leave it any more. To be read before every act that cannot be undone."""
        return self.vitals.is_revoked

    # ---- pykka's hooks -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    def on_start(self) -> None:
        # A signal that interrupts the timed wait of an inbox can make it wait for ever (CPython 3.11, SimpleQueue).
        signal.pthread_sigmask(signal.SIG_BLOCK, MAIN_THREAD_SIGNALS)
        self.identity.enter(self.actor_ref)
        self._guarded("started", self.started)
        self.vitals.is_starting = False

    def on_stop(self) -> None:
        self._guarded("stopped", self.stopped)

    def on_receive(self, message: Any) -> Any:
        if self.vitals.is_revoked:
            return None
        if type(message) is HealthRequest:
            return self._answer_health()
        if self._guarded("handle", self.handle, message):
            self.vitals.handled += 1
        self.vitals.last_message_at = time.monotonic()
        return None

    # ---- failure -------------------------------------------------------------------------------------------------------------

    def _guarded(self, where: str, call: Callable[..., None], *arguments: object) -> bool:
        vitals = self.vitals
        vitals.busy_since = time.monotonic()
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001 - let through, SystemExit and its like would stop every actor of the process
            vitals.errors += 1
            self._crash(" ".join((where, *(type(each).__name__ for each in arguments))), error)
            return False
        finally:
            vitals.busy_since = None
        return True

    def _crash(self, where: str, error: BaseException) -> None:
        """Leave the registry, clean up, report. Our own bookkeeping comes first, so that a peer's tell is a dead letter at once."""
        self.actor_stopped.set()
        pykka.ActorRegistry.unregister(self.actor_ref)
        failure = _failure(error)
        text = failure.traceback
        try:
            self.crashed()
        except BaseException as second:  # noqa: BLE001 - the first failure is the one to report, and it must be reported
            text += f"\nand then its crashed hook failed:\n{_failure(second).traceback}"
        identity = self.identity
        report = CrashReport(identity.name, identity.kind, identity.epoch, where, failure.error, text)
        identity.report(report)

    def _flooded(self, depth: int) -> None:
        identity = self.identity
        attempt(lambda: identity.report(InboxFlooded(identity.name, identity.epoch, depth)))

    def _answer_health(self) -> Mapping[str, object]:
        try:
            return self.health()
        except BaseException as error:  # noqa: BLE001 - looking at an actor must not end it, whatever it raises
            self.vitals.errors += 1
            return {"error": _failure(error).error}


class Core(Protocol):
    """What a decision module looks like from here."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]: ...


class CoreActor(Actor):
    """Runs a core in a thread: message in, monotonic time in, messages out to ``route``.

    ``tick_s``: a Tick reaches the core at least this often, also while other messages keep it busy; None: never. A subclass may override
    ``next_tick_at`` instead; one that overrides ``started`` calls this class's, which sets the first wake-up.
    """

    def __init__(self, identity: Identity, core: Core, route: Callable[[Message], None], *, tick_s: float | None = None) -> None:
        super().__init__(identity)
        self.core = core
        self._route = route
        self._tick_s = tick_s

    def started(self) -> None:
        self._arm(time.monotonic())

    def handle(self, message: Message) -> None:
        now = time.monotonic()
        for output in self.core.handle(message, now):
            if self.is_revoked:
                return
            self._route(output)
        self._arm(now)

    def next_tick_at(self, now: float) -> float | None:
        """When the core wants its next Tick (monotonic seconds)."""
        if self._tick_s is None or self.inbox.wake_at is not None:
            return self.inbox.wake_at
        return now + self._tick_s

    def _arm(self, now: float) -> None:
        wanted_at = self.next_tick_at(now)
        # A core that names a time already past must not turn this thread into a busy loop; a Tick already due is not put off, either.
        earliest_at = now + TICK_SPACING_S if self.inbox.wake_at is None else min(now + TICK_SPACING_S, self.inbox.wake_at)
        self.inbox.wake_at = None if wanted_at is None else max(wanted_at, earliest_at)
