"""The watch: real threads that crash, wedge and end; a clock that the test moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pykka
import pytest

from actors.base import Actor, CrashReport, Identity, InboxFlooded, Ref, Report
from actors.mailbox import Addresses
from actors.supervision import STOP_LEAST_S, Actions, Child, Watch
from core.messages import Message, Stop, Tick
from core.supervision import MAX_ABANDONED, ChildSilent, ChildSynced, spec_for

GUARD_S = 20.0


class Worker(Actor):
    """A Tick is handled; a Stop message raises ``error``, or blocks at ``gate`` where there is none."""

    def __init__(self, identity: Identity, error: BaseException | None) -> None:
        super().__init__(identity)
        self.error = error
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.over = threading.Event()
        self.log: list[str] = []

    def handle(self, message: Message) -> None:
        self.log.append(type(message).__name__)
        if isinstance(message, Stop):
            self.entered.set()
            if self.error is not None:
                raise self.error
            assert self.gate.wait(GUARD_S)
        if message == Tick():
            self.entered.set()

    def stopped(self) -> None:
        self.over.set()

    def health(self) -> dict[str, object]:
        return {"name": self.identity.name}


class Stage:
    """A watch over workers, and everything it did."""

    def __init__(self) -> None:
        self.addresses = Addresses()
        self.actions: list[tuple[str, ...]] = []
        self.reports: list[Report] = []
        self.starts: list[str] = []
        self.aborted: list[str] = []
        self.workers: dict[str, list[Worker]] = {}
        self.error: BaseException | None = ValueError("boom")
        self.refuse_start: dict[str, int] = {}
        self.now = time.monotonic()
        self.watch = Watch(
            self.addresses,
            Actions(
                halt=lambda reason: self.actions.append(("halt",)),
                exit_process=lambda reason: self.actions.append(("exit",)),
                enter_reducing=lambda reason: self.actions.append(("reducing",)),
                start_fallback=lambda name, reason: self.actions.append(("fallback on", name)),
                stop_fallback=lambda name: self.actions.append(("fallback off", name)),
                stay_down=lambda name, reason: self.actions.append(("stay down", name)),
                reported=self.reports.append,
            ),
            jitter=lambda: 0.0,
        )

    def up(self, *names: str) -> Stage:
        """Add a child of each kind (named after it) and start them all."""
        for name in names:
            self.watch.add(Child(spec_for(name, name), self._factory(name), self._abort(name)))
        self.watch.start()
        return self

    def _factory(self, name: str) -> Callable[[int], pykka.ActorRef[Worker]]:
        stage = self

        class Kept(Worker):
            def __init__(self, identity: Identity) -> None:
                super().__init__(identity, stage.error)
                stage.workers.setdefault(name, []).append(self)

        def start(epoch: int) -> pykka.ActorRef[Worker]:
            self.starts.append(name)
            if self.refuse_start.get(name, 0) > 0:
                self.refuse_start[name] -= 1
                raise RuntimeError("can't start new thread")
            return Kept.start(Identity(name, name, epoch, self.watch.report))

        return start

    def _abort(self, name: str) -> Callable[[], None]:
        return lambda: self.aborted.append(name)

    def worker(self, name: str) -> Worker:
        return self.workers[name][-1]

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.watch.step(self.now)

    def crash(self, name: str) -> None:
        """Let ``name`` fail and the watch see it."""
        ref = self.addresses.ref(name)
        assert ref is not None
        ref.tell(Stop(reason="fail"))
        self.watch.wait(GUARD_S)
        self.step()

    def block(self, name: str) -> Worker:
        """Let ``name`` begin a message that it does not finish."""
        worker = self.worker(name)
        worker.error = None
        worker.actor_ref.tell(Stop(reason="block"))
        assert worker.entered.wait(GUARD_S)
        return worker

    def pass_time(self, seconds: float) -> None:
        """Steps of 50 ms, as the main thread makes them."""
        for _ in range(round(seconds / 0.05)):
            self.step(0.05)

    def epochs(self, name: str) -> list[int]:
        return [worker.identity.epoch for worker in self.workers[name]]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    for workers in stage.workers.values():
        for worker in workers:
            worker.gate.set()
    stage.watch.stop()


# ---- crashes -------------------------------------------------------------------------------------------------------------------


def test_children_start_in_the_order_they_were_added(stage: Stage) -> None:
    """What is built upon comes first."""
    assert ["rate_limiter", "order_tracker", "quoter"] == stage.up("rate_limiter", "order_tracker", "quoter").starts


def test_a_crashed_child_comes_back_after_its_delay(stage: Stage) -> None:
    """Not before 0.1 s, and with a younger epoch; its name leads to the new one."""
    stage.up("hedger").crash("hedger")
    stage.step(0.09)
    early = len(stage.workers["hedger"])
    stage.step(0.02)
    assert (1, [1, 2], stage.worker("hedger").actor_ref) == (early, stage.epochs("hedger"), stage.addresses.ref("hedger"))


def test_the_siblings_of_a_crashed_child_are_not_touched(stage: Stage) -> None:
    """A feed and a tracker go on as they were (D1)."""
    stage.up("order_tracker", "account_feed", "hedger").crash("hedger")
    stage.pass_time(1.0)
    assert ([1], [2]) == (stage.epochs("order_tracker"), stage.epochs("account_feed"))


def test_what_is_told_to_a_child_that_is_down_becomes_dead_letters(stage: Stage) -> None:
    """A thousand of them, and the sender lives (D6)."""
    stage.up("hedger").crash("hedger")
    for _ in range(1000):
        stage.addresses.of("hedger").tell(Tick())
    assert {"hedger": 1000} == stage.addresses.dead_letters()


def test_the_report_of_a_crash_is_kept_for_the_log(stage: Stage) -> None:
    """Name, error and traceback."""
    stage.up("hedger").crash("hedger")
    (report,) = stage.watch.crash_reasons
    assert ("hedger", "ValueError: boom", True) == (report.name, report.error, "Traceback" in report.traceback)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError(), RecursionError()], ids=repr)
def test_a_child_that_tries_to_end_the_process_is_restarted(stage: Stage, error: BaseException) -> None:
    """Like any other failure (D2)."""
    stage.error = error
    stage.up("hedger").crash("hedger")
    stage.step(1.0)
    assert [1, 2] == stage.epochs("hedger")


def test_a_child_that_cannot_be_started_is_tried_again(stage: Stage) -> None:
    """No thread left, twice; then there is one, and the others were started meanwhile."""
    stage.refuse_start = {"hedger": 2}
    stage.up("hedger", "quoter")
    stage.pass_time(2.0)
    assert (["hedger", "quoter", "hedger", "hedger"], 2) == (stage.starts, len(stage.watch.crash_reasons))


def test_a_child_that_ends_by_itself_is_noticed(stage: Stage) -> None:
    """Nobody asked the hedger to stop: it comes back."""
    stage.up("hedger")
    stage.worker("hedger").actor_ref.stop(timeout=GUARD_S)
    stage.step()
    stage.step(1.0)
    assert [1, 2] == stage.epochs("hedger")


def test_a_failed_tracker_takes_the_hedger_with_it(stage: Stage) -> None:
    """Both are new, the old hedger is stopped, the feed between them is the same."""
    stage.up("order_tracker", "account_feed", "hedger").crash("order_tracker")
    stopped = stage.workers["hedger"][0].over.wait(GUARD_S)
    stage.step(1.0)
    epochs = {name: stage.epochs(name) for name in ("order_tracker", "account_feed", "hedger")}
    assert (True, {"order_tracker": [1, 4], "account_feed": [2], "hedger": [3, 5]}) == (stopped, epochs)


def test_an_inbox_alarm_restarts_nobody(stage: Stage) -> None:
    """It is passed on, and that is all."""
    stage.up("hedger")
    stage.watch.report(InboxFlooded("hedger", 1, 10_000))
    stage.step()
    stage.step(1.0)
    assert ([InboxFlooded("hedger", 1, 10_000)], [1]) == (stage.reports, stage.epochs("hedger"))


def test_a_crash_loop_leaves_no_thread_behind(stage: Stage) -> None:
    """Six crashes of a feed: one thread at the end, as at the beginning (D5). Those that a test before this one has left do not count."""
    others = set(threading.enumerate())

    def kept() -> set[threading.Thread]:
        return {each for each in set(threading.enumerate()) - others if each.name.startswith("Kept")}

    stage.up("account_feed")
    before = kept()
    for _ in range(6):
        stage.crash("account_feed")
        stage.step(61.0 if stage.actions else 10.0)
    for worker in stage.workers["account_feed"][:-1]:
        assert worker.actor_stopped.wait(GUARD_S)
    deadline = time.monotonic() + GUARD_S
    while len(alive := kept()) > 1:
        assert time.monotonic() < deadline
        for thread in alive:
            thread.join(0.01)
    assert len(before) == len(alive)


# ---- giving up -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "crashes", "expected"),
    [
        ("rate_limiter", 4, [("halt",), ("exit",)]),
        ("trade_lane", 1, [("halt",), ("exit",)]),
        ("query_lane", 6, [("reducing",)]),
        ("hedger", 4, [("reducing",), ("halt",), ("exit",)]),
        ("account_feed", 6, [("fallback on", "account_feed")]),
        ("quoter", 4, [("stay down", "quoter")]),
    ],
)
def test_a_child_that_fails_too_often_is_given_up_its_own_way(
    stage: Stage, kind: str, crashes: int, expected: list[tuple[str, ...]]
) -> None:
    """The composition is told once, with the last crash and not earlier."""
    stage.up(kind)
    for _ in range(crashes - 1):
        stage.crash(kind)
        stage.step(9.9)
    early = list(stage.actions)
    stage.crash(kind)
    assert ([], expected) == (early, stage.actions)


def test_two_good_syncs_end_the_fallback(stage: Stage) -> None:
    """Told by the composition, of the running start."""
    stage.up("account_feed")
    for _ in range(6):
        stage.crash("account_feed")
        stage.step(10.0)
    stage.step(61.0)
    for _ in range(2):
        stage.watch.tell(ChildSynced(name="account_feed", epoch=stage.watch.epoch_of("account_feed")), stage.now)
    assert [("fallback on", "account_feed"), ("fallback off", "account_feed")] == stage.actions


def test_a_silent_feed_is_replaced(stage: Stage) -> None:
    """The old one is stopped, though its thread was sound."""
    stage.up("account_feed")
    stage.watch.tell(ChildSilent(name="account_feed", epoch=1, reason="no frame"), stage.now)
    stage.step(1.0)
    assert ([1, 2], True) == (stage.epochs("account_feed"), stage.workers["account_feed"][0].over.wait(GUARD_S))


# ---- wedges --------------------------------------------------------------------------------------------------------------------


def test_a_wedged_child_is_replaced_within_its_limit(stage: Stage) -> None:
    """0.5 s for a hedger: still there a step before, abandoned at most 0.1 s after; its abort hook is called (D3)."""
    stage.up("hedger")
    stage.block("hedger")
    stage.now = time.monotonic()
    stage.step()
    stage.pass_time(0.4)
    early = list(stage.aborted)
    stage.pass_time(0.2)
    assert ([], ["hedger"]) == (early, stage.aborted)


def test_zombies_that_have_woken_and_gone_are_not_held_against_the_process(stage: Stage) -> None:
    """Over weeks a few threads will hang for a while; what only a new process mends is those that never came back."""
    stage.up("hedger")
    for number in range(MAX_ABANDONED + 1):
        zombie = stage.block("hedger")
        stage.pass_time(100.0)
        zombie.gate.set()
        assert zombie.over.wait(GUARD_S)
        assert number + 2 == len(stage.workers["hedger"])
    assert [] == stage.actions


def test_a_replaced_child_has_the_name_while_the_zombie_sleeps(stage: Stage) -> None:
    """Messages go to the new one."""
    stage.up("hedger")
    stage.block("hedger")
    stage.pass_time(1.5)
    stage.addresses.of("hedger").tell(Tick())
    assert ([1, 2], True) == (stage.epochs("hedger"), stage.worker("hedger").entered.wait(GUARD_S))


def test_a_zombie_that_wakes_handles_nothing_more_and_ends(stage: Stage) -> None:
    """What was in its inbox is skipped; its thread goes (D4)."""
    stage.up("hedger")
    zombie = stage.block("hedger")
    zombie.actor_ref.tell(Tick())
    stage.pass_time(1.5)
    zombie.gate.set()
    assert (True, ["Stop"]) == (zombie.over.wait(GUARD_S), zombie.log)


def test_a_zombie_that_crashes_does_not_restart_its_successor(stage: Stage) -> None:
    """Its report is logged and nothing follows from it (I25)."""
    stage.up("hedger")
    stage.block("hedger")
    stage.pass_time(1.5)
    stage.watch.report(CrashReport("hedger", "hedger", 1, "handle", "late", ""))
    stage.pass_time(1.0)
    assert ([1, 2], 2, 1) == (stage.epochs("hedger"), stage.watch.epoch_of("hedger"), len(stage.watch.crash_reasons))


def test_many_short_messages_are_no_wedge(stage: Stage) -> None:
    """Busy at every look, but each time with another message."""
    stage.up("hedger")
    ref = stage.worker("hedger").actor_ref
    assert isinstance(ref, Ref)
    for n in range(100):
        ref.vitals.busy_since = stage.now - 0.001 * n
        stage.step(0.05)
    ref.vitals.busy_since = None
    assert [] == stage.aborted


def test_a_starved_watch_takes_nobody_for_wedged(stage: Stage) -> None:
    """The process slept 30 s in the middle of a message: that time does not count (D8, P3)."""
    stage.up("hedger")
    stage.block("hedger")
    stage.step()
    stage.step(30.0)
    assert (1, []) == (stage.watch.epoch_of("hedger"), stage.aborted)


def test_a_slow_start_hook_has_a_limit_of_its_own(stage: Stage) -> None:
    """Rebuilding from the journal may take longer than one message, yet not for ever."""
    stage.up("hedger")
    worker = stage.block("hedger")
    ref = worker.actor_ref
    assert isinstance(ref, Ref)
    ref.vitals.is_starting = True
    stage.pass_time(29.0)
    early = list(stage.aborted)
    stage.pass_time(2.0)
    assert ([], ["hedger"]) == (early, stage.aborted)


def test_the_fourth_wedged_thread_ends_the_process(stage: Stage) -> None:
    """Threads cannot be killed; a new process can be had."""
    stage.error = None
    stage.up("account_feed")
    seen = []
    for _ in range(4):
        stage.block("account_feed")
        stage.pass_time(4.0)
        seen.append(list(stage.actions))
        stage.step(30.0)
    assert ([[], [], []], [("halt",), ("exit",)]) == (seen[:3], seen[3])


# ---- health --------------------------------------------------------------------------------------------------------------------


def test_the_dump_lists_every_child_and_what_it_said(stage: Stage) -> None:
    """In start order."""
    stage.up("order_tracker", "hedger")
    answers = stage.watch.health(GUARD_S)
    assert [("order_tracker", "running", {"name": "order_tracker"}), ("hedger", "running", {"name": "hedger"})] == [
        (each.health.name, each.health.state, each.facts) for each in answers
    ]


def test_some_can_be_asked_without_waiting_for_the_others(stage: Stage) -> None:
    """The one that is stuck is not among them, and gets no question."""
    stage.up("order_tracker", "hedger", "quoter")
    stage.block("hedger")
    answers = stage.watch.health(GUARD_S, kinds=("quoter", "order_tracker"))
    rows = [(each.health.name, each.health.state) for each in answers]
    depth = stage.worker("hedger").vitals.queue_depth
    assert ([("order_tracker", "running"), ("quoter", "running")], 0) == (rows, depth)


def test_a_wedged_actor_is_listed_as_unresponsive_and_the_others_answer(stage: Stage) -> None:
    """The dump is complete all the same, with how long it has been busy (I21)."""
    stage.up("order_tracker", "hedger", "quoter")
    stage.block("hedger")
    rows = {each.health.name: each.health for each in stage.watch.health(1.0)}
    states = [rows[name].state for name in ("order_tracker", "hedger", "quoter")]
    assert (["running", "unresponsive", "running"], True, 1) == (states, rows["hedger"].busy_s > 0, rows["hedger"].queue_depth)


def test_a_child_between_two_starts_is_listed(stage: Stage) -> None:
    """Restarting, not alive, with its restart counted."""
    stage.up("hedger").crash("hedger")
    (answer,) = stage.watch.health(GUARD_S)
    assert ("restarting", False, 1) == (answer.health.state, answer.health.alive, answer.health.restarts)


def test_a_child_given_up_is_listed_as_down(stage: Stage) -> None:
    """It does not vanish from the dump."""
    stage.up("trade_lane").crash("trade_lane")
    (answer,) = stage.watch.health(GUARD_S)
    assert ("down", False) == (answer.health.state, answer.health.alive)


# ---- the end -------------------------------------------------------------------------------------------------------------------


def test_children_stop_in_reverse_order(stage: Stage) -> None:
    """Each is over before the one below it is asked."""
    order: list[str] = []
    stage.up("rate_limiter", "order_tracker", "quoter")
    for name in stage.workers:
        stage.worker(name).stopped = lambda name=name: order.append(name)  # type: ignore[method-assign, misc]
    stage.watch.stop(GUARD_S)
    assert ["quoter", "order_tracker", "rate_limiter"] == order


def test_a_wedged_child_does_not_keep_the_others_from_stopping(stage: Stage) -> None:
    """It is abandoned after its deadline and named; pykka's stop_all would leave the rest running (RELIABILITY §2.1 row 5)."""
    stage.up("rate_limiter", "order_tracker", "quoter")
    stage.block("order_tracker")
    abandoned = stage.watch.stop(0.05)
    others = [stage.worker(name).over.wait(GUARD_S) for name in ("rate_limiter", "quoter")]
    assert (("order_tracker",), [True, True], ["order_tracker"]) == (abandoned, others, stage.aborted)


def test_wedged_children_share_the_time_of_three(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everybody stuck the end would come after the process's own; the last ones get the least there is, and no more."""
    names = ("rate_limiter", "order_tracker", "risk", "quoter", "hedger")
    stage.up(*names)
    for name in names:
        stage.block(name)
    waited: list[float] = []
    get = pykka.ThreadingFuture.get

    def noted(future: pykka.ThreadingFuture[object], *, timeout: float) -> object:
        waited.append(timeout)
        return get(future, timeout=timeout)

    monkeypatch.setattr(pykka.ThreadingFuture, "get", noted)
    abandoned = stage.watch.stop(2 * STOP_LEAST_S)
    assert (tuple(reversed(names)), 2 * STOP_LEAST_S, STOP_LEAST_S) == (abandoned, waited[0], waited[-1])


def test_nothing_is_restarted_after_the_stop(stage: Stage) -> None:
    """A child that was waiting for its restart stays down."""
    stage.up("hedger").crash("hedger")
    stage.watch.stop()
    stage.pass_time(1.0)
    assert ["hedger"] == stage.starts


def test_an_event_after_the_stop_starts_nobody(stage: Stage) -> None:
    """The composition may still tell of a silent feed; nothing is decided on the way out."""
    stage.up("account_feed")
    stage.watch.stop()
    stage.watch.tell(ChildSilent(name="account_feed", epoch=1, reason="no frame"), stage.now)
    stage.pass_time(2.0)
    assert ["account_feed"] == stage.starts


def test_a_crash_during_the_stop_is_logged_and_no_more(stage: Stage) -> None:
    """No halt, no exit: the process is leaving already."""
    stage.up("trade_lane")
    stage.worker("trade_lane").stopped = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    stage.watch.stop(GUARD_S)
    assert ([], ["ZeroDivisionError: division by zero"]) == (stage.actions, [each.error for each in stage.watch.crash_reasons])


def test_a_factory_that_returns_something_else_is_a_wiring_error(stage: Stage) -> None:
    """Found at the first start, not at the first wedge."""

    class Foreign(pykka.ThreadingActor):
        use_daemon_thread = True

    stage.watch.add(Child(spec_for("quoter", "quoter"), lambda epoch: Foreign.start()))
    with pytest.raises(TypeError, match="quoter"):
        stage.watch.start()
