"""A venue that refuses us for long: no threads pile up, a person is told, and the way back is one login (RELIABILITY.md A2, A10, A12)."""

from __future__ import annotations

import os

import pytest

from tests.faults.test_faults import STREAMS, assert_adds_up, live
from tests.process.kit import VENUES, Bot, World, until

LOGIN = "/auth/api_key/login"
REFUSAL = '{"code": 1000, "message": "no", "status": 401}'
ATTEMPTS = 6


def attempts(world: World, venue: str, channel: str) -> int:
    """How often this stream has begun to connect so far."""
    return sum(
        (line["venue"], line["channel"], line["state"], line["source"]) == (venue, channel, "CONNECTING", "ws")
        for line in world.log("FeedChanged")
    )


def threads(bot: Bot) -> int:
    return len(os.listdir(f"/proc/{bot.pid}/task"))


def peers(world: World) -> dict[str, dict[str, int]]:
    """Stream connections that the venues hold."""
    return {venue: world.venues.get("/health")["peers"][venue] for venue in VENUES}


@pytest.mark.night
def test_streams_refused_for_long_cost_no_threads_and_one_login(world: World) -> None:
    """All four: after many attempts as many threads as before; on return one connection each, with the session that was there."""
    bot = world.run()
    world.until_filled()
    before, logins, connected = threads(bot), world.venues.count("grvt", LOGIN), peers(world)
    tried = {stream: attempts(world, *stream) for stream in STREAMS}
    for venue, channel in STREAMS:
        world.venues.post("/refuse", venue=venue, channel=channel, is_on=True)
    until(lambda: all(attempts(world, *stream) >= tried[stream] + ATTEMPTS for stream in STREAMS), "many attempts")
    refused = threads(bot)
    for venue, channel in STREAMS:
        world.venues.post("/refuse", venue=venue, channel=channel, is_on=False)
    until(lambda: all(live(world, *stream) >= 2 for stream in STREAMS), "all streams to be live again")
    polling = {(line["venue"], line["channel"]) for line in world.log("SetPolling") if line["is_on"]}
    assert (before, connected, logins, set(STREAMS)) == (refused, peers(world), world.venues.count("grvt", LOGIN), polling)
    until(lambda: sum(not line["is_on"] for line in world.log("SetPolling")) >= len(STREAMS), "the streams to take over again")
    world.until_filled_anew()
    assert_adds_up(world, bot)


def test_a_session_that_ends_in_the_middle_is_opened_anew_and_a_refusal_alarms(world: World) -> None:
    """Cookies and open sockets lose their login, and new logins are refused: three times, then trading is reduced and a person is told.
    Once the venue gives in, one login brings it all back."""
    bot = world.run()
    world.until_filled()
    world.venues.post("/fault", venue="grvt", on="login", kind="status", status=401, body=REFUSAL)
    world.venues.post("/trick", venue="grvt", name="expire_cookies", is_on=True)
    world.venues.post("/kick", venue="grvt", channel="account", how="close", code=1008)
    until(lambda: [line for line in world.log("Alert") if line["key"].startswith("refused grvt account")], "an alarm")
    until(lambda: any(line["state"] == "REDUCING" for line in world.log("TradingStateChanged")), "REDUCING")
    answered = world.venues.count("grvt", LOGIN, "200")
    world.venues.post("/fault/clear")
    until(lambda: live(world, "grvt", "account") >= 2, "the account stream to be live again")
    world.until_filled_anew()
    assert answered + 1 == world.venues.count("grvt", LOGIN, "200")
    assert_adds_up(world, bot)
