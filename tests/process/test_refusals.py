"""What cannot be run is refused in one line that names the place, before any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.canaries import searched
from tests.process.kit import ETH, World


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Venues that no test of this file ever changes."""
    yield from searched(tmp_path_factory.mktemp("refusals"))


@pytest.fixture
def world(shared: World) -> World:
    """The shared one with a configuration and credentials that are good."""
    shared.write_config()
    shared.write_credentials(shared.venues.credentials)
    shared.env_file.chmod(0o600)
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """For the tests that do something to venues or state folder."""
    yield from searched(tmp_path)


def refused(world: World, *arguments: str) -> tuple[int, str]:
    """Exit code and the only line on standard error; fails when an order was sent, or when there is not exactly one line."""
    bot = world.run(*arguments)
    code = bot.wait()
    lines = bot.stderr.splitlines()
    assert (1, 0) == (len(lines), world.venues.orders_sent()), bot.stderr
    return code, lines[0]


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("max_delta ", "max_dleta ", "max_dleta"),
        ("[strategy]", "[stratgy]", "stratgy"),
        ('"0.10"', "0.10", "strategy.size"),
        ('"0.10"', '"NaN"', "strategy.size"),
        ('"0.10"', '"ten"', "strategy.size"),
        ("iterations = 0", 'iterations = "none"', "run.iterations"),
        ("iterations = 0", "iterations = -1", "run.iterations"),
        ('"backpack"', '"binance"', "strategy.hedge"),
        ('size         = "0.10"', 'size         = "0.20"', "strategy.size"),
        ('size         = "0.10"', 'size         = "0.001"', "strategy.size"),
        ('size         = "0.10"', 'size         = "0.105"', "strategy.size"),
        ('ticker       = "ETH"', 'ticker       = "ZZZ"', "ZZZ"),
        ("edge = ", "egde = ", "egde"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(world: World, old: str, new: str, place: str) -> None:
    """Exit code 2 and the key or value in the line."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    world.write_config(change=change)
    code, line = refused(world)
    assert (2, True) == (code, place in line), line


@pytest.mark.parametrize("content", [None, b"\xff\xfe[run]", b"[run\n"], ids=["missing", "not UTF-8", "not TOML"])
def test_an_unreadable_configuration_is_refused_by_its_name(world: World, content: bytes | None) -> None:
    """Exit code 2 and the path in the line."""
    world.config.unlink()
    if content is not None:
        world.config.write_bytes(content)
    code, line = refused(world)
    assert (2, True) == (code, str(world.config) in line), line


@pytest.mark.parametrize(
    "name", ["GRVT_API_KEY", "GRVT_PRIVATE_KEY", "GRVT_TRADING_ACCOUNT_ID", "BACKPACK_PUBLIC_KEY", "BACKPACK_SECRET_KEY"]
)
def test_a_missing_credential_is_refused_by_its_name(world: World, name: str) -> None:
    """Exit code 2 and the variable in the line."""
    world.write_credentials({key: value for key, value in world.venues.credentials.items() if key != name})
    code, line = refused(world)
    assert (2, True) == (code, name in line), line


@pytest.mark.parametrize("name", ["GRVT_API_KEY", "GRVT_PRIVATE_KEY", "BACKPACK_SECRET_KEY"])
def test_a_credential_that_is_no_key_is_refused_without_being_shown(world: World, name: str) -> None:
    """Exit code 2, the venue in the line, the value not."""
    world.write_credentials({**world.venues.credentials, name: "canary-no-key"})
    code, line = refused(world)
    assert (2, True, False) == (code, name.partition("_")[0] in line.upper(), "canary" in line), line


def test_an_env_file_that_others_may_read_is_refused(world: World) -> None:
    """Exit code 2 and the path in the line."""
    world.env_file.chmod(0o644)
    code, line = refused(world)
    assert (2, True) == (code, str(world.env_file) in line), line


@pytest.mark.parametrize("venue", ["grvt", "backpack"])
def test_a_venue_out_of_reach_is_a_no_go_by_its_name(world: World, venue: str) -> None:
    """``doctor`` does not wait for it: exit code 2 and the venue in the table."""
    world.write_config(closed=venue)
    doctor = world.command("doctor")
    code = doctor.wait()
    failed = [line for line in doctor.stdout.splitlines() if "fail" in line]
    assert (2, [True], "NO-GO", "") == (code, [venue in line for line in failed], doctor.stdout.split()[-1], doctor.stderr)


def foreign_order(world: World, venue: str) -> None:
    world.venues.post("/order", venue=venue, symbol=ETH[venue], side="BUY", quantity="0.10", price="2900", client_id="77")


def foreign_position(world: World, venue: str) -> None:
    world.venues.post("/order", venue=venue, symbol=ETH[venue], side="BUY", quantity="0.10", tif="IOC")


@pytest.mark.parametrize("venue", ["grvt", "backpack"])
@pytest.mark.parametrize(("make", "word"), [(foreign_order, "orders"), (foreign_position, "position")])
def test_what_is_not_ours_at_a_venue_is_refused(own: World, venue: str, make: Callable[[World, str], None], word: str) -> None:
    """An open order or a position that the journal does not explain: exit code 2, venue and kind in the line."""
    make(own, venue)
    code, line = refused(own)
    assert (2, True) == (code, f"{venue} {word}" in line), line


def test_a_state_folder_that_cannot_be_made_is_refused_by_its_path(world: World) -> None:
    """Exit code 2 and the path in the line."""
    (world.folder / "file").write_text("")
    world.write_config(change=lambda text: text.replace('"state"', '"file/state"'))
    code, line = refused(world)
    assert (2, True) == (code, "file/state" in line), line


def test_a_journal_that_is_no_database_is_refused(own: World) -> None:
    """Exit code 3: what is open at the venues is unknown; the file is named and left as it is."""
    own.state.mkdir()
    (own.state / "journal.sqlite").write_bytes(b"not a database" * 400)
    code, line = refused(own)
    assert (3, True) == (code, "journal" in line), line
