"""The watch: starts the children, notices crashes and wedges, carries out the policy's decisions, stops everything in order.

All methods but ``report`` belong to the main thread. None of them ever waits for a wedged child beyond its deadline, and none decides:
core/supervision.py does.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, assert_never

import pykka

from actors.base import CrashReport, Failed, HealthRequest, Ref, Report, attempt
from actors.mailbox import Addresses
from core.health import ActorHealth, ActorState
from core.supervision import (
    ChildCrashed,
    ChildEnded,
    ChildSpec,
    ChildStarted,
    ChildWedged,
    EnterReducing,
    ExitProcess,
    Halt,
    RestartChild,
    StartFallback,
    StayDown,
    StopFallback,
    SupervisionCommand,
    SupervisionEvent,
    SupervisionPolicy,
)

STEP_S = 0.05
STOP_DEADLINE_S = 0.5
STOPS_IN_FULL = 3
STOP_LEAST_S = 0.1
HEALTH_TIMEOUT_S = 1.0
CREDIT_MAX_S = 0.25
"""Longest time one step may count as seen busy: a starved or suspended process must not take everybody for wedged when it returns."""


def _nothing() -> None:
    """A child without a blocking resource has nothing to abort."""


class Child(NamedTuple):
    """``start(epoch)`` makes the actor with that epoch in its identity. ``abort`` unblocks a wedged one and never blocks itself."""

    spec: ChildSpec
    start: Callable[[int], pykka.ActorRef[Any]]
    abort: Callable[[], None] = _nothing


class Actions(NamedTuple):
    """What only the composition can do. Each is called on the main thread and must be quick."""

    halt: Callable[[str], None]
    exit_process: Callable[[str], None]
    enter_reducing: Callable[[str], None]
    start_fallback: Callable[[str, str], None]
    """Child name, reason."""
    stop_fallback: Callable[[str], None]
    stay_down: Callable[[str, str], None]
    """Child name, reason: an alert is due."""
    reported: Callable[[Report], None]
    """Every report as it comes, for the log."""


class ActorAnswer(NamedTuple):
    """One line of the health dump and what the actor itself had to say (empty when it did not answer)."""

    health: ActorHealth
    facts: Mapping[str, object]


class _Running:
    """One living child and how long it has been seen at the same message."""

    def __init__(self, ref: Ref, epoch: int) -> None:
        self.ref = ref
        self.epoch = epoch
        self.busy_since: float | None = None
        self.seen_busy_s = 0.0

    def watch_beat(self, now: float, credit_s: float) -> float:
        """Seconds of step time for which the present message has been in work."""
        since = self.ref.vitals.busy_since
        if since is None:
            self.seen_busy_s = 0.0
        elif since != self.busy_since:
            self.seen_busy_s = min(max(now - since, 0.0), credit_s)
        else:
            self.seen_busy_s += credit_s
        self.busy_since = since
        return self.seen_busy_s


class Watch:
    """Runtime of the supervision tree. ``jitter`` returns a float in [0, 1)."""

    def __init__(self, addresses: Addresses, actions: Actions, jitter: Callable[[], float], *, first_epoch: int = 1) -> None:
        self.crash_reasons: deque[CrashReport] = deque(maxlen=200)
        self._addresses = addresses
        self._actions = actions
        self._jitter = jitter
        self._policy = SupervisionPolicy(first_epoch=first_epoch)
        self._children: dict[str, Child] = {}
        self._running: dict[str, _Running] = {}
        self._due: dict[str, tuple[float, int]] = {}
        # Not a SimpleQueue: with a time-out, it waits for ever when a signal handler outlasts the rest of it (CPython 3.11).
        self._reports: queue.Queue[Report] = queue.Queue()
        self._seen: deque[Report] = deque()
        self._stepped_at: float | None = None
        self._is_stopping = False
        self._abandoned: list[Ref] = []
        """Threads that were given up and have not ended since."""

    # ---- life ----------------------------------------------------------------------------------------------------------------

    def add(self, child: Child) -> None:
        """Append a child; the order of adding is the order of starting."""
        self._policy.add(child.spec)
        self._children[child.spec.name] = child

    def start(self) -> None:
        """Start all children in order. One that fails is retried by the rules; the others start all the same."""
        for name in self._children:
            self._start_child(name, self._policy.open_epoch(name), time.monotonic())

    def report(self, report: Report) -> None:
        """Called by actors on their own threads; wakes ``wait``."""
        self._reports.put(report)

    def wait(self, timeout_s: float = STEP_S) -> None:
        """Until a report comes or the time is over."""
        if self._seen:
            return
        try:
            self._seen.append(self._reports.get(timeout=timeout_s))
        except queue.Empty:
            return

    def step(self, now: float) -> None:
        """Take reports, look at every child, start what is due. Called every ``STEP_S`` seconds and at once after a report."""
        gap_s = 0.0 if self._stepped_at is None else max(now - self._stepped_at, 0.0)
        self._stepped_at = now
        self._take_reports(now)
        self._look_at_children(now, min(gap_s, CREDIT_MAX_S))
        self._start_due(now)

    def tell(self, event: SupervisionEvent, now: float) -> None:
        """Something that only the composition sees, such as ChildSilent or ChildSynced; ``epoch`` from ``epoch_of``."""
        if self._is_stopping:
            return
        self._carry_out(self._policy.handle(event, now, self._jitter()), now)

    def epoch_of(self, name: str) -> int:
        """Epoch of the running start of ``name``; 0 while it is down."""
        running = self._running.get(name)
        return 0 if running is None else running.epoch

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> tuple[str, ...]:
        """Stop all children in reverse order, each within ``deadline_s``; the names of those that had to be abandoned. Three times
        that for all together: once it is used up, whoever does not stop at once is not waited for."""
        self._is_stopping = True
        self._due.clear()
        ends_at = time.monotonic() + STOPS_IN_FULL * deadline_s
        abandoned = tuple(name for name in reversed(self._children) if not self._stop_child(name, deadline_s, ends_at))
        self._take_reports(time.monotonic())
        return abandoned

    # ---- health --------------------------------------------------------------------------------------------------------------

    def health(self, timeout_s: float = HEALTH_TIMEOUT_S, *, kinds: Collection[str] = ()) -> tuple[ActorAnswer, ...]:
        """Every child, or those of some ``kinds``, in start order; all are asked at once and the answers awaited for ``timeout_s`` in all."""
        deadline = time.monotonic() + timeout_s
        names = [name for name, child in self._children.items() if not kinds or child.spec.kind in kinds]
        asked = {name: self._running[name].ref.ask(HealthRequest(), block=False) for name in names if name in self._running}
        return tuple(self._answer(name, asked.get(name), deadline) for name in names)

    def _answer(self, name: str, asked: pykka.Future[Any] | None, deadline: float) -> ActorAnswer:
        state: ActorState = "running"
        facts: Mapping[str, object] = {}
        if asked is None:
            state = "restarting" if name in self._due else "down"
        else:
            try:
                facts = asked.get(timeout=max(deadline - time.monotonic(), 0.0)) or {}
            except pykka.Timeout:
                state = "unresponsive"
            except pykka.ActorDeadError:
                # It died and the next step will say so.
                state = "restarting"
        return ActorAnswer(self._row(name, state), facts)

    def _row(self, name: str, state: ActorState) -> ActorHealth:
        spec = self._children[name].spec
        running = self._running.get(name)
        restarts = self._policy.restarts(name)
        if running is None:
            return ActorHealth(name=name, kind=spec.kind, alive=False, state=state, restarts=restarts)
        vitals, now = running.ref.vitals, time.monotonic()
        # Each field is read once: the actor's thread may change it between two reads.
        busy_since, last_message_at = vitals.busy_since, vitals.last_message_at
        return ActorHealth(
            name=name,
            kind=spec.kind,
            alive=running.ref.is_alive(),
            state=state,
            queue_depth=vitals.queue_depth,
            handled=vitals.handled,
            errors=vitals.errors,
            restarts=restarts,
            last_message_age_s=None if last_message_at is None else now - last_message_at,
            busy_s=0.0 if busy_since is None else now - busy_since,
        )

    # ---- what happened -------------------------------------------------------------------------------------------------------

    def _take_reports(self, now: float) -> None:
        while True:
            try:
                self._seen.append(self._reports.get_nowait())
            except queue.Empty:
                break
        while self._seen:
            report = self._seen.popleft()
            self._actions.reported(report)
            if isinstance(report, CrashReport):
                self.crash_reasons.append(report)
                self._crashed(report, now)

    def _crashed(self, report: CrashReport, now: float) -> None:
        running = self._running.get(report.name)
        if running is None or running.epoch != report.epoch:
            # A thread that was given up fell over late, which says nothing about its successor.
            return
        self._forget(report.name)
        self.tell(ChildCrashed(name=report.name, epoch=report.epoch, reason=f"{report.where}: {report.error}"), now)

    def _look_at_children(self, now: float, credit_s: float) -> None:
        for name, running in list(self._running.items()):
            busy_s = running.watch_beat(now, credit_s)
            if running.busy_since is None and not running.ref.is_alive():
                self._ended(name, running, now)
                continue
            spec = self._children[name].spec
            limit_s = spec.start_limit_s if running.ref.vitals.is_starting else spec.beat_limit_s
            if busy_s > limit_s:
                self._abandon(name)
                self.tell(ChildWedged(name=name, epoch=running.epoch, busy_s=busy_s, abandoned=len(self._abandoned)), now)

    def _ended(self, name: str, running: _Running, now: float) -> None:
        # A crash marks the actor dead, reports, and only then goes idle: a dead one whose report is not here yet is still busy,
        # and one that was idle a moment ago may have put its report into the queue since.
        if running.ref.vitals.busy_since is not None or not self._reports.empty():
            return
        self._forget(name)
        self.tell(ChildEnded(name=name, epoch=running.epoch), now)

    # ---- what is done about it -----------------------------------------------------------------------------------------------

    def _carry_out(self, commands: tuple[SupervisionCommand, ...], now: float) -> None:
        for command in commands:
            match command:
                case RestartChild():
                    self._due[command.name] = (now + command.delay_s, command.epoch)
                    # A silent child still runs, and so does one that is rebuilt with another; the successor must not find it acting.
                    self._retire(command.name)
                case StartFallback():
                    self._actions.start_fallback(command.name, command.reason)
                case StopFallback():
                    self._actions.stop_fallback(command.name)
                case StayDown():
                    self._retire(command.name)
                    self._actions.stay_down(command.name, command.reason)
                case EnterReducing():
                    self._actions.enter_reducing(command.reason)
                case Halt():
                    self._actions.halt(command.reason)
                case ExitProcess():
                    self._due.clear()
                    self._actions.exit_process(command.reason)
                case _:
                    assert_never(command)

    def _start_due(self, now: float) -> None:
        for name in self._children:
            due_at, epoch = self._due.get(name, (float("inf"), 0))
            if due_at <= now:
                del self._due[name]
                self._start_child(name, epoch, now)

    def _start_child(self, name: str, epoch: int, now: float) -> None:
        child = self._children[name]
        ref = attempt(lambda: child.start(epoch))
        if isinstance(ref, Failed):
            report = CrashReport(name, child.spec.kind, epoch, "start", ref.error, ref.traceback)
            self.crash_reasons.append(report)
            self._actions.reported(report)
            self.tell(ChildCrashed(name=name, epoch=epoch, reason=f"start: {ref.error}"), now)
            return
        if not isinstance(ref, Ref):
            raise TypeError(f"the factory of {name} returned {ref!r}, which is no reference to an actors.base.Actor")
        self._running[name] = _Running(ref, epoch)
        self._addresses.register(name, ref, epoch)
        self.tell(ChildStarted(name=name, epoch=epoch), now)

    # ---- ends ----------------------------------------------------------------------------------------------------------------

    def _forget(self, name: str) -> Ref | None:
        self._addresses.withdraw(name)
        running = self._running.pop(name, None)
        return None if running is None else running.ref

    def _retire(self, name: str) -> Ref | None:
        """Fence a living child and ask it to stop, without waiting: it skips what is left in its inbox."""
        ref = self._forget(name)
        if ref is not None:
            ref.vitals.is_revoked = True
            ref.stop(block=False)
        return ref

    def _abandon(self, name: str) -> None:
        """Fence a wedged child for good. Its thread cannot be killed; should it wake, it finds itself revoked and ends."""
        ref = self._retire(name)
        if ref is not None:
            pykka.ActorRegistry.unregister(ref)
            self._abandoned = [*(each for each in self._abandoned if each.is_alive()), ref]
            attempt(self._children[name].abort)

    def _stop_child(self, name: str, deadline_s: float, ends_at: float) -> bool:
        running = self._running.get(name)
        if running is None:
            return True
        wait_s = min(deadline_s, max(ends_at - time.monotonic(), STOP_LEAST_S))
        try:
            running.ref.stop(block=False).get(timeout=wait_s)
        except pykka.Timeout:
            self._abandon(name)
            return False
        self._forget(name)
        return True
