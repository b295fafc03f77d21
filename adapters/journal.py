"""The write-ahead record in SQLite: an order may be sent once ``record_intent`` returned, and only then.

One append-only table of checksummed JSON records. It must never guess: a file that cannot be trusted whole is ``JournalCorrupt``
and a matter for a person, except for the tail that a kill tore off, which was never promised to anybody.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from adapters.wal_check import find_wal_damage
from core.journal_state import Fence, Intent, JournalFold, JournalState, Lease, Record, Stopped, kind_of
from core.messages import Message, PlaceOrder
from core.ports import JournalFailed

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50455246
CLIENT_ID_MAX = 2**32 - 1
"""Backpack's client ids are uint32 (backpack.md); one counter serves all venues."""
FIRST_CLIENT_ID_MAX = 2**31
"""A new journal begins anywhere up to here, so that two of one account, on two hosts or one after the other, share no ids."""

LOCK_LIMIT_S = 3.0
"""Who only reads, flushes or closes waits no longer for a commit of another thread: the main loop does so, too, and a disk may hang."""
_LOCK_WAITS = 12
"""The limit in parts: a process that was suspended meanwhile finds one of them over, not all of it."""
DAMAGED_LOOKS = 3
NOTES_QUEUED_MAX = 500
_DELETE_CHUNK = 2_000
CACHE_KIB = 128
"""Pages that SQLite keeps in memory: it appends and hardly ever reads back, so its default of 2 MiB would only fill up."""
_SCHEMA = "CREATE TABLE journal (seq INTEGER PRIMARY KEY, kind TEXT, wall_ms INTEGER, payload BLOB, crc INTEGER)"
_INSERT = "INSERT INTO journal (seq, kind, wall_ms, payload, crc) VALUES "
_ROW_MARKS = "(?, ?, ?, ?, ?)"
_ROWS_A_STATEMENT = 100
_SELECT = "SELECT seq, kind, wall_ms, payload, crc FROM journal ORDER BY seq"
_DELETE = "DELETE FROM journal WHERE seq IN (SELECT seq FROM journal WHERE seq < ? ORDER BY seq LIMIT ?)"
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class JournalCorrupt(Exception):
    """The journal cannot be trusted (exit code 3): one line that names the file."""


class _Row(NamedTuple):
    """One record on its way to the table; ``seq`` is given at the commit."""

    message: Message
    kind: str
    wall_ms: int
    payload: bytes


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _any_client_id() -> int:
    return 1 + secrets.randbelow(FIRST_CLIENT_ID_MAX)


class SqliteJournal:
    """``core.ports.Journal``; any thread may call any method.

    ``note`` only queues; the other methods return after the commit is on the disk, or raise JournalFailed with nothing half-written.
    What could not be written stays queued, in order, for the next commit.
    """

    def __init__(
        self,
        path: Path,
        *,
        wall_ms: Callable[[], int] = _wall_ms,
        compact_after_records: int = 100_000,
        first_client_id: Callable[[], int] = _any_client_id,
    ) -> None:
        """Open or create. Raises JournalCorrupt for a file that may not be used, JournalFailed where none can be made."""
        self._wall_ms = wall_ms
        self._compact_after_records = compact_after_records
        self._first_client_id = first_client_id
        self._lock = threading.Lock()
        self._notes: deque[_Row] = deque()
        """Appended to by any thread, taken from by whoever holds the lock."""
        self._unwritten: list[_Row] = []
        """Taken, and not yet durable; like everything below only for whoever holds the lock."""
        self._unfolded: list[_Row] = []
        self._droppable_below = 0
        try:
            if not path.exists():
                _create(path)
            self._fold, self._last_seq, self._records_since_base = _verify(path)
            self._connection = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
        except (sqlite3.Error, OSError) as error:
            raise JournalFailed(f"{path}: {error}") from error

    def fold(self) -> JournalState:
        """Everything durable so far, as one value."""
        with self._held():
            return self._folded().state()

    def begin_epoch(self) -> int:
        """A number above that of every run before."""
        with self._lock:
            epoch = self._folded().epoch + 1
            self._commit(Fence(epoch=epoch))
            return epoch

    def lease_client_ids(self, count: int) -> tuple[int, int]:
        """``count`` ids, start inclusive, end exclusive, that no run had before or will have again."""
        if count < 1:
            raise ValueError(f"cannot lease {count} client ids")
        with self._lock:
            known = self._folded().next_client_id
            start = known if known > 1 else self._first_client_id()
            end = start + count
            if end - 1 > CLIENT_ID_MAX:
                raise JournalFailed(f"client order ids are used up: {start} + {count} exceeds {CLIENT_ID_MAX}")
            self._commit(Lease(end=end))
            return start, end

    def record_intent(self, order: PlaceOrder, epoch: int) -> None:
        with self._lock:
            self._commit(Intent(order=order, epoch=epoch))

    def note(self, message: Message) -> None:
        """Waits for the disk with every 500th queued note only, and never raises for it: what cannot be written now stays queued."""
        self._notes.append(self._row(message))
        if len(self._notes) >= NOTES_QUEUED_MAX:
            with suppress(JournalFailed):
                self.flush()

    def flush(self) -> None:
        """Make the queued notes durable. Now and then also compacts the file; that failing is no harm and is tried again later."""
        with self._held():
            if self._notes or self._unwritten:
                self._commit()
            self._folded()
        if self._records_since_base > self._compact_after_records or self._droppable_below:
            with suppress(JournalFailed):
                self._compact()

    def close(self, *, is_clean: bool) -> None:
        """Write what is queued and let go of the file. ``is_clean``: the run ended in order, so the next one may know."""
        with self._held():
            try:
                self._commit(*([Stopped()] if is_clean else []))
            finally:
                self._connection.close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock, within the limit. Raises JournalFailed."""
        if not any(self._lock.acquire(timeout=LOCK_LIMIT_S / _LOCK_WAITS) for _ in range(_LOCK_WAITS)):
            raise JournalFailed(f"journal not written: a commit has taken longer than {LOCK_LIMIT_S:g} s")
        try:
            yield
        finally:
            self._lock.release()

    def _row(self, message: Message) -> _Row:
        return _Row(message, kind_of(message), self._wall_ms(), msgspec.json.encode(message))

    def _commit(self, *messages: Message) -> None:
        """One transaction: all queued notes, then ``messages``. The caller holds the lock."""
        for _ in range(len(self._notes)):  # Other threads append meanwhile: a deque may then be popped, but not iterated over.
            self._unwritten.append(self._notes.popleft())
        self._append([*self._unwritten, *(self._row(message) for message in messages)])
        self._unwritten.clear()

    def _append(self, rows: list[_Row]) -> None:
        self._transact(_inserts(rows, self._last_seq + 1))
        self._last_seq += len(rows)
        self._records_since_base += len(rows)
        self._unfolded += rows
        if len(self._unfolded) > NOTES_QUEUED_MAX:
            self._folded()

    def _folded(self) -> JournalFold:
        """The fold of everything durable. It catches up when it is asked for, and with each flush: an order must not wait for it."""
        for row in self._unfolded:
            if row.kind not in ("NOTE", "BASE"):  # A base is this very fold's own state.
                self._fold.apply(row.message, row.wall_ms)
        self._unfolded.clear()
        return self._fold

    def _transact(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        """All or nothing. One statement alone is a transaction by itself: each further call may have to wait for the interpreter."""
        try:
            if len(statements) == 1:
                self._connection.execute(*statements[0])
                return
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                self._connection.execute(statement, values)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise JournalFailed(f"journal not written: {error}") from error

    def _compact(self) -> None:
        """Everything so far as one record, then drop all before it, in small bites with the lock let go between them: an intent
        must not wait for housekeeping. Notes queued meanwhile are not part of that record and come after it."""
        with self._held():
            if self._records_since_base > self._compact_after_records:
                self._append([self._row(self._folded().state())])
                self._records_since_base = 0
                self._droppable_below = self._last_seq
        while self._droppable_below:
            with self._held():
                before = self._connection.total_changes
                self._transact([(_DELETE, (self._droppable_below, _DELETE_CHUNK))])
                if self._connection.total_changes == before:
                    self._droppable_below = 0


@contextmanager
def opened(path: Path) -> Iterator[SqliteJournal]:
    """For a command that is no run: its end says nothing of how the last run ended. Raises what opening it raises."""
    journal = SqliteJournal(path)
    try:
        yield journal
    finally:
        journal.close(is_clean=False)


def read_state(path: Path) -> JournalState | None:
    """Of a journal that a running bot may be writing, None where there is none. Raises what opening it raises: while the log begins anew it
    looks damaged, so that is believed after the third look."""
    for _ in range(DAMAGED_LOOKS - 1):
        with suppress(JournalCorrupt):
            return SqliteJournal(path).fold() if path.exists() else None
    return SqliteJournal(path).fold()


def _inserts(rows: list[_Row], first_seq: int) -> list[tuple[str, tuple[object, ...]]]:
    found = []
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        chunk = rows[start : start + _ROWS_A_STATEMENT]
        values = [value for seq, row in enumerate(chunk, first_seq + start) for value in _values(seq, row)]
        found.append((_INSERT + ", ".join([_ROW_MARKS] * len(chunk)), tuple(values)))
    return found


def _values(seq: int, row: _Row) -> tuple[object, ...]:
    return seq, row.kind, row.wall_ms, row.payload, _crc(seq, row.kind, row.wall_ms, row.payload)


def _crc(seq: int, kind: str, wall_ms: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(f"{seq}|{kind}|{wall_ms}|".encode()))


def _create(path: Path) -> None:
    """An empty journal under another name first: a file of the right name is always whole, so an empty one is damage."""
    if Path(f"{path}-wal").exists():
        raise JournalCorrupt(
            f"{path}: missing, but its write-ahead log is there; restore it, or move the log away to start afresh"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(_SCHEMA)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _verify(path: Path) -> tuple[JournalFold, int, int]:
    """Read all of it without writing a byte: the fold, the last sequence number, the number of records since the last base."""
    damage = _find_header_damage(path) or find_wal_damage(Path(f"{path}-wal"))
    if damage:
        raise JournalCorrupt(f"{path}: {damage}")
    fold, last_seq, since_base = JournalFold(), 0, 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
            _check_database(path, connection)
            for seq, record, kind, wall_ms in _read_records(path, connection):
                if record is not None:
                    fold.apply(record, wall_ms)
                last_seq, since_base = seq, 0 if kind == "BASE" else since_base + 1
    except UnicodeDecodeError as error:  # sqlite3 cannot put SQLite's complaint about damaged names into words.
        raise JournalCorrupt(f"{path}: its schema is damaged") from error
    except sqlite3.Error as error:
        raise JournalCorrupt(f"{path}: {' '.join(str(error).split())}") from error
    return fold, last_seq, since_base


def _find_header_damage(path: Path) -> str | None:
    """What would make SQLite take the file for another kind and pass over the log. sqlite.org/fileformat2.html §1.3."""
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100:
        return "cut short; a journal is never empty"
    is_ours = head[:16] == b"SQLite format 3\0" and head[16:20] == b"\x10\x00\x02\x02"
    return None if is_ours else "not a journal, or its header is damaged"


def _check_database(path: Path, connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalCorrupt(f"{path}: not a journal of this program")
    if version > SCHEMA_VERSION:
        raise JournalCorrupt(f"{path}: written by a newer version (schema {version}, this one reads {SCHEMA_VERSION})")
    if version != SCHEMA_VERSION:
        raise JournalCorrupt(f"{path}: schema {version} is not one this version reads ({SCHEMA_VERSION})")
    if connection.execute("SELECT sql FROM sqlite_schema").fetchall() != [(_SCHEMA,)]:
        raise JournalCorrupt(f"{path}: its tables are not those of a journal")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise JournalCorrupt(f"{path}: " + " ".join(str(verdict).split()))


def _read_records(path: Path, connection: sqlite3.Connection) -> Iterator[tuple[int, Record | None, str, int]]:
    """Every row in order, checked: seq, record (None for a NOTE), kind, wall_ms."""
    previous: int | None = None
    needs_base = False
    for seq, kind, wall_ms, payload, crc in connection.execute(_SELECT):
        if not isinstance(payload, bytes) or _crc(seq, kind, wall_ms, payload) != crc:
            raise JournalCorrupt(f"{path}: record {seq} is damaged")
        if previous is not None and seq != previous + 1:
            raise JournalCorrupt(f"{path}: records {previous + 1} to {seq - 1} are missing")
        # A compaction that was cut short leaves some of the records that its base replaces.
        needs_base = kind != "BASE" and (needs_base or (previous is None and seq != 1))
        previous = seq
        yield seq, _decode(path, seq, payload) if kind != "NOTE" else None, kind, wall_ms
    if needs_base:
        raise JournalCorrupt(f"{path}: its first records are missing")


def _decode(path: Path, seq: int, payload: bytes) -> Record:
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"{path}: record {seq} cannot be read by this version: {error}") from error
