"""A venue that sends more than anybody can use: all of it is read, in order, and nothing of it is kept (RELIABILITY.md A9)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.transport.stream import BATCH_FRAMES, StreamLoop
from core.messages import Alert
from tests.adapters.transport.raw_server import GUARD_S, Peer, RawServer, frame
from tests.adapters.transport.test_stream import TalkingSession, serving
from tests.process.kit import by_night

BLOCK = 1_000
GROWTH_MAX_BYTES = 50 << 20


def resident_bytes() -> int:
    """Of this process, the raw server's thread included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("count", [20_000, *by_night(1_000_000)])
def test_tiny_frames_are_read_in_order_and_none_is_kept(count: int) -> None:
    """As fast as they come; no poll hands over more than its batch, and the memory does not grow with their number."""

    def flood(peer: Peer) -> None:
        for start in range(0, count, BLOCK):
            peer.send(b"".join(frame(1, b"%d" % number) for number in range(start, start + BLOCK)))

    with RawServer(serving(flood)) as server:
        loop = StreamLoop(TalkingSession(server.port))
        before, expected, largest = resident_bytes(), 0, 0
        while expected < count:
            told = [int(event.text) for event in loop.poll(GUARD_S) if isinstance(event, Alert)]
            assert told == list(range(expected, expected + len(told)))
            expected += len(told)
            largest = max(largest, len(told))
        grown = resident_bytes() - before
        loop.close()
    assert (True, True) == (largest <= BATCH_FRAMES, grown < GROWTH_MAX_BYTES)
