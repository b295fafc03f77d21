"""The actor base: whatever happens in one actor ends in one report, and nowhere else."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

import pykka
import pytest

from actors.base import Actor, CoreActor, CrashReport, HealthRequest, Identity, InboxFlooded, Ref, Report
from core.messages import Message, Stop, Tick

GUARD_S = 20.0


class Reports:
    """Collects what actors tell the watch."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Report] = queue.SimpleQueue()

    def next(self) -> Report:
        return self.queue.get(timeout=GUARD_S)

    def crash(self) -> CrashReport:
        report = self.next()
        assert isinstance(report, CrashReport)
        return report

    def identity(self, name: str = "probe", epoch: int = 7) -> Identity:
        return Identity(name, "quoter", epoch, self.queue.put)


class Probe(Actor):
    """Raises on order: ``faults`` maps a hook to what it raises; a Stop message is answered by ``on_stop_message``."""

    def __init__(self, identity: Identity, **faults: BaseException) -> None:
        super().__init__(identity)
        self.faults = faults
        self.log: list[str] = []
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def _at(self, hook: str) -> None:
        self.log.append(hook)
        if hook in self.faults:
            raise self.faults[hook]

    def started(self) -> None:
        self._at("started")

    def handle(self, message: Message) -> None:
        self.reached.set()
        assert self.gate.wait(GUARD_S)
        self._at("handle")

    def stopped(self) -> None:
        self._at("stopped")

    def crashed(self) -> None:
        self._at("crashed")

    def health(self) -> Mapping[str, object]:
        self._at("health")
        return {"answer": 42}


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture(autouse=True)
def _leave_no_actor() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)


def launch(reports: Reports, **faults: BaseException) -> tuple[Ref, Probe]:
    """Start a probe and keep it in hand: the reference alone does not keep it alive."""
    started: list[Probe] = []

    class Kept(Probe):
        def __init__(self) -> None:
            super().__init__(reports.identity(), **faults)
            started.append(self)

    ref = Kept.start()
    assert isinstance(ref, Ref)
    return ref, started[0]


def is_dead(ref: Ref) -> bool:
    return ref.actor_stopped.wait(GUARD_S)


class Rude(Exception):
    """An exception that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


EVERYTHING = [
    ValueError("boom"),
    SystemExit(3),
    KeyboardInterrupt(),
    MemoryError(),
    RecursionError("deep"),
    GeneratorExit(),
    Rude(),
]


@pytest.mark.parametrize("error", EVERYTHING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["started", "handle", "stopped"])
def test_any_failure_anywhere_becomes_one_report(reports: Reports, where: str, error: BaseException) -> None:
    """The name, epoch and kind of error are in it, and there is no second one (D2)."""
    ref, _ = launch(reports, **{where: error})
    if where == "handle":
        ref.tell(Tick())
    if where == "stopped":
        ref.stop(timeout=GUARD_S)
    report = reports.crash()
    assert is_dead(ref)
    assert ("probe", 7, type(error).__name__, True) == (
        report.name,
        report.epoch,
        report.error.split(":")[0],
        reports.queue.empty(),
    )


@pytest.mark.parametrize("error", EVERYTHING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["started", "handle", "stopped"])
def test_no_failure_reaches_another_actor(reports: Reports, where: str, error: BaseException) -> None:
    """A bystander still answers; pykka alone would stop it at a SystemExit (RELIABILITY §2.1 row 7)."""
    bystander, _ = launch(reports)
    ref, _ = launch(reports, **{where: error})
    if where == "handle":
        ref.tell(Tick())
    if where == "stopped":
        ref.stop(timeout=GUARD_S)
    reports.crash()
    assert {"answer": 42} == bystander.ask(HealthRequest(), timeout=GUARD_S)


def test_the_report_carries_the_traceback(reports: Reports) -> None:
    """The line that raised can be found from the log."""
    ref, _ = launch(reports, handle=ValueError("boom"))
    ref.tell(Tick())
    report = reports.crash()
    assert ("handle Tick", True) == (report.where, "raise self.faults[hook]" in report.traceback)


def test_a_real_endless_recursion_is_reported(reports: Reports) -> None:
    """With a thousand frames on the stack there is still room for the report, and it is bounded."""

    class Endless(Actor):
        def handle(self, message: Message) -> None:
            self.handle(message)

    Endless.start(reports.identity()).tell(Tick())
    report = reports.crash()
    assert (True, True) == (report.error.startswith("RecursionError"), len(report.traceback) <= 20_000)


def test_the_crashed_hook_runs_after_a_crash_only(reports: Reports) -> None:
    """An ordinary stop runs the stopped hook instead."""
    broken, first = launch(reports, handle=ValueError("boom"))
    broken.tell(Tick())
    reports.crash()
    sound, second = launch(reports)
    sound.stop(timeout=GUARD_S)
    assert (["started", "handle", "crashed"], ["started", "stopped"]) == (first.log, second.log)


@pytest.mark.parametrize("error", EVERYTHING, ids=lambda error: type(error).__name__)
def test_a_failing_crashed_hook_does_not_hide_the_first_failure(reports: Reports, error: BaseException) -> None:
    """One report, the first error in its head, both in its text."""
    ref, _ = launch(reports, handle=ValueError("boom"), crashed=error)
    ref.tell(Tick())
    report = reports.crash()
    assert ("ValueError: boom", True, True) == (report.error, type(error).__name__ in report.traceback, reports.queue.empty())


def test_a_supervisor_that_fails_to_listen_harms_nobody() -> None:
    """The report callable raises; the actor dies all the same and the bystander lives."""
    called = threading.Event()

    def deaf(_: Report) -> None:
        called.set()
        raise OSError("no ear")

    ref = Probe.start(Identity("probe", "quoter", 1, deaf), handle=ValueError("boom"))
    assert isinstance(ref, Ref)
    ref.tell(Tick())
    assert called.wait(GUARD_S)
    assert is_dead(ref)


def test_what_waits_behind_a_crash_is_not_handled(reports: Reports) -> None:
    """The inbox is lost with the actor; recovery is reconciliation."""
    ref, probe = launch(reports, handle=ValueError("boom"))
    probe.gate.clear()
    for _ in range(5):
        ref.tell(Tick())
    probe.gate.set()
    reports.crash()
    assert 1 == probe.log.count("handle")


def test_an_error_in_a_health_answer_ends_nothing(reports: Reports) -> None:
    """Looking at an actor must not stop it: the answer names the error, the next message is handled."""
    ref, probe = launch(reports, health=SystemExit(1))
    answer = ref.ask(HealthRequest(), timeout=GUARD_S)
    ref.tell(Tick())
    assert ({"error": "SystemExit: 1"}, True) == (answer, probe.reached.wait(GUARD_S))


def test_a_revoked_actor_handles_nothing_more(reports: Reports) -> None:
    """Its successor runs: what is left in the old inbox is skipped, and it still stops in order."""
    ref, probe = launch(reports)
    probe.gate.clear()
    for _ in range(3):
        ref.tell(Tick())
    assert probe.reached.wait(GUARD_S)
    ref.vitals.is_revoked = True
    probe.gate.set()
    ref.stop(timeout=GUARD_S)
    assert ["started", "handle", "stopped"] == probe.log


def test_the_vitals_tell_of_the_message_in_work(reports: Reports) -> None:
    """Busy while a handler blocks, read without the actor's help; what waits is counted."""
    ref, probe = launch(reports)
    probe.gate.clear()
    ref.tell(Tick())
    ref.tell(Tick())
    assert probe.reached.wait(GUARD_S)
    busy, waiting = ref.vitals.busy_since is not None, ref.vitals.queue_depth
    probe.gate.set()
    assert (True, 1) == (busy, waiting)


def test_the_vitals_outlive_the_actor(reports: Reports) -> None:
    """Two handled, one failed: still readable after the end."""
    ref, probe = launch(reports)
    for _ in range(2):
        ref.tell(Tick())
    ref.ask(HealthRequest(), timeout=GUARD_S)
    probe.faults["handle"] = ValueError("boom")
    ref.tell(Tick())
    reports.crash()
    assert is_dead(ref)
    vitals = ref.vitals
    assert (2, 1, "probe", "quoter", 7) == (vitals.handled, vitals.errors, vitals.name, vitals.kind, vitals.epoch)


def test_a_flooded_inbox_is_reported(reports: Reports) -> None:
    """The alarm goes to the watch; the messages stay."""
    ref, probe = launch(reports)
    probe.gate.clear()
    ref.tell(Tick())
    assert probe.reached.wait(GUARD_S)
    for _ in range(10_000):
        ref.tell(Tick())
    report = reports.next()
    probe.gate.set()
    assert InboxFlooded("probe", 7, 10_000) == report


def test_the_thread_does_not_keep_the_process_alive(reports: Reports) -> None:
    """A wedged actor must not hinder the exit."""
    before = set(threading.enumerate())
    launch(reports)
    assert {True} == {thread.daemon for thread in set(threading.enumerate()) - before}


def test_signals_are_left_to_the_main_thread(reports: Reports) -> None:
    """None of those that the process acts on can interrupt the wait of an inbox."""
    masks: queue.SimpleQueue[set[signal.Signals]] = queue.SimpleQueue()

    class Masked(Probe):
        def handle(self, message: Message) -> None:
            masks.put(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    Masked.start(reports.identity()).tell(Stop(reason="now"))
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1} <= masks.get(timeout=GUARD_S)


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_failure", "on_receive"])
def test_a_subclass_may_not_override_the_hooks_that_report(hook: str) -> None:
    """Found when the class is written, not when it fails."""
    with pytest.raises(TypeError, match=hook):
        type("Careless", (Actor,), {hook: lambda self: None})


# ---- cores ---------------------------------------------------------------------------------------------------------------------


class Echo:
    """Answers each message with two; a Tick is an event to wait for."""

    def __init__(self) -> None:
        self.ticks = threading.Semaphore(0)
        self.on_handle: Callable[[], None] = lambda: None
        self.times: list[float] = []

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        self.times.append(now)
        self.on_handle()
        if isinstance(message, Tick):
            self.ticks.release()
            return ()
        return (message, Stop(reason="second"))


def test_a_core_actor_routes_what_its_core_returns(reports: Reports) -> None:
    """In order, each once."""
    outputs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    ref = CoreActor.start(reports.identity(), Echo(), outputs.put)
    ref.tell(Stop(reason="first"))
    got = [outputs.get(timeout=GUARD_S), outputs.get(timeout=GUARD_S)]
    assert [Stop(reason="first"), Stop(reason="second")] == got


def test_a_zombie_that_wakes_routes_nothing(reports: Reports) -> None:
    """Replaced while its core was at work: the decision is dropped (I25, D4)."""
    outputs: list[Message] = []
    core, entered, gate = Echo(), threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert gate.wait(GUARD_S)

    core.on_handle = block
    ref = CoreActor.start(reports.identity(), core, outputs.append)
    assert isinstance(ref, Ref)
    ref.tell(Stop(reason="first"))
    assert entered.wait(GUARD_S)
    ref.vitals.is_revoked = True
    gate.set()
    ref.stop(timeout=GUARD_S)
    assert [] == outputs


def test_a_core_gets_ticks_without_messages(reports: Reports) -> None:
    """Time passes for an idle core."""
    core = Echo()
    CoreActor.start(reports.identity(), core, lambda _: None, tick_s=0.005)
    assert [True] * 5 == [core.ticks.acquire(timeout=GUARD_S) for _ in range(5)]


def test_a_core_gets_ticks_while_messages_keep_it_busy(reports: Reports) -> None:
    """A flood of messages does not put the Tick off: it comes while ten thousand are still being told."""
    core, done = Echo(), threading.Event()
    ref = CoreActor.start(reports.identity(), core, lambda _: None, tick_s=0.005)

    def flood() -> None:
        while not done.is_set():
            if ref.actor_inbox.empty() or ref.actor_inbox.depth() < 100:  # type: ignore[attr-defined]
                ref.tell(Stop(reason="busy"))

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    ticks = [core.ticks.acquire(timeout=GUARD_S) for _ in range(3)]
    done.set()
    thread.join(GUARD_S)
    assert [True] * 3 == ticks


def test_a_core_without_a_tick_period_gets_none(reports: Reports) -> None:
    """Messages only."""
    core, outputs = Echo(), queue.SimpleQueue[Message]()
    ref = CoreActor.start(reports.identity(), core, outputs.put)
    ref.tell(Stop(reason="x"))
    outputs.get(timeout=GUARD_S)
    assert isinstance(ref, Ref)
    ref.ask(HealthRequest(), timeout=GUARD_S)
    assert ref.vitals.inbox.wake_at is None
