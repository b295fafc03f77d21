"""The journal on real files: what a kill, a full disk and a damaged file leave behind."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.journal import (
    CACHE_KIB,
    CLIENT_ID_MAX,
    FIRST_CLIENT_ID_MAX,
    NOTES_QUEUED_MAX,
    SCHEMA_VERSION,
    JournalCorrupt,
    SqliteJournal,
)
from core.journal_state import JournalState, NetPosition
from core.messages import CycleFinished, FillRecorded, FillReported, OrderChanged, OrderSnapshot, PlaceOrder
from core.ports import JournalFailed
from core.types import (
    ClientOrderId,
    Liquidity,
    OrderState,
    Role,
    Side,
    Source,
    TimeInForce,
    TradeId,
    VenueId,
    VenueOrderId,
)

GRVT = VenueId("grvt")
GUARD_S = 20.0
FULL_LEAF = 2 * 4096 + 2_000
"""An offset in a full page of records, of which the log has no newer copy."""
FRAME = 24 + 4096
"""Size of one frame of the log: its header and a page."""
REPO = Path(__file__).resolve().parents[2]


def place(client_order_id: int, *, side: Side = Side.BUY, cycle_id: int = 1) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=ClientOrderId(client_order_id),
        venue=GRVT,
        symbol="ETH_USDT_Perp",
        side=side,
        quantity=Decimal("0.10"),
        price=Decimal("3000.12"),
        time_in_force=TimeInForce.GTC,
        role=Role.MAKER,
        cycle_id=cycle_id,
        reference_price=Decimal("3000.13"),
        post_only=True,
    )


def snapshot(order: PlaceOrder, state: OrderState, filled: str = "0") -> OrderSnapshot:
    return OrderSnapshot(
        client_order_id=order.client_order_id,
        venue=order.venue,
        symbol=order.symbol,
        side=order.side,
        role=order.role,
        price=order.price,
        quantity=order.quantity,
        state=state,
        filled_quantity=Decimal(filled),
        recorded_quantity=Decimal(filled),
        cycle_id=order.cycle_id,
        venue_order_id=VenueOrderId(f"0x{order.client_order_id:x}"),
    )


def fill(order: PlaceOrder, trade_id: str, quantity: str = "0.10", *, at_ms: int = 1_000) -> FillRecorded:
    report = FillReported(
        venue=order.venue,
        symbol=order.symbol,
        trade_id=TradeId(trade_id),
        client_order_id=order.client_order_id,
        venue_order_id=None,
        side=order.side,
        price=order.price,
        quantity=Decimal(quantity),
        fee=Decimal("-0.003"),
        fee_currency="USDT",
        liquidity=Liquidity.MAKER,
        venue_time_ms=at_ms,
        source=Source.WS,
        received_at=1.0,
    )
    return FillRecorded(fill=report, order=snapshot(order, OrderState.PARTIALLY_FILLED, quantity), at=1.0)


def open_journal(path: Path, *, compact_after_records: int = 100_000) -> SqliteJournal:
    clock = count(1_700_000_000_000)
    return SqliteJournal(
        path, wall_ms=lambda: next(clock), compact_after_records=compact_after_records, first_client_id=lambda: 1
    )


def trade(journal: SqliteJournal, first_id: int, orders: int) -> None:
    """A plain history: intent, fill, closed; every third order stays open."""
    for client_order_id in range(first_id, first_id + orders):
        order = place(client_order_id, side=Side.BUY if client_order_id % 2 else Side.SELL, cycle_id=client_order_id // 4)
        journal.record_intent(order, epoch=1)
        if client_order_id % 3:
            journal.note(fill(order, f"t{client_order_id}", at_ms=client_order_id * 1_000))
            journal.note(OrderChanged(order=snapshot(order, OrderState.FILLED, "0.10"), at=2.0))
    journal.flush()


def state_at(path: Path) -> JournalState:
    """What a restart would read; the file is left as it was found, for the next reader."""
    journal = open_journal(path)
    state = journal.fold()
    journal._connection.close()
    return state


def copy_journal(path: Path, target: Path) -> Path:
    """A copy as a kill would leave it: the database and its log, without the index that SQLite rebuilds."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (path.name, f"{path.name}-wal"):
        (target / name).unlink(missing_ok=True)
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), target / name)
    (target / f"{path.name}-shm").unlink(missing_ok=True)
    return target / path.name


# ---- what it remembers ---------------------------------------------------------------------------------------------------------


def test_missing_file_is_a_fresh_journal(tmp_path: Path) -> None:
    """A state folder that does not exist yet gives the empty state."""
    assert JournalState() == open_journal(tmp_path / "new" / "journal.sqlite").fold()


def test_reopened_journal_has_the_same_state(tmp_path: Path) -> None:
    """What was durable when the process ended is what the next one starts from."""
    journal = open_journal(tmp_path / "journal.sqlite")
    trade(journal, 1, 20)
    before = journal.fold()
    journal.close(is_clean=False)
    assert before == open_journal(tmp_path / "journal.sqlite").fold()


def test_unflushed_notes_become_durable_with_the_next_intent_in_order(tmp_path: Path) -> None:
    """A fill noted before an intent is there when the intent is, without a flush."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.record_intent(place(1), epoch=1)
    journal.note(fill(place(1), "a"))
    journal.record_intent(place(2), epoch=1)
    copy = copy_journal(tmp_path / "journal.sqlite", tmp_path / "copy")
    assert (NetPosition(GRVT, "ETH_USDT_Perp", Decimal("0.10")),) == state_at(copy).positions


def test_queue_of_notes_is_bounded(tmp_path: Path) -> None:
    """Without an intent or a flush, the notes become durable by themselves at the limit of the queue."""
    journal = open_journal(tmp_path / "journal.sqlite")
    for number in range(NOTES_QUEUED_MAX):
        journal.note(fill(place(1), f"t{number}", "0.01"))
    assert NOTES_QUEUED_MAX == len(state_at(tmp_path / "journal.sqlite").fill_keys)


class _Arriving(deque[Any]):
    """Another thread queues one more note while this one takes them."""

    has_come = False

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():
            yield row
            self._come()

    def popleft(self) -> Any:
        self._come()
        return super().popleft()

    def _come(self) -> None:
        if not self.has_come:
            self.has_come = True
            self.append(self[-1])


def test_a_note_that_comes_during_a_commit_waits_for_the_next(tmp_path: Path) -> None:
    """And does not end whoever is just about to send an order."""
    journal = open_journal(tmp_path / "journal.sqlite")
    for trade_id in ("a", "b"):
        journal.note(fill(place(1), trade_id))
    journal._notes = _Arriving(journal._notes)
    journal.record_intent(place(1), epoch=1)
    journal.flush()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as reader:
        kinds = [kind for (kind,) in reader.execute("SELECT kind FROM journal ORDER BY seq")]
    assert ["FILL", "FILL", "INTENT", "FILL"] == kinds


def test_pages_kept_in_memory_are_few(tmp_path: Path) -> None:
    """SQLite's own default would keep the last 2 MiB that were written, which nobody reads (I19)."""
    journal = open_journal(tmp_path / "journal.sqlite")
    (kept,) = journal._connection.execute("PRAGMA cache_size").fetchone()
    assert -CACHE_KIB == kept


def test_leases_never_overlap_over_restarts(tmp_path: Path) -> None:
    """Each lease starts where the last one ended, also in the next process."""
    leases = []
    for _ in range(3):
        journal = open_journal(tmp_path / "journal.sqlite")
        leases += [journal.lease_client_ids(5), journal.lease_client_ids(2)]
        journal.close(is_clean=True)
    assert [(1, 6), (6, 8), (8, 13), (13, 15), (15, 20), (20, 22)] == leases


def test_new_journals_of_one_account_share_no_ids(tmp_path: Path) -> None:
    """A second bot of the account, or one that starts afresh, must not mistake the other's orders for its own."""
    leases = []
    for name in ("here", "there"):
        journal = SqliteJournal(tmp_path / name / "journal.sqlite")
        leases.append(journal.lease_client_ids(2_000))
        journal.close(is_clean=True)
    (start, end), (other_start, other_end) = leases
    assert end <= other_start or other_end <= start
    assert 0 < start <= FIRST_CLIENT_ID_MAX


def test_lease_beyond_uint32_is_refused(tmp_path: Path) -> None:
    """The last id is 2**32 - 1; one more is an error, not a wrap."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.lease_client_ids(CLIENT_ID_MAX)
    with pytest.raises(JournalFailed, match="used up"):
        journal.lease_client_ids(1)


def test_epochs_rise_over_restarts(tmp_path: Path) -> None:
    """No two runs share an epoch."""
    epochs = []
    for _ in range(3):
        journal = open_journal(tmp_path / "journal.sqlite")
        epochs.append(journal.begin_epoch())
        journal.close(is_clean=False)
    assert [1, 2, 3] == epochs


def test_clean_stop_is_known_until_the_next_run_begins(tmp_path: Path) -> None:
    """The flag is true after an ordered stop and false again once a run began."""
    seen = []
    for is_clean in (True, False):
        journal = open_journal(tmp_path / "journal.sqlite")
        journal.begin_epoch()
        seen.append(journal.fold().was_stopped_cleanly)
        journal.close(is_clean=is_clean)
        seen.append(state_at(tmp_path / "journal.sqlite").was_stopped_cleanly)
    assert [False, True, False, False] == seen


def test_compaction_keeps_the_state(tmp_path: Path) -> None:
    """Many compactions along the way, and the same state as without any, by fewer records."""
    plain, compacted = (
        open_journal(tmp_path / "plain.sqlite"),
        open_journal(tmp_path / "compacted.sqlite", compact_after_records=50),
    )
    for first in range(1, 200, 20):
        trade(plain, first, 20)
        trade(compacted, first, 20)
    compacted._connection.close()
    seen = state_at(tmp_path / "compacted.sqlite")
    expected = plain.fold()
    assert (expected.positions, expected.fill_keys, expected.next_client_id) == (
        seen.positions,
        seen.fill_keys,
        seen.next_client_id,
    )
    assert {order.order for order in expected.orders} == {order.order for order in seen.orders}


def test_compaction_drops_the_records_it_replaces(tmp_path: Path) -> None:
    """The table stays small however long the run."""
    journal = open_journal(tmp_path / "journal.sqlite", compact_after_records=50)
    for first in range(1, 200, 20):
        trade(journal, first, 20)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as reader:
        assert reader.execute("SELECT count(*) FROM journal").fetchone()[0] <= 110


def test_notes_queued_during_compaction_survive_it(tmp_path: Path) -> None:
    """A note that is still queued when the base is written comes after the base, not lost before it."""
    journal = open_journal(tmp_path / "journal.sqlite", compact_after_records=0)
    journal.record_intent(place(1), epoch=1)
    journal.note(fill(place(1), "late"))
    journal._compact()
    journal.close(is_clean=False)
    assert 1 == len(state_at(tmp_path / "journal.sqlite").fill_keys)


def test_interrupted_compaction_is_whole(tmp_path: Path) -> None:
    """A kill between the base and the last deletion leaves a journal with the same state."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path, compact_after_records=10)
    trade(journal, 1, 3)
    journal._append([journal._row(journal.fold())])
    trade(journal, 4, 3)
    expected = journal.fold()
    journal._transact([("DELETE FROM journal WHERE seq < ?", (4,))])
    assert expected == state_at(path)


def test_messages_outside_the_fold_are_kept_as_notes(tmp_path: Path) -> None:
    """Any message may be noted; a closed cycle is folded, something the fold does not know does not disturb it."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.note(
        CycleFinished(
            cycle_id=7,
            started_at=0.0,
            result="done",
            intended=Decimal("0.1"),
            filled=Decimal("0.1"),
            requotes=0,
            cancels=0,
            skips=0,
            at=1.0,
        )
    )
    journal.note(place(9))
    journal.close(is_clean=False)
    state = state_at(tmp_path / "journal.sqlite")
    assert (7, 7, ()) == (state.last_cycle_id, state.last_finished_cycle_id, state.orders)


def test_each_note_is_written_once(tmp_path: Path) -> None:
    """Notes leave the queue with the commit that carried them."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.note(fill(place(1), "a"))
    journal.record_intent(place(1), epoch=1)
    journal.record_intent(place(2), epoch=1)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as reader:
        assert [("FILL",), ("INTENT",), ("INTENT",)] == reader.execute("SELECT kind FROM journal ORDER BY seq").fetchall()


def test_failed_commit_leaves_no_transaction_behind(tmp_path: Path) -> None:
    """A commit that the table refuses (its number is taken) fails alone; once the cause is gone the next one works."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as intruder:
        intruder.execute("INSERT INTO journal (seq) VALUES (1)")
        with pytest.raises(JournalFailed):
            journal.record_intent(place(1), epoch=1)
        intruder.execute("DELETE FROM journal")
    journal.record_intent(place(2), epoch=1)
    assert [2] == [order.order.client_order_id for order in state_at(path).orders]


# ---- kill -9 and the full disk, on real processes ----------------------------------------------------------------------------------

_ENDLESS_INTENTS = """
import sys
from pathlib import Path
from tests.adapters.test_journal import fill, open_journal, place
journal = open_journal(Path(sys.argv[1]))
journal.begin_epoch()
while True:
    start, end = journal.lease_client_ids(50)
    for client_order_id in range(start, end):
        journal.record_intent(place(client_order_id), epoch=1)
        print(client_order_id, flush=True)
        journal.note(fill(place(client_order_id), f"t{client_order_id}"))
"""


@pytest.mark.parametrize("promised", [1, 49, 130])
def test_kill_loses_no_promised_intent(tmp_path: Path, promised: int) -> None:
    """SIGKILL while intents are written: each one whose call had returned is there, and its id is never leased again."""
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS_INTENTS, str(tmp_path / "journal.sqlite")], cwd=REPO, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(promised)]
    process.send_signal(signal.SIGKILL)
    seen += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    journal = open_journal(tmp_path / "journal.sqlite")
    assert set(seen) <= {order.order.client_order_id for order in journal.fold().orders}
    assert max(seen) < journal.lease_client_ids(1)[0]


_DISK_FULL = """
import resource, sys
from pathlib import Path
from core.ports import JournalFailed
from tests.adapters.test_journal import fill, open_journal, place
path = Path(sys.argv[1])
journal = open_journal(path)
journal.record_intent(place(1), epoch=1)
journal.note(fill(place(1), "queued"))
before = journal.fold()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(path.name + "-wal").stat().st_size + 100, hard))
try:
    journal.record_intent(place(2), epoch=1)
    print("durable")
except JournalFailed as failed:
    print("failed", journal.fold() == before)
journal.note(fill(place(1), "also queued"))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.record_intent(place(3), epoch=1)
print([order.order.client_order_id for order in journal.fold().orders], len(journal.fold().fill_keys))
"""


def test_full_disk_fails_the_intent_and_nothing_else(tmp_path: Path) -> None:
    """JournalFailed, the state unchanged; once there is room again, all that was queued follows and the failed intent does not."""
    path = tmp_path / "journal.sqlite"
    done = subprocess.run([sys.executable, "-c", _DISK_FULL, str(path)], cwd=REPO, capture_output=True, text=True, check=False)
    assert ["failed True", "[1, 3] 2"] == done.stdout.splitlines(), done.stderr
    assert [1, 3] == [order.order.client_order_id for order in state_at(path).orders]


@pytest.mark.parametrize(
    "call",
    [SqliteJournal.flush, SqliteJournal.fold, lambda journal: journal.close(is_clean=False)],
    ids=["flush", "fold", "close"],
)
def test_a_disk_that_hangs_keeps_nobody_but_who_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[SqliteJournal], object]
) -> None:
    """The main loop builds actors anew from the journal, and closes it."""
    journal = open_journal(tmp_path / "journal.sqlite")
    entered, gate, failed = threading.Event(), threading.Event(), threading.Event()
    commit = journal._transact

    def hang(statements: Any) -> None:
        entered.set()
        gate.wait()
        commit(statements)

    def ask() -> None:
        with suppress(JournalFailed):
            call(journal)
            return
        failed.set()

    monkeypatch.setattr(journal, "_transact", hang)
    monkeypatch.setattr("adapters.journal.LOCK_LIMIT_S", 0.01)
    writer = threading.Thread(target=journal.record_intent, args=(place(1), 1), daemon=True)
    writer.start()
    assert entered.wait(GUARD_S)
    threading.Thread(target=ask, daemon=True).start()
    has_failed = failed.wait(GUARD_S)
    gate.set()
    writer.join(GUARD_S)
    journal.close(is_clean=False)
    assert (True, [1]) == (has_failed, [entry.order.client_order_id for entry in state_at(tmp_path / "journal.sqlite").orders])


class SuspendedLock:
    """Another thread commits; the process stands still meanwhile, so that the first wait is over as soon as it goes on."""

    def __init__(self) -> None:
        self._waits = 0

    def acquire(self, timeout: float) -> bool:
        self._waits += 1
        return self._waits > 1

    def release(self) -> None:
        pass


def test_a_suspension_during_a_commit_is_no_failure_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3. Nobody has waited for the commit while nothing could run: the flush gets through."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.note(fill(place(1), "t1", "0.01"))
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_lock", SuspendedLock())
        journal.flush()
    journal.close(is_clean=False)
    assert ["t1"] == [event.fill.trade_id for event in state_at(tmp_path / "journal.sqlite").pairable]


def test_closed_journal_refuses_an_intent(tmp_path: Path) -> None:
    """A late writer at shutdown gets JournalFailed, not an error of the database."""
    journal = open_journal(tmp_path / "journal.sqlite")
    journal.close(is_clean=True)
    with pytest.raises(JournalFailed):
        journal.record_intent(place(1), epoch=1)


# ---- damaged files ---------------------------------------------------------------------------------------------------------------


def killed_journal(folder: Path, *, orders: int = 12, commits: int = 12) -> tuple[Path, list[JournalState]]:
    """A journal with records in the database and in the log, as a kill leaves it, and the state after each commit of the log."""
    path = folder / "live" / "journal.sqlite"
    first = open_journal(path)
    trade(first, 1, orders)
    first.close(is_clean=False)
    journal = open_journal(path)
    states = [journal.fold()]
    for client_order_id in range(100, 100 + commits):
        journal.note(fill(place(client_order_id - 1), f"w{client_order_id}", "0.01"))
        journal.record_intent(place(client_order_id), epoch=2)
        states.append(journal.fold())
    copied = copy_journal(path, folder / "killed")
    journal.close(is_clean=False)
    return copied, states


def outcome(path: Path) -> JournalState | None:
    """The state that a restart would trade on, None for a refusal."""
    try:
        return state_at(path)
    except JournalCorrupt:
        return None


def flip(path: Path, offset: int, mask: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def sampled_flips(size: int, seed: int, trials: int) -> list[tuple[int, int]]:
    """All of the first 120 bytes, where each means something, then anywhere."""
    dice = random.Random(seed)
    return [(offset, 1 << dice.randrange(8)) for offset in range(min(size, 120))] + [
        (dice.randrange(size), dice.choice((0x01, 0x80, 0xFF))) for _ in range(trials)
    ]


def test_flipped_byte_in_the_database_never_gives_another_state(tmp_path: Path) -> None:
    """A database damaged in one byte is either read as before or refused."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    trade(journal, 1, 30)
    expected = journal.fold()
    journal.close(is_clean=False)
    different = []
    for offset, mask in sampled_flips(path.stat().st_size, 1, 150):
        damaged = copy_journal(path, tmp_path / "damaged")
        flip(damaged, offset, mask)
        if outcome(damaged) not in (expected, None):
            different.append((offset, mask))
    assert [] == different


def test_flipped_byte_in_the_log_never_gives_another_state(tmp_path: Path) -> None:
    """A log damaged before its last frame is refused or harmless; damage in the last frame looks like, and is taken as, a torn tail."""
    path, states = killed_journal(tmp_path)
    wal = Path(f"{path}-wal")
    size = wal.stat().st_size
    different = []
    for offset, mask in sampled_flips(size, 2, 150):
        damaged = copy_journal(path, tmp_path / "damaged")
        flip(Path(f"{damaged}-wal"), offset, mask)
        allowed = [states[-1], None, *([states[-2]] if offset >= size - FRAME else [])]
        if outcome(damaged) not in allowed:
            different.append((offset, mask))
    assert [] == different


def test_damaged_header_of_the_last_frame_but_one_is_refused(tmp_path: Path) -> None:
    """The frame after it is whole by the checksum stored in it or by the one computed from it, whichever is not the damaged part."""
    path, _ = killed_journal(tmp_path)
    offset = Path(f"{path}-wal").stat().st_size - 2 * FRAME
    accepted = []
    for byte in range(24):
        damaged = copy_journal(path, tmp_path / "damaged")
        flip(Path(f"{damaged}-wal"), offset + byte, 0x01)
        if outcome(damaged) is not None:
            accepted.append(byte)
    assert [] == accepted


def test_refusal_is_one_line_that_names_file_and_record(tmp_path: Path) -> None:
    """The operator needs to know what to look at."""
    path, _ = killed_journal(tmp_path)
    flip(path, FULL_LEAF, 0xFF)
    with pytest.raises(JournalCorrupt, match=rf"^{path}: record \d+ is damaged$"):
        open_journal(path)


def test_schema_damaged_beyond_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in the table's definition are a refusal, not an error of the decoder."""
    path = tmp_path / "journal.sqlite"
    open_journal(path).close(is_clean=True)
    flip(path, path.read_bytes().index(b"CREATE TABLE"), 0xFF)
    with pytest.raises(JournalCorrupt):
        open_journal(path)


def test_refused_journal_is_left_as_it_was(tmp_path: Path) -> None:
    """Looking at a damaged journal changes no byte of it: a person still has to read it."""
    path, _ = killed_journal(tmp_path)
    flip(path, FULL_LEAF, 0xFF)
    before = (path.read_bytes(), Path(f"{path}-wal").read_bytes())
    with pytest.raises(JournalCorrupt):
        open_journal(path)
    assert before == (path.read_bytes(), Path(f"{path}-wal").read_bytes())


def test_empty_file_is_refused(tmp_path: Path) -> None:
    """A journal is created whole under another name, so an empty one has lost its content."""
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(JournalCorrupt, match=r"journal\.sqlite: cut short"):
        open_journal(tmp_path / "journal.sqlite")


def test_log_without_its_database_is_refused(tmp_path: Path) -> None:
    """Starting afresh beside an old log would forget its orders."""
    path, _ = killed_journal(tmp_path)
    path.unlink()
    with pytest.raises(JournalCorrupt, match="write-ahead log is there"):
        open_journal(path)


def test_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    """An older program must not guess at a newer journal."""
    path = tmp_path / "journal.sqlite"
    open_journal(path).close(is_clean=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(JournalCorrupt, match="newer version"):
        open_journal(path)


@pytest.mark.parametrize("statement", ["DELETE FROM journal WHERE seq = 5", "DELETE FROM journal WHERE seq < 5"])
def test_missing_records_are_refused(tmp_path: Path, statement: str) -> None:
    """Records may only be gone where a base replaces them."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    trade(journal, 1, 10)
    journal.close(is_clean=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    with pytest.raises(JournalCorrupt, match="missing"):
        open_journal(path)


def test_another_database_is_refused(tmp_path: Path) -> None:
    """A file of another program, even a sound one in the same mode, is no journal."""
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(JournalCorrupt, match="not a journal of this program"):
        open_journal(path)
