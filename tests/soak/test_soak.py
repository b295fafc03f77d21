"""The soak's judge finds what it is there to find, and the tool itself runs."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.process.kit import ROOT, Bot, Execution, Ledger
from tests.soak import judge
from tests.soak.lives import Life, Sample
from tests.soak.nemesis import FAULTS, draw

Told = dict[str, dict[str, Any]]


def fill(at: float, side: str, quantity: str, *, order_id: int, is_maker: bool = True) -> dict[str, Any]:
    facts = {"trade_id": int(at * 100), "price": "3000", "time": at}
    return {**facts, "side": side, "quantity": quantity, "order_id": order_id, "is_maker": is_maker}


def order(order_id: int, client_id: str, *, post_only: bool, created_at: float = 10.0) -> dict[str, Any]:
    return {"order_id": order_id, "client_id": client_id, "post_only": post_only, "created_at": created_at, "status": "FILLED"}


def told() -> Told:
    """A quote of 0.1 that filled in two pieces, each hedged 0.1 s later, then all of it back a minute later."""
    grvt = [fill(11, "BUY", "0.04", order_id=1), fill(12, "BUY", "0.06", order_id=1), fill(72, "SELL", "0.10", order_id=2)]
    hedges = [("SELL", "0.04", 11.1), ("SELL", "0.06", 12.1), ("BUY", "0.10", 72.1)]
    return {
        "grvt": {
            "orders": [order(1, str(2**63 + 7), post_only=True), order(2, str(2**63 + 8), post_only=True)],
            "fills": grvt,
            "positions": {},
        },
        "backpack": {
            "orders": [order(3, "9", post_only=False)],
            "fills": [fill(at, side, quantity, order_id=3, is_maker=False) for side, quantity, at in hedges],
            "positions": {},
        },
    }


def findings(seen: Told, recorded: list[Execution] | None = None) -> dict[str, int]:
    """How many there are of each kind."""
    intended = {("grvt", 7): 9.0, ("grvt", 8): 9.0, ("backpack", 9): 9.0}
    ledger = Ledger.of(seen)
    found: dict[str, list[Any]] = {
        "I1": judge.beyond(judge.delta_path(seen), Decimal("0.10")),
        "I3": judge.hedged_once(seen),
        "I5": judge.unlike(ledger, ledger.fills if recorded is None else recorded),
        "I6": judge.unintended(seen, intended),
        "I7": ledger.reused_client_ids,
        "I15": judge.takers(seen),
    }
    return {name: len(texts) for name, texts in found.items() if texts}


def test_an_orderly_ledger_has_no_findings() -> None:
    assert {} == findings(told())


def test_a_position_beyond_the_bound_is_found() -> None:
    """The hedge of the first piece is missing when more than the bound has filled."""
    seen = told()
    seen["grvt"]["fills"][0]["quantity"] = "0.11"
    assert {"I1", "I3"} == set(findings(seen))


def test_a_missing_hedge_is_found() -> None:
    seen = told()
    del seen["backpack"]["fills"][2]
    assert {"I3": 1} == findings(seen)


def test_a_hedge_and_its_undoing_are_found() -> None:
    """The net is zero, but more was covered than had filled."""
    seen = told()
    seen["backpack"]["fills"] += [fill(80, side, "0.10", order_id=3, is_maker=False) for side in ("BUY", "SELL")]
    assert {"I3": 1} == findings(seen)


def test_a_fill_that_is_missing_or_twice_in_the_file_is_found() -> None:
    seen = told()
    *rest, last = Ledger.of(seen).fills
    assert [{"I5": 1}, {"I5": 1}] == [findings(seen, rest), findings(seen, [*rest, last, last])]


@pytest.mark.parametrize(
    "change", [{"client_id": "1"}, {"client_id": ""}, {"created_at": 8.9}], ids=["unknown id", "no id", "intended later"]
)
def test_an_order_without_an_earlier_intent_is_found(change: dict[str, Any]) -> None:
    seen = told()
    seen["backpack"]["orders"][0].update(change)
    assert {"I6": 1} == findings(seen)


def test_a_client_id_used_twice_is_found() -> None:
    seen = told()
    seen["backpack"]["orders"].append(order(4, "9", post_only=False))
    assert {"I7": 1} == findings(seen)


def test_a_quote_that_took_liquidity_is_found() -> None:
    seen = told()
    seen["grvt"]["fills"][0]["is_maker"] = False
    assert {"I15": 1} == findings(seen)


def test_intents_are_read_from_intents_and_from_a_compacted_base(tmp_path: Path) -> None:
    """In epoch seconds, by venue and client id; other records are none."""
    place = {"venue": "grvt", "client_order_id": 7}
    records = [
        ("BASE", 5, {"orders": [{"order": {"venue": "backpack", "client_order_id": 6}, "intended_ms": 4_000}]}),
        ("INTENT", 9_500, {"order": place}),
        ("SENT", 9_600, {"order": {"venue": "grvt", "client_order_id": 8}}),
    ]
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY, kind TEXT, wall_ms INTEGER, payload BLOB)")
        for kind, wall_ms, payload in records:
            values = (kind, wall_ms, json.dumps(payload).encode())
            connection.execute("INSERT INTO journal (kind, wall_ms, payload) VALUES (?, ?, ?)", values)
    assert {("backpack", 6): 4.0, ("grvt", 7): 9.5} == judge.intents(tmp_path / "journal.sqlite")


def test_episodes_of_exposure_go_to_the_first_storm_they_meet() -> None:
    """One in ordinary trading, two that a storm meets; the last is cut off at the end."""
    seen = told()
    del seen["backpack"]["fills"][2]
    found = judge.episodes(judge.delta_path(seen), until=75.0)
    grouped = judge.by_family(found, [(0.0, "none"), (12.05, "5xx"), (60.0, "none"), (73.0, "market")])
    assert {"none": [0.1], "5xx": [0.1], "market": [3.0]} == {
        family: [round(each, 3) for each in lasted] for family, lasted in grouped.items()
    }


def life(rss_kib: list[float], threads: list[int]) -> Life:
    """One healthy phase a minute of two samples each, the first right after the start."""
    made = Life(cast(Bot, SimpleNamespace(pid=0)))
    for minute, (size, count) in enumerate(zip(rss_kib, threads, strict=True), 1):
        at = made.started_at + minute * 60
        made.samples += [Sample(at + second, minute, int(size), count, 20) for second in (0, 1)]
    return made


def noise(count: int) -> list[float]:
    dice = random.Random(1)
    return [dice.uniform(-200, 200) for _ in range(count)]


def test_growth_after_the_warm_up_is_found() -> None:
    """3 MiB/h, hidden in 0.2 MiB of noise, over an hour and a half."""
    grown = life([70_000 + 3 * 1024 / 60 * minute + each for minute, each in enumerate(noise(90))], [18] * 90)
    assert 1 == len(judge.grows(grown))


def test_the_warm_up_is_no_growth() -> None:
    """10 MiB in the first twenty minutes, then noise."""
    assert [] == judge.grows(life([70_000 + min(minute, 19) * 512 + each for minute, each in enumerate(noise(90))], [18] * 90))


@pytest.mark.parametrize(("threads", "found"), [([18, 19, 18], 0), ([18, 18, 19], 1), ([18, 22, 18], 1)])
def test_threads_that_stay_or_pile_up_are_found(threads: list[int], found: int) -> None:
    assert found == len(judge.threads_left(life([70_000.0] * 3, threads)))


def test_the_same_seed_draws_the_same_storms_and_all_faults_come() -> None:
    """As many as a run of two hours has."""
    storms = [[draw(dice, with_ends=True) for _ in range(160)] for dice in (random.Random(1), random.Random(1))]
    assert storms[0] == storms[1]
    assert {fault.name for fault in FAULTS} == {fault.name for storm in storms[0] for _, fault in storm.faults}


@pytest.mark.night
def test_a_minute_of_it_finds_nothing(tmp_path: Path) -> None:
    """The tool runs to its end, says so by its exit code, and writes its report."""
    report = tmp_path / "report.md"
    words = ["-m", "tests.soak", "--minutes", "1", "--folder", str(tmp_path / "run"), "--out", str(report)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "", True) == (done.returncode, done.stderr, "| findings | 0 |" in report.read_text())
