"""The journal damaged at every byte, and a disk that fails in other ways than being full (RELIABILITY.md P6, P7)."""

from __future__ import annotations

import ctypes
import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters import journal
from adapters.journal import JournalCorrupt, read_state
from adapters.wal_check import find_wal_damage
from core.ports import JournalFailed
from tests.adapters.test_journal import (
    FRAME,
    REPO,
    copy_journal,
    fill,
    flip,
    killed_journal,
    open_journal,
    outcome,
    place,
    state_at,
    trade,
)

EVERY_BYTE = [pytest.param(499, id="some"), pytest.param(1, id="all", marks=pytest.mark.night)]
"""The distance between the bytes at which it is cut."""
MASKS = (0x01, 0x80, 0xFF)


@pytest.mark.parametrize("step", EVERY_BYTE)
def test_the_last_commit_torn_at_any_byte_gives_the_commit_before(tmp_path: Path, step: int) -> None:
    """The last record is there or not there; nothing else is lost, and nothing is refused."""
    path, states = killed_journal(tmp_path, orders=3, commits=3)
    size = Path(f"{path}-wal").stat().st_size
    strange = []
    for cut in range(size - FRAME, size, step):
        torn = copy_journal(path, tmp_path / "torn")
        os.truncate(f"{torn}-wal", cut)
        if outcome(torn) != states[-2]:
            strange.append(cut)
    assert [] == strange


@pytest.mark.parametrize("step", EVERY_BYTE)
def test_a_log_cut_at_any_byte_gives_the_state_after_some_commit(tmp_path: Path, step: int) -> None:
    """The later the cut, the more of them; at the very beginning the state of the database alone."""
    path, states = killed_journal(tmp_path, orders=3, commits=3)
    found = []
    for cut in range(0, Path(f"{path}-wal").stat().st_size, step):
        torn = copy_journal(path, tmp_path / "torn")
        os.truncate(f"{torn}-wal", cut)
        found.append(states.index(state_at(torn)))
    assert (0, len(states) - 2, sorted(found)) == (found[0], found[-1], found)


@pytest.mark.parametrize("step", EVERY_BYTE)
def test_a_database_cut_at_any_byte_is_refused(tmp_path: Path, step: int) -> None:
    """It was whole once, so what is missing was durable."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    trade(journal, 1, 3)
    journal.close(is_clean=False)
    accepted = []
    for cut in range(0, path.stat().st_size, step):
        damaged = copy_journal(path, tmp_path / "damaged")
        os.truncate(damaged, cut)
        if outcome(damaged) is not None:
            accepted.append(cut)
    assert [] == accepted


@pytest.mark.night
@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["database", "log"])
def test_a_byte_flipped_anywhere_never_gives_another_state(tmp_path: Path, suffix: str) -> None:
    """Read as before, or refused; a flip in the last frame of the log looks like a torn tail, and is taken as one."""
    path, states = killed_journal(tmp_path, orders=3, commits=3)
    size = Path(f"{path}{suffix}").stat().st_size
    different = []
    for offset in range(size):
        damaged = copy_journal(path, tmp_path / "damaged")
        flip(Path(f"{damaged}{suffix}"), offset, MASKS[offset % len(MASKS)])
        is_last_frame = suffix == "-wal" and offset >= size - FRAME
        if outcome(damaged) not in [states[-1], None, *(states[-2:-1] if is_last_frame else [])]:
            different.append(offset)
    assert [] == different


@pytest.mark.parametrize(("looks", "is_believed"), [(2, False), (3, True)])
def test_who_only_looks_believes_in_damage_at_the_third_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, is_believed: bool
) -> None:
    """A log that a running bot begins anew while it is read looks as if a frame of it were damaged."""
    path, states = killed_journal(tmp_path, orders=3, commits=3)
    seen = ["frame 138 is damaged and later frames are whole"] * looks
    monkeypatch.setattr(journal, "find_wal_damage", lambda wal: seen.pop() if seen else find_wal_damage(wal))
    if is_believed:
        with pytest.raises(JournalCorrupt, match="frame 138"):
            read_state(path)
    else:
        assert states[-1] == read_state(path)


def test_there_is_no_state_without_a_journal(tmp_path: Path) -> None:
    """And none is made by looking."""
    assert (None, []) == (read_state(tmp_path / "journal.sqlite"), list(tmp_path.iterdir()))


def test_an_older_schema_is_refused_by_name(tmp_path: Path) -> None:
    """It is never read as if it were of today."""
    path = tmp_path / "journal.sqlite"
    open_journal(path).close(is_clean=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(JournalCorrupt, match=r"journal\.sqlite: schema 0 is not one this version reads"):
        open_journal(path)


# ---- a disk that fails ---------------------------------------------------------------------------------------------------------------


def test_a_disk_that_became_read_only_fails_the_intent_and_nothing_else(tmp_path: Path) -> None:
    """JournalFailed, the state unchanged; once it may be written again, all that was queued follows and the failed intent does not."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.record_intent(place(1), epoch=1)
    journal.note(fill(place(1), "queued"))
    journal._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalFailed, match="readonly"):
        journal.record_intent(place(2), epoch=1)
    journal._connection.execute("PRAGMA query_only = OFF")
    journal.record_intent(place(3), epoch=1)
    seen = state_at(path)
    assert ([1, 3], 1) == ([order.order.client_order_id for order in seen.orders], len(seen.fill_keys))


SYSCALLS = {"x86_64": (74, 75), "aarch64": (82, 83)}
"""Numbers of fsync and fdatasync."""


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction))]


def fail_every_fsync() -> None:
    """From now on each one of this process is EIO, by a seccomp filter: load the number, compare, errno or allow. For good."""
    fsync, fdatasync = SYSCALLS[platform.machine()]
    rows = [(0x20, 0, 0, 0), (0x15, 1, 0, fsync), (0x15, 0, 1, fdatasync), (0x06, 0, 0, 0x0005_0005), (0x06, 0, 0, 0x7FFF_0000)]
    program = _Program(len(rows), (_Instruction * len(rows))(*(_Instruction(*row) for row in rows)))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, filter_mode = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(seccomp, filter_mode, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


_FSYNC_FAILS = """
import sys
from pathlib import Path
from core.ports import JournalFailed
from tests.adapters.test_journal import fill, open_journal, place
from tests.adapters.test_journal_damage import fail_every_fsync
journal = open_journal(Path(sys.argv[1]))
journal.record_intent(place(1), epoch=1)
journal.note(fill(place(1), "queued"))
before = journal.fold()
fail_every_fsync()
for client_order_id in (2, 3):
    try:
        journal.record_intent(place(client_order_id), epoch=1)
        print("durable")
    except JournalFailed:
        print("failed", journal.fold() == before)
"""


@pytest.mark.skipif(platform.machine() not in SYSCALLS, reason="the filter needs the numbers of this machine's system calls")
def test_an_fsync_that_fails_is_no_promise(tmp_path: Path) -> None:
    """JournalFailed each time. A restart may find the last of them after all, as an order to ask the venue for; what was promised is there."""
    path = tmp_path / "journal.sqlite"
    done = subprocess.run([sys.executable, "-c", _FSYNC_FAILS, str(path)], cwd=REPO, capture_output=True, text=True, check=False)
    assert ["failed True"] * 2 == done.stdout.splitlines(), done.stderr
    assert [order.order.client_order_id for order in state_at(copy_journal(path, tmp_path / "copy")).orders] in (
        [1],
        [1, 2],
        [1, 3],
    )
