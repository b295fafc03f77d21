"""SIGKILL at any instant loses nothing: the next run knows the orders, hedges what filled, and repeats no id."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.process.kit import VENUES, World, by_night, until


def quote_resting(world: World) -> None:
    world.until_quoting()


def just_filled(world: World) -> None:
    """The venue has matched; the bot has not heard of it, or is about to hedge."""
    world.until_filled()


def just_hedged(world: World) -> None:
    """The hedge venue has matched; nothing about it can be in a file yet."""
    world.until_filled(venue="backpack")


def later(world: World) -> None:
    """Somewhere in the second or third fill."""
    world.until_filled(2)
    time.sleep(random.Random(7).uniform(0, 2))


@pytest.mark.parametrize(
    "moment", [just_filled, *by_night(quote_resting, just_hedged, later)], ids=lambda moment: moment.__name__
)
def test_a_killed_run_is_taken_up_by_the_next(world: World, moment: Callable[[World], None]) -> None:
    """After the next run: no order open, no id used twice, as much hedged as filled, and each fill once in fills.csv."""
    killed = world.run()
    moment(world)
    killed.kill()
    bot = world.run()
    world.until_holding(bot)
    world.until_filled_anew()
    code = bot.end()
    ledger = world.venues.ledger()
    twice = [execution for execution, times in Counter(world.fills_csv()).items() if times > 1]
    assert ([], [], 0, []) == (ledger.open_orders, ledger.reused_client_ids, ledger.net, twice)
    assert (ledger.volume("grvt"), sorted(ledger.fills)) == (ledger.volume("backpack"), sorted(world.fills_csv()))
    assert ledger.volume("grvt") == world.paired_quantity()
    assert (0 if ledger.is_flat else 3, "") == (code, bot.stderr)


def test_lost_answers_at_the_start_do_not_keep_a_killed_run_from_being_taken_up(world: World) -> None:
    """A fill without a hedge, and the next run's first questions answered by a gateway: it asks again, says so once, and hedges."""
    killed = world.run()
    world.until_filled()
    killed.kill()
    for venue in VENUES:
        world.venues.post("/fault", venue=venue, kind="status", status=502, count=1)
    bot = world.run()
    until(lambda: "[state] ACTIVE" in bot.stdout or not bot.is_running, "the run to have taken over")
    code = bot.end()
    ledger = world.venues.ledger()
    assert (0, 0 if ledger.is_flat else 3, "") == (ledger.net, code, bot.stderr)
    assert [1, 1] == [bot.stdout.count(f"[start] waiting for {venue}") for venue in VENUES]


@pytest.mark.parametrize("moment", [quote_resting, *by_night(just_filled, just_hedged)], ids=lambda moment: moment.__name__)
def test_a_stop_during_start_up_first_clears_up_after_a_killed_run(world: World, moment: Callable[[World], None]) -> None:
    """The signal comes before the first request of the new run; its end is as orderly as any other."""
    killed = world.run()
    moment(world)
    killed.kill()
    bot = world.run()
    world.until_holding(bot)
    code = bot.end()
    ledger = world.venues.ledger()
    assert ([], 0, 0 if ledger.is_flat else 3, "") == (ledger.open_orders, ledger.net, code, bot.stderr)


def test_a_killed_run_that_is_not_followed_by_another_leaves_no_quote(world: World) -> None:
    """Within half a minute the venue's dead-man switch, which the run had kept winding up, cancels what nobody else will."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    until(lambda: world.venues.count("grvt", "cancel_on_disconnect", "200"), "the switch to be set")
    bot.kill()
    (left,) = world.venues.open_orders()
    until(lambda: not world.venues.open_orders(), "the venue's own cancel")
    (ended,) = [order for _, order in world.venues.ledger().orders if order["order_id"] == left["order_id"]]
    assert ("CANCELLED", "0") == (ended["status"], ended["filled"])


def test_a_daily_loss_is_not_forgotten_by_a_restart(world: World) -> None:
    """The limit is reached, the process killed: the next life neither quotes nor becomes ACTIVE, and says why."""
    world.write_config(change=lambda text: text.replace("[strategy]", '[strategy]\nmax_daily_loss = "0.01"'))
    bot = world.run()
    world.until_filled()
    until(lambda: any("daily loss" in line["reason"] for line in world.log("TradingStateChanged")), "the limit to be reached")
    before = world.venues.orders_sent()
    bot.kill()
    again = world.run()
    until(lambda: "daily loss" in again.stdout or not again.is_running, "the next life to judge")
    again.end()
    assert before == world.venues.orders_sent()


def test_a_run_that_is_killed_again_and_again_still_adds_up(world: World) -> None:
    """Three kills at drawn moments, then an orderly end."""
    moments = random.Random(11)
    for _ in range(3):
        bot = world.run()
        until(lambda: world.log("TradingStateChanged") or not bot.is_running, "a first state")  # noqa: B023  called at once
        time.sleep(moments.uniform(0, 2))
        bot.kill()
    last = world.run()
    world.until_holding(last)
    world.until_filled_anew()
    code = last.end()
    ledger = world.venues.ledger()
    assert ([], [], 0, "") == (ledger.open_orders, ledger.reused_client_ids, ledger.net, last.stderr)
    assert (0 if ledger.is_flat else 3) == code
    assert (sorted(ledger.fills), ledger.volume("grvt")) == (sorted(world.fills_csv()), world.paired_quantity())


@pytest.mark.parametrize(("folder", "ticker"), [("state", "ETH"), ("other", "ETH"), ("other", "eth")])
def test_a_second_instance_exits_4_and_asks_the_venues_nothing(world: World, folder: str, ticker: str) -> None:
    """The same state folder, or another one with the same accounts; the first is held still so that no request is its own."""
    first = world.run()
    world.until_quoting()
    world.write_config(change=lambda text: text.replace('"state"', f'"{folder}"').replace('"ETH"', f'"{ticker}"'))
    first.send(signal.SIGSTOP)
    until(lambda: first.is_stopped, "the first instance to hold still")
    before = world.venues.get("/requests")
    second = world.run()
    ended = second.wait()
    after = world.venues.get("/requests")
    first.send(signal.SIGCONT)
    assert (4, True, before) == (ended, str(first.pid) in second.stderr, after)
    assert 1 == second.stderr.count("\n")
