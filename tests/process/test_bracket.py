"""A bracket run at wire level: each of the four ways an OCO pair can end, and the ends of the process in between."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.process.bracket_kit import (
    CANCEL,
    LOSS,
    NEEDS_SIGNER,
    PLACE,
    PROFIT,
    WIDE,
    ApexWorld,
    apex_world,
    assert_ended_flat,
)
from tests.process.kit import by_night, until

pytestmark = NEEDS_SIGNER
ROUNDS = [0, *by_night(*range(1, 20))]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApexWorld]:
    yield from apex_world(tmp_path)


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize(("price", "winner", "loser"), [(PROFIT, "tp", "sl"), (LOSS, "sl", "tp")])
def test_one_leg_wins_and_the_other_is_seen_to_end(world: ApexWorld, price: str, winner: str, loser: str, _round: int) -> None:
    """The market reaches one leg: it fills, the sibling is cancelled, the run ends flat."""
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    assert_ended_flat(world, bot)
    assert ("FILLED", "0") == (world.leg(winner)["state"], world.leg(loser)["filled_quantity"])


@pytest.mark.parametrize("_round", ROUNDS)
def test_a_killed_run_resumes_its_pair(world: ApexWorld, _round: int) -> None:
    """SIGKILL with both legs resting: the next life takes them over, and the pair still has one winner."""
    first = world.run()
    world.until_armed()
    first.kill()
    bot = world.run()
    world.until_armed(2)
    world.move_to(PROFIT)
    assert_ended_flat(world, bot)


@pytest.mark.parametrize("_round", ROUNDS)
def test_a_stop_signal_ends_the_bracket_flat(world: ApexWorld, _round: int) -> None:
    """SIGTERM with the pair armed: the position is closed, no leg stays behind."""
    bot = world.run()
    world.until_armed()
    bot.send(signal.SIGTERM)
    assert_ended_flat(world, bot)


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize(("policy", "code", "held"), [("cancel_sibling", 3, "0.1"), ("keep_stop", 0, "0"), ("close", 0, "0")])
def test_a_leg_cancelled_by_hand_is_answered_by_the_policy(
    world: ApexWorld, policy: str, code: int, held: str, _round: int
) -> None:
    """cancel_sibling: the user has the position now; keep_stop: the stop still ends it; close: it is closed at once."""
    world.write_config(change=lambda text: text.replace(WIDE, f'{WIDE}\non_manual_cancel = "{policy}"'))
    bot = world.run()
    world.until_armed()
    world.end_leg("tp", "cancel_by_user")
    until(lambda: world.alerts("manual-cancel"), "the alert")
    if policy == "keep_stop":
        world.move_to(LOSS)
    assert (code, Decimal(held), []) == (bot.wait(), world.position(), world.open_at_venue()), bot.stdout


def let_both_fill(world: ApexWorld) -> None:
    """Up through the take-profit and down through the stop, while no cancel gets through, at a venue that lets orders go beyond flat."""
    world.fault("lose_request", CANCEL)
    world.move_to(PROFIT)
    world.move_to(LOSS)
    until(lambda: world.volume("SELL") == Decimal("0.2"), "both legs to fill")


def assert_bought_back(world: ApexWorld, orders: int = 1) -> None:
    """As much as was sold too much, and a person was told; the delay by the venue's own record is printed, not judged."""
    times = {side: [fill["time"] for fill in world.fills() if fill["side"] == side] for side in ("BUY", "SELL")}
    print(f"bought back {max(times['BUY']) - max(times['SELL']):.3f} s after the second leg filled")
    told = (len(world.placed("repair")), len(world.alerts("both-legs")))
    assert (orders, 1, Decimal("0.2")) == (*told, world.volume("BUY"))


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize("lag_s", [0.3, *by_night(0.0)])
def test_both_legs_fill_and_the_overshoot_is_bought_back_once(world: ApexWorld, lag_s: float, _round: int) -> None:
    """The market turns before the sibling's cancel gets through, or before the first fill has even been heard of."""
    world.trick("ignores_reduce_only")
    bot = world.run()
    world.until_armed()
    if lag_s:
        world.fault("delay", "account", delay_s=lag_s)
    let_both_fill(world)
    assert_ended_flat(world, bot)
    assert_bought_back(world)


@pytest.mark.night
@pytest.mark.parametrize(("kind", "orders"), [("lose_answer", 1), ("lose_request", 2)])
def test_a_repair_without_an_answer_is_not_repeated_before_it_is_known_dead(world: ApexWorld, kind: str, orders: int) -> None:
    """Executed, it is found by its client id; lost on its way, another follows once the venue can no longer take it."""
    world.trick("ignores_reduce_only")
    world.trick("window", delay_s=5)
    bot = world.run()
    world.until_armed()
    world.fault("delay", "account", delay_s=1.0)
    world.fault(kind, PLACE)
    let_both_fill(world)
    until(lambda: world.log("SubmitUnknown"), "a repair without an answer")
    world.venues.post("/fault/clear")
    assert_ended_flat(world, bot)
    assert_bought_back(world, orders)
