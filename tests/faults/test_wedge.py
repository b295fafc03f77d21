"""Actors that hang: replaced and fenced where that is safe, the end of the process where it is not (RELIABILITY.md D3, D4, I20, I21)."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.csv_files import CsvFiles
from adapters.journal import SqliteJournal
from core.messages import OrderDenied, PlaceOrder, Tick
from core.routing import FALLBACK, HEDGER, QUOTER, RECORDER, RISK, TRACKER
from core.supervision import MAX_ABANDONED, ChildSpec
from core.types import Channel, ClientOrderId, Priority, Role, Side, TimeInForce
from tests.faults.house import BACKPACK, GRVT, GUARD_S, House
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until
from tests.faults.samples import sample
from tests.process.kit import by_night

LIMIT_S = 0.4
WRITING_LIMIT_S = 1.0
"""For who waits for the disk with every order: on a busy machine that takes what would be a wedge elsewhere."""
BY_NIGHT = [
    (RISK, "Tick"),
    (FALLBACK, "Tick"),
    (RECORDER, "Tick"),
    (f"rest_poller.{GRVT}", "Tick"),
    (f"rate_limiter.{GRVT}", "PlaceOrder"),
    (f"market_feed.{GRVT}", "Tick"),
    (HEDGER, "Tick"),
    (TRACKER, "FillReported"),
]


def impatient(*kinds: str) -> Callable[[ChildSpec], ChildSpec]:
    """A shorter beat limit for these kinds; the others keep theirs."""
    limits_s = {kind: WRITING_LIMIT_S if kind == "trade_lane" else LIMIT_S for kind in kinds}
    return lambda spec: msgspec.structs.replace(spec, beat_limit_s=limits_s.get(spec.kind, spec.beat_limit_s))


class Gate:
    """Where a handler hangs until the test lets it go."""

    def __init__(self) -> None:
        self.entered, self.open, self.left = threading.Event(), threading.Event(), threading.Event()

    def wait(self) -> None:
        self.entered.set()
        self.open.wait(GUARD_S)


def wedge(run: LocalRun, saboteur: Saboteur, name: str, kind: str) -> Gate:
    """``name`` hangs at its next message of that type."""
    gate = Gate()
    saboteur.plant(Fault(name, kind, block=gate.wait))
    if kind == Tick.__name__:
        run.tell(name, Tick())
    assert gate.entered.wait(GUARD_S)
    return gate


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (HEDGER, "FillRecorded"),
        (TRACKER, "OrderSubmitted"),
        (QUOTER, "Tick"),
        *(pytest.param(*pair, marks=pytest.mark.night) for pair in BY_NIGHT),
    ],
)
def test_a_wedged_actor_is_replaced_and_its_awakening_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """A new life goes on trading; the old thread then wakes, finishes its message, and neither hedges again nor dies loudly."""
    quicken(monkeypatch, change=impatient(name.partition(".")[0]))
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        before = run.epoch(name)
        gate = wedge(run, saboteur, name, kind)
        until(lambda: run.epoch(name) > before, f"{name} to be replaced")
        run.until_traded()
        gate.open.set()
        run.until_traded(2)
        assert ([], False) == (run.crashes, run.is_over)
        run.assert_ends_in_order()
    assert_adds_up(house)


@pytest.mark.parametrize("channel", [Channel.ACCOUNT, *by_night(Channel.MARKET)])
def test_a_stream_that_never_returns_is_shut_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: Channel
) -> None:
    """A thread in ``recv`` cannot be asked to go: its socket is shut, and another stream takes over."""
    quicken(monkeypatch, change=impatient(f"{channel.value}_feed"))
    house = House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        stuck = house.hedge.stream(channel)
        stuck.frames.put(None)
        assert stuck.hanging.wait(GUARD_S)
        until(stuck.aborted.is_set, "the socket to be shut")
        until(lambda: [each for each in house.hedge.streams if each.channel is channel] != [stuck], "another stream")
        run.until_traded()
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_a_wedged_trade_lane_ends_the_process_and_sends_nothing_when_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1; the lane's right to send was revoked before it woke; the next run hedges what the first could not."""
    quicken(monkeypatch, change=impatient("trade_lane"))
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers():
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            gate = wedge(run, saboteur, f"order_gateway.{BACKPACK}", "PlaceOrder")
            sent = len(house.hedge.sent)
            code = run.wait()
            ghosts = [thread for thread in threading.enumerate() if thread.name.startswith("OrderGateway")]
            gate.open.set()
            for ghost in ghosts:
                ghost.join(GUARD_S)
            assert (1, sent) == (code, len(house.hedge.sent))
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            run.assert_ends_in_order()
    assert_adds_up(house)


@pytest.mark.parametrize("is_executed", [True, False])
def test_a_call_that_hangs_in_a_trade_lane_is_taken_up_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_executed: bool
) -> None:
    """The process leaves while the order's outcome is open; the next one hedges exactly what is open, whichever way it went."""
    quicken(monkeypatch, change=impatient("trade_lane"))
    house = House()
    with house.takers():
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            house.hedge.faults.append("hold" if is_executed else "hold_and_lose")
            assert house.hedge.holding.wait(GUARD_S)
            code = run.wait()
            house.hedge.release.set()
            assert 1 == code
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            run.assert_ends_in_order()
    assert_adds_up(house)


def test_one_abandoned_thread_too_many_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads cannot be killed: three are borne, the fourth is exit 1."""
    quicken(monkeypatch, change=impatient("hedger", "quoter", "risk", "fallback"))
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        gates = []
        for name in (HEDGER, QUOTER, RISK)[:MAX_ABANDONED]:
            before = run.epoch(name)
            gates.append(wedge(run, saboteur, name, "Tick"))
            until(lambda: run.epoch(name) > before or run.is_over, f"{name} to be replaced")  # noqa: B023  called at once
        is_over = run.is_over
        gates.append(wedge(run, saboteur, FALLBACK, "Tick"))
        code = run.wait()
        for gate in gates:
            gate.open.set()
        assert (False, 1, True) == (is_over, code, "abandoned" in (run.loop.failure or ""))


def test_the_health_dump_is_complete_while_one_actor_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All actors are listed; the one that hangs as unresponsive."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        gate = wedge(run, saboteur, RECORDER, "Tick")
        run.loop.request_health()
        until((tmp_path / "health.json").exists, "the dump")
        states = {row["name"]: row["state"] for row in json.loads((tmp_path / "health.json").read_text())["actors"]}
        gate.open.set()
    expected = dict.fromkeys(run.epochs(), "running") | {RECORDER: "unresponsive"}
    assert expected == states


@pytest.mark.parametrize("line", ["fill", *by_night("pair")])
def test_a_report_file_that_hangs_keeps_the_recorders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The successor waits for the same disk, on its own thread: whoever watches goes on. Then the disk is back, and each fill counts once."""
    quicken(monkeypatch, change=impatient("recorder"))
    house, gate, disk = House(), Gate(), threading.Lock()
    genuine, commit = getattr(CsvFiles, line), SqliteJournal._transact

    def write(files: CsvFiles, row: object) -> None:
        with disk:
            gate.wait()
            genuine(files, row)

    def transact(journal: SqliteJournal, statements: Any) -> None:
        with disk:
            commit(journal, statements)

    with running(tmp_path, house, monkeypatch) as run:
        with house.takers():
            run.until_traded()
            before = run.epoch(RECORDER)
            monkeypatch.setattr(SqliteJournal, "_transact", transact)
            monkeypatch.setattr(CsvFiles, line, write)
            assert gate.entered.wait(GUARD_S)
        until(lambda: run.epoch(RECORDER) > before, "a successor")
        run.loop.request_health()
        until((tmp_path / "health.json").exists, "the dump")
        gate.open.set()
        with house.takers():
            run.until_traded(2)
        run.assert_ends_in_order()
    assert_adds_up(house)
    totals, volume = run.composition._totals.summary(), house.maker.volume
    with (tmp_path / "fills.csv").open(newline="") as file:
        written = sum(Decimal(row["qty"]) for row in csv.DictReader(file))
    assert (volume, volume, 2 * volume) == (totals.filled, totals.hedged, written)
    told = sum(fill.price * fill.quantity for venue in house.venues for fill in venue.fills)
    assert told == sum(venue.volume for venue in totals.venues)


def test_an_order_of_a_replaced_life_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes with an order in hand is refused by its epoch, and nothing of it reaches the venue."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        before = run.epoch(HEDGER)
        saboteur.plant(Fault(HEDGER, "Tick"))
        until(lambda: run.epoch(HEDGER) > before, "a new hedger")
        run.until_active()
        order = sample(
            PlaceOrder,
            BACKPACK,
            side=Side.SELL,
            quantity=Decimal("0.05"),
            price=Decimal("2999"),
            reference_price=Decimal("2999"),
            time_in_force=TimeInForce.IOC,
            role=Role.HEDGE,
            client_order_id=ClientOrderId(4_000_000_001),
            priority=Priority.P0,
            owner=HEDGER,
            epoch=before,
        )
        run.tell(f"rate_limiter.{BACKPACK}", order)
        (denied,) = until(lambda: run.seen(OrderDenied), "the denial")
        assert ("has been replaced" in denied.reason, []) == (True, house.hedge.sent)
