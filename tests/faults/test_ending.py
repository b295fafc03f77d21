"""How a run ends, in this process: what is left is said first, and no error of the main thread ends it with quotes at the venues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import supervisor
from actors.run_loop import DEAD_MAN_S
from tests.faults.house import House
from tests.faults.rig import assert_adds_up, quicken, running, until


def test_what_is_left_is_said_before_all_that_takes_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between build and unwind: venue, side and quantity; only then the dead-man switch, the dump and the summary."""
    quicken(monkeypatch)
    house = House()
    events: list[Any] = []
    house.maker.dead_man_s = events
    monkeypatch.setattr(supervisor, "say", lambda text, stream=None: events.append(text))
    monkeypatch.setattr(supervisor, "write_atomically", lambda path, content: events.append(path.name))
    with running(tmp_path, house, monkeypatch) as run:
        (quote,) = until(lambda: house.maker.open_orders, "a quote")
        house.maker.hit(quote)
        until(lambda: not house.net and house.hedge.fills, "the hedge")
        assert 3 == run.end()
    held = [(venue.name, "BUY" if venue.position > 0 else "SELL", abs(venue.position)) for venue in house.venues]
    said = "".join(f"\nleft at {name}: {side} {quantity}" for name, side, quantity in held)
    first, *later = [each for each in events if each != DEAD_MAN_S]
    assert (said, {0.0, "health.json"}) == (first, set(later))
    assert_adds_up(house)
