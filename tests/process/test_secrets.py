"""Credentials appear nowhere in what a run writes, in no spelling, however it goes wrong."""

from __future__ import annotations

import base64
import json

from tests.process.canaries import PUBLIC, everything_written, leaks
from tests.process.kit import CREATE, VENUES, World


def quoted_back(world: World, code: int = 1002) -> str:
    """A refusal that either venue's adapter can read, with every credential in its words; 1002 passes, 1001 is for good."""
    told = " ".join(value for name, value in world.venues.credentials.items() if name not in PUBLIC)
    return json.dumps({"code": code, "status": 400, "message": told, "msg": told})


def test_a_run_with_errors_writes_no_credential(world: World) -> None:
    """Refused orders that quote the request, kicked and garbled streams, expired logins, then a stop."""
    told = quoted_back(world)
    bot = world.run()
    world.until_active()
    for venue in VENUES:
        world.venues.post("/fault", venue=venue, on=CREATE[venue], kind="status", status=400, body=told, count=1)
        world.venues.post("/fault", venue=venue, on="account", kind="garble", count=1)
    world.venues.post("/trick", venue="grvt", name="expire_cookies")
    world.venues.post("/kick", venue="grvt")
    world.venues.post("/kick", venue="backpack")
    world.until_filled(2)
    bot.end()
    assert {"bot0/stdout", "state/log.jsonl", "state/journal.sqlite", "state/health.json"} <= set(everything_written(world))
    assert [] == leaks(world)


def test_a_refused_login_writes_no_credential(world: World) -> None:
    """The venue's answer quotes them back."""
    world.venues.post("/fault", kind="status", status=401, body=quoted_back(world, 1001))
    bot = world.run()
    assert (2, []) == (bot.wait(), leaks(world))


def test_the_search_finds_a_credential(world: World) -> None:
    """So that the tests above can fail: a value written in base64 is found."""
    leak = world.folder / "leak"
    leak.write_bytes(base64.b64encode(world.venues.credentials["GRVT_API_KEY"].encode()))
    found = leaks(world)
    leak.unlink()
    assert [("leak", "GRVT_API_KEY")] == found
