"""The running bot and venues that misbehave: whatever goes wrong, at the end as much is hedged as was filled, each fill once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.process.kit import CREATE, VENUES, Bot, World, until

CLOSINGS: list[dict[str, Any]] = [
    {"how": "close", "code": 1000},
    {"how": "close", "code": 1001},
    {"how": "close", "code": 1012},
    {"how": "abort"},
]
STREAMS = [(venue, channel) for venue in VENUES for channel in ("market", "account")]


def assert_adds_up(world: World, bot: Bot) -> None:
    """Stop in order, then judge by the venues: nothing open, nothing unhedged, no fill hedged twice, every fill in fills.csv."""
    code = bot.end()
    ledger = world.venues.ledger()
    assert ([], [], 0, "") == (ledger.open_orders, ledger.reused_client_ids, ledger.net, bot.stderr)
    assert ledger.volume("grvt") == ledger.volume("backpack")
    assert sorted(ledger.fills) == sorted(world.fills_csv())
    assert (0 if ledger.is_flat else 3) == code


def until_unhedged_is_zero(world: World) -> None:
    until(lambda: world.venues.ledger().net == 0, "everything hedged")


def live(world: World, venue: str, channel: str) -> int:
    """How often this stream has become live so far."""
    return sum(
        (line["venue"], line["channel"], line["state"], line["source"]) == (venue, channel, "LIVE", "ws")
        for line in world.log("FeedChanged")
    )


@pytest.mark.parametrize("closing", CLOSINGS, ids=lambda closing: str(closing.get("code", "abort")))
def test_every_stream_comes_back_after_it_was_cut(world: World, closing: dict[str, Any]) -> None:
    """All four at once, in the middle of trading; then it goes on trading."""
    bot = world.run()
    world.until_filled()
    for venue, channel in STREAMS:
        world.venues.post("/kick", venue=venue, channel=channel, **closing)
    for venue, channel in STREAMS:
        until(lambda: live(world, venue, channel) >= 2, f"{venue} {channel} to be live again")  # noqa: B023  called at once
    world.until_filled_anew()
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", VENUES)
def test_fills_are_hedged_while_an_account_stream_is_refused(world: World, venue: str) -> None:
    """The poller takes over, the fill of the resting quote is found by REST, and the stream gets its place back."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    world.venues.post("/refuse", venue=venue, channel="account", is_on=True)
    until(lambda: any(line["is_on"] for line in world.log("SetPolling")), "the poller to take over")
    quote = next(iter(world.venues.open_orders()), None)
    if quote is not None:
        hit(world, quote)
        world.until_filled()
    until_unhedged_is_zero(world)
    world.venues.post("/refuse", venue=venue, channel="account", is_on=False)
    world.venues.post("/market", freeze=False)
    until(lambda: any(not line["is_on"] for line in world.log("SetPolling")), "the stream to take over again")
    world.until_filled_anew()
    assert_adds_up(world, bot)


def hit(world: World, quote: dict[str, Any]) -> None:
    """Somebody takes the bot's quote: an IOC of another account at its price."""
    world.venues.post(
        "/order",
        venue="grvt",
        symbol=quote["symbol"],
        side="SELL" if quote["side"] == "BUY" else "BUY",
        quantity="50",
        price=quote["price"],
        account="flow",
        tif="IOC",
    )


@pytest.mark.parametrize("venue", VENUES)
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


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("fault", ORDER_FAULTS, ids=lambda fault: fault["kind"])
def test_an_order_of_unknown_outcome_is_resolved(world: World, venue: str, fault: dict[str, Any]) -> None:
    """The first order there and the third; whether it was executed or not, nothing is hedged twice or not at all."""
    world.venues.post("/fault", venue=venue, on=CREATE[venue], count=1, **fault)
    bot = world.run()
    world.until_filled(1)
    world.venues.post("/fault", venue=venue, on=CREATE[venue], count=1, **fault)
    world.until_filled(2)
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize(("venue", "channel"), STREAMS)
def test_a_stream_that_falls_silent_is_noticed(world: World, venue: str, channel: str) -> None:
    """The connection stays open and says nothing more: it is left and opened anew, or polled for, and trading goes on."""
    bot = world.run()
    world.until_filled()
    world.venues.post("/fault", venue=venue, on=channel, kind="silence")
    until(lambda: any(line["is_on"] for line in world.log("SetPolling")), "the silence to be noticed")
    world.venues.post("/fault/clear")
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("kind", ["drop", "duplicate", "garble", "delay"])
def test_frames_that_go_wrong_change_no_account(world: World, kind: str) -> None:
    """A share of all frames of both account streams is lost, doubled, garbled or late."""
    for venue in VENUES:
        world.venues.post("/fault", venue=venue, on="account", kind=kind, probability=0.3, delay_s=0.3)
    bot = world.run()
    world.until_filled(2)
    world.venues.post("/fault/clear")
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


@pytest.mark.parametrize("venue", VENUES)
def test_a_storm_of_429_is_weathered(world: World, venue: str) -> None:
    """Every second request is refused for its rate; it is waited out and nothing is lost."""
    bot = world.run()
    world.until_filled()
    world.venues.post("/fault", venue=venue, kind="rate_limit", probability=0.5, count=10, retry_after_s=0.2)
    until(lambda: world.log("RateLimited"), "a 429")
    world.until_filled_anew()
    until_unhedged_is_zero(world)
    assert_adds_up(world, bot)


def test_a_hedge_venue_without_liquidity_ends_with_the_fill_taken_back(world: World) -> None:
    """Nobody to hedge with: the position is closed where it was opened, and both venues are flat."""
    bot = world.run()
    world.until_active()
    world.venues.post("/market", remove_liquidity="backpack")
    world.until_filled()
    until_unhedged_is_zero(world)
    world.venues.post("/market", remove_liquidity=None)
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
