"""A process that is suspended or starved and comes back: no false alarm, no burst, nothing unhedged (RELIABILITY.md P3, D8)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.process.kit import Bot, World, by_night, until


@contextmanager
def suspended(bot: Bot, seconds: float) -> Iterator[None]:
    """The body runs while the process stands still, which it does for ``seconds`` at least."""
    bot.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        bot.send(signal.SIGCONT)


def restarted(world: World, bot: Bot) -> set[str]:
    """The actors that were started more than once, by the bot's own health dump."""
    dump = world.state / "health.json"
    bot.send(signal.SIGUSR1)
    until(dump.exists, "the dump")
    return {row["name"] for row in json.loads(dump.read_text())["actors"] if row["restarts"]}


def assert_adds_up(world: World, bot: Bot) -> None:
    code = bot.end()
    ledger = world.venues.ledger()
    expected = (0 if ledger.is_flat else 3, [], [], 0, "")
    assert expected == (code, ledger.open_orders, ledger.reused_client_ids, ledger.net, bot.stderr)
    assert sorted(ledger.fills) == sorted(world.fills_csv())


@pytest.mark.parametrize("seconds", [3.0, *by_night(1.0, 8.0, 35.0)])
def test_a_fill_during_a_suspension_is_hedged_after_it(world: World, seconds: float) -> None:
    """Its quote was taken while it stood still; nobody is taken for wedged, nothing is started anew, and it trades on."""
    bot = world.run()
    world.until_quoting()
    with suspended(bot, seconds):
        until(lambda: all(map(world.hit, world.venues.get("/orders")["grvt"])) or True, "the quote to be taken")
    world.until_filled_anew()
    until(lambda: world.venues.ledger().net == 0, "everything hedged")
    assert set() == restarted(world, bot)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("seconds", [3.0, *by_night(35.0)])
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
