"""A deciding core in a thread: asked once at its start, ticked, and routed."""

from __future__ import annotations

import queue

from actors.base import Report
from actors.decider import Decider
from core.messages import LeaseClientIds, Message, Stop, Tick
from tests.actors.fakes import GUARD_S, Routed, identity


class FakeCore:
    """Answers its start, its ticks and everything else with a request named after it; ``bad`` makes its start fail."""

    def __init__(self, *, is_bad: bool = False) -> None:
        self._is_bad = is_bad

    def start(self, now: float) -> tuple[Message, ...]:
        if self._is_bad:
            raise RuntimeError("planted")
        return (LeaseClientIds(owner="start"),)

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        return (LeaseClientIds(owner="tick" if isinstance(message, Tick) else "message"),)


def test_it_asks_first_and_then_handles() -> None:
    """What ``start`` returns is routed before the answer to any message."""
    routed = Routed()
    ref = Decider.start(identity("hedger"), FakeCore(), routed, tick_s=3600.0)
    ref.tell(Stop(reason=""))
    assert ["start", "message"] == [routed.next().owner, routed.next().owner]


def test_it_ticks_by_itself() -> None:
    """Deadlines of a core pass without any message."""
    routed = Routed()
    Decider.start(identity("hedger"), FakeCore(), routed)
    assert ["start", "tick", "tick"] == [routed.next().owner for _ in range(3)]


def test_a_core_that_cannot_start_is_reported() -> None:
    """The watch restarts or gives up; nobody waits for it in silence."""
    reports: queue.Queue[Report] = queue.Queue()
    Decider.start(identity("hedger", reports), FakeCore(is_bad=True), Routed())
    report = reports.get(timeout=GUARD_S)
    assert ("started", "RuntimeError: planted") == (report.where, report.error)  # type: ignore[union-attr]
