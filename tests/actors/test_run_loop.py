"""The main thread of a run: signals, the ordered stop, the residue, the health dump; with real actors and a real watch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import FrameType

import pykka
import pytest

import actors.run_loop
from actors.base import Actor, Identity
from actors.mailbox import Addresses
from actors.run_loop import EXIT_EXPOSED, EXIT_FAILED, EXIT_FLAT, ControlInbox, RunLoop, VenueSymbol
from actors.supervision import Actions, Child, Watch
from core.health import HealthDump, OrderHealth
from core.instrument import Instrument
from core.messages import Alert, CancelAll, Message, RenewDeadMan, RunFinished, Stop, Tick, TradingStateChanged
from core.routing import TRACKER
from core.supervision import spec_for
from core.types import TradingState, VenueId

GUARD_S = 30.0
GRVT, BACKPACK = VenueId("grvt"), VenueId("backpack")


def instrument(venue: VenueId) -> Instrument:
    lot = Decimal("0.01")
    return Instrument(
        venue=venue,
        symbol=f"ETH@{venue}",
        base="ETH",
        quote="USDT",
        tick_size=lot,
        lot_size=lot,
        min_quantity=lot,
        min_notional=Decimal(0),
        contract_id="",
        base_decimals=0,
    )


class Facts(Actor):
    """Answers the health request with what it was given; a Tick holds it until ``release``."""

    def __init__(self, identity: Identity, facts: dict[str, object], hold: threading.Event, release: threading.Event) -> None:
        super().__init__(identity)
        self._facts, self._hold, self._release = facts, hold, release

    def handle(self, message: Message) -> None:
        if isinstance(message, Tick):
            self._hold.set()
            self._release.wait(GUARD_S)

    def health(self) -> Mapping[str, object]:
        return self._facts


class Rig:
    """A run loop over a tracker that says what the test wants; routed messages are kept, and may change the facts. A stop is answered with
    STOPPING, as the risk judge does, unless ``is_judge_there`` is false."""

    def __init__(self) -> None:
        self.facts: dict[str, object] = {"orders": (), "positions": {}}
        self.hold, self.release = threading.Event(), threading.Event()
        self.routed: list[Message] = []
        self.dumps: list[HealthDump] = []
        self.exits: list[str] = []
        self.is_judge_there = True
        self.offset_ms = 0.0
        self.on_route: Callable[[Message], None] = lambda message: None
        self.on_turn: Callable[[int], None] = lambda turn: None
        self.turns = 0
        nothing = lambda *_: None  # noqa: E731  seven callbacks of no interest
        actions = Actions(nothing, lambda reason: self.loop.fail(reason), nothing, nothing, nothing, nothing, nothing)  # noqa: PLW0108  the loop does not exist yet
        self.addresses = Addresses()
        self.watch = Watch(self.addresses, actions, lambda: 0.0)
        self.inbox = ControlInbox(self.addresses)
        venues = [
            VenueSymbol(GRVT, instrument(GRVT), has_dead_man=True, clock_offset_ms=self._offset_ms),
            VenueSymbol(BACKPACK, instrument(BACKPACK), has_dead_man=False, clock_offset_ms=float),
        ]
        self.tidied = 0
        self.loop = RunLoop(self.watch, self.inbox, self._route, venues, self.dumps.append, dict, tidy=self._tidy)

    def _route(self, message: Message) -> None:
        self.routed.append(message)
        if isinstance(message, Stop) and self.is_judge_there:
            self.say(TradingState.STOPPING)
        self.on_route(message)

    def _tidy(self) -> None:
        self.tidied += 1

    def stop(self) -> None:
        self.loop.stop("SIGTERM", time.monotonic())

    def run(self) -> int:
        """As the supervisor does it."""
        code = self.loop.run()
        self.loop.finish()
        return code

    def _offset_ms(self) -> float:
        """Asked for once a turn."""
        self.turns += 1
        self.on_turn(self.turns)
        return self.offset_ms

    def say(self, state: TradingState) -> None:
        self.inbox.tell(TradingStateChanged(state=state, reason="test", at=time.monotonic()))

    def start(self, *, longest_call_s: float = GUARD_S) -> None:
        spec = spec_for("order_tracker", TRACKER, longest_call_s=longest_call_s)
        self.watch.add(
            Child(
                spec,
                lambda epoch: Facts.start(
                    Identity(TRACKER, "order_tracker", epoch, self.watch.report), self.facts, self.hold, self.release
                ),
            )
        )
        self.watch.start()

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.routed if isinstance(message, kind)]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.release.set()
    made.watch.stop(GUARD_S)
    pykka.ActorRegistry.stop_all(timeout=GUARD_S)


def order(state: str = "ACCEPTED") -> OrderHealth:
    return OrderHealth(
        venue="grvt",
        symbol="ETH@grvt",
        client_order_id=7,
        venue_order_id=None,
        role="maker",
        side="BUY",
        price=Decimal(3000),
        quantity=Decimal("0.1"),
        filled_quantity=Decimal(0),
        state=state,
    )


def test_a_finished_run_that_is_flat_exits_0(rig: Rig) -> None:
    """RunFinished in the control inbox stops it; the cores are told to stop, and the last dump is written."""
    rig.start()
    rig.inbox.tell(RunFinished(cycles=1, at=0.0))
    assert (EXIT_FLAT, True, 1) == (rig.run(), bool(rig.of(Stop)), len(rig.dumps))


def test_the_drain_waits_for_an_order_to_end(rig: Rig) -> None:
    """It does not leave while the tracker holds an open order, cancels everything after a while, and leaves when it is gone."""
    rig.facts["orders"] = (order(),)

    def cancel(message: Message) -> None:
        if isinstance(message, CancelAll):
            rig.facts["orders"] = ()

    rig.on_route = cancel
    rig.start()
    rig.stop()
    assert (EXIT_FLAT, {GRVT, BACKPACK}) == (rig.run(), {message.venue for message in rig.of(CancelAll)})  # type: ignore[attr-defined]


def test_a_flat_account_is_not_believed_while_a_quote_may_still_leave(rig: Rig) -> None:
    """The judge was being built anew when the stop was told: only its word to the gateways makes the tracker's "no order" final."""
    rig.is_judge_there = False
    rig.on_route = lambda message: rig.say(TradingState.STOPPING) if len(rig.of(Stop)) == 2 else None
    rig.start()
    rig.stop()
    assert (EXIT_FLAT, True) == (rig.run(), len(rig.of(Stop)) >= 2)


def test_a_second_wish_leaves_with_the_residue(rig: Rig) -> None:
    """An order that will not end is left, and named."""
    rig.facts["orders"] = (order("UNKNOWN"),)
    rig.start()
    rig.stop()
    rig.on_route = lambda message: rig.loop.hasten()
    assert (EXIT_EXPOSED, [7]) == (rig.run(), [each.client_order_id for each in rig.loop.residue.orders])


def test_a_second_wish_before_the_drain_has_begun_cancels_all_the_same(rig: Rig) -> None:
    """Both came while the main thread was elsewhere: the cores are told, and what rests is cancelled, before it leaves."""
    rig.facts["orders"] = (order(),)
    rig.on_route = lambda message: rig.facts.update(orders=()) if isinstance(message, CancelAll) else None
    rig.start()
    rig.stop()
    rig.loop.hasten()
    assert (EXIT_FLAT, True) == (rig.run(), bool(rig.of(Stop)))
    assert {GRVT, BACKPACK} == {message.venue for message in rig.of(CancelAll)}  # type: ignore[attr-defined]


def test_a_second_wish_waits_until_no_quote_can_leave_any_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge answers three turns later: what may have left until then is cancelled behind its word, not before it."""
    rig.is_judge_there = False
    rig.facts["orders"] = (order(),)
    heard: list[str] = []
    for limit in ("HASTE_LIMIT_S", "CANCEL_ALL_AFTER_S"):
        monkeypatch.setattr(actors.run_loop, limit, GUARD_S)

    def on_route(message: Message) -> None:
        if isinstance(message, CancelAll):
            heard.append(rig.loop.health().state)
            rig.facts["orders"] = ()

    rig.on_turn = lambda turn: rig.say(TradingState.STOPPING) if turn == 3 else None
    rig.on_route = on_route
    rig.start()
    rig.stop()
    rig.loop.hasten()
    assert (EXIT_FLAT, {"STOPPING"}) == (rig.run(), set(heard))


def test_a_signal_after_the_last_cycle_is_the_first_one(rig: Rig) -> None:
    """The run was ending by itself; the order that still rests is waited for as ever."""
    rig.facts["orders"] = (order(),)
    rig.on_route = lambda message: rig.stop() if isinstance(message, Stop) else None
    rig.on_turn = lambda turn: rig.facts.update(orders=()) if turn == 8 else None
    rig.start()
    rig.inbox.tell(RunFinished(cycles=1, at=0.0))
    assert EXIT_FLAT == rig.run()


def test_positions_that_hedge_each_other_end_the_drain_and_are_said(rig: Rig) -> None:
    """A drain cannot change them: exit code 3, both in the residue."""
    rig.facts["positions"] = {GRVT: Decimal("0.1"), BACKPACK: Decimal("-0.1")}
    rig.start()
    rig.stop()
    expected = ((GRVT, Decimal("0.1")), (BACKPACK, Decimal("-0.1")))
    assert (EXIT_EXPOSED, expected) == (rig.run(), rig.loop.residue.positions)


def test_dust_is_flat(rig: Rig) -> None:
    """Less than a lot can be neither sold nor bought."""
    rig.facts["positions"] = {GRVT: Decimal("0.009"), BACKPACK: Decimal(0)}
    rig.start()
    rig.stop()
    assert EXIT_FLAT == rig.run()


def test_the_dead_man_switch_is_set_where_there_is_one_and_lifted_at_a_clean_end(rig: Rig) -> None:
    """Armed with 30 s in the first round, disarmed with 0 when no order is left; never at a venue that has none."""
    rig.start()
    rig.inbox.tell(RunFinished(cycles=1, at=0.0))
    rig.run()
    assert [(GRVT, 30.0), (GRVT, 0.0)] == [(message.venue, message.countdown_s) for message in rig.of(RenewDeadMan)]  # type: ignore[attr-defined]


def test_the_dead_man_switch_stays_armed_while_an_order_is_left(rig: Rig) -> None:
    """It cancels what this process could not."""
    rig.facts["orders"] = (order("UNKNOWN"),)
    rig.start()
    rig.stop()
    rig.on_route = lambda message: rig.loop.hasten()
    rig.run()
    assert 0.0 not in [message.countdown_s for message in rig.of(RenewDeadMan)]  # type: ignore[attr-defined]


def test_a_clock_that_has_come_apart_is_told_once(rig: Rig) -> None:
    """By the first round that sees it; every later round sees the same."""
    rig.offset_ms = 3_000.0
    rig.facts["orders"] = (order(),)
    rig.start()
    rig.stop()
    rig.on_route = lambda message: rig.facts.update(orders=()) if isinstance(message, CancelAll) else None
    rig.run()
    assert [("clock", "warning")] == [(message.key, message.level) for message in rig.of(Alert)]  # type: ignore[attr-defined]


def test_a_child_that_fails_for_good_ends_the_run_with_1(rig: Rig) -> None:
    """No drain: the parts that it would need are not to be trusted. Who would quote on is told to stop, and everything is cancelled."""
    rig.facts["orders"] = (order(),)
    rig.start()
    rig.loop.fail("order_tracker: gone")
    code, sent = rig.run(), [type(message) for message in rig.routed if isinstance(message, (Stop, CancelAll))]
    assert (EXIT_FAILED, [Stop, CancelAll, CancelAll], "order_tracker: gone") == (code, sent, rig.loop.failure)


def test_a_tracker_that_does_not_answer_is_never_taken_for_flat(rig: Rig) -> None:
    """It is wedged when the stop comes: nothing is known, so the exit code may not be 0."""
    rig.facts["orders"] = (order(),)
    rig.start()
    rig.addresses.of(TRACKER).tell(Tick())
    assert rig.hold.wait(GUARD_S)
    rig.stop()
    rig.on_route = lambda message: rig.loop.hasten() if isinstance(message, Stop) else None
    assert EXIT_FLAT != rig.run()


def test_a_wedged_actor_does_not_keep_the_health_dump(rig: Rig) -> None:
    """It is listed as unresponsive, with its queue and how long it has been at its message."""
    rig.start()
    rig.addresses.of(TRACKER).tell(Tick())
    assert rig.hold.wait(GUARD_S)
    dump = rig.loop.health()
    (row,) = dump.actors
    assert ("unresponsive", True, True) == (row.state, row.alive, row.busy_s > 0)


def test_the_dump_says_the_trading_state(rig: Rig) -> None:
    """As the last TradingStateChanged told it."""
    rig.start()
    rig.is_judge_there = False
    rig.say(TradingState.HALTED)
    rig.inbox.tell(RunFinished(cycles=1, at=0.0))
    rig.run()
    assert "HALTED" == rig.dumps[-1].state


def test_a_signal_handler_that_outlasts_a_wait_does_not_stop_the_main_thread(rig: Rig) -> None:
    """A wait of 50 ms ends although a signal in the middle of it was handled for longer than the rest."""

    def slow(_number: int, _frame: FrameType | None) -> None:
        time.sleep(0.1)

    before = signal.signal(signal.SIGUSR2, slow)
    main = threading.main_thread().ident
    assert main is not None
    try:
        for delay_s in (0.01, 0.02, 0.03):
            timer = threading.Timer(delay_s, signal.pthread_kill, (main, signal.SIGUSR2))
            timer.start()
            rig.watch.wait(0.05)
            timer.join()
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(("every_s", "is_tidied"), [(0.0, True), (3600.0, False)])
def test_it_tidies_up_when_it_is_time(rig: Rig, monkeypatch: pytest.MonkeyPatch, every_s: float, is_tidied: bool) -> None:
    """And not before."""
    monkeypatch.setattr(actors.run_loop, "TIDY_S", every_s)
    rig.start()
    rig.on_turn = lambda turn: rig.stop() if turn == 3 else None
    rig.run()
    assert is_tidied is bool(rig.tidied)
