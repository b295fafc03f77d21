"""Credentials appear nowhere in what a run writes, in no spelling, however it goes wrong."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

from tests.process.kit import CREATE, VENUES, World, until

PUBLIC = {"GRVT_ENVIRONMENT"}


def spellings(value: str) -> set[bytes]:
    """Plain, hexadecimal, base64 and URL-encoded; of a value that is itself hexadecimal or base64 also what it stands for."""
    raws = {value.encode()}
    stripped = value.removeprefix("0x")
    if all(character in "0123456789abcdefABCDEF" for character in stripped) and len(stripped) % 2 == 0:
        raws |= {stripped.encode(), bytes.fromhex(stripped)}
    if value.endswith("="):
        raws.add(base64.b64decode(value))
    found = set()
    for raw in raws:
        found |= {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"=")}
    return found | {quote(value, safe="").encode(), quote_plus(value).encode()}


def quoted_back(world: World) -> str:
    """A refusal that either venue's adapter can read, with every credential in its words."""
    told = " ".join(value for name, value in world.venues.credentials.items() if name not in PUBLIC)
    return json.dumps({"code": 1002, "status": 400, "message": told, "msg": told})


def everything_written(world: World) -> dict[str, bytes]:
    files = [path for path in world.folder.rglob("*") if path.is_file() and path != world.env_file]
    return {str(path.relative_to(world.folder)): path.read_bytes() for path in files}


def leaks(world: World) -> list[tuple[str, str]]:
    """File and name of the credential that is in it."""
    return [
        (file, name)
        for file, content in everything_written(world).items()
        for name, value in world.venues.credentials.items()
        if name not in PUBLIC and any(form in content for form in spellings(value))
    ]


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
    world.venues.post("/fault", kind="status", status=401, body=quoted_back(world))
    bot = world.run()
    assert (2, []) == (bot.wait(), leaks(world))


def test_the_search_finds_a_credential(world: World) -> None:
    """So that the tests above can fail: a value written in base64 is found."""
    (world.folder / "leak").write_bytes(base64.b64encode(world.venues.credentials["GRVT_API_KEY"].encode()))
    until((world.folder / "leak").exists, "the file")
    assert [("leak", "GRVT_API_KEY")] == leaks(world)
