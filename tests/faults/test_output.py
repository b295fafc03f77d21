"""Nobody reads what the run says, and its log has no room: trading goes on, and it ends as it would have (RELIABILITY.md P8)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.faults.processes import assert_added_up, assert_adds_up, health_dump, restarted
from tests.process.kit import Bot, World, by_night, until

BETWEEN_HANG_UPS_S = 0.0024
"""As measured of an interactive bash."""


@contextmanager
def heard(world: World, streams: tuple[str, ...]) -> Iterator[Bot]:
    """A run whose ``streams`` go into a pipe that has a reader for as long as the block lasts."""
    reader, writer = os.pipe()
    try:
        bot = world.run(**dict.fromkeys(streams, writer))
        os.close(writer)
        yield bot
    finally:
        os.close(reader)


@pytest.mark.parametrize("streams", [("stdout", "stderr"), *by_night(("stdout",))], ids="+".join)
def test_a_terminal_that_goes_away_costs_nothing_but_its_lines(world: World, streams: tuple[str, ...]) -> None:
    """As with ``| head``: it trades on, and the exit code still says what is left at the venues."""
    with heard(world, streams) as bot:
        world.until_filled()
    world.until_filled_anew(2)
    world.venues.post("/market", freeze=True)
    assert_adds_up(world, bot)


@contextmanager
def standing_still() -> Iterator[int]:
    """A pipe that is full, and whose reader does not read."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_that_stands_still_costs_nothing_but_its_lines(world: World) -> None:
    """Ctrl-S, or ``| tee`` on a disk that hangs: it trades on, nobody is started anew, a stop is as orderly as any and ends by itself."""
    with standing_still() as writer:
        bot = world.run(stdout=writer, stderr=writer)
        world.until_filled(2)
        until(lambda: len(world.fills_csv()) >= 4, "the recorder to go on")
        assert set() == restarted(world, bot)
        assert_adds_up(world, bot)


def started_with(world: World, action: signal.Handlers) -> Bot:
    """A run whose ``action`` for SIGHUP is that, and that answers signals."""
    bot = world.run(preexec_fn=lambda: signal.signal(signal.SIGHUP, action))
    world.until_holding(bot)
    return bot


@pytest.mark.parametrize("fills", [0, *by_night(1, 2)])
def test_a_terminal_that_hangs_up_is_a_stop_like_any(world: World, fills: int) -> None:
    """The shell says so for its jobs, and the kernel again when the shell has gone: everything is cancelled and hedged, and the exit code
    says what is left."""
    bot = started_with(world, signal.SIG_DFL)
    world.until_filled(fills)
    world.until_quoting()
    bot.send(signal.SIGHUP)
    time.sleep(BETWEEN_HANG_UPS_S)
    assert_added_up(world, bot, bot.end(signal.SIGHUP))


@pytest.mark.night
def test_under_nohup_a_terminal_that_hangs_up_is_none(world: World) -> None:
    """Whoever had the signal ignored wants the run to go on."""
    bot = started_with(world, signal.SIG_IGN)
    world.until_filled()
    bot.send(signal.SIGHUP)
    world.until_filled_anew(2)
    assert_adds_up(world, bot)


def test_a_refusal_that_nobody_hears_is_one_all_the_same(world: World) -> None:
    """Exit code 2, not the interpreter's own for a broken pipe."""
    world.config.write_text("[run")
    with heard(world, ("stdout", "stderr")) as bot:
        bot.send(signal.SIGSTOP)
    bot.send(signal.SIGCONT)
    assert 2 == bot.wait()


def test_a_log_without_room_costs_lines_which_are_counted(world: World) -> None:
    """It trades on, and the health dump says how many lines are lost."""
    world.state.mkdir()
    (world.state / "log.jsonl").symlink_to("/dev/full")
    bot = world.run()
    world.until_filled(2)
    assert health_dump(world, bot)["metrics"]["lines_lost"] > 0
    assert_adds_up(world, bot)
