"""A bracket run on GRVT at wire level, its two exits placed one by one, and as a pair that the venue itself links."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.process.bracket import BracketWorld
from tests.process.canaries import searched
from tests.process.kit import ETH, by_night, until

EDITS = {
    "state/grvt-bracket-eth": "state",
    'size   = "0.01"': 'size   = "0.10"',
    'take_profit_pct  = "0.10"': 'take_profit_pct  = "5"',
    'stop_loss_pct    = "0.05"': 'stop_loss_pct    = "5"',
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BracketWorld]:
    yield from searched(tmp_path, lambda folder: BracketWorld(folder, "grvt", ETH["grvt"], "grvt-bracket.toml", EDITS))


@pytest.mark.night
@pytest.mark.parametrize(("price", "winner", "loser"), [("3200", "tp", "sl"), ("2800", "sl", "tp")])
def test_one_leg_wins_and_the_other_is_seen_to_end(world: BracketWorld, price: str, winner: str, loser: str) -> None:
    """The market reaches one leg: it fills, the sibling is cancelled, the run ends flat."""
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    world.assert_ended_flat(bot)
    assert ("FILLED", "0") == (world.leg(winner)["state"], world.leg(loser)["filled_quantity"])


def linked(text: str) -> str:
    return text.replace("native_oco       = false", "native_oco = true")


@pytest.mark.parametrize("ignores", [False, *by_night(True)])
@pytest.mark.parametrize(
    ("price", "winner", "loser"), [("3200", "tp", "sl"), pytest.param("2800", "sl", "tp", marks=pytest.mark.night)]
)
def test_a_linked_pair_has_one_winner_whether_the_venue_minds_it_or_not(
    world: BracketWorld, price: str, winner: str, loser: str, ignores: bool
) -> None:
    """One bulk request places both; the venue ends the sibling, or the pair does where the venue ignores the link."""
    world.trick("ignores_pairs", is_on=ignores)
    world.write_config(change=linked)
    bot = world.run()
    world.until_armed()
    world.move_to(price)
    world.assert_ended_flat(bot)
    assert ("FILLED", "0", 1) == (
        world.leg(winner)["state"],
        world.leg(loser)["filled_quantity"],
        world.venues.count("grvt", "bulk_orders", "200"),
    )
    assert ("CLIENT_CANCEL" if ignores else "OCO_COUNTER_PART_TRIGGERED") == world.leg(loser)["reason"]


@pytest.mark.night
@pytest.mark.parametrize("fault", ["rate_limit", "lose_request", "lose_answer", "status"])
def test_a_position_is_protected_without_the_bulk_request(world: BracketWorld, fault: str) -> None:
    """Refused or lost: the legs follow one by one, and the bracket ends as any other."""
    world.venues.post("/fault", venue="grvt", on="bulk_orders", kind=fault, count=1, status=502)
    world.write_config(change=linked)
    bot = world.run()
    world.until_armed()
    assert 1 <= world.venues.count("grvt", "bulk_orders")
    world.move_to("2800")
    world.assert_ended_flat(bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
def test_a_killed_run_leaves_its_stop_and_resumes_its_pair(world: BracketWorld, change: Callable[[str], str]) -> None:
    """No dead-man switch takes the legs away with the process; the next life takes them over."""
    world.write_config(change=change)
    first = world.run()
    world.until_armed()
    first.kill()
    bot = world.run()
    world.until_armed(2)
    assert 0 == world.venues.count("grvt", "cancel_on_disconnect")
    world.move_to("3200")
    world.assert_ended_flat(bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
def test_a_stop_signal_ends_the_bracket_flat(world: BracketWorld, change: Callable[[str], str]) -> None:
    """SIGTERM with the pair armed: the position is closed, no leg stays behind."""
    world.write_config(change=change)
    bot = world.run()
    world.until_armed()
    bot.send(signal.SIGTERM)
    world.assert_ended_flat(bot)


@pytest.mark.night
@pytest.mark.parametrize("change", [linked, str])
@pytest.mark.parametrize(("policy", "code", "held"), [("cancel_sibling", 3, "0.1"), ("keep_stop", 0, "0"), ("close", 0, "0")])
def test_a_leg_cancelled_by_hand_is_answered_by_the_policy(
    world: BracketWorld, policy: str, code: int, held: str, change: Callable[[str], str]
) -> None:
    """Of a linked pair the venue ends both: what is left to decide is the same."""
    world.write_config(change=lambda text: change(text).replace('"cancel_sibling"', f'"{policy}"'))
    bot = world.run()
    world.until_armed()
    client_id = 2**63 + int(world.leg("tp")["client_order_id"])
    world.trick("cancel_by_user", client_id=str(client_id))
    until(lambda: any(line["key"] == "manual-cancel" for line in world.log("Alert")), "the alert")
    if policy == "keep_stop":
        world.move_to("2800")
    assert (code, Decimal(held)) == (bot.wait(), world.position()), bot.stdout
