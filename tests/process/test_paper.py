"""``paper``: the whole program against its embedded venues, judged by the venues' own ledgers."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from tests.process.kit import ROOT, Bot, Execution, Ledger, executions

STATE = Path("state") / "paper"


class Paper:
    """A folder to run ``paper`` in, as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / STATE
        (folder / "configs").mkdir()
        shutil.copy(ROOT / "configs" / "paper.toml", folder / "configs")

    def run(self, *arguments: str) -> Bot:
        bot = Bot(self.folder / "bot", ["paper", *arguments], {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
        try:
            bot.wait()
        finally:
            bot.kill()
        return bot

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(json.loads((self.state / "ledger.json").read_text()))

    @property
    def fills(self) -> list[Execution]:
        return executions(self.state / "fills.csv")


class Finished:
    """A run of two cycles that is over, and a run over its state."""

    def __init__(self, folder: Path) -> None:
        self.paper = Paper(folder)
        first = self.paper.run("--iter", "2")
        self.code = first.wait()
        self.stdout, self.stderr = first.stdout, first.stderr
        self.ledger = self.paper.ledger
        self.fills = self.paper.fills
        self.log = (self.paper.state / "log.jsonl").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("paper"))


def test_it_ends_with_exit_code_0_and_nothing_on_standard_error(finished: Finished) -> None:
    """Two cycles, then flat."""
    assert (0, "") == (finished.code, finished.stderr)


def test_both_venues_are_flat_in_their_own_ledgers(finished: Finished) -> None:
    """No position and no open order is left at either venue."""
    assert ({"grvt": 0, "backpack": 0}, []) == (finished.ledger.positions, finished.ledger.open_orders)


def test_fills_csv_is_the_ledgers_fill_by_fill(finished: Finished) -> None:
    """Trade id, side, price and quantity of every fill at either venue, and none besides."""
    assert sorted(finished.ledger.fills) == sorted(finished.fills)


def test_every_maker_fill_was_hedged_in_full_and_once(finished: Finished) -> None:
    """As much at the one venue as at the other; how much the market took of two cycles is its own affair."""
    assert 0 < finished.ledger.volume("grvt") == finished.ledger.volume("backpack")


def test_no_client_order_id_was_used_twice(finished: Finished) -> None:
    """One id is one intent."""
    assert [] == finished.ledger.reused_client_ids


def test_no_venue_answered_429(finished: Finished) -> None:
    """The bot keeps within the venues' limits by itself."""
    assert 0 == finished.log.count('"event":"RateLimited"')


def test_the_summary_is_printed(finished: Finished) -> None:
    """Cycles and position of each venue, as a person reads them."""
    rows = dict(line.rsplit(maxsplit=1) for line in finished.stdout.splitlines() if len(line.split()) > 1)
    positions = [Decimal(rows[name]) for name in ("Position GRVT", "Position Backpack")]
    assert ("2", [0, 0]) == (rows["Cycles"], positions)


@pytest.fixture(scope="module")
def again(finished: Finished) -> Bot:
    """A second run over the state folder of the first."""
    return finished.paper.run("--iter", "1", "--seed", "2")


def test_a_second_run_over_an_old_state_folder_ends_well(again: Bot) -> None:
    """The embedded venues are new each time, and so is the journal."""
    assert (0, "") == (again.wait(), again.stderr)


def test_a_second_run_keeps_the_files_of_the_first(again: Bot, finished: Finished) -> None:
    """They lie in a folder beside; nothing is deleted."""
    (kept,) = finished.paper.state.glob("before-*/fills.csv")
    assert finished.fills == executions(kept)


def test_an_unknown_scenario_is_refused_before_anything_is_moved(tmp_path: Path) -> None:
    """The state of the last run stays where it is."""
    paper = Paper(tmp_path)
    bot = paper.run("--scenario", "quick")
    said = "argument --scenario: invalid choice: 'quick' (choose from 'lively', 'seeds', 'bracket')"
    assert (2, True, False) == (bot.wait(), bot.stderr.endswith(f"{said}\n"), paper.state.exists())
