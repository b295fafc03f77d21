"""A process that is suspended or starved and comes back: no false alarm, no burst, nothing unhedged (RELIABILITY.md P3, D8)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.processes import assert_adds_up, restarted, suspended
from tests.process.kit import World, by_night, until


@pytest.mark.parametrize("seconds", [1.0, *by_night(3.0, 8.0, 35.0)])
def test_a_fill_during_a_suspension_is_hedged_after_it(world: World, seconds: float) -> None:
    """Its quote was taken while it stood still; nobody is taken for wedged, nothing is started anew, and it trades on."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    with suspended(bot, seconds):
        world.take_quotes()
        assert 0 != world.venues.ledger().net
    world.venues.post("/market", freeze=False)
    world.until_filled_anew()
    until(lambda: world.venues.ledger().net == 0, "everything hedged")
    assert set() == restarted(world, bot)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("seconds", [1.0, *by_night(3.0, 35.0)])
def test_a_quote_that_the_market_has_left_is_not_trusted_after_a_suspension(world: World, seconds: float) -> None:
    """The market moves away meanwhile: the old quote goes before a new one comes."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    (old,) = world.venues.open_orders()
    with suspended(bot, seconds):
        world.venues.post("/market", drift_bps="-50" if old["side"] == "SELL" else "50")
    until(lambda: old["order_id"] not in [order["order_id"] for order in world.venues.open_orders()], "the old quote to go")
    assert len(world.venues.open_orders()) <= 1
    world.venues.post("/market", freeze=False)
    world.until_filled_anew()
    assert_adds_up(world, bot)


def test_a_starved_process_takes_nobody_for_wedged(world: World) -> None:
    """Four busy processes on the bot's only core: everything is late, nothing is started anew, no storm follows."""
    core = min(os.sched_getaffinity(0))
    bot = world.run()
    world.until_filled()
    os.sched_setaffinity(bot.pid, {core})
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for hog in hogs:
            os.sched_setaffinity(hog.pid, {core})
        world.until_filled_anew(2)
        until(lambda: world.venues.ledger().net == 0, "everything hedged")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert set() == restarted(world, bot)
    assert_adds_up(world, bot)
