"""SIGKILL and SIGTERM between any two steps of a run, by real processes (RELIABILITY.md P1, P2, §9).

The bot holds still at the step, so the signal falls exactly there. After a kill: the next run is flat or has adopted what was open before
it quotes anew; as much is hedged as was filled; no client order id is used twice. After a stop: no order, and the residue as printed.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from adapters.journal import SqliteJournal
from adapters.run_signals import HASTEN_AFTER_S
from adapters.steps import Steps
from core.ports import Venue
from tests.faults.stepped import SteppedBot, start_stepped
from tests.process.kit import CREATE, World, printed_residue, until

FILLS = ("fill:maker", "intent:hedge", "sending:hedge", "answered:hedge", "fill:hedge")
STEPS = ("opened", "started", "intent:maker", "sending:maker", "answered:maker", *FILLS)
ENDING = ("sending:cancel", "answered:cancel", "closing")
"""Reached by a stop while a quote rests."""
KILLED_BY_DAY = {"answered:maker:1", "intent:hedge:1", "answered:hedge:1"}
STOPPED_BY_DAY = {"sending:maker:1", "sending:hedge:1"}


def by_day(steps: tuple[str, ...], day: set[str], repeats: int = 3) -> list[object]:
    """Each step at its first occurrence and, by night, at later ones."""
    found = [
        f"{step}:{number}"
        for step in steps
        for number in range(1, repeats + 1)
        if number == 1 or step not in ("opened", "started")
    ]
    return [pytest.param(step, marks=() if step in day else pytest.mark.night) for step in found]


def bring_to(world: World, step: str) -> SteppedBot:
    """A bot that holds still there; somebody takes its quotes until it does."""
    bot = start_stepped(world, step)
    name = step.rpartition(":")[0]
    if name in FILLS or not step.endswith(":1"):
        until(lambda: step in bot.steps or world.take_quotes() or not bot.is_running, step)
    bot.until_at(step)
    return bot


def bring_to_end(world: World, step: str) -> SteppedBot:
    """A bot with a resting quote that was told to stop and holds still there."""
    world.venues.post("/market", freeze=True)
    bot = start_stepped(world, step)
    world.until_quoting()
    bot.send(signal.SIGTERM)
    bot.until_at(step)
    return bot


def assert_taken_up(world: World) -> None:
    """The next run trades on, ends in order, and everything adds up over both."""
    bot = world.run()
    world.until_holding(bot)
    world.until_filled_anew()
    code = bot.end()
    ledger = world.venues.ledger()
    twice = [fill for fill, times in Counter(world.fills_csv()).items() if times > 1]
    assert ([], [], 0, []) == (ledger.open_orders, ledger.reused_client_ids, ledger.net, twice)
    assert (ledger.volume("grvt"), sorted(ledger.fills)) == (ledger.volume("backpack"), sorted(world.fills_csv()))
    assert (0 if ledger.is_flat else 3, "") == (code, bot.stderr)


def printed_orders(output: str) -> set[str]:
    """The ids that GRVT knows them by, from the lines ``left at grvt: order ID ...``."""
    words = [line.split() for line in output.splitlines() if line.startswith("left at grvt: order ")]
    return {str(2**63 + int(each[4])) for each in words}


def assert_left_in_order(world: World, bot: SteppedBot, code: int) -> None:
    ledger = world.venues.ledger()
    held = {venue: quantity for venue, quantity in ledger.positions.items() if quantity}
    assert ([], 3 if held else 0, held, 0, "") == (ledger.open_orders, code, printed_residue(bot.stdout), ledger.net, bot.stderr)
    assert ledger.volume("grvt") == ledger.volume("backpack")


@pytest.mark.parametrize("step", by_day(STEPS, KILLED_BY_DAY))
def test_killed_at_a_step_it_is_taken_up(world: World, step: str) -> None:
    """Between journal and send, between send and answer, between answer and journal."""
    bot = bring_to(world, step)
    bot.kill()
    assert_taken_up(world)


@pytest.mark.parametrize("step", by_day(ENDING, {"answered:cancel:1"}, repeats=1))
def test_killed_while_stopping_it_is_taken_up(world: World, step: str) -> None:
    """The stop was not finished; the next run finishes what was left."""
    bring_to_end(world, step).kill()
    world.venues.post("/market", freeze=False)
    assert_taken_up(world)


@pytest.mark.parametrize("venue", [pytest.param("backpack"), pytest.param("grvt", marks=pytest.mark.night)])
def test_killed_while_the_answer_is_on_its_way_it_is_taken_up(world: World, venue: str) -> None:
    """The venue has executed the order, and nobody will ever read its answer."""
    world.venues.post("/fault", venue=venue, on=CREATE[venue], kind="delay", delay_s=60.0, count=1)
    bot = start_stepped(world, "")
    if venue == "backpack":
        world.until_filled(venue=venue)
    else:
        world.until_quoting()
    role = {"grvt": "maker", "backpack": "hedge"}[venue]
    steps = bot.steps
    bot.kill()
    assert (True, False) == (f"sending:{role}:1" in steps, f"answered:{role}:1" in steps)
    world.venues.post("/fault/clear")
    assert_taken_up(world)


@pytest.mark.parametrize("step", by_day(STEPS, STOPPED_BY_DAY))
def test_stopped_at_a_step_it_leaves_nothing_behind(world: World, step: str) -> None:
    """The signal comes while a thread is in the middle of it; what was begun is finished, hedged, cancelled."""
    bot = bring_to(world, step)
    bot.send(signal.SIGTERM)
    bot.release()
    assert_left_in_order(world, bot, bot.wait())


@pytest.mark.parametrize(
    ("step", "left"), [("sending:cancel:1", 1), *(pytest.param(f"{step}:1", 0, marks=pytest.mark.night) for step in ENDING[1:])]
)
def test_stopped_again_while_stopping_it_leaves_and_says_what_is_left(world: World, step: str, left: int) -> None:
    """The second signal cuts the drain short; an order whose cancel has not left is named, never silently lost."""
    bot = bring_to_end(world, step)
    time.sleep(HASTEN_AFTER_S)
    bot.send(signal.SIGTERM)
    if step == "closing:1":
        bot.release()  # There it is the main thread that holds still; elsewhere the lane never comes back.
    code = bot.wait()
    held = {order["client_id"] for order in world.venues.open_orders()}
    said = printed_orders(bot.stdout)
    assert (left, set(), 3 if said else 0, "") == (len(held), held - said, code, bot.stderr)


def test_steps_come_in_their_order(world: World) -> None:
    """Intent before send, send before answer, for every order; nothing is sent behind the end."""
    bot = start_stepped(world, "")
    world.until_filled(2)
    code = bot.end()
    heads = [step.rpartition(":")[0] for step in bot.steps]
    for role in ("maker", "hedge"):
        orders = [step for step in heads if step in (f"intent:{role}", f"sending:{role}", f"answered:{role}")]
        assert [f"intent:{role}", f"sending:{role}", f"answered:{role}"] * (len(orders) // 3) == orders
    late = [head for head in heads[heads.index("closing") :] if head.startswith(("intent", "sending"))]
    expected = 0 if world.venues.ledger().is_flat else 3
    assert (["opened", "started"], [], expected) == (heads[:2], late, code)


def test_unasked_it_hands_out_the_real_things(tmp_path: Path) -> None:
    """Without the two variables a run has no voice and no place to hold still."""
    asleep, venue = Steps.of({}), cast(Venue, object())
    assert (SqliteJournal, [venue]) == (type(asleep.journal(tmp_path / "journal.sqlite")), asleep.venues([venue]))
