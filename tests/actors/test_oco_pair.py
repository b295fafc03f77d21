"""The OCO pair as an actor: its metrics under the outside face's names, latencies from the leg's fill to the sibling's end."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from decimal import Decimal

import pykka
import pytest

from actors.base import HealthRequest, Identity
from actors.oco_pair import OcoPairActor
from core.bracket import Bracket
from core.client_ids import ClientIds
from core.messages import CancelOrder, LedgerSnapshot, Message
from core.types import OrderState, Role, Side
from tests.core.builders import GRVT, changed, filled, instrument, place, snapshot
from tests.core.oco_rig import OWNER, settings

GUARD_S = 20.0
STOP = place(7, venue=GRVT, side=Side.SELL, role=Role.SL)
PROFIT = place(8, venue=GRVT, side=Side.SELL, role=Role.TP)


@pytest.fixture(autouse=True)
def _leave_no_actor() -> Iterator[None]:
    yield
    for ref in pykka.ActorRegistry.get_all():
        ref.stop(block=False)


def _armed() -> tuple[pykka.ActorRef[OcoPairActor], queue.SimpleQueue[Message]]:
    """A pair that took over a position and both its legs. Its clock stands at 100.05 s; fills are received at 100 s."""
    outputs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    core = Bracket(
        instrument(GRVT),
        settings(),
        Decimal("0.10"),
        ClientIds(OWNER, 100, 5_000),
        entered=Decimal("0.10"),
        entry_value=Decimal(300),
    )
    ref = OcoPairActor.start(Identity(OWNER, "oco_pair", 1, lambda _: None), core, outputs.put, lambda: 0.05)
    legs = tuple(snapshot(order, OrderState.ACCEPTED) for order in (STOP, PROFIT))
    ref.tell(LedgerSnapshot(owner=OWNER, positions=((GRVT, Decimal("0.10")),), orders=legs, at=0.0))
    return ref, outputs


def _until_cancel(outputs: queue.SimpleQueue[Message]) -> CancelOrder:
    while True:
        message = outputs.get(timeout=GUARD_S)
        if isinstance(message, CancelOrder):
            return message


def test_the_way_from_fill_to_cancel_to_end_is_measured() -> None:
    """50 ms from the fill's arrival to the cancel told, and to the terminal state seen; one success counted."""
    ref, outputs = _armed()
    ref.tell(filled(PROFIT, "t1", "0.10"))
    assert STOP.client_order_id == _until_cancel(outputs).client_order_id
    ref.tell(changed(STOP, OrderState.CANCELED))
    facts = ref.ask(HealthRequest(), timeout=GUARD_S)
    metrics = facts["metrics"]
    assert ("IDLE", 1.0, 0.0, 50.0) == (facts["pair"], metrics["oco_success"], metrics["oco_failures"], metrics["avg_latency_ms"])
    assert metrics["oco_terminal_p99_ms"] >= 50.0


def test_every_metric_is_there_before_the_first_fill() -> None:
    ref, _ = _armed()
    metrics = ref.ask(HealthRequest(), timeout=GUARD_S)["metrics"]
    assert {
        "oco_success",
        "oco_failures",
        "avg_latency_ms",
        "oco_cancel_p50_ms",
        "oco_cancel_p99_ms",
        "oco_terminal_p50_ms",
        "oco_terminal_p99_ms",
    } == set(metrics)
