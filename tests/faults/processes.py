"""What is done to the bot's process from outside, and what is asked of it at the end."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.process.kit import Bot, World, until


@contextmanager
def limited(bot: Bot, what: int, value: int) -> Iterator[None]:
    """``what``: one of resource.RLIMIT_*; it is as before at the end, if the process still is."""
    soft, hard = resource.prlimit(bot.pid, what)
    resource.prlimit(bot.pid, what, (value, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(bot.pid, what, (soft, hard))


@contextmanager
def suspended(bot: Bot, seconds: float) -> Iterator[None]:
    """The body runs while the process stands still, which it does for ``seconds`` at least."""
    bot.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield
        time.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        bot.send(signal.SIGCONT)


def health_dump(world: World, bot: Bot) -> dict[str, Any]:
    """A fresh one."""
    path = world.state / "health.json"
    path.unlink(missing_ok=True)
    bot.send(signal.SIGUSR1)
    until(path.exists, "the dump")
    dump: dict[str, Any] = json.loads(path.read_text())
    return dump


def restarted(world: World, bot: Bot) -> set[str]:
    """The actors that were started more than once, by the bot's own health dump."""
    return {row["name"] for row in health_dump(world, bot)["actors"] if row["restarts"]}


def assert_adds_up(world: World, bot: Bot) -> None:
    """Stop in order, then judge by the venues: nothing open, nothing unhedged, no fill hedged twice, every fill in fills.csv."""
    assert_added_up(world, bot, bot.end())


def assert_added_up(world: World, bot: Bot, code: int) -> None:
    """The same of a run that has ended with ``code``."""
    ledger = world.venues.ledger()
    expected = (0 if ledger.is_flat else 3, [], [], 0, "")
    assert expected == (code, ledger.open_orders, ledger.reused_client_ids, ledger.net, bot.stderr)
    assert ledger.volume("grvt") == ledger.volume("backpack")
    assert sorted(ledger.fills) == sorted(world.fills_csv())
