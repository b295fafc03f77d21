"""A journal of schema 1, kept as it was written: every later version reads it whole, or its schema has another number (RELIABILITY.md P11)."""

from __future__ import annotations

import json
import sqlite3
import typing
import zlib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.journal import SqliteJournal
from core.journal_state import FillKey, NetPosition, Record
from core.types import TradeId, VenueId

KEPT = Path(__file__).with_name("journal-1.jsonl")
"""One record of every kind that schema 1 has, in the order in which a run writes them."""
ROWS: list[dict[str, Any]] = [json.loads(line) for line in KEPT.read_text("utf-8").splitlines()]
GRVT = VenueId("grvt")


def write_journal(path: Path) -> None:
    """As schema 1 did, word for word; nothing here is today's code."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("page_size = 4096", "journal_mode = WAL", "application_id = 1346720326", "user_version = 1"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(
            "CREATE TABLE journal (seq INTEGER PRIMARY KEY, kind TEXT, wall_ms INTEGER, payload BLOB, crc INTEGER)"
        )
        for seq, row in enumerate(ROWS, 1):
            payload = json.dumps(row["payload"]).encode()
            crc = zlib.crc32(payload, zlib.crc32(f"{seq}|{row['kind']}|{row['wall_ms']}|".encode()))
            connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", (seq, row["kind"], row["wall_ms"], payload, crc))


def test_it_holds_every_kind_of_record() -> None:
    """One that is added gets a line of its own."""
    assert {row["payload"]["type"] for row in ROWS} == {kind.__name__ for kind in typing.get_args(Record)}


def test_an_old_journal_gives_the_state_that_it_gave_then(tmp_path: Path) -> None:
    """Positions, fills, orders without an end, numbers already given away."""
    write_journal(tmp_path / "journal.sqlite")
    state = SqliteJournal(tmp_path / "journal.sqlite").fold()
    assert (151, 3, True) == (state.next_client_id, state.epoch, state.was_stopped_cleanly)
    assert (2, 2, 3) == (state.last_cycle_id, state.last_finished_cycle_id, state.last_released_cycle_id)
    assert (NetPosition(GRVT, "ETH_USDT_Perp", Decimal("0.14")),) == state.positions
    assert tuple(FillKey(GRVT, TradeId(trade)) for trade in ("b1", "t1", "t2")) == state.fill_keys
    assert [(101, True), (5, False), (102, False)] == [(each.order.client_order_id, each.is_settled) for each in state.orders]


@pytest.mark.parametrize("row", ROWS, ids=[row["payload"]["type"] for row in ROWS])
def test_no_field_of_an_old_record_is_lost(row: dict[str, Any]) -> None:
    """Read and written again it says all that it said: a field that was renamed would be dropped without a word."""
    record = msgspec.json.decode(json.dumps(row["payload"]), type=Record)  # type: ignore[arg-type]
    assert [] == missing(row["payload"], json.loads(msgspec.json.encode(record)))


def missing(old: Any, new: Any, path: str = "") -> list[str]:
    """Places in ``old`` that ``new`` does not have, or has otherwise."""
    match old, new:
        case dict(), dict():
            return [found for key, value in old.items() for found in missing(value, new.get(key), f"{path}.{key}")]
        case list(), list() if len(old) == len(new):
            return [found for index, value in enumerate(old) for found in missing(value, new[index], f"{path}[{index}]")]
        case _:
            return [] if old == new else [path]
