"""A core is a function of what it was told and when: fed its inbox again, it says the same, byte for byte (I22, I26)."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from core.messages import Message
from tests.sim.engine import CoreNode
from tests.sim.oco_scenario import nemesis_of
from tests.sim.oco_world import play
from tests.sim.world import run


class Tape:
    """Stands in for a core: plays it, and keeps a twin as it was at the start with everything it has been given since."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.twin = copy.deepcopy(core)
        self.calls: list[tuple[str, tuple[Any, ...], bytes]] = []

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        return self._noted("handle", message, now)

    def replayed(self) -> list[bytes]:
        return [written(getattr(self.twin, method)(*arguments)) for method, arguments, _ in self.calls]

    def _noted(self, method: str, *arguments: Any) -> tuple[Message, ...]:
        said: tuple[Message, ...] = getattr(self.core, method)(*arguments)
        self.calls.append((method, arguments, written(said)))
        return said

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.core, name)
        return functools.partial(self._noted, name) if name == "start" else found


def written(messages: tuple[Message, ...]) -> bytes:
    return repr(messages).encode()


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """One for each core that a simulated run builds."""
    found: list[Tape] = []
    genuine = CoreNode.__init__

    def taped(node: CoreNode, engine: Any, name: str, core: Any, *arguments: Any, **options: Any) -> None:
        found.append(Tape(core))
        genuine(node, engine, name, found[-1], *arguments, **options)

    monkeypatch.setattr(CoreNode, "__init__", taped)
    return found


def unlike(tapes: list[Tape]) -> list[str]:
    """Cores that said something else the second time."""
    return [type(tape.core).__name__ for tape in tapes if tape.replayed() != [said for _, _, said in tape.calls]]


@pytest.mark.parametrize("seed", [2, 7])
def test_every_core_of_a_hedge_run_can_be_replayed(tapes: list[Tape], seed: int) -> None:
    """Restarts and crashes included: whatever a core was built from, and then told."""
    assert () == run(seed).violations
    kinds = {type(tape.core).__name__ for tape in tapes if tape.calls}
    assert {"OrderTracker", "HedgePlanner", "Quoter", "RateLimiter", "TradingStateMachine", "FallbackPolicy"} == kinds
    assert [] == unlike(tapes)


def test_every_core_of_a_bracket_run_can_be_replayed(tapes: list[Tape]) -> None:
    """The same for the OCO pair in its hostile world."""
    assert () == play(nemesis_of(3)).violations
    assert "Bracket" in {type(tape.core).__name__ for tape in tapes if tape.calls}
    assert [] == unlike(tapes)
