"""Tells a write-ahead log with a torn tail from a damaged one.

SQLite reads such a log up to the first frame whose checksum is wrong and drops the rest without a word. That is right for a write cut
short by a kill, and wrong for a flipped byte in front of commits that were durable. Must run before SQLite opens the database, and
never writes. Format: sqlite.org/fileformat2.html §4.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_BIG_ENDIAN_SUMS = 0x377F0683
_LITTLE_ENDIAN_SUMS = 0x377F0682
_MASK = 0xFFFFFFFF

_Sum = tuple[int, int]


def find_wal_damage(path: Path) -> str | None:
    """What is wrong with the log at ``path`` beyond a torn tail; None = SQLite may open it. Raises OSError."""
    if not path.exists():
        return None
    with path.open("rb") as wal:
        head = wal.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return None  # Killed before the first commit of this log.
        magic, _version, page_size, _sequence, salt_1, salt_2, sum_1, sum_2 = _HEADER.unpack(head)
        if magic not in (_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS) or not 512 <= page_size <= 65_536:
            return "its header is damaged"
        order = ">" if magic == _BIG_ENDIAN_SUMS else "<"
        if _checksum(head[:24], (0, 0), order) != (sum_1, sum_2):
            return "its header is damaged"
        return _find_damaged_frame(wal, page_size, (salt_1, salt_2), (sum_1, sum_2), order)


def _find_damaged_frame(wal: BinaryIO, page_size: int, salts: _Sum, seed: _Sum, order: str) -> str | None:
    """A frame that is wrong while a later one is right was durable once. ``seed``: the checksum of the header.

    Each checksum continues its predecessor's; after a wrong frame the next is tried with both the one stored in it and the one
    computed from it, as either may be the damaged part.
    """
    seeds: set[_Sum] = {seed}
    broken: int | None = None
    number = 0
    while len(frame := wal.read(_FRAME_HEADER.size + page_size)) == _FRAME_HEADER.size + page_size:
        number += 1
        _page, _commit, salt_1, salt_2, sum_1, sum_2 = _FRAME_HEADER.unpack_from(frame)
        body = frame[:8] + frame[_FRAME_HEADER.size :]
        is_ours = (salt_1, salt_2) == salts  # Otherwise left over from an older generation of the log.
        computed = {_checksum(body, seed, order) for seed in seeds} if is_ours else set()
        is_right = (sum_1, sum_2) in computed
        if is_right and broken is not None:
            return f"frame {broken} is damaged and later frames are whole"
        if not is_right and broken is None:
            broken = number
        seeds = computed | {(sum_1, sum_2)} if not is_right else {(sum_1, sum_2)}
    return None


def _checksum(data: bytes, seed: _Sum, order: str) -> _Sum:
    first, second = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & _MASK
        second = (second + words[index + 1] + first) & _MASK
    return first, second
