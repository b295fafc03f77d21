"""A world with ApeX alone in it, and the questions asked of a bracket run in it."""

from __future__ import annotations

import csv
import importlib.util
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.process.canaries import searched
from tests.process.kit import ROOT, Bot, World, log_lines, until

NEEDS_SIGNER = pytest.mark.skipif(
    importlib.util.find_spec("apexomni") is None, reason="the order signer of ApeX is not installed: make test-apex"
)
SYMBOL = "ETH-USDT"
WIDE = 'take_profit_pct = "5"\nstop_loss_pct   = "5"'
PROFIT, LOSS = "3200", "2800"
"""Prices beyond the legs of a position that was entered at about 3000."""
CANCEL = "POST /api/v3/delete-order"
PLACE = "POST /api/v3/order"
_ENDED = ("FILLED", "CANCELED", "EXPIRED", "REJECTED", "DENIED")


class ApexWorld(World):
    """Both legs are far from the market unless the test moves it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--venues", "apex")

    def write_config(self, *, iterations: int = 1, change: Callable[[str], str] = str, closed: str = "") -> None:
        text = (ROOT / "configs/paper-bracket.toml").read_text()
        text = text.replace("state/paper-bracket", "state").replace("iterations = 3", f"iterations = {iterations}")
        text = text.replace('take_profit_pct = "0.002"\nstop_loss_pct   = "0.002"', WIDE)
        urls = "".join(f'{key} = "{url}"\n' for key, url in self.venues.directory["apex"].items())
        self.config.write_text(change(text) + f"\n[venues.apex.endpoints]\n{urls}")

    # ---- what is done to the venue -------------------------------------------------------------------------------------------

    def trick(self, name: str, **fields: Any) -> None:
        self.venues.post("/trick", venue="apex", name=name, **fields)

    def fault(self, kind: str, on: str, **fields: Any) -> None:
        self.venues.post("/fault", venue="apex", kind=kind, on=on, **fields)

    def move_to(self, price: str) -> None:
        self.trick("force_price", symbol=SYMBOL, price=price)

    def end_leg(self, role: str, how: str) -> None:
        self.trick(how, order_id=int(self.leg(role)["venue_order_id"]))

    # ---- what the venue holds ------------------------------------------------------------------------------------------------

    def fills(self) -> list[dict[str, Any]]:
        return list(self.venues.get("/ledger")["apex"]["fills"])

    def position(self) -> Decimal:
        return sum((Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1) for fill in self.fills()), Decimal(0))

    def volume(self, side: str) -> Decimal:
        return sum((Decimal(fill["quantity"]) for fill in self.fills() if fill["side"] == side), Decimal(0))

    def open_at_venue(self) -> list[dict[str, Any]]:
        """Orders that rest in the book and those that wait for their trigger."""
        return list(self.venues.get("/orders")["apex"])

    def asked(self, route: str) -> int:
        return int(self.venues.get("/requests")["apex"].get(route, {}).get("asked", 0))

    # ---- what the bot said ---------------------------------------------------------------------------------------------------

    def states(self) -> list[str]:
        return [line["state"] for line in self.log("PairStateChanged")]

    def alerts(self, key: str) -> list[str]:
        return [line["text"] for line in self.log("Alert") if line["key"] == key]

    def orders(self, role: str) -> list[dict[str, Any]]:
        """Every state of every order of that role, in the order it was told."""
        return [line["order"] for line in self.log("OrderChanged") if line["order"]["role"] == role]

    def leg(self, role: str) -> dict[str, Any]:
        return self.orders(role)[-1]

    def placed(self, role: str) -> list[int]:
        """Client ids of the orders of that role, each once."""
        return list(dict.fromkeys(order["client_order_id"] for order in self.orders(role)))

    def story(self) -> list[str]:
        """States of the pair, and the ends of legs as ``sl FILLED``, in the order they were told."""
        told = []
        for found in log_lines(self.state):
            if found["event"] == "PairStateChanged":
                told.append(found["state"])
            elif found["event"] == "OrderChanged" and found["order"]["role"] in ("tp", "sl"):
                told += [f"{found['order']['role']} {found['order']['state']}"] if found["order"]["state"] in _ENDED else []
        return told

    def sources(self, role: str) -> set[str]:
        """How the fills of that role were heard of: ws, rest, recovery."""
        with (self.state / "fills.csv").open(newline="") as file:
            return {row["source"] for row in csv.DictReader(file) if row["role"] == role}

    def journaled_fills(self) -> int:
        """How many are on the disk by now."""
        with closing(sqlite3.connect(f"file:{self.state / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
            (count,) = journal.execute("SELECT count(*) FROM journal WHERE kind = 'FILL'").fetchone()
            return int(count)

    # ---- moments -------------------------------------------------------------------------------------------------------------

    def until_armed(self, times: int = 1) -> None:
        until(lambda: self.states().count("ARMED") >= times, f"the pair to be armed, {times} times in all")


def apex_world(folder: Path) -> Iterator[ApexWorld]:
    """For fixtures: a world that is closed whatever happens, and then searched for credentials."""
    yield from searched(folder, ApexWorld)


def assert_ended_flat(world: ApexWorld, bot: Bot) -> None:
    """Exit 0, nothing held, nothing that could still fill."""
    code = bot.wait()
    assert (0, Decimal(0), []) == (code, world.position(), world.open_at_venue()), bot.stdout + bot.stderr
