"""An account stream that lives and says nothing: the venue has ended its session without closing it."""

from __future__ import annotations

import pytest

from tests.process.kit import World, until


@pytest.mark.night
def test_a_session_that_ended_without_a_word_is_noticed_by_its_silence_and_opened_anew(world: World) -> None:
    """Three fills are found by reading; then the stream connects, logs in again, and tells of the next by itself."""
    bot = world.run()
    world.until_filled()
    world.venues.post("/trick", venue="grvt", name="expire_cookies")
    until(lambda: world.until_filled_anew() or is_resynced(world), "the new connection")
    before = len(world.log("FillRecorded"))
    until(lambda: world.until_filled_anew() or is_told_by_stream(world, before), "a fill told by the stream")
    code, ledger = bot.end(), world.venues.ledger()
    assert ([], 0, 0 if ledger.is_flat else 3) == (ledger.open_orders, ledger.net, code)


def is_resynced(world: World) -> bool:
    return any("deaf" in line["reason"] for line in world.log("FeedChanged"))


def is_told_by_stream(world: World, before: int) -> bool:
    fills = [line["fill"] for line in world.log("FillRecorded")[before:]]
    return any((fill["venue"], fill["source"]) == ("grvt", "ws") for fill in fills)
