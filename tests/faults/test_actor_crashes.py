"""An exception at every pair of actor and message type, before and after the real handling (RELIABILITY.md D1, D2).

The pairs are read from the routing table. What must follow: the actor is started anew, or the process leaves where its part must not be
restarted in place; nobody else dies; the run goes on trading, and at the end as much is hedged as was filled, each fill once.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from core.messages import (
    ClientIdsLeased,
    LedgerRequested,
    LedgerSnapshot,
    Message,
    OrderNotFound,
    OrderRejected,
    RateLimited,
    Resync,
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

AGAIN_S = 0.2
VENUES = (GRVT, BACKPACK)
DECIDERS = (HEDGER, QUOTER, RISK, FALLBACK)
NATURAL_IN_TRADING = (
    {  # What comes by itself, again and again, while quotes are filled and hedged.
        "BookUpdated", "FillReported", "OrderReported", "OrderSubmitted", "OrderAccepted", "FillRecorded", "OrderChanged", "PlaceOrder",
        "PairClosed", "AttemptStarted", "AttemptFinished", "Tick",
    }
)  # fmt: skip
PROVOKED: dict[type[Message], str] = {
    SubmitUnknown: "lose_answer",
    OrderNotFound: "lose_request",
    SubmitNotSent: "not_sent",
    OrderRejected: "refuse",
    RateLimited: "throttle",
}
"""Which fault of a venue makes a message come about; all others are handed to the actor as they would come."""


def pairs() -> list[tuple[str, type[Message]]]:
    """Every actor of a run with every message type that it can be told."""
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
    return sorted((pair for pair in found if pair[0] != CONTROL), key=lambda pair: (pair[0], pair[1].__name__))


RESTARTED = sorted({name for name, _ in pairs() if not name.startswith("order_gateway")})
LANES = [pair for pair in pairs() if pair[0].startswith("order_gateway")]


def unlimited(spec: ChildSpec) -> ChildSpec:
    return msgspec.structs.replace(spec, intensity=1_000) if spec.restart != "never" else spec


def rebuilt_with(name: str) -> set[str]:
    """The actors that are started anew with ``name``, itself included."""
    kind = name.partition(".")[0]
    return {name} | {each for each in (TRACKER, *DECIDERS) if kind in spec_for(each, each).rebuilt_with}


def bring_about(run: LocalRun, house: House, name: str, kind: type[Message]) -> None:
    """See to it that ``name`` gets a message of that type, as it would in life where that is possible. May be called again."""
    if kind.__name__ in NATURAL_IN_TRADING and not (kind is Tick and "poller" in name):
        return
    venue = VenueId(name.partition(".")[2] or GRVT)
    if kind in PROVOKED and not (kind is RateLimited and name.endswith(BACKPACK)):
        for each in house.venues:
            if not each.faults and each.name in (venue, GRVT):
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
    print(fault)
    run.until_traded()
    after = run.epochs()
    changed = {name for name in before if after[name] != before[name]}
    assert (False, set()) == (run.is_over, changed - rebuilt_with(fault.actor))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", RESTARTED)
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
        code = run.end()
        assert ([name] * len(kinds), True) == ([report.name for report in run.crashes], code in (0, 3))
    assert_adds_up(house)
