"""The health signal again and again, and while a part hangs: every dump is whole, and trading goes on (RELIABILITY.md D10, I21)."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.faults.processes import assert_adds_up, health_dump, restarted
from tests.faults.stepped import start_stepped
from tests.process.kit import World, by_night, until

EVERY_S = 0.02


@pytest.mark.parametrize("number", [signal.SIGUSR1, *by_night(signal.SIGUSR2)], ids=lambda number: number.name)
def test_a_storm_of_signals_disturbs_no_trade(world: World, number: signal.Signals) -> None:
    """Fifty a second until three quotes were taken and hedged; SIGUSR1 left dumps that are whole, SIGUSR2 nothing."""
    bot = world.run()
    world.until_active()
    goal, dumps, path = len(world.venues.ledger().fills) + 6, 0, world.state / "health.json"
    expects_dumps = number is signal.SIGUSR1
    while len(world.venues.ledger().fills) < goal or expects_dumps > dumps:
        assert bot.is_running
        bot.send(number)
        world.take_quotes()
        if path.exists():
            dumps += bool(json.loads(path.read_text())["actors"])
        time.sleep(EVERY_S)
    assert (expects_dumps, set()) == (dumps > 0, restarted(world, bot))
    assert_adds_up(world, bot)


@pytest.mark.night
def test_a_dump_during_a_wedge_names_who_hangs(world: World) -> None:
    """The hedge venue's lane does not come back: it alone is unresponsive, its order is listed; then it does, and is hedged."""
    bot = start_stepped(world, "sending:hedge:1")
    until(lambda: "sending:hedge:1" in bot.steps or world.take_quotes() or not bot.is_running, "a hedge")
    dumps = [health_dump(world, bot) for _ in range(2)]
    bot.release()
    for dump in dumps:
        silent = [row["name"] for row in dump["actors"] if row["state"] != "running"]
        hedges = [order["venue"] for order in dump["orders"] if order["role"] == "hedge"]
        assert (["order_gateway.backpack"], ["backpack"]) == (silent, hedges)
    until(lambda: world.venues.ledger().net == 0, "the hedge")
    assert_adds_up(world, bot)
