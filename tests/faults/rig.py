"""The bot's own composition and run loop in this process, over the venues of ``house``: a run whose parts can be made to fail.

It is ``supervisor._Run``, with the log and the terminal replaced by lists. A fault is planted in front of or behind an actor's handler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

import actors.children
import actors.composition
import supervisor
from actors.base import Actor, CrashReport, Report
from actors.children import Side
from adapters.csv_files import CsvFiles, WallClock
from adapters.journal import SqliteJournal
from core import venue_watch
from core.config import parse_config
from core.messages import Message, TradingStateChanged
from core.supervision import ChildSpec
from core.types import ZERO, TradingState
from tests.core.builders import HEDGE_TOML
from tests.faults.house import FEES, GUARD_S, House

NEVER_S = 1e9
M = TypeVar("M", bound=Message)
CONFIG = HEDGE_TOML + 'max_daily_loss = "1000000"'


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails the test with ``what`` when it never becomes true."""
    deadline = time.monotonic() + GUARD_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.002)
    raise AssertionError(f"waited in vain for: {what}")


class Fault(NamedTuple):
    """What happens when ``actor`` handles a message of type ``kind``: ``error`` is raised before or after its real handling, or
    ``block`` (a function) runs in its place."""

    actor: str
    kind: str
    when: str = "before"
    error: Callable[[], BaseException] = lambda: RuntimeError("planted")
    block: Callable[[], None] | None = None


class Saboteur:
    """Stands between all actors and their handlers; ``plant`` arms one fault, which strikes ``times`` times."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._armed: dict[tuple[str, str], tuple[Fault, int]] = {}
        self._lock = threading.Lock()
        self.struck: list[Fault] = []
        genuine = Actor._guarded

        def guarded(actor: Actor, where: str, call: Callable[..., None], *arguments: object) -> bool:
            fault = self._due(actor.identity.name, type(arguments[0]).__name__ if arguments else where)
            return genuine(actor, where, call if fault is None else self._spoilt(fault, call), *arguments)

        patch.setattr(Actor, "_guarded", guarded)

    def plant(self, fault: Fault, times: int = 1) -> None:
        with self._lock:
            self._armed[fault.actor, fault.kind] = fault, times

    def disarm(self) -> None:
        with self._lock:
            self._armed.clear()

    def times(self, actor: str) -> int:
        return sum(fault.actor == actor for fault in list(self.struck))

    def _due(self, actor: str, kind: str) -> Fault | None:
        with self._lock:
            fault, left = self._armed.get((actor, kind), (None, 0))
            if fault is None:
                return None
            if left > 1:
                self._armed[actor, kind] = fault, left - 1
            else:
                del self._armed[actor, kind]
            return fault

    def _spoilt(self, fault: Fault, call: Callable[..., None]) -> Callable[..., None]:
        def handle(*arguments: object) -> None:
            self.struck.append(fault)
            if fault.block is not None:
                fault.block()
                call(*arguments)
                return
            if fault.when == "after":
                call(*arguments)
            raise fault.error()

        return handle


class _Tap:
    """In the place of the event log."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.reports: list[Report] = []
        self.message = self.messages.append
        self.report = self.reports.append

    def line(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


class _Blind:
    """In the place of the terminal."""

    lost_writes = 0

    def show(self, event: object) -> None:
        pass

    status = finish = say = show

    def close(self) -> None:
        pass


class _NoLogFile:
    lost = 0


class _Signals:
    def hand_over(self, stop: Callable[[str, float], None], hasten: Callable[[], None], ask_health: Callable[[], None]) -> None:
        self.stop, self.hasten = stop, hasten


class LocalRun:
    """One life of the bot, on a thread of its own; ``code`` is its exit code once it is over."""

    def __init__(self, folder: Path, house: House, patch: pytest.MonkeyPatch, rates: dict[str, float]) -> None:
        patch.setattr(supervisor, "EventLog", _Tap)
        patch.setattr(supervisor, "TerminalView", _Blind)
        self.house = house
        self.code: int | None = None
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self._files = CsvFiles(folder, wall_ms_of=WallClock())
        sides = [Side(venue, venue.instrument, FEES, rates) for venue in house.venues]
        log_file: Any = _NoLogFile()
        self._run = supervisor._Run(
            parse_config(CONFIG, "test"), sides, self.journal, self._files, log_file, folder, is_dry_run=False
        )
        self.watch, self.loop = self._run._watch, self._run._loop
        self.addresses, self.composition = self.watch._addresses, self._run._composition
        self.tap: Any = self._run._log
        self._signals = _Signals()
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        self.code = self._run.go(self._signals)  # type: ignore[arg-type]

    # ---- what is seen --------------------------------------------------------------------------------------------------------

    def seen(self, kind: type[M]) -> list[M]:
        """Messages that the recorder has logged."""
        return [message for message in list(self.tap.messages) if isinstance(message, kind)]

    @property
    def crashes(self) -> list[CrashReport]:
        return [report for report in list(self.tap.reports) if isinstance(report, CrashReport)]

    def epoch(self, name: str) -> int:
        """Of the living start; 0 while it is down."""
        return self.watch.epoch_of(name)

    def depth(self, name: str) -> int:
        """Messages that wait for ``name``."""
        ref: Any = self.addresses.ref(name)
        return 0 if ref is None else int(ref.vitals.queue_depth)

    def handled(self, name: str) -> int:
        """Messages that the living start of ``name`` is through with."""
        ref: Any = self.addresses.ref(name)
        return 0 if ref is None else int(ref.vitals.handled)

    def epochs(self) -> dict[str, int]:
        return {name: self.epoch(name) for name in list(self.watch._children)}

    @property
    def state(self) -> TradingState | None:
        """The trading state that was told last."""
        return next((message.state for message in reversed(self.seen(TradingStateChanged))), None)

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    # ---- what is done --------------------------------------------------------------------------------------------------------

    def tell(self, name: str, message: Message) -> None:
        self.addresses.of(name).tell(message)

    def stop(self) -> None:
        until(lambda: hasattr(self._signals, "stop"), "the run to take signals")
        self._signals.stop("test", time.monotonic())

    def end(self) -> int:
        """An orderly stop."""
        if not self.is_over:
            self.stop()
        return self.wait()

    def assert_ends_in_order(self) -> None:
        """An orderly stop, whose exit code says what the venues hold: 0 nothing, 3 anything."""
        code = self.end()
        assert (3 if any(venue.position for venue in self.house.venues) else 0) == code

    def wait(self) -> int:
        self._thread.join(GUARD_S)
        assert self.code is not None, "the run did not end"
        return self.code

    def until_active(self) -> None:
        until(lambda: self.state is TradingState.ACTIVE, "ACTIVE")

    def until_traded(self, more: int = 1) -> None:
        """That many more fills at the maker venue, and everything hedged."""
        goal = len(self.house.maker.fills) + more
        until(lambda: len(self.house.maker.fills) >= goal or self.is_over, "a fill")
        until(lambda: abs(self.house.net) == ZERO or self.is_over, "the hedge")

    def close(self) -> None:
        self.house.unblock()
        if not self.is_over:
            self.stop()
            self._signals.hasten()
        self._thread.join(GUARD_S)
        self._files.close()


@contextmanager
def running(
    folder: Path, house: House, patch: pytest.MonkeyPatch, *, rates: dict[str, float] | None = None
) -> Iterator[LocalRun]:
    """``rates``: requests per second that the limiters of both venues are told, none = no limit."""
    run = LocalRun(folder, house, patch, rates or {})
    try:
        yield run
    finally:
        run.close()


def quicken(
    patch: pytest.MonkeyPatch, *, backoff: float = 0.01, change: Callable[[ChildSpec], ChildSpec] = lambda spec: spec
) -> None:
    """Shorter pauses, nothing else: restarts by the factor ``backoff``, the quoter's pause after a cancel; ``change`` edits each row."""
    spec_for = actors.children.spec_for

    def quick(kind: str, name: str, *, longest_call_s: float = 0.0) -> ChildSpec:
        spec = spec_for(kind, name, longest_call_s=longest_call_s)
        shorter = msgspec.structs.replace(
            spec, backoff_min_s=spec.backoff_min_s * backoff, backoff_max_s=spec.backoff_max_s * backoff
        )
        return change(shorter)

    settings = actors.composition.quote_settings
    patch.setattr(actors.children, "spec_for", quick)
    patch.setattr(
        actors.composition, "quote_settings", lambda *found: settings(*found)._replace(cancel_pause_s=0.05, check_s=0.05)
    )


def without_audits(patch: pytest.MonkeyPatch) -> None:
    """Nothing is read on a schedule nor a second time: by the time of ACTIVE all reads are over."""
    for name in ("FILLS_AUDIT_S", "ORDERS_AUDIT_S", "POSITION_AUDIT_S", "SECOND_ROUND_S"):
        patch.setattr(venue_watch, name, NEVER_S)


def assert_adds_up(house: House) -> None:
    """Nothing open, nothing unhedged, nothing hedged twice, no id sent twice."""
    left = [order for venue in house.venues for order in venue.open_orders]
    assert ([], [], ZERO, house.maker.volume) == (left, house.reused_client_ids, house.net, house.hedge.volume)
