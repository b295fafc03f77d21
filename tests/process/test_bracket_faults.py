"""A bracket run at wire level under the venue's, the network's and the process's failures (RELIABILITY.md E4, E5, §9).

The venue lets reduce-only orders go beyond flat wherever too much sold would otherwise stay hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.faults.stepped import SteppedBot, start_stepped
from tests.process.bracket_kit import CANCEL, LOSS, NEEDS_SIGNER, PLACE, PROFIT, ApexWorld, apex_world, assert_ended_flat
from tests.process.kit import by_night, until

pytestmark = NEEDS_SIGNER
SIZE = Decimal("0.1")
BEYOND = {"tp": PROFIT, "sl": LOSS}
NAKED = ("answered:entry", "fill:entry", "intent:sl", "sending:sl")
"""Steps at which a position is held and no leg is at the venue."""
STOPPED = ("answered:sl", "intent:tp", "sending:tp", "answered:tp")
"""Steps at which the stop is there."""
REFUSED = '{"code":20016,"msg":"request para error"}'
NOT_JSON = "error: order already closed"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApexWorld]:
    yield from apex_world(tmp_path)


def assert_sold_once(world: ApexWorld) -> None:
    """What was bought was sold, by the legs alone."""
    assert (SIZE, SIZE, []) == (world.volume("BUY"), world.volume("SELL"), world.placed("repair"))


# ---- the process dies -----------------------------------------------------------------------------------------------------------


def killed_at(world: ApexWorld, step: str) -> None:
    """A run that is killed while one of its threads holds still at ``step``."""
    bot = start_stepped(world, step)
    bot.until_at(step)
    bot.kill()


def sent(bot: SteppedBot) -> list[str]:
    return [step for step in bot.steps if step.startswith("sending:")]


@pytest.mark.parametrize("step", ["fill:entry", *by_night(*(step for step in NAKED + STOPPED if step != "fill:entry"))])
def test_killed_between_its_orders_it_places_the_stop_before_anything_else(world: ApexWorld, step: str) -> None:
    """The stop is at the venue, or is the first thing that the next life sends; the pair is completed, and one leg ends it."""
    world.trick("ignores_reduce_only")
    world.trick("window", delay_s=5)
    killed_at(world, f"{step}:1")
    stops = [order for order in world.open_at_venue() if "trigger_price" in order]
    bot = start_stepped(world, "")
    world.until_armed()
    assert (step in STOPPED, True) == (bool(stops), step in STOPPED or sent(bot)[0] == "sending:sl:1")
    world.move_to(PROFIT)
    assert_ended_flat(world, bot)
    assert_sold_once(world)


@pytest.mark.parametrize("fills", [2, *by_night(1)], ids=["told on disk", "told in memory"])
@pytest.mark.parametrize("beyond", ["", *by_night(LOSS)], ids=["the stop waits", "the stop fires meanwhile"])
def test_killed_before_the_siblings_cancel_the_next_life_ends_the_sibling(world: ApexWorld, beyond: str, fills: int) -> None:
    """The take-profit has filled and the stop lives on without an owner; the bracket is finished, bought back where it must be, once.

    ``fills``: so many are in the journal when the process dies, at least.
    """
    world.trick("ignores_reduce_only")
    first = start_stepped(world, "sending:cancel:1")
    world.until_armed()
    world.move_to(PROFIT)
    first.until_at("sending:cancel:1")
    until(lambda: world.journaled_fills() >= fills, "the journal")
    first.kill()
    assert [("SELL", "0.1")] == [(order["side"], order["quantity"]) for order in world.open_at_venue()]
    if beyond:
        world.move_to(beyond)
    bot = world.run()
    assert_ended_flat(world, bot)
    repairs = 1 if beyond else 0
    entered = {order["client_order_id"] for order in world.orders("entry") if Decimal(order["filled_quantity"])}
    assert (SIZE + repairs * SIZE, repairs, 1) == (world.volume("BUY"), len(world.placed("repair")), len(entered))


# ---- the venue refuses, removes, fills in part ---------------------------------------------------------------------------------------


def test_a_sibling_is_done_with_when_its_end_is_seen(world: ApexWorld) -> None:
    """Its cancel is refused twice, then answered with what is not JSON, until the test lets it through."""
    bot = world.run()
    world.until_armed()
    world.fault("status", CANCEL, status=200, body=REFUSED, count=2)
    world.fault("status", CANCEL, status=200, body=NOT_JSON)
    world.move_to(PROFIT)
    until(lambda: world.asked(CANCEL) >= 4, "the cancel to be repeated")
    assert ("CANCELLING", 1, True) == (world.states()[-1], len(world.open_at_venue()), bot.is_running)
    world.venues.post("/fault/clear")
    assert_ended_flat(world, bot)
    assert ["tp FILLED", "sl CANCELED", "IDLE"] == [told for told in world.story() if told.split()[0] in ("tp", "sl", "IDLE")]


@pytest.mark.parametrize(
    "leg",
    [("sl", "cancel_by_venue"), *by_night(("sl", "expire"), ("tp", "cancel_by_venue"), ("tp", "expire"))],
    ids=" ".join,
)
def test_a_leg_that_the_venue_ends_is_placed_again(world: ApexWorld, leg: tuple[str, str]) -> None:
    """A person is told, the position is never taken for closed, and the new leg ends it like the first one."""
    role, how = leg
    world.trick("ignores_reduce_only")
    bot = world.run()
    world.until_armed()
    world.end_leg(role, how)
    until(lambda: len(world.placed(role)) == 2 and world.leg(role)["state"] == "ACCEPTED", "the new leg")
    assert 1 == len(world.alerts("leg"))
    world.move_to(BEYOND[role])
    assert_ended_flat(world, bot)
    assert_sold_once(world)


@pytest.mark.night
def test_a_stop_that_the_venue_ends_again_and_again_ends_the_position(world: ApexWorld) -> None:
    """After the third time nothing protects it: it is closed."""
    bot = world.run()
    world.until_armed()
    for placed in (1, 2, 3):
        until(lambda: len(world.placed("sl")) == placed and world.leg("sl")["state"] == "ACCEPTED", "a stop")  # noqa: B023
        world.end_leg("sl", "cancel_by_venue")
    assert_ended_flat(world, bot)
    assert (3, True) == (len(world.placed("sl")), len(world.placed("repair")) > 0)


def test_after_a_part_of_the_profit_the_stop_is_for_the_rest(world: ApexWorld) -> None:
    """The smaller stop stands before the larger one goes; together the legs sell what was held."""
    world.trick("ignores_reduce_only")
    bot = world.run()
    world.until_armed()
    world.venues.post("/market", remove_liquidity="apex", freeze=True)
    world.venues.post(
        "/order", venue="apex", symbol="ETH-USDT", side="BUY", quantity="0.04", price="4000", account="flow", tif="IOC"
    )
    until(
        lambda: ["0.06"] == [order["quantity"] for order in world.open_at_venue() if "trigger_price" in order], "the smaller stop"
    )
    world.venues.post("/market", remove_liquidity=None, freeze=False)
    world.move_to(LOSS)
    assert_ended_flat(world, bot)
    assert_sold_once(world)


# ---- the network -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["tp", *by_night("sl")])
def test_a_leg_that_fills_while_the_stream_is_down_is_found_by_rest(world: ApexWorld, role: str) -> None:
    """And the sibling is ended without the stream ever coming back."""
    bot = world.run()
    world.until_armed()
    world.venues.post("/refuse", venue="apex", channel="account", is_on=True)
    world.move_to(BEYOND[role])
    assert_ended_flat(world, bot)
    assert ({"rest"}, []) == (world.sources(role), world.placed("repair"))


@pytest.mark.parametrize("route", [CANCEL, *by_night(PLACE)])
def test_a_page_instead_of_an_answer_delays_nothing_that_guards_the_position(world: ApexWorld, route: str) -> None:
    """HTTP 403 with HTML at the sibling's cancel, or at a stop that is placed again: what may wait waits, this does not."""
    bot = world.run()
    world.until_armed()
    world.fault("status", route, status=403, count=1)
    if route == PLACE:
        world.end_leg("sl", "cancel_by_venue")
        until(lambda: world.leg("sl")["state"] == "ACCEPTED" and len(world.placed("sl")) > 1, "the new stop")
    world.move_to(PROFIT)
    assert_ended_flat(world, bot)
    assert 1 == len(world.log("RateLimited"))


@pytest.mark.parametrize("kind", ["delta", *by_night("snapshot")])
def test_orders_of_the_past_trigger_nothing(world: ApexWorld, kind: str) -> None:
    """A second login tells of thirty ended orders, the filled legs of the bracket before among them; the pair stands as it stood."""
    world.trick("history_frame", status=kind)
    world.write_config(iterations=2)
    bot = world.run()
    world.until_armed()
    world.move_to(PROFIT)
    world.until_armed(2)
    logins, alerts = live_count(world), len(world.log("Alert"))
    world.venues.post("/kick", venue="apex", channel="account")
    until(lambda: live_count(world) > logins, "the second login")
    told_by = world.venues.get("/health")["now"] + 1
    until(lambda: world.venues.get("/health")["now"] > told_by, "the frame that follows it")
    world.move_to("3400")
    assert_ended_flat(world, bot)
    placed = [len(world.placed(role)) for role in ("sl", "tp", "repair")]
    assert (["ARMING", "ARMED", "CANCELLING", "IDLE"] * 2, [2, 2, 0], 2 * SIZE) == (world.states(), placed, world.volume("BUY"))
    assert ([], alerts) == (world.log("ForeignActivity"), len(world.log("Alert")))


def live_count(world: ApexWorld) -> int:
    return sum(line["channel"] == "account" and line["state"] == "LIVE" for line in world.log("FeedChanged"))
