"""An exception at every pair of actor and message type, before and after the real handling (RELIABILITY.md D1, D2).

The pairs are read from the routing table. What must follow: the actor is started anew, or the process leaves where its part must not be
restarted in place; nobody else dies; the run goes on trading, and at the end as much is hedged as was filled, each fill once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from actors.base import Actor
from core.messages import (
    AttemptFinished,
    AttemptStarted,
    BookUpdated,
    CancelOrder,
    ClientIdsLeased,
    FillRecorded,
    FillReported,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OrderAccepted,
    OrderChanged,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderSubmitted,
    PairClosed,
    PlaceOco,
    PlaceOrder,
    RateLimited,
    Resync,
    Stop,
    SubmitNotSent,
    SubmitUnknown,
    Tick,
)
from core.routing import CLERK, CONTROL, FALLBACK, GRANTED, HEDGER, QUOTER, RECORDER, RISK, ROUTES, TRACKER
from core.supervision import ChildSpec, spec_for
from core.types import VenueId
from tests.faults.house import BACKPACK, GRVT, House
from tests.faults.rig import Fault, LocalRun, Saboteur, assert_adds_up, quicken, running, until
from tests.faults.samples import sample
from tests.process.kit import by_night

AGAIN_S = 0.2
VENUES = (GRVT, BACKPACK)
DAY = {
    *((name, kind, "before") for name in ("order_gateway.grvt",) for kind in (CancelOrder, OrderChanged)),
    *((f"order_gateway.{venue}", PlaceOrder, when) for venue in VENUES for when in ("before", "after")),
    ("order_gateway.backpack", FillRecorded, "after"),
}
DECIDERS = (HEDGER, QUOTER, RISK, FALLBACK)
NATURAL = frozenset(
    {
        BookUpdated, FillReported, OrderReported, OrderSubmitted, OrderAccepted, FillRecorded, OrderChanged, PlaceOrder, PairClosed,
        AttemptStarted, AttemptFinished,
    }
)  # fmt: skip
"""What comes by itself, again and again, while quotes are filled and hedged."""
TICKING = (*DECIDERS, TRACKER, RECORDER)
PROVOKED: dict[type[Message], str] = {
    SubmitUnknown: "lose_answer",
    OrderNotFound: "lose_request",
    SubmitNotSent: "not_sent",
    OrderRejected: "refuse",
    RateLimited: "throttle",
}
"""Which fault of a venue makes a message come about; all others are handed to the actor as they would come."""


def pairs() -> list[tuple[str, type[Message]]]:
    """Every actor of a run with every message type that it can be told; the end of a run has a test of its own, and linked exits are
    a bracket's."""
    found: dict[tuple[str, type[Message]], None] = {}
    for kind, names in [*ROUTES.items(), *((kind, (name,)) for kind, name in GRANTED.items())]:
        for name in names:
            for venue in VENUES:
                found[name.replace("*", venue).format(venue=venue).replace(CLERK, f"order_gateway.{GRVT}"), kind] = None
    for name in (HEDGER, QUOTER, RISK, RECORDER):
        found[name, LedgerSnapshot] = None
    for name in (HEDGER, QUOTER):
        found[name, ClientIdsLeased] = None
    found[TRACKER, LedgerRequested] = None
    for name in {name for name, _ in found} - {CONTROL}:
        if not name.startswith("order_gateway"):
            found[name, Tick] = None
        if "_feed." in name:
            found[name, Resync] = None
    return sorted(
        (pair for pair in found if pair[0] != CONTROL and pair[1] not in (Stop, PlaceOco)),
        key=lambda pair: (pair[0], pair[1].__name__),
    )


DECIDING = (HEDGER, RISK, TRACKER, f"rate_limiter.{GRVT}")
"""Whose handlers have something to say before they fail: the others fail after it by night only."""
RESTARTED = sorted({name for name, _ in pairs() if not name.startswith("order_gateway")})
LANES = [
    pytest.param(
        name, kind, when, id=f"{name}-{kind.__name__}-{when}", marks=() if (name, kind, when) in DAY else pytest.mark.night
    )
    for name, kind in pairs()
    if name.startswith("order_gateway")
    for when in ("before", "after")
]


def unlimited(spec: ChildSpec) -> ChildSpec:
    return msgspec.structs.replace(spec, intensity=1_000) if spec.restart != "never" else spec


def rebuilt_with(name: str) -> set[str]:
    """The actors that are started anew with ``name``, itself included."""
    kind = name.partition(".")[0]
    return {name} | {each for each in (TRACKER, *DECIDERS) if kind in spec_for(each, each).rebuilt_with}


def bring_about(run: LocalRun, house: House, name: str, kind: type[Message]) -> None:
    """See to it that ``name`` gets a message of that type, as it would in life where that is possible. May be called again."""
    if kind in NATURAL or (kind is Tick and (name in TICKING or "_feed." in name)):
        return
    venue = VenueId(name.partition(".")[2] or GRVT)
    if kind in PROVOKED and not (kind is RateLimited and name.endswith(BACKPACK)):
        for each in house.venues:
            if not each.faults and each.name == venue:
                each.faults.append(PROVOKED[kind])
    else:
        run.tell(name, sample(kind, venue))


def crash(run: LocalRun, house: House, saboteur: Saboteur, fault: Fault, kind: type[Message]) -> None:
    """One crash, and what must follow it."""
    before, struck = run.epochs(), saboteur.times(fault.actor)
    saboteur.plant(fault)
    asked_at = float("-inf")

    def has_struck() -> bool:
        # Once may not be enough: a book can be replaced by a newer one while it waits, a venue's fault can strike another order.
        nonlocal asked_at
        if time.monotonic() - asked_at > AGAIN_S and saboteur.times(fault.actor) == struck:
            asked_at = time.monotonic()
            bring_about(run, house, fault.actor, kind)
        return saboteur.times(fault.actor) > struck

    until(has_struck, f"{fault.actor} to get {fault.kind}")
    until(lambda: run.epoch(fault.actor) > before[fault.actor] or run.is_over, f"{fault.actor} to be started anew")
    run.until_traded()
    after = run.epochs()
    changed = {name for name in before if after[name] != before[name]}
    assert (False, set()) == (run.is_over, changed - rebuilt_with(fault.actor))


@pytest.mark.parametrize(
    ("name", "when"),
    [
        pytest.param(name, when, marks=() if when == "before" or name in DECIDING else pytest.mark.night)
        for name in RESTARTED
        for when in ("before", "after")
    ],
)
def test_an_actor_that_crashes_at_any_message_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    """With each of its message types in turn, in one run; the others live on, and the accounts are right at the end."""
    quicken(monkeypatch, change=unlimited)
    saboteur, house = Saboteur(monkeypatch), House()
    kinds = [kind for actor, kind in pairs() if actor == name]
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        for kind in kinds:
            crash(run, house, saboteur, Fault(name, kind.__name__, when), kind)
        run.assert_ends_in_order()
        expected = [(name, f"handle {kind.__name__}") for kind in kinds]
        assert expected == [(report.name, report.where) for report in run.crashes], run.crashes
    assert_adds_up(house)


@pytest.mark.parametrize(("name", "kind", "when"), LANES)
def test_a_trade_lane_that_crashes_ends_the_process_and_the_next_one_adds_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Message], when: str
) -> None:
    """It may have sent, so it is never started anew in place: exit 1, and the next run finds out from journal and venues."""
    quicken(monkeypatch)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers():
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            saboteur.plant(Fault(name, kind.__name__, when))
            bring_about(run, house, name, kind)
            code = run.wait()
            assert (1, [(name, f"handle {kind.__name__}")]) == (code, [(each.name, each.where) for each in run.crashes])
        with running(tmp_path, house, monkeypatch) as run:
            run.until_traded()
            run.assert_ends_in_order()
    assert_adds_up(house)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", [QUOTER, RISK])
def test_a_crash_at_the_stop_itself_changes_nothing_about_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    """Who was to hear of it is built anew and hears of it again; no order stays."""
    quicken(monkeypatch, change=unlimited)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_traded()
        saboteur.plant(Fault(name, "Stop", when))
        run.assert_ends_in_order()
        assert 1 == saboteur.times(name)
    assert_adds_up(house)


class _Speechless(Exception):
    """Nobody can put it into words."""

    def __str__(self) -> str:
        raise ValueError("no words")


ERRORS: list[Callable[[], BaseException]] = [
    lambda: SystemExit(0),
    KeyboardInterrupt,
    MemoryError,
    RecursionError,
    GeneratorExit,
    AssertionError,
    _Speechless,
]


@pytest.mark.parametrize(
    "name", [HEDGER, TRACKER, f"account_feed.{GRVT}", *by_night(QUOTER, RISK, RECORDER, f"rest_poller.{GRVT}")]
)
def test_whatever_is_raised_ends_one_actor_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """SystemExit and its like would stop every actor of the process, were they let through (RELIABILITY.md §2.1)."""
    quicken(monkeypatch, change=unlimited)
    saboteur, house = Saboteur(monkeypatch), House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        for error in ERRORS:
            crash(run, house, saboteur, Fault(name, Tick.__name__, error=error), Tick)
        assert len(ERRORS) == len(run.crashes)
        run.assert_ends_in_order()
    assert_adds_up(house)


def test_every_pair_of_a_busy_run_is_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What actors are really told, faults included, is no more than what the routing table was read to say."""
    told: set[tuple[str, str]] = set()
    genuine = Actor._guarded

    def noted(actor: Actor, where: str, call: Callable[..., None], *arguments: object) -> bool:
        if where == "handle":
            told.add((actor.identity.name, type(arguments[0]).__name__))
        return genuine(actor, where, call, *arguments)

    monkeypatch.setattr(Actor, "_guarded", noted)
    quicken(monkeypatch)
    house = House()
    with house.takers(), running(tmp_path, house, monkeypatch) as run:
        house.maker.faults.extend(["lose_answer", "refuse", "not_sent", "throttle"])
        house.hedge.faults.extend(["lose_request", "refuse"])
        run.until_traded(5)
        run.end()
    known = {(name, kind.__name__) for name, kind in pairs()} | {(name, "Stop") for name in (QUOTER, RISK)}
    assert set() == told - known
