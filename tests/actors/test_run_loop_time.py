"""The end of a run on a virtual clock: how long it takes at most, since parts that are stuck cost every question to them its whole time-out,
what is believed of the answers, and what is said of a kill switch that cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from actors import run_loop
from actors.base import CrashReport
from actors.children import LONGEST_TRADE_CALL_S
from actors.mailbox import Addresses
from actors.run_loop import EXIT_EXPOSED, EXIT_FAILED, ControlInbox, RunLoop, VenueSymbol
from actors.supervision import STEP_S, STOP_DEADLINE_S, STOP_LEAST_S, STOPS_IN_FULL, ActorAnswer
from adapters.run_signals import HARD_EXIT_S
from core.health import ActorHealth, HealthDump
from core.messages import Alert, CancelAll, Message, Stop, TradingStateChanged
from core.routing import TRACKER
from core.types import TradingState, VenueId
from tests.actors.test_run_loop import BACKPACK, GRVT, instrument, order

POLLERS, LANES = ("rest_poller.grvt", "rest_poller.backpack"), ("order_gateway.grvt", "order_gateway.backpack")
KINDS = {"recorder": "recorder", TRACKER: TRACKER, **dict.fromkeys(POLLERS, "rest_poller"), **dict.fromkeys(LANES, "trade_lane")}
STUCK = [POLLERS[:1], LANES[:1], (TRACKER,), (*POLLERS, *LANES), tuple(KINDS)]
DUMP_LIMIT_S = 2.0
BEGAN = 1_000.0


class Stage:
    """A run loop over actors that answer at once or, when they are ``stuck``, never. One order is of unknown outcome and stays so. ``due``:
    what happens when the clock comes there."""

    def __init__(self, stuck: Collection[str] = (), places: tuple[VenueId, ...] = (GRVT, BACKPACK)) -> None:
        self.now = BEGAN
        self.stuck = stuck
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.on_round: Callable[[], None] = lambda: None
        self.dumped_at: list[float] = []
        self.inbox = ControlInbox(Addresses())
        self.facts: dict[str, dict[str, Any]] = {TRACKER: {"orders": (order("UNKNOWN"),), "positions": {GRVT: Decimal("0.1")}}}
        venues = [VenueSymbol(each, instrument(each), has_dead_man=True, clock_offset_ms=float) for each in places]
        watch: Any = self
        self.is_killed: Callable[[], bool] = lambda: False
        self.routed: list[Message] = []
        self.is_halted = False
        self.loop = RunLoop(watch, self.inbox, self._route, venues, self._dump, dict, self._is_killed)

    def _route(self, message: Message) -> None:
        self.routed.append(message)
        if isinstance(message, Alert) and message.key == "halt":
            self.is_halted = True
        if isinstance(message, Stop) or self.is_halted:
            state = TradingState.HALTED if self.is_halted else TradingState.STOPPING
            self.inbox.tell(TradingStateChanged(state=state, reason="test", at=self.now))

    def _is_killed(self) -> bool:
        return self.is_killed()

    def _dump(self, _: HealthDump) -> None:
        self.dumped_at.append(self.now)

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while self.due and self.due[0][0] <= until:
            self.now, happens = self.due.pop(0)
            happens()
        self.now = until

    # ---- in the place of the watch -------------------------------------------------------------------------------------------

    def wait(self, timeout_s: float = STEP_S) -> None:
        self._pass(timeout_s)

    def step(self, now: float) -> None:
        """Nobody crashes."""

    def report(self, report: CrashReport) -> None:
        """For the log."""

    def health(self, timeout_s: float, *, kinds: Collection[str] = ()) -> tuple[ActorAnswer, ...]:
        asked = [name for name, kind in KINDS.items() if not kinds or kind in kinds]
        if any(name in self.stuck for name in asked):
            self._pass(timeout_s)
        answers = tuple(self._answer(name) for name in asked)
        self.on_round()
        return answers

    def _answer(self, name: str) -> ActorAnswer:
        is_stuck = name in self.stuck
        row = ActorHealth(
            name=name,
            kind=KINDS[name],
            alive=True,
            state="unresponsive" if is_stuck else "running",
            queue_depth=int(is_stuck),
            busy_s=float(is_stuck),
        )
        return ActorAnswer(row, {} if is_stuck else self.facts.get(name, {}))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], Stage]:
    """Makes a stage's clock the loop's."""

    def use(stage: Stage) -> Stage:
        monkeypatch.setattr(run_loop, "time", SimpleNamespace(monotonic=lambda: stage.now))
        return stage

    return use


@pytest.mark.parametrize("stuck", STUCK, ids=lambda stuck: f"{len(stuck)} {stuck[0]}")
def test_what_is_left_is_said_and_all_is_written_before_the_hard_exit(
    clock: Callable[[Stage], Stage], stuck: tuple[str, ...]
) -> None:
    """An order that nobody can settle: ``run`` is over with time to spare for saying so, then the dump and the stop of every child."""
    stage = clock(Stage(stuck))
    stage.loop.stop("SIGTERM", BEGAN)
    stage.loop.run()
    said_after = stage.now - BEGAN
    stage.loop.finish()
    stop_s = STOPS_IN_FULL * STOP_DEADLINE_S + STOP_LEAST_S * len(stuck)
    assert (True, True) == (said_after < HARD_EXIT_S - 3, stage.now - BEGAN + stop_s < HARD_EXIT_S)


def test_the_time_is_counted_from_the_signal_and_not_from_the_drain(clock: Callable[[Stage], Stage]) -> None:
    """It came eleven seconds before the run, in a slow start-up: what is known is said at once."""
    stage = clock(Stage())
    stage.loop.stop("SIGTERM", BEGAN - 11)
    stage.loop.run()
    assert (True, [7]) == (stage.now < BEGAN + 2, [each.client_order_id for each in stage.loop.residue.orders])


def test_a_tracker_that_falls_silent_leaves_its_last_word(clock: Callable[[Stage], Stage]) -> None:
    """Not known any more, so never flat; but venue, side and quantity are said."""
    stage = clock(Stage())
    stage.loop.stop("SIGTERM", BEGAN)
    stage.due = [(BEGAN + 3, lambda: setattr(stage, "stuck", (TRACKER,)))]
    stage.loop.run()
    expected = """
left: unknown, the order tracker did not answer; when it last did:
left at grvt: BUY 0.1
left at grvt: order 7 BUY 0.1 UNKNOWN"""
    assert expected == stage.loop.residue.text


def seconds_to_the_dump(stage: Stage, offset_s: float) -> float:
    """From a question so long after the signal to the next dump; 0 when the run was over."""
    stage.loop.stop("SIGTERM", BEGAN)
    stage.due = [(BEGAN + offset_s, stage.loop.request_health)]
    stage.loop.run()
    stage.loop.finish()
    return 0.0 if stage.due else min(at for at in stage.dumped_at if at >= BEGAN + offset_s) - BEGAN - offset_s


@pytest.mark.parametrize("stuck", STUCK, ids=lambda stuck: f"{len(stuck)} {stuck[0]}")
def test_a_dump_in_a_drain_comes_in_time_whenever_it_is_asked_for(
    clock: Callable[[Stage], Stage], stuck: tuple[str, ...]
) -> None:
    """Whoever is stuck is stuck in every round; there is at most one that has begun before the dump's own."""
    late = [each for each in range(250) if seconds_to_the_dump(clock(Stage(stuck)), each / 20) > DUMP_LIMIT_S - STEP_S]
    assert [] == late


def test_the_tracker_is_believed_behind_the_gateways_and_not_beside_them(clock: Callable[[Stage], Stage]) -> None:
    """One round asks all at once: the tracker may answer "no order" before a gateway passes a quote on, and answers for STOPPING."""
    stage = clock(Stage())
    stage.facts[TRACKER] = {"orders": (), "positions": {}}
    stage.on_round = lambda: stage.facts.update({TRACKER: {"orders": (order(),), "positions": {}}})
    stage.loop.stop("SIGTERM", BEGAN)
    assert EXIT_EXPOSED == stage.loop.run()


def test_a_kill_switch_that_cannot_be_read_is_told_at_each_change(clock: Callable[[Stage], Stage]) -> None:
    """Not known is neither thrown nor an end of the run: said once, again for another cause, and again when it can be read."""
    stage = clock(Stage())
    answers: list[int | bool] = [False, errno.EIO, errno.EIO, errno.ESTALE, False, False, True]

    def is_killed() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, bool):
            return answer
        raise OSError(answer, os.strerror(answer))

    stage.is_killed = is_killed
    stage.due = [(BEGAN + 10, lambda: stage.loop.stop("SIGTERM", stage.now))]
    stage.loop.run()
    alerts = [message for message in stage.routed if isinstance(message, Alert)]
    expected = [
        ("kill-switch", "critical", os.strerror(errno.EIO)),
        ("kill-switch", "critical", os.strerror(errno.ESTALE)),
        ("kill-switch", "info", "the kill switch can be read again"),
        ("halt", "critical", "the kill switch was thrown"),
    ]
    assert expected == [(each.key, each.level, each.text.rpartition(": ")[2]) for each in alerts]


@pytest.mark.parametrize(
    ("places", "expected"), [((GRVT, BACKPACK), ["Stop", "CancelAll", "CancelAll"]), ((GRVT,), ["Alert"])], ids=["two", "one"]
)
def test_an_error_of_the_main_thread_leaves_a_held_bracket_its_stop(
    clock: Callable[[Stage], Stage], places: tuple[VenueId, ...], expected: list[str]
) -> None:
    """Two venues: no more quotes, all cancelled. One: halted, since a bracket that is told to stop would take its legs away, and no cancel."""
    stage = clock(Stage(places=places))
    stage.is_killed = lambda: bool(1 / 0)
    code = stage.loop.run()
    sent = [type(each).__name__ for each in stage.routed if isinstance(each, (Alert, CancelAll, Stop))]
    assert (EXIT_FAILED, "the main thread: ZeroDivisionError: division by zero", expected) == (code, stage.loop.failure, sent)


@pytest.mark.parametrize(("net", "expected"), [("0.1", ["Alert"]), ("0.009", ["Stop", "CancelAll"])], ids=["held", "flat"])
def test_a_bracket_whose_tracker_is_gone_keeps_the_stop_of_what_the_gateway_holds(
    clock: Callable[[Stage], Stage], net: str, expected: list[str]
) -> None:
    """Nobody has asked the tracker before it failed for good. The gateway has counted the same fills."""
    stage = clock(Stage((TRACKER,), places=(GRVT,)))
    stage.facts[LANES[0]] = {"net": Decimal(net)}
    stage.loop.fail("order_tracker: gone")
    code = stage.loop.run()
    sent = [type(each).__name__ for each in stage.routed if isinstance(each, (Alert, CancelAll, Stop))]
    assert (EXIT_FAILED, expected, False) == (code, sent, stage.loop.residue.is_known)


def test_a_drain_that_knows_nothing_takes_no_stop_away(clock: Callable[[Stage], Stage]) -> None:
    """The tracker is silent from the signal on; the pair itself is told to end, and may."""
    stage = clock(Stage((TRACKER,), places=(GRVT,)))
    stage.facts[LANES[0]] = {"net": Decimal("0.1")}
    stage.loop.stop("SIGTERM", BEGAN)
    code = stage.loop.run()
    assert (EXIT_EXPOSED, []) == (code, [each for each in stage.routed if isinstance(each, CancelAll)])


@pytest.mark.parametrize(("is_stopped", "is_awaited"), [(False, True), (True, False)])
def test_a_run_that_fails_waits_for_the_call_its_cancel_is_queued_behind(
    clock: Callable[[Stage], Stage], is_stopped: bool, is_awaited: bool
) -> None:
    """A gateway is in a call of five seconds: to leave before it ends is to leave the quote. After a signal the hard exit is near."""
    stage = clock(Stage(LANES[:1]))
    if is_stopped:
        stage.loop.stop("SIGTERM", BEGAN)
    stage.due = [(BEGAN + LONGEST_TRADE_CALL_S, lambda: setattr(stage, "stuck", ()))]
    stage.loop.fail("risk: gone")
    stage.loop.run()
    assert is_awaited is (stage.stuck == ())
