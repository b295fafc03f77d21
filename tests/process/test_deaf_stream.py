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

    def resynced() -> bool:
        return any("deaf" in line["reason"] for line in world.log("FeedChanged"))

    def told_by_stream() -> bool:
        world.until_filled_anew()
        return any(
            line["fill"]["venue"] == "grvt" and line["fill"]["source"] == "ws" for line in world.log("FillRecorded")[before:]
        )

    until(lambda: world.until_filled_anew() or resynced(), "the resync")
    before = len(world.log("FillRecorded"))
    until(told_by_stream, "a fill told by the stream")
    assert (0, []) == (world.venues.ledger().net if bot.end() in (0, 3) else None, world.venues.open_orders())
