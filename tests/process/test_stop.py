"""How a run is stopped: whatever the moment, no order stays at a venue, and what stays otherwise is said."""

from __future__ import annotations

import random
import signal
import time

import pytest

from adapters.run_signals import HASTEN_AFTER_S
from tests.process.kit import CREATE, Bot, World, by_night, printed_residue, until

STOP_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, *by_night(signal.SIGINT)], ids=lambda number: number.name)


def assert_left_in_order(world: World, bot: Bot, code: int) -> None:
    """Exit 0 means flat; 3 means that the printed residue is what the venues hold."""
    ledger = world.venues.ledger()
    held = {venue: quantity for venue, quantity in ledger.positions.items() if quantity}
    said = printed_residue(bot.stdout)
    assert ([], 3 if held else 0, held, 0, "") == (ledger.open_orders, code, said, ledger.net, bot.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, *by_night(signal.SIGTERM)], ids=lambda number: number.name)
def test_a_resting_quote_is_cancelled(world: World, number: signal.Signals) -> None:
    """The order that rests when the signal comes is gone when the process is."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    assert_left_in_order(world, bot, bot.end(number))


@STOP_SIGNALS
def test_a_fill_of_that_moment_is_hedged_before_the_end(world: World, number: signal.Signals) -> None:
    """The signal comes as soon as the venue has matched, which the bot has not heard of yet."""
    bot = world.run()
    world.until_filled()
    assert_left_in_order(world, bot, bot.end(number))


@pytest.mark.parametrize("kind", ["lose_request", *by_night("lose_answer", "hang")])
def test_a_hedge_of_unknown_outcome_is_resolved_before_the_end(world: World, kind: str) -> None:
    """Nobody knows whether it was executed when the signal comes; the end waits for the proof, and hedges what is still open."""
    bot = world.run()
    world.until_active()
    world.venues.post("/fault", venue="backpack", on=CREATE["backpack"], kind=kind, count=1)
    until(lambda: world.take_quotes() or world.log("SubmitUnknown"), "an unknown outcome")
    assert_left_in_order(world, bot, bot.end())


@pytest.mark.parametrize("seed", [1, *by_night(*range(2, 12))])
def test_a_signal_at_any_moment_leaves_no_order_behind(world: World, seed: int) -> None:
    """The moment is drawn anew for each seed; nothing depends on where it falls."""
    bot = world.run()
    world.until_active()
    time.sleep(random.Random(seed).uniform(0, 4))
    assert_left_in_order(world, bot, bot.end())


@STOP_SIGNALS
def test_a_signal_during_start_up_ends_it_before_any_order(world: World, number: signal.Signals) -> None:
    """The signal comes before the first request; nothing is sent that could trade, and flat is flat."""
    bot = world.run()
    world.until_holding(bot)
    code = bot.end(number)
    assert (0, 0, "") == (code, world.venues.orders_sent(), bot.stderr)


@STOP_SIGNALS
def test_a_signal_ends_the_wait_for_a_venue(world: World, number: signal.Signals) -> None:
    """Nobody has looked at the venues, so flat is not claimed: exit 3, and it is said which one could not be asked."""
    world.write_config(closed="backpack")
    bot = world.run()
    until(lambda: "[start] waiting for backpack" in bot.stdout or not bot.is_running, "the wait")
    code = bot.end(number)
    assert (3, True, 0, "") == (code, "left: unknown, backpack" in bot.stdout, world.venues.orders_sent(), bot.stderr)


def test_a_health_question_during_start_up_is_answered_later(world: World) -> None:
    """SIGUSR1 before there is anything to tell must neither end the process nor be forgotten."""
    bot = world.run()
    world.until_holding(bot)
    bot.send(signal.SIGUSR1)
    until((world.state / "health.json").exists, "the dump")
    assert bot.is_running


def test_a_second_signal_does_not_wait_for_what_cannot_be_hedged(world: World) -> None:
    """With the hedge venue out of reach the drain would go on; the second signal ends it, with the residue said."""
    bot = world.run()
    world.until_quoting()
    world.venues.post("/refuse", venue="backpack", channel="rest", is_on=True)
    world.until_filled()
    until(lambda: world.log("SubmitNotSent") or world.log("SubmitUnknown"), "a hedge that does not get through")
    bot.send(signal.SIGTERM)
    until(lambda: any(line["state"] == "STOPPING" for line in world.log("TradingStateChanged")), "STOPPING")
    time.sleep(HASTEN_AFTER_S)
    code = bot.end()
    ledger = world.venues.ledger()
    held = {venue: quantity for venue, quantity in ledger.positions.items() if quantity}
    assert (3, held) == (code, printed_residue(bot.stdout))
