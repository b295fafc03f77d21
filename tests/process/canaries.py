"""The credentials of a world as canaries: none of them may be in anything that a run has written, in any spelling."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from tests.process.kit import World

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


def searched(folder: Path, make: Callable[[Path], Any] = World) -> Iterator[Any]:
    """For fixtures: the world that ``make`` makes of a folder, closed whatever happens, and then searched."""
    with closing(make(folder)) as world:
        yield world
    assert [] == leaks(world)
