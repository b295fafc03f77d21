"""Descriptors, threads and memory run out: no false hedge, an orderly end, the journal whole, no order left behind (RELIABILITY.md D9).

No more address space means no more threads and, sooner or later, no more memory.
"""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from tests.faults.processes import assert_adds_up, limited, restarted
from tests.faults.stepped import start_stepped
from tests.process.kit import VENUES, Bot, World, by_night, until

NO_MORE = 3
"""A limit of descriptors below what is open: those stay, and none is added."""
FILLS = 8


def address_space(bot: Bot) -> int:
    """Bytes in use."""
    pages = int(Path(f"/proc/{bot.pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("number", [signal.SIGTERM, *by_night(signal.SIGINT)], ids=lambda number: number.name)
def test_a_stop_without_memory_is_as_orderly_as_any(world: World, number: signal.Signals) -> None:
    """The quote that rests is cancelled; exit 0, and nothing on standard error."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    with limited(bot, resource.RLIMIT_AS, address_space(bot)):
        code = bot.end(number)
    assert ([], 0, "") == (world.venues.open_orders(), code, bot.stderr)


@pytest.mark.parametrize("spare", by_night(0, 2**20, 2**24))
def test_a_run_without_memory_trades_or_ends_and_is_taken_up(world: World, spare: int) -> None:
    """Every stream is lost meanwhile. If it ends by itself that is exit 1; either way no order stays, and the next run adds up."""
    bot = world.run()
    world.until_filled()
    with limited(bot, resource.RLIMIT_AS, address_space(bot) + spare):
        for venue in VENUES:
            world.venues.post("/kick", venue=venue)
        goal = len(world.venues.ledger().fills) + FILLS
        until(lambda: not bot.is_running or world.take_quotes() or len(world.venues.ledger().fills) >= goal, "fills, or the end")
        code = bot.end()
    ledger = world.venues.ledger()
    assert ([], True) == (ledger.open_orders, code in (1, 0 if ledger.is_flat else 3)), bot.stderr
    again = world.run()
    world.until_holding(again)
    world.until_filled_anew()
    assert_adds_up(world, again)


@pytest.mark.parametrize("is_kept", [False, *by_night(True)], ids=lambda is_kept: "kept" if is_kept else "lifted")
def test_without_descriptors_nothing_rests_and_with_them_it_trades_on(world: World, is_kept: bool) -> None:
    """Every stream is cut and none can be opened anew: the quote goes. ``is_kept``: then it is told to stop, as it is."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    with limited(bot, resource.RLIMIT_NOFILE, NO_MORE):
        for venue in VENUES:
            world.venues.post("/kick", venue=venue)
        until(lambda: "Too many open files" in bot.stdout, "the cause to be said")
        until(lambda: not world.venues.open_orders(), "the quote to go")
        if is_kept:
            assert_adds_up(world, bot)
            return
    world.venues.post("/market", freeze=False)
    world.until_filled_anew(2)
    assert set() == restarted(world, bot)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("count", [16, *by_night(*range(3, 40, 3))])
def test_started_with_few_descriptors_it_refuses_trades_or_says_what_is_missing(world: World, count: int) -> None:
    """Never a traceback, and never an order that stays."""
    bot = start_stepped(world, "opened:1")
    bot.until_at("opened:1")
    with limited(bot, resource.RLIMIT_NOFILE, count):
        bot.release()
        until(lambda: not bot.is_running or "Too many open files" in bot.stdout or world.venues.open_orders(), "either")
        code = bot.end()
    assert ([], True) == (world.venues.open_orders(), len(bot.stderr.splitlines()) == (code in (1, 2))), bot.stderr
