"""The running bot and venues that misbehave: whatever goes wrong, at the end as much is hedged as was filled, each fill once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from core.trading_state import THROTTLES_BEFORE_REST
from tests.faults.processes import assert_adds_up
from tests.process.kit import CREATE, VENUES, World, by_night, until

CLOSINGS: list[dict[str, Any]] = [
    {"how": "close", "code": 1000},
    {"how": "close", "code": 1001},
    {"how": "close", "code": 1012},
    {"how": "abort"},
]


STREAMS = [(venue, channel) for venue in VENUES for channel in ("market", "account")]


def until_unhedged_is_zero(world: World) -> None:
    until(lambda: world.venues.ledger().net == 0, "everything hedged")


def live(world: World, venue: str, channel: str) -> int:
    """How often this stream has become live so far."""
    return sum(
        (line["venue"], line["channel"], line["state"], line["source"]) == (venue, channel, "LIVE", "ws")
        for line in world.log("FeedChanged")
    )


@pytest.mark.parametrize("shift", [0, *by_night(1, 2, 3)])
def test_every_stream_comes_back_after_it_was_cut(world: World, shift: int) -> None:
    """All four at once, each in another way, in the middle of trading; then it goes on trading."""
    bot = world.run()
    world.until_filled()
    for number, (venue, channel) in enumerate(STREAMS):
        world.venues.post("/kick", venue=venue, channel=channel, **CLOSINGS[(number + shift) % len(CLOSINGS)])
    for venue, channel in STREAMS:
        until(lambda: live(world, venue, channel) >= 2, f"{venue} {channel} to be live again")  # noqa: B023  called at once
    world.until_filled_anew()
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", ["grvt", *by_night("backpack")])
def test_fills_are_hedged_while_an_account_stream_is_refused(world: World, venue: str) -> None:
    """The poller takes over, the fill of the resting quote is found by REST, and the stream gets its place back."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    world.venues.post("/refuse", venue=venue, channel="account", is_on=True)
    until(lambda: any(line["is_on"] for line in world.log("SetPolling")), "the poller to take over")
    for quote in world.venues.open_orders():
        world.hit(quote)
    until_unhedged_is_zero(world)
    world.venues.post("/refuse", venue=venue, channel="account", is_on=False)
    world.venues.post("/market", freeze=False)
    until(lambda: any(not line["is_on"] for line in world.log("SetPolling")), "the stream to take over again")
    world.until_filled_anew()
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", ["backpack", *by_night("grvt")])
def test_a_venue_that_was_gone_altogether_comes_back(world: World, venue: str) -> None:
    """REST and both streams refused until the bot has noticed, then served again."""
    bot = world.run()
    world.until_filled()
    for channel in ("rest", "market", "account"):
        world.venues.post("/refuse", venue=venue, channel=channel, is_on=True)
    until(lambda: any(line["is_on"] for line in world.log("SetPolling")), "the outage to be noticed")
    for channel in ("rest", "market", "account"):
        world.venues.post("/refuse", venue=venue, channel=channel, is_on=False)
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


ORDER_FAULTS: list[dict[str, Any]] = [
    {"kind": "lose_answer"},
    {"kind": "lose_request"},
    {"kind": "late", "delay_s": 0.5},
    {"kind": "status", "status": 503},
    {"kind": "status_executed", "status": 504},
    {"kind": "hang"},
    {"kind": "delay", "delay_s": 1.0},
]


DAY = {
    ("grvt", "lose_answer"),
    ("grvt", "late"),
    ("backpack", "lose_answer"),
    ("backpack", "lose_request"),
    ("backpack", "delay"),
}
OUTCOMES = [
    pytest.param(venue, fault, id=f"{venue}-{fault['kind']}", marks=() if (venue, fault["kind"]) in DAY else pytest.mark.night)
    for venue in VENUES
    for fault in ORDER_FAULTS
]


@pytest.mark.parametrize(("venue", "fault"), OUTCOMES)
def test_an_order_of_unknown_outcome_is_resolved(world: World, venue: str, fault: dict[str, Any]) -> None:
    """Whether it was executed or not, nothing is hedged twice or not at all, and trading goes on."""
    world.venues.post("/fault", venue=venue, on=CREATE[venue], count=1, **fault)
    bot = world.run()
    world.until_filled(2)
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", ["backpack", *by_night("grvt")])
def test_a_market_stream_that_falls_silent_is_noticed(world: World, venue: str) -> None:
    """The connection stays open and says nothing more: the poller stands in, and trading goes on."""
    bot = world.run()
    world.until_filled()
    world.venues.post("/fault", venue=venue, on="market", kind="silence")
    until(lambda: any(line["is_on"] for line in world.log("SetPolling")), "the silence to be noticed")
    world.venues.post("/fault/clear")
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", ["grvt", *by_night("backpack")])
def test_a_fill_on_a_silent_account_stream_is_found_by_rest(world: World, venue: str) -> None:
    """An account without events is silent as well, so only the audits by REST can tell; they do, and the fill is hedged."""
    bot = world.run()
    world.until_quoting()
    world.venues.post("/fault", venue=venue, on="account", kind="silence")
    world.until_filled()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize(
    "kinds", [("drop", "duplicate", "garble", "delay"), *by_night(("drop",), ("garble",), ("duplicate",), ("delay",))]
)
def test_frames_that_go_wrong_change_no_account(world: World, kinds: tuple[str, ...]) -> None:
    """A share of all frames of both account streams is lost, doubled, garbled or late."""
    for kind in kinds:
        world.venues.post("/fault", on="account", kind=kind, probability=0.4 / len(kinds), delay_s=0.3)
    bot = world.run()
    world.until_filled(2)
    world.venues.post("/fault/clear")
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", ["grvt", *by_night("backpack")])
def test_429s_are_waited_out(world: World, venue: str) -> None:
    """One fewer than take the quotes down for a minute: whichever requests they meet, trading goes on and nothing is lost."""
    bot = world.run()
    world.until_filled()
    count = THROTTLES_BEFORE_REST - 1
    world.venues.post("/fault", venue=venue, kind="rate_limit", count=count, retry_after_s=0.2)
    until(lambda: len(world.log("RateLimited")) == count, "the 429s")
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.night
def test_a_maker_venue_in_maintenance_is_waited_for(world: World) -> None:
    """E7. Each order that it answers with 503 is one request and of unknown outcome until resolved; afterwards trading goes on."""
    bot = world.run()
    world.until_filled()
    until_unhedged_is_zero(world)
    world.venues.post("/trick", venue="grvt", name="maintenance", is_on=True)
    until(lambda: len(world.log("SubmitUnknown")) >= 2, "two orders of unknown outcome")
    world.venues.post("/trick", venue="grvt", name="maintenance", is_on=False)
    until(
        lambda: world.venues.count("grvt", "create_order", "503") == len(world.log("SubmitUnknown")), "each 503 to be told once"
    )
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


def test_a_hedge_venue_without_margin_ends_with_the_fill_taken_back(world: World) -> None:
    """It refuses for good: the position is closed where it was opened, both venues are flat, and no more is quoted."""
    world.venues.post("/trick", venue="backpack", name="margin_short", is_on=True)
    bot = world.run()
    world.until_filled()
    until(lambda: any(line["state"] == "HALTED" for line in world.log("TradingStateChanged")), "HALTED")
    until_unhedged_is_zero(world)
    code = bot.end()
    ledger = world.venues.ledger()
    assert (0, Decimal(0), []) == (code, ledger.net, ledger.open_orders)


def test_a_restart_after_faults_finds_everything(world: World) -> None:
    """Killed while an order's outcome is unknown; the next run resolves it from the venues."""
    bot = world.run()
    world.until_active()
    world.venues.post("/fault", venue="backpack", on=CREATE["backpack"], kind="lose_answer", count=1)
    until(lambda: world.log("SubmitUnknown"), "an unknown outcome")
    bot.kill()
    again = world.run()
    world.until_holding(again)
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, again)
