"""A run loads only what it trades with: whoever never goes to ApeX pays nothing for it."""

from __future__ import annotations

import re

import pytest

from tests.process.kit import World, until

FOREIGN = {"apexomni", "zklink_sdk", "web3", "sympy", "numpy", "mpmath", "dateparser", "ecdsa"}
"""What ApeX's own package is and brings along (apex.md §6)."""


def test_a_hedge_run_imports_nothing_of_apex(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the interpreter's own record of every import, from the start to the end of a run that has quoted."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    bot = world.run()
    until(lambda: world.venues.open_orders() or not bot.is_running, "a quote")
    bot.end()
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", bot.stderr, re.MULTILINE))
    loaded = {name for name in imported if name.partition(".")[0] in FOREIGN or name.startswith("adapters.apex")}
    assert (set(), True) == (loaded, {"adapters.grvt.client", "adapters.backpack.client"} <= imported)
