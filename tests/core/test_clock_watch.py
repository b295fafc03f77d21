"""The venue's clock against ours: told when it moves, critical when no signature bears it (RELIABILITY.md C11)."""

from __future__ import annotations

import pytest

from core.clock_watch import ClockWatch
from tests.core.builders import GRVT


@pytest.mark.parametrize(
    ("offset_s", "levels"),
    [(0.5, []), (-0.5, []), (3, ["warning"]), (-10, ["warning"]), (60, ["warning"]), (61, ["critical"]), (-3600, ["critical"])],
)
def test_how_far_the_clocks_are_apart_decides(offset_s: float, levels: list[str]) -> None:
    """Below a second nobody is told; beyond a minute only a person may go on."""
    assert levels == [alert.level for alert in ClockWatch(GRVT).judge(offset_s * 1000, 0.0)]


def test_each_move_is_told_once() -> None:
    """Apart, the same again, and back."""
    watch = ClockWatch(GRVT)
    told = [watch.judge(offset_ms, 0.0) for offset_ms in (3000.0, 3000.0, 3400.0, 0.0, 0.0)]
    assert [1, 0, 0, 1, 0] == [len(alerts) for alerts in told]
