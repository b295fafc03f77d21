"""Decides what happens when a child fails: restart, fall back, reduce, halt or exit. It never starts or stops anything itself.

The table follows RELIABILITY §3.1; ``spec_for`` is its only reader. ``SupervisionPolicy`` is fed with what the watch saw and answers with
commands. Epochs rise strictly over all children: an event of an older epoch comes from a thread that was given up and is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

Restart = Literal["permanent", "transient", "never"]
GivingUp = Literal["halt", "exit", "reducing", "reducing_exit", "fallback", "stay_down"]

MAX_ABANDONED = 3
"""A wedged Python thread cannot be killed; with more than this many of them only a new process helps."""
SYNCS_TO_RECOVER = 2


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How one child is watched.

    At most ``intensity`` restarts in any ``period_s`` seconds. ``beat_limit_s``: longest time one message may take, ``start_limit_s`` the
    same for the start hook. ``rebuilt_with``: kinds whose failure restarts this child too, when it was started after them.
    """

    name: str
    kind: str
    restart: Restart
    intensity: int
    period_s: float
    backoff_min_s: float
    backoff_max_s: float
    beat_limit_s: float
    on_giving_up: GivingUp
    rebuilt_with: tuple[str, ...] = ()
    start_limit_s: float = 30.0


def _row(
    kind: str,
    restart: Restart,
    intensity: int,
    backoff_s: tuple[float, float],
    beat_limit_s: float,
    on_giving_up: GivingUp,
    rebuilt_with: tuple[str, ...] = (),
) -> ChildSpec:
    return ChildSpec(
        name=kind,
        kind=kind,
        restart=restart,
        intensity=intensity,
        period_s=60.0,
        backoff_min_s=backoff_s[0],
        backoff_max_s=backoff_s[1],
        beat_limit_s=beat_limit_s,
        on_giving_up=on_giving_up,
        rebuilt_with=rebuilt_with,
    )


_QUICK = (0.1, 5.0)
_FEED = (0.25, 30.0)
_SLOW = (1.0, 30.0)
# A limiter takes queued orders with it, a tracker its knowledge of them: who builds on either is built anew with it.
_BELOW = ("rate_limiter", "order_tracker")

TABLE: tuple[ChildSpec, ...] = (
    _row("rate_limiter", "permanent", 3, _QUICK, 1.0, "exit"),
    _row("trade_lane", "never", 0, _QUICK, 1.0, "exit"),
    _row("query_lane", "permanent", 5, _QUICK, 1.0, "reducing"),
    _row("order_tracker", "permanent", 3, _QUICK, 1.0, "exit", ("rate_limiter",)),
    _row("account_feed", "permanent", 5, _FEED, 3.0, "fallback"),
    _row("market_feed", "permanent", 5, _FEED, 3.0, "fallback"),
    _row("rest_poller", "permanent", 5, _QUICK, 1.0, "reducing"),
    _row("hedger", "permanent", 3, _QUICK, 0.5, "reducing_exit", _BELOW),
    _row("oco_pair", "permanent", 3, _QUICK, 0.5, "reducing_exit", _BELOW),
    _row("risk", "permanent", 3, _QUICK, 1.0, "reducing_exit", _BELOW),
    _row("fallback", "permanent", 3, _QUICK, 1.0, "reducing"),
    _row("quoter", "transient", 3, _SLOW, 1.0, "stay_down", _BELOW),
    _row("recorder", "transient", 3, _SLOW, 5.0, "stay_down"),
    _row("alerter", "transient", 3, _SLOW, 5.0, "stay_down"),
)
_BY_KIND = {row.kind: row for row in TABLE}


def spec_for(kind: str, name: str, *, longest_call_s: float = 0.0) -> ChildSpec:
    """The table's row for ``kind``; ``longest_call_s`` is what one I/O call may take by its own deadline and widens the beat limit."""
    row = _BY_KIND[kind]
    return msgspec.structs.replace(row, name=name, beat_limit_s=row.beat_limit_s + longest_call_s)


# ---- what the watch saw --------------------------------------------------------------------------------------------------------


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    epoch: int


class ChildStarted(_Seen, frozen=True):
    pass


class ChildCrashed(_Seen, frozen=True):
    """It raised, or it could not be started; its thread is gone."""

    reason: str


class ChildWedged(_Seen, frozen=True):
    """One message takes longer than the limit; its thread was abandoned and may wake up later. ``abandoned``: how many such threads there
    are now, this one included."""

    busy_s: float
    abandoned: int


class ChildSilent(_Seen, frozen=True):
    """Its thread lives and is not stuck, but nothing comes from it."""

    reason: str


class ChildEnded(_Seen, frozen=True):
    """It stopped by its own will: a failure for a permanent child, the end for a transient one."""


class ChildSynced(_Seen, frozen=True):
    """A feed agreed with the other source for one audit round."""


SupervisionEvent = ChildStarted | ChildCrashed | ChildWedged | ChildSilent | ChildEnded | ChildSynced


# ---- what is to be done --------------------------------------------------------------------------------------------------------


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RestartChild(_Command, frozen=True):
    """Fence and stop it now, should it still run, and start it after ``delay_s`` seconds with ``epoch``."""

    name: str
    delay_s: float
    epoch: int


class StartFallback(_Command, frozen=True):
    name: str
    reason: str


class StopFallback(_Command, frozen=True):
    name: str


class StayDown(_Command, frozen=True):
    """Given up; the others go on without it. A person should know."""

    name: str
    reason: str


class EnterReducing(_Command, frozen=True):
    reason: str


class Halt(_Command, frozen=True):
    reason: str


class ExitProcess(_Command, frozen=True):
    """Leave with exit code 1: a restart of the process reconciles."""

    reason: str


SupervisionCommand = RestartChild | StartFallback | StopFallback | StayDown | EnterReducing | Halt | ExitProcess


class _Child:
    """Mutable record of one child. ``epoch`` 0 = given up for good or ended: nothing of it counts any more."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.epoch = 0
        self.is_up = False
        self.is_fallen_back = False
        self.failed_at: tuple[float, ...] = ()
        self.restarts = 0
        self.syncs = 0


class SupervisionPolicy:
    """The restart decisions of all children, which are given in start order."""

    def __init__(self, specs: Sequence[ChildSpec] = (), *, first_epoch: int = 1) -> None:
        self._children: dict[str, _Child] = {}
        self._next_epoch = first_epoch
        self._is_exiting = False
        for spec in specs:
            self.add(spec)

    def add(self, spec: ChildSpec) -> None:
        """Append a child in start order; a second one of the same name is a ValueError."""
        if spec.name in self._children:
            raise ValueError(f"child {spec.name!r} is specified twice")
        self._children[spec.name] = _Child(spec)

    def open_epoch(self, name: str) -> int:
        """A new epoch for a start of ``name`` that the caller is about to make; every older one is void."""
        child = self._children[name]
        child.epoch = self._next_epoch
        child.is_up = False
        self._next_epoch += 1
        return child.epoch

    def restarts(self, name: str) -> int:
        """How many restarts of ``name`` were ordered since the process began."""
        return self._children[name].restarts

    def handle(self, event: SupervisionEvent, now: float, jitter: float) -> tuple[SupervisionCommand, ...]:
        """What to do about ``event``. ``now`` monotonic seconds; ``jitter`` in [0, 1) spreads the restart delay."""
        child = self._children[event.name]
        if self._is_exiting or event.epoch != child.epoch:
            return ()
        match event:
            case ChildStarted():
                child.is_up = True
                return ()
            case ChildSynced():
                return self._synced(child)
            case ChildEnded() if child.spec.restart == "transient":
                child.epoch, child.is_up = 0, False
                return ()
            case ChildEnded():
                return self._failed(child, "stopped without being asked to", now, jitter)
            case ChildCrashed() | ChildSilent():
                return self._failed(child, event.reason, now, jitter)
            case ChildWedged() if event.abandoned > MAX_ABANDONED:
                return self._exit(child, f"{event.abandoned} threads had to be abandoned, {child.spec.name} the last")
            case ChildWedged():
                return self._failed(child, f"wedged: one message took longer than {event.busy_s:.2f} s", now, jitter)
            case _:
                assert_never(event)

    def _synced(self, child: _Child) -> tuple[SupervisionCommand, ...]:
        if not child.is_fallen_back:
            return ()
        child.syncs += 1
        if child.syncs < SYNCS_TO_RECOVER:
            return ()
        child.is_fallen_back = False
        child.failed_at = ()
        return (StopFallback(name=child.spec.name),)

    def _failed(self, child: _Child, reason: str, now: float, jitter: float) -> tuple[SupervisionCommand, ...]:
        spec = child.spec
        child.is_up = False
        child.syncs = 0
        child.failed_at = (*(at for at in child.failed_at if now - at < spec.period_s), now)
        if child.is_fallen_back:
            # The fallback carries on; the feed is only probed, once a period, and cannot escalate a second time.
            return (self._restart(child, spec.period_s),)
        if spec.restart == "never" or len(child.failed_at) > spec.intensity:
            return self._give_up(child, f"{spec.name}: {reason}")
        delay_s = _backoff_s(spec, len(child.failed_at), jitter)
        return tuple(self._restart(each, delay_s) for each in (child, *self._dependents(child)))

    def _dependents(self, failed: _Child) -> list[_Child]:
        """Living children started after ``failed`` that build on what it lost; one already waiting for its restart keeps its turn."""
        order = list(self._children.values())
        later = order[order.index(failed) + 1 :]
        return [other for other in later if other.is_up and failed.spec.kind in other.spec.rebuilt_with]

    def _restart(self, child: _Child, delay_s: float) -> RestartChild:
        child.restarts += 1
        return RestartChild(name=child.spec.name, delay_s=delay_s, epoch=self.open_epoch(child.spec.name))

    def _give_up(self, child: _Child, reason: str) -> tuple[SupervisionCommand, ...]:
        name = child.spec.name
        child.epoch = 0
        match child.spec.on_giving_up:
            case "halt":
                return (Halt(reason=reason),)
            case "exit":
                return self._exit(child, reason)
            case "reducing":
                return (EnterReducing(reason=reason),)
            case "reducing_exit":
                return (EnterReducing(reason=reason), *self._exit(child, reason))
            case "fallback":
                child.is_fallen_back = True
                return (StartFallback(name=name, reason=reason), self._restart(child, child.spec.period_s))
            case "stay_down":
                return (StayDown(name=name, reason=reason),)
            case _ as unreachable:
                assert_never(unreachable)

    def _exit(self, child: _Child, reason: str) -> tuple[SupervisionCommand, ...]:
        child.epoch, child.is_up = 0, False
        self._is_exiting = True
        return (Halt(reason=reason), ExitProcess(reason=reason))


def _backoff_s(spec: ChildSpec, failures: int, jitter: float) -> float:
    """Full jitter between the minimum and a ceiling that doubles with each failure of the window, up to the maximum."""
    ceiling = min(spec.backoff_max_s, spec.backoff_min_s * 2.0**failures)
    return spec.backoff_min_s + jitter * (ceiling - spec.backoff_min_s)
