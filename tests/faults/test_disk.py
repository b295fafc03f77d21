"""A disk that takes no more, and a journal that was damaged: no order without a durable intent, no guess at the start (RELIABILITY.md P6-P8)."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from core.messages import Alert, OrderDenied, TradingStateChanged
from core.ports import JournalFailed
from core.types import TradingState
from tests.faults import rig
from tests.faults.house import House
from tests.faults.processes import assert_adds_up, limited
from tests.faults.rig import quicken, running, until
from tests.process.kit import Bot, World, by_night, printed_residue
from tests.process.kit import until as until_told


def no_room(world: World, bot: Bot, spare: int = 0) -> AbstractContextManager[None]:
    """No file of the process may grow beyond what the journal's log has now and ``spare`` bytes: a write that starts may end short."""
    return limited(bot, resource.RLIMIT_FSIZE, (world.state / "journal.sqlite-wal").stat().st_size + spare)


@pytest.mark.parametrize("spare", [2_000, *by_night(0)])
def test_without_room_no_order_leaves_and_with_it_the_fill_is_hedged(world: World, spare: int) -> None:
    """A fill while the disk is full: the hedge is denied, the quote is gone, nothing is sent; then there is room, and it is hedged."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    before = world.venues.orders_sent()
    with no_room(world, bot, spare):
        world.take_quotes()
        until_told(lambda: "journal cannot be written" in bot.stdout, "the alarm")
        assert (before, True) == (world.venues.orders_sent(), bot.is_running)
    until_told(lambda: world.venues.ledger().net == 0, "the hedge")
    assert_adds_up(world, bot)


def test_without_room_a_stop_still_cancels_the_quote_and_says_what_is_left(world: World) -> None:
    """A cancel needs no intent; exit 3 with the journal named, as its last records are lost, and the position on both sides."""
    bot = world.run()
    world.until_filled()
    until_told(lambda: world.venues.ledger().net == 0, "the hedge")
    world.venues.post("/market", freeze=True)
    world.until_quoting()
    with no_room(world, bot):
        code = bot.end()
    ledger = world.venues.ledger()
    held = {venue: quantity for venue, quantity in ledger.positions.items() if quantity}
    assert ([], 3, held) == (ledger.open_orders, code, printed_residue(bot.stdout))
    assert ["perpfarm: journal not written: disk I/O error"] == bot.stderr.splitlines()


def test_a_kill_without_room_is_taken_up(world: World) -> None:
    """Fills that could not be journaled are read from the venues by the next run, and hedged."""
    world.venues.post("/market", freeze=True)
    bot = world.run()
    world.until_quoting()
    with no_room(world, bot):
        world.take_quotes()
        until_told(lambda: "journal cannot be written" in bot.stdout, "the alarm")
        bot.kill()
        world.venues.post("/market", freeze=False)
        again = world.run()
    world.until_holding(again)
    world.until_filled_anew()
    assert_adds_up(world, again)


def test_a_journal_that_cannot_be_written_denies_reduces_and_alarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that order of urgency; cancels pass, and what was filled is hedged as soon as it can be written down."""
    quicken(monkeypatch)
    house = House()
    with running(tmp_path, house, monkeypatch) as run:
        (quote,) = until(lambda: house.maker.open_orders, "a quote")
        genuine = run.journal._transact

        def full(statements: object) -> None:
            raise JournalFailed("journal not written: planted")

        run.journal._transact = full  # type: ignore[method-assign, assignment]
        sent = len(house.hedge.sent)
        house.maker.hit(quote)
        until(lambda: run.seen(OrderDenied), "the denial")
        until(lambda: any(each.state is TradingState.REDUCING for each in run.seen(TradingStateChanged)), "REDUCING")
        assert (sent, True) == (len(house.hedge.sent), any(alert.key == "journal" for alert in run.seen(Alert)))
        run.journal._transact = genuine  # type: ignore[method-assign]
        until(lambda: house.net == 0, "the hedge")
        run.assert_ends_in_order()
    rig.assert_adds_up(house)


# ---- damage ----------------------------------------------------------------------------------------------------------------------


def left_behind(world: World) -> Path:
    """The journal of a run that was killed just after a fill: most of it is in its write-ahead log."""
    bot = world.run()
    world.until_filled()
    bot.kill()
    return world.state / "journal.sqlite"


def test_a_write_that_was_cut_short_is_as_if_it_had_not_begun(world: World) -> None:
    """Half of a record more than was ever promised: the journal is what it was before, and the run is taken up."""
    wal = Path(f"{left_behind(world)}-wal")
    whole = wal.read_bytes()
    wal.write_bytes(whole + whole[-4_000:-2_000])
    bot = world.run()
    world.until_holding(bot)
    world.until_filled_anew()
    assert_adds_up(world, bot)


@pytest.mark.parametrize("share", [0.5, *by_night(0.1, 0.25, 0.75)])
def test_a_flipped_bit_in_the_middle_stops_everything(world: World, share: float) -> None:
    """Exit 3, one line that names the file, nothing sent and nothing repaired: a matter for a person."""
    wal = Path(f"{left_behind(world)}-wal")
    damaged = bytearray(wal.read_bytes())
    damaged[int(len(damaged) * share)] ^= 0x10
    wal.write_bytes(damaged)
    before = world.venues.orders_sent()
    bot = world.run()
    code = bot.wait()
    assert (3, before, 1) == (code, world.venues.orders_sent(), bot.stderr.count("\n"))
    assert (True, bytes(damaged)) == ("journal.sqlite" in bot.stderr, wal.read_bytes())
