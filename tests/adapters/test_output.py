"""The way to the terminal: in order, never waited for, and every text that does not arrive is counted."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TextIO

import pytest

from adapters import output
from adapters.output import QueuedOutput
from adapters.terminal import say

GUARD_S = 20.0


def until(condition: Callable[[], object]) -> None:
    """The writer is a thread of its own; the suite's time-out guards this."""
    while not condition():
        threading.Event().wait(0.001)


class Stalled:
    """The writing end of a pipe that is full, whose reader stands still until it is told to read on."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self._filled = 0
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                self._filled += os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        self.stream: TextIO = os.fdopen(writer, "w", encoding="utf-8")

    def read_on(self, length: int) -> str:
        """That much of what comes behind what has filled the pipe."""
        found = b""
        while len(found) < self._filled + length:
            found += os.read(self._reader, self._filled + length - len(found))
        return found[self._filled :].decode()

    def close(self) -> None:
        """The reader first: whoever still hangs is let go."""
        os.close(self._reader)
        self.stream.close()


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    with closing(Stalled()) as pipe:
        yield pipe


def returns(call: Callable[[], object]) -> bool:
    """Whether ``call`` comes back, on a thread that this test can leave behind."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(GUARD_S)
    return not thread.is_alive()


def test_texts_arrive_in_their_order() -> None:
    """All of them, by the time it has finished."""
    stream = io.StringIO()
    out = QueuedOutput(stream)
    for number in range(500):
        out.write(f"{number}\n")
    out.finish(GUARD_S)
    assert (list(range(500)), 0) == ([int(line) for line in stream.getvalue().split()], out.lost_writes)


def test_a_reader_that_stands_still_keeps_nobody(stalled: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no place in the queue is counted; the rest is there when it reads on."""
    monkeypatch.setattr(output, "MAX_QUEUED_TEXTS", 5)
    out = QueuedOutput(stalled.stream)
    out.write("0\n")
    until(lambda: not out.is_behind)  # The writer has it in hand, and hangs.
    assert returns(lambda: [out.write(f"{number}\n") for number in range(1, 9)])
    assert returns(lambda: out.finish(0.01))
    assert 3 == out.lost_writes
    assert "0\n1\n2\n3\n4\n5\n" == stalled.read_on(12)


def test_a_line_for_a_reader_that_stands_still_keeps_nobody(stalled: Stalled) -> None:
    """Not even outside a run: a refusal ends the process, a flatten goes on closing."""
    assert returns(lambda: say("x", stalled.stream))


def test_without_memory_for_a_thread_the_line_is_said_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of a refusal that was made for want of memory."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stream = io.StringIO()
    say("no memory", stream)
    assert "no memory\n" == stream.getvalue()


def test_a_full_disk_is_counted_and_tried_again(tmp_path: Path) -> None:
    """ENOSPC loses texts while it lasts."""
    with open("/dev/full", "w") as full, (tmp_path / "out").open("w") as good:
        out = QueuedOutput(full)
        out.write("lost\n")
        until(lambda: out.lost_writes)
        os.dup2(good.fileno(), full.fileno())
        out.write("kept\n")
        out.finish(GUARD_S)
    assert ("kept\n", 1) == ((tmp_path / "out").read_text(), out.lost_writes)
